//! Media types: which format an event is in, and what kind of data a type declares. No parameters are
//! interpreted: bytes are kept as they came.

use super::{Reason, Rejection, outcome::quote};

/// What starts every structured content type (Kafka binding 3).
const CLOUDEVENTS: &[u8] = b"application/cloudevents";

/// What `data` without a `datacontenttype` is in the JSON format (3.1.2).
pub(super) const IMPLIED: &str = "application/json";

/// Does a content-type header announce structured mode? Compared without case, as newer drafts say.
pub(super) fn is_cloudevents(content_type: &[u8]) -> bool {
    content_type.get(..CLOUDEVENTS.len()).is_some_and(|start| start.eq_ignore_ascii_case(CLOUDEVENTS))
}

/// How an event is written in structured mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    Avro,
    Protobuf,
}

/// The format of a content type of structured mode, or why there is no decoder for it.
pub(super) fn format(content_type: &[u8]) -> Result<Format, Rejection> {
    let essence = essence(content_type);
    let format = essence[CLOUDEVENTS.len().min(essence.len())..].to_ascii_lowercase();
    match format.as_slice() {
        b"+json" => Ok(Format::Json),
        b"+avro" => Ok(Format::Avro),
        b"+protobuf" => Ok(Format::Protobuf),
        b"-batch" => Err(batch()),
        other if other.starts_with(b"-batch+") => Err(batch()),
        _ => Err(Rejection::new(
            Reason::UnsupportedFormat,
            format!("no decoder for {}; send application/cloudevents+json, +avro or +protobuf", quote(essence)),
        )),
    }
}

fn batch() -> Rejection {
    Rejection::new(Reason::BatchNotDefined, "the Kafka binding has no batch mode; send one event per record".to_owned())
}

/// `*/json` or `*/*+json` in any case, parameters aside (JSON format 3.1.1).
pub(super) fn is_json(media_type: &str) -> bool {
    has_subtype(media_type.as_bytes(), b"json")
}

/// Media types whose bytes are text when they are UTF-8: JSON, `text/*`, and XML, which RFC 7303 makes
/// the same thing under `application/` and `text/`.
pub(super) fn is_text(media_type: &str) -> bool {
    let bytes = media_type.as_bytes();
    is_json(media_type)
        || bytes.get(..5).is_some_and(|start| start.eq_ignore_ascii_case(b"text/"))
        || has_subtype(bytes, b"xml")
}

/// Is it `type/subtype` with names as RFC 6838 has them? Parameters may be anything.
pub(super) fn is_media_type(text: &str) -> bool {
    let is_name = |name: &[u8]| {
        (1..=127).contains(&name.len())
            && name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(byte))
    };
    let essence = essence(text.as_bytes());
    let slash = essence.iter().position(|&byte| byte == b'/');
    slash.is_some_and(|slash| is_name(&essence[..slash]) && is_name(&essence[slash + 1..]))
}

/// Is the subtype `name`, or does it end in `+name`?
fn has_subtype(media_type: &[u8], name: &[u8]) -> bool {
    let essence = essence(media_type);
    let Some(slash) = essence.iter().position(|&byte| byte == b'/') else {
        return false;
    };
    let subtype = &essence[slash + 1..];
    let Some(start) = subtype.len().checked_sub(name.len()) else {
        return false;
    };
    subtype[start..].eq_ignore_ascii_case(name) && (start == 0 || subtype[start - 1] == b'+')
}

/// The type without its parameters.
fn essence(media_type: &[u8]) -> &[u8] {
    media_type.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii()
}
