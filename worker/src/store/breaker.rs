//! The circuit breaker of a store: when so many requests fail that the next ones are not worth sending, they wait, and
//! one at a time finds out whether the store is back. Pure: time and randomness come in, nothing here waits.

use super::{StoreError, StoreErrorKind};
use eventsink_crds::settings::Share;
use eventsink_crds::status::BreakerState;
use std::collections::VecDeque;
use std::time::Duration;

/// Monotonic time since some fixed instant.
type Now = Duration;

/// Parts in which the window is counted.
const PARTS: u32 = 60;

/// Longest wait a store can ask for; a larger one is more likely a mistake than a wish.
pub(super) const MAX_ASKED: Duration = Duration::from_secs(300);

/// When a breaker opens and for how long (settings `breaker`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerRules {
    /// Requests of this past time are judged.
    pub window: Duration,
    /// Fewer requests in the window are not judged.
    pub min_requests: u64,
    /// It opens when so large a share of them failed.
    pub failure_share: Share,
    /// How long it stays open at first; the time doubles with each probe that fails.
    pub open: Duration,
    /// It never stays open longer, unless the store asks for it.
    pub max_open: Duration,
}

/// Leave to send one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pass {
    period: u64,
}

/// Whether a request may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// Now; its end must be told.
    Go(Pass),
    /// Not before this time, unless the breaker changes before.
    At(Now),
}

/// What the end of a request says of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It answered as it should.
    Works,
    /// A fault that may pass by itself. `asked`: how long the store wants to be left alone.
    Fails {
        /// Zero when it did not ask.
        asked: Duration,
    },
    /// It lets nobody in: one such answer is enough.
    Refuses,
    /// Nothing: the request was given up, or only this one cannot be served.
    Nothing,
}

impl Verdict {
    /// The verdict of one try.
    pub fn of<T>(result: &Result<T, StoreError>) -> Self {
        let Err(error) = result else { return Self::Works };
        match error.kind() {
            kind if kind.needs_a_person() => Self::Refuses,
            StoreErrorKind::Conflict | StoreErrorKind::Other => Self::Nothing,
            _ => Self::Fails { asked: error.retry_after().unwrap_or_default() },
        }
    }

    /// Whether the breaker counts it against the store.
    pub fn is_against(self) -> bool {
        matches!(self, Self::Fails { .. } | Self::Refuses)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Closed,
    Open {
        until: Now,
    },
    /// The probe may take until then; it can be a large upload on a connection that died.
    HalfOpen {
        until: Now,
    },
}

/// See the module.
#[derive(Debug)]
pub struct Breaker {
    rules: BreakerRules,
    phase: Phase,
    /// Raised with each change of phase: what began before a change says nothing after it.
    period: u64,
    counts: Counts,
    /// Failures since the last request that worked, whatever their age: a store that never answers fails so slowly that
    /// few of them are in a window.
    in_a_row: u64,
    /// How often it has opened since it was last closed for a whole window.
    openings: u32,
    closed: Option<Now>,
}

impl Breaker {
    /// A closed breaker.
    #[must_use]
    pub fn new(rules: BreakerRules) -> Self {
        let counts = Counts { window: rules.window, parts: VecDeque::new() };
        Self { rules, phase: Phase::Closed, period: 0, counts, in_a_row: 0, openings: 0, closed: None }
    }

    /// Its state, for people and metrics.
    #[must_use]
    pub fn state(&self) -> BreakerState {
        match self.phase {
            Phase::Closed => BreakerState::Closed,
            Phase::Open { .. } => BreakerState::Open,
            Phase::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    /// Whether work that ends in requests should not begin.
    #[must_use]
    pub fn halts(&self) -> bool {
        self.phase != Phase::Closed
    }

    /// Whether a request may be sent; the first one after the time of an open breaker is its probe, and so is the first
    /// one after the time of a probe that does not end.
    pub fn admit(&mut self, now: Now) -> Admission {
        match self.phase {
            Phase::Open { until } | Phase::HalfOpen { until } if now < until => return Admission::At(until),
            Phase::Open { .. } | Phase::HalfOpen { .. } => {
                self.enter(Phase::HalfOpen { until: now + self.rules.max_open });
            }
            Phase::Closed => {}
        }
        Admission::Go(Pass { period: self.period })
    }

    /// A request that was let through has ended. `share` is random in `[0, 1)`.
    pub fn settle(&mut self, pass: Pass, verdict: Verdict, now: Now, share: f64) {
        if pass.period != self.period {
            return;
        }
        match (self.phase, verdict) {
            (Phase::HalfOpen { .. }, Verdict::Works) => self.close(now),
            // The next request is the probe.
            (Phase::HalfOpen { .. }, Verdict::Nothing) => self.enter(Phase::Open { until: now }),
            (Phase::HalfOpen { .. }, Verdict::Fails { asked }) => self.open(now, share, asked),
            (Phase::HalfOpen { .. } | Phase::Closed, Verdict::Refuses) => self.open(now, share, Duration::ZERO),
            (Phase::Closed, Verdict::Works) => {
                self.in_a_row = 0;
                self.counts.add(now, true);
            }
            (Phase::Closed, Verdict::Fails { asked }) => {
                self.in_a_row += 1;
                self.counts.add(now, false);
                let (failed, all) = self.counts.sums();
                let share_failed =
                    all >= self.rules.min_requests && self.rules.failure_share.is_reached_by(failed, all);
                if share_failed || self.in_a_row >= self.rules.min_requests {
                    self.open(now, share, asked);
                }
            }
            (Phase::Closed, Verdict::Nothing) | (Phase::Open { .. }, _) => {}
        }
    }

    fn open(&mut self, now: Now, share: f64, asked: Duration) {
        // A store that fails again at once was not back.
        if self.closed.is_some_and(|at| now.saturating_sub(at) >= self.rules.window) {
            self.openings = 0;
        }
        self.closed = None;
        let factor = 1_u32.checked_shl(self.openings).unwrap_or(u32::MAX);
        self.openings = self.openings.saturating_add(1);
        // Half of it is random: workers that lost the store together do not come back together.
        let half = self.rules.open.saturating_mul(factor).min(self.rules.max_open) / 2;
        let wait = half + half.mul_f64(share.clamp(0.0, 1.0));
        self.enter(Phase::Open { until: now + wait.max(asked.min(MAX_ASKED)) });
    }

    fn close(&mut self, now: Now) {
        self.closed = Some(now);
        self.counts.parts.clear();
        self.in_a_row = 0;
        self.enter(Phase::Closed);
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.period += 1;
    }
}

/// Requests of a window that slides on in parts.
#[derive(Debug)]
struct Counts {
    window: Duration,
    parts: VecDeque<Part>,
}

#[derive(Debug)]
struct Part {
    begun: Now,
    failed: u64,
    all: u64,
}

impl Counts {
    fn add(&mut self, now: Now, worked: bool) {
        while self.parts.front().is_some_and(|part| now.saturating_sub(part.begun) >= self.window) {
            self.parts.pop_front();
        }
        if self.parts.back().is_none_or(|part| now.saturating_sub(part.begun) >= self.window / PARTS) {
            self.parts.push_back(Part { begun: now, failed: 0, all: 0 });
        }
        if let Some(part) = self.parts.back_mut() {
            part.all += 1;
            part.failed += u64::from(!worked);
        }
    }

    /// Failed ones and all.
    fn sums(&self) -> (u64, u64) {
        self.parts.iter().fold((0, 0), |(failed, all), part| (failed + part.failed, all + part.all))
    }
}

#[cfg(test)]
#[path = "breaker_tests.rs"]
mod tests;
