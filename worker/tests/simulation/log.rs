//! The Kafka partition: what was produced, what became of it, and the two sets of rules that read it.

use crate::rng::Rng;
use eventsink_worker::cut::Outcome;
use eventsink_worker::events::Reason;

/// What was produced at an offset.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// An event whose row belongs to one of two keys.
    Event(u8),
    /// A record that can never become a row.
    Broken,
    /// A record that one set of rules leaves out and the other one keeps.
    Optional,
    /// A transaction marker: has an offset, is never delivered.
    Control,
    /// A record of a transaction that was aborted: never delivered either.
    Aborted,
}

pub struct Entry {
    pub kind: Kind,
    pub epoch: i32,
    /// Belongs to the transaction that is or was open.
    transactional: bool,
    /// Taken away by compaction.
    pub compacted: bool,
}

pub struct Log {
    /// First offset ever.
    pub start: i64,
    /// First offset that retention has left.
    pub low: i64,
    /// Most of what is produced is broken.
    poisoned: bool,
    /// The leader's epoch.
    pub epoch: i32,
    /// First offset of the open transaction.
    open: Option<i64>,
    /// What is written belongs to it.
    within: bool,
    entries: Vec<Entry>,
}

impl Log {
    pub fn new(start: i64, poisoned: bool) -> Self {
        Self { start, low: start, poisoned, epoch: 0, open: None, within: false, entries: vec![] }
    }

    pub fn end(&self) -> i64 {
        self.start + i64::try_from(self.entries.len()).unwrap_or(0)
    }

    pub fn entry(&self, offset: i64) -> Option<&Entry> {
        self.entries.get(usize::try_from(offset - self.start).ok()?)
    }

    /// True when the log, as it is now, delivers nothing at `offset` and need not: nothing was lost there.
    pub fn absent(&self, offset: i64) -> bool {
        self.entry(offset).is_some_and(|e| matches!(e.kind, Kind::Control | Kind::Aborted) || e.compacted)
    }

    pub fn delivers(&self, offset: i64) -> bool {
        offset >= self.low && offset < self.stable() && !self.absent(offset)
    }

    /// Nothing is delivered from here on: the first offset of the open transaction, or the end.
    pub fn stable(&self) -> i64 {
        self.open.unwrap_or(self.end())
    }

    pub fn write(&mut self, kind: Kind) {
        let transactional = self.within && kind != Kind::Control;
        self.entries.push(Entry { kind, epoch: self.epoch, transactional, compacted: false });
    }

    /// What follows belongs to a transaction, until [`Self::leave`].
    pub fn begin(&mut self) {
        self.open = Some(self.end());
        self.within = true;
    }

    pub fn leave(&mut self) {
        self.within = false;
    }

    /// The transaction is decided, by a marker at the end.
    pub fn end_transaction(&mut self, commits: bool) {
        let Some(open) = self.open.take() else { return };
        self.within = false;
        let first = usize::try_from(open - self.start).unwrap_or(0);
        if !commits {
            self.entries[first..].iter_mut().filter(|e| e.transactional).for_each(|e| e.kind = Kind::Aborted);
        }
        self.write(Kind::Control);
    }

    /// The newest epoch up to this one that has records, and where it ends; `None` for one that is still to come.
    pub fn end_of_epoch(&self, epoch: i32) -> Option<(i32, i64)> {
        let within = self.entries.iter().take_while(|entry| entry.epoch <= epoch);
        let newest = within.clone().last().filter(|_| epoch <= self.epoch)?.epoch;
        Some((newest, self.start + i64::try_from(within.count()).unwrap_or(0)))
    }

    pub fn compact_at(&mut self, offset: i64) {
        if let Some(entry) = usize::try_from(offset - self.start).ok().and_then(|at| self.entries.get_mut(at)) {
            entry.compacted = true;
        }
    }

    pub fn append(&mut self, rng: &mut Rng) {
        let kind = match rng.below(10) {
            0 => Kind::Broken,
            5.. if self.poisoned => Kind::Broken,
            1 => Kind::Optional,
            2 | 3 => Kind::Control,
            n => Kind::Event(u8::from(n % 2 == 0)),
        };
        self.epoch += i32::from(rng.one_in(8));
        self.write(kind);
        match self.open {
            None if rng.one_in(12) => self.begin(),
            Some(_) if rng.one_in(3) => self.end_transaction(rng.one_in(2)),
            // Others write too while the transaction is open.
            Some(_) => self.within = rng.one_in(2),
            None => {}
        }
    }

    /// Retention takes a few offsets from the beginning.
    pub fn expire(&mut self, rng: &mut Rng) {
        self.low = (self.low + 1 + i64::try_from(rng.below(4)).unwrap_or(0)).min(self.stable());
    }

    /// Compaction takes one offset anywhere.
    pub fn compact(&mut self, rng: &mut Rng) {
        if !self.entries.is_empty() {
            // The cleaner stays below an open transaction.
            let at = i64::try_from(rng.index(self.entries.len())).unwrap_or(0);
            if self.start + at < self.stable() {
                self.compact_at(self.start + at);
            }
        }
    }
}

/// What these rules make of a record.
pub fn outcome(rules: &str, kind: Kind) -> Outcome {
    match kind {
        Kind::Broken => Outcome::Dead(Reason::MalformedJson),
        Kind::Optional if rules == "a" => Outcome::Filtered,
        _ => Outcome::Row,
    }
}

/// The file that these rules put a record into.
pub fn group(rules: &str, kind: Kind, offset: i64) -> &'static str {
    match (kind, rules) {
        (Kind::Broken, _) => "_dlq",
        (Kind::Event(1), "a") => "a1",
        (_, "a") => "a0",
        _ if offset % 2 == 1 => "b1",
        _ => "b0",
    }
}
