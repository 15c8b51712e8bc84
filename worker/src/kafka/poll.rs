//! The poll thread: one consumer, one queue. It routes records, carries out commands, and never blocks on
//! storage: it holds back for a moment for lanes and memory, and a revocation waits, up to its deadline, for the
//! partitions that leave.

mod fetching;
mod places;
mod slots;
mod waker;

use super::batch::{Batch, Spare};
use super::client::Context;
pub use super::pulse::Pulse;
use super::raw::{self, Event, Fault, Kind, Queue, RawRecord};
use super::{TopicPartition, named, names};
use crate::runtime::Budget;
use eventsink_crds::settings::Shutdown;
use fetching::Breath;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};
use slots::{Slot, Slots};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};
use tracing::{debug, info, warn};
use waker::Waker;

/// How long one poll waits; commands wait as long at most.
const POLL: Duration = Duration::from_millis(20);
/// With records in batches that are not full it waits so long for more.
const LINGER: Duration = Duration::from_millis(5);
/// Events that are taken before commands, clocks and the budget are looked at again.
const EVENTS: usize = 256;
/// While reading is held back, commands and the budget are looked at this often.
const LANES_CATCH_UP: Duration = Duration::from_millis(3);
/// All batches are handed over at this size together, since the budget does not know of them before.
const PENDING_BYTES: usize = 4 << 20;
/// Positions and watermarks are told this often.
const POSITIONS: Duration = Duration::from_millis(500);
/// What the process really holds is looked at this often.
const MEASURE: Duration = Duration::from_millis(50);
/// Room for copies of a large record is kept for once to twice this time.
const REMEMBER: Duration = Duration::from_secs(120);
/// Where fetching begins until the start is known. Never a logical offset: when a seek overtakes the answer to its
/// look-up, librdkafka looks it up again half a second later and reads on from there, past everything between.
const PARKED: Offset = Offset::Offset(0);

/// What the poll thread is asked to do.
#[derive(Debug)]
pub enum Command {
    /// Read from an offset on.
    Seek {
        /// Partition.
        at: TopicPartition,
        /// First offset.
        offset: i64,
        /// Leader epoch at the offset, so that the broker validates it; -1 when unknown.
        epoch: i32,
        /// What records carry from then on.
        generation: u64,
    },
    /// Stop fetching.
    Pause(TopicPartition),
    /// Fetch again.
    Resume(TopicPartition),
    /// Fetch even while the byte budget is gone, or no longer so.
    Insist(TopicPartition, bool),
    /// Commit asynchronously.
    Commit {
        /// Partition.
        at: TopicPartition,
        /// Next offset to be read.
        offset: i64,
        /// Leader epoch of the last record below it; -1 when unknown.
        epoch: i32,
        /// The ledger's note.
        metadata: String,
    },
    /// The partition that was told to leave has nothing left to do.
    Released(TopicPartition),
    /// Leave the group and end.
    Shutdown,
}

impl Command {
    /// The partition that it concerns.
    fn at(&self) -> Option<&TopicPartition> {
        match self {
            Self::Seek { at, .. } | Self::Commit { at, .. } => Some(at),
            Self::Pause(at) | Self::Resume(at) | Self::Insist(at, _) | Self::Released(at) => Some(at),
            Self::Shutdown => None,
        }
    }
}

/// What the poll thread tells of a partition.
#[derive(Debug)]
pub enum Delivery {
    /// The partition is ours now.
    Assigned,
    /// Records, in offset order.
    Records {
        /// Read generation.
        generation: u64,
        /// The records.
        batch: Batch,
    },
    /// All records below this offset have been delivered.
    Position {
        /// Read generation.
        generation: u64,
        /// Next offset to be delivered.
        position: i64,
    },
    /// The log, as the last fetch saw it.
    Watermarks {
        /// First offset.
        low: i64,
        /// Next offset.
        high: i64,
    },
    /// The consumer reported an error for the partition.
    Fault {
        /// Read generation.
        generation: u64,
        /// The library's code.
        code: RDKafkaErrorCode,
        /// The library's words.
        text: String,
    },
    /// A commit was answered.
    Committed {
        /// Offset that was to be committed.
        offset: i64,
        /// What went wrong, if anything.
        error: Option<RDKafkaErrorCode>,
    },
    /// The partition leaves; answer with [`Command::Released`].
    Revoke {
        /// It already belongs to another member.
        lost: bool,
    },
    /// The deadline for leaving is over.
    Deadline,
}

/// Where deliveries go.
pub type Deliver = Box<dyn Fn(&TopicPartition, Delivery) + Send>;

