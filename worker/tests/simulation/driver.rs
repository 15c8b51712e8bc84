//! One worker: drives the real machine as the runtime does. Effects are carried out in order; each one that
//! touches the bucket or the broker becomes an operation that ends, fails or loses its reply in a later step.

use crate::broker::{Answer, Seat};
use crate::consumer::{Consumer, Item};
use crate::holds::{ODD_RECORD, OTHER_DECODER, held};
use crate::log::{self, Kind};
use crate::shared::{Late, Object, Sabotage, Shared, planned};
use eventsink_crds::settings::Share;
use eventsink_worker::cut::{
    Admit, CommitNote, Committed, CutPlan, Effect, Evidence, FloodLimit, Hold, HoldReason, Input, Limits,
    MANIFEST_VERSION, Machine, Manifest, Orders, Outcome, PartitionStart, PutOutcome, Resolution, resolve,
};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

pub const LEDGER: &str = "ledger";

const LIMITS: Limits =
    Limits { max_bytes: 1000, max_records: 4, max_age: Duration::from_secs(10), max_idle: Duration::from_secs(4) };

/// A cut that is being written: its plan and the rows of each planned file.
struct Body {
    manifest: Manifest,
    rows: Vec<Vec<i64>>,
    decoder: u32,
    incomplete: bool,
    adopted: bool,
}

impl Body {
    fn object(&self, file: usize) -> Object {
        let rows = self.rows[file].clone();
        Object { digest: digest(&self.manifest.rules, self.decoder, &rows), rows, incomplete: self.incomplete }
    }
}

enum Op {
    Resolve {
        committed: Option<Option<Committed>>,
        tip: Option<Option<Manifest>>,
    },
    Manifest(Rc<Body>),
    Files(Rc<Body>, Vec<usize>),
    Check {
        manifest: Manifest,
        asked: usize,
        missing: Vec<usize>,
    },
    Encode(Rc<Body>),
    /// Dead letters that the topic has not confirmed yet.
    Copy(Vec<i64>),
    Commit(Committed),
    Done(i64),
    Lost(i64, i64),
}

pub struct Driver {
    id: usize,
    machine: Option<Machine>,
    pub now: Duration,
    rules: &'static str,
    decoder: u32,
    /// What it takes for its place in the group.
    seat: Option<Seat>,
    consumer: Consumer,
    buffer: Vec<i64>,
    replay: Option<Manifest>,
    /// Files that the last check did not find.
    missing: Vec<usize>,
    body: Option<Rc<Body>>,
    ops: Vec<Op>,
    /// Puts do not get through for a while.
    pub slow: bool,
    /// Nor do they while the breaker is open, and the machine knows.
    pub away: bool,
}

impl Driver {
    pub fn new(id: usize) -> Self {
        Self {
            id,
            machine: None,
            now: Duration::ZERO,
            rules: "a",
            decoder: 1,
            seat: None,
            consumer: Consumer::default(),
            buffer: vec![],
            replay: None,
            missing: vec![],
            body: None,
            ops: vec![],
            slow: false,
            away: false,
        }
    }

    pub fn runs(&self) -> bool {
        self.machine.is_some()
    }

    pub fn hold(&self) -> Option<&Hold> {
        self.machine.as_ref()?.hold()
    }

    /// True when everything that the log has is finished and nothing is under way.
    pub fn drained(&self, end: i64) -> bool {
        self.ops.is_empty() && self.machine.as_ref().is_some_and(|m| m.frontier() == end && m.buffered() == 0)
    }

    pub fn start(&mut self, shared: &mut Shared) {
        self.rules = if shared.rng.one_in(2) { "a" } else { "b" };
        self.decoder = if shared.rng.one_in(4) { 2 } else { 1 };
        self.seat = shared.seat(None);
        shared.tell(|| format!("w{} starts with rules {} and decoder {}", self.id, self.rules, self.decoder));
        let dead_letters = shared.dead_letters;
        let ignored = FloodLimit { threshold: Share::percent(100), ..dead_letters.flood };
        let (machine, fx) = Machine::new(Orders {
            limits: LIMITS,
            skip_losses: shared.losses.skip,
            copy_dead: dead_letters.copied,
            flood: if shared.sabotage == Sabotage::FloodIgnored { ignored } else { dead_letters.flood },
        });
        self.machine = Some(machine);
        self.apply(fx, shared);
    }

