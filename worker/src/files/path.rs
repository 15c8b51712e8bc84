//! Where a row belongs: schema version, day, and the key of its file. Pure decisions over borrowed text;
//! whatever the event says, a key stays below its folder, is bounded, and is the same on every run.

use std::borrow::Cow;
use std::fmt::Write;

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};

use super::rules::{PartitionBy, hex};
use super::{EncodeError, FileKind, PlannedFile};
use crate::events::Event;

/// Longest path segment made of foreign text, in bytes.
const LONGEST_SEGMENT: usize = 128;
/// Stands between a shortened value and its hash. `-` is never escaped otherwise, so no other value has it.
const CUT_MARK: &str = "%2D";
/// Hex digits of the hash of a shortened value.
const HASH_DIGITS: usize = 32;
/// Schema version of the file that takes the rows beyond the open keys; an event's own `other` is escaped.
pub(super) const SURPLUS: &str = "other";
/// Folder of the dead letters; readers skip names with an underscore, and no topic can have this one.
const DEAD_LETTERS: &str = "_dlq";
/// The day of rows without a usable timestamp: 1970-01-01.
pub(super) const UNDATED: i32 = 0;

const MILLIS_PER_DAY: i64 = 86_400_000;
const MICROS_PER_DAY: i64 = 86_400_000_000;
/// 10000-01-01, in days since 1970.
const END_OF_DAYS: i64 = 2_932_897;
/// An event may be this much older than its Kafka timestamp and still name its day.
const OLDEST_EVENT_DAYS: i64 = 400;
/// An event may be this much newer than its Kafka timestamp and still name its day.
const NEWEST_EVENT_DAYS: i64 = 2;

/// Makes one path segment of `value`: different values give different segments.
///
/// Letters, digits, `-`, `_` and `.` stay; every other byte is `%HH`, and so is a leading `_` or `.`
/// (readers hide those names). What is longer than 128 bytes is cut and ends with `%2D` and 32 hex digits
/// of the value's SHA-256.
pub(super) fn segment(value: &str) -> Cow<'_, str> {
    let plain = value.bytes().all(is_plain)
        && !value.starts_with(['_', '.'])
        && (1..=LONGEST_SEGMENT).contains(&value.len());
    if plain {
        Cow::Borrowed(value)
    } else {
        Cow::Owned(escape(value))
    }
}

/// [`segment`] of a schema version; `other` is escaped because it is the name of the surplus.
pub(super) fn version_segment(value: &str) -> Cow<'_, str> {
    if value == SURPLUS {
        Cow::Borrowed("%6Fther")
    } else {
        segment(value)
    }
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')
}

fn escape(value: &str) -> String {
    const KEPT: usize = LONGEST_SEGMENT - CUT_MARK.len() - HASH_DIGITS;
    let mut text = String::with_capacity(LONGEST_SEGMENT + CUT_MARK.len());
    let mut kept = 0;
    for (at, byte) in value.bytes().enumerate() {
        if is_plain(byte) && !(at == 0 && matches!(byte, b'_' | b'.')) {
            text.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(text, "%{byte:02X}");
        }
        if text.len() <= KEPT {
            kept = text.len();
        }
        if text.len() > LONGEST_SEGMENT {
            text.truncate(kept);
            text.push_str(CUT_MARK);
            text.push_str(&hex(
                &Sha256::digest(value.as_bytes()).as_slice()[..HASH_DIGITS / 2]
            ));
            return text;
        }
    }
    if text.is_empty() {
        // No other value gives this: `-` alone stays `-`.
        text.push_str(CUT_MARK);
    }
    text
}

