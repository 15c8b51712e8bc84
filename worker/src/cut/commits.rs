//! Which commit is due: one outstanding at a time, a failed one again after a while.

use super::Now;
use std::time::Duration;

/// A failed commit is tried again after this long, while the partition is assigned.
const RETRY: Duration = Duration::from_secs(1);

/// What is known of a partition's commits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Commits {
    answered: i64,
    outstanding: Option<i64>,
    retry: Option<Now>,
}

impl Commits {
    /// Nothing was committed yet.
    pub fn none() -> Self {
        Self { answered: -1, outstanding: None, retry: None }
    }

    /// True when the frontier is to be committed now; its answer is awaited from then on.
    pub fn begin(&mut self, frontier: i64) -> bool {
        let due = frontier > self.answered && self.outstanding.is_none() && self.retry.is_none();
        if due {
            self.outstanding = Some(frontier);
        }
        due
    }

    /// The answer. A failed commit is never a verdict on ownership: it is tried again.
    pub fn answer(&mut self, ok: bool, now: Now) {
        let Some(offset) = self.outstanding.take() else { return };
        if ok {
            self.answered = offset;
        } else {
            self.retry = Some(now + RETRY);
        }
    }

    /// Time passes; true when a failed one may be tried again.
    pub fn tick(&mut self, now: Now) -> bool {
        let due = self.retry.is_some_and(|at| now >= at);
        if due {
            self.retry = None;
        }
        due
    }
}
