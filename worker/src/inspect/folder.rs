//! Everything below a prefix: one line per file, and sums.

use std::fmt;

use bytesize::ByteSize;
use serde::Serialize;

use crate::cut::Manifest;
use crate::files::{FileKind, Footer};
use crate::text::{cells, counted, printable, table};

/// What an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A file of events.
    Rows,
    /// A file of dead letters.
    DeadLetters,
    /// A manifest; its rows are those that it plans.
    Manifest,
    /// It cannot be read, or no worker wrote it.
    Problem,
}

impl Kind {
    fn words(self) -> &'static str {
        match self {
            Self::Rows => "rows",
            Self::DeadLetters => "dead letters",
            Self::Manifest => "manifest",
            Self::Problem => "problem",
        }
    }
}

/// One object.
#[derive(Debug, Clone, Serialize)]
pub struct Entry {
    /// Key relative to the base path, or to the folder that was asked for.
    pub key: String,
    /// What it is.
    pub kind: Kind,
    /// Size in bytes.
    pub bytes: u64,
    /// Rows; none when they are not known.
    pub rows: Option<u64>,
    /// Topic.
    pub topic: Option<String>,
    /// Partition.
    pub partition: Option<i32>,
    /// Offset of the first row.
    pub first: Option<i64>,
    /// Offset of the last row.
    pub last: Option<i64>,
    /// First offset of its cut.
    pub cut_from: Option<i64>,
    /// First offset after its cut.
    pub cut_to: Option<i64>,
    /// What is wrong with it.
    pub problem: Option<String>,
}

impl Entry {
    /// A file of which only the footer was read.
    #[must_use]
    pub fn file(key: String, bytes: u64, footer: &Footer) -> Self {
        let kind = match footer.kind {
            FileKind::Rows => Kind::Rows,
            FileKind::DeadLetters => Kind::DeadLetters,
        };
        Self {
            rows: Some(footer.parquet_rows.unwrap_or(footer.rows)),
            topic: Some(footer.identity.topic.clone()),
            partition: Some(footer.identity.partition),
            first: Some(footer.first),
            last: Some(footer.last),
            cut_from: Some(footer.cut_from),
            cut_to: Some(footer.cut_to),
            ..Self::bare(key, bytes, kind)
        }
    }

    /// A manifest.
    #[must_use]
    pub fn manifest(key: String, bytes: u64, manifest: &Manifest) -> Self {
        let rows = manifest.files.iter().fold(0_u64, |sum, file| sum.saturating_add(file.rows));
        Self {
            rows: Some(rows),
            topic: Some(manifest.topic.clone()),
            partition: Some(manifest.partition),
            cut_from: Some(manifest.from),
            cut_to: Some(manifest.to),
            ..Self::bare(key, bytes, Kind::Manifest)
        }
    }

    /// An object with something wrong.
    #[must_use]
    pub fn problem(key: String, bytes: u64, words: String) -> Self {
        Self { problem: Some(words), ..Self::bare(key, bytes, Kind::Problem) }
    }

    fn bare(key: String, bytes: u64, kind: Kind) -> Self {
        Self {
            key,
            kind,
            bytes,
            rows: None,
            topic: None,
            partition: None,
            first: None,
            last: None,
            cut_from: None,
            cut_to: None,
            problem: None,
        }
    }
}

/// Sums over the objects that are shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Sums {
    /// Objects.
    pub objects: u64,
    /// Rows of events; of manifests all rows that they plan.
    pub rows: u64,
    /// Dead letters.
    pub dead_letters: u64,
    /// Bytes.
    pub bytes: u64,
    /// Objects with something wrong.
    pub problems: u64,
}

/// Everything below a prefix.
#[derive(Debug, Clone, Serialize)]
pub struct Folder {
    /// Where it is.
    pub place: String,
    /// Files in the order of their keys; below a folder without any, manifests.
    pub objects: Vec<Entry>,
    /// Their sums.
    pub totals: Sums,
    /// Objects that are neither.
    pub not_shown: u64,
}

impl Folder {
    /// Sums up what was found below `place`.
    #[must_use]
    pub fn of(place: String, objects: Vec<Entry>, not_shown: u64) -> Self {
        let mut totals = Sums::default();
        for Entry { kind, rows, bytes, .. } in &objects {
            totals.objects += 1;
            totals.bytes = totals.bytes.saturating_add(*bytes);
            let rows = rows.unwrap_or(0);
            match kind {
                Kind::Rows | Kind::Manifest => totals.rows = totals.rows.saturating_add(rows),
                Kind::DeadLetters => totals.dead_letters = totals.dead_letters.saturating_add(rows),
                Kind::Problem => totals.problems += 1,
            }
        }
        Self { place, objects, totals, not_shown }
    }
}

fn number<T: ToString>(number: Option<T>) -> String {
    number.map_or_else(|| "-".to_owned(), |number| number.to_string())
}

impl fmt::Display for Folder {
    /// Table, problems, sums.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", printable(&self.place, usize::MAX))?;
        let mut rows = vec![cells(&["key", "kind", "rows", "bytes", "first", "last", "cut"])];
        for entry in &self.objects {
            let cut = entry.cut_from.zip(entry.cut_to).map(|(from, to)| format!("{from}..{to}"));
            rows.push(vec![
                printable(&entry.key, usize::MAX),
                entry.kind.words().to_owned(),
                number(entry.rows),
                entry.bytes.to_string(),
                number(entry.first),
                number(entry.last),
                number(cut),
            ]);
        }
        if !self.objects.is_empty() {
            table(f, 2, &rows)?;
        }
        for entry in &self.objects {
            if let Some(problem) = &entry.problem {
                writeln!(f, "problem: {}: {}", printable(&entry.key, usize::MAX), printable(problem, usize::MAX))?;
            }
        }
        let Sums { objects, rows, dead_letters, bytes, problems } = self.totals;
        let manifests = self.objects.iter().any(|entry| entry.kind == Kind::Manifest);
        if manifests {
            write!(f, "{}, {} planned", counted(objects, "manifest"), counted(rows, "row"))?;
        } else {
            let (files, dead) = (counted(objects, "file"), counted(dead_letters, "dead letter"));
            write!(f, "{files}, {}, {dead}, {}", counted(rows, "row"), ByteSize::b(bytes))?;
        }
        if problems > 0 {
            write!(f, ", {}", counted(problems, "problem"))?;
        }
        if self.not_shown > 0 {
            write!(f, "; {} of the ledger or of other kinds not shown", counted(self.not_shown, "object"))?;
        }
        writeln!(f)
    }
}
