//! A Google Cloud Storage server. Makes buckets; reads and writes nothing itself.

use std::sync::OnceLock;

use serde::Deserialize;
use serde_json::json;

use crate::http;
use crate::rig::{self, Held};

/// What `rigs/gcs status` says.
#[derive(Debug, Clone, Deserialize)]
pub struct Endpoint {
    /// URL without a bucket.
    pub endpoint: String,
    /// Key of a service account.
    pub service_account_file: String,
}

/// A running Google Cloud Storage server.
#[derive(Debug)]
pub struct Gcs {
    /// Where it listens and with which key.
    pub at: Endpoint,
    _held: Option<Held>,
}

impl Gcs {
    /// The server of this test process; started with the first call unless `EVENTSINK_E2E_GCS` names a running one.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Gcs> = OnceLock::new();
        SHARED.get_or_init(|| {
            let (at, held) = rig::server("gcs");
            Self { at, _held: held }
        })
    }

    /// A new, empty bucket whose name begins with `stem`.
    #[must_use]
    pub fn make_bucket(&self, stem: &str) -> String {
        let name = rig::unique(stem);
        let url = format!("{}/storage/v1/b?project=rig", self.at.endpoint);
        http::must("POST", &url, &json!({"name": name}).to_string());
        name
    }
}
