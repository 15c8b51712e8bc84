//! What went wrong with the store, in kinds that callers branch on and words that users can act on.
//! Pure: an `object_store` error goes in, a `StoreError` comes out. Secrets never pass through here.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::time::Duration;

use super::wire::{NoAnswer, Refusal, is_metadata_host};

/// The kinds of store faults. All of them are worth another try later; `Denied` and `NoBucket` need a person first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StoreErrorKind {
    /// No usable answer: connection refused or reset, unknown host, untrusted certificate, status 5xx.
    Unreachable,
    /// The store took longer than the request may take.
    Timeout,
    /// The store asks for fewer requests: status 429 or 503, `SlowDown`.
    Throttled,
    /// Keys or rights do not suffice; on disk, permissions or a read-only file system.
    Denied,
    /// The bucket or the base folder is not there.
    NoBucket,
    /// No space or no quota left.
    Full,
    /// Another request on the same key was under way, and nothing is there yet.
    Conflict,
    /// Everything else; the message has the store's words.
    Other,
}

impl StoreErrorKind {
    /// Every kind, for metrics that must exist before the first of its kind.
    pub const ALL: [Self; 8] = [
        Self::Unreachable,
        Self::Timeout,
        Self::Throttled,
        Self::Denied,
        Self::NoBucket,
        Self::Full,
        Self::Conflict,
        Self::Other,
    ];

    /// The label used in metrics and in `/status`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::Throttled => "throttled",
            Self::Denied => "denied",
            Self::NoBucket => "no_bucket",
            Self::Full => "full",
            Self::Conflict => "conflict",
            Self::Other => "other",
        }
    }

    /// Whether only a person can cure it, so that a breaker opens at the first one.
    pub fn needs_a_person(self) -> bool {
        matches!(self, Self::Denied | Self::NoBucket)
    }
}

/// A failed operation on the store. The causes of `object_store` are not kept as `source`: their texts hold request
/// URLs and, for a refused signature, the signature itself; what they say is in the message.
#[derive(Debug, Clone)]
pub struct StoreError {
    kind: StoreErrorKind,
    what: String,
    message: String,
    retry_after: Option<Duration>,
}

impl StoreError {
    /// What kind of fault it is.
    pub fn kind(&self) -> StoreErrorKind {
        self.kind
    }

    /// The operation and the key, such as `put events/a.parquet`.
    pub fn what(&self) -> &str {
        &self.what
    }

    /// The store's words and the way out.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// How long the store asked to be left alone.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {}: {}", self.what, self.message)
    }
}

impl StdError for StoreError {}

/// What holds the objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Folder,
    Bucket,
    Container,
}

/// Where the store is, for messages: `place` is `Store::describe`, `endpoint` the address it is dialled at.
#[derive(Debug, Clone)]
pub(super) struct Location {
    pub place: String,
    pub endpoint: String,
    pub kind: Place,
    /// Values that are cut out of every message, should a store echo them.
    pub secrets: Vec<super::Secret>,
}

impl Location {
    /// An error with our own words.
    pub fn error(&self, kind: StoreErrorKind, what: impl Into<String>, words: &str) -> StoreError {
        let words = self.scrub(words);
        let message = match self.way_out(kind) {
            Some(way_out) => format!("{words}; {way_out}"),
            None => words,
        };
        StoreError { kind, what: what.into(), message, retry_after: None }
    }

