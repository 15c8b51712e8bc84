//! The attributes of one event while they are collected, and the rules they obey in both content modes
//! (CloudEvents core 2.4, 3 and 4). Knows nothing about headers or JSON.

use std::borrow::Cow;
use std::collections::HashSet;

use iri_string::types::UriReferenceStr;

use super::outcome::quote;
use super::{Data, Event, Leniency, Lenient, Note, Notes, Reason, Rejection, Time, time};

/// The attributes that the core specification names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Core {
    SpecVersion,
    Id,
    Source,
    Type,
    Subject,
    Time,
    DataContentType,
    DataSchema,
}

impl Core {
    const ALL: [Self; 8] = [
        Self::SpecVersion,
        Self::Id,
        Self::Source,
        Self::Type,
        Self::Subject,
        Self::Time,
        Self::DataContentType,
        Self::DataSchema,
    ];

    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "specversion" => Some(Self::SpecVersion),
            "id" => Some(Self::Id),
            "source" => Some(Self::Source),
            "type" => Some(Self::Type),
            "subject" => Some(Self::Subject),
            "time" => Some(Self::Time),
            "datacontenttype" => Some(Self::DataContentType),
            "dataschema" => Some(Self::DataSchema),
            _ => None,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::SpecVersion => "specversion",
            Self::Id => "id",
            Self::Source => "source",
            Self::Type => "type",
            Self::Subject => "subject",
            Self::Time => "time",
            Self::DataContentType => "datacontenttype",
            Self::DataSchema => "dataschema",
        }
    }
}

/// Up to this many extensions are compared pair by pair; a hash set would cost more.
const FEW: usize = 16;

/// Longest extension name, in bytes, that may break the rule for names.
const MAX_ODD_NAME: usize = 128;

/// Attributes in the order they are read. The first broken rule is kept and judged by [`Self::finish`],
/// because an event of another version may rightly break the rules of 1.0.
#[derive(Default)]
pub(super) struct Attributes<'a> {
    core: [Option<Cow<'a, str>>; Core::ALL.len()],
    /// One bit per core attribute, null ones included.
    seen: u8,
    extensions: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// Names of extensions whose value is null.
    unset: Vec<Cow<'a, str>>,
    broken: Option<Rejection>,
    /// The first name that only a lenient policy bears, if no rule was broken before it.
    odd_name: Option<Rejection>,
    /// A `dataschema` that needs no scheme.
    allowed_schema: Option<&'a str>,
}

impl<'a> Attributes<'a> {
    /// Adds an attribute; `None` is a null value, which leaves it unset.
    pub(super) fn put(&mut self, name: Cow<'a, str>, value: Option<Cow<'a, str>>) {
        if let Some(text) = &value
            && !is_allowed_string(text)
        {
            self.fail(Reason::InvalidString, || {
                format!("{} has a control character or a noncharacter", quote(name.as_bytes()))
            });
        }
        if let Some(core) = Core::named(&name) {
            self.put_core(core, value);
            return;
        }
        if !is_valid_name(&name) {
            self.put_odd(&name);
        }
        match value {
            Some(text) => self.extensions.push((name, text)),
            None => self.unset.push(name),
        }
    }

    fn put_odd(&mut self, name: &str) {
        if name.is_empty() || name == "data" || name.len() > MAX_ODD_NAME || !is_allowed_string(name) {
            self.fail(Reason::InvalidAttributeName, || invalid_name(name.as_bytes()));
        } else if self.broken.is_none() && self.odd_name.is_none() {
            self.odd_name = Some(Rejection::new(Reason::InvalidAttributeName, invalid_name(name.as_bytes())));
        }
    }

    fn put_core(&mut self, core: Core, value: Option<Cow<'a, str>>) {
        let bit = 1 << core as u8;
        if self.seen & bit != 0 {
            self.fail(Reason::Duplicate, || repeated(core.name()));
            return;
        }
        self.seen |= bit;
        self.core[core as usize] = value;
    }

    /// Records a broken rule; only the first counts.
    pub(super) fn fail(&mut self, reason: Reason, detail: impl FnOnce() -> String) {
        if self.broken.is_none() {
            self.broken = Some(Rejection::new(reason, detail()));
        }
    }

    /// Adds an extension whose producer declares it to be a URI, absolute or only a reference.
    pub(super) fn put_uri(&mut self, name: &'a str, text: Result<Cow<'a, str>, Reason>, absolute: bool) {
        if let Ok(text) = &text
            && let Err(rejection) = check_uri(name, text, absolute)
        {
            self.broken.get_or_insert(rejection);
        }
        self.put_read(Cow::Borrowed(name), text.map(Some));
    }

