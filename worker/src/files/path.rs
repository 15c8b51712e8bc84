//! Where a row belongs: schema version, day, and the key of its file. Pure decisions over borrowed text;
//! whatever the event says, a key stays below its folder, is bounded, and is the same on every run.

use std::borrow::Cow;
use std::fmt::Write;

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};

use super::rules::{Format, PartitionBy, hex};
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
    let plain =
        value.bytes().all(is_plain) && !value.starts_with(['_', '.']) && (1..=LONGEST_SEGMENT).contains(&value.len());
    if plain { Cow::Borrowed(value) } else { Cow::Owned(escape(value)) }
}

/// [`segment`] of a schema version; `other` is escaped because it is the name of the surplus.
pub(super) fn version_segment(value: &str) -> Cow<'_, str> {
    if value == SURPLUS { Cow::Borrowed("%6Fther") } else { segment(value) }
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
            text.push_str(&hex(&Sha256::digest(value.as_bytes()).as_slice()[..HASH_DIGITS / 2]));
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
    text.split('.').all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
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
    (0..END_OF_DAYS).contains(&day).then(|| i32::try_from(day).ok()).flatten()
}

/// `YYYY-MM-DD`
pub(super) fn date_text(day: i32) -> String {
    instant(i64::from(day) * MILLIS_PER_DAY).format("%Y-%m-%d").to_string()
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
    /// Gives the extension.
    pub format: Format,
}

