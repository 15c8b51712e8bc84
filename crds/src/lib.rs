//! The types that operator and worker share. No I/O happens here.

pub mod settings;
#[cfg(feature = "kube")]
pub mod sink;
pub mod status;
