//! What people see when something around the worker is wrong: one clear line each, and the right exit code.
//! Settings end with 2; a failed `check` with 1; `start` keeps trying what may heal; a prefix that belongs to
//! another sink never heals: 3.

use std::path::{Path, PathBuf};
use std::time::Duration;

use eventsink_e2e::{
    Access, Kafka, Mechanism, Mix, S3, Target, TokenEndpoint, Worker, Workspace, patiently, produce, settings, sink,
    verify, worker,
};
use serde_json::{Value, json};

const SCRAM: Access = Access::SaslSsl(Mechanism::ScramSha512);

/// A healthy sink on disk that a test then breaks in one place.
struct Case {
    space: Workspace,
    folder: PathBuf,
    topic: String,
    settings: Value,
}

impl Case {
    fn new() -> Self {
        let (kafka, space) = (Kafka::shared(), Workspace::new());
        let folder = space.join("lake");
        let topic = kafka.create_topic("wrong", 2);
        let settings = sink(&topic, &topic, kafka.settings(SCRAM), &Target::Folder(&folder));
        Self { space, folder, topic, settings }
    }

    fn config(&self) -> PathBuf {
        settings::write(self.space.join("sink.yaml"), &self.settings)
    }

    fn start(&self, config: &Path) -> Worker {
        Worker::start(config, self.space.join("worker.log"), &[])
    }

    /// `check` says it in one line and fails with 1; `start` says it in one line, goes on trying and is not ready.
    fn says(&self, words: &[&str]) {
        let config = self.config();
        let check = worker::run("check", &config);
        check.one_line_with(words);
        assert_eq!(check.code, Some(1), "{}", check.text);

        let mut worker = self.start(&config);
        worker.wait_until_log_says(words);
        // Time for several tries: the line must not come again with each.
        std::thread::sleep(Duration::from_secs(5));
        worker.assert_alive();
        worker::one_line_with(&worker.log(), words);
        assert_eq!(worker.code_of("/ready"), Some(503));
        assert_eq!(worker.code_of("/health"), Some(200), "no restart heals this");
    }
}

#[test]
fn a_wrong_password_is_named_and_retried() {
    let mut case = Case::new();
    case.settings["kafka"]["sasl"]["password"] = "wrong-password".into();
    case.says(&["authentication"]);
}

#[test]
fn a_wrong_client_secret_is_named_and_retried_until_the_endpoint_takes_it() {
    let endpoint = TokenEndpoint::start(Duration::from_secs(600));
    let mut case = Case::new();
    case.settings["kafka"] = Kafka::shared().settings(Access::SaslSsl(Mechanism::OAuthBearer));
    case.settings["kafka"]["consumer"] = json!({"group_id": case.topic, "topics": [case.topic]});
    case.settings["kafka"]["sasl"]["oauth"] = endpoint.settings();
    endpoint.refuse(true);
    case.says(&["401", "invalid_client", "kafka.sasl.oauth"]);

    let mut worker = case.start(&case.config());
    worker.wait_until_log_says(&["invalid_client"]);
    endpoint.refuse(false);
    worker.wait_until_ready();
    assert!(!worker.log().contains(TokenEndpoint::SECRET), "{}", worker.log());
}

#[test]
fn a_secret_is_in_no_message() {
    let mut case = Case::new();
    case.settings["kafka"]["sasl"]["password"] = "wrong-password".into();
    let check = worker::run("check", &case.config());
    assert!(!check.text.contains("wrong-password"), "{}", check.text);
}

#[test]
fn an_unknown_ca_is_named_and_retried() {
    let mut case = Case::new();
    case.settings["kafka"]["tls"]["ca_file"] = Kafka::shared().addresses.unknown_ca.display().to_string().into();
    case.says(&["certificate", "ca_file"]);
}

#[test]
fn a_missing_topic_is_named_and_retried() {
    let mut case = Case::new();
    case.settings["kafka"]["consumer"]["topics"] = "no-such-topic".into();
    case.says(&["no-such-topic", "does not exist"]);
}

#[test]
fn a_missing_bucket_is_named_and_retried() {
    let mut case = Case::new();
    let target = Target::Bucket { server: S3::shared(), bucket: "no-such-bucket", prefix: "" };
    case.settings["storage"] = target.settings();
    case.says(&["no-such-bucket", "bucket"]);
}

#[test]
fn an_unwritable_bucket_is_named_and_retried() {
    let server = S3::read_only();
    let bucket = server.make_bucket("readonly");
    let mut case = Case::new();
    case.settings["storage"] = Target::Bucket { server: &server, bucket: &bucket, prefix: "" }.settings();
    case.says(&[&bucket, "denied"]);
}

#[test]
fn an_unknown_key_ends_with_two_and_names_the_nearest_key() {
    let mut case = Case::new();
    case.settings["kafka"]["bootstrap_server"] = "localhost:9092".into();
    let config = case.config();
    for verb in ["check", "start"] {
        let end = worker::run(verb, &config);
        end.one_line_with(&["kafka.bootstrap_server", "bootstrap_servers"]);
        assert_eq!(end.code, Some(2), "{verb}: {}", end.text);
    }
}

#[test]
fn a_second_sink_on_the_prefix_ends_with_three() {
    let mut case = Case::new();
    let first = case.config();
    let mut owner = case.start(&first);
    owner.wait_until_ready();
    assert_eq!(owner.terminate().code(), Some(0), "{}", owner.log());

    case.settings["kafka"]["consumer"]["group_id"] = "somebody-else".into();
    let second = settings::write(case.space.join("second.yaml"), &case.settings);
    let end = worker::run("start", &second);
    end.one_line_with(&["PrefixOwnedBy", &case.topic]);
    assert_eq!(end.code, Some(3), "{}", end.text);
}

#[test]
fn a_full_disk_is_named_and_everything_lands_when_there_is_room() {
    let case = Case::new();
    let (kafka, list) = (Kafka::shared(), case.space.join("list.csv"));
    std::fs::create_dir(&case.folder).unwrap();
    let config = case.config();
    let size = 16 << 20;
    let mut worker = Worker::start_on_small_disk(&config, case.space.join("worker.log"), &case.folder, size);
    worker.wait_until_ready();
    let inside = worker.sees(&case.folder);
    let ballast = inside.join("ballast");
    // The write ends with an error when the disk is full: that is what it is for.
    let _ = std::fs::write(&ballast, vec![1; size as usize]);
    produce(kafka, &case.topic, &Mix::of(2_000, 2), &list);
    worker.wait_until_log_says(&["no space left"]);
    worker.assert_alive();

    std::fs::remove_file(&ballast).unwrap();
    patiently(Duration::from_secs(60), "the group has committed everything", || {
        worker.assert_alive();
        kafka.drained(&case.topic, &case.topic)
    });
    verify(&list, &case.topic, &Target::Folder(&inside));
}
