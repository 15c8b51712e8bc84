//! The answer as text and as JSON.

use std::fmt;

use serde::Serialize;

use super::PartitionLag;
use crate::text::{cells, counted, printable, table};

/// Longest foreign text on a line.
const WIDTH: usize = 300;

/// One topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TopicLag {
    /// Its name.
    pub topic: String,
    /// Its id; `0` where the brokers give none.
    pub topic_id: String,
    /// Its partitions in order.
    pub partitions: Vec<PartitionLag>,
}

/// Sums over all partitions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Partitions.
    pub partitions: u64,
    /// Offsets above the group's commits.
    pub unread: i64,
    /// Partitions without a commit: their offsets are not in `unread`.
    pub without_commit: u64,
    /// Offsets not known to be durable.
    pub unpersisted: i64,
    /// Partitions without a start in the ledger: their offsets are not in `unpersisted`.
    pub without_ledger: u64,
    /// Partitions that would be held.
    pub holds: u64,
}

/// How far a sink is behind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Where its objects live.
    pub place: String,
    /// Its name.
    pub sink: String,
    /// Its consumer group.
    pub group: String,
    /// Its ledger; none before its first start.
    pub ledger: Option<String>,
    /// Its topics.
    pub topics: Vec<TopicLag>,
    /// Sums.
    pub totals: Totals,
}

impl Totals {
    pub(super) fn of(topics: &[TopicLag]) -> Self {
        let mut sum = Self::default();
        for partition in topics.iter().flat_map(|topic| &topic.partitions) {
            sum.partitions += 1;
            sum.unread = sum.unread.saturating_add(partition.unread.unwrap_or(0));
            sum.without_commit += u64::from(partition.unread.is_none());
            sum.unpersisted = sum.unpersisted.saturating_add(partition.unpersisted.unwrap_or(0));
            sum.without_ledger += u64::from(partition.unpersisted.is_none());
            sum.holds += u64::from(partition.hold.is_some());
        }
        sum
    }

    /// The last line of the text.
    fn words(&self) -> String {
        let mut words = format!(
            "lag: {} unread by the commits, {} not persisted by the ledger, in {}",
            counted(self.unread.unsigned_abs(), "offset"),
            self.unpersisted,
            counted(self.partitions, "partition"),
        );
        for (count, what) in [(self.without_commit, "commit"), (self.without_ledger, "start in the ledger")] {
            if count > 0 {
                words.push_str(&format!("; {} without a {what}, not counted", counted(count, "partition")));
            }
        }
        if self.holds > 0 {
            words.push_str(&format!("; {} would be held", counted(self.holds, "partition")));
        }
        words
    }
}

fn number(number: Option<i64>) -> String {
    number.map_or_else(|| "-".to_owned(), |number| number.to_string())
}

fn tip(partition: &PartitionLag) -> String {
    match &partition.tip {
        None => "none".to_owned(),
        Some(tip) => match tip.proof {
            Some(proof) => format!("finished ({proof})"),
            None => format!("{}..{} not known to be finished", tip.from, tip.to),
        },
    }
}

impl fmt::Display for Report {
    /// Table, holds, sums.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ledger = self.ledger.as_deref().map_or_else(|| "no ledger yet".to_owned(), |id| format!("ledger {id}"));
        writeln!(f, "{}, {ledger}, sink {} (group {})", self.place, self.sink, self.group)?;
        let head = ["topic", "tip", "partition", "log start", "log end", "committed", "frontier", "unread"];
        let mut rows = vec![cells(&head)];
        rows[0].push("unpersisted".to_owned());
        for topic in &self.topics {
            for partition in &topic.partitions {
                let mut row = vec![topic.topic.clone(), tip(partition), partition.partition.to_string()];
                row.extend([partition.log_start, partition.log_end].iter().map(i64::to_string));
                let figures = [partition.committed, partition.frontier, partition.unread, partition.unpersisted];
                row.extend(figures.into_iter().map(number));
                rows.push(row);
            }
        }
        table(f, 2, &rows)?;
        for topic in &self.topics {
            for partition in &topic.partitions {
                let Some(hold) = &partition.hold else { continue };
                let (topic, detail) = (&topic.topic, printable(&hold.detail, WIDTH));
                writeln!(f, "hold: {topic}[{}]: {}: {detail}", partition.partition, hold.reason.as_str())?;
            }
        }
        writeln!(f, "{}", self.totals.words())
    }
}
