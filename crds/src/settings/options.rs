//! `kafka.options`: which of librdkafka's options users may set, and why not the others. Pure tables; values are
//! judged by the library itself. Names and kinds: CONFIGURATION.md of librdkafka 2.12.1.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess};
use serde::{Serialize, Serializer};

/// Options by name, such as `socket.keepalive.enable`; sections one inside the other say the same.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options(BTreeMap<String, String>);

impl Options {
    /// Names and values, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The value of an option.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Options {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(options: I) -> Self {
        Self(options.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

impl Serialize for Options {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_map(&self.0)
    }
}

/// Text, or a section of further parts of the name.
enum Node {
    Text(String),
    Section(BTreeMap<String, Node>),
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> de::Visitor<'de> for Either {
            type Value = Node;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Node, E> {
                Ok(Node::Text(text.to_owned()))
            }

            fn visit_bool<E: de::Error>(self, flag: bool) -> Result<Node, E> {
                Ok(Node::Text(flag.to_string()))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Node, E> {
                Ok(Node::Text(number.to_string()))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Node, E> {
                Ok(Node::Text(number.to_string()))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut parts: A) -> Result<Node, A::Error> {
                let mut section = BTreeMap::new();
                while let Some((part, node)) = parts.next_entry()? {
                    section.insert(part, node);
                }
                Ok(Node::Section(section))
            }
        }

        d.deserialize_any(Either)
    }
}

impl<'de> Deserialize<'de> for Options {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        fn flatten(path: &str, node: Node, options: &mut BTreeMap<String, String>) {
            match node {
                Node::Text(text) => drop(options.insert(path.to_owned(), text)),
                Node::Section(section) => {
                    for (part, node) in section {
                        let path = if path.is_empty() { part } else { format!("{path}.{part}") };
                        flatten(&path, node, options);
                    }
                }
            }
        }

        let mut options = BTreeMap::new();
        for (part, node) in BTreeMap::<String, Node>::deserialize(d)? {
            flatten(&part, node, &mut options);
        }
        Ok(Self(options))
    }
}

/// The options that are passed on to the library, sorted.
pub const PASSED_ON: &[&str] = &[
    "api.version.request.timeout.ms",
    "broker.address.family",
    "broker.address.ttl",
    "client.dns.lookup",
    "client.id",
    "connections.max.idle.ms",
    "enable.metrics.push",
    "fetch.error.backoff.ms",
    "fetch.max.bytes",
    "fetch.message.max.bytes",
    "fetch.min.bytes",
    "fetch.queue.backoff.ms",
    "fetch.wait.max.ms",
    "metadata.max.age.ms",
    "metadata.recovery.rebootstrap.trigger.ms",
    "metadata.recovery.strategy",
    "queued.max.messages.kbytes",
    "queued.min.messages",
    "receive.message.max.bytes",
    "reconnect.backoff.max.ms",
    "reconnect.backoff.ms",
    "retry.backoff.max.ms",
    "retry.backoff.ms",
    "socket.connection.setup.timeout.ms",
    "socket.keepalive.enable",
    "socket.max.fails",
    "socket.nagle.disable",
    "socket.receive.buffer.bytes",
    "socket.send.buffer.bytes",
    "socket.timeout.ms",
    "ssl.cipher.suites",
    "ssl.curves.list",
    "ssl.endpoint.identification.algorithm",
    "ssl.sigalgs.list",
    "topic.metadata.propagation.max.ms",
    "topic.metadata.refresh.fast.interval.ms",
    "topic.metadata.refresh.interval.ms",
    "topic.metadata.refresh.sparse",
];

