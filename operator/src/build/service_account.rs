//! Who the workers are: nobody in particular, with no right and no token.

use super::{metadata, worker_name};
use crate::reconcile::validate::ValidatedSink;
use k8s_openapi::api::core::v1::ServiceAccount;

pub(super) fn build(sink: &ValidatedSink) -> Option<ServiceAccount> {
    sink.worker.service_account_name.is_none().then(|| ServiceAccount {
        metadata: metadata(sink, worker_name(&sink.name)),
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    })
}
