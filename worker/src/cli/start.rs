//! `start`: the worker itself.

use super::{BAD_SETTINGS, FAILED, REFUSED, SettingsFile, load};
use crate::http::{self, Surface};
use crate::metrics::Metrics;
use crate::runtime::{self, Options, StartError};
use crate::telemetry;
use clap::Args;
use eventsink_crds::settings::Settings;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{error, info, warn};

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
        if let Err(words) = telemetry::init(&settings.observability.log) {
            eprintln!("{words}");
            return BAD_SETTINGS;
        }
        for warning in settings.warnings() {
            warn!(warning, "settings");
        }
        let options = Options { assign_all: self.assign_all };
        let io = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
            Ok(io) => io,
            Err(error) => return failed(&error),
        };
        let code = io.block_on(work(settings, options));
        // What still runs, such as a listener, needs no farewell.
        io.shutdown_background();
        code
    }
}

fn failed(error: &dyn std::error::Error) -> u8 {
    error!(%error, "failed");
    FAILED
}

async fn work(settings: Arc<Settings>, options: Options) -> u8 {
    let (mut terminate, mut interrupt) = match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
        (Ok(terminate), Ok(interrupt)) => (terminate, interrupt),
        (Err(error), _) | (_, Err(error)) => return failed(&error),
    };
    let metrics = match Metrics::new() {
        Ok(metrics) => metrics,
        Err(error) => return failed(&error),
    };
    let surface = Surface::new(settings.sink_name(), settings.shutdown.deadline.as_duration(), metrics);
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
    running.stop();
    let joined = tokio::task::spawn_blocking(move || running.join());
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
