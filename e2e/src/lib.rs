//! What the tests on real parts share: servers, producers with a list of what they sent, worker processes, readers.
//!
//! Nothing here looks inside the worker: it is started as users start it, and judged by what it leaves in the
//! store, in the log and in its exit code. Helpers panic with the whole story; there is nobody to hand an error to.

pub mod azure;
pub mod cgroup;
pub mod cluster;
pub mod collector;
pub mod folder;
pub mod gcs;
mod http;
pub mod kafka;
pub mod mix;
pub mod operator;
pub mod process;
pub mod produce;
pub mod records;
mod rig;
pub mod s3;
pub mod settings;
pub mod store_proxy;
pub mod tcp_proxy;
pub mod tokens;
pub mod verify;
pub mod worker;

pub use azure::Azure;
pub use cgroup::Cgroup;
pub use cluster::{Cluster, Namespace, Program};
pub use gcs::Gcs;
pub use kafka::{Access, Kafka, Mechanism};
pub use mix::Mix;
pub use operator::Operator;
pub use produce::{Produced, produce};
pub use records::{Record, read_all, send_all};
pub use rig::{Workspace, patiently};
pub use s3::S3;
pub use settings::{Target, sink};
pub use store_proxy::{Fault, Matches, Rule, StoreProxy};
pub use tcp_proxy::TcpProxy;
pub use tokens::TokenEndpoint;
pub use verify::{count_with_duckdb, count_with_spark, fetch, verify};
pub use worker::{Finished, Worker};
