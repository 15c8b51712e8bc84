//! Sets of offsets as ascending half-open ranges, as manifests write them.

use serde::{Deserialize, Serialize};

/// Ascending, disjoint, non-adjacent ranges `[from, to)`; serialised as `[[from, to], ...]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ranges(Vec<(i64, i64)>);

impl Ranges {
    /// Adds `[from, to)`, which must not lie below what is there; empty ranges change nothing.
    pub fn push(&mut self, from: i64, to: i64) {
        if from >= to {
            return;
        }
        match self.0.last_mut() {
            Some(last) if last.1 == from => last.1 = to,
            last => {
                debug_assert!(last.is_none_or(|l| l.1 < from), "ranges are pushed in order");
                self.0.push((from, to));
            }
        }
    }

    /// How many offsets the ranges hold.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.0.iter().map(|(from, to)| to.abs_diff(*from)).sum()
    }

    /// True when no offset is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// True when `offset` is held.
    #[must_use]
    pub fn contains(&self, offset: i64) -> bool {
        let after = self.0.partition_point(|(from, _)| *from <= offset);
        after > 0 && offset < self.0[after - 1].1
    }

    /// True when every offset of `[from, to)` is held.
    #[must_use]
    pub fn covers(&self, from: i64, to: i64) -> bool {
        let after = self.0.partition_point(|(start, _)| *start <= from);
        from >= to || (after > 0 && to <= self.0[after - 1].1)
    }

    /// The ranges in order.
    pub fn iter(&self) -> impl Iterator<Item = (i64, i64)> + '_ {
        self.0.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::Ranges;

    #[test]
    fn adjacent_ranges_become_one() {
        let mut ranges = Ranges::default();
        ranges.push(3, 5);
        ranges.push(5, 6);
        ranges.push(9, 9);
        ranges.push(8, 10);
        assert_eq!(ranges.iter().collect::<Vec<_>>(), [(3, 6), (8, 10)]);
        assert_eq!(ranges.len(), 5);
    }

    #[test]
    fn membership_respects_both_ends() {
        let mut ranges = Ranges::default();
        ranges.push(3, 6);
        ranges.push(8, 10);
        let held: Vec<i64> = (0..12).filter(|o| ranges.contains(*o)).collect();
        assert_eq!(held, [3, 4, 5, 8, 9]);
        assert!(ranges.covers(3, 6) && ranges.covers(8, 9) && ranges.covers(7, 7));
        assert!(!ranges.covers(5, 7) && !ranges.covers(5, 9) && !ranges.covers(6, 8));
    }
}
