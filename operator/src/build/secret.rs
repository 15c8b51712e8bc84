//! The credentials of a sink, under the names of the files that they are in the pods.

use super::{credentials_name, metadata};
use crate::reconcile::validate::ValidatedSink;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;

pub(super) fn build(sink: &ValidatedSink) -> Secret {
    let data = sink.credentials.iter().map(|(file, bytes)| ((*file).to_owned(), ByteString(bytes.clone())));
    Secret {
        metadata: metadata(sink, credentials_name(&sink.name)),
        type_: Some("Opaque".to_owned()),
        data: Some(data.collect()),
        ..Secret::default()
    }
}
