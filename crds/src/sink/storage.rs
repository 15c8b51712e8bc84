//! `spec.storage`.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CaSecret, S3Secret, SecretKey};

/// Where files go; exactly one kind of store.
///
/// Without a reference to a Secret the worker uses what its platform gives it (workload identity): name the service
/// account that has it in `worker.serviceAccountName`.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.s3), has(self.azure), has(self.gcs), has(self.filesystem)].filter(given, given).size() == 1")
    .message("storage needs exactly one of s3, azure, gcs and filesystem"))]
#[x_kube(validation = Rule::new("has(self.s3) == has(oldSelf.s3) && has(self.azure) == has(oldSelf.azure) && has(self.gcs) == has(oldSelf.gcs) && has(self.filesystem) == has(oldSelf.filesystem)")
    .message("the kind of storage cannot be changed: the ledger of this sink is in the old one; make another EventSink"))]
pub struct Storage {
    /// Amazon S3 or a store that speaks its protocol.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s3: Option<S3>,
    /// Azure Blob Storage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub azure: Option<Azure>,
    /// Google Cloud Storage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gcs: Option<Gcs>,
    /// A folder of a PersistentVolumeClaim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filesystem: Option<FileSystem>,
}

/// Amazon S3 or a store that speaks its protocol.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.endpoint) || !self.endpoint.startsWith('http://') || self.insecureHttp")
    .message("storage.s3.endpoint begins with http://: events would travel readable; use https://, or set insecureHttp: true"))]
pub struct S3 {
    /// Name of the bucket. It cannot be changed later.
    #[schemars(length(min = 3, max = 255))]
    #[x_kube(validation = Rule::new("self == oldSelf")
        .message("storage.s3.bucket cannot be changed: the ledger of this sink is in the old one; make another EventSink"))]
    pub bucket: String,
    /// Prefix of every key. Only one sink may use a prefix. It cannot be changed later.
    #[serde(default)]
    #[schemars(length(max = 512))]
    #[x_kube(validation = Rule::new("self == oldSelf")
        .message("storage.s3.basePath cannot be changed: the ledger of this sink is under the old one; make another EventSink"))]
    pub base_path: String,
    /// Region. Default: what the platform says, else `us-east-1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub region: Option<String>,
    /// URL of a store other than Amazon's, such as `https://minio.storage.svc:9000`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048), regex(pattern = "^https?://"))]
    pub endpoint: Option<String>,
    /// Put the bucket into the path of the URL and not into its host. Default: true when endpoint is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_style: Option<bool>,
    /// Secret with an access key. Without one the worker uses what its platform gives it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<S3Secret>,
    /// Encryption on the server.
    #[serde(default)]
    pub sse: Sse,
    /// Authorities that may sign the store's certificate, beside the public ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_secret_ref: Option<CaSecret>,
    /// Allow an endpoint that begins with `http://`: events travel readable.
    #[serde(default)]
    pub insecure_http: bool,
}

/// Encryption on the server of S3.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(self.type == 'Customer') == has(self.customerKeySecretRef)")
    .message("storage.s3.sse.customerKeySecretRef belongs to the type Customer and to no other"))]
#[x_kube(validation = Rule::new("!has(self.kmsKeyId) || self.type in ['Kms', 'KmsDsse']")
    .message("storage.s3.sse.kmsKeyId belongs to the types Kms and KmsDsse"))]
#[x_kube(validation = Rule::new("!has(self.bucketKey) || self.type == 'Kms'")
    .message("storage.s3.sse.bucketKey belongs to the type Kms"))]
pub struct Sse {
    /// Whose key encrypts: None (the bucket's own rule), S3, Kms, KmsDsse or Customer.
    #[serde(default, rename = "type")]
    pub kind: SseType,
    /// Id or ARN of the key of the key service. Default: the account's key for S3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub kms_key_id: Option<String>,
    /// Use the bucket key: fewer requests to the key service. Default: the bucket's own rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bucket_key: Option<bool>,
    /// The key of the type Customer: 32 bytes in base64. Whoever reads the files needs it too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer_key_secret_ref: Option<SecretKey>,
}

/// Whose key encrypts objects.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
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

/// Azure Blob Storage.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.accessKeySecretRef), has(self.sasTokenSecretRef), has(self.clientSecretRef)].filter(given, given).size() <= 1")
    .message("storage.azure takes at most one of accessKeySecretRef, sasTokenSecretRef and clientSecretRef"))]
#[x_kube(validation = Rule::new("!has(self.clientSecretRef) || (has(self.clientId) && has(self.tenantId))")
    .message("storage.azure.clientSecretRef needs clientId and tenantId of its application"))]
