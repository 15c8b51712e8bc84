//! Start and stop: store, Kafka and ledger are opened with patience, then the threads run until they are told to stop.

use super::lane::{self, Message, Shared};
use super::session::Session;
use super::{Budget, mapping};
use crate::cut::manifest::{MANIFEST_VERSION, Owner};
use crate::files::Encoders;
use crate::http::Surface;
use crate::kafka::TopicPartition;
use crate::kafka::client::{self, Context};
use crate::kafka::connect::{Cluster, ConnectError, connect};
use crate::kafka::poll::{Command, Delivery, Fatal, Poller, Pulse};
use crate::kafka::raw;
use crate::store::ledger::{Ledger, LedgerError, OnFault};
use crate::store::{Gate, Guarantee, Store, StoreError};
use crate::traces::Traces;
use eventsink_crds::settings::Settings;
use eventsink_crds::status::WorkerStatus;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, oneshot};
use tracing::{error, info, warn};

/// How long the cluster may take to answer one question at start.
const CONNECT: Duration = Duration::from_secs(10);
/// The same obstacle is logged again after this long.
const SAY_AGAIN: Duration = Duration::from_secs(60);
/// Name of the probe object: always the same, since nothing may be deleted and restarts must not pile objects up.
const PROBE: &str = "start";
/// Uploads at a time.
const UPLOADS: usize = 8;
/// Lanes at most; beyond a few, the poll thread is what limits.
const LANES: usize = 8;

/// Why a worker does not start, or ends by itself.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Settings that only opening could show to be wrong.
    #[error("settings: {0}")]
    Settings(String),
    /// The prefix may not be used.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The store would overwrite.
    #[error(
        "CreateOnlyUnsupported: {0} overwrote an object that it was told only to create: use a store with conditional \
         writes, or set storage.allow_at_least_once to true and run one worker alone on this prefix"
    )]
    CreateOnlyUnsupported(String),
    /// The Kafka client gave up.
    #[error(transparent)]
    Kafka(#[from] Fatal),
    /// The system refused a thread.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// What settings do not say.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Take every partition of every topic without a group: two such workers own the same partitions.
    /// Only tests do that.
    pub assign_all: bool,
    /// Spans, when they are wanted.
    pub traces: Option<Arc<Traces>>,
}

/// A worker at work.
pub struct Running {
    shared: Arc<Shared>,
    pulse: Arc<Pulse>,
    budget: Arc<Budget>,
    guarantee: &'static str,
    lanes: Vec<JoinHandle<()>>,
    poller: Mutex<Option<JoinHandle<()>>>,
    probing: tokio::task::AbortHandle,
}

struct Threads {
    ended: oneshot::Receiver<Result<(), Fatal>>,
}

