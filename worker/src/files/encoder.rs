//! What turns columns into the bytes of a file: one trait, a format each behind it. Nothing above this line of the
//! room knows how a format works.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use bytes::Bytes;
use parquet::file::properties::WriterProperties;

use super::avro::AvroEncoder;
use super::parquet::ParquetEncoder;
use super::{Compression, EncodeError, Encoding, FileKind, Format, Identity, Rules, schema};

/// Names and values of a footer, in the order in which they are written.
pub(super) type KeyValues = Vec<(String, String)>;

/// One file while its columns arrive.
pub(super) trait Encoder: Send {
    /// Adds rows.
    fn write(&mut self, batch: &RecordBatch) -> Result<(), EncodeError>;

    /// Bytes of the file if it ended now.
    fn encoded(&self) -> usize;

    /// Bytes held. A quarter is added to what grows: a budget that counts too little ends in a killed process.
    fn memory(&self) -> usize;

    /// Ends the file, which says `footer` of itself.
    fn finish(self: Box<Self>, footer: KeyValues) -> Result<Bytes, EncodeError>;
}

/// Codec contexts and hash tables of an open file, which its format does not count: those of Parquet, the larger ones.
/// Measured as resident memory with 60 files open.
pub(super) const ENCODER_BYTES: usize = 3 << 19;

/// How many open files of the process may have an encoder, which takes as much memory for ten rows as for a million.
/// The other files keep their rows as columns until they are large or end.
#[derive(Debug)]
pub struct Encoders(AtomicUsize);

impl Encoders {
    /// As many as take `bytes` by themselves, one at least.
    #[must_use]
    pub fn within(bytes: usize) -> Arc<Self> {
        Arc::new(Self(AtomicUsize::new((bytes / ENCODER_BYTES).max(1))))
    }

    /// A place for one more, if there is any.
    pub(super) fn place(self: &Arc<Self>) -> Option<EncoderPlace> {
        let taken = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        taken.ok().map(|_| EncoderPlace(Arc::clone(self)))
    }
}

/// The place of one encoder; free again when it is dropped.
#[derive(Debug)]
pub(super) struct EncoderPlace(Arc<Encoders>);

impl Drop for EncoderPlace {
    fn drop(&mut self) {
        self.0.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// How all files of a cut are encoded.
pub(super) struct Profile {
    format: OfFormat,
    rows: SchemaRef,
    dead: SchemaRef,
}

enum OfFormat {
    Parquet { properties: Box<WriterProperties>, row_group_bytes: usize },
    Avro(Compression),
}

impl Profile {
    pub(super) fn new(rules: &Rules, encoding: Encoding) -> Self {
        let Encoding { compression, row_group_bytes } = encoding;
        let format = match rules.format {
            Format::Parquet => {
                let properties = Box::new(schema::properties(compression, &rules.columns));
                OfFormat::Parquet { properties, row_group_bytes }
            }
            Format::Avro => OfFormat::Avro(compression),
        };
        Self { format, rows: schema::rows(&rules.columns), dead: schema::dead_letters() }
    }

    /// The columns of files of a kind.
    pub(super) fn schema(&self, kind: FileKind) -> &SchemaRef {
        match kind {
            FileKind::Rows => &self.rows,
            FileKind::DeadLetters => &self.dead,
        }
    }

    /// Bytes in builders for which a file gets an encoder, if there is a place for one: about as much memory as it takes.
    pub(super) fn opening_bytes(&self) -> usize {
        match self.format {
            OfFormat::Parquet { .. } => ENCODER_BYTES * 2 / 3,
            OfFormat::Avro(_) => 0,
        }
    }

    /// Opens a file of a kind; `first` is the offset of its first row, `whole` all of its rows if they are known.
    pub(super) fn open(
        &self,
        kind: FileKind,
        identity: &Identity,
        first: i64,
        whole: Option<&RecordBatch>,
    ) -> Result<Box<dyn Encoder>, EncodeError> {
        let schema = self.schema(kind);
        Ok(match &self.format {
            OfFormat::Parquet { properties, row_group_bytes } => {
                Box::new(ParquetEncoder::new(schema, properties, *row_group_bytes, whole)?)
            }
            OfFormat::Avro(compression) => Box::new(AvroEncoder::new(kind, schema, *compression, (identity, first))?),
        })
    }
}
