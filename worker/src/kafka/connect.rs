//! The first questions to a cluster: does it answer, who is it, are the topics there. Used by `start` and `check`.

use super::client::Context;
use super::oauth;
use super::raw::{Kind, Queue};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::RDKafkaErrorCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// What a cluster says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// Its id; empty when it gives none.
    pub id: String,
    /// Topics asked for, with their partition counts.
    pub topics: Vec<(String, usize)>,
}

/// Why a cluster cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// No answer; the words are the client's most telling ones.
    #[error("no way into kafka at {servers}: {words}; {way_out}")]
    Unreachable {
        /// Bootstrap servers.
        servers: String,
        /// The client's words.
        words: String,
        /// What to look at.
        way_out: &'static str,
    },
    /// A topic that is not there or may not be read.
    #[error("kafka topic {topic} {words}: create it, allow this user to read it, or correct kafka.consumer.topics")]
    Topic {
        /// The topic.
        topic: String,
        /// The broker's words.
        words: String,
    },
}

impl ConnectError {
    /// True when both have the same way out; the client's words differ from try to try.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Unreachable { way_out: a, .. }, Self::Unreachable { way_out: b, .. }) => a == b,
            (Self::Topic { topic: a, .. }, Self::Topic { topic: b, .. }) => a == b,
            _ => false,
        }
    }
}

/// Asks the cluster for its id and the topics. Blocks up to `timeout` for each. Call it before subscribing: it takes
/// events off the consumer's queue.
///
/// # Errors
/// The cluster does not answer, or a topic is missing.
pub fn connect(
    consumer: &BaseConsumer<Context>,
    servers: &[String],
    topics: &[String],
    timeout: Duration,
) -> Result<Cluster, ConnectError> {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // Why a connection fails is told by events only, not by the answer to a question.
        let words = scope.spawn(|| most_telling(consumer, &over));
        let found = ask(consumer, topics, timeout);
        over.store(true, Ordering::Relaxed);
        let words = words.join().ok().flatten();
        found.map_err(|error| match error {
            Asked::Silent(own) => {
                let (cause, words) = words.unwrap_or((Cause::Unknown, own));
                ConnectError::Unreachable { servers: servers.join(","), words, way_out: cause.way_out() }
            }
            Asked::Topic(topic, words) => ConnectError::Topic { topic, words },
        })
    })
}

enum Asked {
    Silent(String),
    Topic(String, String),
}

fn ask(consumer: &BaseConsumer<Context>, topics: &[String], timeout: Duration) -> Result<Cluster, Asked> {
    let mut found = Vec::with_capacity(topics.len());
    for topic in topics {
        let metadata = consumer.fetch_metadata(Some(topic), timeout).map_err(|e| Asked::Silent(e.to_string()))?;
        let Some(answer) = metadata.topics().first() else {
            return Err(Asked::Topic(topic.clone(), "does not exist".to_owned()));
        };
        if let Some(error) = answer.error() {
            let words = match RDKafkaErrorCode::from(error) {
                RDKafkaErrorCode::UnknownTopicOrPartition => "does not exist".to_owned(),
                other => other.to_string(),
            };
            return Err(Asked::Topic(topic.clone(), words));
        }
        found.push((topic.clone(), answer.partitions().len()));
    }
    let id = consumer.client().fetch_cluster_id(timeout).unwrap_or_default();
    Ok(Cluster { id, topics: found })
}

/// Why no connection comes about, from the least to the most telling.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Cause {
    Unknown,
    Transport,
    Tls,
    Login,
    Token,
}

impl Cause {
    fn of(code: RDKafkaErrorCode) -> Self {
        match code {
            RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SaslAuthenticationFailed => Self::Login,
            RDKafkaErrorCode::SSL => Self::Tls,
            RDKafkaErrorCode::AllBrokersDown => Self::Unknown,
            _ => Self::Transport,
        }
    }

    fn way_out(self) -> &'static str {
        match self {
            Self::Token => "check kafka.sasl.oauth: token_url, client_id, client_secret and scope",
            Self::Login => "check kafka.sasl: mechanism, username and password, or what the brokers ask of tokens",
            Self::Tls => {
                "check kafka.security_protocol and kafka.tls: ca_file must hold the authority that signed the brokers' certificates"
            }
            Self::Transport | Self::Unknown => "check kafka.bootstrap_servers and kafka.security_protocol",
        }
    }
}

/// Waits for events until `over`; the words of the error that says most.
fn most_telling(consumer: &BaseConsumer<Context>, over: &AtomicBool) -> Option<(Cause, String)> {
    let queue = Queue::of(consumer);
    let mut best: Option<(Cause, String)> = None;
    while !over.load(Ordering::Relaxed) {
        let Some(event) = queue.poll(Duration::from_millis(50)) else { continue };
        let Kind::Error(fault) = event.kind() else { continue };
        let (cause, words) = match oauth::reported(&fault.text) {
            Some(words) => (Cause::Token, words.to_owned()),
            None => (Cause::of(fault.code), fault.text),
        };
        if best.as_ref().is_none_or(|(known, _)| cause >= *known) {
            best = Some((cause, words));
        }
    }
    best
}
