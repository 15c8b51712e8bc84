//! One file: what it says of itself, how it is encoded, and its first rows. Reads Parquet; Avro is read beside it.

use std::collections::BTreeSet;
use std::fmt;

use bytesize::ByteSize;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::basic::{LogicalType, Repetition};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, RowGroupMetaData};
use parquet::file::reader::ChunkReader;
use parquet::schema::types::ColumnDescriptor;
use serde::Serialize;

use super::cell::{self, Cell, Row};
use crate::files::{FileKind, Footer, Format, footer_of};
use crate::text::{cells, counted, printable, table};

/// Longest value of a row on the screen, in characters.
const WIDTH: usize = 100;
/// Longest name of a column, a type or a codec on the screen.
const NAME: usize = 60;
/// More row groups than this are only counted.
const GROUPS_SHOWN: usize = 12;

/// Everything that is shown of a file.
#[derive(Debug, Clone, Serialize)]
pub struct FileFacts {
    /// Where it is, as it was asked for.
    pub key: String,
    /// Size in bytes.
    pub bytes: u64,
    /// Its format.
    pub format: Format,
    /// Rows, by Parquet's own metadata or the blocks of Avro; `None` when the blocks were not read.
    pub rows: Option<i64>,
    /// What the worker that wrote it says; `None` when no worker did.
    pub eventsink: Option<Footer>,
    /// Why `eventsink` is none, or how it contradicts what the format itself counts.
    pub problem: Option<String>,
    /// The program that wrote it, by its own words.
    pub created_by: Option<String>,
    /// Version of the format.
    pub format_version: i32,
    /// Row groups of Parquet or blocks of Avro, in order.
    pub row_groups: Vec<RowGroup>,
    /// Columns in order; leaf columns of Parquet.
    pub columns: Vec<Column>,
    /// The first rows, values in full; binary ones as base64, times as RFC 3339.
    pub first_rows: Vec<Row>,
}

/// One row group or block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RowGroup {
    /// Rows.
    pub rows: i64,
    /// Bytes as stored.
    pub bytes: i64,
    /// Bytes before compression; Avro does not say.
    pub uncompressed: Option<i64>,
}

/// One column, over all row groups or blocks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Column {
    /// Path, such as `extensions.key_value.key`.
    pub name: String,
    /// Type in the words of the format, such as `string` or `timestamp(us, UTC)`.
    pub r#type: String,
    /// Values may be null.
    pub nullable: bool,
    /// Codecs in use, one as a rule.
    pub codecs: BTreeSet<String>,
    /// Encodings in use, those of levels included.
    pub encodings: BTreeSet<String>,
    /// Bytes as stored; Avro keeps rows, not columns.
    pub bytes: Option<i64>,
    /// Bytes before compression.
    pub uncompressed: Option<i64>,
}

impl FileFacts {
    /// Facts of the Parquet file that was asked for as `key`, of so many bytes.
    #[must_use]
    pub fn of(key: &str, bytes: u64, metadata: &ParquetMetaData) -> Self {
        let file = metadata.file_metadata();
        let (eventsink, problem) = match footer_of(file) {
            Ok(footer) => {
                let differs = footer.parquet_rows.filter(|counted| *counted != footer.rows);
                let words = |counted| format!("its footer says {} rows and Parquet counts {counted}", footer.rows);
                let problem = differs.map(words);
                (Some(footer), problem)
            }
            Err(error) => (None, Some(error.to_string())),
        };
        let columns = file.schema_descr().columns().iter().enumerate();
        Self {
            key: key.to_owned(),
            bytes,
            format: Format::Parquet,
            rows: Some(file.num_rows()),
            eventsink,
            problem,
            created_by: file.created_by().map(str::to_owned),
            format_version: file.version(),
            row_groups: metadata.row_groups().iter().map(RowGroup::of).collect(),
            columns: columns.map(|(at, column)| Column::of(column, chunks(metadata, at))).collect(),
            first_rows: Vec::new(),
        }
    }
}

