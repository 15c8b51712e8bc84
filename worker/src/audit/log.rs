//! Does the log agree with the ledger? Of all offsets that the ledger says have no record, those that Kafka still
//! keeps are read: a record there was passed over. Rows, dead letters and filtered offsets need no look, since the
//! ledger owns up to them. Joins no group, commits nothing. Blocks.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Message as _, Offset, TopicPartitionList};

use super::report::{Claim, LogSummary};
use super::{Finding, FindingKind, Report};
use crate::cut::CommitNote;
use crate::cut::manifest::{NO_TOPIC_ID, cuts_prefix};
use crate::kafka::TopicPartition;
use crate::kafka::client::Context;
use crate::kafka::offsets::{CommittedOffset, committed, log_range};
use crate::kafka::raw::TopicId;
use crate::kafka::topics;

/// How long Kafka may take to answer one question, or to send one more record.
const PATIENCE: Duration = Duration::from_secs(15);
/// Ranges that are no further apart are read in one go: asking anew costs more than what lies between.
const GAP: i64 = 1000;
/// Offsets that a finding names one by one.
const SHOWN: usize = 5;

/// Compares a finished report with the log, and adds what was found. `client` must tell the ends of partitions, see
/// [`crate::kafka::client::consumer`]. `on_progress` gets the number of partitions compared and of all.
pub fn compare(report: &mut Report, client: &BaseConsumer<Context>, on_progress: impl Fn(usize, usize)) {
    let claims = std::mem::take(&mut report.claims);
    let mut ids = Ids::new();
    for (done, claim) in claims.iter().enumerate() {
        on_progress(done, claims.len());
        if let Err(words) = one(report, client, &mut ids, claim) {
            let what = format!("the log was not compared: {words}");
            let way_out = "see that this user may read the topic, then audit again";
            report.findings.push(Finding::new(FindingKind::NotFinished, key(claim), what, way_out));
        }
    }
    on_progress(claims.len(), claims.len());
    report.findings.sort_by(|a, b| (&a.key, &a.what).cmp(&(&b.key, &b.what)));
    report.green = report.is_green();
}

/// What Kafka said of the topics, or why it said nothing: that is asked once for all partitions.
type Ids = BTreeMap<String, Result<TopicId, String>>;

fn key(claim: &Claim) -> String {
    cuts_prefix(&claim.id.topic, &claim.id.topic_id, claim.id.partition)
}

fn one(report: &mut Report, client: &BaseConsumer<Context>, ids: &mut Ids, claim: &Claim) -> Result<(), String> {
    let topic = &claim.id.topic;
    let id = ids.entry(topic.clone()).or_insert_with(|| topics::topic_id(client, topic, PATIENCE));
    let same = match id.as_ref().map_err(String::clone)? {
        TopicId::Is(id) => *id == claim.id.topic_id,
        TopicId::None => claim.id.topic_id == NO_TOPIC_ID,
        TopicId::Gone => false,
    };
    let mut summary = LogSummary { id: claim.id.clone(), log: None, unwritten: 0, looked_for: 0 };
    // A topic that was deleted says nothing any more; its chain stands by itself.
    if same {
        let at = TopicPartition { topic: topic.as_str().into(), partition: claim.id.partition };
        let log = log_range(client, &at, PATIENCE)?;
        let ahead = if claim.to < log.0 { committed_by(client, &at, &report.ledger)? } else { None };
        report.findings.extend(ends(claim, log, ahead));
        let wanted = within(&claim.denied, log);
        summary.looked_for = wanted.iter().map(|(from, to)| to.abs_diff(*from)).sum();
        let found = records_in(client, &at, &wanted)?;
        if !found.is_empty() {
            report.findings.push(denied(claim, &found));
        }
        summary.unwritten = log.1.saturating_sub(claim.to).max(0).unsigned_abs();
        summary.log = Some(log);
    }
    report.logs.push(summary);
    Ok(())
}

/// The group's commit, if this ledger made it: it runs ahead of the tip over offsets without a record, and of an audit
/// that takes long by what was written meanwhile.
fn committed_by(client: &BaseConsumer<Context>, at: &TopicPartition, ledger: &str) -> Result<Option<i64>, String> {
    let found = committed(client, std::slice::from_ref(at), PATIENCE)?.pop().flatten();
    let ours = |commit: &CommittedOffset| CommitNote::parse(&commit.metadata).is_some_and(|note| note.ledger == ledger);
    Ok(found.filter(ours).map(|commit| commit.offset))
}

/// What the ends of the log say against the ledger, whose own commit may be further `ahead`.
fn ends(claim: &Claim, (start, end): (i64, i64), ahead: Option<i64>) -> Option<Finding> {
    if end < claim.to {
        let what = format!("the log ends at {end} and the ledger at {}: the log was cut short or replaced", claim.to);
        let way_out = "a worker would hold; find out what was done to the topic";
        return Some(Finding::new(FindingKind::OtherLog, key(claim), what, way_out));
    }
    if claim.to.max(ahead.unwrap_or(0)) < start {
        let what = format!(
            "the log begins at {start} and the ledger ends at {}: what was between was deleted before it was written",
            claim.to
        );
        let way_out = "lengthen the retention, and see kafka.on_loss";
        return Some(Finding::new(FindingKind::UnnamedLoss, key(claim), what, way_out));
    }
    None
}

