//! Wiring: threads, budget, start and stop.

mod budget;
mod lane;
mod partition;
mod session;

pub use budget::{Budget, limit};
