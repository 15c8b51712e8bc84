//! What every row needs: a topic, a bucket behind a proxy that fails on demand, settings, and the proof at the end.

use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use eventsink_e2e::{
    Access, Kafka, Mix, S3, StoreProxy, Target, Worker, Workspace, patiently, produce, settings, sink, verify, worker,
};
use serde_json::{Value, json};

/// Longest time in which anything here may take to come true.
pub const SOON: Duration = Duration::from_secs(180);

/// One sink, its topic and its bucket.
pub struct Scene<'k> {
    pub kafka: &'k Kafka,
    pub space: Workspace,
    pub proxy: StoreProxy,
    pub topic: String,
    pub bucket: String,
    /// What workers are started with; the store's endpoint is the proxy.
    pub settings: Value,
    partitions: i32,
    started: usize,
}

impl<'k> Scene<'k> {
    /// A new topic and a new bucket; nothing runs yet.
    pub fn new(kafka: &'k Kafka, stem: &str, partitions: i32) -> Self {
        Self::on(kafka, stem, kafka.create_topic(stem, partitions), partitions)
    }

    /// A new bucket for a topic that is there.
    pub fn on(kafka: &'k Kafka, stem: &str, topic: String, partitions: i32) -> Self {
        let (server, space) = (S3::shared(), Workspace::new());
        let bucket = server.make_bucket(stem);
        let proxy = StoreProxy::before(&server.at.endpoint);
        let target = Target::Bucket { server, bucket: &bucket, prefix: "events" };
        let mut settings = sink(&topic, &topic, kafka.settings(Access::Plaintext), &target);
        settings["storage"]["s3"]["endpoint"] = proxy.endpoint.clone().into();
        settings["rotation"] = json!({"max_age": "1s", "max_idle": "500ms"});
        settings["retry"] = json!({"max_delay": "2s"});
        Self { kafka, space, proxy, topic, bucket, settings, partitions, started: 0 }
    }

    /// Where the files are, past the proxy.
    pub fn target(&self) -> Target<'_> {
        Target::Bucket { server: S3::shared(), bucket: &self.bucket, prefix: "events" }
    }

    /// Starts one more worker, with the settings as they are now in a file of its own.
    pub fn start(&mut self) -> Worker {
        self.started += 1;
        let file = |kind: &str| self.space.join(&format!("worker-{}.{kind}", self.started));
        Worker::start(&settings::write(file("yaml"), &self.settings), file("log"), &[])
    }

    /// The producer's list.
    pub fn list(&self) -> PathBuf {
        self.space.join("list.csv")
    }

    /// Produces records of every shape and adds them to the list; one day, 1 % dead letters.
    pub fn produce(&self, records: u64, pace: Option<u32>) {
        let mix = Mix { pace, ..Mix::of(records, self.partitions.unsigned_abs()) };
        self.produce_mix(&mix);
    }

    /// Produces a mix and adds it to the list.
    pub fn produce_mix(&self, mix: &Mix) {
        let more = self.space.join("more.csv");
        let _ = produce(self.kafka, &self.topic, mix, &more);
        let lines = std::fs::read_to_string(&more).expect("the list of this mix");
        let known = std::fs::read_to_string(self.list()).unwrap_or_default();
        let lines = lines.lines().skip(usize::from(!known.is_empty()));
        let all = known.lines().chain(lines).fold(String::new(), |all, line| all + line + "\n");
        std::fs::write(self.list(), all).expect("a list");
    }

    /// Takes from the list what the log lost: offsets of a partition.
    pub fn forget(&self, partition: i32, offsets: Range<i64>) {
        let list = std::fs::read_to_string(self.list()).expect("a list");
        let lost = |line: &str| {
            let mut fields = line.split(',').map_while(|field| field.parse().ok());
            fields.next() == Some(i64::from(partition)) && fields.next().is_some_and(|offset| offsets.contains(&offset))
        };
        let kept = list.lines().filter(|line| !lost(line)).fold(String::new(), |all, line| all + line + "\n");
        std::fs::write(self.list(), kept).expect("a list");
    }

    /// How many records of the list must be rows and dead letters.
    pub fn listed(&self) -> (u64, u64) {
        let list = std::fs::read_to_string(self.list()).expect("something was produced");
        let is_dead = |line: &str| line.split(',').nth(2).is_some_and(|reason| !reason.is_empty());
        list.lines().skip(1).fold((0, 0), |(rows, dead), line| match is_dead(line) {
            true => (rows, dead + 1),
            false => (rows + 1, dead),
        })
    }

    /// Waits until the proxy has met so many requests with a fault, the rules' ages together.
    pub fn wait_for_faults(&self, faults: usize) {
        patiently(SOON, "requests meet the fault", || {
            let done = self.proxy.done();
            if done.faults.len() >= faults { Ok(()) } else { Err(format!("{done:?}")) }
        });
    }

    /// Keys and contents of all manifests, as they lie in the bucket.
    pub fn manifests(&self) -> Vec<(String, Value)> {
        let keys = S3::shared().keys(&self.bucket);
        let cuts = keys.into_iter().filter(|key| key.contains("/_eventsink/") && key.contains("/cuts/"));
        cuts.map(|key| {
            let manifest = serde_json::from_slice(&S3::shared().read(&self.bucket, &key)).expect("a manifest is JSON");
            (key, manifest)
        })
        .collect()
    }

    /// Keys of the files that the manifests plan, below the bucket.
    pub fn planned(&self) -> Vec<String> {
        let files = |manifest: &Value| manifest["files"].as_array().cloned().unwrap_or_default();
        let keys = self.manifests().into_iter().flat_map(|(_, manifest)| files(&manifest));
        keys.map(|file| format!("events/{}", file["key"].as_str().expect("a file has a key"))).collect()
    }

    /// Those of `keys` that are there.
    pub fn landed(&self, keys: &[String]) -> Vec<String> {
        let there = S3::shared().keys(&self.bucket);
        keys.iter().filter(|key| there.contains(key)).cloned().collect()
    }

    /// Waits until the group has committed the end of every partition.
    pub fn drain(&self, workers: &mut [Worker]) {
        patiently(SOON, "the group has committed everything", || {
            workers.iter_mut().for_each(Worker::assert_alive);
            self.kafka.drained(&self.topic, &self.topic)
        });
    }

    /// Drains, ends the workers by SIGTERM and proves: every record of the list in one file, and the audit's word.
    pub fn prove(&self, mut workers: Vec<Worker>) {
        self.drain(&mut workers);
        for worker in &mut workers {
            assert_eq!(worker.terminate().code(), Some(0), "SIGTERM is an orderly end:\n{}", worker.log());
        }
        self.prove_files();
    }

    /// The proof alone, past the proxy.
    pub fn prove_files(&self) {
        let report = verify(&self.list(), &self.topic, &self.target());
        assert_eq!((report.rows, report.dead), self.listed());
        let mut direct = self.settings.clone();
        direct["storage"]["s3"]["endpoint"] = S3::shared().at.endpoint.clone().into();
        worker::audit(&settings::write(self.space.join("audit.yaml"), &direct));
    }
}
