//! Logs: one line per file written and per change of state, no payloads.

use eventsink_crds::settings::{Log, LogFormat};
use std::io::IsTerminal as _;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Installs the logger of the process, on standard error.
///
/// # Errors
/// A filter that cannot be read, or a logger that is installed already.
pub fn init(log: &Log) -> Result<(), String> {
    let filter = EnvFilter::try_new(&log.filter).map_err(|e| {
        format!(
            "observability.log.filter: {:?}: {e}; write for example info or info,eventsink_worker=debug",
            log.filter
        )
    })?;
    let base = tracing_subscriber::registry().with(filter);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    match log.format {
        LogFormat::Json => base.with(lines.json().flatten_event(true)).try_init(),
        LogFormat::Text => base.with(lines.with_target(false).with_ansi(std::io::stderr().is_terminal())).try_init(),
    }
    .map_err(|e| e.to_string())
}
