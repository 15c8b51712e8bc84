//! One sink, from what is asked for to what is true: dereference (reads), validate and build (pure), apply, status
//! (writes). It does not matter why it runs: it always does all of it.

pub mod apply;
mod broken;
pub mod dereference;
pub mod status;
pub mod validate;

use crate::context::Context;
use crate::lag::Answer;
use crate::scale::{Observed, Place, Plan, Policy};
use crate::{answer, build};
use apply::ApplyError;
use dereference::Dereferenced;
use eventsink_crds::sink::{EventSink, ScalingMode, condition, reason};
use eventsink_crds::status::PartitionStatus;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use kube::core::DeserializeGuard;
use kube::runtime::controller::Action;
use kube::runtime::events::{Event, EventType};
use kube::{Resource as _, ResourceExt as _};
use std::sync::Arc;
use std::time::Duration;
use validate::{Invalid, ValidatedSink};

/// A sink with workers is looked at so often, for its lag and its holds.
const WATCHFUL: Duration = Duration::from_secs(30);
/// In the mode Lag it is looked at so often, to see how fast its workers read.
const SAMPLE: Duration = Duration::from_secs(15);
/// While something is on its way there is news sooner, but not for ever.
const EAGER: Duration = Duration::from_secs(5);
const EAGER_FOR: i64 = 120;
/// Watches can miss something. Not all sinks at the same moment: some seconds more for each, by its uid.
const IDLE: Duration = Duration::from_secs(3600);
const SPREAD: u64 = 600;
/// Nothing tells of a claim that is made at last.
const CLAIM: Duration = Duration::from_secs(15);
/// A failed reconcile is tried again.
const AGAIN: Duration = Duration::from_secs(10);
/// What the API server has refused it will refuse again, until somebody changes the sink (which is seen at once), a quota
/// or a rule (which is not).
const REFUSED: Duration = Duration::from_secs(60);

/// Why a reconcile failed; what somebody must change is no failure but a condition.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What the sink refers to could not be read.
    #[error("cannot read what the sink refers to: {}", answer::words(.0))]
    Dereference(#[source] Box<kube::Error>),
    /// A child could not be put.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// It took too long; a call to the API server hangs.
    #[error("not done within {0:?}")]
    TimedOut(Duration),
    /// The status could not be written.
    #[error("cannot write the status: {}", answer::words(.0))]
    Status(#[source] Box<kube::Error>),
}

impl Error {
    /// Label in metrics.
    #[must_use]
    pub fn stage(&self) -> &'static str {
        match self {
            Self::Dereference(_) => "dereference",
            Self::Apply(_) => "apply",
            Self::TimedOut(_) => "timeout",
            Self::Status(_) => "status",
        }
    }
}

/// What became of a sink.
#[derive(Debug)]
pub enum Outcome {
    /// Somebody must change something first; what runs goes on as it is, unless nothing shall run.
    Invalid(Invalid),
    /// Children could not be put.
    NotApplied(Plan, ApplyError),
    /// Children are as they should be.
    Applied(Plan),
}

impl Outcome {
    /// How many workers there should be, where that could be said.
    #[must_use]
    pub fn plan(&self) -> Option<&Plan> {
        match self {
            Self::Invalid(_) => None,
            Self::NotApplied(plan, _) | Self::Applied(plan) => Some(plan),
        }
    }
}

/// Reconciles one object within its time.
///
/// # Errors
/// When the API server does not answer or refuses; tried again.
pub async fn reconcile(object: Arc<DeserializeGuard<EventSink>>, context: Arc<Context>) -> Result<Action, Error> {
    let work = async {
        match &object.0 {
            Ok(sink) => bring_to_rest(sink, &context).await,
            Err(invalid) => broken::tell(invalid, &context).await,
        }
    };
    tokio::time::timeout(context.patience, work).await.unwrap_or(Err(Error::TimedOut(context.patience)))
}

