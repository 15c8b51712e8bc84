//! Last stage: what is true of a sink, from what was found and done. Pure but for the one patch at its end.
//!
//! Conditions are written for `kubectl`, kstatus and Argo CD: `Reconciling` and `Stalled` stand only while they are true,
//! and `Ready` says the most important thing that there is to say.

use super::Outcome;
use super::apply::ApplyError;
use super::dereference::Dereferenced;
use super::validate::Invalid;
use crate::scale::Plan;
use crate::workers::{Workers, selector_text};
use crate::{build, context::Context};
use eventsink_crds::sink::{EventSink, EventSinkStatus, Files, HeldPartition, Lag, condition, reason};
use eventsink_crds::status::PartitionStatus;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::api::{Patch, PatchParams};
use kube::{Api, Resource as _, ResourceExt as _};
use serde_json::json;
use std::collections::BTreeSet;

/// Partitions on hold that the status names; all of them are metrics.
const NAMED: usize = 10;

/// A hold of a partition that none of the workers has is told for so many seconds more.
const REMEMBERED: i64 = 300;

/// One thing to say.
struct Word {
    status: &'static str,
    reason: String,
    message: String,
}

fn word(status: &'static str, reason: &str, message: impl Into<String>) -> Word {
    Word { status, reason: reason.to_owned(), message: message.into() }
}

/// What is true now. Times of conditions that do not change stay.
#[must_use]
pub fn status(sink: &EventSink, found: &Dereferenced, outcome: &Outcome, now: Time) -> EventSinkStatus {
    let old = sink.status.clone().unwrap_or_default();
    let workers = &found.workers;
    let deployment = found.deployment.as_ref().and_then(|deployment| deployment.status.as_ref());
    let known = partitions(sink.status.as_ref(), found);
    let (told, remembered) = (told_holds(workers), remembered_holds(&old, found, known, &now));
    let ready = ready(sink, found, outcome, (&told, &remembered));
    let mut held = [told, remembered].concat();
    held.sort_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
    held.truncate(NAMED);
    let mut conditions =
        Conditions { generation: sink.metadata.generation, now, old: &old.conditions, all: Vec::new() };
    conditions.add(condition::READY, &ready.word);
    if ready.reconciling {
        conditions.add(condition::RECONCILING, &word("True", &ready.word.reason, ready.word.message.clone()));
    }
    if ready.stalled {
        conditions.add(condition::STALLED, &word("True", &ready.word.reason, ready.word.message.clone()));
    }
    conditions.add(condition::CREDENTIALS_VALID, &credentials(outcome));
    conditions.add(condition::SOURCE_REACHABLE, &source(found));
    conditions.add(condition::DESTINATION_REACHABLE, &destination(workers, outcome));
    if let Some(plan) = outcome.plan() {
        conditions.add(condition::SCALING_ACTIVE, &scaling(plan));
    }
    EventSinkStatus {
        observed_generation: sink.metadata.generation,
        conditions: conditions.all,
        replicas: deployment.and_then(|status| status.replicas).unwrap_or(0),
        ready_replicas: deployment.and_then(|status| status.ready_replicas).unwrap_or(0),
        desired_replicas: outcome.plan().map(|plan| plan.replicas).or(old.desired_replicas),
        selector: Some(selector_text(&build::selector(&sink.name_any()))),
        partitions: known,
        lag: lag(found, known),
        files: files(workers),
        dead_lettered: workers.all_answered().then(|| sum(workers.answers.iter().map(|worker| worker.dead_lettered))),
        held,
    }
}

/// Partitions of all topics. Kafka never takes one away, and while a group rebalances some belong to nobody; only Kafka
/// itself can say that there are fewer, in a topic that was made anew.
#[must_use]
pub fn partitions(old: Option<&EventSinkStatus>, found: &Dereferenced) -> Option<i32> {
    if let Some(Ok(topics)) = &found.topics {
        return Some(topics.partitions);
    }
    let workers = &found.workers;
    let seen = (workers.all_answered() && workers.partitions() > 0).then(|| workers.partitions());
    seen.max(old.and_then(|old| old.partitions))
}

