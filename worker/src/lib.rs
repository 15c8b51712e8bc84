//! The worker: consumes CloudEvents from Kafka and lands them as files in object storage.
//!
//! Pure code stands apart from I/O. `events`, `cut` and `files` decide and transform; `kafka`, `store`
//! and `runtime` do. Time, randomness and I/O come in as arguments.

pub mod audit;
pub mod cli;
pub mod cut;
pub mod events;
pub mod files;
pub mod http;
pub mod inspect;
pub mod kafka;
pub mod lag;
pub mod metrics;
pub mod runtime;
pub mod settings;
pub mod store;
pub mod telemetry;
mod text;
pub mod traces;
