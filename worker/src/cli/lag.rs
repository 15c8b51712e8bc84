//! `lag`: how far the sink is behind, and whether it could go on. Writes nothing and joins no group.

use super::{FAILED, REFUSED, SettingsFile, block_on, connected, failed, load, open, print, progress};
use crate::kafka::client;
use crate::lag::{LagError, lag};
use clap::Args;

/// Bytes read ahead, of which none are read.
const PREFETCH: usize = 1 << 20;

const EXAMPLES: &str = "\
Examples:
  eventsink-worker lag --config sink.yaml
  eventsink-worker lag --config sink.yaml --json | jq .totals.unpersisted

For each partition:
  unread       end of the log less the group's committed offset, as Kafka's own tools count lag
  unpersisted  end of the log less what the ledger proves to be durable; this one stands when commits vanish
  tip          the newest cut, and what proves that all its files are there
A line `hold` says why a worker would stand still on a partition. Exit code 1 when there is one.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Lag {
    #[command(flatten)]
    settings: SettingsFile,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

impl Lag {
    pub fn run(&self) -> u8 {
        let settings = match load(&self.settings) {
            Ok(settings) => settings,
            Err(code) => return code,
        };
        let store = match open(&settings) {
            Ok(store) => store,
            Err((code, words)) => return failed(code, &words),
        };
        let kafka = &settings.kafka;
        let (consumer, cluster) = match connected(kafka, &kafka.consumer.topics, client::consumer(kafka, PREFETCH)) {
            Ok(connected) => connected,
            Err(code) => return code,
        };
        let bar = progress("asking for partitions");
        let report = block_on(lag(&settings, (consumer, &cluster), &store, |done, total| {
            bar.set_length(total as u64);
            bar.set_position(done as u64);
        }));
        bar.finish_and_clear();
        match report {
            Ok(Ok(report)) => {
                print(&report, self.json);
                if report.totals.holds == 0 { 0 } else { FAILED }
            }
            Ok(Err(error @ LagError::Ledger(_))) => failed(REFUSED, &error),
            Ok(Err(error)) => failed(FAILED, &error),
            Err(error) => failed(FAILED, &error),
        }
    }
}
