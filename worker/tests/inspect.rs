//! `inspect`, `completions` and the JSON of `check` as users run them: the binary itself on real files.

#[allow(dead_code, reason = "the tests of the audit use other parts of it")]
mod bucket;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use bucket::{Bucket, Cut};
use serde_json::Value;

/// What a run left behind.
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

fn run(arguments: &[&str]) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_eventsink-worker"));
    let output = command.args(arguments).stdin(Stdio::null()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

fn inspect(path: &Path, more: &[&str]) -> Said {
    run(&[&["inspect", path.to_str().unwrap()], more].concat())
}

fn json(said: &Said) -> Value {
    serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error} in {}{}", said.out, said.err))
}

fn says(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "`{word}` is not in\n{text}");
    }
}

/// Settings of the sink whose store is the bucket.
fn config(bucket: &Bucket) -> PathBuf {
    let config = bucket.beside("sink.yaml");
    let settings = format!(
        "{{sink: orders, kafka: {{bootstrap_servers: 'localhost:1', consumer: {{group_id: orders-group, topics: user-events}}}}, \
         storage: {{backend: file, file: {{base_path: '{}'}}}}}}",
        bucket.path("").display()
    );
    fs::write(&config, settings).unwrap();
    config
}

async fn healthy() -> (Bucket, Vec<Cut>) {
    Bucket::healthy().await
}

