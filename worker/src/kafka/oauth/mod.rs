//! Tokens for the login by OAUTHBEARER. The library can fetch them itself only with curl, which is not built in; so a
//! thread per client fetches them and hands them over, early enough that no connection ever waits for one.
//!
//! Nothing waits for this thread: a client without a token does not connect, and says why on its queue.

mod answer;
mod endpoint;

use super::raw;
use endpoint::Endpoint;
use eventsink_crds::settings::{Kafka, OAuth};
use rdkafka::client::{Client, ClientContext};
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::oneshot;
use tracing::{debug, info};

/// First pause after a failure; each further one doubles it.
const PAUSE: Duration = Duration::from_secs(1);
/// Longest pause after a failure.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A token is never replaced sooner, however short its life is.
const LEAST_USE: Duration = Duration::from_millis(500);
/// What the library puts before our words when it reports a failure.
const REPORTED: &str = "Failed to acquire SASL OAUTHBEARER token: ";

/// A token as a client takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// The token itself.
    pub value: String,
    /// When it expires.
    pub expires: SystemTime,
}

/// Why there can be no tokens at all. A failed request is none of these: it is tried again.
#[derive(Debug, thiserror::Error)]
pub enum OAuthError {
    /// The authorities of the endpoint cannot be used.
    #[error("kafka.sasl.oauth.ca_file: {file}: {words}")]
    Authorities {
        /// The file.
        file: String,
        /// What is wrong with it.
        words: String,
    },
    /// The HTTP client cannot be made.
    #[error("kafka.sasl.oauth: no HTTP client: {0}")]
    Http(#[from] reqwest::Error),
    /// The system refused a thread.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// What keeps one client supplied; it belongs into the client's context, with which it ends.
#[derive(Debug)]
pub struct Alive {
    _dropped: oneshot::Sender<()>,
}

/// A login by tokens, before it has its client.
pub struct Login {
    endpoint: Endpoint,
    principal: String,
    extensions: BTreeMap<String, String>,
    gone: oneshot::Receiver<()>,
}

impl Login {
    /// The login that the settings ask for and what its client's context must hold; `None` for other mechanisms.
    ///
    /// # Errors
    /// `ca_file` cannot be used.
    pub fn of(kafka: &Kafka) -> Result<Option<(Self, Alive)>, OAuthError> {
        if !kafka.logs_in_with_tokens() {
            return Ok(None);
        }
        let oauth: &OAuth = &kafka.sasl.oauth;
        let (dropped, gone) = oneshot::channel();
        let login = Self {
            endpoint: Endpoint::new(oauth)?,
            principal: oauth.client_id.clone().unwrap_or_default(),
            extensions: oauth.extensions.clone(),
            gone,
        };
        Ok(Some((login, Alive { _dropped: dropped })))
    }

    /// Supplies `client` until it is dropped; `inner` is the library's handle in it.
    ///
    /// # Errors
    /// The system refused a thread.
    pub fn supply<T: Send + Sync + 'static, C: ClientContext + 'static>(
        self,
        client: &Arc<T>,
        inner: fn(&T) -> &Client<C>,
    ) -> Result<(), OAuthError> {
        let client = Arc::downgrade(client);
        let io = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new().name("oauth".to_owned()).spawn(move || io.block_on(self.run(&client, inner)))?;
        Ok(())
    }

    async fn run<T, C: ClientContext>(mut self, client: &Weak<T>, inner: fn(&T) -> &Client<C>) {
        let mut failures = 0;
        loop {
            let fetched = tokio::select! {
                fetched = self.endpoint.fetch() => fetched,
                _ = &mut self.gone => return,
            };
            let Some(client) = client.upgrade() else { return };
            let wait = match fetched.and_then(|token| self.hand_over(inner(&client), &token).map(|()| token)) {
                Ok(token) => {
                    if failures > 0 {
                        info!(endpoint = self.endpoint.place(), "tokens are given again");
                    }
                    failures = 0;
                    use_for(token.expires.duration_since(SystemTime::now()).unwrap_or_default())
                }
                Err(words) => {
                    debug!(failures, words, "no token");
                    raw::set_token_failure(inner(&client), &words);
                    failures += 1;
                    pause(failures)
                }
            };
            // Held only for the moment: whoever drops the client must not wait for a token.
            drop(client);
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                _ = &mut self.gone => return,
            }
        }
    }

    fn hand_over<C: ClientContext>(&self, client: &Client<C>, token: &Token) -> Result<(), String> {
        let life = token.expires.duration_since(UNIX_EPOCH).unwrap_or_default();
        let expires = i64::try_from(life.as_millis()).unwrap_or(i64::MAX);
        raw::set_token(client, (&token.value, expires), &self.principal, &self.extensions)
            .map_err(|words| format!("{} gave an unusable token: {words}", self.endpoint.place()))
    }
}

/// What went wrong with a token, out of the library's report; `None` when it reports something else.
pub fn reported(text: &str) -> Option<&str> {
    text.strip_prefix(REPORTED)
}

/// Four fifths of a token's life, as the library itself does; divided first, since an endpoint may name any life.
fn use_for(life: Duration) -> Duration {
    (life / 5 * 4).max(LEAST_USE)
}

fn pause(failures: u32) -> Duration {
    PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(5)).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_replaced_while_a_fifth_of_its_life_is_left() {
        assert_eq!(use_for(Duration::from_secs(3600)), Duration::from_secs(2880));
        assert_eq!(use_for(Duration::ZERO), LEAST_USE);
        assert!(use_for(Duration::MAX) > Duration::MAX / 2);
    }

    #[test]
    fn pauses_double_up_to_the_longest() {
        let pauses: Vec<u64> = (1..9).map(|failures| pause(failures).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30, 30]);
    }
}
