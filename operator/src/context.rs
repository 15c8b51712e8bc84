//! What every reconcile shares.

use crate::metrics::Metrics;
use kube::Client;
use kube::runtime::events::Recorder;

/// What every reconcile shares.
pub struct Context {
    /// The API server.
    pub client: Client,
    /// Asks workers; never goes through a proxy.
    pub http: reqwest::Client,
    /// Events beside the sinks, shared so that repeats become one.
    pub recorder: Recorder,
    /// Image of the workers of sinks that name none.
    pub worker_image: String,
    /// Metrics.
    pub metrics: Metrics,
}
