//! What an audit says: nothing of a healthy bucket, and of each damage the key, what is wrong and the way out.

#[path = "../bucket/mod.rs"]
mod bucket;
mod deep;
mod many;
mod words;

use std::cell::RefCell;
use std::process::{Command, Output};

use bucket::{Absent, Bucket, Cut, Dead, Filtered, Lost, Row, TOPIC, TOPIC_ID};
use eventsink_worker::audit::{Depth, Finding, FindingKind, audit};
use eventsink_worker::cut::manifest::{genesis_key, rules_key};
use serde_json::{Value, json};

fn assert_says(finding: &Finding, kind: FindingKind, key: &str, words: &str) {
    assert_eq!((finding.kind, finding.key.as_str()), (kind, key), "{finding}");
    assert!(finding.what.contains(words), "{finding}");
}

fn dead_letters(cut: &Cut) -> &str {
    let file = cut.manifest.files.iter().find(|file| file.key.starts_with("_dlq/"));
    &file.expect("the cut has dead letters").key
}

#[tokio::test]
async fn a_healthy_bucket_is_green_and_every_offset_is_counted_once() {
    let (bucket, _) = Bucket::healthy().await;
    let report = bucket.audit().await;
    assert_eq!(report.findings, []);
    assert_eq!(report.verdict(), "audit: green: 17 offsets of 2 partitions accounted for in 8 files");
    let told = report.to_string();
    let table: Vec<Vec<&str>> = told.lines().skip(1).take(2).map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(table[1], [TOPIC, "2", "0..13", "4", "8", "11", "2", "2", "2", "0"], "{told}");
}

#[tokio::test]
async fn a_sink_that_has_not_cut_yet_is_green() {
    let report = Bucket::new().await.audit().await;
    assert_eq!(report.verdict(), "audit: green: 0 offsets of 2 partitions accounted for in 0 files");
}

#[tokio::test]
async fn a_cut_without_any_row_needs_no_file() {
    let mut bucket = Bucket::new().await;
    bucket.finish(0, &[Filtered, Absent]).await;
    assert_eq!(bucket.audit().await.findings, []);
}

#[tokio::test]
async fn progress_ends_at_the_number_of_objects() {
    let (bucket, _) = Bucket::healthy().await;
    let seen = RefCell::new(Vec::new());
    audit(&bucket.store, Depth::Footers, |done, total| seen.borrow_mut().push((done, total))).await;
    let seen = seen.into_inner();
    assert!(seen.is_sorted(), "{seen:?}");
    // Owner, rules, genesis, probe, 4 manifests, 8 files.
    assert_eq!(seen.last(), Some(&(16, 16)));
    // The probe and the end need no look of their own.
    assert_eq!(seen.len(), 16);
}

#[tokio::test]
async fn an_unfinished_tip_is_a_warning_and_its_offsets_do_not_count_yet() {
    let (mut bucket, _) = Bucket::healthy().await;
    let tip = bucket.plan(0, &[Row("v1"), Row("v2")]);
    bucket.put_manifest(&tip).await;
    bucket.put(tip.file(0), tip.files[0].body.clone()).await;
    let report = bucket.audit().await;
    assert_eq!(report.findings, []);
    assert_eq!(report.unfinished[0].missing, [tip.file(1)]);
    let told = report.to_string();
    assert!(told.contains(&format!("warning: {}: unfinished tip, will be adopted: 1 of 2 files", tip.key())), "{told}");
    let verdict = "audit: green: 17 offsets of 2 partitions accounted for in 8 files, 1 unfinished tip will be adopted";
    assert_eq!(told.lines().last(), Some(verdict));
}

