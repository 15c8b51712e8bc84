//! The ledger on a real store: whose prefix it is, which manifest stands, and what may stand under a planned key.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use eventsink_crds::settings::Settings;
use eventsink_worker::cut::{
    Genesis, HoldReason, MANIFEST_VERSION, Manifest, Owner, PartitionStart, PutOutcome, Ranges,
};
use eventsink_worker::events::{DECODER_VERSION, Record};
use eventsink_worker::files::{Close, CutWriter, EncodedFile, Encoding, Identity, Rules};
use eventsink_worker::runtime::mapping;
use eventsink_worker::store::ledger::{Ledger, LedgerError};
use eventsink_worker::store::{Backend, Backoff, Gate, Store, StoreOptions};
use tempfile::TempDir;

fn folder() -> (TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let backend = Backend::File { base_path: folder.path().join("base") };
    (folder, Store::open(&StoreOptions { backend }).unwrap())
}

fn owner(sink: &str, group: &str, cluster: &str) -> Owner {
    Owner {
        version: MANIFEST_VERSION,
        ledger: String::new(),
        cluster_id: cluster.to_owned(),
        sink: sink.to_owned(),
        group: group.to_owned(),
    }
}

async fn open(store: &Store, owner: Owner) -> Result<Ledger, LedgerError> {
    let at_once = Backoff { initial: Duration::ZERO, max: Duration::ZERO };
    let gate = Gate::new(mapping::breaker(&Settings::default()));
    Ledger::open(store.clone(), owner, gate, at_once, Arc::new(|error| panic!("{error}"))).await
}

async fn ledger() -> (TempDir, Ledger) {
    let (folder, store) = folder();
    (folder, open(&store, owner("orders", "g", "c")).await.unwrap())
}

/// A cut of one file with so many dead letters.
fn cut(ledger: &Ledger, nonce: &str, rows: i64) -> (Manifest, EncodedFile) {
    let identity = Arc::new(Identity {
        ledger: ledger.owner().ledger.clone(),
        sink: "orders".into(),
        cluster_id: "c".into(),
        topic: "t".into(),
        topic_id: "id".into(),
        partition: 0,
    });
    let rules = Arc::new(Rules::default());
    let mut writer = CutWriter::new(Arc::clone(&rules), identity, Encoding::default());
    for offset in 0..rows {
        let record = Record { offset, timestamp: Some(0), key: None, value: Some(b"x"), headers: &[] };
        writer.dead(&record, "MalformedJson", "").unwrap();
    }
    let close = Close { from: 0, to: 9, nonce: nonce.into(), decoder_version: DECODER_VERSION, incomplete: false };
    let file = writer.finish(&close).unwrap().remove(0);
    let manifest = Manifest {
        version: MANIFEST_VERSION,
        ledger: ledger.owner().ledger.clone(),
        topic: "t".into(),
        partition: 0,
        from: 0,
        to: 9,
        epoch: 0,
        prev: String::new(),
        nonce: nonce.into(),
        rules: rules.digest(),
        decoder_version: DECODER_VERSION,
        files: vec![file.plan.clone()],
        dead: Ranges::default(),
        filtered: Ranges::default(),
        absent: Ranges::default(),
        lost: Ranges::default(),
    };
    (manifest, file)
}

#[tokio::test]
async fn the_same_sink_finds_its_ledger_again() {
    let (_folder, store) = folder();
    let first = open(&store, owner("orders", "g", "c")).await.unwrap();
    let second = open(&store, owner("orders", "g", "c")).await.unwrap();
    assert_eq!(first.owner().ledger, second.owner().ledger);
}

#[tokio::test]
async fn another_sink_group_or_cluster_is_refused_and_told_whose_prefix_it_is() {
    let (_folder, store) = folder();
    open(&store, owner("orders", "orders-group", "cluster-1")).await.unwrap();
    for other in [
        owner("payments", "orders-group", "cluster-1"),
        owner("orders", "payments-group", "cluster-1"),
        owner("orders", "orders-group", "cluster-2"),
    ] {
        let error = open(&store, other).await.err().expect("another sink's prefix").to_string();
        for words in ["PrefixOwnedBy", "orders", "orders-group", "cluster-1", "base path of its own"] {
            assert!(error.contains(words), "{words} is not in: {error}");
        }
    }
}

