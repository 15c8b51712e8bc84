//! The least that the worker's work can cost: its consumer settings, threads, decoder, encoder and allocator, without
//! ledger, storage, byte budget and recovery. `make bench` holds the worker against it on the same topic.
//!
//! usage: bare_loop SETTINGS PARTITIONS EVENTS. Reads so many events from the beginning of the topic, encodes them into
//! files of the worker's sizes, drops those, prints what it did as one line of JSON, and stays until its input ends, so
//! that somebody can look at what the process has used.

use eventsink_worker::cut::Limits;
use eventsink_worker::events::{DECODER_VERSION, Decoded, Place, Policy, decode};
use eventsink_worker::files::{Close, CutWriter, Encoders, Encoding, Identity, Rules};
use eventsink_worker::kafka::batch::{Batch, Spare};
use eventsink_worker::kafka::client;
use eventsink_worker::kafka::raw::{self, Kind, Queue};
use eventsink_worker::runtime::{self, mapping};
use eventsink_worker::settings::{self, Settings};
use rdkafka::consumer::Consumer as _;
use rdkafka::{Offset, TopicPartitionList};
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Batches that wait for a thread that encodes.
const QUEUED: usize = 32;
/// As often as the worker looks at the sizes of its files.
const SIZE_EVERY: usize = 256;

type Failure = Box<dyn Error + Send + Sync>;

/// What all threads know.
struct Common {
    topic: String,
    rules: Arc<Rules>,
    encoding: Encoding,
    encoders: Arc<Encoders>,
    limits: Limits,
    /// Bytes that the open files of one thread may hold: the largest is closed before.
    memory: usize,
}

/// The rows of a partition since its last file, and how many.
type Open = Option<(CutWriter, u64)>;

/// What a thread has made.
#[derive(Default)]
struct Made {
    rows: u64,
    files: u64,
    bytes: u64,
}

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [path, partitions, events] = arguments.as_slice() else {
        return Err("usage: bare_loop SETTINGS PARTITIONS EVENTS".into());
    };
    let settings = settings::load(Path::new(path), &std::env::vars().collect())?;
    let made = run(&settings, partitions.parse()?, events.parse()?)?;
    println!("{made}");
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    Ok(())
}

