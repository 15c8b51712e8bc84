//! Files in Avro: the same rows as in Parquet, a header that tells as much as a footer, and objects that lie.

use serde_json::json;

use super::contents::{DEAD_LINES, VARIED_LINES};
use super::*;
use crate::files::avro::{blocks, read_header};

fn file(rows: &[(Record<'_>, Event<'_>)]) -> EncodedFile {
    encode_under(in_avro(), Encoding::default(), rows).remove(0)
}

fn footer(body: &[u8]) -> Result<Footer, TailError> {
    read_footer(Format::Avro, body, body.len() as u64)
}

fn header(body: &[u8]) -> crate::files::avro::Header {
    read_header(body, body.len() as u64).unwrap()
}

/// The header's schema as JSON.
fn avro_schema(body: &[u8]) -> serde_json::Value {
    serde_json::from_str(header(body).text("avro.schema").unwrap()).unwrap()
}

fn kafka_fields() -> Vec<serde_json::Value> {
    let header = json!({"type": "record", "namespace": "eventsink", "name": "Header", "fields": [
        {"name": "key", "type": "string"},
        {"name": "value", "type": ["null", "bytes"], "default": null},
    ]});
    vec![
        json!({"name": "kafka_topic", "type": "string"}),
        json!({"name": "kafka_partition", "type": "int"}),
        json!({"name": "kafka_offset", "type": "long"}),
        nullable("kafka_timestamp", micros()),
        nullable("kafka_key", json!("bytes")),
        json!({"name": "kafka_headers", "type": {"type": "array", "items": header}}),
    ]
}

fn nullable(name: &str, kind: serde_json::Value) -> serde_json::Value {
    json!({"name": name, "type": ["null", kind], "default": null})
}

fn micros() -> serde_json::Value {
    json!({"type": "long", "logicalType": "timestamp-micros"})
}

fn row_fields() -> Vec<serde_json::Value> {
    let text = |name: &str| json!({"name": name, "type": "string"});
    let mut fields = ["specversion", "id", "source", "type"].map(text).to_vec();
    fields.push(nullable("subject", json!("string")));
    fields.push(nullable("time", micros()));
    fields.extend(["time_raw", "datacontenttype", "dataschema"].map(|name| nullable(name, json!("string"))));
    fields.push(json!({"name": "extensions", "type": {"type": "map", "values": "string"}}));
    fields.push(nullable("data", json!("string")));
    fields.push(nullable("data_binary", json!("bytes")));
    fields.extend(kafka_fields());
    fields
}

#[test]
fn the_schema_of_events_is_exactly_this() {
    let expected = json!({"type": "record", "namespace": "eventsink", "name": "Event", "fields": row_fields()});
    assert_eq!(avro_schema(&file(&varied_rows()).body), expected);
}

#[test]
fn the_schema_of_dead_letters_is_exactly_this() {
    let text = |name: &str| json!({"name": name, "type": "string"});
    let mut fields = ["reason", "detail"].map(text).to_vec();
    fields.extend(kafka_fields());
    fields.push(nullable("kafka_value", json!("bytes")));
    let expected = json!({"type": "record", "namespace": "eventsink", "name": "DeadLetter", "fields": fields});
    assert_eq!(avro_schema(&dead_file_under(in_avro()).body), expected);
}

#[test]
fn every_value_reads_back_as_from_parquet() {
    assert_eq!(lines(&file(&varied_rows()).body), VARIED_LINES);
    assert_eq!(lines(&dead_file_under(in_avro()).body), DEAD_LINES);
}

#[test]
fn the_key_ends_in_avro_and_the_plan_is_otherwise_that_of_parquet() {
    for (avro, parquet) in [
        (file(&varied_rows()), encode(Encoding::default(), &varied_rows()).remove(0)),
        (dead_file_under(in_avro()), dead_file()),
    ] {
        let key = parquet.plan.key.replace(".parquet", ".avro");
        assert_eq!(avro.plan, PlannedFile { key, ..parquet.plan });
    }
}

#[test]
fn the_header_tells_what_a_footer_tells() {
    let rows = varied_rows();
    let parquet = footer_of(&encode(Encoding::default(), &rows)[0].body);
    let rules = in_avro().digest();
    assert_eq!(footer(&file(&rows).body), Ok(Footer { parquet_rows: None, rules, ..parquet }));
}

