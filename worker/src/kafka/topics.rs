//! What brokers say of a topic: its id, and whether it may be written to.

use super::client::Context;
use super::raw::{self, TopicId};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::metadata::MetadataBroker;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Whether the cluster's controller is one of its brokers, once that was seen.
#[derive(Debug, Default)]
pub(super) struct Controller {
    is_broker: AtomicBool,
}

/// Id of a topic.
///
/// # Errors
/// The broker did not answer within `timeout`, or refused: that is no proof that there is no id.
pub fn topic_id(consumer: &BaseConsumer<Context>, topic: &str, timeout: Duration) -> Result<TopicId, String> {
    raw::topic_id(consumer, topic, instead_of_controller(consumer, topic, timeout)?, timeout)
}

/// Whether this user may write to a topic: true too where the broker does not say.
///
/// # Errors
/// There is no such topic, or the broker's words.
pub fn may_write(consumer: &BaseConsumer<Context>, topic: &str, timeout: Duration) -> Result<bool, String> {
    raw::may_write(consumer, topic, instead_of_controller(consumer, topic, timeout)?, timeout)
}

/// The library asks the controller and waits for it in vain where the cluster names one that is no broker, as
/// librdkafka's own in-process cluster does. Any broker can answer; `None` when the controller is there, which is not asked
/// again: the answer has all partitions of the topic in it, and before each manifest there is a question.
fn instead_of_controller(
    consumer: &BaseConsumer<Context>,
    topic: &str,
    timeout: Duration,
) -> Result<Option<i32>, String> {
    let is_broker = &consumer.context().controller.is_broker;
    if is_broker.load(Ordering::Relaxed) {
        return Ok(None);
    }
    let metadata = consumer.fetch_metadata(Some(topic), timeout).map_err(|e| e.to_string())?;
    let controller = raw::controller(consumer, timeout);
    let brokers = metadata.brokers();
    if brokers.iter().any(|broker| broker.id() == controller) {
        is_broker.store(true, Ordering::Relaxed);
        return Ok(None);
    }
    Ok(brokers.first().map(MetadataBroker::id))
}
