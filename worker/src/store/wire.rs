//! What the store's HTTP answers mean. Sits under `object_store` as its HTTP client, so that refusals arrive as data
//! (status, the store's code and words, how long to wait) and not as text with request URLs and signatures in it.
//! Sends nothing of its own, and leaves the answers that `object_store` must see (absent, exists) as they are.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService, ReqwestConnector,
};
use object_store::{ClientOptions, HeaderMap};

/// Longest part of a store's words that is passed on.
const MAX_WORDS: usize = 300;

/// An answer that ends the request: any status of 400 and above but an absent key (404) and a failed condition (412).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{host} answered {status} {code}: {words}")]
pub(super) struct Refusal {
    pub host: String,
    pub status: u16,
    /// S3 error code, such as `SlowDown`; empty when the body had none.
    pub code: String,
    pub words: String,
    pub retry_after: Option<Duration>,
}

/// No answer at all: refused, reset, no such host, no trust in the certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no answer from {host}: {words}")]
pub(super) struct NoAnswer {
    pub host: String,
    pub words: String,
    pub timed_out: bool,
}

/// Whether a host serves credentials on a machine's own link: the instance, container and pod identity endpoints of AWS.
pub(super) fn is_metadata_host(host: &str) -> bool {
    host.starts_with("169.254.") || host.starts_with("[fd00:ec2::")
}

/// Builds the clients of `object_store` with an ear on their answers.
#[derive(Debug)]
pub(super) struct Connector;

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let inner = ReqwestConnector::default().connect(options)?;
        Ok(HttpClient::new(Listener { inner }))
    }
}

#[derive(Debug)]
struct Listener {
    inner: HttpClient,
}

#[async_trait::async_trait]
impl HttpService for Listener {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let host = request.uri().authority().map_or_else(String::new, |a| a.to_string());
        let response = match self.inner.execute(request).await {
            Ok(response) => response,
            Err(e) => {
                let kind = e.kind();
                let timed_out = kind == HttpErrorKind::Timeout;
                let words = innermost_words(&e);
                return Err(HttpError::new(kind, NoAnswer { host, words, timed_out }));
            }
        };
        let status = response.status().as_u16();
        // The metadata services' clients branch on statuses themselves.
        if status < 400 || is_metadata_host(&host) {
            return Ok(response);
        }
        let (parts, body) = response.into_parts();
        // A lost body leaves the status, which says the most.
        let body = body.bytes().await.unwrap_or_default();
        let refusal = refusal(host, status, &parts.headers, &body);
        match status {
            404 if refusal.code != "NoSuchBucket" => Ok(HttpResponse::from_parts(parts, body.into())),
            412 => Ok(HttpResponse::from_parts(parts, body.into())),
            // `Unknown` is the kind that `object_store` never retries by itself: the outer loop waits as long as asked.
            _ => Err(HttpError::new(HttpErrorKind::Unknown, refusal)),
        }
    }
}

fn refusal(host: String, status: u16, headers: &HeaderMap, body: &Bytes) -> Refusal {
    let text = String::from_utf8_lossy(body);
    let code = element(&text, "Code").unwrap_or_default();
    let words = match element(&text, "Message") {
        Some(message) => message,
        None if code.is_empty() => plain_words(&text),
        None => String::new(),
    };
    Refusal { host, status, code, words: shorten(&words), retry_after: retry_after(headers, SystemTime::now().into()) }
}

/// The text of the first `<name>` element. Only the two elements that hold no secret are ever asked for: a body of
/// `SignatureDoesNotMatch` also carries the key id, the signature and what was signed.
fn element(body: &str, name: &str) -> Option<String> {
    let (_, rest) = body.split_once(&format!("<{name}>"))?;
    let (value, _) = rest.split_once(&format!("</{name}>"))?;
    Some(value.trim().to_string())
}

/// A proxy's plain text is worth showing; markup of an unknown kind is not.
fn plain_words(body: &str) -> String {
    let text = body.trim();
    if text.starts_with('<') { String::new() } else { text.lines().next().unwrap_or("").to_string() }
}

fn shorten(words: &str) -> String {
    words.chars().filter(|c| !c.is_control()).take(MAX_WORDS).collect()
}

/// How long the store asks to be left alone: `x-amz-retry-after` in milliseconds, else `Retry-After` in seconds or as
/// a date (RFC 9110 section 10.2.3).
fn retry_after(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).map(str::trim);
    if let Some(millis) = text("x-amz-retry-after").and_then(|v| v.parse().ok()) {
        return Some(Duration::from_millis(millis));
    }
    let value = text("retry-after")?;
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = DateTime::parse_from_rfc2822(value).ok()?.with_timezone(&Utc);
    (at - now).to_std().ok()
}

/// The text of the cause at the bottom, which names the fault ("connection refused", "UnknownIssuer"); the layers above
/// it only repeat that a request failed.
fn innermost_words(error: &dyn std::error::Error) -> String {
    let mut at = error;
    while let Some(source) = at.source() {
        at = source;
    }
    shorten(&at.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(text).unwrap().with_timezone(&Utc)
    }

    fn headers(name: &'static str, value: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, object_store::HeaderValue::from_static(value));
        headers
    }

    #[test]
    fn a_wait_is_read_as_seconds_as_a_date_and_as_milliseconds() {
        let now = at("2015-10-21T07:27:30Z");
        let wait = |name, value| retry_after(&headers(name, value), now);
        assert_eq!(wait("retry-after", "7"), Some(Duration::from_secs(7)));
        assert_eq!(wait("retry-after", "Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::from_secs(30)));
        assert_eq!(wait("x-amz-retry-after", "1500"), Some(Duration::from_millis(1500)));
    }

    #[test]
    fn a_wait_that_makes_no_sense_is_no_wait() {
        let now = at("2015-10-21T07:28:30Z");
        for value in ["-1", "soon", "Wed, 21 Oct 2015 07:28:00 GMT"] {
            assert_eq!(retry_after(&headers("retry-after", value), now), None, "{value}");
        }
    }

    #[test]
    fn the_signature_in_a_refusal_is_left_behind() {
        let body = Bytes::from_static(
            b"<Error><Code>SignatureDoesNotMatch</Code><Message>no match</Message>\
              <AWSAccessKeyId>AKIA1</AWSAccessKeyId><SignatureProvided>abcdef</SignatureProvided></Error>",
        );
        let refusal = refusal("s3".into(), 403, &HeaderMap::new(), &body);
        assert_eq!(refusal.to_string(), "s3 answered 403 SignatureDoesNotMatch: no match");
    }

    #[test]
    fn a_page_of_markup_is_not_quoted_but_a_line_of_text_is() {
        assert_eq!(plain_words("<html><h1>502</h1></html>"), "");
        assert_eq!(plain_words("upstream connect error\nmore"), "upstream connect error");
    }
}
