//! The way to the collector. Spans are sent from a thread of their own; the client runs on the I/O threads, which
//! have its timers. A collector that is away or hangs costs spans and one line in the log.

use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::runtime::Handle;
use tracing::{info, warn};

/// Sends batches by `inner` and tells when that begins to fail and when it works again.
pub(super) struct Export<E> {
    pub inner: Arc<E>,
    pub io: Handle,
    pub fails: AtomicBool,
}

impl<E> fmt::Debug for Export<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Export").finish_non_exhaustive()
    }
}

impl<E: SpanExporter + 'static> SpanExporter for Export<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let inner = Arc::clone(&self.inner);
        let sent = self.io.spawn(async move { inner.export(batch).await });
        let result = sent.await.unwrap_or_else(|error| Err(OTelSdkError::InternalFailure(error.to_string())));
        self.tell(&result);
        result
    }

    fn set_resource(&mut self, resource: &Resource) {
        if let Some(inner) = Arc::get_mut(&mut self.inner) {
            inner.set_resource(resource);
        }
    }
}

impl<E> Export<E> {
    fn tell(&self, result: &OTelSdkResult) {
        let failed = self.fails.swap(result.is_err(), Ordering::Relaxed);
        match result {
            Err(error) if !failed => warn!(%error, "traces are lost: the collector does not take them"),
            Ok(()) if failed => info!("the collector takes traces again"),
            _ => {}
        }
    }
}
