//! A store that fails: rows 18 to 22.
