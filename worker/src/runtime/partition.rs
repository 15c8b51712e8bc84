//! One assigned partition: feeds the machine, decodes and encodes what it admits, carries out its effects.
//! Owned by one lane thread; everything that waits for a broker or a store runs elsewhere and reports back.

use super::lane::{Done, Shared};
use crate::cut::{Admit, CutPlan, Effect, HoldReason, Input, MANIFEST_VERSION, Machine, Manifest, Now, Outcome};
use crate::events::{DECODER_VERSION, Decoded, Policy, Record, decode};
use crate::files::{Close, CutWriter, EncodeError, EncodedFile, FileKind, Identity, Rules};
use crate::kafka::TopicPartition;
use crate::kafka::batch::Batch;
use crate::kafka::poll::{Command, Delivery};
use crate::runtime::session::Resolved;
use crate::store::ledger::nonce;
use bytes::Bytes;
use eventsink_crds::status::{HoldStatus, PartitionStatus};
use rdkafka::error::RDKafkaErrorCode;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::task::AbortHandle;
use tracing::{info, warn};

/// Sizes are looked at after this many records.
const SIZE_EVERY: usize = 256;
/// A partition whose records wait for a cut in flight stops fetching at this many bytes.
const STASH_BYTES: usize = 8 << 20;

/// Records that came while the open cut was full.
struct Waiting {
    generation: u64,
    batch: Batch,
    next: usize,
}

/// The closed cut whose files are on their way.
struct Flight {
    manifest: Manifest,
    bodies: Vec<Bytes>,
}

/// See the module.
pub(super) struct Partition {
    at: TopicPartition,
    /// Tells results of this assignment from those of an earlier one.
    incarnation: u64,
    machine: Machine,
    shared: Arc<Shared>,
    identity: Option<Arc<Identity>>,
    /// Rows of the open cut, under the rules in force for it.
    writer: Option<CutWriter>,
    rules: Arc<Rules>,
    policy: Policy,
    /// The manifest whose rows are being read again.
    replay: Option<Manifest>,
    flight: Option<Flight>,
    waiting: VecDeque<Waiting>,
    waiting_bytes: usize,
    paused: bool,
    tasks: Vec<AbortHandle>,
    /// Bytes taken from the budget for the writer and for bodies.
    held_writer: usize,
    held_bodies: usize,
    watermarks: (i64, i64),
    released: bool,
}

impl Partition {
    pub fn new(at: TopicPartition, incarnation: u64, shared: Arc<Shared>) -> Self {
        let (machine, first) = Machine::new(shared.limits, shared.skip_losses());
        let rules = Arc::clone(&shared.rules);
        let mut partition = Self {
            at,
            incarnation,
            machine,
            policy: policy(&rules),
            rules,
            shared,
            identity: None,
            writer: None,
            replay: None,
            flight: None,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            paused: false,
            tasks: Vec::new(),
            held_writer: 0,
            held_bodies: 0,
            watermarks: (-1, -1),
            released: false,
        };
        partition.carry_out(first);
        partition
    }

    pub fn incarnation(&self) -> u64 {
        self.incarnation
    }

    pub fn is_released(&self) -> bool {
        self.released
    }

    /// Bytes that closing the open cut now would free.
    pub fn buffered_bytes(&self) -> usize {
        if self.flight.is_some() { 0 } else { self.held_writer }
    }

    pub fn deliver(&mut self, delivery: Delivery) {
        match delivery {
            Delivery::Assigned => {}
            Delivery::Records { generation, batch } => {
                self.waiting_bytes += batch.memory();
                self.waiting.push_back(Waiting { generation, batch, next: 0 });
                self.drain();
            }
            Delivery::Position { generation, position } => {
                // Positions count only once every record below them was offered.
                if self.waiting.is_empty() {
                    self.input(Input::Position { generation, position });
                }
            }
            Delivery::Watermarks { low, high } => self.watermarks = (low, high),
            Delivery::Fault { generation, code, text } => self.fault(generation, code, text),
            Delivery::Committed { error } => {
                let stats = &self.shared.metrics;
                stats.commits.with_label_values(&[if error.is_none() { "ok" } else { "failed" }]).inc();
                self.input(Input::Committed { ok: error.is_none() });
            }
            Delivery::Revoke { lost } => self.input(Input::Revoke { lost }),
            Delivery::Deadline => self.input(Input::Deadline),
        }
    }

