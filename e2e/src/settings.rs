//! The worker's settings as a test writes them. JSON is YAML, so no YAML is needed to write it.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::azure::Azure;
use crate::gcs::Gcs;
use crate::s3::S3;

/// Where a sink lands its files.
#[derive(Debug, Clone, Copy)]
pub enum Target<'a> {
    /// A folder on disk.
    Folder(&'a Path),
    /// A bucket; the prefix may be empty.
    Bucket {
        /// Its server.
        server: &'a S3,
        /// Name of the bucket.
        bucket: &'a str,
        /// Prefix without slashes at its ends.
        prefix: &'a str,
    },
    /// A container of Azure Blob Storage and a prefix in it.
    Azure(&'a Azure, &'a str, &'a str),
    /// A bucket of Google Cloud Storage and a prefix in it.
    Gcs(&'a Gcs, &'a str, &'a str),
}

impl Target<'_> {
    /// The section `storage` of the worker's settings.
    #[must_use]
    pub fn settings(&self) -> Value {
        match self {
            Self::Folder(path) => {
                json!({"backend": "file", "format": "parquet", "file": {"base_path": path}})
            }
            Self::Bucket { server, bucket, prefix } => json!({
                "backend": "s3",
                "format": "parquet",
                "s3": {
                    "bucket": bucket,
                    "base_path": prefix,
                    "endpoint": server.at.endpoint,
                    "region": server.at.region,
                    "access_key_id": server.at.access_key_id,
                    "secret_access_key": server.at.secret_access_key,
                    "insecure_http": true,
                },
            }),
            Self::Azure(server, container, prefix) => json!({
                "backend": "azure",
                "format": "parquet",
                "azure": {
                    "account": server.at.account,
                    "container": container,
                    "base_path": prefix,
                    "endpoint": server.at.endpoint,
                    "access_key": server.at.access_key,
                    "insecure_http": true,
                },
            }),
            Self::Gcs(server, bucket, prefix) => json!({
                "backend": "gcs",
                "format": "parquet",
                "gcs": {
                    "bucket": bucket,
                    "base_path": prefix,
                    "endpoint": server.at.endpoint,
                    "service_account_file": server.at.service_account_file,
                    "insecure_http": true,
                },
            }),
        }
    }

    /// Arguments that say the same to the readers in `read/`.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let named: Vec<(&str, &str)> = match self {
            Self::Folder(path) => return vec!["--folder".into(), path.display().to_string()],
            Self::Bucket { server, bucket, prefix } => vec![
                ("bucket", bucket),
                ("prefix", prefix),
                ("endpoint", &server.at.endpoint),
                ("region", &server.at.region),
                ("access-key", &server.at.access_key_id),
                ("secret-key", &server.at.secret_access_key),
            ],
            Self::Azure(server, container, prefix) => vec![
                ("store", "azure"),
                ("bucket", container),
                ("prefix", prefix),
                ("endpoint", &server.at.endpoint),
                ("access-key", &server.at.account),
                ("secret-key", &server.at.access_key),
            ],
            Self::Gcs(server, bucket, prefix) => {
                vec![("store", "gcs"), ("bucket", bucket), ("prefix", prefix), ("endpoint", &server.at.endpoint)]
            }
        };
        named.iter().map(|(name, value)| format!("--{name}={value}")).collect()
    }
}

/// Settings of a sink that closes files soon, so that tests do not wait: age 2 s, idleness 1 s.
/// `kafka` is [`crate::Kafka::settings`]; the sink is called as its group. Files are Parquet unless the test sets
/// `["storage"]["format"]`.
#[must_use]
pub fn sink(group: &str, topic: &str, mut kafka: Value, target: &Target<'_>) -> Value {
    kafka["consumer"] = json!({"group_id": group, "topics": [topic], "session_timeout": "6s"});
    json!({
        "kafka": kafka,
        "storage": target.settings(),
        "rotation": {"max_age": "2s", "max_idle": "1s"},
        "observability": {"log": {"format": "text"}},
    })
}

/// Writes settings to a file and returns its path.
#[must_use]
pub fn write(path: PathBuf, settings: &Value) -> PathBuf {
    std::fs::write(&path, format!("{settings:#}\n"))
        .unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
    path
}
