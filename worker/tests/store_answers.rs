//! How the store reads answers that real servers seldom give: throttling, lost replies, missing rights, servers that
//! overwrite or list out of order. The server is a small stand-in for S3 with one oddity at a time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use eventsink_worker::store::{
    Backend, Guarantee, Network, Put, S3Options, Secret, Store, StoreErrorKind, StoreOptions,
};

const BODY: Bytes = Bytes::from_static(b"0123456789");

/// The one way in which the server differs from S3.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Oddity {
    /// Every request gets this status, S3 code and `Retry-After`.
    Answers(u16, &'static str, Option<u64>),
    /// A put gets this status and code, and does not land.
    PutFails(u16, &'static str),
    /// The first put lands, and its reply is a fault.
    FirstReplyLost,
    /// `If-None-Match` is not looked at.
    Overwrites,
    /// Listing is forbidden.
    NoListRight,
    /// The folder itself is listed, as the consoles of some stores create it.
    FolderMarker,
    /// Listings start with the greatest key.
    ListsBackwards,
}

#[derive(Debug)]
struct Server {
    oddity: Oddity,
    objects: Mutex<BTreeMap<String, Bytes>>,
    requests: Mutex<Vec<String>>,
}

async fn start(oddity: Oddity) -> (Store, Arc<Server>) {
    let server = Arc::new(Server { oddity, objects: Mutex::default(), requests: Mutex::default() });
    let app = axum::Router::new().fallback(answer).with_state(server.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    let options = S3Options {
        bucket: "lake".into(),
        path_style: true,
        access_key_id: Some(Secret::new("id")),
        secret_access_key: Some(Secret::new("secret")),
        network: Network { endpoint: Some(format!("http://{address}")), insecure_http: true, ..Network::default() },
        ..S3Options::default()
    };
    let store = Store::open(&StoreOptions { backend: Backend::S3(Box::new(options)) }).unwrap();
    (store, server)
}

fn fault(status: u16, code: &str) -> Response {
    let body = format!("<Error><Code>{code}</Code><Message>words about {code}</Message></Error>");
    (StatusCode::from_u16(status).unwrap(), body).into_response()
}

async fn answer(State(server): State<Arc<Server>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    server.requests.lock().unwrap().push(format!("{} {}", parts.method, parts.uri));
    if let Oddity::Answers(status, code, retry_after) = server.oddity {
        let mut response = fault(status, code);
        if let Some(seconds) = retry_after {
            response.headers_mut().insert("retry-after", seconds.into());
        }
        return response;
    }
    let key = parts.uri.path().trim_start_matches("/lake").trim_start_matches('/');
    match parts.method {
        Method::PUT => server.put(key, body, parts.headers.contains_key("if-none-match")),
        _ if key.is_empty() => server.list(parts.uri.query().unwrap_or_default()),
        _ => match server.objects.lock().unwrap().get(key) {
            Some(body) => body.clone().into_response(),
            None => fault(404, "NoSuchKey"),
        },
    }
}

impl Server {
    fn put(&self, key: &str, body: Bytes, create_only: bool) -> Response {
        if let Oddity::PutFails(status, code) = self.oddity {
            return fault(status, code);
        }
        let mut objects = self.objects.lock().unwrap();
        let create_only = create_only && self.oddity != Oddity::Overwrites;
        if create_only && objects.contains_key(key) {
            return fault(412, "PreconditionFailed");
        }
        let first = objects.insert(key.to_string(), body).is_none();
        match self.oddity {
            Oddity::FirstReplyLost if first => fault(500, "InternalError"),
            _ => [("etag", "\"e\"")].into_response(),
        }
    }

    fn list(&self, query: &str) -> Response {
        if self.oddity == Oddity::NoListRight {
            return fault(403, "AccessDenied");
        }
        let objects = self.objects.lock().unwrap();
        let mut keys: Vec<String> = objects.keys().cloned().collect();
        match self.oddity {
            Oddity::FolderMarker => keys.insert(0, "cuts/".into()),
            Oddity::ListsBackwards => keys.reverse(),
            _ => {}
        }
        let limit = query.split('&').find_map(|p| p.strip_prefix("max-keys=")?.parse().ok());
        let rows: String = keys
            .iter()
            .take(limit.unwrap_or(1000))
            .map(|key| {
                format!(
                    "<Contents><Key>{key}</Key><Size>10</Size>\
                     <LastModified>2025-12-21T10:00:00Z</LastModified></Contents>"
                )
            })
            .collect();
        format!("<ListBucketResult>{rows}</ListBucketResult>").into_response()
    }
}

#[tokio::test]
async fn a_store_that_asks_for_time_is_asked_once_and_its_wish_is_passed_on() {
    let (store, server) = start(Oddity::Answers(503, "SlowDown", Some(7))).await;
    let error = store.create("k", BODY).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Throttled);
    assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
    assert_eq!(server.requests.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_server_fault_is_unreachable_and_comes_with_the_stores_words() {
    let (store, _) = start(Oddity::Answers(500, "InternalError", None)).await;
    let error = store.get("k").await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unreachable);
    assert!(error.to_string().contains("500 InternalError: words about InternalError"), "{error}");
}

#[tokio::test]
async fn a_conflict_over_an_absent_key_is_worth_another_try() {
    let (store, _) = start(Oddity::PutFails(409, "ConditionalRequestConflict")).await;
    let error = store.create("k", BODY).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Conflict, "{error}");
}

#[tokio::test]
async fn a_conflict_over_a_key_that_is_there_means_that_it_exists() {
    let (store, server) = start(Oddity::PutFails(409, "ConditionalRequestConflict")).await;
    server.objects.lock().unwrap().insert("k".into(), BODY);
    assert_eq!(store.create("k", BODY).await.unwrap(), Put::Exists);
}

#[tokio::test]
async fn after_a_lost_reply_the_next_try_finds_our_own_object() {
    let (store, _) = start(Oddity::FirstReplyLost).await;
    assert_eq!(store.create("k", BODY).await.unwrap_err().kind(), StoreErrorKind::Unreachable);
    assert_eq!(store.create("k", BODY).await.unwrap(), Put::Exists);
    assert_eq!(store.get("k").await.unwrap(), Some(BODY));
}

#[tokio::test]
async fn a_store_without_create_only_says_so_in_its_own_words() {
    let (store, _) = start(Oddity::PutFails(501, "NotImplemented")).await;
    let error = store.probe("p").await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Other);
    assert!(error.to_string().contains("words about NotImplemented"), "{error}");
}

