//! Rows of a cut -> files: path template, Arrow schema, Parquet, footer, row digest. Pure: bytes in memory, no I/O, no clock.
