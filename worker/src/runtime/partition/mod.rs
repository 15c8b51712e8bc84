//! One assigned partition: feeds the machine, decodes and encodes what it admits, carries out its effects.
//! Owned by one lane thread; everything that waits for a broker or a store runs elsewhere and reports back.

mod copy;
mod effects;
mod log;
mod waiting;

use self::waiting::{Fault, Item, Records, Waiting};
use super::lane::{Done, Shared};
use crate::cut::{Admit, HoldReason, Input, Machine, Manifest, Now, Outcome};
use crate::events::{Decoded, Place, Policy, Record, decode};
use crate::files::{CutWriter, EncodeError, FileKind, Identity, Rules};
use crate::kafka::TopicPartition;
use crate::kafka::poll::{Command, Delivery};
use crate::runtime::session::Resolved;
use crate::traces::CutTraces;
use bytes::Bytes;
use eventsink_crds::status::{HoldStatus, PartitionStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::task::AbortHandle;
use tracing::{info, warn};

/// Sizes are looked at after this many records.
const SIZE_EVERY: usize = 256;
/// A partition whose records wait for a cut in flight stops fetching at this many bytes.
const STASH_BYTES: usize = 8 << 20;

/// A replay that has not moved for so long asks what the log still has.
const REPLAY_STANDS: Duration = Duration::from_secs(10);

/// A cut whose rows are read again.
struct Replay {
    manifest: Manifest,
    missing: Missing,
    generation: u64,
    /// Last sign of progress: next offset and when it moved.
    moved: (i64, Now),
}

/// What an adopted cut lacks.
#[derive(Default)]
struct Missing {
    /// Files that the store does not have; only they are compared, since rows of the others may be gone by now.
    files: Vec<usize>,
    /// The rules of the cut, by which its records are read again.
    rules: Arc<Rules>,
}

/// The closed cut whose files are on their way.
struct Flight {
    manifest: Manifest,
    bodies: Vec<Bytes>,
    /// Its dead letters are copied from the files in the store: somebody else has promised it, or memory was short
    /// while the copy waited.
    from_files: bool,
}

impl Flight {
    /// Drops the bodies that nobody needs once all files are there, and gives the bytes of the others: those of dead
    /// letters to be copied.
    fn drop_bodies(&mut self, copies: bool) -> usize {
        for (file, body) in self.manifest.files.iter().zip(&mut self.bodies) {
            if !copies || self.from_files || file.kind != FileKind::DeadLetters {
                *body = Bytes::new();
            }
        }
        self.bodies.iter().map(Bytes::len).sum()
    }
}

/// See the module.
pub(super) struct Partition {
    at: TopicPartition,
    /// Numbers of eras, never given twice by this lane.
    eras: Arc<AtomicU64>,
    /// Era of the assignment: answers to `Resolve` of an earlier one no longer matter.
    born: u64,
    /// Raised by every discard: other answers of an earlier era no longer matter, though they may be on their way.
    era: u64,
    machine: Machine,
    shared: Arc<Shared>,
    identity: Option<Arc<Identity>>,
    /// Rows of the open cut.
    writer: Option<CutWriter>,
    /// The manifest whose rows are being read again.
    replay: Option<Replay>,
    /// Losses whose names must be in the bucket before the next file is.
    unnamed: Vec<(i64, i64)>,
    flight: Option<Flight>,
    /// What came while the open cut was full.
    waiting: Waiting,
    paused: bool,
    resolving: Option<AbortHandle>,
    tasks: Vec<AbortHandle>,
    /// Read generation in force.
    generation: u64,
    /// The commit whose answer is awaited.
    committing: Option<i64>,
    /// Files that the last check did not find.
    missing: Missing,
    /// Bytes taken from the budget for the writer and for bodies.
    held_writer: usize,
    held_bodies: usize,
    /// Has leave to exceed the budget.
    exceeds: bool,
    watermarks: (i64, i64),
    /// When they were told or asked for last.
    looked: Now,
    looking: Option<AbortHandle>,
    traces: CutTraces,
    /// The machine has been told that the store takes nothing.
    store_away: bool,
    /// The log has been told that records are taken.
    reading: bool,
    released: bool,
}

impl Partition {
    pub fn new(at: TopicPartition, eras: Arc<AtomicU64>, shared: Arc<Shared>) -> Self {
        let born = eras.fetch_add(1, Ordering::Relaxed);
        let (machine, first) = Machine::new(shared.orders);
        let mut partition = Self {
            traces: CutTraces::new(shared.traces.clone(), at.clone()),
            at,
            eras,
            born,
            era: born,
            machine,
            shared,
            identity: None,
            writer: None,
            replay: None,
            unnamed: Vec::new(),
            flight: None,
            waiting: Waiting::default(),
            paused: false,
            resolving: None,
            tasks: Vec::new(),
            generation: 0,
            committing: None,
            missing: Missing::default(),
            held_writer: 0,
            held_bodies: 0,
            exceeds: false,
            watermarks: (-1, -1),
            looked: Now::ZERO,
            looking: None,
            store_away: false,
            reading: false,
            released: false,
        };
        partition.carry_out(first);
        partition
    }

    pub fn is_released(&self) -> bool {
        self.released
    }

    /// Bytes that the machine frees when it hears that memory is short. A cut that is read again cannot be closed early.
    pub fn buffered_bytes(&self) -> usize {
        let closes = self.replay.is_none() && !self.store_away;
        let frees = if self.flight.is_some() { self.machine.copy_waits() } else { closes };
        if frees { self.held_writer } else { 0 }
    }

    pub fn deliver(&mut self, delivery: Delivery) {
        match delivery {
            Delivery::Assigned => {}
            Delivery::Records { generation, batch } => {
                self.waiting.add(Item::Records(Records { generation, batch, next: 0 }));
                self.drain();
                self.shared.budget.sub(self.waiting.fit_last());
            }
            Delivery::Position { generation, position } => {
                // Positions count only once every record below them was offered.
                if self.waiting.is_empty() {
                    self.input(Input::Position { generation, position });
                }
            }
            Delivery::Watermarks { low, high } => self.see_log(low, high),
            Delivery::Fault { generation, code, text } => {
                self.waiting.add(Item::Fault(Fault { generation, code, text }));
                self.drain();
            }
            Delivery::Committed { offset, error } => {
                self.shared.count_commit(error);
                // An answer to an earlier assignment's commit says nothing of ours.
                if self.committing == Some(offset) {
                    self.committing = None;
                    self.traces.committed(error.is_none());
                    self.input(Input::Committed { ok: error.is_none() });
                }
            }
            Delivery::Revoke { lost } => self.input(Input::Revoke { lost }),
            Delivery::Deadline => self.input(Input::Deadline),
        }
    }

    pub fn done(&mut self, era: u64, done: Done) {
        let awaited = if matches!(done, Done::Resolved(_)) { self.born } else { self.era };
        if era != awaited {
            return;
        }
        match done {
            Done::Resolved(Resolved { topic_id, resolution }) => {
                let other = self.identity.as_ref().is_some_and(|known| known.topic_id != topic_id);
                self.identity = Some(self.shared.identity(&self.at, topic_id));
                // It is resolved once more, by a machine that has forgotten the topic that is gone.
                self.input(if other { Input::TopicMadeAgain } else { Input::Resolved(resolution) });
            }
            Done::TopicMadeAgain => {
                warn!(partition = %self.at, topic_id = self.identity().topic_id, "the topic was deleted and made again");
                self.identity = None;
                self.input(Input::TopicMadeAgain);
            }
            Done::ManifestPut(Ok(outcome)) => self.input(Input::ManifestPut(outcome)),
            Done::ManifestPut(Err(error)) => {
                let detail = error.to_string();
                self.input(Input::Stuck { reason: error.hold(0).reason, detail });
            }
            Done::FilesPut(result) => {
                if result.is_ok() {
                    self.files_stand();
                }
                self.input(Input::FilesPut(result));
            }
            Done::DeadCopied(result) => self.input(Input::DeadCopied(result)),
            Done::FilesChecked { result, rules } => {
                let rules = match rules {
                    Some(Ok(rules)) => Arc::new(rules),
                    Some(Err(error)) => {
                        let detail = error.to_string();
                        return self.input(Input::Stuck { reason: error.hold(0).reason, detail });
                    }
                    None => Arc::clone(&self.shared.rules),
                };
                if result.as_ref().is_ok_and(Vec::is_empty) {
                    self.traces.lands();
                }
                self.missing = Missing { files: result.clone().unwrap_or_default(), rules };
                self.input(Input::FilesChecked(result));
            }
            Done::LogRange { generation, low, high } => self.log_range(generation, low, high),
            Done::Watermarks { low, high } => self.see_log(low, high),
        }
        self.drain();
    }

    /// Any input but records.
    pub fn input(&mut self, input: Input) {
        let mut effects = Vec::new();
        self.machine.step(input, self.shared.now(), &mut effects);
        self.carry_out(effects);
        self.tell_reading();
    }

    /// The log gets a line when records begin to be taken, or go on after a hold; what stops them has its own words.
    fn tell_reading(&mut self) {
        let reading = self.machine.stage_name() == "reading";
        if reading && !self.reading {
            info!(partition = %self.at, frontier = self.machine.frontier(), "reading");
        }
        self.reading = reading;
    }

    /// Offers what waits, in order, until the machine wants no more.
    fn drain(&mut self) {
        while let Some(item) = self.waiting.next() {
            match item {
                Item::Fault(fault) => self.fault(fault),
                Item::Records(records) => {
                    if let Some(rest) = self.offer_counted(records) {
                        self.waiting.put_back(Item::Records(rest));
                        break;
                    }
                }
            }
        }
        // While the store takes nothing the budget alone ends the reading.
        let pause = self.waiting.bytes() > STASH_BYTES && !self.store_away;
        let decided = pause || self.store_away || self.waiting.is_empty();
        if pause != self.paused && self.machine.wants_records() && decided {
            self.paused = pause;
            self.shared.command(if pause { Command::Pause(self.at.clone()) } else { Command::Resume(self.at.clone()) });
        }
    }

    /// Offers the records of one batch, within budget and metrics; gives it back when the rest must wait.
    fn offer_counted(&mut self, mut records: Records) -> Option<Records> {
        let size = records.batch.memory();
        let (first, begun) = (records.next, Instant::now());
        self.shared.budget.batch_goes_on(size);
        let done = self.offer(&mut records);
        if records.next > first {
            self.shared.metrics.encode_seconds.with_label_values(&["rows"]).observe(begun.elapsed().as_secs_f64());
        }
        if !done {
            return Some(records);
        }
        self.shared.budget.sub(size);
        None
    }

    /// Offers the records of one batch; false when the rest must wait.
    fn offer(&mut self, waiting: &mut Records) -> bool {
        let mut headers = Vec::new();
        let mut effects = Vec::new();
        let (now, budget) = (self.shared.now(), Arc::clone(&self.shared.budget));
        while waiting.next < waiting.batch.len() {
            let (offset, epoch) = waiting.batch.position(waiting.next);
            let admit = self.machine.admit(waiting.generation, offset, now, &mut effects);
            if !effects.is_empty() {
                self.carry_out(std::mem::take(&mut effects));
            }
            // Carrying them out may have put the partition on hold: then the record will be read again.
            let expected = self.machine.expected() == Some(offset);
            match admit {
                Admit::Drop => self.shared.metrics.stale.inc(),
                Admit::Take if !expected => {}
                Admit::Wait => return false,
                Admit::Take => {
                    // Not while effects are carried out: closing a cut takes it too.
                    let alone = budget.alone(waiting.batch.memory());
                    waiting.batch.headers(waiting.next, &mut headers);
                    let record = waiting.batch.record(waiting.next, &headers);
                    let taken = self.take(&record);
                    drop(alone);
                    match taken {
                        Ok(outcome) => self.machine.taken(epoch, outcome, now),
                        Err(error) => self.input(Input::Stuck {
                            reason: HoldReason::Unencodable,
                            detail: format!("offset {offset}: {error}"),
                        }),
                    }
                }
            }
            waiting.next += 1;
            if waiting.next.is_multiple_of(SIZE_EVERY) {
                self.tell_size();
            }
        }
        self.tell_size();
        true
    }

    fn take(&mut self, record: &Record<'_>) -> Result<Outcome, EncodeError> {
        if self.machine.planned_filtered() {
            return Ok(Outcome::Filtered);
        }
        let at = Place { topic: &self.at.topic, partition: self.at.partition };
        let decoded = decode(record, at, &policy(self.rules()));
        if let Decoded::Filtered(_) = decoded {
            self.shared.metrics.filtered.inc();
            return Ok(Outcome::Filtered);
        }
        if self.writer.is_none() {
            self.writer = Some(self.new_writer()?);
        }
        self.traces.takes(record, &decoded);
        let Some(writer) = &mut self.writer else { return Ok(Outcome::Filtered) };
        match decoded {
            Decoded::Event(event, notes) => {
                for note in notes.iter() {
                    self.shared.metrics.lenient.with_label_values(&[note.as_str()]).inc();
                }
                writer.event(record, &event).map(|()| Outcome::Row)
            }
            Decoded::Rejected(rejection) => {
                self.shared.metrics.rejected.with_label_values(&[rejection.reason.as_str()]).inc();
                writer
                    .dead(record, rejection.reason.as_str(), &rejection.detail)
                    .map(|()| Outcome::Dead(rejection.reason))
            }
            Decoded::Filtered(_) => Ok(Outcome::Filtered),
        }
    }

    /// What the records that come now are read under: a cut that is read again under its own rules, all else under ours.
    fn rules(&self) -> &Arc<Rules> {
        self.replay.as_ref().map_or(&self.shared.rules, |replay| &replay.missing.rules)
    }

    fn new_writer(&self) -> Result<CutWriter, EncodeError> {
        let identity = self.identity();
        let rules = Arc::clone(self.rules());
        let writer = match &self.replay {
            Some(replay) => CutWriter::following(rules, identity, self.shared.encoding, &replay.manifest.files)?,
            None => CutWriter::new(rules, identity, self.shared.encoding),
        };
        Ok(writer.sharing(&self.shared.encoders))
    }

    fn identity(&self) -> Arc<Identity> {
        self.identity.clone().unwrap_or_else(|| self.shared.identity(&self.at, String::new()))
    }

    fn tell_size(&mut self) {
        let (largest, memory) = self.writer.as_ref().map_or((0, 0), |writer| (writer.largest_file(), writer.memory()));
        self.shared.budget.change(&mut self.held_writer, memory);
        self.input(Input::Size(largest));
    }

    /// Tells the machine when the breaker of the store opens or closes.
    fn follow_breaker(&mut self) {
        let away = self.shared.gate.halts_cuts();
        if away != self.store_away {
            self.store_away = away;
            self.input(Input::StoreAway(away));
            self.drain();
        }
    }

    /// Time passes; a replay that does not move may wait for records that a truncated log no longer has.
    pub fn tick(&mut self) {
        self.follow_breaker();
        if self.machine.copy_waits() && self.shared.budget.is_short() {
            self.copy_from_files();
        }
        self.input(Input::Tick);
        self.look_at_log();
        let (now, expected, generation) = (self.shared.now(), self.machine.expected(), self.generation);
        self.insist_on_replay();
        let Some(replay) = &mut self.replay else { return };
        let Some(expected) = expected else { return };
        if (expected, generation) != (replay.moved.0, replay.generation) {
            replay.moved = (expected, now);
            replay.generation = generation;
        } else if now.saturating_sub(replay.moved.1) >= REPLAY_STANDS {
            replay.moved.1 = now;
            let (session, at) = (Arc::clone(&self.shared.session), self.at.clone());
            self.spawn(async move {
                let (low, high) = session.log_range(at).await;
                Done::LogRange { generation, low, high }
            });
        }
    }

    /// A cut that is read again goes on with leave while reading may stand for want of memory, and gives it back when it
    /// has been read. None is given while the store is away, since what has been read stays in memory then.
    fn insist_on_replay(&mut self) {
        let insists = match (&self.replay, self.exceeds) {
            (Some(_), false) => self.shared.budget.is_tight() && !self.store_away && self.shared.budget.may_exceed(),
            (Some(_), true) => true,
            (None, _) => false,
        };
        if insists != self.exceeds {
            self.exceeds = insists;
            if !insists {
                self.shared.budget.exceeds_no_more();
            }
            self.shared.command(Command::Insist(self.at.clone(), insists));
        }
    }

    /// The next offset to be read; on hold that after the last finished cut, or where the hold begins.
    fn reads_next(&self) -> Option<i64> {
        let frontier = Some(self.machine.frontier()).filter(|frontier| *frontier >= 0);
        self.machine.expected().or(frontier).or_else(|| self.machine.hold().map(|hold| hold.from))
    }

    pub fn status(&self) -> PartitionStatus {
        let position = self.machine.expected().unwrap_or(-1);
        let (low, high) = self.watermarks;
        let age = self.machine.oldest_unpersisted().map_or(Now::ZERO, |since| self.shared.now().saturating_sub(since));
        PartitionStatus {
            topic: self.at.topic.to_string(),
            partition: self.at.partition,
            stage: self.machine.stage_name().to_owned(),
            frontier: self.machine.frontier(),
            read_position: position,
            low_watermark: low,
            high_watermark: high,
            unread: self.reads_next().map_or(0, |next| high.saturating_sub(next).max(0).unsigned_abs()),
            buffered: self.machine.buffered(),
            oldest_unpersisted_ms: age.as_millis() as u64,
            in_flight: self.machine.in_flight(),
            hold: self.machine.hold().map(|hold| HoldStatus {
                reason: hold.reason.as_str().to_owned(),
                from: hold.from,
                to: hold.to,
                detail: hold.detail.clone(),
            }),
        }
    }
}

impl Drop for Partition {
    fn drop(&mut self) {
        if let Some(task) = self.resolving.take() {
            task.abort();
        }
        self.discard();
        if self.exceeds {
            self.shared.budget.exceeds_no_more();
        }
    }
}

fn policy(rules: &Rules) -> Policy {
    Policy { non_cloud_events: rules.non_cloud_events, lenient: rules.lenient }
}

#[cfg(test)]
mod tests;
