//! Is a file what its manifest plans, and what is one that nobody plans? Pure: footers in, findings out.

use std::fmt::Display;

use super::{Finding, FindingKind, PartitionId, Totals};
use crate::cut::manifest::Manifest;
use crate::files::{FileKind, Footer, PlannedFile};

/// Where a file's footer differs from its plan; empty when it is the planned one.
///
/// The decoder's version may differ: a newer one may finish a cut as long as it makes the same rows.
pub(super) fn differences(footer: &Footer, manifest: &Manifest, id: &PartitionId, plan: &PlannedFile) -> Vec<String> {
    let mut all = Vec::new();
    let mut same = |what: &str, found: &dyn Display, planned: &dyn Display| {
        let (found, planned) = (found.to_string(), planned.to_string());
        if found != planned {
            all.push(format!("its {what} is {found}, planned is {planned}"));
        }
    };
    same("ledger", &footer.identity.ledger, &manifest.ledger);
    same("topic", &footer.identity.topic, &id.topic);
    same("topic id", &footer.identity.topic_id, &id.topic_id);
    same("partition", &footer.identity.partition, &id.partition);
    same("manifest", &footer.nonce, &manifest.nonce);
    same("cut", &span(footer.cut_from, footer.cut_to), &span(manifest.from, manifest.to));
    same("rules digest", &footer.rules, &manifest.rules);
    same("kind", &footer.kind.as_str(), &plan.kind.as_str());
    same("first offset", &footer.first, &plan.first);
    same("last offset", &footer.last, &plan.last);
    if footer.incomplete && footer.rows < plan.rows {
        // The log had lost the rest.
    } else {
        same("row count", &footer.rows, &plan.rows);
        same("row digest", &footer.digest, &plan.digest);
    }
    if footer.parquet_rows != footer.rows {
        all.push(format!("it says {} rows and Parquet counts {}", footer.rows, footer.parquet_rows));
    }
    all
}

fn span(from: i64, to: i64) -> String {
    format!("{from}..{to}")
}

/// What stands in the ledger where a file's footer says that its manifest is.
#[derive(Debug)]
pub(super) enum Standing {
    /// Nothing.
    Missing,
    /// Something that cannot be understood, which is a finding of its own.
    Unreadable,
    /// A manifest.
    There(Box<Manifest>),
}

/// What a listed file of our ledger is that no manifest read so far plans; `None` when all is well by now.
pub(super) fn orphan(key: &str, footer: &Footer, standing: &Standing) -> Option<Finding> {
    let cut = span(footer.cut_from, footer.cut_to);
    let told = |what: String, way_out: &str| Some(Finding::new(FindingKind::OrphanFile, key, what, way_out));
    let manifest = match standing {
        Standing::Unreadable => return None,
        Standing::Missing => {
            let what = format!("names manifest {} of offsets {cut}, which is not in the ledger", footer.nonce);
            return told(what, "the manifest was deleted: restore it from a backup or the bucket's older versions");
        }
        Standing::There(manifest) => manifest,
    };
    if manifest.nonce != footer.nonce {
        let what = format!(
            "names manifest {} of offsets {cut}, and the ledger has manifest {} there",
            footer.nonce, manifest.nonce
        );
        return told(what, "either the manifest was replaced, then restore it, or move the file away");
    }
    if manifest.files.iter().any(|plan| plan.key == key) {
        // Put since the listing.
        return None;
    }
    let original = manifest.files.iter().find(|plan| plan.kind == footer.kind && plan.digest == footer.digest);
    match original {
        Some(plan) => {
            let what = format!("is a copy of {}: its {} rows are there twice", plan.key, footer.rows);
            Some(Finding::new(FindingKind::CopiedFile, key, what, "delete the copy"))
        }
        None => {
            let what = format!("names manifest {} of offsets {cut}, which plans no such file", footer.nonce);
            told(what, "either the manifest was changed, then restore it, or move the file away")
        }
    }
}

/// A file of another ledger.
pub(super) fn of_another_sink(key: &str, footer: &Footer) -> Finding {
    let identity = &footer.identity;
    let what =
        format!("is a file of another sink: {} (ledger {}, topic {})", identity.sink, identity.ledger, identity.topic);
    Finding::new(FindingKind::OtherSink, key, what, "move it away and give each sink a base path of its own")
}

/// Something that is not a file of this program.
pub(super) fn unknown(key: &str, why: &str) -> Finding {
    let what = format!("no manifest plans it, and it is {why}");
    Finding::new(FindingKind::UnknownObject, key, what, "move it out of the base path")
}

/// A planned file that is not there.
pub(super) fn missing(manifest_key: &str, plan: &PlannedFile) -> Finding {
    let PlannedFile { key, rows, first, last, .. } = plan;
    let what = format!("not there: {manifest_key} plans it with {rows} rows of offsets {first} to {last}");
    let way_out = "restore it from a backup or the bucket's older versions";
    Finding::new(FindingKind::MissingFile, key, what, way_out)
}

/// A planned file without a whole footer.
pub(super) fn damaged(manifest_key: &str, plan: &PlannedFile, why: &str) -> Finding {
    let what = format!("{why}; {manifest_key} plans it with {} rows", plan.rows);
    let way_out = "restore it from a backup or the bucket's older versions";
    Finding::new(FindingKind::DamagedFile, &plan.key, what, way_out)
}

/// Another file under a planned key.
pub(super) fn different(manifest_key: &str, plan: &PlannedFile, differences: &[String]) -> Finding {
    let what = format!("is not the file that {manifest_key} plans: {}", differences.join(", "));
    let way_out = "move it away and restore the planned one from a backup or the bucket's older versions";
    Finding::new(FindingKind::DifferentFile, &plan.key, what, way_out)
}

/// Rows that a file was planned with, and that the log had lost before it was written, count as lost.
pub(super) fn subtract_lost(totals: &mut Totals, plan: &PlannedFile, rows: u64) {
    let lost = plan.rows.saturating_sub(rows);
    let counted = match plan.kind {
        FileKind::Rows => &mut totals.rows,
        FileKind::DeadLetters => &mut totals.dead_letters,
    };
    *counted = counted.saturating_sub(lost);
    totals.lost = totals.lost.saturating_add(lost);
}
