//! What a token endpoint answers (RFC 6749 sections 5.1 and 5.2), read and judged. Pure; shows no secret.

use super::Token;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Longest quotation of the endpoint's words, in characters.
const MAX_QUOTE: usize = 200;

/// Members of both kinds of answer; none is relied on.
#[derive(Debug, Default, Deserialize)]
struct Answer {
    access_token: Option<String>,
    /// Seconds; some endpoints write them as text.
    expires_in: Option<serde_json::Value>,
    error: Option<String>,
    error_description: Option<String>,
}

/// The token of an answer that came at `now`, or what is wrong in the words of the endpoint, without `secret`.
pub(super) fn token(status: u16, body: &[u8], secret: &str, now: SystemTime) -> Result<Token, String> {
    let answer: Option<Answer> = serde_json::from_slice(body).ok();
    if !(200..300).contains(&status) {
        return Err(refused(status, answer.unwrap_or_default(), secret));
    }
    let answer = answer.ok_or_else(|| format!("answers {status} with what is no token in JSON"))?;
    let Some(value) = answer.access_token.filter(|value| !value.is_empty()) else {
        return Err(format!("answers {status} without an access_token"));
    };
    // RFC 6749 appendix A.12, without the space, which the library refuses in words that quote the token.
    if !value.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(format!("answers {status} with an access_token that is not all visible ASCII"));
    }
    let expires = match answer.expires_in.as_ref().and_then(seconds) {
        Some(life) => now.checked_add(Duration::from_secs(life)),
        None => expiry(&value),
    };
    let expires = expires.ok_or("gives a token that does not say when it expires, by expires_in or exp")?;
    if expires <= now {
        return Err("gives a token that has expired already: compare the clocks of both machines".to_owned());
    }
    Ok(Token { value, expires })
}

fn refused(status: u16, answer: Answer, secret: &str) -> String {
    let shown = |part: String| {
        let hidden = if secret.is_empty() { part } else { part.replace(secret, "***") };
        hidden.chars().take(MAX_QUOTE).flat_map(char::escape_debug).collect::<String>()
    };
    let parts: Vec<String> = [answer.error, answer.error_description].into_iter().flatten().map(shown).collect();
    if parts.is_empty() { format!("answers {status}") } else { format!("answers {status}: {}", parts.join(", ")) }
}

fn seconds(value: &serde_json::Value) -> Option<u64> {
    match value {
        serde_json::Value::String(text) => text.trim().parse().ok(),
        // Some write 3600.0.
        value => {
            value.as_u64().or_else(|| value.as_f64().filter(|&seconds| seconds >= 0.0).map(|seconds| seconds as u64))
        }
    }
}

/// Claim `exp` of a token that is a JWT (RFC 7519 section 4.1.4). It is not validated: that is up to the brokers.
fn expiry(token: &str) -> Option<SystemTime> {
    #[derive(Deserialize)]
    struct Claims {
        exp: serde_json::Value,
    }

    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: Claims = serde_json::from_slice(&claims).ok()?;
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds(&claims.exp)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1000)
    }

    fn life(body: &str) -> Result<u64, String> {
        let token = token(200, body.as_bytes(), "s3cret", now())?;
        Ok(token.expires.duration_since(now()).unwrap_or_default().as_secs())
    }

    #[test]
    fn a_token_lives_as_long_as_the_answer_says() {
        for seconds in ["60", "\"60\"", "60.0"] {
            let body = format!(r#"{{"access_token":"t","token_type":"Bearer","expires_in":{seconds}}}"#);
            assert_eq!(life(&body), Ok(60), "{seconds}");
        }
    }

    #[test]
    fn without_a_word_on_its_life_the_token_itself_is_asked() {
        let claims = URL_SAFE_NO_PAD.encode(r#"{"sub":"x","exp":1060}"#);
        assert_eq!(life(&format!(r#"{{"access_token":"e30.{claims}.sig"}}"#)), Ok(60));
        assert!(life(r#"{"access_token":"opaque"}"#).unwrap_err().contains("expires_in"));
    }

    #[test]
    fn a_token_that_the_library_would_refuse_is_refused_without_being_quoted() {
        for bad in ["tökén", "qu ux", r"quux\n", r"quux\u0000"] {
            let words = life(&format!(r#"{{"access_token":"{bad}","expires_in":60}}"#)).unwrap_err();
            assert!(words.contains("visible ASCII") && !words.contains("qu") && !words.contains("tök"), "{words}");
        }
    }

    #[test]
    fn an_expired_token_a_page_and_an_empty_answer_are_told_apart() {
        assert!(life(r#"{"access_token":"t","expires_in":0}"#).unwrap_err().contains("expired"));
        assert!(life("<html>").unwrap_err().contains("no token in JSON"));
        assert!(life("{}").unwrap_err().contains("access_token"));
    }

    #[test]
    fn a_refusal_is_told_in_the_endpoints_words_without_the_secret() {
        let body = br#"{"error":"invalid_client","error_description":"client secret s3cret\nis wrong"}"#;
        let words = token(401, body, "s3cret", now()).unwrap_err();
        assert_eq!(words, "answers 401: invalid_client, client secret ***\\nis wrong");
        assert_eq!(token(503, b"busy", "", now()).unwrap_err(), "answers 503");
    }
}
