//! What a user of the settings sees: real files, variables as an argument.

use std::collections::BTreeMap;
use std::path::PathBuf;

use eventsink_crds::settings::{Backend, Compression, Format, SecurityProtocol, Settings, Size, Span, StartFrom};
use tempfile::TempDir;

use super::{SettingsError, load};

mod samples;
mod storage;

/// The least that a worker must be told.
pub(super) const LEAST: &str = r#"
kafka:
  bootstrap_servers: ["localhost:9092"]
  consumer: {group_id: g, topics: [t]}
storage: {backend: file, file: {base_path: ./out}}
"#;

struct Folder(TempDir);

impl Folder {
    fn with(files: &[(&str, &str)]) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        for (name, text) in files {
            std::fs::write(folder.path(name), text).unwrap();
        }
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn load(&self, env: &[(&str, &str)]) -> Result<Settings, SettingsError> {
        let variables = env.iter().map(|&(name, value)| (name.into(), value.into()));
        load(&self.path("application.yaml"), &variables.collect::<BTreeMap<String, String>>())
    }
}

pub(super) fn loaded(text: &str, env: &[(&str, &str)]) -> Settings {
    let result = Folder::with(&[("application.yaml", text)]).load(env);
    result.unwrap_or_else(|error| panic!("{error}"))
}

/// The lines that a user sees, with the folder of the test cut out.
pub(super) fn mistakes(text: &str, env: &[(&str, &str)]) -> Vec<String> {
    let folder = Folder::with(&[("application.yaml", text)]);
    let error = folder.load(env).expect_err("these settings should be refused");
    lines(&folder, &error)
}

fn lines(folder: &Folder, error: &SettingsError) -> Vec<String> {
    let prefix = format!("{}/", folder.0.path().display());
    let lines = error.to_string().replace(&prefix, "");
    lines.lines().map(str::to_owned).collect()
}

#[test]
fn flow_mappings_of_bare_references_load_with_the_rest_from_variables() {
    let text = "kafka: {bootstrap_servers: ${KAFKA_BROKERS}, security_protocol: SASL_SSL, \
                consumer: {group_id: ${CONSUMER_GROUP}, topics: ${TOPICS}}}\n\
                storage: {backend: s3, format: parquet, compression: snappy}\n";
    let settings = loaded(
        text,
        &[
            ("KAFKA_BROKERS", "k1:9093,k2:9093"),
            ("CONSUMER_GROUP", "group"),
            ("TOPICS", "a, b"),
            ("EVENTSINK__KAFKA__SASL__USERNAME", "user"),
            ("EVENTSINK__KAFKA__SASL__PASSWORD", "p: {[#'\"${X}\\"),
            ("EVENTSINK__STORAGE__S3__BUCKET", "events"),
            ("EVENTSINK__STORAGE__S3__ENDPOINT", "https://minio:9000"),
            ("EVENTSINK__STORAGE__S3__ACCESS_KEY_ID", "id"),
            ("EVENTSINK__STORAGE__S3__SECRET_ACCESS_KEY", "key"),
        ],
    );
    assert_eq!(settings.kafka.bootstrap_servers[..], ["k1:9093", "k2:9093"].map(String::from));
    assert_eq!(settings.kafka.consumer.topics[..], ["a", "b"].map(String::from));
    assert_eq!(settings.kafka.security_protocol, SecurityProtocol::SaslSsl);
    let password = settings.kafka.sasl.password.as_ref();
    assert_eq!(password.map(|p| p.expose()), Some("p: {[#'\"${X}\\"));
    assert_eq!(settings.storage.compression, Compression::Snappy);
    assert!(settings.storage.s3.uses_path_style());
    assert_eq!(settings.sink_name(), "group");
}

