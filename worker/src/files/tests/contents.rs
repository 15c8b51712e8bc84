//! What is in a file: columns, values, digests, pages.

use ::parquet::basic::Encoding as PageEncoding;

use super::*;
use crate::events::Time;

const DEAD_SCHEMA: &str = "\
message eventsink {
  REQUIRED BYTE_ARRAY reason (STRING);
  REQUIRED BYTE_ARRAY detail (STRING);
  REQUIRED BYTE_ARRAY kafka_topic (STRING);
  REQUIRED INT32 kafka_partition;
  REQUIRED INT64 kafka_offset;
  OPTIONAL INT64 kafka_timestamp (TIMESTAMP(MICROS,true));
  OPTIONAL BYTE_ARRAY kafka_key;
  REQUIRED group kafka_headers (LIST) {
    REPEATED group list {
      REQUIRED group element {
        REQUIRED BYTE_ARRAY key (STRING);
        OPTIONAL BYTE_ARRAY value;
      }
    }
  }
  OPTIONAL BYTE_ARRAY kafka_value;
}
";

/// The columns of [`varied_rows`], line by line.
pub(super) const VARIED_LINES: &[&str] = &[
    r#""1.0" | "id-1" | "/shop" | "com.example.order" | "order/1" | 1766311200000001UTC | "2025-12-21T10:00:00.0000019Z" | "application/json" | "https://example.com/order" | ["b"="2", "a"=""] | "{\"n\": 1.0, \"ü\":\"☃\"}" | null | "user-events" | 0 | 10 | 1766311200000000UTC | b"k\xff" | ["trace"=b"\x00\x01", "trace"=b"", ""=null, "café\\xFF\\xC3"=b"x"]"#,
    r#""1.0" | "" | "/shop" | "com.example.order" | "" | -62167219200000000UTC | null | "" | "" | [] | "" | null | "user-events" | 0 | 11 | 1766311200000000UTC | b"" | []"#,
    r#""1.0" | "id-1" | "/shop" | "com.example.order" | null | null | null | null | null | [] | null | b"\x00\xff\x80" | "user-events" | 0 | 13 | 1766311200000000UTC | null | []"#,
    r#""1.0" | "id-1" | "/shop" | "com.example.order" | null | null | null | null | null | [] | null | b"" | "user-events" | 0 | 14 | 1766311200000000UTC | null | []"#,
    r#""1.0" | "id-1" | "/shop" | "com.example.order" | null | null | null | null | null | [] | null | null | "user-events" | 0 | 15 | 1766311200000000UTC | null | []"#,
];

pub(super) const DEAD_LINES: &[&str] = &[
    r#""MalformedJson" | "ends inside an object" | "user-events" | 0 | 3 | 1766311200000000UTC | b"k" | ["h"=null] | b"{\"id\":\"1\",\xff\x00 and more""#,
    r#""EmptyBody" | "" | "user-events" | 0 | 4 | 1766311200000000UTC | null | [] | null"#,
];

#[test]
fn the_columns_of_events_are_exactly_these() {
    assert_eq!(schema_text(&encode(Encoding::default(), &varied_rows())[0].body), ROWS_SCHEMA);
}

#[test]
fn the_columns_of_dead_letters_are_exactly_these() {
    assert_eq!(schema_text(&dead_file().body), DEAD_SCHEMA);
}

#[test]
fn every_value_reads_back_as_it_was_null_and_empty_told_apart() {
    let files = encode(Encoding::default(), &varied_rows());
    assert_eq!(lines(&files[0].body), VARIED_LINES);
}

#[test]
fn dead_letters_read_back_with_their_bytes_and_headers() {
    assert_eq!(lines(&dead_file().body), DEAD_LINES);
}

#[test]
fn a_kafka_timestamp_is_kept_in_microseconds_and_null_when_missing_or_beyond_them() {
    let rows = [Some(1), None, Some(i64::MAX)].map(Some);
    let mut writer = writer();
    for (offset, timestamp) in (0..).zip(rows.into_iter().flatten()) {
        writer.dead(&Record { timestamp, ..record(offset) }, "r", "d").unwrap();
    }
    let files = writer.finish(&close()).unwrap();
    let column: Vec<String> =
        lines(&files[0].body).iter().map(|line| line.split(" | ").nth(5).unwrap().to_owned()).collect();
    assert_eq!(column, ["1000UTC", "null", "null"]);
}

#[test]
fn rows_read_back_have_the_digest_and_the_offsets_that_were_planned() {
    for file in [encode(Encoding::default(), &varied_rows()).remove(0), dead_file()] {
        let read = read_rows(file.body).unwrap();
        assert_eq!((read.rows, &read.digest), (file.plan.rows, &file.plan.digest));
        let ends = (read.offsets.first().copied(), read.offsets.last().copied());
        assert_eq!(ends, (Some(file.plan.first), Some(file.plan.last)));
    }
}

#[test]
fn a_file_damaged_anywhere_gives_an_error_or_another_digest_and_no_panic() {
    let file = encode(Encoding::default(), &varied_rows()).remove(0);
    for at in 0..file.body.len() {
        let mut body = file.body.to_vec();
        body[at] ^= 0xff;
        // Most bytes of a small file are its footer: what stands only there may change without any row changing.
        let _ = read_rows(body.into());
        assert!(read_rows(file.body.slice(..at)).is_err(), "cut off at {at}");
    }
}

#[test]
fn the_digest_of_known_rows_never_changes() {
    assert_eq!(encode(Encoding::default(), &varied_rows())[0].plan.digest, "c40805fcdcfbe6c314004f176be0786c");
}

