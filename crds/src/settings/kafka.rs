//! Section `kafka`: brokers, security, consumer group and what to do when the log and the ledger differ.

use serde::{Deserialize, Serialize};

use super::{List, OAuth, Options, Secret, Span, StartFrom, text};

/// Section `kafka`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Kafka {
    /// Brokers to ask first, each `host:port` (port 9092 when left out). Required.
    pub bootstrap_servers: List,
    /// How connections are protected and who logs in. Default: `PLAINTEXT`.
    pub security_protocol: SecurityProtocol,
    /// The login, used by `SASL_PLAINTEXT` and `SASL_SSL`.
    pub sasl: Sasl,
    /// Certificates, used by `SSL` and `SASL_SSL`.
    pub tls: Tls,
    /// The consumer group and what it reads.
    pub consumer: Consumer,
    /// Further options of the Kafka client under librdkafka's own names, of those that are safe to set.
    pub options: Options,
    /// What a partition does when somebody moved the group's committed offsets. Default: `hold`.
    pub on_offsets_moved: OnOffsetsMoved,
    /// What a partition does when Kafka deleted records before they were written. Default: `hold`.
    pub on_loss: OnLoss,
}

impl Kafka {
    /// Whether the login is by `OAUTHBEARER`.
    pub fn logs_in_with_tokens(&self) -> bool {
        self.security_protocol.has_sasl() && self.sasl.mechanism == SaslMechanism::OAuthBearer
    }
}

/// How connections to brokers are protected; the names are Kafka's own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum SecurityProtocol {
    /// Neither encryption nor login.
    #[default]
    Plaintext,
    /// TLS; a client certificate may log in.
    Ssl,
    /// Login by SASL without encryption.
    SaslPlaintext,
    /// TLS and login by SASL.
    SaslSsl,
}

impl SecurityProtocol {
    /// Whether the client logs in by SASL.
    pub fn has_sasl(self) -> bool {
        matches!(self, Self::SaslPlaintext | Self::SaslSsl)
    }

    /// Whether connections are encrypted.
    pub fn has_tls(self) -> bool {
        matches!(self, Self::Ssl | Self::SaslSsl)
    }

    /// The name as Kafka and its clients write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plaintext => "PLAINTEXT",
            Self::Ssl => "SSL",
            Self::SaslPlaintext => "SASL_PLAINTEXT",
            Self::SaslSsl => "SASL_SSL",
        }
    }
}

/// Section `kafka.sasl`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sasl {
    /// Default: `SCRAM-SHA-512`.
    pub mechanism: SaslMechanism,
    /// User name of SCRAM and PLAIN, required for them here or by `username_file`.
    pub username: Option<String>,
    /// File that holds the user name. After loading, `username` holds its content.
    pub username_file: Option<String>,
    /// Password of SCRAM and PLAIN, required for them here or by `password_file`.
    pub password: Option<Secret>,
    /// File that holds the password. After loading, `password` holds its content.
    pub password_file: Option<String>,
    /// Where the tokens of `OAUTHBEARER` come from.
    pub oauth: OAuth,
}

/// How a SASL login is proven; the names are Kafka's own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SaslMechanism {
    /// Salted challenge and response with SHA-256; the password is never sent.
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    /// Salted challenge and response with SHA-512; the password is never sent.
    #[default]
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
    /// The password is sent as it is: only sensible with `SASL_SSL`.
    #[serde(rename = "PLAIN")]
    Plain,
    /// A token that a token endpoint gave is sent: only sensible with `SASL_SSL`.
    #[serde(rename = "OAUTHBEARER")]
    OAuthBearer,
}

impl SaslMechanism {
    /// The name as Kafka and its clients write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
            Self::Plain => "PLAIN",
            Self::OAuthBearer => "OAUTHBEARER",
        }
    }
}

/// Section `kafka.tls`. All files are PEM; paths are relative to the working directory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// Authorities that may sign the brokers' certificates. Default: those of the system.
    pub ca_file: Option<String>,
    /// Client certificate; comes together with `key_file`.
    pub certificate_file: Option<String>,
    /// Private key of the client certificate.
    pub key_file: Option<String>,
    /// Password of the private key.
    pub key_password: Option<Secret>,
    /// File that holds the password of the private key. After loading, `key_password` holds its content.
    pub key_password_file: Option<String>,
    /// Accept any certificate of a broker. Anyone on the path can then read and change events. Default: false.
    #[serde(with = "text::flag")]
    pub insecure_skip_verify: bool,
}

/// Section `kafka.consumer`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Consumer {
    /// Consumer group. One group per sink: two sinks that share one take each other's partitions. Required.
    pub group_id: String,
    /// Topics to read, by name. Required.
    pub topics: List,
    /// Where partitions start that have no ledger and no committed offset: `earliest`, `latest` or a
    /// time such as `2025-12-21T10:00:00Z`. Fixed for good by the first start. Default: `earliest`.
    pub start_from: StartFrom,
    /// A member that is silent for this long loses its partitions, 1s to 1h. Default: `45s`.
    pub session_timeout: Span,
    /// A member that does not poll for this long leaves the group; not below `session_timeout`, at least 5s
    /// more than `shutdown.deadline`, at most 24h. Default: `5m`.
    pub max_poll_interval: Span,
    /// The rack (cloud zone) of this worker, so that it reads from the nearest replica (KIP-392).
    pub client_rack: Option<String>,
}

impl Default for Consumer {
    fn default() -> Self {
        Self {
            group_id: String::new(),
            topics: List::default(),
            start_from: StartFrom::default(),
            session_timeout: Span::from_secs(45),
            max_poll_interval: Span::from_secs(300),
            client_rack: None,
        }
    }
}

/// What a partition does when its committed offset is neither ours nor below the ledger's tip.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnOffsetsMoved {
    /// The partition holds with `OffsetsMoved` until somebody decides.
    #[default]
    Hold,
    /// The ledger is right; the committed offset is overwritten.
    Ignore,
}

/// What a partition does when records were deleted before they were written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnLoss {
    /// The partition holds with `OffsetLost` until somebody decides.
    #[default]
    Hold,
    /// The partition goes on after the hole, and the loss is named in the bucket under `lost/`.
    Skip,
}
