//! The usual body of the JSON format, read in one look: an object of strings without escapes, and `data` of any kind.
//! What is read here [`super::json`] would read to the same, slower; all else, right or wrong, is left to it.

use std::borrow::Cow;

use super::json::Members;
use super::value;

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
        self.at = value::space(self.text.as_bytes(), self.at);
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.peek() == Some(byte)).then(|| self.at += 1)
    }

    /// What is between the quotes of a string without escapes.
    fn string(&mut self) -> Option<&'a str> {
        self.expect(b'"')?;
        let from = self.at;
        self.at += value::plain(&self.text.as_bytes()[from..]);
        let inner = &self.text[from..self.at];
        self.expect(b'"').map(|()| inner)
    }

    /// Any value, as it stands.
    fn any(&mut self) -> Option<&'a str> {
        let from = self.at;
        self.at = value::end(self.text.as_bytes(), from)?;
        Some(&self.text[from..self.at])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::{Leniency, Lenient, Note, Notes};
    use rand::rngs::StdRng;
    use rand::{Rng as _, SeedableRng as _};

    /// The event that members make, what was noted of it, and their data.
    fn judged(members: Members<'_>, lenient: Lenient) -> String {
        let Members { attributes, data, data_base64 } = members;
        let mut notes = Notes::default();
        let event = attributes.finish(lenient, &mut notes);
        let notes: Vec<_> = notes.iter().map(Note::as_str).collect();
        format!("{event:?} {notes:?} {data:?} {data_base64:?}")
    }

    fn is_read_alike(text: &str) -> bool {
        for lenient in [&[][..], &[Leniency::TimeSpace], &[Leniency::ExtensionNames], &Leniency::ALL] {
            let lenient: Lenient = lenient.iter().copied().collect();
            let slow = serde_json::from_str::<Members<'_>>(text);
            let Some(fast) = members(text) else { return false };
            let slow = slow.unwrap_or_else(|error| panic!("{text} is read, and wrong: {error}"));
            assert_eq!(judged(fast, lenient), judged(slow, lenient), "{text} {lenient:?}");
        }
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

    const NAMES: [&str; 16] = [
        "specversion",
        "id",
        "source",
        "type",
        "subject",
        "time",
        "datacontenttype",
        "dataschema",
        "data",
        "data_base64",
        "tenant",
        "Tenant",
        "schemaversion",
        "a_b",
        "",
        "é",
    ];
    const VALUES: [&str; 24] = [
        r#""1.0""#,
        r#""1.1""#,
        r#""""#,
        r#""x""#,
        r#""/a?b=c""#,
        r#""2025-01-21T10:00:00Z""#,
        r#""2025-01-21 10:00:00Z""#,
        r#""2025-01-21T10:00:00.123456789+01:00""#,
        r#""2016-12-31T23:59:60Z""#,
        r#""application/json""#,
        r#""AAEC""#,
        r#""A A""#,
        r#""a\nb""#,
        r#""\ud83d\ude00""#,
        r#""\ud83d""#,
        "null",
        "true",
        "7",
        "-0",
        "1e400",
        "01",
        r#"{"a":[{"b":null}],"a":1}"#,
        "[1,,2]",
        "\"\u{7f}\u{85}é\"",
    ];
    const SPACES: [&str; 6] = ["", "", "", " ", "\n\t", "\u{a0}"];

    /// Of parts that are each right or wrong in some way, in any order and number.
    #[test]
    fn a_hundred_thousand_odd_bodies_are_read_as_the_parser_reads_them() {
        let mut rng = StdRng::seed_from_u64(7);
        let mut any = |most: usize| rng.random_range(0..most);
        let mut alike = 0;
        for _ in 0..100_000 {
            let whole = any(4) > 0;
            let mut text =
                if whole { r#"{"specversion":"1.0","id":"i","source":"s","type":"t""# } else { "{" }.to_owned();
            for member in 0..any(5) {
                let comma = if whole || member > 0 { "," } else { "" };
                let (name, value) = (NAMES[any(16)], VALUES[any(24)]);
                let [a, b, c, d] = [(); 4].map(|()| SPACES[any(6)]);
                text.push_str(&format!("{a}{comma}{b}\"{name}\"{c}:{d}{value}"));
            }
            text.push_str(["}", "}", "}", "} ", "", "}x", ",}"][any(7)]);
            alike += usize::from(is_read_alike(&text));
        }
        assert!(alike > 5_000, "only {alike} of them were read at all");
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
}