#[test]
fn a_file_store_with_inline_lists_loads_with_and_without_a_login() {
    for (protocol, expected) in [("PLAINTEXT", SecurityProtocol::Plaintext), ("SASL_SSL", SecurityProtocol::SaslSsl)] {
        let text = format!(
            "kafka:\n  bootstrap_servers: [\"localhost:9092\"]\n  security_protocol: {protocol}\n  \
             sasl: {{username: u, password: p}}\n  \
             consumer: {{group_id: \"event-store-test\", topics: [\"test-topic\"]}}\n\
             storage: {{backend: file, format: parquet, file: {{base_path: \"/tmp/events\"}}}}\n"
        );
        let settings = loaded(&text, &[]);
        assert_eq!(settings.kafka.security_protocol, expected);
        assert_eq!(settings.storage.backend, Backend::File);
        assert_eq!(settings.storage.format, Format::Parquet);
        assert_eq!(settings.storage.file.base_path, "/tmp/events");
    }
}

#[test]
fn what_is_not_given_has_its_documented_default() {
    let mut expected = Settings::default();
    expected.kafka.bootstrap_servers = ["localhost:9092"].into_iter().collect();
    expected.kafka.consumer.group_id = "g".to_owned();
    expected.kafka.consumer.topics = ["t"].into_iter().collect();
    expected.storage.backend = Backend::File;
    expected.storage.file.base_path = "./out".to_owned();
    assert_eq!(loaded(LEAST, &[]), expected);
    assert_eq!(expected.rotation.max_bytes, Size::mib(128));
    assert_eq!(expected.rotation.max_idle, Span::from_secs(120));
}

#[test]
fn a_dead_letter_topic_that_is_read_too_is_refused_by_both_names() {
    let text = format!("{LEAST}dead_letter: {{topic: t, flood_min_records: 0, flood_threshold: 0.5}}\n");
    let said = mistakes(&text, &[]).join("\n");
    for words in [
        "dead_letter.topic",
        "kafka.consumer.topics",
        "dead_letter.flood_min_records",
        "a share from 0% to 100% such as 50%",
    ] {
        assert!(said.contains(words), "{words} is not in {said}");
    }
    let fine = loaded(&text.replace("topic: t,", "topic: u,").replace(": 0,", ": 1,").replace("0.5", "0.5%"), &[]);
    assert_eq!(fine.dead_letter.topic.as_deref(), Some("u"));
}

#[test]
fn serialized_settings_load_again_to_the_same() {
    let mut settings = loaded(LEAST, &[("EVENTSINK__ROTATION__MAX_BYTES", "1500")]);
    let instant = "2025-12-21T10:00:00+01:00";
    settings.kafka.consumer.start_from = serde_json::from_value(instant.into()).unwrap();
    let text = serde_json::to_string(&settings).unwrap();
    assert!(text.contains("2025-12-21T09:00:00Z"), "{text}");
    assert_eq!(loaded(&text, &[]), settings);
}

#[test]
fn the_environment_file_and_then_variables_override_the_file() {
    let folder = Folder::with(&[
        ("application.yaml", LEAST),
        (
            "application-test.yaml",
            "kafka: {consumer: {topics: [x, y], group_id: from-file}}\nrotation: {max_age: 1m}\n",
        ),
    ]);
    let settings =
        folder.load(&[("EVENTSINK_ENV", "test"), ("EVENTSINK__KAFKA__CONSUMER__GROUP_ID", "from-variable")]).unwrap();
    assert_eq!(settings.kafka.consumer.topics[..], ["x", "y"].map(String::from));
    assert_eq!(settings.kafka.consumer.group_id, "from-variable");
    assert_eq!(settings.rotation.max_age, Span::from_secs(60));
    assert_eq!(settings.storage.file.base_path, "./out");
}

#[test]
fn a_missing_environment_file_is_named() {
    let folder = Folder::with(&[("application.yaml", LEAST)]);
    let error = folder.load(&[("EVENTSINK_ENV", "prod")]).unwrap_err();
    assert_eq!(
        lines(&folder, &error),
        ["EVENTSINK_ENV=prod: cannot read application-prod.yaml: No such file or directory (os error 2)"]
    );
}

