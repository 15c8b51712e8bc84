//! The copy of dead letters in a topic of their own: at least once, the record's bytes as they came, where it came
//! from in headers. The files stay the truth; what the topic does not take stands there.

use super::client::{self, Context};
use crate::cut::Manifest;
use crate::files::{DeadLetter, FileKind, Identity, PlannedFile, ReadError, batches, dead_letters};
use bytes::Bytes;
use eventsink_crds::settings::Kafka;
use prometheus::IntCounterVec;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::future_producer::DeliveryFuture;
use rdkafka::producer::{FutureProducer, FutureRecord};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// Names of our headers begin with this.
const OURS: &str = "eventsink.dlq.";
/// Version of the headers.
const VERSION: &str = "1";
/// The step that made the dead letter.
const STAGE: &str = "decode";
/// A record that has failed so often, each time sent back to its topic, is copied no more: it would go in a circle.
const ATTEMPTS: u64 = 3;
/// Room in the producer's queue is looked for again after this long.
const QUEUE_FULL: Duration = Duration::from_millis(10);

/// What became of the copy of one dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Copied {
    /// The topic has it.
    Sent,
    /// The topic has everything but its value, which is too large, and the key of the file that has it.
    Oversized,
    /// It is only in its file: it was sent back too often, is too large even without its value, or refused for what it
    /// is.
    Parked,
}

impl Copied {
    /// Every outcome, for metrics that must exist before the first of its kind.
    pub const ALL: [Self; 3] = [Self::Sent, Self::Oversized, Self::Parked];

    /// The name as metrics show it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Oversized => "oversized",
            Self::Parked => "parked",
        }
    }
}

/// Why dead letters were not copied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CopyError {
    /// The topic takes none.
    #[error(
        "topic {topic} does not take dead letters: {words}: create it, allow this user to write to it, or correct \
         dead_letter.topic"
    )]
    Refused {
        /// The topic.
        topic: String,
        /// The client's words.
        words: String,
    },
    /// Nobody who could take them answers.
    #[error(
        "topic {topic} for dead letters cannot be reached: {words}: see that its brokers answer this worker and that \
         it has its in-sync replicas"
    )]
    Unreachable {
        /// The topic.
        topic: String,
        /// The client's words.
        words: String,
    },
    /// There is no client that could send them.
    #[error("no client for the dead letters of topic {topic}: {words}")]
    NoClient {
        /// The topic.
        topic: String,
        /// Why, and the way out.
        words: String,
    },
    /// The file of dead letters cannot be read.
    #[error("dead letters of {key}: {words}: restore the object")]
    Unreadable {
        /// Its key.
        key: String,
        /// What is wrong.
        words: String,
    },
}

/// What an error says of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// The record, or a batch that it was in, is too large.
    Size,
    /// The record, or another one of its batch.
    Record,
    /// The way to the brokers.
    Way,
    /// The topic, and with it every record.
    Topic,
}

impl Fault {
    fn of(code: RDKafkaErrorCode) -> Self {
        use RDKafkaErrorCode as Code;
        match code {
            Code::MessageSizeTooLarge | Code::MessageBatchTooLarge => Self::Size,
            Code::InvalidRecord
            | Code::InvalidDifferentRecord
            | Code::InvalidMessage
            | Code::InvalidMessageSize
            | Code::InvalidTimestamp => Self::Record,
            Code::MessageTimedOut
            | Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::Resolve
            | Code::SSL
            | Code::Authentication
            | Code::SaslAuthenticationFailed
            | Code::OperationTimedOut
            | Code::RequestTimedOut
            | Code::NetworkException
            | Code::BrokerNotAvailable
            | Code::LeaderNotAvailable
            | Code::NotLeaderForPartition
            | Code::NotEnoughReplicas
            | Code::NotEnoughReplicasAfterAppend => Self::Way,
            _ => Self::Topic,
        }
    }
}

/// What became of a record that was sent.
enum Answer {
    Taken,
    TooLarge,
    /// For what it is, with the client's words.
    Refused(String),
}

