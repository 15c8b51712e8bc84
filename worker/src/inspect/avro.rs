//! One Avro file: what its header says, its blocks, and its first rows.

use std::collections::BTreeSet;

use bytes::Bytes;
use serde_json::Value;

use super::cell::{self, Row};
use super::file::{Column, FileFacts, RowGroup};
use crate::files::avro::{Block, Header};
use crate::files::{Format, ReadError, batches, footer_of_header};

impl FileFacts {
    /// Facts of the Avro file that was asked for as `key`, of so many bytes; without its blocks where only the header
    /// was read.
    #[must_use]
    pub fn of_avro(key: &str, bytes: u64, header: &Header, blocks: Option<&[Block]>) -> Self {
        let counted = blocks.map(|blocks| blocks.iter().fold(0_u64, |sum, block| sum.saturating_add(block.rows)));
        let (eventsink, problem) = match footer_of_header(header, bytes) {
            Ok(footer) => {
                let differs = counted.filter(|counted| *counted != footer.rows);
                let words = |counted| format!("its header says {} rows and its blocks {counted}", footer.rows);
                let problem = differs.map(words);
                (Some(footer), problem)
            }
            Err(error) => (None, Some(error.to_string())),
        };
        let codec = header.text("avro.codec").unwrap_or("null");
        Self {
            key: key.to_owned(),
            bytes,
            format: Format::Avro,
            rows: counted.map(signed),
            eventsink,
            problem,
            created_by: None,
            format_version: 1,
            row_groups: blocks.unwrap_or_default().iter().map(group).collect(),
            columns: columns(header.text("avro.schema").unwrap_or_default(), codec),
            first_rows: Vec::new(),
        }
    }
}

fn group(block: &Block) -> RowGroup {
    RowGroup { rows: signed(block.rows), bytes: signed(block.data.len() as u64), uncompressed: None }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The fields of the schema's record; none if it is something else.
fn columns(schema: &str, codec: &str) -> Vec<Column> {
    let schema: Value = serde_json::from_str(schema).unwrap_or_default();
    let fields = schema["fields"].as_array().cloned().unwrap_or_default();
    let column = |field: &Value| Column {
        name: field["name"].as_str().unwrap_or_default().to_owned(),
        r#type: words(&field["type"]),
        nullable: field["type"].as_array().is_some_and(|branches| branches.iter().any(|branch| branch == "null")),
        codecs: BTreeSet::from([codec.to_owned()]),
        encodings: BTreeSet::new(),
        bytes: None,
        uncompressed: None,
    };
    fields.iter().map(column).collect()
}

fn words(kind: &Value) -> String {
    let text = |name: &str| kind[name].as_str().unwrap_or_default();
    match kind {
        Value::String(name) if name == "bytes" => "binary".to_owned(),
        Value::String(name) => name.clone(),
        Value::Array(branches) => {
            let other = branches.iter().filter(|branch| *branch != "null").map(words);
            other.collect::<Vec<_>>().join(" or ")
        }
        _ => match (text("logicalType"), text("type")) {
            ("timestamp-micros", _) => "timestamp(us, UTC)".to_owned(),
            ("", "map") => format!("map of {}", words(&kind["values"])),
            ("", "array") => format!("array of {}", words(&kind["items"])),
            ("", "record") => text("name").to_owned(),
            ("", name) => name.to_owned(),
            (logical, name) => format!("{name} ({logical})"),
        },
    }
}

/// The first `count` rows of a whole Avro file.
///
/// # Errors
/// What cannot be decoded.
pub fn first_rows_of_avro(body: Bytes, count: usize) -> Result<Vec<Row>, ReadError> {
    let mut rows = Vec::new();
    for batch in batches(body)? {
        let batch = batch?;
        rows.extend((0..batch.num_rows().min(count - rows.len())).map(|at| cell::row(&batch, at)));
        if rows.len() == count {
            break;
        }
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_names_reach_no_terminal_as_they_are() {
        let schema = r#"{"fields": [{"name": "a", "type": "\u001b[2J"}]}"#;
        let pairs = [("avro.schema", schema), ("avro.codec", "\u{1b}[31m"), ("eventsink.kind", "\u{1b}[0m")];
        let pairs = pairs.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())).to_vec();
        let header = Header { pairs, sync: [0; 16], len: 100 };
        let shown = FileFacts::of_avro("a.avro", 100, &header, None).to_string();
        assert!(!shown.contains('\u{1b}'), "{shown:?}");
        assert!(shown.contains(r"\u{1b}[2J") && shown.contains(r"\u{1b}[31m"), "{shown:?}");
    }
}