#[tokio::test]
async fn the_probe_finds_a_store_that_overwrites() {
    let (store, _) = start(Oddity::Overwrites).await;
    assert_eq!(store.probe("p").await.unwrap(), Guarantee::Overwrites);
}

#[tokio::test]
async fn the_probe_finds_a_missing_right_to_list() {
    let (store, _) = start(Oddity::NoListRight).await;
    let error = store.probe("p").await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Denied);
    assert!(error.to_string().contains("list _eventsink/probe"), "{error}");
}

#[tokio::test]
async fn a_folder_marker_is_not_the_first_key_and_is_not_listed() {
    let (store, _) = start(Oddity::FolderMarker).await;
    store.create("cuts/a", BODY).await.unwrap();
    assert_eq!(store.first("cuts").await.unwrap().as_deref(), Some("cuts/a"));
    assert_eq!(store.list("cuts").await.unwrap().len(), 1);
}

#[tokio::test]
async fn the_first_key_is_least_even_where_the_store_lists_in_another_order() {
    let (store, _) = start(Oddity::ListsBackwards).await;
    for n in 10..40 {
        store.create(&format!("cuts/{n}"), BODY).await.unwrap();
    }
    assert_eq!(store.first("cuts").await.unwrap().as_deref(), Some("cuts/10"));
}

#[tokio::test]
async fn the_first_of_many_keys_costs_one_request() {
    let (store, server) = start(Oddity::Overwrites).await;
    for n in 10..40 {
        store.create(&format!("cuts/{n}"), BODY).await.unwrap();
    }
    server.requests.lock().unwrap().clear();
    assert_eq!(store.first("cuts").await.unwrap().as_deref(), Some("cuts/10"));
    assert_eq!(server.requests.lock().unwrap().len(), 1);
}
