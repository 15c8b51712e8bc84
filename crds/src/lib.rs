//! The types that operator and worker share. No I/O happens here.

pub mod settings;
pub mod status;
