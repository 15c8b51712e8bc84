//! First stage: everything that a sink refers to, and what runs of it now. Only reads.

use crate::context::Context;
use crate::lag::Answer;
use crate::projection;
use crate::{build, workers};
use eventsink_crds::sink::EventSink;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Secret};
use kube::{Api, ResourceExt as _};
use std::collections::BTreeMap;
use workers::Workers;

/// What a sink refers to, and what runs of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Dereferenced {
    /// Data of the Secrets that are there, by name.
    pub secrets: BTreeMap<String, BTreeMap<String, Vec<u8>>>,
    /// Access modes of the claim that files go to; none while it is not there.
    pub claim: Option<Vec<String>>,
    /// The workers' Deployment.
    pub deployment: Option<Deployment>,
    /// What the workers say of themselves.
    pub workers: Workers,
    /// What Kafka says itself, where no worker can.
    pub topics: Option<Answer>,
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
        // A name is a part of the request's path: one that is no name could lead to another object.
        if found.secrets.contains_key(&credential.secret) || !is_name(&credential.secret) {
            continue;
        }
        if let Some(secret) = secrets.get_opt(&credential.secret).await? {
            let data = secret.data.unwrap_or_default().into_iter().map(|(key, bytes)| (key, bytes.0));
            found.secrets.insert(credential.secret, data.collect());
        }
    }
    if let Some(filesystem) = sink.spec.storage.filesystem.as_ref().filter(|found| is_name(&found.claim_name)) {
        let claims: Api<PersistentVolumeClaim> = Api::namespaced(context.client.clone(), &namespace);
        let claim = claims.get_opt(&filesystem.claim_name).await?;
        found.claim = claim.map(|claim| claim.spec.and_then(|spec| spec.access_modes).unwrap_or_default());
    }
    let deployments: Api<Deployment> = Api::namespaced(context.client.clone(), &namespace);
    found.deployment = deployments.get_opt(&build::worker_name(&sink.name_any())).await?;
    let runs = found.deployment.as_ref().and_then(|deployment| deployment.status.as_ref()?.replicas).unwrap_or(0);
    if runs > 0 {
        found.workers = workers::ask(context, &namespace, &sink.name_any()).await?;
    }
    Ok(found)
}

/// A DNS subdomain, as names of objects are.
fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_lead_out_of_the_namespace_is_no_name() {
        assert!(is_name("kafka-login.v2"));
        for text in ["", "a/b", "../../other/secrets/admin", "a?watch=true", "a%2fb", "A"] {
            assert!(!is_name(text), "{text}");
        }
    }
}
