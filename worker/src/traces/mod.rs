//! Traces by OpenTelemetry: one per cut, sent to a collector by OTLP over HTTP. Links lead to the producers' traces
//! and tell an event's id, source and type. Of keys, other headers and payloads nothing is told; nothing waits for the
//! collector.

mod cut;
mod export;
mod links;
mod names;

pub use cut::{CutTraces, Parent, Step};

use crate::kafka::TopicPartition;
use eventsink_crds::settings::{self, Settings};
use export::Export;
use names::Names;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry::{Key, KeyValue};
use opentelemetry_otlp::{Protocol, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{BatchSpanProcessor, Sampler, SdkTracer, SdkTracerProvider, SpanExporter};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use tokio::runtime::Handle;
use tracing::warn;

/// Name of the service unless `OTEL_SERVICE_NAME` or `OTEL_RESOURCE_ATTRIBUTES` gives one.
const SERVICE: &str = "eventsink-worker";
/// What the SDK calls a service that nobody named.
const UNKNOWN_SERVICE: &str = "unknown_service";

/// Makes spans and sends them.
#[derive(Debug)]
pub struct Traces {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
    names: Names,
    group: String,
}

impl Traces {
    /// Traces as the settings, and the standard variables of OpenTelemetry that `env` gives, want them; `None` when
    /// they want none. The exporter's client runs on `io`.
    ///
    /// # Errors
    /// An endpoint that is not a URL.
    pub fn start(
        settings: &Settings,
        env: impl Fn(&str) -> Option<String>,
        io: &Handle,
    ) -> Result<Option<Arc<Self>>, String> {
        let wanted = &settings.observability.traces;
        if !is_wanted(wanted, &env) {
            return Ok(None);
        }
        let mut builder = opentelemetry_otlp::SpanExporter::builder().with_http().with_protocol(Protocol::HttpBinary);
        if let Some(endpoint) = &wanted.endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        let pairs = wanted.headers.as_ref().and_then(|pairs| headers(pairs.expose())).unwrap_or_default();
        let exporter = builder.with_headers(pairs).build().map_err(|e| format!("observability.traces: {e}"))?;
        Ok(Some(Self::over(settings, env, io, exporter)))
    }

    fn over(
        settings: &Settings,
        env: impl Fn(&str) -> Option<String>,
        io: &Handle,
        exporter: impl SpanExporter + 'static,
    ) -> Arc<Self> {
        let export = Export { inner: Arc::new(exporter), io: io.clone(), fails: AtomicBool::new(false) };
        let mut provider = SdkTracerProvider::builder()
            .with_span_processor(BatchSpanProcessor::builder(export).build())
            .with_resource(resource(settings.sink_name()));
        if let Some(share) = settings.observability.traces.sample_ratio {
            provider = provider.with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(share))));
        }
        let provider = provider.build();
        Arc::new(Self {
            tracer: provider.tracer("eventsink"),
            provider,
            names: Names::opted(&env("OTEL_SEMCONV_STABILITY_OPT_IN").unwrap_or_default()),
            group: settings.kafka.consumer.group_id.clone(),
        })
    }

    /// Sends what is left, for at most so long. Blocks.
    pub fn flush(&self, within: Duration) {
        if let Err(error) = self.provider.shutdown_with_timeout(within) {
            warn!(%error, "the last traces are lost");
        }
    }

    /// What every span of a partition says.
    fn messaging(&self, at: &TopicPartition, name: &'static str, kind: &'static str) -> Vec<KeyValue> {
        let mut attributes: Vec<_> = self.names.system().collect();
        attributes.extend([
            KeyValue::new(names::OPERATION_NAME, name),
            KeyValue::new(names::OPERATION_TYPE, kind),
            KeyValue::new(names::DESTINATION, at.topic.to_string()),
            KeyValue::new(names::PARTITION, at.partition.to_string()),
            KeyValue::new(names::GROUP, self.group.clone()),
        ]);
        attributes
    }
}

fn is_wanted(wanted: &settings::Traces, env: impl Fn(&str) -> Option<String>) -> bool {
    let is = |name: &str, value: &str| env(name).is_some_and(|given| given.trim().eq_ignore_ascii_case(value));
    let variables = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
    let has_endpoint = || variables.iter().any(|name| env(name).is_some_and(|url| !url.is_empty()));
    !is("OTEL_SDK_DISABLED", "true")
        && !is("OTEL_TRACES_EXPORTER", "none")
        && (wanted.endpoint.is_some() || has_endpoint())
}

/// The pairs of `name=value,name=value`; `None` when that is not what stands there.
pub(crate) fn headers(text: &str) -> Option<HashMap<String, String>> {
    let pairs = text.split(',').map(str::trim).filter(|pair| !pair.is_empty());
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=')?;
        let name = reqwest::header::HeaderName::try_from(name.trim()).ok()?;
        let value = reqwest::header::HeaderValue::try_from(value.trim()).ok()?;
        Some((name.to_string(), value.to_str().ok()?.to_owned()))
    };
    pairs.map(pair).collect()
}

/// Who sends; what the variables say goes first.
fn resource(sink: &str) -> Resource {
    let given = Resource::builder().build();
    let own = [
        (names::SERVICE_NAME, SERVICE.to_owned()),
        (names::SERVICE_VERSION, env!("CARGO_PKG_VERSION").to_owned()),
        (names::SERVICE_INSTANCE, crate::store::ledger::nonce()),
        (names::SINK, sink.to_owned()),
    ];
    let is_open = |name: &'static str| {
        let value = given.get(&Key::from_static_str(name));
        value.is_none_or(|value| value.as_str().starts_with(UNKNOWN_SERVICE))
    };
    let own = own.into_iter().filter(|(name, _)| is_open(name)).map(|(name, value)| KeyValue::new(name, value));
    Resource::builder().with_attributes(own).build()
}

#[cfg(test)]
mod tests;
