//! First stage: everything that a sink refers to, and what runs of it now. Only reads.

use crate::context::Context;
use crate::projection;
use crate::{build, workers};
use eventsink_crds::sink::EventSink;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, ResourceExt as _};
use std::collections::BTreeMap;
use workers::Workers;

/// What a sink refers to, and what runs of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Dereferenced {
    /// Data of the Secrets that are there, by name.
    pub secrets: BTreeMap<String, BTreeMap<String, Vec<u8>>>,
    /// The workers' Deployment.
    pub deployment: Option<Deployment>,
    /// What the workers say of themselves.
    pub workers: Workers,
}

/// Reads it.
///
/// # Errors
/// When the API server does not answer; something that is not there is no error.
pub async fn dereference(sink: &EventSink, context: &Context) -> Result<Dereferenced, kube::Error> {
    let namespace = sink.namespace().unwrap_or_default();
    let secrets: Api<Secret> = Api::namespaced(context.client.clone(), &namespace);
    let mut found = Dereferenced::default();
    for credential in projection::credentials(&sink.spec) {
        if found.secrets.contains_key(&credential.secret) {
            continue;
        }
        if let Some(secret) = secrets.get_opt(&credential.secret).await? {
            let data = secret.data.unwrap_or_default().into_iter().map(|(key, bytes)| (key, bytes.0));
            found.secrets.insert(credential.secret, data.collect());
        }
    }
    let deployments: Api<Deployment> = Api::namespaced(context.client.clone(), &namespace);
    found.deployment = deployments.get_opt(&build::worker_name(&sink.name_any())).await?;
    let runs = found.deployment.as_ref().and_then(|deployment| deployment.status.as_ref()?.replicas).unwrap_or(0);
    if runs > 0 {
        found.workers = workers::ask(context, &namespace, &sink.name_any()).await?;
    }
    Ok(found)
}