/// The chunks of one column; a damaged row group may have fewer columns than the schema.
fn chunks(metadata: &ParquetMetaData, column: usize) -> impl Iterator<Item = &ColumnChunkMetaData> {
    metadata.row_groups().iter().filter_map(move |group| group.columns().get(column))
}

impl RowGroup {
    fn of(group: &RowGroupMetaData) -> Self {
        let bytes = group.columns().iter().fold(0_i64, |sum, column| sum.saturating_add(column.compressed_size()));
        Self { rows: group.num_rows(), bytes, uncompressed: Some(group.total_byte_size()) }
    }
}

impl Column {
    fn of<'a>(column: &ColumnDescriptor, chunks: impl Iterator<Item = &'a ColumnChunkMetaData>) -> Self {
        let mut facts = Self {
            name: column.path().string(),
            r#type: type_words(column),
            nullable: column.self_type().get_basic_info().has_repetition()
                && column.self_type().get_basic_info().repetition() == Repetition::OPTIONAL,
            codecs: BTreeSet::new(),
            encodings: BTreeSet::new(),
            bytes: None,
            uncompressed: None,
        };
        let (mut bytes, mut uncompressed) = (0_i64, 0_i64);
        for chunk in chunks {
            // `ZSTD(ZstdLevel(1))`: a file does not keep the level, so only the name says something.
            let codec = chunk.compression().to_string();
            facts.codecs.insert(codec.split('(').next().unwrap_or_default().to_lowercase());
            facts.encodings.extend(chunk.encodings().map(|encoding| encoding.to_string().to_lowercase()));
            bytes = bytes.saturating_add(chunk.compressed_size());
            uncompressed = uncompressed.saturating_add(chunk.uncompressed_size());
        }
        (facts.bytes, facts.uncompressed) = (Some(bytes), Some(uncompressed));
        facts
    }
}

fn type_words(column: &ColumnDescriptor) -> String {
    use parquet::basic::TimeUnit;
    let physical = || column.physical_type().to_string().to_lowercase();
    match column.logical_type_ref() {
        Some(LogicalType::String) => "string".to_owned(),
        Some(LogicalType::Timestamp(time)) => {
            let unit = match time.unit {
                TimeUnit::MILLIS => "ms",
                TimeUnit::MICROS => "us",
                TimeUnit::NANOS => "ns",
            };
            format!("timestamp({unit}, {})", if time.is_adjusted_to_u_t_c { "UTC" } else { "local" })
        }
        Some(other) => {
            let words = format!("{other:?}");
            let name = words.split([' ', '(', '{']).next().unwrap_or_default().to_lowercase();
            format!("{} ({name})", physical())
        }
        None if column.physical_type() == parquet::basic::Type::BYTE_ARRAY => "binary".to_owned(),
        None => physical(),
    }
}

/// The first `count` rows of a Parquet file.
///
/// # Errors
/// What cannot be decoded, in the words of the Parquet library.
pub fn first_rows<R: ChunkReader + 'static>(reader: R, count: usize) -> Result<Vec<Row>, ParquetError> {
    // A copy of the schema in Arrow's own format is foreign text that nothing here needs.
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(reader, options)?;
    let batches = builder.with_batch_size(count.clamp(1, 1024)).with_limit(count).build()?;
    let mut rows = Vec::new();
    for batch in batches {
        let batch = batch?;
        for row in 0..batch.num_rows() {
            rows.push(cell::row(&batch, row));
        }
    }
    Ok(rows)
}

impl fmt::Display for FileFacts {
    /// Footer, row groups, columns, rows.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", printable(&self.key, usize::MAX))?;
        table(f, 2, &self.lines())?;
        if let Some(problem) = &self.problem {
            writeln!(f, "  note: {}", printable(problem, usize::MAX))?;
        }
        self.groups(f)?;
        self.schema(f)?;
        for (number, row) in self.first_rows.iter().enumerate() {
            writeln!(f, "\nrow {}", number + 1)?;
            let values = row.0.iter().filter(|(_, cell)| *cell != Cell::Null);
            let values = values.map(|(name, cell)| vec![format!("  {}", printable(name, NAME)), shown(cell)]);
            table(f, 2, &values.collect::<Vec<_>>())?;
        }
        Ok(())
    }
}

