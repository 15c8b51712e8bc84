//! `/health`, `/ready`, `/metrics`, `/status`, `/log`. `/health` follows the heartbeat of the poll loop alone: it must not see
//! Kafka or storage, or an outage would restart healthy workers.

use crate::files::FileKind;
use crate::kafka::poll::Pulse;
use crate::metrics::Metrics;
use crate::runtime::Running;
use crate::store::{Gate, StoreError};
use crate::telemetry::LogFilter;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use eventsink_crds::status::{BreakerState, WorkerStatus};
use serde_json::json;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;

/// A heartbeat older than this means that the poll loop hangs.
const HEARTBEAT: Duration = Duration::from_secs(60);
/// A store error is shown this long after the last failure.
const STORE_ERROR: Duration = Duration::from_secs(60);

/// Directives of a log filter are no longer than this, in bytes.
const DIRECTIVES: usize = 4096;

/// What the HTTP surface shows; filled in as the worker comes up.
pub struct Surface {
    /// Start of the process.
    pub started: Instant,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Heartbeat and client facts.
    pub pulse: Arc<Pulse>,
    sink: String,
    /// Longest time for which the loop may stand still: twice the deadline of a revocation.
    patience: Duration,
    waiting: Mutex<String>,
    kafka_error: Mutex<Option<String>>,
    store_error: Mutex<Option<(Instant, String)>>,
    store_answered: AtomicBool,
    gate: OnceLock<Gate>,
    running: OnceLock<Arc<Running>>,
    logs: OnceLock<LogFilter>,
}

impl Surface {
    /// A surface for a worker that has not started yet.
    #[must_use]
    pub fn new(sink: &str, deadline: Duration, metrics: Metrics) -> Arc<Self> {
        Arc::new(Self {
            started: Instant::now(),
            metrics: Arc::new(metrics),
            pulse: Arc::default(),
            sink: sink.to_owned(),
            patience: HEARTBEAT.max(deadline * 2),
            waiting: Mutex::new("starting".to_owned()),
            kafka_error: Mutex::new(None),
            store_error: Mutex::new(None),
            store_answered: AtomicBool::new(false),
            gate: OnceLock::new(),
            running: OnceLock::new(),
            logs: OnceLock::new(),
        })
    }

    /// What is logged can be changed by `/log`.
    pub fn logs(&self, filter: LogFilter) {
        let set = self.logs.set(filter);
        debug_assert!(set.is_ok(), "a process has one logger");
    }

    /// The breaker of the store is shown.
    pub fn watches(&self, gate: Gate) {
        let set = self.gate.set(gate);
        debug_assert!(set.is_ok(), "a process has one store");
    }

    /// Says what the start waits for.
    pub fn waiting(&self, what: String) {
        *lock(&self.waiting) = what;
    }

    /// Shows why Kafka cannot be reached at start.
    pub fn kafka_failed(&self, words: String) {
        self.waiting(words.clone());
        *lock(&self.kafka_error) = Some(words);
    }

    /// The worker runs.
    pub fn running(&self, running: Arc<Running>) {
        let set = self.running.set(running);
        debug_assert!(set.is_ok(), "a process runs one worker");
    }

    /// Counts and shows a failed try at the store.
    pub fn store_failed(&self, error: &StoreError) {
        self.metrics.store_errors.with_label_values(&[error.kind().as_str()]).inc();
        *lock(&self.store_error) = Some((Instant::now(), error.to_string()));
    }

    /// The store has answered.
    pub fn store_works(&self) {
        *lock(&self.store_error) = None;
        self.store_answered.store(true, Ordering::Relaxed);
    }

    /// An error stands as long as the breaker is not closed, else a while; what came before it closed is over.
    fn store_error(&self) -> Option<String> {
        let view = self.gate.get().map(Gate::view);
        if let Some(view) = view.as_ref().filter(|view| view.state != BreakerState::Closed) {
            return Some(format!("breaker {}: {}", view.state.as_str(), view.words));
        }
        let error = lock(&self.store_error);
        let (at, words) = error.as_ref()?;
        let stands = at.elapsed() < STORE_ERROR && view.is_none_or(|view| *at >= view.since);
        stands.then(|| words.clone())
    }