#[tokio::test]
async fn what_a_worker_writes_during_the_audit_is_no_finding() {
    let (mut bucket, _) = Bucket::healthy().await;
    let tip = bucket.plan(0, &[Row("v1")]);
    // Their listing was read before the manifest, their folder after it.
    bucket.put(tip.file(0), tip.files[0].body.clone()).await;
    bucket.mark_done(&tip).await;
    let manifest = bucket.path(&tip.key());
    let put = |done, _| {
        if done == 1 {
            std::fs::write(&manifest, serde_json::to_vec(&tip.manifest).unwrap()).unwrap();
        }
    };
    assert_eq!(audit(&bucket.store, Depth::Footers, put).await.findings, []);
    assert!(manifest.exists());
}

#[tokio::test]
async fn a_tip_marked_as_done_must_have_its_files() {
    let (mut bucket, _) = Bucket::healthy().await;
    let tip = bucket.plan(0, &[Row("v1")]);
    bucket.put_manifest(&tip).await;
    bucket.mark_done(&tip).await;
    assert_says(&bucket.finding().await, FindingKind::MissingFile, tip.file(0), &tip.key());
}

#[tokio::test]
async fn a_deleted_file_is_named() {
    let (bucket, cuts) = Bucket::healthy().await;
    bucket.delete(cuts[0].file(2));
    let finding = bucket.finding().await;
    assert_says(&finding, FindingKind::MissingFile, cuts[0].file(2), "not there");
    assert!(finding.what.contains(&cuts[0].key()), "{finding}");
}

#[tokio::test]
async fn deleted_dead_letters_are_named() {
    let (bucket, cuts) = Bucket::healthy().await;
    bucket.delete(dead_letters(&cuts[0]));
    assert_says(&bucket.finding().await, FindingKind::MissingFile, dead_letters(&cuts[0]), "with 1 rows of offsets 1");
}

#[tokio::test]
async fn a_deleted_tip_is_known_by_its_files() {
    let (bucket, cuts) = Bucket::healthy().await;
    let tip = &cuts[2];
    bucket.delete(&tip.key());
    let findings = bucket.findings().await;
    assert_eq!(findings.len(), 2, "{findings:#?}");
    for (finding, file) in findings.iter().zip(&tip.manifest.files) {
        let words = "names manifest nonce-0-10 of offsets 10..13, which is not in the ledger";
        assert_says(finding, FindingKind::OrphanFile, &file.key, words);
    }
}

#[tokio::test]
async fn a_deleted_tip_is_known_by_its_done_mark() {
    let (mut bucket, _) = Bucket::healthy().await;
    let tip = bucket.plan(0, &[Filtered]);
    let mark = bucket.mark_done(&tip).await;
    assert_says(&bucket.finding().await, FindingKind::MissingFromLedger, &tip.key(), &mark);
}

#[tokio::test]
async fn a_missing_manifest_in_the_middle_is_named_with_its_offsets() {
    let (bucket, cuts) = Bucket::healthy().await;
    bucket.delete(&cuts[1].key());
    let findings = bucket.findings().await;
    let words = "offsets 6..10 are in no manifest, since manifest nonce-0-0 ends at 6";
    assert_says(&findings[0], FindingKind::MissingFromLedger, &cuts[1].key(), words);
    assert_says(&findings[1], FindingKind::OrphanFile, cuts[1].file(0), "which is not in the ledger");
}

#[tokio::test]
async fn a_truncated_file_is_named() {
    let (bucket, cuts) = Bucket::healthy().await;
    let body = &cuts[1].files[0].body;
    bucket.overwrite(cuts[1].file(0), &body[..body.len() - 20]);
    assert_says(&bucket.finding().await, FindingKind::DamagedFile, cuts[1].file(0), "cut short");
}

#[tokio::test]
async fn a_healthy_bucket_of_avro_is_green_by_the_beginnings_of_its_files() {
    let (bucket, _) = Bucket::healthy_in_avro().await;
    let report = bucket.audit().await;
    assert_eq!(report.findings, []);
    assert_eq!(report.verdict(), "audit: green: 17 offsets of 2 partitions accounted for in 8 files");
}

