//! What an event costs, in instructions of the processor: a bound that no other load on the machine moves.
//!
//! A test starts itself once more under valgrind's callgrind, which counts what one function of it executes. The bounds
//! are for the profile of tests; `make bench` tells what the worker costs as it is shipped. A figure far below its bound
//! is good news and fails too: lower the bound, so that it stays so.

use std::fmt::Write as _;
use std::hint::black_box;
use std::process::Command;
use std::sync::Arc;

use eventsink_worker::events::{DECODER_VERSION, Decoded, Event, Header, Place, Policy, Record, decode};
use eventsink_worker::files::{Close, CutWriter, Encoding, Identity, Rules};

/// Tells a test that it is the one under valgrind.
const COUNTED: &str = "EVENTSINK_COUNTED";
const EVENTS: u64 = 4000;
const HEADERS: &[Header<'_>] = &[Header { name: b"content-type", value: Some(b"application/cloudevents+json") }];

#[test]
fn decoding_takes_as_many_instructions_per_event_as_it_did() {
    let values = values();
    if std::env::var_os(COUNTED).is_some() {
        return decode_all(&values);
    }
    assert_near(15_500, count("decoding_takes_as_many_instructions_per_event_as_it_did", "decode_all"));
}

#[test]
fn encoding_takes_as_many_instructions_per_event_as_it_did() {
    let values = values();
    let events: Vec<_> = (0..).zip(&values).map(|(offset, value)| event(&record(offset, value))).collect();
    if std::env::var_os(COUNTED).is_some() {
        return encode_all(&values, &events);
    }
    assert_near(20_500, count("encoding_takes_as_many_instructions_per_event_as_it_did", "encode_all"));
}

#[inline(never)]
fn decode_all(values: &[String]) {
    for (offset, value) in (0..).zip(values) {
        black_box(event(&record(offset, value)));
    }
}

/// Parquet with zstd, the last page and the footer included.
#[inline(never)]
fn encode_all(values: &[String], events: &[Event<'_>]) {
    let text = |text: &str| text.to_owned();
    let identity = Identity {
        ledger: text("ledger"),
        sink: text("sink"),
        cluster_id: text("cluster"),
        topic: text("orders"),
        topic_id: text("id"),
        partition: 0,
    };
    let mut writer = CutWriter::new(Arc::new(Rules::default()), Arc::new(identity), Encoding::default());
    for ((offset, value), event) in (0..).zip(values).zip(events) {
        writer.event(&record(offset, value), event).expect("a row");
    }
    let close = Close { from: 0, to: 0, nonce: text("n"), decoder_version: DECODER_VERSION, incomplete: false };
    black_box(writer.finish(&close).expect("a file"));
}

fn event<'a>(record: &Record<'a>) -> Event<'a> {
    match decode(record, Place { topic: "orders", partition: 0 }, &Policy::default()) {
        Decoded::Event(event, _) => event,
        other => panic!("no event: {other:?}"),
    }
}

fn record(offset: i64, value: &str) -> Record<'_> {
    let value = Some(value.as_bytes());
    Record { offset, timestamp: Some(1_737_453_600_000 + offset), key: Some(b"customer-1"), value, headers: HEADERS }
}

/// CloudEvents in JSON of about 550 bytes whose fields differ as real ones do.
fn values() -> Vec<String> {
    (0..EVENTS).map(value).collect()
}

fn value(number: u64) -> String {
    // Multiplied by an odd number, far apart.
    let (a, b) = (number.wrapping_mul(0x9E37_79B9_7F4A_7C15), number.wrapping_mul(0xBF58_476D_1CE4_E5B9));
    let mut text = format!(
        r#"{{"specversion":"1.0","id":"{a:016x}{b:016x}","source":"/shops/berlin/{}","type":"com.example.order.placed","#,
        a >> 61
    );
    let (minutes, seconds) = (number / 60 % 60, number % 60);
    _ = write!(
        text,
        r#""subject":"order/{number}","time":"2025-01-21T10:{minutes:02}:{seconds:02}.{:06}Z","datacontenttype":"#,
        b >> 45
    );
    _ = write!(text, r#""application/json","traceparent":"00-{b:016x}{a:016x}-{a:016x}-01","data":{{"items":["#);
    for item in 0..4_u64 {
        let more = a.rotate_left(item as u32 * 13);
        let comma = if item == 0 { "" } else { "," };
        _ = write!(
            text,
            r#"{comma}{{"sku":"BK-{:05}","quantity":{},"price":{}.{:02}}}"#,
            more >> 48,
            1 + more % 4,
            more % 97,
            more % 89
        );
    }
    text.push_str("]}}");
    text
}

/// Instructions per event that a function of this program executes while it runs one of its tests.
fn count(test: &str, function: &str) -> u64 {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", &format!("--toggle-collect=*{function}*")])
        .arg(std::env::current_exe().expect("this program has a path"))
        .args(["--exact", test])
        .env(COUNTED, "1")
        .output()
        .unwrap_or_else(|error| panic!("cannot run valgrind: {error}; run: apt-get install -y valgrind"));
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "valgrind says: {words}{}", String::from_utf8_lossy(&output.stdout));
    let collected = words.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse::<u64>().ok());
    collected.unwrap_or_else(|| panic!("no count in: {words}")) / EVENTS
}

/// Within a twentieth of what it was: more is a loss, less is a bound to be lowered.
fn assert_near(pinned: u64, found: u64) {
    println!("{found} instructions per event, pinned {pinned}");
    assert!(found.abs_diff(pinned) * 20 <= pinned, "{found} instructions per event, pinned {pinned}");
}
