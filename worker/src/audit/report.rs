//! What an audit found, as text and as JSON. Knows nothing of how it was found.

use std::fmt;

use serde::Serialize;

use super::PartitionId;
use crate::text::{counted, table};

/// Stable names of what can be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// An object of the ledger is no longer what a worker wrote.
    Unreadable,
    /// An object of the ledger was written by a newer worker.
    UnknownVersion,
    /// An object of the ledger is not there: owner, genesis, rules, a manifest.
    MissingFromLedger,
    /// Two manifests contradict each other.
    BrokenChain,
    /// A manifest contradicts itself, its name or its place.
    ChangedManifest,
    /// A planned file is not there.
    MissingFile,
    /// A planned file cannot be read to its end.
    DamagedFile,
    /// Another file stands under a planned key.
    DifferentFile,
    /// The rows of a file are not those that its footer and its manifest say; only a deep audit reads them.
    ChangedRows,
    /// The log has records that the ledger says it never had; only an audit that asks Kafka sees them.
    DeniedRecords,
    /// The log does not go with the ledger: it is shorter, or is another topic's.
    OtherLog,
    /// A second copy of a planned file.
    CopiedFile,
    /// The rows of a planned file that is not there, under another key.
    MovedFile,
    /// A file of another ledger.
    OtherSink,
    /// A file of this ledger whose manifest is gone or does not plan it.
    OrphanFile,
    /// An object that nobody planned.
    UnknownObject,
    /// The log lost offsets and no object names the loss.
    UnnamedLoss,
    /// The audit could not look at everything.
    NotFinished,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Its stable name.
    pub kind: FindingKind,
    /// Key of the object concerned, relative to the base path.
    pub key: String,
    /// What is wrong with it.
    pub what: String,
    /// What to do.
    pub way_out: String,
}

impl Finding {
    /// A finding about the object at `key`.
    pub(super) fn new(
        kind: FindingKind,
        key: impl Into<String>,
        what: impl Into<String>,
        way_out: impl Into<String>,
    ) -> Self {
        Self { kind, key: key.into(), what: what.into(), way_out: way_out.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.key, self.what, self.way_out)
    }
}

/// Sums over finished cuts, as the ledger states them and the footers confirm.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Offsets in finished cuts.
    pub offsets: u64,
    /// Finished cuts.
    pub cuts: u64,
    /// Files, those of dead letters included.
    pub files: u64,
    /// Rows of events.
    pub rows: u64,
    /// Dead letters.
    pub dead_letters: u64,
    /// Offsets that the sink's policy leaves out.
    pub filtered: u64,
    /// Offsets that the log does not have.
    pub absent: u64,
    /// Offsets that the log lost, those of incomplete files included.
    pub lost: u64,
}

impl Totals {
    pub(super) fn add(&mut self, other: &Self) {
        // Manifests are foreign text here: their sums must not end the audit.
        self.offsets = self.offsets.saturating_add(other.offsets);
        self.cuts = self.cuts.saturating_add(other.cuts);
        self.files = self.files.saturating_add(other.files);
        self.rows = self.rows.saturating_add(other.rows);
        self.dead_letters = self.dead_letters.saturating_add(other.dead_letters);
        self.filtered = self.filtered.saturating_add(other.filtered);
        self.absent = self.absent.saturating_add(other.absent);
        self.lost = self.lost.saturating_add(other.lost);
    }
}

/// One partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PartitionSummary {
    /// Its number.
    pub partition: i32,
    /// First offset that the sink accounts for.
    pub from: i64,
    /// First offset after its last finished cut.
    pub to: i64,
    /// Its sums.
    #[serde(flatten)]
    pub totals: Totals,
}

/// One topic under one id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TopicSummary {
    /// Its name.
    pub topic: String,
    /// Its id; `0` where the brokers give none.
    pub topic_id: String,
    /// Its partitions, in order.
    pub partitions: Vec<PartitionSummary>,
}

impl TopicSummary {
    /// Sums over all partitions.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let mut sum = Totals::default();
        self.partitions.iter().for_each(|partition| sum.add(&partition.totals));
        sum
    }
}

/// A newest cut with files still to be written: the next worker adopts it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unfinished {
    /// Key of its manifest.
    pub key: String,
    /// First offset of the cut.
    pub from: i64,
    /// First offset after the cut.
    pub to: i64,
    /// How many files it plans.
    pub files: usize,
    /// Keys of those not there yet.
    pub missing: Vec<String>,
}

impl fmt::Display for Unfinished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, from, to, files, missing } = self;
        write!(
            f,
            "{key}: unfinished tip, will be adopted: {} of {files} files of offsets {from}..{to} not there yet",
            missing.len()
        )
    }
}

/// Offsets that the log lost before they were read, as `lost/` names them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Loss {
    /// Topic.
    pub topic: String,
    /// Id of the topic.
    pub topic_id: String,
    /// Partition.
    pub partition: i32,
    /// First lost offset.
    pub from: i64,
    /// First offset after the lost ones.
    pub to: i64,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { topic, partition, from, to, .. } = self;
        write!(f, "{topic}/{partition}: the log lost records of offsets {from}..{to} before they were written")
    }
}