    /// Everything in memory is gone; what was sent may still land.
    pub fn stop(&mut self, shared: &mut Shared) {
        self.abandon(shared, |_| true);
        *self = Self { now: self.now, ..Self::new(self.id) };
    }

    pub fn step(&mut self, input: Input, shared: &mut Shared) {
        let Some(machine) = &mut self.machine else { return };
        shared.tell(|| format!("w{} at {}s: {}", self.id, self.now.as_secs(), brief(&input)));
        let mut fx = vec![];
        machine.step(input, self.now, &mut fx);
        self.apply(fx, shared);
    }

    /// The breaker of the worker's store opens or closes.
    pub fn turn_breaker(&mut self, shared: &mut Shared) {
        self.away = !self.away;
        if self.away && self.machine.as_ref().is_some_and(|machine| machine.buffered() > 0) {
            shared.see("open breaker");
        }
        if shared.sabotage != Sabotage::BreakerIgnored {
            self.step(Input::StoreAway(self.away), shared);
        }
    }

    pub fn fetch(&mut self, shared: &mut Shared) {
        self.consumer.fetch(shared);
    }

    /// The consumer reports an error, or a record cannot be put into a file.
    pub fn error(&mut self, shared: &mut Shared) {
        if !self.consumer.reads() {
            return;
        }
        if shared.rng.one_in(2) {
            shared.see(ODD_RECORD);
            let detail = "the record cannot be encoded".to_owned();
            return self.step(Input::Stuck { reason: HoldReason::Unencodable, detail }, shared);
        }
        self.consumer.fail(shared);
    }

    /// The next item of the consumer reaches the machine.
    pub fn deliver(&mut self, shared: &mut Shared) {
        let Some(item) = self.consumer.next(shared.sabotage == Sabotage::ErrorOvertaken) else { return };
        match item {
            Item::Position { generation, position } => self.step(Input::Position { generation, position }, shared),
            Item::OutOfRange { generation, low } => self.step(Input::OutOfRange { generation, low }, shared),
            Item::Record { generation, offset } => self.offer(generation, offset, shared),
            Item::Error { generation } => {
                let (reason, detail) = (HoldReason::PartitionStalled, "the fetch failed".to_owned());
                self.step(Input::ConsumerError { generation, reason, detail }, shared);
            }
        }
    }

    fn offer(&mut self, generation: u64, offset: i64, shared: &mut Shared) {
        let Some(machine) = &mut self.machine else { return };
        let mut fx = vec![];
        let verdict = machine.admit(generation, offset, self.now, &mut fx);
        shared.tell(|| format!("w{} offered {offset}: {verdict:?}", self.id));
        self.apply(fx, shared);
        match verdict {
            Admit::Take => self.take(offset, shared),
            Admit::Drop if shared.sabotage == Sabotage::AdmitIgnored => self.buffer.push(offset),
            Admit::Drop => {}
            Admit::Wait => {
                shared.see("waiting record");
                self.consumer.put_back(Item::Record { generation, offset });
                if shared.sabotage == Sabotage::PositionPassesWaiting {
                    self.step(Input::Position { generation, position: offset + 1 }, shared);
                }
            }
        }
    }

    fn take(&mut self, offset: i64, shared: &mut Shared) {
        let (Some(machine), Some(entry)) = (&mut self.machine, shared.log.entry(offset)) else { return };
        let rules = match &self.replay {
            Some(manifest) if shared.sabotage != Sabotage::OwnRulesInReplay => manifest.rules.as_str(),
            _ => self.rules,
        };
        let outcome = log::outcome(rules, entry.kind);
        if outcome != Outcome::Filtered && !machine.planned_filtered() {
            self.buffer.push(offset);
        }
        machine.taken(entry.epoch, outcome, self.now);
    }