#[test]
fn every_codec_gives_the_same_rows_in_blocks_of_bounded_size() {
    let rows = many_rows();
    let expected = file(&rows).plan;
    for (compression, codec) in [
        (Compression::Zstd, "zstandard"),
        (Compression::Snappy, "snappy"),
        (Compression::Gzip, "deflate"),
        (Compression::None, "null"),
    ] {
        let file = encode_under(in_avro(), Encoding { compression, ..Encoding::default() }, &rows).remove(0);
        assert_eq!((&file.plan, header(&file.body).text("avro.codec")), (&expected, Some(codec)));
        let read = read_rows(file.body.clone()).unwrap();
        assert_eq!((read.rows, read.digest, read.offsets.len()), (20_000, expected.digest.clone(), 20_000));
        let blocks = blocks(&file.body, &header(&file.body)).unwrap();
        assert!(blocks.len() > 10 && blocks.iter().all(|block| block.data.len() < 512 << 10), "{blocks:?}");
    }
}

#[test]
fn the_same_rows_give_the_same_bytes_and_each_file_has_a_sync_marker_of_its_own() {
    let rows = many_rows();
    let first = file(&rows).body;
    assert_eq!(first, file(&rows).body);
    assert_ne!(header(&first).sync, header(&file(&rows[1..]).body).sync);
    assert_ne!(header(&file(&varied_rows()).body).sync, header(&dead_file_under(in_avro()).body).sync);
}

#[test]
fn memory_and_size_grow_with_the_rows_and_stay_honest() {
    let mut writer = writer_with(in_avro(), Encoding { compression: Compression::None, ..Encoding::default() });
    for (record, event) in &many_rows() {
        writer.event(record, event).unwrap();
    }
    let (memory, estimate) = (writer.memory() as u64, writer.largest_file());
    let size = writer.finish(&close()).unwrap()[0].body.len() as u64;
    assert!((size..size * 2).contains(&memory), "{memory} bytes held of a file of {size}");
    assert!((size * 9 / 10..size * 5 / 4).contains(&estimate), "{estimate} estimated of a file of {size}");
}

#[test]
fn a_header_longer_than_the_room_for_it_moves_the_blocks() {
    let columns: Vec<String> = (0..32).map(|n| format!("a{n}{}", "x".repeat(300))).collect();
    let file = encode_under(Rules { columns, ..in_avro() }, Encoding::default(), &varied_rows()).remove(0);
    assert!(header(&file.body).len > 8 << 10);
    assert_eq!(read_rows(file.body).unwrap().digest, file.plan.digest);
}

#[test]
fn an_empty_file_has_the_schema_and_no_block() {
    let rules = std::sync::Arc::new(in_avro());
    let plan = file(&varied_rows()).plan;
    let body = empty_file(&plan, &identity(), &rules, Encoding::default(), &close()).unwrap();
    assert_eq!(avro_schema(&body)["fields"], json!(row_fields()));
    assert_eq!(footer(&body).map(|footer| (footer.rows, footer.incomplete)), Ok((0, true)));
    assert_eq!(read_rows(body).unwrap().rows, 0);
}

#[test]
fn a_head_that_is_too_short_asks_for_more_until_it_suffices() {
    let body = file(&many_rows()).body;
    let (size, len) = (body.len() as u64, header(&body).len);
    for have in [0, 3, 4, 100, len - 1] {
        let told = read_footer(Format::Avro, &body[..have], size);
        assert!(matches!(told, Err(TailError::NeedMore(need)) if need > have as u64), "{have}: {told:?}");
    }
    assert!(read_footer(Format::Avro, &body[..len], size).is_ok());
}

#[test]
fn a_header_that_never_ends_is_not_read_to_the_end_of_the_object() {
    let mut head = b"Obj\x01\x02".to_vec();
    head.extend([0xff; 8]);
    head.resize(4 << 20, 0);
    assert!(matches!(read_footer(Format::Avro, &head, 1 << 40), Err(TailError::Damaged(_))));
}