    fn status(&self) -> WorkerStatus {
        let status = match self.running.get() {
            Some(running) => running.status(),
            None => WorkerStatus {
                sink: self.sink.clone(),
                kafka_error: lock(&self.kafka_error).clone(),
                breaker: self.gate.get().map(|gate| gate.view().state).unwrap_or_default(),
                ..WorkerStatus::default()
            },
        };
        let of_kind = |kind: FileKind| self.metrics.files.with_label_values(&[kind.as_str()]).get();
        WorkerStatus {
            store_error: self.store_error(),
            files_written: of_kind(FileKind::Rows) + of_kind(FileKind::DeadLetters),
            bytes_written: self.metrics.file_bytes.get_sample_sum() as u64,
            dead_lettered: self.metrics.dead.get(),
            ..status
        }
    }

    fn beats(&self) -> bool {
        let Some(running) = self.running.get() else { return true };
        let beat = Duration::from_millis(self.pulse.beat.load(Ordering::Relaxed));
        running.lanes_work() && is_fresh(beat, self.started.elapsed(), self.patience)
    }
}

/// Whether the loop has turned within its patience; both times since the start of the process.
fn is_fresh(beat: Duration, now: Duration, patience: Duration) -> bool {
    now.saturating_sub(beat) < patience
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Serves until the process ends.
pub async fn serve(listener: TcpListener, surface: Arc<Surface>) -> std::io::Result<()> {
    let routes = Router::new()
        .route("/health", get(health))
        .route("/ready", get(ready))
        .route("/metrics", get(metrics))
        .route("/status", get(|State(surface): State<Arc<Surface>>| async move { Json(surface.status()) }))
        .route("/log", get(log).put(set_log).layer(DefaultBodyLimit::max(DIRECTIVES)))
        .with_state(surface);
    axum::serve(listener, routes).await
}

/// The body names every component; the code follows the heartbeat alone.
async fn health(State(surface): State<Arc<Surface>>) -> Response {
    let status = surface.status();
    let held = status.partitions.iter().filter(|partition| partition.hold.is_some()).count();
    let started = surface.running.get().is_some();
    let body = json!({
        "poll_loop": match (started, surface.beats()) { (false, _) => "starting", (_, true) => "ok", _ => "stuck" },
        "kafka": component(status.kafka_error.as_deref(), started),
        "storage": component(status.store_error.as_deref(), surface.store_answered.load(Ordering::Relaxed)),
        "partitions": status.partitions.len(),
        "partitions_on_hold": held,
    });
    let code = if surface.beats() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, Json(body)).into_response()
}

/// Before a component has answered, no error does not mean that it works.
fn component(error: Option<&str>, answered: bool) -> &str {
    error.unwrap_or(if answered { "ok" } else { "starting" })
}

/// Ready once the group was joined and the store probed; an outage does not take that back.
async fn ready(State(surface): State<Arc<Surface>>) -> Response {
    if surface.running.get().is_some() && surface.pulse.joined.load(Ordering::Relaxed) {
        return (StatusCode::OK, "ready\n").into_response();
    }
    let what =
        if surface.running.get().is_some() { "joining the group".to_owned() } else { lock(&surface.waiting).clone() };
    (StatusCode::SERVICE_UNAVAILABLE, format!("{what}\n")).into_response()
}

async fn metrics(State(surface): State<Arc<Surface>>) -> Response {
    let status = surface.status();
    match surface.metrics.text(&status, &surface.pulse) {
        Ok(text) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn log(State(surface): State<Arc<Surface>>) -> Response {
    match surface.logs.get().map(LogFilter::directives) {
        Some(Ok(directives)) => format!("{directives}\n").into_response(),
        Some(Err(words)) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{words}\n")).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// Lasts until the next change or the end of the process.
async fn set_log(State(surface): State<Arc<Surface>>, directives: String) -> Response {
    match surface.logs.get().map(|filter| filter.change(&directives)) {
        Some(Ok(())) => log(State(surface)).await,
        Some(Err(words)) => (StatusCode::BAD_REQUEST, format!("{words}\n")).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_that_stands_still_for_longer_than_its_patience_hangs() {
        let seconds = Duration::from_secs;
        let surface = |deadline| Surface::new("sink", deadline, Metrics::new("sink").unwrap());
        assert_eq!(surface(seconds(25)).patience, seconds(60));
        assert_eq!(surface(seconds(100)).patience, seconds(200), "a revocation may take its deadline");
        assert!(is_fresh(seconds(100), seconds(159), seconds(60)));
        assert!(!is_fresh(seconds(100), seconds(160), seconds(60)));
        assert!(is_fresh(seconds(100), seconds(99), seconds(60)), "the loop may be ahead of who asks");
    }

    #[test]
    fn before_the_start_is_over_nothing_hangs() {
        assert!(Surface::new("sink", Duration::ZERO, Metrics::new("sink").unwrap()).beats());
    }
}
