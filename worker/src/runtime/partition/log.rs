//! What the log and its consumer tell of a partition besides records.

use super::Partition;
use super::waiting::Fault;
use crate::cut::{HoldReason, Input};
use crate::runtime::lane::Done;
use rdkafka::error::RDKafkaErrorCode;
use std::sync::Arc;
use std::time::Duration;
use tracing::warn;

/// The ends of a log that is not fetched are asked for this often.
const LOOK: Duration = Duration::from_secs(10);

impl Partition {
    pub(super) fn fault(&mut self, Fault { generation, code, text }: Fault) {
        warn!(partition = %self.at, %code, text, "kafka reports an error for the partition");
        match code {
            // Kafka names them in several ways; what the log still has decides what is lost.
            RDKafkaErrorCode::AutoOffsetReset
            | RDKafkaErrorCode::OffsetOutOfRange
            | RDKafkaErrorCode::LogTruncation => {
                let (session, at, id) = (Arc::clone(&self.shared.session), self.at.clone(), self.identity());
                self.spawn(async move {
                    if session.was_made_again(&at.topic, &id.topic_id).await {
                        return Done::TopicMadeAgain;
                    }
                    let (low, _) = session.log_range(at).await;
                    Done::LogRange { generation, low, high: -1 }
                });
            }
            // The client tries again by itself.
            RDKafkaErrorCode::UnknownTopicOrPartition
            | RDKafkaErrorCode::UnknownTopic
            | RDKafkaErrorCode::UnknownPartition
            | RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::NotLeaderForPartition
            | RDKafkaErrorCode::LeaderNotAvailable => {}
            _ => self.input(Input::ConsumerError { generation, reason: HoldReason::PartitionStalled, detail: text }),
        }
    }

    pub(super) fn see_log(&mut self, low: i64, high: i64) {
        self.watermarks = (low, high);
        self.looked = self.shared.now();
    }

    /// What is not fetched is not told: a partition that is paused or on hold asks how far its log goes on.
    pub(super) fn look_at_log(&mut self) {
        let asks = self.looking.as_ref().is_some_and(|task| !task.is_finished());
        let now = self.shared.now();
        if asks || now.saturating_sub(self.looked) < LOOK {
            return;
        }
        self.looked = now;
        let (session, at) = (Arc::clone(&self.shared.session), self.at.clone());
        self.looking = Some(self.spawn(async move {
            let (low, high) = session.log_range(at).await;
            Done::Watermarks { low, high }
        }));
    }

    /// `high` is -1 when the consumer itself has found the offset out of range.
    pub(super) fn log_range(&mut self, generation: u64, low: i64, high: i64) {
        let ends_early = self.replay.as_ref().is_some_and(|replay| high < replay.manifest.to);
        if high < 0 || ends_early {
            let expected = self.machine.expected().unwrap_or(low);
            let low = if high < 0 { low } else { low.min(expected) };
            self.input(Input::OutOfRange { generation, low });
        }
    }
}
