//! Links from a cut to the traces of its records: a bounded sample, spread evenly over the cut. Pure.

use super::names::{self, Names};
use crate::events::{Event, Record};
use opentelemetry::KeyValue;
use opentelemetry::trace::{Link, SpanContext, SpanId, TraceFlags, TraceId, TraceState};

/// Links of one cut at most; even, so that thinning keeps every second one.
const LINKS: u64 = 32;
/// Longest attribute in bytes: what producers choose is held until the cut ends, outside the memory budget.
const LONGEST: usize = 256;
/// Header of a record, and extension of an event, that name its trace.
const TRACEPARENT: &str = "traceparent";

/// A sample of records, none looked at but those: 32 for the first 32, and 16 more for each doubling.
#[derive(Debug)]
pub(super) struct Links {
    seen: u64,
    stride: u64,
    kept: Vec<(u64, Link)>,
}

impl Default for Links {
    fn default() -> Self {
        Self { seen: 0, stride: 1, kept: Vec::new() }
    }
}

impl Links {
    /// Counts a record, and links its trace when it belongs to the sample.
    pub fn offer(&mut self, record: &Record<'_>, event: Option<&Event<'_>>, names: Names) {
        let number = self.seen;
        self.seen += 1;
        if !number.is_multiple_of(self.stride) {
            return;
        }
        if number == self.stride * LINKS {
            self.stride *= 2;
            let stride = self.stride;
            self.kept.retain(|(number, _)| number.is_multiple_of(stride));
        }
        if let Some(context) = context(record, event) {
            self.kept.push((number, Link::new(context, attributes(record, event, names), 0)));
        }
    }

    /// Records counted.
    pub fn records(&self) -> u64 {
        self.seen
    }

    /// The links, in the order of the records.
    pub fn take(&mut self) -> impl Iterator<Item = Link> {
        std::mem::take(&mut self.kept).into_iter().map(|(_, link)| link)
    }
}

/// The record's own context: its header, else the extension, which holds the trace in which the event began
/// (CloudEvents, distributed tracing extension).
fn context(record: &Record<'_>, event: Option<&Event<'_>>) -> Option<SpanContext> {
    let header = record.headers.iter().find(|header| header.name == TRACEPARENT.as_bytes());
    let extension = || event?.extensions.iter().find(|(name, _)| name == TRACEPARENT);
    header
        .and_then(|header| parse(header.value?))
        .or_else(|| extension().and_then(|(_, value)| parse(value.as_bytes())))
}

