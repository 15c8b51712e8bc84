//! What all workers share: the log, the bucket, the group's commit; and what must be true of them, always.

use crate::broker::{Answer, Group, Seat};
use crate::holds::RESET;
use crate::log::Log;
use crate::rng::Rng;
use eventsink_worker::cut::{Committed, FloodLimit, Manifest, Ranges};
use eventsink_worker::files::{FileKind, PlannedFile};
use std::collections::{BTreeMap, BTreeSet};

/// A rule that the driver breaks, to show that the invariants notice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sabotage {
    None,
    /// Another worker's manifest is taken for one's own.
    RivalTakenAsWon,
    /// Planned files of an adopted cut are believed to be there.
    CheckSkipped,
    /// Files are put before their manifest.
    FilesFirst,
    /// Records that the machine drops are used.
    AdmitIgnored,
    /// Answers to effects from before a discard are passed on.
    AnswersOutliveDiscard,
    /// The tip is read before the committed offset.
    TipReadFirst,
    /// The position is passed on while a record below it waits.
    PositionPassesWaiting,
    /// A cut is marked as finished when its manifest is there.
    DoneTooEarly,
    /// A cut is committed when its manifest is there.
    CommitTooEarly,
    /// The tip is believed to be finished without proof.
    AdoptionSkipped,
    /// Rows of an adopted cut are made by the worker's own rules.
    OwnRulesInReplay,
    /// Files are put while the names of their losses are still under way.
    LossesNamedLater,
    /// Failed puts of a file are forgotten.
    PutForgotten,
    /// The next cut comes before the copy of dead letters.
    CopySkipped,
    /// A cut is committed when its files are there, before its dead letters are copied.
    CommitBeforeCopy,
    /// Dead letters of an adopted cut are not copied.
    AdoptionWithoutCopy,
    /// Dead letters are copied when their cut closes, before the manifest.
    CopyFirst,
    /// Rows of the open cut are kept in a hold that the copy of the cut before it outlives.
    OpenSurvivesHold,
    /// Floods are let through.
    FloodIgnored,
    /// The machine is not told that the store takes nothing.
    BreakerIgnored,
    /// Records that come after an error of the consumer are offered before it is told.
    ErrorOvertaken,
    /// Rows of an adopted cut are written though another decoder promised others.
    DecoderIgnored,
}

/// How the log treats what was written to it, and what the workers are told to do about it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Losses {
    /// Retention and compaction do not wait for the sink.
    pub happen: bool,
    /// Setting `on_loss: skip`.
    pub skip: bool,
}

/// What the workers are told to do with dead letters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DeadLetters {
    /// There is a dead-letter topic.
    pub copied: bool,
    /// When they are a flood.
    pub flood: FloodLimit,
}

pub struct Object {
    pub rows: Vec<i64>,
    pub digest: String,
    pub incomplete: bool,
}

/// A write whose sender no longer waits for it.
pub enum Late {
    Manifest(Manifest),
    File(String, Object),
    Commit(Option<Seat>, Committed),
    Done(i64),
    Lost(i64, i64),
}

pub struct Shared {
    pub rng: Rng,
    pub log: Log,
    pub losses: Losses,
    pub dead_letters: DeadLetters,
    /// Setting `on_offsets_moved: ignore`.
    pub ignore_moved: bool,
    pub sabotage: Sabotage,
    pub manifests: BTreeMap<i64, Manifest>,
    pub files: BTreeMap<String, Object>,
    /// Offsets in the dead-letter topic.
    pub copied: BTreeSet<i64>,
    pub done: BTreeSet<i64>,
    pub lost: BTreeSet<(i64, i64)>,
    pub group: Group,
    /// The worker whose commit came last; `None` when it was stopped since.
    pub committer: Option<usize>,
    pub late: Vec<Late>,
    pub nonces: u64,
    /// Faults are over.
    pub calm: bool,
    /// Something that the invariants look at has changed.
    pub changed: bool,
    /// A promise that a driver saw broken.
    pub broken: Option<String>,
    /// How often what matters came up.
    pub seen: BTreeMap<&'static str, u64>,
    pub story: Option<Vec<String>>,
}

