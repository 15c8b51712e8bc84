//! From options to a client: everything that can be found wrong without asking the store is found here.
//! Creates the base folder on disk; sends nothing to S3.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey, AwsCredential, Checksum, S3ConditionalPut};
use object_store::local::LocalFileSystem;
use object_store::{BackoffConfig, Certificate, ClientOptions, RetryConfig, StaticCredentialProvider};
use url::Url;

use super::error::Location;
use super::wire::Connector;
use super::{S3Options, Secret, StoreError, StoreErrorKind};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Two quick retries for connections that went stale; the patient loop is `retry`.
fn inner_retry() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(1),
            base: 2.0,
        },
        max_retries: 2,
        retry_timeout: Duration::from_secs(10),
    }
}

pub(super) fn disk(base: &Path) -> Result<(LocalFileSystem, Location), StoreError> {
    let mut location = Location {
        place: format!("file://{}", base.display()),
        endpoint: base.display().to_string(),
        on_disk: true,
        secrets: Vec::new(),
    };
    std::fs::create_dir_all(base).map_err(|e| location.classify(&opening(&location), &e))?;
    let whole = std::fs::canonicalize(base).map_err(|e| location.classify(&opening(&location), &e))?;
    location.place = format!("file://{}", whole.display());
    let store = LocalFileSystem::new_with_prefix(&whole).map_err(|e| location.classify(&opening(&location), &e))?;
    Ok((store.with_fsync(true), location))
}

pub(super) fn s3(options: &S3Options, prefix: &str) -> Result<(AmazonS3, Location), StoreError> {
    let place = match prefix {
        "" => format!("s3://{}", options.bucket),
        prefix => format!("s3://{}/{prefix}", options.bucket),
    };
    let secrets = [&options.access_key_id, &options.secret_access_key, &options.session_token];
    let mut location = Location {
        place,
        endpoint: "AWS".into(),
        on_disk: false,
        secrets: secrets.into_iter().flatten().cloned().collect(),
    };
    check_bucket(options, &location)?;

    let mut builder = AmazonS3Builder::from_env()
        .with_bucket_name(&options.bucket)
        .with_virtual_hosted_style_request(!options.path_style)
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        .with_http_connector(Connector)
        .with_retry(inner_retry())
        .with_client_options(client_options(options, &location)?);
    if let Some(region) = &options.region {
        builder = builder.with_region(region);
    }
    if let Some(credential) = static_keys(options, &location)? {
        builder = builder.with_credentials(Arc::new(StaticCredentialProvider::new(credential)));
    }
    builder = match configured_endpoint(options, &builder) {
        Some(endpoint) => {
            let endpoint = bucket_endpoint(&endpoint, options, &location)?;
            location.endpoint = endpoint.clone();
            builder.with_endpoint(&endpoint).with_config(AmazonS3ConfigKey::S3Endpoint, endpoint)
        }
        // The signature covers the body everywhere; the checksum makes AWS keep the digest with the object as well.
        // Other stores are spared a header that some refuse.
        None => builder.with_checksum_algorithm(Checksum::SHA256),
    };
    let store = builder.build().map_err(|e| location.classify(&opening(&location), &e))?;
    Ok((store, location))
}

/// Endpoint by setting, else by the variables of the AWS tools, the one for S3 alone first.
fn configured_endpoint(options: &S3Options, builder: &AmazonS3Builder) -> Option<String> {
    options
        .endpoint
        .clone()
        .or_else(|| builder.get_config_value(&AmazonS3ConfigKey::S3Endpoint))
        .or_else(|| builder.get_config_value(&AmazonS3ConfigKey::Endpoint))
}

fn opening(location: &Location) -> String {
    format!("open {}", location.place)
}

fn refuse(location: &Location, words: &str) -> StoreError {
    location.error(StoreErrorKind::Other, opening(location), words)
}

/// A bucket becomes part of a URL or a host name, where a wrong character could only fail later and less clearly.
fn check_bucket(options: &S3Options, location: &Location) -> Result<(), StoreError> {
    let bucket = &options.bucket;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if bucket.is_empty() || bucket.len() > 255 || !bucket.chars().all(plain) {
        let words = format!("bucket '{bucket}' is not a bucket name: letters, digits, '.', '-' and '_' are allowed");
        return Err(refuse(location, &words));
    }
    Ok(())
}

