//! A real Kafka broker: topics, ways in, and how far a group has come. Knows nothing of events.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::rig::{self, Held, patiently};
use crate::tcp_proxy::TcpProxy;

const TIMEOUT: Duration = Duration::from_secs(30);
/// Partitions of the topic of offsets, as `rigs/kafka` sets them.
const OFFSETS_PARTITIONS: i32 = 4;

/// A way to log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mechanism {
    /// SCRAM-SHA-256.
    ScramSha256,
    /// SCRAM-SHA-512.
    ScramSha512,
    /// PLAIN.
    Plain,
    /// OAUTHBEARER; its section `oauth` is [`crate::TokenEndpoint::settings`].
    OAuthBearer,
}

impl Mechanism {
    fn name(self) -> &'static str {
        match self {
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
            Self::Plain => "PLAIN",
            Self::OAuthBearer => "OAUTHBEARER",
        }
    }
}

/// A listener of the broker and how to come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// No encryption, no login.
    Plaintext,
    /// Encrypted; the client shows its certificate.
    Ssl,
    /// Login without encryption.
    SaslPlaintext(Mechanism),
    /// Login, encrypted.
    SaslSsl(Mechanism),
}

/// What `rigs/kafka status` says.
#[derive(Debug, Clone, Deserialize)]
pub struct Addresses {
    plaintext: String,
    ssl: String,
    sasl_plaintext: String,
    sasl_ssl: String,
    /// The user that may log in.
    pub user: String,
    /// Its password.
    pub password: String,
    /// The authority that signed the broker's certificate.
    pub ca: PathBuf,
    /// An authority that signed nothing here.
    pub unknown_ca: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
}

/// A running broker.
#[derive(Debug)]
pub struct Kafka {
    /// Where it listens and who may come in.
    pub addresses: Addresses,
    held: Option<Held>,
}

