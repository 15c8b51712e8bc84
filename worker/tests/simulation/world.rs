//! Which step comes next: everything that may happen, in random order, then a calm end.

use crate::broker::Group;
use crate::driver::Driver;
use crate::log::Log;
use crate::rng::{Rng, Tape};
use crate::shared::{DeadLetters, Losses, Sabotage, Shared};
use eventsink_crds::settings::Share;
use eventsink_worker::cut::{FloodLimit, HoldReason, Input};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

const START: i64 = 5;
const MOST_OFFSETS: i64 = 24;
const STORMY_STEPS: u64 = 400;
const CALM_STEPS: u64 = 20_000;

/// A broken promise, and how it came to it.
pub struct Violation {
    pub seed: u64,
    pub what: String,
    pub steps: u64,
    pub story: Vec<String>,
    /// The choices that led to it, when they were taped.
    pub tape: Tape,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.story {
            writeln!(f, "{step}")?;
        }
        writeln!(f, "seed {}, shrunk to {} steps: {}", self.seed, self.steps, self.what)?;
        write!(f, "again: EVENTSINK_SEED={} cargo test --workspace --test simulation every_offset", self.seed)
    }
}

pub struct World {
    pub shared: Shared,
    pub steps: u64,
    drivers: Vec<Driver>,
}

impl World {
    pub fn new(mut rng: Rng, sabotage: Sabotage, story: bool) -> Self {
        let losses = Losses { happen: rng.one_in(3), skip: rng.below(4) > 0 };
        let poisoned = rng.one_in(4);
        let flood = FloodLimit { threshold: Share::percent(if poisoned { 60 } else { 100 }), min_records: 2 };
        let dead_letters = DeadLetters { copied: rng.one_in(2), flood };
        let ignore_moved = rng.one_in(2);
        let drivers = (0..2 + rng.index(2)).map(Driver::new).collect();
        let shared = Shared {
            rng,
            log: Log::new(START, poisoned),
            losses,
            dead_letters,
            ignore_moved,
            sabotage,
            manifests: BTreeMap::new(),
            files: BTreeMap::new(),
            copied: BTreeSet::new(),
            done: BTreeSet::new(),
            lost: BTreeSet::new(),
            group: Group::new(),
            committer: None,
            late: vec![],
            nonces: 0,
            calm: false,
            changed: false,
            broken: None,
            seen: BTreeMap::new(),
            story: story.then(Vec::new),
        };
        Self { shared, steps: 0, drivers }
    }

    pub fn run(&mut self) -> Result<(), String> {
        for _ in 0..STORMY_STEPS {
            if !self.shared.rng.begin(false) {
                break;
            }
            self.outside();
            self.worker_step();
            self.verify()?;
        }
        self.rest()
    }

    fn verify(&mut self) -> Result<(), String> {
        self.steps += 1;
        if let Some(broken) = self.shared.broken.take() {
            return Err(broken);
        }
        if std::mem::take(&mut self.shared.changed) { self.shared.check() } else { Ok(()) }
    }

    /// What happens to log, bucket and group without any worker's doing.
    fn outside(&mut self) {
        let shared = &mut self.shared;
        if shared.log.end() < START + MOST_OFFSETS && shared.rng.one_in(8) {
            shared.log.append(&mut shared.rng);
        }
        if shared.rng.one_in(12) {
            shared.settle_late();
        }
        if shared.rng.one_in(300) {
            shared.delete_group();
        }
        if shared.rng.one_in(300) {
            shared.reset_offset();
        }
        if shared.rng.one_in(100) {
            shared.expel();
        }
        if shared.losses.happen && shared.rng.one_in(60) {
            if shared.rng.one_in(2) {
                shared.log.expire(&mut shared.rng);
            } else {
                shared.log.compact(&mut shared.rng);
            }
            let low = shared.log.low;
            shared.tell(|| format!("the log loses records, it begins at {low}"));
        }
    }

    fn worker_step(&mut self) {
        let shared = &mut self.shared;
        let at = shared.rng.index(self.drivers.len());
        let driver = &mut self.drivers[at];
        if !driver.runs() {
            if shared.rng.one_in(10) {
                driver.start(shared);
            }
            return;
        }
        match shared.rng.below(300) {
            0..20 => {
                let pause = if shared.rng.one_in(6) { 61_000 } else { shared.rng.below(3000) };
                driver.now += Duration::from_millis(pause);
                driver.step(Input::Tick, shared);
            }
            20 => driver.step(Input::Size(if shared.rng.one_in(2) { 1000 } else { 600 }), shared),
            21 => driver.step(Input::ShortOfMemory, shared),
            22 | 23 => driver.error(shared),
            24..27 => driver.step(Input::Revoke { lost: false }, shared),
            27 => driver.step(Input::Revoke { lost: true }, shared),
            28 => driver.step(Input::Deadline, shared),
            29 | 30 => {
                shared.tell(|| format!("w{at} crashes"));
                driver.stop(shared);
            }
            31 => driver.turn_breaker(shared),
            // An outage ends sooner than the next one begins.
            32 | 33 if driver.away => driver.turn_breaker(shared),
            32..36 => driver.slow = !driver.slow,
            36..125 => driver.fetch(shared),
            125..215 => driver.progress(shared),
            _ => driver.deliver(shared),
        }
    }

    /// Faults are over, one worker is left: it must come to an end, and each offset to one answer.
    fn rest(&mut self) -> Result<(), String> {
        self.shared.rng.begin(true);
        let survivor = self.shared.rng.index(self.drivers.len());
        for (at, driver) in self.drivers.iter_mut().enumerate() {
            if at != survivor || self.shared.rng.one_in(2) {
                driver.stop(&mut self.shared);
            }
        }
        while !self.shared.late.is_empty() {
            self.shared.rng.begin(true);
            self.shared.settle_late();
            self.verify()?;
        }
        self.shared.calm = true;
        if self.drivers[survivor].away {
            self.drivers[survivor].turn_breaker(&mut self.shared);
        }
        self.shared.log.end_transaction(true);
        self.shared.tell(|| format!("all is calm, w{survivor} is left"));
        for _ in 0..CALM_STEPS {
            self.shared.rng.begin(true);
            let (driver, shared) = (&mut self.drivers[survivor], &mut self.shared);
            if !driver.runs() {
                driver.start(shared);
            }
            match shared.rng.below(4) {
                0 => driver.fetch(shared),
                1 => driver.deliver(shared),
                2 => driver.progress(shared),
                _ => {
                    driver.now += Duration::from_millis(if shared.rng.one_in(20) { 61_000 } else { 500 });
                    driver.step(Input::Tick, shared);
                }
            }
            self.verify()?;
            let (driver, shared) = (&mut self.drivers[survivor], &mut self.shared);
            let decides = [HoldReason::OffsetLost, HoldReason::PoisonFlood, HoldReason::OffsetsMoved];
            let held = driver.hold().map(|hold| hold.reason);
            if held.is_some_and(|reason| decides.contains(&reason)) {
                // Without `skip` or `ignore`, or in a flood, a person has to decide.
                return Ok(());
            }
            if held == Some(HoldReason::PlanNeedsDecoder) {
                // Until the version runs that has planned the cut.
                driver.stop(shared);
            }
            if driver.drained(shared.log.end()) {
                if shared.lag() == 0 {
                    return shared.check_at_rest();
                }
                // A past owner's commit came last; the next owner mends that.
                if shared.committer != Some(survivor) {
                    driver.stop(shared);
                }
            }
        }
        Err(format!("no end after {CALM_STEPS} calm steps, lag {}", self.shared.lag()))
    }
}
