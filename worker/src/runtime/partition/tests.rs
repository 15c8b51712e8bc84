//! A partition as its lane drives it, over a broker in the process and a store on disk.

use super::*;
use crate::cut::Ranges;
use crate::events::{Leniency, NonCloudEvents};
use crate::files::{Encoders, PlannedFile};
use crate::kafka::batch::Batch;
use crate::metrics::Metrics;
use crate::runtime::lane::Message;
use crate::runtime::session::tests::{Cluster, session};
use crate::runtime::{Budget, mapping};
use crate::store::Gate;
use eventsink_crds::settings::Settings;
use rdkafka::error::RDKafkaErrorCode;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, OnceLock};
use tokio::sync::Semaphore;

const BUDGET: usize = 64 << 20;

/// A partition that was just assigned, and what its lane hears.
struct Lane {
    partition: Partition,
    messages: Receiver<Message>,
    orders: Receiver<Command>,
    _cluster: Cluster,
    _folder: tempfile::TempDir,
}

impl Lane {
    /// Cuts close after five records, and never by time.
    async fn new() -> Self {
        Self::within(BUDGET).await
    }

    async fn within(limit: usize) -> Self {
        let (cluster, folder) = (Cluster::new(1).unwrap(), tempfile::tempdir().unwrap());
        cluster.create_topic("t", 1, 1).unwrap();
        let rotation = serde_json::json!({"max_records": 5, "max_age": "1h", "max_idle": "1h"});
        let settings = Settings { rotation: serde_json::from_value(rotation).unwrap(), ..Settings::default() };
        let session = session(&cluster, folder.path()).await;
        let (commands, orders) = channel();
        let (sender, messages) = channel();
        let shared = Arc::new(Shared {
            uploader: session.ledger().clone(),
            session,
            rules: Arc::new(mapping::rules(&settings)),
            encoding: mapping::encoding(&settings, limit),
            encoders: Encoders::within(limit / 4),
            orders: mapping::orders(&settings, limit),
            dead_letters: None,
            budget: Arc::new(Budget::new(limit)),
            gate: Gate::new(mapping::breaker(&settings)),
            metrics: Arc::new(Metrics::new("s").unwrap()),
            traces: None,
            started: Instant::now(),
            commands,
            io: tokio::runtime::Handle::current(),
            uploads: Arc::new(Semaphore::new(1)),
            lanes: OnceLock::from(vec![sender]),
            status: Mutex::new(HashMap::new()),
        });
        let at = TopicPartition { topic: "t".into(), partition: 0 };
        let partition = Partition::new(at, Arc::default(), shared);
        Self { partition, messages, orders, _cluster: cluster, _folder: folder }
    }

    /// Passes on what was waited for, until something is true.
    fn serve_until(&mut self, what: &str, found: impl Fn(&Partition) -> bool) {
        let begun = Instant::now();
        while !found(&self.partition) {
            assert!(begun.elapsed() < Duration::from_secs(60), "{what}: {:?}", self.partition.status());
            if let Ok(Message::Done(_, era, done)) = self.messages.recv_timeout(Duration::from_millis(20)) {
                self.partition.done(era, *done);
            }
            self.partition.tick();
        }
    }

    fn reads(&mut self, offsets: Range<i64>) {
        let (generation, batch) = (self.partition.generation, Batch::of(offsets));
        self.partition.shared.budget.add_batch(batch.memory());
        self.partition.deliver(Delivery::Records { generation, batch });
    }

    fn fails(&mut self, code: RDKafkaErrorCode) {
        let generation = self.partition.generation;
        self.partition.deliver(Delivery::Fault { generation, code, text: "words".to_owned() });
    }

    /// Whether the poll thread fetches the partition, by the last order of that kind.
    fn fetches(&self) -> Option<bool> {
        let order = |command| match command {
            Command::Pause(_) => Some(false),
            Command::Resume(_) | Command::Seek { .. } => Some(true),
            _ => None,
        };
        self.orders.try_iter().filter_map(order).last()
    }
}

/// The library goes on behind a damaged batch. A cut is in flight and the next one is full, so that what came before the
/// error waits, and so does what came after it.
#[tokio::test(flavor = "multi_thread")]
async fn an_error_is_met_behind_the_records_before_it_and_in_front_of_those_after_it() {
    let mut lane = Lane::new().await;
    lane.serve_until("it reads", |partition| partition.status().stage == "reading");
    lane.reads(0..12);
    lane.fails(RDKafkaErrorCode::BadMessage);
    lane.reads(13..20);
    assert_eq!(lane.partition.status().read_position, 10, "the rest waits");
    lane.serve_until("it holds", |partition| partition.status().hold.is_some());
    let status = lane.partition.status();
    let hold = status.hold.as_ref().unwrap();
    assert_eq!((&*hold.reason, hold.from, status.frontier), ("PartitionStalled", 12, 12));
    assert_eq!(lane.fetches(), Some(false));
}