/// Options that a key of its own sets.
const OWN_KEYS: &[(&str, &str)] = &[
    ("bootstrap.servers", "kafka.bootstrap_servers"),
    ("metadata.broker.list", "kafka.bootstrap_servers"),
    ("security.protocol", "kafka.security_protocol"),
    ("sasl.mechanism", "kafka.sasl.mechanism"),
    ("sasl.mechanisms", "kafka.sasl.mechanism"),
    ("sasl.username", "kafka.sasl.username"),
    ("sasl.password", "kafka.sasl.password_file"),
    ("ssl.ca.location", "kafka.tls.ca_file"),
    ("ssl.ca.pem", "kafka.tls.ca_file"),
    ("ssl.certificate.location", "kafka.tls.certificate_file"),
    ("ssl.certificate.pem", "kafka.tls.certificate_file"),
    ("ssl.key.location", "kafka.tls.key_file"),
    ("ssl.key.pem", "kafka.tls.key_file"),
    ("ssl.key.password", "kafka.tls.key_password_file"),
    ("enable.ssl.certificate.verification", "kafka.tls.insecure_skip_verify"),
    ("group.id", "kafka.consumer.group_id"),
    ("session.timeout.ms", "kafka.consumer.session_timeout"),
    ("max.poll.interval.ms", "kafka.consumer.max_poll_interval"),
    ("client.rack", "kafka.consumer.client_rack"),
    ("log_level", "observability.log.filter"),
    ("debug", "observability.log.filter"),
];

/// Options that would break a promise, and why.
const PROMISES: &[(&str, &str)] = &[
    ("enable.auto.commit", "offsets are committed when their files are durable, never on a timer"),
    ("auto.commit.interval.ms", "offsets are committed when their files are durable, never on a timer"),
    ("enable.auto.offset.store", "offsets are committed when their files are durable, not when they are read"),
    ("offset.store.method", "the ledger in the bucket is the truth, the group's commit its hint"),
    ("auto.offset.reset", "the ledger says where to read on; use kafka.consumer.start_from and kafka.on_loss"),
    ("isolation.level", "records of aborted transactions are no events"),
    ("partition.assignment.strategy", "cooperative-sticky lets partitions keep their buffers in a rebalance"),
    ("heartbeat.interval.ms", "it follows kafka.consumer.session_timeout"),
    ("check.crcs", "a damaged batch must be noticed"),
    ("allow.auto.create.topics", "a mistyped topic must be an error, not a new topic"),
    ("enable.partition.eof", "the worker needs it to find the end of a compacted log"),
    ("group.protocol", "the consumer protocol of this library stalls in rebalances and commits under stale epochs"),
    ("group.protocol.type", "only consumer groups are joined"),
    ("group.remote.assignor", "it belongs to the consumer protocol, which is not used"),
    ("group.instance.id", "all workers of a sink share these settings, and two members of one id shut each other out"),
    ("coordinator.query.interval.ms", "the library finds a coordinator that moved by itself"),
    ("statistics.interval.ms", "nobody reads these statistics; the metrics are on observability.listen"),
    ("topic.blacklist", "topics are named one by one in kafka.consumer.topics"),
    ("max.partition.fetch.bytes", "it is another name of an option that is always set; use fetch.message.max.bytes"),
    ("enable.sasl.oauthbearer.unsecure.jwt", "such tokens prove nothing; use kafka.sasl.oauth"),
];