    pub fn done(&mut self, done: Done) {
        match done {
            Done::Resolved(Resolved { topic_id, resolution }) => {
                self.identity = Some(self.shared.identity(&self.at, topic_id));
                self.input(Input::Resolved(resolution));
            }
            Done::ManifestPut(Ok(outcome)) => self.input(Input::ManifestPut(outcome)),
            Done::ManifestPut(Err(error)) => {
                let detail = error.to_string();
                self.input(Input::Stuck { reason: error.hold(0).reason, detail });
            }
            Done::FilesPut(result) => {
                if result.is_ok() {
                    self.finish_flight();
                }
                self.input(Input::FilesPut(result));
            }
            Done::FilesChecked { result, rules } => {
                match rules {
                    Some(Ok(rules)) => self.rules = Arc::new(rules),
                    Some(Err(error)) => {
                        let detail = error.to_string();
                        return self.input(Input::Stuck { reason: error.hold(0).reason, detail });
                    }
                    None => {}
                }
                self.input(Input::FilesChecked(result));
            }
            Done::Low { generation, low } => self.input(Input::OutOfRange { generation, low }),
        }
        self.drain();
    }

    /// Any input but records.
    pub fn input(&mut self, input: Input) {
        let mut effects = Vec::new();
        self.machine.step(input, self.shared.now(), &mut effects);
        self.carry_out(effects);
    }

    fn fault(&mut self, generation: u64, code: RDKafkaErrorCode, text: String) {
        warn!(partition = %self.at, %code, text, "kafka reports an error for the partition");
        match code {
            // Kafka names them in several ways; what the log still has decides what is lost.
            RDKafkaErrorCode::AutoOffsetReset
            | RDKafkaErrorCode::OffsetOutOfRange
            | RDKafkaErrorCode::LogTruncation => {
                let (session, at) = (Arc::clone(&self.shared.session), self.at.clone());
                self.spawn(async move { Done::Low { generation, low: session.low_watermark(at).await } });
            }
            // The client tries again by itself.
            RDKafkaErrorCode::UnknownTopicOrPartition
            | RDKafkaErrorCode::UnknownTopic
            | RDKafkaErrorCode::UnknownPartition
            | RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::NotLeaderForPartition
            | RDKafkaErrorCode::LeaderNotAvailable => {}
            _ => self.input(Input::ConsumerError { generation, reason: HoldReason::PartitionStalled, detail: text }),
        }
    }

    /// Offers waiting records until the machine wants no more.
    fn drain(&mut self) {
        while let Some(mut waiting) = self.waiting.pop_front() {
            let size = waiting.batch.memory();
            if self.offer(&mut waiting) {
                self.waiting_bytes -= size;
                self.shared.budget.sub(size);
            } else {
                self.waiting.push_front(waiting);
                break;
            }
        }
        let pause = self.waiting_bytes > STASH_BYTES;
        if pause != self.paused && self.machine.expected().is_some() && (pause || self.waiting.is_empty()) {
            self.paused = pause;
            self.shared.command(if pause { Command::Pause(self.at.clone()) } else { Command::Resume(self.at.clone()) });
        }
    }

    /// Offers the records of one batch; false when the rest must wait.
    fn offer(&mut self, waiting: &mut Waiting) -> bool {
        let mut headers = Vec::new();
        let mut effects = Vec::new();
        let now = self.shared.now();
        while waiting.next < waiting.batch.len() {
            let (offset, epoch) = waiting.batch.position(waiting.next);
            let admit = self.machine.admit(waiting.generation, offset, now, &mut effects);
            if !effects.is_empty() {
                self.carry_out(std::mem::take(&mut effects));
            }
            match admit {
                Admit::Drop => {}
                Admit::Wait => return false,
                Admit::Take => {
                    waiting.batch.headers(waiting.next, &mut headers);
                    let record = waiting.batch.record(waiting.next, &headers);
                    match self.take(&record) {
                        Ok(outcome) => self.machine.taken(epoch, outcome, now),
                        Err(error) => self.input(Input::Stuck {
                            reason: HoldReason::Unencodable,
                            detail: format!("offset {offset}: {error}"),
                        }),
                    }
                }
            }
            waiting.next += 1;
            if waiting.next % SIZE_EVERY == 0 {
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
        let decoded = decode(record, &self.policy);
        if let Decoded::Filtered(_) = decoded {
            self.shared.metrics.records.with_label_values(&["filtered"]).inc();
            return Ok(Outcome::Filtered);
        }
        if self.writer.is_none() {
            self.writer = Some(self.new_writer()?);
        }
        let Some(writer) = &mut self.writer else { return Ok(Outcome::Filtered) };
        match decoded {
            Decoded::Event(event, _) => writer.event(record, &event).map(|()| Outcome::Row),
            Decoded::Rejected(rejection) => {
                self.shared.metrics.dead.with_label_values(&[rejection.reason.as_str()]).inc();
                writer.dead(record, rejection.reason.as_str(), &rejection.detail).map(|()| Outcome::Dead)
            }
            Decoded::Filtered(_) => Ok(Outcome::Filtered),
        }
    }

    fn new_writer(&self) -> Result<CutWriter, EncodeError> {
        let identity = self.identity();
        let rules = Arc::clone(&self.rules);
        match &self.replay {
            Some(manifest) => CutWriter::following(rules, identity, self.shared.encoding, &manifest.files),
            None => Ok(CutWriter::new(rules, identity, self.shared.encoding)),
        }
    }

    fn identity(&self) -> Arc<Identity> {
        self.identity.clone().unwrap_or_else(|| self.shared.identity(&self.at, String::new()))
    }

    fn tell_size(&mut self) {
        let (largest, memory) = self.writer.as_ref().map_or((0, 0), |writer| (writer.largest_file(), writer.memory()));
        self.shared.budget.change(&mut self.held_writer, memory);
        self.input(Input::Size(largest));
    }

    fn carry_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            self.effect(effect);
        }
    }

