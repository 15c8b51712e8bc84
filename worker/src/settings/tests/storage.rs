//! What is asked of the section `storage`.

use super::{LEAST, loaded, mistakes};

fn mistakes_of(storage: &str) -> Vec<String> {
    let text = LEAST.replace("storage: {backend: file, file: {base_path: ./out}}", &format!("storage: {storage}"));
    let lines = mistakes(&text, &[]).into_iter();
    lines.map(|line| line.split(" (from").next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn each_cloud_is_asked_for_its_place() {
    let mut missing = mistakes_of("{backend: azure}");
    missing.extend(mistakes_of("{backend: gcs}"));
    assert_eq!(
        missing,
        [
            "storage.azure.account: is missing; it must be the name of a storage account, since storage.backend is azure",
            "storage.azure.container: is missing; it must be the name of a container, since storage.backend is azure",
            "storage.gcs.bucket: is missing; it must be the name of a bucket, since storage.backend is gcs",
        ]
    );
    assert_eq!(
        mistakes_of("{backend: azure, azure: {account: a.b, container: 'c/d', base_path: 'x/../y', endpoint: acme}}"),
        [
            "storage.azure.account: \"a.b\" is not allowed; it must be the bare name of a storage account",
            "storage.azure.base_path: \"x/../y\" is not allowed; it must be a prefix without `.` and `..`",
            "storage.azure.container: \"c/d\" is not allowed; it must be the bare name of a container",
            "storage.azure.endpoint: \"acme\" is not allowed; it must be a URL such as https://myaccount.blob.core.windows.net",
        ]
    );
}

#[test]
fn credentials_of_azure_are_of_one_kind_and_whole() {
    let with = |keys: &str| mistakes_of(&format!("{{backend: azure, azure: {{account: a, container: c, {keys}}}}}"));
    assert_eq!(
        with("access_key: aHVudGVyMg==, sas_token: 'sv=1&sig=hunter2'"),
        ["storage.azure.sas_token: is given, and so is storage.azure.access_key; give one of them"]
    );
    assert_eq!(
        with("access_key: hunter2!"),
        ["storage.azure.access_key: *** is not allowed; it must be a key in base64, as the portal shows it"]
    );
    assert_eq!(
        with("sas_token: 'https://a.blob.core.windows.net/c?sig=hunter2'"),
        ["storage.azure.sas_token: *** is not allowed; it must be a shared access signature such as sv=...&sig=..., \
         without the URL before it"]
    );
}

/// They may be in `AZURE_CLIENT_ID` and `AZURE_TENANT_ID`, which the opening of the store reads and judges.
#[test]
fn a_secret_of_azure_may_have_its_ids_elsewhere() {
    let azure = "backend: azure, azure: {account: a, container: c, client_secret: hunter2},";
    assert!(loaded(&LEAST.replace("backend: file,", azure), &[]).storage.azure.client_id.is_none());
}

#[test]
fn an_azure_account_may_be_in_the_path_of_its_endpoint() {
    let text = |endpoint: &str| {
        let azure = format!("azure: {{account: a, container: c, endpoint: '{endpoint}', insecure_http: true}}");
        LEAST.replace("backend: file,", &format!("backend: azure, {azure},"))
    };
    for endpoint in ["http://127.0.0.1:10000/a", "https://a.example.com/", "https://azurite:10000/a/"] {
        assert_eq!(loaded(&text(endpoint), &[]).warnings().len(), 1, "{endpoint}");
    }
    for endpoint in ["http://h/a/b", "https:///a", "https://h?a=b"] {
        assert_eq!(mistakes(&text(endpoint), &[]).len(), 1, "{endpoint}");
    }
}

#[test]
fn encryption_takes_the_key_of_its_kind_and_no_other() {
    let with = |sse: &str| mistakes_of(&format!("{{backend: s3, s3: {{bucket: b, sse: {{{sse}}}}}}}"));
    let absent = "absent unless storage.s3.sse.type is";
    assert_eq!(
        with("type: s3, kms_key_id: arn, bucket_key: true, customer_key: hunter2"),
        [
            format!("storage.s3.sse.bucket_key: true is not allowed; it must be {absent} kms"),
            format!("storage.s3.sse.customer_key: *** is not allowed; it must be {absent} customer"),
            format!("storage.s3.sse.kms_key_id: \"arn\" is not allowed; it must be {absent} kms or kms_dsse"),
        ]
    );
    let bytes = "32 bytes in base64";
    assert_eq!(
        with("type: customer"),
        [format!("storage.s3.sse.customer_key: is missing; it must be {bytes}, since storage.s3.sse.type is customer")]
    );
    assert_eq!(
        with("type: customer, customer_key: aHVudGVyMg=="),
        [format!("storage.s3.sse.customer_key: *** is not allowed; it must be {bytes}")]
    );
    assert_eq!(
        with("type: aes256"),
        ["storage.s3.sse.type: \"aes256\" is not allowed; it must be one of none, s3, kms, kms_dsse, customer"]
    );
}

#[test]
fn a_key_file_that_cannot_be_read_is_one_mistake() {
    let customer = "sse: {type: customer, customer_key_file: /nowhere/key}";
    let lines = mistakes_of(&format!("{{backend: s3, s3: {{bucket: b, {customer}}}}}"));
    assert!(lines.len() == 1 && lines[0].starts_with("storage.s3.sse.customer_key_file: cannot read"), "{lines:?}");
}

#[test]
fn waiting_for_a_cloud_has_bounds() {
    assert_eq!(
        mistakes_of("{backend: gcs, gcs: {bucket: b}, timeouts: {connect: 1ms, request: 2h}}"),
        [
            "storage.timeouts.connect: 1ms is not allowed; it must be 100ms to 10m",
            "storage.timeouts.request: 2h is not allowed; it must be 1s to 1h",
        ]
    );
}

#[test]
fn only_names_of_extension_attributes_are_columns_and_each_once() {
    let of = |names: &str| mistakes(LEAST, &[("EVENTSINK__STORAGE__COLUMNS", names)]);
    for name in ["Tenant", "tenant-id", "a_b", "ü", "1st", "id", "specversion", "data", "extensions", "dt", "pid"] {
        let line = format!(
            "storage.columns: {name:?} is not allowed; it must be names of extension attributes: a-z and 0-9 with a \
             letter first, no attribute or column that every file has, not dt or pid (from variable \
             EVENTSINK__STORAGE__COLUMNS)"
        );
        assert_eq!(of(&format!("tenant, {name}")), [line]);
    }
    assert!(of("tenant, region, tenant")[0].contains("\"tenant\" twice"));
    let names = |count: u32| (0..count).map(|n| format!("a{n}")).collect::<Vec<_>>().join(",");
    assert!(of(&names(33))[0].contains("33 names"));
    assert_eq!(loaded(LEAST, &[("EVENTSINK__STORAGE__COLUMNS", &names(32))]).storage.columns.len(), 32);
}

#[test]
fn an_endpoint_without_encryption_must_be_asked_for() {
    let text = LEAST.replace("backend: file", "backend: s3, s3: {bucket: b, endpoint: 'http://minio:9000'}");
    assert_eq!(mistakes(&text, &[]).len(), 1);
    let settings = loaded(&text, &[("EVENTSINK__STORAGE__S3__INSECURE_HTTP", "true")]);
    assert_eq!(settings.warnings().len(), 1);
}
