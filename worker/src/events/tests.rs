//! What holds for any input, checked on seeded random records. Single cases live in the case file.

use std::borrow::Cow;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use super::*;

const ROUNDS: usize = 20_000;

const AT: Place<'_> = Place { topic: "orders", partition: 3 };

const STRUCTURED: &[u8] = b"application/cloudevents+json";

/// A valid body with everything in it that a mutation can break.
const BODY: &str = r#"{"specversion":"1.0","id":"a-1","source":"/s/%C3%A9","type":"t.v2","subject":"é\"y",
"time":"2018-04-05T17:31:00.1234567+01:00","datacontenttype":"application/json","dataschema":"http://x/s#f",
"n":-1,"ok":true,"no":null,"data":{"a":[1,2.5e3,"\uDEAD\"]}"],"b":null}}"#;

/// Texts that reach deep into the decoder when they are put where others are expected.
const TOKENS: &[&str] = &[
    "ce_",
    "ce_id",
    "ce_type",
    "ce_source",
    "ce_specversion",
    "ce_time",
    "ce_dataschema",
    "ce_data",
    "content-type",
    "Content-Type",
    "application/json",
    "text/plain;a=b",
    "/json",
    "+json",
    ";",
    "/",
    "application/cloudevents+json",
    "application/cloudevents-batch",
    "1.0",
    "",
    "\u{FDD0}",
    "[",
    "null",
    "2018-04-05T17:31:60.999999999999Z",
    "0000-01-01T00:00:00+23:59",
    "2018-04-05t",
    "http://[::1]/%41#",
];

fn random_bytes(rng: &mut StdRng, longest: usize) -> Vec<u8> {
    let length = rng.random_range(0..=longest);
    (0..length).map(|_| rng.random()).collect()
}

fn random_part(rng: &mut StdRng) -> Vec<u8> {
    match rng.random_range(0..4) {
        0 => random_bytes(rng, 12),
        _ => TOKENS.choose(rng).copied().unwrap_or_default().as_bytes().to_vec(),
    }
}

/// The body with a few bytes changed, cut out, doubled or replaced by a token.
fn mutated_body(rng: &mut StdRng) -> Vec<u8> {
    let mut body = BODY.as_bytes().to_vec();
    for _ in 0..rng.random_range(0..4) {
        let start = rng.random_range(0..body.len());
        let end = rng.random_range(start..body.len().min(start + 20));
        let piece = match rng.random_range(0..3) {
            0 => Vec::new(),
            1 => body[start..end].repeat(2),
            _ => random_part(rng),
        };
        body.splice(start..end, piece);
    }
    body
}

fn decode_structured(body: &[u8]) -> Decoded<'_> {
    let headers = &[Header { name: b"content-type", value: Some(STRUCTURED) }];
    decode(&record(headers, Some(body)), AT, &Policy::default())
}

fn record<'a>(headers: &'a [Header<'a>], value: Option<&'a [u8]>) -> Record<'a> {
    Record { offset: 0, timestamp: None, key: None, value, headers }
}

#[test]
fn random_headers_and_values_never_panic() {
    let mut rng = StdRng::seed_from_u64(1);
    for _ in 0..ROUNDS {
        let parts: Vec<_> = (0..rng.random_range(0..10))
            .map(|_| {
                let mut name = random_part(&mut rng);
                name.extend(random_part(&mut rng).iter().take(rng.random_range(0..4)));
                (name, rng.random_bool(0.9).then(|| random_part(&mut rng)))
            })
            .collect();
        let headers: Vec<_> = parts.iter().map(|(name, value)| Header { name, value: value.as_deref() }).collect();
        let value = rng.random_bool(0.8).then(|| random_part(&mut rng));
        decode(&record(&headers, value.as_deref()), AT, &Policy::default());
    }
}

#[test]
fn damaged_bodies_never_panic_and_some_are_still_events() {
    let mut rng = StdRng::seed_from_u64(2);
    let (mut events, mut rejected) = (0, 0);
    for _ in 0..ROUNDS {
        match decode_structured(&mutated_body(&mut rng)) {
            Decoded::Event(..) => events += 1,
            _ => rejected += 1,
        }
    }
    assert!(events > 0 && rejected > 0, "{events} events, {rejected} rejected: one path is not tried");
}

#[test]
fn rejections_never_quote_data() {
    let mut rng = StdRng::seed_from_u64(3);
    for _ in 0..ROUNDS {
        let body = String::from_utf8_lossy(&mutated_body(&mut rng)).replace("2.5e3", "\"s3cret\"");
        if let Decoded::Rejected(rejection) = decode_structured(body.as_bytes()) {
            assert!(!rejection.detail.contains("s3cret"), "{rejection}");
        }
    }
}

