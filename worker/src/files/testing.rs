//! Records, events and readers for the tests of this room.

use std::borrow::Cow;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, RecordBatch};
use arrow_schema::{DataType, TimeUnit};
use bytes::Bytes;

use super::{Close, CutWriter, EncodedFile, Encoding, Format, Identity, Rules, batches};
use crate::events::{Data, Event, Header, Record, Time};

/// 2025-12-21T10:00:00Z in milliseconds.
pub const MORNING: i64 = 1_766_311_200_000;
pub const DAY: i64 = 86_400_000;

pub fn identity() -> Arc<Identity> {
    Arc::new(Identity {
        ledger: "ledger-1".into(),
        sink: "orders".into(),
        cluster_id: "cluster-1".into(),
        topic: "user-events".into(),
        topic_id: "topic-id-1".into(),
        partition: 0,
    })
}

pub fn close() -> Close {
    Close { from: 0, to: 1_000_000, nonce: "nonce-1".into(), decoder_version: 1, incomplete: false }
}

pub fn writer() -> CutWriter {
    writer_with(Rules::default(), Encoding::default())
}

pub fn writer_with(rules: Rules, encoding: Encoding) -> CutWriter {
    CutWriter::new(Arc::new(rules), identity(), encoding)
}

pub fn record(offset: i64) -> Record<'static> {
    Record { offset, timestamp: Some(MORNING), key: None, value: None, headers: &[] }
}

pub fn event() -> Event<'static> {
    Event {
        specversion: "1.0".into(),
        id: "id-1".into(),
        source: "/shop".into(),
        r#type: "com.example.order".into(),
        subject: None,
        time: None,
        datacontenttype: None,
        dataschema: None,
        extensions: Vec::new(),
        data: Data::None,
    }
}

/// An event of a schema version.
pub fn event_of(version: &str) -> Event<'_> {
    Event { extensions: vec![("schemaversion".into(), version.into())], ..event() }
}

const HEADERS: &[Header<'static>] = &[
    Header { name: b"trace", value: Some(b"\x00\x01") },
    Header { name: b"trace", value: Some(b"") },
    Header { name: b"", value: None },
    Header { name: b"caf\xc3\xa9\xff\xc3", value: Some(b"x") },
];

/// Rows that between them have every column null, empty and full.
pub fn varied_rows() -> Vec<(Record<'static>, Event<'static>)> {
    let full = Event {
        subject: Some("order/1".into()),
        time: Some(Time { micros: MORNING * 1000 + 1, raw: Some("2025-12-21T10:00:00.0000019Z".into()) }),
        datacontenttype: Some("application/json".into()),
        dataschema: Some("https://example.com/order".into()),
        extensions: vec![("b".into(), "2".into()), ("a".into(), "".into())],
        data: Data::Text(Cow::Borrowed("{\"n\": 1.0, \"ü\":\"☃\"}")),
        ..event()
    };
    let empty = Event {
        id: "".into(),
        subject: Some("".into()),
        // 0000-01-01T00:00:00Z, the earliest instant RFC 3339 can say.
        time: Some(Time { micros: -62_167_219_200_000_000, raw: None }),
        datacontenttype: Some("".into()),
        dataschema: Some("".into()),
        data: Data::Text("".into()),
        ..event()
    };
    let binary = Event { data: Data::Binary(Cow::Borrowed(b"\x00\xff\x80")), ..event() };
    let empty_binary = Event { data: Data::Binary(Cow::Borrowed(b"")), ..event() };
    vec![
        (Record { key: Some(b"k\xff"), headers: HEADERS, ..record(10) }, full),
        (Record { key: Some(b""), ..record(11) }, empty),
        (record(13), binary),
        (record(14), empty_binary),
        (record(15), event()),
    ]
}

/// Rows of one file whose values are drawn from a seed: null, empty, short, with every kind of character.
pub fn random_rows(seed: u64) -> Vec<(Record<'static>, Event<'static>)> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mut draw = move |bound: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % bound as u64).unwrap()
    };
    const TEXTS: [&str; 6] = ["", "\0", "a", "ü☃", "\u{10FFFF}", "a longer text that is not the same \r\n"];
    let rows = 1 + draw(300);
    let mut one = |offset: i64| {
        let mut text = || (draw(3) > 0).then(|| Cow::Borrowed(TEXTS[draw(TEXTS.len())]));
        let [id, subject, datacontenttype, tenant, b] = std::array::from_fn(|_| text());
        let names = [("tenant", tenant), ("b", b.clone()), ("c", b)];
        let extensions = names.into_iter().filter_map(|(name, value)| Some((name.into(), value?))).collect();
        let data = [Data::None, text().map_or(Data::None, Data::Text), Data::Binary(b"\0\xff".as_slice().into())];
        let data = data.into_iter().nth(offset as usize % 3).unwrap();
        let id = id.unwrap_or_default();
        let key = subject.is_some().then_some(b"k\xff".as_slice());
        let headers = if datacontenttype.is_some() { HEADERS } else { &[] };
        let event = Event { id, subject, datacontenttype, extensions, data, ..event() };
        (Record { key, headers, ..record(offset) }, event)
    };
    (0..rows as i64).map(&mut one).collect()
}

pub fn encode(encoding: Encoding, rows: &[(Record<'_>, Event<'_>)]) -> Vec<EncodedFile> {
    encode_under(Rules::default(), encoding, rows)
}

pub fn in_avro() -> Rules {
    Rules { format: Format::Avro, ..Rules::default() }
}

pub fn encode_under(rules: Rules, encoding: Encoding, rows: &[(Record<'_>, Event<'_>)]) -> Vec<EncodedFile> {
    let mut writer = writer_with(rules, encoding);
    for (record, event) in rows {
        writer.event(record, event).unwrap();
    }
    writer.finish(&close()).unwrap()
}

pub fn read(body: &Bytes) -> Vec<RecordBatch> {
    batches(body.clone()).unwrap().map(Result::unwrap).collect()
}

/// The rows as text, one line each.
pub fn lines(body: &Bytes) -> Vec<String> {
    let mut lines = Vec::new();
    for batch in read(body) {
        for row in 0..batch.num_rows() {
            let cells: Vec<String> = batch.columns().iter().map(|column| cell(column.as_ref(), row)).collect();
            lines.push(cells.join(" | "));
        }
    }
    lines
}

fn cell(column: &dyn Array, row: usize) -> String {
    if column.is_null(row) {
        return "null".into();
    }
    match column.data_type() {
        DataType::Utf8 => format!("{:?}", column.as_string::<i32>().value(row)),
        DataType::Binary => format!("b\"{}\"", column.as_binary::<i32>().value(row).escape_ascii()),
        DataType::Int32 => column.as_primitive::<Int32Type>().value(row).to_string(),
        DataType::Int64 => column.as_primitive::<Int64Type>().value(row).to_string(),
        DataType::Timestamp(TimeUnit::Microsecond, Some(zone)) => {
            format!("{}{zone}", column.as_primitive::<TimestampMicrosecondType>().value(row))
        }
        _ => {
            let entries = entries(column, row);
            let pairs: Vec<String> = (0..entries.len())
                .map(|at| format!("{}={}", cell(entries.column(0), at), cell(entries.column(1), at)))
                .collect();
            format!("[{}]", pairs.join(", "))
        }
    }
}

fn entries(column: &dyn Array, row: usize) -> arrow_array::StructArray {
    match column.data_type() {
        DataType::Map(_, _) => column.as_map().value(row),
        _ => column.as_list::<i32>().value(row).as_struct().clone(),
    }
}