fn run(settings: &Settings, partitions: i32, events: u64) -> Result<String, Failure> {
    let limit = runtime::limit(settings.memory.budget.map(|size| size.as_u64()));
    raw::heap::keep_small(mapping::prefetch(limit));
    let common = Arc::new(Common {
        topic: settings.kafka.consumer.topics.first().cloned().unwrap_or_default(),
        rules: Arc::new(mapping::rules(settings)),
        encoding: mapping::encoding(settings, limit),
        encoders: Encoders::within(limit / 4),
        limits: mapping::limits(settings, limit),
        memory: limit / 10 * 6 / runtime::lanes(),
    });
    let consumer = client::consumer(&settings.kafka, mapping::prefetch(limit))?;
    let queue = Queue::of(&consumer);
    let mut list = TopicPartitionList::new();
    for partition in 0..partitions {
        list.add_partition_offset(&common.topic, partition, Offset::Beginning)?;
    }
    consumer.assign(&list)?;
    let (lanes, threads): (Vec<_>, Vec<_>) = (0..runtime::lanes()).map(|_| lane(&common)).unzip();
    let first = poll(&queue, &lanes, partitions, events)?;
    drop(lanes);
    let mut all = Made::default();
    let mut encoded = first;
    for thread in threads {
        let (made, last) = thread.join().map_err(|_| "a thread panicked")??;
        all = Made { rows: all.rows + made.rows, files: all.files + made.files, bytes: all.bytes + made.bytes };
        encoded = encoded.max(last);
    }
    let seconds = encoded.duration_since(first).as_secs_f64();
    drop(queue);
    Ok(format!(r#"{{"seconds":{seconds:.3},"rows":{},"files":{},"bytes":{}}}"#, all.rows, all.files, all.bytes))
}

/// Reads and hands over in batches as the poll thread of the worker does; gives the time of the first record.
fn poll(queue: &Queue, lanes: &[SyncSender<(i32, Batch)>], partitions: i32, events: u64) -> Result<Instant, Failure> {
    let mut batches: Vec<Batch> = (0..partitions).map(|_| Batch::default()).collect();
    let (mut first, mut read) = (None, 0);
    let spare = Arc::new(Spare::default());
    while read < events {
        // Without waiting the library asks for no time.
        let next = queue.poll(Duration::ZERO).or_else(|| queue.poll(Duration::from_millis(20)));
        let Some(event) = next else { continue };
        match event.kind() {
            Kind::Record(record) => {
                first.get_or_insert_with(Instant::now);
                read += 1;
                let partition = record.partition();
                let batch = &mut batches[usize::try_from(partition)?];
                if batch.is_empty() {
                    *batch = spare.batch();
                }
                batch.push(record);
                if batch.is_full() {
                    lanes[partition.unsigned_abs() as usize % lanes.len()].send((partition, std::mem::take(batch)))?;
                }
            }
            Kind::Error(fault) => return Err(fault.text.into()),
            _ => {}
        }
    }
    for (partition, batch) in (0..partitions).zip(batches) {
        lanes[partition.unsigned_abs() as usize % lanes.len()].send((partition, batch))?;
    }
    Ok(first.unwrap_or_else(Instant::now))
}

type Lane = (SyncSender<(i32, Batch)>, JoinHandle<Result<(Made, Instant), Failure>>);

fn lane(common: &Arc<Common>) -> Lane {
    let (sender, batches) = sync_channel(QUEUED);
    let common = Arc::clone(common);
    (sender, std::thread::spawn(move || encode(&common, &batches)))
}

/// Decodes and encodes until nothing more comes; gives the time at which the last row was in its columns.
fn encode(common: &Common, batches: &Receiver<(i32, Batch)>) -> Result<(Made, Instant), Failure> {
    let mut open: Vec<Open> = Vec::new();
    let mut made = Made::default();
    for (partition, batch) in batches {
        let at = usize::try_from(partition)?;
        if open.len() <= at {
            open.resize_with(at + 1, || None);
        }
        take(common, (partition, &batch), &mut open[at], &mut made)?;
        let memory = |open: &Open| open.as_ref().map_or(0, |(writer, _)| writer.memory());
        if open.iter().map(memory).sum::<usize>() >= common.memory
            && let Some(largest) = open.iter_mut().max_by_key(|open| memory(open))
        {
            close(largest.take(), &mut made)?;
        }
    }
    let last = Instant::now();
    open.into_iter().try_for_each(|open| close(open, &mut made))?;
    Ok((made, last))
}

fn take(common: &Common, (partition, batch): (i32, &Batch), open: &mut Open, made: &mut Made) -> Result<(), Failure> {
    let mut headers = Vec::new();
    for index in 0..batch.len() {
        batch.headers(index, &mut headers);
        let record = batch.record(index, &headers);
        let place = Place { topic: &common.topic, partition };
        let Decoded::Event(event, _) = decode(&record, place, &Policy::default()) else {
            return Err(format!("offset {} is no event", record.offset).into());
        };
        let (writer, rows) = open.get_or_insert_with(|| (writer(common, partition), 0));
        writer.event(&record, &event)?;
        *rows += 1;
        let large = (index + 1).is_multiple_of(SIZE_EVERY) && writer.largest_file() >= common.limits.max_bytes;
        if large || *rows >= common.limits.max_records {
            close(open.take(), made)?;
        }
    }
    Ok(())
}

fn writer(common: &Common, partition: i32) -> CutWriter {
    let text = |text: &str| text.to_owned();
    let identity = Identity {
        ledger: text("bare"),
        sink: text("bare"),
        cluster_id: text("bare"),
        topic: common.topic.clone(),
        topic_id: text("bare"),
        partition,
    };
    CutWriter::new(Arc::clone(&common.rules), Arc::new(identity), common.encoding).sharing(&common.encoders)
}

fn close(open: Open, made: &mut Made) -> Result<(), Failure> {
    let Some((writer, rows)) = open else { return Ok(()) };
    let close = Close { from: 0, to: 0, nonce: "bare".to_owned(), decoder_version: DECODER_VERSION, incomplete: false };
    for file in writer.finish(&close)? {
        made.files += 1;
        made.bytes += file.body.len() as u64;
    }
    made.rows += rows;
    Ok(())
}
