//! Rows of a cut -> files: path template, Arrow schema, Parquet, footer, row digest. Pure: bytes in memory, no I/O, no clock.
use serde::{Deserialize, Serialize};
/// stub
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct PlannedFile {
    /// key
    pub key: String,
    /// rows
    pub rows: u64,
    /// first
    pub first: i64,
    /// last
    pub last: i64,
    /// digest
    pub digest: String,
}
