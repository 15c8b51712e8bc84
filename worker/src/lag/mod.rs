//! How far a sink is behind, and whether it could go on: what Kafka has, what the group committed, what the ledger
//! says, side by side. Reads only: it joins no group, takes no prefix, fixes no start. Judging is pure (`judge`),
//! `ask` does the I/O.

mod ask;
mod judge;
mod report;

pub use ask::{LagError, lag};
pub use judge::{PartitionLag, Tip};
pub use report::{Report, Totals};
