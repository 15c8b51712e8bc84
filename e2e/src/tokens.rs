//! A token endpoint as RFC 6749 section 4.4 has it. Its tokens are unsigned JWTs, which the broker's own validator of
//! such tokens takes.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use axum::{Json, Router};
use base64::{Engine, engine::general_purpose::STANDARD, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

const CLIENT: &str = "event sink";

/// A running endpoint; it lives as long as this process.
#[derive(Debug)]
pub struct TokenEndpoint {
    url: String,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    life: Duration,
    refuses: AtomicBool,
    given: AtomicU64,
}

impl TokenEndpoint {
    /// The client's secret, with characters that a form must encode.
    pub const SECRET: &str = "s3cr%t:+ä";

    /// Starts one whose tokens live so long, in whole seconds.
    #[must_use]
    pub fn start(life: Duration) -> Self {
        let shared = Arc::new(Shared { life, refuses: AtomicBool::new(false), given: AtomicU64::new(0) });
        let router = Router::new().route("/token", post(answer)).with_state(Arc::clone(&shared));
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        listener.set_nonblocking(true).expect("it is a socket");
        let url = format!("http://{}/token", listener.local_addr().expect("it is bound"));
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).expect("it listens");
                axum::serve(listener, router).await.expect("it serves");
            });
        });
        Self { url, shared }
    }

    /// The section `kafka.sasl.oauth` of the worker's settings.
    #[must_use]
    pub fn settings(&self) -> Value {
        json!({
            "token_url": self.url,
            "client_id": CLIENT,
            "client_secret": Self::SECRET,
            "scope": "kafka",
            "extensions": {"logicalCluster": "lkc-1"},
            "insecure_http": true,
        })
    }

    /// Refuses every client from now on, or no longer.
    pub fn refuse(&self, refuses: bool) {
        self.shared.refuses.store(refuses, Ordering::Relaxed);
    }

    /// Tokens given so far.
    #[must_use]
    pub fn given(&self) -> u64 {
        self.shared.given.load(Ordering::Relaxed)
    }
}

async fn answer(State(shared): State<Arc<Shared>>, headers: HeaderMap, form: String) -> (StatusCode, Json<Value>) {
    if form != "grant_type=client_credentials&scope=kafka" {
        return (StatusCode::BAD_REQUEST, Json(json!({"error": "invalid_request", "error_description": form})));
    }
    let login = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
    // Section 2.3.1: encoded as in a form, joined by a colon, then base64.
    let expected = format!("Basic {}", STANDARD.encode("event+sink:s3cr%25t%3A%2B%C3%A4"));
    if login != expected || shared.refuses.load(Ordering::Relaxed) {
        let words = format!("no client has the secret {}", TokenEndpoint::SECRET);
        let body = json!({"error": "invalid_client", "error_description": words});
        return (StatusCode::UNAUTHORIZED, Json(body));
    }
    shared.given.fetch_add(1, Ordering::Relaxed);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let part = |json: Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let claims = json!({"sub": "rig", "iat": now.as_secs(), "exp": (now + shared.life).as_secs(), "scope": "kafka"});
    let token = format!("{}.{}.", part(json!({"alg": "none"})), part(claims));
    (StatusCode::OK, Json(json!({"access_token": token, "token_type": "Bearer", "expires_in": shared.life.as_secs()})))
}
