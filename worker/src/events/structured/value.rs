//! Where a JSON value ends, found in one look at its bytes and without memory of its own. What is called valid here is
//! valid JSON (RFC 8259); what is not, right or wrong, is left to the parser.

/// Levels of nesting that are followed.
const DEPTH: u32 = u128::BITS;

/// The end of the value that begins at `at`; `None` when it is not valid or nested too deep.
pub(super) fn end(json: &[u8], mut at: usize) -> Option<usize> {
    // A bit for each level, the innermost the lowest: 1 is an object.
    let (mut levels, mut depth) = (0_u128, 0);
    loop {
        at = match *json.get(at)? {
            b'"' => string(json, at + 1)?,
            b'-' | b'0'..=b'9' => number(json, at)?,
            b't' => word(json, at, b"true")?,
            b'f' => word(json, at, b"false")?,
            b'n' => word(json, at, b"null")?,
            open @ (b'{' | b'[') => {
                if depth == DEPTH {
                    return None;
                }
                depth += 1;
                levels = levels << 1 | u128::from(open == b'{');
                at = space(json, at + 1);
                match (open, *json.get(at)?) {
                    // Closed again below.
                    (b'{', b'}') | (b'[', b']') => at,
                    (b'{', _) => {
                        at = name(json, at)?;
                        continue;
                    }
                    _ => continue,
                }
            }
            _ => return None,
        };
        // A value has ended, and with it as many levels as close here.
        loop {
            if depth == 0 {
                return Some(at);
            }
            at = space(json, at);
            let in_object = levels & 1 == 1;
            match *json.get(at)? {
                b',' => {
                    at = space(json, at + 1);
                    if in_object {
                        at = name(json, at)?;
                    }
                    break;
                }
                b'}' if in_object => {}
                b']' if !in_object => {}
                _ => return None,
            }
            (levels, depth, at) = (levels >> 1, depth - 1, at + 1);
        }
    }
}

/// Past white space.
pub(super) fn space(json: &[u8], mut at: usize) -> usize {
    while matches!(json.get(at), Some(b' ' | b'\n' | b'\t' | b'\r')) {
        at += 1;
    }
    at
}

/// Past a member's name and its colon.
fn name(json: &[u8], at: usize) -> Option<usize> {
    let at = (json.get(at) == Some(&b'"')).then(|| string(json, at + 1))??;
    let at = space(json, at);
    (json.get(at) == Some(&b':')).then(|| space(json, at + 1))
}

fn word(json: &[u8], at: usize, word: &[u8]) -> Option<usize> {
    json[at..].starts_with(word).then_some(at + word.len())
}

/// Past a string whose first quote was passed.
fn string(json: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at += plain(&json[at..]);
        match (*json.get(at)?, json.get(at + 1)) {
            (b'"', _) => return Some(at + 1),
            (b'\\', Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't')) => at += 2,
            (b'\\', Some(b'u')) if json.get(at + 2..at + 6)?.iter().all(u8::is_ascii_hexdigit) => at += 6,
            _ => return None,
        }
    }
}

fn number(json: &[u8], mut at: usize) -> Option<usize> {
    if json[at] == b'-' {
        at += 1;
    }
    let whole = digits(json, at)?;
    if json[at] == b'0' && whole > at + 1 {
        return None;
    }
    at = whole;
    if json.get(at) == Some(&b'.') {
        at = digits(json, at + 1)?;
    }
    if matches!(json.get(at), Some(b'e' | b'E')) {
        at += 1;
        if matches!(json.get(at), Some(b'+' | b'-')) {
            at += 1;
        }
        at = digits(json, at)?;
    }
    Some(at)
}

/// Past one digit or more.
fn digits(json: &[u8], at: usize) -> Option<usize> {
    let count = json.get(at..)?.iter().take_while(|byte| byte.is_ascii_digit()).count();
    (count > 0).then_some(at + count)
}

/// How many bytes are neither a quote nor a backslash nor a control character, eight of them at a time.
pub(super) fn plain(bytes: &[u8]) -> usize {
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
    use rand::rngs::StdRng;
    use rand::{Rng as _, SeedableRng as _};
    use serde::de::Deserialize;
    use serde_json::value::RawValue;

    /// The end as the parser finds it.
    fn parsed(json: &str) -> Option<usize> {
        let value = <&RawValue>::deserialize(&mut serde_json::Deserializer::from_str(json)).ok()?;
        Some(value.get().len())
    }

    const PARTS: [&str; 40] = [
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"",
        "\\",
        "\"a\"",
        "\"a\":",
        "\"\\n\"",
        "\"\\u00e9\"",
        "\"\\ud800\"",
        "\\u12",
        "\\x",
        "\"é\u{7f}\"",
        "\u{1}",
        "0",
        "1",
        "12",
        "-",
        "-0",
        "1.5",
        ".",
        "1e5",
        "E",
        "+",
        "1e-7",
        "true",
        "false",
        "null",
        "nul",
        " ",
        "\n",
        "\t\r",
        "[1,2]",
        "{\"a\":1}",
        "[[]]",
        "{}",
        "\u{a0}",
    ];

    #[test]
    fn a_value_ends_where_the_parser_ends_it() {
        let mut rng = StdRng::seed_from_u64(7);
        let mut any = |most: usize| rng.random_range(0..most);
        let mut valid = 0;
        for _ in 0..1_000_000 {
            // Half of them have brackets that fit.
            let inner: String = (0..any(7)).map(|_| PARTS[any(PARTS.len())]).collect();
            let json = match any(4) {
                0 => format!("[{inner}]"),
                1 => format!("{{\"a\":{inner}}}"),
                _ => inner,
            };
            // The parser passes space before a value, of which there is none where it is used.
            if json.starts_with([' ', '\n', '\t', '\r']) {
                continue;
            }
            let found = end(json.as_bytes(), 0);
            assert_eq!(found, parsed(&json), "{json}");
            valid += usize::from(found.is_some());
        }
        assert!(valid > 100_000, "only {valid} of them were values");
    }

    #[test]
    fn nesting_is_followed_as_deep_as_data_may_be() {
        let nested = |depth: usize| ["[".repeat(depth), "]".repeat(depth)].concat();
        assert_eq!([128, 129].map(|depth| end(nested(depth).as_bytes(), 0)), [Some(256), None]);
        let objects = format!("{}1{}", "{\"a\":".repeat(128), "}".repeat(128));
        assert_eq!(end(objects.as_bytes(), 0), Some(objects.len()));
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