/// Opens everything, retrying what may heal, and starts the threads. The receiver tells how the poll thread ended.
///
/// # Errors
/// Settings that cannot work, a prefix of another sink, a store without create-only writes.
pub async fn start(
    settings: Arc<Settings>,
    surface: &Arc<Surface>,
    options: Options,
) -> Result<(Arc<Running>, oneshot::Receiver<Result<(), Fatal>>), StartError> {
    let limit = super::limit(settings.memory.budget.map(|size| size.as_u64()));
    raw::heap::keep_small(mapping::prefetch(limit));
    let store = Store::open(&mapping::store_options(&settings)).map_err(|e| StartError::Settings(e.to_string()))?;
    let gate = Gate::new(mapping::breaker(&settings));
    surface.watches(gate.clone());
    let guarantee = probe(&store, &gate, &settings, surface).await?;
    let (consumer, cluster) = reach_kafka(&settings, surface, limit).await?;
    let metrics = Arc::clone(&surface.metrics);
    let owner = Owner {
        version: MANIFEST_VERSION,
        ledger: String::new(),
        cluster_id: cluster.id.clone(),
        sink: settings.sink_name().to_owned(),
        group: settings.kafka.consumer.group_id.clone(),
    };
    surface.waiting(format!("waiting for the ledger at {}", store.describe()));
    let ledger = Ledger::open(store, owner, gate.clone(), mapping::backoff(&settings), on_fault(surface)).await?;
    let rules = Arc::new(mapping::rules(&settings));
    ledger.keep_rules(&rules).await;
    info!(ledger = ledger.owner().ledger, place = ledger.store().describe(), guarantee, "ledger open");
    let (probing, (commands, orders)) = (ledger.keep_probing(), channel());
    let budget = Arc::new(Budget::new(limit));
    budget.add(mapping::reserved(&settings, limit));
    let shared = Arc::new(Shared {
        uploader: ledger.told_by(on_upload_fault(surface)),
        session: Arc::new(Session::new(Arc::clone(&consumer), ledger, Arc::clone(&settings))),
        rules,
        encoding: mapping::encoding(&settings, limit),
        encoders: Encoders::within(limit / 4),
        orders: mapping::orders(&settings, limit),
        dead_letters: mapping::dead_letters(&settings, limit, metrics.copied.clone()),
        budget: Arc::clone(&budget),
        gate,
        metrics,
        traces: options.traces.clone(),
        started: surface.started,
        commands,
        io: tokio::runtime::Handle::current(),
        uploads: Arc::new(Semaphore::new(UPLOADS)),
        lanes: OnceLock::new(),
        status: Mutex::new(HashMap::new()),
    });
    let lanes = start_lanes(&shared)?;
    let deliver = {
        let shared = Arc::clone(&shared);
        Box::new(move |at: &TopicPartition, delivery: Delivery| {
            shared.route(at, Message::Kafka(at.clone(), delivery));
        })
    };
    let common = (Arc::clone(&budget), Arc::clone(&surface.pulse), surface.started);
    let poller = Poller::new(Arc::clone(&consumer), orders, deliver, common, settings.shutdown.deadline.as_duration());
    let (poller, threads) = start_poller(poller, &consumer, &settings, &cluster, &options)?;
    let pulse = Arc::clone(&surface.pulse);
    let running =
        Arc::new(Running { shared, pulse, budget, guarantee, lanes, poller: Mutex::new(Some(poller)), probing });
    surface.running(Arc::clone(&running));
    Ok((running, threads.ended))
}

fn on_fault(surface: &Arc<Surface>) -> OnFault {
    let surface = Arc::clone(surface);
    Arc::new(move |error: &StoreError| surface.store_failed(error))
}

fn on_upload_fault(surface: &Arc<Surface>) -> OnFault {
    let surface = Arc::clone(surface);
    Arc::new(move |error: &StoreError| {
        surface.metrics.upload_retries.with_label_values(&[error.kind().as_str()]).inc();
        surface.store_failed(error);
    })
}

/// Put, get, list and create-only, until the store has answered all of them.
async fn probe(
    store: &Store,
    gate: &Gate,
    settings: &Settings,
    surface: &Arc<Surface>,
) -> Result<&'static str, StartError> {
    surface.waiting(format!("waiting for storage at {}", store.describe()));
    let fault = on_fault(surface);
    let ask = || store.probe(PROBE);
    let found = crate::store::retry(gate, mapping::backoff(settings), "probe", ask, |error| fault(error)).await;
    surface.store_works();
    match found {
        Guarantee::CreateOnly => Ok("exactly-once-in-a-file"),
        Guarantee::Overwrites if settings.storage.allow_at_least_once => {
            warn!("this store overwrites objects: at-least-once only, and this worker must be alone on its prefix");
            Ok("at-least-once")
        }
        Guarantee::Overwrites => Err(StartError::CreateOnlyUnsupported(store.describe())),
    }
}

/// Connects until the cluster lets us in and has the topics. Each try is a new client.
async fn reach_kafka(
    settings: &Arc<Settings>,
    surface: &Arc<Surface>,
    budget: usize,
) -> Result<(Arc<BaseConsumer<Context>>, Cluster), StartError> {
    let mut failures = 0;
    let mut said = None;
    let prefetch = mapping::prefetch(budget);
    client::warn_of_caps(&settings.kafka, prefetch);
    surface.waiting(format!("waiting for kafka at {}", settings.kafka.bootstrap_servers.join(",")));
    loop {
        let consumer = client::consumer(&settings.kafka, prefetch);
        let consumer = consumer.map_err(|e| StartError::Settings(format!("kafka: {e}")))?;
        let (asked, wanted) = (Arc::clone(&consumer), Arc::clone(settings));
        let answer = tokio::task::spawn_blocking(move || {
            connect(&asked, &wanted.kafka.bootstrap_servers, &wanted.kafka.consumer.topics, CONNECT)
        });
        let error = match answer.await {
            Ok(Ok(cluster)) => return Ok((consumer, cluster)),
            Ok(Err(error)) => error,
            Err(error) => return Err(StartError::Thread(error.into())),
        };
        let wait = mapping::backoff(settings).delay(failures, rand::random(), None);
        failures += 1;
        surface.kafka_failed(error.to_string());
        // One message for one cause, not one for each try.
        if said
            .as_ref()
            .is_none_or(|(like, at): &(ConnectError, Instant)| !error.is_like(like) || at.elapsed() >= SAY_AGAIN)
        {
            warn!(%error, "waiting for kafka");
            said = Some((error, Instant::now()));
        }
        // Dropping a consumer waits for its threads.
        let closed = tokio::task::spawn_blocking(move || drop(consumer));
        tokio::time::sleep(wait).await;
        closed.await.unwrap_or_default();
    }
}