impl Shared {
    pub fn tell(&mut self, step: impl FnOnce() -> String) {
        if let Some(story) = &mut self.story {
            story.push(step());
        }
    }

    pub fn see(&mut self, what: &'static str) {
        *self.seen.entry(what).or_default() += 1;
    }

    /// Create-only; gives the manifest that is there afterwards.
    pub fn put_manifest(&mut self, manifest: &Manifest) -> Manifest {
        self.changed = true;
        self.manifests.entry(manifest.from).or_insert_with(|| manifest.clone()).clone()
    }

    /// Create-only; an object that is there and differs is an error, unless one of both is incomplete.
    pub fn put_file(&mut self, key: &str, object: Object) -> Result<(), String> {
        self.changed = true;
        match self.files.get(key) {
            Some(there) if there.digest == object.digest || there.incomplete || object.incomplete => Ok(()),
            Some(there) => Err(format!("{key} holds {:?} instead of {:?}", there.rows, object.rows)),
            None => {
                self.files.insert(key.to_owned(), object);
                Ok(())
            }
        }
    }

    pub fn committed(&self) -> Option<&Committed> {
        self.group.commits.get(&0)
    }

    /// The coordinator looks at member and generation, not at who owns the partition.
    pub fn commit(&mut self, committed: Committed, seat: Option<Seat>, by: Option<usize>) -> Answer {
        let answer = self.group.commit(seat, 0, committed);
        if answer == Answer::Ok {
            self.changed = true;
            self.committer = by;
        }
        answer
    }

    /// A seat in the group: the one that this member has by now, or a new one, for which all others join again.
    pub fn seat(&mut self, member: Option<u64>) -> Option<Seat> {
        if let Some(member) = member
            && let Some(generation) = self.group.joined(member)
        {
            return Some(Seat { member, generation });
        }
        let member = self.group.ask_to_join(None).ok()?;
        self.join_again();
        Some(Seat { member, generation: self.group.joined(member)? })
    }

    fn join_again(&mut self) {
        for member in self.group.awaited() {
            let _ = self.group.ask_to_join(Some(member));
        }
        let generation = self.group.generation;
        for member in self.group.members() {
            let _ = self.group.sync(Seat { member, generation });
        }
    }

    /// The coordinator misses a member, which may be alive all the same.
    pub fn expel(&mut self) {
        let members = self.group.members();
        if members.is_empty() {
            return;
        }
        let member = members[self.rng.index(members.len())];
        self.tell(|| format!("member {member} is expelled"));
        let _ = self.group.remove(member);
        self.join_again();
    }

    /// All members are missed, and somebody deletes the group.
    pub fn delete_group(&mut self) {
        self.tell(|| "the group is deleted".into());
        for member in self.group.members() {
            let _ = self.group.remove(member);
        }
        assert_eq!(self.group.delete(), Answer::Ok, "a group without members");
        self.committer = None;
    }

    /// All members are missed, and somebody resets the group's offset, as tools do.
    pub fn reset_offset(&mut self) {
        for member in self.group.members() {
            let _ = self.group.remove(member);
        }
        let span = usize::try_from(self.log.end() - self.log.start).unwrap_or(0);
        let offset = self.log.start + i64::try_from(self.rng.index(span + 1)).unwrap_or(0);
        self.see(RESET);
        self.tell(|| format!("the group's offset is reset to {offset}"));
        assert_eq!(self.commit(Committed { offset, note: None }, None, None), Answer::Ok, "a group without members");
    }