/// Where to read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seek {
    offset: i64,
    /// Leader epoch; -1 when unknown.
    epoch: i32,
    generation: u64,
}

/// See the module.
pub struct Poller {
    /// Dropped before the consumer.
    queue: Queue,
    consumer: Arc<BaseConsumer<Context>>,
    commands: Receiver<Command>,
    deliver: Deliver,
    budget: Arc<Budget>,
    pulse: Arc<Pulse>,
    started: Instant,
    /// How long a leaving partition may take.
    deadline: Duration,
    slots: Slots,
    spare: Arc<Spare>,
    waker: Waker,
    /// How often a partition left before its lane had let go: until then its commands are of an earlier assignment.
    abandoned: HashMap<TopicPartition, u32>,
    breath: Breath,
    /// Bytes copied into batches since all were handed over.
    pending: usize,
    /// A batch was handed over since the last turn of the loop.
    full: bool,
    /// Records and their bytes since then.
    read: (u64, u64),
    seek_again: Option<Instant>,
    stopping: bool,
}

/// Why the poll thread ended.
#[derive(Debug, thiserror::Error)]
#[error("kafka client ended: {0}")]
pub struct Fatal(String);

impl Poller {
    /// A poller for `consumer`, which is subscribed already.
    pub fn new(
        consumer: Arc<BaseConsumer<Context>>,
        commands: Receiver<Command>,
        deliver: Deliver,
        shared: (Arc<Budget>, Arc<Pulse>, Instant),
        deadline: Duration,
    ) -> Self {
        let (budget, pulse, started) = shared;
        Self {
            queue: Queue::of(&consumer),
            waker: Waker::of(&consumer),
            consumer,
            commands,
            deliver,
            budget,
            pulse,
            started,
            deadline,
            slots: Slots::default(),
            spare: Arc::default(),
            abandoned: HashMap::new(),
            breath: Breath::default(),
            pending: 0,
            full: false,
            read: (0, 0),
            seek_again: None,
            stopping: false,
        }
    }

    /// Runs until [`Command::Shutdown`] or a fatal error. `assign` takes partitions without a group.
    ///
    /// # Errors
    /// The client reported a fatal error.
    pub fn run(mut self, assign: Vec<TopicPartition>) -> Result<(), Fatal> {
        if !assign.is_empty() {
            let list = list(&assign, PARKED);
            self.consumer.assign(&list).map_err(|e| Fatal(e.to_string()))?;
            self.assigned(assign);
        }
        let [mut told, mut measured, mut gave_back, mut served, mut forgot] = [Instant::now(); 5];
        loop {
            self.pulse.beat.store(self.started.elapsed().as_millis() as u64, Ordering::Relaxed);
            while let Ok(command) = self.commands.try_recv() {
                self.command(command);
            }
            // It may have come while other partitions were leaving.
            if self.stopping {
                self.leave_all();
                return self.close();
            }
            self.seek_pending();
            if measured.elapsed() >= MEASURE {
                measured = Instant::now();
                if self.budget.measure().is_some_and(|pause| gave_back.elapsed() >= pause) {
                    raw::heap::give_back();
                    gave_back = Instant::now();
                }
            }
            if forgot.elapsed() >= REMEMBER {
                forgot = Instant::now();
                self.budget.forget_largest();
            }
            self.breathe(Instant::now());
            if self.breath.awaits_room() {
                // What is read already may complete a cut.
                self.flush();
            }
            if self.breath.holds_back(&self.budget, served.elapsed()) {
                if let Ok(command) = self.commands.recv_timeout(LANES_CATCH_UP) {
                    self.command(command);
                }
            } else {
                self.breath.takes(&self.budget);
                self.serve()?;
                served = Instant::now();
            }
            if told.elapsed() >= POSITIONS {
                told = Instant::now();
                self.flush();
                self.tell_positions();
            }
        }
    }

    /// Takes what the queue has, up to a full batch and not too much at a time: what a turn of the loop costs beside
    /// records is shared by many of them.
    fn serve(&mut self) -> Result<(), Fatal> {
        let mut event = self.queue.poll(if self.pending > 0 { LINGER } else { POLL });
        if event.is_none() {
            self.flush();
        }
        let mut left = EVENTS;
        self.full = false;
        while let Some(current) = event.take() {
            self.event(&current)?;
            left -= 1;
            // Large records fill a batch each, and the budget is asked before the next one.
            if left > 0 && !self.full {
                event = self.queue.poll(Duration::ZERO);
            }
        }
        let (records, bytes) = std::mem::take(&mut self.read);
        self.pulse.records.fetch_add(records, Ordering::Relaxed);
        self.pulse.bytes.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }

