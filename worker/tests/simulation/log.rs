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
}

pub struct Entry {
    pub kind: Kind,
    pub epoch: i32,
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
    entries: Vec<Entry>,
}

impl Log {
    pub fn new(start: i64, poisoned: bool) -> Self {
        Self { start, low: start, poisoned, entries: vec![] }
    }

    pub fn end(&self) -> i64 {
        self.start + i64::try_from(self.entries.len()).unwrap_or(0)
    }

    pub fn entry(&self, offset: i64) -> Option<&Entry> {
        self.entries.get(usize::try_from(offset - self.start).ok()?)
    }

    /// True when the log, as it is now, delivers nothing at `offset` and need not: nothing was lost there.
    pub fn absent(&self, offset: i64) -> bool {
        self.entry(offset).is_some_and(|e| e.kind == Kind::Control || e.compacted)
    }

    pub fn append(&mut self, rng: &mut Rng) {
        let kind = match rng.below(10) {
            0 => Kind::Broken,
            5.. if self.poisoned => Kind::Broken,
            1 => Kind::Optional,
            2 | 3 => Kind::Control,
            n => Kind::Event(u8::from(n % 2 == 0)),
        };
        let epoch = self.entries.last().map_or(1, |e| e.epoch) + i32::from(rng.one_in(8));
        self.entries.push(Entry { kind, epoch, compacted: false });
    }

    /// Retention takes a few offsets from the beginning.
    pub fn expire(&mut self, rng: &mut Rng) {
        self.low = (self.low + 1 + i64::try_from(rng.below(4)).unwrap_or(0)).min(self.end());
    }

    /// Compaction takes one offset anywhere.
    pub fn compact(&mut self, rng: &mut Rng) {
        if !self.entries.is_empty() {
            let at = rng.index(self.entries.len());
            self.entries[at].compacted = true;
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
