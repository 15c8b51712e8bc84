//! The partition machine: one per assigned partition, from assignment to release.
//!
//! It decides, it does nothing. The caller feeds it every record and every result, in order, and carries
//! out the effects, in order. Two machines that both believe they own a partition are harmless: they
//! collide on the name of the next manifest, and the loser adopts what the winner has promised.

mod adopt;
mod copying;
mod holding;

use self::copying::Copying;
use super::commits::Commits;
use super::flood::Flood;
use super::open::{Limits, Now, Open, Outcome, Tally, Trigger};
use super::{
    Admit, CutPlan, Effect, FloodLimit, GENESIS_NONCE, Hold, HoldReason, Input, Manifest, PutOutcome, Ranges,
    Resolution,
};

/// What the settings tell the machine to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Orders {
    /// When cuts close.
    pub limits: Limits,
    /// Setting `on_loss: skip`.
    pub skip_losses: bool,
    /// There is a dead-letter topic.
    pub copy_dead: bool,
    /// When dead letters are a flood.
    pub flood: FloodLimit,
}

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
    records: u64,
    /// Known once it is in the bucket.
    manifest: Option<Manifest>,
    /// Files still to be put when the rows of an adopted cut have been compared.
    missing: Vec<usize>,
    /// Its files are there, and its dead letters are being copied.
    copying: Option<Copying>,
    /// Why it closed; `None` for an adopted one.
    trigger: Option<Trigger>,
    since: Option<Now>,
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    orders: Orders,
    stage: Stage,
    generation: u64,
    open: Open,
    flight: Option<Flight>,
    /// `from`, nonce and epoch of the last finished manifest.
    tip: Option<(i64, String, i32)>,
    frontier: i64,
    commits: Commits,
    flood: Flood,
    /// What the last look found, when the next look takes a while.
    standing: Option<Hold>,
    /// What holds the partition once all that was read before it is written.
    upcoming: Option<Hold>,
    /// The store takes nothing: no cut begins.
    store_away: bool,
    leaving: bool,
}

