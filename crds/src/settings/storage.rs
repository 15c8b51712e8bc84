//! Section `storage`: where files go and what they look like.

use serde::{Deserialize, Serialize};

use super::{List, Secret, text};

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
    /// Amazon S3 or a store that speaks its protocol; read when `backend` is `s3`.
    pub s3: S3,
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
            s3: S3::default(),
            file: FileStore::default(),
        }
    }
}

/// Kind of store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Backend {
    /// Amazon S3 or a store that speaks its protocol.
    #[default]
    S3,
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
