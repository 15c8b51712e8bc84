//! Azure Blob Storage.

use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};

use super::super::wire::Connector;
use super::super::{AzureOptions, Client, Store, StoreError};
use super::{Draft, Place, inner_retry};

pub(super) fn open(options: &AzureOptions) -> Result<Store, StoreError> {
    let AzureOptions { account, container, .. } = options;
    let root = format!("az://{account}/{container}");
    let mut draft = Draft::new(root, Place::Container, &options.base_path, &options.network);
    draft.hide([&options.access_key, &options.sas_token, &options.client_secret]);
    draft.check_name("storage account", account, "-")?;
    draft.check_name("container", container, "-$")?;
    if options.base_path.contains('\\') {
        return Err(draft.refuse("base_path contains a backslash, of which Azure makes a slash"));
    }

    let mut builder = MicrosoftAzureBuilder::from_env()
        .with_use_emulator(false)
        .with_account(account)
        .with_container_name(container)
        .with_http_connector(Connector)
        .with_retry(inner_retry())
        .with_client_options(draft.client_options()?);
    let variable = |key| builder.get_config_value(&key);
    let authority = options.authority_host.clone().or_else(|| variable(AzureConfigKey::AuthorityHost));
    let endpoint = options.network.endpoint.clone().or_else(|| variable(AzureConfigKey::Endpoint));
    if let Some(authority) = authority {
        builder = builder.with_authority_host(bare(draft.url("authority_host", &authority)?));
    }
    draft.location.endpoint = match endpoint {
        Some(endpoint) => bare(draft.url("endpoint", &endpoint)?),
        None => format!("https://{account}.blob.core.windows.net"),
    };
    builder = with_credentials(builder.with_endpoint(draft.location.endpoint.clone()), options, &draft)?;
    // Blobs are listed in the order of their names; a suffix range is not among the ranges that Azure knows.
    draft.store(builder.build(), |store| Client::Cloud { store, sorted: true, suffix_ranges: false })
}

fn bare(url: url::Url) -> String {
    url.as_str().trim_end_matches('/').to_string()
}

/// The credentials that were given, and those alone; without any, the chain of the platform.
fn with_credentials(
    builder: MicrosoftAzureBuilder,
    options: &AzureOptions,
    draft: &Draft<'_>,
) -> Result<MicrosoftAzureBuilder, StoreError> {
    let AzureOptions { access_key, sas_token, client_secret, federated_token_file, .. } = options;
    let given = [access_key.is_some(), sas_token.is_some(), client_secret.is_some(), federated_token_file.is_some()];
    if given.iter().filter(|given| **given).count() > 1 {
        return Err(draft.refuse("give one of access_key, sas_token, client_secret and federated_token_file"));
    }
    if let Some(key) = access_key {
        return Ok(builder.with_access_key(key.expose()).with_credential_type("access_key"));
    }
    if let Some(sas) = sas_token {
        return Ok(builder.with_config(AzureConfigKey::SasKey, sas.expose()).with_credential_type("sas_token"));
    }
    let mut builder = builder;
    if let Some(client_id) = &options.client_id {
        builder = builder.with_client_id(client_id);
    }
    if let Some(tenant_id) = &options.tenant_id {
        builder = builder.with_tenant_id(tenant_id);
    }
    let has = |key| builder.get_config_value(&key).is_some();
    if (client_secret.is_some() || federated_token_file.is_some())
        && !(has(AzureConfigKey::ClientId) && has(AzureConfigKey::AuthorityId))
    {
        let words = "client_secret and federated_token_file need client_id and tenant_id; give both, \
                     or set AZURE_CLIENT_ID and AZURE_TENANT_ID";
        return Err(draft.refuse(words));
    }
    Ok(match (client_secret, federated_token_file) {
        (Some(secret), _) => builder.with_client_secret(secret.expose()).with_credential_type("client_secret"),
        (_, Some(file)) => builder.with_federated_token_file(file).with_credential_type("workload_identity"),
        (None, None) => builder,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Secret;

    fn options() -> AzureOptions {
        AzureOptions { account: "acme".into(), container: "lake".into(), ..AzureOptions::default() }
    }

    fn error(options: &AzureOptions) -> String {
        open(options).unwrap_err().to_string()
    }

    #[test]
    fn the_place_names_account_container_and_prefix() {
        let key = Some(Secret::new("c2VjcmV0"));
        let store = open(&AzureOptions { base_path: "/a/b/".into(), access_key: key, ..options() }).unwrap();
        assert_eq!(store.describe(), "az://acme/lake/a/b");
        assert_eq!(store.location.endpoint, "https://acme.blob.core.windows.net");
    }

    #[test]
    fn two_kinds_of_credentials_are_refused() {
        let secret = || Some(Secret::new("hunter2"));
        let both = error(&AzureOptions { access_key: secret(), sas_token: secret(), ..options() });
        assert!(both.contains("give one of") && !both.contains("hunter2"), "{both}");
    }

    #[test]
    fn a_client_secret_needs_to_know_whose_it_is() {
        let half = AzureOptions { client_secret: Some(Secret::new("hunter2")), ..options() };
        let words = error(&AzureOptions { tenant_id: Some("t".into()), ..half.clone() });
        assert!(words.contains("client_id and tenant_id") && !words.contains("hunter2"), "{words}");
        let federated = AzureOptions { federated_token_file: Some("/token".into()), ..options() };
        assert!(error(&federated).contains("client_id and tenant_id"));
        let whole = AzureOptions { tenant_id: Some("t".into()), client_id: Some("c".into()), ..half };
        assert!(open(&whole).is_ok());
    }

    #[test]
    fn a_key_that_is_no_base64_is_refused_and_not_repeated() {
        let words = error(&AzureOptions { access_key: Some(Secret::new("hunter2!")), ..options() });
        assert!(!words.contains("hunter2"), "{words}");
    }
}
