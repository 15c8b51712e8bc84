//! An OpenTelemetry collector that keeps what it is sent: OTLP over HTTP, as protobuf.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

type Kept = Arc<Mutex<Vec<(HeaderMap, ExportTraceServiceRequest)>>>;

/// A running collector; it ends with its value.
#[derive(Debug)]
pub struct Collector {
    /// Where traces are taken.
    pub endpoint: String,
    kept: Kept,
    _runtime: Runtime,
}

impl Collector {
    /// Listens on a free port.
    #[must_use]
    pub fn start() -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let kept = Kept::default();
        let routes = Router::new().route("/v1/traces", post(keep)).with_state(Arc::clone(&kept));
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        runtime.spawn(async move { axum::serve(listener, routes).await });
        Self { endpoint: format!("http://{address}/v1/traces"), kept, _runtime: runtime }
    }

    /// All spans so far.
    #[must_use]
    pub fn spans(&self) -> Vec<Span> {
        let requests = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let scopes = requests.iter().flat_map(|(_, request)| &request.resource_spans).flat_map(|all| &all.scope_spans);
        scopes.flat_map(|scope| scope.spans.clone()).collect()
    }

    /// The first sender's resource attributes, and the headers of its request.
    #[must_use]
    pub fn sender(&self) -> (BTreeMap<String, String>, HeaderMap) {
        let requests = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let (headers, request) = requests.first().expect("a request has come");
        let resource = request.resource_spans.first().and_then(|spans| spans.resource.as_ref());
        (attributes(&resource.expect("a resource").attributes), headers.clone())
    }
}

/// Attributes as text.
#[must_use]
pub fn attributes(pairs: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |pair: &KeyValue| match pair.value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::BoolValue(flag)) => flag.to_string(),
        other => format!("{other:?}"),
    };
    pairs.iter().map(|pair| (pair.key.clone(), text(pair))).collect()
}

async fn keep(State(kept): State<Kept>, headers: HeaderMap, body: Bytes) -> Result<Vec<u8>, StatusCode> {
    let request = ExportTraceServiceRequest::decode(body).map_err(|_| StatusCode::BAD_REQUEST)?;
    kept.lock().unwrap_or_else(PoisonError::into_inner).push((headers, request));
    Ok(ExportTraceServiceResponse::default().encode_to_vec())
}
