//! What users and the ledger see of whole files.

use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::Encoding as PageEncoding;
use parquet::file::metadata::ParquetMetaDataReader;
use parquet::schema::printer::print_schema;

use super::testing::*;
use super::*;
use crate::events::{Data, Event, Header, Record, Time};

const ROWS_SCHEMA: &str = "\
message eventsink {
  REQUIRED BYTE_ARRAY specversion (STRING);
  REQUIRED BYTE_ARRAY id (STRING);
  REQUIRED BYTE_ARRAY source (STRING);
  REQUIRED BYTE_ARRAY type (STRING);
  OPTIONAL BYTE_ARRAY subject (STRING);
  OPTIONAL INT64 time (TIMESTAMP(MICROS,true));
  OPTIONAL BYTE_ARRAY time_raw (STRING);
  OPTIONAL BYTE_ARRAY datacontenttype (STRING);
  OPTIONAL BYTE_ARRAY dataschema (STRING);
  REQUIRED group extensions (MAP) {
    REPEATED group key_value {
      REQUIRED BYTE_ARRAY key (STRING);
      REQUIRED BYTE_ARRAY value (STRING);
    }
  }
  OPTIONAL BYTE_ARRAY data (STRING);
  OPTIONAL BYTE_ARRAY data_binary;
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
}
";

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
const VARIED_LINES: &[&str] = &[
    r#""1.0" | "id-1" | "/shop" | "com.example.order" | "order/1" | 1766311200000001UTC | "2025-12-21T10:00:00.0000019Z" | "application/json" | "https://example.com/order" | ["b"="2", "a"=""] | "{\"n\": 1.0, \"ü\":\"☃\"}" | null | "user-events" | 0 | 10 | 1766311200000000UTC | b"k\xff" | ["trace"=b"\x00\x01", "trace"=b"", ""=null, "café\\xFF\\xC3"=b"x"]"#,
    r#""1.0" | "" | "/shop" | "com.example.order" | "" | -62167219200000000UTC | null | "" | "" | [] | "" | null | "user-events" | 0 | 11 | 1766311200000000UTC | b"" | []"#,
    r#""1.0" | "id-1" | "/shop" | "com.example.order" | null | null | null | null | null | [] | null | b"\x00\xff\x80" | "user-events" | 0 | 13 | 1766311200000000UTC | null | []"#,
    r#""1.0" | "id-1" | "/shop" | "com.example.order" | null | null | null | null | null | [] | null | b"" | "user-events" | 0 | 14 | 1766311200000000UTC | null | []"#,
    r#""1.0" | "id-1" | "/shop" | "com.example.order" | null | null | null | null | null | [] | null | null | "user-events" | 0 | 15 | 1766311200000000UTC | null | []"#,
];

const DEAD_LINES: &[&str] = &[
    r#""MalformedJson" | "ends inside an object" | "user-events" | 0 | 3 | 1766311200000000UTC | b"k" | ["h"=null] | b"{""#,
    r#""EmptyBody" | "" | "user-events" | 0 | 4 | 1766311200000000UTC | null | [] | null"#,
];

fn schema_text(body: &Bytes) -> String {
    let metadata = ParquetMetaDataReader::new().parse_and_finish(body).unwrap();
    let mut text = Vec::new();
    print_schema(&mut text, metadata.file_metadata().schema());
    String::from_utf8(text).unwrap()
}

fn dead_file() -> EncodedFile {
    let mut writer = writer();
    let headers = [Header {
        name: b"h",
        value: None,
    }];
    let bad = Record {
        key: Some(b"k"),
        value: Some(b"{"),
        headers: &headers,
        ..record(3)
    };
    writer
        .dead(&bad, "MalformedJson", "ends inside an object")
        .unwrap();
    writer.dead(&record(4), "EmptyBody", "").unwrap();
    writer.finish(&close()).unwrap().remove(0)
}

#[test]
fn the_columns_of_events_are_exactly_these() {
    assert_eq!(
        schema_text(&encode(Encoding::default(), &varied_rows())[0].body),
        ROWS_SCHEMA
    );
}

#[test]
fn the_columns_of_dead_letters_are_exactly_these() {
    assert_eq!(schema_text(&dead_file().body), DEAD_SCHEMA);
}

#[test]
fn the_key_is_the_one_the_template_promises() {
    let mut writer = writer();
    for offset in 12_345..13_345 {
        writer.event(&record(offset), &event()).unwrap();
    }
    let files = writer.finish(&close()).unwrap();
    let keys: Vec<&str> = files.iter().map(|file| file.plan.key.as_str()).collect();
    assert_eq!(
        keys,
        ["user-events/v1/dt=2025-12-21/pid=0/20251221_100000_offset12345_count1000.parquet"]
    );
}