#[tokio::test]
async fn a_file_is_shown_with_footer_columns_and_rows() {
    let (bucket, cuts) = healthy().await;
    let said = inspect(&bucket.path(cuts[1].file(0)), &[]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    says(
        &said.out,
        &["4 rows", "user-events (id kE3x), partition 0", "6 to 9", "6..10, manifest nonce-0-6", "20 columns"],
    );
    // Too few rows for a codec.
    says(&said.out, &["timestamp(us, UTC)", "uncompressed  delta_binary_packed", "1 row group", "com.example.order"]);
    assert_eq!(said.out.matches("\nrow ").count(), 3, "three rows unless told otherwise:\n{}", said.out);
}

#[tokio::test]
async fn an_avro_file_is_shown_with_header_columns_blocks_and_rows() {
    let (bucket, cuts) = Bucket::healthy_in_avro().await;
    let said = inspect(&bucket.path(cuts[1].file(0)), &[]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    says(&said.out, &["4 rows", "user-events (id kE3x), partition 0", "6..10, manifest nonce-0-6", "Avro, version 1"]);
    says(
        &said.out,
        &["18 columns", "timestamp(us, UTC)", "map of string", "zstandard", "1 block", "com.example.order"],
    );
    assert_eq!(said.out.matches("\nrow ").count(), 3, "three rows unless told otherwise:\n{}", said.out);
    let found = json(&inspect(&bucket.path(cuts[1].file(0)), &["--json"]));
    assert_eq!(
        (&found["format"], &found["rows"], &found["row_groups"][0]["rows"]),
        (&"avro".into(), &4.into(), &4.into())
    );
    let row = &found["first_rows"][0];
    assert_eq!((&row["kafka_offset"], &row["kafka_timestamp"]), (&6.into(), &"2025-12-21T10:00:00Z".into()));
    assert_eq!((&row["extensions"]["schemaversion"], &row["data"]), (&"v1".into(), &Value::Null));
}

#[tokio::test]
async fn an_avro_file_is_shown_by_its_header_alone_or_with_rows() {
    let (bucket, cuts) = Bucket::healthy_in_avro().await;
    let config = config(&bucket);
    for (rows, block) in [("0", false), ("2", true)] {
        let said = run(&["inspect", "--config", config.to_str().unwrap(), cuts[1].file(0), "--rows", rows]);
        says(&said.out, &["4 rows", "nonce-0-6", "18 columns"]);
        assert_eq!((said.code, said.out.contains("1 block")), (Some(0), block), "{}{}", said.out, said.err);
    }
    let said = inspect(&bucket.path(cuts[1].file(0)), &["--rows", "0"]);
    says(&said.out, &["4 rows", "nonce-0-6", "18 columns"]);
    assert!(said.code == Some(0) && !said.out.contains("block"), "only the header is read: {}{}", said.out, said.err);
    let last = inspect(&bucket.path(""), &[]).out.lines().last().unwrap().to_owned();
    says(&last, &["8 files, 11 rows, 2 dead letters"]);
}

#[tokio::test]
async fn an_avro_file_that_is_damaged_says_so_and_never_panics() {
    let (bucket, cuts) = Bucket::healthy_in_avro().await;
    let path = bucket.path(cuts[1].file(0));
    let whole = fs::read(&path).unwrap();
    for length in [0, 3, 100, whole.len() - 1] {
        fs::write(&path, &whole[..length]).unwrap();
        let said = inspect(&path, &[]);
        assert_eq!((said.code, said.out.as_str()), (Some(1), ""), "{length}");
        says(&said.err, &[path.to_str().unwrap(), "not a whole Avro file", "audit"]);
    }
    for at in (0..whole.len()).step_by(whole.len() / 40) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0xff;
        fs::write(&path, damaged).unwrap();
        let said = inspect(&path, &[]);
        assert!(matches!(said.code, Some(0 | 1)) && !said.err.contains("panicked"), "byte {at}: {}", said.err);
    }
}

#[tokio::test]
async fn so_many_rows_are_shown_as_were_asked_for() {
    let (bucket, cuts) = healthy().await;
    for (rows, shown) in [("0", 0), ("1", 1), ("99", 4)] {
        let said = inspect(&bucket.path(cuts[1].file(0)), &["--rows", rows]);
        assert_eq!(said.out.matches("\nrow ").count(), shown, "{}", said.out);
    }
}

#[tokio::test]
async fn a_file_as_json_has_facts_and_whole_rows() {
    let (bucket, cuts) = healthy().await;
    let found = json(&inspect(&bucket.path(cuts[1].file(0)), &["--json"]));
    assert_eq!(found["eventsink"]["identity"]["topic"], "user-events");
    assert_eq!((&found["rows"], &found["eventsink"]["cut_to"]), (&4.into(), &10.into()));
    assert_eq!(found["columns"][0]["name"], "specversion");
    let row = &found["first_rows"][0];
    assert_eq!((&row["kafka_offset"], &row["kafka_timestamp"]), (&6.into(), &"2025-12-21T10:00:00Z".into()));
    assert_eq!((&row["extensions"]["schemaversion"], &row["data"]), (&"v1".into(), &Value::Null));
}

#[tokio::test]
async fn a_folder_is_a_table_of_its_files_with_sums() {
    let (bucket, cuts) = healthy().await;
    let said = inspect(&bucket.path(""), &[]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let files: Vec<&str> = cuts.iter().flat_map(|cut| &cut.files).map(|file| file.plan.key.as_str()).collect();
    says(&said.out, &files);
    let last = said.out.lines().last().unwrap();
    says(last, &[&format!("{} files, 11 rows, 2 dead letters", files.len()), "objects of the ledger"]);
}

#[tokio::test]
async fn the_same_table_is_shown_of_a_sinks_store() {
    let (bucket, _) = healthy().await;
    let config = config(&bucket);
    let at = |target: &[&str]| {
        let found = json(&run(&[&["inspect", "--json", "--config", config.to_str().unwrap()], target].concat()));
        (found["totals"]["objects"].clone(), found["totals"]["rows"].clone())
    };
    assert_eq!(at(&[]), (8.into(), 11.into()));
    assert_eq!(at(&["user-events/v2"]), (2.into(), 3.into()));
}

#[tokio::test]
async fn a_key_is_found_in_a_sinks_store() {
    let (bucket, cuts) = healthy().await;
    let config = config(&bucket);
    for rows in ["0", "2"] {
        let said = run(&["inspect", "--config", config.to_str().unwrap(), cuts[1].file(0), "--rows", rows]);
        says(&said.out, &["4 rows", "nonce-0-6"]);
        assert_eq!(said.code, Some(0), "{}", said.err);
    }
}

#[tokio::test]
async fn a_key_that_is_not_there_is_named_with_the_way_out() {
    let (bucket, _) = healthy().await;
    let config = config(&bucket);
    let said = run(&["inspect", "--config", config.to_str().unwrap(), "user-events/v9"]);
    says(&said.err, &["user-events/v9", "no such key or prefix", "relative to the base path"]);
    assert_eq!((said.code, said.out.as_str()), (Some(1), ""));
}

#[tokio::test]
async fn a_manifest_is_shown_readably() {
    let (bucket, cuts) = healthy().await;
    let said = inspect(&bucket.path(&cuts[0].key()), &[]);
    says(&said.out, &["manifest of topic user-events, partition 0", "0..6 (6)", "nonce-0-0, follows genesis"]);
    says(&said.out, &["dead letters  1 offset in 1..2", "3 files planned", cuts[0].file(0), cuts[0].file(2)]);
}

#[tokio::test]
async fn a_folder_of_manifests_lists_them() {
    let (bucket, cuts) = healthy().await;
    let said = inspect(bucket.path(&cuts[0].key()).parent().unwrap(), &[]);
    assert_eq!(said.code, Some(0), "{}{}", said.out, said.err);
    says(&said.out, &["0..6", "6..10", "10..13", "3 manifests"]);
}

#[tokio::test]
async fn a_file_that_was_cut_short_says_so() {
    let (bucket, cuts) = healthy().await;
    let path = bucket.path(cuts[1].file(0));
    let whole = fs::read(&path).unwrap();
    for length in [0, 7, 100, whole.len() - 1] {
        fs::write(&path, &whole[..length]).unwrap();
        let said = inspect(&path, &[]);
        assert_eq!((said.code, said.out.as_str()), (Some(1), ""), "{length}");
        says(&said.err, &[path.to_str().unwrap(), "not a whole Parquet file", "audit"]);
    }
}

#[tokio::test]
async fn something_else_than_parquet_says_so() {
    let (bucket, _) = healthy().await;
    let path = bucket.beside("notes.parquet");
    fs::write(&path, "these are notes, and they are not Parquet at all").unwrap();
    let said = inspect(&path, &["--json"]);
    says(&said.err, &["notes.parquet", "another format"]);
    assert_eq!(said.code, Some(1));
}

#[tokio::test]
async fn a_damaged_file_in_a_folder_is_named_and_the_others_are_shown() {
    let (bucket, cuts) = healthy().await;
    bucket.overwrite(cuts[1].file(0), "short");
    let said = inspect(&bucket.path(""), &[]);
    assert_eq!(said.code, Some(1));
    says(&said.out, &[&format!("problem: {}", cuts[1].file(0)), cuts[0].file(0), "1 problem"]);
}

#[tokio::test]
async fn damaged_bytes_end_in_words_and_never_in_a_panic() {
    let (bucket, cuts) = healthy().await;
    let path = bucket.path(cuts[1].file(0));
    let whole = fs::read(&path).unwrap();
    for at in (4..whole.len()).step_by(whole.len() / 60) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0xff;
        fs::write(&path, damaged).unwrap();
        let said = inspect(&path, &[]);
        assert!(matches!(said.code, Some(0 | 1)) && !said.err.contains("panicked"), "byte {at}: {}", said.err);
    }
}

#[test]
fn a_path_that_is_not_there_names_the_way_to_the_store() {
    let said = run(&["inspect", "no/such/file.parquet"]);
    says(&said.err, &["no/such/file.parquet", "--config"]);
    assert_eq!(said.code, Some(1));
}

#[test]
fn nothing_to_inspect_is_a_mistake_in_the_arguments() {
    assert_eq!(run(&["inspect"]).code, Some(2));
}

#[test]
fn completions_know_every_verb() {
    for shell in ["bash", "zsh", "fish"] {
        let said = run(&["completions", shell]);
        assert_eq!(said.code, Some(0), "{}", said.err);
        says(
            &said.out,
            &["start", "check", "audit", "inspect", "lag", "demo", "--json"].map(|word| word.trim_start_matches('-')),
        );
    }
}

#[tokio::test]
async fn check_says_all_it_found_as_json() {
    let (bucket, _) = healthy().await;
    let said = run(&["check", "--json", "--config", config(&bucket).to_str().unwrap()]);
    let found = json(&said);
    assert_eq!((said.code, &found["ok"]), (Some(1), &false.into()));
    let parts: Vec<_> = found["parts"].as_array().unwrap().iter().map(|part| (&part["what"], &part["ok"])).collect();
    let parts: Vec<_> = parts.iter().map(|(what, ok)| (what.as_str().unwrap(), ok.as_bool().unwrap())).collect();
    assert_eq!(parts, [("settings", true), ("kafka", false), ("storage", true)]);
}

#[tokio::test]
async fn check_says_wrong_settings_as_json() {
    let (bucket, _) = healthy().await;
    let config = bucket.beside("wrong.yaml");
    fs::write(&config, "{kafka: {bootstrap_server: none}}").unwrap();
    let said = run(&["check", "--json", "--config", config.to_str().unwrap()]);
    says(json(&said)["parts"][0]["words"].as_str().unwrap(), &["bootstrap_servers"]);
    assert_eq!(said.code, Some(2));
}
