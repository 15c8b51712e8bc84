//! One byte budget for the process: what is read ahead, buffered, encoded and on its way to the store.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Memory of a process without a limit of its own.
const DEFAULT: u64 = 512 << 20;
/// Share of the control group's limit that the budget takes, in percent.
const SHARE: u64 = 60;

/// Bytes in use against a limit. Adding never fails: the users of the budget act when it is short.
#[derive(Debug)]
pub struct Budget {
    limit: usize,
    used: AtomicUsize,
    exceeded: AtomicBool,
}

impl Budget {
    /// A budget of `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { limit, used: AtomicUsize::new(0), exceeded: AtomicBool::new(false) }
    }

    /// Takes bytes.
    pub fn add(&self, bytes: usize) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Gives bytes back.
    pub fn sub(&self, bytes: usize) {
        let before = self.used.fetch_sub(bytes, Ordering::Relaxed);
        debug_assert!(before >= bytes, "only what was taken is given back");
    }

    /// Replaces what one user holds.
    pub fn change(&self, held: &mut usize, now: usize) {
        self.add(now);
        self.sub(std::mem::replace(held, now));
    }

    /// Leave to exceed the budget, for one at a time: cuts that are read again cannot be closed early, and many of
    /// them, each half read, would wait for each other's memory for ever.
    #[must_use]
    pub fn may_exceed(&self) -> bool {
        !self.exceeded.swap(true, Ordering::Relaxed)
    }

    /// Gives the leave back.
    pub fn exceeds_no_more(&self) {
        self.exceeded.store(false, Ordering::Relaxed);
    }

    /// Bytes in use.
    #[must_use]
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// The limit in bytes.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Cuts should close early.
    #[must_use]
    pub fn is_short(&self) -> bool {
        self.used() >= self.limit / 10 * 6
    }

    /// Not enough room yet to fetch again after a pause.
    #[must_use]
    pub fn is_tight(&self) -> bool {
        self.used() >= self.limit / 10 * 7
    }

    /// Nothing more may be fetched.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.used() >= self.limit / 10 * 9
    }
}

/// The budget of this process: the setting, else a share of the control group's limit, else a constant.
#[must_use]
pub fn limit(setting: Option<u64>) -> usize {
    let bytes = setting.unwrap_or_else(|| cgroup_limit().map_or(DEFAULT, |limit| limit / 100 * SHARE));
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

fn cgroup_limit() -> Option<u64> {
    ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]
        .iter()
        .find_map(|path| std::fs::read_to_string(path).ok()?.trim().parse::<u64>().ok())
        // Version 1 says "no limit" by a number near 2^63.
        .filter(|limit| *limit < 1 << 50)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_overrules_the_machine() {
        assert_eq!(limit(Some(1 << 20)), 1 << 20);
    }

    #[test]
    fn one_at_a_time_may_exceed_the_budget() {
        let budget = Budget::new(1000);
        assert!(budget.may_exceed() && !budget.may_exceed());
        budget.exceeds_no_more();
        assert!(budget.may_exceed());
    }

    #[test]
    fn fetching_stops_before_the_limit_and_goes_on_with_room() {
        let budget = Budget::new(1000);
        budget.add(899);
        assert!(budget.is_short() && budget.is_tight() && !budget.is_gone());
        budget.add(1);
        assert!(budget.is_gone());
        let mut held = 900;
        budget.change(&mut held, 699);
        assert!(budget.is_short() && !budget.is_tight());
    }
}
