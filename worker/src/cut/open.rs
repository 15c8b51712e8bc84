//! The open cut: what has been read since the last cut closed, and when it must close.

use super::{Manifest, Ranges};
use crate::events::Reason;
use crate::files::FileKind;
use std::time::Duration;

/// Monotonic time since the process started; given by the caller.
pub type Now = Duration;

/// When a cut closes (settings `rotation`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Encoded bytes of the largest file.
    pub max_bytes: u64,
    /// Records: rows, dead letters and filtered ones.
    pub max_records: u64,
    /// Time since the first record.
    pub max_age: Duration,
    /// Time since the last record.
    pub max_idle: Duration,
}

/// Why a cut closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Trigger {
    /// Its largest file reached its size.
    Bytes,
    /// It holds the greatest number of records.
    Records,
    /// Its first record is old enough.
    Age,
    /// Nothing came for a while.
    Idle,
    /// The memory budget is short.
    Memory,
    /// The partition goes to another worker, or the worker stops.
    Leaving,
    /// The partition stands still after it: what follows cannot be read.
    Held,
}

impl Trigger {
    /// Every trigger, for metrics that must exist before the first of its kind.
    pub const ALL: [Self; 7] =
        [Self::Bytes, Self::Records, Self::Age, Self::Idle, Self::Memory, Self::Leaving, Self::Held];

    /// The name as metrics and logs show it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Records => "records",
            Self::Age => "age",
            Self::Idle => "idle",
            Self::Memory => "memory",
            Self::Leaving => "leaving",
            Self::Held => "held",
        }
    }
}

/// What became of one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// A row of a file.
    Row,
    /// A dead letter.
    Dead(Reason),
    /// Left out by the sink's policy.
    Filtered,
}

/// What the records of a cut were made of; filtered ones count neither way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub dead: u64,
    /// Rows and dead letters.
    pub judged: u64,
}

impl Tally {
    pub fn of(manifest: &Manifest) -> Self {
        let rows = manifest.files.iter().filter(|file| file.kind == FileKind::Rows).map(|file| file.rows).sum::<u64>();
        let dead = manifest.dead.len();
        Self { dead, judged: rows + dead }
    }

    pub fn and(self, other: Self) -> Self {
        Self { dead: self.dead + other.dead, judged: self.judged + other.judged }
    }
}

/// What has been read since the last cut closed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Open {
    pub from: i64,
    /// Next offset; everything in `[from, expected)` is accounted for here.
    pub expected: i64,
    /// Leader epoch of the last record; -1 when none was read or it is unknown.
    pub epoch: i32,
    pub records: u64,
    pub largest_file: u64,
    pub dead: Ranges,
    /// How often each reason made a dead letter.
    pub reasons: Vec<(Reason, u64)>,
    pub filtered: Ranges,
    pub absent: Ranges,
    pub lost: Ranges,
    pub since: Option<Now>,
    pub last: Now,
}

impl Open {
    pub fn at(offset: i64) -> Self {
        Self { from: offset, expected: offset, epoch: -1, ..Self::default() }
    }

    /// Passes offsets that the log does not have.
    pub fn skip_to(&mut self, offset: i64) {
        self.absent.push(self.expected, offset);
        self.expected = offset;
    }

    /// Passes offsets that the log lost. Unlike absent ones they need a manifest.
    pub fn lose_to(&mut self, offset: i64, now: Now) {
        if offset > self.expected {
            self.lost.push(self.expected, offset);
            self.expected = offset;
            self.since.get_or_insert(now);
            self.last = now;
        }
    }

    pub fn take(&mut self, epoch: i32, outcome: Outcome, now: Now) {
        let offset = self.expected;
        match outcome {
            Outcome::Row => {}
            Outcome::Dead(reason) => {
                self.dead.push(offset, offset + 1);
                match self.reasons.iter_mut().find(|(known, _)| *known == reason) {
                    Some((_, count)) => *count += 1,
                    None => self.reasons.push((reason, 1)),
                }
            }
            Outcome::Filtered => self.filtered.push(offset, offset + 1),
        }
        self.expected = offset + 1;
        self.epoch = epoch;
        self.records += 1;
        self.since.get_or_insert(now);
        self.last = now;
    }

    pub fn tally(&self) -> Tally {
        Tally { dead: self.dead.len(), judged: self.records - self.filtered.len() }
    }

    /// True when only absent offsets, or none, were passed: nothing needs a manifest.
    pub fn is_empty(&self) -> bool {
        self.records == 0 && self.lost.is_empty()
    }

    /// The limit that no further record may pass.
    pub fn full(&self, limits: &Limits) -> Option<Trigger> {
        // The size may have been measured for a cut that has closed since.
        if self.is_empty() {
            None
        } else if self.records >= limits.max_records {
            Some(Trigger::Records)
        } else if self.largest_file >= limits.max_bytes {
            Some(Trigger::Bytes)
        } else {
            None
        }
    }

    /// The limit of size or time that is reached, if any.
    pub fn due(&self, limits: &Limits, now: Now) -> Option<Trigger> {
        if self.is_empty() {
            return None;
        }
        let since = self.since.unwrap_or(self.last);
        self.full(limits).or_else(|| {
            if now.saturating_sub(since) >= limits.max_age {
                Some(Trigger::Age)
            } else if now.saturating_sub(self.last) >= limits.max_idle {
                Some(Trigger::Idle)
            } else {
                None
            }
        })
    }

    /// Large or old enough to be written when the partition leaves; a smaller one is read again by its
    /// next owner, so that rebalances do not make tiny files.
    pub fn worth_writing(&self, limits: &Limits, now: Now) -> bool {
        !self.is_empty()
            && (self.records > limits.max_records / 2
                || self.largest_file > limits.max_bytes / 2
                || self.since.is_some_and(|since| now.saturating_sub(since) > limits.max_age / 2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits =
        Limits { max_bytes: 1000, max_records: 3, max_age: Duration::from_secs(10), max_idle: Duration::from_secs(4) };

    fn secs(n: u64) -> Now {
        Duration::from_secs(n)
    }

    #[test]
    fn absent_offsets_alone_never_make_a_cut() {
        let mut open = Open::at(5);
        open.skip_to(9);
        assert_eq!(open.due(&LIMITS, secs(1000)), None);
        assert!(open.is_empty());
    }

    #[test]
    fn each_limit_closes_the_cut_at_its_value_and_not_before() {
        let mut open = Open::at(0);
        open.take(1, Outcome::Row, secs(1));
        assert_eq!(open.due(&LIMITS, secs(4)), None);
        assert_eq!(open.due(&LIMITS, secs(5)), Some(Trigger::Idle));
        open.take(1, Outcome::Filtered, secs(8));
        assert_eq!(open.due(&LIMITS, secs(10)), None);
        assert_eq!(open.due(&LIMITS, secs(11)), Some(Trigger::Age));
        open.largest_file = 1000;
        assert_eq!(open.due(&LIMITS, secs(8)), Some(Trigger::Bytes));
        open.take(1, Outcome::Dead(Reason::InvalidTime), secs(8));
        assert_eq!(open.due(&LIMITS, secs(8)), Some(Trigger::Records));
    }

    #[test]
    fn a_small_young_buffer_is_not_worth_a_file_when_the_partition_leaves() {
        let mut open = Open::at(0);
        open.take(1, Outcome::Row, secs(1));
        assert!(!open.worth_writing(&LIMITS, secs(6)));
        assert!(open.worth_writing(&LIMITS, secs(7)));
        open.largest_file = 501;
        assert!(open.worth_writing(&LIMITS, secs(1)));
    }
}
