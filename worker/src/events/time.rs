//! RFC 3339 timestamps to microseconds. Decides validity and loss; knows nothing about events.

use std::borrow::Cow;

use chrono::{DateTime, SecondsFormat};

use super::Time;

/// Length of `YYYY-MM-DDTHH:MM:SS`: where a fraction of the second starts.
const WHOLE_SECONDS: usize = 19;

/// Seconds since 1970 that `google.protobuf.Timestamp` and RFC 3339 can both say.
const YEARS_1_TO_9999: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

/// Is a space where RFC 3339 has its T?
pub(super) fn has_space(text: &str) -> bool {
    text.as_bytes().get(10) == Some(&b' ')
}

/// Parses a `time` attribute; `None` when it breaks RFC 3339. `space` lets a space stand for the T.
///
/// Two things that chrono lets through are refused: a space for the `T`, which the RFC leaves to
/// applications, and a Unicode minus sign in the offset. A leap second counts as the first second
/// after it, as POSIX time has it; its text is kept because that is a loss.
pub(super) fn parse(text: Cow<'_, str>, space: bool) -> Option<Time<'_>> {
    let separated = matches!(text.as_bytes().get(10), Some(b'T' | b't')) || (space && has_space(&text));
    if !text.is_ascii() || !separated {
        return None;
    }
    let instant = DateTime::parse_from_rfc3339(&text).ok()?;
    let nanos = instant.timestamp_subsec_nanos();
    let micros = instant.timestamp() * 1_000_000 + i64::from(nanos / 1_000);
    let leap_second = nanos >= 1_000_000_000;
    let lossy = leap_second || finer_than_micros(text.as_bytes());
    Some(Time { micros, raw: lossy.then_some(text) })
}

/// RFC 3339 text of an instant since 1970 in UTC, with as many digits as it takes; `None` outside the
/// years 1 to 9999 or of a second (`google.protobuf.Timestamp`).
pub(super) fn text(seconds: i64, nanos: i64) -> Option<String> {
    let nanos = u32::try_from(nanos).ok().filter(|&nanos| nanos < 1_000_000_000)?;
    let instant = DateTime::from_timestamp(seconds, nanos).filter(|_| YEARS_1_TO_9999.contains(&seconds))?;
    Some(instant.to_rfc3339_opts(SecondsFormat::AutoSi, true))
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
