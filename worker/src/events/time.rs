//! RFC 3339 timestamps to microseconds. Decides validity and loss; knows nothing about events.

use std::borrow::Cow;

use chrono::DateTime;

use super::Time;

/// Length of `YYYY-MM-DDTHH:MM:SS`: where a fraction of the second starts.
const WHOLE_SECONDS: usize = 19;

/// Parses a `time` attribute; `None` when it breaks RFC 3339.
///
/// Two things that chrono lets through are refused: a space for the `T`, which the RFC leaves to
/// applications, and a Unicode minus sign in the offset. A leap second counts as the first second
/// after it, as POSIX time has it; its text is kept because that is a loss.
pub(super) fn parse(text: Cow<'_, str>) -> Option<Time<'_>> {
    if !text.is_ascii() || !matches!(text.as_bytes().get(10), Some(b'T' | b't')) {
        return None;
    }
    let instant = DateTime::parse_from_rfc3339(&text).ok()?;
    let nanos = instant.timestamp_subsec_nanos();
    let micros = instant.timestamp() * 1_000_000 + i64::from(nanos / 1_000);
    let leap_second = nanos >= 1_000_000_000;
    let lossy = leap_second || finer_than_micros(text.as_bytes());
    Some(Time { micros, raw: lossy.then_some(text) })
}

/// Looks at the text, because chrono drops digits beyond the ninth.
fn finer_than_micros(text: &[u8]) -> bool {
    text[WHOLE_SECONDS..]
        .strip_prefix(b".")
        .into_iter()
        .flatten()
        .take_while(|byte| byte.is_ascii_digit())
        .skip(6)
        .any(|&digit| digit != b'0')
}
