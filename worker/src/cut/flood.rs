//! Whether a cut would drain its topic into the dead letters: too many of its records can never become rows.

use super::open::{Open, Tally};
use super::{Hold, HoldReason};
use eventsink_crds::settings::Share;

/// When dead letters are a flood (settings `dead_letter`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FloodLimit {
    /// A larger share of dead letters among rows and dead letters is a flood.
    pub threshold: Share,
    /// Fewer dead letters than this are none.
    pub min_records: u64,
}

impl FloodLimit {
    fn is_passed_by(self, tally: Tally) -> bool {
        tally.dead >= self.min_records && self.threshold.is_exceeded_by(tally.dead, tally.judged)
    }
}

/// What a partition's recent cuts were made of: many small cuts are a flood like a large one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Flood {
    limit: FloodLimit,
    /// Cuts since the last time that enough records had come to rule a flood out.
    recent: Tally,
}

impl Flood {
    pub fn new(limit: FloodLimit) -> Self {
        Self { limit, recent: Tally::default() }
    }

    /// Takes a cut that stands into account.
    pub fn remember(&mut self, cut: Tally) {
        self.recent = self.recent.and(cut);
        if self.recent.judged >= self.limit.threshold.whole_of(self.limit.min_records) {
            self.recent = Tally::default();
        }
    }

    /// The hold, if closing `open` were a flood. A cut below the threshold never is, whatever came before it.
    pub fn judge(&self, open: &Open) -> Option<Hold> {
        let cut = open.tally();
        let with_recent = self.recent.and(cut);
        let exceeds = self.limit.threshold.is_exceeded_by(cut.dead, cut.judged);
        let found = [cut, with_recent].into_iter().find(|tally| exceeds && self.limit.is_passed_by(*tally))?;
        Some(Hold {
            reason: HoldReason::PoisonFlood,
            from: open.from,
            to: open.expected,
            detail: format!(
                "{} of {} records ({}%{}) are no valid events, more than dead_letter.flood_threshold {} (in the last cut: {}): mend what \
                 writes to the topic, set events.non_cloud_events to skip if these are not meant to be CloudEvents, or \
                 raise the threshold",
                found.dead,
                found.judged,
                found.dead * 100 / found.judged.max(1),
                if found == cut { "" } else { ", cuts just before it included" },
                self.limit.threshold,
                reasons(open),
            ),
        })
    }
}

/// The most frequent reasons with their counts.
fn reasons(open: &Open) -> String {
    let mut reasons = open.reasons.clone();
    reasons.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let words: Vec<String> = reasons.iter().take(3).map(|(reason, count)| format!("{reason} {count}")).collect();
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cut::Outcome;
    use crate::events::Reason;
    use std::time::Duration;

    fn flood() -> Flood {
        Flood::new(FloodLimit { threshold: Share::percent(50), min_records: 100 })
    }

    fn open(dead: u64, rows: u64, filtered: u64) -> Open {
        let mut open = Open::at(7);
        let dead = (0..dead).map(|at| if at == 0 { Reason::InvalidTime } else { Reason::NotACloudEvent });
        let outcomes = dead
            .map(Outcome::Dead)
            .chain((0..rows).map(|_| Outcome::Row))
            .chain((0..filtered).map(|_| Outcome::Filtered));
        outcomes.for_each(|outcome| open.take(1, outcome, Duration::ZERO));
        open
    }

    #[test]
    fn more_than_the_threshold_is_a_flood_from_the_least_number_on() {
        assert_eq!(flood().judge(&open(100, 100, 0)), None, "exactly the threshold");
        assert_eq!(flood().judge(&open(99, 0, 0)), None, "too few");
        let hold = flood().judge(&open(101, 100, 0)).unwrap();
        assert_eq!((hold.reason, hold.from, hold.to), (HoldReason::PoisonFlood, 7, 208));
        for words in
            ["101 of 201 records (50%)", "in the last cut: NotACloudEvent 100, InvalidTime 1", "flood_threshold 50%"]
        {
            assert!(hold.detail.contains(words), "{words} is not in {}", hold.detail);
        }
    }

    #[test]
    fn filtered_records_count_neither_way() {
        assert!(flood().judge(&open(100, 0, 1000)).is_some());
        assert_eq!(flood().judge(&open(0, 0, 1000)), None);
    }

    #[test]
    fn small_cuts_add_up_to_a_flood() {
        let mut flood = flood();
        for cut in 0..9 {
            let open = open(10, 0, 0);
            assert_eq!(flood.judge(&open), None, "cut {cut}");
            flood.remember(open.tally());
        }
        let hold = flood.judge(&open(10, 0, 0)).unwrap();
        assert!(hold.detail.contains("100 of 100 records (100%, cuts just before it included)"), "{}", hold.detail);
    }

    #[test]
    fn a_good_cut_after_many_dead_letters_is_no_flood() {
        let mut flood = flood();
        flood.remember(open(99, 0, 0).tally());
        assert_eq!(flood.judge(&open(10, 10, 0)), None);
        assert!(flood.judge(&open(11, 10, 0)).is_some());
    }

    #[test]
    fn enough_good_records_make_the_past_forgotten() {
        let mut flood = flood();
        flood.remember(open(99, 0, 0).tally());
        flood.remember(open(0, 101, 0).tally());
        assert_eq!(flood.recent, Tally::default());
    }

    #[test]
    fn the_whole_as_threshold_never_holds() {
        let never = Flood::new(FloodLimit { threshold: Share::percent(100), min_records: 1 });
        assert_eq!(never.judge(&open(1000, 0, 0)), None);
    }
}
