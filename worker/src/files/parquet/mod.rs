//! Parquet: pages and row groups while rows arrive, the footer behind them when the file ends.

mod codec;

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;

use super::EncodeError;
use super::encoder::{ENCODER_BYTES, Encoder, KeyValues};

/// A Parquet file that takes rows.
pub(super) struct ParquetEncoder {
    writer: ArrowWriter<Vec<u8>>,
    row_group_bytes: usize,
}

impl ParquetEncoder {
    /// `whole` are all rows of the file, when they are known.
    pub(super) fn new(
        schema: &SchemaRef,
        properties: &WriterProperties,
        row_group_bytes: usize,
        whole: Option<&RecordBatch>,
    ) -> Result<Self, EncodeError> {
        let properties = whole.map_or_else(|| properties.clone(), |rows| codec::where_it_pays(properties, rows));
        // Without Arrow's own copy of the schema every reader sees the Parquet types alone, and the same ones.
        let options = ArrowWriterOptions::new()
            .with_properties(properties)
            .with_skip_arrow_metadata(true)
            .with_schema_root("eventsink".to_owned());
        let writer = ArrowWriter::try_new_with_options(Vec::new(), Arc::clone(schema), options)?;
        Ok(Self { writer, row_group_bytes })
    }

    fn flush_row_group(&mut self) -> Result<(), EncodeError> {
        /// Page headers, indexes and the footer beside the pages.
        const SLACK: usize = 64 << 10;
        let size = self.writer.in_progress_size();
        if size > 0 {
            // Exactly as much as is needed: doubling a file of 100 MiB would hold 100 MiB for nothing.
            self.writer.inner_mut().reserve_exact(size + SLACK);
        }
        Ok(self.writer.flush()?)
    }
}

impl Encoder for ParquetEncoder {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), EncodeError> {
        self.writer.write(batch)?;
        if self.writer.in_progress_size() >= self.row_group_bytes {
            // Address space for all of a large file, which becomes memory as it is used: growing a file of 100 MiB
            // step by step would hold it twice at each.
            if self.writer.bytes_written() < self.row_group_bytes {
                self.writer.inner_mut().reserve_exact(3 * self.row_group_bytes);
            }
            self.flush_row_group()?;
        }
        Ok(())
    }

    fn encoded(&self) -> usize {
        self.writer.bytes_written() + self.writer.in_progress_size()
    }

    fn memory(&self) -> usize {
        self.writer.bytes_written() + self.writer.memory_size() * 5 / 4 + ENCODER_BYTES
    }

    fn finish(mut self: Box<Self>, footer: KeyValues) -> Result<Bytes, EncodeError> {
        self.flush_row_group()?;
        for (name, value) in footer {
            self.writer.append_key_value_metadata(KeyValue::new(name, value));
        }
        let mut body = self.writer.into_inner()?;
        // Thousands of small files would hold as many slacks.
        if body.capacity() > body.len() * 2 {
            body.shrink_to_fit();
        }
        Ok(body.into())
    }
}
