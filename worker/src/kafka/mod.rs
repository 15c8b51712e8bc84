//! Kafka: client settings, the poll thread, commits. It moves records and offsets, and decides nothing about cuts.
//!
//! `raw` is the one module with `unsafe`: it reaches what the bindings do not wrap.

pub mod batch;
pub mod client;
pub mod connect;
pub mod dead_letters;
pub mod oauth;
pub mod offsets;
pub mod poll;
mod pulse;
pub mod raw;
pub mod topics;

use std::fmt;
use std::sync::Arc;

/// One partition of one topic.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    /// Topic.
    pub topic: Arc<str>,
    /// Partition number.
    pub partition: i32,
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]", self.topic, self.partition)
    }
}

fn named((topic, partition): (String, i32)) -> TopicPartition {
    TopicPartition { topic: topic.into(), partition }
}

fn names(partitions: &[TopicPartition]) -> String {
    partitions.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}