/// The schema version of an event; the first of these that is there and not empty:
///
/// 1. the extension `schemaversion`, whatever it says;
/// 2. the last path segment of `dataschema` (without query, fragment and closing slashes; never the
///    authority) if it is `v?\d+(\.\d+)*` as a whole, such as `/v2` or `/1.3`;
/// 3. the end of `type` if it is `\.v\d+(\.\d+)*`, such as `.v2` or `.v1.3`, without its first dot;
/// 4. the default of the rules.
pub(super) fn schema_version<'a>(event: &'a Event<'_>, default: &'a str) -> &'a str {
    event
        .extensions
        .iter()
        .find(|(name, _)| name == "schemaversion")
        .map(|(_, value)| value.as_ref())
        .filter(|value| !value.is_empty())
        .or_else(|| event.dataschema.as_deref().and_then(version_in_uri))
        .or_else(|| version_in_type(&event.r#type))
        .unwrap_or(default)
}

fn version_in_uri(uri: &str) -> Option<&str> {
    let uri = uri.split(['?', '#']).next().unwrap_or(uri);
    let path = match uri.find("//") {
        Some(at) => {
            let rest = &uri[at + 2..];
            &rest[rest.find('/')?..]
        }
        None => uri,
    };
    let last = path.trim_end_matches('/').rsplit('/').next()?;
    is_version(last.strip_prefix('v').unwrap_or(last)).then_some(last)
}

fn version_in_type(text: &str) -> Option<&str> {
    let at = text.rfind(".v")?;
    is_version(&text[at + 2..]).then(|| &text[at + 1..])
}

/// `\d+(\.\d+)*`
fn is_version(text: &str) -> bool {
    text.split('.')
        .all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The day of a row in days since 1970; `None` when nothing usable names one.
///
/// `kafka` in milliseconds, `event` in microseconds, both since 1970 UTC. The event's time counts only
/// within 400 days before and 2 days after the Kafka timestamp (both ends included): a producer with a
/// broken clock must not open a folder for every day since year 0. Without a Kafka timestamp there is
/// nothing to hold it against, so it does not count either.
pub(super) fn day(by: PartitionBy, kafka: Option<i64>, event: Option<i64>) -> Option<i32> {
    let kafka = kafka?;
    if by == PartitionBy::EventTime
        && let Some(event) = event
    {
        let base = kafka.saturating_mul(1000);
        let oldest = base.saturating_sub(OLDEST_EVENT_DAYS * MICROS_PER_DAY);
        let newest = base.saturating_add(NEWEST_EVENT_DAYS * MICROS_PER_DAY);
        if (oldest..=newest).contains(&event)
            && let Some(day) = within_range(event.div_euclid(MICROS_PER_DAY))
        {
            return Some(day);
        }
    }
    within_range(kafka.div_euclid(MILLIS_PER_DAY))
}

/// Years 1970 to 9999: what a reader's date type and four digits hold.
fn within_range(day: i64) -> Option<i32> {
    (0..END_OF_DAYS)
        .contains(&day)
        .then(|| i32::try_from(day).ok())
        .flatten()
}

/// `YYYY-MM-DD`
pub(super) fn date_text(day: i32) -> String {
    instant(i64::from(day) * MILLIS_PER_DAY)
        .format("%Y-%m-%d")
        .to_string()
}

/// What the last segment of a key is made of.
#[derive(Debug, Clone, Copy)]
pub(super) struct FileName {
    /// Kafka timestamp of the first row in milliseconds.
    pub timestamp: Option<i64>,
    /// Offset of the first row.
    pub first: i64,
    /// Number of rows.
    pub rows: u64,
}

impl FileName {
    /// `{YYYYMMDD_HHMMSS}_offset{first}_count{rows}.parquet`; no usable timestamp is `19700101_000000`.
    fn text(self) -> String {
        let millis = self
            .timestamp
            .filter(|at| within_range(at.div_euclid(MILLIS_PER_DAY)).is_some());
        let time = instant(millis.unwrap_or(0)).format("%Y%m%d_%H%M%S");
        format!("{time}_offset{}_count{}.parquet", self.first, self.rows)
    }
}

fn instant(millis: i64) -> DateTime<Utc> {
    // Callers pass years 1970 to 9999 only, which always are instants.
    DateTime::from_timestamp_millis(millis).unwrap_or_default()
}

/// The folder of a file: one (kind, schema version, day) of one partition of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// What the rows are.
    pub kind: FileKind,
    /// Schema version as a path segment; empty for dead letters.
    pub version: Box<str>,
    /// Days since 1970.
    pub day: i32,
}

impl Place {
    /// `{topic}/{schema_version}/dt={date}/pid={partition}`, or `_dlq/{topic}/dt={date}/pid={partition}`.
    pub(super) fn folder(&self, topic: &str, partition: i32) -> String {
        let (topic, date) = (segment(topic), date_text(self.day));
        match self.kind {
            FileKind::Rows => format!("{topic}/{}/dt={date}/pid={partition}", self.version),
            FileKind::DeadLetters => format!("{DEAD_LETTERS}/{topic}/dt={date}/pid={partition}"),
        }
    }

    /// The folder and the name.
    pub(super) fn key(&self, topic: &str, partition: i32, name: FileName) -> String {
        format!("{}/{}", self.folder(topic, partition), name.text())
    }

    /// The folder of a planned file, read from its key.
    pub(super) fn of_plan(plan: &PlannedFile) -> Result<Self, EncodeError> {
        let parts: Vec<&str> = plan.key.split('/').collect();
        let day = |text: &str| {
            let date = text
                .strip_prefix("dt=")?
                .parse::<chrono::NaiveDate>()
                .ok()?;
            within_range(
                date.signed_duration_since(chrono::NaiveDate::default())
                    .num_days(),
            )
        };
        let place = match (plan.kind, parts.as_slice()) {
            (FileKind::Rows, [_, version, date, _, _]) => day(date).map(|day| (*version, day)),
            (FileKind::DeadLetters, [DEAD_LETTERS, _, date, _, _]) => {
                day(date).map(|day| ("", day))
            }
            _ => None,
        };
        match place {
            Some((version, day)) => Ok(Self {
                kind: plan.kind,
                version: version.into(),
                day,
            }),
            None => Err(EncodeError::PlanKey {
                key: plan.key.clone(),
            }),
        }
    }
}
