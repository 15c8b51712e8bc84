//! Wiring: what is watched and what that wakes.

use crate::args::Run;
use crate::build::{INSTANCE, NAME, OPERATOR, WORKER};
use crate::context::{Context, Memories};
use crate::http::{self, Readiness};
use crate::metrics::Metrics;
use crate::projection;
use crate::reconcile::{reconcile, try_again};
use eventsink_crds::sink::EventSink;
use futures::{StreamExt as _, future};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, ServiceAccount};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::ListParams;
use kube::core::PartialObjectMeta;
use kube::runtime::events::{Recorder, Reporter};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::{Controller, WatchStreamExt as _, controller, predicates, reflector, watcher};
use kube::{Api, Client, ResourceExt as _};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// Sinks that are reconciled at once.
const CONCURRENCY: u16 = 16;
/// Changes that follow each other are taken together.
const DEBOUNCE: Duration = Duration::from_millis(200);
/// How often the missing definition is looked for.
const CRD_WAIT: Duration = Duration::from_secs(5);

/// Why the operator ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no cluster to talk to.
    #[error("cannot find the cluster: {0}; run in a pod, or set KUBECONFIG")]
    Cluster(#[source] Box<kube::Error>),
    /// The address is taken.
    #[error("cannot listen on {0}: {1}; set --listen to a free address")]
    Listen(std::net::SocketAddr, #[source] std::io::Error),
    /// Metrics, signals or the HTTP client could not be set up.
    #[error("cannot set up: {0}")]
    Setup(String),
}

/// Runs until a signal says stop.
///
/// # Errors
/// When it cannot begin.
pub async fn run(run: Run) -> Result<(), Error> {
    let setup = |error: &dyn std::fmt::Display| Error::Setup(error.to_string());
    let client = Client::try_default().await.map_err(|error| Error::Cluster(Box::new(error)))?;
    let metrics = Metrics::new().map_err(|error| setup(&error))?;
    let readiness = Readiness::default();
    let listener = TcpListener::bind(run.listen).await.map_err(|error| Error::Listen(run.listen, error))?;
    tokio::spawn(http::serve(listener, readiness.clone(), metrics.clone()));
    let reporter = Reporter { controller: OPERATOR.into(), instance: run.pod_name.clone() };
    let http = reqwest::Client::builder().no_proxy().build().map_err(|error| setup(&error))?;
    let context = Arc::new(Context {
        recorder: Recorder::new(client.clone(), reporter),
        client,
        http,
        worker_image: run.worker_image.clone(),
        metrics,
        scaling: Memories::default(),
    });
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| setup(&error))?;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), namespaces = ?run.watch_namespaces, "starting");
    let work = async {
        let scopes = scopes(&run.watch_namespaces);
        wait_for_crd(&context, &scopes).await;
        readiness.set(true);
        tracing::info!("running");
        future::join_all(scopes.iter().map(|scope| control(&context, scope.as_deref()))).await;
    };
    tokio::select! {
        () = work => {}
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    tracing::info!("stopped");
    Ok(())
}

/// Each namespace by itself, or the whole cluster.
fn scopes(namespaces: &[String]) -> Vec<Option<String>> {
    let named: Vec<_> = namespaces.iter().filter(|name| !name.is_empty()).cloned().map(Some).collect();
    if named.is_empty() { vec![None] } else { named }
}

fn api<K>(client: &Client, scope: Option<&str>) -> Api<K>
where
    K: kube::Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>,
{
    match scope {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

/// GitOps may bring the operator before the definition.
async fn wait_for_crd(context: &Context, scopes: &[Option<String>]) {
    let sinks: Api<EventSink> = api(&context.client, scopes.first().and_then(Option::as_deref));
    while let Err(error) = sinks.list(&ListParams::default().limit(1)).await {
        context.metrics.crd_missing(matches!(&error, kube::Error::Api(status) if status.is_not_found()));
        tracing::warn!(%error, "cannot list EventSinks: install the CustomResourceDefinition; looking again");
        tokio::time::sleep(CRD_WAIT).await;
    }
    context.metrics.crd_missing(false);
}

/// Controls the sinks of one scope for ever.
async fn control(context: &Arc<Context>, scope: Option<&str>) {
    let client = &context.client;
    let (reader, writer) = reflector::store();
    // Status is written by this controller itself: only another spec is news.
    let sinks = watcher(api::<EventSink>(client, scope), watcher::Config::default())
        .default_backoff()
        .reflect(writer)
        .applied_objects()
        .predicate_filter(predicates::generation, Default::default());
    let ours = watcher::Config::default().labels(&format!("{NAME}={WORKER},{INSTANCE}"));
    let config = controller::Config::default().debounce(DEBOUNCE).concurrency(CONCURRENCY);
    let store = reader.clone();
    Controller::for_stream(sinks, reader)
        .with_config(config)
        .owns(api::<Deployment>(client, scope), ours.clone())
        .owns(api::<ConfigMap>(client, scope), ours.clone())
        .owns(api::<ServiceAccount>(client, scope), ours.clone())
        .owns(api::<PodDisruptionBudget>(client, scope), ours.clone())
        .watches(api::<PartialObjectMeta<Secret>>(client, scope), watcher::Config::default(), move |secret| {
            concerned(&store, &secret)
        })
        .run(timed, try_again, Arc::clone(context))
        .for_each(|result| {
            if let Err(error) = result {
                tracing::debug!(%error, "controller");
            }
            future::ready(())
        })
        .await;
}

async fn timed(sink: Arc<EventSink>, context: Arc<Context>) -> Result<controller::Action, crate::reconcile::Error> {
    let began = Instant::now();
    let result = reconcile(sink, Arc::clone(&context)).await;
    context.metrics.reconciled(began.elapsed());
    result
}

/// Sinks that refer to a Secret, or whose own it is.
fn concerned(sinks: &Store<EventSink>, secret: &PartialObjectMeta<Secret>) -> Vec<ObjectRef<EventSink>> {
    let (namespace, name) = (secret.namespace(), secret.name_any());
    let owners: Vec<_> = secret.owner_references().iter().map(|owner| owner.uid.clone()).collect();
    let concerns = |sink: &Arc<EventSink>| {
        sink.namespace() == namespace
            && (sink.uid().is_some_and(|uid| owners.contains(&uid))
                || projection::credentials(&sink.spec).iter().any(|credential| credential.secret == name))
    };
    sinks.state().iter().filter(|sink| concerns(sink)).map(|sink| ObjectRef::from_obj(sink.as_ref())).collect()
}
