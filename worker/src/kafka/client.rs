//! Client settings: what users say, plus what keeps them safe, becomes librdkafka's configuration.
//! Values that differ from the library's defaults carry their reason.

use super::oauth::{Alive, Login, OAuthError};
use eventsink_crds::settings::{Kafka, StartFrom};
use rdkafka::ClientConfig;
use rdkafka::ClientContext;
use rdkafka::client::Client;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::producer::{FutureProducer, Producer as _};
use rdkafka::statistics::Statistics;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Takes the library's log lines into ours, and keeps the client's tokens coming.
#[derive(Debug, Default)]
pub struct Context {
    /// The cluster names a controller that is a broker, and it has answered.
    pub(super) controller_answers: AtomicBool,
    _tokens: Option<Alive>,
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The library refuses a setting, such as a certificate file that it cannot read.
    #[error(transparent)]
    Library(#[from] KafkaError),
    /// It could not log in.
    #[error(transparent)]
    OAuth(#[from] OAuthError),
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical | RDKafkaLogLevel::Error => {
                tracing::warn!(target: "librdkafka", facility, line);
            }
            _ => tracing::debug!(target: "librdkafka", facility, line),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::warn!(target: "librdkafka", %error, reason);
    }

    fn stats(&self, _: Statistics) {}
}

impl ConsumerContext for Context {}

/// A consumer for `kafka`; `prefetch` bounds the bytes that the library reads ahead.
///
/// # Errors
/// A setting that the library refuses, such as a certificate file that it cannot read.
pub fn consumer(kafka: &Kafka, prefetch: usize) -> Result<Arc<BaseConsumer<Context>>, ClientError> {
    let config = config(kafka, prefetch);
    create(kafka, |context| config.create_with_context(context), BaseConsumer::client)
}

/// A client of any kind that can log in: `make` makes it with the context it is given, after [`security`] has said how,
/// and `inner` is the library's handle in it.
///
/// # Errors
/// Those of `make`, and settings by which no token can be fetched.
pub fn create<T: Send + Sync + 'static, C: ClientContext + 'static>(
    kafka: &Kafka,
    make: impl FnOnce(Context) -> KafkaResult<T>,
    inner: fn(&T) -> &Client<C>,
) -> Result<Arc<T>, ClientError> {
    let (login, tokens) = Login::of(kafka)?.unzip();
    let client = Arc::new(make(Context { _tokens: tokens, ..Context::default() })?);
    if let Some(login) = login {
        login.supply(&client, inner)?;
    }
    Ok(client)
}

/// A producer of dead letters; `largest` bounds the bytes of one record, and of all values in its queue.
///
/// # Errors
/// As [`consumer`].
pub fn producer(kafka: &Kafka, largest: usize) -> Result<Arc<FutureProducer<Context>>, ClientError> {
    let config = producer_config(kafka, largest);
    create(kafka, |context| config.create_with_context(context), FutureProducer::client)
}

fn producer_config(kafka: &Kafka, largest: usize) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("client.id", "eventsink")
        .set("bootstrap.servers", kafka.bootstrap_servers.join(","))
        .set("acks", "all")
        .set("enable.idempotence", "true")
        // Every service that speaks Kafka takes gzip, and dead letters are few.
        .set("compression.type", "gzip")
        // Keys go where Java's producers put them.
        .set("partitioner", "murmur2_random")
        .set("message.max.bytes", largest.to_string())
        .set("queue.buffering.max.kbytes", ((largest >> 10) + 1).to_string())
        // The partition holds and tries again: it need not wait here.
        .set("message.timeout.ms", "30000")
        .set("topic.metadata.propagation.max.ms", "3000")
        .set("allow.auto.create.topics", "false")
        .set("reconnect.backoff.max.ms", "5000");
    security(&mut config, kafka);
    options(&mut config, kafka);
    config
}

fn config(kafka: &Kafka, prefetch: usize) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("client.id", "eventsink")
        .set("bootstrap.servers", kafka.bootstrap_servers.join(","))
        .set("group.id", &kafka.consumer.group_id)
        // The ledger decides where to read; the library must never decide for us.
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "error")
        .set("allow.auto.create.topics", "false")
        // Kept partitions keep their buffers in a rebalance.
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("check.crcs", "true")
        .set("isolation.level", "read_committed")
        // Only these events pass what was compacted away at the end of a log.
        .set("enable.partition.eof", "true")
        .set("session.timeout.ms", millis(kafka.consumer.session_timeout))
        .set("max.poll.interval.ms", millis(kafka.consumer.max_poll_interval))
        .set("heartbeat.interval.ms", heartbeat(kafka.consumer.session_timeout))
        // A small read-ahead: every rebalance and pause throws it away.
        .set("queued.max.messages.kbytes", (prefetch >> 10).max(1024).to_string())
        .set("queued.min.messages", "10000")
        // The next answer is received while records of the last one wait: both fit into what the heap keeps.
        .set("fetch.max.bytes", (prefetch / 2).clamp(1 << 20, 16 << 20).to_string())
        .set("fetch.message.max.bytes", "1048576")
        // Questions to a broker, such as the one before each manifest, wait behind a fetch that waits for records.
        .set("fetch.wait.max.ms", "100")
        // A full queue of this size is read in less than a tenth of a second.
        .set("fetch.queue.backoff.ms", "20")
        .set("topic.metadata.refresh.interval.ms", "30000")
        .set("reconnect.backoff.max.ms", "5000");
    if let Some(rack) = &kafka.consumer.client_rack {
        config.set("client.rack", rack);
    }
    security(&mut config, kafka);
    options(&mut config, kafka);
    reading_options(&mut config, kafka, prefetch);
    config
}