#[test]
fn a_dead_letter_lies_under_its_own_folder() {
    assert_eq!(
        dead_file().plan.key,
        "_dlq/user-events/dt=2025-12-21/pid=0/20251221_100000_offset3_count2.parquet"
    );
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
        writer
            .dead(
                &Record {
                    timestamp,
                    ..record(offset)
                },
                "r",
                "d",
            )
            .unwrap();
    }
    let files = writer.finish(&close()).unwrap();
    let column: Vec<String> = lines(&files[0].body)
        .iter()
        .map(|line| line.split(" | ").nth(5).unwrap().to_owned())
        .collect();
    assert_eq!(column, ["1000UTC", "null", "null"]);
}

#[test]
fn a_reader_can_recompute_the_digest_from_the_columns() {
    for file in [
        encode(Encoding::default(), &varied_rows()).remove(0),
        dead_file(),
    ] {
        assert_eq!(digest_of_columns(&file.body), file.plan.digest);
    }
}

#[test]
fn the_digest_of_known_rows_never_changes() {
    assert_eq!(
        encode(Encoding::default(), &varied_rows())[0].plan.digest,
        "c40805fcdcfbe6c314004f176be0786c"
    );
}

fn many_rows() -> Vec<(Record<'static>, Event<'static>)> {
    (0..20_000)
        .map(|offset| {
            let data = Data::Text(
                format!("{{\"n\":{offset},\"text\":\"{:0100}\"}}", offset * 7919).into(),
            );
            (
                record(offset),
                Event {
                    id: format!("id-{offset}").into(),
                    data,
                    ..event()
                },
            )
        })
        .collect()
}

#[test]
fn codec_and_row_groups_change_neither_keys_nor_digests() {
    let rows = many_rows();
    let expected = encode(Encoding::default(), &rows)[0].plan.clone();
    for compression in [
        Compression::Zstd,
        Compression::Snappy,
        Compression::Gzip,
        Compression::None,
    ] {
        for row_group_bytes in [1, 300_000, 64 << 20] {
            let file = encode(
                Encoding {
                    compression,
                    row_group_bytes,
                },
                &rows,
            )
            .remove(0);
            assert_eq!(file.plan, expected, "{compression:?} {row_group_bytes}");
            assert_eq!(
                digest_of_columns(&file.body),
                expected.digest,
                "{compression:?} {row_group_bytes}"
            );
        }
    }
}

#[test]
fn row_groups_are_bounded_by_their_encoded_bytes() {
    let encoding = Encoding {
        compression: Compression::None,
        row_group_bytes: 1 << 20,
    };
    let file = encode(encoding, &many_rows()).remove(0);
    let metadata = ParquetMetaDataReader::new()
        .parse_and_finish(&file.body)
        .unwrap();
    assert!(metadata.num_row_groups() >= 2);
    for group in metadata.row_groups() {
        assert!(
            group.compressed_size() < 2 << 20,
            "{} bytes",
            group.compressed_size()
        );
    }
}

#[test]
fn every_changed_value_changes_the_digest() {
    let headers = [Header {
        name: b"h",
        value: None,
    }];
    let null_headers = [Header {
        name: b"h",
        value: Some(b""),
    }];
    let base = event();
    let time = |micros, raw: Option<&'static str>| {
        Some(Time {
            micros,
            raw: raw.map(Into::into),
        })
    };
    let events = [
        Event {
            specversion: "1.1".into(),
            ..base.clone()
        },
        Event {
            id: "id-2".into(),
            ..base.clone()
        },
        Event {
            source: "/id-1".into(),
            id: "".into(),
            ..base.clone()
        },
        Event {
            r#type: "t".into(),
            ..base.clone()
        },
        Event {
            subject: Some("".into()),
            ..base.clone()
        },
        Event {
            time: time(0, None),
            ..base.clone()
        },
        Event {
            time: time(1, None),
            ..base.clone()
        },
        Event {
            time: time(0, Some("x")),
            ..base.clone()
        },
        Event {
            datacontenttype: Some("".into()),
            ..base.clone()
        },
        Event {
            dataschema: Some("".into()),
            ..base.clone()
        },
        Event {
            extensions: vec![("a".into(), "b".into())],
            ..base.clone()
        },
        Event {
            extensions: vec![("ab".into(), "".into())],
            ..base.clone()
        },
        Event {
            data: Data::Text("".into()),
            ..base.clone()
        },
        Event {
            data: Data::Binary(b"".as_slice().into()),
            ..base.clone()
        },
    ];
    let records = [
        record(2),
        Record {
            timestamp: None,
            ..record(1)
        },
        Record {
            key: Some(b""),
            ..record(1)
        },
        Record {
            headers: &headers,
            ..record(1)
        },
        Record {
            headers: &null_headers,
            ..record(1)
        },
    ];
    let rows = events.into_iter().map(|event| (record(1), event));
    let rows = rows.chain(records.into_iter().map(|record| (record, event())));
    let mut digests: Vec<String> = std::iter::once((record(1), event()))
        .chain(rows)
        .map(|row| encode(Encoding::default(), &[row])[0].plan.digest.clone())
        .collect();
    let count = digests.len();
    digests.sort();
    digests.dedup();
    assert_eq!(digests.len(), count);
}

