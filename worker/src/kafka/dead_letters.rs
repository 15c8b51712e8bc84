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
use std::collections::VecDeque;
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
const QUEUE_FULL: Duration = Duration::from_millis(50);

/// What became of the copy of one dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Copied {
    /// The topic has it.
    Sent,
    /// The topic has everything but its value, which is too large, and the key of the file that has it.
    Oversized,
    /// It is only in its file: it was sent back too often, or is too large even without its value.
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
    /// The topic did not take one.
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
    /// The file of dead letters cannot be read.
    #[error("dead letters of {key}: {words}: restore the object")]
    Unreadable {
        /// Its key.
        key: String,
        /// What is wrong.
        words: String,
    },
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
    /// the brokers have them.
    ///
    /// # Errors
    /// A file cannot be read, or the topic does not take a record for a reason other than its size.
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
        let result = self.copy_files(&mut state, cut, identity, body).await;
        if let Err(error @ CopyError::Refused { .. }) = &result {
            state.failed = Some((Instant::now(), error.clone()));
            let producer = state.producer.take();
            // Dropping a producer waits for its threads.
            drop(tokio::task::spawn_blocking(move || drop(producer)));
        }
        result
    }

    async fn copy_files<F, Fut>(
        &self,
        state: &mut State,
        cut: &Manifest,
        identity: &Identity,
        body: F,
    ) -> Result<(), CopyError>
    where
        F: Fn(usize) -> Fut,
        Fut: Future<Output = Result<Bytes, String>>,
    {
        let producer = match &mut state.producer {
            Some(producer) => producer,
            none => none.insert(client::producer(&self.kafka, self.largest).map_err(|error| self.refused(&error))?),
        };
        let letters = |(_, file): &(usize, &PlannedFile)| file.kind == FileKind::DeadLetters;
        for (at, file) in cut.files.iter().enumerate().filter(letters) {
            let unreadable = |words: String| CopyError::Unreadable { key: file.key.clone(), words };
            let damaged = |error: ReadError| unreadable(error.to_string());
            let origin = Origin { identity, decoder_version: cut.decoder_version, key: &file.key };
            for rows in batches(body(at).await.map_err(unreadable)?).map_err(damaged)? {
                let rows = rows.map_err(damaged)?;
                self.send_all(producer, &dead_letters(&rows).map_err(damaged)?, &origin).await?;
            }
        }
        Ok(())
    }

    /// Sends letters together. Brokers refuse a batch by its size as they refuse a record, so those that are refused
    /// are sent once more, each alone.
    async fn send_all(
        &self,
        producer: &FutureProducer<Context>,
        letters: &[DeadLetter<'_>],
        origin: &Origin<'_>,
    ) -> Result<(), CopyError> {
        let mut under_way = VecDeque::new();
        let mut refused = Vec::new();
        for letter in letters {
            let Some(attempt) = next_attempt(letter) else {
                self.park(letter, origin, "it was sent back to its topic too often");
                continue;
            };
            loop {
                match queue(producer, &self.topic, letter, headers(letter, origin, attempt)) {
                    Ok(delivery) => under_way.push_back((letter, delivery)),
                    Err(RDKafkaErrorCode::MessageSizeTooLarge) => refused.push(letter),
                    Err(RDKafkaErrorCode::QueueFull) => {
                        match under_way.pop_front() {
                            Some(sent) => refused.extend(self.unless_taken(sent).await?),
                            // What an abandoned copy has left behind.
                            None => tokio::time::sleep(QUEUE_FULL).await,
                        }
                        continue;
                    }
                    Err(error) => return Err(self.refused(&error)),
                }
                break;
            }
        }
        for sent in under_way {
            refused.extend(self.unless_taken(sent).await?);
        }
        for letter in refused {
            self.send_alone(producer, letter, origin).await?;
        }
        Ok(())
    }

    async fn send_alone(
        &self,
        producer: &FutureProducer<Context>,
        letter: &DeadLetter<'_>,
        origin: &Origin<'_>,
    ) -> Result<(), CopyError> {
        let headers = || headers(letter, origin, next_attempt(letter).unwrap_or(1));
        let pointer = headers().insert(Header { key: "eventsink.dlq.object", value: Some(origin.key) });
        let stub = DeadLetter { value: None, ..letter.clone() };
        for (outcome, letter, headers) in [(Copied::Sent, letter, headers()), (Copied::Oversized, &stub, pointer)] {
            let taken = match queue(producer, &self.topic, letter, headers) {
                Ok(delivery) => self.is_taken(delivery).await?,
                Err(RDKafkaErrorCode::MessageSizeTooLarge) => false,
                Err(error) => return Err(self.refused(&error)),
            };
            if taken {
                self.count(outcome);
                return Ok(());
            }
        }
        self.park(letter, origin, "it is too large even without its value");
        Ok(())
    }

    /// Waits for the brokers; gives the letter back when it is too large.
    async fn unless_taken<L>(&self, (letter, delivery): (L, DeliveryFuture)) -> Result<Option<L>, CopyError> {
        let taken = self.is_taken(delivery).await?;
        if taken {
            self.count(Copied::Sent);
        }
        Ok((!taken).then_some(letter))
    }

    /// Waits for the brokers; false when the record is too large.
    async fn is_taken(&self, delivery: DeliveryFuture) -> Result<bool, CopyError> {
        match delivery.await {
            Ok(Ok(_)) => Ok(true),
            Ok(Err((KafkaError::MessageProduction(RDKafkaErrorCode::MessageSizeTooLarge), _))) => Ok(false),
            Ok(Err((error, _))) => Err(self.refused(&error)),
            Err(error) => Err(self.refused(&error)),
        }
    }

    fn park(&self, letter: &DeadLetter<'_>, origin: &Origin<'_>, why: &str) {
        self.count(Copied::Parked);
        tracing::warn!(key = origin.key, offset = letter.offset, "dead letter is only in its file: {why}");
    }

    fn count(&self, outcome: Copied) {
        self.copied.with_label_values(&[outcome.as_str()]).inc();
    }

    fn refused(&self, error: &impl std::fmt::Display) -> CopyError {
        CopyError::Refused { topic: self.topic.clone(), words: error.to_string() }
    }
}

