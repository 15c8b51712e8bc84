//! Feeds the decoder arbitrary records, each under every policy for records that are no CloudEvents,
//! strict and as lenient as can be. It must not panic, must explain each rejection in bounds, and
//! must keep the bytes of binary data. `cargo +nightly fuzz run decode` in this folder starts it.
//!
//! An input is a record: lines `name: value` as headers (a line without colon has a null value), an
//! empty line, then the value; without an empty line the value is null.
#![no_main]

// The decoder is compiled in by path because the worker crate would bring librdkafka along.
#[allow(dead_code, unused_imports, missing_docs)]
#[path = "../../worker/src/events/mod.rs"]
mod events;

use events::{
    Data, Decoded, Header, Leniency, Lenient, NonCloudEvents, Place, Policy, Record, decode,
};
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
    let lenient = [
        Leniency::HeaderCase,
        Leniency::TimeSpace,
        Leniency::ExtensionNames,
    ];
    for non_cloud_events in [
        NonCloudEvents::Reject,
        NonCloudEvents::Skip,
        NonCloudEvents::Wrap,
        NonCloudEvents::AssumeStructured,
    ] {
        for lenient in [Lenient::default(), lenient.into_iter().collect()] {
            check(&record, &Policy { non_cloud_events, lenient });
        }
    }
});

fn check(record: &Record<'_>, policy: &Policy) {
    let at = Place {
        topic: "orders",
        partition: 3,
    };
    match decode(record, at, policy) {
        Decoded::Event(event, _) => {
            let announced = record
                .headers
                .iter()
                .filter_map(|header| header.value)
                .any(|value| {
                    value
                        .to_ascii_lowercase()
                        .starts_with(b"application/cloudevents")
                });
            let structured =
                announced || policy.non_cloud_events == NonCloudEvents::AssumeStructured;
            let kept = match &event.data {
                Data::None => None,
                Data::Text(text) => Some(text.as_bytes()),
                Data::Binary(bytes) => Some(&**bytes),
            };
            assert!(structured || kept == record.value);
        }
        Decoded::Rejected(rejection) => assert!((1..=512).contains(&rejection.detail.len())),
        Decoded::Filtered(_) => assert_eq!(policy.non_cloud_events, NonCloudEvents::Skip),
    }
}

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
