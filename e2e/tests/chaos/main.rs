//! The fault matrix on real Kafka, real worker processes and a real store: `table.csv` says what each row does and
//! what must hold. A row's test is named `row_NN_...`, wherever it stands; `make chaos` runs them one at a time and
//! fails when a row has none. Each ends with [`scene::Scene::prove`]: an independent reader and the audit.

mod crashes;
mod kafka;
mod log;
mod poison;
mod rebalances;
mod scene;
mod soak;
mod store;
