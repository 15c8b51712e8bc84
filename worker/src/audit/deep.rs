//! Do the rows of the files account for the offsets of their cut, each once? Pure: rows read back in, findings out.

use std::fmt::Display;

use super::{Finding, FindingKind};
use crate::cut::manifest::Manifest;
use crate::files::{FileKind, Footer, PlannedFile, RowsRead};

const RESTORE: &str = "restore it from a backup or the bucket's older versions";

/// Where the rows of a file are not what its footer says; the footer has been found to be the planned one.
pub(super) fn differences(read: &RowsRead, footer: &Footer) -> Vec<String> {
    let mut all = Vec::new();
    let mut same = |what: &str, found: &dyn Display, told: &dyn Display| {
        let (found, told) = (found.to_string(), told.to_string());
        if found != told {
            all.push(format!("its {what} is {found}, and its footer says {told}"));
        }
    };
    same("number of rows", &read.rows, &footer.rows);
    same("row digest", &read.digest, &footer.digest);
    all
}

/// A file whose rows are not those of its footer, or cannot be read.
pub(super) fn changed(manifest_key: &str, plan: &PlannedFile, words: &str) -> Finding {
    let what = format!("{words}; {manifest_key} plans it with {} rows", plan.rows);
    Finding::new(FindingKind::ChangedRows, &plan.key, what, RESTORE)
}

/// Collects the offsets of one cut from the rows of all its files.
#[derive(Debug)]
pub(super) struct Cover {
    left: usize,
    whole: bool,
    rows: Vec<i64>,
    dead: Vec<i64>,
}

impl Cover {
    /// A cut of so many files.
    pub fn of(files: usize) -> Self {
        Self { left: files, whole: true, rows: Vec::new(), dead: Vec::new() }
    }

    /// One more file was looked at; `None` when its rows say nothing, because of a finding or an accepted loss.
    pub fn add(&mut self, kind: FileKind, offsets: Option<Vec<i64>>) {
        self.left = self.left.saturating_sub(1);
        match (offsets, kind) {
            (Some(offsets), FileKind::Rows) if self.whole => self.rows.extend(offsets),
            (Some(offsets), FileKind::DeadLetters) if self.whole => self.dead.extend(offsets),
            (Some(_), _) => {}
            (None, _) => *self = Self { left: self.left, whole: false, rows: Vec::new(), dead: Vec::new() },
        }
    }

    /// True when the last file was looked at.
    pub fn is_full(&self) -> bool {
        self.left == 0
    }

    /// What does not add up: dead letters are exactly the dead offsets, and rows all others without another fate.
    /// Nothing is said of a cut of which some file had no rows to judge by.
    pub fn judge(mut self, key: &str, manifest: &Manifest) -> Option<Finding> {
        if !self.whole {
            return None;
        }
        self.rows.sort_unstable();
        self.dead.sort_unstable();
        let due = rest(manifest).into_iter().flat_map(|(from, to)| from..to);
        let wrong = first_difference(self.rows.into_iter(), due, "row").or_else(|| {
            first_difference(self.dead.into_iter(), manifest.dead.iter().flat_map(|(from, to)| from..to), "dead letter")
        })?;
        let what = format!("the files it plans do not hold its offsets, each once: {wrong}");
        Some(Finding::new(FindingKind::ChangedRows, key, what, "restore manifest and files as they were written"))
    }
}

/// The offsets of a cut that are neither dead, filtered, absent nor lost, as ascending ranges.
fn rest(manifest: &Manifest) -> Vec<(i64, i64)> {
    let fates = [&manifest.dead, &manifest.filtered, &manifest.absent, &manifest.lost];
    let mut taken: Vec<(i64, i64)> = fates.iter().flat_map(|fate| fate.iter()).collect();
    taken.sort_unstable();
    let mut rest = Vec::new();
    let mut at = manifest.from;
    for (from, to) in taken.into_iter().chain([(manifest.to, manifest.to)]) {
        if at < from {
            rest.push((at, from));
        }
        at = at.max(to);
    }
    rest
}