/// Beginnings and ends of names, `*` for the rest, and why none of them is passed on. The first that fits counts.
const KINDS: &[(&str, &str)] = &[
    ("plugin.*", "it loads code into the worker"),
    ("interceptors", "it loads code into the worker"),
    ("ssl.engine.*", "it loads code into the worker"),
    ("ssl.providers", "it loads code into the worker"),
    ("sasl.oauthbearer.*", "it reads files or calls hosts; use kafka.sasl.oauth"),
    ("sasl.kerberos.*", "it runs programs, and Kerberos is not built in"),
    ("https.*", "it reads files; use kafka.sasl.oauth.ca_file"),
    ("*.location", "it reads files; certificates have keys in kafka.tls"),
    ("ssl.keystore.*", "it reads files; use kafka.tls.certificate_file and kafka.tls.key_file"),
    ("ssl.ca.*", "use kafka.tls.ca_file"),
    ("*_cb", "it is a function of a program, not a setting"),
    ("internal.*", "it is a matter of the library's own"),
    ("log.*", "use observability.log"),
    ("transaction*", PRODUCER),
    ("enable.idempotence", PRODUCER),
    ("enable.gapless.guarantee", PRODUCER),
    ("queue.buffering.*", PRODUCER),
    ("linger.ms", PRODUCER),
    ("batch.*", PRODUCER),
    ("compression.*", PRODUCER),
    ("acks", PRODUCER),
    ("request.required.acks", PRODUCER),
    ("message.*", PRODUCER),
    ("retries", PRODUCER),
    ("delivery.*", PRODUCER),
];

const PRODUCER: &str = "it is an option of producers, and the one for dead letters is set up so that each arrives";

/// Why an option is not passed on: the reason, and the key to use where there is one. `None` for those of
/// [`PASSED_ON`]; `Some(None)` for names that nobody knows here.
pub fn refusal(name: &str) -> Option<Option<String>> {
    let is = |known: &&(&str, &str)| known.0 == name;
    if PASSED_ON.contains(&name) {
        return None;
    }
    if let Some((_, key)) = OWN_KEYS.iter().find(is) {
        return Some(Some(format!("it has a key of its own; use {key}")));
    }
    let fits = |&&(pattern, _): &&(&str, &str)| match (pattern.strip_suffix('*'), pattern.strip_prefix('*')) {
        (Some(start), _) => name.starts_with(start),
        (_, Some(end)) => name.ends_with(end),
        _ => name == pattern,
    };
    let reason = PROMISES.iter().find(is).or_else(|| KINDS.iter().find(fits));
    Some(reason.map(|(_, why)| (*why).to_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn words(name: &str) -> String {
        refusal(name).flatten().unwrap_or_default()
    }

    #[test]
    fn names_with_dots_and_sections_say_the_same() {
        let dotted: Options = serde_json::from_value(json!({"socket.timeout.ms": 5000})).unwrap();
        let nested: Options = serde_json::from_value(json!({"socket": {"timeout": {"ms": "5000"}}})).unwrap();
        assert_eq!(dotted, nested);
        assert_eq!(serde_json::to_value(&nested).unwrap(), json!({"socket.timeout.ms": "5000"}));
    }

    #[test]
    fn an_option_is_in_one_table_only_and_the_list_is_sorted() {
        assert!(PASSED_ON.is_sorted());
        let refused = OWN_KEYS.iter().chain(PROMISES).map(|(name, _)| *name);
        let mut names: Vec<&str> = refused.chain(PASSED_ON.iter().copied()).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }

    #[test]
    fn what_loads_code_reads_files_or_calls_hosts_is_refused() {
        assert!(words("plugin.library.paths").contains("loads code"));
        assert!(words("ssl.engine.location").contains("loads code"));
        assert!(words("ssl.crl.location").contains("reads files"));
        assert!(words("sasl.oauthbearer.token.endpoint.url").contains("kafka.sasl.oauth"));
        assert!(words("ssl.ca.location").contains("kafka.tls.ca_file"));
    }

    #[test]
    fn what_the_promise_stands_on_is_refused() {
        for name in ["enable.auto.commit", "auto.offset.reset", "isolation.level", "check.crcs", "group.instance.id"] {
            assert!(!words(name).is_empty(), "{name}");
        }
        assert!(words("session.timeout.ms").contains("kafka.consumer.session_timeout"));
    }

    #[test]
    fn a_name_that_nobody_knows_is_told_from_one_that_is_refused() {
        assert_eq!(refusal("socket.timeout.ms"), None);
        assert_eq!(refusal("socket.timeout"), Some(None));
        assert!(words("linger.ms").contains("producers"));
    }
}
