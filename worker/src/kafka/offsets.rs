//! Questions about offsets that need no membership in the group: its commits, and where logs begin and end.

use super::TopicPartition;
use super::client::Context;
use super::raw;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{Offset, TopicPartitionList};
use std::time::Duration;

/// A committed offset with the metadata that was committed beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommittedOffset {
    /// Next offset to be read, by the commit.
    pub offset: i64,
    /// Leader epoch that was committed beside it; -1 when there was none.
    pub epoch: i32,
    /// Metadata as bytes, since others may have committed what is no text.
    pub metadata: Vec<u8>,
}

/// The group's commits in the order asked; `None` where there is none. Blocks up to `timeout`.
///
/// # Errors
/// The broker's words.
pub fn committed(
    consumer: &BaseConsumer<Context>,
    wanted: &[TopicPartition],
    timeout: Duration,
) -> Result<Vec<Option<CommittedOffset>>, String> {
    let mut list = TopicPartitionList::new();
    for at in wanted {
        list.add_partition(&at.topic, at.partition);
    }
    let found = consumer.committed_offsets(list, timeout).map_err(|error| error.to_string())?;
    let metadata = raw::metadata(&found);
    let mut committed = Vec::with_capacity(wanted.len());
    for ((element, metadata), at) in found.elements().iter().zip(metadata).zip(wanted) {
        element.error().map_err(|error| format!("{at}: {error}"))?;
        if (element.topic(), element.partition()) != (&*at.topic, at.partition) {
            return Err("the answer has another order than the question".to_owned());
        }
        let epoch = raw::leader_epoch(&found, &at.topic, at.partition);
        committed.push(match element.offset() {
            Offset::Offset(offset) => Some(CommittedOffset { offset, epoch, metadata }),
            _ => None,
        });
    }
    if committed.len() != wanted.len() {
        return Err(format!("asked for {} partitions, got {}", wanted.len(), committed.len()));
    }
    Ok(committed)
}

/// First offset of a log, and the one after the last that may be read: the records of a transaction that is still
/// open do not count. Blocks up to `timeout`.
///
/// # Errors
/// The broker's words.
pub fn log_range(
    consumer: &BaseConsumer<Context>,
    at: &TopicPartition,
    timeout: Duration,
) -> Result<(i64, i64), String> {
    consumer.fetch_watermarks(&at.topic, at.partition, timeout).map_err(|error| format!("{at}: {error}"))
}
