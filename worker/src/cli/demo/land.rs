//! Runs the worker of `start` until everything that the broker has is durable, then stops it as a signal would.

use super::progress::Progress;
use super::{DemoError, PARTITIONS};
use crate::http::Surface;
use crate::kafka::poll::Fatal;
use crate::metrics::Metrics;
use crate::runtime::{self, Options};
use eventsink_crds::settings::Settings;
use eventsink_crds::status::WorkerStatus;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot::Receiver;

/// The worker is asked this often how far it is.
const LOOK: Duration = Duration::from_millis(100);
/// A worker in the same process as its broker that gets no further for so long never will.
const PATIENCE: Duration = Duration::from_secs(60);

/// How far a worker is.
#[derive(Debug, PartialEq, Eq)]
enum Stage {
    /// So many records are durable, others not yet.
    Working(u64),
    /// All are.
    Done,
    /// It waits for a person.
    Held(String),
}

/// Lands `events` records.
pub(super) async fn land(settings: Arc<Settings>, events: u64, progress: &mut Progress) -> Result<(), DemoError> {
    let metrics = Metrics::new(settings.sink_name()).map_err(|e| DemoError::Unfinished(e.to_string()))?;
    let surface = Surface::new(settings.sink_name(), settings.shutdown.deadline.as_duration(), metrics);
    progress.say("joining");
    let (running, ended) = runtime::start(settings, &surface, Options::default()).await?;
    let watched = watch(|| running.status(), ended, events, progress).await;
    running.stop();
    let joined = tokio::task::spawn_blocking(move || running.join()).await;
    watched?;
    joined.map_err(|e| DemoError::Unfinished(e.to_string()))
}

async fn watch(
    status: impl Fn() -> WorkerStatus,
    mut ended: Receiver<Result<(), Fatal>>,
    events: u64,
    progress: &mut Progress,
) -> Result<(), DemoError> {
    let mut best = (0, Instant::now());
    let mut named = false;
    loop {
        tokio::select! {
            ended = &mut ended => {
                let words = ended.ok().and_then(Result::err).map_or("it ended by itself".to_owned(), |e| e.to_string());
                return Err(DemoError::Unfinished(words));
            }
            () = tokio::time::sleep(LOOK) => {}
        }
        let status = status();
        match stage(&status, events) {
            Stage::Done => {
                progress.at(events);
                return Ok(());
            }
            Stage::Held(words) => return Err(DemoError::Unfinished(words)),
            Stage::Working(durable) => {
                if !named && !status.partitions.is_empty() {
                    named = true;
                    progress.say("landing");
                }
                progress.at(durable);
                if durable > best.0 {
                    best = (durable, Instant::now());
                }
                if best.1.elapsed() > PATIENCE {
                    let words = serde_json::to_string(&status).unwrap_or_default();
                    return Err(DemoError::Unfinished(format!("no progress for {} s: {words}", PATIENCE.as_secs())));
                }
            }
        }
    }
}

fn stage(status: &WorkerStatus, events: u64) -> Stage {
    let partitions = &status.partitions;
    if let Some((at, hold)) = partitions.iter().find_map(|p| Some((p, p.hold.as_ref()?))) {
        return Stage::Held(format!("{}/{} is on hold: {}: {}", at.topic, at.partition, hold.reason, hold.detail));
    }
    let durable = partitions.iter().map(|p| u64::try_from(p.frontier).unwrap_or(0)).sum();
    let all = partitions.len() == usize::try_from(PARTITIONS).unwrap_or(0)
        && partitions.iter().all(|p| p.frontier >= 0 && p.frontier == p.high_watermark)
        && durable == events;
    if all { Stage::Done } else { Stage::Working(durable) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use eventsink_crds::status::{HoldStatus, PartitionStatus};

    fn status(partitions: &[(i64, i64)]) -> WorkerStatus {
        let of = |&(frontier, high_watermark): &(i64, i64)| PartitionStatus {
            topic: "orders".into(),
            frontier,
            high_watermark,
            ..PartitionStatus::default()
        };
        WorkerStatus { partitions: partitions.iter().map(of).collect(), ..WorkerStatus::default() }
    }

    #[test]
    fn all_is_durable_when_every_frontier_meets_the_end_of_its_log() {
        assert_eq!(stage(&status(&[(10, 10), (20, 20), (12, 12)]), 42), Stage::Done);
    }

    #[test]
    fn a_partition_behind_its_log_is_waited_for() {
        assert_eq!(stage(&status(&[(10, 10), (20, 20), (-1, 12)]), 42), Stage::Working(30));
    }

    #[test]
    fn a_partition_that_was_not_assigned_yet_is_waited_for() {
        assert_eq!(stage(&status(&[(10, 10), (20, 20)]), 30), Stage::Working(30));
    }

    #[test]
    fn a_log_that_has_not_got_everything_yet_is_waited_for() {
        assert_eq!(stage(&status(&[(10, 10), (20, 20), (5, 5)]), 42), Stage::Working(35));
    }

    #[test]
    fn a_hold_ends_the_demo_with_its_own_words() {
        let mut status = status(&[(10, 10), (20, 20), (5, 12)]);
        status.partitions[2].hold =
            Some(HoldStatus { reason: "OffsetLost".into(), detail: "gone".into(), ..HoldStatus::default() });
        assert_eq!(stage(&status, 42), Stage::Held("orders/0 is on hold: OffsetLost: gone".into()));
    }
}