#[tokio::test]
async fn an_avro_file_that_was_cut_short_grew_or_is_another_one_is_named() {
    let (bucket, cuts) = Bucket::healthy_in_avro().await;
    let (key, body) = (cuts[1].file(0), cuts[1].files[0].body.to_vec());
    let grown = [&body[..], b"more"].concat();
    for (length, body) in [(body.len() - 20, &body[..body.len() - 20]), (grown.len(), &grown)] {
        bucket.overwrite(key, body);
        let words = format!("it has {length} bytes, and by its header");
        assert_says(&bucket.finding().await, FindingKind::DamagedFile, key, &words);
    }
    bucket.overwrite(key, "");
    assert_says(&bucket.finding().await, FindingKind::DamagedFile, key, "does not end within 0 bytes");
    bucket.overwrite(key, &cuts[2].files[0].body);
    assert_says(&bucket.finding().await, FindingKind::DifferentFile, key, "its cut is 10..13, planned is 6..10");
}

#[tokio::test]
async fn an_empty_file_is_named() {
    let (bucket, cuts) = Bucket::healthy().await;
    bucket.overwrite(cuts[1].file(0), "");
    assert_says(&bucket.finding().await, FindingKind::DamagedFile, cuts[1].file(0), "too few for a Parquet file");
}

#[tokio::test]
async fn a_file_in_another_ones_place_is_named() {
    let (bucket, cuts) = Bucket::healthy().await;
    bucket.overwrite(cuts[1].file(0), &cuts[2].files[0].body);
    let words = "its manifest is nonce-0-10, planned is nonce-0-6";
    assert_says(&bucket.finding().await, FindingKind::DifferentFile, cuts[1].file(0), words);
}

#[tokio::test]
async fn a_copied_file_is_named_with_its_original() {
    let (bucket, cuts) = Bucket::healthy().await;
    let copy = format!("{}.bak", cuts[0].file(1));
    bucket.put(&copy, cuts[0].files[1].body.clone()).await;
    let words = format!("is a copy of {}", cuts[0].file(1));
    assert_says(&bucket.finding().await, FindingKind::CopiedFile, &copy, &words);
}

#[tokio::test]
async fn a_moved_file_is_to_be_moved_back_and_not_deleted() {
    let (bucket, cuts) = Bucket::healthy().await;
    let moved = "user-events/archive/file.parquet";
    bucket.delete(cuts[0].file(1));
    bucket.put(moved, cuts[0].files[1].body.clone()).await;
    let findings = bucket.findings().await;
    assert_says(&findings[0], FindingKind::MovedFile, moved, cuts[0].file(1));
    assert_says(&findings[1], FindingKind::MissingFile, cuts[0].file(1), "not there");
    assert_eq!(findings[0].way_out, "move it back to that key");
}

#[tokio::test]
async fn a_file_of_another_sink_is_named_with_its_sink() {
    let (bucket, _) = Bucket::healthy().await;
    let theirs = Bucket::of("ledger-2").await.plan(0, &[Row("v9")]);
    bucket.put(theirs.file(0), theirs.files[0].body.clone()).await;
    let words = "is a file of another sink: orders (ledger ledger-2";
    assert_says(&bucket.finding().await, FindingKind::OtherSink, theirs.file(0), words);
}

#[tokio::test]
async fn something_else_below_the_base_path_is_named() {
    let (bucket, _) = Bucket::healthy().await;
    bucket.put("user-events/_SUCCESS", "").await;
    bucket.put("_eventsink/notes.txt", "remember").await;
    let findings = bucket.findings().await;
    assert_says(&findings[0], FindingKind::UnknownObject, "_eventsink/notes.txt", "lies in the ledger's folder");
    assert_says(&findings[1], FindingKind::UnknownObject, "user-events/_SUCCESS", "no manifest plans it");
}

