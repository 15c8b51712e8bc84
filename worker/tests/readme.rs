//! What the README and the page on delivery show must be as they say.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use eventsink_worker::settings;
use tempfile::TempDir;

const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md");
const DELIVERY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/delivery.md");

#[test]
fn the_configuration_is_complete() {
    let text = fs::read_to_string(README).unwrap();
    let config = text.split("```yaml\n").nth(1).unwrap().split("```").next().unwrap();
    let space = TempDir::new().unwrap();
    for name in ["password", "ca.crt"] {
        fs::write(space.path().join(name), "text").unwrap();
    }
    let folder = space.path().to_str().unwrap();
    let file = space.path().join("sink.yaml");
    fs::write(&file, config.replace("/etc/eventsink/kafka", folder)).unwrap();
    let variables = [("KAFKA_BROKERS", "kafka-1:9093")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    let loaded = settings::load(&file, &variables.into_iter().collect());
    assert!(loaded.is_ok(), "{}", loaded.unwrap_err());
}

#[test]
fn every_hold_is_explained() {
    let text = fs::read_to_string(DELIVERY).unwrap();
    let source = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cut/hold.rs")).unwrap();
    let names: BTreeMap<&str, bool> = source
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Self::")?.split_once(" => "))
        .map(|(name, _)| (name, text.contains(&format!("| `{name}` |"))))
        .collect();
    assert!(names.len() > 5 && names.values().all(|explained| *explained), "{names:?}");
}
