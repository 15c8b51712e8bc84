//! Second stage: what the resource and its Secrets say, checked as a whole. Pure.
//!
//! Later stages see a [`ValidatedSink`] and never the raw spec.

use super::dereference::Dereferenced;
use crate::projection::{self, Credential, Unfit};
use eventsink_crds::settings::Settings;
use eventsink_crds::sink::{EventSink, Worker, condition, reason};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Resource as _;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

/// A sink whose spec and Secrets fit.
#[derive(Debug, Clone, PartialEq)]
pub struct ValidatedSink {
    /// Name of the resource.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Reference that makes it the owner of its children.
    pub owner: OwnerReference,
    /// Image of the workers.
    pub image: String,
    /// Settings of the workers.
    pub settings: Settings,
    /// The same as the file that they read: what differs from the defaults.
    pub settings_yaml: String,
    /// Digest of the settings.
    pub settings_hash: String,
    /// Contents of files by name.
    pub credentials: BTreeMap<&'static str, Vec<u8>>,
    /// Digest of the credentials.
    pub credentials_hash: String,
    /// Claim of the volume that files go to, for storage in a file system.
    pub claim: Option<String>,
    /// The claim can be mounted on one node only.
    pub alone: bool,
    /// What the spec says of the pods.
    pub worker: Worker,
    /// Nothing shall run.
    pub suspend: bool,
}

/// Why nothing can be built from a sink until somebody changes something.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// Fields that do not fit the workers' settings.
    #[error("{}", words(.0))]
    Spec(Vec<Unfit>),
    /// A Secret is not there.
    #[error("{field} names the Secret {secret}, which is not in this namespace: create it, or name another")]
    SecretNotFound {
        /// Path of the reference.
        field: &'static str,
        /// Name of the Secret.
        secret: String,
    },
    /// A claim is not there.
    #[error(
        "spec.storage.filesystem.claimName names the PersistentVolumeClaim {0}, which is not in this namespace: create it, or name another in a new EventSink"
    )]
    ClaimNotFound(String),
    /// A Secret lacks a key.
    #[error("{field}: the Secret {secret} has no key {key}: add it, or name the key that holds the value")]
    KeyMissing {
        /// Path of the reference.
        field: &'static str,
        /// Name of the Secret.
        secret: String,
        /// The key.
        key: String,
    },
    /// A key holds something that cannot be right; the value is not told.
    #[error("{field}: the key {key} of the Secret {secret} {why}")]
    KeyMalformed {
        /// Path of the reference.
        field: &'static str,
        /// Name of the Secret.
        secret: String,
        /// The key.
        key: String,
        /// What is wrong with it.
        why: &'static str,
    },
}

fn words(unfit: &[Unfit]) -> String {
    unfit.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl Invalid {
    /// Reason of the conditions that tell it.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Spec(_) => reason::INVALID_SPEC,
            Self::ClaimNotFound(_) => reason::CLAIM_NOT_FOUND,
            Self::SecretNotFound { .. } => reason::SECRET_NOT_FOUND,
            Self::KeyMissing { .. } => reason::SECRET_KEY_MISSING,
            Self::KeyMalformed { .. } => reason::SECRET_KEY_MALFORMED,
        }
    }

    /// The condition that it speaks against, beside Ready.
    #[must_use]
    pub fn condition(&self) -> Option<&'static str> {
        match self {
            Self::Spec(_) => None,
            Self::ClaimNotFound(_) => Some(condition::DESTINATION_REACHABLE),
            _ => Some(condition::CREDENTIALS_VALID),
        }
    }
}

/// Checks a sink. `image` is that of sinks which name none.
///
/// # Errors
/// The first thing that somebody must change, or all fields of the spec that do not fit.
pub fn validate(sink: &EventSink, found: &Dereferenced, image: &str) -> Result<ValidatedSink, Invalid> {
    let name = sink.metadata.name.clone().unwrap_or_default();
    let namespace = sink.metadata.namespace.clone().unwrap_or_default();
    let settings = projection::settings(&sink.spec, &namespace, &name).map_err(Invalid::Spec)?;
    let credentials = credentials(projection::credentials(&sink.spec), found)?;
    let settings_yaml = yaml(&settings);
    let claim = sink.spec.storage.filesystem.as_ref().map(|filesystem| filesystem.claim_name.clone());
    let alone = match (&claim, &found.claim) {
        (None, _) => false,
        (Some(claim), None) => return Err(Invalid::ClaimNotFound(claim.clone())),
        (Some(_), Some(modes)) => !modes.iter().any(|mode| mode == "ReadWriteMany"),
    };
    Ok(ValidatedSink {
        owner: sink.controller_owner_ref(&()).expect("an object that was read has a name and a uid"),
        image: sink.spec.worker.image.clone().unwrap_or_else(|| image.to_owned()),
        settings_hash: digest([("", settings_yaml.as_bytes())]),
        settings_yaml,
        settings,
        credentials_hash: digest(credentials.iter().map(|(file, bytes)| (*file, bytes.as_slice()))),
        credentials,
        claim,
        alone,
        worker: sink.spec.worker.clone(),
        suspend: sink.spec.suspend,
        name,
        namespace,
    })
}

