//! The copy of the dead letters of the cut in flight, whose files are there: tried until it is made, while the next cut
//! fills behind it.

use super::Machine;
use crate::cut::open::Now;
use crate::cut::{Effect, Hold, HoldReason, Manifest};
use std::time::Duration;

/// A failed copy is tried again after this long, and after twice as long each time it fails once more.
const FIRST_WAIT: Duration = Duration::from_secs(10);
/// It never waits longer.
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// A copy that is not made yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Copying {
    /// When it is tried again; `None` while the answer to [`Effect::CopyDead`] is awaited.
    retry: Option<Now>,
    /// How long it waits when it fails.
    wait: Duration,
}

impl Machine {
    /// Commit, done mark and the next manifest all prove that the copy was made: none of them may come before it.
    pub(super) fn copies(&self, manifest: &Manifest) -> bool {
        self.orders.copy_dead && !manifest.dead.is_empty()
    }

    /// Copies the dead letters of the cut in flight.
    pub(super) fn copy(&mut self, fx: &mut Vec<Effect>) {
        let Some(flight) = &mut self.flight else { return };
        flight.copying = Some(Copying { retry: None, wait: FIRST_WAIT });
        fx.extend(flight.manifest.clone().map(Effect::CopyDead));
    }

    pub(super) fn dead_copied(&mut self, result: Result<(), String>, now: Now, fx: &mut Vec<Effect>) {
        let Some(flight) = &mut self.flight else { return };
        let Some(copying) = &mut flight.copying else { return };
        let Err(detail) = result else { return self.finish(now, fx) };
        *copying = Copying { retry: Some(now + copying.wait), wait: (copying.wait * 2).min(LONGEST_WAIT) };
        let hold = Hold { reason: HoldReason::DeadLetterTopic, from: flight.from, to: flight.to, detail };
        if self.standing.as_ref() != Some(&hold) {
            fx.push(Effect::Held(hold.clone()));
        }
        self.standing = Some(hold);
        // The next owner copies it.
        if self.leaving {
            self.release(fx);
        }
    }

    /// Tries a failed copy again when that is due.
    pub(super) fn copy_again(&mut self, now: Now, fx: &mut Vec<Effect>) {
        let Some(flight) = &mut self.flight else { return };
        let Some(copying) = &mut flight.copying else { return };
        if copying.retry.take_if(|at| now >= *at).is_some() {
            fx.extend(flight.manifest.clone().map(Effect::CopyDead));
        }
    }

    /// True while a failed copy waits to be tried again.
    #[must_use]
    pub fn copy_waits(&self) -> bool {
        self.flight.as_ref().and_then(|flight| flight.copying).is_some_and(|copying| copying.retry.is_some())
    }
}
