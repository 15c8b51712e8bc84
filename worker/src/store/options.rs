//! What the store needs to know: plain data, filled in by the settings. No I/O and no defaults from the environment.

use std::path::PathBuf;
use std::time::Duration;

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
    /// Azure Blob Storage.
    Azure(Box<AzureOptions>),
    /// Google Cloud Storage.
    Gcs(Box<GcsOptions>),
}

/// The way to a store in a network, the same for every cloud.
#[derive(Debug, Clone)]
pub struct Network {
    /// `https://host[:port]` of a store that is not the cloud's public one; Azure's may have a path, the account.
    pub endpoint: Option<String>,
    /// PEM file of certificates trusted in addition to the system's.
    pub ca_file: Option<PathBuf>,
    /// Allow an `http://` endpoint: data and tokens then travel in the clear.
    pub insecure_http: bool,
    /// `http://[user:password@]host:port` of a proxy; without one, `HTTPS_PROXY`, `HTTP_PROXY` and `ALL_PROXY`.
    /// `NO_PROXY` counts for both.
    pub proxy_url: Option<Secret>,
    /// Longest time for a connection to open.
    pub connect_timeout: Duration,
    /// Longest time for a request without its body.
    pub request_timeout: Duration,
}

impl Default for Network {
    fn default() -> Self {
        Self {
            endpoint: None,
            ca_file: None,
            insecure_http: false,
            proxy_url: None,
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(30),
        }
    }
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
    /// Put the bucket into the path instead of the host name, as most stores that are not AWS want it.
    pub path_style: bool,
    /// Static key id; it and the secret key are both given or both absent. Absent: the usual chain of
    /// `AWS_*` variables, web identity, container and instance credentials.
    pub access_key_id: Option<Secret>,
    /// Static secret key.
    pub secret_access_key: Option<Secret>,
    /// Session token of temporary static keys.
    pub session_token: Option<Secret>,
    /// Encryption on the server; without one, the bucket's own rule.
    pub sse: Option<Sse>,
    /// The way to it; without an endpoint, `AWS_ENDPOINT_URL_S3` or `AWS_ENDPOINT_URL`, else AWS.
    pub network: Network,
}

/// How S3 encrypts objects.
#[derive(Debug, Clone)]
pub enum Sse {
    /// With a key of S3 itself.
    S3,
    /// With a key of the key service.
    Kms {
        /// Key id or ARN; without one, the account's key for S3.
        key_id: Option<String>,
        /// Encrypt twice (DSSE).
        double: bool,
        /// Use the bucket key, which saves requests to the key service; without a word, the bucket's own rule.
        bucket_key: Option<bool>,
    },
    /// With a key that comes along with each request: 32 bytes in base64.
    Customer(Secret),
}

/// Settings of Azure Blob Storage. At most one of access key, SAS token, client secret and federated token file is
/// given; without any, the usual chain of `AZURE_*` variables, workload identity and managed identity.
#[derive(Debug, Clone, Default)]
pub struct AzureOptions {
    /// Name of the storage account.
    pub account: String,
    /// Container name; it must exist.
    pub container: String,
    /// Prefix all keys are relative to; slashes at its ends do not count. May be empty.
    pub base_path: String,
    /// Key of the account, in base64.
    pub access_key: Option<Secret>,
    /// Shared access signature, as the portal gives it.
    pub sas_token: Option<Secret>,
    /// Application of a client secret or of a workload identity, or a managed identity that the user assigned.
    pub client_id: Option<String>,
    /// Directory (tenant) of the application.
    pub tenant_id: Option<String>,
    /// Secret of the application.
    pub client_secret: Option<Secret>,
    /// File with the token that a workload identity is exchanged for.
    pub federated_token_file: Option<String>,
    /// Where applications log in; without one, `AZURE_AUTHORITY_HOST`, else `https://login.microsoftonline.com`.
    pub authority_host: Option<String>,
    /// The way to it; without an endpoint, `AZURE_STORAGE_ENDPOINT`, else `https://{account}.blob.core.windows.net`.
    pub network: Network,
}

/// Settings of Google Cloud Storage.
#[derive(Debug, Clone, Default)]
pub struct GcsOptions {
    /// Bucket name; it must exist.
    pub bucket: String,
    /// Prefix all keys are relative to, without the bucket; slashes at its ends do not count. May be empty.
    pub base_path: String,
    /// File with the key of a service account; without one, the application default credentials:
    /// `GOOGLE_APPLICATION_CREDENTIALS`, the file of the `gcloud` tool, the metadata server.
    pub service_account_file: Option<PathBuf>,
    /// The way to it; without an endpoint, `https://storage.googleapis.com`.
    pub network: Network,
}