    fn effect(&mut self, effect: Effect) {
        let at = self.at.clone();
        match effect {
            Effect::Resolve => {
                let session = Arc::clone(&self.shared.session);
                self.spawn(async move { Done::Resolved(session.resolve(&at).await) });
            }
            Effect::Discard => self.discard(),
            Effect::Seek { offset, epoch, generation } => {
                self.paused = false;
                self.shared.command(Command::Seek { at, offset, epoch, generation });
            }
            Effect::Pause => self.shared.command(Command::Pause(at)),
            Effect::Cut(plan) => self.cut(plan),
            Effect::PutFiles(which) => self.put_files(which),
            Effect::CheckFiles(manifest) => self.check_files(manifest),
            Effect::Replay(manifest) => {
                info!(partition = %at, from = manifest.from, to = manifest.to, "reading an unfinished cut again");
                self.policy = policy(&self.rules);
                self.replay = Some(manifest);
            }
            Effect::EncodeReplay { incomplete } => self.encode_replay(incomplete),
            Effect::Commit { offset, epoch, nonce } => {
                let metadata = self.shared.note(nonce);
                self.shared.command(Command::Commit { at, offset, epoch, metadata });
            }
            Effect::MarkDone(from) => self.with_ledger(move |ledger, id| async move {
                ledger.mark_done(&at.topic, &id, at.partition, from).await;
            }),
            Effect::NameLoss { from, to } => self.with_ledger(move |ledger, id| async move {
                ledger.name_loss(&at.topic, &id, at.partition, (from, to)).await;
            }),
            Effect::Held(hold) => {
                warn!(partition = %at, reason = hold.reason.as_str(), from = hold.from, to = hold.to, detail = hold.detail, "on hold");
            }
            Effect::Release => {
                self.released = true;
                self.shared.command(Command::Released(at));
            }
        }
    }

    /// Encodes the open cut and puts its manifest.
    fn cut(&mut self, plan: CutPlan) {
        let nonce = nonce();
        let close = Close {
            from: plan.from,
            to: plan.to,
            nonce: nonce.clone(),
            decoder_version: DECODER_VERSION,
            incomplete: false,
        };
        self.shared.metrics.cuts.with_label_values(&[plan.trigger.as_str()]).inc();
        let encoded = self.writer.take().map_or(Ok(vec![]), |writer| writer.finish(&close));
        let files = match encoded {
            Ok(files) => files,
            Err(error) => {
                return self.input(Input::Stuck { reason: HoldReason::Unencodable, detail: error.to_string() });
            }
        };
        let manifest = Manifest {
            version: MANIFEST_VERSION,
            ledger: self.shared.ledger_id().to_owned(),
            topic: self.at.topic.to_string(),
            partition: self.at.partition,
            from: plan.from,
            to: plan.to,
            epoch: plan.epoch,
            prev: plan.prev,
            nonce,
            rules: self.rules.digest(),
            decoder_version: DECODER_VERSION,
            files: files.iter().map(|file| file.plan.clone()).collect(),
            dead: plan.dead,
            filtered: plan.filtered,
            absent: plan.absent,
            lost: plan.lost,
        };
        self.hold_bodies(manifest.clone(), files);
        let ledger = self.shared.session.ledger().clone();
        let topic_id = self.identity().topic_id.clone();
        self.spawn(async move { Done::ManifestPut(ledger.put_manifest(&topic_id, manifest).await) });
    }

    /// The bodies stay in memory, and in the budget, until the store has them.
    fn hold_bodies(&mut self, manifest: Manifest, files: Vec<EncodedFile>) {
        let bodies: Vec<Bytes> = files.into_iter().map(|file| file.body).collect();
        self.shared.budget.change(&mut self.held_bodies, bodies.iter().map(Bytes::len).sum());
        self.shared.budget.change(&mut self.held_writer, 0);
        self.flight = Some(Flight { manifest, bodies });
    }

