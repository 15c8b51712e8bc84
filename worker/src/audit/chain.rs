//! Do the manifests of a partition account for every offset, once? Pure: manifests in, findings out.

use std::sync::Arc;

use serde::Serialize;

use super::{Finding, FindingKind, Totals};
use crate::cut::Ranges;
use crate::cut::manifest::{GENESIS_NONCE, Manifest, cut_key};
use crate::files::{FileKind, PlannedFile};

const AS_WRITTEN: &str = "restore it as it was written, from a backup or the bucket's older versions";

/// One partition of one topic id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct PartitionId {
    /// Topic.
    pub topic: String,
    /// Id of the topic.
    pub topic_id: String,
    /// Number of the partition.
    pub partition: i32,
}

impl PartitionId {
    /// Key of the manifest that starts at `from`, or nothing for an offset that cannot be.
    pub(super) fn cut_key(&self, from: i64) -> Option<String> {
        (from >= 0).then(|| cut_key(&self.topic, &self.topic_id, self.partition, from))
    }
}

/// What the next manifest must be.
#[derive(Debug)]
enum Next {
    /// It starts at this offset (unknown without a genesis) and follows this nonce.
    Follows { at: Option<i64>, nonce: String },
    /// The one before it could not be read.
    Unknown,
}

/// Judges the manifests of one partition, oldest first.
#[derive(Debug)]
pub(super) struct Chain {
    id: Arc<PartitionId>,
    next: Next,
}

impl Chain {
    /// A chain before its first manifest; `start` is what the genesis says.
    pub fn new(id: Arc<PartitionId>, start: Option<i64>) -> Self {
        Self { id, next: Next::Follows { at: start, nonce: GENESIS_NONCE.to_owned() } }
    }

    /// A manifest that cannot be read: what follows it cannot be held against it.
    pub fn unreadable(&mut self) {
        self.next = Next::Unknown;
    }

    /// The next manifest, whose name says that it starts at `from`. `ledger` is the owner's, if that is known.
    pub fn link(&mut self, from: i64, manifest: &Manifest, ledger: Option<&str>) -> Vec<Finding> {
        let key = cut_key(&self.id.topic, &self.id.topic_id, self.id.partition, from);
        let mut findings: Vec<Finding> = self.contradiction(&key, from, manifest).into_iter().collect();
        let mut wrong = misplaced(manifest, &self.id, from, ledger);
        wrong.extend(contents(manifest));
        if !wrong.is_empty() {
            findings.push(Finding::new(FindingKind::ChangedManifest, key, wrong.join(", "), AS_WRITTEN));
        }
        self.next = if manifest.to > from {
            Next::Follows { at: Some(manifest.to), nonce: manifest.nonce.clone() }
        } else {
            Next::Unknown
        };
        findings
    }

    /// What is wrong between this manifest and the one before it.
    fn contradiction(&self, key: &str, from: i64, manifest: &Manifest) -> Option<Finding> {
        let Next::Follows { at, nonce } = &self.next else { return None };
        let before = if nonce == GENESIS_NONCE { "the genesis".to_owned() } else { format!("manifest {nonce}") };
        match *at {
            Some(at) if at < from => {
                let missing = self.id.cut_key(at).unwrap_or_else(|| key.to_owned());
                let what = format!(
                    "not there: offsets {at}..{from} are in no manifest, since {before} ends at {at} and the next \
                     manifest, {key}, starts at {from}"
                );
                return Some(Finding::new(FindingKind::MissingFromLedger, missing, what, AS_WRITTEN));
            }
            Some(at) if at > from => {
                let what = format!(
                    "starts at {from}, and {before} ends at {at}: offsets {from}..{at} are accounted for more than once"
                );
                let way_out = "one of both was changed or put by hand: restore both as they were written";
                return Some(Finding::new(FindingKind::BrokenChain, key, what, way_out));
            }
            _ => {}
        }
        if manifest.prev == *nonce {
            return None;
        }
        let what = format!("says that it follows {}, and before it stands {before}", manifest.prev);
        let way_out = "one of both was changed or put by hand: restore both as they were written";
        Some(Finding::new(FindingKind::BrokenChain, key, what, way_out))
    }
}

/// What in a manifest does not belong to where it lies.
fn misplaced(manifest: &Manifest, id: &PartitionId, from: i64, ledger: Option<&str>) -> Vec<String> {
    let mut wrong = Vec::new();
    if let Some(ledger) = ledger
        && manifest.ledger != ledger
    {
        wrong.push(format!("belongs to ledger {}, and the prefix to {ledger}", manifest.ledger));
    }
    if (&manifest.topic, manifest.partition) != (&id.topic, id.partition) {
        wrong.push(format!("is a manifest of {}/{}", manifest.topic, manifest.partition));
    }
    if manifest.from != from {
        wrong.push(format!("starts at {}, and its name says {from}", manifest.from));
    }
    wrong
}

