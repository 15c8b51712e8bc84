//! The workers.
//!
//! No surge: more members than partitions would only rebalance the group twice. The grace period is longer than the
//! time a worker takes to finish its cuts.

use super::{credentials_name, metadata, selector, settings_name, worker_name};
use crate::projection::{CONFIG_DIR, CONFIG_FILE, CREDENTIALS_DIR, PORT, VOLUME_DIR};
use crate::reconcile::validate::ValidatedSink;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment};
use k8s_openapi::api::core::v1::{
    Capabilities, ConfigMapVolumeSource, Container, ContainerPort, HTTPGetAction, PersistentVolumeClaimVolumeSource,
    PodSecurityContext, PodSpec, PodTemplateSpec, Probe, ResourceRequirements, SeccompProfile, SecretVolumeSource,
    SecurityContext, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use std::collections::BTreeMap;

/// Annotation of pods: another one means other settings.
pub const SETTINGS_HASH: &str = "eventsink.dev/settings-hash";
/// Annotation of pods: another one means other credentials.
pub const CREDENTIALS_HASH: &str = "eventsink.dev/credentials-hash";
/// Time beyond the worker's own deadline until the platform kills it, in seconds.
const GRACE: u64 = 15;
/// User and group of the image.
const NONROOT: i64 = 65532;

pub(super) fn build(sink: &ValidatedSink, replicas: i32) -> Deployment {
    Deployment {
        metadata: metadata(sink, worker_name(&sink.name)),
        spec: Some(DeploymentSpec {
            replicas: Some(replicas),
            selector: LabelSelector { match_labels: Some(selector(&sink.name)), ..LabelSelector::default() },
            strategy: Some(DeploymentStrategy {
                type_: Some("RollingUpdate".to_owned()),
                rolling_update: Some(RollingUpdateDeployment {
                    max_surge: Some(IntOrString::Int(0)),
                    max_unavailable: Some(IntOrString::Int(1)),
                }),
            }),
            template: template(sink),
            ..DeploymentSpec::default()
        }),
        ..Deployment::default()
    }
}

fn template(sink: &ValidatedSink) -> PodTemplateSpec {
    let mut labels = sink.worker.pod_labels.clone();
    labels.extend(metadata(sink, String::new()).labels.unwrap_or_default());
    let mut annotations = sink.worker.pod_annotations.clone();
    annotations.insert(SETTINGS_HASH.to_owned(), sink.settings_hash.clone());
    annotations.insert(CREDENTIALS_HASH.to_owned(), sink.credentials_hash.clone());
    PodTemplateSpec {
        metadata: Some(ObjectMeta { labels: Some(labels), annotations: Some(annotations), ..ObjectMeta::default() }),
        spec: Some(pod(sink)),
    }
}

fn pod(sink: &ValidatedSink) -> PodSpec {
    let deadline = sink.settings.shutdown.deadline.as_duration().as_secs();
    let own_account = worker_name(&sink.name);
    let worker = &sink.worker;
    PodSpec {
        service_account_name: Some(worker.service_account_name.clone().unwrap_or(own_account)),
        // A platform's identity comes by a token; without one nobody needs it.
        automount_service_account_token: Some(worker.service_account_name.is_some()),
        enable_service_links: Some(false),
        termination_grace_period_seconds: i64::try_from(deadline + GRACE).ok(),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(NONROOT),
            run_as_group: Some(NONROOT),
            fs_group: Some(NONROOT),
            fs_group_change_policy: Some("OnRootMismatch".to_owned()),
            seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".to_owned(), ..SeccompProfile::default() }),
            ..PodSecurityContext::default()
        }),
        containers: vec![container(sink)],
        volumes: Some(volumes(sink)),
        node_selector: (!worker.node_selector.is_empty()).then(|| worker.node_selector.clone()),
        tolerations: (!worker.tolerations.is_empty()).then(|| worker.tolerations.clone()),
        affinity: worker.affinity.clone(),
        ..PodSpec::default()
    }
}

fn container(sink: &ValidatedSink) -> Container {
    let mount = |name: &str, path: &str, read_only| VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        read_only,
        ..VolumeMount::default()
    };
    let mut mounts = vec![mount("settings", CONFIG_DIR, Some(true)), mount("credentials", CREDENTIALS_DIR, Some(true))];
    mounts.extend(sink.claim.is_some().then(|| mount("files", VOLUME_DIR, None)));
    Container {
        name: "worker".to_owned(),
        image: Some(sink.image.clone()),
        args: Some(["start", "--config", &format!("{CONFIG_DIR}/{CONFIG_FILE}")].map(str::to_owned).into()),
        ports: Some(vec![ContainerPort {
            name: Some("http".to_owned()),
            container_port: PORT.into(),
            protocol: Some("TCP".to_owned()),
            ..ContainerPort::default()
        }]),
        // A worker that waits for Kafka or the store is healthy: only one that hangs is started again.
        liveness_probe: Some(probe("/health", 10, 6)),
        readiness_probe: Some(probe("/ready", 5, 3)),
        resources: Some(resources(sink)),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            read_only_root_filesystem: Some(true),
            capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), ..Capabilities::default() }),
            ..SecurityContext::default()
        }),
        volume_mounts: Some(mounts),
        ..Container::default()
    }
}

fn probe(path: &str, period: i32, failures: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::String("http".to_owned()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period),
        timeout_seconds: Some(5),
        failure_threshold: Some(failures),
        ..Probe::default()
    }
}

fn resources(sink: &ValidatedSink) -> ResourceRequirements {
    let quantities = |from: &BTreeMap<String, IntOrString>| {
        let text = |value: &IntOrString| match value {
            IntOrString::Int(number) => number.to_string(),
            IntOrString::String(text) => text.clone(),
        };
        let quantities: BTreeMap<_, _> =
            from.iter().map(|(name, value)| (name.clone(), Quantity(text(value)))).collect();
        (!quantities.is_empty()).then_some(quantities)
    };
    let given = &sink.worker.resources;
    ResourceRequirements {
        requests: quantities(&given.requests),
        limits: quantities(&given.limits),
        ..ResourceRequirements::default()
    }
}

fn volumes(sink: &ValidatedSink) -> Vec<Volume> {
    let mut volumes = vec![
        Volume {
            name: "settings".to_owned(),
            config_map: Some(ConfigMapVolumeSource {
                name: settings_name(&sink.name),
                ..ConfigMapVolumeSource::default()
            }),
            ..Volume::default()
        },
        Volume {
            name: "credentials".to_owned(),
            secret: Some(SecretVolumeSource {
                secret_name: Some(credentials_name(&sink.name)),
                default_mode: Some(0o440),
                ..SecretVolumeSource::default()
            }),
            ..Volume::default()
        },
    ];
    volumes.extend(sink.claim.as_ref().map(|claim| Volume {
        name: "files".to_owned(),
        persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
            claim_name: claim.clone(),
            ..PersistentVolumeClaimVolumeSource::default()
        }),
        ..Volume::default()
    }));
    volumes
}
