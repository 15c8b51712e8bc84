//! A network and brokers that fail: rows 12 and 13.