#[test]
fn a_header_of_countless_empty_names_is_parsed_no_further_than_a_header_may_be_long() {
    let mut head = b"Obj\x01".to_vec();
    // 4 million pairs of two bytes each, then no more, and the marker.
    head.extend([0x80, 0xa4, 0xe8, 0x03]);
    head.resize(head.len() + 8_000_000 + 1 + 16, 0);
    let told = read_header(&head, head.len() as u64);
    assert_eq!(told, Err(TailError::Damaged("its header does not end within 4194304 bytes".into())));
}

#[test]
fn an_object_that_was_cut_short_or_grew_is_known_by_its_size_alone() {
    let body = file(&many_rows()).body;
    let len = header(&body).len;
    for size in [len, body.len() - 1, body.len() + 1] {
        let told = read_footer(Format::Avro, &body[..len], size as u64);
        assert!(matches!(told, Err(TailError::Damaged(_))), "{size}: {told:?}");
    }
}

#[test]
fn every_truncation_is_seen() {
    let body = file(&varied_rows()).body;
    for size in 0..body.len() {
        let seen = footer(&body[..size]);
        assert!(matches!(seen, Err(TailError::Damaged(_))), "cut at {size}: {seen:?}");
        assert!(read_rows(body.slice(..size)).is_err(), "cut at {size}");
    }
}

/// A block of five rows that says it has four: what is left over belongs to no row.
#[test]
fn a_block_with_more_data_than_rows_is_an_error() {
    let encoding = Encoding { compression: Compression::None, ..Encoding::default() };
    let file = encode_under(in_avro(), encoding, &varied_rows()).remove(0);
    let mut body = file.body.to_vec();
    let count = header(&body).len;
    assert_eq!(body[count], 5 << 1);
    body[count] = 4 << 1;
    let error = read_rows(body.into()).unwrap_err();
    assert!(error.to_string().contains("its header says 5 rows and its blocks have 4"), "{error}");
}

#[test]
fn a_file_cut_off_between_two_blocks_cannot_be_read() {
    let body = file(&many_rows()).body;
    let second = blocks(&body, &header(&body)).unwrap()[1].whole.start;
    let error = read_rows(body.slice(..second)).unwrap_err();
    assert!(error.to_string().contains("its header says 20000 rows and its blocks have"), "{error}");
}

#[test]
fn a_byte_damaged_anywhere_ends_in_words_or_rows_and_never_in_an_endless_loop() {
    for compression in [Compression::None, Compression::Snappy, Compression::Zstd, Compression::Gzip] {
        let encoding = Encoding { compression, ..Encoding::default() };
        let file = encode_under(in_avro(), encoding, &varied_rows()).remove(0);
        for at in 0..file.body.len() {
            for flip in [0x01, 0x04, 0x80, 0xff] {
                let mut body = file.body.to_vec();
                body[at] ^= flip;
                let _ = footer(&body);
                let rows = read_rows(body.into()).map_or(0, |read| read.rows);
                assert!(rows <= 5, "{rows} rows after byte {at} of {compression:?}");
            }
        }
    }
}

#[test]
fn an_avro_file_of_another_program_is_read_and_not_taken_for_ours() {
    let schema = schema::dead_letters();
    let mut writer = arrow_avro::writer::AvroWriter::new(Vec::new(), schema.as_ref().clone()).unwrap();
    for batch in read(&dead_file().body) {
        writer.write(&batch.with_schema(std::sync::Arc::clone(&schema)).unwrap()).unwrap();
    }
    let body = Bytes::from(writer.into_inner());
    assert_eq!(footer(&body), Err(TailError::Damaged("its header has no `eventsink.kind`".into())));
    assert_eq!(read_rows(body).unwrap().rows, 2);
}

#[test]
fn parquet_under_an_avro_key_is_damage() {
    let told = footer(&dead_file().body);
    assert!(matches!(&told, Err(TailError::Damaged(words)) if words.contains("another format")), "{told:?}");
}

#[test]
fn an_avro_plan_is_repeated_under_its_own_rules() {
    let rows = varied_rows();
    let plan = vec![file(&rows).plan];
    let mut writer =
        CutWriter::following(std::sync::Arc::new(in_avro()), identity(), Encoding::default(), &plan).unwrap();
    for (record, event) in &rows {
        writer.event(record, event).unwrap();
    }
    let files = writer.finish(&close()).unwrap();
    assert_eq!(files.iter().map(|file| file.plan.clone()).collect::<Vec<_>>(), plan);
    assert!(files[0].body.starts_with(b"Obj\x01"));
}