    /// A write without a sender lands, or never does.
    pub fn settle_late(&mut self) {
        if self.late.is_empty() {
            return;
        }
        let at = self.rng.index(self.late.len());
        let late = self.late.swap_remove(at);
        if self.rng.one_in(3) {
            return;
        }
        match late {
            Late::Manifest(manifest) => {
                self.tell(|| format!("late manifest {} [{}, {})", manifest.nonce, manifest.from, manifest.to));
                self.put_manifest(&manifest);
            }
            Late::File(key, object) => {
                self.tell(|| format!("late file {key}"));
                // Nobody hears of a collision here; the sender's successor checks the object.
                let _ = self.put_file(&key, object);
            }
            Late::Commit(seat, committed) => {
                let offset = committed.offset;
                let answer = self.commit(committed, seat, None);
                self.see(if answer == Answer::Ok { "late commit" } else { "late commit refused" });
                self.tell(|| format!("late commit {offset}: {}", answer.as_str()));
            }
            Late::Done(from) => {
                self.changed = true;
                self.done.insert(from);
            }
            Late::Lost(from, to) => {
                self.lost.insert((from, to));
            }
        }
    }

    /// Its files are there, and what is in those of dead letters is in their topic too.
    fn finished(&self, manifest: &Manifest) -> bool {
        let copied = |object: &Object| object.rows.iter().all(|at| self.copied.contains(at));
        manifest.files.iter().all(|file| {
            let needs_copy = self.dead_letters.copied && file.kind == FileKind::DeadLetters;
            self.files.get(&file.key).is_some_and(|object| !needs_copy || copied(object))
        })
    }

    /// The dead letters of a cut that stands: the rows of its files.
    pub fn dead_letters_of(&self, manifest: &Manifest) -> Vec<i64> {
        let dead = manifest.files.iter().filter(|file| file.kind == FileKind::DeadLetters);
        dead.filter_map(|file| self.files.get(&file.key)).flat_map(|object| object.rows.iter().copied()).collect()
    }

    pub fn copy(&mut self, at: i64) {
        self.changed = true;
        self.copied.insert(at);
    }

    /// What must be true in every state.
    pub fn check(&self) -> Result<(), String> {
        let finished_to = self.check_chain()?;
        self.check_files()?;
        self.check_dead_letters()?;
        for from in &self.done {
            let manifest = self.manifests.get(from).ok_or_else(|| format!("{from} is marked done without manifest"))?;
            if !self.finished(manifest) {
                return Err(format!("{} is marked done without all its files and copies", manifest.nonce));
            }
        }
        // What somebody has set by hand proves nothing.
        let Some(committed) = self.committed().filter(|committed| committed.note.is_some()) else { return Ok(()) };
        if let Some(at) = (finished_to..committed.offset).find(|at| !self.log.absent(*at)) {
            return Err(format!("{} is committed, but {at} is in no finished cut", committed.offset));
        }
        let named = committed.note.as_ref().and_then(|n| self.manifests.values().find(|m| m.nonce == n.nonce));
        match named {
            Some(manifest) if !self.finished(manifest) => {
                Err(format!("a commit names {}, which misses files or copies", manifest.nonce))
            }
            _ => Ok(()),
        }
    }

    /// The end of the last finished cut.
    fn check_chain(&self) -> Result<i64, String> {
        let (mut at, mut prev, mut finished_to) = (self.log.start, "genesis", self.log.start);
        for manifest in self.manifests.values() {
            let nonce = &manifest.nonce;
            if manifest.from != at || manifest.prev != prev {
                return Err(format!(
                    "{nonce} starts at {} after {} instead of {at} after {prev}",
                    manifest.from, manifest.prev
                ));
            }
            if finished_to != at {
                return Err(format!("{nonce} follows {prev}, which misses files or copies"));
            }
            if let Some(at) = offsets(&manifest.absent).find(|at| !self.log.absent(*at)) {
                return Err(format!("{nonce} calls {at} absent"));
            }
            if let Some(at) = offsets(&manifest.lost).find(|at| *at >= self.log.low) {
                return Err(format!("{nonce} calls {at} lost"));
            }
            if self.finished(manifest) {
                finished_to = manifest.to;
            }
            at = manifest.to;
            prev = nonce;
        }
        Ok(finished_to)
    }

