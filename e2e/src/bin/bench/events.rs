//! The records: orders of a shop, whose fields differ as real ones do, so that they shrink as real ones do. Pure: the
//! number of an event says everything.

use std::fmt::Write as _;

use crate::case::{Load, Mode};

/// 2025-01-21T10:00:00Z in milliseconds: timestamps come from here and not from a clock.
const START: i64 = 1_737_453_600_000;
/// A millisecond of the producers' time is so many events.
const EVENTS_PER_MILLI: u64 = 100;

/// One record to send, its parts reused from record to record.
#[derive(Debug, Default)]
pub struct Made {
    /// Attributes as headers; empty in structured mode.
    pub headers: Vec<(&'static str, String)>,
    /// Key.
    pub key: String,
    /// Value.
    pub value: String,
    /// Kafka timestamp.
    pub timestamp: i64,
    data: String,
}

/// Makes event `number` of a load.
pub fn make(load: &Load, number: u64, made: &mut Made) {
    let mut dice = Dice(number);
    let micros = number % EVENTS_PER_MILLI * (1000 / EVENTS_PER_MILLI) + dice.below(1000 / EVENTS_PER_MILLI);
    made.timestamp = START + (number / EVENTS_PER_MILLI) as i64;
    made.key.clear();
    _ = write!(made.key, "customer-{}", dice.below(100_000));
    let time = time(made.timestamp, micros);
    let id = uuid(&mut dice);
    let (source, kind) = (SOURCES[dice.index(SOURCES.len())], TYPES[dice.index(TYPES.len())]);
    if load.size < 200 {
        small(load, number, made);
        return;
    }
    let subject = format!("order/{}", number / 4);
    let room = match load.mode {
        Mode::Structured => load.size - 268,
        Mode::Binary => load.size - 240,
    };
    data(room, &mut dice, made);
    made.headers.clear();
    made.value.clear();
    let version = match load.versions {
        0 => String::new(),
        versions => format!(r#""schemaversion":"v{}","#, number / load.partitions.unsigned_abs() as u64 % versions),
    };
    match load.mode {
        Mode::Structured => {
            made.headers.push(("content-type", "application/cloudevents+json".to_owned()));
            _ = write!(
                made.value,
                r#"{{"specversion":"1.0","id":"{id}","source":"{source}","type":"{kind}","subject":"{subject}","time":"{time}","datacontenttype":"application/json",{version}"traceparent":"00-{}-{}-01","data":{}}}"#,
                hex(&mut dice, 32),
                hex(&mut dice, 16),
                made.data
            );
        }
        Mode::Binary => {
            let named = [
                ("ce_specversion", "1.0".to_owned()),
                ("ce_id", id),
                ("ce_source", source.to_owned()),
                ("ce_type", kind.to_owned()),
                ("ce_subject", subject),
                ("ce_time", time),
                ("ce_traceparent", format!("00-{}-{}-01", hex(&mut dice, 32), hex(&mut dice, 16))),
                ("content-type", "application/json".to_owned()),
            ];
            made.headers.extend(named);
            made.value.push_str(&made.data);
        }
    }
}

/// The required attributes, a time and a number: about 100 bytes.
fn small(load: &Load, number: u64, made: &mut Made) {
    made.headers.clear();
    made.value.clear();
    debug_assert_eq!(load.mode, Mode::Structured, "the small event is JSON");
    made.headers.push(("content-type", "application/cloudevents+json".to_owned()));
    _ = write!(
        made.value,
        r#"{{"specversion":"1.0","id":"{number:x}","source":"/m","type":"r","time":"{}Z","data":{}}}"#,
        &time(made.timestamp, 0)[..19],
        number % 1000
    );
}

/// An order of about `room` bytes.
fn data(room: usize, dice: &mut Dice, made: &mut Made) {
    let data = &mut made.data;
    data.clear();
    _ = write!(
        data,
        r#"{{"orderId":"{:x}","customer":"{}","total":{}.{:02},"currency":"EUR","paid":{},"items":["#,
        dice.next(),
        made.key,
        dice.below(500),
        dice.below(100),
        dice.below(2) == 0
    );
    loop {
        _ = write!(
            data,
            r#"{{"sku":"{}-{:05}","name":"{}","quantity":{},"price":{}.{:02}}}"#,
            ["BK", "EL", "GR", "TO"][dice.index(4)],
            dice.below(20_000),
            NAMES[dice.index(NAMES.len())],
            1 + dice.below(4),
            dice.below(200),
            dice.below(100)
        );
        if data.len() + 60 >= room {
            break;
        }
        data.push(',');
    }
    data.push_str("]}");
}

const SOURCES: [&str; 6] =
    ["/shops/berlin/7", "/shops/berlin/12", "/shops/wien/3", "/shops/lyon/1", "/shops/porto/2", "/web/checkout"];
const TYPES: [&str; 4] =
    ["com.example.order.placed", "com.example.order.paid", "com.example.order.shipped", "com.example.order.returned"];
const NAMES: [&str; 8] = [
    "paperback, second edition",
    "usb-c cable 2 m",
    "espresso beans 1 kg",
    "wooden train",
    "desk lamp",
    "gift card",
    "notebook A5",
    "headphones",
];

fn uuid(dice: &mut Dice) -> String {
    let (a, b) = (dice.next(), dice.next());
    format!(
        "{:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}",
        a >> 32,
        a >> 16 & 0xFFFF,
        a & 0xFFF,
        b >> 52,
        b & 0xFFFF_FFFF_FFFF
    )
}

fn hex(dice: &mut Dice, digits: usize) -> String {
    let mut text = format!("{:016x}{:016x}", dice.next(), dice.next());
    text.truncate(digits);
    text
}

/// Within one day, so that there is one folder.
fn time(millis: i64, micros: u64) -> String {
    let day = millis - 1_737_417_600_000;
    let (hours, minutes, seconds, millis) = (day / 3_600_000, day / 60_000 % 60, day / 1000 % 60, day % 1000);
    format!("2025-01-21T{hours:02}:{minutes:02}:{seconds:02}.{millis:03}{micros:03}Z")
}

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn index(&mut self, len: usize) -> usize {
        self.below(len as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn average(load: &Load) -> usize {
        let mut made = Made::default();
        let total: usize = (0..1000)
            .map(|number| {
                make(load, number, &mut made);
                let headers = made.headers.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
                made.value.len() + if load.mode == Mode::Binary { headers } else { 0 }
            })
            .sum();
        total / 1000
    }

    #[test]
    fn records_are_as_large_as_their_case_says() {
        for (mode, size) in
            [(Mode::Structured, 100), (Mode::Structured, 550), (Mode::Binary, 550), (Mode::Structured, 10_000)]
        {
            let found = average(&Load { mode, size, partitions: 1, events: 1000, versions: 0 });
            assert!(found.abs_diff(size) * 20 <= size, "{mode:?} of {size} bytes has {found}");
        }
    }
}