fn credentials(wanted: Vec<Credential>, found: &Dereferenced) -> Result<BTreeMap<&'static str, Vec<u8>>, Invalid> {
    let mut files = BTreeMap::new();
    for Credential { file, secret, key, field } in wanted {
        let Some(data) = found.secrets.get(&secret) else {
            return Err(Invalid::SecretNotFound { field, secret });
        };
        let Some(bytes) = data.get(&key) else { return Err(Invalid::KeyMissing { field, secret, key }) };
        if let Some(why) = malformed(file, bytes) {
            return Err(Invalid::KeyMalformed { field, secret, key, why });
        }
        files.insert(file, bytes.clone());
    }
    Ok(files)
}

/// What is wrong with the content of a file, if that can be seen without using it.
fn malformed(file: &str, bytes: &[u8]) -> Option<&'static str> {
    let Ok(text) = std::str::from_utf8(bytes) else { return Some("is not text") };
    let is_json = || serde_json::from_str::<Value>(text).is_ok_and(|value| value.is_object());
    match file.rsplit_once('.').map(|(_, kind)| kind) {
        _ if text.trim().is_empty() => Some("is empty"),
        Some("crt") if !has_pem(text, "CERTIFICATE") => {
            Some("holds no certificate: it must be PEM, whole, with a line -----BEGIN CERTIFICATE-----")
        }
        Some("key") if !has_pem(text, "PRIVATE KEY") => {
            Some("holds no private key: it must be PEM, whole, with a line -----BEGIN PRIVATE KEY-----")
        }
        Some("json") if !is_json() => Some("holds no JSON object: it must be the key file of a service account"),
        // The worker takes one newline at the end away, as editors and echo leave it.
        None if text.trim_end_matches(['\r', '\n']).contains(['\r', '\n']) => Some("has more than one line"),
        None if text.starts_with(char::is_whitespace) => Some("begins with a space"),
        _ => None,
    }
}

/// Whether each block whose label ends so is whole, and there is one. What is in it is for the TLS library to judge.
fn has_pem(text: &str, label: &str) -> bool {
    let end = format!("{label}-----");
    let begins = text.lines().filter(|line| line.starts_with("-----BEGIN ") && line.trim_end().ends_with(&end)).count();
    let blocks = text.split("-----BEGIN ").skip(1).filter_map(|block| {
        let (head, rest) = block.split_once('\n')?;
        let (body, tail) = rest.split_once("-----END ")?;
        let is_it = head.trim_end().ends_with(&end) && tail.starts_with(head.trim_end().trim_end_matches('-'));
        (is_it && is_base64(body)).then_some(())
    });
    begins > 0 && blocks.count() == begins
}

/// Lines of base64, after the headers that encrypted keys of old have.
fn is_base64(body: &str) -> bool {
    let mut lines = body.lines().filter(|line| !line.contains(": ") && !line.trim().is_empty()).peekable();
    let of_base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte);
    lines.peek().is_some() && lines.all(|line| line.trim().bytes().all(of_base64))
}

/// What differs from the defaults; a list or a text is taken as a whole.
fn difference(value: Value, default: &Value) -> Option<Value> {
    match (value, default) {
        (Value::Object(fields), Value::Object(defaults)) => {
            let kept = fields.into_iter().filter_map(|(name, value)| {
                let value = difference(value, defaults.get(&name).unwrap_or(&Value::Null))?;
                Some((name, value))
            });
            let kept: serde_json::Map<_, _> = kept.collect();
            (!kept.is_empty()).then_some(Value::Object(kept))
        }
        (value, default) => (value != *default).then_some(value),
    }
}

fn yaml(settings: &Settings) -> String {
    let json = |settings: &Settings| serde_json::to_value(settings).expect("settings are a tree of texts");
    let mut differs = difference(json(settings), &json(&Settings::default())).unwrap_or(Value::Null);
    // Workers want it named, even the default one: nobody shall write to a store that he did not ask for.
    differs["storage"]["backend"] = json(settings)["storage"]["backend"].take();
    serde_saphyr::to_string(&differs).expect("a tree of texts can be written as YAML")
}

/// 128 bits over names and contents, in hexadecimal.
fn digest<'a>(parts: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> String {
    let mut hash = Sha256::new();
    for (name, bytes) in parts {
        for part in [name.as_bytes(), bytes] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
    }
    hash.finalize()[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}