    fn apply(&mut self, fx: Vec<Effect>, shared: &mut Shared) {
        for effect in fx {
            shared.tell(|| format!("w{}   -> {}", self.id, brief(&effect)));
            match effect {
                Effect::Resolve => self.ops.push(Op::Resolve { committed: None, tip: None }),
                Effect::Discard => self.discard(shared),
                Effect::DiscardOpen => {
                    shared.see("copy that outlives a hold");
                    if shared.sabotage != Sabotage::OpenSurvivesHold {
                        self.buffer.clear();
                    }
                }
                Effect::Seek { offset, generation, .. } => self.consumer.seek(generation, offset, shared),
                Effect::Pause => self.consumer.pause(),
                Effect::Cut(plan) => self.cut(plan, shared),
                Effect::PutFiles(files) => {
                    if let Some(body) = &self.body {
                        let files = files.into_iter().filter(|at| *at < body.rows.len()).collect();
                        self.ops.push(Op::Files(Rc::clone(body), files));
                    }
                }
                Effect::CheckFiles(manifest) => self.ops.push(Op::Check { manifest, asked: 0, missing: vec![] }),
                Effect::Replay(manifest) => {
                    let clean = self.buffer.is_empty() || shared.sabotage != Sabotage::None;
                    assert!(clean, "a replay starts with an empty buffer");
                    self.replay = Some(manifest);
                }
                Effect::EncodeReplay { incomplete } => {
                    shared.see(if incomplete { "incomplete replay" } else { "replay" });
                    self.encode_replay(incomplete, shared);
                }
                Effect::CopyDead(manifest) => self.copy(&manifest, shared),
                Effect::Finished => self.body = None,
                Effect::Commit { offset, nonce, .. } => self.ops.push(Op::Commit(commit_of(offset, nonce))),
                Effect::MarkDone(from) => self.ops.push(Op::Done(from)),
                Effect::NameLoss { from, to } => {
                    shared.see("named loss");
                    self.ops.push(Op::Lost(from, to));
                }
                Effect::Held(hold) => held(self.id, &hold, shared),
                Effect::Release => return self.stop(shared),
            }
        }
    }

    fn copy(&mut self, manifest: &Manifest, shared: &mut Shared) {
        let adopted = self.body.as_ref().is_none_or(|body| body.adopted);
        if adopted {
            shared.see("copy of an adopted cut");
        }
        let skipped = match shared.sabotage {
            Sabotage::CopySkipped => true,
            Sabotage::AdoptionWithoutCopy => adopted,
            _ => false,
        };
        if shared.sabotage == Sabotage::CommitBeforeCopy {
            shared.commit(commit_of(manifest.to, manifest.nonce.clone()), self.seat, Some(self.id));
        }
        let left = if skipped { vec![] } else { shared.dead_letters_of(manifest) };
        self.ops.push(Op::Copy(left));
    }

    fn discard(&mut self, shared: &mut Shared) {
        self.buffer.clear();
        self.replay = None;
        self.body = None;
        if shared.sabotage == Sabotage::AnswersOutliveDiscard {
            return;
        }
        self.abandon(shared, |op| {
            matches!(op, Op::Manifest(_) | Op::Files(..) | Op::Check { .. } | Op::Encode(_) | Op::Copy(_))
        });
    }

    /// Nobody waits for these any more; what was under way may still land.
    fn abandon(&mut self, shared: &mut Shared, which: fn(&Op) -> bool) {
        let waiting = self.names_losses(shared);
        for op in std::mem::take(&mut self.ops) {
            match op {
                op if !which(&op) => self.ops.push(op),
                Op::Files(..) if waiting => {}
                op => send(op, self.seat, shared),
            }
        }
    }

