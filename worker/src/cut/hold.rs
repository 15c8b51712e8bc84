//! Why a partition stands still: nothing is read or written until a person, a setting or time mends it.

use serde::Serialize;
use std::time::Duration;

/// A partition on hold: reason, the offsets concerned, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Hold {
    /// Stable name.
    pub reason: HoldReason,
    /// First offset concerned.
    pub from: i64,
    /// First offset after those concerned.
    pub to: i64,
    /// What was found and the way out, in a sentence.
    pub detail: String,
}

/// Stable names of holds, as conditions and `/status` show them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub enum HoldReason {
    /// The group's committed offset lies above the ledger's tip without the ledger's own note.
    OffsetsMoved,
    /// The committed offset carries the note of another ledger.
    GroupShared,
    /// The committed offset names a manifest that is not in the bucket.
    LedgerMissing,
    /// The log no longer has offsets that the sink has not accounted for.
    OffsetLost,
    /// The topic was deleted and made again.
    TopicRecreated,
    /// An object under a planned key is not the planned file.
    ForeignObject,
    /// This decoder cannot repeat the rows that a manifest promised.
    PlanNeedsDecoder,
    /// The ledger was written by a newer version.
    UnknownVersion,
    /// The chain of manifests has a hole or a fork.
    LedgerDamaged,
    /// The consumer reported an error for this partition that reading on would skip over.
    PartitionStalled,
    /// A record cannot be put into a file.
    Unencodable,
    /// Dead letters could not be copied to their topic.
    DeadLetterTopic,
    /// Too many of the records would become dead letters.
    PoisonFlood,
}

impl HoldReason {
    /// The name as conditions, metrics and `/status` show it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OffsetsMoved => "OffsetsMoved",
            Self::GroupShared => "GroupShared",
            Self::LedgerMissing => "LedgerMissing",
            Self::OffsetLost => "OffsetLost",
            Self::TopicRecreated => "TopicRecreated",
            Self::ForeignObject => "ForeignObject",
            Self::PlanNeedsDecoder => "PlanNeedsDecoder",
            Self::UnknownVersion => "UnknownVersion",
            Self::LedgerDamaged => "LedgerDamaged",
            Self::PartitionStalled => "PartitionStalled",
            Self::Unencodable => "Unencodable",
            Self::DeadLetterTopic => "DeadLetterTopic",
            Self::PoisonFlood => "PoisonFlood",
        }
    }

    /// A held partition is looked at anew after this long, so that a mended cause needs no restart.
    #[must_use]
    pub fn recheck(self) -> Duration {
        Duration::from_secs(match self {
            // Each look reads a whole cut.
            Self::PoisonFlood => 600,
            _ => 60,
        })
    }
}
