//! What Kafka itself says of a sink's topics, for sinks without a ready worker: how many partitions there are, and how
//! much of them the group has not committed. Workers know more, so nobody asks while one of them is ready.
//!
//! Clients live for one question. Few ask at once, none is waited for, and an answer is kept: a reconcile goes on with
//! what is known and is woken when there is news.

use crate::projection::CREDENTIALS_DIR;
use crate::reconcile::validate::ValidatedSink;
use eventsink_crds::settings::{SaslMechanism, SecurityProtocol, Settings, StartFrom};
use eventsink_crds::sink::EventSink;
use kube::core::DeserializeGuard;
use kube::runtime::reflector::ObjectRef;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{ClientConfig, ClientContext};
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, broadcast};
use tokio::time::sleep;

/// Time for all answers of one client.
const PATIENCE: Duration = Duration::from_secs(10);
/// Time between two questions about one sink.
const PACE: Duration = Duration::from_secs(300);
/// After a failure it is asked again sooner, ever more slowly.
const AGAIN: Duration = Duration::from_secs(15);
/// News that wait until somebody hears them.
const UNHEARD: usize = 1024;

/// What Kafka said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topics {
    /// Partitions of all topics.
    pub partitions: i32,
    /// Records that the group has not committed; none where that cannot be said.
    pub unread: Option<i64>,
}

/// The last answer, or why there is none.
pub type Answer = Result<Topics, String>;

/// A sink with another answer.
type Concerned = ObjectRef<DeserializeGuard<EventSink>>;

/// What is known of all sinks.
pub struct Kafka {
    pool: Arc<Semaphore>,
    clients: usize,
    known: Arc<Mutex<HashMap<String, Known>>>,
    next: AtomicU64,
    news: broadcast::Sender<Concerned>,
}

/// What is known of one sink.
struct Known {
    /// Number of the task that asks.
    task: u64,
    /// Settings and credentials that it asks with.
    of: String,
    answer: Option<Answer>,
}

impl Kafka {
    /// At most so many clients at once.
    #[must_use]
    pub fn new(clients: usize) -> Self {
        Self {
            pool: Arc::new(Semaphore::new(clients)),
            clients,
            known: Arc::default(),
            next: AtomicU64::new(0),
            news: broadcast::Sender::new(UNHEARD),
        }
    }

    /// Sinks with another answer, from now on.
    pub fn news(&self) -> broadcast::Receiver<Concerned> {
        self.news.subscribe()
    }

    /// What is known of a sink's topics; from now on they are looked at, until [`Self::leave`].
    pub fn look(&self, valid: &ValidatedSink) -> Option<Answer> {
        // Its tokens come from an endpoint that only workers ask.
        if self.clients == 0 || uses_tokens(&valid.settings) {
            return None;
        }
        let (uid, of) = (&valid.owner.uid, format!("{}{}", valid.settings_hash, valid.credentials_hash));
        let mut known = lock(&self.known);
        if let Some(known) = known.get(uid).filter(|known| known.of == of) {
            return known.answer.clone();
        }
        let task = self.next.fetch_add(1, Ordering::Relaxed);
        known.insert(uid.clone(), Known { task, of, answer: None });
        let asker = Asker {
            task,
            uid: uid.clone(),
            sink: ObjectRef::new(&valid.name).within(&valid.namespace),
            question: Arc::new(Question::of(valid)),
            pool: Arc::clone(&self.pool),
            known: Arc::clone(&self.known),
            news: self.news.clone(),
        };
        tokio::spawn(asker.run());
        None
    }

