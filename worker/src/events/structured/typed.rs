//! Attributes of formats that have types, as the text that every attribute becomes (core 2.4: each type
//! has a canonical string). Knows the kinds of values, not how a format writes them.

use std::borrow::Cow;

use base64::{Engine, engine::general_purpose::STANDARD};

use super::super::attributes::{Attributes, Core, invalid_name};
use super::super::{Reason, time};

/// An attribute's value as it came.
pub(super) enum Typed<'a> {
    Unset,
    Boolean(bool),
    /// Any integer; only those of 32 bits are valid.
    Integer(i64),
    /// Text that is not yet known to be UTF-8.
    Text(&'a [u8]),
    Binary(&'a [u8]),
    Uri(&'a [u8]),
    UriReference(&'a [u8]),
    /// Since 1970, UTC.
    Timestamp {
        seconds: i64,
        nanos: i64,
    },
    /// Something of a kind that version 1.0 does not have.
    Unknown,
}

/// Adds an attribute, or the first rule that it breaks.
pub(super) fn put<'a>(attributes: &mut Attributes<'a>, name: &'a [u8], value: Typed<'a>) {
    let Ok(name) = std::str::from_utf8(name) else {
        attributes.fail(Reason::InvalidAttributeName, || invalid_name(name));
        return;
    };
    let core = Core::named(name);
    // What a core attribute must be is known without its producer's word for it.
    if core.is_none()
        && let Typed::Uri(bytes) | Typed::UriReference(bytes) = value
    {
        attributes.put_uri(name, utf8(bytes), matches!(value, Typed::Uri(_)));
    } else {
        attributes.put_read(Cow::Borrowed(name), text(core, value));
    }
}

/// The canonical text; `None` is unset. Core attributes come as texts, as in the JSON format, extensions
/// in any type. The reason alone says what is wrong.
fn text(core: Option<Core>, value: Typed<'_>) -> Result<Option<Cow<'_, str>>, Reason> {
    let text = match value {
        Typed::Unset => return Ok(None),
        Typed::Text(bytes) | Typed::Uri(bytes) | Typed::UriReference(bytes) => utf8(bytes)?,
        Typed::Timestamp { seconds, nanos } if matches!(core, None | Some(Core::Time)) => {
            time::text(seconds, nanos).ok_or(Reason::InvalidTime)?.into()
        }
        Typed::Boolean(value) if core.is_none() => Cow::Borrowed(if value { "true" } else { "false" }),
        Typed::Integer(value) if core.is_none() => {
            i32::try_from(value).map_err(|_| Reason::IntegerRange)?.to_string().into()
        }
        Typed::Binary(bytes) if core.is_none() => STANDARD.encode(bytes).into(),
        _ => return Err(Reason::AttributeType),
    };
    Ok(Some(text))
}

fn utf8(bytes: &[u8]) -> Result<Cow<'_, str>, Reason> {
    std::str::from_utf8(bytes).map(Cow::Borrowed).map_err(|_| Reason::InvalidUtf8)
}