    fn event(&mut self, event: &Event) -> Result<(), Fatal> {
        match event.kind() {
            Kind::Record(record) => self.record(record),
            Kind::Assign(partitions) => {
                self.pulse.works();
                self.pulse.rebalances.fetch_add(1, Ordering::Relaxed);
                let assigned: Vec<_> = partitions.into_iter().map(named).collect();
                if let Err(error) = self.consumer.incremental_assign(&list(&assigned, PARKED)) {
                    warn!(%error, "assignment failed");
                }
                self.assigned(assigned);
            }
            Kind::Revoke(partitions) => {
                self.pulse.rebalances.fetch_add(1, Ordering::Relaxed);
                self.revoke(partitions.into_iter().map(named).collect());
            }
            Kind::Committed(commits) => {
                for commit in commits {
                    if commit.error.is_none() {
                        self.pulse.works();
                    }
                    debug!(topic = commit.topic, partition = commit.partition, error = ?commit.error, "commit answered");
                    let at = named((commit.topic, commit.partition));
                    (self.deliver)(&at, Delivery::Committed { offset: commit.offset, error: commit.error });
                }
            }
            Kind::End(at, offset) => self.ends(&named(at), offset),
            Kind::Error(fault) => return self.fault(fault),
            Kind::Other => {}
        }
        Ok(())
    }

    fn record(&mut self, record: RawRecord<'_>) {
        let Some(slot) = self.slots.of(record).filter(|slot| slot.reads()) else { return };
        self.read.0 += 1;
        if slot.batch.is_empty() {
            slot.batch = self.spare.batch();
        }
        let size = slot.batch.push(record);
        self.read.1 += size as u64;
        // A record without any bytes takes room too.
        self.pending += size + 1;
        if slot.batch.is_full() {
            hand_over(slot, &self.deliver, &self.budget);
            self.full = true;
        }
        if self.pending >= PENDING_BYTES {
            self.flush();
            self.full = true;
        }
    }

    fn flush(&mut self) {
        self.pending = 0;
        for slot in self.slots.values_mut().filter(|slot| !slot.batch.is_empty()) {
            hand_over(slot, &self.deliver, &self.budget);
        }
    }

    /// New partitions wait, paused, until their start is known.
    fn assigned(&mut self, partitions: Vec<TopicPartition>) {
        self.pulse.joined.store(true, Ordering::Relaxed);
        self.slots.forget_handles();
        if partitions.is_empty() {
            return;
        }
        info!(partitions = %names(&partitions), "partitions assigned");
        if let Err(error) = self.consumer.pause(&list(&partitions, Offset::Invalid)) {
            warn!(%error, "pause failed");
        }
        for at in partitions {
            self.slots.insert(Slot::new(at.clone()));
            (self.deliver)(&at, Delivery::Assigned);
        }
    }

    fn revoke(&mut self, partitions: Vec<TopicPartition>) {
        info!(partitions = %names(&partitions), lost = self.consumer.assignment_lost(), "partitions revoked");
        self.leave(&partitions, self.consumer.assignment_lost());
        self.slots.forget_handles();
        // The library remembers the application's pause across assignments.
        let leaving = list(&partitions, Offset::Invalid);
        if let Err(error) = self.consumer.resume(&leaving).and_then(|()| self.consumer.incremental_unassign(&leaving)) {
            warn!(%error, "revocation failed");
        }
    }

    fn leave_all(&mut self) {
        self.leave(&self.slots.values().map(|slot| slot.at.clone()).collect::<Vec<_>>(), false);
    }

