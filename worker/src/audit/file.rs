//! Is a file what its manifest plans, and what is one that nobody plans? Pure: footers in, findings out.

use std::fmt::Display;

use super::{Finding, FindingKind, PartitionId};
use crate::cut::manifest::Manifest;
use crate::files::{Footer, PlannedFile};

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
    if let Some(counted) = footer.parquet_rows.filter(|counted| *counted != footer.rows) {
        all.push(format!("it says {} rows and Parquet counts {counted}", footer.rows));
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
    /// Something that cannot be understood, or a key that cannot be.
    Unreadable,
    /// A manifest.
    There(Box<Manifest>),
}

/// What a listed file of our ledger is that no manifest read so far plans; `None` when all is well by now.
pub(super) fn orphan(key: &str, footer: &Footer, standing: &Standing) -> Option<Finding> {
    let cut = span(footer.cut_from, footer.cut_to);
    let told = |what: String, way_out: &str| Some(Finding::new(FindingKind::OrphanFile, key, what, way_out));
    let manifest = match standing {
        Standing::Unreadable => {
            let what = format!("names manifest {} of offsets {cut}, which cannot be read", footer.nonce);
            return told(what, "restore the manifest, then audit again");
        }
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
    let what = format!("names manifest {} of offsets {cut}, which plans no such file", footer.nonce);
    told(what, "either the manifest was changed, then restore it, or move the file away")
}

/// The planned file whose rows the file at `key`, which `manifest` does not plan, has.
pub(super) fn original<'a>(key: &str, footer: &Footer, manifest: &'a Manifest) -> Option<&'a PlannedFile> {
    let ours = manifest.nonce == footer.nonce && manifest.files.iter().all(|plan| plan.key != key);
    let same = |plan: &&PlannedFile| plan.kind == footer.kind && plan.digest == footer.digest;
    manifest.files.iter().find(same).filter(|_| ours)
}

/// A file with the rows of a planned one; `whole` when that one can be read.
pub(super) fn second(key: &str, plan: &PlannedFile, whole: bool) -> Finding {
    if whole {
        let what = format!("is a copy of {}: its {} rows are there twice", plan.key, plan.rows);
        return Finding::new(FindingKind::CopiedFile, key, what, "delete the copy");
    }
    let what = format!("has the {} rows of {}, which is not there or not whole", plan.rows, plan.key);
    Finding::new(FindingKind::MovedFile, key, what, "move it back to that key")
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cut::Ranges;
    use crate::files::{FileKind, Identity};

    fn plan() -> PlannedFile {
        PlannedFile { key: "t/a".into(), kind: FileKind::Rows, rows: 4, first: 0, last: 9, digest: "d".into() }
    }

    fn manifest() -> Manifest {
        Manifest {
            version: 1,
            ledger: "l".into(),
            topic: "t".into(),
            partition: 0,
            from: 0,
            to: 10,
            epoch: 0,
            prev: "genesis".into(),
            nonce: "n".into(),
            rules: "r".into(),
            decoder_version: 1,
            files: vec![plan()],
            dead: Ranges::default(),
            filtered: Ranges::default(),
            absent: Ranges::default(),
            lost: Ranges::default(),
        }
    }

    fn footer() -> Footer {
        Footer {
            version: "1".into(),
            identity: Identity {
                ledger: "l".into(),
                sink: "s".into(),
                cluster_id: "c".into(),
                topic: "t".into(),
                topic_id: "id".into(),
                partition: 0,
            },
            cut_from: 0,
            cut_to: 10,
            nonce: "n".into(),
            first: 0,
            last: 9,
            rows: 4,
            parquet_rows: Some(4),
            digest: "d".into(),
            rules: "r".into(),
            schema_version: Some("v1".into()),
            dt: "2025-12-21".into(),
            kind: FileKind::Rows,
            decoder_version: 1,
            incomplete: false,
        }
    }

    fn told(footer: &Footer) -> String {
        let id = PartitionId { topic: "t".into(), topic_id: "id".into(), partition: 0 };
        differences(footer, &manifest(), &id, &plan()).join(", ")
    }

    #[test]
    fn a_planned_file_has_no_difference_whichever_decoder_made_it() {
        assert_eq!(told(&Footer { decoder_version: 2, version: "9".into(), ..footer() }), "");
    }

    #[test]
    fn every_planned_fact_that_differs_is_told() {
        let other = Identity { topic_id: "other".into(), partition: 3, ..footer().identity };
        assert_eq!(
            told(&Footer { identity: other, cut_to: 11, digest: "e".into(), ..footer() }),
            "its topic id is other, planned is id, its partition is 3, planned is 0, its cut is 0..11, planned is \
             0..10, its row digest is e, planned is d"
        );
    }

    #[test]
    fn a_footer_that_contradicts_parquet_is_told() {
        assert_eq!(told(&Footer { parquet_rows: Some(3), ..footer() }), "it says 4 rows and Parquet counts 3");
    }

    #[test]
    fn an_incomplete_file_may_have_fewer_rows_but_not_others() {
        let fewer = Footer { rows: 1, parquet_rows: Some(1), digest: "e".into(), incomplete: true, ..footer() };
        assert_eq!(told(&fewer), "");
        assert_ne!(told(&Footer { incomplete: false, ..fewer.clone() }), "");
        assert_ne!(told(&Footer { rows: 5, parquet_rows: Some(5), ..fewer }), "");
    }
}