    fn check_files(&self) -> Result<(), String> {
        let mut homes: BTreeMap<i64, &str> = BTreeMap::new();
        for (key, object) in &self.files {
            let mut planned = self.manifests.values().flat_map(|m| &m.files).filter(|f| f.key == *key);
            match planned.next() {
                None => return Err(format!("{key} is in no manifest")),
                Some(plan) if plan.digest != object.digest && !object.incomplete => {
                    return Err(format!("{key} holds {:?}, not what was planned", object.rows));
                }
                Some(_) => {}
            }
            for at in &object.rows {
                if let Some(other) = homes.insert(*at, key) {
                    return Err(format!("offset {at} is in {key} and in {other}"));
                }
            }
        }
        Ok(())
    }

    fn check_dead_letters(&self) -> Result<(), String> {
        let planned = |at: &&i64| !self.manifests.values().any(|manifest| manifest.dead.contains(**at));
        if let Some(at) = self.copied.iter().find(planned) {
            return Err(format!("{at} is in the dead-letter topic and in no manifest"));
        }
        let FloodLimit { threshold, min_records } = self.dead_letters.flood;
        let flood = |manifest: &&Manifest| {
            let dead = manifest.dead.len();
            let rows: u64 = manifest.files.iter().filter(|f| f.kind == FileKind::Rows).map(|f| f.rows).sum();
            dead >= min_records && threshold.is_exceeded_by(dead, dead + rows)
        };
        match self.manifests.values().find(flood) {
            Some(manifest) => Err(format!("{} is a flood of dead letters", manifest.nonce)),
            None => Ok(()),
        }
    }

    pub fn lag(&self) -> i64 {
        self.log.end() - self.committed().map_or(self.log.start, |c| c.offset)
    }

    /// What must be true when everything has been read: each offset is accounted for exactly once.
    pub fn check_at_rest(&self) -> Result<(), String> {
        for manifest in self.manifests.values() {
            for at in manifest.from..manifest.to {
                self.account(manifest, at)?;
            }
        }
        let tip_to = self.manifests.last_key_value().map_or(self.log.start, |(_, m)| m.to);
        match (tip_to..self.log.end()).find(|at| !self.log.absent(*at)) {
            Some(at) => Err(format!("{at} is in no cut")),
            None => Ok(()),
        }
    }

    fn account(&self, manifest: &Manifest, at: i64) -> Result<(), String> {
        let home = self.files.iter().find(|(_, o)| o.rows.contains(&at)).map(|(key, _)| key.as_str());
        let dead_letter = home.is_some_and(|key| key.starts_with("_dlq"));
        let dead = manifest.dead.contains(at);
        if home.is_some() && dead != dead_letter {
            return Err(format!("{at} is in {home:?}, dead by its manifest: {dead}"));
        }
        let named = home.is_none() && self.lost.iter().any(|(from, to)| (*from..*to).contains(&at));
        let lost = manifest.lost.contains(at);
        if lost && !named {
            return Err(format!("{at} is lost and not named"));
        }
        // A filtered or absent offset within a named loss had no row to lose.
        let (filtered, absent) = (manifest.filtered.contains(at), manifest.absent.contains(at));
        let answers = u32::from(home.is_some())
            + u32::from(filtered)
            + u32::from(absent)
            + u32::from(lost || (named && !filtered && !absent));
        if answers != 1 {
            return Err(format!(
                "{at} has {answers} answers: file {home:?}, filtered {filtered}, absent {absent}, lost {lost}, named {named}"
            ));
        }
        Ok(())
    }
}

fn offsets(ranges: &Ranges) -> impl Iterator<Item = i64> + '_ {
    ranges.iter().flat_map(|(from, to)| from..to)
}

/// The only place that knows every field of a planned file.
pub fn planned(key: String, rows: &[i64], digest: String) -> PlannedFile {
    let (first, last) = (rows.first().copied().unwrap_or(0), rows.last().copied().unwrap_or(0));
    let kind = if key.starts_with("_dlq") { FileKind::DeadLetters } else { FileKind::Rows };
    PlannedFile { key, kind, rows: rows.len() as u64, first, last, digest }
}