#[test]
fn codec_and_row_groups_change_neither_keys_nor_digests() {
    let rows = many_rows();
    let expected = encode(Encoding::default(), &rows)[0].plan.clone();
    for compression in [Compression::Zstd, Compression::Snappy, Compression::Gzip, Compression::None] {
        for row_group_bytes in [1, 300_000, 64 << 20] {
            let file = encode(Encoding { compression, row_group_bytes }, &rows).remove(0);
            assert_eq!(file.plan, expected, "{compression:?} {row_group_bytes}");
            assert_eq!(
                read_rows(file.body.clone()).unwrap().digest,
                expected.digest,
                "{compression:?} {row_group_bytes}"
            );
        }
    }
}

#[test]
fn row_groups_are_bounded_by_their_encoded_bytes() {
    let encoding = Encoding { compression: Compression::None, row_group_bytes: 1 << 20 };
    let file = encode(encoding, &many_rows()).remove(0);
    let metadata = ParquetMetaDataReader::new().parse_and_finish(&file.body).unwrap();
    assert!(metadata.num_row_groups() >= 2);
    for group in metadata.row_groups() {
        assert!(group.compressed_size() < 2 << 20, "{} bytes", group.compressed_size());
    }
}

/// Changes of one value each, with neighbours that a careless digest would take for each other.
const CHANGES: &[fn(&mut Event<'static>)] = &[
    |_| {},
    |event| event.specversion = "1.1".into(),
    |event| event.id = "id-2".into(),
    |event| (event.id, event.source) = ("id-1/".into(), "shop".into()),
    |event| event.r#type = "t".into(),
    |event| event.subject = Some("".into()),
    |event| event.time = Some(Time { micros: 0, raw: None }),
    |event| event.time = Some(Time { micros: 1, raw: None }),
    |event| event.time = Some(Time { micros: 0, raw: Some("x".into()) }),
    |event| event.datacontenttype = Some("".into()),
    |event| event.dataschema = Some("".into()),
    |event| event.extensions = vec![("a".into(), "b".into())],
    |event| event.extensions = vec![("ab".into(), "".into())],
    |event| event.data = Data::Text("".into()),
    |event| event.data = Data::Binary(b"".as_slice().into()),
];

fn digest_of(record: Record<'_>, event: Event<'_>) -> String {
    encode(Encoding::default(), &[(record, event)])[0].plan.digest.clone()
}

#[test]
fn every_changed_value_changes_the_digest() {
    let headers = [Header { name: b"h", value: None }];
    let empty_headers = [Header { name: b"h", value: Some(b"") }];
    let records = [
        record(2),
        Record { timestamp: None, ..record(1) },
        Record { key: Some(b""), ..record(1) },
        Record { headers: &headers, ..record(1) },
        Record { headers: &empty_headers, ..record(1) },
    ];
    let of_events = CHANGES.iter().map(|change| {
        let mut changed = event();
        change(&mut changed);
        digest_of(record(1), changed)
    });
    let of_records = records.into_iter().map(|record| digest_of(record, event()));
    let digests: Vec<String> = of_events.chain(of_records).collect();
    let distinct: std::collections::BTreeSet<&String> = digests.iter().collect();
    assert_eq!(distinct.len(), digests.len());
}

#[test]
fn payloads_and_ids_are_plain_and_repeated_texts_are_in_dictionaries() {
    let file = encode(Encoding::default(), &many_rows()).remove(0);
    let metadata = ParquetMetaDataReader::new().parse_and_finish(&file.body).unwrap();
    let dictionary: Vec<String> = metadata
        .row_group(0)
        .columns()
        .iter()
        .filter(|column| {
            column
                .encodings()
                .any(|encoding| encoding == PageEncoding::RLE_DICTIONARY || encoding == PageEncoding::PLAIN_DICTIONARY)
        })
        .map(|column| column.column_path().string())
        .collect();
    assert_eq!(
        dictionary,
        [
            "specversion",
            "source",
            "type",
            "subject",
            "datacontenttype",
            "dataschema",
            "extensions.key_value.key",
            "kafka_topic",
            "kafka_partition",
            "kafka_headers.list.element.key"
        ]
    );
}

/// The columns of a file that are compressed, by their paths.
fn compressed(rows: usize) -> Vec<String> {
    let event = |row: usize| Event {
        id: format!("{row:032x}").into(),
        subject: Some(format!("order/{row}").into()),
        extensions: vec![("tenant".into(), "north".into())],
        ..event()
    };
    let rows: Vec<_> = (0..rows).map(|row| (record(row as i64), event(row))).collect();
    let file = encode(Encoding::default(), &rows).remove(0);
    let metadata = ParquetMetaDataReader::new().parse_and_finish(&file.body).unwrap();
    let columns = metadata.row_group(0).columns().iter();
    let zstd = columns.filter(|column| matches!(column.compression(), ::parquet::basic::Compression::ZSTD(_)));
    zstd.map(|column| column.column_path().string()).collect()
}

#[test]
fn a_codec_is_used_where_the_rows_of_a_file_are_worth_it() {
    assert_eq!(compressed(10), [""; 0], "none of it is worth a codec");
    let worth_it = ["id", "subject", "extensions.key_value.value", "kafka_timestamp"];
    assert_eq!(compressed(1000), worth_it, "the others have few values or none");
}

#[test]
fn a_codec_is_used_for_all_columns_that_can_need_it_when_more_rows_may_come() {
    assert_eq!(compressed(20_000).len(), 16);
}
