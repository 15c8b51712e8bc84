//! A lane: one thread that owns some partitions, so that no state of a partition is shared or locked.
//! Decoding and encoding happen here; nothing here waits for a broker or a store.

use super::Budget;
use super::partition::Partition;
use super::session::{Resolved, Session};
use crate::cut::{CommitNote, Input, Manifest, Now, Orders, PutOutcome};
use crate::files::{Close, CutWriter, EncodeError, EncodedFile, Encoders, Encoding, Identity, PlannedFile, Rules};
use crate::kafka::TopicPartition;
use crate::kafka::dead_letters::DeadLetters;
use crate::kafka::poll::{Command, Delivery};
use crate::metrics::Metrics;
use crate::store::Gate;
use crate::store::ledger::{Ledger, LedgerError};
use crate::traces::Traces;
use bytes::Bytes;
use eventsink_crds::status::PartitionStatus;
use rdkafka::error::RDKafkaErrorCode;
use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;

/// Time passes for the partitions this often.
const TICK: Duration = Duration::from_millis(100);
/// A cut that frees less than this is not closed for want of memory, unless many such come near to stopping the reading.
const WORTH_CLOSING: usize = 1 << 20;

/// What a lane is told.
pub enum Message {
    /// By the poll thread.
    Kafka(TopicPartition, Delivery),
    /// By a task of the partition's own, with the era in which it was begun.
    Done(TopicPartition, u64, Box<Done>),
    /// Nothing more will come.
    Stop,
}

/// The result of something that had to wait.
pub enum Done {
    /// Tip, genesis and committed offset.
    Resolved(Resolved),
    /// The topic has another id than the partition was resolved for.
    TopicMadeAgain,
    /// The put of a manifest.
    ManifestPut(Result<PutOutcome, LedgerError>),
    /// The puts of files.
    FilesPut(Result<(), String>),
    /// The copy of dead letters.
    DeadCopied(Result<(), String>),
    /// Which files of an adopted cut are missing, and if some are its rules when they are not ours.
    FilesChecked {
        /// Places in the manifest.
        result: Result<Vec<usize>, String>,
        /// Rules of another digest.
        rules: Option<Result<Rules, LedgerError>>,
    },
    /// First and next offset of the log.
    LogRange {
        /// Read generation that asked.
        generation: u64,
        /// First offset.
        low: i64,
        /// Next offset.
        high: i64,
    },
    /// The log, asked for while nothing is fetched.
    Watermarks {
        /// First offset.
        low: i64,
        /// Next offset.
        high: i64,
    },
}

/// What all lanes share.
pub struct Shared {
    /// Kafka and ledger questions.
    pub session: Arc<Session>,
    /// Rules in force.
    pub rules: Arc<Rules>,
    /// How rows become bytes.
    pub encoding: Encoding,
    /// How many open files may have an encoder.
    pub encoders: Arc<Encoders>,
    /// What the machines are told.
    pub orders: Orders,
    /// The dead-letter topic, if there is one.
    pub dead_letters: Option<Arc<DeadLetters>>,
    /// Byte budget.
    pub budget: Arc<Budget>,
    /// The breaker of the store.
    pub gate: Gate,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Spans, when they are wanted.
    pub traces: Option<Arc<Traces>>,
    /// Start of the process; the zero of the machine's time.
    pub started: Instant,
    /// To the poll thread.
    pub commands: Sender<Command>,
    /// Runs what waits.
    pub io: tokio::runtime::Handle,
    /// Uploads at a time.
    pub uploads: Arc<Semaphore>,
    /// The ledger as uploads use it, which counts what fails there.
    pub uploader: Ledger,
    /// To the lanes; set once, before the first delivery.
    pub lanes: OnceLock<Vec<Sender<Message>>>,
    /// What `/status` shows of each partition.
    pub status: Mutex<HashMap<TopicPartition, PartitionStatus>>,
}

impl Shared {
    /// Monotonic time since the process started.
    pub fn now(&self) -> Now {
        self.started.elapsed()
    }

    pub(super) fn ledger_id(&self) -> &str {
        &self.session.ledger().owner().ledger
    }

    pub(super) fn identity(&self, at: &TopicPartition, topic_id: String) -> Arc<Identity> {
        let owner = self.session.ledger().owner();
        Arc::new(Identity {
            ledger: owner.ledger.clone(),
            sink: owner.sink.clone(),
            cluster_id: owner.cluster_id.clone(),
            topic: at.topic.to_string(),
            topic_id,
            partition: at.partition,
        })
    }

    pub(super) fn note(&self, nonce: String) -> String {
        CommitNote { ledger: self.ledger_id().to_owned(), nonce }.to_text()
    }

    /// Tells the poll thread; once it has ended there is nothing left to tell.
    pub(super) fn command(&self, command: Command) {
        let _ = self.commands.send(command);
    }

    /// Sends to the lane that owns the partition.
    pub fn route(&self, at: &TopicPartition, message: Message) {
        let lanes = self.lanes.get().map_or(&[][..], Vec::as_slice);
        let Some(lane) = lanes.get(lane_of(at, lanes.len())) else { return };
        // A lane that has ended needs no more messages.
        let _ = lane.send(message);
    }

    pub(super) fn spawn(
        self: &Arc<Self>,
        at: TopicPartition,
        era: u64,
        task: impl Future<Output = Done> + Send + 'static,
    ) -> AbortHandle {
        let shared = Arc::clone(self);
        let task = async move {
            let done = task.await;
            shared.route(&at, Message::Done(at.clone(), era, Box::new(done)));
        };
        self.io.spawn(task).abort_handle()
    }

