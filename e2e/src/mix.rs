//! Deterministic events of every shape that users send, and some that are none. Pure: seed and index say everything.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The reasons of the nine kinds of invalid records, in the words of the dead letters.
pub const REASONS: [&str; 9] = [
    "MissingAttribute",
    "UnsupportedSpecVersion",
    "InvalidTime",
    "InvalidUriReference",
    "Duplicate",
    "MalformedJson",
    "EmptyBody",
    "InvalidBase64",
    "UnsupportedFormat",
];

/// 2025-01-21T10:00:00Z in milliseconds: timestamps come from here and not from a clock.
const START: i64 = 1_737_453_600_000;
const DAY: i64 = 86_400_000;

/// What is produced.
#[derive(Debug, Clone)]
pub struct Mix {
    /// Another seed, other events.
    pub seed: u64,
    /// How many records.
    pub records: u64,
    /// Partitions of the topic; records are spread over them by chance.
    pub partitions: u32,
    /// Invalid ones among a thousand.
    pub invalid_per_thousand: u64,
    /// Days over which the events' `time` is spread: so many date folders.
    pub days: u32,
    /// Schema versions that the events name in turn: so many version folders. 0 names none.
    pub versions: u32,
    /// Bytes that the data has beyond its usual ones, which do not shrink much.
    pub padding: usize,
    /// Records per second; `None` is as fast as the broker takes them.
    pub pace: Option<u32>,
}

impl Mix {
    /// Records over so many partitions: 1 % invalid, one day, as fast as possible.
    #[must_use]
    pub fn of(records: u64, partitions: u32) -> Self {
        Self { seed: 1, records, partitions, invalid_per_thousand: 10, days: 1, versions: 0, padding: 0, pace: None }
    }
}

/// A header: name and value, which may be null.
pub type Header = (&'static str, Option<Vec<u8>>);

/// One record to produce.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Partition to go to.
    pub partition: i32,
    /// Kafka timestamp, milliseconds since 1970.
    pub timestamp: i64,
    /// Key.
    pub key: String,
    /// Headers in order.
    pub headers: Vec<Header>,
    /// Value; `None` is a null value.
    pub value: Option<Vec<u8>>,
    /// What must become of it.
    pub fate: Fate,
}

/// What must become of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// One row with this id and data; `None` is no data, which is not empty data.
    Row {
        /// Attribute `id`.
        id: String,
        /// Exact bytes of the data.
        data: Option<Vec<u8>>,
    },
    /// One dead letter with this reason and the record's value.
    DeadLetter {
        /// One of [`REASONS`].
        reason: &'static str,
    },
}

/// The record number `index` of a mix.
#[must_use]
pub fn sample(mix: &Mix, index: u64) -> Sample {
    let mut dice = Dice(mix.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ index);
    let event = Event {
        id: format!("{:x}-{index}", mix.seed),
        time: time(index, mix.days),
        version: version(index, mix),
        payload: payload(&mut dice, index, mix.padding),
        shape: dice.below(16),
        binary: dice.below(2) == 0,
    };
    let partition = i32::try_from(dice.below(u64::from(mix.partitions))).unwrap_or(0);
    let (headers, value, fate) = if dice.below(1000) < mix.invalid_per_thousand {
        let kind = usize::try_from(dice.below(9)).unwrap_or(0);
        let (headers, value) = event.broken(kind);
        (headers, value, Fate::DeadLetter { reason: REASONS[kind] })
    } else if event.binary {
        event.in_binary_mode()
    } else {
        event.in_structured_mode()
    };
    let timestamp = START + i64::try_from(index).unwrap_or(0);
    Sample { partition, timestamp, key: format!("key-{}", index % 1000), headers, value, fate }
}

struct Event {
    id: String,
    time: String,
    version: Option<String>,
    payload: String,
    shape: u64,
    binary: bool,
}

const SOURCE: &str = "/shops/north";
const TYPE: &str = "com.example.order.placed";

impl Event {
    /// Attributes as headers, without those named in `without`, and a content type.
    fn headers(&self, without: &str, content_type: Option<&str>) -> Vec<Header> {
        let attributes = [
            ("ce_specversion", "1.0"),
            ("ce_id", &self.id),
            ("ce_source", SOURCE),
            ("ce_type", TYPE),
            ("ce_time", &self.time),
            ("ce_tenant", "north"),
        ];
        let mut headers: Vec<Header> = attributes
            .iter()
            .filter(|(name, _)| *name != without)
            .map(|(name, value)| (*name, Some(value.as_bytes().to_vec())))
            .collect();
        headers.extend(self.version.as_ref().map(|version| ("ce_schemaversion", Some(version.clone().into_bytes()))));
        headers.push(("trace", None));
        headers.extend(content_type.map(|value| ("content-type", Some(value.as_bytes().to_vec()))));
        headers
    }

    fn in_binary_mode(self) -> (Vec<Header>, Option<Vec<u8>>, Fate) {
        let (content_type, data) = match self.shape {
            0 => (None, Some(vec![0xff, 0x00, 0xfe, 0x80])),
            1 => (Some("application/json"), None),
            2 => (Some("application/json"), Some(Vec::new())),
            3 => (Some("text/plain"), Some("Grüße, \"quoted\"\n".into())),
            _ => (Some("application/json"), Some(self.payload.clone().into_bytes())),
        };
        let headers = self.headers("", content_type);
        (headers, data.clone(), Fate::Row { id: self.id, data })
    }

