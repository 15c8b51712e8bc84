//! `audit`: says whether the promise holds for everything below the base path. Writes nothing, asks Kafka nothing.

use super::{BAD_SETTINGS, FAILED, SettingsFile, load};
use crate::audit::{Report, audit};
use crate::runtime::mapping;
use crate::store::Store;
use clap::Args;
use eventsink_crds::settings::{Backend, Settings};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::Write as _;
use std::path::Path;

#[derive(Debug, Args)]
pub(super) struct Audit {
    #[command(flatten)]
    settings: SettingsFile,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

impl Audit {
    pub fn run(&self) -> u8 {
        let settings = match load(&self.settings) {
            Ok(settings) => settings,
            Err(code) => return code,
        };
        let store = match open(&settings) {
            Ok(store) => store,
            Err((code, words)) => {
                eprintln!("{words}");
                return code;
            }
        };
        let io = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(io) => io,
            Err(error) => {
                eprintln!("{error}");
                return FAILED;
            }
        };
        let bar = progress();
        let report = io.block_on(audit(&store, |done, total| {
            bar.set_length(total);
            bar.set_position(done);
        }));
        bar.finish_and_clear();
        print(&report, self.json);
        if report.is_green() { 0 } else { FAILED }
    }
}

/// Opening a store on disk makes its folder, and an audit must leave no trace of a mistyped path.
fn open(settings: &Settings) -> Result<Store, (u8, String)> {
    let folder = &settings.storage.file.base_path;
    if settings.storage.backend == Backend::File && !Path::new(folder).is_dir() {
        let words = format!(
            "storage.file.base_path: there is no folder `{folder}`: set the path that the worker writes to, or mount it"
        );
        return Err((FAILED, words));
    }
    Store::open(&mapping::store_options(settings)).map_err(|error| (BAD_SETTINGS, error.to_string()))
}

/// Shows nothing when stderr is not a terminal.
fn progress() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    match ProgressStyle::with_template("auditing {pos} of {len} objects {wide_bar} {eta}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

fn print(report: &Report, json: bool) {
    let text = match serde_json::to_string_pretty(report) {
        Ok(text) if json => format!("{text}\n"),
        _ => report.to_string(),
    };
    // A reader that closed the pipe has seen enough; the exit code still tells.
    let _ = std::io::stdout().write_all(text.as_bytes());
}
