//! Sample records: the life of orders in three shops, as CloudEvents in both modes, and a few that are none. Pure.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

/// One record in so many is broken.
const BROKEN_EVERY: u32 = 200;
/// The first broken one, early enough for a demo of a few events.
const FIRST_BROKEN: u32 = 7;
/// The first order's number.
const FIRST_ORDER: u32 = 100_000;

/// Milliseconds from one event to the next.
pub(super) const PACE: i64 = 50;

/// What becomes of an order, one event each. The version at the end of the type names a folder.
const LIFE: [(&str, &str); 3] = [
    ("placed", "com.example.order.placed.v1"),
    ("paid", "com.example.order.paid.v1"),
    ("shipped", "com.example.order.shipped.v2"),
];
const SHOPS: [&str; 3] = ["berlin", "lisbon", "oslo"];
const GOODS: [&str; 4] = ["tea pot", "desk lamp", "rain coat", "notebook"];

/// A record to produce.
pub(super) struct Sample {
    pub partition: i32,
    /// Milliseconds since 1970.
    pub timestamp: i64,
    pub key: String,
    pub headers: Vec<(&'static str, String)>,
    pub value: String,
}

/// The record number `index` of those that begin at `start`; all records of an order go to one of the `partitions`,
/// as keys would have it.
pub(super) fn sample(index: u32, partitions: i32, start: DateTime<Utc>) -> Sample {
    let (order, step) = (FIRST_ORDER + index / 3, index % 3);
    let event = Event::new(order, step as usize, start + TimeDelta::milliseconds(PACE * i64::from(index)));
    let partition = i32::try_from(order).unwrap_or(0) % partitions.max(1);
    let (headers, value) = if index % BROKEN_EVERY == FIRST_BROKEN {
        event.broken(index / BROKEN_EVERY % 4)
    } else if (order + step).is_multiple_of(2) {
        event.binary()
    } else {
        event.structured(&event.data)
    };
    Sample { partition, timestamp: event.time.timestamp_millis(), key: format!("order-{order}"), headers, value }
}

struct Event {
    id: String,
    source: String,
    r#type: &'static str,
    subject: String,
    time: DateTime<Utc>,
    data: String,
}

impl Event {
    fn new(order: u32, step: usize, time: DateTime<Utc>) -> Self {
        let mut dice = StdRng::seed_from_u64(u64::from(order));
        let (step, r#type) = LIFE[step % LIFE.len()];
        let shop = SHOPS[dice.random_range(0..SHOPS.len())];
        let goods = GOODS[dice.random_range(0..GOODS.len())];
        let (count, cents, customer) =
            (dice.random_range(1..5), dice.random_range(500..9_900), dice.random_range(1..4_000));
        let total = count * cents;
        let total = format!("{}.{:02}", total / 100, total % 100);
        let data = match step {
            "placed" => format!(
                r#"{{"order":{order},"customer":"c-{customer:04}","lines":[{{"item":"{goods}","count":{count}}}],"total":{total}}}"#
            ),
            "paid" => format!(r#"{{"order":{order},"amount":{total},"currency":"EUR"}}"#),
            _ => format!(r#"{{"order":{order},"carrier":"post","parcels":{count}}}"#),
        };
        Self {
            id: format!("{order}-{step}"),
            source: format!("/shops/{shop}"),
            r#type,
            subject: format!("order/{order}"),
            time,
            data,
        }
    }

    /// Attributes in headers, data in the value.
    fn binary(&self) -> (Vec<(&'static str, String)>, String) {
        let headers = vec![
            ("ce_specversion", "1.0".to_owned()),
            ("ce_id", self.id.clone()),
            ("ce_source", self.source.clone()),
            ("ce_type", self.r#type.to_owned()),
            ("ce_subject", self.subject.clone()),
            ("ce_time", self.time()),
            ("content-type", "application/json".to_owned()),
        ];
        (headers, self.data.clone())
    }

    /// Everything in one JSON document.
    fn structured(&self, data: &str) -> (Vec<(&'static str, String)>, String) {
        let Self { id, source, r#type, subject, .. } = self;
        let time = self.time();
        let value = format!(
            r#"{{"specversion":"1.0","id":"{id}","source":"{source}","type":"{}","subject":"{subject}","time":"{time}","datacontenttype":"application/json","data":{data}}}"#,
            r#type
        );
        (vec![("content-type", "application/cloudevents+json".to_owned())], value)
    }

    /// What producers get wrong.
    fn broken(&self, kind: u32) -> (Vec<(&'static str, String)>, String) {
        let (mut headers, value) = self.binary();
        match kind {
            0 => headers.retain(|(name, _)| *name != "ce_type"),
            1 => headers.iter_mut().filter(|(name, _)| *name == "ce_time").for_each(|(_, value)| {
                "yesterday at noon".clone_into(value);
            }),
            2 => return self.structured("{\"order\":"),
            _ => headers.retain(|(name, _)| !name.starts_with("ce_")),
        }
        (headers, value)
    }

    fn time(&self) -> String {
        self.time.to_rfc3339_opts(SecondsFormat::Millis, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::{Decoded, Header, Place, Policy, Reason, Record, decode};
    use std::collections::HashSet;

    /// The type of a valid event, or why the record is none.
    fn verdict(index: u32) -> Result<String, Reason> {
        let sample = sample(index, 3, DateTime::UNIX_EPOCH);
        let headers: Vec<Header<'_>> = sample
            .headers
            .iter()
            .map(|(name, value)| Header { name: name.as_bytes(), value: Some(value.as_bytes()) })
            .collect();
        let record =
            Record { offset: 0, timestamp: None, key: None, value: Some(sample.value.as_bytes()), headers: &headers };
        match decode(&record, Place { topic: "demo", partition: 0 }, &Policy::default()) {
            Decoded::Event(event, _) => Ok(event.r#type.into_owned()),
            Decoded::Rejected(rejection) => Err(rejection.reason),
            Decoded::Filtered(reason) => panic!("nothing is filtered, this was: {reason:?}"),
        }
    }

    #[test]
    fn three_types_are_valid_in_both_modes() {
        let seen: HashSet<(String, bool)> = (0..100)
            .filter_map(|index| Some((verdict(index).ok()?, sample(index, 3, DateTime::UNIX_EPOCH).headers.len() > 1)))
            .collect();
        assert_eq!(seen.len(), 6, "{seen:?}");
    }

    #[test]
    fn one_in_two_hundred_is_broken_in_four_ways() {
        let broken: Vec<Reason> = (0..800).filter_map(|index| verdict(index).err()).collect();
        assert_eq!(broken.len(), 4);
        assert_eq!(broken.iter().collect::<HashSet<_>>().len(), 4, "{broken:?}");
    }

    #[test]
    fn an_order_stays_in_its_partition() {
        for order in 0..20 {
            let partitions: HashSet<i32> =
                (0..3).map(|step| sample(order * 3 + step, 3, DateTime::UNIX_EPOCH).partition).collect();
            assert_eq!(partitions.len(), 1);
        }
    }
}
