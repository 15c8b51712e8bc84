//! The usual body of the JSON format, read in one look: an object of strings without escapes, and `data` of any kind.
//! What is read here [`super::json`] would read to the same, slower; all else, right or wrong, is left to it.

use std::borrow::Cow;

use serde::de::Deserialize;
use serde_json::value::RawValue;

use super::json::Members;

/// The members of a usual body.
pub(super) fn members(text: &str) -> Option<Members<'_>> {
    let mut read = Members::default();
    let mut cursor = Cursor { text, at: 0 };
    cursor.space();
    cursor.expect(b'{')?;
    loop {
        cursor.space();
        let name = cursor.string()?;
        cursor.space();
        cursor.expect(b':')?;
        cursor.space();
        match name {
            "data" => read.put_data(cursor.any()?),
            "data_base64" => {
                let from = cursor.at;
                cursor.string()?;
                read.put_base64(&text[from..cursor.at]);
            }
            _ => read.attributes.put(Cow::Borrowed(name), Some(Cow::Borrowed(cursor.string()?))),
        }
        cursor.space();
        if cursor.expect(b',').is_none() {
            break;
        }
    }
    cursor.expect(b'}')?;
    cursor.space();
    (cursor.at == text.len()).then_some(read)
}

struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\t' | b'\r')) {
            self.at += 1;
        }
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.peek() == Some(byte)).then(|| self.at += 1)
    }

    /// What is between the quotes of a string without escapes.
    fn string(&mut self) -> Option<&'a str> {
        self.expect(b'"')?;
        let from = self.at;
        self.at += plain(&self.text.as_bytes()[from..]);
        let inner = &self.text[from..self.at];
        self.expect(b'"').map(|()| inner)
    }

    /// Any value, as it stands.
    fn any(&mut self) -> Option<&'a str> {
        let rest = &self.text[self.at..];
        let value = <&RawValue>::deserialize(&mut serde_json::Deserializer::from_str(rest)).ok()?.get();
        // It begins here, since space was passed before.
        self.at += value.len();
        Some(value)
    }
}

/// How many bytes are neither a quote nor a backslash nor a control character, eight of them at a time.
fn plain(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES << 7;
    let odd = |word: u64| {
        let is_zero = |word: u64| word.wrapping_sub(ONES) & !word;
        let controls = word.wrapping_sub(ONES * 0x20) & !word;
        // The lowest bit that is set is right; those above it may be wrong by what was borrowed.
        (is_zero(word ^ (ONES * b'"' as u64)) | is_zero(word ^ (ONES * b'\\' as u64)) | controls) & HIGH
    };
    let mut at = 0;
    while let Some(eight) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let found = odd(u64::from_le_bytes(*eight));
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    let rest = bytes[at..].iter().position(|&byte| matches!(byte, b'"' | b'\\' | 0..0x20));
    rest.map_or(bytes.len(), |more| at + more)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::{Lenient, Notes};

    /// The event that members make, and their data.
    fn judged(members: Members<'_>) -> String {
        let Members { attributes, data, data_base64 } = members;
        format!("{:?} {data:?} {data_base64:?}", attributes.finish(Lenient::default(), &mut Notes::default()))
    }

    fn is_read_alike(text: &str) -> bool {
        let slow = serde_json::from_str::<Members<'_>>(text);
        let Some(fast) = members(text) else { return false };
        let slow = slow.unwrap_or_else(|error| panic!("{text} is read, and wrong: {error}"));
        assert_eq!(judged(fast), judged(slow), "{text}");
        true
    }

    const USUAL: &str = r#" {"specversion":"1.0" , "id":"é1","source":"/s","type":"t","subject":"","time":"2025-01-21T10:00:00Z",
        "tenant":"abcdefgh", "data" : {"a":[1,"\"}",{}]} } "#;

    #[test]
    fn a_usual_body_is_read_as_the_parser_reads_it() {
        assert!(is_read_alike(USUAL));
        for data in ["1", "-1.5e3", "null", "true", "\"\"", r#""a\"b\u00e9""#, "[]", "{}", "[[[1]]]"] {
            assert!(is_read_alike(&USUAL.replace("\"abcdefgh\"", &format!(r#""x","data":{data}"#))), "{data}");
        }
        assert!(is_read_alike(&USUAL.replace(r#""tenant":"abcdefgh""#, r#""data_base64":"AAAA""#)));
        assert!(is_read_alike(&USUAL.replace("tenant", "id")), "an attribute that is there twice");
        assert!(is_read_alike(&USUAL.replace("tenant", "Odd_Name")));
    }

    #[test]
    fn no_end_and_no_change_of_a_usual_body_is_read_otherwise_than_by_the_parser() {
        for end in (0..USUAL.len()).filter(|&end| USUAL.is_char_boundary(end)) {
            is_read_alike(&USUAL[..end]);
        }
        for (at, with) in (0..USUAL.len()).flat_map(|at| "\"\\{}[]:, 1n\u{1}".chars().map(move |with| (at, with))) {
            if USUAL.is_char_boundary(at) && USUAL.is_char_boundary(at + 1) {
                is_read_alike(&format!("{}{with}{}", &USUAL[..at], &USUAL[at + 1..]));
                is_read_alike(&format!("{}{with}{}", &USUAL[..at], &USUAL[at..]));
            }
        }
    }

    #[test]
    fn other_bodies_are_left_to_the_parser() {
        for text in [
            "",
            "{}",
            "[]",
            "null",
            r#"{"a":1}"#,
            r#"{"a":null}"#,
            r#"{"a":"\n"}"#,
            r#"{"\u0061":"b"}"#,
            "{\"a\":\"\n\"}",
        ] {
            assert!(members(text).is_none(), "{text}");
        }
    }

    #[test]
    fn every_byte_that_ends_plain_text_is_found_wherever_it_stands() {
        for (byte, at) in (0..=255).flat_map(|byte: u8| (0..20).map(move |at| (byte, at))) {
            let mut bytes = [b'a'; 20];
            bytes[at] = byte;
            let ends = byte < 0x20 || byte == b'"' || byte == b'\\';
            assert_eq!(plain(&bytes), if ends { at } else { 20 }, "{byte} at {at}");
        }
    }
}
