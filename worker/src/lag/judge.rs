//! One partition: from what was found to three figures and a verdict. Pure.

use serde::Serialize;

use crate::cut::{Committed, Evidence, GENESIS_NONCE, Hold, HoldReason, Manifest, PartitionStart, Resolution, resolve};

/// What is known of a partition.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    /// The sink's ledger; none before its first start.
    pub ledger: Option<String>,
    /// First offset of the log, and the one after its last.
    pub log: (i64, i64),
    /// The group's commit.
    pub committed: Option<Committed>,
    /// Where the sink starts, once that is fixed.
    pub start: Option<PartitionStart>,
    /// Newest manifest, and whether it has a done mark.
    pub tip: Option<(Manifest, bool)>,
    /// Setting `on_offsets_moved: ignore`.
    pub ignore_moved: bool,
    /// Setting `on_loss: skip`.
    pub skip_losses: bool,
}

/// The newest cut of a partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Tip {
    /// First offset of it.
    pub from: i64,
    /// First offset after it.
    pub to: i64,
    /// All its files are known to be there; else the next worker looks at them.
    pub finished: bool,
    /// What proves that: `done mark` or `commit`.
    pub proof: Option<&'static str>,
}

/// How far one partition has come. All figures are offsets, or numbers of offsets: those without a record count too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PartitionLag {
    /// Its number.
    pub partition: i32,
    /// First offset that the log still has.
    pub log_start: i64,
    /// First offset after those that may be read.
    pub log_end: i64,
    /// The group's committed offset; none when the group has none.
    pub committed: Option<i64>,
    /// Every offset below it is accounted for in the ledger; none before the first start. The tip counts as
    /// accounted for, finished or not.
    pub frontier: Option<i64>,
    /// `log_end` less `committed`.
    pub unread: Option<i64>,
    /// `log_end` less the end of what is known to be durable: `frontier`, without the tip while that is not finished.
    pub unpersisted: Option<i64>,
    /// The newest cut.
    pub tip: Option<Tip>,
    /// Why a worker would not go on from here.
    pub hold: Option<Hold>,
}

/// Judges one partition.
pub(super) fn judge(partition: i32, facts: &Facts) -> PartitionLag {
    let (log_start, log_end) = facts.log;
    let tip = facts.tip.as_ref().map(|(manifest, done)| tip(manifest, *done, facts));
    let frontier = frontier(facts);
    let durable = match &tip {
        Some(tip) if !tip.finished => Some(tip.from),
        _ => frontier,
    };
    let behind = |at: i64| log_end.saturating_sub(at).max(0);
    PartitionLag {
        partition,
        log_start,
        log_end,
        committed: facts.committed.as_ref().map(|committed| committed.offset),
        frontier,
        unread: facts.committed.as_ref().map(|committed| behind(committed.offset)),
        unpersisted: durable.map(behind),
        tip,
        hold: hold(facts, frontier),
    }
}

fn tip(manifest: &Manifest, done: bool, facts: &Facts) -> Tip {
    let proof = match (done, names(facts, &manifest.nonce)) {
        (true, _) => Some("done mark"),
        (false, true) => Some("commit"),
        (false, false) => None,
    };
    Tip { from: manifest.from, to: manifest.to, finished: proof.is_some(), proof }
}

/// True when the commit carries our ledger's note with this nonce.
fn names(facts: &Facts, nonce: &str) -> bool {
    let note = facts.committed.as_ref().and_then(|committed| committed.note.as_ref());
    note.is_some_and(|note| note.nonce == nonce && facts.ledger.as_ref() == Some(&note.ledger))
}

/// End of the ledger. A commit that names its tip may lie above it, over offsets that the log does not have.
fn frontier(facts: &Facts) -> Option<i64> {
    let (at, nonce) = match (&facts.tip, &facts.start) {
        (Some((tip, _)), _) => (tip.to, tip.nonce.as_str()),
        (None, Some(start)) => (start.offset, GENESIS_NONCE),
        (None, None) => return None,
    };
    let ahead = facts.committed.as_ref().filter(|_| names(facts, nonce)).map(|committed| committed.offset);
    Some(ahead.unwrap_or(at).max(at))
}

fn hold(facts: &Facts, frontier: Option<i64>) -> Option<Hold> {
    let Some(ledger) = &facts.ledger else { return first_note(facts) };
    let Some(start) = facts.start.clone().or_else(|| facts.tip.as_ref().map(before)) else { return first_note(facts) };
    let evidence = Evidence {
        ledger: ledger.clone(),
        tip: facts.tip.as_ref().map(|(manifest, _)| manifest.clone()),
        tip_done: facts.tip.as_ref().is_some_and(|(_, done)| *done),
        start,
        committed: facts.committed.clone(),
        ignore_moved: facts.ignore_moved,
    };
    match resolve(evidence) {
        Resolution::Hold(hold) => Some(hold),
        _ => loss(facts, frontier?),
    }
}

/// The start that a chain without a readable genesis is taken to have.
fn before((tip, _): &(Manifest, bool)) -> PartitionStart {
    PartitionStart { offset: tip.from, epoch: -1, why: "unknown".to_owned() }
}

/// Before the first start a commit must not name any ledger: it would be another's group, or ours has vanished.
fn first_note(facts: &Facts) -> Option<Hold> {
    let committed = facts.committed.as_ref()?;
    let note = committed.note.as_ref()?;
    let (reason, detail) = if facts.ledger.as_ref() == Some(&note.ledger) {
        let detail = "the group's offsets name this ledger, which has no start for the topic: restore the objects \
                      under _eventsink/";
        (HoldReason::LedgerMissing, detail.to_owned())
    } else {
        let detail = format!(
            "the group's offsets were committed for ledger {}, which is not the one of this prefix: use a new consumer \
             group, or restore the bucket",
            note.ledger
        );
        (HoldReason::GroupShared, detail)
    };
    Some(Hold { reason, from: committed.offset, to: committed.offset, detail })
}