#[x_kube(validation = Rule::new("!has(self.endpoint) || !self.endpoint.startsWith('http://') || self.insecureHttp")
    .message("storage.azure.endpoint begins with http://: events would travel readable; use https://, or set insecureHttp: true"))]
pub struct Azure {
    /// Name of the storage account. It cannot be changed later.
    #[schemars(length(min = 3, max = 63))]
    #[x_kube(validation = Rule::new("self == oldSelf")
        .message("storage.azure.account cannot be changed: the ledger of this sink is in the old one; make another EventSink"))]
    pub account: String,
    /// Name of the container. It cannot be changed later.
    #[schemars(length(min = 3, max = 63))]
    #[x_kube(validation = Rule::new("self == oldSelf")
        .message("storage.azure.container cannot be changed: the ledger of this sink is in the old one; make another EventSink"))]
    pub container: String,
    /// Prefix of every key. Only one sink may use a prefix. It cannot be changed later.
    #[serde(default)]
    #[schemars(length(max = 512))]
    #[x_kube(validation = Rule::new("self == oldSelf")
        .message("storage.azure.basePath cannot be changed: the ledger of this sink is under the old one; make another EventSink"))]
    pub base_path: String,
    /// Key of the account, in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_key_secret_ref: Option<SecretKey>,
    /// Shared access signature with the rights to read, create and list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sas_token_secret_ref: Option<SecretKey>,
    /// Secret of an application; needs clientId and tenantId.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret_ref: Option<SecretKey>,
    /// Id of an application, or of a managed identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub client_id: Option<String>,
    /// Directory (tenant) id of the application.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub tenant_id: Option<String>,
    /// URL of the blob service. Default: `https://{account}.blob.core.windows.net`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048), regex(pattern = "^https?://"))]
    pub endpoint: Option<String>,
    /// URL where applications log in. Default: `https://login.microsoftonline.com`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048), regex(pattern = "^https?://"))]
    pub authority_host: Option<String>,
    /// Authorities that may sign the store's certificate, beside the public ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_secret_ref: Option<CaSecret>,
    /// Allow URLs that begin with `http://`: events travel readable.
    #[serde(default)]
    pub insecure_http: bool,
}

/// Google Cloud Storage.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.endpoint) || !self.endpoint.startsWith('http://') || self.insecureHttp")
    .message("storage.gcs.endpoint begins with http://: events would travel readable; use https://, or set insecureHttp: true"))]
pub struct Gcs {
    /// Name of the bucket. It cannot be changed later.
    #[schemars(length(min = 3, max = 222))]
    #[x_kube(validation = Rule::new("self == oldSelf")
        .message("storage.gcs.bucket cannot be changed: the ledger of this sink is in the old one; make another EventSink"))]
    pub bucket: String,
    /// Prefix of every key. Only one sink may use a prefix. It cannot be changed later.
    #[serde(default)]
    #[schemars(length(max = 512))]
    #[x_kube(validation = Rule::new("self == oldSelf")
        .message("storage.gcs.basePath cannot be changed: the ledger of this sink is under the old one; make another EventSink"))]
    pub base_path: String,
    /// Key of a service account (JSON). Without one the worker uses what its platform gives it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account_secret_ref: Option<SecretKey>,
    /// URL of another service that speaks its XML API. Default: `https://storage.googleapis.com`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048), regex(pattern = "^https?://"))]
    pub endpoint: Option<String>,
    /// Authorities that may sign the store's certificate, beside the public ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_secret_ref: Option<CaSecret>,
    /// Allow an endpoint that begins with `http://`: events travel readable.
    #[serde(default)]
    pub insecure_http: bool,
}

/// A folder of a PersistentVolumeClaim.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct FileSystem {
    /// Name of a PersistentVolumeClaim in the namespace of the sink; ReadWriteMany for more than one worker. It cannot
    /// be changed later.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$"))]
    #[x_kube(validation = Rule::new("self == oldSelf")
        .message("storage.filesystem.claimName cannot be changed: the ledger of this sink is in the old one; make another EventSink"))]
    pub claim_name: String,
    /// Folder in the volume. Only one sink may use a folder. It cannot be changed later.
    #[serde(default)]
    #[schemars(length(max = 512), regex(pattern = r"^([A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*)?$"))]
    #[x_kube(validation = Rule::new("self == oldSelf")
        .message("storage.filesystem.basePath cannot be changed: the ledger of this sink is under the old one; make another EventSink"))]
    #[x_kube(validation = Rule::new("!('..' in self.split('/'))")
        .message("storage.filesystem.basePath must stay inside of the volume: leave out '..'"))]
    pub base_path: String,
}
