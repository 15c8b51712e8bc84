//! Google Cloud Storage.

use std::path::{Path, PathBuf};

use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use serde::Deserialize;

use super::super::wire::Connector;
use super::super::{Client, GcsOptions, Secret, Store, StoreError};
use super::{Draft, Place, inner_retry};

const PUBLIC: &str = "https://storage.googleapis.com";

/// Where the `gcloud` tool leaves the credentials of its user, below the home folder.
const OF_GCLOUD: &str = ".config/gcloud/application_default_credentials.json";

pub(super) fn open(options: &GcsOptions) -> Result<Store, StoreError> {
    let root = format!("gs://{}", options.bucket);
    let mut draft = Draft::new(root, Place::Bucket, &options.base_path, &options.network);
    draft.check_name("bucket", &options.bucket, ".-_")?;

    let mut builder = match &options.service_account_file {
        Some(file) => {
            check_credentials(file, &mut draft)?;
            GoogleCloudStorageBuilder::new().with_service_account_path(file.display().to_string())
        }
        None => {
            let builder = GoogleCloudStorageBuilder::from_env();
            if let Some(file) = default_credentials(&builder) {
                check_credentials(&file, &mut draft)?;
            }
            builder
        }
    };
    let endpoint = options.network.endpoint.clone().or_else(|| builder.get_config_value(&GoogleConfigKey::BaseUrl));
    draft.location.endpoint = match endpoint {
        Some(endpoint) => draft.url("endpoint", &endpoint)?.as_str().trim_end_matches('/').to_string(),
        None => PUBLIC.to_owned(),
    };
    builder = builder
        .with_bucket_name(&options.bucket)
        .with_base_url(&draft.location.endpoint)
        .with_http_connector(Connector)
        .with_retry(inner_retry())
        .with_client_options(draft.client_options()?);
    draft.store(builder.build(), |store| Client::Cloud { store, sorted: true, suffix_ranges: true })
}

/// The file that the client reads when no other credentials are given.
fn default_credentials(builder: &GoogleCloudStorageBuilder) -> Option<PathBuf> {
    let variable = |key| builder.get_config_value(&key);
    if variable(GoogleConfigKey::ServiceAccountKey).is_some() || variable(GoogleConfigKey::BearerToken).is_some() {
        return None;
    }
    let named = variable(GoogleConfigKey::ServiceAccount).or_else(|| variable(GoogleConfigKey::ApplicationCredentials));
    named.map(PathBuf::from).or_else(|| {
        let file = Path::new(&std::env::var_os("HOME")?).join(OF_GCLOUD);
        file.exists().then_some(file)
    })
}

#[derive(Deserialize)]
struct Credentials {
    r#type: String,
    private_key: Option<String>,
}

/// The client takes two types of credentials and names neither the file nor the type of others.
fn check_credentials(file: &Path, draft: &mut Draft<'_>) -> Result<(), StoreError> {
    let named = file.display();
    let text = std::fs::read(file).map_err(|e| draft.refuse(&format!("cannot read {named}: {e}")))?;
    // The words of the parser could quote the key.
    let credentials: Credentials = serde_json::from_slice(&text)
        .map_err(|_| draft.refuse(&format!("{named} holds no credentials of Google Cloud: JSON with a type")))?;
    draft.hide([&credentials.private_key.map(Secret::new)]);
    match credentials.r#type.as_str() {
        "service_account" | "authorized_user" => Ok(()),
        other => Err(draft.refuse(&format!(
            "{named} holds credentials of type {other}, which this client cannot use; set service_account_file to the \
             key of a service account, or unset GOOGLE_APPLICATION_CREDENTIALS where a metadata server gives tokens"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(credentials: &str) -> Result<String, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), credentials).unwrap();
        let service_account_file = Some(file.path().to_path_buf());
        let options = GcsOptions { bucket: "lake".into(), service_account_file, ..GcsOptions::default() };
        let whole = file.path().display().to_string();
        open(&options).map(|store| store.describe()).map_err(|e| e.to_string().replace(&whole, "FILE"))
    }

    #[test]
    fn federated_credentials_are_refused_by_name_with_the_way_out() {
        let error = opened(r#"{"type": "external_account", "audience": "a"}"#).unwrap_err();
        assert_eq!(
            error,
            "cannot open gs://lake: FILE holds credentials of type external_account, which this client cannot use; set \
             service_account_file to the key of a service account, or unset GOOGLE_APPLICATION_CREDENTIALS where a \
             metadata server gives tokens"
        );
    }

    #[test]
    fn a_file_without_credentials_is_named_and_not_quoted() {
        for text in ["hunter2", r#"{"private_key": "hunter2"}"#, r#"{"type": 7, "private_key": "hunter2"}"#] {
            let error = opened(text).unwrap_err();
            assert!(error.contains("FILE holds no credentials") && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn a_damaged_key_is_not_repeated() {
        let text =
            r#"{"type": "service_account", "private_key": "hunter2", "private_key_id": "i", "client_email": "e"}"#;
        let error = opened(text).unwrap_err();
        assert!(!error.contains("hunter2"), "{error}");
    }
}
