//! Feeds the decoder arbitrary records. It must not panic, must explain each rejection in bounds, and
//! must keep the bytes of binary data. `cargo +nightly fuzz run decode` in this folder starts it.
//!
//! An input is a record: lines `name: value` as headers (a line without colon has a null value), an
//! empty line, then the value; without an empty line the value is null.
#![no_main]

// The decoder is compiled in by path because the worker crate would bring librdkafka along.
#[allow(dead_code, unused_imports, missing_docs)]
#[path = "../../worker/src/events/mod.rs"]
mod events;

use events::{Data, Decoded, Header, Policy, Record, decode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let (head, value) = match input.windows(2).position(|pair| pair == b"\n\n") {
        Some(end) => (&input[..end], Some(&input[end + 2..])),
        None => (input, None),
    };
    let headers: Vec<_> = head.split(|&byte| byte == b'\n').map(header).collect();
    let record = Record {
        offset: 0,
        timestamp: None,
        key: None,
        value,
        headers: &headers,
    };
    match decode(&record, &Policy::default()) {
        Decoded::Event(event, _) => {
            let structured = headers
                .iter()
                .filter_map(|header| header.value)
                .any(|value| {
                    value
                        .to_ascii_lowercase()
                        .starts_with(b"application/cloudevents")
                });
            let kept = match &event.data {
                Data::None => None,
                Data::Text(text) => Some(text.as_bytes()),
                Data::Binary(bytes) => Some(&**bytes),
            };
            assert!(structured || kept == value);
        }
        Decoded::Rejected(rejection) => assert!((1..=512).contains(&rejection.detail.len())),
        Decoded::Filtered(_) => unreachable!("the default policy filters nothing"),
    }
});

fn header(line: &[u8]) -> Header<'_> {
    match line.windows(2).position(|pair| pair == b": ") {
        Some(end) => Header {
            name: &line[..end],
            value: Some(&line[end + 2..]),
        },
        None => Header {
            name: line,
            value: None,
        },
    }
}
