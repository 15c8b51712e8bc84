//! What each cloud, its login and a proxy say, as their documentation has it, and what the worker makes of it. The
//! server is a stand-in that answers as a test tells it and remembers what it was asked.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use eventsink_worker::store::{
    AzureOptions, Backend, GcsOptions, Network, Put, S3Options, Secret, Sse, Store, StoreErrorKind, StoreOptions,
};
use tempfile::TempDir;

const BODY: Bytes = Bytes::from_static(b"0123456789");

/// One request as it arrived.
#[derive(Debug, Clone)]
struct Asked {
    /// Method and URI.
    line: String,
    headers: HeaderMap,
    body: String,
}

impl Asked {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

type Answer = Box<dyn Fn(&Asked) -> Response + Send + Sync>;

struct Server {
    answer: Answer,
    asked: Mutex<Vec<Asked>>,
    url: String,
}

impl Server {
    async fn start(answer: impl Fn(&Asked) -> Response + Send + Sync + 'static) -> Arc<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = Arc::new(Self { answer: Box::new(answer), asked: Mutex::default(), url });
        let app = axum::Router::new().fallback(hear).with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        server
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    fn network(&self) -> Network {
        Network { endpoint: Some(self.url.clone()), insecure_http: true, ..Network::default() }
    }

    fn azure(&self) -> AzureOptions {
        AzureOptions {
            account: "acme".into(),
            container: "lake".into(),
            access_key: Some(Secret::new("c2VjcmV0")),
            network: self.network(),
            ..AzureOptions::default()
        }
    }

    fn s3(&self) -> S3Options {
        S3Options {
            bucket: "lake".into(),
            path_style: true,
            access_key_id: Some(Secret::new("id")),
            secret_access_key: Some(Secret::new("secret")),
            network: self.network(),
            ..S3Options::default()
        }
    }

    /// With a key file that asks for no token.
    fn gcs(&self) -> (TempDir, Store) {
        let (folder, file) = file(
            r#"{"type": "service_account", "disable_oauth": true, "private_key": "", "private_key_id": "",
                "client_email": ""}"#,
        );
        let options = GcsOptions {
            bucket: "lake".into(),
            service_account_file: Some(file),
            network: self.network(),
            ..GcsOptions::default()
        };
        (folder, open(Backend::Gcs(Box::new(options))))
    }
}

async fn hear(State(server): State<Arc<Server>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = String::from_utf8_lossy(&to_bytes(body, usize::MAX).await.unwrap()).into_owned();
    let asked = Asked { line: format!("{} {}", parts.method, parts.uri), headers: parts.headers, body };
    server.asked.lock().unwrap().push(asked.clone());
    (server.answer)(&asked)
}

fn file(text: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    std::fs::write(&path, text).unwrap();
    (folder, path)
}

fn open(backend: Backend) -> Store {
    Store::open(&StoreOptions { backend }).unwrap()
}

fn azure(options: AzureOptions) -> Store {
    open(Backend::Azure(Box::new(options)))
}

fn status(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap()
}

/// A refusal of Azure Blob; an answer to HEAD has the code in its header alone.
fn azure_fault(code: u16, name: &'static str) -> Response {
    let body = format!(
        "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>{name}</Code><Message>words about {name}\n\
         RequestId:1</Message><AuthenticationErrorDetail>signature canary</AuthenticationErrorDetail></Error>"
    );
    (status(code), [("x-ms-error-code", name)], body).into_response()
}

fn google_fault(code: u16, name: &str, details: &str) -> Response {
    let body =
        format!("<Error><Code>{name}</Code><Message>words about {name}</Message><Details>{details}</Details></Error>");
    (status(code), body).into_response()
}

fn object() -> Response {
    [("etag", "\"e\""), ("last-modified", "Wed, 21 Oct 2015 07:28:00 GMT")].into_response()
}

#[tokio::test]
async fn each_refusal_of_azure_is_of_its_kind_with_azures_words() {
    use StoreErrorKind::*;
    for (code, name, kind) in [
        (403, "AuthenticationFailed", Denied),
        (403, "AuthorizationPermissionMismatch", Denied),
        (401, "NoAuthenticationInformation", Denied),
        (404, "ContainerNotFound", NoBucket),
        (409, "ContainerBeingDeleted", NoBucket),
        (503, "ServerBusy", Throttled),
        (500, "OperationTimedOut", Timeout),
        (500, "InternalError", Unreachable),
    ] {
        let server = Server::start(move |_| azure_fault(code, name)).await;
        let store = azure(server.azure());
        for error in [
            store.create("k", BODY).await.unwrap_err(),
            store.get("k").await.unwrap_err(),
            store.list("p").await.unwrap_err(),
        ] {
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.to_string().contains(&format!("{code} {name}: words about {name} RequestId:1")), "{error}");
            assert!(!error.to_string().contains("canary"), "{error}");
        }
        assert_eq!(store.size("k").await.unwrap_err().kind(), kind, "by the header alone");
    }
}