    /// An error with the words of whatever `object_store` or the system reported.
    pub fn classify(&self, what: &str, error: &(dyn StdError + 'static)) -> StoreError {
        let finding = Finding::of(error);
        let mut told = self.error(finding.kind, what, &finding.words);
        told.retry_after = finding.retry_after;
        told
    }

    /// An error while the store is opened.
    pub fn opening(&self, error: &(dyn StdError + 'static)) -> StoreError {
        self.classify(&format!("open {}", self.place), error)
    }

    /// Whether the objects are files of this machine.
    pub fn on_disk(&self) -> bool {
        self.kind == Place::Folder
    }

    fn way_out(&self, kind: StoreErrorKind) -> Option<String> {
        let Self { place, endpoint, .. } = self;
        let text = match (kind, self.kind) {
            (StoreErrorKind::Denied, Place::Folder) => {
                format!("check that this user may write below {place} and that its file system has hard links")
            }
            (StoreErrorKind::Denied, _) => {
                format!("check the keys, their clock, and the rights to put, get and list on {place}")
            }
            (StoreErrorKind::NoBucket, Place::Folder) => {
                format!("mount or restore {place}; it is not created again while the process runs")
            }
            (StoreErrorKind::NoBucket, Place::Bucket) => {
                format!("create the bucket of {place} at {endpoint} or correct its name")
            }
            (StoreErrorKind::NoBucket, Place::Container) => {
                format!("create the container of {place} at {endpoint} or correct its name")
            }
            (StoreErrorKind::Unreachable | StoreErrorKind::Timeout, Place::Folder) => format!("check {place}"),
            (StoreErrorKind::Unreachable | StoreErrorKind::Timeout, _) => {
                format!("check the network and the proxy to it; the store is at {endpoint}")
            }
            (StoreErrorKind::Full, _) => format!("free space or raise the quota of {place}"),
            (StoreErrorKind::Throttled, _) => format!("{endpoint} asks for fewer requests"),
            (StoreErrorKind::Conflict | StoreErrorKind::Other, _) => return None,
        };
        Some(text)
    }

    fn scrub(&self, text: &str) -> String {
        let mut text = without_queries(text);
        for secret in self.secrets.iter().map(super::Secret::expose).filter(|s| !s.is_empty()) {
            text = text.replace(secret, "***");
        }
        text
    }
}

/// Query strings may be signed; none is needed to understand a fault.
fn without_queries(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for word in text.split_inclusive(char::is_whitespace) {
        match word.split_once('?') {
            Some((head, tail)) if head.contains("://") => {
                out.push_str(head);
                out.extend(tail.chars().last().filter(|c| c.is_whitespace()));
            }
            _ => out.push_str(word),
        }
    }
    out
}

/// What a chain of causes comes down to.
struct Finding {
    kind: StoreErrorKind,
    words: String,
    retry_after: Option<Duration>,
}

impl Finding {
    fn of(error: &(dyn StdError + 'static)) -> Self {
        let mut cause = Some(error);
        while let Some(at) = cause {
            if let Some(found) = Self::known(at) {
                return found;
            }
            cause = at.source();
        }
        let words = error.to_string();
        // The one answer of a metadata service that is left to its client.
        if words.contains("://169.254.") {
            return Self::no_credentials(&words);
        }
        let kind = match error.downcast_ref() {
            Some(object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. }) => {
                StoreErrorKind::Denied
            }
            _ => StoreErrorKind::Other,
        };
        Self { kind, words, retry_after: None }
    }

    fn known(cause: &(dyn StdError + 'static)) -> Option<Self> {
        if let Some(refusal) = cause.downcast_ref::<Refusal>() {
            let passing = refusal.status == 429 || refusal.status >= 500;
            if is_metadata_host(&refusal.host) && !passing {
                return Some(Self::no_credentials(&refusal.to_string()));
            }
            let kind = kind_of_refusal(refusal.status, &refusal.code, &refusal.words);
            return Some(Self { kind, words: refusal.to_string(), retry_after: refusal.retry_after });
        }
        if let Some(silent) = cause.downcast_ref::<NoAnswer>() {
            if is_metadata_host(&silent.host) {
                return Some(Self::no_credentials(&silent.to_string()));
            }
            let kind = match silent.timed_out {
                true => StoreErrorKind::Timeout,
                false => StoreErrorKind::Unreachable,
            };
            return Some(Self { kind, words: silent.to_string(), retry_after: None });
        }
        let io = cause.downcast_ref::<io::Error>()?;
        // An `io::Error` may only wrap the cause that says more.
        if io.get_ref().is_some() {
            return None;
        }
        Some(Self { kind: kind_of_io(io.kind()), words: io.to_string(), retry_after: None })
    }

    fn no_credentials(words: &str) -> Self {
        Self {
            kind: StoreErrorKind::Denied,
            words: format!("no keys were given, and this machine's metadata service gave none ({words})"),
            retry_after: None,
        }
    }
}

/// Status, code and words of a refusal; codes as in the lists of S3, Azure Blob, Google Cloud Storage and OAuth
/// (RFC 6749 section 5.2), and those of stores that speak S3.
fn kind_of_refusal(status: u16, code: &str, words: &str) -> StoreErrorKind {
    match code {
        "NoSuchBucket" | "ContainerNotFound" | "ContainerBeingDeleted" | "ContainerDisabled" => {
            return StoreErrorKind::NoBucket;
        }
        "SlowDown"
        | "Throttling"
        | "ThrottlingException"
        | "RequestLimitExceeded"
        | "TooManyRequests"
        | "ServerBusy"
        | "rateLimitExceeded"
        | "userRateLimitExceeded" => return StoreErrorKind::Throttled,
        "RequestTimeout" | "OperationTimedOut" => return StoreErrorKind::Timeout,
        "QuotaExceeded" | "XMinioStorageFull" | "InsufficientStorage" => return StoreErrorKind::Full,
        // Keys that may create and not overwrite meet an object: whether it is there decides.
        "UnauthorizedBlobOverwrite" => return StoreErrorKind::Conflict,
        _ if status == 403 && words.contains("storage.objects.delete") => return StoreErrorKind::Conflict,
        "ExpiredToken"
        | "InvalidToken"
        | "InvalidAccessKeyId"
        | "SignatureDoesNotMatch"
        | "AuthorizationHeaderMalformed"
        | "AccessDenied"
        | "AuthenticationFailed"
        | "InvalidAuthenticationInfo"
        | "invalid_client"
        | "invalid_grant"
        | "invalid_request"
        | "invalid_resource"
        | "invalid_scope"
        | "unauthorized_client" => return StoreErrorKind::Denied,
        _ => {}
    }
    match status {
        401 | 403 => StoreErrorKind::Denied,
        408 | 504 => StoreErrorKind::Timeout,
        409 => StoreErrorKind::Conflict,
        429 | 503 => StoreErrorKind::Throttled,
        507 => StoreErrorKind::Full,
        // The request can never be served, so nothing is wrong with the way to the store.
        501 => StoreErrorKind::Other,
        500.. => StoreErrorKind::Unreachable,
        _ => StoreErrorKind::Other,
    }
}

fn kind_of_io(kind: io::ErrorKind) -> StoreErrorKind {
    match kind {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreErrorKind::Full,
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => StoreErrorKind::Denied,
        io::ErrorKind::TimedOut => StoreErrorKind::Timeout,
        io::ErrorKind::StaleNetworkFileHandle
        | io::ErrorKind::ConnectionRefused
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable => StoreErrorKind::Unreachable,
        _ => StoreErrorKind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Secret;

    fn bucket() -> Location {
        Location {
            place: "s3://b/p".into(),
            endpoint: "https://s3.example.com".into(),
            kind: Place::Bucket,
            secrets: vec![Secret::new("AKIA1"), Secret::new("")],
        }
    }

    #[test]
    fn codes_and_statuses_come_down_to_kinds() {
        use StoreErrorKind::*;
        let table = [
            (403, "AccessDenied", Denied),
            (401, "", Denied),
            (400, "ExpiredToken", Denied),
            (404, "NoSuchBucket", NoBucket),
            (429, "", Throttled),
            (503, "SlowDown", Throttled),
            (503, "", Throttled),
            (400, "RequestTimeout", Timeout),
            (504, "", Timeout),
            (500, "InternalError", Unreachable),
            (502, "", Unreachable),
            (501, "NotImplemented", Other),
            (507, "", Full),
            (409, "ConditionalRequestConflict", Conflict),
            (400, "KeyTooLongError", Other),
            (404, "ContainerNotFound", NoBucket),
            (409, "ContainerBeingDeleted", NoBucket),
            (409, "BlobAlreadyExists", Conflict),
            (403, "UnauthorizedBlobOverwrite", Conflict),
            (403, "AuthorizationPermissionMismatch", Denied),
            (400, "InvalidAuthenticationInfo", Denied),
            (503, "ServerBusy", Throttled),
            (500, "OperationTimedOut", Timeout),
            (403, "userRateLimitExceeded", Throttled),
            (401, "authError", Denied),
            (400, "invalid_grant", Denied),
        ];
        for (status, code, kind) in table {
            assert_eq!(kind_of_refusal(status, code, ""), kind, "{status} {code}");
        }
    }

    #[test]
    fn a_missing_right_to_delete_means_that_something_was_there() {
        let words = "sink@p.iam does not have storage.objects.delete access to the Google Cloud Storage object.";
        assert_eq!(kind_of_refusal(403, "AccessDenied", words), StoreErrorKind::Conflict);
        assert_eq!(kind_of_refusal(403, "AccessDenied", &words.replace("delete", "create")), StoreErrorKind::Denied);
    }

    #[test]
    fn the_systems_words_decide_the_kind_of_a_disk_fault() {
        let disk = Location { kind: Place::Folder, ..bucket() };
        for (errno, kind) in [
            (28, StoreErrorKind::Full),
            (122, StoreErrorKind::Full),
            (13, StoreErrorKind::Denied),
            (30, StoreErrorKind::Denied),
            (116, StoreErrorKind::Unreachable),
            (5, StoreErrorKind::Other),
        ] {
            let cause = io::Error::from_raw_os_error(errno);
            let wrapped = object_store::Error::Generic { store: "LocalFileSystem", source: Box::new(cause) };
            assert_eq!(disk.classify("put k", &wrapped).kind(), kind, "errno {errno}");
        }
    }

    #[test]
    fn a_message_names_the_operation_the_words_and_the_way_out() {
        let error = bucket().error(StoreErrorKind::Denied, "put a/b", "s3 answered 403");
        assert_eq!(
            error.to_string(),
            "cannot put a/b: s3 answered 403; check the keys, their clock, and the rights to put, get and list on s3://b/p"
        );
    }

    #[test]
    fn keys_and_signed_queries_are_cut_out() {
        let words = "GET https://h/k?X-Amz-Signature=abc failed for AKIA1 (why?)";
        let error = bucket().error(StoreErrorKind::Other, "get k", words);
        assert_eq!(error.message(), "GET https://h/k failed for *** (why?)");
    }

    #[test]
    fn a_metadata_service_that_is_silent_or_refuses_means_missing_keys() {
        for host in ["169.254.169.254", "metadata.google.internal"] {
            let silent = NoAnswer { host: host.into(), words: "connection refused".into(), timed_out: false };
            assert_eq!(bucket().classify("put k", &silent).kind(), StoreErrorKind::Denied);
            let refusal = |status, code: &str| Refusal {
                host: host.into(),
                status,
                code: code.into(),
                words: "Identity not found".into(),
                retry_after: None,
            };
            let refused = bucket().classify("put k", &refusal(400, "invalid_request"));
            assert_eq!(refused.kind(), StoreErrorKind::Denied);
            assert!(refused.message().contains("gave none") && refused.message().contains("Identity not found"));
            assert_eq!(bucket().classify("put k", &refusal(429, "")).kind(), StoreErrorKind::Throttled);
        }
    }
}
