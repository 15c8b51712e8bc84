//! Finishing a cut that somebody else has promised: which of its files are there, and what the log says of the rest.

use super::{Flight, Machine, Stage, name_losses};
use crate::cut::open::{Now, Open};
use crate::cut::{Effect, Hold, HoldReason, MANIFEST_VERSION, Manifest, Ranges};

impl Flight {
    /// The flight of an adopted cut, whose records are those that `open` has read again.
    fn adopted(manifest: Manifest, missing: Vec<usize>, open: &Open) -> Self {
        Self {
            from: manifest.from,
            to: manifest.to,
            records: open.records,
            manifest: Some(manifest),
            missing,
            copying: None,
            trigger: None,
            since: open.since,
        }
    }
}

impl Machine {
    pub(super) fn adopt(&mut self, manifest: Manifest, now: Now, fx: &mut Vec<Effect>) {
        self.generation += 1;
        self.open = Open::at(manifest.from);
        self.flight = None;
        self.upcoming = None;
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

    pub(super) fn files_checked(&mut self, result: Result<Vec<usize>, String>, now: Now, fx: &mut Vec<Effect>) {
        let Stage::Checking(manifest) = &self.stage else { return };
        let manifest = manifest.clone();
        match result {
            Err(detail) => {
                let hold = Hold { reason: HoldReason::ForeignObject, from: manifest.from, to: manifest.to, detail };
                self.hold_at(hold, now, fx);
            }
            Ok(missing) if missing.is_empty() && self.copies(&manifest) => {
                self.flight = Some(Flight::adopted(manifest.clone(), vec![], &self.open));
                self.read_from(manifest.to, manifest.epoch, fx);
                self.copy(fx);
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
    pub(super) fn pass_gap(&mut self, offset: i64, now: Now, fx: &mut Vec<Effect>) {
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
            if !self.orders.skip_losses {
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
        let to = manifest.to;
        self.flight = Some(Flight::adopted(manifest, missing, &self.open));
        self.open = Open::at(to);
        fx.push(Effect::EncodeReplay { incomplete });
    }

    pub(super) fn replayed(&mut self, result: Result<(), String>, now: Now, fx: &mut Vec<Effect>) {
        let Some(flight) = &mut self.flight else { return };
        match result {
            Ok(()) => fx.push(Effect::PutFiles(std::mem::take(&mut flight.missing))),
            Err(detail) => {
                let hold = Hold { reason: HoldReason::PlanNeedsDecoder, from: flight.from, to: flight.to, detail };
                self.hold_at(hold, now, fx);
            }
        }
    }
}
