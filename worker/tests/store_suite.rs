//! One suite for every kind of store: a temporary folder always, and each cloud that variables name: a bucket
//! (`EVENTSINK_TEST_S3_BUCKET`, `_GCS_BUCKET`, `_AZURE_ACCOUNT` with `_CONTAINER`), and for a test server its endpoint
//! and keys (`make test` starts all three). Without keys the platform's own are used. Asserts what the ledger builds
//! on, through the public API.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use eventsink_crds::settings::Settings;
use eventsink_worker::runtime::mapping;
use eventsink_worker::store::{
    AzureOptions, Backend, Backoff, Gate, GcsOptions, Guarantee, Listed, Network, Put, S3Options, Secret, Store,
    StoreErrorKind, StoreOptions, Tail, retry,
};
use futures::{StreamExt, TryStreamExt};
use tempfile::TempDir;

const BODY: Bytes = Bytes::from_static(b"0123456789");

fn folder() -> (TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let base_path = folder.path().join("base");
    let store = Store::open(&StoreOptions { backend: Backend::File { base_path } }).unwrap();
    (folder, store)
}

/// A variable of the cloud, such as `EVENTSINK_TEST_S3_BUCKET`.
fn variable(cloud: &str, name: &str) -> Option<String> {
    std::env::var(format!("EVENTSINK_TEST_{cloud}_{name}")).ok()
}

fn secret(cloud: &str, name: &str) -> Option<Secret> {
    variable(cloud, name).map(Secret::new)
}

fn network(cloud: &str) -> Network {
    let endpoint = variable(cloud, "ENDPOINT");
    let insecure_http = endpoint.as_ref().is_some_and(|endpoint| endpoint.starts_with("http://"));
    Network { endpoint, insecure_http, ..Network::default() }
}

/// Its own for every run of every case.
fn base_path(case: &str) -> String {
    let run = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos();
    format!("/suite/{run}/{case}/")
}

fn s3_options(case: &str) -> Option<S3Options> {
    let network = network("S3");
    Some(S3Options {
        bucket: variable("S3", "BUCKET")?,
        base_path: base_path(case),
        region: variable("S3", "REGION"),
        path_style: network.endpoint.is_some(),
        access_key_id: secret("S3", "KEY"),
        secret_access_key: secret("S3", "SECRET"),
        network,
        ..S3Options::default()
    })
}

fn azure_options(case: &str) -> Option<AzureOptions> {
    Some(AzureOptions {
        account: variable("AZURE", "ACCOUNT")?,
        container: variable("AZURE", "CONTAINER")?,
        base_path: base_path(case),
        access_key: secret("AZURE", "KEY"),
        network: network("AZURE"),
        ..AzureOptions::default()
    })
}

fn gcs_options(case: &str) -> Option<GcsOptions> {
    Some(GcsOptions {
        bucket: variable("GCS", "BUCKET")?,
        base_path: base_path(case),
        service_account_file: variable("GCS", "KEY_FILE").map(Into::into),
        network: network("GCS"),
    })
}

fn open(backend: Backend) -> Store {
    Store::open(&StoreOptions { backend }).unwrap()
}

fn s3(case: &str) -> Option<Store> {
    s3_options(case).map(|options| open(Backend::S3(Box::new(options))))
}

fn azure(case: &str) -> Option<Store> {
    azure_options(case).map(|options| open(Backend::Azure(Box::new(options))))
}

fn gcs(case: &str) -> Option<Store> {
    gcs_options(case).map(|options| open(Backend::Gcs(Box::new(options))))
}

/// Written past the test harness, which would swallow it: a case that did not run must not look like one that passed.
fn say_not_run(cloud: &str, case: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "NOT RUN on {cloud}, EVENTSINK_TEST_{cloud}_* name no bucket: {case}");
}

