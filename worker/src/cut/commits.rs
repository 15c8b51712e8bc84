//! Which commit is due: one outstanding at a time, a failed or unanswered one again after a while.

use super::Now;
use std::time::Duration;

/// A failed commit is tried again after this long, while the partition is assigned.
const RETRY: Duration = Duration::from_secs(1);
/// A commit without an answer for this long after the first tick that saw it counts as failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is known of a partition's commits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Commits {
    answered: i64,
    outstanding: Option<i64>,
    /// When the outstanding one is given up; set by the first tick that sees it.
    deadline: Option<Now>,
    retry: Option<Now>,
}

impl Commits {
    /// Nothing was committed yet.
    pub fn none() -> Self {
        Self { answered: -1, outstanding: None, deadline: None, retry: None }
    }

    /// True when the frontier is to be committed now; its answer is awaited from then on.
    pub fn begin(&mut self, frontier: i64) -> bool {
        let due = frontier > self.answered && self.outstanding.is_none() && self.retry.is_none();
        if due {
            self.outstanding = Some(frontier);
            self.deadline = None;
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

    /// Time passes; true when a failed or unanswered one may be tried again. The caller passes no answer on that
    /// names another offset than the newest commit's, so a late one is not taken for its answer.
    pub fn tick(&mut self, now: Now) -> bool {
        if self.outstanding.is_some() {
            let due = now >= *self.deadline.get_or_insert(now + PATIENCE);
            if due {
                self.outstanding = None;
            }
            return due;
        }
        let due = self.retry.is_some_and(|at| now >= at);
        if due {
            self.retry = None;
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_without_an_answer_is_given_up_after_its_patience_and_sent_with_the_newest_frontier() {
        let mut commits = Commits::none();
        let start = Now::default();
        assert!(commits.begin(3));
        assert!(!commits.tick(start));
        assert!(!commits.begin(5));
        assert!(!commits.tick(start + PATIENCE - Duration::from_secs(1)));
        assert!(commits.tick(start + PATIENCE));
        assert!(commits.begin(5));
        assert!(!commits.tick(start + PATIENCE), "the new one has its own time");
    }
}
