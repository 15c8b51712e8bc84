//! What brokers say of a topic: its id, and whether it may be written to.

use super::client::Context;
use super::raw::{self, TopicId};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::metadata::MetadataBroker;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Id of a topic.
///
/// # Errors
/// No broker answered, twice `timeout` at most, or it refused: that is no proof that there is no id.
pub fn topic_id(consumer: &BaseConsumer<Context>, topic: &str, timeout: Duration) -> Result<TopicId, String> {
    ask(consumer, topic, timeout, |broker| raw::topic_id(consumer, topic, broker, timeout))
}

/// Whether this user may write to a topic: true too where the broker does not say.
///
/// # Errors
/// There is no such topic, or the broker's words.
pub fn may_write(consumer: &BaseConsumer<Context>, topic: &str, timeout: Duration) -> Result<bool, String> {
    ask(consumer, topic, timeout, |broker| raw::may_write(consumer, topic, broker, timeout))
}

fn ask<T>(
    consumer: &BaseConsumer<Context>,
    topic: &str,
    timeout: Duration,
    question: impl FnOnce(Option<i32>) -> Result<T, String>,
) -> Result<T, String> {
    let answer = question(instead_of_controller(consumer, topic, timeout)?);
    if answer.is_err() {
        // It may be another one by now, or none.
        consumer.context().controller_answers.store(false, Ordering::Relaxed);
    }
    answer
}

/// The library asks the controller and waits for it in vain where the cluster names one that is no broker, as
/// librdkafka's own in-process cluster does. Any broker can answer; `None` when the controller is there, which is not asked
/// again while it answers: what brokers say here has all partitions of the topic in it, and each manifest waits for it.
fn instead_of_controller(
    consumer: &BaseConsumer<Context>,
    topic: &str,
    timeout: Duration,
) -> Result<Option<i32>, String> {
    let answers = &consumer.context().controller_answers;
    if answers.load(Ordering::Relaxed) {
        return Ok(None);
    }
    let metadata = consumer.fetch_metadata(Some(topic), timeout).map_err(|e| e.to_string())?;
    let controller = raw::controller(consumer, timeout);
    let brokers = metadata.brokers();
    if brokers.iter().any(|broker| broker.id() == controller) {
        answers.store(true, Ordering::Relaxed);
        return Ok(None);
    }
    Ok(brokers.first().map(MetadataBroker::id))
}
