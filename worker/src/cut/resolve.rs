//! Where a partition goes on: the decision from tip, genesis and committed offset (docs/delivery.md).

use super::{Hold, HoldReason, MANIFEST_VERSION, Manifest, PartitionStart};

/// What the ledger notes in the metadata of every commit: `eventsink/1 {ledger} {nonce}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitNote {
    /// Ledger that committed.
    pub ledger: String,
    /// Nonce of the tip, finished when this was committed, or the genesis nonce.
    pub nonce: String,
}

impl CommitNote {
    /// The metadata text.
    #[must_use]
    pub fn to_text(&self) -> String {
        format!("eventsink/1 {} {}", self.ledger, self.nonce)
    }

    /// Reads the metadata of a commit; `None` when it is not a ledger's.
    #[must_use]
    pub fn parse(metadata: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(metadata).ok()?;
        let mut words = text.strip_prefix("eventsink/1 ")?.split(' ');
        let (ledger, nonce) = (words.next()?.to_owned(), words.next()?.to_owned());
        words.next().is_none().then_some(Self { ledger, nonce })
    }
}

/// A committed offset of the group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// Next offset to be read, by the commit.
    pub offset: i64,
    /// The ledger's note, if the commit has one.
    pub note: Option<CommitNote>,
}

/// All that is known of a partition before anything is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// Our ledger.
    pub ledger: String,
    /// Newest manifest of the chain.
    pub tip: Option<Manifest>,
    /// The tip has a done mark.
    pub tip_done: bool,
    /// Start by the genesis.
    pub start: PartitionStart,
    /// The group's committed offset, if any.
    pub committed: Option<Committed>,
    /// Setting `on_offsets_moved: ignore`.
    pub ignore_moved: bool,
}

/// What to do first with an assigned partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolution {
    /// No cut yet: read from the genesis.
    Fresh(PartitionStart),
    /// The tip is finished: read from its `to`.
    After(Manifest),
    /// The tip may be unfinished: adopt it.
    Adopt(Manifest),
    /// Nothing may be read.
    Hold(Hold),
}

/// Decides where a partition goes on. The ledger is the truth, the commit is a hint:
/// below the tip it is ignored, above it only the ledger's own note makes it harmless.
#[must_use]
pub fn resolve(evidence: Evidence) -> Resolution {
    let known_to = evidence.tip.as_ref().map_or(evidence.start.offset, |tip| tip.to);
    if let Some(tip) = &evidence.tip
        && let Some(hold) = unreadable(tip, &evidence.ledger)
    {
        return Resolution::Hold(hold);
    }
    if let Some(committed) = &evidence.committed
        && let Some(hold) = contradiction(committed, &evidence, known_to)
    {
        return Resolution::Hold(hold);
    }
    let Some(tip) = evidence.tip else { return Resolution::Fresh(evidence.start) };
    let named = evidence.committed.as_ref().and_then(|c| c.note.as_ref()).is_some_and(|note| note.nonce == tip.nonce);
    if evidence.tip_done || named { Resolution::After(tip) } else { Resolution::Adopt(tip) }
}

fn unreadable(tip: &Manifest, ledger: &str) -> Option<Hold> {
    let hold = |reason, detail| Some(Hold { reason, from: tip.from, to: tip.to, detail });
    if tip.version > MANIFEST_VERSION {
        let detail = format!(
            "the newest manifest has version {}, this worker knows {MANIFEST_VERSION}: run the newer worker again",
            tip.version
        );
        return hold(HoldReason::UnknownVersion, detail);
    }
    if tip.ledger != ledger {
        let detail = format!(
            "the newest manifest belongs to ledger {}, the prefix to {ledger}: restore the prefix or use an empty one",
            tip.ledger
        );
        return hold(HoldReason::LedgerDamaged, detail);
    }
    None
}

fn contradiction(committed: &Committed, evidence: &Evidence, known_to: i64) -> Option<Hold> {
    let at = committed.offset;
    let hold = |reason, detail| Some(Hold { reason, from: known_to.min(at), to: known_to.max(at), detail });
    match &committed.note {
        Some(note) if note.ledger != evidence.ledger => {
            let detail = format!(
                "offset {at} was committed for ledger {}, this one is {}: give each sink a consumer group of its own",
                note.ledger, evidence.ledger
            );
            hold(HoldReason::GroupShared, detail)
        }
        Some(note) if at > known_to && !known(&note.nonce, evidence.tip.as_ref()) => {
            let detail = format!(
                "offset {at} was committed for manifest {}, which is not in the bucket (the ledger ends at {known_to}): \
                 restore the objects under _eventsink/",
                note.nonce
            );
            hold(HoldReason::LedgerMissing, detail)
        }
        None if at > known_to && !evidence.ignore_moved => {
            let detail = format!(
                "the group's offset was moved to {at}, the ledger ends at {known_to}: reset it to {known_to}, \
                 or set kafka.on_offsets_moved to ignore to go on from {known_to}"
            );
            hold(HoldReason::OffsetsMoved, detail)
        }
        _ => None,
    }
}

