//! Rules that no single type can state: bounds, legal names, and what one setting asks of another. Pure.

mod kafka;
mod storage;

use std::fmt::Display;

use config::Value;
use eventsink_crds::settings::{Settings, Share, Shutdown, Size, Span};
use tracing_subscriber::EnvFilter;

use super::error::{Mistakes, Problem};
use super::layers;
use crate::traces;

const HOUR: Span = Span::from_secs(3600);
const TOPIC_NAME: &str = "names of at most 249 letters, digits, `.`, `_` and `-`";
const WEEK: Span = Span::from_secs(7 * 24 * 3600);

/// Adds a mistake for each rule that `settings` break.
pub(super) fn all(settings: &Settings, merged: &Value, mistakes: &mut Mistakes) {
    let mut checks = Checks { settings, merged, mistakes };
    checks.servers();
    checks.consumer();
    checks.security();
    checks.options();
    checks.storage();
    checks.dead_letter();
    checks.rotation();
    checks.timing();
    checks.breaker();
    checks.process();
    checks.traces();
}

pub(super) struct Checks<'a> {
    pub(super) settings: &'a Settings,
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
        if self.settings.kafka.logs_in_with_tokens() {
            self.oauth();
        } else if protocol.has_sasl() {
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
        // Who lets go of partitions does not poll meanwhile, and must be back before the group has given it up.
        let interval = self.settings.kafka.consumer.max_poll_interval.as_duration();
        let longest = interval.saturating_sub(Shutdown::PATIENCE.as_duration());
        let (least, longest) = (Span::from_millis(100), Span::from_secs(longest.as_secs()));
        let bounds = (least, longest.clamp(least, HOUR));
        let why = format!(" (so that kafka.consumer.max_poll_interval is {} longer)", Shutdown::PATIENCE);
        self.within("shutdown.deadline", self.settings.shutdown.deadline, bounds, &why);
    }

    fn breaker(&mut self) {
        let breaker = &self.settings.breaker;
        let (open, max_open) = (breaker.open, breaker.max_open);
        self.within("breaker.window", breaker.window, (Span::from_secs(1), HOUR), "");
        self.within("breaker.open", open, (Span::from_millis(100), HOUR), "");
        self.within("breaker.max_open", max_open, (open, HOUR), " (not below open)");
        let (requests, share) = (breaker.min_requests, breaker.failure_share);
        if requests == 0 {
            self.refuse("breaker.min_requests", requests, "at least 1");
        }
        if share == Share::percent(0) {
            self.refuse("breaker.failure_share", share, "more than 0%, up to 100%");
        }
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

    fn traces(&mut self) {
        let traces = &self.settings.observability.traces;
        if let Some(endpoint) = &traces.endpoint {
            let path = "observability.traces.endpoint";
            let good = url::Url::parse(endpoint).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
            if endpoint.contains('@') {
                self.refuse(path, "***", "a URL without a login; use observability.traces.headers");
            } else if !good {
                self.refuse(path, format!("{endpoint:?}"), "a URL such as http://collector:4318/v1/traces");
            }
        }
        let pairs = traces.headers.as_ref().map_or("", |headers| headers.expose());
        if traces::headers(pairs).is_none() {
            self.refuse("observability.traces.headers", "***", "name=value pairs, separated by commas");
        }
    }

    fn within<T: PartialOrd + Display>(&mut self, path: &str, value: T, bounds: (T, T), why: &str) {
        let (min, max) = bounds;
        if value < min || value > max {
            self.refuse(path, value, format!("{min} to {max}{why}"));
        }
    }

    pub(super) fn refuse(&mut self, path: &str, value: impl Display, allowed: impl Into<String>) {
        let problem = Problem::NotAllowed { value: value.to_string(), allowed: allowed.into() };
        self.add(path, problem);
    }

    pub(super) fn missing(&mut self, path: &str, allowed: impl Into<String>) {
        let allowed = allowed.into();
        self.add(path, Problem::Missing { allowed });
    }

    pub(super) fn add(&mut self, path: &str, problem: Problem) {
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
