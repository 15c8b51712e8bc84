//! What the operator counts. Names begin with `eventsink_operator_`.

use prometheus::{Histogram, HistogramOpts, IntCounterVec, IntGauge, Opts, Registry, TextEncoder};
use std::time::Duration;

/// All metrics.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Registry,
    reconciles: Histogram,
    failures: IntCounterVec,
    crd_missing: IntGauge,
    working: IntGauge,
}

impl Metrics {
    /// Registers them.
    ///
    /// # Errors
    /// When a name is taken twice.
    pub fn new() -> Result<Self, prometheus::Error> {
        let metrics = Self {
            registry: Registry::new(),
            reconciles: Histogram::with_opts(HistogramOpts::new(
                "eventsink_operator_reconcile_seconds",
                "Time that a reconcile of one sink took",
            ))?,
            failures: IntCounterVec::new(
                Opts::new("eventsink_operator_reconcile_failures_total", "Reconciles that failed, by stage"),
                &["stage"],
            )?,
            crd_missing: IntGauge::new(
                "eventsink_operator_crd_missing",
                "1 while the CustomResourceDefinition of EventSink is not there",
            )?,
            working: IntGauge::new("eventsink_operator_working", "1 while this operator works, 0 while it waits")?,
        };
        metrics.registry.register(Box::new(metrics.reconciles.clone()))?;
        metrics.registry.register(Box::new(metrics.failures.clone()))?;
        metrics.registry.register(Box::new(metrics.crd_missing.clone()))?;
        metrics.registry.register(Box::new(metrics.working.clone()))?;
        Ok(metrics)
    }

    /// A reconcile has ended.
    pub fn reconciled(&self, took: Duration) {
        self.reconciles.observe(took.as_secs_f64());
    }

    /// A reconcile has failed in a stage.
    pub fn failed(&self, stage: &str) {
        self.failures.with_label_values(&[stage]).inc();
    }

    /// This operator works from now on.
    pub fn works(&self) {
        self.working.set(1);
    }

    /// Whether the resource's definition is missing.
    pub fn crd_missing(&self, missing: bool) {
        self.crd_missing.set(missing.into());
    }

    /// The text that Prometheus reads.
    #[must_use]
    pub fn text(&self) -> String {
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_default()
    }
}
