//! Fourth stage: the children are put by server-side apply, the workload last, so that pods never start before what they
//! mount; only what the workload no longer names is removed after it. Fields of other managers stay.

use crate::answer;
use crate::build::{Children, OPERATOR, PodMonitor, worker_name};
use crate::context::Context;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::core::NamespaceResourceScope;
use kube::{Api, Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use std::fmt::Debug;

/// Why a child could not be put.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// An object of that name is somebody else's.
    #[error("the {kind} {name} exists and is not of this sink: delete or rename it, or rename the sink")]
    NotOwned {
        /// Its kind.
        kind: String,
        /// Its name.
        name: String,
    },
    /// This operator no longer holds the Lease.
    #[error("another operator works now")]
    NotLeader,
    /// The API server refused it or did not answer.
    #[error("cannot apply the {kind} {name}: {}", answer::words(.source))]
    Api {
        /// Its kind.
        kind: String,
        /// Its name.
        name: String,
        /// What it said.
        #[source]
        source: Box<kube::Error>,
    },
}

impl ApplyError {
    /// Whether the API server has looked at it and said no, as it will again until somebody changes something: a quota, an
    /// admission rule, a value that it does not take.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Api { source, .. } if answer::is_refusal(source))
    }
}

/// Puts all children; gives the workers' Deployment as the API server has it now.
///
/// # Errors
/// The first child that could not be put; what was put before it stays, and the next try goes on from there.
pub async fn apply(
    context: &Context,
    namespace: &str,
    sink: &str,
    children: &Children,
) -> Result<Deployment, ApplyError> {
    if let Some(account) = &children.service_account {
        put(context, namespace, account).await?;
    }
    put(context, namespace, &children.config_map).await?;
    put(context, namespace, &children.secret).await?;
    if let Some(budget) = &children.disruption_budget {
        put(context, namespace, budget).await?;
    }
    if let Some(policy) = &children.network_policy {
        put(context, namespace, policy).await?;
    }
    if let Some(monitor) = &children.pod_monitor {
        monitor_if_known(context, namespace, monitor).await?;
    }
    let deployment = put(context, namespace, &children.deployment).await?;
    if children.service_account.is_none() {
        remove::<ServiceAccount>(context, namespace, sink).await?;
    }
    if children.disruption_budget.is_none() {
        remove::<PodDisruptionBudget>(context, namespace, sink).await?;
    }
    Ok(deployment)
}

/// Ends the workers and leaves the rest as it is, for a sink that shall rest and of which nothing can be built.
///
/// # Errors
/// When the API server does not take it.
pub async fn stop(context: &Context, namespace: &str, deployment: &Deployment) -> Result<Deployment, ApplyError> {
    if !context.leadership.holds() {
        return Err(ApplyError::NotLeader);
    }
    let api: Api<Deployment> = Api::namespaced(context.client.clone(), namespace);
    let name = deployment.name_any();
    let params = PatchParams { field_manager: Some(OPERATOR.to_owned()), ..PatchParams::default() };
    // Another object of that name has another uid, which the API server does not let anybody change.
    let rest = json!({"metadata": {"uid": deployment.uid()}, "spec": {"replicas": 0}});
    let failed = |source| ApplyError::Api { kind: "Deployment".into(), name: name.clone(), source: Box::new(source) };
    api.patch(&name, &params, &Patch::Merge(rest)).await.map_err(failed)
}

/// The Prometheus Operator may be installed later: workers do not wait for it.
async fn monitor_if_known(context: &Context, namespace: &str, monitor: &PodMonitor) -> Result<(), ApplyError> {
    match put(context, namespace, monitor).await {
        Err(ApplyError::Api { source, .. }) if answer::is_missing(&source) => {
            tracing::debug!(namespace, "this cluster has no PodMonitors");
            Ok(())
        }
        result => result.map(drop),
    }
}

trait Child:
    Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + Serialize + DeserializeOwned
{
}

impl<K> Child for K where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + Serialize + DeserializeOwned
{
}

async fn put<K: Child>(context: &Context, namespace: &str, child: &K) -> Result<K, ApplyError> {
    let api: Api<K> = Api::namespaced(context.client.clone(), namespace);
    let name = child.name_any();
    let failed = |source| ApplyError::Api { kind: K::kind(&()).into(), name: name.clone(), source: Box::new(source) };
    // Forcing would take over whatever has the name.
    if let Some(there) = api.get_metadata_opt(&name).await.map_err(failed)? {
        let owner = child.owner_references().first().map(|owner| &owner.uid);
        if !there.owner_references().iter().any(|owners| Some(&owners.uid) == owner) {
            return Err(ApplyError::NotOwned { kind: K::kind(&()).into(), name });
        }
    }
    if !context.leadership.holds() {
        return Err(ApplyError::NotLeader);
    }
    api.patch(&name, &PatchParams::apply(OPERATOR).force(), &Patch::Apply(child)).await.map_err(failed)
}

/// Removes a child that is no longer wanted, if it is of this sink.
async fn remove<K: Child>(context: &Context, namespace: &str, sink: &str) -> Result<(), ApplyError> {
    let api: Api<K> = Api::namespaced(context.client.clone(), namespace);
    let name = worker_name(sink);
    let failed = |source| ApplyError::Api { kind: K::kind(&()).into(), name: name.clone(), source: Box::new(source) };
    let Some(there) = api.get_metadata_opt(&name).await.map_err(failed)? else { return Ok(()) };
    let ours = there.owner_references().iter().any(|owner| owner.kind == "EventSink" && owner.name == sink);
    if !ours {
        return Ok(());
    }
    if !context.leadership.holds() {
        return Err(ApplyError::NotLeader);
    }
    let preconditions = Preconditions { uid: there.uid(), resource_version: None };
    let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
    match api.delete(&name, &params).await {
        Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(()),
        Err(source) => Err(failed(source)),
        Ok(_) => Ok(()),
    }
}