/// The endpoint as `object_store` wants it: without a path, and with the bucket in the host name unless path style is
/// set.
fn bucket_endpoint(endpoint: &str, options: &S3Options, location: &Location) -> Result<String, StoreError> {
    if endpoint.contains('@') {
        let words = "the endpoint contains a user or password; use the settings for keys";
        return Err(refuse(location, words));
    }
    let wrong =
        |why: &str| refuse(location, &format!("endpoint '{endpoint}' {why}; write https://host or https://host:port"));
    let mut url = Url::parse(endpoint).map_err(|e| wrong(&format!("is not a URL ({e})")))?;
    match url.scheme() {
        "https" => {}
        "http" if options.insecure_http => {}
        "http" => return Err(wrong("is not encrypted, and insecure_http is not set")),
        _ => return Err(wrong("is neither https nor http")),
    }
    let Some(host) = url.host_str().map(str::to_string) else {
        return Err(wrong("has no host"));
    };
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("has a query or a fragment"));
    }
    let bucket_host = format!("{}.", options.bucket);
    if !options.path_style && !host.starts_with(&bucket_host) {
        url.set_host(Some(&format!("{bucket_host}{host}")))
            .map_err(|_| wrong(&format!("cannot have bucket '{}' before its host; set path_style", options.bucket)))?;
    }
    Ok(url.as_str().trim_end_matches('/').to_string())
}

fn static_keys(options: &S3Options, location: &Location) -> Result<Option<AwsCredential>, StoreError> {
    match (&options.access_key_id, &options.secret_access_key) {
        (Some(key_id), Some(secret_key)) => Ok(Some(AwsCredential {
            key_id: key_id.expose().into(),
            secret_key: secret_key.expose().into(),
            token: options.session_token.as_ref().map(|t| Secret::expose(t).into()),
        })),
        (None, None) => Ok(None),
        _ => Err(refuse(location, "access key id and secret access key must be given together")),
    }
}

/// No request timeout here: it would cut large bodies short. `Store` limits each operation by its size.
fn client_options(options: &S3Options, location: &Location) -> Result<ClientOptions, StoreError> {
    let mut client = ClientOptions::new()
        .with_allow_http(options.insecure_http)
        .with_connect_timeout(CONNECT_TIMEOUT)
        .with_timeout_disabled();
    if let Some(file) = &options.ca_file {
        let wrong = |why: &str| refuse(location, &format!("ca_file {}: {why}", file.display()));
        let pem = std::fs::read(file).map_err(|e| wrong(&e.to_string()))?;
        let certificates = Certificate::from_pem_bundle(&pem).map_err(|e| wrong(&e.to_string()))?;
        if certificates.is_empty() {
            return Err(wrong("holds no PEM certificate"));
        }
        for certificate in certificates {
            client = client.with_root_certificate(certificate);
        }
    }
    Ok(client)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> S3Options {
        S3Options { bucket: "lake".into(), ..S3Options::default() }
    }

    fn location() -> Location {
        Location { place: "s3://lake".into(), endpoint: "AWS".into(), on_disk: false, secrets: vec![] }
    }

    fn endpoint(text: &str, options: &S3Options) -> Result<String, String> {
        bucket_endpoint(text, options, &location()).map_err(|e| e.to_string())
    }

    #[test]
    fn the_bucket_goes_before_the_host_unless_path_style_is_set() {
        let hosted = options();
        assert_eq!(endpoint("https://s3.example.com/", &hosted).unwrap(), "https://lake.s3.example.com");
        assert_eq!(endpoint("https://lake.s3.example.com:9000", &hosted).unwrap(), "https://lake.s3.example.com:9000");
        let path = S3Options { path_style: true, ..options() };
        assert_eq!(endpoint("https://s3.example.com:9000/", &path).unwrap(), "https://s3.example.com:9000");
    }

    #[test]
    fn an_endpoint_that_would_break_the_client_is_refused_at_once() {
        let options = S3Options { insecure_http: true, path_style: true, ..options() };
        for wrong in ["s3.example.com", "https://", "http://999.1.1.1", "https://h:99999", "https://h/?a=b", "ftp://h"]
        {
            assert!(endpoint(wrong, &options).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_address_cannot_carry_the_bucket_and_says_what_to_set() {
        let options = S3Options { insecure_http: true, ..options() };
        let error = endpoint("http://127.0.0.1:9000", &options).unwrap_err();
        assert!(error.contains("set path_style"), "{error}");
    }

    #[test]
    fn an_unencrypted_endpoint_needs_the_switch_that_says_so() {
        let error = endpoint("http://s3.example.com", &options()).unwrap_err();
        assert!(error.contains("insecure_http"), "{error}");
    }

    #[test]
    fn a_password_in_the_endpoint_is_refused_and_not_repeated() {
        let error = endpoint("https://user:hunter2@s3.example.com", &options()).unwrap_err();
        assert!(!error.contains("hunter2"), "{error}");
    }

    #[test]
    fn half_a_pair_of_keys_is_refused() {
        let half = S3Options { access_key_id: Some(Secret::new("AKIA1")), ..options() };
        assert!(static_keys(&half, &location()).is_err());
    }

    #[test]
    fn a_bucket_that_is_no_name_is_refused() {
        for bucket in ["", "a/b", "a b", "ä"] {
            let options = S3Options { bucket: bucket.into(), ..S3Options::default() };
            assert!(check_bucket(&options, &location()).is_err(), "{bucket}");
        }
    }
}
