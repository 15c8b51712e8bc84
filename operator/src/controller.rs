//! Wiring: what is watched and what that wakes.

use crate::answer;
use crate::args::Run;
use crate::build::{INSTANCE, NAME, OPERATOR, Optional, WORKER};
use crate::context::{Context, Memories};
use crate::http::{self, Readiness, Stage};
use crate::lag::Kafka;
use crate::lease::{Leadership, Lease, Lost};
use crate::metrics::Metrics;
use crate::projection;
use crate::reconcile::{self, reconcile, try_again};
use eventsink_crds::sink::EventSink;
use futures::{Stream, StreamExt as _, future, stream};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::ListParams;
use kube::core::{DeserializeGuard, PartialObjectMeta};
use kube::runtime::events::{Recorder, Reporter};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::{Controller, WatchStreamExt as _, controller, predicates, reflector, watcher};
use kube::{Api, Client, ResourceExt as _};
use reqwest::redirect::Policy;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::broadcast::error::RecvError;

/// Sinks that are reconciled at once.
const CONCURRENCY: u16 = 16;
/// Changes that follow each other are taken together.
const DEBOUNCE: Duration = Duration::from_millis(200);
/// How often the missing definition is looked for.
const CRD_WAIT: Duration = Duration::from_secs(5);

/// Any object of the kind: one that cannot be read must not hide the others.
type Sink = DeserializeGuard<EventSink>;

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
    /// Another operator may work from now on.
    #[error("{0}: ending, so that one operator works at a time")]
    Lost(#[from] Lost),
}

/// Runs until a signal says stop, or the Lease is lost.
///
/// # Errors
/// When it cannot begin, and when it must not go on.
pub async fn run(run: Run) -> Result<(), Error> {
    let setup = |error: &dyn std::fmt::Display| Error::Setup(error.to_string());
    let client = Client::try_default().await.map_err(|error| Error::Cluster(Box::new(error)))?;
    let metrics = Metrics::new().map_err(|error| setup(&error))?;
    let readiness = Readiness::default();
    let listener = TcpListener::bind(run.listen).await.map_err(|error| Error::Listen(run.listen, error))?;
    tokio::spawn(http::serve(listener, readiness.clone(), metrics.clone()));
    let http = reqwest::Client::builder().no_proxy().redirect(Policy::none()).build().map_err(|error| setup(&error))?;
    let mut lease = run.leader_elect.then(|| lease(&run, &client));
    let context = Arc::new(Context {
        recorder: Recorder::new(
            client.clone(),
            Reporter { controller: OPERATOR.into(), instance: run.pod_name.clone() },
        ),
        leadership: lease.as_ref().map_or_else(Leadership::alone, Lease::leadership),
        client,
        http,
        worker_image: run.worker_image.clone(),
        optional: Optional { network_policy: run.worker_network_policy, pod_monitor: run.worker_pod_monitor },
        patience: run.reconcile_timeout,
        metrics,
        scaling: Memories::default(),
        kafka: Kafka::new(run.kafka_clients),
    });
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| setup(&error))?;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), namespaces = ?run.watch_namespaces, "starting");
    let scopes = scopes(&run.watch_namespaces);
    let ended = tokio::select! {
        lost = work(&context, &scopes, &readiness, lease.as_mut()) => Err(lost.into()),
        _ = terminate.recv() => Ok(()),
        _ = tokio::signal::ctrl_c() => Ok(()),
    };
    // What was under way has been dropped: nothing is written from here on.
    if let (Ok(()), Some(lease)) = (&ended, &mut lease) {
        lease.release().await;
    }
    tracing::info!("stopped");
    ended
}

fn lease(run: &Run, client: &Client) -> Lease {
    let namespace = run.pod_namespace.clone().unwrap_or_else(|| client.default_namespace().to_owned());
    // Process ids of two machines can be the same.
    let me = || format!("process-{:016x}", RandomState::new().hash_one(std::process::id()));
    let me = run.pod_name.clone().unwrap_or_else(me);
    Lease::new(client.clone(), &namespace, &run.lease_name, &me)
}