/// What in a manifest does not add up: each offset is in exactly one row, dead letter or range.
fn contents(manifest: &Manifest) -> Vec<String> {
    let Manifest { from, to, .. } = *manifest;
    if from < 0 || to <= from {
        return vec![format!("covers {from}..{to}, which is no range of offsets")];
    }
    let mut wrong: Vec<String> =
        manifest.files.iter().filter(|file| !fits(file, from, to)).map(|file| misfit(file, from, to)).collect();
    if let Err(words) = disjoint(manifest) {
        wrong.push(words);
        return wrong;
    }
    let rows = |kind| manifest.files.iter().filter(|f| f.kind == kind).map(|f| u128::from(f.rows)).sum::<u128>();
    let (rows, dead_rows) = (rows(FileKind::Rows), rows(FileKind::DeadLetters));
    let (all, dead) = (to.abs_diff(from), manifest.dead.len());
    // Disjoint ranges inside the cut cannot be longer than it.
    let due = all - dead - manifest.filtered.len() - manifest.absent.len() - manifest.lost.len();
    if rows != u128::from(due) {
        wrong.push(format!(
            "plans {rows} rows, and {due} of its {all} offsets are neither dead, filtered, absent nor lost"
        ));
    }
    if dead_rows != u128::from(dead) {
        wrong.push(format!("plans {dead_rows} dead letters, and names {dead} dead offsets"));
    }
    wrong
}

fn fits(file: &PlannedFile, from: i64, to: i64) -> bool {
    from <= file.first
        && file.first <= file.last
        && file.last < to
        && (1..=file.last.abs_diff(file.first) + 1).contains(&file.rows)
}

fn misfit(file: &PlannedFile, from: i64, to: i64) -> String {
    let PlannedFile { key, rows, first, last, .. } = file;
    format!("plans {key} with {rows} rows of offsets {first} to {last}, which cannot be in {from}..{to}")
}

/// Dead, filtered, absent and lost offsets lie inside the cut, and none is two of them.
fn disjoint(manifest: &Manifest) -> Result<(), String> {
    let Manifest { from, to, dead, filtered, absent, lost, .. } = manifest;
    let mut all = Vec::new();
    for (name, ranges) in [("dead", dead), ("filtered", filtered), ("absent", absent), ("lost", lost)] {
        for (start, end) in ranges.iter() {
            if start < *from || end <= start || end > *to {
                return Err(format!("calls offsets {start}..{end} {name}, which is no range inside {from}..{to}"));
            }
            all.push((start, end, name));
        }
    }
    all.sort_unstable();
    match all.windows(2).find(|pair| pair[1].0 < pair[0].1) {
        Some(pair) => Err(format!("calls offset {} both {} and {}", pair[1].0, pair[0].2, pair[1].2)),
        None => Ok(()),
    }
}

