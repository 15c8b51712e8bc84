//! What the status says of what was found and done.

use crate::{sink, whole};
use eventsink_crds::sink::{EventSink, EventSinkStatus, HeldPartition, condition, reason};
use eventsink_crds::status::{HoldStatus, PartitionStatus, WorkerStatus};
use eventsink_operator::lag::Topics;
use eventsink_operator::reconcile::Outcome;
use eventsink_operator::reconcile::apply::ApplyError;
use eventsink_operator::reconcile::dereference::Dereferenced;
use eventsink_operator::reconcile::status::{partitions, status};
use eventsink_operator::reconcile::validate::Invalid;
use eventsink_operator::scale::Plan;
use eventsink_operator::workers::Workers;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentCondition, DeploymentSpec, DeploymentStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use kube::core::Status;
use serde_json::json;

fn at(second: i64) -> Time {
    Time(Timestamp::from_second(second).expect("a time"))
}

fn applied(replicas: i32) -> Outcome {
    Outcome::Applied(Plan { replicas, active: true, reason: reason::FOLLOWS, message: "so many".to_owned() })
}

/// So many workers run and are ready, and have said this.
fn running(replicas: i32, answers: Vec<WorkerStatus>) -> Dereferenced {
    let status = DeploymentStatus {
        observed_generation: Some(1),
        replicas: Some(replicas),
        updated_replicas: Some(replicas),
        ready_replicas: Some(replicas),
        ..DeploymentStatus::default()
    };
    let mut deployment = Deployment {
        spec: Some(DeploymentSpec { replicas: Some(replicas), ..DeploymentSpec::default() }),
        status: Some(status),
        ..Deployment::default()
    };
    deployment.metadata.generation = Some(1);
    let workers = Workers { running: usize::try_from(replicas).expect("a number"), answers, waiting: Vec::new() };
    Dereferenced { deployment: Some(deployment), workers, ..whole() }
}

fn worker(partitions: Vec<PartitionStatus>) -> WorkerStatus {
    WorkerStatus {
        ready: true,
        partitions,
        files_written: 3,
        bytes_written: 900,
        dead_lettered: 1,
        ..WorkerStatus::default()
    }
}

fn partition(partition: i32, unread: u64, buffered: u64) -> PartitionStatus {
    PartitionStatus {
        topic: "orders".to_owned(),
        partition,
        unread,
        buffered,
        oldest_unpersisted_ms: 1000 * buffered,
        stage: "reading".to_owned(),
        ..PartitionStatus::default()
    }
}

/// As an earlier status has it.
fn on_hold(partition: i32) -> HeldPartition {
    HeldPartition {
        topic: "orders".to_owned(),
        partition,
        reason: "OffsetLost".to_owned(),
        message: "decide".to_owned(),
    }
}

fn one<'a>(status: &'a EventSinkStatus, type_: &str) -> Option<&'a Condition> {
    status.conditions.iter().find(|condition| condition.type_ == type_)
}

fn told(status: &EventSinkStatus, type_: &str) -> (String, String) {
    let condition = one(status, type_).unwrap_or_else(|| panic!("no {type_} in {status:#?}"));
    (condition.status.clone(), condition.reason.clone())
}

fn pair(status: &str, reason: &str) -> (String, String) {
    (status.to_owned(), reason.to_owned())
}

fn said(sink: &EventSink, found: &Dereferenced, outcome: &Outcome) -> EventSinkStatus {
    status(sink, found, outcome, at(100))
}

#[test]
fn a_sink_whose_workers_are_ready_is_ready_and_says_the_sums() {
    let found = running(2, vec![worker(vec![partition(0, 5, 7)]), worker(vec![partition(1, 10, 2)])]);
    let status = said(&sink(&json!({})), &found, &applied(2));
    assert_eq!(told(&status, condition::READY), pair("True", reason::RUNNING));
    for type_ in [condition::SOURCE_REACHABLE, condition::DESTINATION_REACHABLE, condition::CREDENTIALS_VALID] {
        assert_eq!(told(&status, type_), pair("True", reason::OK));
    }
    assert_eq!(told(&status, condition::SCALING_ACTIVE), pair("True", reason::FOLLOWS));
    assert!(one(&status, condition::RECONCILING).is_none() && one(&status, condition::STALLED).is_none());
    let lag = status.lag.expect("everybody has said");
    assert_eq!((lag.unread, lag.buffered, lag.oldest_unpersisted_seconds, lag.fresh.as_str()), (15, 9, 7, "7s"));
    let files = status.files.expect("everybody has said");
    assert_eq!((files.written, files.bytes, status.dead_lettered), (6, 1800, Some(2)));
    assert_eq!((status.partitions, status.replicas, status.ready_replicas), (Some(2), 2, 2));
    assert_eq!(status.observed_generation, Some(7));
    assert_eq!(
        status.selector.as_deref(),
        Some("app.kubernetes.io/instance=orders,app.kubernetes.io/name=eventsink-worker")
    );
}

