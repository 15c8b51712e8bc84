//! Records that nobody can want, and a clock that is wrong: rows 23 to 25.
