//! Rows of an Avro file, decoded block by block. The library's reader spins for ever on a block with more data than
//! rows, and takes an end in the middle of a block for the end of the file: so it is given one whole block at a time,
//! as a batch of exactly the rows that the block says it has.

use arrow_array::RecordBatch;
use arrow_avro::codec::Tz;
use arrow_avro::reader::ReaderBuilder;
use arrow_schema::ArrowError;
use bytes::{Buf, Bytes};

use super::container::{Block, blocks, read_header};
use crate::files::footer::{TailError, damaged};

/// More rows in a block than any writer puts there: rows without columns would take no bytes and never end.
const ROWS_LIMIT: u64 = 1 << 24;

/// Batches of an Avro file, one a block.
pub(in crate::files) struct AvroRows {
    header: Bytes,
    body: Bytes,
    blocks: std::vec::IntoIter<Block>,
}

impl AvroRows {
    /// Opens a whole file. One of ours has as many rows in its blocks as its header says.
    pub(in crate::files) fn open(body: Bytes) -> Result<Self, TailError> {
        let header = read_header(&body, body.len() as u64)?;
        let blocks = blocks(&body, &header)?;
        let counted = blocks.iter().fold(0_u64, |sum, block| sum.saturating_add(block.rows)).to_string();
        match header.text("eventsink.rows") {
            Some(told) if told != counted => {
                Err(damaged(format!("its header says {told} rows and its blocks have {counted}")))
            }
            _ => Ok(Self { header: body.slice(..header.len), body, blocks: blocks.into_iter() }),
        }
    }

    fn decode(&self, Block { rows, whole, .. }: Block) -> Result<RecordBatch, ArrowError> {
        let wrong = |what: &str| ArrowError::AvroError(format!("a block claims {rows} rows, {what}"));
        if rows > ROWS_LIMIT {
            return Err(wrong("more than any block has"));
        }
        let file = self.header.clone().chain(self.body.slice(whole)).reader();
        let mut reader = ReaderBuilder::new().with_batch_size(rows as usize).with_tz(Tz::Utc).build(file)?;
        let batch = reader.next().transpose()?;
        batch.filter(|batch| batch.num_rows() as u64 == rows).ok_or_else(|| wrong("more than its data make"))
    }
}

impl Iterator for AvroRows {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        let block = self.blocks.by_ref().find(|block| block.rows > 0)?;
        Some(self.decode(block))
    }
}
