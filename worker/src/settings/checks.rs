//! Rules that no single type can state: bounds, legal names, and what one setting asks of another. Pure.

use std::fmt::Display;

use config::{Value, ValueKind};
use eventsink_crds::settings::{Backend, Settings, Size, Span};
use tracing_subscriber::EnvFilter;

use super::error::{Mistakes, Problem};
use super::layers;

const HOUR: Span = Span::from_secs(3600);
const TOPIC_NAME: &str = "names of at most 249 letters, digits, `.`, `_` and `-`";
const WEEK: Span = Span::from_secs(7 * 24 * 3600);

/// Adds a mistake for each rule that `settings` break.
pub(super) fn all(settings: &Settings, merged: &Value, mistakes: &mut Mistakes) {
    let mut checks = Checks { settings, merged, mistakes };
    checks.servers();
    checks.consumer();
    checks.security();
    checks.storage();
    checks.dead_letter();
    checks.rotation();
    checks.timing();
    checks.process();
}

struct Checks<'a> {
    settings: &'a Settings,
    merged: &'a Value,
    mistakes: &'a mut Mistakes,
}

impl Checks<'_> {
    fn servers(&mut self) {
        let path = "kafka.bootstrap_servers";
        let servers = &self.settings.kafka.bootstrap_servers;
        let allowed = "brokers as host:port, such as kafka-1:9092,kafka-2:9092";
        if servers.is_empty() {
            self.missing(path, allowed);
        }
        for server in servers.iter().filter(|server| !is_server(server)) {
            // What looks like `user:password@host` is not shown.
            let hidden = server.contains('@');
            let value = if hidden { "***".to_owned() } else { format!("{server:?}") };
            self.refuse(path, value, allowed);
        }
    }

    fn consumer(&mut self) {
        let consumer = &self.settings.kafka.consumer;
        if consumer.group_id.is_empty() {
            self.missing("kafka.consumer.group_id", "the id of a consumer group that no other sink uses");
        }
        let path = "kafka.consumer.topics";
        let topics = &consumer.topics;
        if topics.is_empty() {
            self.missing(path, "one or more topics");
        }
        for topic in topics.iter().filter(|topic| !is_topic(topic)) {
            self.refuse(path, format!("{topic:?}"), TOPIC_NAME);
        }
        if let Some(twice) = (1..topics.len()).find(|&i| topics[..i].contains(&topics[i])) {
            let value = format!("{:?} twice", topics[twice]);
            self.refuse(path, value, "different topics");
        }
        // Bounds of librdkafka 2.12.1, CONFIGURATION.md.
        let session = consumer.session_timeout;
        let second = Span::from_secs(1);
        self.within("kafka.consumer.session_timeout", session, (second, HOUR), "");
        self.within(
            "kafka.consumer.max_poll_interval",
            consumer.max_poll_interval,
            (session, Span::from_secs(24 * 3600)),
            " (not below session_timeout)",
        );
    }

    fn security(&mut self) {
        let protocol = self.settings.kafka.security_protocol;
        let sasl = &self.settings.kafka.sasl;
        if protocol.has_sasl() {
            let protocol = protocol.as_str();
            if sasl.username.is_none() && sasl.username_file.is_none() {
                let allowed = format!("the user to log in with, since security_protocol is {protocol}");
                self.missing("kafka.sasl.username", allowed);
            }
            if sasl.password.is_none() && sasl.password_file.is_none() {
                let allowed = format!("the password to log in with, since security_protocol is {protocol}");
                self.missing("kafka.sasl.password", allowed);
            }
        }
        let tls = &self.settings.kafka.tls;
        match (&tls.certificate_file, &tls.key_file) {
            (Some(_), None) => {
                self.missing("kafka.tls.key_file", "the key of kafka.tls.certificate_file");
            }
            (None, Some(_)) => self.missing("kafka.tls.certificate_file", "the certificate of kafka.tls.key_file"),
            _ => {}
        }
    }

    fn storage(&mut self) {
        let storage = &self.settings.storage;
        let version = &storage.default_schema_version;
        if !is_folder(version) {
            self.refuse(
                "storage.default_schema_version",
                format!("{version:?}"),
                "at most 128 letters, digits, `.`, `_` and `-`, not starting with `.` or `_`",
            );
        }
        let given = layers::find(self.merged, "storage.backend");
        if given.is_none_or(|backend| backend.kind == ValueKind::Nil) {
            self.missing("storage.backend", "one of s3, file");
        }
        if self.mistakes.covers("storage.backend") {
            return;
        }
        match storage.backend {
            Backend::S3 => self.s3(),
            Backend::File if storage.file.base_path.is_empty() => {
                self.missing("storage.file.base_path", "the folder to write to, since storage.backend is file")
            }
            Backend::File => {}
        }
    }

    fn s3(&mut self) {
        let s3 = &self.settings.storage.s3;
        if s3.bucket.is_empty() {
            self.missing("storage.s3.bucket", "the name of a bucket, since storage.backend is s3");
        } else if s3.bucket.contains(|c: char| c == '/' || c == ':' || c.is_whitespace()) {
            let value = format!("{:?}", s3.bucket);
            self.refuse("storage.s3.bucket", value, "the bare name of a bucket");
        }
        if s3.base_path.split('/').any(|part| part == "." || part == "..") {
            let value = format!("{:?}", s3.base_path);
            self.refuse("storage.s3.base_path", value, "a prefix without `.` and `..`");
        }
        self.endpoint();
        let has_id = s3.access_key_id.is_some() || s3.access_key_id_file.is_some();
        let has_secret = s3.secret_access_key.is_some() || s3.secret_access_key_file.is_some();
        let has_token = s3.session_token.is_some() || s3.session_token_file.is_some();
        if !has_id && (has_secret || has_token) {
            let allowed = "the access key of the secret key and the session token";
            self.missing("storage.s3.access_key_id", allowed);
        }
        if has_id && !has_secret {
            let allowed = "the secret key of storage.s3.access_key_id";
            self.missing("storage.s3.secret_access_key", allowed);
        }
    }

    fn endpoint(&mut self) {
        let s3 = &self.settings.storage.s3;
        let Some(endpoint) = &s3.endpoint else { return };
        let path = "storage.s3.endpoint";
        let (plain, host) = match (endpoint.strip_prefix("https://"), endpoint.strip_prefix("http://")) {
            (Some(host), _) => (false, host),
            (_, Some(host)) => (true, host),
            _ => (false, ""),
        };
        let host = host.strip_suffix('/').unwrap_or(host);
        if endpoint.contains('@') {
            self.refuse(path, "***", "a URL without a login; use storage.s3.access_key_id");
        } else if host.is_empty() || host.contains(|c: char| "/?#".contains(c) || c.is_whitespace()) {
            let value = format!("{endpoint:?}");
            self.refuse(path, value, "a URL such as https://minio:9000");
        } else if plain && !s3.insecure_http {
            self.refuse(
                path,
                format!("{endpoint:?}"),
                "https://; set storage.s3.insecure_http: true to send events readable over http://",
            );
        }
    }

    fn dead_letter(&mut self) {
        let dead_letter = &self.settings.dead_letter;
        if dead_letter.flood_min_records == 0 {
            self.refuse("dead_letter.flood_min_records", 0, "at least 1");
        }
        let Some(topic) = &dead_letter.topic else { return };
        let (path, value) = ("dead_letter.topic", format!("{topic:?}"));
        if !is_topic(topic) {
            self.refuse(path, value, TOPIC_NAME);
        } else if self.settings.kafka.consumer.topics.contains(topic) {
            self.refuse(
                path,
                value,
                "a topic that is not in kafka.consumer.topics, or dead letters would go in a circle",
            );
        }
    }

    fn rotation(&mut self) {
        let rotation = &self.settings.rotation;
        let bytes = (Size::kib(1), Size::mib(256));
        self.within("rotation.max_bytes", rotation.max_bytes, bytes, "");
        let records = (1, 100_000_000);
        self.within("rotation.max_records", rotation.max_records, records, "");
        let span = (Span::from_millis(100), WEEK);
        self.within("rotation.max_age", rotation.max_age, span, "");
        self.within("rotation.max_idle", rotation.max_idle, span, "");
    }

    fn timing(&mut self) {
        let retry = &self.settings.retry;
        let initial = retry.initial_delay;
        let millisecond = Span::from_millis(1);
        self.within("retry.initial_delay", initial, (millisecond, HOUR), "");
        let max = (initial, HOUR);
        let why = " (not below initial_delay)";
        self.within("retry.max_delay", retry.max_delay, max, why);
        let deadline = (Span::from_millis(100), HOUR);
        self.within("shutdown.deadline", self.settings.shutdown.deadline, deadline, "");
    }

    fn process(&mut self) {
        if let Some(budget) = self.settings.memory.budget
            && budget < Size::mib(8)
        {
            self.refuse("memory.budget", budget, "at least 8MiB");
        }
        let filter = &self.settings.observability.log.filter;
        if EnvFilter::try_new(filter).is_err() {
            self.refuse(
                "observability.log.filter",
                format!("{filter:?}"),
                "a level (error, warn, info, debug, trace) or directives such as info,eventsink_worker=debug",
            );
        }
    }

    fn within<T: PartialOrd + Display>(&mut self, path: &str, value: T, bounds: (T, T), why: &str) {
        let (min, max) = bounds;
        if value < min || value > max {
            self.refuse(path, value, format!("{min} to {max}{why}"));
        }
    }

    fn refuse(&mut self, path: &str, value: impl Display, allowed: impl Into<String>) {
        let problem = Problem::NotAllowed { value: value.to_string(), allowed: allowed.into() };
        self.add(path, problem);
    }

    fn missing(&mut self, path: &str, allowed: impl Into<String>) {
        let allowed = allowed.into();
        self.add(path, Problem::Missing { allowed });
    }

    fn add(&mut self, path: &str, problem: Problem) {
        let origin = layers::origin(self.merged, path);
        self.mistakes.add(path, origin, problem);
    }
}

/// `host`, `host:port` or `[address]:port`.
fn is_server(server: &str) -> bool {
    let (host, port) = match server.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (server, None),
    };
    let is_port = |port: &str| port.parse::<u16>().is_ok_and(|port| port > 0);
    let bracketed = host.starts_with('[') && host.ends_with(']');
    !host.is_empty()
        && !host.contains(|c: char| c == '/' || c == '@' || c.is_whitespace())
        && (bracketed || !host.contains(':'))
        && port.is_none_or(is_port)
}

/// Kafka's rule: `org.apache.kafka.common.internals.Topic.validate`.
fn is_topic(name: &str) -> bool {
    (1..=249).contains(&name.len()) && name != "." && name != ".." && name.chars().all(is_plain)
}

fn is_folder(name: &str) -> bool {
    (1..=128).contains(&name.len()) && !name.starts_with(['.', '_']) && name.chars().all(is_plain)
}

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || "._-".contains(c)
}
