//! Trying again, for ever: a storage fault is never a dead letter and never the end of the worker.
//! Waits and reports; whether to go on is the caller's choice, who drops the future to stop.
//! Own loop instead of `backon`: its jitter only adds to the delay, and its retries end in an error, which these cannot.

use std::time::{Duration, Instant};

use super::{StoreError, StoreErrorKind};

/// Longest wait a store can ask for; a larger one is more likely a mistake than a wish.
const MAX_ASKED: Duration = Duration::from_secs(300);

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

/// Runs `op` until it succeeds. `what` names it in the log; `on_error` sees every failure and the wait that follows,
/// before the wait, so that metrics and the breaker keep up.
pub async fn retry<T, F, Fut>(
    backoff: Backoff,
    what: &str,
    mut op: F,
    mut on_error: impl FnMut(&StoreError, Duration),
) -> T
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, StoreError>>,
{
    let mut failures = 0_u32;
    let mut said: Option<(StoreErrorKind, Instant)> = None;
    loop {
        let error = match op().await {
            Ok(value) => {
                if failures > 0 {
                    tracing::info!(what, failures, "store is back");
                }
                return value;
            }
            Err(error) => error,
        };
        let wait = backoff.delay(failures, rand::random(), error.retry_after());
        if said.is_none_or(|(kind, at)| kind != error.kind() || at.elapsed() >= SAY_AGAIN) {
            said = Some((error.kind(), Instant::now()));
            tracing::warn!(what, %error, kind = error.kind().as_str(), failures, "store failed, trying again");
        }
        on_error(&error, wait);
        tokio::time::sleep(wait).await;
        failures = failures.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::error::{Location, Place};

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

    #[tokio::test]
    async fn an_operation_is_tried_until_it_succeeds_and_every_failure_is_reported() {
        let kind = Place::Bucket;
        let place = Location { place: "s3://b".into(), endpoint: "https://h".into(), kind, secrets: vec![] };
        let none = Backoff { initial: Duration::ZERO, max: Duration::ZERO };
        let mut tries = 0;
        let mut seen = Vec::new();
        let op = || {
            tries += 1;
            std::future::ready(match tries {
                1 => Err(place.error(StoreErrorKind::Timeout, "put k", "late")),
                2 => Err(place.error(StoreErrorKind::Denied, "put k", "no")),
                n => Ok(n),
            })
        };
        let got = retry(none, "put k", op, |e, _| seen.push(e.kind())).await;
        assert_eq!((got, seen), (3, vec![StoreErrorKind::Timeout, StoreErrorKind::Denied]));
    }
}
