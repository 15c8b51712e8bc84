//! Settings, as users write them, to what the rooms of the worker take. Pure.

use crate::cut::{FloodLimit, Limits, Orders};
use crate::events;
use crate::files::{self, Encoding, Rules};
use crate::kafka::dead_letters::DeadLetters;
use crate::store::{self, AzureOptions, Backoff, BreakerRules, GcsOptions, Network, S3Options, Sse, StoreOptions};
use eventsink_crds::settings::{self, Settings};
use prometheus::IntCounterVec;
use std::sync::Arc;

/// Where objects go.
pub fn store_options(settings: &Settings) -> StoreOptions {
    let storage = &settings.storage;
    let backend = match storage.backend {
        settings::Backend::File => store::Backend::File { base_path: storage.file.base_path.clone().into() },
        settings::Backend::S3 => store::Backend::S3(Box::new(s3(storage))),
        settings::Backend::Azure => store::Backend::Azure(Box::new(azure(storage))),
        settings::Backend::Gcs => store::Backend::Gcs(Box::new(gcs(storage))),
    };
    StoreOptions { backend }
}

fn s3(storage: &settings::Storage) -> S3Options {
    let s3 = &storage.s3;
    S3Options {
        bucket: s3.bucket.clone(),
        base_path: s3.base_path.clone(),
        region: s3.region.clone(),
        path_style: s3.uses_path_style(),
        access_key_id: s3.access_key_id.clone(),
        secret_access_key: s3.secret_access_key.clone(),
        session_token: s3.session_token.clone(),
        sse: sse(&s3.sse),
        network: network(storage, &s3.endpoint, &s3.ca_file, s3.insecure_http),
    }
}

fn sse(sse: &settings::Sse) -> Option<Sse> {
    let kms = |double| Sse::Kms { key_id: sse.kms_key_id.clone(), double, bucket_key: sse.bucket_key };
    match sse.kind {
        settings::SseType::None => None,
        settings::SseType::S3 => Some(Sse::S3),
        settings::SseType::Kms => Some(kms(false)),
        settings::SseType::KmsDsse => Some(kms(true)),
        settings::SseType::Customer => sse.customer_key.clone().map(Sse::Customer),
    }
}

fn azure(storage: &settings::Storage) -> AzureOptions {
    let azure = &storage.azure;
    AzureOptions {
        account: azure.account.clone(),
        container: azure.container.clone(),
        base_path: azure.base_path.clone(),
        access_key: azure.access_key.clone(),
        sas_token: azure.sas_token.clone(),
        client_id: azure.client_id.clone(),
        tenant_id: azure.tenant_id.clone(),
        client_secret: azure.client_secret.clone(),
        federated_token_file: azure.federated_token_file.clone(),
        authority_host: azure.authority_host.clone(),
        network: network(storage, &azure.endpoint, &azure.ca_file, azure.insecure_http),
    }
}

fn gcs(storage: &settings::Storage) -> GcsOptions {
    let gcs = &storage.gcs;
    GcsOptions {
        bucket: gcs.bucket.clone(),
        base_path: gcs.base_path.clone(),
        service_account_file: gcs.service_account_file.clone().map(Into::into),
        network: network(storage, &gcs.endpoint, &gcs.ca_file, gcs.insecure_http),
    }
}

fn network(
    storage: &settings::Storage,
    endpoint: &Option<String>,
    ca_file: &Option<String>,
    insecure_http: bool,
) -> Network {
    Network {
        endpoint: endpoint.clone(),
        ca_file: ca_file.clone().map(Into::into),
        insecure_http,
        proxy_url: storage.proxy_url.clone(),
        connect_timeout: storage.timeouts.connect.as_duration(),
        request_timeout: storage.timeouts.request.as_duration(),
    }
}

/// Waits between tries at the store.
pub fn backoff(settings: &Settings) -> Backoff {
    Backoff { initial: settings.retry.initial_delay.as_duration(), max: settings.retry.max_delay.as_duration() }
}

/// When requests to the store are no longer sent.
pub fn breaker(settings: &Settings) -> BreakerRules {
    let breaker = &settings.breaker;
    BreakerRules {
        window: breaker.window.as_duration(),
        min_requests: breaker.min_requests,
        failure_share: breaker.failure_share,
        open: breaker.open.as_duration(),
        max_open: breaker.max_open.as_duration(),
    }
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
    Some(Arc::new(DeadLetters::new(settings.kafka.clone(), topic, copies(budget), copied)))
}

fn copies(budget: usize) -> usize {
    (budget / 16).clamp(1 << 20, 64 << 20)
}

/// Bytes that the Kafka client reads ahead.
pub fn prefetch(budget: usize) -> usize {
    budget / 16
}

/// Bytes of the budget that are taken from the start: queues that the Kafka client fills by itself. What it reads ahead
/// takes twice its bytes: it has something beside each record, and keeps an answer until all of its records are taken.
pub fn reserved(settings: &Settings, budget: usize) -> usize {
    2 * prefetch(budget) + settings.dead_letter.topic.as_ref().map_or(0, |_| copies(budget))
}