macro_rules! on_every_store {
    ($($case:ident),* $(,)?) => {
        mod disk {
            $(#[tokio::test]
            async fn $case() {
                let (_folder, store) = super::folder();
                super::$case(store).await;
            })*
        }
        mod s3 {
            $(#[tokio::test]
            async fn $case() {
                match super::s3(stringify!($case)) {
                    Some(store) => super::$case(store).await,
                    None => super::say_not_run("S3", stringify!($case)),
                }
            })*
        }
        mod azure {
            $(#[tokio::test]
            async fn $case() {
                match super::azure(stringify!($case)) {
                    Some(store) => super::$case(store).await,
                    None => super::say_not_run("AZURE", stringify!($case)),
                }
            })*
        }
        mod gcs {
            $(#[tokio::test]
            async fn $case() {
                match super::gcs(stringify!($case)) {
                    Some(store) => super::$case(store).await,
                    None => super::say_not_run("GCS", stringify!($case)),
                }
            })*
        }
    };
}

on_every_store!(
    a_created_object_is_there_whole,
    a_second_create_changes_nothing,
    of_racing_creators_one_wins_and_its_content_is_whole,
    what_is_absent_is_none_and_not_an_error,
    a_tail_tells_the_size_of_the_whole,
    a_head_tells_the_size_of_the_whole,
    an_empty_object_has_an_empty_tail,
    a_listing_beyond_one_page_is_complete_and_sorted,
    the_first_key_is_the_least_below_the_folder,
    a_folder_whose_name_begins_alike_is_not_listed,
    keys_arrive_and_return_verbatim,
    a_key_that_would_leave_the_folder_is_refused,
    the_probe_finds_create_only,
    a_large_body_survives_the_way_there_and_back,
    a_retried_create_can_run_in_a_task_of_its_own,
);

async fn a_created_object_is_there_whole(store: Store) {
    assert_eq!(store.create("a/b.parquet", BODY).await.unwrap(), Put::Created);
    assert_eq!(store.get("a/b.parquet").await.unwrap(), Some(BODY));
    assert_eq!(store.size("a/b.parquet").await.unwrap(), Some(10));
}

async fn a_second_create_changes_nothing(store: Store) {
    store.create("k", BODY).await.unwrap();
    let other = Bytes::from_static(b"other");
    assert_eq!(store.create("k", other).await.unwrap(), Put::Exists);
    assert_eq!(store.get("k").await.unwrap(), Some(BODY));
}

async fn of_racing_creators_one_wins_and_its_content_is_whole(store: Store) {
    let rivals = (0..8_u8).map(|n| {
        let store = store.clone();
        tokio::spawn(async move {
            let body = Bytes::from(vec![n; 1 << 20]);
            // A store may answer "conflict", or "too many" on one key, while the race is open; the worker then tries
            // again, and so do we.
            loop {
                match store.create("race/k", body.clone()).await {
                    Ok(Put::Created) => return Some(n),
                    Ok(Put::Exists) => return None,
                    Err(e) => {
                        let passing = [StoreErrorKind::Conflict, StoreErrorKind::Throttled];
                        assert!(passing.contains(&e.kind()), "{e}");
                    }
                }
            }
        })
    });
    let outcomes: Vec<Option<u8>> = futures::future::join_all(rivals).await.into_iter().map(Result::unwrap).collect();
    let winners: Vec<u8> = outcomes.into_iter().flatten().collect();
    assert_eq!(winners.len(), 1, "winners: {winners:?}");
    let found = store.get("race/k").await.unwrap().unwrap();
    assert!(found == vec![winners[0]; 1 << 20], "the object is not what the winner wrote");
}

async fn what_is_absent_is_none_and_not_an_error(store: Store) {
    assert_eq!(store.get("no/k").await.unwrap(), None);
    assert_eq!(store.size("no/k").await.unwrap(), None);
    assert_eq!(store.tail("no/k", 4).await.unwrap(), None);
    assert_eq!(store.tail("no/k", 0).await.unwrap(), None);
    assert_eq!(store.head("no/k", 4).await.unwrap(), None);
    assert_eq!(store.first("no").await.unwrap(), None);
    assert_eq!(store.list("no").await.unwrap(), []);
    assert_eq!(store.list("").await.unwrap(), []);
}

async fn a_tail_tells_the_size_of_the_whole(store: Store) {
    store.create("k", BODY).await.unwrap();
    for (len, end) in [(4, "6789"), (10, "0123456789"), (11, "0123456789"), (0, "")] {
        let expected = Tail { bytes: Bytes::from_static(end.as_bytes()), size: 10 };
        assert_eq!(store.tail("k", len).await.unwrap(), Some(expected), "last {len} bytes");
    }
}

