//! Sections `storage.azure`, `storage.gcs` and `storage.s3.sse`.

use serde::{Deserialize, Serialize};

use super::{Secret, text};

/// Section `storage.azure`: Azure Blob Storage.
///
/// At most one of `access_key`, `sas_token`, `client_secret` and `federated_token_file` is given. Without any, the
/// worker uses what its platform gives it: `AZURE_*` variables, workload identity, managed identity.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Azure {
    /// Name of the storage account. Required when `backend` is `azure`.
    pub account: String,
    /// Name of the container. Required when `backend` is `azure`.
    pub container: String,
    /// Prefix of every key; may be empty. Only one sink may use a prefix. Default: empty.
    pub base_path: String,
    /// Key of the account, in base64.
    pub access_key: Option<Secret>,
    /// File that holds the key of the account. After loading, `access_key` holds its content.
    pub access_key_file: Option<String>,
    /// Shared access signature (`sv=...&sig=...`) with the rights to read, create and list.
    pub sas_token: Option<Secret>,
    /// File that holds the shared access signature. After loading, `sas_token` holds its content.
    pub sas_token_file: Option<String>,
    /// Application (client) id of `client_secret` or of a workload identity, or a user-assigned managed identity.
    /// Default: `AZURE_CLIENT_ID`.
    pub client_id: Option<String>,
    /// Directory (tenant) id of the application. Default: `AZURE_TENANT_ID`.
    pub tenant_id: Option<String>,
    /// Secret of the application.
    pub client_secret: Option<Secret>,
    /// File that holds the secret. After loading, `client_secret` holds its content.
    pub client_secret_file: Option<String>,
    /// File with the token of a workload identity. Default: `AZURE_FEDERATED_TOKEN_FILE`.
    pub federated_token_file: Option<String>,
    /// URL where applications log in. Default: `AZURE_AUTHORITY_HOST`, else `https://login.microsoftonline.com`.
    pub authority_host: Option<String>,
    /// URL of the blob service. Default: `https://{account}.blob.core.windows.net`.
    pub endpoint: Option<String>,
    /// Authorities (PEM) that may sign the store's certificate, beside those of the system.
    pub ca_file: Option<String>,
    /// Allow URLs that begin with `http://`: events travel readable. Default: false.
    #[serde(with = "text::flag")]
    pub insecure_http: bool,
}

/// Section `storage.gcs`: Google Cloud Storage.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Gcs {
    /// Name of the bucket. Required when `backend` is `gcs`.
    pub bucket: String,
    /// Prefix of every key; may be empty. Only one sink may use a prefix. Default: empty.
    pub base_path: String,
    /// File with the key of a service account (JSON). Without one the worker uses what its platform gives it:
    /// `GOOGLE_APPLICATION_CREDENTIALS`, the file of the `gcloud` tool, the metadata server (workload identity).
    pub service_account_file: Option<String>,
    /// URL of another service that speaks its XML API. Default: `https://storage.googleapis.com`.
    pub endpoint: Option<String>,
    /// Authorities (PEM) that may sign the store's certificate, beside those of the system.
    pub ca_file: Option<String>,
    /// Allow an `endpoint` that begins with `http://`: events travel readable. Default: false.
    #[serde(with = "text::flag")]
    pub insecure_http: bool,
}

/// Section `storage.s3.sse`: encryption on the server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sse {
    /// Whose key encrypts. Default: `none`.
    #[serde(rename = "type")]
    pub kind: SseType,
    /// Id or ARN of the key, for `kms` and `kms_dsse`. Default: the account's key for S3.
    pub kms_key_id: Option<String>,
    /// Use the bucket key, for `kms`: fewer requests to the key service. Default: the bucket's own rule.
    #[serde(with = "text::optional_flag")]
    pub bucket_key: Option<bool>,
    /// The key of `customer`: 32 bytes in base64. Whoever reads the files needs it too.
    pub customer_key: Option<Secret>,
    /// File that holds the key. After loading, `customer_key` holds its content.
    pub customer_key_file: Option<String>,
}

/// Whose key encrypts objects.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SseType {
    /// The bucket's own rule.
    #[default]
    None,
    /// A key of S3 (SSE-S3).
    S3,
    /// A key of the key service (SSE-KMS).
    Kms,
    /// A key of the key service, twice (DSSE-KMS).
    KmsDsse,
    /// A key that the worker sends with each request (SSE-C).
    Customer,
}
