//! `start`: the worker itself.

use super::{BAD_SETTINGS, FAILED, REFUSED, SettingsFile, load};
use crate::http::{self, Surface};
use crate::metrics::Metrics;
use crate::runtime::{self, Options, StartError};
use crate::telemetry::{self, LogFilter};
use crate::traces::Traces;
use clap::Args;
use eventsink_crds::settings::Settings;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{error, info, warn};

/// The last traces may take so long to be sent, and no longer than what is left of the deadline.
const LAST_TRACES: Duration = Duration::from_secs(5);

const EXAMPLES: &str = "\
Examples:
  eventsink-worker start --config sink.yaml
  EVENTSINK__OBSERVABILITY__LOG__FILTER=debug eventsink-worker start --config sink.yaml

Exit codes: 0 stopped by a signal, 1 failed, 2 the settings are wrong, 3 the prefix may not be used.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Start {
    #[command(flatten)]
    settings: SettingsFile,
    /// Take every partition without a group, so that two workers own the same ones
    #[arg(long, hide = true)]
    assign_all: bool,
}

impl Start {
    pub fn run(&self) -> u8 {
        let settings = match load(&self.settings) {
            Ok(settings) => Arc::new(settings),
            Err(code) => return code,
        };
        let filter = match telemetry::init(&settings.observability.log) {
            Ok(filter) => filter,
            Err(words) => {
                eprintln!("{words}");
                return BAD_SETTINGS;
            }
        };
        for warning in settings.warnings() {
            warn!(warning, "settings");
        }
        let io = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
            Ok(io) => io,
            Err(error) => return failed(&error),
        };
        let traces = match Traces::start(&settings, |name| std::env::var(name).ok(), io.handle()) {
            Ok(traces) => traces,
            Err(words) => {
                error!("{words}");
                return BAD_SETTINGS;
            }
        };
        let options = Options { assign_all: self.assign_all, traces };
        let code = io.block_on(work(settings, filter, options));
        // What still runs, such as a listener, needs no farewell.
        io.shutdown_background();
        code
    }
}

fn failed(error: &dyn std::error::Error) -> u8 {
    error!(%error, "failed");
    FAILED
}

async fn work(settings: Arc<Settings>, filter: LogFilter, options: Options) -> u8 {
    let (mut terminate, mut interrupt) = match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
        (Ok(terminate), Ok(interrupt)) => (terminate, interrupt),
        (Err(error), _) | (_, Err(error)) => return failed(&error),
    };
    let metrics = match Metrics::new(settings.sink_name()) {
        Ok(metrics) => metrics.per_partition(settings.observability.metrics.partition_label),
        Err(error) => return failed(&error),
    };
    let (deadline, traces) = (settings.shutdown.deadline.as_duration(), options.traces.clone());
    let surface = Surface::new(settings.sink_name(), deadline, metrics);
    surface.logs(filter);
    let listen = settings.observability.listen;
    match TcpListener::bind(listen).await {
        Ok(listener) => drop(tokio::spawn(http::serve(listener, Arc::clone(&surface)))),
        Err(error) => {
            error!(%error, %listen, "cannot listen: set observability.listen to a free address");
            return FAILED;
        }
    }
    info!(version = env!("CARGO_PKG_VERSION"), sink = settings.sink_name(), %listen, "starting");
    let started = tokio::select! {
        started = runtime::start(settings, &surface, options) => started,
        () = stopped(&mut terminate, &mut interrupt) => return 0,
    };
    let (running, ended) = match started {
        Ok(started) => started,
        Err(error) => return refused(&error),
    };
    info!("running");
    let code = tokio::select! {
        ended = ended => if matches!(ended, Ok(Ok(()))) { 0 } else { FAILED },
        () = stopped(&mut terminate, &mut interrupt) => 0,
    };
    info!("stopping");
    let until = Instant::now() + deadline;
    running.stop();
    let joined = tokio::task::spawn_blocking(move || {
        running.join();
        if let Some(traces) = traces {
            traces.flush(until.saturating_duration_since(Instant::now()).min(LAST_TRACES));
        }
    });
    tokio::select! {
        _ = joined => {}
        () = stopped(&mut terminate, &mut interrupt) => {
            warn!("second signal: leaving at once; what is unfinished will be adopted");
            return FAILED;
        }
    }
    info!("stopped");
    code
}

async fn stopped(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

fn refused(error: &StartError) -> u8 {
    error!(%error, "cannot start");
    match error {
        StartError::Settings(_) => BAD_SETTINGS,
        StartError::Ledger(_) | StartError::CreateOnlyUnsupported(_) => REFUSED,
        StartError::Kafka(_) | StartError::Thread(_) => FAILED,
    }
}
