//! `/health`, `/ready` and `/metrics`.

use crate::metrics::Metrics;
use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::TcpListener;

/// How far the operator has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    /// It looks for the definition of the resource; what it said last.
    Begins(String),
    /// Another operator works; this one is ready to go on in its place.
    Waits,
    /// It works.
    Works,
}

/// Tells `/ready` how far the operator has come.
#[derive(Debug, Clone)]
pub struct Readiness(Arc<Mutex<Stage>>);

impl Default for Readiness {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Stage::Begins("looking for the CustomResourceDefinition".to_owned()))))
    }
}

impl Readiness {
    /// From now on.
    pub fn set(&self, stage: Stage) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = stage;
    }

    fn answer(&self) -> (StatusCode, String) {
        match &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Stage::Begins(words) => (StatusCode::SERVICE_UNAVAILABLE, format!("{words}\n")),
            Stage::Waits => (StatusCode::OK, "ready: another operator holds the Lease\n".to_owned()),
            Stage::Works => (StatusCode::OK, "ready\n".to_owned()),
        }
    }
}

/// Answers until the process ends.
///
/// # Errors
/// When the listener fails.
pub async fn serve(listener: TcpListener, readiness: Readiness, metrics: Metrics) -> std::io::Result<()> {
    let routes = Router::new()
        .route("/health", get(|| async { "ok\n" }))
        .route("/ready", get(move || async move { readiness.answer() }))
        .route("/metrics", get(move || async move { metrics.text() }));
    axum::serve(listener, routes).await
}
