//! How many workers there should be. Pure: what is observed, what is remembered and the time come in.

mod lag;

use eventsink_crds::sink::{EventSinkSpec, Scaling, ScalingMode, reason};
use std::time::Duration;

pub use lag::{Memory, Place};

/// What is known of a sink at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Observed {
    /// Workers that the Deployment asks for; none before there is one.
    pub current: Option<i32>,
    /// Partitions of all topics; none while nobody has said.
    pub partitions: Option<i32>,
    /// How far each partition is; none unless every worker has said and none of them is missing.
    pub places: Option<Vec<Place>>,
}

/// What the spec asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// `spec.scaling`.
    pub scaling: Scaling,
    /// `spec.replicas`.
    pub replicas: i32,
    /// `spec.suspend`.
    pub suspend: bool,
    /// The volume that files go to is for one worker.
    pub alone: bool,
}

impl Policy {
    /// What a spec asks for; `alone` as in the field.
    #[must_use]
    pub fn of(spec: &EventSinkSpec, alone: bool) -> Self {
        Self { scaling: spec.scaling.clone(), replicas: spec.replicas, suspend: spec.suspend, alone }
    }

    /// Whether nothing shall run, whatever is observed.
    #[must_use]
    pub fn rests(&self) -> bool {
        let given = matches!(self.scaling.mode, ScalingMode::Fixed | ScalingMode::External);
        self.suspend || given && self.replicas == 0
    }
}

/// How many workers there should be, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Number of workers.
    pub replicas: i32,
    /// Whether the number follows what it should follow; false while something is not known.
    pub active: bool,
    /// Reason of the condition ScalingActive.
    pub reason: &'static str,
    /// The sum behind the number, for people.
    pub message: String,
}

/// Decides. `now` is monotonic.
#[must_use]
pub fn plan(policy: &Policy, observed: &Observed, memory: &mut Memory, now: Duration) -> Plan {
    let plan = by_mode(policy, observed, memory, now);
    if policy.alone && plan.replicas > 1 {
        let message = format!(
            "one worker and not {}: the claim of storage.filesystem can be mounted on one node only; more workers need \
             one that is ReadWriteMany",
            plan.replicas
        );
        return Plan { replicas: 1, active: false, reason: reason::CLAIM_NOT_SHARED, message };
    }
    plan
}

fn by_mode(policy: &Policy, observed: &Observed, memory: &mut Memory, now: Duration) -> Plan {
    let follows = |replicas, message| Plan { replicas, active: true, reason: reason::FOLLOWS, message };
    let scaling = &policy.scaling;
    if policy.suspend {
        return follows(0, "suspended".to_owned());
    }
    match scaling.mode {
        ScalingMode::Fixed => follows(policy.replicas, format!("spec.replicas is {}", policy.replicas)),
        ScalingMode::External => {
            follows(policy.replicas, format!("spec.replicas is {}, written by an autoscaler", policy.replicas))
        }
        ScalingMode::Partitions => by_partitions(scaling, observed),
        ScalingMode::Lag => by_lag(scaling, observed, memory, now),
    }
}

fn by_lag(scaling: &Scaling, observed: &Observed, memory: &mut Memory, now: Duration) -> Plan {
    let current = observed.current.filter(|current| *current > 0);
    match (current, &observed.places) {
        (Some(current), Some(places)) if !places.is_empty() => {
            let plan = lag::plan(scaling, current, places, memory, now);
            // Bounds that somebody has just changed hold at once.
            Plan { replicas: plan.replicas.clamp(scaling.min_replicas, scaling.max_replicas), ..plan }
        }
        _ => {
            // Unknown is not zero.
            memory.interrupt();
            let replicas = current.unwrap_or(1).clamp(scaling.min_replicas, scaling.max_replicas);
            let message = format!("not every worker has said how far it is: staying at {replicas}");
            Plan { replicas, active: false, reason: reason::HOLDING, message }
        }
    }
}

fn by_partitions(scaling: &Scaling, observed: &Observed) -> Plan {
    let (least, most) = (scaling.min_replicas, scaling.max_replicas);
    let Some(partitions) = observed.partitions else {
        // Unknown is not zero: what runs goes on; the first worker will say how many partitions there are.
        let replicas = observed.current.unwrap_or(least).clamp(least, most);
        let message = format!("the number of partitions is not known yet: staying at {replicas}");
        return Plan { replicas, active: false, reason: reason::HOLDING, message };
    };
    let each = scaling.partitions_per_replica.max(1);
    let replicas = (partitions.max(0) + each - 1) / each;
    let replicas = replicas.clamp(least, most);
    let message = format!(
        "{partitions} partitions, {each} for each worker, at least {least} and at most {most}: {replicas} workers"
    );
    Plan { replicas, active: true, reason: reason::FOLLOWS, message }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