#[tokio::test]
async fn an_unreadable_manifest_is_named_and_so_are_its_files() {
    let (bucket, cuts) = Bucket::healthy().await;
    bucket.overwrite(&cuts[1].key(), "{\"version\": 1,");
    let findings = bucket.findings().await;
    assert_eq!(findings.len(), 2, "{findings:#?}");
    assert_says(&findings[0], FindingKind::Unreadable, &cuts[1].key(), "cannot be read");
    assert_says(&findings[1], FindingKind::OrphanFile, cuts[1].file(0), "which cannot be read");
}

#[tokio::test]
async fn a_manifest_of_a_newer_worker_is_never_taken_for_an_old_one() {
    let (bucket, cuts) = Bucket::healthy().await;
    bucket.change(&cuts[1].key(), "/version", json!(7));
    let findings = bucket.findings().await;
    assert_says(&findings[0], FindingKind::UnknownVersion, &cuts[1].key(), "has version 7");
}

#[tokio::test]
async fn a_manifest_with_another_count_is_named() {
    let (bucket, cuts) = Bucket::healthy().await;
    bucket.change(&cuts[1].key(), "/files/0/rows", json!(3));
    let findings = bucket.findings().await;
    assert_says(&findings[0], FindingKind::ChangedManifest, &cuts[1].key(), "plans 3 rows");
    assert_says(&findings[1], FindingKind::DifferentFile, cuts[1].file(0), "its row count is 4, planned is 3");
}

#[tokio::test]
async fn a_manifest_with_another_end_is_named() {
    let (bucket, cuts) = Bucket::healthy().await;
    bucket.change(&cuts[1].key(), "/to", json!(9));
    let findings = bucket.findings().await;
    assert!(findings.iter().any(|f| f.kind == FindingKind::ChangedManifest && f.key == cuts[1].key()), "{findings:#?}");
    let hole = findings.iter().find(|f| f.kind == FindingKind::MissingFromLedger);
    assert!(hole.is_some_and(|f| f.what.contains("offsets 9..10 are in no manifest")), "{findings:#?}");
}

#[tokio::test]
async fn a_manifest_that_forgets_a_file_is_named_and_so_is_the_file() {
    let (bucket, cuts) = Bucket::healthy().await;
    let (key, file) = (cuts[2].key(), cuts[2].file(1));
    bucket.change(&key, "/files", json!([cuts[2].manifest.files[0]]));
    let findings = bucket.findings().await;
    assert_says(&findings[0], FindingKind::ChangedManifest, &key, "plans 1 rows, and 3 of its 3 offsets");
    assert_says(&findings[1], FindingKind::OrphanFile, file, "which plans no such file");
}

#[tokio::test]
async fn a_manifest_with_ranges_that_are_none_is_a_finding_and_not_the_end() {
    let (bucket, cuts) = Bucket::healthy().await;
    bucket.change(&cuts[0].key(), "/filtered", json!([[i64::MIN, i64::MAX], [i64::MIN, i64::MAX]]));
    let mut changed = cuts[1].manifest.clone();
    changed.lost = serde_json::from_value(json!([[9, 7]])).unwrap();
    bucket.overwrite(&cuts[1].key(), serde_json::to_vec(&changed).unwrap());
    let findings = bucket.findings().await;
    assert_eq!(findings.len(), 2, "{findings:#?}");
    assert_says(&findings[0], FindingKind::ChangedManifest, &cuts[1].key(), "calls offsets 9..7 lost");
    assert_says(&findings[1], FindingKind::ChangedManifest, &cuts[0].key(), "filtered, which is no range");
}

#[tokio::test]
async fn a_file_whose_manifest_could_not_even_have_a_key_is_named() {
    let (bucket, _) = Bucket::healthy().await;
    let odd = Bucket::new().await.plan_for("..", &[Row("v1")]);
    bucket.put("odd.parquet", odd.files[0].body.clone()).await;
    assert_says(&bucket.finding().await, FindingKind::OrphanFile, "odd.parquet", "names manifest nonce-0-0");
}

