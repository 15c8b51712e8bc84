//! The configurations that the project promises to take as they stand, by the binary itself. No server answers here:
//! `check` says that the settings are complete before it says so of the rest.

use std::fs;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// All that differs between places comes from the environment.
const FROM_VARIABLES: &str = "\
kafka: {bootstrap_servers: ${KAFKA_BROKERS}, security_protocol: SASL_SSL, \
consumer: {group_id: ${CONSUMER_GROUP}, topics: ${TOPICS}}}
storage: {backend: s3, format: parquet, compression: snappy}
";

/// `PROTOCOL` and `FOLDER` are replaced.
const ON_DISK: &str = "\
kafka:
  bootstrap_servers: [\"localhost:1\"]
  security_protocol: PROTOCOL
  consumer: {group_id: \"event-store-test\", topics: [\"test-topic\"]}
storage: {backend: file, format: parquet, file: {base_path: \"FOLDER\"}}
";

fn run(verb: &str, config: &str, variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let space = TempDir::new().unwrap();
    let file = space.path().join("application.yaml");
    let folder = space.path().join("lake");
    fs::write(&file, config.replace("FOLDER", &folder.display().to_string())).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_eventsink-worker"));
    command.arg(verb).arg("--config").arg(&file).env_clear().envs(variables.iter().copied()).stdin(Stdio::null());
    let Output { status, stdout, stderr } = command.output().unwrap();
    (status.code(), String::from_utf8([stdout, stderr].concat()).unwrap())
}

#[test]
fn one_line_of_references_takes_the_rest_from_variables() {
    let variables = [
        ("KAFKA_BROKERS", "localhost:1,localhost:2"),
        ("CONSUMER_GROUP", "group"),
        ("TOPICS", "a, b"),
        ("EVENTSINK__KAFKA__SASL__USERNAME", "user"),
        ("EVENTSINK__KAFKA__SASL__PASSWORD", "hunter2"),
        ("EVENTSINK__STORAGE__S3__BUCKET", "events"),
        ("EVENTSINK__STORAGE__S3__ENDPOINT", "https://localhost:1"),
        ("EVENTSINK__STORAGE__S3__ACCESS_KEY_ID", "id"),
        ("EVENTSINK__STORAGE__S3__SECRET_ACCESS_KEY", "hunter3"),
    ];
    let (code, said) = run("check", FROM_VARIABLES, &variables);
    assert_eq!(code, Some(1), "no server answers: {said}");
    for words in ["ok    settings", "FAIL  kafka", "localhost:1,localhost:2", "FAIL  storage", "https://localhost:1"] {
        assert!(said.contains(words), "{words} is not in\n{said}");
    }
    assert!(!said.contains("hunter"), "{said}");
}

#[test]
fn a_folder_and_a_broker_are_enough() {
    let (code, said) = run("check", &ON_DISK.replace("PROTOCOL", "PLAINTEXT"), &[]);
    assert_eq!(code, Some(1), "no broker answers: {said}");
    assert!(said.contains("ok    settings") && said.contains("ok    storage"), "{said}");
}

#[test]
fn the_same_folder_takes_a_login_from_variables() {
    let login = [("EVENTSINK__KAFKA__SASL__USERNAME", "user"), ("EVENTSINK__KAFKA__SASL__PASSWORD", "hunter2")];
    let (code, said) = run("check", &ON_DISK.replace("PROTOCOL", "SASL_SSL"), &login);
    assert_eq!(code, Some(1), "no broker answers: {said}");
    assert!(said.contains("ok    settings") && !said.contains("hunter2"), "{said}");
}

#[test]
fn start_and_check_name_every_missing_variable_and_end_with_two() {
    for verb in ["start", "check"] {
        let (code, said) = run(verb, FROM_VARIABLES, &[]);
        assert_eq!(code, Some(2), "{verb}: {said}");
        for name in ["KAFKA_BROKERS", "CONSUMER_GROUP", "TOPICS", "kafka.sasl.password", "storage.s3.bucket"] {
            assert!(said.contains(name), "{verb}: {name} is not in\n{said}");
        }
    }
}