fn attributes(record: &Record<'_>, event: Option<&Event<'_>>, names: Names) -> Vec<KeyValue> {
    let mut attributes: Vec<_> = names.offset(record.offset).collect();
    if record.value.is_none() {
        attributes.extend(names.tombstone());
    }
    if let Some(event) = event {
        let of_event = [
            (names::EVENT_ID, &event.id),
            (names::EVENT_SOURCE, &event.source),
            (names::EVENT_TYPE, &event.r#type),
            (names::EVENT_SPEC_VERSION, &event.specversion),
        ];
        attributes.extend(
            of_event.map(|(name, value)| KeyValue::new(name, value[..value.floor_char_boundary(LONGEST)].to_owned())),
        );
    }
    attributes
}

/// `version-trace_id-parent_id-flags` in lower-case hex (W3C Trace Context, section 3.2); a later version may have
/// more after it. The reader of the library takes fields of any length, and signs.
fn parse(text: &[u8]) -> Option<SpanContext> {
    let text = std::str::from_utf8(text).ok()?;
    let (known, rest) = text.split_at_checked(55)?;
    let mut fields = known.split('-');
    let mut field = |len: usize| {
        let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        fields.next().filter(|field| field.len() == len && field.bytes().all(is_hex))
    };
    let (version, trace, parent, flags) = (field(2)?, field(32)?, field(16)?, field(2)?);
    if version == "ff" || !(rest.is_empty() || (version != "00" && rest.starts_with('-'))) {
        return None;
    }
    let flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()?) & TraceFlags::SAMPLED;
    let (trace, parent) = (TraceId::from_hex(trace).ok()?, SpanId::from_hex(parent).ok()?);
    let context = SpanContext::new(trace, parent, flags, true, TraceState::NONE);
    context.is_valid().then_some(context)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::Header;

    fn traceparent(number: u64) -> String {
        format!("00-{:032x}-{:016x}-01", u128::from(number) + 1, number + 1)
    }

    fn offered(count: u64) -> Vec<u64> {
        let mut links = Links::default();
        for number in 0..count {
            let text = traceparent(number);
            let headers = [Header { name: TRACEPARENT.as_bytes(), value: Some(text.as_bytes()) }];
            let record =
                Record { offset: number as i64, timestamp: None, key: None, value: Some(b"x"), headers: &headers };
            links.offer(&record, None, Names::Old);
        }
        assert_eq!(links.records(), count);
        links.take().map(|link| u64::from_be_bytes(link.span_context.span_id().to_bytes()) - 1).collect()
    }

    #[test]
    fn a_small_cut_links_every_record() {
        assert_eq!(offered(32), (0..32).collect::<Vec<_>>());
    }

    #[test]
    fn a_large_cut_links_a_sample_of_all_of_it() {
        for count in [33, 64, 65, 1000, 100_000] {
            let linked = offered(count);
            let gaps: Vec<u64> = linked.windows(2).map(|pair| pair[1] - pair[0]).collect();
            assert!((LINKS as usize / 2..=LINKS as usize).contains(&linked.len()), "{count}: {linked:?}");
            assert!(
                gaps.iter().all(|gap| *gap == gaps[0]) && count - linked[linked.len() - 1] <= gaps[0],
                "{linked:?}"
            );
        }
    }

    #[test]
    fn what_producers_choose_is_told_in_few_bytes() {
        let long = format!("x{}", "ä".repeat(10_000));
        let source = format!("/{}", "s".repeat(10_000));
        let body = format!(r#"{{"specversion":"1.0","id":"{long}","source":"{source}","type":"{long}"}}"#);
        let headers = [Header { name: b"content-type", value: Some(b"application/cloudevents+json") }];
        let record = Record { offset: 7, timestamp: None, key: None, value: Some(body.as_bytes()), headers: &headers };
        let policy = crate::events::Policy::default();
        let crate::events::Decoded::Event(event, _) =
            crate::events::decode(&record, crate::events::Place { topic: "t", partition: 0 }, &policy)
        else {
            panic!("it is an event")
        };
        let told = attributes(&record, Some(&event), Names::Old);
        let told = |name: &str| told.iter().find(|told| told.key.as_str() == name).unwrap().value.to_string();
        assert_eq!(told(names::EVENT_ID), long[..255], "the 256th byte is within a character");
        assert_eq!(told(names::EVENT_SOURCE), source[..256]);
        assert_eq!(told(names::EVENT_TYPE), long[..255]);
    }

    #[test]
    fn only_valid_contexts_are_linked() {
        let good = traceparent(6);
        let later = format!("{}-more", good.replacen("00", "cc", 1));
        for text in [&good, &later] {
            let context = parse(text.as_bytes()).unwrap();
            assert_eq!((u64::from_be_bytes(context.span_id().to_bytes()), context.is_sampled()), (7, true), "{text}");
        }
        for bad in [
            String::new(),
            good.to_uppercase().replace('0', "A"),
            good.replacen("00", "ff", 1),
            format!("{good}-more"),
            format!("{good}0"),
            format!("00-{:032x}-{:016x}-01", 0, 7),
            format!("00-{:032x}-{:016x}-01", 7, 0),
            good.replacen("-0", "-+", 1),
            good.replace('-', "_"),
            "00-7-7-01".to_owned(),
            format!("{}ä", &good[..54]),
        ] {
            assert!(parse(bad.as_bytes()).is_none(), "{bad}");
        }
    }

    #[test]
    fn the_header_wins_over_the_extension() {
        let (header, extension) = (traceparent(1), traceparent(2));
        let body = format!(
            r#"{{"specversion":"1.0","id":"i","source":"/s","type":"t","traceparent":"{extension}","data":"secret"}}"#
        );
        let kind = Header { name: b"content-type", value: Some(b"application/cloudevents+json") };
        let own = Header { name: TRACEPARENT.as_bytes(), value: Some(header.as_bytes()) };
        for (headers, expected) in [(vec![kind], 3), (vec![kind, own], 2)] {
            let record =
                Record { offset: 7, timestamp: None, key: None, value: Some(body.as_bytes()), headers: &headers };
            let policy = crate::events::Policy::default();
            let crate::events::Decoded::Event(event, _) =
                crate::events::decode(&record, crate::events::Place { topic: "t", partition: 0 }, &policy)
            else {
                panic!("it is an event")
            };
            let mut links = Links::default();
            links.offer(&record, Some(&event), Names::Old);
            let link = links.take().next().unwrap();
            assert_eq!(u64::from_be_bytes(link.span_context.span_id().to_bytes()), expected);
            let told = format!("{:?}", link.attributes);
            assert!(told.contains(names::EVENT_ID) && told.contains("messaging.kafka.offset"), "{told}");
            assert!(!told.contains("secret"), "the payload is told: {told}");
        }
    }
}