#[test]
fn a_row_with_a_bad_clock_lies_under_its_kafka_day() {
    let mut writer = writer();
    let year_zero = Time {
        micros: -62_167_219_200_000_000,
        raw: None,
    };
    writer
        .event(
            &record(1),
            &Event {
                time: Some(year_zero),
                ..event()
            },
        )
        .unwrap();
    let yesterday = Time {
        micros: (MORNING - DAY) * 1000,
        raw: None,
    };
    writer
        .event(
            &record(2),
            &Event {
                time: Some(yesterday),
                ..event()
            },
        )
        .unwrap();
    let keys: Vec<String> = writer
        .finish(&close())
        .unwrap()
        .into_iter()
        .map(|f| f.plan.key)
        .collect();
    assert_eq!(
        keys,
        [
            "user-events/v1/dt=2025-12-20/pid=0/20251221_100000_offset2_count1.parquet",
            "user-events/v1/dt=2025-12-21/pid=0/20251221_100000_offset1_count1.parquet",
        ]
    );
}

#[test]
fn rows_without_a_usable_timestamp_are_counted_and_lie_under_1970() {
    let mut writer = writer();
    writer
        .event(
            &Record {
                timestamp: None,
                ..record(1)
            },
            &event(),
        )
        .unwrap();
    writer
        .dead(
            &Record {
                timestamp: Some(i64::MIN),
                ..record(2)
            },
            "r",
            "d",
        )
        .unwrap();
    assert_eq!(writer.undated(), 2);
    let keys: Vec<String> = writer
        .finish(&close())
        .unwrap()
        .into_iter()
        .map(|f| f.plan.key)
        .collect();
    assert_eq!(
        keys,
        [
            "_dlq/user-events/dt=1970-01-01/pid=0/19700101_000000_offset2_count1.parquet",
            "user-events/v1/dt=1970-01-01/pid=0/19700101_000000_offset1_count1.parquet",
        ]
    );
}

fn with_keys(max_open_keys: u32) -> CutWriter {
    writer_with(
        Rules {
            max_open_keys,
            ..Rules::default()
        },
        Encoding::default(),
    )
}

fn folders(files: &[EncodedFile]) -> Vec<(String, u64)> {
    files
        .iter()
        .map(|file| {
            (
                file.plan.key.rsplit_once("/pid=").unwrap().0.to_owned(),
                file.plan.rows,
            )
        })
        .collect()
}

#[test]
fn surplus_keys_share_one_file_in_the_order_of_offsets() {
    let mut writer = with_keys(2);
    for (offset, version) in (0..).zip(["a", "b", "c", "a", "other", "d"]) {
        let late = if offset > 3 { DAY } else { 0 };
        let record = Record {
            timestamp: Some(MORNING + late),
            ..record(offset)
        };
        writer.event(&record, &event_of(version)).unwrap();
    }
    assert!(writer.overflowed());
    assert_eq!(
        folders(&writer.finish(&close()).unwrap()),
        [
            ("user-events/a/dt=2025-12-21".to_owned(), 2),
            ("user-events/b/dt=2025-12-21".to_owned(), 1),
            ("user-events/other/dt=2025-12-21".to_owned(), 3),
        ]
    );
}

#[test]
fn an_event_that_calls_itself_other_does_not_take_the_surplus_file() {
    let mut writer = with_keys(1);
    writer.event(&record(0), &event_of("other")).unwrap();
    assert!(!writer.overflowed());
    assert_eq!(
        folders(&writer.finish(&close()).unwrap())[0].0,
        "user-events/%6Fther/dt=2025-12-21"
    );
}