/// What users ask for beyond our own settings, for a client of any kind; checked by the loader to break none of them.
fn options(config: &mut ClientConfig, kafka: &Kafka) {
    for (name, value) in kafka.options.iter().filter(|(name, _)| !is_for_reading(name)) {
        config.set(name, value);
    }
}

/// Options that only consumers take.
fn is_for_reading(name: &str) -> bool {
    ["fetch.", "queued."].iter().any(|group| name.starts_with(group))
}

/// Those of the options that say how much is read ahead, as far as the budget goes.
fn reading_options(config: &mut ClientConfig, kafka: &Kafka, prefetch: usize) {
    for (name, value) in kafka.options.iter().filter(|(name, _)| is_for_reading(name)) {
        config.set(name, value);
    }
    for (name, _, limit) in over_budget(kafka, prefetch) {
        config.set(name, limit.to_string());
    }
}

/// Options that would read ahead more than four times of what is meant for it, a quarter of the budget, which only the
/// process may know: name, value and the limit that takes its place.
fn over_budget(kafka: &Kafka, prefetch: usize) -> Vec<(&'static str, usize, usize)> {
    let kib = (prefetch >> 10).max(1024) * 4;
    let limits =
        [("queued.max.messages.kbytes", kib), ("fetch.max.bytes", kib << 10), ("fetch.message.max.bytes", kib << 10)];
    let wanted = |name| kafka.options.get(name).and_then(|value| value.parse::<usize>().ok());
    limits
        .into_iter()
        .filter_map(|(name, limit)| wanted(name).filter(|&value| value > limit).map(|value| (name, value, limit)))
        .collect()
}

/// Says which options the budget caps; once for a process, however many clients it makes.
pub fn warn_of_caps(kafka: &Kafka, prefetch: usize) {
    for (option, value, limit) in over_budget(kafka, prefetch) {
        tracing::warn!(option, value, limit, "kafka.options: capped at a quarter of the memory budget");
    }
}

/// How a client of any kind reaches the brokers safely: protocol, login and certificates. Tokens of OAUTHBEARER come
/// by [`create`].
pub fn security(config: &mut ClientConfig, kafka: &Kafka) {
    config.set("security.protocol", kafka.security_protocol.as_str());
    if kafka.security_protocol.has_sasl() {
        config.set("sasl.mechanism", kafka.sasl.mechanism.as_str());
    }
    if kafka.security_protocol.has_sasl() && !kafka.logs_in_with_tokens() {
        config.set("sasl.username", kafka.sasl.username.as_deref().unwrap_or_default());
        config.set("sasl.password", kafka.sasl.password.as_ref().map(|p| p.expose()).unwrap_or_default());
    }
    if !kafka.security_protocol.has_tls() {
        return;
    }
    let tls = &kafka.tls;
    // OpenSSL is built in, so the system's authorities must be looked for.
    config.set("ssl.ca.location", tls.ca_file.as_deref().unwrap_or("probe"));
    if let (Some(certificate), Some(key)) = (&tls.certificate_file, &tls.key_file) {
        config.set("ssl.certificate.location", certificate);
        config.set("ssl.key.location", key);
    }
    if let Some(password) = &tls.key_password {
        config.set("ssl.key.password", password.expose());
    }
    if tls.insecure_skip_verify {
        config.set("enable.ssl.certificate.verification", "false");
        config.set("ssl.endpoint.identification.algorithm", "none");
    }
}

fn millis(span: eventsink_crds::settings::Span) -> String {
    span.as_duration().as_millis().to_string()
}

/// A third of the session timeout, as Kafka advises, at most three seconds.
fn heartbeat(session: eventsink_crds::settings::Span) -> String {
    (session.as_duration().as_millis() / 3).clamp(1, 3000).to_string()
}

/// The word that a genesis gives as its reason.
#[must_use]
pub fn start_word(start: &StartFrom) -> &'static str {
    match start {
        StartFrom::Earliest => "earliest",
        StartFrom::Latest => "latest",
        StartFrom::Timestamp(_) => "timestamp",
    }
}

/// What the linked library can do, such as `ssl,sasl_scram,zstd`.
#[must_use]
pub fn features() -> String {
    ClientConfig::new()
        .create_native_config()
        .and_then(|config| config.get("builtin.features"))
        .unwrap_or_else(|error| error.to_string())
}

