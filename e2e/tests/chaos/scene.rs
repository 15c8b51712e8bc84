//! What every row needs: a topic, a bucket behind a proxy that fails on demand, settings, and the proof at the end.

use std::path::PathBuf;
use std::time::Duration;

use eventsink_e2e::{
    Access, Kafka, Mix, Produced, S3, StoreProxy, Target, Worker, Workspace, patiently, produce, settings, sink,
    verify, worker,
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
    produced: Option<Produced>,
}

impl<'k> Scene<'k> {
    /// A new topic and a new bucket; nothing runs yet.
    pub fn new(kafka: &'k Kafka, stem: &str, partitions: i32) -> Self {
        let (server, space) = (S3::shared(), Workspace::new());
        let bucket = server.make_bucket(stem);
        let proxy = StoreProxy::before(&server.at.endpoint);
        let topic = kafka.create_topic(stem, partitions);
        let target = Target::Bucket { server, bucket: &bucket, prefix: "events" };
        let mut settings = sink(&topic, &topic, kafka.settings(Access::Plaintext), &target);
        settings["storage"]["s3"]["endpoint"] = proxy.endpoint.clone().into();
        settings["rotation"] = json!({"max_age": "1s", "max_idle": "500ms"});
        settings["retry"] = json!({"max_delay": "2s"});
        Self { kafka, space, proxy, topic, bucket, settings, partitions, started: 0, produced: None }
    }

    /// Where the files are, past the proxy.
    pub fn target(&self) -> Target<'_> {
        Target::Bucket { server: S3::shared(), bucket: &self.bucket, prefix: "events" }
    }

    /// Starts one more worker, with the settings as they are now.
    pub fn start(&mut self) -> Worker {
        self.started += 1;
        let config = self.config();
        Worker::start(&config, self.space.join(&format!("worker-{}.log", self.started)), &[])
    }

    fn config(&self) -> PathBuf {
        settings::write(self.space.join("sink.yaml"), &self.settings)
    }

    /// The producer's list.
    pub fn list(&self) -> PathBuf {
        self.space.join("list.csv")
    }

    /// Produces records of every shape, once per scene; one day, 1 % dead letters.
    pub fn produce(&mut self, records: u64, pace: Option<u32>) {
        let mix = Mix { pace, ..Mix::of(records, self.partitions.unsigned_abs()) };
        self.produce_mix(&mix);
    }

    /// Produces a mix, once per scene.
    pub fn produce_mix(&mut self, mix: &Mix) {
        assert!(self.produced.is_none(), "the list holds one mix");
        self.produced = Some(produce(self.kafka, &self.topic, mix, &self.list()));
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
        let produced = self.produced.expect("something was produced");
        assert_eq!((report.rows, report.dead), (produced.rows, produced.dead));
        let mut direct = self.settings.clone();
        direct["storage"]["s3"]["endpoint"] = S3::shared().at.endpoint.clone().into();
        worker::audit(&settings::write(self.space.join("audit.yaml"), &direct));
    }
}