/// The sums of one manifest, which need not make sense.
pub(super) fn totals(manifest: &Manifest) -> Totals {
    let rows =
        |kind| manifest.files.iter().filter(|f| f.kind == kind).fold(0_u64, |sum, file| sum.saturating_add(file.rows));
    let length = |ranges: &Ranges| ranges.iter().fold(0_u64, |sum, (from, to)| sum.saturating_add(to.abs_diff(from)));
    Totals {
        offsets: manifest.to.abs_diff(manifest.from),
        cuts: 1,
        files: manifest.files.len() as u64,
        rows: rows(FileKind::Rows),
        dead_letters: rows(FileKind::DeadLetters),
        filtered: length(&manifest.filtered),
        absent: length(&manifest.absent),
        lost: length(&manifest.lost),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(start: i64) -> Chain {
        let id = PartitionId { topic: "t".into(), topic_id: "id".into(), partition: 0 };
        Chain::new(Arc::new(id), Some(start))
    }

    fn ranges(all: &[(i64, i64)]) -> Ranges {
        serde_json::from_value(serde_json::json!(all)).unwrap()
    }

    /// All offsets are rows of one file.
    fn manifest(from: i64, to: i64, nonce: &str, prev: &str) -> Manifest {
        let file = PlannedFile {
            key: format!("t/{from}"),
            kind: FileKind::Rows,
            rows: to.abs_diff(from),
            first: from,
            last: to - 1,
            digest: String::new(),
        };
        Manifest {
            version: 1,
            ledger: "ours".into(),
            topic: "t".into(),
            partition: 0,
            from,
            to,
            epoch: 0,
            prev: prev.into(),
            nonce: nonce.into(),
            rules: "r".into(),
            decoder_version: 1,
            files: vec![file],
            dead: Ranges::default(),
            filtered: Ranges::default(),
            absent: Ranges::default(),
            lost: Ranges::default(),
        }
    }

    fn link(chain: &mut Chain, manifest: &Manifest) -> Vec<String> {
        chain.link(manifest.from, manifest, Some("ours")).iter().map(ToString::to_string).collect()
    }

    fn told(manifest: &Manifest) -> String {
        link(&mut chain(manifest.from), manifest).join("\n")
    }

    #[test]
    fn an_unbroken_chain_has_no_finding() {
        let mut chain = chain(5);
        for next in [manifest(5, 10, "a", GENESIS_NONCE), manifest(10, 20, "b", "a"), manifest(20, 21, "c", "b")] {
            assert_eq!(link(&mut chain, &next), [""; 0]);
        }
    }

    #[test]
    fn a_hole_names_the_manifest_that_should_fill_it() {
        let mut chain = chain(0);
        link(&mut chain, &manifest(0, 10, "a", GENESIS_NONCE));
        let told = link(&mut chain, &manifest(20, 30, "c", "b")).join("\n");
        assert!(told.starts_with(&cut_key("t", "id", 0, 10)), "{told}");
        assert!(told.contains("offsets 10..20 are in no manifest"), "{told}");
    }

    #[test]
    fn a_first_manifest_after_the_genesis_is_a_hole() {
        let told = link(&mut chain(3), &manifest(5, 10, "a", "x")).join("\n");
        assert!(told.contains("offsets 3..5 are in no manifest, since the genesis ends at 3"), "{told}");
    }

    #[test]
    fn a_fork_names_the_offsets_that_are_in_two_manifests() {
        let mut chain = chain(0);
        link(&mut chain, &manifest(0, 10, "a", GENESIS_NONCE));
        let told = link(&mut chain, &manifest(7, 12, "b", "a")).join("\n");
        assert!(told.contains("offsets 7..10 are accounted for more than once"), "{told}");
    }

    #[test]
    fn a_manifest_that_follows_another_than_the_one_before_it_is_told() {
        let mut chain = chain(0);
        link(&mut chain, &manifest(0, 10, "a", GENESIS_NONCE));
        let told = link(&mut chain, &manifest(10, 12, "c", "b")).join("\n");
        assert!(told.contains("says that it follows b, and before it stands manifest a"), "{told}");
    }

    #[test]
    fn after_an_unreadable_manifest_only_the_rest_is_judged() {
        let mut chain = chain(0);
        chain.unreadable();
        assert_eq!(link(&mut chain, &manifest(10, 20, "b", "a")), [""; 0]);
        assert_eq!(link(&mut chain, &manifest(21, 30, "d", "c")).len(), 1);
    }

    #[test]
    fn a_manifest_of_another_ledger_partition_or_place_is_told() {
        let theirs = Manifest { ledger: "theirs".into(), ..manifest(0, 10, "a", GENESIS_NONCE) };
        assert!(told(&theirs).contains("belongs to ledger theirs, and the prefix to ours"));
        let moved = Manifest { partition: 7, ..manifest(0, 10, "a", GENESIS_NONCE) };
        assert!(told(&moved).contains("is a manifest of t/7"));
        let renamed = chain(0).link(0, &manifest(4, 10, "a", GENESIS_NONCE), None);
        assert!(renamed.iter().any(|f| f.what.contains("starts at 4, and its name says 0")), "{renamed:?}");
    }

    #[test]
    fn every_offset_is_a_row_or_in_a_range() {
        let mut full = manifest(0, 10, "a", GENESIS_NONCE);
        full.files[0].rows = 7;
        assert!(told(&full).contains("plans 7 rows, and 10 of its 10 offsets are neither"), "{}", told(&full));
        full.absent = ranges(&[(2, 3)]);
        full.filtered = ranges(&[(4, 5)]);
        full.lost = ranges(&[(5, 6)]);
        assert_eq!(told(&full), "");
    }

    #[test]
    fn dead_letters_are_as_many_as_dead_offsets() {
        let mut full = manifest(0, 10, "a", GENESIS_NONCE);
        full.files[0].rows = 8;
        full.dead = ranges(&[(3, 5)]);
        assert!(told(&full).contains("plans 0 dead letters, and names 2 dead offsets"), "{}", told(&full));
    }

    #[test]
    fn no_offset_is_two_things() {
        let mut full = manifest(0, 10, "a", GENESIS_NONCE);
        full.dead = ranges(&[(3, 6)]);
        full.absent = ranges(&[(5, 7)]);
        assert!(told(&full).contains("calls offset 5 both dead and absent"), "{}", told(&full));
    }

    #[test]
    fn ranges_that_are_none_are_told_and_end_nothing() {
        for bad in [(5, 5), (6, 4), (-3, 2), (8, i64::MAX), (i64::MIN, i64::MAX)] {
            let mut full = manifest(0, 10, "a", GENESIS_NONCE);
            full.filtered = ranges(&[bad]);
            assert!(told(&full).contains("no range inside 0..10"), "{bad:?}: {}", told(&full));
        }
        for (from, to) in [(0, 0), (5, 3), (0, i64::MIN)] {
            let odd = Manifest { from, to, ..manifest(0, 10, "a", GENESIS_NONCE) };
            assert!(told(&odd).contains("no range of offsets"), "{from}..{to}: {}", told(&odd));
        }
    }

    #[test]
    fn a_file_that_cannot_be_in_its_cut_is_told() {
        for (first, last, rows) in
            [(-1, 3, 10), (0, 10, 10), (9, 0, 10), (0, 3, 10), (0, 9, 0), (i64::MIN, i64::MAX, 1)]
        {
            let mut full = manifest(0, 10, "a", GENESIS_NONCE);
            full.files[0] = PlannedFile { first, last, rows, ..full.files[0].clone() };
            assert!(told(&full).contains("plans t/0 with"), "{first} {last} {rows}: {}", told(&full));
        }
    }
}