/// Asks for the group's offsets of the topics: shows that the coordinator answers and that the user may use the group.
///
/// # Errors
/// The broker's words and the way out.
pub fn may_use_group(
    consumer: &BaseConsumer<Context>,
    topics: &[(String, usize)],
    timeout: std::time::Duration,
) -> Result<(), String> {
    let mut list = rdkafka::TopicPartitionList::new();
    for (topic, _) in topics {
        list.add_partition(topic, 0);
    }
    let answer = consumer.committed_offsets(list, timeout);
    answer.map(drop).map_err(|error| format!("consumer group: {error}: allow this user to read the group"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use eventsink_crds::settings::{PASSED_ON, SaslMechanism, SecurityProtocol};
    use std::collections::BTreeSet;

    #[test]
    fn options_replace_our_defaults_but_not_what_the_budget_allows() {
        let given = [
            ("fetch.queue.backoff.ms", "7"),
            ("queued.max.messages.kbytes", "999999"),
            ("fetch.max.bytes", "33554433"),
            ("fetch.message.max.bytes", "33554432"),
        ];
        let kafka = Kafka { options: given.into_iter().collect(), ..Kafka::default() };
        let config = config(&kafka, 8 << 20);
        let read_ahead = ["fetch.queue.backoff.ms", "queued.max.messages.kbytes", "fetch.max.bytes"];
        assert_eq!(read_ahead.map(|name| config.get(name)), [Some("7"), Some("32768"), Some("33554432")]);
        assert_eq!(config.get("fetch.message.max.bytes"), Some("33554432"));
        let capped = [("queued.max.messages.kbytes", 999_999, 32 << 10), ("fetch.max.bytes", (32 << 20) + 1, 32 << 20)];
        assert_eq!(over_budget(&kafka, 8 << 20), capped);
        assert_eq!(over_budget(&kafka, 1 << 20).len(), 3, "each of them is capped");
    }

    /// Names that `config` gives the library and that change with `option`, which is none of them.
    fn other_names(option: &str, config: &ClientConfig) -> BTreeSet<String> {
        let value = |config: &ClientConfig, name: &str| config.create_native_config().unwrap().get(name).ok();
        let before = ClientConfig::new();
        let names: Vec<&str> = config.config_map().into_keys().filter(|&name| name != option).collect();
        // Of any kind of value one is taken and is no default.
        let tried = ["70001", "701", "true", "false", "v6", "none", "https", "a"].map(|value| {
            let mut with = ClientConfig::new();
            with.set(option, value);
            with
        });
        let taken = tried.iter().filter(|with| with.create_native_config().is_ok());
        let changed = taken.flat_map(|with| names.iter().filter(|name| value(with, name) != value(&before, name)));
        changed.map(|&name| name.to_owned()).collect()
    }

    /// Settings reach the library in no certain order, so that of two names of one option either may win.
    #[test]
    fn no_option_is_another_name_of_one_that_we_set() {
        let config = config(&Kafka::default(), 1 << 20);
        assert_eq!(
            other_names("max.partition.fetch.bytes", &config).into_iter().collect::<Vec<_>>(),
            ["fetch.message.max.bytes"]
        );
        for option in PASSED_ON {
            let others = other_names(option, &config);
            assert!(others.is_empty(), "{option} is {others:?}");
        }
    }

    #[test]
    fn dead_letters_are_compressed_as_every_service_takes_it() {
        let config = producer_config(&Kafka::default(), 1 << 20);
        assert_eq!(config.create_native_config().unwrap().get("compression.type").unwrap(), "gzip");
    }

    #[test]
    fn a_login_by_tokens_gives_the_library_no_password() {
        let mut kafka = Kafka { security_protocol: SecurityProtocol::SaslSsl, ..Kafka::default() };
        kafka.sasl.mechanism = SaslMechanism::OAuthBearer;
        let config = config(&kafka, 1 << 20);
        assert_eq!(config.get("sasl.mechanism"), Some("OAUTHBEARER"));
        assert_eq!(config.get("sasl.password"), None);
    }

    #[test]
    fn whoever_reaches_the_brokers_does_so_as_the_options_say() {
        let options =
            serde_json::json!({"options": {"ssl.endpoint.identification.algorithm": "none", "fetch.min.bytes": "7"}});
        let kafka: Kafka = serde_json::from_value(options).unwrap();
        let get = |config: &ClientConfig, name: &str| config.get(name).map(str::to_owned);
        for config in [config(&kafka, 1 << 20), producer_config(&kafka, 1 << 20)] {
            assert_eq!(get(&config, "ssl.endpoint.identification.algorithm").as_deref(), Some("none"));
        }
        assert_eq!(get(&config(&kafka, 1 << 20), "fetch.min.bytes").as_deref(), Some("7"));
        assert_eq!(get(&producer_config(&kafka, 1 << 20), "fetch.min.bytes"), None);
    }
}