impl FileFacts {
    fn lines(&self) -> Vec<Vec<String>> {
        let mut lines = Vec::new();
        let mut say = |name: &str, value: String| lines.push(vec![format!("  {name}"), printable(&value, 2 * WIDTH)]);
        if let Some(footer) = &self.eventsink {
            let identity = &footer.identity;
            let noun = if footer.kind == FileKind::Rows { "row" } else { "dead letter" };
            let lost = if footer.incomplete { " (incomplete: the log had lost the others)" } else { "" };
            say("holds", format!("{}{lost}", counted(footer.rows, noun)));
            say("topic", format!("{} (id {}), partition {}", identity.topic, identity.topic_id, identity.partition));
            say("offsets", format!("{} to {}", footer.first, footer.last));
            say("cut", format!("{}..{}, manifest {}", footer.cut_from, footer.cut_to, footer.nonce));
            say("day", footer.dt.clone());
            if let Some(version) = &footer.schema_version {
                say("schema version", version.clone());
            }
            say("sink", format!("{} on cluster {}, ledger {}", identity.sink, identity.cluster_id, identity.ledger));
            say("row digest", footer.digest.clone());
            say("rules", footer.rules.clone());
            say("written by", format!("eventsink {}, decoder {}", footer.version, footer.decoder_version));
        } else {
            say("holds", self.rows.map_or_else(|| "unknown".to_owned(), |rows| format!("{rows} rows")));
            say("written by", self.created_by.clone().unwrap_or_else(|| "unknown".to_owned()));
        }
        say("size", format!("{} bytes ({})", self.bytes, ByteSize::b(self.bytes)));
        say("format", format!("{}, version {}", self.format, self.format_version));
        lines
    }

    fn groups(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let noun = match self.format {
            Format::Parquet => "row group",
            // Only the header was read.
            Format::Avro if self.rows.is_none() => return Ok(()),
            Format::Avro => "block",
        };
        writeln!(f, "\n{}", counted(self.row_groups.len() as u64, noun))?;
        let mut rows = vec![cells(&["  rows", "bytes", "uncompressed"])];
        for group in self.row_groups.iter().take(GROUPS_SHOWN) {
            rows.push(vec![group.rows.to_string(), group.bytes.to_string(), number(group.uncompressed)]);
        }
        table(f, 0, &rows)?;
        match self.row_groups.len().checked_sub(GROUPS_SHOWN) {
            Some(more) if more > 0 => writeln!(f, "  and {more} more"),
            _ => Ok(()),
        }
    }

    fn schema(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n{}", counted(self.columns.len() as u64, "column"))?;
        let mut rows = vec![cells(&["  name", "type", "", "codec", "encodings", "bytes", "uncompressed"])];
        for column in &self.columns {
            let joined = |words: &BTreeSet<String>| words.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
            rows.push(vec![
                format!("  {}", printable(&column.name, NAME)),
                printable(&column.r#type, NAME),
                (if column.nullable { "nullable" } else { "" }).to_owned(),
                printable(&joined(&column.codecs), NAME),
                joined(&column.encodings),
                number(column.bytes),
                number(column.uncompressed),
            ]);
        }
        table(f, 5, &rows)
    }
}

/// A number, or nothing where there is none.
fn number(value: Option<i64>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

/// A value on one line; a shortened one says how long it is.
fn shown(cell: &Cell) -> String {
    let text = cell.to_string();
    let short = printable(&text, WIDTH);
    if text.chars().nth(WIDTH).is_some() { format!("{short} ({} bytes)", text.len()) } else { short }
}
