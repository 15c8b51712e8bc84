//! Does the promise hold? Reads a bucket's ledger and the ends of its files, and says what is wrong and what to do.
//!
//! It writes nothing and asks Kafka nothing, so a worker may go on writing meanwhile: whatever looks wrong because it
//! is younger than the listing is looked at once more. Judging is pure (`chain`, `file`, `deep`, `inventory`,
//! `partition`); `read` and `walk` do the I/O. What leaves no trace in the bucket is beyond it: a tip deleted together
//! with all its files and marks. `log` asks Kafka too, for those who want that.

mod chain;
mod deep;
mod file;
mod inventory;
pub mod log;
mod partition;
pub(crate) mod read;
mod report;
mod walk;

pub use chain::PartitionId;
pub use report::{
    Claim, Finding, FindingKind, LogSummary, Loss, PartitionSummary, Report, TopicSummary, Totals, Unfinished,
};

use crate::store::Store;
use walk::Walk;

/// How far into the files an audit looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Depth {
    /// At their footers.
    #[default]
    Footers,
    /// At every row, whose digest and offset must be those that footer and manifest say.
    Rows,
}

/// Audits everything below the store's base path. `on_progress` gets the number of objects judged and of all.
///
/// A store that stops answering is a finding too ([`FindingKind::NotFinished`]): what was not looked at is not green.
pub async fn audit(store: &Store, depth: Depth, on_progress: impl Fn(u64, u64)) -> Report {
    let mut walk = Walk::new(store, depth, on_progress);
    let end = walk.run().await;
    walk.close(end)
}