#[test]
fn a_flood_of_days_in_dead_letters_opens_a_bounded_number_of_files() {
    let mut writer = with_keys(2);
    for offset in 0..100 {
        let record = Record {
            timestamp: Some(MORNING + offset * DAY),
            ..record(offset)
        };
        writer.dead(&record, "r", "d").unwrap();
    }
    assert!(writer.overflowed());
    assert_eq!(
        folders(&writer.finish(&close()).unwrap()),
        [
            ("_dlq/user-events/dt=1970-01-01".to_owned(), 98),
            ("_dlq/user-events/dt=2025-12-21".to_owned(), 1),
            ("_dlq/user-events/dt=2025-12-22".to_owned(), 1),
        ]
    );
}

#[test]
fn a_cut_without_rows_has_no_files() {
    assert!(writer().finish(&close()).unwrap().is_empty());
}

#[test]
fn an_offset_that_does_not_grow_is_refused() {
    let mut writer = writer();
    writer.event(&record(5), &event()).unwrap();
    let error = writer.dead(&record(5), "r", "d").unwrap_err();
    assert!(
        matches!(error, EncodeError::OutOfOrder { offset: 5, last: 5 }),
        "{error}"
    );
}

#[test]
fn memory_and_size_grow_with_the_rows_and_stay_honest() {
    let mut writer = writer_with(
        Rules::default(),
        Encoding {
            compression: Compression::None,
            row_group_bytes: 512 << 10,
        },
    );
    let rows = many_rows();
    for (record, event) in &rows {
        writer.event(record, event).unwrap();
    }
    let (memory, estimate) = (writer.memory() as u64, writer.largest_file());
    let size = writer.finish(&close()).unwrap()[0].body.len() as u64;
    assert!(
        memory >= size / 2,
        "{memory} bytes held of a file of {size}"
    );
    assert!(
        (size / 2..size * 2).contains(&estimate),
        "{estimate} estimated of a file of {size}"
    );
}

