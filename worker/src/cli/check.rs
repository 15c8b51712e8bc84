//! `check`: tries everything that `start` needs, writes nothing but the probe, and says all that is wrong at once.

use super::{BAD_SETTINGS, FAILED, SettingsFile, block_on, failed, json, say};
use crate::cut::manifest::Owner;
use crate::kafka::client;
use crate::kafka::connect::connect;
use crate::kafka::topics;
use crate::runtime::mapping;
use crate::store::{Guarantee, Store, ledger};
use clap::Args;
use eventsink_crds::settings::Settings;
use rdkafka::consumer::BaseConsumer;
use serde::Serialize;
use std::time::Duration;

/// How long the cluster may take to answer one question.
const PATIENCE: Duration = Duration::from_secs(10);

const EXAMPLES: &str = "\
Examples:
  eventsink-worker check --config sink.yaml
  eventsink-worker check --config sink.yaml --json | jq '.parts[] | select(.ok | not)'

Exit code 0 when `start` has all it needs, 1 when Kafka or the store lacks something, 2 when the settings are wrong.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Check {
    #[command(flatten)]
    settings: SettingsFile,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

/// What was tried, in order.
#[derive(Debug, Serialize)]
struct Findings {
    /// Nothing is wrong.
    ok: bool,
    version: &'static str,
    librdkafka: String,
    features: String,
    parts: Vec<Part>,
    warnings: Vec<String>,
}

/// One thing that was tried.
#[derive(Debug, Serialize)]
struct Part {
    what: &'static str,
    ok: bool,
    words: String,
}

impl Check {
    pub fn run(&self) -> u8 {
        let mut show = Show::new(self.json);
        let settings = match self.settings.load() {
            Ok(settings) => settings,
            Err(error) if self.json => {
                show.part("settings", Err(error.to_string()));
                show.end();
                return BAD_SETTINGS;
            }
            Err(error) => return failed(BAD_SETTINGS, &error),
        };
        show.part("settings", Ok(format!("{} is complete", self.settings.config.display())));
        settings.warnings().into_iter().for_each(|warning| show.warning(warning));
        let cluster = match kafka(&settings) {
            Ok((id, words)) => {
                show.part("kafka", Ok(words));
                Some(id)
            }
            Err(words) => {
                show.part("kafka", Err(words));
                None
            }
        };
        let stored = block_on(storage(&settings, cluster.as_deref())).map_err(|error| error.to_string());
        show.part("storage", stored.and_then(|found| found));
        if show.end() { 0 } else { FAILED }
    }
}

/// Says each finding as it is made, or all of them at the end when machines read it.
struct Show {
    json: bool,
    findings: Findings,
}

impl Show {
    fn new(json: bool) -> Self {
        let findings = Findings {
            ok: true,
            version: env!("CARGO_PKG_VERSION"),
            librdkafka: rdkafka::util::get_rdkafka_version().1,
            features: client::features(),
            parts: Vec::new(),
            warnings: Vec::new(),
        };
        if !json {
            say(&format!("eventsink-worker {}, librdkafka {}\n", findings.version, findings.librdkafka));
            say(&format!("library features: {}\n", findings.features));
        }
        Self { json, findings }
    }

    fn part(&mut self, what: &'static str, found: Result<String, String>) {
        let (ok, words) = match found {
            Ok(words) => (true, words),
            Err(words) => (false, words),
        };
        if !self.json {
            say(&format!("  {} {what}: {words}\n", if ok { "ok   " } else { "FAIL " }));
        }
        self.findings.ok &= ok;
        self.findings.parts.push(Part { what, ok, words });
    }

    fn warning(&mut self, words: String) {
        if !self.json {
            say(&format!("  warn  settings: {words}\n"));
        }
        self.findings.warnings.push(words);
    }

    /// True when nothing is wrong.
    fn end(self) -> bool {
        if self.json {
            say(&json(&self.findings));
        }
        self.findings.ok
    }
}

/// The cluster's id, and what it answered.
fn kafka(settings: &Settings) -> Result<(String, String), String> {
    let kafka = &settings.kafka;
    let consumer = client::consumer(kafka, 1 << 20).map_err(|e| e.to_string())?;
    let cluster = connect(&consumer, &kafka.bootstrap_servers, &kafka.consumer.topics, PATIENCE);
    let cluster = cluster.map_err(|e| e.to_string())?;
    client::may_use_group(&consumer, &cluster.topics, PATIENCE)?;
    if let Some(topic) = &settings.dead_letter.topic {
        takes_dead_letters(&consumer, topic)?;
    }
    let topics: Vec<String> =
        cluster.topics.iter().map(|(topic, partitions)| format!("{topic} ({partitions} partitions)")).collect();
    let dead = settings.dead_letter.topic.as_ref().map(|topic| format!(", dead letters to {topic}"));
    let (over, topics) = (kafka.security_protocol.as_str(), topics.join(", "));
    let words = format!("cluster {} over {over}, {topics}{}", cluster.id, dead.unwrap_or_default());
    Ok((cluster.id, words))
}

/// Tries nothing: a record could not be taken back.
fn takes_dead_letters(consumer: &BaseConsumer<client::Context>, topic: &str) -> Result<(), String> {
    let words = match topics::may_write(consumer, topic, PATIENCE) {
        Ok(true) => return Ok(()),
        Ok(false) => "may not be written to by this user".to_owned(),
        Err(words) => words,
    };
    Err(format!("kafka topic {topic} {words}: create it, allow this user to write to it, or correct dead_letter.topic"))
}

async fn storage(settings: &Settings, cluster: Option<&str>) -> Result<String, String> {
    let store = Store::open(&mapping::store_options(settings)).map_err(|e| e.to_string())?;
    let place = store.describe();
    let guarantee = match store.probe("check").await.map_err(|e| e.to_string())? {
        Guarantee::CreateOnly => "create-only writes work",
        Guarantee::Overwrites if settings.storage.allow_at_least_once => {
            "overwrites objects, allowed: at-least-once only"
        }
        Guarantee::Overwrites => {
            return Err(format!("{place} overwrites objects: use a store with conditional writes"));
        }
    };
    let owner = store.get(&Owner::key()).await.map_err(|e| e.to_string())?;
    let owner: Option<Owner> = owner.and_then(|body| serde_json::from_slice(&body).ok());
    match owner {
        None => Ok(format!("{place}, {guarantee}, prefix is free")),
        Some(owner) => {
            let ours = Owner {
                cluster_id: cluster.unwrap_or(&owner.cluster_id).to_owned(),
                sink: settings.sink_name().to_owned(),
                group: settings.kafka.consumer.group_id.clone(),
                ..owner.clone()
            };
            ledger::same_owner(&place, &owner, &ours).map_err(|e| e.to_string())?;
            Ok(format!("{place}, {guarantee}, prefix is ours (ledger {})", owner.ledger))
        }
    }
}
