//! Wiring: threads, budget, start and stop.

mod budget;
mod lane;
pub mod mapping;
mod partition;
mod resident;
mod session;
mod shared_answer;
mod start;

pub use budget::{Budget, limit};
pub use start::{Options, Running, StartError, lanes, start};