/// The first place where two ascending sequences part.
fn first_difference(
    mut found: impl Iterator<Item = i64>,
    mut due: impl Iterator<Item = i64>,
    noun: &str,
) -> Option<String> {
    loop {
        return match (found.next(), due.next()) {
            (None, None) => None,
            (Some(found), Some(due)) if found == due => continue,
            (Some(found), Some(due)) if found > due => Some(format!("offset {due} is in no {noun}")),
            (None, Some(due)) => Some(format!("offset {due} is in no {noun}")),
            (Some(found), _) => Some(format!("offset {found} is in one {noun} too many")),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parted(found: &[i64], due: &[i64]) -> Option<String> {
        first_difference(found.iter().copied(), due.iter().copied(), "row")
    }

    #[test]
    fn the_first_offset_that_is_missing_or_doubled_is_named() {
        assert_eq!(parted(&[1, 2, 3], &[1, 2, 3]), None);
        assert_eq!(parted(&[1, 3], &[1, 2, 3]).unwrap(), "offset 2 is in no row");
        assert_eq!(parted(&[1], &[1, 2]).unwrap(), "offset 2 is in no row");
        assert_eq!(parted(&[1, 1, 2], &[1, 2]).unwrap(), "offset 1 is in one row too many");
        assert_eq!(parted(&[1, 2, 9], &[1, 2]).unwrap(), "offset 9 is in one row too many");
    }

    /// Offsets 0 to 5, of which 1 is dead and 4 filtered.
    fn manifest() -> Manifest {
        let manifest = serde_json::json!({
            "version": 1, "ledger": "l", "topic": "t", "partition": 0, "from": 0, "to": 6, "epoch": 0,
            "prev": "genesis", "nonce": "n", "rules": "r", "decoder_version": 1, "files": [],
            "dead": [[1, 2]], "filtered": [[4, 5]], "absent": [], "lost": []
        });
        serde_json::from_value(manifest).unwrap()
    }

    fn told(rows: &[i64], dead: &[i64]) -> Option<String> {
        let cover = Cover { left: 0, whole: true, rows: rows.to_vec(), dead: dead.to_vec() };
        cover.judge("m", &manifest()).map(|finding| finding.what)
    }

    #[test]
    fn every_offset_of_a_cut_is_in_one_row_or_dead_letter_or_has_another_fate() {
        assert_eq!(told(&[5, 0, 2, 3], &[1]), None);
        assert!(told(&[0, 2, 2, 5], &[1]).unwrap().ends_with("offset 2 is in one row too many"));
        assert!(told(&[0, 2, 3, 4, 5], &[1]).unwrap().ends_with("offset 4 is in one row too many"));
        assert!(told(&[0, 2, 5], &[1]).unwrap().ends_with("offset 3 is in no row"));
        assert!(told(&[0, 2, 3, 5], &[]).unwrap().ends_with("offset 1 is in no dead letter"));
    }

    #[test]
    fn a_cut_is_judged_after_its_last_file_and_only_when_all_had_their_rows() {
        let mut cover = Cover::of(2);
        cover.add(FileKind::Rows, Some(vec![0, 2, 2, 3]));
        assert!(!cover.is_full());
        cover.add(FileKind::DeadLetters, Some(vec![1]));
        assert!(cover.is_full());
        assert!(cover.judge("m", &manifest()).is_some());
        let mut broken = Cover::of(3);
        broken.add(FileKind::Rows, Some(vec![9]));
        broken.add(FileKind::Rows, None);
        broken.add(FileKind::Rows, Some(vec![9]));
        assert!(broken.is_full() && broken.rows.is_empty(), "nothing is kept for a judgement that cannot be");
        assert_eq!(broken.judge("m", &manifest()), None);
    }
}
