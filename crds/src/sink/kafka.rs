//! `spec.kafka`.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{BasicSecret, CaSecret, CertificateSecret};

/// Where events come from.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.groupId) == has(oldSelf.groupId) && (!has(self.groupId) || self.groupId == oldSelf.groupId)")
    .message("kafka.groupId cannot be changed: another group would start from other offsets; make another EventSink with a base path of its own"))]
pub struct Kafka {
    /// Brokers to ask first, each `host:port`; the port is 9092 when left out.
    #[schemars(length(min = 1, max = 32), inner(length(min = 1, max = 300)))]
    pub bootstrap_servers: Vec<String>,
    /// Topics to read, by name. Topics may be added later; one that was there cannot be taken away.
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 249), regex(pattern = r"^[a-zA-Z0-9._-]+$")))]
    #[x_kube(validation = Rule::new("oldSelf.all(topic, topic in self)")
        .message("kafka.topics may grow but not shrink: delete the EventSink and apply it anew to stop reading a topic; files and ledger stay"))]
    #[x_kube(validation = Rule::new("self.all(topic, self.exists_one(other, other == topic))")
        .message("kafka.topics must not name a topic twice"))]
    pub topics: Vec<String>,
    /// Consumer group, used by this sink alone. Default: `eventsink.NAMESPACE.NAME`. It cannot be changed later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 249))]
    pub group_id: Option<String>,
    /// Where partitions start that have neither a ledger nor a committed offset: `earliest`, `latest`, or a time such as
    /// `2025-12-21T10:00:00Z`. Fixed for good by the first start.
    #[serde(default = "earliest")]
    #[schemars(
        length(max = 40),
        regex(pattern = r"^(earliest|latest|[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+(Z|[+-][0-9]{2}:[0-9]{2}))$")
    )]
    #[x_kube(validation = Rule::new("self == oldSelf")
        .message("kafka.startFrom cannot be changed: the first start has fixed it in the bucket"))]
    pub start_from: String,
    /// How connections to the brokers are protected and who logs in.
    #[serde(default)]
    pub security: Security,
    /// What a partition does when somebody moved the group's committed offsets: Hold (wait until somebody decides) or
    /// Ignore (the ledger is right).
    #[serde(default)]
    pub on_offsets_moved: OnOffsetsMoved,
    /// What a partition does when Kafka deleted records before they were written: Hold (wait until somebody decides) or
    /// Skip (go on, and name the loss in the bucket).
    #[serde(default)]
    pub on_loss: OnLoss,
    /// Further options of the Kafka client by librdkafka's own names, of those that are safe to set, such as
    /// `socket.keepalive.enable: "true"`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
}

fn earliest() -> String {
    "earliest".to_owned()
}

/// What a partition does when its committed offset is neither ours nor below the ledger's tip.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnOffsetsMoved {
    /// It holds until somebody decides.
    #[default]
    Hold,
    /// The ledger is right; the committed offset is overwritten.
    Ignore,
}

/// What a partition does when records were deleted before they were written.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnLoss {
    /// It holds until somebody decides.
    #[default]
    Hold,
    /// It goes on after the hole, and the loss is named in the bucket.
    Skip,
}

/// How connections to the brokers are protected and who logs in.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!self.protocol.startsWith('SASL') || has(self.sasl)")
    .message("kafka.security.protocol says SASL: add kafka.security.sasl with a mechanism and a secretRef"))]
#[x_kube(validation = Rule::new("self.protocol.startsWith('SASL') || !has(self.sasl)")
    .message("kafka.security.sasl is only used with the protocols SASL_SSL and SASL_PLAINTEXT: set kafka.security.protocol, or leave sasl out"))]
#[x_kube(validation = Rule::new("self.protocol.endsWith('SSL') || !has(self.tls)")
    .message("kafka.security.tls is only used with the protocols SSL and SASL_SSL: set kafka.security.protocol, or leave tls out"))]
pub struct Security {
    /// PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL, as Kafka's own tools call them.
    #[serde(default)]
    pub protocol: Protocol,
    /// The login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sasl: Option<Sasl>,
    /// Certificates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
}

/// How connections to brokers are protected; the names are Kafka's own.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Protocol {
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

/// A login by SASL.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(self.mechanism == 'OAUTHBEARER') == has(self.oauth)")
    .message("kafka.security.sasl.oauth belongs to the mechanism OAUTHBEARER and to no other"))]
pub struct Sasl {
    /// SCRAM-SHA-512, SCRAM-SHA-256, PLAIN or OAUTHBEARER.
    #[serde(default)]
    pub mechanism: SaslMechanism,
    /// Secret with user name and password; with OAUTHBEARER the id and the secret of the client.
    pub secret_ref: BasicSecret,
    /// Where the tokens of OAUTHBEARER come from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oauth: Option<OAuth>,
}

/// How a SASL login is proven; the names are Kafka's own.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SaslMechanism {
    /// Salted challenge and response with SHA-256; the password is never sent.
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    /// Salted challenge and response with SHA-512; the password is never sent.
    #[default]
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
    /// The password is sent as it is: only sensible with SASL_SSL.
    #[serde(rename = "PLAIN")]
    Plain,
    /// A token that a token endpoint gave is sent: only sensible with SASL_SSL.
    #[serde(rename = "OAUTHBEARER")]
    OAuthBearer,
}

/// The client credentials grant of OAuth 2.0 (RFC 6749 section 4.4).
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct OAuth {
    /// Token endpoint, `https://`.
    #[schemars(length(max = 2048), regex(pattern = "^https?://"))]
    pub token_url: String,
    /// What the token shall allow, separated by spaces. Default: what the endpoint gives by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub scope: Option<String>,
    /// For whom the token shall be, at endpoints that ask for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub audience: Option<String>,
    /// SASL extensions that go to the brokers beside the token (KIP-342), such as `logicalCluster`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub extensions: BTreeMap<String, String>,
    /// Authorities that may sign the endpoint's certificate, beside the public ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_secret_ref: Option<CaSecret>,
    /// Allow an endpoint that begins with `http://`: the client's secret travels readable.
    #[serde(default)]
    pub insecure_http: bool,
}

/// Certificates for the connections to brokers.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Tls {
    /// Authorities that may sign the brokers' certificates. Default: the public ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_secret_ref: Option<CaSecret>,
    /// Client certificate that logs in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret_ref: Option<CertificateSecret>,
    /// Accept any certificate of a broker. Anyone on the path can then read and change events.
    #[serde(default)]
    pub insecure_skip_verify: bool,
}