impl Machine {
    /// A machine for a partition just assigned.
    #[must_use]
    pub fn new(orders: Orders) -> (Self, Vec<Effect>) {
        let machine = Self {
            orders,
            stage: Stage::Resolving,
            generation: 0,
            open: Open::at(0),
            flight: None,
            tip: None,
            frontier: -1,
            commits: Commits::none(),
            flood: Flood::new(orders.flood),
            standing: None,
            upcoming: None,
            store_away: false,
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

    /// False while nothing that comes can be used: the partition stands still, or will once all that was read before
    /// an error is written.
    #[must_use]
    pub fn wants_records(&self) -> bool {
        self.reads() && self.upcoming.is_none()
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

    /// The hold, if the partition is on hold. A flood and a failed copy stand until their cut is allowed or finished.
    #[must_use]
    pub fn hold(&self) -> Option<&Hold> {
        match &self.stage {
            Stage::Held { hold, .. } => Some(hold),
            _ => self.standing.as_ref().filter(|hold| self.frontier < hold.to),
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
        if let Some(trigger) = self.open.full(&self.orders.limits) {
            if self.flight.is_some() || self.store_away {
                return Admit::Wait;
            }
            self.close(trigger, now, fx);
            if self.stage != Stage::Reading {
                return Admit::Drop;
            }
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
            Input::DeadCopied(result) => self.dead_copied(result, now, fx),
            Input::Committed { ok } => {
                self.commits.answer(ok, now);
                self.commit(fx);
            }
            Input::TopicMadeAgain => self.start_anew(fx),
            Input::OutOfRange { generation, low } => self.out_of_range(generation, low, now, fx),
            Input::ConsumerError { generation, reason, detail } => {
                // A leaving partition reads nothing more: it finishes what is in flight.
                if generation == self.generation && self.reads() && !self.leaving {
                    let at = self.open.expected;
                    self.hold_behind(Hold { reason, from: at, to: at + 1, detail }, now, fx);
                }
            }
            // What a hold has dropped already cannot be stuck.
            Input::Stuck { reason, detail } if !matches!(self.stage, Stage::Resolving | Stage::Held { .. }) => {
                let at = self.open.expected;
                self.hold_at(Hold { reason, from: at, to: at + 1, detail }, now, fx);
            }
            Input::Stuck { .. } => {}
            Input::ShortOfMemory => {
                if self.stage == Stage::Reading && !self.open.is_empty() {
                    self.free(now, fx);
                }
            }
            Input::StoreAway(away) => self.store_away = away,
            Input::Revoke { lost } => self.revoke(lost, now, fx),
            Input::Deadline => self.release(fx),
        }
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
        let (next, resolve) = Self::new(self.orders);
        *self = Self { generation: self.generation + 1, store_away: self.store_away, ..next };
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
        // A restart does not make many small cuts harmless.
        if self.tip.as_ref().is_none_or(|(_, nonce, _)| *nonce != manifest.nonce) {
            self.flood.remember(Tally::of(manifest));
        }
        self.tip = Some((manifest.from, manifest.nonce.clone(), manifest.epoch));
        self.frontier = manifest.to;
        self.read_from(manifest.to, manifest.epoch, fx);
        self.commit(fx);
    }

    /// Closes the open cut, unless that would drain the topic into the dead letters.
    fn close(&mut self, trigger: Trigger, now: Now, fx: &mut Vec<Effect>) {
        assert!(self.flight.is_none(), "one cut in flight");
        if let Some(hold) = self.flood.judge(&self.open) {
            return self.hold_at(hold, now, fx);
        }
        self.standing = None;
        let next = Open::at(self.open.expected);
        let open = std::mem::replace(&mut self.open, next);
        assert!(open.expected > open.from, "a cut holds an offset");
        let prev = self.tip.as_ref().map_or_else(|| GENESIS_NONCE.to_owned(), |(_, nonce, _)| nonce.clone());
        self.flight = Some(Flight {
            from: open.from,
            to: open.expected,
            records: open.records,
            manifest: None,
            missing: vec![],
            copying: None,
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
                // Not before: a rival may have read what this worker found gone.
                name_losses(&manifest.lost, fx);
                fx.push(Effect::PutFiles((0..manifest.files.len()).collect()));
                flight.manifest = Some(manifest);
            }
            PutOutcome::Rival(_) if self.leaving => self.release(fx),
            PutOutcome::Rival(manifest) => {
                fx.push(Effect::Discard);
                self.adopt(manifest, now, fx);
            }
        }
    }

    fn files_put(&mut self, result: Result<(), String>, now: Now, fx: &mut Vec<Effect>) {
        let Some(manifest) = self.flight.as_ref().and_then(|flight| flight.manifest.as_ref()) else { return };
        match result {
            Ok(()) if self.copies(manifest) => self.copy(fx),
            Ok(()) => self.finish(now, fx),
            Err(detail) => {
                let hold = Hold { reason: HoldReason::ForeignObject, from: manifest.from, to: manifest.to, detail };
                self.hold_at(hold, now, fx);
            }
        }
    }

    /// The cut in flight needs nothing more.
    fn finish(&mut self, now: Now, fx: &mut Vec<Effect>) {
        let Some(flight) = self.flight.take() else { return };
        fx.push(Effect::Finished);
        if let Some(manifest) = &flight.manifest {
            self.flood.remember(Tally::of(manifest));
        }
        self.tip = flight.manifest.map(|manifest| (manifest.from, manifest.nonce, manifest.epoch));
        // Offsets that the log does not have need no manifest of their own.
        self.frontier = if self.open.is_empty() { self.open.expected } else { flight.to };
        self.commit(fx);
        if let Stage::Held { hold, recheck } = &mut self.stage
            && hold.reason == HoldReason::DeadLetterTopic
        {
            *recheck = Some(now);
        }
        if self.leaving {
            self.leave(now, fx);
        } else {
            if flight.trigger == Some(Trigger::Idle) {
                fx.push(Effect::MarkDone(flight.from));
            }
            self.close_if_due(now, fx);
        }
    }

    /// Memory is short: the open cut closes, or is given up while the copy before it fails.
    fn free(&mut self, now: Now, fx: &mut Vec<Effect>) {
        if self.flight.is_none() {
            // Rows that cannot be written take less memory than files that cannot.
            if !self.store_away {
                self.close(Trigger::Memory, now, fx);
            }
        } else if self.copy_waits()
            && let Some(hold) = self.standing.clone()
        {
            self.hold_at(hold, now, fx);
        }
    }

    fn close_if_due(&mut self, now: Now, fx: &mut Vec<Effect>) {
        if self.stage != Stage::Reading || self.flight.is_some() || self.store_away {
            return;
        }
        if let Some(hold) = self.upcoming.take_if(|_| self.open.is_empty()) {
            return self.hold_at(hold, now, fx);
        }
        let held = self.upcoming.is_some().then_some(Trigger::Held);
        if let Some(trigger) = held.or_else(|| self.open.due(&self.orders.limits, now)) {
            self.close(trigger, now, fx);
        }
    }

    fn tick(&mut self, now: Now, fx: &mut Vec<Effect>) {
        // A cut whose copy goes on is not to be adopted anew.
        if let Stage::Held { recheck, .. } = &mut self.stage
            && self.flight.is_none()
            && recheck.is_some_and(|at| now >= at)
        {
            *recheck = None;
            fx.push(Effect::Resolve);
        }
        self.copy_again(now, fx);
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
        if low > from && self.orders.skip_losses {
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
        if low > from {
            let detail = format!(
                "the log begins at {low}, offsets from {from} on are gone: set kafka.on_loss to skip to go on at {low} with the loss named"
            );
            // The log may no longer have what was read last either.
            return self.hold_behind(Hold { reason: HoldReason::OffsetLost, from, to: low, detail }, now, fx);
        }
        let detail = format!("the log ends below {from}: it was truncated, or the topic was made anew");
        self.hold_at(Hold { reason: HoldReason::OffsetLost, from, to: from + 1, detail }, now, fx);
    }

    fn revoke(&mut self, lost: bool, now: Now, fx: &mut Vec<Effect>) {
        self.leaving = true;
        if lost || self.stage != Stage::Reading || self.copy_waits() {
            return self.release(fx);
        }
        if self.flight.is_none() {
            self.leave(now, fx);
        }
    }

    /// Nothing is in flight: write the open cut if it is worth a file and the store takes it, else leave it to the
    /// next owner.
    fn leave(&mut self, now: Now, fx: &mut Vec<Effect>) {
        if !self.store_away && self.open.worth_writing(&self.orders.limits, now) {
            return self.close(Trigger::Leaving, now, fx);
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
