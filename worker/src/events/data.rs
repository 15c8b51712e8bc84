//! Which kind of data bytes are, and the bound on their nesting. Bytes are never altered.

use std::borrow::Cow;

use super::{Data, Reason, Rejection, media};

/// Deepest nesting of JSON data that is let through. Readers that parse the column recurse: serde_json
/// stops at 128 levels, Jackson (Spark, Trino) at 1000, others overflow their stack.
pub(super) const MAX_DEPTH: usize = 128;

/// Data that came as bytes: the value in binary mode, or decoded `data_base64`.
pub(super) fn from_bytes<'a>(bytes: Cow<'a, [u8]>, media_type: Option<&str>) -> Result<Data<'a>, Rejection> {
    let Some(media_type) = media_type.filter(|media_type| media::is_text(media_type)) else {
        return Ok(Data::Binary(bytes));
    };
    let text = match bytes {
        Cow::Borrowed(bytes) => match simdutf8::basic::from_utf8(bytes) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => return Ok(Data::Binary(Cow::Borrowed(bytes))),
        },
        Cow::Owned(bytes) => match String::from_utf8(bytes) {
            Ok(text) => Cow::Owned(text),
            Err(error) => return Ok(Data::Binary(Cow::Owned(error.into_bytes()))),
        },
    };
    if media::is_json(media_type) {
        check_depth(text.as_bytes())?;
    }
    Ok(Data::Text(text))
}

/// Data that came as text, which it stays under any type.
pub(super) fn from_text<'a>(text: &'a str, media_type: Option<&str>) -> Result<Data<'a>, Rejection> {
    if media_type.is_some_and(media::is_json) {
        check_depth(text.as_bytes())?;
    }
    Ok(Data::Text(Cow::Borrowed(text)))
}

/// Bounds the nesting of JSON. The count of opening brackets bounds the depth from above, so that data
/// with few of them, inside strings or not, is never looked at byte by byte.
pub(super) fn check_depth(json: &[u8]) -> Result<(), Rejection> {
    if openings(json) <= MAX_DEPTH || depth(json) <= MAX_DEPTH {
        return Ok(());
    }
    Err(too_deep())
}

pub(super) fn too_deep() -> Rejection {
    let detail = format!("data is nested deeper than {MAX_DEPTH} levels, which its readers cannot parse");
    Rejection::new(Reason::TooDeep, detail)
}

/// Counts `{` and `[`, which differ in one bit. Blocks that a byte can count let the compiler use whole
/// vector registers of bytes.
fn openings(json: &[u8]) -> usize {
    let in_block = |block: &[u8]| -> u8 { block.iter().map(|&byte| u8::from(byte | 0x20 == b'{')).sum() };
    json.chunks(128).map(|block| usize::from(in_block(block))).sum()
}

/// Deepest nesting of brackets outside strings.
fn depth(json: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let mut bytes = json.iter();
    let mut in_string = false;
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => in_string = !in_string,
            b'\\' if in_string => _ = bytes.next(),
            b'{' | b'[' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}