    /// Lets each partition finish what its manifest has promised, up to the deadline.
    fn leave(&mut self, partitions: &[TopicPartition], lost: bool) {
        for at in partitions {
            if let Some(slot) = self.slots.get_mut(at) {
                slot.leaving = true;
                slot.batch = Batch::default();
                (self.deliver)(at, Delivery::Revoke { lost });
            }
        }
        let until = Instant::now() + self.deadline;
        let mut told = false;
        while partitions.iter().any(|at| self.slots.contains(at)) {
            self.pulse.beat.store(self.started.elapsed().as_millis() as u64, Ordering::Relaxed);
            match self.commands.recv_timeout(POLL) {
                Ok(command) => self.command(command),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if Instant::now() >= until && !told {
                told = true;
                for at in partitions.iter().filter(|at| self.slots.contains(at)) {
                    warn!(partition = %at, "left to be adopted: its cut was not finished before the deadline");
                    (self.deliver)(at, Delivery::Deadline);
                }
            }
            if Instant::now() >= until + Shutdown::PATIENCE.as_duration() {
                break;
            }
        }
        self.abandon(partitions);
    }

    /// Gives up those partitions that their lanes have not let go yet.
    fn abandon(&mut self, partitions: &[TopicPartition]) {
        for at in partitions {
            if self.slots.remove(at) {
                *self.abandoned.entry(at.clone()).or_default() += 1;
            }
        }
    }

    /// True for a command of an assignment that was abandoned; the last of them is its release.
    fn is_late(&mut self, command: &Command) -> bool {
        let Some(at) = command.at() else { return false };
        let Some(awaited) = self.abandoned.get_mut(at) else { return false };
        if matches!(command, Command::Released(_)) {
            *awaited -= 1;
            if *awaited == 0 {
                self.abandoned.remove(at);
            }
        }
        true
    }

    fn command(&mut self, command: Command) {
        if self.is_late(&command) {
            return;
        }
        match command {
            Command::Seek { at, offset, epoch, generation } => {
                if let Some(slot) = self.slots.get_mut(&at) {
                    slot.batch = Batch::default();
                    slot.seek = Some(Seek { offset, epoch, generation });
                    // A pause that comes before the seek is carried out stands.
                    slot.paused = false;
                    self.seek_again = None;
                }
            }
            Command::Pause(at) => self.pause(&at, true),
            Command::Resume(at) => self.pause(&at, false),
            Command::Insist(at, insists) => self.insist(&at, insists),
            Command::Commit { at, offset, epoch, metadata } => self.commit(&at, offset, epoch, metadata),
            Command::Released(at) => {
                self.slots.remove(&at);
            }
            Command::Shutdown => self.stopping = true,
        }
    }

    fn commit(&self, at: &TopicPartition, offset: i64, epoch: i32, metadata: String) {
        let mut one = TopicPartitionList::with_capacity(1);
        let mut element = one.add_partition(&at.topic, at.partition);
        let set = element.set_offset(Offset::Offset(offset));
        element.set_metadata(metadata);
        raw::set_leader_epoch(&one, &at.topic, at.partition, epoch);
        let set = set.map_err(|_| RDKafkaErrorCode::InvalidArgument);
        if let Err(error) = set.and_then(|()| self.queue.commit(&self.consumer, &one)) {
            debug!(partition = %at, offset, %error, "commit failed");
            (self.deliver)(at, Delivery::Committed { offset, error: Some(error) });
        }
    }

    fn fault(&mut self, fault: Fault) -> Result<(), Fatal> {
        if fault.fatal {
            return Err(Fatal(fault.text));
        }
        if let Some(at) = fault.partition.map(named) {
            self.flush();
            if fault.code == RDKafkaErrorCode::AutoOffsetReset && self.was_parked(&at, fault.offset) {
                return Ok(());
            }
            if let Some(slot) = self.slots.get_mut(&at) {
                // With this error the library gives up the partition.
                slot.stopped |= fault.code == RDKafkaErrorCode::AutoOffsetReset;
            }
            let generation = self.slots.get(&at).filter(|slot| slot.seek.is_none()).map_or(0, |slot| slot.generation);
            if generation > 0 {
                (self.deliver)(&at, Delivery::Fault { generation, code: fault.code, text: fault.text });
            }
            return Ok(());
        }
        if self.pulse.fails(&fault.text) {
            warn!(error = fault.text, code = %fault.code, "kafka");
        }
        Ok(())
    }

    /// Leaves the group: the library revokes what is left and says when it is done.
    fn close(mut self) -> Result<(), Fatal> {
        self.consumer.close_queue().map_err(|e| Fatal(e.to_string()))?;
        let until = Instant::now() + Duration::from_secs(10);
        while !self.consumer.closed() && Instant::now() < until {
            let Some(event) = self.queue.poll(POLL) else { continue };
            if let Kind::Revoke(partitions) = event.kind() {
                self.revoke(partitions.into_iter().map(named).collect());
            }
        }
        Ok(())
    }
}

fn hand_over(slot: &mut Slot, deliver: &Deliver, budget: &Budget) {
    let batch = std::mem::take(&mut slot.batch);
    budget.add_batch(batch.memory());
    deliver(&slot.at, Delivery::Records { generation: slot.generation, batch });
}

fn list(partitions: &[TopicPartition], offset: Offset) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for at in partitions {
        if list.add_partition_offset(&at.topic, at.partition, offset).is_err() {
            list.add_partition(&at.topic, at.partition);
        }
    }
    list
}

#[cfg(test)]
#[path = "poll_tests.rs"]
mod tests;
