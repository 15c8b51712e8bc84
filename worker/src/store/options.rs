//! What the store needs to know: plain data, filled in by the settings. No I/O and no defaults from the environment.

use std::path::PathBuf;

use eventsink_crds::settings::Secret;

/// Everything that opens one store.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// Where the objects live.
    pub backend: Backend,
}

/// The kinds of store.
#[derive(Debug, Clone)]
pub enum Backend {
    /// A folder; its file system must have hard links, which make a file appear whole and only once.
    File {
        /// The folder all keys are relative to; created when it is missing.
        base_path: PathBuf,
    },
    /// S3 or a store that speaks its protocol, create-only writes (`If-None-Match: *`) included.
    S3(Box<S3Options>),
}

/// Settings of an S3 store.
#[derive(Debug, Clone, Default)]
pub struct S3Options {
    /// Bucket name; it must exist.
    pub bucket: String,
    /// Prefix all keys are relative to, without the bucket; slashes at its ends do not count. May be empty.
    pub base_path: String,
    /// Region; without one, `AWS_REGION` or `AWS_DEFAULT_REGION`, else `us-east-1`.
    pub region: Option<String>,
    /// `https://host[:port]` of a store that is not AWS; without one, `AWS_ENDPOINT_URL_S3` or `AWS_ENDPOINT_URL`.
    pub endpoint: Option<String>,
    /// Put the bucket into the path instead of the host name, as most stores that are not AWS want it.
    pub path_style: bool,
    /// Static key id; it and the secret key are both given or both absent. Absent: the usual chain of
    /// `AWS_*` variables, web identity, container and instance credentials.
    pub access_key_id: Option<Secret>,
    /// Static secret key.
    pub secret_access_key: Option<Secret>,
    /// Session token of temporary static keys.
    pub session_token: Option<Secret>,
    /// PEM file of certificates trusted in addition to the system's.
    pub ca_file: Option<PathBuf>,
    /// Allow an `http://` endpoint. The secret key is never sent, but data and a session token then travel in the clear.
    pub insecure_http: bool,
}
