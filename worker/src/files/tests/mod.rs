//! What users and the ledger see of whole files.

mod avro;
mod columns;
mod contents;
mod cuts;
mod footers;
mod letters;

use ::parquet::file::metadata::ParquetMetaDataReader;
use ::parquet::schema::printer::print_schema;
use bytes::Bytes;

use super::testing::*;
use super::*;
use crate::events::{Data, Event, Header, Record};

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

fn schema_text(body: &Bytes) -> String {
    let metadata = ParquetMetaDataReader::new().parse_and_finish(body).unwrap();
    let mut text = Vec::new();
    print_schema(&mut text, metadata.file_metadata().schema());
    String::from_utf8(text).unwrap()
}

fn dead_file() -> EncodedFile {
    dead_file_under(Rules::default())
}

fn dead_file_under(rules: Rules) -> EncodedFile {
    let mut writer = writer_with(rules, Encoding::default());
    let headers = [Header { name: b"h", value: None }];
    let bad = Record { key: Some(b"k"), value: Some(b"{\"id\":\"1\",\xff\0 and more"), headers: &headers, ..record(3) };
    writer.dead(&bad, "MalformedJson", "ends inside an object").unwrap();
    writer.dead(&record(4), "EmptyBody", "").unwrap();
    writer.finish(&close()).unwrap().remove(0)
}

fn many_rows() -> Vec<(Record<'static>, Event<'static>)> {
    (0..20_000)
        .map(|offset| {
            let data = Data::Text(format!("{{\"n\":{offset},\"text\":\"{:0100}\"}}", offset * 7919).into());
            (record(offset), Event { id: format!("id-{offset}").into(), data, ..event() })
        })
        .collect()
}

fn plan_of_two_versions() -> (Vec<(Record<'static>, Event<'static>)>, Vec<PlannedFile>) {
    let rows: Vec<_> =
        (0..6).map(|offset| (record(offset), event_of(if offset % 2 == 0 { "even" } else { "odd" }))).collect();
    let plan = encode(Encoding::default(), &rows).into_iter().map(|file| file.plan).collect();
    (rows, plan)
}

fn footer_of(body: &Bytes) -> Footer {
    let format = if body.starts_with(b"Obj") { Format::Avro } else { Format::Parquet };
    read_footer(format, body, body.len() as u64).unwrap()
}
