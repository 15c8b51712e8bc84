//! Avro object container files: blocks are encoded and kept while rows arrive, and the header is put in front of
//! them when the file ends, because only then it can say how many rows it has and what their digest is.

mod container;
mod rows;
mod schema;

use std::collections::HashMap;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow_array::RecordBatch;
use arrow_avro::compression::CompressionCodec;
use arrow_avro::errors::AvroError;
use arrow_avro::schema::SCHEMA_METADATA_KEY;
use arrow_avro::writer::format::AvroFormat;
use arrow_avro::writer::{Writer, WriterBuilder};
use arrow_schema::{Schema, SchemaRef};
use bytes::Bytes;
use sha2::{Digest, Sha256};

use container::{BLOCK_BYTES, SYNC};

use super::encoder::{Encoder, KeyValues};
use super::{Compression, EncodeError, FileKind, Identity};

pub(super) use container::MAGIC;
pub use container::{Block, Header, blocks, read_header};
pub(super) use rows::AvroRows;

/// Room left in front of the blocks, so that the header goes there without moving them.
const GAP: usize = 8 << 10;
/// Schema, plan and room for the header of an open file.
const WRITER_OVERHEAD: usize = 32 << 10;
/// Hands the sync marker to [`Blocks`], which is given nothing but the schema.
const MARKER_KEY: &str = "eventsink.sync";

/// An Avro file that takes rows. Each batch becomes a block.
pub(super) struct AvroEncoder {
    writer: Writer<Body, Blocks>,
    header: KeyValues,
    marker: [u8; SYNC],
    written: Arc<AtomicUsize>,
}

impl AvroEncoder {
    /// A file of an identity whose first row is at an offset: no other file has this sync marker, and the same
    /// file always has it.
    pub(super) fn new(
        kind: FileKind,
        schema: &SchemaRef,
        compression: Compression,
        (identity, first): (&Identity, i64),
    ) -> Result<Self, EncodeError> {
        let marker = marker(kind, identity, first);
        let json = schema::text(kind, schema)?;
        let (name, codec) = codec(compression);
        let header = vec![(SCHEMA_METADATA_KEY.to_owned(), json.clone()), ("avro.codec".to_owned(), name.to_owned())];
        let metadata = [
            (SCHEMA_METADATA_KEY.to_owned(), json),
            (MARKER_KEY.to_owned(), format!("{:032x}", u128::from_be_bytes(marker))),
        ];
        let schema = Schema::new_with_metadata(schema.fields().clone(), HashMap::from(metadata));
        let body = Body { bytes: vec![0; GAP], written: Arc::default() };
        let written = Arc::clone(&body.written);
        let writer = WriterBuilder::new(schema).with_compression(codec).build(body)?;
        Ok(Self { writer, header, marker, written })
    }
}

impl Encoder for AvroEncoder {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), EncodeError> {
        Ok(self.writer.write(batch)?)
    }

    fn encoded(&self) -> usize {
        self.written.load(Ordering::Relaxed)
    }

    fn memory(&self) -> usize {
        self.encoded() * 5 / 4 + WRITER_OVERHEAD
    }

    fn finish(mut self: Box<Self>, footer: KeyValues) -> Result<Bytes, EncodeError> {
        let mut bytes = self.writer.into_inner().bytes;
        self.header.extend(footer);
        self.header.push((BLOCK_BYTES.to_owned(), (bytes.len() - GAP).to_string()));
        let header = container::header(&self.header, self.marker);
        let start = match GAP.checked_sub(header.len()) {
            Some(start) => {
                bytes[start..GAP].copy_from_slice(&header);
                start
            }
            None => {
                bytes.splice(..GAP, header);
                0
            }
        };
        Ok(Bytes::from(bytes).slice(start..))
    }
}

/// Readers that split a file look for the marker in it, so no payload may hold it: the ledger's random id makes it
/// a number that no producer knows.
fn marker(kind: FileKind, identity: &Identity, first: i64) -> [u8; SYNC] {
    let Identity { ledger, sink, cluster_id, topic, topic_id, partition } = identity;
    let (partition, first) = (partition.to_string(), first.to_string());
    let parts = [kind.as_str(), ledger, sink, cluster_id, topic, topic_id, &partition, &first];
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let mut marker = [0; SYNC];
    marker.copy_from_slice(&hash.finalize()[..SYNC]);
    marker
}

/// The name in the header, and the encoder's. Avro knows no gzip: its `deflate` is the same without a frame.
fn codec(compression: Compression) -> (&'static str, Option<CompressionCodec>) {
    match compression {
        Compression::Zstd => ("zstandard", Some(CompressionCodec::ZStandard)),
        Compression::Snappy => ("snappy", Some(CompressionCodec::Snappy)),
        Compression::Gzip => ("deflate", Some(CompressionCodec::Deflate)),
        Compression::None => ("null", None),
    }
}

/// Blocks without the header before them, and with a marker that is given and not drawn.
#[derive(Debug, Default)]
struct Blocks {
    marker: [u8; SYNC],
}

impl AvroFormat for Blocks {
    const NEEDS_PREFIX: bool = false;

    fn start_stream<W: Write>(
        &mut self,
        _writer: &mut W,
        schema: &Schema,
        _compression: Option<CompressionCodec>,
    ) -> Result<(), AvroError> {
        let marker = schema.metadata().get(MARKER_KEY).and_then(|hex| u128::from_str_radix(hex, 16).ok());
        self.marker = marker.ok_or_else(|| AvroError::InvalidArgument("no sync marker".to_owned()))?.to_be_bytes();
        Ok(())
    }

    fn sync_marker(&self) -> Option<&[u8; SYNC]> {
        Some(&self.marker)
    }
}

/// The file while it grows, by a quarter at a time; tells how much was written, because the writer keeps it.
#[derive(Debug)]
struct Body {
    bytes: Vec<u8>,
    written: Arc<AtomicUsize>,
}

impl Write for Body {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.bytes.capacity() - self.bytes.len() < bytes.len() {
            self.bytes.reserve_exact(bytes.len().max(self.bytes.len() / 4));
        }
        self.bytes.extend_from_slice(bytes);
        self.written.fetch_add(bytes.len(), Ordering::Relaxed);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