#[test]
fn what_is_read_and_not_yet_in_a_file_is_not_unread() {
    let found = running(1, vec![worker(vec![partition(0, 0, 1_000_000)])]);
    let lag = said(&sink(&json!({})), &found, &applied(1)).lag.expect("everybody has said");
    assert_eq!((lag.unread, lag.buffered), (0, 1_000_000));
}

#[test]
fn a_part_of_the_answers_is_no_lag() {
    let found = running(2, vec![worker(vec![partition(0, 5, 0)])]);
    let status = said(&sink(&json!({})), &found, &applied(2));
    assert_eq!((status.lag, status.files, status.dead_lettered), (None, None, None));
    assert_eq!(status.partitions, None);
}

#[test]
fn a_partition_that_nobody_has_or_whose_end_nobody_knows_makes_the_lag_unknown() {
    let lag = |known: i32, change: fn(&mut WorkerStatus)| {
        let mut sink = sink(&json!({}));
        sink.status = Some(EventSinkStatus { partitions: Some(known), ..EventSinkStatus::default() });
        let mut worker = worker(vec![partition(0, 5, 0)]);
        change(&mut worker);
        said(&sink, &running(1, vec![worker]), &applied(1)).lag
    };
    assert!(lag(1, |_| ()).is_some());
    assert_eq!(lag(2, |_| ()), None, "the other belongs to nobody for now");
    assert_eq!(lag(1, |worker| worker.ready = false), None);
    assert_eq!(lag(1, |worker| worker.partitions[0].high_watermark = -1), None);
    let nowhere = |worker: &mut WorkerStatus| {
        (worker.partitions[0].read_position, worker.partitions[0].frontier) = (-1, -1);
    };
    assert_eq!(lag(1, nowhere), None);
}

#[test]
fn a_hold_stays_told_while_its_worker_is_silent() {
    let mut sink = sink(&json!({}));
    sink.status = Some(EventSinkStatus { held: vec![on_hold(0), on_hold(1)], ..EventSinkStatus::default() });
    let names = |found: &Dereferenced, replicas| {
        let status = said(&sink, found, &applied(replicas));
        status.held.iter().map(|held| held.partition).collect::<Vec<_>>()
    };
    assert_eq!(names(&running(2, vec![worker(vec![partition(0, 0, 0)])]), 2), [1], "0 was told anew");
    for stage in ["resolving", "adopting"] {
        let on_its_way = PartitionStatus { stage: stage.to_owned(), ..partition(1, 0, 0) };
        let starts = running(2, vec![worker(vec![partition(0, 0, 0)]), worker(vec![on_its_way])]);
        assert_eq!(names(&starts, 2), [1], "{stage}: who does not know yet says nothing");
    }
    let all = running(2, vec![worker(vec![partition(0, 0, 0)]), worker(vec![partition(1, 0, 0)])]);
    assert!(names(&all, 2).is_empty());
    assert!(names(&running(0, Vec::new()), 0).is_empty(), "nobody waits for anything in a sink that rests");
}

#[test]
fn a_hold_that_nobody_tells_any_more_hides_nothing_and_is_not_taken_for_over() {
    let mut sink = sink(&json!({}));
    sink.status = Some(EventSinkStatus { held: vec![on_hold(0)], ..EventSinkStatus::default() });
    let mut found = running(1, Vec::new());
    let silent = said(&sink, &found, &applied(1));
    assert_eq!(told(&silent, condition::READY), pair("False", reason::PARTITIONS_ON_HOLD));
    assert!(one(&silent, condition::STALLED).is_none() && one(&silent, condition::RECONCILING).is_some());
    found.workers.waiting = vec!["pod x: ImagePullBackOff".to_owned()];
    found.deployment.as_mut().and_then(|it| it.status.as_mut()).expect("a status").ready_replicas = None;
    assert_eq!(told(&said(&sink, &found, &applied(1)), condition::READY), pair("False", reason::WORKERS_NOT_READY));
}

