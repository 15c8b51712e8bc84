//! The partition machine: one per assigned partition, from assignment to release.
//!
//! It decides, it does nothing. The caller feeds it every record and every result, in order, and carries
//! out the effects, in order. Two machines that both believe they own a partition are harmless: they
//! collide on the name of the next manifest, and the loser adopts what the winner has promised.

use super::commits::Commits;
use super::open::{Limits, Now, Open, Outcome, Trigger};
use super::{
    Admit, CutPlan, Effect, GENESIS_NONCE, Hold, HoldReason, Input, MANIFEST_VERSION, Manifest, PutOutcome, Ranges,
    Resolution,
};
use std::time::Duration;

/// A held partition is looked at anew after this long, so that a mended cause needs no restart.
const HOLD_RECHECK: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Stage {
    Resolving,
    Checking(Manifest),
    Replaying {
        manifest: Manifest,
        missing: Vec<usize>,
        incomplete: bool,
    },
    Reading,
    /// `recheck` is `None` while the answer to a [`Effect::Resolve`] is awaited.
    Held {
        hold: Hold,
        recheck: Option<Now>,
    },
    Released,
}

/// The one cut that is closed but not finished.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Flight {
    from: i64,
    to: i64,
    epoch: i32,
    records: u64,
    /// Known once the manifest is in the bucket.
    nonce: Option<String>,
    /// Files still to be put when the rows of an adopted cut have been compared.
    missing: Vec<usize>,
    /// Why it closed; `None` for an adopted one.
    trigger: Option<Trigger>,
    since: Option<Now>,
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    limits: Limits,
    skip_losses: bool,
    stage: Stage,
    generation: u64,
    open: Open,
    flight: Option<Flight>,
    /// `from`, nonce and epoch of the last finished manifest.
    tip: Option<(i64, String, i32)>,
    frontier: i64,
    commits: Commits,
    leaving: bool,
}

impl Machine {
    /// A machine for a partition just assigned. `skip_losses` is the setting `on_loss: skip`.
    #[must_use]
    pub fn new(limits: Limits, skip_losses: bool) -> (Self, Vec<Effect>) {
        let machine = Self {
            limits,
            skip_losses,
            stage: Stage::Resolving,
            generation: 0,
            open: Open::at(0),
            flight: None,
            tip: None,
            frontier: -1,
            commits: Commits::none(),
            leaving: false,
        };
        (machine, vec![Effect::Resolve])
    }

    /// Every offset below it is accounted for by finished cuts; -1 while that is not known.
    #[must_use]
    pub fn frontier(&self) -> i64 {
        self.frontier
    }

    /// Next offset that the open cut expects; `None` while nothing is read.
    #[must_use]
    pub fn expected(&self) -> Option<i64> {
        self.reads().then_some(self.open.expected)
    }

    fn reads(&self) -> bool {
        matches!(self.stage, Stage::Reading | Stage::Replaying { .. })
    }

    /// Records read but not yet in a finished cut.
    #[must_use]
    pub fn buffered(&self) -> u64 {
        self.open.records + self.flight.as_ref().map_or(0, |flight| flight.records)
    }

    /// When the oldest record that is not yet durable was read.
    #[must_use]
    pub fn oldest_unpersisted(&self) -> Option<Now> {
        self.flight.as_ref().and_then(|flight| flight.since).or(self.open.since)
    }

    /// The hold, if the partition is on hold.
    #[must_use]
    pub fn hold(&self) -> Option<&Hold> {
        match &self.stage {
            Stage::Held { hold, .. } => Some(hold),
            _ => None,
        }
    }

