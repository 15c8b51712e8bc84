//! Sends a mix and keeps the producer's own list: what the broker says it took, and what must become of it.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use sha2::{Digest, Sha256};

use crate::kafka::Kafka;
use crate::mix::{self, Fate, Mix, Sample};

/// What was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Produced {
    /// Records that must become rows.
    pub rows: u64,
    /// Records that must become dead letters.
    pub dead: u64,
}

/// Sends the whole mix to `topic` and writes the list to `list`: CSV with
/// `partition,offset,reason,id,data`, one line per record that the broker confirmed. `reason` is empty for
/// a row; `data` is [`checksum`] of the event's data, or of the record's value for a dead letter.
pub fn produce(kafka: &Kafka, topic: &str, mix: &Mix, list: &Path) -> Produced {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let producer: ThreadedProducer<Confirmations> = kafka
        .client()
        .set("enable.idempotence", "true")
        .set("linger.ms", "20")
        .set("compression.type", "zstd")
        .set("message.max.bytes", (1_000_000 + mix.padding * 2).to_string())
        .create_with_context(Confirmations(Arc::clone(&lines)))
        .unwrap_or_else(|error| panic!("cannot make a producer: {error}"));
    let start = Instant::now();
    for index in 0..mix.records {
        send(&producer, topic, mix::sample(mix, index));
        if let Some(pace) = mix.pace {
            let due = Duration::from_secs_f64((index + 1) as f64 / f64::from(pace));
            thread::sleep(due.saturating_sub(start.elapsed()));
        }
    }
    producer.flush(Duration::from_secs(60)).unwrap_or_else(|error| panic!("the broker took not everything: {error}"));
    let lines = lines.lock().expect("no callback panicked");
    assert_eq!(lines.len() as u64, mix.records, "every record was confirmed");
    write(list, &lines).unwrap_or_else(|error| panic!("cannot write {}: {error}", list.display()))
}

fn send(producer: &ThreadedProducer<Confirmations>, topic: &str, sample: Sample) {
    let mut headers = OwnedHeaders::new_with_capacity(sample.headers.len());
    for (key, value) in &sample.headers {
        headers = headers.insert(Header { key, value: value.as_deref() });
    }
    let fate = Box::new(Expected::of(&sample));
    let mut record = BaseRecord::with_opaque_to(topic, fate)
        .partition(sample.partition)
        .timestamp(sample.timestamp)
        .key(sample.key.as_bytes())
        .headers(headers);
    record.payload = sample.value.as_deref();
    loop {
        match producer.send(record) {
            Ok(()) => return,
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                thread::sleep(Duration::from_millis(5));
                record = back;
            }
            Err((error, _)) => panic!("cannot produce: {error}"),
        }
    }
}

/// First 32 hex digits of SHA-256; `-` when there is nothing at all, which is not the same as empty.
#[must_use]
pub fn checksum(bytes: Option<&[u8]>) -> String {
    let Some(bytes) = bytes else {
        return "-".to_owned();
    };
    Sha256::digest(bytes).iter().take(16).fold(String::with_capacity(32), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The part of a list line that is known before the record is sent.
struct Expected {
    reason: &'static str,
    id: String,
    data: String,
}

impl Expected {
    fn of(sample: &Sample) -> Self {
        match &sample.fate {
            Fate::Row { id, data } => Self { reason: "", id: id.clone(), data: checksum(data.as_deref()) },
            Fate::DeadLetter { reason } => Self { reason, id: String::new(), data: checksum(sample.value.as_deref()) },
        }
    }
}

struct Line {
    partition: i32,
    offset: i64,
    expected: Expected,
}

struct Confirmations(Arc<Mutex<Vec<Line>>>);

impl ClientContext for Confirmations {}

impl ProducerContext for Confirmations {
    type DeliveryOpaque = Box<Expected>;

    fn delivery(&self, result: &DeliveryResult<'_>, expected: Box<Expected>) {
        // A refused record has no line, so the count at the end tells.
        if let Ok(message) = result
            && let Ok(mut lines) = self.0.lock()
        {
            lines.push(Line { partition: message.partition(), offset: message.offset(), expected: *expected });
        }
    }
}

fn write(path: &Path, lines: &[Line]) -> io::Result<Produced> {
    let mut file = BufWriter::new(File::create(path)?);
    let mut produced = Produced { rows: 0, dead: 0 };
    writeln!(file, "partition,offset,reason,id,data")?;
    for Line { partition, offset, expected: Expected { reason, id, data } } in lines {
        writeln!(file, "{partition},{offset},{reason},{id},{data}")?;
        if reason.is_empty() {
            produced.rows += 1;
        } else {
            produced.dead += 1;
        }
    }
    file.flush()?;
    Ok(produced)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_not_empty() {
        assert_eq!(checksum(None), "-");
        assert_eq!(checksum(Some(b"")), "e3b0c44298fc1c149afbf4c8996fb924");
    }
}