/// What the ledger says of one partition that only the log can contradict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The partition.
    pub id: PartitionId,
    /// First offset after its last finished cut.
    pub to: i64,
    /// Ascending ranges of offsets that have no record, or had none any more when they were to be read.
    pub denied: Vec<(i64, i64)>,
}

/// One partition of the log beside its ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LogSummary {
    /// The partition.
    #[serde(flatten)]
    pub id: PartitionId,
    /// First offset of the log and the one after its last; none when Kafka no longer has the topic of this id.
    pub log: Option<(i64, i64)>,
    /// Offsets of the log that are in no finished cut yet.
    pub unwritten: u64,
    /// Offsets without a record by the ledger that the log could still have, all of which were looked for.
    pub looked_for: u64,
}

impl fmt::Display for LogSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PartitionId { topic, topic_id, partition } = &self.id;
        let Some((from, to)) = self.log else {
            return write!(f, "{topic}/{partition}: kafka no longer has the topic with id {topic_id}");
        };
        let Self { unwritten, looked_for, .. } = self;
        write!(
            f,
            "{topic}/{partition}: kafka has {from}..{to}, {unwritten} not written yet; looked for records at \
             {looked_for} offsets that have none by the ledger"
        )
    }
}

/// All that an audit found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// No finding.
    pub green: bool,
    /// Where the objects live.
    pub place: String,
    /// Id of the ledger; empty when its owner cannot be read.
    pub ledger: String,
    /// Name of the sink.
    pub sink: String,
    /// Consumer group.
    pub group: String,
    /// Topics, in order.
    pub topics: Vec<TopicSummary>,
    /// What is wrong, by key.
    pub findings: Vec<Finding>,
    /// Newest cuts whose files are not all there yet; nothing is wrong with them.
    pub unfinished: Vec<Unfinished>,
    /// Named losses; nothing that the sink did.
    pub losses: Vec<Loss>,
    /// The log beside the ledger, if Kafka was asked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub logs: Vec<LogSummary>,
    /// What the log could contradict.
    #[serde(skip)]
    pub claims: Vec<Claim>,
}

impl Report {
    /// True when nothing is wrong.
    #[must_use]
    pub fn is_green(&self) -> bool {
        self.findings.is_empty()
    }

    /// Sums over all topics.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let mut sum = Totals::default();
        self.topics.iter().for_each(|topic| sum.add(&topic.totals()));
        sum
    }

    /// The last line of the text: the verdict.
    #[must_use]
    pub fn verdict(&self) -> String {
        let totals = self.totals();
        let partitions: usize = self.topics.iter().map(|topic| topic.partitions.len()).sum();
        let open = match self.unfinished.len() {
            0 => String::new(),
            n => format!(", {} will be adopted", counted(n, "unfinished tip")),
        };
        match self.findings.len() {
            0 => format!(
                "audit: green: {} of {} accounted for in {}{open}",
                counted(totals.offsets, "offset"),
                counted(partitions, "partition"),
                counted(totals.files, "file"),
            ),
            n => format!("audit: {}{open}", counted(n, "finding")),
        }
    }

    /// A cell of the first column; the id only where one name has several.
    fn name(&self, topic: &TopicSummary) -> String {
        let alike = self.topics.iter().filter(|other| other.topic == topic.topic).count();
        if alike > 1 { format!("{} ({})", topic.topic, topic.topic_id) } else { topic.topic.clone() }
    }

    fn rows(&self) -> Vec<Vec<String>> {
        let head = ["topic", "partitions", "offsets", "cuts", "files", "rows", "dead letters", "filtered", "absent"];
        let mut rows = vec![head.iter().chain(&["lost"]).map(|text| (*text).to_owned()).collect::<Vec<_>>()];
        for topic in &self.topics {
            let sum = topic.totals();
            let from = topic.partitions.iter().map(|partition| partition.from).min().unwrap_or(0);
            let to = topic.partitions.iter().map(|partition| partition.to).max().unwrap_or(0);
            let mut row = vec![self.name(topic), topic.partitions.len().to_string(), format!("{from}..{to}")];
            let counts = [sum.cuts, sum.files, sum.rows, sum.dead_letters, sum.filtered, sum.absent, sum.lost];
            row.extend(counts.iter().map(u64::to_string));
            rows.push(row);
        }
        rows
    }
}

impl fmt::Display for Report {
    /// Table, notes, findings, verdict: one line each, the verdict last.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.ledger.is_empty() {
            writeln!(f, "{}", self.place)?;
        } else {
            writeln!(f, "{}, ledger {} of sink {} (group {})", self.place, self.ledger, self.sink, self.group)?;
        }
        if !self.topics.is_empty() {
            table(f, 1, &self.rows())?;
        }
        for loss in &self.losses {
            writeln!(f, "loss: {loss}")?;
        }
        for unfinished in &self.unfinished {
            writeln!(f, "warning: {unfinished}")?;
        }
        for log in &self.logs {
            writeln!(f, "log: {log}")?;
        }
        for finding in &self.findings {
            writeln!(f, "finding: {finding}")?;
        }
        writeln!(f, "{}", self.verdict())
    }
}
