//! Columns of the two kinds of file, and how Parquet encodes them. Nothing is inferred from the data, so every file
//! of a kind has the same columns at the same positions, those of extension attributes last. Encodings are for the
//! most cautious readers: format 1.0, V1 pages, plain and dictionary strings.

use std::sync::{Arc, LazyLock};

use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use parquet::basic::{Compression as Codec, Encoding as PageEncoding, GzipLevel, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder, WriterVersion};
use parquet::schema::types::ColumnPath;

use super::Compression;

/// Few distinct values: a dictionary saves space and time.
const DICTIONARY: &[&str] = &[
    "specversion",
    "source",
    "type",
    "subject",
    "datacontenttype",
    "dataschema",
    "extensions.key_value.key",
    "reason",
    "kafka_topic",
    "kafka_partition",
    "kafka_headers.list.element.key",
];
/// Integers that grow slowly.
const DELTA: &[&str] = &["time", "kafka_offset", "kafka_timestamp"];
/// Statistics per page, so that readers can skip to an offset or an instant.
const PAGE_STATISTICS: &[&str] = &["time", "kafka_offset", "kafka_timestamp"];
/// Payloads: least and greatest value say nothing and cost a comparison per row.
const NO_STATISTICS: &[&str] =
    &["data", "data_binary", "detail", "kafka_value", "extensions.key_value.value", "kafka_headers.list.element.value"];
/// Already next to nothing once encoded: a codec would only cost a context per column and open file.
const NO_CODEC: &[&str] = &["specversion", "kafka_topic", "kafka_partition", "kafka_offset"];
/// Larger dictionaries fall back to plain values; bounds what an open file holds.
const DICTIONARY_BYTES: usize = 256 << 10;
/// Values of a column before they become a page, since every column of every open file holds one. Well below the default
/// of 1 MiB: the writer copies a page several times, which is cheap only where pages stay in the processor's cache and
/// the allocator has their blocks at hand. Files hardly grow by it.
const PAGE_BYTES: usize = 128 << 10;
/// More rows per group than this help no reader.
pub(super) const ROW_GROUP_ROWS: usize = 1_000_000;

/// Columns of events: the fixed ones, then those of extension attributes.
pub(super) fn rows(own: &[String]) -> SchemaRef {
    if own.is_empty() {
        return Arc::clone(&ROWS);
    }
    let own = own.iter().map(|name| Arc::new(Field::new(name, DataType::Utf8, true)));
    Arc::new(Schema::new(ROWS.fields().iter().cloned().chain(own).collect::<Fields>()))
}

/// Whether every file of events has a column of this name.
#[must_use]
pub fn is_fixed_column(name: &str) -> bool {
    ROWS.column_with_name(name).is_some()
}

/// Columns of dead letters.
pub(super) fn dead_letters() -> SchemaRef {
    Arc::clone(&DEAD_LETTERS)
}

static ROWS: LazyLock<SchemaRef> = LazyLock::new(|| {
    let mut fields = vec![
        Field::new("specversion", DataType::Utf8, false),
        Field::new("id", DataType::Utf8, false),
        Field::new("source", DataType::Utf8, false),
        Field::new("type", DataType::Utf8, false),
        Field::new("subject", DataType::Utf8, true),
        Field::new("time", micros(), true),
        Field::new("time_raw", DataType::Utf8, true),
        Field::new("datacontenttype", DataType::Utf8, true),
        Field::new("dataschema", DataType::Utf8, true),
        Field::new("extensions", DataType::Map(Arc::clone(&EXTENSION), false), false),
        Field::new("data", DataType::Utf8, true),
        Field::new("data_binary", DataType::Binary, true),
    ];
    fields.extend(kafka_fields());
    Arc::new(Schema::new(fields))
});

static DEAD_LETTERS: LazyLock<SchemaRef> = LazyLock::new(|| {
    let mut fields = vec![Field::new("reason", DataType::Utf8, false), Field::new("detail", DataType::Utf8, false)];
    fields.extend(kafka_fields());
    fields.push(Field::new("kafka_value", DataType::Binary, true));
    Arc::new(Schema::new(fields))
});

/// Entry of `extensions`. Parquet's own names; readers refuse keys that may be null.
pub(super) static EXTENSION: LazyLock<Arc<Field>> = LazyLock::new(|| {
    let entry =
        Fields::from(vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Utf8, false)]);
    Arc::new(Field::new("key_value", DataType::Struct(entry), false))
});

/// Element of `kafka_headers`, with the names of Spark's Kafka source.
pub(super) static HEADER: LazyLock<Arc<Field>> =
    LazyLock::new(|| Arc::new(Field::new("element", DataType::Struct(header_fields()), false)));

pub(super) fn header_fields() -> Fields {
    Fields::from(vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Binary, true)])
}

fn kafka_fields() -> Vec<Field> {
    vec![
        Field::new("kafka_topic", DataType::Utf8, false),
        Field::new("kafka_partition", DataType::Int32, false),
        Field::new("kafka_offset", DataType::Int64, false),
        Field::new("kafka_timestamp", micros(), true),
        Field::new("kafka_key", DataType::Binary, true),
        Field::new("kafka_headers", DataType::List(Arc::clone(&HEADER)), false),
    ]
}

/// Nanoseconds would stop Spark, and unsigned or zoneless time some others.
fn micros() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// How Parquet encodes the columns, `own` those of extension attributes; serves both kinds, as a column has the same
/// profile in each.
pub(super) fn properties(compression: Compression, own: &[String]) -> WriterProperties {
    let codec = match compression {
        Compression::Zstd => Codec::ZSTD(ZstdLevel::try_new(1).unwrap_or_default()),
        Compression::Snappy => Codec::SNAPPY,
        Compression::Gzip => Codec::GZIP(GzipLevel::try_new(6).unwrap_or_default()),
        Compression::None => Codec::UNCOMPRESSED,
    };
    let mut builder = WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_1_0)
        // The form the format asks for, `<application> version <version>`: readers parse it.
        .set_created_by(format!("eventsink version {}", env!("CARGO_PKG_VERSION")))
        .set_compression(codec)
        .set_dictionary_enabled(false)
        .set_dictionary_page_size_limit(DICTIONARY_BYTES)
        .set_data_page_size_limit(PAGE_BYTES)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS));
    builder = each(builder, DICTIONARY, |b, c| b.set_column_dictionary_enabled(c, true));
    builder = own.iter().fold(builder, |b, c| b.set_column_dictionary_enabled(ColumnPath::from(c.as_str()), true));
    builder = each(builder, DELTA, |b, c| b.set_column_encoding(c, PageEncoding::DELTA_BINARY_PACKED));
    builder = each(builder, PAGE_STATISTICS, |b, c| b.set_column_statistics_enabled(c, EnabledStatistics::Page));
    builder = each(builder, NO_STATISTICS, |b, c| b.set_column_statistics_enabled(c, EnabledStatistics::None));
    builder = each(builder, NO_CODEC, |b, c| b.set_column_compression(c, Codec::UNCOMPRESSED));
    builder.build()
}

fn each(
    builder: WriterPropertiesBuilder,
    columns: &[&str],
    set: impl Fn(WriterPropertiesBuilder, ColumnPath) -> WriterPropertiesBuilder,
) -> WriterPropertiesBuilder {
    columns
        .iter()
        .fold(builder, |builder, column| set(builder, ColumnPath::new(column.split('.').map(str::to_owned).collect())))
}