impl Kafka {
    /// The broker of this test process; started with the first call unless `EVENTSINK_E2E_KAFKA` names a running one.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Kafka> = OnceLock::new();
        SHARED.get_or_init(|| {
            let (addresses, held) = rig::server("kafka");
            Self { addresses, held }
        })
    }

    /// A broker that listens at that address of this machine: of its own unless `EVENTSINK_E2E_KAFKA` names one there.
    #[must_use]
    pub fn at(host: &str) -> Self {
        let (addresses, held) = rig::server_at("kafka", host);
        Self { addresses, held }
    }

    /// A broker of the test's own at that address of this machine.
    #[must_use]
    pub fn own_at(host: &str) -> Self {
        Self::own_by(&[("EVENTSINK_HOST", host)])
    }

    /// A server of the test's own, which it may stop.
    #[must_use]
    pub fn own() -> Self {
        Self::own_by(&[])
    }

    /// As [`Self::own`], with brokers 1, 2 and 3 and a controller that outlives them.
    #[must_use]
    pub fn three_brokers() -> Self {
        Self::own_by(&[("KAFKA_BROKERS", "3"), ("KAFKA_HEAP", "320m")])
    }

    /// As [`Self::own`], with a proxy before the listener with a login in the clear: clients that come that way are
    /// told to stay with it. The worker's way in is [`Self::settings_by`].
    #[must_use]
    pub fn behind(proxy: &TcpProxy) -> Self {
        let advertised = format!("sasl_plaintext:{}", proxy.address.port());
        let kafka = Self::own_by(&[("KAFKA_ADVERTISED", &advertised)]);
        proxy.forward_to(kafka.addresses.sasl_plaintext.parse().expect("one broker"));
        kafka
    }

    fn own_by(variables: &[(&str, &str)]) -> Self {
        let (addresses, held) = rig::own_server("kafka", variables);
        Self { addresses, held }
    }

    /// Number of the process of the one broker. Only on a server of the test's own.
    #[must_use]
    pub fn broker_pid(&self) -> u32 {
        let path = self.held().folder().join("run/node-1.pid");
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let pid = text.split_whitespace().next().and_then(|pid| pid.parse().ok());
        pid.unwrap_or_else(|| panic!("no broker in {}", path.display()))
    }

    /// The section `kafka` of the worker's settings, without `consumer`, by way of the proxy.
    #[must_use]
    pub fn settings_by(&self, proxy: &TcpProxy) -> Value {
        let mut settings = self.settings(Access::SaslPlaintext(Mechanism::ScramSha256));
        settings["bootstrap_servers"] = proxy.address.to_string().into();
        settings
    }

    /// Ends one of several brokers without a warning; its data stays.
    pub fn kill_broker(&self, id: i32) {
        self.held().run_with("kill9", &[&id.to_string()]);
    }

    /// Ends one of several brokers in order; its data stays.
    pub fn stop_broker(&self, id: i32) {
        self.held().run_with("stop", &[&id.to_string()]);
    }

    /// Starts one of several brokers again.
    pub fn start_broker(&self, id: i32) {
        self.held().run_with("up", &[&id.to_string()]);
    }

    /// As [`Self::own`], with more lines for the properties of its broker.
    #[must_use]
    pub fn own_with(properties: &str) -> Self {
        Self::own_by(&[("KAFKA_PROPERTIES", properties)])
    }

    /// `host:port` of the listener without encryption and login.
    #[must_use]
    pub fn plaintext(&self) -> &str {
        &self.addresses.plaintext
    }

    /// Ends the server; its data stays. Only on one of the test's own.
    pub fn stop(&self) {
        self.held().run("stop");
    }

    /// Starts it again on the same port, and waits until it answers.
    pub fn start_again(&self) {
        self.held().run("up");
    }

    /// Starts anew with a log that may be cleaned to its last record: the broker never cleans the newest segment, and
    /// here that is an empty one, as a crash between its making and its first record leaves it. How far the log was
    /// cleaned is forgotten too. Only on a server of the test's own.
    pub fn seal_log(&self, topic: &str, partition: i32, end: i64) {
        self.stop();
        let data = self.held().folder().join("data/1");
        let segment = data.join(format!("{topic}-{partition}/{end:020}.log"));
        std::fs::write(&segment, "").unwrap_or_else(|error| panic!("cannot write {}: {error}", segment.display()));
        // Not there before the first cleaning.
        let _ = std::fs::remove_file(data.join("cleaner-offset-checkpoint"));
        self.start_again();
    }

    /// Starts anew with one byte of the first segment changed, that of `marker` in a value: the batch around it has
    /// another checksum than it says, as a bad disk leaves it. Only on a server of the test's own.
    pub fn damage_log(&self, topic: &str, partition: i32, marker: &str) {
        self.stop();
        let segment = self.held().folder().join(format!("data/1/{topic}-{partition}/{:020}.log", 0));
        let mut bytes =
            std::fs::read(&segment).unwrap_or_else(|error| panic!("cannot read {}: {error}", segment.display()));
        let place = bytes.windows(marker.len()).position(|part| part == marker.as_bytes());
        let place = place.unwrap_or_else(|| panic!("no {marker} in {}", segment.display()));
        bytes[place] ^= 1;
        std::fs::write(&segment, bytes).unwrap_or_else(|error| panic!("cannot write {}: {error}", segment.display()));
        self.start_again();
    }

    fn held(&self) -> &Held {
        self.held.as_ref().expect("a server of the test's own")
    }

    /// Makes a user that logs in by SCRAM-SHA-512, or gives it another password; who is logged in stays so.
    pub fn set_password(&self, user: &str, password: &str) {
        self.alter_user(user, "--add-config", &format!("SCRAM-SHA-512=[password={password}]"));
    }

    /// Lets all clients of a user together read so many bytes in a second; as many as they like with `None`.
    pub fn throttle(&self, user: &str, bytes: Option<u32>) {
        match bytes {
            Some(bytes) => self.alter_user(user, "--add-config", &format!("consumer_byte_rate={bytes}")),
            None => self.alter_user(user, "--delete-config", "consumer_byte_rate"),
        }
    }

    fn alter_user(&self, user: &str, verb: &str, config: &str) {
        let tool = "kafka.admin.ConfigCommand";
        let arguments = [tool, "--alter", "--entity-type", "users", "--entity-name", user, verb, config];
        rig::run("kafka", self.held.as_ref(), "tool", &arguments);
    }

    /// The section `kafka` of the worker's settings, without `consumer`.
    #[must_use]
    pub fn settings(&self, access: Access) -> Value {
        let at = &self.addresses;
        let sasl = |mechanism: Mechanism| match mechanism {
            Mechanism::OAuthBearer => json!({"mechanism": mechanism.name()}),
            _ => json!({"mechanism": mechanism.name(), "username": at.user, "password": at.password}),
        };
        match access {
            Access::Plaintext => {
                json!({"bootstrap_servers": at.plaintext, "security_protocol": "PLAINTEXT"})
            }
            Access::Ssl => json!({
                "bootstrap_servers": at.ssl,
                "security_protocol": "SSL",
                "tls": {"ca_file": at.ca, "certificate_file": at.certificate, "key_file": at.key},
            }),
            Access::SaslPlaintext(mechanism) => json!({
                "bootstrap_servers": at.sasl_plaintext,
                "security_protocol": "SASL_PLAINTEXT",
                "sasl": sasl(mechanism),
            }),
            Access::SaslSsl(mechanism) => json!({
                "bootstrap_servers": at.sasl_ssl,
                "security_protocol": "SASL_SSL",
                "sasl": sasl(mechanism),
                "tls": {"ca_file": at.ca},
            }),
        }
    }

    /// librdkafka settings of a client of our own, on the plain listener.
    #[must_use]
    pub fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.addresses.plaintext);
        config
    }

    /// A new topic whose name begins with `stem`; nothing in it ever expires, however old its timestamps are.
    #[must_use]
    pub fn create_topic(&self, stem: &str, partitions: i32) -> String {
        self.create_topic_with(stem, partitions, &[])
    }

    /// As [`Self::create_topic`], with settings of the topic.
    #[must_use]
    pub fn create_topic_with(&self, stem: &str, partitions: i32, settings: &[(&str, &str)]) -> String {
        let name = rig::unique(stem);
        let created = self.create(&name, partitions, settings);
        created.unwrap_or_else(|words| panic!("cannot create topic {name}: {words}"));
        name
    }

    /// As [`Self::create_topic_with`], each partition on these brokers, the preferred leader first.
    #[must_use]
    pub fn create_topic_on(&self, stem: &str, brokers: &[&[i32]], settings: &[(&str, &str)]) -> String {
        let name = rig::unique(stem);
        let partitions = i32::try_from(brokers.len()).expect("a few");
        let topic = NewTopic::new(&name, partitions, TopicReplication::Variable(brokers));
        self.create_new(topic, settings).unwrap_or_else(|words| panic!("cannot create topic {name}: {words}"));
        name
    }

    fn create(&self, name: &str, partitions: i32, settings: &[(&str, &str)]) -> Result<(), String> {
        self.create_new(NewTopic::new(name, partitions, TopicReplication::Fixed(1)), settings)
    }

    fn create_new(&self, topic: NewTopic<'_>, settings: &[(&str, &str)]) -> Result<(), String> {
        let topic = topic.set("retention.ms", "-1");
        let topic = settings.iter().fold(topic, |topic, (key, value)| topic.set(key, value));
        let results = wait(self.admin().create_topics([&topic], &AdminOptions::new()));
        let outcome = results.map(|results| results.into_iter().collect::<Result<Vec<_>, _>>());
        if matches!(outcome, Ok(Ok(_))) { Ok(()) } else { Err(format!("{outcome:?}")) }
    }

    /// Makes a topic that was deleted, empty, under another id.
    pub fn restore_topic(&self, name: &str, partitions: i32) {
        patiently(TIMEOUT, "the topic is made again", || self.create(name, partitions, &[]));
    }

    /// Deletes a topic and makes it again, empty, under another id.
    pub fn make_topic_again(&self, name: &str, partitions: i32) {
        self.delete_topic(name);
        self.restore_topic(name, partitions);
    }

    /// Makes the log of a partition begin at `offset`, as retention does.
    pub fn delete_records_below(&self, topic: &str, partition: i32, offset: i64) {
        let mut below = TopicPartitionList::new();
        below.add_partition_offset(topic, partition, Offset::Offset(offset)).expect("an offset");
        let results = wait(self.admin().delete_records(&below, &AdminOptions::new()));
        let outcome = results.map(|done| done.elements().iter().map(|e| e.error()).collect::<Result<Vec<_>, _>>());
        assert!(matches!(outcome, Ok(Ok(_))), "cannot delete records of {topic}: {outcome:?}");
    }

    /// Adds partitions to a topic until it has so many.
    pub fn grow_topic(&self, name: &str, partitions: usize) {
        let more = NewPartitions::new(name, partitions);
        let results = wait(self.admin().create_partitions([&more], &AdminOptions::new()));
        assert!(matches!(results.as_deref(), Ok([Ok(_)])), "cannot grow topic {name}: {results:?}");
    }

    /// Deletes a topic.
    pub fn delete_topic(&self, name: &str) {
        let results = wait(self.admin().delete_topics(&[name], &AdminOptions::new()));
        assert!(matches!(results.as_deref(), Ok([Ok(_)])), "cannot delete topic {name}: {results:?}");
    }

    /// Deletes a group and with it all its commits, once its last member is gone for good.
    pub fn delete_group(&self, group: &str) {
        patiently(Duration::from_secs(60), "the group is deleted", || {
            let results = wait(self.admin().delete_groups(&[group], &AdminOptions::new()));
            match results.as_deref() {
                Ok([Ok(_)]) => Ok(()),
                _ => Err(format!("{results:?}")),
            }
        });
    }

    /// For each partition of the topic the group's committed offset (0 without one) and the end of the log.
    ///
    /// # Errors
    /// The broker's words when it does not answer.
    pub fn progress(&self, group: &str, topic: &str) -> Result<Vec<(i64, i64)>, String> {
        let consumer: BaseConsumer =
            self.client().set("group.id", group).create().map_err(|error| format!("cannot make a client: {error}"))?;
        let words = |error: rdkafka::error::KafkaError| error.to_string();
        let metadata = consumer.fetch_metadata(Some(topic), TIMEOUT).map_err(words)?;
        let partitions = metadata.topics().first().map_or(0, |topic| topic.partitions().len());
        let mut list = TopicPartitionList::new();
        for partition in 0..i32::try_from(partitions).unwrap_or(0) {
            list.add_partition(topic, partition);
        }
        let committed = consumer.committed_offsets(list, TIMEOUT).map_err(words)?;
        let mut progress = Vec::with_capacity(partitions);
        for element in committed.elements() {
            let offset = if let Offset::Offset(offset) = element.offset() { offset } else { 0 };
            let (_, end) = consumer.fetch_watermarks(topic, element.partition(), TIMEOUT).map_err(words)?;
            progress.push((offset, end));
        }
        Ok(progress)
    }

    /// Commits an offset for each partition of the topic, without metadata, as tools do; only for a group whose last
    /// member is gone.
    pub fn reset_offsets(&self, group: &str, topic: &str, offsets: &[i64]) {
        let mut list = TopicPartitionList::new();
        for (partition, offset) in (0..).zip(offsets) {
            list.add_partition_offset(topic, partition, Offset::Offset(*offset)).expect("an offset");
        }
        patiently(Duration::from_secs(60), "the offsets are reset", || {
            let consumer: BaseConsumer =
                self.client().set("group.id", group).create().map_err(|error| error.to_string())?;
            consumer.commit(&list, CommitMode::Sync).map_err(|error| error.to_string())
        });
    }

    /// `Ok` when the group has committed the end of every partition, else what is missing.
    ///
    /// # Errors
    /// The partitions that are behind, with committed offset and end.
    pub fn drained(&self, group: &str, topic: &str) -> Result<(), String> {
        let progress = self.progress(group, topic)?;
        let behind: Vec<_> = progress.iter().enumerate().filter(|(_, (committed, end))| committed < end).collect();
        if behind.is_empty() { Ok(()) } else { Err(format!("partitions behind, (committed, end): {behind:?}")) }
    }

    /// The broker that leads a partition now.
    ///
    /// # Errors
    /// None does, or no broker answers.
    pub fn leader(&self, topic: &str, partition: i32) -> Result<i32, String> {
        let consumer: BaseConsumer = self.client().create().map_err(|error| error.to_string())?;
        let metadata = consumer.fetch_metadata(Some(topic), TIMEOUT).map_err(|error| error.to_string())?;
        let partitions = metadata.topics().iter().flat_map(|topic| topic.partitions());
        let leader = partitions.filter(|found| found.id() == partition).map(|found| found.leader()).next();
        leader.filter(|leader| *leader > 0).ok_or_else(|| format!("{topic}:{partition} has no leader"))
    }

    /// The broker that coordinates a group now.
    ///
    /// # Errors
    /// As [`Self::leader`].
    pub fn coordinator(&self, group: &str) -> Result<i32, String> {
        // String.hashCode of Java, by which Kafka spreads groups over the partitions of the topic of offsets.
        let hash = group.bytes().fold(0_i32, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte.into()));
        self.leader("__consumer_offsets", (hash & i32::MAX) % OFFSETS_PARTITIONS)
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.client().create().unwrap_or_else(|error| panic!("cannot make an admin client: {error}"))
    }
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime without I/O");
    runtime.block_on(future)
}
