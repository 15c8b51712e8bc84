//! What a partition's calls come to as spans, and which settings turn them on.

use super::*;
use crate::events::{Decoded, Header, Policy, Record, decode};
use opentelemetry::trace::SpanKind;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::SpanData;
use std::sync::Mutex;
use tokio::runtime::Runtime;

#[derive(Debug, Clone, Default)]
struct Kept(Arc<Mutex<Vec<SpanData>>>);

impl SpanExporter for Kept {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.0.lock().unwrap().extend(batch);
        Ok(())
    }
}

/// A collector that takes a connection and never answers.
#[derive(Debug)]
struct Hangs;

impl SpanExporter for Hangs {
    async fn export(&self, _: Vec<SpanData>) -> OTelSdkResult {
        std::future::pending::<()>().await;
        Err(OTelSdkError::AlreadyShutdown)
    }
}

fn traced(ratio: Option<f64>, work: impl FnOnce(&mut CutTraces)) -> Vec<SpanData> {
    let (io, kept) = (Runtime::new().unwrap(), Kept::default());
    let mut settings = Settings::default();
    settings.observability.traces.sample_ratio = ratio;
    let traces = Traces::over(&settings, |_| None, io.handle(), kept.clone());
    let mut cuts = CutTraces::new(Some(Arc::clone(&traces)), TopicPartition { topic: "orders".into(), partition: 3 });
    work(&mut cuts);
    drop(cuts);
    traces.flush(Duration::from_secs(60));
    std::mem::take(&mut kept.0.lock().unwrap())
}

fn take(cuts: &mut CutTraces) {
    let headers =
        [Header { name: b"traceparent", value: Some(b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01") }];
    let record = Record { offset: 7, timestamp: None, key: None, value: Some(b"{}"), headers: &headers };
    let decoded = decode(&record, crate::events::Place { topic: "t", partition: 0 }, &Policy::default());
    assert!(matches!(decoded, Decoded::Rejected(_)), "dead letters are linked too");
    cuts.takes(&record, &decoded);
}

fn shape(spans: &[SpanData]) -> Vec<(String, SpanKind)> {
    let mut shape: Vec<_> = spans.iter().map(|span| (span.name.to_string(), span.span_kind.clone())).collect();
    shape.sort_by(|a, b| a.0.cmp(&b.0));
    shape
}

#[test]
fn one_cut_is_one_trace() {
    let spans = traced(None, |cuts| {
        take(cuts);
        let parent = cuts.closes((7, 8), "nonce", "age");
        drop(parent.encode());
        drop(parent.manifest());
        cuts.lands();
        cuts.commits(8);
        cuts.committed(false);
        cuts.commits(8);
        cuts.committed(true);
    });
    let kinds = [
        ("commit orders", SpanKind::Client),
        ("commit orders", SpanKind::Client),
        ("encode", SpanKind::Internal),
        ("manifest", SpanKind::Client),
        ("poll orders", SpanKind::Client),
        ("process orders", SpanKind::Consumer),
    ];
    assert_eq!(shape(&spans), kinds.map(|(name, kind)| (name.to_owned(), kind)));
    let root = spans.iter().find(|span| span.span_kind == SpanKind::Consumer).unwrap();
    for span in spans.iter().filter(|span| span.span_kind != SpanKind::Consumer) {
        assert_eq!(span.parent_span_id, root.span_context.span_id(), "{}", span.name);
        assert_eq!(span.span_context.trace_id(), root.span_context.trace_id(), "{}", span.name);
    }
    let linked: Vec<_> = root.links.iter().map(|link| link.span_context.trace_id().to_string()).collect();
    assert_eq!(linked, ["0af7651916cd43dd8448eb211c80319c"]);
}

#[test]
fn a_cut_that_lands_before_the_commit_of_another_is_answered_has_a_commit_of_its_own() {
    let spans = traced(None, |cuts| {
        for (from, nonce) in [(0, "first"), (1, "second")] {
            take(cuts);
            drop(cuts.closes((from, from + 1), nonce, "age"));
            cuts.lands();
            if from == 0 {
                cuts.commits(1);
            }
        }
        cuts.committed(true);
        cuts.commits(2);
        cuts.committed(true);
    });
    let root = |nonce: &str| {
        let is = |span: &&SpanData| format!("{:?}", span.attributes).contains(nonce);
        spans.iter().find(is).unwrap().span_context.span_id()
    };
    let commits = spans.iter().filter(|span| span.name.starts_with("commit"));
    let parents: Vec<_> = commits.map(|commit| commit.parent_span_id).collect();
    assert_eq!(parents, [root("first"), root("second")]);
}

#[test]
fn an_adopted_cut_whose_files_are_there_ends_with_its_commit_and_takes_no_later_records() {
    let spans = traced(None, |cuts| {
        drop(cuts.adopts((0, 5), "theirs").check());
        cuts.lands();
        take(cuts);
        cuts.commits(5);
        cuts.committed(true);
        drop(cuts.closes((5, 6), "ours", "age"));
    });
    let roots: Vec<_> = spans.iter().filter(|span| span.span_kind == SpanKind::Consumer).collect();
    let of = |nonce: &str| roots.iter().find(|root| format!("{:?}", root.attributes).contains(nonce)).unwrap();
    assert_eq!((roots.len(), of("theirs").links.len(), of("ours").links.len()), (2, 0, 1));
    let commit = spans.iter().find(|span| span.name.starts_with("commit")).unwrap();
    assert_eq!(commit.parent_span_id, of("theirs").span_context.span_id());
}

#[test]
fn a_cut_that_was_not_chosen_leaves_nothing() {
    let spans = traced(Some(0.0), |cuts| {
        take(cuts);
        drop(cuts.closes((7, 8), "nonce", "age").encode());
        cuts.lands();
        cuts.commits(8);
        cuts.committed(true);
    });
    assert!(spans.is_empty(), "{spans:?}");
}

#[test]
fn a_collector_that_hangs_keeps_nobody_from_leaving() {
    let io = Runtime::new().unwrap();
    let traces = Traces::over(&Settings::default(), |_| None, io.handle(), Hangs);
    let mut cuts = CutTraces::new(Some(Arc::clone(&traces)), TopicPartition { topic: "orders".into(), partition: 3 });
    take(&mut cuts);
    drop(cuts);
    traces.flush(Duration::from_millis(10));
}

#[test]
fn an_endpoint_turns_traces_on_and_the_standard_switches_turn_them_off() {
    let on = |endpoint: Option<&str>, variables: &[(&str, &str)]| {
        let wanted = settings::Traces { endpoint: endpoint.map(str::to_owned), ..settings::Traces::default() };
        is_wanted(&wanted, |name| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned()))
    };
    assert!(!on(None, &[]));
    assert!(on(Some("http://c:4318/v1/traces"), &[]));
    assert!(on(None, &[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318")]));
    assert!(!on(None, &[("OTEL_EXPORTER_OTLP_ENDPOINT", "")]));
    assert!(!on(Some("http://c:4318/v1/traces"), &[("OTEL_SDK_DISABLED", "TRUE")]));
    assert!(!on(Some("http://c:4318/v1/traces"), &[("OTEL_TRACES_EXPORTER", "none")]));
}

#[test]
fn headers_are_pairs() {
    let pairs = headers("authorization=Bearer a=b, x-tenant = north ,").unwrap();
    assert_eq!((pairs["authorization"].as_str(), pairs["x-tenant"].as_str()), ("Bearer a=b", "north"));
    for bad in ["token", "a b=c", "a=line\nbreak", "=x"] {
        assert!(headers(bad).is_none(), "{bad:?}");
    }
}
