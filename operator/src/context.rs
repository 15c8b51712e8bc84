//! What every reconcile shares.

use crate::build::Optional;
use crate::lag::Kafka;
use crate::lease::Leadership;
use crate::metrics::Metrics;
use crate::scale::{self, Memory, Observed, Plan, Policy};
use kube::Client;
use kube::runtime::events::Recorder;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What every reconcile shares.
pub struct Context {
    /// The API server.
    pub client: Client,
    /// Whether this operator may write.
    pub leadership: Leadership,
    /// Asks workers; never goes through a proxy.
    pub http: reqwest::Client,
    /// Events beside the sinks, shared so that repeats become one.
    pub recorder: Recorder,
    /// Image of the workers of sinks that name none.
    pub worker_image: String,
    /// Children that this installation wants.
    pub optional: Optional,
    /// Time that a reconcile may take.
    pub patience: Duration,
    /// Metrics.
    pub metrics: Metrics,
    /// What is remembered for the number of workers.
    pub scaling: Memories,
    /// What Kafka says of sinks without a worker.
    pub kafka: Kafka,
}

impl Context {
    /// The sink is gone.
    pub fn forget(&self, uid: &str) {
        self.scaling.forget(uid);
        self.kafka.leave(uid);
    }
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
    /// Decides how many workers the sink of that uid should have.
    pub fn plan(&self, uid: &str, policy: &Policy, observed: &Observed) -> Plan {
        let mut all = self.by_uid.lock().unwrap_or_else(PoisonError::into_inner);
        scale::plan(policy, observed, all.entry(uid.to_owned()).or_default(), self.began.elapsed())
    }

    fn forget(&self, uid: &str) {
        self.by_uid.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }
}
