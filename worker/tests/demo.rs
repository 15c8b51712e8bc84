//! `demo` as users run it: the binary itself, no server.

use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

const EVENTS: u64 = 2_000;

fn demo(out: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_eventsink-worker"));
    command.args(["demo", "--events", &EVENTS.to_string(), "--out"]).arg(out).stdin(Stdio::null());
    command.output().unwrap()
}

fn demo_that_works(out: &Path) -> String {
    let output = demo(out);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

/// Rows of all Parquet files below a folder, by Parquet's own metadata.
fn rows(folder: &Path) -> u64 {
    let mut rows = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rows += self::rows(&path);
        } else if path.extension().is_some_and(|ext| ext == "parquet") {
            let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(&path).unwrap()).unwrap();
            rows += u64::try_from(reader.metadata().file_metadata().num_rows()).unwrap();
        }
    }
    rows
}

#[test]
fn every_sample_is_in_a_file() {
    let space = TempDir::new().unwrap();
    let out = space.path().join("out");
    demo_that_works(&out);
    assert_eq!((rows(&out.join("orders")), rows(&out.join("_dlq"))), (EVENTS - 10, 10));
}

/// Below a folder, all objects whose path says `which`.
fn objects(folder: &Path, which: fn(&Path) -> bool, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            objects(&path, which, found);
        } else if which(&path) {
            found.push(path);
        }
    }
}

#[test]
fn no_file_is_older_than_the_manifest_that_plans_it() {
    let space = TempDir::new().unwrap();
    let out = space.path().join("out");
    demo_that_works(&out);
    let mut manifests = Vec::new();
    objects(&out, |path| path.parent().is_some_and(|folder| folder.ends_with("cuts")), &mut manifests);
    let written = |path: &Path| fs::metadata(path).unwrap().modified().unwrap();
    let mut planned = 0;
    for path in &manifests {
        let manifest: serde_json::Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        for file in manifest["files"].as_array().unwrap() {
            let key = file["key"].as_str().unwrap();
            assert!(written(path) <= written(&out.join(key)), "{key} is older than {}", path.display());
            planned += 1;
        }
    }
    assert!(planned > 1, "{planned} files in {manifests:?}");
}

#[test]
fn the_report_names_files_rows_reasons_and_the_next_step() {
    let space = TempDir::new().unwrap();
    let said = demo_that_works(&space.path().join("out"));
    for words in ["orders/v2/dt=", "com.example.order.", "MissingAttribute", "read_parquet("] {
        assert!(said.contains(words), "{words} is not in\n{said}");
    }
}

#[test]
fn the_audit_verb_finds_the_folder_green() {
    let space = TempDir::new().unwrap();
    let out = space.path().join("out");
    demo_that_works(&out);
    let config = space.path().join("demo.yaml");
    let folder = out.display();
    let settings = format!(
        "{{kafka: {{bootstrap_servers: none, consumer: {{group_id: demo, topics: orders}}}}, \
         storage: {{backend: file, file: {{base_path: '{folder}'}}}}}}"
    );
    fs::write(&config, settings).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_eventsink-worker"));
    let output = command.args(["audit", "--config"]).arg(&config).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn a_second_demo_replaces_the_first() {
    let space = TempDir::new().unwrap();
    let out = space.path().join("out");
    demo_that_works(&out);
    let said = demo_that_works(&out);
    assert!(said.starts_with("removed the files of an earlier demo"), "{said}");
    assert_eq!(rows(&out), EVENTS);
}

#[test]
fn a_folder_with_other_files_is_refused_and_left_alone() {
    let space = TempDir::new().unwrap();
    let note = space.path().join("note.txt");
    fs::write(&note, "mine").unwrap();
    let output = demo(space.path());
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("note.txt"));
    assert_eq!(fs::read_to_string(&note).unwrap(), "mine");
}

#[test]
fn progress_is_told_where_there_is_no_terminal() {
    let space = TempDir::new().unwrap();
    let output = demo(&space.path().join("out"));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains(&format!("landed: {EVENTS}/{EVENTS} events")), "{told}");
}
