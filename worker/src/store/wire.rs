//! What the store's HTTP answers mean. Sits under `object_store` as its HTTP client, so that refusals arrive as data
//! (status, the store's code and words, how long to wait) and not as text with request URLs and signatures in it.
//! Sends nothing of its own, and leaves the answers that `object_store` must see (absent, exists) as they are.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::{Stream, StreamExt};
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService, ReqwestConnector,
};
use object_store::{ClientOptions, HeaderMap};
use serde::Deserialize;

/// Longest part of a store's words that is passed on.
const MAX_WORDS: usize = 300;

/// Longest part of a refusal that is read, in bytes.
const MAX_BODY: usize = 64 << 10;

/// An answer that ends the request: any status of 400 and above but an absent key (404) and a failed condition (412).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{host} answered {status} {code}: {words}")]
pub(super) struct Refusal {
    pub host: String,
    pub status: u16,
    /// Code of the store or of the service that gives tokens, such as `SlowDown`; empty when the answer had none.
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

/// Whether a host serves credentials on a machine's own link: the instance, container and pod identity endpoints of
/// AWS, the instance metadata of Azure and of Google Cloud.
pub(super) fn is_metadata_host(host: &str) -> bool {
    host.starts_with("169.254.") || host.starts_with("[fd00:ec2::") || host.starts_with("metadata.google.internal")
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
        // Nothing is ever posted to a store; tokens are asked for so.
        let asks_for_token = request.method() == "POST";
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
        // The client of AWS's metadata service tries an older protocol after a 403.
        if status < 400 || (status == 403 && is_metadata_host(&host)) {
            return Ok(response);
        }
        let (parts, body) = response.into_parts();
        let body = beginning(body.bytes_stream()).await;
        let refusal = refusal(host, status, &parts.headers, &body);
        let no_bucket = matches!(refusal.code.as_str(), "NoSuchBucket" | "ContainerNotFound");
        let from_store = !asks_for_token && !is_metadata_host(&refusal.host);
        match status {
            404 if from_store && !no_bucket => Ok(HttpResponse::from_parts(parts, body.into())),
            412 if from_store => Ok(HttpResponse::from_parts(parts, body.into())),
            // `Unknown` is the kind that `object_store` never retries by itself: the outer loop waits as long as asked.
            _ => Err(HttpError::new(HttpErrorKind::Unknown, refusal)),
        }
    }
}

/// A body as far as it is wanted. A lost one leaves the status, which says the most.
async fn beginning<E>(body: impl Stream<Item = Result<Bytes, E>>) -> Bytes {
    let mut chunks = std::pin::pin!(body);
    let mut read = Vec::new();
    while let Some(Ok(chunk)) = chunks.next().await {
        read.extend_from_slice(&chunk[..chunk.len().min(MAX_BODY - read.len())]);
        if read.len() == MAX_BODY {
            break;
        }
    }
    read.into()
}

fn refusal(host: String, status: u16, headers: &HeaderMap, body: &Bytes) -> Refusal {
    let text = String::from_utf8_lossy(body);
    let (code, words) = json_words(body).unwrap_or_else(|| xml_words(&text));
    // Azure's answer to HEAD has no body.
    let header = || headers.get("x-ms-error-code").and_then(|v| v.to_str().ok()).map(str::to_owned);
    let code = Some(code).filter(|code| !code.is_empty()).or_else(header).unwrap_or_default();
    let words = if words.is_empty() && code.is_empty() { plain_words(&text) } else { words };
    let retry_after = retry_after(headers, SystemTime::now().into());
    Refusal { host, status, code: shorten(&code), words: shorten(&words), retry_after }
}

/// Code and words of S3, Azure Blob and Google Cloud Storage. Google names the missing right in `Details`.
fn xml_words(text: &str) -> (String, String) {
    let words: Vec<String> = ["Message", "Details"].iter().filter_map(|name| element(text, name)).collect();
    (element(text, "Code").unwrap_or_default(), words.join(" "))
}

/// Code and words of Google's APIs, and of the OAuth endpoints of all clouds (RFC 6749 section 5.2).
fn json_words(body: &[u8]) -> Option<(String, String)> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Answer {
        OAuth { error: String, error_description: Option<String> },
        Google { error: Fault },
    }
    #[derive(Deserialize)]
    struct Fault {
        #[serde(default)]
        message: String,
        #[serde(default)]
        status: String,
        #[serde(default)]
        errors: Vec<Reason>,
    }
    #[derive(Deserialize)]
    struct Reason {
        reason: String,
    }
    Some(match serde_json::from_slice(body).ok()? {
        Answer::OAuth { error, error_description } => (error, error_description.unwrap_or_default()),
        Answer::Google { error } => {
            let reason = error.errors.into_iter().next().map_or(error.status, |first| first.reason);
            (reason, error.message)
        }
    })
}

