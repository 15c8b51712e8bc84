//! Rules for what goes to the Kafka client: the token endpoint and the client's further options.

use eventsink_crds::settings::{PASSED_ON, refusal};
use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use url::{Host, Url};

use super::checks::Checks;
use super::deserialize::nearest;
use super::error::Problem;

/// librdkafka's default of `receive.message.max.bytes`. Below it a legal batch of zstd may never decode, since the
/// buffer for one of unknown size grows by factors up to this limit (confluentinc/librdkafka#5260).
const LEAST_RECEIVED: u64 = 100_000_000;
/// What the client may read ahead where `memory.budget` is not set.
const READ_AHEAD: u64 = 128 << 20;

impl Checks<'_> {
    /// What the login by `OAUTHBEARER` needs.
    pub(super) fn oauth(&mut self) {
        let oauth = &self.settings.kafka.sasl.oauth;
        let why = "since kafka.sasl.mechanism is OAUTHBEARER";
        match &oauth.token_url {
            None => self.missing("kafka.sasl.oauth.token_url", format!("the token endpoint, {why}")),
            Some(url) => self.token_url(url),
        }
        if oauth.client_id.is_none() && oauth.client_id_file.is_none() {
            self.missing("kafka.sasl.oauth.client_id", format!("the id of the client, {why}"));
        }
        if oauth.client_secret.is_none() && oauth.client_secret_file.is_none() {
            self.missing("kafka.sasl.oauth.client_secret", format!("the secret of the client, {why}"));
        }
        for (name, value) in &oauth.extensions {
            let path = format!("kafka.sasl.oauth.extensions.{name}");
            // RFC 7628 section 3.1; `auth` is the token itself.
            if name.is_empty() || name == "auth" || !name.bytes().all(|byte| byte.is_ascii_alphabetic()) {
                self.refuse(&path, format!("the name {name:?}"), "letters, and not `auth`");
            } else if !value.bytes().all(|byte| (0x20..=0x7E).contains(&byte)) {
                self.refuse(&path, format!("{value:?}"), "printable ASCII");
            }
        }
    }

    fn token_url(&mut self, text: &str) {
        let path = "kafka.sasl.oauth.token_url";
        let Ok(url) = Url::parse(text) else {
            return self.refuse(path, "this", "a URL such as https://login.example.com/oauth2/token");
        };
        // Neither a login nor a query is shown.
        let shown = format!("{}://{}", url.scheme(), url.host_str().unwrap_or_default());
        if !url.username().is_empty() || url.password().is_some() {
            self.refuse(path, "***", "a URL without a login; use client_id and client_secret");
        } else if !url.has_host() || !matches!(url.scheme(), "https" | "http") {
            self.refuse(path, shown, "a URL such as https://login.example.com/oauth2/token");
        } else if is_link_local(&url) {
            self.refuse(path, shown, "a host that is not link-local: such addresses give away the machine's own keys");
        } else if url.scheme() == "http" && !self.settings.kafka.sasl.oauth.insecure_http {
            let allowed = "https://; set kafka.sasl.oauth.insecure_http: true to send the secret readable over http://";
            self.refuse(path, shown, allowed);
        }
    }

    /// Each option may be set, and the library takes its value.
    pub(super) fn options(&mut self) {
        let settings = self.settings;
        let budget = settings.memory.budget.map_or(READ_AHEAD, |budget| budget.as_u64() / 4);
        for (name, value) in settings.kafka.options.iter() {
            let path = format!("kafka.options.{name}");
            let number = || value.parse::<u64>().ok();
            match (refusal(name), name) {
                (Some(Some(why)), _) => self.add(&path, Problem::NotPassedOn { why }),
                (Some(None), _) => self.add(&path, unknown(name)),
                (None, "receive.message.max.bytes") if number().is_some_and(|bytes| bytes < LEAST_RECEIVED) => {
                    let allowed = format!("at least {LEAST_RECEIVED}: below it legal batches may never decode");
                    self.refuse(&path, value, allowed);
                }
                (None, "queued.max.messages.kbytes") if number().is_some_and(|kib| kib > budget >> 10) => {
                    let allowed = format!("at most {}, a quarter of memory.budget", budget >> 10);
                    self.refuse(&path, value, allowed);
                }
                (None, "fetch.max.bytes") if number().is_some_and(|bytes| bytes > budget) => {
                    self.refuse(&path, value, format!("at most {budget}, a quarter of memory.budget"));
                }
                (None, _) => {
                    if let Err(words) = accepted(name, value) {
                        self.add(&path, Problem::Library { words });
                    }
                }
            }
        }
    }
}

fn unknown(name: &str) -> Problem {
    let known: Vec<String> = PASSED_ON.iter().map(|&name| name.to_owned()).collect();
    Problem::UnknownKey { nearest: nearest(name, &known), known }
}

/// Whether the library takes a value, else its words.
fn accepted(name: &str, value: &str) -> Result<(), String> {
    match ClientConfig::new().set(name, value).create_native_config() {
        Ok(_) => Ok(()),
        Err(KafkaError::ClientConfig(_, words, ..)) => Err(words),
        Err(error) => Err(error.to_string()),
    }
}

/// Addresses of metadata services, which hand out the machine's identity to whoever asks.
fn is_link_local(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_link_local(),
        Some(Host::Ipv6(address)) => {
            address.is_unicast_link_local() || address.to_ipv4_mapped().is_some_and(|address| address.is_link_local())
        }
        _ => false,
    }
}