#[test]
fn a_hold_of_a_partition_that_is_no_more_ends() {
    let mut sink = sink(&json!({}));
    sink.status = Some(EventSinkStatus { held: vec![on_hold(11)], partitions: Some(12), ..EventSinkStatus::default() });
    // Made anew with one partition, and the operator cannot ask Kafka.
    let found = running(1, vec![worker(vec![partition(0, 0, 0)])]);
    let first = status(&sink, &found, &applied(1), at(100));
    assert_eq!(told(&first, condition::READY), pair("False", reason::PARTITIONS_ON_HOLD));
    sink.status = Some(first);
    let later = status(&sink, &found, &applied(1), at(500));
    assert_eq!((told(&later, condition::READY), later.held), (pair("True", reason::RUNNING), Vec::new()));
}

#[test]
fn what_is_refused_stalls_and_what_may_pass_does_not() {
    let plan = Plan { replicas: 1, active: true, reason: reason::FOLLOWS, message: String::new() };
    let stalls = |code| {
        let source =
            Box::new(kube::Error::Api(Box::new(Status { code, message: "no".to_owned(), ..Status::default() })));
        let error = ApplyError::Api { kind: "Deployment".to_owned(), name: "orders-worker".to_owned(), source };
        let status = said(&sink(&json!({})), &whole(), &Outcome::NotApplied(plan.clone(), error));
        assert_eq!(told(&status, condition::READY), pair("False", reason::APPLY_FAILED));
        one(&status, condition::STALLED).is_some()
    };
    assert_eq!([400, 403, 409, 422, 429, 500, 503].map(stalls), [true, true, false, true, false, false, false]);
}

#[test]
fn a_pod_that_cannot_be_made_is_told_in_the_words_of_the_platform() {
    let mut found = running(1, Vec::new());
    let status = found.deployment.as_mut().and_then(|deployment| deployment.status.as_mut()).expect("a status");
    (status.replicas, status.ready_replicas) = (None, None);
    status.conditions = Some(vec![DeploymentCondition {
        type_: "ReplicaFailure".to_owned(),
        status: "True".to_owned(),
        reason: Some("FailedCreate".to_owned()),
        message: Some("exceeded quota".to_owned()),
        ..DeploymentCondition::default()
    }]);
    let status = said(&sink(&json!({})), &found, &applied(1));
    assert_eq!(told(&status, condition::READY), pair("False", reason::WORKERS_NOT_READY));
    assert_eq!(
        one(&status, condition::READY).expect("told").message,
        "no pod can be made: FailedCreate: exceeded quota"
    );
}

#[test]
fn held_partitions_come_first_with_topic_number_and_reason() {
    let mut held = partition(3, 5, 0);
    held.hold = Some(HoldStatus {
        reason: "OffsetLost".to_owned(),
        detail: "offsets 5 to 9 are gone: set onLoss".to_owned(),
        ..HoldStatus::default()
    });
    let mut other = held.clone();
    other.partition = 1;
    let mut worker = worker(vec![held, other]);
    worker.store_error = Some("slow".to_owned());
    let status = said(&sink(&json!({})), &running(1, vec![worker]), &applied(1));
    assert_eq!(told(&status, condition::READY), pair("False", reason::PARTITIONS_ON_HOLD));
    assert_eq!(told(&status, condition::STALLED), pair("True", reason::PARTITIONS_ON_HOLD));
    let words = &one(&status, condition::READY).expect("told").message;
    assert_eq!(words, "orders[1] OffsetLost: offsets 5 to 9 are gone: set onLoss (and 1 more)");
    assert_eq!(status.held.iter().map(|held| held.partition).collect::<Vec<_>>(), [1, 3]);
}

#[test]
fn what_a_worker_cannot_reach_is_said_in_its_words() {
    let mut store = worker(Vec::new());
    store.store_error = Some("403 AccessDenied".to_owned());
    let status = said(&sink(&json!({})), &running(1, vec![store]), &applied(1));
    assert_eq!(told(&status, condition::DESTINATION_REACHABLE), pair("False", reason::STORE_ERROR));
    assert_eq!(told(&status, condition::SOURCE_REACHABLE), pair("True", reason::OK));
    assert_eq!(told(&status, condition::READY), pair("False", reason::STORE_ERROR));
    let mut kafka = worker(Vec::new());
    kafka.kafka_error = Some("no broker answers".to_owned());
    let status = said(&sink(&json!({})), &running(1, vec![kafka]), &applied(1));
    assert_eq!(told(&status, condition::SOURCE_REACHABLE), pair("False", reason::KAFKA_ERROR));
}

