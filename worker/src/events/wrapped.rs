//! A record that is no CloudEvent as the data of one that names the record, for the policy `wrap`. Nothing is
//! guessed: what Kafka knows of the record stays in its own columns.

use std::borrow::Cow;

use super::attributes::is_allowed_string;
use super::{Data, Event, Place, Record, Rejection, data, media};

/// `type` of every such event.
const TYPE: &str = "dev.eventsink.kafka.record";

/// Wraps `record`; `content_type` is its only header of that name.
///
/// `source` and `id` together are unique in one cluster for as long as the topic is not made again.
pub(super) fn wrap<'a>(
    record: &Record<'a>,
    content_type: Option<&'a [u8]>,
    at: Place<'_>,
) -> Result<Event<'a>, Rejection> {
    let media_type = content_type.and_then(|bytes| std::str::from_utf8(bytes).ok());
    let media_type = media_type.filter(|text| media::is_media_type(text) && is_allowed_string(text));
    Ok(Event {
        specversion: Cow::Borrowed("1.0"),
        id: format!("partition:{}/offset:{}", at.partition, record.offset).into(),
        // Names of topics consist of characters that a path takes as they are.
        source: format!("/kafka/{}", at.topic).into(),
        r#type: Cow::Borrowed(TYPE),
        subject: None,
        time: None,
        datacontenttype: media_type.map(Cow::Borrowed),
        dataschema: None,
        extensions: Vec::new(),
        data: match record.value {
            None => Data::None,
            Some(bytes) => data::from_bytes(Cow::Borrowed(bytes), media_type)?,
        },
    })
}
