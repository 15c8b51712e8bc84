//! Whether a partition holds for a cause.

use crate::log::{self, Kind};
use crate::shared::Shared;
use eventsink_worker::cut::{Hold, HoldReason};

/// What a driver notes when it makes the consumer report an error.
pub const CONSUMER_ERROR: &str = "consumer error";
/// What it notes when a record cannot be put into a file.
pub const ODD_RECORD: &str = "record that cannot be encoded";
/// What it notes when its decoder does not give the rows that another one promised.
pub const OTHER_DECODER: &str = "rows of another decoder";
/// What the world notes when somebody resets the group's offset.
pub const RESET: &str = "offset reset by hand";

/// Notes a hold; one without cause breaks the promise.
pub fn held(id: usize, hold: &Hold, shared: &mut Shared) {
    shared.see(hold.reason.as_str());
    let expected = match hold.reason {
        HoldReason::PartitionStalled => is_one_of(hold, CONSUMER_ERROR, shared),
        HoldReason::Unencodable => is_one_of(hold, ODD_RECORD, shared),
        HoldReason::PlanNeedsDecoder => is_one_of(hold, OTHER_DECODER, shared),
        HoldReason::OffsetsMoved => !shared.ignore_moved && shared.seen.contains_key(RESET),
        HoldReason::DeadLetterTopic => shared.dead_letters.copied,
        HoldReason::PoisonFlood => is_flood(hold, shared),
        HoldReason::OffsetLost => shared.losses.happen && !shared.losses.skip,
        _ => false,
    };
    if !expected {
        shared.broken = Some(format!("w{id} holds without cause: {hold:?}"));
    }
}

/// The driver noted a cause for each hold of that kind.
fn is_one_of(hold: &Hold, cause: &str, shared: &Shared) -> bool {
    let seen = |what: &str| shared.seen.get(what).copied().unwrap_or(0);
    seen(hold.reason.as_str()) <= seen(cause)
}

/// More of the held offsets are broken than the threshold allows; some may be gone since they were read.
fn is_flood(hold: &Hold, shared: &Shared) -> bool {
    let entries = || (hold.from..hold.to).filter_map(|at| Some((at, shared.log.entry(at)?)));
    let broken = entries().filter(|(_, entry)| entry.kind == Kind::Broken).count() as u64;
    // One set of rules leaves the optional ones out.
    let is_row =
        |at: i64, entry: &log::Entry| matches!(entry.kind, Kind::Event(_)) && !entry.compacted && at >= shared.log.low;
    let rows = entries().filter(|(at, entry)| is_row(*at, entry)).count() as u64;
    shared.dead_letters.flood.threshold.is_exceeded_by(broken, broken + rows)
}