struct Ready {
    word: Word,
    reconciling: bool,
    stalled: bool,
}

/// `told` is on hold by a worker's own words, `remembered` by those of one that is silent now.
fn ready(
    sink: &EventSink,
    found: &Dereferenced,
    outcome: &Outcome,
    (told, remembered): (&[HeldPartition], &[HeldPartition]),
) -> Ready {
    let settled = |word| Ready { word, reconciling: false, stalled: false };
    let stalled = |word| Ready { word, reconciling: false, stalled: true };
    let at_work = |word| Ready { word, reconciling: true, stalled: false };
    let plan = match outcome {
        Outcome::Invalid(invalid) => return stalled(word("False", invalid.reason(), invalid.to_string())),
        Outcome::NotApplied(_, error @ ApplyError::NotOwned { .. }) => {
            return stalled(word("False", reason::NOT_OWNED, error.to_string()));
        }
        Outcome::NotApplied(_, error) if error.is_refusal() => {
            return stalled(word("False", reason::APPLY_FAILED, error.to_string()));
        }
        Outcome::NotApplied(_, error) => return at_work(word("False", reason::APPLY_FAILED, error.to_string())),
        Outcome::Applied(plan) => plan,
    };
    if plan.replicas == 0 {
        return rests(sink, found);
    }
    let on_hold = |held: &[HeldPartition]| {
        let first = held.first()?;
        let more = if held.len() > 1 { format!(" (and {} more)", held.len() - 1) } else { String::new() };
        let place = format!("{}[{}] {}: {}{more}", first.topic, first.partition, first.reason, first.message);
        Some(word("False", reason::PARTITIONS_ON_HOLD, place))
    };
    if let Some(word) = on_hold(told) {
        return stalled(word);
    }
    let error = |of: fn(&eventsink_crds::status::WorkerStatus) -> &Option<String>| {
        found.workers.answers.iter().find_map(|worker| of(worker).clone())
    };
    if let Some(words) = error(|worker| &worker.store_error) {
        return settled(word("False", reason::STORE_ERROR, words));
    }
    if let Some(words) = error(|worker| &worker.kafka_error) {
        return settled(word("False", reason::KAFKA_ERROR, words));
    }
    if is_rolled_out(found.deployment.as_ref(), plan.replicas) {
        // Nobody has said that it is over.
        if let Some(word) = on_hold(remembered) {
            return at_work(word);
        }
        return settled(word(
            "True",
            reason::RUNNING,
            format!("{} of {} workers are ready", plan.replicas, plan.replicas),
        ));
    }
    let waits = found.workers.waiting.first().cloned();
    match waits.or_else(|| found.deployment.as_ref().and_then(no_pods)) {
        Some(words) => at_work(word("False", reason::WORKERS_NOT_READY, words)),
        None => {
            at_work(word("False", reason::PROGRESSING, format!("waiting for {} workers to be ready", plan.replicas)))
        }
    }
}

/// A sink that wants no worker.
fn rests(sink: &EventSink, found: &Dereferenced) -> Ready {
    let (why, words) = if sink.spec.suspend {
        (reason::SUSPENDED, "suspended: no worker runs; what is not written yet will be read again")
    } else {
        (reason::SCALED_TO_ZERO, "scaled to zero: no worker runs")
    };
    let status = found.deployment.as_ref().and_then(|deployment| deployment.status.as_ref());
    match status.and_then(|status| status.replicas).unwrap_or(0) {
        0 => Ready { word: word("True", why, words), reconciling: false, stalled: false },
        left => {
            let word = word("False", reason::PROGRESSING, format!("{left} workers are ending"));
            Ready { word, reconciling: true, stalled: false }
        }
    }
}