async fn a_head_tells_the_size_of_the_whole(store: Store) {
    store.create("k", BODY).await.unwrap();
    for (len, beginning) in [(4, "0123"), (10, "0123456789"), (11, "0123456789"), (0, "")] {
        let expected = Tail { bytes: Bytes::from_static(beginning.as_bytes()), size: 10 };
        assert_eq!(store.head("k", len).await.unwrap(), Some(expected), "first {len} bytes");
    }
}

async fn an_empty_object_has_an_empty_tail(store: Store) {
    assert_eq!(store.create("k", Bytes::new()).await.unwrap(), Put::Created);
    assert_eq!(store.get("k").await.unwrap(), Some(Bytes::new()));
    let expected = Tail { bytes: Bytes::new(), size: 0 };
    assert_eq!(store.tail("k", 4).await.unwrap(), Some(expected.clone()));
    assert_eq!(store.head("k", 4).await.unwrap(), Some(expected));
}

async fn a_listing_beyond_one_page_is_complete_and_sorted(store: Store) {
    let key = |n: u32| format!("many/{}/{:05}.json", n % 3, 99_999 - n);
    futures::stream::iter((0..1050).map(|n| store_one(&store, key(n))))
        .buffer_unordered(16)
        .try_collect::<Vec<_>>()
        .await
        .unwrap();
    let mut expected: Vec<String> = (0..1050).map(key).collect();
    expected.sort();
    let listed: Vec<String> = store.list("many").await.unwrap().into_iter().map(|l| l.key).collect();
    assert_eq!(listed, expected);
}

async fn store_one(store: &Store, key: String) -> Result<Put, eventsink_worker::store::StoreError> {
    store.create(&key, BODY).await
}

async fn the_first_key_is_the_least_below_the_folder(store: Store) {
    // Byte order differs from the order of walking folders: '-' is less than '/'.
    for key in ["z/cuts/b.json", "z/cuts/a/c.json", "z/cuts/a-b.json", "z/a.json", "0.json"] {
        store.create(key, BODY).await.unwrap();
    }
    assert_eq!(store.first("z/cuts").await.unwrap().as_deref(), Some("z/cuts/a-b.json"));
    assert_eq!(store.first("").await.unwrap().as_deref(), Some("0.json"));
}

async fn a_folder_whose_name_begins_alike_is_not_listed(store: Store) {
    store.create("t/1/k", BODY).await.unwrap();
    store.create("t/10/k", BODY).await.unwrap();
    let expected = [Listed { key: "t/1/k".into(), size: 10 }];
    assert_eq!(store.list("t/1").await.unwrap(), expected);
}

async fn keys_arrive_and_return_verbatim(store: Store) {
    let mut keys = [
        "t/v1/dt=2025-12-21/pid=0/20251221_100000_offset12345_count1000.parquet",
        "odd/a%2Fb.parquet",
        "odd/%41",
        "odd/a%252Fb",
        "odd/100%",
        "odd/a b+c&d=e==",
        "odd/(q)'!*~@$,;:",
        "odd/<x>[y]{z}^`|\"",
        "odd/back\\slash?q#frag",
        "odd/ü-漢字-🦀",
        "odd/%2E%2E/k",
    ];
    keys.sort_unstable();
    // Azure makes a slash of it.
    let keys: Vec<&str> =
        keys.into_iter().filter(|key| !store.describe().starts_with("az://") || !key.contains('\\')).collect();
    for &key in &keys {
        assert_eq!(store.create(key, BODY).await.unwrap(), Put::Created, "{key}");
        assert_eq!(store.get(key).await.unwrap(), Some(BODY), "{key}");
    }
    let listed: Vec<String> = store.list("").await.unwrap().into_iter().map(|l| l.key).collect();
    assert_eq!(listed, keys);
}

async fn a_key_that_would_leave_the_folder_is_refused(store: Store) {
    for key in ["../k", "a/../../k", "/k", "a//k", "a/", "a/./k", "a\nb"] {
        let error = store.create(key, BODY).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Other, "{key}: {error}");
    }
    assert_eq!(store.list("").await.unwrap(), []);
}