#[test]
fn an_environment_cannot_lead_out_of_the_folder() {
    let lines = mistakes(LEAST, &[("EVENTSINK_ENV", "../x")]);
    assert_eq!(
        lines,
        ["variable EVENTSINK_ENV: \"../x\" cannot be part of a file name; use letters, digits, `.`, `_` and `-`"]
    );
}

#[test]
fn text_from_variables_becomes_numbers_flags_sizes_and_times() {
    let settings = loaded(
        LEAST,
        &[
            ("EVENTSINK__ROTATION__MAX_RECORDS", "9092"),
            ("EVENTSINK__ROTATION__MAX_BYTES", "64MiB"),
            ("EVENTSINK__STORAGE__ALLOW_AT_LEAST_ONCE", "true"),
            ("EVENTSINK__STORAGE__S3__PATH_STYLE", "False"),
            ("EVENTSINK__KAFKA__CONSUMER__START_FROM", "latest"),
            ("EVENTSINK__OBSERVABILITY__LISTEN", "127.0.0.1:9092"),
        ],
    );
    assert_eq!(settings.rotation.max_records, 9092);
    assert_eq!(settings.rotation.max_bytes, Size::mib(64));
    assert!(settings.storage.allow_at_least_once);
    assert_eq!(settings.storage.s3.path_style, Some(false));
    assert_eq!(settings.kafka.consumer.start_from, StartFrom::Latest);
    assert_eq!(settings.observability.listen.port(), 9092);
}

#[test]
fn names_that_look_like_numbers_keep_their_digits() {
    let text = LEAST.replace("topics: [t]", "topics: [007, 1.10, true, 0x1F]");
    let settings = loaded(&text, &[]);
    let expected = ["007", "1.10", "true", "0x1F"].map(String::from);
    assert_eq!(settings.kafka.consumer.topics[..], expected);
}

#[test]
fn a_reference_in_a_comment_is_no_reference() {
    loaded(&format!("# ${{NOT_SET}} ${{ {{\n{LEAST}"), &[]);
}

#[test]
fn an_unset_variable_does_not_matter_where_a_later_layer_overrides_it() {
    let text = LEAST.replace("group_id: g", "group_id: ${GROUP}");
    let settings = loaded(&text, &[("EVENTSINK__KAFKA__CONSUMER__GROUP_ID", "x")]);
    assert_eq!(settings.kafka.consumer.group_id, "x");
    assert_eq!(
        mistakes(&text, &[]),
        [
            "kafka.consumer.group_id: variable GROUP is not set; set it or write ${GROUP:-default} (from application.yaml:4)"
        ]
    );
}

#[test]
fn a_value_cannot_change_the_structure_of_the_file() {
    let text = LEAST.replace("group_id: g", "group_id: ${GROUP}");
    let group = "g, start_from: latest}\nsink: other #";
    let settings = loaded(&text, &[("GROUP", group)]);
    assert_eq!(settings.kafka.consumer.group_id, group);
    assert_eq!(settings.sink, None);
}

#[test]
fn an_empty_variable_clears_what_the_file_says() {
    let text = format!("{LEAST}memory: {{budget: 64MiB}}\nshutdown:\n");
    let settings = loaded(&text, &[("EVENTSINK__MEMORY__BUDGET", "")]);
    assert_eq!(settings.memory.budget, None);
}

#[test]
fn partitions_are_let_go_before_the_group_gives_the_member_up() {
    let env = |interval| {
        [
            ("EVENTSINK__KAFKA__CONSUMER__SESSION_TIMEOUT", "10s"),
            ("EVENTSINK__KAFKA__CONSUMER__MAX_POLL_INTERVAL", interval),
            ("EVENTSINK__SHUTDOWN__DEADLINE", "30s"),
        ]
    };
    assert_eq!(loaded(LEAST, &env("35s")).shutdown.deadline.to_string(), "30s");
    assert_eq!(
        mistakes(LEAST, &env("34s")),
        ["shutdown.deadline: 30s is not allowed; it must be 100ms to 29s (so that kafka.consumer.max_poll_interval \
             is 5s longer) (from variable EVENTSINK__SHUTDOWN__DEADLINE)"]
    );
}