    fn put_files(&mut self, which: Vec<usize>) {
        let Some(flight) = &self.flight else { return };
        let puts: Vec<_> =
            which.iter().map(|&i| (flight.manifest.files[i].clone(), flight.bodies[i].clone())).collect();
        let (shared, manifest) = (Arc::clone(&self.shared), flight.manifest.clone());
        self.spawn(async move {
            let one = |(plan, body): (crate::files::PlannedFile, Bytes)| {
                let (shared, manifest) = (&shared, &manifest);
                async move { shared.put_file(manifest, &plan, &body).await }
            };
            let results = futures::future::join_all(puts.into_iter().map(one)).await;
            Done::FilesPut(results.into_iter().collect())
        });
    }

    /// All files of the cut in flight are in the store.
    fn finish_flight(&mut self) {
        let Some(flight) = self.flight.take() else { return };
        self.shared.budget.change(&mut self.held_bodies, 0);
        let metrics = &self.shared.metrics;
        for file in &flight.manifest.files {
            let disposition = if file.kind == FileKind::Rows { "written" } else { "dead" };
            metrics.records.with_label_values(&[disposition]).inc_by(file.rows);
        }
        let manifest = &flight.manifest;
        info!(
            partition = %self.at, from = manifest.from, to = manifest.to, files = manifest.files.len(),
            dead = manifest.dead.len(), "cut finished"
        );
    }

    fn check_files(&mut self, manifest: Manifest) {
        info!(partition = %self.at, from = manifest.from, to = manifest.to, nonce = manifest.nonce, "adopting a cut");
        let ledger = self.shared.session.ledger().clone();
        let ours = manifest.rules == self.rules.digest();
        self.spawn(async move {
            let result = ledger.missing_files(&manifest).await;
            let rules = if ours { None } else { Some(ledger.rules(&manifest.rules).await) };
            Done::FilesChecked { result, rules }
        });
    }

    /// Encodes what was read again and compares it with what the manifest promised.
    fn encode_replay(&mut self, incomplete: bool) {
        let Some(manifest) = self.replay.take() else { return };
        let close = Close {
            from: manifest.from,
            to: manifest.to,
            nonce: manifest.nonce.clone(),
            decoder_version: DECODER_VERSION,
            incomplete,
        };
        self.replay = Some(manifest.clone());
        let writer = self.writer.take().map_or_else(|| self.new_writer(), Ok);
        self.replay = None;
        let encoded = writer.and_then(|writer| writer.finish(&close));
        self.rules = Arc::clone(&self.shared.rules);
        self.policy = policy(&self.rules);
        let result = match encoded {
            Err(error) => Err(error.to_string()),
            Ok(files) if incomplete || files.iter().map(|f| &f.plan).eq(&manifest.files) => {
                self.hold_bodies(manifest, files);
                Ok(())
            }
            Ok(_) => Err(format!(
                "decoder {DECODER_VERSION} gives other rows than decoder {} promised in manifest {}: run that version again",
                manifest.decoder_version, manifest.nonce
            )),
        };
        self.input(Input::Replayed(result));
    }

    fn discard(&mut self) {
        for task in self.tasks.drain(..) {
            task.abort();
        }
        self.writer = None;
        self.flight = None;
        self.replay = None;
        self.rules = Arc::clone(&self.shared.rules);
        self.policy = policy(&self.rules);
        self.shared.budget.change(&mut self.held_writer, 0);
        self.shared.budget.change(&mut self.held_bodies, 0);
        self.shared.budget.sub(std::mem::take(&mut self.waiting_bytes));
        self.waiting.clear();
    }

    /// Runs something that waits and reports back; aborted when its result no longer matters.
    fn spawn(&mut self, task: impl Future<Output = Done> + Send + 'static) {
        self.tasks.retain(|task| !task.is_finished());
        let handle = self.shared.spawn(self.at.clone(), self.incarnation, task);
        self.tasks.push(handle);
    }

    /// Runs something that nobody waits for.
    fn with_ledger<F, Fut>(&self, task: F)
    where
        F: FnOnce(crate::store::ledger::Ledger, String) -> Fut,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let id = self.identity().topic_id.clone();
        self.shared.detach(task(self.shared.session.ledger().clone(), id));
    }

    pub fn status(&self) -> PartitionStatus {
        let position = self.machine.expected().unwrap_or(-1);
        let high = self.watermarks.1;
        let age = self.machine.oldest_unpersisted().map_or(Now::ZERO, |since| self.shared.now().saturating_sub(since));
        PartitionStatus {
            topic: self.at.topic.to_string(),
            partition: self.at.partition,
            stage: self.machine.stage_name().to_owned(),
            frontier: self.machine.frontier(),
            read_position: position,
            high_watermark: high,
            unread: if position >= 0 && high > position { high.abs_diff(position) } else { 0 },
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
        self.discard();
    }
}

fn policy(rules: &Rules) -> Policy {
    Policy { non_cloud_events: rules.non_cloud_events }
}