async fn the_probe_finds_create_only(store: Store) {
    assert_eq!(store.probe("p1").await.unwrap(), Guarantee::CreateOnly);
    assert_eq!(store.probe("p1").await.unwrap(), Guarantee::CreateOnly, "with a used token");
}

async fn a_large_body_survives_the_way_there_and_back(store: Store) {
    let body: Bytes = (0..40_000_000_u32).map(|n| (n / 251) as u8).collect::<Vec<u8>>().into();
    assert_eq!(store.create("large", body.clone()).await.unwrap(), Put::Created);
    assert!(store.get("large").await.unwrap() == Some(body), "the object differs");
}

async fn a_retried_create_can_run_in_a_task_of_its_own(store: Store) {
    let none = Backoff { initial: Duration::ZERO, max: Duration::ZERO };
    let gate = Gate::new(mapping::breaker(&Settings::default()));
    let task = tokio::spawn(async move {
        let key = String::from("k");
        retry(&gate, none, "put k", || store.create(&key, BODY), |_| {}).await
    });
    assert_eq!(task.await.unwrap(), Put::Created);
}

/// What only a folder can get wrong.
mod folder_faults {
    use super::*;

    #[tokio::test]
    async fn a_key_is_the_path_of_its_file() {
        let (folder, store) = folder();
        store.create("t/dt=2025-12-21/a%2Fb.parquet", BODY).await.unwrap();
        let file = folder.path().join("base/t/dt=2025-12-21/a%2Fb.parquet");
        assert_eq!(std::fs::read(file).unwrap(), BODY);
    }

    #[tokio::test]
    async fn what_a_killed_worker_left_half_written_is_no_object() {
        let (folder, store) = folder();
        let cuts = folder.path().join("base/cuts");
        std::fs::create_dir_all(&cuts).unwrap();
        std::fs::write(cuts.join("a.json#1"), "{half").unwrap();
        assert_eq!(store.first("cuts").await.unwrap(), None);
        assert_eq!(store.list("").await.unwrap(), []);
        assert_eq!(store.size("cuts/a.json").await.unwrap(), None);
    }

    #[tokio::test]
    async fn what_a_killed_worker_left_half_written_is_in_nobodys_way() {
        let (folder, store) = folder();
        std::fs::write(folder.path().join("base/a.json#1"), "{half").unwrap();
        assert_eq!(store.create("a.json", BODY).await.unwrap(), Put::Created);
        assert_eq!(store.get("a.json").await.unwrap(), Some(BODY));
    }

    #[tokio::test]
    async fn a_base_folder_that_vanished_is_not_created_again() {
        let (folder, store) = folder();
        std::fs::remove_dir(folder.path().join("base")).unwrap();
        assert_eq!(store.create("k", BODY).await.unwrap_err().kind(), StoreErrorKind::NoBucket);
        assert_eq!(store.first("cuts").await.unwrap_err().kind(), StoreErrorKind::NoBucket);
        assert!(!folder.path().join("base").exists());
    }

    #[tokio::test]
    async fn a_base_path_below_a_file_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let backend = Backend::File { base_path: file.join("base") };
        let error = Store::open(&StoreOptions { backend }).unwrap_err().to_string();
        assert!(error.contains("file/base") && error.contains("Not a directory"), "{error}");
    }

    /// Nobody may create folders in sysfs, not even root.
    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_folder_nobody_may_write_is_denied() {
        let backend = Backend::File { base_path: "/sys/eventsink".into() };
        let error = Store::open(&StoreOptions { backend }).unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Denied, "{error}");
    }

    #[tokio::test]
    async fn a_folder_says_where_it_is() {
        let (folder, store) = folder();
        let whole = folder.path().canonicalize().unwrap();
        assert_eq!(store.describe(), format!("file://{}/base", whole.display()));
    }
}

/// What only a cloud can get wrong.
mod cloud_faults {
    use super::*;

    async fn kinds(store: &Store) -> [Option<StoreErrorKind>; 6] {
        [
            store.create("k", BODY).await.err(),
            store.get("k").await.err(),
            store.tail("k", 1).await.err(),
            store.size("k").await.err(),
            store.first("p").await.err(),
            store.list("p").await.err(),
        ]
        .map(|e| e.map(|e| e.kind()))
    }