#[tokio::test]
async fn a_file_planned_twice_is_named() {
    let (bucket, cuts) = Bucket::healthy().await;
    bucket.change(&cuts[1].key(), "/files/0/key", json!(cuts[0].file(1)));
    let findings = bucket.findings().await;
    let twice = findings.iter().find(|f| f.kind == FindingKind::ChangedManifest).expect("a finding");
    assert_says(twice, FindingKind::ChangedManifest, cuts[0].file(1), "another manifest does too");
}

#[tokio::test]
async fn a_planned_key_that_no_store_can_have_is_a_finding_and_not_the_end() {
    let (bucket, cuts) = Bucket::healthy().await;
    bucket.change(&cuts[1].key(), "/files/0/key", json!("../../secret"));
    let findings = bucket.findings().await;
    assert_says(&findings[0], FindingKind::DamagedFile, "../../secret", "is not a key");
    assert_says(&findings[1], FindingKind::MovedFile, cuts[1].file(0), "has the 4 rows of ../../secret");
}

#[tokio::test]
async fn missing_rules_are_named_once() {
    let (bucket, cuts) = Bucket::healthy().await;
    let key = rules_key(&cuts[0].manifest.rules);
    bucket.delete(&key);
    assert_says(&bucket.finding().await, FindingKind::MissingFromLedger, &key, "was made under these rules");
}

#[tokio::test]
async fn changed_rules_are_named() {
    let (bucket, cuts) = Bucket::healthy().await;
    let key = rules_key(&cuts[0].manifest.rules);
    bucket.change(&key, "/max_open_keys", json!(65));
    assert_says(&bucket.finding().await, FindingKind::Unreadable, &key, "the digest of its name");
}

#[tokio::test]
async fn a_missing_genesis_is_named() {
    let (bucket, _) = Bucket::healthy().await;
    let key = genesis_key(TOPIC, TOPIC_ID);
    bucket.delete(&key);
    assert_says(
        &bucket.finding().await,
        FindingKind::MissingFromLedger,
        &key,
        "where the partitions of this topic start",
    );
}

#[tokio::test]
async fn a_genesis_that_starts_earlier_leaves_a_hole() {
    let (bucket, cuts) = Bucket::healthy().await;
    bucket.change(&genesis_key(TOPIC, TOPIC_ID), "/partitions/1/offset", json!(2));
    let finding = bucket.finding().await;
    assert!(
        finding.what.contains(&format!(
            "offsets 2..5 are in no manifest, since the genesis ends at 2 and the next manifest, {}",
            cuts[3].key()
        )),
        "{finding}"
    );
}

#[tokio::test]
async fn a_missing_owner_is_named() {
    let (bucket, _) = Bucket::healthy().await;
    bucket.delete("_eventsink/owner.json");
    assert_says(&bucket.finding().await, FindingKind::MissingFromLedger, "_eventsink/owner.json", "not there");
}

#[tokio::test]
async fn named_losses_are_told_and_are_no_finding() {
    let mut bucket = Bucket::new().await;
    bucket.finish(0, &[Lost, Lost, Row("v1")]).await;
    bucket.name_loss(0, 0, 2).await;
    let report = bucket.audit().await;
    assert_eq!(report.findings, []);
    assert_eq!(report.totals().lost, 2);
    assert!(report.to_string().contains("loss: user-events/0: the log lost records of offsets 0..2"), "{report}");
}

#[tokio::test]
async fn a_loss_without_its_name_is_a_finding() {
    let mut bucket = Bucket::new().await;
    let cut = bucket.finish(0, &[Lost, Lost, Row("v1")]).await;
    assert_says(&bucket.finding().await, FindingKind::UnnamedLoss, &cut.key(), "lost offsets within 0..2");
}