#[tokio::test]
async fn each_refusal_of_google_is_of_its_kind_with_googles_words() {
    use StoreErrorKind::*;
    const JSON: &str = r#"{"error": {"code": 401, "message": "words about it", "errors": [{"reason": "authError"}]}}"#;
    let may_not = "a@b does not have storage.objects.create access.";
    type Fault = fn() -> Response;
    let table: [(Fault, _, _); 5] = [
        (|| google_fault(403, "AccessDenied", "a@b does not have storage.objects.create access."), Denied, may_not),
        (|| google_fault(404, "NoSuchBucket", ""), NoBucket, "404 NoSuchBucket: words"),
        (|| google_fault(429, "SlowDown", ""), Throttled, "429 SlowDown"),
        (|| google_fault(503, "ServiceUnavailable", ""), Throttled, "503 ServiceUnavailable"),
        (|| (status(401), JSON).into_response(), Denied, "401 authError: words about it"),
    ];
    for (fault, kind, words) in table {
        let server = Server::start(move |_| fault()).await;
        let (_folder, store) = server.gcs();
        for error in [
            store.create("k", BODY).await.unwrap_err(),
            store.get("k").await.unwrap_err(),
            store.first("p").await.unwrap_err(),
        ] {
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.to_string().contains(words), "{error}");
        }
    }
}

#[tokio::test]
async fn a_cloud_that_asks_for_time_is_asked_once_and_its_wish_is_passed_on() {
    let busy = |_: &Asked| (status(503), [("retry-after", "7")], "").into_response();
    let server = Server::start(busy).await;
    let (_folder, google) = server.gcs();
    for store in [azure(server.azure()), google] {
        let before = server.asked().len();
        let error = store.create("k", BODY).await.unwrap_err();
        assert_eq!((error.kind(), error.retry_after()), (StoreErrorKind::Throttled, Some(Duration::from_secs(7))));
        assert_eq!(server.asked().len(), before + 1);
    }
}

/// What the clouds answer to a put on a key that is taken, also to those who may create and not overwrite.
#[tokio::test]
async fn a_put_that_came_second_means_exists_when_something_is_there_and_conflict_when_not() {
    type Fault = fn() -> Response;
    let on_azure: [Fault; 3] = [
        || azure_fault(409, "BlobAlreadyExists"),
        || azure_fault(412, "ConditionNotMet"),
        || azure_fault(403, "UnauthorizedBlobOverwrite"),
    ];
    let on_google: [Fault; 2] = [
        || google_fault(412, "PreconditionFailed", ""),
        || google_fault(403, "AccessDenied", "a@b does not have storage.objects.delete access."),
    ];
    for there in [true, false] {
        let after = move |fault: Fault| {
            move |asked: &Asked| match (asked.line.starts_with("PUT"), there) {
                (true, _) => fault(),
                (false, true) => object(),
                (false, false) => azure_fault(404, "BlobNotFound"),
            }
        };
        let check = |put: Result<Put, eventsink_worker::store::StoreError>| match there {
            true => assert_eq!(put.unwrap(), Put::Exists),
            false => assert_eq!(put.unwrap_err().kind(), StoreErrorKind::Conflict),
        };
        for fault in on_azure {
            let server = Server::start(after(fault)).await;
            check(azure(server.azure()).create("k", BODY).await);
            assert_eq!(server.asked()[0].header("if-none-match"), Some("*"));
        }
        for fault in on_google {
            let server = Server::start(after(fault)).await;
            let (_folder, store) = server.gcs();
            check(store.create("k", BODY).await);
            assert_eq!(server.asked()[0].header("x-goog-if-generation-match"), Some("0"));
        }
    }
}