    pub(super) fn detach(&self, task: impl Future<Output = ()> + Send + 'static) {
        drop(self.io.spawn(task));
    }

    pub(super) fn count_commit(&self, error: Option<RDKafkaErrorCode>) {
        match error {
            Some(code) => self.metrics.commit_failures.with_label_values(&[&format!("{code:?}")]).inc(),
            None => {
                let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
                self.metrics.last_commit.set(since.as_secs_f64());
            }
        }
    }

    /// Ends the files of a cut.
    pub(super) fn close(&self, writer: CutWriter, close: &Close) -> Result<Vec<EncodedFile>, EncodeError> {
        self.metrics.undated.inc_by(writer.undated());
        self.metrics.overflowed.inc_by(writer.overflowed().into());
        let _alone = self.budget.alone(writer.memory());
        let begun = Instant::now();
        let files = writer.finish(close);
        self.metrics.encode_seconds.with_label_values(&["close"]).observe(begun.elapsed().as_secs_f64());
        files
    }

    /// Puts one planned file, a few at a time over all partitions.
    pub(super) async fn put_file(&self, cut: &Manifest, plan: &PlannedFile, body: &Bytes) -> Result<(), String> {
        // The semaphore is never closed.
        let _permit = self.uploads.acquire().await;
        let begun = Instant::now();
        let result = self.uploader.put_file(cut, plan, body).await;
        let outcome = if result.is_ok() { "ok" } else { "foreign" };
        self.metrics.upload_seconds.with_label_values(&[outcome]).observe(begun.elapsed().as_secs_f64());
        if result.is_ok() {
            self.metrics.files.with_label_values(&[plan.kind.as_str()]).inc();
            self.metrics.file_bytes.observe(body.len() as f64);
            tracing::info!(key = plan.key, rows = plan.rows, bytes = body.len(), "file written");
        }
        result
    }
}

fn lane_of(at: &TopicPartition, lanes: usize) -> usize {
    let topic = at.topic.bytes().fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    topic.wrapping_add(at.partition.unsigned_abs() as usize).checked_rem(lanes).unwrap_or(0)
}

/// Runs a lane until it is told to stop.
pub fn run(shared: &Arc<Shared>, messages: &Receiver<Message>) {
    let mut partitions: HashMap<TopicPartition, Partition> = HashMap::new();
    let eras = Arc::new(AtomicU64::new(0));
    let mut ticked = Instant::now();
    loop {
        let concerned = match messages.recv_timeout(TICK) {
            Ok(Message::Kafka(at, delivery)) => {
                kafka(shared, &mut partitions, &at, delivery, &eras);
                Some(at)
            }
            Ok(Message::Done(at, era, done)) => {
                if let Some(partition) = partitions.get_mut(&at) {
                    partition.done(era, *done);
                }
                Some(at)
            }
            Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => None,
        };
        if let Some(at) = concerned
            && partitions.get(&at).is_some_and(Partition::is_released)
        {
            forget(shared, &mut partitions, &at);
        }
        // Records may come faster than one cut each tick makes room for them.
        if shared.budget.needs_room() {
            close_largest(&shared.budget, &mut partitions, WORTH_CLOSING);
        }
        if ticked.elapsed() >= TICK {
            ticked = Instant::now();
            tick(shared, &mut partitions);
        }
    }
}

/// Closes the cut that holds the most memory, when that is `least` bytes or more.
fn close_largest(budget: &Budget, partitions: &mut HashMap<TopicPartition, Partition>, least: usize) {
    if let Some(largest) = partitions.values_mut().max_by_key(|partition| partition.buffered_bytes())
        && largest.buffered_bytes() >= least
    {
        largest.input(Input::ShortOfMemory);
        budget.closes_early();
    }
}

/// Lets go of a partition that has nothing left to do.
fn forget(shared: &Shared, partitions: &mut HashMap<TopicPartition, Partition>, at: &TopicPartition) {
    partitions.remove(at);
    shared.status.lock().unwrap_or_else(PoisonError::into_inner).remove(at);
}

fn kafka(
    shared: &Arc<Shared>,
    partitions: &mut HashMap<TopicPartition, Partition>,
    at: &TopicPartition,
    delivery: Delivery,
    eras: &Arc<AtomicU64>,
) {
    if matches!(delivery, Delivery::Assigned) {
        partitions.insert(at.clone(), Partition::new(at.clone(), Arc::clone(eras), Arc::clone(shared)));
        return;
    }
    if let Delivery::Records { batch, .. } = &delivery {
        shared.budget.batch_arrives(batch.memory());
    }
    match partitions.get_mut(at) {
        Some(partition) => partition.deliver(delivery),
        None => match delivery {
            Delivery::Records { batch, .. } => shared.budget.sub(batch.memory()),
            // Nothing more after the release: the poll thread counts on one per assignment.
            Delivery::Revoke { .. } => shared.command(Command::Released(at.clone())),
            _ => {}
        },
    }
}

fn tick(shared: &Arc<Shared>, partitions: &mut HashMap<TopicPartition, Partition>) {
    for partition in partitions.values_mut() {
        partition.tick();
    }
    let released = |(at, partition): (&TopicPartition, &Partition)| partition.is_released().then(|| at.clone());
    let gone: Vec<_> = partitions.iter().filter_map(released).collect();
    gone.iter().for_each(|at| forget(shared, partitions, at));
    if shared.budget.is_short() {
        let least = if shared.budget.is_tight() { 1 } else { WORTH_CLOSING };
        close_largest(&shared.budget, partitions, least);
    }
    let mut status = shared.status.lock().unwrap_or_else(PoisonError::into_inner);
    for (at, partition) in partitions.iter() {
        status.insert(at.clone(), partition.status());
    }
}
