//! How a partition comes to stand still: at once, or once what was read before is written.

use super::{Machine, Stage};
use crate::cut::open::{Now, Open};
use crate::cut::{Effect, Hold, HoldReason};

impl Machine {
    /// Reading ends here. What was read is sound, and the log may not give it again: it is written before the
    /// partition stands still.
    pub(super) fn hold_behind(&mut self, hold: Hold, now: Now, fx: &mut Vec<Effect>) {
        if self.stage != Stage::Reading || (self.open.is_empty() && self.flight.is_none()) {
            return self.hold_at(hold, now, fx);
        }
        self.generation += 1;
        self.upcoming = Some(hold);
        fx.push(Effect::Pause);
        self.close_if_due(now, fx);
    }

    /// The partition stands still, and what is not promised yet is read again afterwards.
    pub(super) fn hold_at(&mut self, hold: Hold, now: Now, fx: &mut Vec<Effect>) {
        self.generation += 1;
        self.upcoming = None;
        if let Some(flight) = self.flight.take_if(|flight| flight.copying.is_some()) {
            // What was read behind it is read again.
            self.open = Open::at(flight.to);
            self.flight = Some(flight);
            fx.push(Effect::DiscardOpen);
        } else {
            self.flight = None;
            self.open = Open::at(self.open.expected);
            fx.push(Effect::Discard);
        }
        fx.push(Effect::Pause);
        if self.hold() != Some(&hold) {
            fx.push(Effect::Held(hold.clone()));
        }
        if self.flight.is_none() {
            self.standing = (hold.reason == HoldReason::PoisonFlood).then(|| hold.clone());
        }
        self.stage = Stage::Held { recheck: Some(now + hold.reason.recheck()), hold };
        if self.leaving {
            self.release(fx);
        }
    }
}