#[test]
fn json_data_in_a_body_keeps_its_exact_bytes() {
    let mut rng = StdRng::seed_from_u64(4);
    for _ in 0..ROUNDS {
        let data = random_json(&mut rng, 4);
        let body =
            format!("{{\"data\" :\n{data}\t,\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"/\",\"type\":\"t\"}}");
        let Decoded::Event(event, _) = decode_structured(body.as_bytes()) else {
            panic!("not an event: {body}");
        };
        assert_eq!(event.data, Data::Text(data.into()));
    }
}

/// JSON without spaces around it, in spellings that no serializer would choose.
fn random_json(rng: &mut StdRng, depth: usize) -> String {
    const SCALARS: &[&str] = &["null", "true", "-0", "1e400", "0.10", "\"\"", r#""\uDEAD\"]}""#, "\"é\""];
    let choices = if depth == 0 { 1 } else { 3 };
    match rng.random_range(0..choices) {
        0 => SCALARS.choose(rng).copied().unwrap_or_default().to_owned(),
        1 => format!("[ {} ,\r\n{}]", random_json(rng, depth - 1), random_json(rng, depth - 1)),
        _ => format!("{{\"a\":{},\"a\" : {} }}", random_json(rng, depth - 1), random_json(rng, depth - 1)),
    }
}

#[test]
fn binary_data_keeps_its_exact_bytes_under_any_type() {
    let mut rng = StdRng::seed_from_u64(5);
    for _ in 0..ROUNDS {
        let data =
            if rng.random_bool(0.5) { random_bytes(&mut rng, 40) } else { random_json(&mut rng, 3).into_bytes() };
        let types: &[&[u8]] = &[b"application/json", b"text/plain", b"image/png", b"no type"];
        let mut headers: Vec<_> = [("ce_specversion", "1.0"), ("ce_id", "1"), ("ce_source", "/"), ("ce_type", "t")]
            .map(|(name, value)| Header { name: name.as_bytes(), value: Some(value.as_bytes()) })
            .to_vec();
        headers.extend(types.choose(&mut rng).map(|t| Header { name: b"content-type", value: Some(t) }));
        let Decoded::Event(event, _) = decode(&record(&headers, Some(&data)), AT, &Policy::default()) else {
            panic!("not an event: {data:?}");
        };
        let kept = match &event.data {
            Data::None => panic!("no data: {data:?}"),
            Data::Text(text) => text.as_bytes(),
            Data::Binary(bytes) => bytes,
        };
        assert_eq!(kept, data);
    }
}

#[test]
fn a_plain_structured_event_borrows_all_its_text() {
    let body = br#"{"specversion":"1.0","id":"1","source":"/s","type":"t","x":"y","data":{"a":1}}"#;
    let Decoded::Event(event, _) = decode_structured(body) else {
        panic!("not an event");
    };
    let (name, text) = &event.extensions[0];
    let texts = [&event.specversion, &event.id, &event.source, &event.r#type, name, text];
    assert!(texts.iter().all(|text| matches!(text, Cow::Borrowed(_))), "{event:?}");
    assert!(matches!(event.data, Data::Text(Cow::Borrowed(_))), "{event:?}");
}

#[test]
fn details_are_cut_at_a_character_boundary() {
    let rejection = Rejection::new(Reason::Duplicate, "é".repeat(300) + "x");
    assert_eq!(rejection.detail, "é".repeat(256));
}

#[test]
fn names_quoted_in_details_are_bounded_and_escaped() {
    let name = [b"ce_\x1b\xff".as_slice(), &[b'A'; 1000]].concat();
    let headers = [Header { name: &name, value: Some(b"x") }];
    let Decoded::Rejected(rejection) = decode(&record(&headers, None), AT, &Policy::default()) else {
        panic!("not rejected");
    };
    assert!(rejection.detail.len() < 300 && !rejection.detail.contains('\x1b'), "{rejection}");
}

#[test]
fn every_reason_and_note_has_the_name_of_its_variant() {
    assert!(Reason::ALL.iter().all(|reason| format!("{reason:?}") == reason.as_str()));
    assert!(Note::ALL.iter().all(|note| format!("{note:?}") == note.as_str()));
}

#[test]
fn the_policy_is_written_as_in_the_settings() {
    let lenient = [Leniency::TimeSpace, Leniency::HeaderCase].into_iter().collect();
    let policy = Policy { non_cloud_events: NonCloudEvents::AssumeStructured, lenient };
    let text = serde_json::to_string(&policy).unwrap_or_default();
    assert_eq!(text, r#"{"non_cloud_events":"assume_structured","lenient":["header_case","time_space"]}"#);
    assert_eq!(serde_json::from_str::<Policy>(&text).ok(), Some(policy));
}