#[test]
fn every_mistake_is_named_at_once_with_its_source_and_what_is_allowed() {
    let text = "kafka:\n\
                \x20 bootstap_servers: [a:9092]\n\
                \x20 security_protocol: SASL\n\
                \x20 consumer: {topics: [ok, 'not ok'], session_timeout: 45}\n\
                storage: {backend: s3, compression: lz4, s3: {path_style: maybe}}\n\
                rotation: {max_bytes: 1GiB, max_records: many, max_age: 10ms}\n";
    let env = [
        ("EVENTSINK__RETRY__MAX_DELAY", "soon"),
        ("EVENTSINK__OBSERVABILITY__LISTEN", "8080"),
        ("EVENTSINK__NONSENSE", "1"),
    ];
    assert_eq!(
        mistakes(text, &env),
        [
            "kafka.bootstap_servers: unknown key; did you mean `bootstrap_servers`? (from application.yaml:2)",
            "kafka.bootstrap_servers: is missing; it must be brokers as host:port, such as kafka-1:9092,kafka-2:9092",
            "kafka.consumer.group_id: is missing; it must be the id of a consumer group that no other sink uses",
            "kafka.consumer.session_timeout: \"45\" is not allowed; it must be a duration with its unit such as 10m, 45s or 100ms (from application.yaml:4)",
            "kafka.consumer.topics: \"not ok\" is not allowed; it must be names of at most 249 letters, digits, `.`, `_` and `-` (from application.yaml:4)",
            "kafka.security_protocol: \"SASL\" is not allowed; it must be one of PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL (from application.yaml:3)",
            "nonsense: unknown key; known here: sink, kafka, storage, events, dead_letter, rotation, retry, breaker, memory, shutdown, observability (from variable EVENTSINK__NONSENSE)",
            "observability.listen: \"8080\" is not allowed; it must be an address and port such as 0.0.0.0:8080 (from variable EVENTSINK__OBSERVABILITY__LISTEN)",
            "retry.max_delay: \"soon\" is not allowed; it must be a duration with its unit such as 10m, 45s or 100ms (from variable EVENTSINK__RETRY__MAX_DELAY)",
            "rotation.max_age: 10ms is not allowed; it must be 100ms to 7days (from application.yaml:6)",
            "rotation.max_bytes: 1GiB is not allowed; it must be 1KiB to 256MiB (from application.yaml:6)",
            "rotation.max_records: \"many\" is not allowed; it must be a whole number such as 1000000 (from application.yaml:6)",
            "storage.compression: \"lz4\" is not allowed; it must be one of zstd, snappy, gzip, none (from application.yaml:5)",
            "storage.s3.bucket: is missing; it must be the name of a bucket, since storage.backend is s3",
            "storage.s3.path_style: \"maybe\" is not allowed; it must be true or false (from application.yaml:5)",
        ]
    );
}

#[test]
fn an_empty_file_is_told_all_that_is_required() {
    let lines = mistakes("", &[]);
    let paths: Vec<&str> = lines.iter().filter_map(|line| line.split(':').next()).collect();
    assert_eq!(
        paths,
        ["kafka.bootstrap_servers", "kafka.consumer.group_id", "kafka.consumer.topics", "storage.backend",]
    );
}

#[test]
fn a_login_is_asked_for_where_the_protocol_needs_one() {
    let env = [("EVENTSINK__KAFKA__SECURITY_PROTOCOL", "SASL_PLAINTEXT")];
    assert_eq!(
        mistakes(LEAST, &env),
        [
            "kafka.sasl.password: is missing; it must be the password to log in with, since security_protocol is SASL_PLAINTEXT",
            "kafka.sasl.username: is missing; it must be the user to log in with, since security_protocol is SASL_PLAINTEXT",
        ]
    );
}

