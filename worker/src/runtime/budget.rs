//! One byte budget for the process: what is read ahead, buffered, encoded and on its way to the store.

use super::resident;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Memory of a process without a limit of its own.
const DEFAULT: u64 = 512 << 20;
/// Share of the control group's limit that the budget takes, in percent.
const SHARE: u64 = 60;
/// How often the bytes of a batch are in memory for a moment while they become a file: as columns, pages, compressed
/// pages, and once more in the client's own buffer.
const COPIES: usize = 4;
/// What takes this part of the budget is done by one lane at a time, because of those copies.
const LARGE: usize = 32;
/// Bytes of batches that may wait for lanes.
const QUEUED: usize = 8 << 20;
/// What heaps may hold back beyond what is counted, as a part of the resident memory that is no reason to stop.
const HEAPS: usize = 24 << 20;
/// Where the kernel shows control groups, by version.
const GROUPS: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/memory"];

/// Bytes in use against a limit. Adding never fails: the users of the budget act when it is short.
#[derive(Debug)]
pub struct Budget {
    limit: usize,
    used: AtomicUsize,
    exceeded: AtomicBool,
    /// Bytes of batches that no lane has taken yet.
    queued: AtomicUsize,
    /// Bytes of the largest batch of late and of the time before: one large record must not make files small for ever.
    largest: [AtomicUsize; 2],
    alone: Mutex<()>,
    /// Cuts that were closed for want of memory.
    closed: AtomicUsize,
    /// Resident bytes at the start, and those beyond them when they were last measured.
    base: usize,
    resident: AtomicUsize,
}

impl Budget {
    /// A budget of `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            used: AtomicUsize::new(0),
            exceeded: AtomicBool::new(false),
            queued: AtomicUsize::new(0),
            largest: Default::default(),
            alone: Mutex::new(()),
            closed: AtomicUsize::new(0),
            base: resident::anonymous().unwrap_or(usize::MAX),
            resident: AtomicUsize::new(0),
        }
    }

    /// Takes bytes.
    pub fn add(&self, bytes: usize) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Takes the bytes of a batch of records that is on its way to a lane; room for copies of the largest is kept until
    /// [`Self::forget_largest`] was called twice.
    pub fn add_batch(&self, bytes: usize) {
        self.largest[0].fetch_max(bytes, Ordering::Relaxed);
        self.queued.fetch_add(bytes, Ordering::Relaxed);
        self.add(bytes);
    }

    /// A lane has taken a batch of so many bytes, which stay in use.
    pub fn batch_arrives(&self, bytes: usize) {
        self.queued.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Keeps room for copies of a batch that has waited for long.
    pub fn batch_goes_on(&self, bytes: usize) {
        self.largest[0].fetch_max(bytes, Ordering::Relaxed);
    }

    /// Keeps no more room for batches of before the last call; to be called now and then.
    pub fn forget_largest(&self) {
        let late = self.largest[0].swap(0, Ordering::Relaxed);
        self.largest[1].store(late, Ordering::Relaxed);
    }

    /// True when lanes have as much before them as they should. Records as they came take several times the memory of
    /// what lanes make of them: a queue that took all of the budget would close files while they are small.
    #[must_use]
    pub fn lanes_are_behind(&self) -> bool {
        self.queued.load(Ordering::Relaxed) >= QUEUED.min(self.limit / 16)
    }

    /// Looks at what the process really holds; where the kernel does not say, what is counted is all that is known.
    /// Gives the shortest time between two calls upon the heaps to give back what they hold, when there should be any:
    /// that costs time of the processor, which matters less when nothing may be fetched.
    pub fn measure(&self) -> Option<Duration> {
        let beyond = resident::anonymous().unwrap_or(0).saturating_sub(self.base);
        self.resident.store(beyond, Ordering::Relaxed);
        give_back_every(beyond, self.used(), self.limit)
    }

    /// Waits until no other lane works on something large, when `bytes` are much of the budget. Whoever has it must not
    /// ask again.
    pub fn alone(&self, bytes: usize) -> Option<MutexGuard<'_, ()>> {
        (bytes >= self.limit / LARGE).then(|| self.alone.lock().unwrap_or_else(PoisonError::into_inner))
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

    /// Bytes that count against the limit: those in use and room for what they become, or what the process really holds.
    #[must_use]
    pub fn claimed(&self) -> usize {
        let [used, late, before, resident] =
            [&self.used, &self.largest[0], &self.largest[1], &self.resident].map(|bytes| bytes.load(Ordering::Relaxed));
        let largest = late.max(before);
        // The copies are never all of the budget, so that a record larger than it can pass.
        let counted = used + used / 4 + largest.saturating_mul(COPIES).min(self.limit / 2);
        counted.max(felt(used, resident, self.limit))
    }

    /// The limit in bytes.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Cuts should close early.
    #[must_use]
    pub fn is_short(&self) -> bool {
        self.claimed() >= self.limit / 10 * 6
    }

    /// Not enough room yet to go on reading.
    #[must_use]
    pub fn is_tight(&self) -> bool {
        self.claimed() >= self.limit / 10 * 7
    }

    /// Room should be made before more is taken. Only what is in use matters here: it falls as soon as a cut is closed, what
    /// the process holds some time later.
    #[must_use]
    pub fn needs_room(&self) -> bool {
        let used = self.used();
        used + used / 4 >= self.limit / 10 * 7
    }

    /// A cut was closed for want of memory.
    pub fn closes_early(&self) {
        self.closed.fetch_add(1, Ordering::Relaxed);
    }

    /// How many cuts were closed for want of memory.
    #[must_use]
    pub fn closed_early(&self) -> usize {
        self.closed.load(Ordering::Relaxed)
    }

    /// Nothing more may be read; what the client has read ahead by then is counted already.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.claimed() >= self.limit / 20 * 17
    }
}

