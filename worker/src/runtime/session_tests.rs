//! Where a partition starts, asked of a broker in the process and of a ledger on disk.

use super::*;
use crate::cut::Owner;
use crate::kafka::client;
use crate::runtime::mapping;
use crate::store::{Backend, Backoff, Gate, Store, StoreOptions};
use rdkafka::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer as _};

/// A broker in the process.
pub type Cluster = MockCluster<'static, DefaultProducerContext>;

fn produce(cluster: &Cluster, records: usize) {
    let servers = cluster.bootstrap_servers();
    let producer: BaseProducer = ClientConfig::new().set("bootstrap.servers", servers).create().unwrap();
    for _ in 0..records {
        producer.send(BaseRecord::<(), str>::to("t").partition(0).payload("x")).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(Duration::from_secs(30)).unwrap();
}

/// A worker that has just come up and knows nothing but its settings: to start at the end of the topic.
pub async fn session(cluster: &Cluster, folder: &std::path::Path) -> Arc<Session> {
    let store = Store::open(&StoreOptions { backend: Backend::File { base_path: folder.join("base") } }).unwrap();
    let owner = Owner {
        version: MANIFEST_VERSION,
        ledger: String::new(),
        cluster_id: "c".into(),
        sink: "s".into(),
        group: "g".into(),
    };
    let at_once = Backoff { initial: Duration::ZERO, max: Duration::ZERO };
    let gate = Gate::new(mapping::breaker(&Settings::default()));
    let ledger = Ledger::open(store, owner, gate, at_once, Arc::new(|error| panic!("{error}"))).await.unwrap();
    let mut settings = Settings::default();
    settings.kafka.bootstrap_servers = serde_json::from_value(cluster.bootstrap_servers().into()).unwrap();
    settings.kafka.consumer.group_id = "g".to_owned();
    settings.kafka.consumer.start_from = StartFrom::Latest;
    let consumer = client::consumer(&settings.kafka, 1 << 20).unwrap();
    Arc::new(Session::new(consumer, ledger, Arc::new(settings)))
}

#[tokio::test]
async fn a_start_at_the_end_of_the_topic_is_the_same_after_a_crash_before_the_first_cut() {
    let (cluster, folder) = (Cluster::new(1).unwrap(), tempfile::tempdir().unwrap());
    cluster.create_topic("t", 1, 1).unwrap();
    let at = TopicPartition { topic: "t".into(), partition: 0 };
    let mut starts = Vec::new();
    for records in [3, 2] {
        produce(&cluster, records);
        match session(&cluster, folder.path()).await.resolve(&at).await.resolution {
            Resolution::Fresh(start) => starts.push(start.offset),
            other => panic!("no cut was made: {other:?}"),
        }
    }
    assert_eq!(starts, [3, 3], "two records came before the crash and were not read");
}