/// See the module.
pub struct DeadLetters {
    kafka: Kafka,
    topic: String,
    /// Bytes of the largest record.
    largest: usize,
    copied: IntCounterVec,
    /// One cut at a time: that bounds the memory.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Made for the first dead letter, and anew after a failure, so that it knows nothing of a topic that was missing.
    producer: Option<Arc<FutureProducer<Context>>>,
    failed: Option<(Instant, CopyError)>,
    /// What failed copies got done, by topic and partition.
    begun: HashMap<(String, i32), Progress>,
}

/// How far the copy of one cut has come; a cut's letters always come in the same batches.
#[derive(Debug, Default, PartialEq, Eq)]
struct Progress {
    nonce: String,
    /// Batches that need nothing more.
    batches: usize,
    /// Offsets of the batch after them that need nothing more.
    settled: HashSet<i64>,
}

impl Progress {
    /// That of an earlier try at the same cut, else none.
    fn at(nonce: &str, earlier: Option<Self>) -> Self {
        let of_this_cut = earlier.filter(|earlier| earlier.nonce == nonce);
        of_this_cut.unwrap_or_else(|| Self { nonce: nonce.to_owned(), ..Self::default() })
    }

    fn end_batch(&mut self) {
        self.batches += 1;
        self.settled.clear();
    }
}

/// Letters of one file that stay in it alone: the log gets one line for all.
#[derive(Debug, Default, PartialEq, Eq)]
struct Parked {
    count: u64,
    /// Offset of the first, and why.
    first: Option<(i64, String)>,
}

impl Parked {
    fn add(&mut self, offset: i64, why: &str) {
        self.count += 1;
        self.first.get_or_insert_with(|| (offset, why.to_owned()));
    }

    fn tell(self, key: &str) {
        if let Some((offset, why)) = self.first {
            tracing::warn!(key, count = self.count, offset, "dead letters are only in their file, the first: {why}");
        }
    }
}

/// Where the dead letters of one file come from.
struct Origin<'a> {
    identity: &'a Identity,
    decoder_version: u32,
    key: &'a str,
}

impl DeadLetters {
    /// Copies to `topic`; outcomes are counted in `copied`. `largest` bounds the bytes of one record.
    #[must_use]
    pub fn new(kafka: Kafka, topic: String, largest: usize, copied: IntCounterVec) -> Self {
        Self { kafka, topic, largest, copied, state: Mutex::default() }
    }

    /// Copies all dead letters of a cut; `body` gives the bytes of a file by its place in the manifest. Returns when
    /// the brokers have them. What an earlier try at the same cut has settled is not sent again.
    ///
    /// # Errors
    /// A file cannot be read, or the topic takes nothing: what is wrong with one record alone is no error.
    pub async fn copy<F, Fut>(&self, cut: &Manifest, identity: &Identity, body: F) -> Result<(), CopyError>
    where
        F: Fn(usize) -> Fut,
        Fut: Future<Output = Result<Bytes, String>>,
    {
        let began = Instant::now();
        let mut state = self.state.lock().await;
        // One failure for all that waited for it.
        if let Some((at, error)) = &state.failed
            && *at >= began
        {
            return Err(error.clone());
        }
        let place = (cut.topic.clone(), cut.partition);
        let mut progress = Progress::at(&cut.nonce, state.begun.remove(&place));
        let result = match self.producer(&mut state).await {
            Ok(producer) => {
                Sending { letters: self, producer, progress: &mut progress }.files(cut, identity, body).await
            }
            Err(error) => Err(error),
        };
        let Err(error) = result else { return Ok(()) };
        state.begun.insert(place, progress);
        if !matches!(error, CopyError::Unreadable { .. }) {
            state.failed = Some((Instant::now(), error.clone()));
            let producer = state.producer.take();
            // Dropping a producer waits for its threads.
            drop(tokio::task::spawn_blocking(move || drop(producer)));
        }
        Err(error)
    }

    /// Making one reads certificates and may fetch a token.
    async fn producer(&self, state: &mut State) -> Result<Arc<FutureProducer<Context>>, CopyError> {
        if let Some(producer) = &state.producer {
            return Ok(Arc::clone(producer));
        }
        let no_client = |words: String| CopyError::NoClient { topic: self.topic.clone(), words };
        let (kafka, largest) = (self.kafka.clone(), self.largest);
        let made = tokio::task::spawn_blocking(move || client::producer(&kafka, largest)).await;
        let made = made.map_err(|error| no_client(error.to_string()))?;
        let producer = made.map_err(|error| no_client(error.to_string()))?;
        Ok(Arc::clone(state.producer.insert(producer)))
    }