/// Looks for the definition, waits for the Lease and works until that is lost.
async fn work(
    context: &Arc<Context>,
    scopes: &[Option<String>],
    readiness: &Readiness,
    lease: Option<&mut Lease>,
) -> Lost {
    wait_for_crd(context, scopes, readiness).await;
    let kept = match lease {
        Some(lease) => {
            readiness.set(Stage::Waits);
            lease.acquire().await;
            future::Either::Left(lease.keep())
        }
        None => future::Either::Right(future::pending()),
    };
    readiness.set(Stage::Works);
    context.metrics.works();
    tracing::info!("running");
    let control = scopes.iter().map(|scope| control(context, scope.as_deref()));
    tokio::select! {
        lost = kept => lost,
        _ = future::join_all(control) => future::pending().await,
    }
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

/// GitOps may bring the operator before the definition, or before its rights.
async fn wait_for_crd(context: &Context, scopes: &[Option<String>], readiness: &Readiness) {
    let sinks: Api<PartialObjectMeta<EventSink>> = api(&context.client, scopes.first().and_then(Option::as_deref));
    while let Err(error) = sinks.list_metadata(&ListParams::default().limit(1)).await {
        let missing = answer::is_missing(&error);
        let words = if missing {
            "waiting for the CustomResourceDefinition eventsinks.eventsink.dev: install it".to_owned()
        } else {
            format!("cannot list EventSinks: {}", answer::words(&error))
        };
        context.metrics.crd_missing(missing);
        tracing::warn!("{words}");
        readiness.set(Stage::Begins(words));
        tokio::time::sleep(CRD_WAIT).await;
    }
    context.metrics.crd_missing(false);
}

/// Sinks of a scope that Kafka has news of. Too many at once lose some, until their next look.
fn news(context: &Context, scope: Option<&str>) -> impl Stream<Item = ObjectRef<Sink>> + Send + 'static {
    let scope = scope.map(str::to_owned);
    let all = stream::unfold(context.kafka.news(), |mut news| async move {
        loop {
            match news.recv().await {
                Ok(sink) => return Some((sink, news)),
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        }
    });
    all.filter(move |sink| future::ready(scope.is_none() || sink.namespace == scope))
}

/// Controls the sinks of one scope for ever.
async fn control(context: &Arc<Context>, scope: Option<&str>) {
    let client = &context.client;
    let (reader, writer) = reflector::store();
    let gone = Arc::clone(context);
    // Status is written by this controller itself: only another spec is news.
    let sinks = watcher(api::<Sink>(client, scope), watcher::Config::default())
        .default_backoff()
        .inspect(move |event| {
            if let Ok(watcher::Event::Delete(sink)) = event {
                gone.forget(&sink.uid().unwrap_or_default());
            }
        })
        .reflect(writer)
        .applied_objects()
        .predicate_filter(predicates::generation, Default::default());
    let ours = watcher::Config::default().labels(&format!("{NAME}={WORKER},{INSTANCE}"));
    let config = controller::Config::default().debounce(DEBOUNCE).concurrency(CONCURRENCY);
    let store = reader.clone();
    let mut controller = Controller::for_stream(sinks, reader)
        .with_config(config)
        .owns(api::<Deployment>(client, scope), ours.clone())
        .owns(api::<PartialObjectMeta<ConfigMap>>(client, scope), ours.clone())
        .owns(api::<PartialObjectMeta<ServiceAccount>>(client, scope), ours.clone())
        .owns(api::<PartialObjectMeta<PodDisruptionBudget>>(client, scope), ours.clone())
        .watches(api::<PartialObjectMeta<Secret>>(client, scope), watcher::Config::default(), move |secret| {
            concerned(&store, &secret)
        });
    if context.optional.network_policy {
        controller = controller.owns(api::<PartialObjectMeta<NetworkPolicy>>(client, scope), ours);
    }
    controller
        .reconcile_on(news(context, scope))
        .run(timed, try_again, Arc::clone(context))
        .for_each(|result| {
            if let Err(error) = result {
                tracing::debug!(%error, "controller");
            }
            future::ready(())
        })
        .await;
}

async fn timed(sink: Arc<Sink>, context: Arc<Context>) -> Result<controller::Action, reconcile::Error> {
    let began = Instant::now();
    let result = reconcile(sink, Arc::clone(&context)).await;
    context.metrics.reconciled(began.elapsed());
    result
}

/// Sinks that refer to a Secret, or whose own it is.
fn concerned(sinks: &Store<Sink>, secret: &PartialObjectMeta<Secret>) -> Vec<ObjectRef<Sink>> {
    let (namespace, name) = (secret.namespace(), secret.name_any());
    let owners: Vec<_> = secret.owner_references().iter().map(|owner| owner.uid.clone()).collect();
    let refers = |sink: &Sink| {
        let spec = sink.0.as_ref().map(|sink| &sink.spec);
        spec.is_ok_and(|spec| projection::credentials(spec).iter().any(|credential| credential.secret == name))
    };
    let concerns = |sink: &Arc<Sink>| {
        sink.namespace() == namespace && (sink.uid().is_some_and(|uid| owners.contains(&uid)) || refers(sink))
    };
    sinks.state().iter().filter(|sink| concerns(sink)).map(|sink| ObjectRef::from_obj(sink.as_ref())).collect()
}
