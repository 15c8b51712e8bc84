//! What holds for any body in the Avro and Protobuf formats, checked on cut and seeded damaged ones.
//! Single cases live in the case file.

use std::borrow::Cow;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde::de::IgnoredAny;

use super::super::{Data, Decoded, Event, Header, Place, Policy, Reason, Record, decode};

const ROUNDS: usize = 50_000;

const AVRO_TYPE: &[Header<'static>] = &[Header { name: b"content-type", value: Some(b"application/cloudevents+avro") }];
const PROTOBUF_TYPE: &[Header<'static>] =
    &[Header { name: b"content-type", value: Some(b"application/cloudevents+protobuf") }];

/// Attributes of every type, and a map with every kind of member as data.
const AVRO: &[u8] = b"\x10\x16specversion\x06\x061.0\x04id\x06\x021\x0csource\x06\x04/s\x08type\x06\x02t\
\x08time\x06\x282018-04-05T17:31:00Z\x02n\x04\x01\x04ok\x02\x01\x06bin\x08\x04\xff\x00\x00\
\x06\x06\x02d\x06\x00\x00\x00\x00\x00\x00\xf8\x3f\x02s\x08\x04\"x\
\x02r\x04\x04\x02a\x06\x02\x02\x02k\x00\x00\x00\x02m\x04\x02\x02q\x00\x00\x00\x00";

/// A timestamp, a number, a URI, and a message as data whose type URL is `dataschema`.
const PROTOBUF: &[u8] = b"\x0a\x03a-1\x12\x02/s\x1a\x031.0\x22\x04t.v2\
\x2a\x0f\x0a\x04time\x12\x07\x3a\x05\x08\x64\x10\xc8\x01\
\x2a\x10\x0a\x01n\x12\x0b\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\
\x2a\x0c\x0a\x01u\x12\x07\x2a\x05urn:x\x2a\x13\x0a\x0adataschema\x12\x05\x1a\x03x/Y\
\x42\x09\x0a\x03x/Y\x12\x02hi";

const AT: Place<'_> = Place { topic: "orders", partition: 3 };

fn decoded<'a>(headers: &'static [Header<'static>], body: &'a [u8]) -> Decoded<'a> {
    decode(&Record { offset: 0, timestamp: None, key: None, value: Some(body), headers }, AT, &Policy::default())
}

fn event<'a>(headers: &'static [Header<'static>], body: &'a [u8]) -> Event<'a> {
    match decoded(headers, body) {
        Decoded::Event(event, _) => event,
        other => panic!("not an event: {other:?}"),
    }
}

/// The body with a few bytes changed, cut out or doubled, seldom cut short.
fn damaged(rng: &mut StdRng, body: &[u8]) -> Vec<u8> {
    let mut body = body.to_vec();
    for _ in 0..rng.random_range(1..4) {
        let start = rng.random_range(0..body.len());
        let end = rng.random_range(start..body.len().min(start + 12));
        match rng.random_range(0..8) {
            0 => drop(body.drain(start..end)),
            1 => drop(body.splice(start..start, body[start..end].to_vec())),
            2 => body.truncate(start.max(1)),
            3 => body[start] = rng.random(),
            4 => body[start] = 0xFF,
            _ => body[start] ^= 1 << rng.random_range(0..8),
        }
    }
    body
}

fn assert_damage_is_survived(headers: &'static [Header<'static>], body: &[u8], seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let (mut events, mut rejected) = (0, 0);
    for _ in 0..ROUNDS {
        match decoded(headers, &damaged(&mut rng, body)) {
            Decoded::Event(..) => events += 1,
            Decoded::Rejected(rejection) => {
                assert!((1..=512).contains(&rejection.detail.len()), "{rejection}");
                rejected += 1;
            }
            Decoded::Filtered(reason) => panic!("filtered by a policy that filters nothing: {reason:?}"),
        }
    }
    assert!(events > 0 && rejected > 0, "{events} events, {rejected} rejected: one path is not tried");
}

#[test]
fn damaged_avro_never_panics_and_some_is_still_an_event() {
    assert_damage_is_survived(AVRO_TYPE, AVRO, 11);
}

#[test]
fn damaged_protobuf_never_panics_and_some_is_still_an_event() {
    assert_damage_is_survived(PROTOBUF_TYPE, PROTOBUF, 12);
}

#[test]
fn random_bytes_never_panic_in_either_format() {
    let mut rng = StdRng::seed_from_u64(13);
    for _ in 0..ROUNDS {
        let body: Vec<u8> = (0..rng.random_range(1..40)).map(|_| rng.random()).collect();
        decoded(AVRO_TYPE, &body);
        decoded(PROTOBUF_TYPE, &body);
    }
}

#[test]
fn an_avro_datum_cut_anywhere_is_malformed() {
    for end in 1..AVRO.len() {
        let got = decoded(AVRO_TYPE, &AVRO[..end]);
        let holds = matches!(&got, Decoded::Rejected(rejection) if rejection.reason == Reason::MalformedAvro);
        assert!(holds, "cut at {end}: {got:?}");
    }
}

#[test]
fn json_made_of_avro_data_is_json_however_the_datum_is_damaged() {
    let mut rng = StdRng::seed_from_u64(14);
    let data = AVRO.len() - 40;
    let mut trees = 0;
    for _ in 0..ROUNDS {
        let mut body = AVRO[..data].to_vec();
        body.extend(damaged(&mut rng, &AVRO[data..]));
        // The type is implied only where JSON was made.
        if let Decoded::Event(Event { datacontenttype: Some(_), data: Data::Text(text), .. }, _) =
            decoded(AVRO_TYPE, &body)
        {
            assert!(serde_json::from_str::<IgnoredAny>(&text).is_ok(), "{text}");
            trees += 1;
        }
    }
    assert!(trees > 100, "only {trees} were events");
}

#[test]
fn plain_events_of_both_formats_borrow_all_that_is_text() {
    for (headers, body) in [(AVRO_TYPE, AVRO), (PROTOBUF_TYPE, PROTOBUF)] {
        let event = event(headers, body);
        let texts = [&event.specversion, &event.id, &event.source, &event.r#type];
        assert!(texts.iter().all(|text| matches!(text, Cow::Borrowed(_))), "{event:?}");
    }
}

#[test]
fn the_sample_bodies_of_these_tests_say_what_they_should() {
    let avro = event(AVRO_TYPE, AVRO).data;
    assert_eq!(avro, Data::Text(r#"{"d":1.5,"s":"\"x","r":{"a":[{"k":null}],"m":{"q":{}}}}"#.into()));
    let protobuf = event(PROTOBUF_TYPE, PROTOBUF);
    assert_eq!(protobuf.time.map(|time| time.micros), Some(100_000_000));
    assert_eq!(protobuf.dataschema.as_deref(), Some("x/Y"));
}