#[tokio::test]
async fn a_token_in_the_query_reaches_azure_and_no_message() {
    let echo = |asked: &Asked| (status(400), format!("cannot read {}", asked.line)).into_response();
    let server = Server::start(echo).await;
    let sas_token = Some(Secret::new("?sv=2018-11-09&sp=rcl&sig=Y2FuYXJ5"));
    let store = azure(AzureOptions { access_key: None, sas_token, ..server.azure() });
    let error = store.create("k", BODY).await.unwrap_err();
    let text = format!("{error} {error:?} {store:?}");
    assert!(!text.contains("Y2FuYXJ5"), "{text}");
    assert!(server.asked()[0].line.contains("sig=Y2FuYXJ5"));
}

/// Options of an application that logs in at the stand-in.
fn application(server: &Server) -> AzureOptions {
    AzureOptions {
        access_key: None,
        client_id: Some("app".into()),
        tenant_id: Some("tenant".into()),
        authority_host: Some(server.url.clone()),
        ..server.azure()
    }
}

fn token_then_object(asked: &Asked) -> Response {
    match asked.line.starts_with("POST") {
        true => r#"{"access_token": "token-of-the-app", "expires_in": 3600}"#.into_response(),
        false => object(),
    }
}

#[tokio::test]
async fn an_application_logs_in_with_its_secret_at_the_authority_that_was_given() {
    let server = Server::start(token_then_object).await;
    let store = azure(AzureOptions { client_secret: Some(Secret::new("hunter2")), ..application(&server) });
    assert_eq!(store.create("k", BODY).await.unwrap(), Put::Created);
    let asked = server.asked();
    assert_eq!(asked[0].line, "POST /tenant/oauth2/v2.0/token");
    assert!(asked[0].body.contains("client_id=app&client_secret=hunter2"), "{}", asked[0].body);
    assert_eq!(asked[1].header("authorization"), Some("Bearer token-of-the-app"));
}

#[tokio::test]
async fn a_workload_identity_shows_the_token_in_its_file() {
    let server = Server::start(token_then_object).await;
    let (_folder, file) = file("projected");
    let federated_token_file = Some(file.display().to_string());
    let store = azure(AzureOptions { federated_token_file, ..application(&server) });
    assert_eq!(store.create("k", BODY).await.unwrap(), Put::Created);
    assert!(server.asked()[0].body.contains("client_assertion=projected"));
}

#[tokio::test]
async fn a_login_that_is_refused_is_denied_in_the_words_of_the_authority_and_without_the_secret() {
    let refuse = |_: &Asked| {
        let body = r#"{"error": "invalid_client", "error_description": "AADSTS7000215: Invalid secret hunter2."}"#;
        (status(401), body).into_response()
    };
    let server = Server::start(refuse).await;
    let store = azure(AzureOptions { client_secret: Some(Secret::new("hunter2")), ..application(&server) });
    let error = store.create("k", BODY).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Denied);
    assert!(error.to_string().contains("401 invalid_client: AADSTS7000215: Invalid secret ***."), "{error}");
    assert_eq!(server.asked().len(), 1, "a refused login is not tried again at once");
}

