//! One POST to the token endpoint (RFC 6749 section 4.4.2). Follows no redirect, reads no more than it must.

use super::{OAuthError, Token, answer};
use eventsink_crds::settings::{OAuth, Secret};
use reqwest::{Certificate, Client, redirect};
use std::error::Error;
use std::time::{Duration, SystemTime};
use url::Url;
use url::form_urlencoded::byte_serialize;

/// Time to connect.
const CONNECT: Duration = Duration::from_secs(5);
/// Time for a whole request.
const REQUEST: Duration = Duration::from_secs(15);
/// Longest answer that is read.
const MAX_ANSWER: usize = 256 << 10;

/// Where tokens come from and who asks for them.
pub(super) struct Endpoint {
    http: Client,
    url: String,
    place: String,
    client_id: String,
    client_secret: Secret,
    form: Vec<(&'static str, String)>,
}

impl Endpoint {
    pub(super) fn new(oauth: &OAuth) -> Result<Self, OAuthError> {
        let url = oauth.token_url.clone().unwrap_or_default();
        let mut http = Client::builder()
            .user_agent(concat!("eventsink/", env!("CARGO_PKG_VERSION")))
            .https_only(!oauth.insecure_http)
            // A redirect would carry the secret to wherever it points.
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT)
            .timeout(REQUEST);
        if let Some(file) = &oauth.ca_file {
            http = http.tls_certs_merge(authorities(file)?);
        }
        let mut form = vec![("grant_type", "client_credentials".to_owned())];
        form.extend(oauth.scope.clone().map(|scope| ("scope", scope)));
        form.extend(oauth.audience.clone().map(|audience| ("audience", audience)));
        Ok(Self {
            http: http.build()?,
            place: place(&url),
            url,
            client_id: oauth.client_id.clone().unwrap_or_default(),
            client_secret: oauth.client_secret.clone().unwrap_or_else(|| Secret::new("")),
            form,
        })
    }

    /// The endpoint as messages name it: without a query, which may hold a key.
    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// Asks once.
    ///
    /// # Errors
    /// What is wrong, beginning with the endpoint.
    pub(super) async fn fetch(&self) -> Result<Token, String> {
        let told = |words: String| format!("token endpoint {} {words}", self.place);
        let (status, body) = self.post().await.map_err(|error| told(format!("does not answer: {}", chain(error))))?;
        answer::token(status, &body, self.client_secret.expose(), SystemTime::now()).map_err(told)
    }

    async fn post(&self) -> Result<(u16, Vec<u8>), reqwest::Error> {
        // Section 2.3.1: both are encoded as in a form before they are joined by a colon.
        let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
        let request = self
            .http
            .post(&self.url)
            .basic_auth(encoded(&self.client_id), Some(encoded(self.client_secret.expose())))
            .header(reqwest::header::ACCEPT, "application/json")
            .form(&self.form);
        let mut answer = request.send().await?;
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await? {
            body.extend_from_slice(&chunk);
            if body.len() > MAX_ANSWER {
                break;
            }
        }
        Ok((answer.status().as_u16(), body))
    }
}

fn authorities(file: &str) -> Result<Vec<Certificate>, OAuthError> {
    let wrong = |words: String| OAuthError::Authorities { file: file.to_owned(), words };
    let pem = std::fs::read(file).map_err(|error| wrong(error.to_string()))?;
    let certificates = Certificate::from_pem_bundle(&pem).map_err(|error| wrong(error.to_string()))?;
    if certificates.is_empty() {
        return Err(wrong("holds no PEM certificate".to_owned()));
    }
    Ok(certificates)
}

fn place(url: &str) -> String {
    let Ok(mut url) = Url::parse(url) else { return String::new() };
    url.set_query(None);
    url.set_fragment(None);
    url.to_string()
}

/// The words of an error and of what caused it, without the URL, which may hold a key.
fn chain(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words = format!("{words}: {error}");
        cause = error.source();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_named_without_its_query() {
        assert_eq!(place("https://login/token?key=s3cret#x"), "https://login/token");
    }

    #[test]
    fn a_file_without_certificates_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = authorities(&file.path().display().to_string()).unwrap_err();
        assert!(error.to_string().contains("holds no PEM certificate"), "{error}");
    }
}