#[test]
fn without_a_worker_kafka_itself_says_partitions_and_what_is_unread() {
    let topics = |unread| Some(Ok(Topics { partitions: 6, unread }));
    let found = Dereferenced { topics: topics(Some(40)), ..whole() };
    let status = said(&sink(&json!({"replicas": 0})), &found, &applied(0));
    assert_eq!(status.lag.map(|lag| (lag.unread, lag.fresh)), Some((40, "-".to_owned())));
    assert_eq!(status.partitions, Some(6));
    let unknown = Dereferenced { topics: topics(None), ..whole() };
    assert_eq!(said(&sink(&json!({})), &unknown, &applied(0)).lag, None, "unknown is not zero");
    let failed = Dereferenced { topics: Some(Err("no route".to_owned())), ..whole() };
    let status = said(&sink(&json!({})), &failed, &applied(1));
    assert_eq!(told(&status, condition::SOURCE_REACHABLE), pair("Unknown", reason::UNKNOWN));
    assert!(one(&status, condition::SOURCE_REACHABLE).is_some_and(|told| told.message.contains("no route")));
}

#[test]
fn partitions_are_never_fewer_by_a_rebalance_and_fewer_when_kafka_says_so() {
    let old = EventSinkStatus { partitions: Some(9), ..EventSinkStatus::default() };
    let some = running(1, vec![worker(vec![partition(0, 0, 0)])]);
    assert_eq!(partitions(Some(&old), &some), Some(9));
    assert_eq!(partitions(None, &some), Some(1));
    assert_eq!(partitions(Some(&old), &whole()), Some(9));
    let anew = Dereferenced { topics: Some(Ok(Topics { partitions: 2, unread: None })), ..some };
    assert_eq!(partitions(Some(&old), &anew), Some(2));
}

#[test]
fn what_somebody_must_change_stalls_and_leaves_what_runs() {
    let outcome = Outcome::Invalid(Invalid::SecretNotFound { field: "spec.x", secret: "login".to_owned() });
    let mut sink = sink(&json!({}));
    sink.status =
        Some(EventSinkStatus { desired_replicas: Some(2), partitions: Some(4), ..EventSinkStatus::default() });
    let status = said(&sink, &running(2, Vec::new()), &outcome);
    assert_eq!(told(&status, condition::READY), pair("False", reason::SECRET_NOT_FOUND));
    assert_eq!(told(&status, condition::CREDENTIALS_VALID), pair("False", reason::SECRET_NOT_FOUND));
    assert_eq!(told(&status, condition::STALLED), pair("True", reason::SECRET_NOT_FOUND));
    assert_eq!((status.replicas, status.desired_replicas, status.partitions), (2, Some(2), Some(4)));
}

#[test]
fn suspended_and_scaled_to_zero_are_settled_once_the_last_worker_has_gone() {
    let suspended = sink(&json!({"suspend": true}));
    let ends = said(&suspended, &running(1, Vec::new()), &applied(0));
    assert_eq!(told(&ends, condition::READY), pair("False", reason::PROGRESSING));
    assert!(one(&ends, condition::RECONCILING).is_some());
    let rests = said(&suspended, &running(0, Vec::new()), &applied(0));
    assert_eq!(told(&rests, condition::READY), pair("True", reason::SUSPENDED));
    assert!(one(&rests, condition::RECONCILING).is_none());
    let zero = said(&sink(&json!({"replicas": 0})), &running(0, Vec::new()), &applied(0));
    assert_eq!(told(&zero, condition::READY), pair("True", reason::SCALED_TO_ZERO));
}

#[test]
fn pods_of_an_older_template_are_not_ready_yet() {
    let mut found = running(2, vec![worker(Vec::new()), worker(Vec::new())]);
    let status = found.deployment.as_mut().and_then(|deployment| deployment.status.as_mut()).expect("a status");
    status.updated_replicas = Some(1);
    let said = said(&sink(&json!({})), &found, &applied(2));
    assert_eq!(told(&said, condition::READY), pair("False", reason::PROGRESSING));
}

#[test]
fn a_condition_that_stays_keeps_its_time_and_the_same_status_is_the_same_to_the_byte() {
    let found = running(1, vec![worker(vec![partition(0, 0, 0)])]);
    let mut sink = sink(&json!({}));
    let first = status(&sink, &found, &applied(1), at(100));
    sink.status = Some(first.clone());
    let second = status(&sink, &found, &applied(1), at(200));
    assert_eq!(second, first, "else each write would wake the next reconcile");
    let broken = status(&sink, &running(1, Vec::new()), &applied(2), at(300));
    assert_eq!(one(&broken, condition::READY).expect("told").last_transition_time, at(300));
    assert_eq!(one(&broken, condition::CREDENTIALS_VALID).expect("told").last_transition_time, at(100));
}