    fn count(&self, outcome: Copied) {
        self.copied.with_label_values(&[outcome.as_str()]).inc();
    }
}

/// The copy of one cut under way.
struct Sending<'a> {
    letters: &'a DeadLetters,
    producer: Arc<FutureProducer<Context>>,
    progress: &'a mut Progress,
}

impl Sending<'_> {
    async fn files<F, Fut>(mut self, cut: &Manifest, identity: &Identity, body: F) -> Result<(), CopyError>
    where
        F: Fn(usize) -> Fut,
        Fut: Future<Output = Result<Bytes, String>>,
    {
        let letters = |(_, file): &(usize, &PlannedFile)| file.kind == FileKind::DeadLetters;
        let mut batch = 0;
        for (at, file) in cut.files.iter().enumerate().filter(letters) {
            let unreadable = |words: String| CopyError::Unreadable { key: file.key.clone(), words };
            let damaged = |error: ReadError| unreadable(error.to_string());
            let origin = Origin { identity, decoder_version: cut.decoder_version, key: &file.key };
            let mut parked = Parked::default();
            for rows in batches(body(at).await.map_err(unreadable)?).map_err(damaged)? {
                let rows = rows.map_err(damaged)?;
                batch += 1;
                if batch <= self.progress.batches {
                    continue;
                }
                if let Err(error) = self.batch(&dead_letters(&rows).map_err(damaged)?, &origin, &mut parked).await {
                    parked.tell(&file.key);
                    return Err(error);
                }
                self.progress.end_batch();
            }
            parked.tell(&file.key);
        }
        Ok(())
    }

    /// Sends letters together. Brokers refuse a batch as they refuse a record, so those that are refused are sent once
    /// more, each alone.
    async fn batch(
        &mut self,
        letters: &[DeadLetter<'_>],
        origin: &Origin<'_>,
        parked: &mut Parked,
    ) -> Result<(), CopyError> {
        let (mut under_way, mut refused, mut failed) = (Vec::new(), Vec::new(), None);
        for letter in letters {
            if self.progress.settled.contains(&letter.offset) {
                continue;
            }
            let Some(attempt) = next_attempt(letter) else {
                self.park(letter, parked, "it was sent back to its topic too often");
                continue;
            };
            match self.queue(letter, headers(letter, origin, attempt)).await {
                Ok(delivery) => under_way.push((letter, delivery)),
                Err(code) => match self.answer(code, &code) {
                    Ok(_) => refused.push(letter),
                    Err(error) => {
                        failed = Some(error);
                        break;
                    }
                },
            }
        }
        // All answers are heard, also after a failure: what was taken is not sent again.
        for (letter, delivery) in under_way {
            match self.hear(delivery).await {
                Ok(Answer::Taken) => self.settle(letter, Copied::Sent),
                Ok(_) => refused.push(letter),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        if let Some(error) = failed {
            return Err(error);
        }
        for letter in refused {
            self.alone(letter, origin, parked).await?;
        }
        Ok(())
    }

    async fn alone(
        &mut self,
        letter: &DeadLetter<'_>,
        origin: &Origin<'_>,
        parked: &mut Parked,
    ) -> Result<(), CopyError> {
        let headers = || headers(letter, origin, next_attempt(letter).unwrap_or(1));
        let pointer = headers().insert(Header { key: "eventsink.dlq.object", value: Some(origin.key) });
        let stub = DeadLetter { value: None, ..letter.clone() };
        for (outcome, letter, headers) in [(Copied::Sent, letter, headers()), (Copied::Oversized, &stub, pointer)] {
            let answer = match self.queue(letter, headers).await {
                Ok(delivery) => self.hear(delivery).await?,
                Err(code) => self.answer(code, &code)?,
            };
            match answer {
                Answer::Taken => {
                    self.settle(letter, outcome);
                    return Ok(());
                }
                Answer::TooLarge => {}
                Answer::Refused(words) => {
                    self.park(letter, parked, &words);
                    return Ok(());
                }
            }
        }
        self.park(letter, parked, "it is too large even without its value");
        Ok(())
    }

    /// Queues a record, without a timestamp: by the letter's own, retention might delete the copy at once. Waits while
    /// the queue is full, be it of what an abandoned copy has left behind.
    async fn queue(&self, letter: &DeadLetter<'_>, headers: OwnedHeaders) -> Result<DeliveryFuture, RDKafkaErrorCode> {
        let mut record = FutureRecord::<[u8], [u8]>::to(&self.letters.topic).headers(headers);
        record.key = letter.key;
        record.payload = letter.value;
        loop {
            match self.producer.send_result(record) {
                Ok(delivery) => return Ok(delivery),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => record = back,
                Err((error, _)) => return Err(error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail)),
            }
            tokio::time::sleep(QUEUE_FULL).await;
        }
    }

    /// Waits for the brokers' answer.
    async fn hear(&self, delivery: DeliveryFuture) -> Result<Answer, CopyError> {
        match delivery.await {
            Ok(Ok(_)) => Ok(Answer::Taken),
            Ok(Err((error, _))) => self.answer(error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail), &error),
            Err(error) => self.answer(RDKafkaErrorCode::BrokerTransportFailure, &error),
        }
    }

    /// What an error says of the record; one that says more is a failure of the copy.
    fn answer(&self, code: RDKafkaErrorCode, words: &impl std::fmt::Display) -> Result<Answer, CopyError> {
        let (topic, words) = (self.letters.topic.clone(), words.to_string());
        match Fault::of(code) {
            Fault::Size => Ok(Answer::TooLarge),
            Fault::Record => Ok(Answer::Refused(words)),
            Fault::Way => Err(CopyError::Unreachable { topic, words }),
            Fault::Topic => Err(CopyError::Refused { topic, words }),
        }
    }

    fn settle(&mut self, letter: &DeadLetter<'_>, outcome: Copied) {
        self.letters.count(outcome);
        self.progress.settled.insert(letter.offset);
    }

    fn park(&mut self, letter: &DeadLetter<'_>, parked: &mut Parked, why: &str) {
        self.settle(letter, Copied::Parked);
        parked.add(letter.offset, why);
    }
}

