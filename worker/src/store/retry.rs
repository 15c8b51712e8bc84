//! Trying again, for ever: a storage fault is never a dead letter and never the end of the worker.
//! Waits and reports; whether to go on is the caller's choice, who drops the future to stop.
//! Own loop instead of `backon`: its jitter only adds to the delay, and its retries end in an error, which these cannot.

use std::time::{Duration, Instant};

use super::breaker::MAX_ASKED;
use super::{Gate, StoreError, StoreErrorKind};

/// The same failure is logged again after this long: an outage is one message, not a flood.
const SAY_AGAIN: Duration = Duration::from_secs(60);

/// How long to wait between tries: a random part ("full jitter") of a delay that doubles from `initial` to `max`.
/// See <https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// Upper bound of the first wait.
    pub initial: Duration,
    /// Upper bound of every wait.
    pub max: Duration,
}

impl Backoff {
    /// The wait after failure number `failures` (0 for the first), for a random `share` in `[0, 1)`. When the store
    /// asked for a time, it is waited out and the random part comes on top, so that not all return at once.
    pub fn delay(&self, failures: u32, share: f64, asked: Option<Duration>) -> Duration {
        let factor = 1_u32.checked_shl(failures).unwrap_or(u32::MAX);
        let bound = self.initial.saturating_mul(factor).min(self.max);
        let jitter = bound.mul_f64(share.clamp(0.0, 1.0));
        asked.unwrap_or_default().min(MAX_ASKED).saturating_add(jitter)
    }
}