#[test]
fn payloads_and_ids_are_plain_and_repeated_texts_are_in_dictionaries() {
    let file = encode(Encoding::default(), &many_rows()).remove(0);
    let metadata = ParquetMetaDataReader::new()
        .parse_and_finish(&file.body)
        .unwrap();
    let dictionary: Vec<String> = metadata
        .row_group(0)
        .columns()
        .iter()
        .filter(|column| {
            column.encodings().any(|encoding| {
                encoding == PageEncoding::RLE_DICTIONARY
                    || encoding == PageEncoding::PLAIN_DICTIONARY
            })
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

fn plan_of_two_versions() -> (Vec<(Record<'static>, Event<'static>)>, Vec<PlannedFile>) {
    let rows: Vec<_> = (0..6)
        .map(|offset| {
            (
                record(offset),
                event_of(if offset % 2 == 0 { "even" } else { "odd" }),
            )
        })
        .collect();
    let plan = encode(Encoding::default(), &rows)
        .into_iter()
        .map(|file| file.plan)
        .collect();
    (rows, plan)
}

fn follow(plan: &[PlannedFile]) -> CutWriter {
    CutWriter::following(
        Arc::new(Rules::default()),
        identity(),
        Encoding::default(),
        plan,
    )
    .unwrap()
}

#[test]
fn a_plan_whose_records_are_all_there_is_repeated_without_a_mark() {
    let (rows, plan) = plan_of_two_versions();
    let mut writer = follow(&plan);
    for (record, event) in &rows {
        writer.event(record, event).unwrap();
    }
    let files = writer
        .finish(&Close {
            incomplete: true,
            ..close()
        })
        .unwrap();
    assert_eq!(
        files
            .iter()
            .map(|file| file.plan.clone())
            .collect::<Vec<_>>(),
        plan
    );
    assert!(files.iter().all(|file| !footer_of(&file.body).incomplete));
}

#[test]
fn rows_that_are_left_go_under_the_planned_keys_and_say_what_is_missing() {
    let (rows, plan) = plan_of_two_versions();
    let mut writer = follow(&plan);
    for (record, event) in &rows[3..] {
        writer.event(record, event).unwrap();
    }
    let files = writer
        .finish(&Close {
            incomplete: true,
            ..close()
        })
        .unwrap();
    let told: Vec<_> = files
        .iter()
        .map(|file| {
            let footer = footer_of(&file.body);
            (
                file.plan.clone(),
                footer.incomplete,
                footer.rows,
                footer.first,
                footer.last,
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            (plan[0].clone(), true, 1, 0, 4),
            (plan[1].clone(), true, 2, 1, 5)
        ]
    );
}

#[test]
fn a_plan_that_cannot_be_repeated_is_an_error_while_nothing_is_lost() {
    let (rows, plan) = plan_of_two_versions();
    let mut writer = follow(&plan);
    for (record, event) in &rows[1..] {
        writer.event(record, event).unwrap();
    }
    let error = writer.finish(&close()).unwrap_err();
    assert!(
        matches!(
            error,
            EncodeError::PlanDiffers {
                planned: 3,
                rows: 2,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn a_row_outside_the_plan_is_an_error() {
    let (_, plan) = plan_of_two_versions();
    let error = follow(&plan)
        .event(&record(0), &event_of("third"))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "a row now belongs to `user-events/third/dt=2025-12-21/pid=0`, where no file was planned: a decoder of the planned version is needed"
    );
}

#[test]
fn surplus_rows_of_a_plan_find_its_other_file_again() {
    let encode_into = |mut writer: CutWriter| {
        for (offset, version) in (0..).zip(["a", "b", "c", "d"]) {
            writer.event(&record(offset), &event_of(version)).unwrap();
        }
        writer
            .finish(&close())
            .unwrap()
            .into_iter()
            .map(|file| file.plan)
            .collect::<Vec<_>>()
    };
    let plan = encode_into(with_keys(2));
    assert_eq!(encode_into(follow(&plan)), plan);
}

#[test]
fn an_empty_file_has_the_columns_and_says_that_it_is_incomplete() {
    let (_, plan) = plan_of_two_versions();
    let rules = Arc::new(Rules::default());
    let body = empty_file(&plan[0], &identity(), &rules, Encoding::default(), &close()).unwrap();
    assert_eq!(schema_text(&body), ROWS_SCHEMA);
    let footer = footer_of(&body);
    assert!(footer.incomplete);
    assert_eq!(
        (footer.rows, footer.parquet_rows, footer.first, footer.last),
        (0, 0, 0, 4)
    );
}

fn footer_of(body: &Bytes) -> Footer {
    read_footer(body, body.len() as u64).unwrap()
}

#[test]
fn a_file_tells_everything_about_itself() {
    let file = encode(Encoding::default(), &varied_rows()).remove(0);
    assert_eq!(
        footer_of(&file.body),
        Footer {
            version: env!("CARGO_PKG_VERSION").into(),
            identity: (*identity()).clone(),
            cut_from: 0,
            cut_to: 1_000_000,
            nonce: "nonce-1".into(),
            first: 10,
            last: 15,
            rows: 5,
            parquet_rows: 5,
            digest: file.plan.digest,
            rules: Rules::default().digest(),
            schema_version: Some("v1".into()),
            dt: "2025-12-21".into(),
            kind: FileKind::Rows,
            decoder_version: 1,
            incomplete: false,
        }
    );
}

#[test]
fn a_dead_letter_file_has_no_schema_version() {
    let footer = footer_of(&dead_file().body);
    assert_eq!(
        (footer.kind, footer.schema_version),
        (FileKind::DeadLetters, None)
    );
}

#[test]
fn a_tail_that_is_too_short_says_how_much_it_needs() {
    let body = dead_file().body;
    let size = body.len() as u64;
    let Err(TailError::NeedMore(needed)) = read_footer(&body[body.len() - 8..], size) else {
        panic!("eight bytes cannot hold a footer");
    };
    let start = body.len() - needed as usize;
    assert!(read_footer(&body[start..], size).is_ok());
    assert_eq!(
        read_footer(&body[start + 1..], size),
        Err(TailError::NeedMore(needed))
    );
}

#[test]
fn a_tail_of_less_than_eight_bytes_asks_for_more() {
    assert_eq!(read_footer(b"PAR1", 1000), Err(TailError::NeedMore(1000)));
}

#[test]
fn every_truncation_is_seen() {
    let body = dead_file().body;
    for size in 0..body.len() {
        let seen = read_footer(&body[..size], size as u64);
        assert!(
            matches!(seen, Err(TailError::Damaged(_))),
            "cut at {size}: {seen:?}"
        );
    }
}

#[test]
fn hostile_footers_never_panic() {
    let body = dead_file().body.to_vec();
    for at in body.len() - 2000..body.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut bytes = body.clone();
            bytes[at] ^= flip;
            let _ = read_footer(&bytes, bytes.len() as u64);
        }
    }
}

#[test]
fn a_parquet_file_of_another_program_is_not_taken_for_ours() {
    let schema = Arc::clone(&*schema::DEAD_LETTERS);
    let writer = parquet::arrow::ArrowWriter::try_new(Vec::new(), schema, None).unwrap();
    let body = writer.into_inner().unwrap();
    assert_eq!(
        read_footer(&body, body.len() as u64),
        Err(TailError::Damaged(
            "its footer has no `eventsink.kind`".into()
        ))
    );
}