#[tokio::test]
async fn an_incomplete_file_is_well_when_its_loss_is_named() {
    let mut bucket = Bucket::new().await;
    let cut = bucket.plan(0, &[Row("v1"), Row("v1"), Dead]);
    bucket.put_manifest(&cut).await;
    bucket.put_empty(&cut, 0).await;
    bucket.put_empty(&cut, 1).await;
    bucket.name_loss(0, 0, 3).await;
    let report = bucket.audit().await;
    assert_eq!(report.findings, []);
    let totals = report.totals();
    assert_eq!((totals.offsets, totals.rows, totals.dead_letters, totals.lost), (3, 0, 0, 3));
}

#[tokio::test]
async fn an_incomplete_file_without_a_named_loss_is_a_finding() {
    let mut bucket = Bucket::new().await;
    let cut = bucket.plan(0, &[Row("v1"), Row("v1")]);
    bucket.put_manifest(&cut).await;
    bucket.put_empty(&cut, 0).await;
    assert_says(&bucket.finding().await, FindingKind::UnnamedLoss, cut.file(0), "lost offsets within 0..2");
}

#[tokio::test]
async fn a_bucket_that_is_gone_is_not_green() {
    let (bucket, _) = Bucket::healthy().await;
    std::fs::remove_dir_all(bucket.path("")).unwrap();
    assert_says(&bucket.finding().await, FindingKind::NotFinished, &bucket.store.describe(), "is gone");
}

/// Runs the verb on a bucket.
fn run(bucket: &Bucket, base_path: &str, arguments: &[&str]) -> Output {
    let settings = json!({
        "kafka": { "bootstrap_servers": "localhost:9092", "consumer": { "group_id": "g", "topics": TOPIC } },
        "storage": { "backend": "file", "file": { "base_path": base_path } },
    });
    let file = bucket.beside("sink.yaml");
    std::fs::write(&file, settings.to_string()).unwrap();
    let program = env!("CARGO_BIN_EXE_eventsink-worker");
    Command::new(program).arg("audit").arg("--config").arg(file).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test]
async fn the_verb_ends_with_the_verdict_and_0_when_green() {
    let (bucket, _) = Bucket::healthy().await;
    let output = run(&bucket, bucket.path("").to_str().unwrap(), &[]);
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""));
    let last = "audit: green: 17 offsets of 2 partitions accounted for in 8 files";
    assert_eq!(text(&output.stdout).lines().last(), Some(last));
}

#[tokio::test]
async fn the_verb_ends_with_1_when_something_is_wrong_and_says_it_in_one_line() {
    let (bucket, cuts) = Bucket::healthy().await;
    bucket.delete(cuts[0].file(1));
    let output = run(&bucket, bucket.path("").to_str().unwrap(), &[]);
    assert_eq!(output.status.code(), Some(1));
    let told = text(&output.stdout);
    let wanted = format!("finding: {}: not there: ", cuts[0].file(1));
    assert_eq!(told.lines().filter(|line| line.starts_with(&wanted)).count(), 1, "{told}");
    assert_eq!(told.lines().last(), Some("audit: 1 finding"));
}

#[tokio::test]
async fn json_has_the_same_facts() {
    let (bucket, cuts) = Bucket::healthy().await;
    bucket.delete(cuts[0].file(1));
    let output = run(&bucket, bucket.path("").to_str().unwrap(), &["--json"]);
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["green"], false);
    assert_eq!(report["findings"][0]["kind"], "missing_file");
    assert_eq!(report["findings"][0]["key"], cuts[0].file(1));
    assert_eq!(report["topics"][0]["partitions"][1]["from"], 5);
}

#[tokio::test]
async fn a_mistyped_folder_is_told_and_not_made() {
    let (bucket, _) = Bucket::healthy().await;
    let mistyped = bucket.beside("bsae");
    let output = run(&bucket, mistyped.to_str().unwrap(), &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("storage.file.base_path: there is no folder"), "{output:?}");
    assert!(!mistyped.exists());
}

#[tokio::test]
async fn wrong_settings_end_with_2() {
    let (bucket, _) = Bucket::healthy().await;
    assert_eq!(run(&bucket, "", &[]).status.code(), Some(2));
}