    fn cut(&mut self, plan: CutPlan, shared: &mut Shared) {
        if self.away {
            shared.broken = Some(format!("w{} begins a cut at {} while the store is away", self.id, plan.from));
        }
        shared.nonces += 1;
        let groups = self.grouped(self.rules, shared);
        let files = groups.iter().map(|(group, rows)| {
            let key = format!("{group}/offset{}_count{}", rows[0], rows.len());
            planned(key, rows, digest(self.rules, self.decoder, rows))
        });
        let manifest = Manifest {
            version: MANIFEST_VERSION,
            ledger: LEDGER.into(),
            topic: "t".into(),
            partition: 0,
            from: plan.from,
            to: plan.to,
            epoch: plan.epoch,
            prev: plan.prev,
            nonce: format!("n{}", shared.nonces),
            rules: self.rules.into(),
            decoder_version: self.decoder,
            files: files.collect(),
            dead: plan.dead,
            filtered: plan.filtered,
            absent: plan.absent,
            lost: plan.lost,
        };
        let (rows, decoder) = (groups.into_values().collect(), self.decoder);
        let body = Rc::new(Body { manifest, rows, decoder, incomplete: false, adopted: false });
        if shared.sabotage == Sabotage::FilesFirst {
            for (at, file) in body.manifest.files.iter().enumerate() {
                let _ = shared.put_file(&file.key, body.object(at));
            }
        }
        if shared.sabotage == Sabotage::CopyFirst {
            let dead: Vec<i64> = body.manifest.dead.iter().flat_map(|(from, to)| from..to).collect();
            dead.into_iter().for_each(|at| shared.copy(at));
        }
        self.body = Some(Rc::clone(&body));
        self.ops.push(Op::Manifest(body));
    }