/// Which attempt at the record this was; `None` when there were enough.
fn next_attempt(letter: &DeadLetter<'_>) -> Option<u64> {
    let last = letter.headers.iter().rev().find(|(name, _)| *name == "eventsink.dlq.attempt");
    let last = last.and_then(|(_, value)| std::str::from_utf8((*value)?).ok());
    let last = last.and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    (last < ATTEMPTS).then_some(last + 1)
}

/// The record's own headers, then ours in place of those that an earlier copy had.
fn headers(letter: &DeadLetter<'_>, origin: &Origin<'_>, attempt: u64) -> OwnedHeaders {
    let identity = origin.identity;
    let number = |number: Option<i64>| number.map(|number| number.to_string());
    let ours = [
        ("version", Some(VERSION.to_owned())),
        ("sink", Some(identity.sink.clone())),
        ("topic", Some(identity.topic.clone())),
        ("topic-id", Some(identity.topic_id.clone())),
        ("partition", number(Some(identity.partition.into()))),
        ("offset", number(Some(letter.offset))),
        ("timestamp", number(letter.timestamp)),
        ("reason", Some(letter.reason.to_owned())),
        ("stage", Some(STAGE.to_owned())),
        ("detail", Some(letter.detail.to_owned())),
        ("attempt", Some(attempt.to_string())),
        ("decoder-version", Some(origin.decoder_version.to_string())),
    ];
    let mut headers = OwnedHeaders::new_with_capacity(letter.headers.len() + ours.len() + 1);
    for (key, value) in letter.headers.iter().filter(|(name, _)| !name.starts_with(OURS)) {
        headers = headers.insert(Header { key, value: *value });
    }
    for (name, value) in &ours {
        headers = headers.insert(Header { key: &format!("{OURS}{name}"), value: value.as_deref() });
    }
    headers
}

#[cfg(test)]
#[path = "dead_letters_tests.rs"]
mod tests;
