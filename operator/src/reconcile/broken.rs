//! An object that is not what the definition says, such as one that was stored under an older definition. It is told to
//! people and left alone, and the others go on.

use super::Error;
use crate::build::OPERATOR;
use crate::context::Context;
use eventsink_crds::sink::{EventSink, condition, reason};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::jiff::Timestamp;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use kube::core::error_boundary::InvalidObject;
use kube::runtime::controller::Action;
use kube::runtime::events::{Event, EventType};
use kube::{Api, Resource as _};
use serde_json::json;

/// Tells what is wrong with it; whoever mends it makes a new generation.
pub(super) async fn tell(object: &InvalidObject, context: &Context) -> Result<Action, Error> {
    if !context.leadership.holds() {
        return Ok(Action::requeue(super::AGAIN));
    }
    let metadata = &object.metadata;
    let (name, namespace) = (metadata.name.clone().unwrap_or_default(), metadata.namespace.clone().unwrap_or_default());
    let words = format!("this object does not fit the definition of EventSink: {}; edit it, or apply it anew", object.error);
    let words: String = words.chars().take(900).collect();
    tracing::warn!(sink = format!("{namespace}/{name}"), words, "cannot be read");
    let event = Event {
        type_: EventType::Warning,
        reason: reason::INVALID_OBJECT.to_owned(),
        note: Some(words.clone()),
        action: "Reconcile".to_owned(),
        secondary: None,
    };
    let about = ObjectReference {
        api_version: Some(EventSink::api_version(&()).into()),
        kind: Some(EventSink::kind(&()).into()),
        name: Some(name.clone()),
        namespace: Some(namespace.clone()),
        uid: metadata.uid.clone(),
        ..ObjectReference::default()
    };
    if let Err(error) = context.recorder.publish(&event, &about).await {
        tracing::warn!(%error, "cannot publish an event");
    }
    let condition = |type_: &str, status: &str| {
        json!({
            "type": type_, "status": status, "reason": reason::INVALID_OBJECT, "message": words,
            "observedGeneration": metadata.generation, "lastTransitionTime": Timestamp::now().to_string(),
        })
    };
    let status = json!({
        "apiVersion": EventSink::api_version(&()), "kind": EventSink::kind(&()),
        "status": {
            "observedGeneration": metadata.generation,
            "conditions": [condition(condition::READY, "False"), condition(condition::STALLED, "True")],
        },
    });
    let resource = ApiResource::erase::<EventSink>(&());
    let api: Api<DynamicObject> = Api::namespaced_with(context.client.clone(), &namespace, &resource);
    // The API server may refuse it, as it refuses the rest of the object.
    if let Err(error) = api.patch_status(&name, &PatchParams::apply(OPERATOR).force(), &Patch::Apply(status)).await {
        tracing::debug!(%error, "no status for an object that cannot be read");
    }
    Ok(Action::await_change())
}
