//! The one breaker that all requests of the process to its store pass. Waits, tells the log, shows its state;
//! decides nothing that the breaker decides.

use super::breaker::{Admission, Breaker, BreakerRules, Pass, Verdict};
use super::{StoreError, StoreErrorKind};
use eventsink_crds::status::BreakerState;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Shortest time between two requests of the gate's own.
const PAUSE: Duration = Duration::from_secs(1);

/// What can be seen of a breaker.
#[derive(Debug, Clone)]
pub struct View {
    /// Its state.
    pub state: BreakerState,
    /// The store's words when it opened; empty when it never did.
    pub words: Arc<str>,
    /// What kind of failure opened it.
    pub kind: Option<StoreErrorKind>,
    /// When it came into this state.
    pub since: Instant,
}

/// A breaker that is shared. Cheap to clone; every clone is the same one.
#[derive(Debug, Clone)]
pub struct Gate(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    breaker: Mutex<Breaker>,
    view: watch::Sender<View>,
    made: Instant,
}

impl Gate {
    /// A closed one.
    #[must_use]
    pub fn new(rules: BreakerRules) -> Self {
        let now = Instant::now();
        let view = watch::Sender::new(View { state: BreakerState::Closed, words: "".into(), kind: None, since: now });
        Self(Arc::new(Inner { breaker: Mutex::new(Breaker::new(rules)), view, made: now }))
    }

    /// Its state now.
    #[must_use]
    pub fn view(&self) -> View {
        self.0.view.borrow().clone()
    }

    /// Whether no cut should begin.
    #[must_use]
    pub fn halts_cuts(&self) -> bool {
        self.0.breaker.lock().unwrap_or_else(PoisonError::into_inner).halts()
    }

    /// Waits until a request may be sent.
    pub async fn pass(&self) -> Permit {
        let mut view = self.0.view.subscribe();
        loop {
            view.mark_unchanged();
            let wait = match self.change(None, Breaker::admit) {
                Admission::Go(pass) => return Permit { gate: self.clone(), pass: Some(pass) },
                Admission::At(until) => until.saturating_sub(self.0.made.elapsed()),
            };
            tokio::select! {
                // The sender is ours.
                _ = view.changed() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Leave to send a request that is not worth waiting for, if it may be sent now.
    #[must_use]
    pub fn try_pass(&self) -> Option<Permit> {
        match self.change(None, Breaker::admit) {
            Admission::Go(pass) => Some(Permit { gate: self.clone(), pass: Some(pass) }),
            _ => None,
        }
    }

    /// Sends a request of its own whenever the breaker is not closed: without it one that no other request waits for
    /// would stay open. Never ends.
    pub async fn keep_probing<T, Fut>(&self, probe: impl Fn() -> Fut)
    where
        Fut: Future<Output = Result<T, StoreError>>,
    {
        let mut view = self.0.view.subscribe();
        // The sender is ours.
        while view.wait_for(|view| view.state != BreakerState::Closed).await.is_ok() {
            let permit = self.pass().await;
            let result = probe().await;
            permit.ends(&result);
            if result.is_err() {
                // One that says nothing of the store leaves the breaker ready for the next.
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    fn change<T>(&self, error: Option<&StoreError>, change: impl FnOnce(&mut Breaker, Duration) -> T) -> T {
        let mut breaker = self.0.breaker.lock().unwrap_or_else(PoisonError::into_inner);
        let before = breaker.state();
        let result = change(&mut breaker, self.0.made.elapsed());
        let state = breaker.state();
        if state != before {
            self.0.view.send_modify(|view| {
                tell(
                    before,
                    state,
                    error.filter(|error| before == BreakerState::Closed || view.kind != Some(error.kind())),
                );
                (view.state, view.since) = (state, Instant::now());
                if let Some(error) = error {
                    (view.words, view.kind) = (error.to_string().into(), Some(error.kind()));
                }
            });
        }
        result
    }
}

/// One line for each change; the store's words are told when they are new.
fn tell(before: BreakerState, after: BreakerState, error: Option<&StoreError>) {
    match (before, after, error) {
        (BreakerState::Closed, _, Some(error)) => tracing::warn!(
            %error, kind = error.kind().as_str(), "store breaker open: no cut begins, reading goes on while there is memory"
        ),
        (_, _, Some(error)) => tracing::warn!(%error, kind = error.kind().as_str(), "store breaker open again"),
        (_, BreakerState::Open, None) => tracing::info!("store breaker open again"),
        (_, BreakerState::HalfOpen, None) => tracing::info!("store breaker half-open: one request is tried"),
        (_, BreakerState::Closed, None) => tracing::info!("store breaker closed: the store is back"),
    }
}

/// Leave to send one request. Dropped without an end, it says nothing of the store.
#[derive(Debug)]
pub struct Permit {
    gate: Gate,
    pass: Option<Pass>,
}

impl Permit {
    /// The request has ended so. True when the breaker, no longer closed, decides when it may be sent again.
    pub fn ends<T>(mut self, result: &Result<T, StoreError>) -> bool {
        let verdict = Verdict::of(result);
        self.settle(verdict, result.as_ref().err());
        verdict.is_against() && self.gate.view().state != BreakerState::Closed
    }

    fn settle(&mut self, verdict: Verdict, error: Option<&StoreError>) {
        let Some(pass) = self.pass.take() else { return };
        self.gate.change(error, |breaker, now| breaker.settle(pass, verdict, now, rand::random()));
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.settle(Verdict::Nothing, None);
    }
}