/// Without a timestamp: by the record's own, retention might delete the copy at once.
fn queue(
    producer: &FutureProducer<Context>,
    topic: &str,
    letter: &DeadLetter<'_>,
    headers: OwnedHeaders,
) -> Result<DeliveryFuture, RDKafkaErrorCode> {
    let mut record = FutureRecord::<[u8], [u8]>::to(topic).headers(headers);
    record.key = letter.key;
    record.payload = letter.value;
    producer.send_result(record).map_err(|(error, _)| error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail))
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
mod tests {
    use super::*;
    use rdkafka::message::Headers as _;

    fn letter(headers: Vec<(&'static str, Option<&'static [u8]>)>) -> DeadLetter<'static> {
        let (reason, detail) = ("InvalidTime", "attribute time is no timestamp");
        DeadLetter { reason, detail, offset: 7, timestamp: None, key: None, headers, value: Some(b"v") }
    }

    fn shown(letter: &DeadLetter<'_>) -> Vec<(String, Option<Vec<u8>>)> {
        let identity = Identity {
            ledger: "l".into(),
            sink: "orders".into(),
            cluster_id: "c".into(),
            topic: "t".into(),
            topic_id: "id".into(),
            partition: 3,
        };
        let origin = Origin { identity: &identity, decoder_version: 2, key: "_dlq/x" };
        let headers = headers(letter, &origin, next_attempt(letter).unwrap());
        headers.iter().map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec))).collect()
    }

    fn text(of: &str) -> Option<Vec<u8>> {
        Some(of.as_bytes().to_vec())
    }

    #[test]
    fn the_records_own_headers_come_first_as_they_were() {
        let own = vec![("b", Some(&b"\xff\0"[..])), ("a", None), ("b", Some(&b""[..]))];
        let shown = shown(&letter(own));
        assert_eq!(shown[..3], [("b".into(), Some(vec![255, 0])), ("a".into(), None), ("b".into(), Some(vec![]))]);
        let ours: Vec<_> = shown[3..].iter().map(|(name, value)| (name.strip_prefix(OURS).unwrap(), value)).collect();
        let expected = [
            ("version", text("1")),
            ("sink", text("orders")),
            ("topic", text("t")),
            ("topic-id", text("id")),
            ("partition", text("3")),
            ("offset", text("7")),
            ("timestamp", None),
            ("reason", text("InvalidTime")),
            ("stage", text("decode")),
            ("detail", text("attribute time is no timestamp")),
            ("attempt", text("1")),
            ("decoder-version", text("2")),
        ];
        assert!(ours.iter().copied().eq(expected.iter().map(|(name, value)| (*name, value))), "{ours:?}");
    }

    #[test]
    fn headers_of_an_earlier_copy_are_overwritten() {
        let earlier: Vec<(&str, Option<&[u8]>)> = vec![
            ("eventsink.dlq.offset", Some(b"999")),
            ("eventsink.dlq.object", Some(b"gone")),
            ("eventsink.dlq.attempt", Some(b"2")),
            ("eventsink.dlq.offset", Some(b"998")),
        ];
        let shown = shown(&letter(earlier));
        let all = |name: &str| shown.iter().filter(|(key, _)| key == name).map(|(_, value)| value).collect::<Vec<_>>();
        assert_eq!(all("eventsink.dlq.offset"), [&text("7")]);
        assert_eq!(all("eventsink.dlq.attempt"), [&text("3")]);
        assert!(all("eventsink.dlq.object").is_empty());
    }

    #[test]
    fn a_record_sent_back_three_times_is_copied_no_more() {
        let after = |value: &'static [u8]| next_attempt(&letter(vec![("eventsink.dlq.attempt", Some(value))]));
        assert_eq!([after(b"2"), after(b"3"), after(b"40"), after(b"x")], [Some(3), None, None, Some(1)]);
        assert_eq!(next_attempt(&letter(vec![("eventsink.dlq.attempt", None)])), Some(1));
    }
}
