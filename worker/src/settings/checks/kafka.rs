//! Rules for what goes to the Kafka client: the token endpoint and the client's further options.

use eventsink_crds::settings::{PASSED_ON, refusal};
use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use url::{Host, Url};

use super::super::deserialize::nearest;
use super::super::error::Problem;
use super::Checks;

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
        let (budget, why) = match settings.memory.budget {
            Some(budget) => (budget.as_u64() / 4, ", a quarter of memory.budget"),
            None => (READ_AHEAD, "; set memory.budget to allow more"),
        };
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
                    self.refuse(&path, value, format!("at most {}{why}", budget >> 10));
                }
                (None, "fetch.max.bytes" | "fetch.message.max.bytes")
                    if number().is_some_and(|bytes| bytes > budget) =>
                {
                    self.refuse(&path, value, format!("at most {budget}{why}"));
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
        // The library may end its words with a new line; a mistake is one line.
        Err(KafkaError::ClientConfig(_, words, ..)) => Err(words.trim().to_owned()),
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

#[cfg(test)]
mod tests {
    use super::super::super::tests::{LEAST, loaded, mistakes};
    use super::*;

    const OAUTH: &str = "  security_protocol: SASL_SSL\n  sasl:\n    mechanism: OAUTHBEARER\n    oauth: \
                         {token_url: 'https://login/token', client_id: c, client_secret: hunter2, \
                         extensions: {logicalCluster: lkc-1}}\n  consumer";

    fn with_oauth() -> String {
        LEAST.replace("  consumer", OAUTH)
    }

    fn with_options(options: &str) -> String {
        LEAST.replace("  consumer", &format!("  options: {{{options}}}\n  consumer"))
    }

    #[test]
    fn a_login_by_tokens_needs_no_user_and_keeps_the_case_of_extensions() {
        let settings = loaded(&with_oauth(), &[]);
        assert!(settings.kafka.logs_in_with_tokens());
        let extensions = &settings.kafka.sasl.oauth.extensions;
        assert_eq!(extensions.get("logicalCluster").map(String::as_str), Some("lkc-1"));
        assert!(!format!("{settings:?}").contains("hunter2"));
    }

    #[test]
    fn a_login_by_tokens_asks_for_all_that_it_needs() {
        let env =
            [("EVENTSINK__KAFKA__SECURITY_PROTOCOL", "SASL_SSL"), ("EVENTSINK__KAFKA__SASL__MECHANISM", "OAUTHBEARER")];
        let lines = mistakes(LEAST, &env);
        let paths: Vec<&str> = lines.iter().filter_map(|line| line.split(':').next()).collect();
        assert_eq!(paths, ["client_id", "client_secret", "token_url"].map(|key| format!("kafka.sasl.oauth.{key}")));
    }

    #[test]
    fn tokens_are_asked_for_over_https_at_no_metadata_service() {
        let path = "EVENTSINK__KAFKA__SASL__OAUTH__TOKEN_URL";
        for (url, why) in [
            ("http://login/token", "insecure_http"),
            ("https://a:hunter2@login/token", "without a login"),
            ("https://169.254.169.254/token", "link-local"),
            ("https://[fe80::1]/token", "link-local"),
            ("file:///etc/passwd", "a URL such as"),
            ("login", "a URL such as"),
        ] {
            let lines = mistakes(&with_oauth(), &[(path, url)]);
            assert!(lines.len() == 1 && lines[0].contains(why) && !lines[0].contains("hunter2"), "{url}: {lines:?}");
        }
        let insecure = ("EVENTSINK__KAFKA__SASL__OAUTH__INSECURE_HTTP", "true");
        let settings = loaded(&with_oauth(), &[(path, "http://login/token"), insecure]);
        assert_eq!(settings.warnings().len(), 1, "{:?}", settings.warnings());
    }

    #[test]
    fn extensions_follow_the_grammar_of_their_protocol() {
        let text = with_oauth().replace("logicalCluster: lkc-1", "auth: x, a_b: x, ok: \"a\\tb\"");
        assert_eq!(mistakes(&text, &[]).len(), 3);
    }

    #[test]
    fn an_extension_whose_case_would_be_lost_is_refused() {
        let name = "EVENTSINK__KAFKA__SASL__OAUTH__EXTENSIONS__LOGICALCLUSTER";
        let expected = format!(
            "variable {name}: names in kafka.sasl.oauth.extensions keep their case, which a variable cannot say; write \
             them in the file, with ${{VAR}} for a value"
        );
        assert_eq!(mistakes(&with_oauth(), &[(name, "lkc-2")]), [expected]);
    }

    #[test]
    fn options_come_by_name_from_the_file_and_by_sections_from_variables() {
        let text =
            with_options("socket.keepalive.enable: true, reconnect.backoff.ms: 50, reconnect.backoff.max.ms: 70");
        let settings = loaded(&text, &[("EVENTSINK__KAFKA__OPTIONS__RECONNECT__BACKOFF__MS", "60")]);
        let options: Vec<(&str, &str)> = settings.kafka.options.iter().collect();
        let expected =
            [("reconnect.backoff.max.ms", "70"), ("reconnect.backoff.ms", "60"), ("socket.keepalive.enable", "true")];
        assert_eq!(options, expected);
    }

    #[test]
    fn an_option_that_is_not_passed_on_says_why_and_where_it_stands() {
        let text = with_options("plugin.library.paths: x, group.id: y, socket.timeout: 1, auto.offset.reset: earliest");
        assert_eq!(
            mistakes(&text, &[]),
            [
                "kafka.options.auto.offset.reset: is not passed on: the ledger says where to read on; use kafka.consumer.start_from and kafka.on_loss (from application.yaml:4)",
                "kafka.options.group.id: is not passed on: it has a key of its own; use kafka.consumer.group_id (from application.yaml:4)",
                "kafka.options.plugin.library.paths: is not passed on: it loads code into the worker (from application.yaml:4)",
                "kafka.options.socket.timeout: unknown key; did you mean `socket.timeout.ms`? (from application.yaml:4)",
            ]
        );
    }

    #[test]
    fn the_library_judges_values_in_its_own_words() {
        let lines = mistakes(&with_options("socket.timeout.ms: 5, broker.address.family: v5"), &[]);
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(
            lines[0].contains("Invalid value") && lines[1].contains("outside allowed range 10..300000"),
            "{lines:?}"
        );
    }

    #[test]
    fn an_option_stays_within_the_memory_budget_and_above_what_batches_need() {
        let wide = "receive.message.max.bytes: 99999999, queued.max.messages.kbytes: 16385, fetch.max.bytes: 16777217, \
                    fetch.message.max.bytes: 16777217";
        let budget = [("EVENTSINK__MEMORY__BUDGET", "64MiB")];
        assert_eq!(mistakes(&with_options(wide), &budget).len(), 4);
        let fits = "receive.message.max.bytes: 200000000, queued.max.messages.kbytes: 16384, fetch.max.bytes: 16777216";
        loaded(&with_options(fits), &budget);
    }

    #[test]
    fn without_a_memory_budget_an_option_is_told_how_to_have_more() {
        let wide = "queued.max.messages.kbytes: 131073, fetch.max.bytes: 134217729, fetch.message.max.bytes: 134217729";
        let lines = mistakes(&with_options(wide), &[]);
        let helps = |line: &String| line.contains("at most 13") && line.contains("; set memory.budget to allow more");
        assert!(lines.len() == 3 && lines.iter().all(helps), "{lines:?}");
    }

    #[test]
    fn the_library_knows_every_option_that_is_passed_on() {
        let is_unknown = |name: &str| accepted(name, "x").is_err_and(|words| words.contains("No such"));
        assert!(is_unknown("no.such.option"));
        let unknown: Vec<_> = PASSED_ON.iter().filter(|name| is_unknown(name)).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
    }
}