/// The log does not reach the end of the ledger, from either side.
fn loss(facts: &Facts, frontier: i64) -> Option<Hold> {
    let (log_start, log_end) = facts.log;
    let detail = if log_start > frontier {
        format!(
            "the log begins at {log_start}, offsets from {frontier} on are gone: set kafka.on_loss to skip to go on at \
             {log_start} with the loss named"
        )
    } else if log_end < frontier {
        format!("the log ends at {log_end}, below {frontier}: it was truncated, or the topic was made anew")
    } else {
        return None;
    };
    let (from, to) = (frontier.min(log_end), frontier.max(log_start));
    (!facts.skip_losses).then_some(Hold { reason: HoldReason::OffsetLost, from, to, detail })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cut::{CommitNote, MANIFEST_VERSION, Ranges};

    fn manifest(from: i64, to: i64) -> Manifest {
        Manifest {
            version: MANIFEST_VERSION,
            ledger: "ours".into(),
            topic: "t".into(),
            partition: 0,
            from,
            to,
            epoch: 0,
            prev: GENESIS_NONCE.into(),
            nonce: "tip".into(),
            rules: "r".into(),
            decoder_version: 1,
            files: Vec::new(),
            dead: Ranges::default(),
            filtered: Ranges::default(),
            absent: Ranges::default(),
            lost: Ranges::default(),
        }
    }

    fn commit(offset: i64, note: Option<(&str, &str)>) -> Option<Committed> {
        let note = note.map(|(ledger, nonce)| CommitNote { ledger: ledger.into(), nonce: nonce.into() });
        Some(Committed { offset, note })
    }

    /// A log of 0..100, a tip of 10..60 that the commit names.
    fn facts() -> Facts {
        Facts {
            ledger: Some("ours".into()),
            log: (0, 100),
            committed: commit(60, Some(("ours", "tip"))),
            start: Some(PartitionStart { offset: 10, epoch: 0, why: "earliest".into() }),
            tip: Some((manifest(10, 60), false)),
            ignore_moved: false,
            skip_losses: false,
        }
    }

    fn reason(facts: &Facts) -> Option<HoldReason> {
        judge(0, facts).hold.map(|hold| hold.reason)
    }

    #[test]
    fn a_tip_that_the_commit_names_is_durable() {
        let found = judge(0, &facts());
        assert_eq!((found.unread, found.unpersisted, found.frontier), (Some(40), Some(40), Some(60)));
        assert_eq!(found.tip.and_then(|tip| tip.proof), Some("commit"));
        assert_eq!(found.hold, None);
    }

    #[test]
    fn a_tip_without_proof_does_not_count_as_durable() {
        let found = judge(0, &Facts { committed: commit(10, None), ..facts() });
        assert_eq!((found.unread, found.unpersisted, found.frontier), (Some(90), Some(90), Some(60)));
        assert_eq!(found.tip.map(|tip| tip.finished), Some(false));
    }

    #[test]
    fn a_vanished_commit_changes_nothing_that_is_durable() {
        let found = judge(0, &Facts { committed: None, tip: Some((manifest(10, 60), true)), ..facts() });
        assert_eq!((found.unread, found.unpersisted), (None, Some(40)));
    }

    #[test]
    fn offsets_that_the_log_does_not_have_are_no_lag() {
        let found = judge(0, &Facts { committed: commit(100, Some(("ours", "tip"))), ..facts() });
        assert_eq!((found.unread, found.unpersisted, found.hold), (Some(0), Some(0), None));
    }

    #[test]
    fn before_the_first_start_nothing_is_known_to_be_durable() {
        let fresh = Facts { ledger: None, committed: None, start: None, tip: None, ..facts() };
        let found = judge(0, &fresh);
        assert_eq!((found.frontier, found.unpersisted, found.unread, found.hold), (None, None, None, None));
    }

    #[test]
    fn offsets_moved_by_hand_would_hold() {
        assert_eq!(reason(&Facts { committed: commit(80, None), ..facts() }), Some(HoldReason::OffsetsMoved));
        assert_eq!(reason(&Facts { committed: commit(80, None), ignore_moved: true, ..facts() }), None);
    }

    #[test]
    fn commits_of_another_ledger_would_hold_even_before_the_first_start() {
        let foreign = commit(5, Some(("theirs", "x")));
        assert_eq!(reason(&Facts { committed: foreign.clone(), ..facts() }), Some(HoldReason::GroupShared));
        let fresh = Facts { ledger: None, start: None, tip: None, committed: foreign, ..facts() };
        assert_eq!(reason(&fresh), Some(HoldReason::GroupShared));
    }

    #[test]
    fn a_ledger_that_vanished_would_hold() {
        let gone = Facts { start: None, tip: None, ..facts() };
        assert_eq!(reason(&gone), Some(HoldReason::LedgerMissing));
    }

    #[test]
    fn a_log_that_begins_above_the_ledger_would_hold_unless_losses_are_skipped() {
        let lost = Facts { log: (70, 100), ..facts() };
        let hold = judge(0, &lost).hold.unwrap();
        assert_eq!((hold.reason, hold.from, hold.to), (HoldReason::OffsetLost, 60, 70));
        assert_eq!(reason(&Facts { skip_losses: true, ..lost }), None);
    }

    #[test]
    fn a_log_that_ends_below_the_ledger_would_hold() {
        let cut_short = Facts { log: (0, 20), ..facts() };
        assert_eq!(reason(&cut_short), Some(HoldReason::OffsetLost));
        assert_eq!(judge(0, &cut_short).unpersisted, Some(0));
    }
}
