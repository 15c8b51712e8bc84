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
    if let Some(micros) = usual(text.as_bytes()) {
        return Some(Time { micros, raw: None });
    }
    let instant = DateTime::parse_from_rfc3339(&text).ok()?;
    let nanos = instant.timestamp_subsec_nanos();
    let micros = instant.timestamp() * 1_000_000 + i64::from(nanos / 1_000);
    let leap_second = nanos >= 1_000_000_000;
    let lossy = leap_second || finer_than_micros(text.as_bytes());
    Some(Time { micros, raw: lossy.then_some(text) })
}

/// The form in which nearly all producers write: `YYYY-MM-DDTHH:MM:SS`, a fraction of up to six digits or none, `Z`.
/// Nothing in it is lost. `None` for every other form, right or wrong, which is left to chrono.
fn usual(text: &[u8]) -> Option<i64> {
    let (whole, rest) = text.split_at_checked(WHOLE_SECONDS)?;
    let fraction = match rest {
        b"Z" => 0,
        [b'.', digits @ .., b'Z'] if (1..=6).contains(&digits.len()) => {
            number(digits)? * 10_i64.pow(6 - digits.len() as u32)
        }
        _ => return None,
    };
    if [whole[4], whole[7], whole[10], whole[13], whole[16]] != *b"--T::" {
        return None;
    }
    let (year, month, day) = (number(&whole[..4])?, number(&whole[5..7])?, number(&whole[8..10])?);
    let (hour, minute, second) = (number(&whole[11..13])?, number(&whole[14..16])?, number(&whole[17..])?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=last).contains(&day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let seconds = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    Some(seconds * 1_000_000 + fraction)
}

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + i64::from(digit - b'0')))
}

/// Days since 1970 of a date of the Gregorian calendar, counted in years that begin with March, so that the leap day is
/// their last, and in eras of 400 of them, which all have 146,097 days.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * month + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
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

#[cfg(test)]
mod tests {
    use super::*;

    fn by_chrono(text: &str) -> Option<i64> {
        DateTime::parse_from_rfc3339(text).ok().map(|instant| instant.timestamp_micros())
    }

    #[test]
    fn the_usual_form_says_what_chrono_reads_from_it() {
        for year in [0, 1, 4, 100, 399, 400, 1600, 1899, 1900, 1969, 1970, 1972, 2000, 2024, 2025, 2100, 9999] {
            for (month, day) in (0..=13).flat_map(|month| (0..=32).map(move |day| (month, day))) {
                let text = format!("{year:04}-{month:02}-{day:02}T23:59:59.000001Z");
                assert_eq!(usual(text.as_bytes()), by_chrono(&text), "{text}");
            }
        }
        for clock in ["00:00:00", "23:59:59", "09:08:07"] {
            for fraction in ["", ".0", ".1", ".12", ".123", ".1234", ".12345", ".123456", ".000001", ".999999"] {
                let text = format!("2025-12-21T{clock}{fraction}Z");
                let (found, expected) = (usual(text.as_bytes()), by_chrono(&text));
                assert!(found.is_some() && found == expected, "{text}");
            }
        }
    }

    #[test]
    fn every_other_form_is_left_to_chrono() {
        for text in [
            "",
            "2025-12-21T10:00:00",
            "2025-12-21T10:00:00z",
            "2025-12-21t10:00:00Z",
            "2025-12-21 10:00:00Z",
            "2025-12-21T10:00:00+00:00",
            "2025-12-21T10:00:00.Z",
            "2025-12-21T10:00:00.1234567Z",
            "2025-12-21T10:00:00,5Z",
            "2025-12-21T10:00:60Z",
            "2025-12-21T24:00:00Z",
            "2025-12-21T10:60:00Z",
            "2025/12/21T10:00:00Z",
            "2025-12-21T10-00-00Z",
            "2025-1a-21T10:00:00Z",
            "+025-12-21T10:00:00Z",
            "2025-12-21T10:00:00.12a4Z",
            "2025-12-21T10:00:00.123456ZZ",
        ] {
            assert_eq!(usual(text.as_bytes()), None, "{text}");
        }
    }
}