fn denied(claim: &Claim, found: &[i64]) -> Finding {
    let shown: Vec<String> = found.iter().take(SHOWN).map(i64::to_string).collect();
    let more = found.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let what = format!(
        "kafka has records at offsets {}{more}, and the ledger says that there are none: they are in no file",
        shown.join(", ")
    );
    let way_out = "restore the manifests as they were written; if they were not changed, report a defect of EventSink";
    Finding::new(FindingKind::DeniedRecords, key(claim), what, way_out)
}

/// The parts of ascending `ranges` that lie in the log.
fn within(ranges: &[(i64, i64)], (start, end): (i64, i64)) -> Vec<(i64, i64)> {
    let clamped = ranges.iter().map(|&(from, to)| (from.max(start), to.min(end)));
    clamped.filter(|(from, to)| from < to).collect()
}

/// Neighbouring ranges as spans to be read in one go.
fn spans(ranges: &[(i64, i64)]) -> Vec<(i64, i64)> {
    let mut spans: Vec<(i64, i64)> = Vec::new();
    for &(from, to) in ranges {
        match spans.last_mut() {
            Some(last) if from <= last.1.saturating_add(GAP) => last.1 = last.1.max(to),
            _ => spans.push((from, to)),
        }
    }
    spans
}

/// Offsets in `wanted` at which there are records.
fn records_in(client: &BaseConsumer<Context>, at: &TopicPartition, wanted: &[(i64, i64)]) -> Result<Vec<i64>, String> {
    let mut found = Vec::new();
    for span in spans(wanted) {
        read(client, at, span, &mut |offset| {
            let after = wanted.partition_point(|(from, _)| *from <= offset);
            if after > 0 && offset < wanted[after - 1].1 {
                found.push(offset);
            }
        })?;
    }
    client.unassign().map_err(|error| error.to_string())?;
    Ok(found)
}

/// Reads one span of a log; `seen` gets the offset of each record in it.
fn read(
    client: &BaseConsumer<Context>,
    at: &TopicPartition,
    (from, to): (i64, i64),
    seen: &mut dyn FnMut(i64),
) -> Result<(), String> {
    let mut list = TopicPartitionList::new();
    let added = list.add_partition_offset(&at.topic, at.partition, Offset::Offset(from));
    added.and_then(|()| client.assign(&list)).map_err(|error| format!("{at}: {error}"))?;
    let mut silent_since = Instant::now();
    let mut words = "no record and no end of the log".to_owned();
    while silent_since.elapsed() < PATIENCE {
        match client.poll(Duration::from_millis(200)) {
            None => continue,
            Some(Ok(record)) if (record.topic(), record.partition()) != (&*at.topic, at.partition) => {}
            Some(Ok(record)) if record.offset() >= to => return Ok(()),
            Some(Ok(record)) if record.offset() >= from => seen(record.offset()),
            Some(Ok(_)) => {}
            Some(Err(KafkaError::PartitionEOF(_))) => return Ok(()),
            // What was deleted meanwhile cannot be looked for, the rest can.
            Some(Err(KafkaError::MessageConsumption(RDKafkaErrorCode::AutoOffsetReset))) => {
                let (start, _) = log_range(client, at, PATIENCE)?;
                return if from < start && start < to { read(client, at, (start, to), seen) } else { Ok(()) };
            }
            Some(Err(error)) => {
                words = error.to_string();
                continue;
            }
        }
        silent_since = Instant::now();
    }
    Err(format!("{at}: reading from offset {from} for {PATIENCE:?}: {words}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::PartitionId;

    fn claim(to: i64) -> Claim {
        let id = PartitionId { topic: "t".into(), topic_id: "id".into(), partition: 0 };
        Claim { id, to, denied: vec![] }
    }

    #[test]
    fn a_log_that_is_shorter_or_begins_later_than_the_ledger_is_told() {
        assert_eq!(ends(&claim(10), (0, 10), None), None);
        assert_eq!(ends(&claim(10), (10, 12), None), None);
        assert_eq!(ends(&claim(10), (0, 9), None).unwrap().kind, FindingKind::OtherLog);
        assert_eq!(ends(&claim(10), (11, 12), None).unwrap().kind, FindingKind::UnnamedLoss);
        assert_eq!(ends(&claim(10), (11, 12), Some(10)).unwrap().kind, FindingKind::UnnamedLoss);
        assert_eq!(ends(&claim(10), (11, 12), Some(11)), None, "our own commit passed what is gone");
    }

    #[test]
    fn only_what_the_log_still_keeps_is_looked_for() {
        assert_eq!(within(&[(0, 4), (6, 8), (9, 20)], (3, 10)), [(3, 4), (6, 8), (9, 10)]);
        assert_eq!(within(&[(0, 4)], (4, 10)), []);
    }

    #[test]
    fn ranges_close_to_each_other_are_read_in_one_go() {
        assert_eq!(spans(&[(0, 1), (5, 6), (5000, 5001)]), [(0, 6), (5000, 5001)]);
    }

    #[test]
    fn many_denied_records_are_counted_and_not_listed() {
        let told = denied(&claim(10), &[1, 2, 3, 4, 5, 6, 7]).to_string();
        assert!(told.contains("offsets 1, 2, 3, 4, 5 and 2 more"), "{told}");
    }
}