    /// Adds an attribute whose format may have given it no valid text, for a reason that says it all.
    pub(super) fn put_read(&mut self, name: Cow<'a, str>, text: Result<Option<Cow<'a, str>>, Reason>) {
        let reason = match text {
            Ok(text) => return self.put(name, text),
            Err(reason) => reason,
        };
        let rule = match reason {
            Reason::InvalidString => "has an escaped surrogate without its partner",
            Reason::InvalidUtf8 => "is not UTF-8",
            Reason::InvalidTime => "is a timestamp that is not within the years 1 to 9999",
            Reason::IntegerRange => "is a number that is not a 32-bit integer",
            _ => "has a type that the attribute cannot have",
        };
        self.fail(reason, || format!("{} {rule}", quote(name.as_bytes())));
    }

    /// Lets one text stand as `dataschema` without a scheme.
    pub(super) fn allow_schema(&mut self, text: &'a str) {
        self.allowed_schema = Some(text);
    }

    /// The text of an attribute, if it is set.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        match Core::named(name) {
            Some(core) => self.core[core as usize].as_deref(),
            None => self.extensions.iter().find(|(known, _)| known == name).map(|(_, text)| &**text),
        }
    }

    /// Judges the attributes and makes the event, its data still missing.
    pub(super) fn finish(mut self, lenient: Lenient, notes: &mut Notes) -> Result<Event<'a>, Rejection> {
        self.check_version()?;
        if let Some(rejection) = self.odd_name.take() {
            if !lenient.contains(Leniency::ExtensionNames) {
                return Err(rejection);
            }
            notes.insert(Note::ExtensionName);
        }
        if let Some(rejection) = self.broken.take() {
            return Err(rejection);
        }
        if let Some(name) = self.repeated_extension() {
            return Err(Rejection::new(Reason::Duplicate, repeated(name)));
        }
        self.check_presence()?;
        let source = self.require(Core::Source)?;
        check_uri(Core::Source.name(), &source, false)?;
        if let Some(schema) = self.core[Core::DataSchema as usize].as_deref() {
            let absolute = self.allowed_schema != Some(schema);
            if check_uri(Core::DataSchema.name(), schema, absolute)? == Fragment::There {
                notes.insert(Note::SchemaFragment);
            }
        }
        Ok(Event {
            specversion: self.require(Core::SpecVersion)?,
            id: self.require(Core::Id)?,
            source,
            r#type: self.require(Core::Type)?,
            subject: self.take(Core::Subject),
            time: self.take(Core::Time).map(|text| parse_time(text, lenient, notes)).transpose()?,
            datacontenttype: self.take(Core::DataContentType),
            dataschema: self.take(Core::DataSchema),
            extensions: self.extensions,
            data: Data::None,
        })
    }

    fn take(&mut self, core: Core) -> Option<Cow<'a, str>> {
        self.core[core as usize].take()
    }

    fn require(&mut self, core: Core) -> Result<Cow<'a, str>, Rejection> {
        self.take(core).ok_or_else(|| missing(core.name()))
    }

    /// Before every other rule: those of another version are not ours to judge.
    fn check_version(&self) -> Result<(), Rejection> {
        match self.core[Core::SpecVersion as usize].as_deref() {
            None | Some("1.0") => Ok(()),
            Some(other) => Err(Rejection::new(
                Reason::UnsupportedSpecVersion,
                format!("specversion is {}; only 1.0 is read", quote(other.as_bytes())),
            )),
        }
    }

    fn check_presence(&self) -> Result<(), Rejection> {
        let required = [Core::SpecVersion, Core::Id, Core::Source, Core::Type];
        let absent: Vec<&str> =
            required.into_iter().filter(|&core| self.core[core as usize].is_none()).map(Core::name).collect();
        if !absent.is_empty() {
            return Err(missing(&absent.join(", ")));
        }
        let empty = Core::ALL.into_iter().find(|&core| self.core[core as usize].as_deref().is_some_and(str::is_empty));
        match empty {
            None => Ok(()),
            Some(core) => Err(Rejection::new(
                Reason::EmptyAttribute,
                format!("{} is empty; give it a value or leave it out", core.name()),
            )),
        }
    }

    fn repeated_extension(&self) -> Option<&str> {
        let names = || {
            let set = self.extensions.iter().map(|(name, _)| &**name);
            set.chain(self.unset.iter().map(|name| &**name))
        };
        if self.extensions.len() + self.unset.len() <= FEW {
            let earlier = |&(index, name): &(usize, &str)| names().take(index).any(|n| n == name);
            return names().enumerate().find(earlier).map(|(_, name)| name);
        }
        let mut known = HashSet::new();
        names().find(|&name| !known.insert(name))
    }
}