async fn bring_to_rest(sink: &EventSink, context: &Context) -> Result<Action, Error> {
    if sink.metadata.deletion_timestamp.is_some() {
        // The children go with it by their owner; files, ledger and offsets stay.
        context.forget(&sink.uid().unwrap_or_default());
        return Ok(Action::await_change());
    }
    let mut found =
        dereference::dereference(sink, context).await.map_err(|error| Error::Dereference(Box::new(error)))?;
    let outcome = bring_about(sink, &mut found, context).await;
    if matches!(outcome, Outcome::NotApplied(_, ApplyError::NotLeader)) || !context.leadership.holds() {
        return Ok(Action::requeue(AGAIN));
    }
    let status = status::status(sink, &found, &outcome, Time(Timestamp::now()));
    tell(sink, &status.conditions, context).await;
    status::write(context, sink, &status).await.map_err(|error| Error::Status(Box::new(error)))?;
    let next = match &outcome {
        Outcome::NotApplied(..) => AGAIN,
        Outcome::Applied(_) if is_news(&status.conditions, Timestamp::now()) => EAGER,
        Outcome::Applied(_) if is(&status.conditions, condition::RECONCILING) => WATCHFUL,
        Outcome::Applied(_) if sink.spec.scaling.mode == ScalingMode::Lag && !sink.spec.suspend => SAMPLE,
        Outcome::Applied(plan) if plan.replicas > 0 => WATCHFUL,
        Outcome::Invalid(Invalid::ClaimNotFound(_)) => CLAIM,
        Outcome::Invalid(_) if status.replicas > 0 || found.deployment.as_ref().is_some_and(wants_workers) => WATCHFUL,
        _ => IDLE + Duration::from_secs(spread(&sink.uid().unwrap_or_default())),
    };
    if let Outcome::NotApplied(_, error @ ApplyError::Api { .. }) = outcome {
        return Err(error.into());
    }
    Ok(Action::requeue(next))
}

/// Seconds, the same for one sink always.
fn spread(uid: &str) -> u64 {
    uid.bytes().fold(0_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into())) % SPREAD
}

/// After a failure.
#[must_use]
pub fn try_again(sink: Arc<DeserializeGuard<EventSink>>, error: &Error, context: Arc<Context>) -> Action {
    tracing::warn!(sink = %format!("{}/{}", sink.namespace().unwrap_or_default(), sink.name_any()), %error, "reconcile failed, trying again");
    context.metrics.failed(error.stage());
    match error {
        Error::Apply(error) if error.is_refusal() => Action::requeue(REFUSED),
        _ => Action::requeue(AGAIN),
    }
}

async fn bring_about(sink: &EventSink, found: &mut Dereferenced, context: &Context) -> Outcome {
    let valid = match validate::validate(sink, found, &context.worker_image) {
        Ok(valid) => valid,
        Err(invalid) => {
            stop_if_it_rests(sink, found, context).await;
            return Outcome::Invalid(invalid);
        }
    };
    let policy = Policy::of(&sink.spec, valid.alone);
    found.topics = topics(sink, found, &valid, context);
    let partitions = status::partitions(sink.status.as_ref(), found);
    let observed = Observed {
        current: found.deployment.as_ref().and_then(|deployment| deployment.spec.as_ref()?.replicas),
        partitions,
        places: places(found, partitions),
    };
    let plan = context.scaling.plan(&valid.owner.uid, &policy, &observed);
    let children = build::children(&valid, plan.replicas, context.optional);
    match apply::apply(context, &valid.namespace, &valid.name, &children).await {
        Ok(deployment) => {
            // What is ready is judged by the generation that this has made.
            found.deployment = Some(deployment);
            Outcome::Applied(plan)
        }
        Err(error) => Outcome::NotApplied(plan, error),
    }
}

fn wants_workers(deployment: &Deployment) -> bool {
    deployment.spec.as_ref().is_some_and(|spec| spec.replicas != Some(0))
}

