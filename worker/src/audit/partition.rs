//! Running sums of one partition. Pure; the newest cut is kept apart until its files are known to be there.

use std::sync::Arc;

use super::chain::{self, Chain, PartitionId};
use super::{PartitionSummary, Totals, Unfinished};
use crate::cut::manifest::Manifest;
use crate::files::{FileKind, PlannedFile};

/// What is known of one partition.
pub(super) struct Partition {
    /// Which one it is.
    pub id: Arc<PartitionId>,
    /// Judges its manifests.
    pub chain: Chain,
    losses: Vec<(i64, i64)>,
    from: Option<i64>,
    to: Option<i64>,
    totals: Totals,
    /// Offsets of finished cuts that have no record, by their manifests.
    denied: Vec<(i64, i64)>,
    tip: Option<Tip>,
}

/// The newest cut, while it is not known to be finished.
struct Tip {
    cut: Unfinished,
    totals: Totals,
    denied: Vec<(i64, i64)>,
}

impl Partition {
    /// A partition before its first manifest: where it starts by the genesis, and its named losses.
    pub fn new(id: PartitionId, start: Option<i64>, losses: Vec<(i64, i64)>) -> Self {
        let id = Arc::new(id);
        let chain = Chain::new(Arc::clone(&id), start);
        Self { id, chain, losses, from: start, to: start, totals: Totals::default(), denied: Vec::new(), tip: None }
    }

    /// Adds the sums of a manifest; `open` when its files need not all be there yet.
    pub fn account(&mut self, key: &str, manifest: &Manifest, open: bool) {
        let totals = chain::totals(manifest);
        let Manifest { from, to, .. } = *manifest;
        self.from.get_or_insert(from);
        let sound = |range: &(i64, i64)| from <= range.0 && range.0 < range.1 && range.1 <= to;
        let denied = manifest.absent.iter().chain(manifest.lost.iter()).filter(sound);
        if open {
            self.to.get_or_insert(from);
            let cut = Unfinished { key: key.to_owned(), from, to, files: manifest.files.len(), missing: Vec::new() };
            self.tip = Some(Tip { cut, totals, denied: denied.collect() });
        } else {
            self.to = Some(to);
            self.totals.add(&totals);
            self.denied.extend(denied);
        }
    }

    /// A planned file of the newest cut is not there; false when there is no open cut.
    pub fn lacks(&mut self, key: &str) -> bool {
        let Some(tip) = &mut self.tip else { return false };
        tip.cut.missing.push(key.to_owned());
        true
    }

    /// Rows that a file was planned with, and that the log had lost before it was written, count as lost.
    pub fn incomplete(&mut self, plan: &PlannedFile, rows: u64, open: bool) {
        let totals = match &mut self.tip {
            Some(tip) if open => &mut tip.totals,
            _ => &mut self.totals,
        };
        let lost = plan.rows.saturating_sub(rows);
        let counted = match plan.kind {
            FileKind::Rows => &mut totals.rows,
            FileKind::DeadLetters => &mut totals.dead_letters,
        };
        *counted = counted.saturating_sub(lost);
        totals.lost = totals.lost.saturating_add(lost);
    }

    /// Whether a named loss touches `range`.
    pub fn names_loss(&self, range: (i64, i64)) -> bool {
        self.losses.iter().any(|loss| loss.0 < range.1 && range.0 < loss.1)
    }

    /// The sums over finished cuts, the newest one if it is not finished, and in ascending order the ranges of which
    /// the ledger says that the log has no record.
    pub fn close(mut self) -> (PartitionSummary, Option<Unfinished>, Vec<(i64, i64)>) {
        let unfinished = match self.tip {
            Some(tip) if tip.cut.missing.is_empty() => {
                self.to = Some(tip.cut.to);
                self.totals.add(&tip.totals);
                self.denied.extend(tip.denied);
                None
            }
            tip => tip.map(|tip| tip.cut),
        };
        self.denied.sort_unstable();
        let from = self.from.unwrap_or(0);
        let to = self.to.unwrap_or(from);
        (PartitionSummary { partition: self.id.partition, from, to, totals: self.totals }, unfinished, self.denied)
    }
}
