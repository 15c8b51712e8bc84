//! Logs: one line per file written and per change of state, no payloads. What is logged can change at run time.

use eventsink_crds::settings::{Log, LogFormat};
use std::io::IsTerminal as _;
use tracing::Level;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry, reload};

const WAY_OUT: &str = "write for example info or info,eventsink_worker=debug";

/// What is logged, to be looked at and changed while the process runs.
#[derive(Debug, Clone)]
pub struct LogFilter(reload::Handle<EnvFilter, Registry>);

impl LogFilter {
    /// The directives in force.
    ///
    /// # Errors
    /// The logger is gone.
    pub fn directives(&self) -> Result<String, String> {
        self.0.with_current(ToString::to_string).map_err(|e| e.to_string())
    }

    /// Puts other directives in force, and says so in the log, under whichever of both lets it be said.
    ///
    /// # Errors
    /// They cannot be read; those in force stay.
    pub fn change(&self, directives: &str) -> Result<(), String> {
        // An empty filter is read as one that shows errors only, which nobody means who sends nothing.
        let filter =
            if directives.trim().is_empty() { Err(format!("no directives: {WAY_OUT}")) } else { parse(directives) }?;
        let (from, to) = (self.directives()?, filter.to_string());
        let say = || tracing::warn!(from, to, "log filter changed");
        let said = tracing::enabled!(Level::WARN);
        if said {
            say();
        }
        self.0.reload(filter).map_err(|e| e.to_string())?;
        if !said {
            say();
        }
        Ok(())
    }
}

fn parse(directives: &str) -> Result<EnvFilter, String> {
    EnvFilter::try_new(directives.trim()).map_err(|e| format!("{directives:?}: {e}; {WAY_OUT}"))
}

/// Installs the logger of the process, on standard error.
///
/// # Errors
/// A filter that cannot be read, or a logger that is installed already.
pub fn init(log: &Log) -> Result<LogFilter, String> {
    let filter = parse(&log.filter).map_err(|words| format!("observability.log.filter: {words}"))?;
    let (filter, handle) = reload::Layer::new(filter);
    let base = tracing_subscriber::registry().with(filter);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    match log.format {
        LogFormat::Json => base.with(lines.json().flatten_event(true)).try_init(),
        LogFormat::Text => base.with(lines.with_target(false).with_ansi(std::io::stderr().is_terminal())).try_init(),
    }
    .map_err(|e| e.to_string())?;
    Ok(LogFilter(handle))
}
