//! `demo`: the whole way without any server. A broker inside this process gets sample events, the worker of `start`
//! lands them in a folder, and the folder is read back. Only the settings and the broker differ from a real run:
//! nothing here may do the worker's work for it.

mod broker;
mod folder;
mod land;
mod progress;
mod sample;
mod show;

use super::{BAD_SETTINGS, FAILED};
use crate::audit::{Depth, audit};
use crate::runtime::StartError;
use crate::store::{self, Store, StoreError, StoreOptions};
use crate::telemetry;
use broker::Broker;
use chrono::{DateTime, TimeDelta};
use clap::Args;
use eventsink_crds::settings::{Backend, Log, LogFormat, Settings, Size, Span, Storage};
use progress::Progress;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

/// Name of the sink; together with the broker's cluster id it marks a folder as a demo's.
const SINK: &str = "demo";
const TOPIC: &str = "orders";
const PARTITIONS: i32 = 3;
/// The broker keeps 5 MiB per partition and forgets older records silently; so many stay well below it.
const MOST_EVENTS: u32 = 50_000;
const ROWS_SHOWN: usize = 5;

const EXAMPLES: &str = "\
Examples:
  eventsink-worker demo
  eventsink-worker demo --out samples --events 1000

Nothing else is needed: the Kafka broker runs inside the process.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Demo {
    /// The folder to write; empty, missing or left by an earlier demo
    #[arg(long, value_name = "FOLDER", default_value = "out")]
    out: PathBuf,
    /// Sample records to produce; a few of them are broken on purpose
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST_EVENTS)))]
    events: u32,
}

/// Why a demo ends early.
#[derive(Debug, thiserror::Error)]
enum DemoError {
    /// The folder holds something that no demo wrote.
    #[error("--out {folder}: it holds {found}, which no demo wrote: choose an empty or a new folder")]
    FolderInUse { folder: String, found: String },
    /// The folder cannot be read or emptied.
    #[error("--out {folder}: {source}")]
    Folder { folder: String, source: std::io::Error },
    /// The broker in this process does not work.
    #[error("the broker inside this process: {0}")]
    Broker(String),
    /// The system refused threads, sockets or files.
    #[error(transparent)]
    System(#[from] std::io::Error),
    /// The worker did not start.
    #[error("the worker does not start: {0}")]
    Start(#[from] StartError),
    /// The worker ended or stood still.
    #[error("the worker did not land everything: {0}")]
    Unfinished(String),
    /// The folder cannot be listed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file cannot be read back.
    #[error("{key} cannot be read back: {words}")]
    File { key: String, words: String },
    /// What was read back is not what was produced.
    #[error("{produced} records were produced, the files hold {rows} events and {dead} dead letters")]
    Different { produced: u64, rows: u64, dead: u64 },
}

impl Demo {
    pub fn run(&self) -> u8 {
        let log = Log { format: LogFormat::Text, filter: "warn,librdkafka=error".to_owned() };
        let done = telemetry::init(&log).map_err(DemoError::Broker).and_then(|_| self.play());
        match done {
            Ok(code) => code,
            Err(error) => {
                eprintln!("{error}");
                match error {
                    DemoError::FolderInUse { .. }
                    | DemoError::Folder { .. }
                    | DemoError::Start(StartError::Settings(_)) => BAD_SETTINGS,
                    _ => FAILED,
                }
            }
        }
    }

    fn play(&self) -> Result<u8, DemoError> {
        if folder::prepare(&self.out)? {
            say(&format!("removed the files of an earlier demo from {}\n", self.out.display()));
        }
        let io = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let mut progress = Progress::new(u64::from(self.events));
        let broker = Broker::start(TOPIC, PARTITIONS)?;
        progress.say("producing");
        // The last event is about now.
        let start = DateTime::from(SystemTime::now()) - TimeDelta::milliseconds(sample::PACE * i64::from(self.events));
        broker.produce(TOPIC, (0..self.events).map(|index| sample::sample(index, PARTITIONS, start)))?;
        let settings = Arc::new(settings(broker.servers(), &self.out));
        io.block_on(land::land(Arc::clone(&settings), u64::from(self.events), &mut progress))?;
        progress.finish("landed");
        let store = Store::open(&StoreOptions { backend: store::Backend::File { base_path: self.out.clone() } })?;
        let found = io.block_on(show::read(&store))?;
        say(&show::report(&found, ROWS_SHOWN));
        if found.rows() + found.dead() != u64::from(self.events) {
            let (rows, dead) = (found.rows(), found.dead());
            return Err(DemoError::Different { produced: u64::from(self.events), rows, dead });
        }
        let audited = io.block_on(audit(&store, Depth::Footers, |_, _| {}));
        say(&format!("\nAudit\n{audited}"));
        if !audited.is_green() {
            return Ok(FAILED);
        }
        let program = std::env::args().next().unwrap_or_else(|| env!("CARGO_PKG_NAME").to_owned());
        say(&show::next(&self.out, &program));
        Ok(0)
    }
}

/// The settings of a real run, with short rotation so that nobody waits.
fn settings(servers: String, out: &Path) -> Settings {
    let mut settings = Settings {
        sink: Some(SINK.to_owned()),
        storage: Storage { backend: Backend::File, ..Storage::default() },
        ..Settings::default()
    };
    settings.storage.file.base_path = out.to_string_lossy().into_owned();
    settings.kafka.bootstrap_servers = [servers].into_iter().collect();
    settings.kafka.consumer.group_id = SINK.to_owned();
    settings.kafka.consumer.topics = [TOPIC].into_iter().collect();
    settings.rotation.max_records = 5_000;
    settings.rotation.max_age = Span::from_secs(5);
    settings.rotation.max_idle = Span::from_millis(500);
    settings.memory.budget = Some(Size::mib(128));
    settings
}

/// A reader that closed the pipe has seen enough.
fn say(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}