/// The commit may run ahead of a tip that it names, over offsets that the log does not have; ahead of the next
/// tip too, when a rival had read some of them before they were compacted away.
fn known(nonce: &str, tip: Option<&Manifest>) -> bool {
    tip.map_or(nonce == super::GENESIS_NONCE, |tip| tip.nonce == nonce || tip.prev == nonce)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cut::{GENESIS_NONCE, Ranges};

    fn manifest(from: i64, to: i64, nonce: &str) -> Manifest {
        Manifest {
            version: MANIFEST_VERSION,
            ledger: "ours".into(),
            topic: "t".into(),
            partition: 0,
            from,
            to,
            epoch: 1,
            prev: GENESIS_NONCE.into(),
            nonce: nonce.into(),
            rules: "r".into(),
            decoder_version: 1,
            files: vec![],
            dead: Ranges::default(),
            filtered: Ranges::default(),
            absent: Ranges::default(),
            lost: Ranges::default(),
        }
    }

    fn evidence(tip: Option<Manifest>, committed: Option<(i64, Option<(&str, &str)>)>) -> Evidence {
        Evidence {
            ledger: "ours".into(),
            tip,
            tip_done: false,
            start: PartitionStart { offset: 10, epoch: -1, why: "earliest".into() },
            committed: committed.map(|(offset, note)| Committed {
                offset,
                note: note.map(|(ledger, nonce)| CommitNote { ledger: ledger.into(), nonce: nonce.into() }),
            }),
            ignore_moved: false,
        }
    }

    fn held(evidence: Evidence) -> HoldReason {
        match resolve(evidence) {
            Resolution::Hold(hold) => hold.reason,
            other => panic!("expected a hold, got {other:?}"),
        }
    }

    #[test]
    fn without_manifest_and_commit_the_genesis_says_where_to_start() {
        assert!(matches!(resolve(evidence(None, None)), Resolution::Fresh(start) if start.offset == 10));
    }

    #[test]
    fn a_commit_equal_to_the_genesis_moves_nothing() {
        assert!(matches!(resolve(evidence(None, Some((10, None)))), Resolution::Fresh(_)));
    }

    #[test]
    fn a_commit_that_names_the_tip_proves_it_finished() {
        let found = resolve(evidence(Some(manifest(10, 20, "a")), Some((20, Some(("ours", "a"))))));
        assert!(matches!(found, Resolution::After(tip) if tip.to == 20));
    }

    #[test]
    fn a_tip_without_proof_is_adopted_even_when_the_commit_lies_below_it() {
        let found = resolve(evidence(Some(manifest(10, 20, "b")), Some((10, Some(("ours", "a"))))));
        assert!(matches!(found, Resolution::Adopt(_)));
        assert!(matches!(resolve(evidence(Some(manifest(10, 20, "b")), None)), Resolution::Adopt(_)));
    }

    #[test]
    fn a_commit_of_the_named_tip_may_run_ahead_over_absent_offsets() {
        let found = resolve(evidence(Some(manifest(10, 20, "a")), Some((23, Some(("ours", "a"))))));
        assert!(matches!(found, Resolution::After(tip) if tip.to == 20));
        let fresh = resolve(evidence(None, Some((12, Some(("ours", GENESIS_NONCE))))));
        assert!(matches!(fresh, Resolution::Fresh(_)));
    }

    #[test]
    fn a_commit_of_the_manifest_before_the_tip_misses_nothing() {
        let tip = Manifest { prev: "a".into(), ..manifest(20, 22, "b") };
        let found = resolve(evidence(Some(tip), Some((25, Some(("ours", "a"))))));
        assert!(matches!(found, Resolution::Adopt(tip) if tip.nonce == "b"));
    }

    #[test]
    fn offsets_moved_by_hand_hold_the_partition_unless_told_to_ignore() {
        let moved = evidence(Some(manifest(10, 20, "a")), Some((25, None)));
        assert_eq!(held(moved.clone()), HoldReason::OffsetsMoved);
        let ignored = Evidence { ignore_moved: true, ..moved };
        assert!(matches!(resolve(ignored), Resolution::Adopt(_)));
    }

    #[test]
    fn offsets_moved_back_are_overruled_by_the_tip() {
        assert!(matches!(resolve(evidence(Some(manifest(10, 20, "a")), Some((3, None)))), Resolution::Adopt(_)));
    }

    #[test]
    fn another_ledgers_note_is_a_shared_group() {
        assert_eq!(held(evidence(None, Some((10, Some(("theirs", "a")))))), HoldReason::GroupShared);
    }

    #[test]
    fn a_named_tip_that_is_gone_is_a_missing_ledger() {
        let gone = evidence(Some(manifest(10, 20, "a")), Some((30, Some(("ours", "b")))));
        assert_eq!(held(gone), HoldReason::LedgerMissing);
        assert_eq!(held(evidence(None, Some((30, Some(("ours", "b")))))), HoldReason::LedgerMissing);
    }

    #[test]
    fn a_newer_ledger_is_never_ignored() {
        let newer = Manifest { version: MANIFEST_VERSION + 1, ..manifest(10, 20, "a") };
        assert_eq!(held(evidence(Some(newer), None)), HoldReason::UnknownVersion);
    }

    #[test]
    fn a_note_survives_its_text() {
        let note = CommitNote { ledger: "l1".into(), nonce: "n1".into() };
        assert_eq!(CommitNote::parse(note.to_text().as_bytes()), Some(note));
        assert_eq!(CommitNote::parse(b"\xff"), None);
        assert_eq!(CommitNote::parse(b"eventsink/1 only"), None);
    }
}