    fn in_structured_mode(self) -> (Vec<Header>, Option<Vec<u8>>, Fate) {
        let bytes = [0xff, 0x00, 0xfe, 0x80];
        let (members, data) = match self.shape {
            0 => (format!(r#","data_base64":"{}""#, STANDARD.encode(bytes)), Some(bytes.to_vec())),
            1 => (String::new(), None),
            2 => (r#","datacontenttype":"text/plain","data":"Gr\u00fc\u00dfe\n""#.into(), Some("Grüße\n".into())),
            3 => (r#","data":null"#.into(), Some(b"null".to_vec())),
            _ => (
                format!(r#","datacontenttype":"application/json","data":{}"#, self.payload),
                Some(self.payload.clone().into_bytes()),
            ),
        };
        let body = self.body("1.0", SOURCE, &members);
        (structured("application/cloudevents+json; charset=UTF-8"), Some(body), Fate::Row { id: self.id, data })
    }

    fn body(&self, specversion: &str, source: &str, members: &str) -> Vec<u8> {
        let (id, time) = (&self.id, &self.time);
        let version =
            self.version.as_ref().map_or_else(String::new, |version| format!(r#","schemaversion":"{version}""#));
        format!(r#"{{"specversion":"{specversion}","id":"{id}","source":"{source}","type":"{TYPE}","time":"{time}"{version}{members}}}"#)
            .into_bytes()
    }

    /// Each kind breaks one rule only, so that the reason is not a matter of taste.
    fn broken(&self, kind: usize) -> (Vec<Header>, Option<Vec<u8>>) {
        let payload = Some(self.payload.clone().into_bytes());
        let json = || structured("application/cloudevents+json");
        match REASONS[kind] {
            "MissingAttribute" => (self.headers("ce_source", Some("application/json")), payload),
            "UnsupportedSpecVersion" => (json(), Some(self.body("1.1", SOURCE, ""))),
            "InvalidTime" => {
                let mut headers = self.headers("ce_time", Some("application/json"));
                headers.push(("ce_time", Some(b"yesterday at noon".to_vec())));
                (headers, payload)
            }
            "InvalidUriReference" => (json(), Some(self.body("1.0", "http://a b", ""))),
            "Duplicate" => (json(), Some(self.body("1.0", SOURCE, r#","id":"again""#))),
            "MalformedJson" => {
                let mut body = self.body("1.0", SOURCE, "");
                body.truncate(body.len() - 1);
                (json(), Some(body))
            }
            "EmptyBody" => (json(), None),
            "InvalidBase64" => (json(), Some(self.body("1.0", SOURCE, r#","data_base64":"Zm9=""#))),
            _ => (structured("application/cloudevents+xml"), Some(b"<event/>".to_vec())),
        }
    }
}

fn structured(content_type: &str) -> Vec<Header> {
    vec![("content-type", Some(content_type.as_bytes().to_vec()))]
}

fn time(index: u64, days: u32) -> String {
    let day = i64::try_from(index).unwrap_or(0) % i64::from(days.max(1));
    let of_day = START.rem_euclid(DAY) + i64::try_from(index).unwrap_or(0) % (DAY / 2);
    let (seconds, millis) = (of_day / 1000, of_day % 1000);
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("2025-01-{:02}T{hours:02}:{minutes:02}:{seconds:02}.{millis:03}Z", 21 - day % 20)
}

/// Days take turns from record to record, and versions after each round of days.
fn version(index: u64, mix: &Mix) -> Option<String> {
    let number = (index / u64::from(mix.days.max(1))).checked_rem(mix.versions.into())?;
    Some(format!("v{}", number + 1))
}

/// About 400 bytes of JSON whose exact spelling no parser gives back: spacing, `1e400`, a repeated key.
fn payload(dice: &mut Dice, index: u64, padding: usize) -> String {
    let mut text =
        format!(r#"{{"order": {index}, "big":1e400, "twice":1,"twice":2, "note":"Gr\u00fc\u00dfe", "lines":["#);
    for line in 0..6 {
        let (sku, count) = (dice.below(u64::MAX), dice.below(100));
        let comma = if line == 0 { "" } else { ", " };
        text.push_str(&format!(r#"{comma}{{"sku":"{sku:016x}","count":{count},"price":{}.50}}"#, count * 3));
    }
    text.push(']');
    if padding > 0 {
        let noise: Vec<u8> = (0..padding / 4 * 3).map(|_| dice.below(256) as u8).collect();
        text.push_str(&format!(r#","noise":"{}""#, STANDARD.encode(noise)));
    }
    text.push('}');
    text
}

/// SplitMix64 (Steele, Lea, Flood 2014): the same numbers in every release of every library.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_percent_is_invalid_in_all_nine_ways() {
        let mix = Mix::of(50_000, 12);
        let mut counts = [0; 9];
        for index in 0..mix.records {
            if let Fate::DeadLetter { reason } = sample(&mix, index).fate {
                counts[REASONS.iter().position(|known| *known == reason).unwrap()] += 1;
            }
        }
        assert!(counts.iter().all(|count| *count > 20), "{counts:?}");
        assert!((400..600).contains(&counts.iter().sum()), "{counts:?}");
    }

    #[test]
    fn the_same_seed_gives_the_same_records() {
        let mix = Mix::of(1, 12);
        assert_eq!(sample(&mix, 4711), sample(&mix, 4711));
    }

    #[test]
    fn both_modes_are_common() {
        let mix = Mix { invalid_per_thousand: 0, ..Mix::of(1000, 1) };
        let binary = (0..mix.records).filter(|index| sample(&mix, *index).headers.len() > 1).count();
        assert!((400..600).contains(&binary), "{binary}");
    }
}
