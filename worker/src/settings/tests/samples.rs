//! The samples that the project ships load as they stand.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use eventsink_crds::settings::{Backend, Settings};

use super::super::{load, yaml};
use super::loaded;

fn sample(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../config").join(name)
}

#[test]
fn the_sample_names_every_key_and_shows_the_defaults() {
    let text = std::fs::read_to_string(sample("application.yaml")).unwrap();
    let mut shown = loaded(&text, &[]);
    let mut expected = Settings::default();
    expected.kafka.bootstrap_servers = shown.kafka.bootstrap_servers.clone();
    expected.kafka.consumer.group_id = "eventsink".to_owned();
    expected.kafka.consumer.topics = ["user-events"].into_iter().collect();
    expected.storage.backend = Backend::File;
    expected.storage.file.base_path = std::mem::take(&mut shown.storage.file.base_path);
    shown.storage.file = expected.storage.file.clone();
    assert_eq!(shown, expected);

    let uncommented = text.lines().map(|line| match line.trim_start().strip_prefix('#') {
        Some(key) if key.starts_with(|c: char| c.is_ascii_lowercase()) => line.replacen('#', "", 1),
        _ => line.to_owned(),
    });
    let uncommented = uncommented.collect::<Vec<_>>().join("\n");
    let document = yaml::read("sample", &uncommented, &BTreeMap::new()).unwrap();
    let mut in_sample = Vec::new();
    keys_of_config(&document.table, "", &mut in_sample);
    in_sample.sort();
    let mut in_types = Vec::new();
    let types = serde_json::to_value(Settings::default()).unwrap();
    keys_of_json(&types, "", &mut in_types);
    in_types.sort();
    assert_eq!(in_sample, in_types);
}

fn keys_of_config(table: &config::Map<String, config::Value>, path: &str, keys: &mut Vec<String>) {
    for (key, value) in table {
        let path = format!("{path}/{key}");
        match &value.kind {
            config::ValueKind::Table(inner) => keys_of_config(inner, &path, keys),
            _ => keys.push(path),
        }
    }
}

fn keys_of_json(value: &serde_json::Value, path: &str, keys: &mut Vec<String>) {
    for (key, value) in value.as_object().into_iter().flatten() {
        let path = format!("{path}/{key}");
        match value {
            serde_json::Value::Object(_) => keys_of_json(value, &path, keys),
            _ => keys.push(path),
        }
    }
}

/// Loads the sample of an environment with something in every variable that it names without a default. Those that end
/// with `_FILE` name a file that is there.
fn of_environment(name: &str) -> Settings {
    let text = std::fs::read_to_string(sample(&format!("application-{name}.yaml"))).unwrap();
    let file = sample("application.yaml").display().to_string();
    let value = |variable: &str| if variable.ends_with("_FILE") { file.clone() } else { "value".to_owned() };
    let named = text.split("${").skip(1).filter_map(|rest| rest.split_once('}')).map(|(named, _)| named);
    let needed = named.filter(|named| !named.contains(":-")).map(|named| (named.to_owned(), value(named)));
    let env: BTreeMap<String, String> = needed.chain([("EVENTSINK_ENV".to_owned(), name.to_owned())]).collect();
    load(&sample("application.yaml"), &env).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn environments() -> Vec<String> {
    let entries = std::fs::read_dir(sample("")).unwrap().map(|entry| entry.unwrap().path());
    let name = |path: PathBuf| {
        let stem = path.file_stem().map(Path::new)?.to_str()?.to_owned();
        stem.strip_prefix("application-").map(str::to_owned)
    };
    let mut names: Vec<String> = entries.filter_map(name).collect();
    names.sort();
    names
}

#[test]
fn every_environment_has_a_sample_that_loads_over_the_main_one() {
    assert_eq!(environments(), ["aws", "azure", "development", "gcp", "production"]);
    for name in environments() {
        let settings = of_environment(&name);
        if name != "development" {
            assert_eq!(settings.warnings(), Vec::<String>::new(), "{name}");
        }
    }
}

#[test]
fn each_cloud_has_the_store_and_the_login_of_its_sample() {
    let of = |name: &str| {
        let settings = of_environment(name);
        (settings.storage.backend, settings.kafka.sasl.mechanism.as_str())
    };
    assert_eq!(of("development"), (Backend::File, "SCRAM-SHA-512"));
    assert_eq!(of("production"), (Backend::S3, "SCRAM-SHA-512"));
    assert_eq!(of("aws"), (Backend::S3, "SCRAM-SHA-512"));
    assert_eq!(of("azure"), (Backend::Azure, "PLAIN"));
    assert_eq!(of("gcp"), (Backend::Gcs, "OAUTHBEARER"));
}
