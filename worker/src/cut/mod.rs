//! Cuts: which offsets go together, when a cut closes, who may write it, what to do after a crash.
//!
//! Pure: inputs and the time come in, effects go out. Nothing here reads a clock, a store or a broker,
//! so that every step of the delivery contract can be run, and broken, in memory.

mod commits;
mod effect;
mod flood;
mod hold;
mod machine;
pub mod manifest;
mod open;
mod ranges;
mod resolve;

pub use effect::{Admit, CutPlan, Effect, Input, PutOutcome};
pub use flood::FloodLimit;
pub use hold::{Hold, HoldReason};
pub use machine::{Machine, Orders};
pub use manifest::{GENESIS_NONCE, Genesis, MANIFEST_VERSION, Manifest, Owner, PartitionStart};
pub use open::{Limits, Now, Outcome, Trigger};
pub use ranges::Ranges;
pub use resolve::{CommitNote, Committed, Evidence, Resolution, resolve};
