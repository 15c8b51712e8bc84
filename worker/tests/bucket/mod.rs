//! Builds real buckets on disk: the files by the worker's own encoder, the ledger by its own types, everything through
//! its own store. Then a test damages one object.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use eventsink_worker::audit::{Depth, Finding, Report, audit};
use eventsink_worker::cut::manifest::{cut_key, done_key, genesis_key, lost_key, rules_key};
use eventsink_worker::cut::{GENESIS_NONCE, Genesis, MANIFEST_VERSION, Manifest, Owner, PartitionStart, Ranges};
use eventsink_worker::events::{DECODER_VERSION, Data, Event, Record};
use eventsink_worker::files::{Close, CutWriter, EncodedFile, Encoding, Format, Identity, Rules, empty_file};
use eventsink_worker::store::{Backend, Put, Store, StoreOptions};
use serde_json::Value;
use tempfile::TempDir;

/// Topic of all cuts.
pub const TOPIC: &str = "user-events";
/// Id of the topic.
pub const TOPIC_ID: &str = "kE3x";
const LEDGER: &str = "ledger-1";
/// 2025-12-21T10:00:00Z in milliseconds.
const MORNING: i64 = 1_766_311_200_000;

/// What became of one offset.
#[derive(Debug, Clone, Copy)]
pub enum Fate {
    /// A row, in the file of this schema version.
    Row(&'static str),
    Dead,
    Filtered,
    Absent,
    Lost,
}
pub use Fate::{Absent, Dead, Filtered, Lost, Row};

/// A cut and its files, of which nothing but what a test asks for is in the bucket.
pub struct Cut {
    pub manifest: Manifest,
    pub files: Vec<EncodedFile>,
    identity: Arc<Identity>,
    close: Close,
}

impl Cut {
    /// Key of its manifest.
    pub fn key(&self) -> String {
        cut_key(TOPIC, TOPIC_ID, self.manifest.partition, self.manifest.from)
    }

    /// Key of one of its files.
    pub fn file(&self, at: usize) -> &str {
        &self.manifest.files[at].key
    }
}

pub struct Bucket {
    folder: TempDir,
    pub store: Store,
    ledger: String,
    rules: Arc<Rules>,
    tips: BTreeMap<i32, (i64, String)>,
}

impl Bucket {
    /// A sink that has fixed where its two partitions start: 0 and 5.
    pub async fn new() -> Self {
        Self::of(LEDGER).await
    }

    pub async fn of(ledger: &str) -> Self {
        Self::under(ledger, Rules::default()).await
    }

    async fn under(ledger: &str, rules: Rules) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let backend = Backend::File { base_path: folder.path().join("base") };
        let store = Store::open(&StoreOptions { backend }).unwrap();
        let ledger = ledger.to_owned();
        let bucket = Self { folder, store, ledger, rules: Arc::new(rules), tips: BTreeMap::new() };
        let owner = Owner {
            version: MANIFEST_VERSION,
            ledger: bucket.ledger.clone(),
            cluster_id: "cluster".into(),
            sink: "orders".into(),
            group: "orders-group".into(),
        };
        bucket.put(&Owner::key(), serde_json::to_vec(&owner).unwrap()).await;
        bucket.put(&rules_key(&bucket.rules.digest()), bucket.rules.canonical_json()).await;
        bucket.store.probe("start").await.unwrap();
        let start = |offset| PartitionStart { offset, epoch: 0, why: "earliest".into() };
        let partitions = vec![start(0), start(5)];
        let genesis = Genesis { version: MANIFEST_VERSION, ledger: bucket.ledger.clone(), partitions };
        bucket.put(&genesis_key(TOPIC, TOPIC_ID), serde_json::to_vec(&genesis).unwrap()).await;
        bucket
    }

    /// Three cuts in partition 0 and one in partition 1, with every fate an offset can have but a loss.
    pub async fn healthy() -> (Self, Vec<Cut>) {
        Self::healthy_under(Rules::default()).await
    }

    /// The same in Avro.
    pub async fn healthy_in_avro() -> (Self, Vec<Cut>) {
        Self::healthy_under(Rules { format: Format::Avro, ..Rules::default() }).await
    }

    async fn healthy_under(rules: Rules) -> (Self, Vec<Cut>) {
        let mut bucket = Self::under(LEDGER, rules).await;
        let rows = [Row("v1"); 4];
        let cuts = vec![
            bucket.finish(0, &[Row("v1"), Dead, Row("v2"), Filtered, Absent, Row("v1")]).await,
            bucket.finish(0, &rows).await,
            bucket.finish(0, &[Row("v2"), Row("v1"), Row("v2")]).await,
            bucket.finish(1, &[Absent, Filtered, Dead, Row("v1")]).await,
        ];
        (bucket, cuts)
    }

    pub async fn put(&self, key: &str, body: impl Into<Bytes>) {
        assert_eq!(self.store.create(key, body.into()).await.unwrap(), Put::Created, "{key}");
    }

    /// The next cut of a partition, with nothing of it in the bucket.
    pub fn plan(&mut self, partition: i32, fates: &[Fate]) -> Cut {
        self.plan_of(TOPIC, partition, fates)
    }

    /// A cut of another topic.
    pub fn plan_for(&mut self, topic: &str, fates: &[Fate]) -> Cut {
        self.plan_of(topic, 0, fates)
    }

