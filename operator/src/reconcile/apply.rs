//! Fourth stage: the children are put by server-side apply, the workload last, so that pods never start before what they
//! mount. Fields of other managers stay.

use crate::build::{Children, OPERATOR, PodMonitor, worker_name};
use crate::context::Context;
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::core::NamespaceResourceScope;
use kube::{Api, Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
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
    #[error("cannot apply the {kind} {name}: {source}")]
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

/// Puts all children.
///
/// # Errors
/// The first child that could not be put; what was put before it stays, and the next try goes on from there.
pub async fn apply(context: &Context, namespace: &str, sink: &str, children: &Children) -> Result<(), ApplyError> {
    match &children.service_account {
        Some(account) => put(context, namespace, account).await?,
        None => remove::<ServiceAccount>(context, namespace, sink).await?,
    }
    put(context, namespace, &children.config_map).await?;
    put(context, namespace, &children.secret).await?;
    match &children.disruption_budget {
        Some(budget) => put(context, namespace, budget).await?,
        None => remove::<PodDisruptionBudget>(context, namespace, sink).await?,
    }
    if let Some(policy) = &children.network_policy {
        put(context, namespace, policy).await?;
    }
    if let Some(monitor) = &children.pod_monitor {
        monitor_if_known(context, namespace, monitor).await?;
    }
    put(context, namespace, &children.deployment).await
}

/// The Prometheus Operator may be installed later: workers do not wait for it.
async fn monitor_if_known(context: &Context, namespace: &str, monitor: &PodMonitor) -> Result<(), ApplyError> {
    match put(context, namespace, monitor).await {
        Err(ApplyError::Api { source, .. }) if is_not_found(&source) => {
            tracing::debug!(namespace, "this cluster has no PodMonitors");
            Ok(())
        }
        result => result,
    }
}

fn is_not_found(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.is_not_found())
}

trait Child:
    Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + Serialize + DeserializeOwned
{
}

impl<K> Child for K where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + Serialize + DeserializeOwned
{
}

async fn put<K: Child>(context: &Context, namespace: &str, child: &K) -> Result<(), ApplyError> {
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
    api.patch(&name, &PatchParams::apply(OPERATOR).force(), &Patch::Apply(child)).await.map_err(failed)?;
    Ok(())
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