/// Whether there are as many workers as there should be, all of them ready and of the newest template.
fn is_rolled_out(deployment: Option<&Deployment>, wanted: i32) -> bool {
    let Some(deployment) = deployment else { return false };
    let Some(status) = &deployment.status else { return false };
    let seen = status.observed_generation >= deployment.metadata.generation;
    let asked = deployment.spec.as_ref().and_then(|spec| spec.replicas) == Some(wanted);
    let count = |number: Option<i32>| number.unwrap_or(0);
    let all = count(status.replicas) == wanted
        && count(status.updated_replicas) == wanted
        && count(status.ready_replicas) == wanted;
    seen && asked && all
}

/// Why the platform makes no pod at all: a quota, an admission rule, a service account that is not there.
fn no_pods(deployment: &Deployment) -> Option<String> {
    let conditions = deployment.status.as_ref()?.conditions.as_ref()?;
    let failure = conditions.iter().find(|found| found.type_ == "ReplicaFailure" && found.status == "True")?;
    let reason = failure.reason.as_deref().unwrap_or("ReplicaFailure");
    Some(format!("no pod can be made: {reason}: {}", failure.message.as_deref().unwrap_or("no details")))
}

fn credentials(outcome: &Outcome) -> Word {
    match outcome {
        Outcome::Invalid(invalid) if invalid.condition() == Some(condition::CREDENTIALS_VALID) => {
            word("False", invalid.reason(), invalid.to_string())
        }
        Outcome::Invalid(Invalid::Spec(_)) => word("Unknown", reason::INVALID_SPEC, "the spec must be mended first"),
        _ => word("True", reason::OK, "every Secret that the sink names has its keys"),
    }
}

/// The workers' word counts; without one, what the operator saw itself. It may sit elsewhere in the network, so its
/// failures are not theirs.
fn source(found: &Dereferenced) -> Word {
    let workers = &found.workers.answers;
    if let Some(words) = workers.iter().find_map(|worker| worker.kafka_error.clone()) {
        return word("False", reason::KAFKA_ERROR, words);
    }
    if workers.iter().any(|worker| worker.ready) {
        return word("True", reason::OK, "a worker reads the topics");
    }
    match &found.topics {
        Some(Ok(_)) => word("True", reason::OK, "the operator has seen the topics; no worker is ready"),
        Some(Err(words)) => {
            word("Unknown", reason::UNKNOWN, format!("no worker has said yet; the operator itself was told: {words}"))
        }
        None => word("Unknown", reason::UNKNOWN, "no worker has said yet"),
    }
}

fn destination(workers: &Workers, outcome: &Outcome) -> Word {
    if let Outcome::Invalid(invalid) = outcome
        && invalid.condition() == Some(condition::DESTINATION_REACHABLE)
    {
        return word("False", invalid.reason(), invalid.to_string());
    }
    if let Some(words) = workers.answers.iter().find_map(|worker| worker.store_error.clone()) {
        return word("False", reason::STORE_ERROR, words);
    }
    if workers.answers.iter().any(|worker| worker.ready) {
        return word("True", reason::OK, "a worker uses the store");
    }
    word("Unknown", reason::UNKNOWN, "no worker has said yet")
}

fn scaling(plan: &Plan) -> Word {
    word(if plan.active { "True" } else { "False" }, plan.reason, plan.message.clone())
}

/// Partitions that a worker says are on hold.
fn told_holds(workers: &Workers) -> Vec<HeldPartition> {
    let mut held: Vec<HeldPartition> = workers
        .each_partition()
        .filter_map(|partition| {
            let hold = partition.hold.as_ref()?;
            Some(HeldPartition {
                topic: partition.topic.clone(),
                partition: partition.partition,
                reason: hold.reason.clone(),
                message: hold.detail.clone(),
            })
        })
        .collect();
    held.sort_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
    held
}