fn parse_time<'t>(text: Cow<'t, str>, lenient: Lenient, notes: &mut Notes) -> Result<Time<'t>, Rejection> {
    if time::has_space(&text) {
        notes.insert(Note::TimeSpace);
    }
    time::parse(text, lenient.contains(Leniency::TimeSpace)).ok_or_else(|| {
        Rejection::new(Reason::InvalidTime, "time breaks RFC 3339; write it like 2025-12-21T10:00:00.123Z".to_owned())
    })
}

/// Whether a URI has a part behind a `#`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fragment {
    There,
    Absent,
}

/// Core 2.4: a URI is absolute, a URI reference need not be. A fragment is let through in both.
fn check_uri(name: &str, text: &str, absolute: bool) -> Result<Fragment, Rejection> {
    if !absolute && is_plain_path(text.as_bytes()) {
        return Ok(Fragment::Absent);
    }
    let quoted = || quote(name.as_bytes());
    let uri = UriReferenceStr::new(text).map_err(|_| {
        let detail = format!("{} breaks RFC 3986; percent-encode what a URI cannot hold", quoted());
        Rejection::new(Reason::InvalidUriReference, detail)
    })?;
    if absolute && uri.scheme_str().is_none() {
        let detail = format!("{} has no scheme; write an absolute URI", quoted());
        return Err(Rejection::new(Reason::NotAbsolute, detail));
    }
    Ok(if uri.fragment_str().is_some() { Fragment::There } else { Fragment::Absent })
}

/// The usual `source`: a path that begins with one slash and has no escapes, query or fragment (`path-absolute` of RFC
/// 3986). Everything else, right or wrong, is left to the parser.
fn is_plain_path(text: &[u8]) -> bool {
    text.first() == Some(&b'/')
        && text.get(1) != Some(&b'/')
        && text.iter().all(|&byte| PLAIN_IN_PATHS[usize::from(byte)])
}

/// `pchar` of RFC 3986 without escapes, and the slash.
const PLAIN_IN_PATHS: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        plain[byte] = matches!(byte as u8, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'.' | b'_' | b'~'
            | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' | b':' | b'@');
        byte += 1;
    }
    plain
};

/// Core 3: names consist of a-z and 0-9, have at least one character and are not `data`.
fn is_valid_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    !name.is_empty() && name != "data" && name.bytes().all(allowed)
}

/// Core 2.4: no U+0000-U+001F, no U+007F-U+009F, no noncharacter.
pub(super) fn is_allowed_string(text: &str) -> bool {
    // Without a branch per byte, so that the compiler can look at many at once.
    let printable_ascii = text.bytes().fold(0, |odd, byte| odd | u8::from(byte.wrapping_sub(0x20) >= 0x5F)) == 0;
    printable_ascii || !text.chars().any(|c| c.is_control() || is_noncharacter(c))
}

fn is_noncharacter(c: char) -> bool {
    let code = u32::from(c);
    code & 0xFFFE == 0xFFFE || (0xFDD0..=0xFDEF).contains(&code)
}

pub(super) fn invalid_name(name: &[u8]) -> String {
    format!("attribute name {} is not one or more of a-z and 0-9, or is reserved", quote(name))
}

fn missing(names: &str) -> Rejection {
    Rejection::new(Reason::MissingAttribute, format!("required attributes not set: {names}"))
}

fn repeated(name: &str) -> String {
    format!("{} is there more than once; send it once", quote(name.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_path_is_a_uri_reference_without_a_fragment() {
        let bytes: Vec<u8> = (0..=127).collect();
        for (one, other) in bytes.iter().flat_map(|one| bytes.iter().map(move |other| (*one, *other))) {
            let text: String = ['/', one.into(), 'a', other.into()].into_iter().collect();
            if is_plain_path(text.as_bytes()) {
                let uri = UriReferenceStr::new(&text).unwrap_or_else(|error| panic!("{text:?}: {error}"));
                assert!(uri.fragment_str().is_none() && uri.authority_str().is_none(), "{text:?}");
            }
        }
        assert!(is_plain_path(b"/") && is_plain_path(b"/shops/berlin//7") && is_plain_path(b"/a:b@c;d=e"));
        assert!(
            [&b""[..], b"a", b"//a", b"/a%20", b"/a?b", b"/a#b", b"/a b", b"/[", b"/\xC3\xA9"]
                .iter()
                .all(|t| !is_plain_path(t))
        );
    }
}