/// Who suspends a sink waits for no mended Secret.
async fn stop_if_it_rests(sink: &EventSink, found: &mut Dereferenced, context: &Context) {
    let uid = sink.uid().unwrap_or_default();
    // Nobody asks with credentials that were taken away.
    context.kafka.leave(&uid);
    let rests = Policy::of(&sink.spec, false).rests();
    let ours = |deployment: &&Deployment| deployment.owner_references().iter().any(|owner| owner.uid == uid);
    let Some(deployment) = found.deployment.as_ref().filter(|it| rests && wants_workers(it)).filter(ours) else {
        return;
    };
    match apply::stop(context, &sink.namespace().unwrap_or_default(), deployment).await {
        Ok(deployment) => found.deployment = Some(deployment),
        // Tried again with the next look, which is soon as long as workers are wanted.
        Err(error) => {
            context.metrics.failed("apply");
            tracing::warn!(sink = sink.name_any(), %error, "the workers of a sink that rests still run");
        }
    }
}

/// What Kafka says, while no worker can or the workers know of fewer partitions than somebody once saw.
fn topics(sink: &EventSink, found: &Dereferenced, valid: &ValidatedSink, context: &Context) -> Option<Answer> {
    let workers = &found.workers;
    let seen = sink.status.as_ref().and_then(|status| status.partitions);
    if valid.suspend || workers.all_ready() && seen.is_none_or(|seen| seen <= workers.partitions()) {
        context.kafka.leave(&valid.owner.uid);
        return None;
    }
    context.kafka.look(valid)
}

/// How far each partition is, once every worker is ready and has said, and somebody has each partition.
fn places(found: &Dereferenced, partitions: Option<i32>) -> Option<Vec<Place>> {
    let status = found.deployment.as_ref()?.status.as_ref()?;
    let wanted = found.deployment.as_ref()?.spec.as_ref()?.replicas?;
    let answers = &found.workers.answers;
    let all = found.workers.all_answered() && status.ready_replicas == Some(wanted) && answers.len() == wanted as usize;
    let settled = all && found.workers.have_all(partitions) && found.workers.know_unread();
    let settled = settled && found.workers.each_partition().all(|at| at.read_position >= 0 || at.hold.is_some());
    let number = |offset: u64| i64::try_from(offset).unwrap_or(i64::MAX);
    settled.then(|| {
        let each =
            answers.iter().enumerate().flat_map(|(worker, said)| said.partitions.iter().map(move |at| (worker, at)));
        let place = |(worker, at): (usize, &PartitionStatus)| Place {
            partition: (at.topic.clone(), at.partition),
            worker,
            position: at.read_position,
            high: at.high_watermark,
            unread: number(at.unread),
            held: at.hold.is_some(),
        };
        each.map(place).collect()
    })
}

fn is(conditions: &[Condition], type_: &str) -> bool {
    conditions.iter().any(|condition| condition.type_ == type_ && condition.status == "True")
}

/// Whether something is on its way and not long so.
fn is_news(conditions: &[Condition], now: Timestamp) -> bool {
    let since = conditions.iter().find(|found| found.type_ == condition::RECONCILING);
    since.is_some_and(|since| now.duration_since(since.last_transition_time.0).as_secs() < EAGER_FOR)
}

/// Tells people of a change of Ready, once; repeats become a series.
async fn tell(sink: &EventSink, conditions: &[Condition], context: &Context) {
    let find = |conditions: &[Condition]| {
        conditions.iter().find(|condition| condition.type_ == condition::READY).map(|ready| ready.reason.clone())
    };
    let old = sink.status.as_ref().and_then(|status| find(&status.conditions));
    let Some(ready) = conditions.iter().find(|found| found.type_ == condition::READY) else { return };
    if old.as_ref() == Some(&ready.reason) {
        return;
    }
    let quiet = ready.status == "True" || ready.reason == reason::PROGRESSING;
    let event = Event {
        type_: if quiet { EventType::Normal } else { EventType::Warning },
        reason: ready.reason.clone(),
        // The API takes a kilobyte.
        note: Some(ready.message.chars().take(900).collect()),
        action: "Reconcile".to_owned(),
        secondary: None,
    };
    if let Err(error) = context.recorder.publish(&event, &sink.object_ref(&())).await {
        tracing::warn!(%error, "cannot publish an event");
    }
}
