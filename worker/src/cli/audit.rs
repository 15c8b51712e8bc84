//! `audit`: says whether the promise holds for everything below the base path. Writes nothing; asks Kafka only when told
//! to, and then joins no group.

use super::{FAILED, SettingsFile, block_on, connected, failed, load, open, print, progress};
use crate::audit::{Depth, audit, log};
use crate::kafka::client::{self, Context};
use clap::Args;
use eventsink_crds::settings::Settings;
use rdkafka::consumer::BaseConsumer;
use std::sync::Arc;

/// Bytes of the log that are read ahead.
const PREFETCH: usize = 4 << 20;

const EXAMPLES: &str = "\
Examples:
  eventsink-worker audit --config sink.yaml
  eventsink-worker audit --config sink.yaml --deep
  eventsink-worker audit --config sink.yaml --kafka
  eventsink-worker audit --config sink.yaml --json | jq '.findings[].key'

Without a flag the ledger is read and the footer of every file. --deep also reads every row: its digest and its
offset must be those that footer and manifest say. --kafka also reads the log where the ledger says that it has no
record, and compares both ends.

Exit code 0 means that the promise holds, 1 that something is wrong or could not be looked at.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Audit {
    #[command(flatten)]
    settings: SettingsFile,
    /// Read every row of every file
    #[arg(long)]
    deep: bool,
    /// Compare with what Kafka still has
    #[arg(long)]
    kafka: bool,
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
        // Before hours of reading, not after.
        let client = match self.kafka.then(|| log_reader(&settings)).transpose() {
            Ok(client) => client,
            Err(code) => return code,
        };
        let depth = if self.deep { Depth::Rows } else { Depth::Footers };
        let bar = progress("auditing objects");
        let report = block_on(audit(&store, depth, |done, total| {
            bar.set_length(total);
            bar.set_position(done);
        }));
        bar.finish_and_clear();
        let mut report = match report {
            Ok(report) => report,
            Err(error) => return failed(FAILED, &error),
        };
        if let Some(client) = client {
            let bar = progress("comparing partitions");
            log::compare(&mut report, &client, |done, total| {
                bar.set_length(total as u64);
                bar.set_position(done as u64);
            });
            bar.finish_and_clear();
        }
        print(&report, self.json);
        if report.is_green() { 0 } else { FAILED }
    }
}

/// Topics that are gone are no hindrance: their chains stand by themselves.
fn log_reader(settings: &Settings) -> Result<Arc<BaseConsumer<Context>>, u8> {
    let kafka = &settings.kafka;
    let (client, _) = connected(kafka, &[], client::consumer(kafka, PREFETCH))?;
    Ok(client)
}