#[tokio::test]
async fn an_authority_that_has_no_such_tenant_is_not_a_missing_key() {
    let server = Server::start(|_| (status(404), r#"{"error": "invalid_tenant"}"#).into_response()).await;
    let store = azure(AzureOptions { client_secret: Some(Secret::new("hunter2")), ..application(&server) });
    let error = store.get("k").await.unwrap_err();
    assert!(error.to_string().contains("404 invalid_tenant"), "{error}");
}

/// The headers of encryption on put, get and head.
async fn encryption_headers(sse: Sse) -> [Vec<String>; 3] {
    let server = Server::start(|_| object()).await;
    let store = open(Backend::S3(Box::new(S3Options { sse: Some(sse), ..server.s3() })));
    store.create("k", BODY).await.unwrap();
    store.get("k").await.unwrap();
    store.size("k").await.unwrap();
    let asked = server.asked();
    ["PUT", "GET", "HEAD"].map(|method| {
        let asked = asked.iter().find(|asked| asked.line.starts_with(method)).unwrap();
        let prefix = "x-amz-server-side-encryption";
        let headers = asked.headers.iter().filter_map(|(name, value)| {
            let rest = name.as_str().strip_prefix(prefix)?;
            Some(format!("{rest}: {}", value.to_str().ok()?))
        });
        headers.collect()
    })
}

#[tokio::test]
async fn a_key_of_the_key_service_is_named_where_objects_are_made() {
    let kms = Sse::Kms { key_id: Some("arn".into()), double: false, bucket_key: Some(true) };
    let [mut put, get, head] = encryption_headers(kms).await;
    put.sort();
    assert_eq!(put, ["-aws-kms-key-id: arn", "-bucket-key-enabled: true", ": aws:kms"]);
    assert!(get.is_empty() && head.is_empty());
    let double = Sse::Kms { key_id: None, double: true, bucket_key: None };
    assert_eq!(encryption_headers(double).await[0], [": aws:kms:dsse"]);
    assert_eq!(encryption_headers(Sse::S3).await[0], [": AES256"]);
}

#[tokio::test]
async fn a_key_of_the_customer_comes_along_with_every_request() {
    let key = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
    for mut headers in encryption_headers(Sse::Customer(Secret::new(key))).await {
        headers.sort();
        assert_eq!([&headers[0], &headers[2]], ["-customer-algorithm: AES256", &format!("-customer-key: {key}")]);
        assert!(headers[1].starts_with("-customer-key-md5: "), "{headers:?}");
    }
}

#[tokio::test]
async fn every_request_goes_by_the_proxy_that_was_given() {
    let proxy = Server::start(|_| object()).await;
    let network = Network {
        endpoint: Some("http://store.invalid".into()),
        proxy_url: Some(Secret::new(proxy.url.replace("http://", "http://user:hunter2@"))),
        ..proxy.network()
    };
    let store = azure(AzureOptions { network, ..proxy.azure() });
    assert_eq!(store.create("k", BODY).await.unwrap(), Put::Created);
    let asked = &proxy.asked()[0];
    assert_eq!(asked.line, "PUT http://store.invalid/lake/k");
    assert!(asked.header("proxy-authorization").is_some_and(|login| login.starts_with("Basic ")));
}

#[tokio::test]
async fn a_store_that_does_not_answer_in_time_is_a_timeout_that_names_it() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let network = Network {
        endpoint: Some(endpoint.clone()),
        insecure_http: true,
        request_timeout: Duration::from_millis(50),
        ..Network::default()
    };
    let options = AzureOptions {
        account: "acme".into(),
        container: "lake".into(),
        access_key: Some(Secret::new("c2VjcmV0")),
        network,
        ..AzureOptions::default()
    };
    let error = azure(options).get("k").await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Timeout);
    assert!(error.to_string().contains(&endpoint), "{error}");
}