impl FileName {
    /// `{YYYYMMDD_HHMMSS}_offset{first}_count{rows}.{parquet|avro}`; no usable timestamp is `19700101_000000`.
    fn text(self) -> String {
        let millis = self.timestamp.filter(|at| within_range(at.div_euclid(MILLIS_PER_DAY)).is_some());
        let time = instant(millis.unwrap_or(0)).format("%Y%m%d_%H%M%S");
        format!("{time}_offset{}_count{}.{}", self.first, self.rows, self.format.as_str())
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
            let date = text.strip_prefix("dt=")?.parse::<chrono::NaiveDate>().ok()?;
            within_range(date.signed_duration_since(chrono::NaiveDate::default()).num_days())
        };
        let place = match (plan.kind, parts.as_slice()) {
            (FileKind::Rows, [_, version, date, _, _]) => day(date).map(|day| (*version, day)),
            (FileKind::DeadLetters, [DEAD_LETTERS, _, date, _, _]) => day(date).map(|day| ("", day)),
            _ => None,
        };
        match place {
            Some((version, day)) => Ok(Self { kind: plan.kind, version: version.into(), day }),
            None => Err(EncodeError::PlanKey { key: plan.key.clone() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{DAY, MORNING, event, event_of};
    use super::*;

    fn version(event: &Event<'_>) -> String {
        version_segment(schema_version(event, "v1")).into_owned()
    }

    fn with_dataschema(uri: &'static str) -> String {
        version(&Event { dataschema: Some(uri.into()), ..event() })
    }

    fn with_type(text: &'static str) -> String {
        version(&Event { r#type: text.into(), ..event() })
    }

    #[test]
    fn hostile_versions_stay_one_bounded_segment() {
        let long = "x/".repeat(2048);
        for value in ["..", ".", "../..", "_x", "/", "a\0b", "a b", "dt=1", "ü☃", "%2F", &long] {
            let segment = version(&event_of(value));
            assert!(segment.len() <= LONGEST_SEGMENT, "{value:?} -> {segment}");
            assert!(!segment.starts_with(['.', '_']) && !segment.is_empty(), "{value:?} -> {segment}");
            assert!(segment.bytes().all(|byte| is_plain(byte) || byte == b'%'), "{value:?} -> {segment}");
        }
    }

    #[test]
    fn escapes_are_the_ones_people_know() {
        let cases = [
            ("v2", "v2"),
            ("../..", "%2E.%2F.."),
            (".", "%2E"),
            ("_x", "%5Fx"),
            ("x_.y", "x_.y"),
            ("a/b c", "a%2Fb%20c"),
            ("ü", "%C3%BC"),
            ("a=b", "a%3Db"),
            ("100%", "100%25"),
            ("other", "%6Fther"),
        ];
        for (value, expected) in cases {
            assert_eq!(version_segment(value), expected);
        }
    }

    #[test]
    fn different_values_never_share_a_segment() {
        let long = "a".repeat(4096);
        let umlauts = "ü".repeat(60);
        let cut = segment(&long).into_owned();
        let longer = format!("{long}b");
        let same_length = format!("{}b", &long[1..]);
        let umlauts_cut = segment(&umlauts).into_owned();
        let values = [
            "",
            "-",
            "%2D",
            "other",
            "%6Fther",
            ".",
            "%2E",
            "_",
            "%5F",
            "a",
            "A",
            "a/b",
            "a%2Fb",
            &long,
            &longer,
            &same_length,
            &cut,
            &umlauts,
            &umlauts_cut,
        ];
        let mut segments: Vec<_> = values.iter().map(|value| version_segment(value)).collect();
        segments.sort();
        segments.dedup();
        assert_eq!(segments.len(), values.len());
    }

    #[test]
    fn a_value_of_exactly_the_longest_length_is_kept_whole() {
        let value = "a".repeat(LONGEST_SEGMENT);
        assert_eq!(segment(&value), value);
    }

    #[test]
    fn a_shortened_value_never_ends_inside_an_escape() {
        for plain in 0..4 {
            let value = format!("{}{}", "a".repeat(plain), "ü".repeat(200));
            let shortened = segment(&value);
            let head = &shortened[..shortened.len() - HASH_DIGITS - CUT_MARK.len()];
            assert_eq!((head.len() - plain) % 3, 0, "{shortened}");
        }
    }

    #[test]
    fn keys_of_the_longest_values_stay_below_900_bytes() {
        let text = "☃".repeat(300);
        let place = Place { kind: FileKind::Rows, version: segment(&text).into(), day: 2_932_896 };
        let name = FileName { timestamp: Some(MORNING), first: i64::MAX, rows: u64::MAX, format: Format::Parquet };
        assert!(place.key(&text, i32::MAX, name).len() <= 900);
    }

    #[test]
    fn the_extension_names_the_version_before_all_else() {
        let event = Event {
            dataschema: Some("https://example.com/v2".into()),
            r#type: "order.v3".into(),
            ..event_of("1.2-beta")
        };
        assert_eq!(version(&event), "1.2-beta");
    }

    #[test]
    fn an_empty_extension_is_no_version() {
        assert_eq!(version(&event_of("")), "v1");
    }

    #[test]
    fn the_last_segment_of_dataschema_may_be_a_version() {
        let cases = [
            ("https://example.com/order/v2", "v2"),
            ("https://example.com/order/1.3/", "1.3"),
            ("https://example.com/order/v2?x=/v9#/v8", "v2"),
            ("/schemas/7", "7"),
            ("https://10.0.0.1", "v1"),
            ("https://10.0.0.1/", "v1"),
            ("https://example.com/v2/order.json", "v1"),
            ("https://example.com/v", "v1"),
            ("https://example.com/v2.", "v1"),
            ("https://example.com/vv2", "v1"),
            ("https://example.com/2-beta", "v1"),
            ("", "v1"),
        ];
        for (uri, expected) in cases {
            assert_eq!(with_dataschema(uri), expected, "{uri}");
        }
    }

    #[test]
    fn the_end_of_type_may_be_a_version() {
        let cases = [
            ("com.example.order.v2", "v2"),
            ("com.example.order.v1.3", "v1.3"),
            ("com.v1.order", "v1"),
            ("com.v7.order.v2", "v2"),
            ("com.example.order.2", "v1"),
            ("com.example.order.v", "v1"),
            ("com.example.order.v2x", "v1"),
            ("com.example.view", "v1"),
            ("v2", "v1"),
        ];
        for (text, expected) in cases {
            assert_eq!(with_type(text), expected, "{text}");
        }
    }

    fn day_of(kafka: Option<i64>, event_millis: Option<i64>) -> Option<String> {
        day(PartitionBy::EventTime, kafka, event_millis.map(|at| at * 1000)).map(date_text)
    }

    #[test]
    fn the_event_names_the_day_within_its_window_only() {
        let cases = [
            (MORNING - 400 * DAY, "2024-11-16"),
            (MORNING - 400 * DAY - 1, "2025-12-21"),
            (MORNING + 2 * DAY, "2025-12-23"),
            (MORNING + 2 * DAY + 1, "2025-12-21"),
        ];
        for (event, expected) in cases {
            assert_eq!(day_of(Some(MORNING), Some(event)).as_deref(), Some(expected), "{event}");
        }
    }

    #[test]
    fn the_kafka_day_is_used_when_rules_or_events_say_so() {
        let event = Some((MORNING - DAY) * 1000);
        assert_eq!(
            day(PartitionBy::KafkaTimestamp, Some(MORNING), event).map(date_text).as_deref(),
            Some("2025-12-21")
        );
        assert_eq!(day_of(Some(MORNING), None).as_deref(), Some("2025-12-21"));
    }

    #[test]
    fn days_outside_1970_to_9999_are_none() {
        let end = END_OF_DAYS * DAY;
        assert_eq!(day_of(Some(0), None).as_deref(), Some("1970-01-01"));
        assert_eq!(day_of(Some(end - 1), None).as_deref(), Some("9999-12-31"));
        for kafka in [None, Some(-1), Some(end), Some(i64::MIN), Some(i64::MAX)] {
            assert_eq!(day_of(kafka, Some(MORNING)), None, "{kafka:?}");
        }
    }

    #[test]
    fn a_place_reads_back_from_its_key() {
        let name = FileName { timestamp: None, first: 0, rows: 1, format: Format::Avro };
        for place in [
            Place { kind: FileKind::Rows, version: "%2E.".into(), day: 20_443 },
            Place { kind: FileKind::DeadLetters, version: "".into(), day: 0 },
        ] {
            let key = place.key("t/ü", 3, name);
            let plan = PlannedFile { key, kind: place.kind, rows: 1, first: 0, last: 0, digest: String::new() };
            assert_eq!(Place::of_plan(&plan).unwrap(), place);
        }
    }

    #[test]
    fn a_foreign_key_is_no_plan() {
        for key in ["", "a/b/c", "t/v1/dt=x/pid=0/n", "t/v1/dt=1969-12-31/pid=0/n", "t/v1/dt=+10000-01-01/p/n"] {
            let plan = PlannedFile {
                key: key.into(),
                kind: FileKind::Rows,
                rows: 0,
                first: 0,
                last: 0,
                digest: String::new(),
            };
            assert!(matches!(Place::of_plan(&plan), Err(EncodeError::PlanKey { .. })), "{key}");
        }
    }
}