/// Holds that were told once and of whose partitions nobody says anything now: a worker is silent or on its way, or does
/// not know yet where it stands. None in a sink that rests: nobody waits for anything there. A partition that nobody has
/// for long, though all workers are at work, is no more.
fn remembered_holds(
    old: &EventSinkStatus,
    found: &Dereferenced,
    partitions: Option<i32>,
    now: &Time,
) -> Vec<HeldPartition> {
    let asked = found.deployment.as_ref().and_then(|deployment| deployment.spec.as_ref()?.replicas);
    let workers = &found.workers;
    let knows = |at: &&PartitionStatus| at.hold.is_some() || at.stage == "reading";
    let known: BTreeSet<_> =
        workers.each_partition().filter(knows).map(|at| (at.topic.as_str(), at.partition)).collect();
    let at_work = workers.all_ready() && known.len() == workers.each_partition().count();
    let stands_in =
        |told: &&Condition| told.type_ == condition::RECONCILING && told.reason == reason::PARTITIONS_ON_HOLD;
    let since = old.conditions.iter().find(stands_in).map(|told| told.last_transition_time.0);
    let long = since.is_some_and(|since| now.0.duration_since(since).as_secs() >= REMEMBERED);
    if asked == Some(0) || at_work && (long || workers.have_all(partitions)) {
        return Vec::new();
    }
    old.held.iter().filter(|old| !known.contains(&(old.topic.as_str(), old.partition))).cloned().collect()
}

/// The sum over all workers; nothing unless each partition has been told, since a part of it would look like progress.
fn lag(found: &Dereferenced, partitions: Option<i32>) -> Option<Lag> {
    let workers = &found.workers;
    if workers.running == 0 {
        // Nobody has read what is not in a file.
        let unread = found.topics.as_ref()?.as_ref().ok()?.unread?;
        return Some(Lag { unread, fresh: "-".to_owned(), ..Lag::default() });
    }
    if !workers.have_all(partitions) || !workers.know_unread() {
        return None;
    }
    let partitions = || workers.each_partition();
    let oldest = partitions().map(|partition| partition.oldest_unpersisted_ms).max().unwrap_or(0) / 1000;
    Some(Lag {
        unread: sum(partitions().map(|partition| partition.unread)),
        buffered: sum(partitions().map(|partition| partition.buffered)),
        oldest_unpersisted_seconds: i64::try_from(oldest).unwrap_or(i64::MAX),
        fresh: humantime::format_duration(std::time::Duration::from_secs(oldest)).to_string(),
    })
}

/// The sum over all workers; nothing unless each of them has said.
fn files(workers: &Workers) -> Option<Files> {
    workers.all_answered().then(|| Files {
        written: sum(workers.answers.iter().map(|worker| worker.files_written)),
        bytes: sum(workers.answers.iter().map(|worker| worker.bytes_written)),
    })
}

fn sum(numbers: impl Iterator<Item = u64>) -> i64 {
    numbers.fold(0, |sum: i64, number| sum.saturating_add(i64::try_from(number).unwrap_or(i64::MAX)))
}

/// Conditions in the making.
struct Conditions<'a> {
    generation: Option<i64>,
    now: Time,
    old: &'a [Condition],
    all: Vec<Condition>,
}

impl Conditions<'_> {
    fn add(&mut self, type_: &str, word: &Word) {
        let same = self.old.iter().find(|old| old.type_ == type_ && old.status == word.status);
        self.all.push(Condition {
            type_: type_.to_owned(),
            status: word.status.to_owned(),
            reason: word.reason.clone(),
            message: word.message.clone(),
            observed_generation: self.generation,
            last_transition_time: same.map_or_else(|| self.now.clone(), |old| old.last_transition_time.clone()),
        });
    }
}

/// Writes the status when it differs from the one that is there.
///
/// # Errors
/// When the API server does not take it.
pub async fn write(context: &Context, sink: &EventSink, status: &EventSinkStatus) -> Result<(), kube::Error> {
    if sink.status.as_ref() == Some(status) {
        return Ok(());
    }
    let api: Api<EventSink> = Api::namespaced(context.client.clone(), &sink.namespace().unwrap_or_default());
    let patch = json!({
        "apiVersion": EventSink::api_version(&()), "kind": EventSink::kind(&()), "status": status,
    });
    let params = PatchParams::apply(build::OPERATOR).force();
    api.patch_status(&sink.name_any(), &params, &Patch::Apply(patch)).await?;
    Ok(())
}
