//! Rows of a cut -> files: keys, Arrow columns, Parquet or Avro, footer, row digest.
//!
//! Pure: bytes in memory. No I/O, no clock, no randomness: the same rows under the same rules give the
//! same keys and the same digests, whoever encodes them and whenever. The bytes of a file may differ
//! between codecs and releases; its rows may not.

pub mod avro;
mod columns;
mod cut;
mod digest;
mod encoder;
mod file;
mod footer;
mod letters;
mod parquet;
mod path;
mod read;
mod rules;
mod schema;
#[cfg(test)]
mod testing;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

pub use eventsink_crds::settings::Compression;

pub use cut::{CutWriter, empty_file};
pub use digest::ROW_DIGEST;
pub use encoder::Encoders;
pub use footer::{Footer, TAIL_HINT, TailError, footer_of, footer_of_header, read_footer, read_metadata};
pub use letters::{DeadLetter, dead_letters};
pub use read::{Batches, ReadError, RowsRead, batches, caught, read_rows};
pub use rules::{Format, PartitionBy, Rules};
pub use schema::is_fixed_column;

/// Where the rows of a cut come from and which sink owns them; the same for every file of a partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Identity {
    /// Random id of the ledger.
    pub ledger: String,
    /// Name of the sink.
    pub sink: String,
    /// Id of the Kafka cluster.
    pub cluster_id: String,
    /// Name of the topic.
    pub topic: String,
    /// Id of the topic, `0` where the brokers give none; a recreated topic has another one.
    pub topic_id: String,
    /// Partition of the topic.
    pub partition: i32,
}

/// How rows become bytes; changes neither rows nor keys, so a cut may be finished under another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Encoding {
    /// Codec of the pages or blocks.
    pub compression: Compression,
    /// Encoded bytes after which a row group of Parquet is closed.
    pub row_group_bytes: usize,
}

impl Default for Encoding {
    fn default() -> Self {
        Self { compression: Compression::Zstd, row_group_bytes: 64 << 20 }
    }
}

/// What is known of a cut once it closes; goes into the footer of each of its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Close {
    /// First offset of the cut.
    pub from: i64,
    /// Offset after the last one of the cut.
    pub to: i64,
    /// Nonce of the manifest.
    pub nonce: String,
    /// Version of the decoder that made the rows.
    pub decoder_version: u32,
    /// The log has lost rows of this cut: files that differ from their plan are allowed and say so.
    pub incomplete: bool,
}

/// What the rows of a file are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileKind {
    /// Events.
    Rows,
    /// Records that can never become an event.
    DeadLetters,
}

impl FileKind {
    /// The name used in manifests and footers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rows => "rows",
            Self::DeadLetters => "dead_letters",
        }
    }
}

/// One file as the manifest fixes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedFile {
    /// Key relative to the base path.
    pub key: String,
    /// What its rows are.
    pub kind: FileKind,
    /// Number of rows.
    pub rows: u64,
    /// Offset of the first row.
    pub first: i64,
    /// Offset of the last row.
    pub last: i64,
    /// Row digest, 32 hex digits; see [`ROW_DIGEST`].
    pub digest: String,
}

/// One file, encoded.
#[derive(Debug, Clone)]
pub struct EncodedFile {
    /// What the manifest says or shall say of it.
    pub plan: PlannedFile,
    /// The whole object.
    pub body: Bytes,
}

/// Why rows did not become a file. After an error the writer must be dropped.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// A row is larger than a Parquet page may be, whatever the format.
    #[error(
        "the row at offset {offset} takes {bytes} bytes and a row may take {limit}: lower `message.max.bytes` of the topic, or skip the record"
    )]
    RowTooLarge {
        /// Offset of the record.
        offset: i64,
        /// Size of the row.
        bytes: usize,
        /// Largest size allowed.
        limit: usize,
    },
    /// Records must come in the order of their offsets, each once.
    #[error("offset {offset} came after offset {last}: read the partition again from the frontier")]
    OutOfOrder {
        /// Offset of the record.
        offset: i64,
        /// Offset of the record before it.
        last: i64,
    },
    /// The key of a planned file does not follow the template.
    #[error("the planned key `{key}` does not follow the key template: the manifest is not one of ours")]
    PlanKey {
        /// The key.
        key: String,
    },
    /// A file that must repeat its plan does not.
    #[error(
        "`{key}` was planned with {planned} rows and its records now make {rows} other ones: a decoder of the planned version is needed"
    )]
    PlanDiffers {
        /// The key.
        key: String,
        /// Rows of the plan.
        planned: u64,
        /// Rows made now.
        rows: u64,
    },
    /// A row belongs to a file that the plan does not have.
    #[error("a row now belongs to `{folder}`, where no file was planned: a decoder of the planned version is needed")]
    NotInPlan {
        /// The folder.
        folder: String,
    },
    /// The columns do not fit the schema: a defect of this program.
    #[error("columns could not be built: {0}")]
    Columns(#[from] arrow_schema::ArrowError),
    /// The Parquet encoder failed.
    #[error("parquet could not be encoded: {0}")]
    Parquet(#[from] ::parquet::errors::ParquetError),
    /// The Avro encoder failed.
    #[error("avro could not be encoded: {0}")]
    Avro(#[from] arrow_avro::errors::AvroError),
}

#[cfg(test)]
mod tests;