    async fn denied(store: Store, secrets: &[&str]) {
        assert_eq!(kinds(&store).await, [Some(StoreErrorKind::Denied); 6]);
        let error = store.create("k", BODY).await.unwrap_err();
        let text = format!("{error} {error:?} {store:?}");
        for secret in secrets {
            assert!(!text.contains(secret), "{secret} is in {text}");
        }
    }

    #[tokio::test]
    async fn a_wrong_secret_of_s3_is_denied_and_not_repeated() {
        let Some(options) = s3_options("denied") else {
            return;
        };
        let key = options.access_key_id.clone().unwrap_or_else(|| Secret::new("canary-key"));
        let store = open(Backend::S3(Box::new(S3Options {
            access_key_id: Some(key.clone()),
            secret_access_key: Some(Secret::new("canary-secret")),
            ..options
        })));
        let error = store.create("k", BODY).await.unwrap_err();
        assert!(!error.to_string().split_whitespace().any(|w| w == key.expose()), "{error}");
        denied(store, &["canary-secret", "Signature="]).await;
    }

    #[tokio::test]
    async fn a_wrong_key_of_azure_is_denied_and_not_repeated() {
        let Some(options) = azure_options("denied") else {
            return;
        };
        let key = Some(Secret::new("Y2FuYXJ5"));
        let store = open(Backend::Azure(Box::new(AzureOptions { access_key: key, ..options })));
        denied(store, &["Y2FuYXJ5", "canary", "SharedKey"]).await;
    }

    #[tokio::test]
    async fn a_token_of_azure_that_was_signed_by_others_is_denied_and_not_repeated() {
        let (Some(options), Some(token)) = (azure_options("token"), variable("AZURE", "SAS")) else {
            return;
        };
        let with = |token: &str| {
            let sas_token = Some(Secret::new(token));
            open(Backend::Azure(Box::new(AzureOptions { access_key: None, sas_token, ..options.clone() })))
        };
        assert_eq!(with(&token).probe("token").await.unwrap(), Guarantee::CreateOnly);
        let (fields, _) = token.split_once("sig=").unwrap();
        denied(with(&format!("{fields}sig=Y2FuYXJ5")), &["Y2FuYXJ5", "sig="]).await;
    }

    async fn has_no_bucket(store: Store, place: &str) {
        assert_eq!(kinds(&store).await, [Some(StoreErrorKind::NoBucket); 6]);
        let error = store.create("k", BODY).await.unwrap_err().to_string();
        assert!(error.contains(place), "{error}");
    }

    #[tokio::test]
    async fn a_missing_bucket_is_named_and_never_looks_like_a_missing_key() {
        let missing = "no-such-bucket-of-eventsink";
        if let Some(options) = s3_options("bucket") {
            let store = open(Backend::S3(Box::new(S3Options { bucket: missing.into(), ..options })));
            has_no_bucket(store, &format!("s3://{missing}")).await;
        }
        if let Some(options) = azure_options("bucket") {
            let place = format!("az://{}/{missing}", options.account);
            let store = open(Backend::Azure(Box::new(AzureOptions { container: missing.into(), ..options })));
            has_no_bucket(store, &place).await;
        }
        if let Some(options) = gcs_options("bucket") {
            let store = open(Backend::Gcs(Box::new(GcsOptions { bucket: missing.into(), ..options })));
            has_no_bucket(store, &format!("gs://{missing}")).await;
        }
    }

    #[tokio::test]
    async fn a_port_nobody_listens_on_is_unreachable_and_named() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let endpoint = Some(format!("http://{address}"));
        let network = Network { endpoint, insecure_http: true, ..Network::default() };
        let s3 = S3Options {
            bucket: "lake".into(),
            path_style: true,
            access_key_id: Some(Secret::new("id")),
            secret_access_key: Some(Secret::new("secret")),
            network: network.clone(),
            ..S3Options::default()
        };
        let azure = AzureOptions {
            account: "a".into(),
            container: "lake".into(),
            access_key: Some(Secret::new("c2VjcmV0")),
            network,
            ..AzureOptions::default()
        };
        for backend in [Backend::S3(Box::new(s3)), Backend::Azure(Box::new(azure))] {
            let error = open(backend).create("k", BODY).await.unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Unreachable);
            assert!(error.to_string().contains(&address.to_string()), "{error}");
        }
    }
}
