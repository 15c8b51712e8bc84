//! What the worker tells of itself: HTTP, logs, metrics, traces.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::{Secret, text};

/// Section `observability`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Observability {
    /// Address and port of `/health`, `/ready`, `/metrics`, `/status` and `/log`. Default: `0.0.0.0:8080`.
    #[serde(with = "text::address")]
    pub listen: SocketAddr,
    /// Logs, written to standard error.
    pub log: Log,
    /// What `/metrics` tells.
    pub metrics: Metrics,
    /// Traces, sent to an OpenTelemetry collector.
    pub traces: Traces,
}

impl Default for Observability {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([0, 0, 0, 0], 8080)),
            log: Log::default(),
            metrics: Metrics::default(),
            traces: Traces::default(),
        }
    }
}

/// Section `observability.log`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// Shape of a log line. Default: `json`.
    pub format: LogFormat,
    /// What is logged: a level (`error`, `warn`, `info`, `debug`, `trace`) or directives per module such
    /// as `info,eventsink_worker=debug`. Default: `info`.
    pub filter: String,
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::default(), filter: "info".to_owned() }
    }
}

/// Shape of a log line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// One JSON object per line, for log collectors.
    #[default]
    Json,
    /// For people.
    Text,
}

/// Section `observability.metrics`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Metrics {
    /// Whether the metrics of partitions carry the label `partition`; without it they are told per topic.
    /// Default: `true`.
    #[serde(with = "text::flag")]
    pub partition_label: bool,
}

impl Default for Metrics {
    fn default() -> Self {
        Self { partition_label: true }
    }
}

/// Section `observability.traces`: OTLP over HTTP. What is not given comes from the standard variables of
/// OpenTelemetry, where they are set.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Traces {
    /// The whole URL that takes traces, such as `http://collector:4318/v1/traces`. Default:
    /// `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`, or `OTEL_EXPORTER_OTLP_ENDPOINT` with `/v1/traces`; without any, no traces.
    pub endpoint: Option<String>,
    /// Headers sent to the collector, `name=value,name=value`; those of `OTEL_EXPORTER_OTLP_HEADERS` come over them.
    pub headers: Option<Secret>,
    /// A file that holds `headers`.
    pub headers_file: Option<String>,
    /// Share of cuts that are traced, 0 to 1. Default: what `OTEL_TRACES_SAMPLER` says, else all of them.
    #[serde(with = "text::optional_share")]
    pub sample_ratio: Option<f64>,
}