    /// Nobody needs to know any more: a worker is ready, the sink is suspended or gone.
    pub fn leave(&self, uid: &str) {
        lock(&self.known).remove(uid);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Asks about one sink until it is left.
struct Asker {
    task: u64,
    uid: String,
    sink: Concerned,
    question: Arc<Question>,
    pool: Arc<Semaphore>,
    known: Arc<Mutex<HashMap<String, Known>>>,
    news: broadcast::Sender<Concerned>,
}

impl Asker {
    async fn run(self) {
        let mut wait = AGAIN;
        loop {
            let Ok(permit) = self.pool.acquire().await else { return };
            if !self.tell(None) {
                return;
            }
            let question = Arc::clone(&self.question);
            let answer = tokio::task::spawn_blocking(move || question.put()).await;
            drop(permit);
            let answer = answer.unwrap_or_else(|_| Err("the client of Kafka ended".to_owned()));
            wait = if answer.is_ok() { PACE } else { (wait * 2).min(PACE) };
            if !self.tell(Some(answer)) {
                return;
            }
            sleep(wait).await;
        }
    }

    /// Keeps an answer; false when nobody wants it.
    fn tell(&self, answer: Option<Answer>) -> bool {
        let mut known = lock(&self.known);
        let Some(known) = known.get_mut(&self.uid).filter(|known| known.task == self.task) else { return false };
        if answer.is_some() && known.answer != answer {
            known.answer = answer;
            // Nobody listens any more when the operator ends.
            let _ = self.news.send(self.sink.clone());
        }
        true
    }
}

fn uses_tokens(settings: &Settings) -> bool {
    is_sasl(settings.kafka.security_protocol) && settings.kafka.sasl.mechanism == SaslMechanism::OAuthBearer
}

fn is_sasl(protocol: SecurityProtocol) -> bool {
    matches!(protocol, SecurityProtocol::SaslPlaintext | SecurityProtocol::SaslSsl)
}

/// What one client needs to know.
struct Question {
    config: BTreeMap<String, String>,
    topics: Vec<String>,
    from: StartFrom,
}

/// The client's settings, with what the workers read from files as text.
fn config(valid: &ValidatedSink) -> BTreeMap<String, String> {
    let kafka = &valid.settings.kafka;
    let mut config: BTreeMap<&str, String> = BTreeMap::from([
        ("bootstrap.servers", kafka.bootstrap_servers.iter().cloned().collect::<Vec<_>>().join(",")),
        ("group.id", kafka.consumer.group_id.clone()),
        ("security.protocol", kafka.security_protocol.as_str().to_owned()),
        // It never joins its group: it looks at what others have committed.
        ("enable.auto.commit", "false".to_owned()),
        ("allow.auto.create.topics", "false".to_owned()),
        ("socket.connection.setup.timeout.ms", "5000".to_owned()),
        ("client.id", "eventsink-operator".to_owned()),
    ]);
    let content = |path: &Option<String>| {
        let name = path.as_deref()?.strip_prefix(CREDENTIALS_DIR)?.trim_start_matches('/');
        let text = String::from_utf8_lossy(valid.credentials.get(name)?).into_owned();
        Some(text.strip_suffix('\n').map_or(text.clone(), |text| text.trim_end_matches('\r').to_owned()))
    };
    if is_sasl(kafka.security_protocol) {
        config.insert("sasl.mechanism", kafka.sasl.mechanism.as_str().to_owned());
        for (name, path) in [("sasl.username", &kafka.sasl.username_file), ("sasl.password", &kafka.sasl.password_file)]
        {
            config.extend(content(path).map(|text| (name, text)));
        }
    }
    for (name, path) in [
        ("ssl.ca.pem", &kafka.tls.ca_file),
        ("ssl.certificate.pem", &kafka.tls.certificate_file),
        ("ssl.key.pem", &kafka.tls.key_file),
    ] {
        config.extend(content(path).map(|text| (name, text)));
    }
    if kafka.tls.insecure_skip_verify {
        config.insert("enable.ssl.certificate.verification", "false".to_owned());
    }
    let ours = config.into_iter().map(|(name, value)| (name.to_owned(), value));
    kafka.options.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).chain(ours).collect()
}

/// Keeps the client's last error, which says more than "timed out".
#[derive(Default)]
struct Listener(Mutex<Option<String>>);

impl ClientContext for Listener {
    fn log(&self, _: RDKafkaLogLevel, _: &str, _: &str) {}

    fn error(&self, error: rdkafka::error::KafkaError, reason: &str) {
        let code = error.rdkafka_error_code();
        if code != Some(RDKafkaErrorCode::AllBrokersDown) {
            *lock(&self.0) = Some(lasting(reason).to_owned());
        }
    }
}

impl ConsumerContext for Listener {}

/// A reason without times and counts, which are others each time and would be news for ever.
fn lasting(reason: &str) -> &str {
    reason.find(" (after ").map_or(reason, |end| &reason[..end])
}

impl Question {
    fn of(valid: &ValidatedSink) -> Self {
        let consumer = &valid.settings.kafka.consumer;
        Self { config: config(valid), topics: consumer.topics.to_vec(), from: consumer.start_from }
    }

