//! Settings, as users write them, to what the rooms of the worker take. Pure.

use crate::cut::{FloodLimit, Limits, Orders};
use crate::events;
use crate::files::{self, Encoding, Rules};
use crate::kafka::dead_letters::DeadLetters;
use crate::store::{self, Backoff, S3Options, StoreOptions};
use eventsink_crds::settings::{self, Settings};
use prometheus::IntCounterVec;
use std::sync::Arc;

/// Where objects go.
pub fn store_options(settings: &Settings) -> StoreOptions {
    let storage = &settings.storage;
    let backend = match storage.backend {
        settings::Backend::File => store::Backend::File { base_path: storage.file.base_path.clone().into() },
        settings::Backend::S3 => {
            let s3 = &storage.s3;
            store::Backend::S3(Box::new(S3Options {
                bucket: s3.bucket.clone(),
                base_path: s3.base_path.clone(),
                region: s3.region.clone(),
                endpoint: s3.endpoint.clone(),
                path_style: s3.uses_path_style(),
                access_key_id: s3.access_key_id.clone(),
                secret_access_key: s3.secret_access_key.clone(),
                session_token: s3.session_token.clone(),
                ca_file: s3.ca_file.clone().map(Into::into),
                insecure_http: s3.insecure_http,
            }))
        }
    };
    StoreOptions { backend }
}

/// Waits between tries at the store.
pub fn backoff(settings: &Settings) -> Backoff {
    Backoff { initial: settings.retry.initial_delay.as_duration(), max: settings.retry.max_delay.as_duration() }
}

/// When cuts close; a file takes at most a quarter of the budget.
pub fn limits(settings: &Settings, budget: usize) -> Limits {
    let rotation = &settings.rotation;
    Limits {
        max_bytes: rotation.max_bytes.as_u64().min(budget as u64 / 4),
        max_records: rotation.max_records,
        max_age: rotation.max_age.as_duration(),
        max_idle: rotation.max_idle.as_duration(),
    }
}

/// What the machine of each partition is told.
pub fn orders(settings: &Settings, budget: usize) -> Orders {
    let dead_letter = &settings.dead_letter;
    Orders {
        limits: limits(settings, budget),
        skip_losses: settings.kafka.on_loss == settings::OnLoss::Skip,
        copy_dead: dead_letter.topic.is_some(),
        flood: FloodLimit { threshold: dead_letter.flood_threshold, min_records: dead_letter.flood_min_records },
    }
}

/// Where dead letters are copied to, if anywhere; the producer's queue is small beside the budget.
pub fn dead_letters(settings: &Settings, budget: usize, copied: IntCounterVec) -> Option<Arc<DeadLetters>> {
    let topic = settings.dead_letter.topic.clone()?;
    let largest = (budget / 16).clamp(1 << 20, 64 << 20);
    Some(Arc::new(DeadLetters::new(settings.kafka.clone(), topic, largest, copied)))
}

/// Every setting that changes rows or keys.
pub fn rules(settings: &Settings) -> Rules {
    Rules {
        partition_by: match settings.storage.partition_by {
            settings::PartitionBy::EventTime => files::PartitionBy::EventTime,
            settings::PartitionBy::KafkaTimestamp => files::PartitionBy::KafkaTimestamp,
        },
        default_schema_version: settings.storage.default_schema_version.clone(),
        non_cloud_events: match settings.events.non_cloud_events {
            settings::NonCloudEvents::Reject => events::NonCloudEvents::Reject,
            settings::NonCloudEvents::Skip => events::NonCloudEvents::Skip,
        },
        ..Rules::default()
    }
}

/// How rows become bytes; row groups are small enough for many open files.
pub fn encoding(settings: &Settings, budget: usize) -> Encoding {
    Encoding { compression: settings.storage.compression, row_group_bytes: (64 << 20).min(budget / 8) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(json: serde_json::Value) -> Settings {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn every_setting_that_changes_rows_or_keys_reaches_the_rules() {
        let settings = from(serde_json::json!({
            "storage": {"partition_by": "kafka_timestamp", "default_schema_version": "v7"},
            "events": {"non_cloud_events": "skip"},
        }));
        let expected = Rules {
            partition_by: files::PartitionBy::KafkaTimestamp,
            default_schema_version: "v7".to_owned(),
            non_cloud_events: events::NonCloudEvents::Skip,
            ..Rules::default()
        };
        assert_eq!(rules(&settings), expected);
        assert_eq!(rules(&Settings::default()), Rules::default());
    }

    #[test]
    fn every_setting_of_dead_letters_reaches_the_machines() {
        let dead_letter = serde_json::json!({"topic": "d", "flood_threshold": "7%", "flood_min_records": 3});
        let told = orders(&from(serde_json::json!({"dead_letter": dead_letter})), 1 << 30);
        let flood = FloodLimit { threshold: settings::Share::percent(7), min_records: 3 };
        assert_eq!((told.copy_dead, told.flood), (true, flood));
        assert!(!orders(&Settings::default(), 1 << 30).copy_dead);
    }

    #[test]
    fn each_compression_reaches_the_encoder() {
        for (name, expected) in [
            ("zstd", files::Compression::Zstd),
            ("snappy", files::Compression::Snappy),
            ("gzip", files::Compression::Gzip),
            ("none", files::Compression::None),
        ] {
            let settings = from(serde_json::json!({"storage": {"compression": name}}));
            assert_eq!(encoding(&settings, 512 << 20).compression, expected, "{name}");
        }
    }

    #[test]
    fn every_setting_of_s3_reaches_the_store() {
        let settings = from(serde_json::json!({"storage": {"backend": "s3", "s3": {
            "bucket": "b", "base_path": "p", "region": "r", "endpoint": "https://e", "path_style": "false",
            "access_key_id": "id", "secret_access_key": "key", "session_token": "token", "ca_file": "ca",
            "insecure_http": "true",
        }}}));
        let store::Backend::S3(s3) = store_options(&settings).backend else { panic!("backend is s3") };
        let texts = [&s3.region, &s3.endpoint].map(|text| text.as_deref().unwrap_or_default());
        let secrets = [&s3.access_key_id, &s3.secret_access_key, &s3.session_token];
        assert_eq!((s3.bucket.as_str(), s3.base_path.as_str(), texts), ("b", "p", ["r", "https://e"]));
        assert_eq!(secrets.map(|secret| secret.as_ref().map(|s| s.expose())), [Some("id"), Some("key"), Some("token")]);
        assert_eq!((s3.path_style, s3.insecure_http, s3.ca_file.is_some()), (false, true, true));
    }

    #[test]
    fn a_file_takes_at_most_a_quarter_of_the_budget() {
        assert_eq!(limits(&Settings::default(), 64 << 20).max_bytes, 16 << 20);
        assert_eq!(limits(&Settings::default(), 1 << 30).max_bytes, 128 << 20);
    }
}
