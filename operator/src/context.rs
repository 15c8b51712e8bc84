//! What every reconcile shares.

use crate::metrics::Metrics;
use crate::scale::{self, Memory, Observed, Plan, Policy};
use eventsink_crds::sink::EventSink;
use kube::runtime::events::Recorder;
use kube::{Client, ResourceExt as _};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

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
    /// What is remembered for the number of workers.
    pub scaling: Memories,
}

/// What is remembered of each sink between two plans; an operator that starts anew waits until it knows again.
pub struct Memories {
    began: Instant,
    by_uid: Mutex<HashMap<String, Memory>>,
}

impl Default for Memories {
    fn default() -> Self {
        Self { began: Instant::now(), by_uid: Mutex::default() }
    }
}

impl Memories {
    /// Decides how many workers a sink should have.
    pub fn plan(&self, sink: &EventSink, policy: &Policy, observed: &Observed) -> Plan {
        let mut all = self.by_uid.lock().unwrap_or_else(PoisonError::into_inner);
        scale::plan(policy, observed, all.entry(sink.uid().unwrap_or_default()).or_default(), self.began.elapsed())
    }

    /// The sink is gone.
    pub fn forget(&self, sink: &EventSink) {
        self.by_uid.lock().unwrap_or_else(PoisonError::into_inner).remove(&sink.uid().unwrap_or_default());
    }
}