/// Memory that was given back is cleared by the kernel before it is used again: more often only as the end comes near.
fn give_back_every(resident: usize, used: usize, limit: usize) -> Option<Duration> {
    let gone = limit / 20 * 17;
    if resident >= gone + HEAPS {
        Some(Duration::ZERO)
    } else if resident >= gone {
        Some(Duration::from_millis(250))
    } else {
        (resident >= limit / 2 && resident >= used + HEAPS).then_some(Duration::from_secs(1))
    }
}

/// The resident bytes that count. None while little is in use: heaps do not give all back, and what they hold must not
/// stop fetching for ever.
fn felt(used: usize, resident: usize, limit: usize) -> usize {
    if used < limit / 4 { 0 } else { resident.saturating_sub(HEAPS) }
}

/// The budget of this process: the setting, else a share of the control group's limit, else a constant.
#[must_use]
pub fn limit(setting: Option<u64>) -> usize {
    let bytes = setting.unwrap_or_else(|| cgroup_limit().map_or(DEFAULT, |limit| limit / 100 * SHARE));
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// The least limit of the process's own control group and those above it.
fn cgroup_limit() -> Option<u64> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    limit_under(GROUPS.map(Path::new), &groups)
}

/// `groups` are lines of `/proc/self/cgroup`: `0::/path` for version 2, `4:memory:/path` for version 1. A container
/// may be shown the path of its host and yet see only its own group, at the top.
fn limit_under([second, first]: [&Path; 2], groups: &str) -> Option<u64> {
    let own = groups.lines().filter_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        let path = Path::new(path.trim_start_matches('/'));
        match controllers.split(',').any(|controller| controller == "memory") {
            true => Some((first.join(path), first, "memory.limit_in_bytes")),
            false if controllers.is_empty() => Some((second.join(path), second, "memory.max")),
            false => None,
        }
    });
    let all = own.flat_map(|(own, top, file)| {
        let above: Vec<PathBuf> =
            own.ancestors().take_while(|at| at.starts_with(top)).map(|at| at.join(file)).collect();
        above
    });
    all.filter_map(|path| std::fs::read_to_string(path).ok()?.trim().parse().ok())
        // Version 1 says "no limit" by a number near 2^63.
        .filter(|limit| *limit < 1 << 50)
        .min()
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
        budget.add(679);
        assert!(budget.is_short() && budget.is_tight() && !budget.is_gone());
        budget.add(1);
        assert!(budget.is_gone());
        let mut held = 680;
        budget.change(&mut held, 559);
        assert!(budget.is_short() && !budget.is_tight());
    }

    #[test]
    fn room_is_kept_for_copies_of_the_largest_batch() {
        let budget = Budget::new(1000);
        budget.add_batch(100);
        budget.add(259);
        assert!(!budget.is_gone());
        budget.add(1);
        assert!(budget.is_gone());
        let huge = Budget::new(1000);
        huge.add_batch(10_000);
        huge.sub(10_000);
        assert!(!huge.is_tight(), "fetching goes on once it has passed");
    }

    #[test]
    fn a_large_batch_of_long_ago_takes_no_room() {
        let budget = Budget::new(1000);
        budget.add_batch(200);
        budget.sub(200);
        budget.add(160);
        budget.forget_largest();
        assert!(budget.is_short(), "it was of late");
        budget.forget_largest();
        assert!(!budget.is_short());
    }

    #[test]
    fn lanes_are_behind_until_they_have_taken_what_waits() {
        let budget = Budget::new(1600);
        budget.add_batch(99);
        assert!(!budget.lanes_are_behind());
        budget.add_batch(1);
        assert!(budget.lanes_are_behind());
        budget.batch_arrives(99);
        assert!(!budget.lanes_are_behind() && budget.used() == 100, "what has arrived is still in use");
    }

    #[test]
    fn what_is_resident_counts_beyond_what_heaps_may_hold() {
        assert_eq!(felt(100 << 20, HEAPS + 7, 400 << 20), 7);
        assert_eq!(felt(100 << 20, HEAPS - 1, 400 << 20), 0);
    }

    #[test]
    fn heaps_give_back_seldom_until_fetching_would_stop() {
        let (limit, second) = (400 << 20, Some(Duration::from_secs(1)));
        let every = |mebibytes: usize, used: usize| give_back_every(mebibytes << 20, used << 20, limit);
        assert_eq!((every(199, 0), every(200, 0), every(339, 0)), (None, second, second));
        assert_eq!((every(200, 176), every(200, 177)), (second, None), "what is in use cannot be given back");
        let quarter = Some(Duration::from_millis(250));
        assert_eq!((every(340, 340), every(363, 363), every(364, 364)), (quarter, quarter, Some(Duration::ZERO)));
    }

    #[test]
    fn resident_memory_alone_does_not_stop_fetching() {
        assert_eq!(felt((100 << 20) - 1, 800 << 20, 400 << 20), 0);
    }

    #[test]
    fn resident_memory_that_is_not_counted_makes_the_budget_short() {
        let budget = Budget::new(400);
        budget.add(100);
        budget.resident.store(HEAPS + 300, Ordering::Relaxed);
        assert!(budget.is_short() && budget.is_tight() && !budget.is_gone());
        budget.resident.store(HEAPS + 360, Ordering::Relaxed);
        assert!(budget.is_gone());
        budget.sub(1);
        assert!(!budget.is_short());
    }

    #[test]
    fn what_is_large_is_done_by_one_at_a_time_and_the_rest_by_all() {
        let budget = Budget::new(3200);
        assert!(budget.alone(99).is_none());
        let _large = budget.alone(100);
        assert!(budget.alone.try_lock().is_err());
    }

    #[test]
    fn the_least_limit_from_the_own_group_upwards_counts() {
        let folder = tempfile::tempdir().unwrap();
        let (second, first) = (folder.path().join("two"), folder.path().join("one"));
        let set = |path: PathBuf, text: &str| {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        set(second.join("pod/container/memory.max"), "max\n");
        set(second.join("pod/memory.max"), "3000\n");
        set(first.join("memory.limit_in_bytes"), "9223372036854771712\n");
        set(first.join("a/memory.limit_in_bytes"), "2000\n");
        let found = |groups| limit_under([&second, &first], groups);
        assert_eq!(found("0::/pod/container\n"), Some(3000));
        assert_eq!(found("5:cpu:/a\n4:memory:/a\n0::/\n"), Some(2000));
        assert_eq!(found("4:cpu,memory:/a/gone\n"), Some(2000), "the path of a host that the container does not see");
        assert_eq!(found("4:memory:/other\n0::/other\n"), None);
    }
}