#[test]
fn pairs_come_together() {
    let text = LEAST.replace("backend: file", "backend: s3, s3: {bucket: b}");
    let env = [("EVENTSINK__KAFKA__TLS__KEY_FILE", "tls.key"), ("EVENTSINK__STORAGE__S3__ACCESS_KEY_ID", "id")];
    assert_eq!(
        mistakes(&text, &env),
        [
            "kafka.tls.certificate_file: is missing; it must be the certificate of kafka.tls.key_file",
            "storage.s3.secret_access_key: is missing; it must be the secret key of storage.s3.access_key_id",
        ]
    );
}

/// The mistakes of a section `storage`, without their sources.

#[test]
fn no_secret_is_shown_wherever_it_is_misplaced() {
    let text = LEAST.replace(
        "  consumer",
        "  sasl: {pasword: hunter2, password: [hunter2]}\n  tls: {key_password: '${hunter2 x}'}\n  consumer",
    );
    let env = [
        ("EVENTSINK__KAFKA__CONSUMER", "hunter2"),
        ("EVENTSINK__KAFKA__BOOTSTRAP_SERVERS", "a:hunter2@kafka:9092"),
        ("EVENTSINK__STORAGE__BACKEND", "s3"),
        ("EVENTSINK__STORAGE__S3__SECRET_ACCESS_KEY", "hunter2"),
        ("EVENTSINK__STORAGE__S3__ENDPOINT", "https://a:hunter2@minio"),
    ];
    let lines = mistakes(&text, &env);
    assert!(lines.len() == 8, "{lines:#?}");
    assert!(!lines.join("\n").contains("hunter2"), "{lines:#?}");
}

#[test]
fn printed_settings_hide_their_secrets() {
    let env = [
        ("EVENTSINK__KAFKA__SASL__PASSWORD", "hunter2"),
        ("EVENTSINK__STORAGE__S3__ACCESS_KEY_ID", "hunter2"),
        ("EVENTSINK__STORAGE__S3__SECRET_ACCESS_KEY", "hunter2"),
        ("EVENTSINK__STORAGE__S3__SSE__CUSTOMER_KEY", "hunter2"),
        ("EVENTSINK__STORAGE__AZURE__ACCESS_KEY", "hunter2"),
        ("EVENTSINK__STORAGE__AZURE__SAS_TOKEN", "hunter2"),
        ("EVENTSINK__STORAGE__AZURE__CLIENT_SECRET", "hunter2"),
        ("EVENTSINK__STORAGE__PROXY_URL", "http://user:hunter2@proxy"),
    ];
    let settings = loaded(LEAST, &env);
    let printed = format!("{settings:?} {}", serde_json::to_string(&settings).unwrap());
    assert!(printed.contains("***"));
    assert!(!printed.contains("hunter2"), "{printed}");
}

#[test]
fn a_secret_comes_from_its_file_without_the_newline_at_its_end() {
    let folder = Folder::with(&[("application.yaml", LEAST), ("password", " p \n\n")]);
    let file = folder.path("password").display().to_string();
    let settings = folder.load(&[("EVENTSINK__KAFKA__SASL__PASSWORD_FILE", &file)]).unwrap();
    let password = settings.kafka.sasl.password.as_ref();
    assert_eq!(password.map(|p| p.expose()), Some(" p \n"));
}

#[test]
fn a_secret_given_twice_or_not_readable_is_a_mistake() {
    let env = [
        ("EVENTSINK__KAFKA__SASL__PASSWORD", "p"),
        ("EVENTSINK__KAFKA__SASL__PASSWORD_FILE", "also"),
        ("EVENTSINK__KAFKA__SASL__USERNAME_FILE", "not-there"),
    ];
    assert_eq!(
        mistakes(LEAST, &env),
        [
            "kafka.sasl.password_file: is given, and so is kafka.sasl.password; give one of them (from variable EVENTSINK__KAFKA__SASL__PASSWORD_FILE)",
            "kafka.sasl.username_file: cannot read not-there: No such file or directory (os error 2) (from variable EVENTSINK__KAFKA__SASL__USERNAME_FILE)",
        ]
    );
}