    fn put(&self) -> Answer {
        let deadline = Instant::now() + PATIENCE;
        let mut config = ClientConfig::new();
        config.extend(self.config.clone());
        let client: BaseConsumer<Listener> =
            config.create_with_context(Listener::default()).map_err(|error| error.to_string())?;
        let partitions = self.partitions(&client, deadline).map_err(|error| {
            // The client tells its errors when it is polled.
            drop(client.poll(Duration::ZERO));
            let heard = lock(&client.context().0).take();
            heard.map_or(error.clone(), |heard| format!("{error}: {heard}"))
        })?;
        let count = i32::try_from(partitions.len()).unwrap_or(i32::MAX);
        Ok(Topics { partitions: count, unread: self.unread(&client, &partitions, deadline) })
    }

    fn partitions(&self, client: &BaseConsumer<Listener>, deadline: Instant) -> Result<Vec<(String, i32)>, String> {
        let mut all = Vec::new();
        for topic in &self.topics {
            let found = client.fetch_metadata(Some(topic), left(deadline)).map_err(|error| error.to_string())?;
            let found =
                found.topics().first().ok_or_else(|| format!("the brokers say nothing of the topic {topic}"))?;
            if let Some(error) = found.error() {
                return Err(format!("topic {topic}: {}", RDKafkaErrorCode::from(error)));
            }
            all.extend(found.partitions().iter().map(|partition| (topic.clone(), partition.id())));
        }
        Ok(all)
    }

    /// What lies above the committed offsets; a part of it would look like progress, so it is all or nothing.
    fn unread(&self, client: &BaseConsumer<Listener>, partitions: &[(String, i32)], deadline: Instant) -> Option<i64> {
        let mut list = TopicPartitionList::new();
        for (topic, partition) in partitions {
            list.add_partition(topic, *partition);
        }
        let committed = client.committed_offsets(list, left(deadline)).ok()?;
        let mut sum = 0_i64;
        for (topic, partition) in partitions {
            let (low, high) = client.fetch_watermarks(topic, *partition, left(deadline)).ok()?;
            let offset = committed.find_partition(topic, *partition).map(|found| found.offset());
            let committed = match offset {
                Some(Offset::Offset(offset)) => Some(offset),
                _ => None,
            };
            sum = sum.saturating_add(above(committed, low, high, &self.from)?);
        }
        Some(sum)
    }
}

/// Records of one partition that are to be read. A group that never committed starts where `from` says, and a time is
/// known to the brokers alone.
fn above(committed: Option<i64>, low: i64, high: i64, from: &StartFrom) -> Option<i64> {
    let position = match (committed, from) {
        (Some(offset), _) => offset.max(low),
        (None, StartFrom::Earliest) => low,
        (None, StartFrom::Latest) => high,
        (None, _) => return None,
    };
    Some((high - position).max(0))
}

fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_without_a_commit_has_all_unread_or_nothing_as_it_starts() {
        assert_eq!(above(None, 10, 100, &StartFrom::Earliest), Some(90));
        assert_eq!(above(None, 10, 100, &StartFrom::Latest), Some(0));
        let time = serde_json::from_str("\"2025-12-21T10:00:00Z\"").expect("a time");
        assert_eq!(above(None, 10, 100, &time), None, "where that is only the brokers know");
    }

    #[test]
    fn the_same_failure_is_no_news() {
        let at = |millis| {
            format!("Connect to ipv4#127.0.0.1:1 failed: Connection refused (after {millis}ms in state CONNECT)")
        };
        assert_eq!(lasting(&at(0)), lasting(&at(17)));
        assert_eq!(lasting("SASL authentication failed"), "SASL authentication failed");
    }

    #[test]
    fn what_was_committed_is_read_and_what_the_log_lost_is_not_to_be_read() {
        assert_eq!(above(Some(40), 10, 100, &StartFrom::Latest), Some(60));
        assert_eq!(above(Some(4), 10, 100, &StartFrom::Latest), Some(90));
        assert_eq!(above(Some(140), 10, 100, &StartFrom::Earliest), Some(0), "a topic made anew");
    }
}
