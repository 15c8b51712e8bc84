//! Section `kafka.sasl.oauth`: where tokens for brokers come from.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Secret, text};

/// Section `kafka.sasl.oauth`: the client credentials grant of OAuth 2.0 (RFC 6749 section 4.4).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OAuth {
    /// Token endpoint, `https://`. Required with `OAUTHBEARER`.
    pub token_url: Option<String>,
    /// The client's id. Required with `OAUTHBEARER`, here or by `client_id_file`.
    pub client_id: Option<String>,
    /// File that holds the client's id. After loading, `client_id` holds its content.
    pub client_id_file: Option<String>,
    /// The client's secret. Required with `OAUTHBEARER`, here or by `client_secret_file`.
    pub client_secret: Option<Secret>,
    /// File that holds the client's secret. After loading, `client_secret` holds its content.
    pub client_secret_file: Option<String>,
    /// What the token shall allow, separated by spaces. Default: what the endpoint gives by itself.
    pub scope: Option<String>,
    /// For whom the token shall be, at endpoints that ask for it (Auth0).
    pub audience: Option<String>,
    /// SASL extensions that go to the brokers beside the token (KIP-342), such as `logicalCluster` and
    /// `identityPoolId`. Default: none.
    pub extensions: BTreeMap<String, String>,
    /// Authorities (PEM) of the endpoint, beside those of the system.
    pub ca_file: Option<String>,
    /// Allow an endpoint that begins with `http://`. Default: false.
    #[serde(with = "text::flag")]
    pub insecure_http: bool,
}