/// Every setting that changes rows or keys.
pub fn rules(settings: &Settings) -> Rules {
    Rules {
        format: match settings.storage.format {
            settings::Format::Parquet => files::Format::Parquet,
            settings::Format::Avro => files::Format::Avro,
        },
        columns: settings.storage.columns.to_vec(),
        partition_by: match settings.storage.partition_by {
            settings::PartitionBy::EventTime => files::PartitionBy::EventTime,
            settings::PartitionBy::KafkaTimestamp => files::PartitionBy::KafkaTimestamp,
        },
        default_schema_version: settings.storage.default_schema_version.clone(),
        non_cloud_events: match settings.events.non_cloud_events {
            settings::NonCloudEvents::Reject => events::NonCloudEvents::Reject,
            settings::NonCloudEvents::Skip => events::NonCloudEvents::Skip,
            settings::NonCloudEvents::Wrap => events::NonCloudEvents::Wrap,
            settings::NonCloudEvents::AssumeStructured => events::NonCloudEvents::AssumeStructured,
        },
        lenient: settings
            .events
            .lenient
            .iter()
            .map(|leniency| match leniency {
                settings::Leniency::HeaderCase => events::Leniency::HeaderCase,
                settings::Leniency::TimeSpace => events::Leniency::TimeSpace,
                settings::Leniency::ExtensionNames => events::Leniency::ExtensionNames,
            })
            .collect(),
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
            "storage": {
                "format": "avro", "columns": "tenant, region", "partition_by": "kafka_timestamp",
                "default_schema_version": "v7",
            },
            "events": {"non_cloud_events": "wrap", "lenient": "time_space, extension_names"},
        }));
        let expected = Rules {
            format: files::Format::Avro,
            columns: vec!["tenant".to_owned(), "region".to_owned()],
            partition_by: files::PartitionBy::KafkaTimestamp,
            default_schema_version: "v7".to_owned(),
            non_cloud_events: events::NonCloudEvents::Wrap,
            lenient: [events::Leniency::TimeSpace, events::Leniency::ExtensionNames].into_iter().collect(),
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
    fn every_setting_of_the_breaker_reaches_it() {
        let told = breaker(&from(serde_json::json!({"breaker": {
            "window": "2s", "min_requests": 7, "failure_share": "9%", "open": "3s", "max_open": "4s",
        }})));
        let [window, open, max_open] = [2, 3, 4].map(std::time::Duration::from_secs);
        let failure_share = settings::Share::percent(9);
        assert_eq!(told, BreakerRules { window, min_requests: 7, failure_share, open, max_open });
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
            "insecure_http": "true", "sse": {"type": "kms_dsse", "kms_key_id": "arn"},
        }}}));
        let store::Backend::S3(s3) = store_options(&settings).backend else { panic!("backend is s3") };
        let texts = [&s3.region, &s3.network.endpoint].map(|text| text.as_deref().unwrap_or_default());
        let secrets = [&s3.access_key_id, &s3.secret_access_key, &s3.session_token].map(exposed);
        assert_eq!((s3.bucket.as_str(), s3.base_path.as_str(), texts), ("b", "p", ["r", "https://e"]));
        assert_eq!(secrets, [Some("id"), Some("key"), Some("token")]);
        assert_eq!((s3.path_style, s3.network.insecure_http, s3.network.ca_file.is_some()), (false, true, true));
        let Some(Sse::Kms { key_id, double: true, bucket_key: None }) = s3.sse else { panic!("sse is kms_dsse") };
        assert_eq!(key_id.as_deref(), Some("arn"));
    }

    #[test]
    fn every_setting_of_azure_reaches_the_store() {
        let settings = from(serde_json::json!({"storage": {"backend": "azure", "proxy_url": "http://p:1",
            "timeouts": {"connect": "1s", "request": "2s"}, "azure": {
            "account": "a", "container": "c", "base_path": "p", "access_key": "key", "sas_token": "sas",
            "client_id": "id", "tenant_id": "tenant", "client_secret": "secret", "federated_token_file": "token",
            "authority_host": "https://login", "endpoint": "https://e", "ca_file": "ca", "insecure_http": "true",
        }}}));
        let store::Backend::Azure(azure) = store_options(&settings).backend else { panic!("backend is azure") };
        assert_eq!([&azure.account, &azure.container, &azure.base_path], ["a", "c", "p"]);
        let secrets = [&azure.access_key, &azure.sas_token, &azure.client_secret, &azure.network.proxy_url];
        assert_eq!(secrets.map(exposed), [Some("key"), Some("sas"), Some("secret"), Some("http://p:1")]);
        let texts = [&azure.client_id, &azure.tenant_id, &azure.federated_token_file, &azure.authority_host];
        assert_eq!(texts.map(Option::as_deref), [Some("id"), Some("tenant"), Some("token"), Some("https://login")]);
        let network = &azure.network;
        assert_eq!(network.endpoint.as_deref(), Some("https://e"));
        assert!(network.insecure_http && network.ca_file.is_some());
        assert_eq!([network.connect_timeout.as_secs(), network.request_timeout.as_secs()], [1, 2]);
    }

    #[test]
    fn every_setting_of_gcs_reaches_the_store() {
        let settings = from(serde_json::json!({"storage": {"backend": "gcs", "gcs": {
            "bucket": "b", "base_path": "p", "service_account_file": "key.json", "endpoint": "https://e",
        }}}));
        let store::Backend::Gcs(gcs) = store_options(&settings).backend else { panic!("backend is gcs") };
        assert_eq!([&gcs.bucket, &gcs.base_path], ["b", "p"]);
        assert_eq!(gcs.service_account_file, Some("key.json".into()));
        assert_eq!(gcs.network.endpoint.as_deref(), Some("https://e"));
        let defaults = [gcs.network.connect_timeout.as_secs(), gcs.network.request_timeout.as_secs()];
        assert_eq!((defaults, gcs.network.insecure_http), ([5, 30], false));
    }

    fn exposed(secret: &Option<store::Secret>) -> Option<&str> {
        secret.as_ref().map(store::Secret::expose)
    }

    #[test]
    fn a_file_takes_at_most_a_quarter_of_the_budget() {
        assert_eq!(limits(&Settings::default(), 64 << 20).max_bytes, 16 << 20);
        assert_eq!(limits(&Settings::default(), 1 << 30).max_bytes, 128 << 20);
    }
}