    fn plan_of(&mut self, topic: &str, partition: i32, fates: &[Fate]) -> Cut {
        let start = (if partition == 1 { 5 } else { 0 }, GENESIS_NONCE.to_owned());
        let (from, prev) = self.tips.remove(&partition).unwrap_or(start);
        let to = from + i64::try_from(fates.len()).unwrap();
        let nonce = format!("nonce-{partition}-{from}");
        let identity = Arc::new(Identity {
            ledger: self.ledger.clone(),
            sink: "orders".into(),
            cluster_id: "cluster".into(),
            topic: topic.into(),
            topic_id: TOPIC_ID.into(),
            partition,
        });
        let mut writer = CutWriter::new(Arc::clone(&self.rules), Arc::clone(&identity), Encoding::default());
        let [mut dead, mut filtered, mut absent, mut lost] = [const { Vec::new() }; 4];
        for (offset, fate) in (from..).zip(fates) {
            let record = Record { offset, timestamp: Some(MORNING), key: None, value: None, headers: &[] };
            match fate {
                Row(version) => writer.event(&record, &event(version)).unwrap(),
                Dead => writer.dead(&record, "no_id", "attribute id is missing").unwrap(),
                _ => {}
            }
            match fate {
                Row(_) => {}
                Dead => dead.push(offset),
                Filtered => filtered.push(offset),
                Absent => absent.push(offset),
                Lost => lost.push(offset),
            }
        }
        let close = Close { from, to, nonce: nonce.clone(), decoder_version: DECODER_VERSION, incomplete: false };
        let files = writer.finish(&close).unwrap();
        self.tips.insert(partition, (to, nonce.clone()));
        let manifest = Manifest {
            version: MANIFEST_VERSION,
            ledger: self.ledger.clone(),
            topic: topic.into(),
            partition,
            from,
            to,
            epoch: 0,
            prev,
            nonce,
            rules: self.rules.digest(),
            decoder_version: DECODER_VERSION,
            files: files.iter().map(|file| file.plan.clone()).collect(),
            dead: ranges(dead),
            filtered: ranges(filtered),
            absent: ranges(absent),
            lost: ranges(lost),
        };
        Cut { manifest, files, identity, close }
    }

    pub async fn put_manifest(&self, cut: &Cut) {
        self.put(&cut.key(), serde_json::to_vec(&cut.manifest).unwrap()).await;
    }

    /// The next cut of a partition, with its files.
    pub async fn finish(&mut self, partition: i32, fates: &[Fate]) -> Cut {
        let cut = self.plan(partition, fates);
        self.put_manifest(&cut).await;
        for file in &cut.files {
            self.put(&file.plan.key, file.body.clone()).await;
        }
        cut
    }

    /// Puts a file of a cut whose rows the log has lost altogether.
    pub async fn put_empty(&self, cut: &Cut, at: usize) {
        let plan = &cut.manifest.files[at];
        let body = empty_file(plan, &cut.identity, &self.rules, Encoding::default(), &cut.close).unwrap();
        self.put(&plan.key, body).await;
    }

    pub async fn mark_done(&self, cut: &Cut) -> String {
        let key = done_key(TOPIC, TOPIC_ID, cut.manifest.partition, cut.manifest.from);
        self.put(&key, "{}").await;
        key
    }

    pub async fn name_loss(&self, partition: i32, from: i64, to: i64) -> String {
        let key = lost_key(TOPIC, TOPIC_ID, partition, from, to);
        let body = serde_json::json!({ "version": MANIFEST_VERSION, "ledger": self.ledger, "from": from, "to": to });
        self.put(&key, body.to_string()).await;
        key
    }

    /// Where an object lies on disk.
    pub fn path(&self, key: &str) -> PathBuf {
        self.folder.path().join("base").join(key)
    }

    /// A file beside the bucket.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn delete(&self, key: &str) {
        std::fs::remove_file(self.path(key)).unwrap();
    }

    pub fn overwrite(&self, key: &str, body: impl AsRef<[u8]>) {
        std::fs::write(self.path(key), body).unwrap();
    }

    /// Changes one field of a JSON object.
    pub fn change(&self, key: &str, pointer: &str, value: Value) {
        let mut object: Value = serde_json::from_slice(&std::fs::read(self.path(key)).unwrap()).unwrap();
        *object.pointer_mut(pointer).unwrap() = value;
        self.overwrite(key, object.to_string());
    }

    pub async fn audit(&self) -> Report {
        audit(&self.store, Depth::Footers, |_, _| {}).await
    }

    /// The findings of an audit that must not be green.
    pub async fn findings(&self) -> Vec<Finding> {
        let report = self.audit().await;
        assert!(!report.is_green() && !report.green, "{report}");
        report.findings
    }

    /// The one finding there is.
    pub async fn finding(&self) -> Finding {
        let mut findings = self.findings().await;
        assert_eq!(findings.len(), 1, "{findings:#?}");
        findings.remove(0)
    }
}

fn event(version: &'static str) -> Event<'static> {
    Event {
        specversion: "1.0".into(),
        id: "id-1".into(),
        source: "/shop".into(),
        r#type: "com.example.order".into(),
        subject: None,
        time: None,
        datacontenttype: None,
        dataschema: None,
        extensions: vec![("schemaversion".into(), version.into())],
        data: Data::None,
    }
}

fn ranges(offsets: Vec<i64>) -> Ranges {
    let mut ranges = Ranges::default();
    offsets.into_iter().for_each(|offset| ranges.push(offset, offset + 1));
    ranges
}
