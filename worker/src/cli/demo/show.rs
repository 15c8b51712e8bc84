//! Reads back what a demo wrote, as any reader of Parquet would, and says it in words. Trusts nothing but the files.

use super::DemoError;
use crate::store::Store;
use arrow_array::cast::AsArray as _;
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{Array as _, RecordBatch};
use bytes::Bytes;
use chrono::{DateTime, SecondsFormat};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

/// Begins the keys of dead letters.
const DEAD_LETTERS: &str = "_dlq/";
/// Longest data of a row on the screen.
const WIDTH: usize = 100;
/// More files than this are only counted.
const FILES_SHOWN: usize = 24;

/// Everything that was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    files: Vec<File>,
    sample: Vec<Row>,
    reasons: BTreeMap<String, u64>,
}

#[derive(Debug)]
struct File {
    key: String,
    rows: u64,
    bytes: u64,
    dead: bool,
}

#[derive(Debug)]
struct Row {
    r#type: String,
    id: String,
    time: String,
    data: String,
}

impl Found {
    /// Rows of events.
    pub fn rows(&self) -> u64 {
        self.files.iter().filter(|file| !file.dead).map(|file| file.rows).sum()
    }

    /// Dead letters.
    pub fn dead(&self) -> u64 {
        self.files.iter().filter(|file| file.dead).map(|file| file.rows).sum()
    }
}

/// Opens every Parquet file in the folder.
pub(super) async fn read(store: &Store) -> Result<Found, DemoError> {
    let mut found = Found::default();
    for object in store.list("").await?.into_iter().filter(|object| object.key.ends_with(".parquet")) {
        let Some(body) = store.get(&object.key).await? else { continue };
        let dead = object.key.starts_with(DEAD_LETTERS);
        let rows = if dead { reasons(body, &mut found.reasons) } else { rows(body, &mut found.sample) };
        let rows = rows.map_err(|words| DemoError::File { key: object.key.clone(), words })?;
        found.files.push(File { key: object.key, rows, bytes: object.size, dead });
    }
    found.files.sort_by_key(|file| file.dead);
    Ok(found)
}

/// Counts the rows of a file of events; one of its first is kept, another one of each file for the sake of variety.
fn rows(body: Bytes, sample: &mut Vec<Row>) -> Result<u64, String> {
    let mut count = 0;
    for batch in batches(body)? {
        let batch = batch?;
        if count == 0 && batch.num_rows() > 0 {
            sample.push(row(&batch, sample.len() % batch.num_rows())?);
        }
        count += batch.num_rows() as u64;
    }
    Ok(count)
}

/// Counts the rows of a file of dead letters, by reason too.
fn reasons(body: Bytes, reasons: &mut BTreeMap<String, u64>) -> Result<u64, String> {
    let mut count = 0;
    for batch in batches(body)? {
        let batch = batch?;
        let column = batch.column_by_name("reason").and_then(|c| c.as_string_opt::<i32>()).ok_or("it has no reason")?;
        for reason in column.iter().flatten() {
            *reasons.entry(reason.to_owned()).or_default() += 1;
        }
        count += batch.num_rows() as u64;
    }
    Ok(count)
}

fn batches(body: Bytes) -> Result<impl Iterator<Item = Result<RecordBatch, String>>, String> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(body).and_then(ParquetRecordBatchReaderBuilder::build);
    Ok(reader.map_err(|e| e.to_string())?.map(|batch| batch.map_err(|e| e.to_string())))
}

fn row(batch: &RecordBatch, at: usize) -> Result<Row, String> {
    let text = |name: &str| {
        let column = batch.column_by_name(name).and_then(|c| c.as_string_opt::<i32>());
        let column = column.ok_or_else(|| format!("it has no column {name} of text"))?;
        Ok::<_, String>(if column.is_null(at) { String::new() } else { column.value(at).to_owned() })
    };
    let time = batch.column_by_name("time").and_then(|c| c.as_primitive_opt::<TimestampMicrosecondType>());
    let time =
        time.filter(|column| !column.is_null(at)).and_then(|column| DateTime::from_timestamp_micros(column.value(at)));
    Ok(Row {
        r#type: text("type")?,
        id: text("id")?,
        time: time.map_or_else(String::new, |time| time.to_rfc3339_opts(SecondsFormat::Millis, true)),
        data: text("data")?,
    })
}

/// Files, some rows, dead letters.
pub(super) fn report(found: &Found, rows: usize) -> String {
    let mut text = String::from("\nFiles\n");
    let width = found.files.iter().take(FILES_SHOWN).map(|file| file.key.len()).max().unwrap_or(0);
    for File { key, rows, bytes, .. } in found.files.iter().take(FILES_SHOWN) {
        // Writing to text cannot fail.
        let _ = writeln!(text, "  {key:width$}  {rows:>6} rows  {bytes:>8} bytes");
    }
    if let Some(more) = found.files.len().checked_sub(FILES_SHOWN).filter(|more| *more > 0) {
        let _ = writeln!(text, "  and {more} more");
    }
    let _ = writeln!(text, "\nEvents: {}, some of them", found.rows());
    let apart = found.sample.len().div_ceil(rows.max(1)).max(1);
    for Row { r#type, id, time, data } in found.sample.iter().step_by(apart) {
        let _ = writeln!(text, "  {type}  {id}  {time}\n    {}", short(data));
    }
    let _ = writeln!(text, "\nDead letters: {}, records that were broken on purpose", found.dead());
    for (reason, count) in &found.reasons {
        let _ = writeln!(text, "  {count:>6}  {reason}");
    }
    text
}

/// What to do next; `program` is what was typed to get here.
pub(super) fn next(out: &Path, program: &str) -> String {
    let out = out.display();
    format!(
        "\nNext\n  duckdb -c \"SELECT type, count(*) FROM read_parquet('{out}/orders/**/*.parquet') GROUP BY type\"\n  \
         for a real Kafka, set brokers, topics and storage in config/application.yaml, then\n  \
         {program} check --config config/application.yaml\n"
    )
}

fn short(data: &str) -> String {
    match data.char_indices().nth(WIDTH) {
        Some((end, _)) => format!("{}...", &data[..end]),
        None => data.to_owned(),
    }
}
