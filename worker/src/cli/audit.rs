//! `audit`: says whether the promise holds for everything below the base path. Writes nothing, asks Kafka nothing.

use super::{FAILED, SettingsFile, block_on, failed, load, open, print, progress};
use crate::audit::audit;
use clap::Args;

const EXAMPLES: &str = "\
Examples:
  eventsink-worker audit --config sink.yaml
  eventsink-worker audit --config sink.yaml --json | jq '.findings[].key'

Exit code 0 means that the promise holds, 1 that something is wrong or could not be looked at.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
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
            Err((code, words)) => return failed(code, &words),
        };
        let bar = progress("auditing objects");
        let report = block_on(audit(&store, |done, total| {
            bar.set_length(total);
            bar.set_position(done);
        }));
        bar.finish_and_clear();
        match report {
            Ok(report) => {
                print(&report, self.json);
                if report.is_green() { 0 } else { FAILED }
            }
            Err(error) => failed(FAILED, &error),
        }
    }
}