/// The text of the first `<name>` element. Only elements that hold no secret are ever asked for: a body of S3's
/// `SignatureDoesNotMatch` and of Azure's `AuthenticationFailed` also carries the signature and what was signed.
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

/// One line of bounded length.
fn shorten(words: &str) -> String {
    let line = words.split(|c: char| c.is_control()).filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ");
    line.chars().take(MAX_WORDS).collect()
}

/// How long the store asks to be left alone: `x-amz-retry-after` or `x-ms-retry-after-ms` in milliseconds, else
/// `Retry-After` in seconds or as a date (RFC 9110 section 10.2.3).
fn retry_after(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).map(str::trim);
    let millis = ["x-amz-retry-after", "x-ms-retry-after-ms"].iter().find_map(|name| text(name)?.parse().ok());
    if let Some(millis) = millis {
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
        assert_eq!(wait("x-ms-retry-after-ms", "250"), Some(Duration::from_millis(250)));
    }

    #[test]
    fn a_wait_that_makes_no_sense_is_no_wait() {
        let now = at("2015-10-21T07:28:30Z");
        for value in ["-1", "soon", "Wed, 21 Oct 2015 07:28:00 GMT"] {
            assert_eq!(retry_after(&headers("retry-after", value), now), None, "{value}");
        }
    }

    #[tokio::test]
    async fn of_a_refusal_without_end_the_beginning_is_read() {
        let chunks = || futures::stream::repeat_with(|| Ok::<_, HttpError>(Bytes::from_static(&[b'x'; 1000])));
        assert_eq!(beginning(chunks()).await.len(), MAX_BODY);
        assert_eq!(beginning(chunks().take(2)).await.len(), 2000);
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

    /// What each cloud says, and what is made of it.
    #[test]
    fn every_clouds_way_to_refuse_is_read() {
        let table = [
            (
                "\u{feff}<?xml version=\"1.0\"?><Error><Code>AuthenticationFailed</Code><Message>Check the header.\n\
                 RequestId:1</Message><AuthenticationErrorDetail>signature abc</AuthenticationErrorDetail></Error>",
                "h answered 400 AuthenticationFailed: Check the header. RequestId:1",
            ),
            (
                "<Error><Code>AccessDenied</Code><Message>Access denied.</Message>\
                 <Details>a@b does not have storage.objects.create access.</Details></Error>",
                "h answered 400 AccessDenied: Access denied. a@b does not have storage.objects.create access.",
            ),
            (
                r#"{"error": {"code": 401, "message": "Invalid Credentials", "errors": [{"reason": "authError"}]}}"#,
                "h answered 400 authError: Invalid Credentials",
            ),
            (
                r#"{"error": {"code": 403, "message": "no", "status": "PERMISSION_DENIED"}}"#,
                "h answered 400 PERMISSION_DENIED: no",
            ),
            (
                r#"{"error": "invalid_client", "error_description": "AADSTS7000215: Invalid client secret."}"#,
                "h answered 400 invalid_client: AADSTS7000215: Invalid client secret.",
            ),
            (r#"{"error": "invalid_grant"}"#, "h answered 400 invalid_grant: "),
            (r#"{"other": 1}"#, r#"h answered 400 : {"other": 1}"#),
        ];
        for (body, expected) in table {
            let refusal = refusal("h".into(), 400, &HeaderMap::new(), &Bytes::from_static(body.as_bytes()));
            assert_eq!(refusal.to_string(), expected);
        }
    }

    #[test]
    fn an_answer_without_a_body_may_have_its_code_in_a_header() {
        let headers = headers("x-ms-error-code", "ContainerNotFound");
        assert_eq!(refusal("h".into(), 404, &headers, &Bytes::new()).code, "ContainerNotFound");
    }

    #[test]
    fn a_page_of_markup_is_not_quoted_but_a_line_of_text_is() {
        assert_eq!(plain_words("<html><h1>502</h1></html>"), "");
        assert_eq!(plain_words("upstream connect error\nmore"), "upstream connect error");
    }
}
