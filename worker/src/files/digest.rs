//! The row digest: what decides whether two files hold the same rows. Knows the canonical form of a row
//! and nothing of Arrow or Parquet, because their bytes differ between codecs and releases.

use std::borrow::Cow;
use std::fmt::Write;

use xxhash_rust::xxh3::Xxh3;

/// How a reader computes the row digest from the columns of a file.
///
/// XXH3 with 128 bits and seed 0 over all rows in file order, as 32 lower-case hex digits. A row is its
/// columns in file order, and a column is
///
/// - null: the byte 0;
/// - string or binary: the byte 1, the length as 4 bytes, the bytes;
/// - int32: the byte 1 and 4 bytes; int64 or timestamp (microseconds): the byte 1 and 8 bytes;
/// - map or list: the byte 1, the number of entries as 4 bytes, then for each entry its key and its value
///   in the forms above.
///
/// Lengths and integers are little-endian.
pub const ROW_DIGEST: &str = "xxh3-128";

/// One row in canonical form; reused from row to row.
#[derive(Debug, Default)]
pub(super) struct Canon(Vec<u8>);

impl Canon {
    /// Starts a new row, and lets go of what an unusually large one took.
    pub(super) fn clear(&mut self) {
        const KEPT: usize = 1 << 20;
        self.0.clear();
        self.0.shrink_to(KEPT);
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn bytes(&mut self, value: &[u8]) {
        self.counted(value.len());
        self.0.extend_from_slice(value);
    }

    pub(super) fn optional(&mut self, value: Option<&[u8]>) {
        match value {
            Some(value) => self.bytes(value),
            None => self.0.push(0),
        }
    }

    pub(super) fn text(&mut self, value: Option<&str>) {
        self.optional(value.map(str::as_bytes));
    }

    pub(super) fn int64(&mut self, value: Option<i64>) {
        match value {
            Some(value) => {
                let [a, b, c, d, e, f, g, h] = value.to_le_bytes();
                self.0.extend_from_slice(&[1, a, b, c, d, e, f, g, h]);
            }
            None => self.0.push(0),
        }
    }

    pub(super) fn int32(&mut self, value: i32) {
        let [a, b, c, d] = value.to_le_bytes();
        self.0.extend_from_slice(&[1, a, b, c, d]);
    }

    /// Opens a map or list of `entries`; the caller adds each key and value.
    pub(super) fn entries(&mut self, entries: usize) {
        self.counted(entries);
    }

    /// The byte of a value that is there, and its length or number of entries.
    fn counted(&mut self, count: usize) {
        // What does not fit in 4 bytes makes a row far above the limit, which is refused before it is used.
        let [a, b, c, d] = u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes();
        self.0.extend_from_slice(&[1, a, b, c, d]);
    }
}

/// The digest of rows in order.
#[derive(Clone, Default)]
pub(super) struct RowDigest(Xxh3);

impl RowDigest {
    pub(super) fn row(&mut self, row: &Canon) {
        self.0.update(&row.0);
    }

    /// 32 hex digits.
    pub(super) fn text(&self) -> String {
        format!("{:032x}", self.0.digest128())
    }
}

/// A header's name as the column shows it: bytes that are not UTF-8 become `\xHH`.
pub(super) fn header_name(name: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = simdutf8::basic::from_utf8(name) {
        return Cow::Borrowed(text);
    }
    let mut text = String::with_capacity(name.len() + 8);
    for chunk in name.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            // Writing to a String cannot fail.
            let _ = write!(text, "\\x{byte:02X}");
        }
    }
    Cow::Owned(text)
}

/// A Kafka timestamp as the column holds it, in microseconds; one that does not fit (after the year
/// 294000) is null, because a wrong instant would spoil the statistics of the whole column.
pub(super) fn kafka_micros(millis: Option<i64>) -> Option<i64> {
    millis.and_then(|millis| millis.checked_mul(1000))
}
