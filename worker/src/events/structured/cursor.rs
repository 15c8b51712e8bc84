//! A place in a body of bytes. It never reads past its end and allocates nothing, so that no length in a
//! body can ask for more than the body holds.

use std::fmt;

/// Reads forward; copies share the body.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'a> {
    body: &'a [u8],
    at: usize,
}

/// Where a body stops making sense, and what was looked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Broken {
    what: &'static str,
    at: usize,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.what, self.at)
    }
}

impl<'a> Cursor<'a> {
    pub(super) const fn new(body: &'a [u8]) -> Self {
        Self { body, at: 0 }
    }

    /// An error at this place.
    pub(super) const fn broken(&self, what: &'static str) -> Broken {
        Broken { what, at: self.at }
    }

    pub(super) const fn is_at_end(&self) -> bool {
        self.at == self.body.len()
    }

    /// Everything up to the end.
    pub(super) fn rest(&self) -> &'a [u8] {
        &self.body[self.at..]
    }

    /// The next `count` bytes.
    pub(super) fn take(&mut self, count: u64) -> Result<&'a [u8], Broken> {
        self.part(count).map(|part| part.rest())
    }

    /// The next `count` bytes as a cursor that ends behind them and still counts from the body's start.
    pub(super) fn part(&mut self, count: u64) -> Result<Self, Broken> {
        let left = self.body.len() - self.at;
        let count = usize::try_from(count).ok().filter(|&count| count <= left);
        let end = self.at + count.ok_or_else(|| self.broken("a length beyond the end"))?;
        let part = Self { body: &self.body[..end], at: self.at };
        self.at = end;
        Ok(part)
    }

    /// An unsigned number in groups of seven bits, the least first, as both Avro and Protobuf write it.
    pub(super) fn varint(&mut self) -> Result<u64, Broken> {
        let start = *self;
        let mut value = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let &byte = self.rest().first().ok_or_else(|| start.broken("a number cut off"))?;
            self.at += 1;
            let bits = u64::from(byte & 0x7F);
            if (bits << shift) >> shift != bits {
                break;
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(start.broken("a number of more than 64 bits"))
    }
}