    /// One word for `/status`.
    #[must_use]
    pub fn stage_name(&self) -> &'static str {
        match &self.stage {
            Stage::Resolving => "resolving",
            Stage::Checking(_) | Stage::Replaying { .. } => "adopting",
            Stage::Reading => "reading",
            Stage::Held { .. } => "held",
            Stage::Released => "released",
        }
    }

    /// True while a closed cut is being written.
    #[must_use]
    pub fn in_flight(&self) -> bool {
        self.flight.is_some()
    }

    /// May the record at `offset` be used? Effects pushed to `fx` come before the record.
    pub fn admit(&mut self, generation: u64, offset: i64, now: Now, fx: &mut Vec<Effect>) -> Admit {
        if !self.reads() || generation != self.generation || offset < self.open.expected || self.leaving {
            return Admit::Drop;
        }
        self.pass_gap(offset, now, fx);
        match &self.stage {
            Stage::Replaying { .. } => return Admit::Take,
            Stage::Reading => {}
            _ => return Admit::Drop,
        }
        if let Some(trigger) = self.open.full(&self.limits) {
            if self.flight.is_some() {
                return Admit::Wait;
            }
            self.close(trigger, fx);
        }
        // A gap is passed only now: it belongs to the cut of the record that shows it.
        self.open.skip_to(offset);
        Admit::Take
    }

    /// The admitted record has become a row, a dead letter, or was left out.
    pub fn taken(&mut self, epoch: i32, outcome: Outcome, now: Now) {
        self.open.take(epoch, outcome, now);
    }

    /// True when the plan of an adopted cut says that the record just admitted was left out.
    #[must_use]
    pub fn planned_filtered(&self) -> bool {
        matches!(&self.stage, Stage::Replaying { manifest, .. } if manifest.filtered.contains(self.open.expected))
    }

    /// Everything but records.
    pub fn step(&mut self, input: Input, now: Now, fx: &mut Vec<Effect>) {
        if self.stage == Stage::Released {
            return;
        }
        match input {
            Input::Resolved(resolution) => self.resolved(resolution, now, fx),
            Input::Tick => self.tick(now, fx),
            Input::Size(bytes) => self.open.largest_file = bytes,
            Input::Position { generation, position } => self.position(generation, position, now, fx),
            Input::ManifestPut(outcome) => self.manifest_put(outcome, now, fx),
            Input::FilesPut(result) => self.files_put(result, now, fx),
            Input::FilesChecked(result) => self.files_checked(result, now, fx),
            Input::Replayed(result) => self.replayed(result, now, fx),
            Input::Committed { ok } => {
                self.commits.answer(ok, now);
                self.commit(fx);
            }
            Input::TopicMadeAgain => self.start_anew(fx),
            Input::OutOfRange { generation, low } => self.out_of_range(generation, low, now, fx),
            Input::ConsumerError { generation, reason, detail } => {
                // A leaving partition reads nothing more: it finishes what is in flight.
                if generation == self.generation && self.reads() && !self.leaving {
                    self.stall(reason, detail, now, fx);
                }
            }
            // What a hold has dropped already cannot be stuck.
            Input::Stuck { reason, detail } if !matches!(self.stage, Stage::Resolving | Stage::Held { .. }) => {
                self.stall(reason, detail, now, fx);
            }
            Input::Stuck { .. } => {}
            Input::ShortOfMemory => {
                if self.stage == Stage::Reading && self.flight.is_none() && !self.open.is_empty() {
                    self.close(Trigger::Memory, fx);
                }
            }
            Input::Revoke { lost } => self.revoke(lost, now, fx),
            Input::Deadline => self.release(fx),
        }
    }

    fn stall(&mut self, reason: HoldReason, detail: String, now: Now, fx: &mut Vec<Effect>) {
        let at = self.open.expected;
        self.hold_at(Hold { reason, from: at, to: at + 1, detail }, now, fx);
    }

    fn resolved(&mut self, resolution: Resolution, now: Now, fx: &mut Vec<Effect>) {
        if !matches!(self.stage, Stage::Resolving | Stage::Held { .. }) {
            return;
        }
        match resolution {
            Resolution::Fresh(start) if self.tip.is_some() => {
                let (from, to) = (start.offset.min(self.frontier), self.frontier.max(start.offset));
                let detail = format!(
                    "the ledger reached {to} and now has no manifest at all: restore the objects under _eventsink/"
                );
                self.hold_at(Hold { reason: HoldReason::LedgerMissing, from, to, detail }, now, fx);
            }
            Resolution::Fresh(start) => {
                self.frontier = start.offset;
                self.read_from(start.offset, start.epoch, fx);
            }
            Resolution::After(manifest) => self.go_on_after(&manifest, fx),
            Resolution::Adopt(manifest) => self.adopt(manifest, now, fx),
            Resolution::Hold(hold) => self.hold_at(hold, now, fx),
        }
    }

    /// Offsets of the topic that is gone mean nothing any more. Its buffered rows go too: some may be of the new one.
    fn start_anew(&mut self, fx: &mut Vec<Effect>) {
        if self.leaving {
            return self.release(fx);
        }
        let (next, resolve) = Self::new(self.limits, self.skip_losses);
        *self = Self { generation: self.generation + 1, ..next };
        fx.extend([Effect::Discard, Effect::Pause]);
        fx.extend(resolve);
    }

    /// A new read generation from `offset` on.
    fn read_from(&mut self, offset: i64, epoch: i32, fx: &mut Vec<Effect>) {
        self.stage = Stage::Reading;
        self.generation += 1;
        self.open = Open::at(offset);
        fx.push(Effect::Seek { offset, epoch, generation: self.generation });
    }

    fn go_on_after(&mut self, manifest: &Manifest, fx: &mut Vec<Effect>) {
        self.tip = Some((manifest.from, manifest.nonce.clone(), manifest.epoch));
        self.frontier = manifest.to;
        self.read_from(manifest.to, manifest.epoch, fx);
        self.commit(fx);
    }

    fn adopt(&mut self, manifest: Manifest, now: Now, fx: &mut Vec<Effect>) {
        self.generation += 1;
        self.open = Open::at(manifest.from);
        self.flight = None;
        if manifest.version > MANIFEST_VERSION {
            let detail = format!(
                "manifest {} has version {}, this worker knows {MANIFEST_VERSION}: run the newer worker again",
                manifest.nonce, manifest.version
            );
            let hold = Hold { reason: HoldReason::UnknownVersion, from: manifest.from, to: manifest.to, detail };
            return self.hold_at(hold, now, fx);
        }
        self.frontier = manifest.from;
        // Its writer may have stopped between the manifest and the names.
        name_losses(&manifest.lost, fx);
        fx.push(Effect::CheckFiles(manifest.clone()));
        self.stage = Stage::Checking(manifest);
    }

    fn files_checked(&mut self, result: Result<Vec<usize>, String>, now: Now, fx: &mut Vec<Effect>) {
        let Stage::Checking(manifest) = &self.stage else { return };
        let manifest = manifest.clone();
        match result {
            Err(detail) => {
                let hold = Hold { reason: HoldReason::ForeignObject, from: manifest.from, to: manifest.to, detail };
                self.hold_at(hold, now, fx);
            }
            Ok(missing) if missing.is_empty() => self.go_on_after(&manifest, fx),
            Ok(missing) => {
                self.generation += 1;
                self.open = Open::at(manifest.from);
                fx.push(Effect::Replay(manifest.clone()));
                fx.push(Effect::Seek { offset: manifest.from, epoch: -1, generation: self.generation });
                self.stage = Stage::Replaying { manifest, missing, incomplete: false };
            }
        }
    }

    /// Passes the offsets below `offset` that did not come. In an adopted cut none of them may be needed
    /// for a missing file; and a record at or past its `to` ends the replay.
    fn pass_gap(&mut self, offset: i64, now: Now, fx: &mut Vec<Effect>) {
        let Stage::Replaying { manifest, missing, incomplete } = &mut self.stage else { return };
        let until = offset.min(manifest.to);
        let from = self.open.expected;
        let mut gone = Ranges::default();
        for at in (from..until).filter(|at| !manifest.absent.contains(*at) && !manifest.lost.contains(*at)) {
            // The last record below `to` may be among those gone: then its epoch is not known.
            self.open.epoch = -1;
            let needed = |file: &usize| manifest.files.get(*file).is_some_and(|f| f.first <= at && at <= f.last);
            if !manifest.filtered.contains(at) && missing.iter().any(needed) {
                gone.push(at, at + 1);
            }
        }
        if !gone.is_empty() {
            if !self.skip_losses {
                let detail = format!(
                    "the log no longer has offsets {from} to {until}, which manifest {} promises: restore them, or set kafka.on_loss to skip to go on without them",
                    manifest.nonce
                );
                return self.hold_at(Hold { reason: HoldReason::OffsetLost, from, to: until, detail }, now, fx);
            }
            *incomplete = true;
            name_losses(&gone, fx);
        }
        self.open.skip_to(until);
        if offset >= manifest.to {
            self.end_replay(now, fx);
        }
    }

    fn end_replay(&mut self, now: Now, fx: &mut Vec<Effect>) {
        let Stage::Replaying { manifest, missing, incomplete } = std::mem::replace(&mut self.stage, Stage::Reading)
        else {
            return;
        };
        let truncated = self.open.epoch >= 0 && manifest.epoch >= 0 && self.open.epoch != manifest.epoch;
        if truncated && !incomplete {
            let detail = format!(
                "the records below {} have leader epoch {}, manifest {} saw {}: the log was truncated and written anew",
                manifest.to, self.open.epoch, manifest.nonce, manifest.epoch
            );
            let hold = Hold { reason: HoldReason::OffsetLost, from: manifest.from, to: manifest.to, detail };
            return self.hold_at(hold, now, fx);
        }
        self.flight = Some(Flight {
            from: manifest.from,
            to: manifest.to,
            epoch: manifest.epoch,
            records: self.open.records,
            nonce: Some(manifest.nonce.clone()),
            missing,
            trigger: None,
            since: self.open.since,
        });
        self.open = Open::at(manifest.to);
        fx.push(Effect::EncodeReplay { incomplete });
    }

    fn replayed(&mut self, result: Result<(), String>, now: Now, fx: &mut Vec<Effect>) {
        let Some(flight) = &mut self.flight else { return };
        match result {
            Ok(()) => fx.push(Effect::PutFiles(std::mem::take(&mut flight.missing))),
            Err(detail) => {
                let hold = Hold { reason: HoldReason::PlanNeedsDecoder, from: flight.from, to: flight.to, detail };
                self.hold_at(hold, now, fx);
            }
        }
    }

    fn close(&mut self, trigger: Trigger, fx: &mut Vec<Effect>) {
        assert!(self.flight.is_none(), "one cut in flight");
        let next = Open::at(self.open.expected);
        let open = std::mem::replace(&mut self.open, next);
        assert!(open.expected > open.from, "a cut holds an offset");
        let prev = self.tip.as_ref().map_or_else(|| GENESIS_NONCE.to_owned(), |(_, nonce, _)| nonce.clone());
        self.flight = Some(Flight {
            from: open.from,
            to: open.expected,
            epoch: open.epoch,
            records: open.records,
            nonce: None,
            missing: vec![],
            trigger: Some(trigger),
            since: open.since,
        });
        fx.push(Effect::Cut(CutPlan {
            from: open.from,
            to: open.expected,
            epoch: open.epoch,
            prev,
            dead: open.dead,
            filtered: open.filtered,
            absent: open.absent,
            lost: open.lost,
            trigger,
        }));
    }

    fn manifest_put(&mut self, outcome: PutOutcome, now: Now, fx: &mut Vec<Effect>) {
        let Some(flight) = &mut self.flight else { return };
        match outcome {
            PutOutcome::Won(manifest) => {
                assert_eq!(manifest.from, flight.from, "the manifest is of the cut in flight");
                flight.nonce = Some(manifest.nonce);
                // Not before: a rival may have read what this worker found gone.
                name_losses(&manifest.lost, fx);
                fx.push(Effect::PutFiles((0..manifest.files.len()).collect()));
            }
            PutOutcome::Rival(_) if self.leaving => self.release(fx),
            PutOutcome::Rival(manifest) => {
                fx.push(Effect::Discard);
                self.adopt(manifest, now, fx);
            }
        }
    }

    fn files_put(&mut self, result: Result<(), String>, now: Now, fx: &mut Vec<Effect>) {
        let Some(flight) = self.flight.take_if(|flight| flight.nonce.is_some()) else { return };
        if let Err(detail) = result {
            let hold = Hold { reason: HoldReason::ForeignObject, from: flight.from, to: flight.to, detail };
            return self.hold_at(hold, now, fx);
        }
        let nonce = flight.nonce.unwrap_or_default();
        self.tip = Some((flight.from, nonce, flight.epoch));
        // Offsets that the log does not have need no manifest of their own.
        self.frontier = if self.open.is_empty() { self.open.expected } else { flight.to };
        self.commit(fx);
        if self.leaving {
            self.leave(now, fx);
        } else {
            if flight.trigger == Some(Trigger::Idle) {
                fx.push(Effect::MarkDone(flight.from));
            }
            self.close_if_due(now, fx);
        }
    }

    fn close_if_due(&mut self, now: Now, fx: &mut Vec<Effect>) {
        if self.stage == Stage::Reading
            && self.flight.is_none()
            && let Some(trigger) = self.open.due(&self.limits, now)
        {
            self.close(trigger, fx);
        }
    }

    fn tick(&mut self, now: Now, fx: &mut Vec<Effect>) {
        if let Stage::Held { recheck, .. } = &mut self.stage
            && recheck.is_some_and(|at| now >= at)
        {
            *recheck = None;
            fx.push(Effect::Resolve);
        }
        if !self.leaving {
            self.close_if_due(now, fx);
        }
        if self.commits.tick(now) {
            self.commit(fx);
        }
    }

    fn position(&mut self, generation: u64, position: i64, now: Now, fx: &mut Vec<Effect>) {
        // A leaving partition drops records: their offsets must not look absent.
        if generation != self.generation || self.leaving {
            return;
        }
        // The log may end where the adopted cut does: no record will show its end.
        if matches!(&self.stage, Stage::Replaying { manifest, .. } if position >= manifest.to) {
            self.pass_gap(position, now, fx);
        }
        if self.stage != Stage::Reading || position <= self.open.expected {
            return;
        }
        self.open.skip_to(position);
        if self.open.is_empty() && self.flight.is_none() {
            self.frontier = position;
            self.commit(fx);
        }
    }

    /// Commits the frontier when that is due.
    fn commit(&mut self, fx: &mut Vec<Effect>) {
        if self.commits.begin(self.frontier) {
            let (nonce, epoch) =
                self.tip.as_ref().map_or((GENESIS_NONCE.to_owned(), -1), |(_, nonce, epoch)| (nonce.clone(), *epoch));
            fx.push(Effect::Commit { offset: self.frontier, epoch, nonce });
        }
    }

    fn out_of_range(&mut self, generation: u64, low: i64, now: Now, fx: &mut Vec<Effect>) {
        if generation != self.generation || !self.reads() || self.leaving {
            return;
        }
        let from = self.open.expected;
        if low > from && self.skip_losses {
            // An adopted cut may end within the loss: what lies past its `to` is lost to the next cut.
            self.pass_gap(low, now, fx);
            if self.stage == Stage::Reading {
                self.open.lose_to(low, now);
            }
            if self.reads() {
                self.generation += 1;
                fx.push(Effect::Seek { offset: low, epoch: -1, generation: self.generation });
            }
            return;
        }
        let detail = if low > from {
            format!(
                "the log begins at {low}, offsets from {from} on are gone: set kafka.on_loss to skip to go on at {low} with the loss named"
            )
        } else {
            format!("the log ends below {from}: it was truncated, or the topic was made anew")
        };
        let hold = Hold { reason: HoldReason::OffsetLost, from, to: low.max(from + 1), detail };
        self.hold_at(hold, now, fx);
    }

    fn hold_at(&mut self, hold: Hold, now: Now, fx: &mut Vec<Effect>) {
        self.generation += 1;
        self.flight = None;
        self.open = Open::at(self.open.expected);
        fx.push(Effect::Discard);
        fx.push(Effect::Pause);
        if self.hold() != Some(&hold) {
            fx.push(Effect::Held(hold.clone()));
        }
        self.stage = Stage::Held { hold, recheck: Some(now + HOLD_RECHECK) };
        if self.leaving {
            self.release(fx);
        }
    }

    fn revoke(&mut self, lost: bool, now: Now, fx: &mut Vec<Effect>) {
        self.leaving = true;
        if lost || self.stage != Stage::Reading {
            return self.release(fx);
        }
        if self.flight.is_none() {
            self.leave(now, fx);
        }
    }

    /// Nothing is in flight: write the open cut if it is worth a file, else leave it to the next owner.
    fn leave(&mut self, now: Now, fx: &mut Vec<Effect>) {
        if self.open.worth_writing(&self.limits, now) {
            return self.close(Trigger::Leaving, fx);
        }
        if let Some((from, _, _)) = &self.tip {
            fx.push(Effect::MarkDone(*from));
        }
        self.release(fx);
    }

    fn release(&mut self, fx: &mut Vec<Effect>) {
        self.stage = Stage::Released;
        self.generation += 1;
        self.flight = None;
        fx.push(Effect::Discard);
        fx.push(Effect::Release);
    }
}

fn name_losses(lost: &Ranges, fx: &mut Vec<Effect>) {
    fx.extend(lost.iter().map(|(from, to)| Effect::NameLoss { from, to }));
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