    fn grouped(&mut self, rules: &str, shared: &Shared) -> BTreeMap<&'static str, Vec<i64>> {
        let mut groups: BTreeMap<_, Vec<i64>> = BTreeMap::new();
        for at in self.buffer.drain(..) {
            let kind = shared.log.entry(at).map_or(Kind::Control, |e| e.kind);
            groups.entry(log::group(rules, kind, at)).or_default().push(at);
        }
        groups
    }

    fn encode_replay(&mut self, incomplete: bool, shared: &mut Shared) {
        let Some(manifest) = self.replay.take() else { return };
        let rules = if shared.sabotage == Sabotage::OwnRulesInReplay { self.rules } else { &manifest.rules };
        let mut groups = self.grouped(rules, shared);
        let rows = manifest.files.iter().map(|f| {
            let group = f.key.split('/').next().unwrap_or_default();
            groups.remove(group).unwrap_or_default()
        });
        let (rows, decoder) = (rows.collect(), self.decoder);
        let body = Rc::new(Body { rows, decoder, manifest, incomplete, adopted: true });
        self.body = Some(Rc::clone(&body));
        self.ops.push(Op::Encode(body));
    }

    /// One operation goes on by one request.
    pub fn progress(&mut self, shared: &mut Shared) {
        if self.ops.is_empty() {
            return;
        }
        let at = shared.rng.index(self.ops.len());
        let op = self.ops.swap_remove(at);
        match op {
            Op::Manifest(_) | Op::Files(..) if (self.slow || self.away) && !shared.calm => self.ops.push(op),
            Op::Files(..) | Op::Check { .. } if self.names_losses(shared) => self.ops.push(op),
            Op::Resolve { committed, tip } => self.resolve(committed, tip, shared),
            Op::Manifest(body) => self.put_manifest(body, shared),
            Op::Files(body, left) => self.put_files(body, left, shared),
            Op::Check { manifest, asked, missing } => self.check(manifest, asked, missing, shared),
            Op::Encode(body) => self.compare(&body, shared),
            Op::Copy(left) => self.go_on_copying(left, shared),
            Op::Commit(committed) => self.commit(committed, shared),
            Op::Done(from) => {
                shared.changed = true;
                shared.done.insert(from);
            }
            Op::Lost(from, to) => {
                shared.lost.insert((from, to));
            }
        }
    }

    /// A refused commit says that the seat is an old one; it is no verdict on the partition.
    fn commit(&mut self, committed: Committed, shared: &mut Shared) {
        let (landed, heard) = fate(shared);
        let answer = if landed { shared.commit(committed, self.seat, Some(self.id)) } else { Answer::Ok };
        if answer != Answer::Ok {
            shared.see("refused commit");
            shared.tell(|| format!("w{} commits: {}", self.id, answer.as_str()));
            self.seat = shared.seat(self.seat.map(|seat| seat.member));
        }
        self.step(Input::Committed { ok: heard && answer == Answer::Ok }, shared);
    }

    /// Two requests at different times: the world may change in between.
    fn resolve(&mut self, committed: Option<Option<Committed>>, tip: Option<Option<Manifest>>, shared: &mut Shared) {
        let newest = || shared.manifests.last_key_value().map(|(_, m)| m.clone());
        let (committed, tip) = match (committed, tip) {
            (None, None) if shared.sabotage == Sabotage::TipReadFirst => (None, Some(newest())),
            (None, tip) => (Some(shared.committed().cloned()), tip),
            (committed, None) => (committed, Some(newest())),
            known => known,
        };
        let (Some(committed), Some(tip)) = (&committed, &tip) else {
            return self.ops.push(Op::Resolve { committed, tip });
        };
        let evidence = Evidence {
            ledger: LEDGER.into(),
            tip: tip.clone(),
            tip_done: tip.as_ref().is_some_and(|m| shared.done.contains(&m.from)),
            start: PartitionStart { offset: shared.log.start, epoch: -1, why: "earliest".into() },
            committed: committed.clone(),
            ignore_moved: shared.ignore_moved,
        };
        let resolution = match resolve(evidence) {
            Resolution::Adopt(tip) if shared.sabotage == Sabotage::AdoptionSkipped => Resolution::After(tip),
            other => other,
        };
        self.step(Input::Resolved(resolution), shared);
    }

    fn put_manifest(&mut self, body: Rc<Body>, shared: &mut Shared) {
        let (landed, answered) = fate(shared);
        if !landed {
            return self.ops.push(Op::Manifest(body));
        }
        let there = shared.put_manifest(&body.manifest);
        let ours = &body.manifest;
        if !answered {
            shared.see("lost reply");
            shared.tell(|| format!("w{} reply to {} lost", self.id, ours.nonce));
            return self.ops.push(Op::Manifest(body));
        }
        let won = there.nonce == ours.nonce;
        if won && shared.sabotage == Sabotage::DoneTooEarly {
            self.ops.push(Op::Done(ours.from));
        }
        if won && shared.sabotage == Sabotage::CommitTooEarly {
            shared.commit(commit_of(ours.to, ours.nonce.clone()), self.seat, Some(self.id));
        }
        let outcome = if won || shared.sabotage == Sabotage::RivalTakenAsWon {
            PutOutcome::Won(ours.clone())
        } else {
            shared.see("rival");
            PutOutcome::Rival(there)
        };
        self.step(Input::ManifestPut(outcome), shared);
    }

    fn put_files(&mut self, body: Rc<Body>, mut left: Vec<usize>, shared: &mut Shared) {
        let Some(file) = left.last().copied() else {
            return self.step(Input::FilesPut(Ok(())), shared);
        };
        let (landed, answered) = fate(shared);
        if landed && let Err(detail) = shared.put_file(&body.manifest.files[file].key, body.object(file)) {
            return self.step(Input::FilesPut(Err(detail)), shared);
        }
        if (landed && answered) || shared.sabotage == Sabotage::PutForgotten {
            left.pop();
        }
        self.ops.push(Op::Files(body, left));
    }

    /// The topic takes one dead letter after the other, or none any more.
    fn go_on_copying(&mut self, mut left: Vec<i64>, shared: &mut Shared) {
        let Some(at) = left.last().copied() else {
            return self.step(Input::DeadCopied(Ok(())), shared);
        };
        let (landed, answered) = fate(shared);
        if landed {
            shared.see("copied dead letter");
            shared.copy(at);
        } else if shared.rng.one_in(4) {
            self.step(Input::DeadCopied(Err("the topic is gone".into())), shared);
            if self.body.is_some() {
                shared.see("failed copy that keeps its cut");
            }
            return;
        }
        if answered {
            left.pop();
        }
        self.ops.push(Op::Copy(left));
    }

    fn check(&mut self, manifest: Manifest, asked: usize, mut missing: Vec<usize>, shared: &mut Shared) {
        let Some(file) = manifest.files.get(asked) else {
            self.missing.clone_from(&missing);
            return self.step(Input::FilesChecked(Ok(missing)), shared);
        };
        match shared.files.get(&file.key) {
            Some(there) if there.digest != file.digest && !there.incomplete => {
                let detail = format!("{} holds {:?}", file.key, there.rows);
                return self.step(Input::FilesChecked(Err(detail)), shared);
            }
            None if shared.sabotage != Sabotage::CheckSkipped => missing.push(asked),
            _ => {}
        }
        self.ops.push(Op::Check { manifest, asked: asked + 1, missing });
    }

    fn names_losses(&self, shared: &Shared) -> bool {
        shared.sabotage != Sabotage::LossesNamedLater && self.ops.iter().any(|op| matches!(op, Op::Lost(..)))
    }

    fn compare(&mut self, body: &Body, shared: &mut Shared) {
        // Rows of files that are there may be gone from the log: only the missing ones are compared.
        let differs = self.missing.iter().find(|at| {
            let (rules, plan) = (&body.manifest.rules, &body.manifest.files[**at]);
            digest(rules, self.decoder, &body.rows[**at]) != plan.digest
        });
        let result = match differs {
            Some(&at) if !body.incomplete && shared.sabotage != Sabotage::DecoderIgnored => {
                if body.manifest.decoder_version != self.decoder {
                    shared.see(OTHER_DECODER);
                }
                Err(format!("{} would hold {:?}", body.manifest.files[at].key, body.rows[at]))
            }
            _ => Ok(()),
        };
        self.step(Input::Replayed(result), shared);
    }
}