#[tokio::test]
async fn of_two_manifests_for_one_offset_the_first_stands() {
    let (_folder, ledger) = ledger().await;
    let [(first, _), (second, _)] = ["first", "second"].map(|nonce| cut(&ledger, nonce, 1));
    assert_eq!(ledger.put_manifest("id", first.clone()).await.unwrap(), PutOutcome::Won(first.clone()));
    assert_eq!(ledger.put_manifest("id", second).await.unwrap(), PutOutcome::Rival(first.clone()));
    assert_eq!(ledger.put_manifest("id", first.clone()).await.unwrap(), PutOutcome::Won(first), "a lost reply");
}

#[tokio::test]
async fn of_two_starts_of_a_topic_the_first_stands() {
    let (_folder, ledger) = ledger().await;
    let start = |offset| {
        let partitions = vec![PartitionStart { offset, epoch: -1, why: "latest".into() }];
        Genesis { version: MANIFEST_VERSION, ledger: ledger.owner().ledger.clone(), partitions }
    };
    for offset in [3, 5] {
        assert_eq!(ledger.fix_genesis("t", "id", &start(offset)).await.unwrap(), start(3));
    }
}

#[tokio::test]
async fn a_planned_file_that_stands_already_is_as_good_as_written() {
    let (_folder, ledger) = ledger().await;
    let (manifest, file) = cut(&ledger, "n", 2);
    assert_eq!(ledger.missing_files(&manifest).await, Ok(vec![0]));
    ledger.put_file(&manifest, &file.plan, &file.body).await.unwrap();
    ledger.put_file(&manifest, &file.plan, &file.body).await.unwrap();
    assert_eq!(ledger.missing_files(&manifest).await, Ok(vec![]));
}

#[tokio::test]
async fn another_object_under_a_planned_key_is_named_and_left_alone() {
    let (_folder, ledger) = ledger().await;
    let (manifest, file) = cut(&ledger, "n", 2);
    let foreign = Bytes::from_static(b"somebody's notes, longer than a Parquet tail");
    ledger.store().create(&file.plan.key, foreign.clone()).await.unwrap();
    let error = ledger.put_file(&manifest, &file.plan, &file.body).await.unwrap_err();
    assert!(error.contains(&file.plan.key) && error.contains("move it away"), "{error}");
    assert_eq!(ledger.missing_files(&manifest).await, Err(error));
    assert_eq!(ledger.store().get(&file.plan.key).await.unwrap(), Some(foreign));
}

#[tokio::test]
async fn a_file_with_other_rows_under_a_planned_key_is_not_the_planned_one() {
    let (_folder, ledger) = ledger().await;
    let (manifest, file) = cut(&ledger, "n", 2);
    let (_, other) = cut(&ledger, "n", 3);
    ledger.store().create(&file.plan.key, other.body).await.unwrap();
    let error = ledger.put_file(&manifest, &file.plan, &file.body).await.unwrap_err();
    assert!(error.contains("its row count is 3, planned is 2"), "{error}");
}

#[tokio::test]
async fn rules_of_a_newer_worker_are_told_from_damaged_ones() {
    let (_folder, ledger) = ledger().await;
    let rules = Rules::default();
    ledger.keep_rules(&rules).await;
    assert_eq!(ledger.rules(&rules.digest()).await.unwrap(), rules);

    let newer = rules.canonical_json().replacen('{', "{\"sorted\":true,", 1);
    let digest = Rules::digest_of(newer.as_bytes());
    for (name, reason, way_out) in [
        (digest.as_str(), HoldReason::UnknownVersion, "run the newer worker again"),
        ("0123456789abcdef", HoldReason::LedgerDamaged, "restore the object"),
    ] {
        ledger.store().create(&format!("_eventsink/rules/{name}.json"), Bytes::from(newer.clone())).await.unwrap();
        let hold = ledger.rules(name).await.unwrap_err().hold(7);
        assert!(hold.reason == reason && hold.detail.contains(way_out), "{hold:?}");
    }
}
