//! Drains of nodes take one worker at a time.

use super::{metadata, selector, worker_name};
use crate::reconcile::validate::ValidatedSink;
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

pub(super) fn build(sink: &ValidatedSink) -> PodDisruptionBudget {
    PodDisruptionBudget {
        metadata: metadata(sink, worker_name(&sink.name)),
        spec: Some(PodDisruptionBudgetSpec {
            // Follows the number of workers, as minAvailable would not.
            max_unavailable: Some(IntOrString::Int(1)),
            selector: Some(LabelSelector { match_labels: Some(selector(&sink.name)), ..LabelSelector::default() }),
            ..PodDisruptionBudgetSpec::default()
        }),
        ..PodDisruptionBudget::default()
    }
}
