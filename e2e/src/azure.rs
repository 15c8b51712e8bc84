//! An Azure Blob server. Makes containers; reads and writes nothing itself.

use std::sync::OnceLock;

use serde::Deserialize;

use crate::http;
use crate::rig::{self, Held};

/// What `rigs/azure status` says.
#[derive(Debug, Clone, Deserialize)]
pub struct Endpoint {
    /// URL with the account in its path.
    pub endpoint: String,
    /// Name of the account.
    pub account: String,
    /// Key of the account.
    pub access_key: String,
    /// A shared access signature with every right.
    pub sas_token: String,
}

/// A running Azure Blob server.
#[derive(Debug)]
pub struct Azure {
    /// Where it listens and with which keys.
    pub at: Endpoint,
    _held: Option<Held>,
}

impl Azure {
    /// The server of this test process; started with the first call unless `EVENTSINK_E2E_AZURE` names a running one.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Azure> = OnceLock::new();
        SHARED.get_or_init(|| {
            let (at, held) = rig::server("azure");
            Self { at, _held: held }
        })
    }

    /// A new, empty container whose name begins with `stem`.
    #[must_use]
    pub fn make_container(&self, stem: &str) -> String {
        let name = rig::unique(stem);
        let Endpoint { endpoint, sas_token, .. } = &self.at;
        http::must("PUT", &format!("{endpoint}/{name}?restype=container&{sas_token}"), "");
        name
    }
}
