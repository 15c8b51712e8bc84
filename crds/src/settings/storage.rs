//! Section `storage`: where files go and what they look like.

use serde::{Deserialize, Serialize};

use super::{Azure, Gcs, List, Secret, Span, Sse, text};

/// Section `storage`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Storage {
    /// Kind of store. Required; its own section below says where in it.
    pub backend: Backend,
    /// Format of the files. Default: `parquet`.
    pub format: Format,
    /// Compression inside the files. Default: `zstd`.
    pub compression: Compression,
    /// Extension attributes that become text columns of their own, after the others and in this order; at most 32.
    /// They stay in `extensions` too. Default: none.
    pub columns: List,
    /// Start even on a store without create-only writes. This worker must then be alone on its prefix,
    /// and a crash may leave an event in two files. Default: false.
    #[serde(with = "text::flag")]
    pub allow_at_least_once: bool,
    /// Which time names the folder `dt=`. Default: `event_time`.
    pub partition_by: PartitionBy,
    /// The folder for events that name no schema version: letters, digits, `.`, `_` and `-`, at most
    /// 128, not starting with `.` or `_`. Default: `v1`.
    pub default_schema_version: String,
    /// Proxy of all requests to a cloud, `http://host:port` or `http://user:password@host:port`. Hosts in `NO_PROXY`
    /// are reached without it. Default: `HTTPS_PROXY`, `HTTP_PROXY` or `ALL_PROXY`.
    pub proxy_url: Option<Secret>,
    /// File that holds the proxy's URL. After loading, `proxy_url` holds its content.
    pub proxy_url_file: Option<String>,
    /// How long to wait for a cloud.
    pub timeouts: StoreTimeouts,
    /// Amazon S3 or a store that speaks its protocol; read when `backend` is `s3`.
    pub s3: S3,
    /// Azure Blob Storage; read when `backend` is `azure`.
    pub azure: Azure,
    /// Google Cloud Storage; read when `backend` is `gcs`.
    pub gcs: Gcs,
    /// A folder; read when `backend` is `file`.
    pub file: FileStore,
}

impl Default for Storage {
    fn default() -> Self {
        Self {
            backend: Backend::default(),
            format: Format::default(),
            compression: Compression::default(),
            columns: List::default(),
            allow_at_least_once: false,
            partition_by: PartitionBy::default(),
            default_schema_version: "v1".to_owned(),
            proxy_url: None,
            proxy_url_file: None,
            timeouts: StoreTimeouts::default(),
            s3: S3::default(),
            azure: Azure::default(),
            gcs: Gcs::default(),
            file: FileStore::default(),
        }
    }
}

/// Section `storage.timeouts`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreTimeouts {
    /// Longest time for a connection to open, 100ms to 10m. Default: `5s`.
    pub connect: Span,
    /// Longest time for a request; a body gets a second for each 256KiB on top. 1s to 1h. Default: `30s`.
    pub request: Span,
}

impl Default for StoreTimeouts {
    fn default() -> Self {
        Self { connect: Span::from_secs(5), request: Span::from_secs(30) }
    }
}

/// Kind of store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Backend {
    /// Amazon S3 or a store that speaks its protocol.
    #[default]
    S3,
    /// Azure Blob Storage.
    Azure,
    /// Google Cloud Storage.
    Gcs,
    /// A folder on a local or shared disk.
    File,
}

/// Format of the files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Apache Parquet.
    #[default]
    Parquet,
    /// Apache Avro object container files with the same columns.
    Avro,
}

/// Compression inside the files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// Zstandard: small and quick.
    #[default]
    Zstd,
    /// Larger files than `zstd`, read by everything.
    Snappy,
    /// For readers that know nothing else; slow to write. Avro knows it as `deflate`.
    Gzip,
    /// No compression.
    None,
}

/// Which time names the folder `dt=`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartitionBy {
    /// The event's `time` when it has a believable one, else the Kafka timestamp.
    #[default]
    EventTime,
    /// The timestamp of the Kafka record.
    KafkaTimestamp,
}

/// Section `storage.s3`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct S3 {
    /// Name of the bucket. Required when `backend` is `s3`.
    pub bucket: String,
    /// Prefix of every key; may be empty. Only one sink may use a prefix. Default: empty.
    pub base_path: String,
    /// Region. Default: `AWS_REGION`, else `us-east-1`.
    pub region: Option<String>,
    /// URL of a store other than Amazon's, such as `https://minio:9000`.
    pub endpoint: Option<String>,
    /// Put the bucket into the path of the URL and not into its host. Default: true when `endpoint` is set.
    #[serde(with = "text::optional_flag")]
    pub path_style: Option<bool>,
    /// Access key. Without one the worker uses what its platform gives it (variables, web identity,
    /// instance or pod identity).
    pub access_key_id: Option<Secret>,
    /// File that holds the access key. After loading, `access_key_id` holds its content.
    pub access_key_id_file: Option<String>,
    /// Secret key; comes together with the access key.
    pub secret_access_key: Option<Secret>,
    /// File that holds the secret key. After loading, `secret_access_key` holds its content.
    pub secret_access_key_file: Option<String>,
    /// Token of temporary keys.
    pub session_token: Option<Secret>,
    /// File that holds the token. After loading, `session_token` holds its content.
    pub session_token_file: Option<String>,
    /// Encryption on the server.
    pub sse: Sse,
    /// Authorities (PEM) that may sign the store's certificate, beside those of the system.
    pub ca_file: Option<String>,
    /// Allow an `endpoint` that begins with `http://`: events travel readable. Default: false.
    #[serde(with = "text::flag")]
    pub insecure_http: bool,
}

impl S3 {
    /// Whether the bucket goes into the path: `path_style`, else true when an endpoint is set.
    pub fn uses_path_style(&self) -> bool {
        self.path_style.unwrap_or(self.endpoint.is_some())
    }
}

/// Section `storage.file`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FileStore {
    /// Folder of the files and the ledger. Required when `backend` is `file`.
    pub base_path: String,
}