/// What is large for the budget is decoded by one lane at a time, and closed so too: by one that decodes nothing then.
#[test]
fn a_cut_that_a_large_batch_fills_is_closed_within_it() {
    let (sender, done) = channel();
    std::thread::spawn(move || {
        tokio::runtime::Runtime::new().unwrap().block_on(async move {
            let mut lane = Lane::within(16 << 10).await;
            lane.serve_until("it reads", |partition| partition.status().stage == "reading");
            lane.reads(0..12);
            sender.send(lane.partition.status().read_position)
        })
    });
    assert_eq!(done.recv_timeout(Duration::from_secs(60)), Ok(10), "the lane waits for itself");
}

/// The library tries again by itself and loses nothing: neither may the partition.
#[tokio::test(flavor = "multi_thread")]
async fn an_error_that_the_library_mends_costs_no_record() {
    let mut lane = Lane::new().await;
    lane.serve_until("it reads", |partition| partition.status().stage == "reading");
    lane.reads(0..12);
    lane.fails(RDKafkaErrorCode::NotLeaderForPartition);
    lane.reads(12..20);
    lane.serve_until("three cuts are finished", |partition| partition.status().frontier == 15);
    let status = lane.partition.status();
    assert_eq!((status.read_position, status.buffered, status.hold), (20, 5, None));
}

#[test]
fn records_are_decoded_as_the_rules_of_their_cut_say() {
    let lenient = [Leniency::ExtensionNames].into_iter().collect();
    let rules = Rules { non_cloud_events: NonCloudEvents::Wrap, lenient, ..Rules::default() };
    assert_eq!(policy(&rules), Policy { non_cloud_events: NonCloudEvents::Wrap, lenient });
    assert_eq!(policy(&Rules::default()), Policy::default());
}

#[test]
fn only_bodies_of_dead_letters_that_are_still_to_be_copied_outlive_the_put_of_their_files() {
    let file = |kind| PlannedFile { key: "k".into(), kind, rows: 1, first: 0, last: 0, digest: "d".into() };
    let manifest = Manifest { files: vec![file(FileKind::Rows), file(FileKind::DeadLetters)], ..manifest() };
    let bodies = vec![Bytes::from_static(b"rows"), Bytes::from_static(b"dead letters")];
    let left = |copies, from_files| {
        Flight { manifest: manifest.clone(), bodies: bodies.clone(), from_files }.drop_bodies(copies)
    };
    assert_eq!([left(true, false), left(false, false), left(true, true)], [12, 0, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_copied_from_the_files_is_not_kept_in_memory() {
    let mut lane = Lane::new().await;
    let file =
        PlannedFile { key: "k".into(), kind: FileKind::DeadLetters, rows: 1, first: 0, last: 0, digest: "d".into() };
    let manifest = Manifest { files: vec![file], ..manifest() };
    let bodies = vec![Bytes::from_static(b"dead letters")];
    let partition = &mut lane.partition;
    partition.flight = Some(Flight { manifest, bodies, from_files: false });
    partition.shared.budget.change(&mut partition.held_bodies, 12);
    partition.copy_from_files();
    assert_eq!((partition.shared.budget.used(), partition.held_bodies), (0, 0));
    assert!(partition.flight.as_ref().is_some_and(|flight| flight.from_files && flight.bodies[0].is_empty()));
}

/// Fetching stops when the budget is gone and goes on with room; between the two it may stand, and only a cut that is
/// read again makes room then.
#[tokio::test(flavor = "multi_thread")]
async fn a_cut_that_is_read_again_insists_wherever_reading_may_stand_for_want_of_memory() {
    let mut lane = Lane::new().await;
    lane.partition.replay =
        Some(Replay { manifest: manifest(), missing: Missing::default(), generation: 0, moved: (0, Now::ZERO) });
    let insists = |lane: &mut Lane| {
        lane.partition.insist_on_replay();
        lane.orders
            .try_iter()
            .find_map(|order| if let Command::Insist(_, insists) = order { Some(insists) } else { None })
    };
    assert_eq!(insists(&mut lane), None, "there is room");
    lane.partition.shared.budget.add(BUDGET / 100 * 60);
    assert!(lane.partition.shared.budget.is_tight() && !lane.partition.shared.budget.is_gone());
    lane.partition.store_away = true;
    assert_eq!(insists(&mut lane), None, "what has been read could not leave memory");
    lane.partition.store_away = false;
    assert_eq!(insists(&mut lane), Some(true));
    lane.partition.replay = None;
    assert_eq!(insists(&mut lane), Some(false), "it has been read");
}

fn manifest() -> Manifest {
    Manifest {
        version: 1,
        ledger: String::new(),
        topic: "t".into(),
        partition: 0,
        from: 0,
        to: 2,
        epoch: 1,
        prev: String::new(),
        nonce: "n".into(),
        rules: String::new(),
        decoder_version: 1,
        files: vec![],
        dead: Ranges::default(),
        filtered: Ranges::default(),
        absent: Ranges::default(),
        lost: Ranges::default(),
    }
}
