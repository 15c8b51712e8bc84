//! The operator: one controller for `EventSink` resources.
//!
//! `reconcile` takes a sink through its stages, `build` makes its children, `projection` its workers' settings, `scale`
//! decides how many workers there are, `workers` asks them how they are and `lag` asks Kafka where there are none, `lease`
//! sees to it that one operator works at a time.

pub mod args;
pub mod build;
pub mod context;
pub mod controller;
pub mod http;
pub mod lag;
pub mod lease;
pub mod metrics;
pub mod projection;
pub mod reconcile;
pub mod scale;
pub mod workers;