/// Runs `op` until it succeeds; each try passes the gate. `what` names it in the log; `on_error` sees every failure
/// before the wait that follows, so that metrics keep up.
pub async fn retry<T, F, Fut>(
    gate: &Gate,
    backoff: Backoff,
    what: &str,
    mut op: F,
    mut on_error: impl FnMut(&StoreError),
) -> T
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, StoreError>>,
{
    let mut failures = 0_u32;
    let mut said: Option<(StoreErrorKind, Instant)> = None;
    loop {
        let permit = gate.pass().await;
        let result = op().await;
        let gate_waits = permit.ends(&result);
        let error = match result {
            Ok(value) => {
                if failures > 0 {
                    tracing::info!(what, failures, "store is back");
                }
                return value;
            }
            Err(error) => error,
        };
        let wait = backoff.delay(failures, rand::random(), error.retry_after());
        // The gate tells of a store that is away, once for all that wait for it.
        if !gate_waits && said.is_none_or(|(kind, at)| kind != error.kind() || at.elapsed() >= SAY_AGAIN) {
            said = Some((error.kind(), Instant::now()));
            tracing::warn!(what, %error, kind = error.kind().as_str(), failures, "store failed, trying again");
        }
        on_error(&error);
        // The time of an open breaker has grown and is random like this one: to wait out both would be too long.
        if !gate_waits {
            tokio::time::sleep(wait).await;
        }
        failures = failures.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::BreakerRules;
    use crate::store::error::{Location, Place};
    use eventsink_crds::settings::Share;
    use eventsink_crds::status::BreakerState;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    const BACKOFF: Backoff = Backoff { initial: Duration::from_millis(100), max: Duration::from_secs(5) };

    #[test]
    fn the_bound_doubles_up_to_the_maximum() {
        let bounds: Vec<u128> = [0, 1, 2, 5, 6, 40].map(|n| BACKOFF.delay(n, 1.0, None).as_millis()).into();
        assert_eq!(bounds, [100, 200, 400, 3200, 5000, 5000]);
    }

    #[test]
    fn the_jitter_may_take_the_whole_delay() {
        assert_eq!(BACKOFF.delay(3, 0.0, None), Duration::ZERO);
    }

    #[test]
    fn a_store_that_asks_for_time_gets_it() {
        let asked = Some(Duration::from_secs(20));
        assert_eq!(BACKOFF.delay(0, 0.0, asked), Duration::from_secs(20));
    }

    #[test]
    fn a_day_of_silence_is_not_granted() {
        let asked = Some(Duration::from_secs(86_400));
        assert_eq!(BACKOFF.delay(0, 0.0, asked), MAX_ASKED);
    }

    const NONE: Backoff = Backoff { initial: Duration::ZERO, max: Duration::ZERO };

    fn gate() -> Gate {
        Gate::new(BreakerRules {
            window: Duration::from_secs(60),
            min_requests: 3,
            failure_share: Share::percent(50),
            open: Duration::from_millis(2),
            max_open: Duration::from_millis(2),
        })
    }

    fn place() -> Location {
        let kind = Place::Bucket;
        Location { place: "s3://b".into(), endpoint: "https://h".into(), kind, secrets: vec![] }
    }

    #[tokio::test]
    async fn an_operation_is_tried_until_it_succeeds_and_every_failure_is_reported() {
        let (gate, place, mut tries, mut seen) = (gate(), place(), 0, Vec::new());
        let op = || {
            tries += 1;
            std::future::ready(match tries {
                1 => Err(place.error(StoreErrorKind::Timeout, "put k", "late")),
                2 => Err(place.error(StoreErrorKind::Denied, "put k", "no")),
                n => Ok(n),
            })
        };
        let got = retry(&gate, NONE, "put k", op, |e| seen.push(e.kind())).await;
        assert_eq!((got, seen), (3, vec![StoreErrorKind::Timeout, StoreErrorKind::Denied]));
        assert_eq!(gate.view().state, BreakerState::Closed);
    }

    /// A store that counts what is under way, and fails so many tries.
    struct Away {
        gate: Gate,
        fails: usize,
        tries: AtomicUsize,
        under_way: AtomicUsize,
    }

    impl Away {
        async fn put(&self) -> Result<(), StoreError> {
            let alone = self.gate.view().state != BreakerState::Closed;
            let others = self.under_way.fetch_add(1, SeqCst);
            assert!(!alone || others == 0, "{others} other requests are under way beside a probe");
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            self.under_way.fetch_sub(1, SeqCst);
            let fails = self.tries.fetch_add(1, SeqCst) < self.fails;
            if fails { Err(place().error(StoreErrorKind::Unreachable, "put k", "refused")) } else { Ok(()) }
        }
    }

    #[tokio::test]
    async fn an_open_breaker_lets_one_request_through_at_a_time_and_all_once_one_succeeds() {
        let (tries, under_way) = Default::default();
        let store = Arc::new(Away { gate: gate(), fails: 40, tries, under_way });
        store.gate.pass().await.ends(&Err::<(), _>(place().error(StoreErrorKind::Denied, "put k", "no")));
        let one = |store: Arc<Away>| async move { retry(&store.gate, NONE, "put k", || store.put(), |_| {}).await };
        let all: Vec<_> = (0..20).map(|_| tokio::spawn(one(Arc::clone(&store)))).collect();
        for task in all {
            task.await.unwrap();
        }
        assert_eq!((store.tries.load(SeqCst), store.gate.view().state), (60, BreakerState::Closed));
        assert!(store.gate.view().words.contains("cannot put k: refused"), "{:?}", store.gate.view());
    }

    #[tokio::test]
    async fn a_probe_that_is_given_up_makes_room_for_the_next() {
        let gate = gate();
        let denied = || std::future::ready(Err::<(), _>(place().error(StoreErrorKind::Denied, "get k", "no")));
        gate.pass().await.ends(&denied().await);
        assert!(gate.try_pass().is_none() && gate.halts_cuts());
        let probe = gate.pass().await;
        assert!(gate.try_pass().is_none() && gate.view().state == BreakerState::HalfOpen);
        drop(probe);
        gate.pass().await.ends(&Ok(()));
        assert!(gate.try_pass().is_some() && !gate.halts_cuts());
    }
    #[tokio::test]
    async fn a_breaker_closes_although_no_request_waits_for_it() {
        let gate = gate();
        let probing = {
            let gate = gate.clone();
            tokio::spawn(async move { gate.keep_probing(|| std::future::ready(Ok(()))).await })
        };
        gate.pass().await.ends(&Err::<(), _>(place().error(StoreErrorKind::Denied, "put k", "no")));
        let mut tries = 0;
        while gate.halts_cuts() {
            tries += 1;
            assert!(tries < 1000, "it stays open");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        probing.abort();
    }
}
