//! S3 and stores that speak its protocol.

use std::sync::Arc;

use object_store::StaticCredentialProvider;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, AwsCredential, Checksum, S3ConditionalPut};

use super::super::wire::Connector;
use super::super::{Client, S3Options, Secret, Sse, Store, StoreError};
use super::{Draft, Place, inner_retry};

pub(super) fn open(options: &S3Options) -> Result<Store, StoreError> {
    let root = format!("s3://{}", options.bucket);
    let mut draft = Draft::new(root, Place::Bucket, &options.base_path, &options.network);
    draft.hide([&options.access_key_id, &options.secret_access_key, &options.session_token]);
    draft.check_name("bucket", &options.bucket, ".-_")?;

    let mut builder = AmazonS3Builder::from_env()
        .with_bucket_name(&options.bucket)
        .with_virtual_hosted_style_request(!options.path_style)
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        .with_http_connector(Connector)
        .with_retry(inner_retry())
        .with_client_options(draft.client_options()?);
    if let Some(region) = &options.region {
        builder = builder.with_region(region);
    }
    if let Some(credential) = static_keys(options, &draft)? {
        builder = builder.with_credentials(Arc::new(StaticCredentialProvider::new(credential)));
    }
    if let Some(sse) = &options.sse {
        builder = encrypted(builder, sse, &mut draft)?;
    }
    builder = match configured_endpoint(options, &builder) {
        Some(endpoint) => {
            let endpoint = bucket_endpoint(&endpoint, options, &draft)?;
            draft.location.endpoint = endpoint.clone();
            builder.with_endpoint(&endpoint).with_config(AmazonS3ConfigKey::S3Endpoint, endpoint)
        }
        // The signature covers the body everywhere; the checksum makes AWS keep the digest with the object as well.
        // Other stores are spared a header that some refuse.
        None => {
            draft.location.endpoint = "AWS".into();
            builder.with_checksum_algorithm(Checksum::SHA256)
        }
    };
    // Directory buckets (S3 Express) list in no order; all others in UTF-8 binary order.
    let sorted = !options.bucket.ends_with("--x-s3");
    draft.store(builder.build(), |store| Client::Cloud { store, sorted, suffix_ranges: true })
}

/// Endpoint by setting, else by the variables of the AWS tools, the one for S3 alone first.
fn configured_endpoint(options: &S3Options, builder: &AmazonS3Builder) -> Option<String> {
    let variable = |key| builder.get_config_value(&key);
    let endpoint = options.network.endpoint.clone();
    endpoint.or_else(|| variable(AmazonS3ConfigKey::S3Endpoint)).or_else(|| variable(AmazonS3ConfigKey::Endpoint))
}

/// The endpoint as `object_store` wants it: with the bucket in the host name unless path style is set.
fn bucket_endpoint(endpoint: &str, options: &S3Options, draft: &Draft<'_>) -> Result<String, StoreError> {
    let mut url = draft.url("endpoint", endpoint)?;
    let host = url.host_str().unwrap_or_default().to_string();
    let bucket_host = format!("{}.", options.bucket);
    if !options.path_style && !host.starts_with(&bucket_host) {
        url.set_host(Some(&format!("{bucket_host}{host}"))).map_err(|_| {
            let bucket = &options.bucket;
            draft
                .refuse(&format!("endpoint '{endpoint}' cannot have bucket '{bucket}' before its host; set path_style"))
        })?;
    }
    Ok(url.as_str().trim_end_matches('/').to_string())
}

fn static_keys(options: &S3Options, draft: &Draft<'_>) -> Result<Option<AwsCredential>, StoreError> {
    match (&options.access_key_id, &options.secret_access_key) {
        (Some(key_id), Some(secret_key)) => Ok(Some(AwsCredential {
            key_id: key_id.expose().into(),
            secret_key: secret_key.expose().into(),
            token: options.session_token.as_ref().map(|t| Secret::expose(t).into()),
        })),
        (None, None) => Ok(None),
        _ => Err(draft.refuse("access key id and secret access key must be given together")),
    }
}

fn encrypted(builder: AmazonS3Builder, sse: &Sse, draft: &mut Draft<'_>) -> Result<AmazonS3Builder, StoreError> {
    // The keys of encryption have names, but no type that can be used from outside their crate.
    let with = |builder: AmazonS3Builder, key: &str, value: &str| match key.parse() {
        Ok(key) => Ok(builder.with_config(key, value)),
        Err(e) => Err(draft.location.opening(&e)),
    };
    match sse {
        Sse::S3 => with(builder, "aws_server_side_encryption", "AES256"),
        Sse::Kms { key_id, double, bucket_key } => {
            let algorithm = if *double { "aws:kms:dsse" } else { "aws:kms" };
            let mut builder = with(builder, "aws_server_side_encryption", algorithm)?;
            if let Some(key_id) = key_id {
                builder = with(builder, "aws_sse_kms_key_id", key_id)?;
            }
            Ok(match bucket_key {
                Some(on) => builder.with_bucket_key(*on),
                None => builder,
            })
        }
        Sse::Customer(key) => {
            draft.hide([&Some(key.clone())]);
            Ok(builder.with_ssec_encryption(key.expose()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Network;

    fn options() -> S3Options {
        S3Options { bucket: "lake".into(), ..S3Options::default() }
    }

    fn endpoint(text: &str, options: &S3Options) -> Result<String, String> {
        let network = Network { insecure_http: true, ..Network::default() };
        let draft = Draft::new("s3://lake".into(), Place::Bucket, "", &network);
        bucket_endpoint(text, options, &draft).map_err(|e| e.to_string())
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
    fn an_address_cannot_carry_the_bucket_and_says_what_to_set() {
        let error = endpoint("http://127.0.0.1:9000", &options()).unwrap_err();
        assert!(error.contains("set path_style"), "{error}");
    }

    #[test]
    fn half_a_pair_of_keys_is_refused() {
        let half = S3Options { access_key_id: Some(Secret::new("AKIA1")), ..options() };
        let error = open(&half).unwrap_err().to_string();
        assert!(error.contains("given together"), "{error}");
    }
}