#[test]
fn broken_yaml_is_told_by_file_and_line() {
    assert_eq!(mistakes("kafka:\n  topics: [${A}\nx: y\n", &[]).len(), 1);
    assert_eq!(
        mistakes("sink: a\nsink: b\n", &[]),
        ["application.yaml: not valid YAML: key `sink` stands here for the second time in line 2"]
    );
}

#[test]
fn each_wrong_item_of_a_list_is_named_by_its_place() {
    let text = LEAST.replace("topics: [t]", "topics: [{a: b}, ${A}, [c], null]");
    let lines = mistakes(&text, &[]);
    let paths: Vec<&str> = lines.iter().filter_map(|line| line.split(':').next()).collect();
    let expected: Vec<String> = (0..4).map(|place| format!("kafka.consumer.topics[{place}]")).collect();
    assert_eq!(paths, expected);
}

#[test]
fn an_alias_stands_for_its_anchor() {
    let text = LEAST.replace("group_id: g, topics: [t]", "group_id: &name g, topics: *name");
    assert_eq!(loaded(&text, &[]).kafka.consumer.topics[..], ["g".to_owned()]);
}

#[test]
fn keys_joined_by_dots_and_odd_variables_are_refused() {
    let text = format!("{LEAST}kafka.tls: {{ca_file: x}}\n");
    let env = [("EVENTSINK__KAFKA____TLS", "x"), ("EVENTSINK__KAFKA", "x")];
    let lines = mistakes(&text, &env);
    assert_eq!(lines.len(), 3, "{lines:#?}");
}

#[test]
fn servers_are_hosts_with_ports() {
    let good = "a,a:1,[::1]:9092,10.0.0.1:9092";
    loaded(LEAST, &[("EVENTSINK__KAFKA__BOOTSTRAP_SERVERS", good)]);
    for bad in ["a:0", "a:x", "http://a:1", "::1", ":9092", "a b:1", "u@a:1"] {
        let lines = mistakes(LEAST, &[("EVENTSINK__KAFKA__BOOTSTRAP_SERVERS", bad)]);
        assert_eq!(lines.len(), 1, "{bad}: {lines:#?}");
    }
}

#[test]
fn traces_need_a_url_pairs_and_a_share() {
    let text = format!(
        "{LEAST}observability: {{traces: {{endpoint: https://c/v1/traces, headers: 'a=b, c=d', sample_ratio: 0.25}}}}\n"
    );
    let traces = loaded(&text, &[("EVENTSINK__OBSERVABILITY__METRICS__PARTITION_LABEL", "false")]).observability;
    assert_eq!((traces.traces.sample_ratio, traces.metrics.partition_label), (Some(0.25), false));
    let env = [
        ("EVENTSINK__OBSERVABILITY__TRACES__ENDPOINT", "collector:4318"),
        ("EVENTSINK__OBSERVABILITY__TRACES__HEADERS", "hunter2"),
        ("EVENTSINK__OBSERVABILITY__TRACES__SAMPLE_RATIO", "1.5"),
    ];
    let lines = mistakes(LEAST, &env);
    assert_eq!(lines.len(), 3, "{lines:#?}");
    for (line, words) in lines.iter().zip(["http://collector:4318/v1/traces", "name=value", "from 0 to 1"]) {
        assert!(line.contains(words) && !line.contains("hunter2"), "{line}");
    }
    let login = mistakes(LEAST, &[("EVENTSINK__OBSERVABILITY__TRACES__ENDPOINT", "https://u:hunter2@c/v1/traces")]);
    assert!(login.len() == 1 && !login[0].contains("hunter2"), "{login:#?}");
}
