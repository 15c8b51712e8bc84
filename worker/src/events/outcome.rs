//! What a record can become, and the stable names under which that is counted, stored and documented.
//! Names here are an interface: dead letters, metrics and alerts spell them; never rename one.

use std::fmt;

use super::Event;

/// The verdict on one record.
#[derive(Debug, Clone, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly every record is an event; a box would cost each one an allocation"
)]
pub enum Decoded<'a> {
    /// A valid event, and what was odd about it without making it invalid.
    Event(Event<'a>, Notes),
    /// Left out because the policy says so: counted, no row.
    Filtered(FilterReason),
    /// Can never become a row: a dead letter.
    Rejected(Rejection),
}

/// Why a record was left out on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FilterReason {
    /// Not a CloudEvent, and the policy is to skip those.
    NotACloudEvent,
}

impl FilterReason {
    /// The stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotACloudEvent => "NotACloudEvent",
        }
    }
}

/// Longest [`Rejection::detail`] in bytes.
const MAX_DETAIL: usize = 512;

/// Longest quotation of a producer's text in a detail, in characters.
const MAX_QUOTE: usize = 64;

/// Why a record can never become a row.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {detail}")]
pub struct Rejection {
    /// The rule that is broken.
    pub reason: Reason,
    /// What is wrong and what would be right, in at most 512 bytes. It quotes attribute names, media
    /// types and versions, never other values or data.
    pub detail: String,
}

impl Rejection {
    /// Cuts `detail` to 512 bytes at a character boundary.
    pub(super) fn new(reason: Reason, mut detail: String) -> Self {
        detail.truncate(detail.floor_char_boundary(MAX_DETAIL));
        Self { reason, detail }
    }
}

/// A producer's text as it may stand in a detail: bounded, without control characters.
pub(super) fn quote(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(&text[..text.len().min(4 * MAX_QUOTE)]);
    let shown: String = text.chars().take(MAX_QUOTE).flat_map(char::escape_debug).collect();
    format!("`{shown}`")
}

/// Defines an enum whose variants have their own name as stable text.
macro_rules! named {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident,)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$doc])* $variant,)+ }

        impl $name {
            /// Every variant, for metrics that must exist before the first of its kind.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The stable name.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => stringify!($variant),)+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

named! {
    /// The rule that a rejected record breaks.
    Reason {
        /// Structured mode in a format that this decoder does not read.
        UnsupportedFormat,
        /// Batch media type: the Kafka binding has no batch mode (1.3).
        BatchNotDefined,
        /// Neither content mode of the Kafka binding (3).
        NotACloudEvent,
        /// A required attribute is missing or null.
        MissingAttribute,
        /// An attribute, or the data, is there more than once.
        Duplicate,
        /// A text is not UTF-8: a header (Kafka binding 3.2.3), or a string of Avro or Protobuf.
        InvalidUtf8,
        /// An attribute name that is not one or more of a-z and 0-9, or is `data`.
        InvalidAttributeName,
        /// Structured mode without a body.
        EmptyBody,
        /// Both `data` and `data_base64` (JSON format 3.1.1).
        DataConflict,
        /// `data` is a JSON value and no string although `datacontenttype` is not JSON (JSON format 3.1.2).
        DataNotString,
        /// `data_base64` is not base64 as RFC 4648 section 4 has it, padding included.
        InvalidBase64,
        /// `specversion` is not `1.0`.
        UnsupportedSpecVersion,
        /// An attribute that must not be empty is.
        EmptyAttribute,
        /// `source`, `dataschema` or an extension of a URI type breaks the grammar of RFC 3986.
        InvalidUriReference,
        /// `dataschema` or an extension of type URI has no scheme.
        NotAbsolute,
        /// `time` breaks RFC 3339, or a timestamp is one that it cannot write.
        InvalidTime,
        /// A number that is no 32-bit integer.
        IntegerRange,
        /// A value of a type that the attribute cannot have.
        AttributeType,
        /// Text with a character that the type system forbids (core 2.4, String).
        InvalidString,
        /// The body is not one JSON object in UTF-8.
        MalformedJson,
        /// The body is not one bare datum of the CloudEvents Avro schema (Avro format 2.4), or its data
        /// is a number that JSON cannot write.
        MalformedAvro,
        /// The body is not one message `CloudEvent` of `cloudevents.proto` (Protobuf format).
        MalformedProtobuf,
        /// JSON data nested deeper than readers survive.
        TooDeep,
    }
}

named! {
    /// Something odd about a valid event, counted so that producers can be told.
    Note {
        /// Structured mode with a `ce_` header that says something else than the body, which wins.
        HeaderMismatch,
        /// A header that would be an attribute or the content type if it were in lower case, and is one
        /// where the policy says so.
        HeaderCase,
        /// A `ce_` or content-type header with a null value: read as absent.
        NullHeader,
        /// A `ce_datacontenttype` header; content-type wins where both are there.
        DataContentTypeHeader,
        /// `dataschema` with a fragment, which an absolute URI (RFC 3986 section 4.3) has not.
        SchemaFragment,
        /// `time` with a space for its T, which the policy allows.
        TimeSpace,
        /// An extension whose name the policy lets break core 3.
        ExtensionName,
    }
}

/// A set of [`Note`]s.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Notes(u8);

impl Notes {
    /// Adds a note.
    pub fn insert(&mut self, note: Note) {
        self.0 |= 1 << note as u8;
    }

    /// Is it in the set?
    pub const fn contains(self, note: Note) -> bool {
        self.0 & (1 << note as u8) != 0
    }

    /// True for nearly every event: nothing odd.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The notes of the set, in the order of [`Note::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Note> {
        Note::ALL.iter().copied().filter(move |&note| self.contains(note))
    }
}

impl fmt::Debug for Notes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}