/// How many lanes a worker has on this machine.
#[must_use]
pub fn lanes() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(LANES)
}

fn start_lanes(shared: &Arc<Shared>) -> std::io::Result<Vec<JoinHandle<()>>> {
    let count = lanes();
    let mut senders: Vec<Sender<Message>> = Vec::with_capacity(count);
    let mut lanes = Vec::with_capacity(count);
    for at in 0..count {
        let (sender, messages) = channel();
        senders.push(sender);
        let shared = Arc::clone(shared);
        let lane = std::thread::Builder::new().name(format!("lane-{at}"));
        lanes.push(lane.spawn(move || lane::run(&shared, &messages))?);
    }
    let set = shared.lanes.set(senders);
    debug_assert!(set.is_ok(), "lanes are started once");
    Ok(lanes)
}

fn start_poller(
    poller: Poller,
    consumer: &Arc<BaseConsumer<Context>>,
    settings: &Settings,
    cluster: &Cluster,
    options: &Options,
) -> Result<(JoinHandle<()>, Threads), StartError> {
    let mut assign = Vec::new();
    if options.assign_all {
        for (topic, partitions) in &cluster.topics {
            let topic: Arc<str> = topic.as_str().into();
            let count = i32::try_from(*partitions).unwrap_or(i32::MAX);
            assign.extend((0..count).map(|partition| TopicPartition { topic: Arc::clone(&topic), partition }));
        }
    } else {
        let topics: Vec<&str> = settings.kafka.consumer.topics.iter().map(String::as_str).collect();
        consumer.subscribe(&topics).map_err(|e| StartError::Settings(format!("kafka: {e}")))?;
    }
    let (tell, ended) = oneshot::channel();
    let thread = std::thread::Builder::new().name("poll".to_owned()).spawn(move || {
        let result = poller.run(assign);
        if let Err(error) = &result {
            error!(%error, "poll thread ended");
        }
        // Nobody listens any more when the process is already going down.
        let _ = tell.send(result);
    })?;
    Ok((thread, Threads { ended }))
}

impl Running {
    /// Asks the poll thread to leave the group; it finishes what the deadline allows.
    pub fn stop(&self) {
        self.shared.command(Command::Shutdown);
    }

    /// Waits for all threads. Blocks.
    pub fn join(&self) {
        let poller = self.poller.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(poller) = poller
            && poller.join().is_err()
        {
            error!("the poll thread panicked");
        }
        for lane in self.shared.lanes.get().map_or(&[][..], Vec::as_slice) {
            // A lane that has ended is as good as stopped.
            let _ = lane.send(Message::Stop);
        }
        while self.lanes.iter().any(|lane| !lane.is_finished()) {
            std::thread::sleep(Duration::from_millis(5));
        }
        self.probing.abort();
    }

    /// True while every lane works: a lane that panicked holds partitions that nobody serves.
    pub fn lanes_work(&self) -> bool {
        self.lanes.iter().all(|lane| !lane.is_finished())
    }

    /// What `/status` shows of the process and its partitions.
    pub fn status(&self) -> WorkerStatus {
        let mut partitions: Vec<_> =
            self.shared.status.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        partitions.sort_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
        let owner = self.shared.session.ledger().owner();
        WorkerStatus {
            sink: owner.sink.clone(),
            ledger: owner.ledger.clone(),
            guarantee: self.guarantee.to_owned(),
            ready: self.pulse.joined.load(Ordering::Relaxed),
            partitions,
            breaker: self.shared.gate.view().state,
            kafka_error: self.pulse.fault(),
            memory_used: self.budget.used() as u64,
            memory_budget: self.budget.limit() as u64,
            ..WorkerStatus::default()
        }
    }
}
