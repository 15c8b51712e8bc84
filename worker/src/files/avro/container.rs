//! The frame of an Avro file: a header (magic, names and values, sync marker), then blocks (rows, bytes, data, the
//! marker again). Reads what anybody wrote: lengths are foreign numbers, and none is trusted.
//! Source: Avro 1.12 specification, "Object Container Files".

use std::ops::Range;

use crate::files::footer::{TailError, damaged};

/// First bytes of every Avro file.
pub(in crate::files) const MAGIC: &[u8] = b"Obj\x01";
/// Length of the sync marker.
pub(in crate::files) const SYNC: usize = 16;
/// Name of the bytes of all blocks together.
pub(super) const BLOCK_BYTES: &str = "eventsink.block_bytes";
/// A longer header is none: bounds what is read and parsed in search of its end.
const HEADER_LIMIT: u64 = 4 << 20;

/// What an Avro file says before its blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Names and values in order, `avro.schema` and `avro.codec` among them.
    pub pairs: Vec<(String, Vec<u8>)>,
    /// The marker behind every block.
    pub sync: [u8; SYNC],
    /// Bytes of the header: the first block begins there.
    pub len: usize,
}

impl Header {
    /// The value of a name, if it is there and is text.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        let (_, value) = self.pairs.iter().find(|(each, _)| each == name)?;
        std::str::from_utf8(value).ok()
    }

    /// Bytes of the whole file, if the header says so: nothing at the end of an Avro file proves that it is whole.
    #[must_use]
    pub fn whole_size(&self) -> Option<u64> {
        let blocks: u64 = self.text(BLOCK_BYTES)?.parse().ok()?;
        blocks.checked_add(self.len as u64)
    }
}

/// One block of an Avro file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Rows it says it has.
    pub rows: u64,
    /// Its data as stored, compressed: bytes of the file.
    pub data: Range<usize>,
    /// All of it, with its counts and its marker: bytes of the file.
    pub whole: Range<usize>,
}

/// Reads the header.
///
/// `head` is the beginning of the object, `size` the size of the whole object.
///
/// # Errors
/// [`TailError::NeedMore`] while the header is longer than `head`.
pub fn read_header(head: &[u8], size: u64) -> Result<Header, TailError> {
    let have = head.len() as u64;
    if have > size {
        return Err(damaged(format!("{have} bytes were read of an object of {size}")));
    }
    if !head.starts_with(&MAGIC[..head.len().min(MAGIC.len())]) {
        return Err(damaged("it does not begin as an Avro file does, so it is another format".to_owned()));
    }
    let limit = size.min(HEADER_LIMIT);
    let head = &head[..head.len().min(HEADER_LIMIT as usize)];
    let mut rest = Rest { bytes: head, at: 0 };
    match header_of(&mut rest) {
        Ok(header) => Ok(header),
        Err(End) if have < limit => Err(TailError::NeedMore((have * 2).max(1024).min(limit))),
        Err(End) => Err(damaged(format!("its header does not end within {} bytes", head.len()))),
    }
}

fn header_of(rest: &mut Rest<'_>) -> Result<Header, End> {
    rest.take(MAGIC.len())?;
    let mut pairs = Vec::new();
    loop {
        let count = rest.long()?;
        if count == 0 {
            break;
        }
        if count < 0 {
            // A negative count is followed by the bytes of the pairs, for readers that skip them.
            rest.long()?;
        }
        for _ in 0..count.unsigned_abs() {
            let name = String::from_utf8_lossy(rest.bytes()?).into_owned();
            pairs.push((name, rest.bytes()?.to_vec()));
        }
    }
    let mut sync = [0; SYNC];
    sync.copy_from_slice(rest.take(SYNC)?);
    Ok(Header { pairs, sync, len: rest.at })
}

/// Finds the blocks of a whole file, without decoding their rows.
///
/// # Errors
/// [`TailError::Damaged`] unless it is blocks up to the last byte.
pub fn blocks(body: &[u8], header: &Header) -> Result<Vec<Block>, TailError> {
    let mut blocks = Vec::new();
    let mut rest = Rest { bytes: body, at: header.len };
    while rest.at < body.len() {
        let start = rest.at;
        let block = block(&mut rest, header).map_err(|End| {
            damaged(format!("the block at byte {start} of {} is cut short or overwritten", body.len()))
        })?;
        blocks.push(block);
    }
    Ok(blocks)
}

fn block(rest: &mut Rest<'_>, header: &Header) -> Result<Block, End> {
    let start = rest.at;
    let rows = rest.long()?.try_into().map_err(|_| End)?;
    let len = rest.long()?.try_into().map_err(|_| End)?;
    let data = rest.at;
    rest.take(len)?;
    if rest.take(SYNC)? != header.sync {
        return Err(End);
    }
    Ok(Block { rows, data: data..data + len, whole: start..rest.at })
}

/// The bytes of a header.
pub(super) fn header(pairs: &[(String, String)], sync: [u8; SYNC]) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    long(pairs.len(), &mut bytes);
    for text in pairs.iter().flat_map(|(name, value)| [name, value]) {
        long(text.len(), &mut bytes);
        bytes.extend_from_slice(text.as_bytes());
    }
    long(0, &mut bytes);
    bytes.extend(sync);
    bytes
}

/// Zigzag, then seven bits a byte, the least ones first.
fn long(value: usize, bytes: &mut Vec<u8>) {
    let mut left = (value as u64) << 1;
    while left >= 0x80 {
        bytes.push(left as u8 | 0x80);
        left >>= 7;
    }
    bytes.push(left as u8);
}

/// The bytes ended too early, or cannot be what they should.
#[derive(Debug)]
struct End;

struct Rest<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Rest<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], End> {
        let end = self.at.checked_add(len).ok_or(End)?;
        let taken = self.bytes.get(self.at..end).ok_or(End)?;
        self.at = end;
        Ok(taken)
    }

    fn bytes(&mut self) -> Result<&'a [u8], End> {
        let len = self.long()?.try_into().map_err(|_| End)?;
        self.take(len)
    }

    fn long(&mut self) -> Result<i64, End> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = u64::from(self.take(1)?[0]);
            value |= (byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed());
            }
        }
        Err(End)
    }
}