/// Whether a request landed, and whether its sender heard so.
fn fate(shared: &mut Shared) -> (bool, bool) {
    if shared.calm {
        return (true, true);
    }
    let roll = shared.rng.below(8);
    (roll != 0, roll > 1)
}

/// The write goes on without its sender.
fn send(op: Op, seat: Option<Seat>, shared: &mut Shared) {
    match op {
        Op::Manifest(body) => shared.late.push(Late::Manifest(body.manifest.clone())),
        Op::Files(body, left) => {
            for file in left {
                shared.late.push(Late::File(body.manifest.files[file].key.clone(), body.object(file)));
            }
        }
        Op::Commit(committed) => shared.late.push(Late::Commit(seat, committed)),
        Op::Done(from) => shared.late.push(Late::Done(from)),
        Op::Lost(from, to) => shared.late.push(Late::Lost(from, to)),
        // Another copy is made in any case.
        Op::Resolve { .. } | Op::Check { .. } | Op::Encode(_) | Op::Copy(_) => {}
    }
}

fn commit_of(offset: i64, nonce: String) -> Committed {
    Committed { offset, note: Some(CommitNote { ledger: LEDGER.into(), nonce }) }
}

/// The second decoder makes other rows of some records.
fn digest(rules: &str, decoder: u32, rows: &[i64]) -> String {
    let other = decoder == 2 && rows.iter().any(|at| at % 3 == 0);
    format!("{rules}{}{rows:?}", if other { "'" } else { "" })
}

/// One line of the story, manifests cut short.
fn brief(step: &impl std::fmt::Debug) -> String {
    let text =
        format!("{step:?}").replace("Manifest { version: 1, ledger: \"ledger\", topic: \"t\", partition: 0, ", "{ ");
    text.chars().take(300).collect()
}
