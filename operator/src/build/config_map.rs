//! The workers' settings, as the YAML file that a worker reads. Nothing in it is secret.

use super::{metadata, settings_name};
use crate::projection::CONFIG_FILE;
use crate::reconcile::validate::ValidatedSink;
use k8s_openapi::api::core::v1::ConfigMap;

pub(super) fn build(sink: &ValidatedSink) -> ConfigMap {
    ConfigMap {
        metadata: metadata(sink, settings_name(&sink.name)),
        data: Some([(CONFIG_FILE.to_owned(), sink.settings_yaml.clone())].into()),
        ..ConfigMap::default()
    }
}
