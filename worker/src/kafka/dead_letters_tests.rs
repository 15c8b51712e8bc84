//! Headers of copies, what errors mean, and what is not sent twice.

use super::*;
use rdkafka::message::Headers as _;
use rdkafka::mocking::MockCluster;

fn letter(headers: Vec<(&'static str, Option<&'static [u8]>)>) -> DeadLetter<'static> {
    let (reason, detail) = ("InvalidTime", "attribute time is no timestamp");
    DeadLetter { reason, detail, offset: 7, timestamp: None, key: None, headers, value: Some(b"v") }
}

fn identity() -> Identity {
    Identity {
        ledger: "l".into(),
        sink: "orders".into(),
        cluster_id: "c".into(),
        topic: "t".into(),
        topic_id: "id".into(),
        partition: 3,
    }
}

fn shown(letter: &DeadLetter<'_>) -> Vec<(String, Option<Vec<u8>>)> {
    let identity = identity();
    let origin = Origin { identity: &identity, decoder_version: 2, key: "_dlq/x" };
    let headers = headers(letter, &origin, next_attempt(letter).unwrap());
    headers.iter().map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec))).collect()
}

fn text(of: &str) -> Option<Vec<u8>> {
    Some(of.as_bytes().to_vec())
}

#[test]
fn the_records_own_headers_come_first_as_they_were() {
    let own = vec![("b", Some(&b"\xff\0"[..])), ("a", None), ("b", Some(&b""[..]))];
    let shown = shown(&letter(own));
    assert_eq!(shown[..3], [("b".into(), Some(vec![255, 0])), ("a".into(), None), ("b".into(), Some(vec![]))]);
    let ours: Vec<_> = shown[3..].iter().map(|(name, value)| (name.strip_prefix(OURS).unwrap(), value)).collect();
    let expected = [
        ("version", text("1")),
        ("sink", text("orders")),
        ("topic", text("t")),
        ("topic-id", text("id")),
        ("partition", text("3")),
        ("offset", text("7")),
        ("timestamp", None),
        ("reason", text("InvalidTime")),
        ("stage", text("decode")),
        ("detail", text("attribute time is no timestamp")),
        ("attempt", text("1")),
        ("decoder-version", text("2")),
    ];
    assert!(ours.iter().copied().eq(expected.iter().map(|(name, value)| (*name, value))), "{ours:?}");
}

#[test]
fn headers_of_an_earlier_copy_are_overwritten() {
    let earlier: Vec<(&str, Option<&[u8]>)> = vec![
        ("eventsink.dlq.offset", Some(b"999")),
        ("eventsink.dlq.object", Some(b"gone")),
        ("eventsink.dlq.attempt", Some(b"2")),
        ("eventsink.dlq.offset", Some(b"998")),
    ];
    let shown = shown(&letter(earlier));
    let all = |name: &str| shown.iter().filter(|(key, _)| key == name).map(|(_, value)| value).collect::<Vec<_>>();
    assert_eq!(all("eventsink.dlq.offset"), [&text("7")]);
    assert_eq!(all("eventsink.dlq.attempt"), [&text("3")]);
    assert!(all("eventsink.dlq.object").is_empty());
}

#[test]
fn a_record_sent_back_three_times_is_copied_no_more() {
    let after = |value: &'static [u8]| next_attempt(&letter(vec![("eventsink.dlq.attempt", Some(value))]));
    assert_eq!([after(b"2"), after(b"3"), after(b"40"), after(b"x")], [Some(3), None, None, Some(1)]);
    assert_eq!(next_attempt(&letter(vec![("eventsink.dlq.attempt", None)])), Some(1));
}

#[test]
fn an_error_says_whether_record_topic_or_way_is_at_fault() {
    use RDKafkaErrorCode as Code;
    let letters = DeadLetters::new(Kafka::default(), "dead".into(), 1, counter());
    let mut progress = Progress::default();
    let producer = client::producer(&Kafka::default(), 1 << 20).unwrap();
    let sending = Sending { letters: &letters, producer, progress: &mut progress };
    assert!(matches!(sending.answer(Code::MessageSizeTooLarge, &"w"), Ok(Answer::TooLarge)));
    for code in [Code::InvalidRecord, Code::InvalidDifferentRecord] {
        assert!(matches!(sending.answer(code, &"w"), Ok(Answer::Refused(_))), "{code}");
    }
    for code in [Code::MessageTimedOut, Code::BrokerTransportFailure, Code::AllBrokersDown] {
        assert!(matches!(sending.answer(code, &"w"), Err(CopyError::Unreachable { .. })), "{code}");
    }
    for code in [Code::UnknownTopic, Code::UnknownTopicOrPartition, Code::TopicAuthorizationFailed] {
        assert!(matches!(sending.answer(code, &"w"), Err(CopyError::Refused { .. })), "{code}");
    }
}

#[test]
fn what_was_settled_counts_for_the_same_cut_only() {
    let settled = || Progress { nonce: "a".into(), batches: 2, settled: HashSet::from([7]) };
    assert_eq!(Progress::at("a", Some(settled())), settled());
    assert_eq!(Progress::at("b", Some(settled())), Progress { nonce: "b".into(), ..Progress::default() });
    let mut next = settled();
    next.end_batch();
    assert_eq!((next.batches, next.settled.len()), (3, 0));
}

#[test]
fn parked_letters_are_told_by_number_and_first() {
    let mut parked = Parked::default();
    parked.add(7, "one");
    parked.add(9, "another");
    assert_eq!(parked, Parked { count: 2, first: Some((7, "one".into())) });
}

fn counter() -> IntCounterVec {
    IntCounterVec::new(prometheus::Opts::new("copies", "copies"), &["outcome"]).unwrap()
}

#[tokio::test]
async fn letters_that_the_brokers_have_taken_are_not_sent_again() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("dead", 1, 1).unwrap();
    let kafka = Kafka { bootstrap_servers: [cluster.bootstrap_servers()].into_iter().collect(), ..Kafka::default() };
    let letters = DeadLetters::new(kafka, "dead".into(), 1 << 20, counter());
    let identity = identity();
    let origin = Origin { identity: &identity, decoder_version: 2, key: "_dlq/x" };
    let mut progress = Progress::at("a", None);
    let batch = [7, 8].map(|offset| DeadLetter { offset, ..letter(vec![]) });
    for taken in [1, 2, 2] {
        let producer = letters.producer(&mut *letters.state.lock().await).await.unwrap();
        let mut sending = Sending { letters: &letters, producer, progress: &mut progress };
        sending.batch(&batch[..taken], &origin, &mut Parked::default()).await.unwrap();
        assert_eq!(letters.copied.with_label_values(&["sent"]).get(), taken as u64);
    }
}
