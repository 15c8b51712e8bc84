//! The broker inside this process: librdkafka's own mock cluster, spoken to over a socket like any other.
//! It knows nothing of the worker.

use super::DemoError;
use super::sample::Sample;
use rdkafka::ClientConfig;
use rdkafka::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{
    BaseRecord, DefaultProducerContext, DeliveryResult, Producer as _, ProducerContext, ThreadedProducer,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How long the last records may take to arrive.
const FLUSH: Duration = Duration::from_secs(30);

pub(super) struct Broker {
    cluster: MockCluster<'static, DefaultProducerContext>,
}

impl Broker {
    /// Starts it, with one topic.
    pub fn start(topic: &str, partitions: i32) -> Result<Self, DemoError> {
        let cluster = MockCluster::new(1).map_err(broken)?;
        cluster.create_topic(topic, partitions, 1).map_err(broken)?;
        Ok(Self { cluster })
    }

    /// Its `bootstrap_servers`.
    pub fn servers(&self) -> String {
        self.cluster.bootstrap_servers()
    }

    /// Sends all samples and waits until the broker has every one of them.
    pub fn produce(&self, topic: &str, samples: impl Iterator<Item = Sample>) -> Result<(), DemoError> {
        let taken = Arc::new(AtomicU64::new(0));
        let producer: ThreadedProducer<Confirmations> = ClientConfig::new()
            .set("bootstrap.servers", self.servers())
            .set("linger.ms", "20")
            .set("compression.type", "zstd")
            .create_with_context(Confirmations(Arc::clone(&taken)))
            .map_err(broken)?;
        let mut sent = 0;
        for sample in samples {
            send(&producer, topic, &sample)?;
            sent += 1;
        }
        producer.flush(FLUSH).map_err(broken)?;
        let taken = taken.load(Ordering::Relaxed);
        if taken == sent { Ok(()) } else { Err(DemoError::Broker(format!("it took {taken} of {sent} records"))) }
    }
}

fn send(producer: &ThreadedProducer<Confirmations>, topic: &str, sample: &Sample) -> Result<(), DemoError> {
    let mut headers = OwnedHeaders::new_with_capacity(sample.headers.len());
    for (key, value) in &sample.headers {
        headers = headers.insert(Header { key, value: Some(value) });
    }
    let mut record = BaseRecord::to(topic)
        .partition(sample.partition)
        .timestamp(sample.timestamp)
        .key(&sample.key)
        .payload(&sample.value)
        .headers(headers);
    loop {
        match producer.send(record) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                std::thread::sleep(Duration::from_millis(5));
                record = back;
            }
            Err((error, _)) => return Err(broken(error)),
        }
    }
}

fn broken(error: KafkaError) -> DemoError {
    DemoError::Broker(error.to_string())
}

/// Counts what the broker confirmed.
struct Confirmations(Arc<AtomicU64>);

impl ClientContext for Confirmations {}

impl ProducerContext for Confirmations {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if result.is_ok() {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}
