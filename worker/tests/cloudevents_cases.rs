//! Runs every case of `cloudevents-kafka-cases.json` through the decoder. The file is the promise; this
//! only reads it, so that a failure is the sentence that does not hold.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt::Debug;

use base64::{Engine, engine::general_purpose::STANDARD};
use eventsink_worker::events::{Data, Decoded, Event, Header, Note, Notes, Place, Policy, Record, Time, decode};
use serde::Deserialize;
use serde_json::Value;

const CASES: &str = include_str!("cloudevents-kafka-cases.json");

/// The rows of the table that the cases are grouped by.
const ROWS: std::ops::RangeInclusive<u32> = 1..=49;

#[derive(Deserialize)]
struct File {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    row: u32,
    name: String,
    spec: String,
    record: RecordSpec,
    expect: Expect,
    #[serde(default)]
    policy: Policy,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordSpec {
    key: Value,
    headers: Vec<(Value, Value)>,
    value: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Expect {
    Event(Box<EventSpec>),
    Rejected(String),
    Filtered(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EventSpec {
    specversion: String,
    id: String,
    source: String,
    r#type: String,
    subject: Option<String>,
    time: Option<TimeSpec>,
    datacontenttype: Option<String>,
    dataschema: Option<String>,
    #[serde(default)]
    extensions: Vec<(String, String)>,
    data: Option<DataSpec>,
    #[serde(default)]
    notes: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TimeSpec {
    micros: i64,
    raw: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum DataSpec {
    Text(Value),
    Binary(Value),
}

fn cases() -> Vec<Case> {
    serde_json::from_str::<File>(CASES).expect("the case file follows its format").cases
}

/// The bytes notation of the case file.
fn bytes(spec: &Value) -> Option<Vec<u8>> {
    match spec {
        Value::Null => None,
        Value::String(text) => Some(text.clone().into_bytes()),
        _ => Some(match (&spec["base64"], &spec["parts"], &spec["repeat"], &spec["times"]) {
            (Value::String(text), ..) => STANDARD.decode(text).expect("base64 in the case file"),
            (_, Value::Array(parts), ..) => parts.iter().filter_map(bytes).flatten().collect(),
            (_, _, Value::String(text), Value::Number(times)) => {
                text.repeat(times.as_u64().expect("a count") as usize).into_bytes()
            }
            _ => panic!("not in the bytes notation: {spec}"),
        }),
    }
}

/// Calls `check` with what the decoder makes of the case's record.
fn with_decoded<R>(case: &Case, check: impl FnOnce(&Decoded<'_>) -> R) -> R {
    let (key, value) = (bytes(&case.record.key), bytes(&case.record.value));
    let pairs: Vec<_> =
        case.record.headers.iter().map(|(name, value)| (bytes(name).expect("a header name"), bytes(value))).collect();
    let headers: Vec<_> = pairs.iter().map(|(name, value)| Header { name, value: value.as_deref() }).collect();
    let record = Record { offset: 7, timestamp: None, key: key.as_deref(), value: value.as_deref(), headers: &headers };
    check(&decode(&record, Place { topic: "orders", partition: 3 }, &case.policy))
}

fn expected_event(spec: &EventSpec) -> Event<'static> {
    let optional = |text: &Option<String>| text.clone().map(Cow::Owned);
    Event {
        specversion: spec.specversion.clone().into(),
        id: spec.id.clone().into(),
        source: spec.source.clone().into(),
        r#type: spec.r#type.clone().into(),
        subject: optional(&spec.subject),
        time: spec.time.as_ref().map(|time| Time { micros: time.micros, raw: optional(&time.raw) }),
        datacontenttype: optional(&spec.datacontenttype),
        dataschema: optional(&spec.dataschema),
        extensions: spec.extensions.iter().map(|(name, text)| (name.clone().into(), text.clone().into())).collect(),
        data: match &spec.data {
            None => Data::None,
            Some(DataSpec::Text(text)) => {
                let text = bytes(text).map(String::from_utf8).expect("text").expect("UTF-8");
                Data::Text(text.into())
            }
            Some(DataSpec::Binary(data)) => Data::Binary(bytes(data).expect("bytes").into()),
        },
    }
}

fn expected_notes(spec: &EventSpec) -> Notes {
    let mut notes = Notes::default();
    for name in &spec.notes {
        let note = Note::ALL.iter().find(|note| note.as_str() == name);
        notes.insert(*note.unwrap_or_else(|| panic!("no note is named {name}")));
    }
    notes
}

/// What differs, or nothing when the case holds.
fn difference(case: &Case, got: &Decoded<'_>) -> Option<String> {
    let expected = match &case.expect {
        Expect::Event(spec) => {
            let expected = Decoded::Event(expected_event(spec), expected_notes(spec));
            (expected != *got).then(|| shown(&expected))
        }
        Expect::Rejected(reason) => {
            let holds = matches!(got, Decoded::Rejected(r) if r.reason.as_str() == reason);
            (!holds).then(|| format!("Rejected({reason})"))
        }
        Expect::Filtered(reason) => {
            let holds = matches!(got, Decoded::Filtered(r) if r.as_str() == reason);
            (!holds).then(|| format!("Filtered({reason})"))
        }
    }?;
    Some(format!(
        "row {}: {} ({})\n    expected {expected}\n    got      {}",
        case.row,
        case.name,
        case.spec,
        shown(got)
    ))
}

fn shown(value: &impl Debug) -> String {
    format!("{value:?}").chars().take(700).collect()
}

fn assert_none(failures: &[String]) {
    assert!(failures.is_empty(), "{} cases do not hold:\n\n{}", failures.len(), failures.join("\n\n"));
}

#[test]
fn every_case_of_the_table_holds() {
    let failures: Vec<_> = cases().iter().filter_map(|case| with_decoded(case, |got| difference(case, got))).collect();
    assert_none(&failures);
}

#[test]
fn every_row_of_the_table_has_a_case() {
    let rows: BTreeSet<_> = cases().iter().map(|case| case.row).collect();
    assert_eq!(rows, ROWS.collect());
}

#[test]
fn no_two_cases_have_the_same_name() {
    let mut names = BTreeSet::new();
    let twice: Vec<_> = cases().into_iter().map(|case| case.name).filter(|name| !names.insert(name.clone())).collect();
    assert_none(&twice);
}

#[test]
fn every_rejection_explains_itself_in_at_most_512_bytes() {
    let mut failures = Vec::new();
    for case in cases() {
        with_decoded(&case, |got| {
            if let Decoded::Rejected(rejection) = got
                && !(1..=512).contains(&rejection.detail.len())
            {
                failures.push(format!("{}: {rejection}", case.name));
            }
        });
    }
    assert_none(&failures);
}
