//! `check`: tries everything that `start` needs, writes nothing but the probe, and says all that is wrong at once.

use super::{FAILED, SettingsFile, load};
use crate::cut::manifest::Owner;
use crate::kafka::client;
use crate::kafka::connect::connect;
use crate::runtime::mapping;
use crate::store::{Guarantee, Store, ledger};
use clap::Args;
use eventsink_crds::settings::Settings;
use std::time::Duration;

/// How long the cluster may take to answer one question.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
pub(super) struct Check {
    #[command(flatten)]
    settings: SettingsFile,
}

impl Check {
    pub fn run(&self) -> u8 {
        println!(
            "eventsink-worker {}, librdkafka {}",
            env!("CARGO_PKG_VERSION"),
            rdkafka::util::get_rdkafka_version().1
        );
        println!("library features: {}", client::features());
        let settings = match load(&self.settings) {
            Ok(settings) => settings,
            Err(code) => return code,
        };
        report("settings", Ok::<_, String>(format!("{} is complete", self.settings.config.display())));
        for warning in settings.warnings() {
            println!("  warn  settings: {warning}");
        }
        let (cluster, reached) = match kafka(&settings) {
            Ok((id, words)) => (Some(id), report("kafka", Ok::<_, String>(words))),
            Err(words) => (None, report("kafka", Err(words))),
        };
        let stored = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(io) => report("storage", io.block_on(storage(&settings, cluster.as_deref()))),
            Err(error) => report("storage", Err(error)),
        };
        if reached && stored { 0 } else { FAILED }
    }
}

fn report<E: std::fmt::Display>(what: &str, found: Result<String, E>) -> bool {
    match &found {
        Ok(words) => println!("  ok    {what}: {words}"),
        Err(words) => println!("  FAIL  {what}: {words}"),
    }
    found.is_ok()
}

/// The cluster's id, and what it answered.
fn kafka(settings: &Settings) -> Result<(String, String), String> {
    let kafka = &settings.kafka;
    let consumer = client::consumer(kafka, 1 << 20).map_err(|e| e.to_string())?;
    let cluster = connect(&consumer, &kafka.bootstrap_servers, &kafka.consumer.topics, PATIENCE);
    let cluster = cluster.map_err(|e| e.to_string())?;
    client::may_use_group(&consumer, &cluster.topics, PATIENCE)?;
    let topics: Vec<String> =
        cluster.topics.iter().map(|(topic, partitions)| format!("{topic} ({partitions} partitions)")).collect();
    let words = format!("cluster {} over {}, {}", cluster.id, kafka.security_protocol.as_str(), topics.join(", "));
    Ok((cluster.id, words))
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
