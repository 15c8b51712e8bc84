//! What a file says of itself: writes the `eventsink.` key/values and reads them back from the last bytes of a Parquet
//! file, or the first ones of an Avro file. An object is foreign text: nothing in it may panic or be trusted unseen.

use parquet::file::metadata::{FileMetaData, FooterTail, ParquetMetaData, ParquetMetaDataReader};
use serde::Serialize;

use super::avro::{Header, read_header};
use super::encoder::KeyValues;
use super::{Close, FileKind, Format, Identity, PlannedFile};

/// Bytes to ask for at the end of an object: enough for most footers, so that one request does.
pub const TAIL_HINT: u64 = 64 << 10;

/// Length and magic at the end of every Parquet file.
const TAIL: usize = 8;
/// Magic at the start of every Parquet file.
const HEAD: u64 = 4;
/// Longest piece of foreign text in a message.
const QUOTED: usize = 80;

/// What an object says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Footer {
    /// Version of the program that wrote it.
    pub version: String,
    /// Who wrote it, and from which partition.
    pub identity: Identity,
    /// First offset of its cut.
    pub cut_from: i64,
    /// Offset after the last one of its cut.
    pub cut_to: i64,
    /// Nonce of the manifest it belongs to.
    pub nonce: String,
    /// Offset of the first row; of an incomplete file the planned one.
    pub first: i64,
    /// Offset of the last row; of an incomplete file the planned one.
    pub last: i64,
    /// Rows it says it has.
    pub rows: u64,
    /// Rows that Parquet's own metadata counts; none in Avro, where each block counts its own.
    pub parquet_rows: Option<u64>,
    /// Row digest; see [`super::ROW_DIGEST`].
    pub digest: String,
    /// Digest of the rules its rows and key were made under.
    pub rules: String,
    /// Schema version as it stands in the key; none for dead letters.
    pub schema_version: Option<String>,
    /// Day as it stands in the key.
    pub dt: String,
    /// What its rows are.
    pub kind: FileKind,
    /// Version of the decoder that made its rows.
    pub decoder_version: u32,
    /// The log had lost planned rows when it was written.
    pub incomplete: bool,
}

/// Why the end of an object, or the beginning of an Avro file, gave no footer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TailError {
    /// The footer is longer than the bytes given.
    #[error("the footer needs {0} bytes of the object: read them and ask again")]
    NeedMore(u64),
    /// Not a whole file of this program.
    #[error("not a whole file of eventsink: {0}")]
    Damaged(String),
}

/// The facts of one finished file that its footer tells beside the cut and the partition.
pub(super) struct FileFacts<'a> {
    pub plan: &'a PlannedFile,
    pub rows: u64,
    pub digest: &'a str,
    pub version: &'a str,
    pub dt: &'a str,
    pub incomplete: bool,
}

/// The key/values of a file, in the order in which they are written.
pub(super) fn key_values(identity: &Identity, rules: &str, close: &Close, file: &FileFacts<'_>) -> KeyValues {
    let mut pairs = vec![
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
        ("ledger", identity.ledger.clone()),
        ("sink", identity.sink.clone()),
        ("cluster_id", identity.cluster_id.clone()),
        ("topic", identity.topic.clone()),
        ("topic_id", identity.topic_id.clone()),
        ("partition", identity.partition.to_string()),
        ("cut_from", close.from.to_string()),
        ("cut_to", close.to.to_string()),
        ("nonce", close.nonce.clone()),
        ("first_offset", file.plan.first.to_string()),
        ("last_offset", file.plan.last.to_string()),
        ("rows", file.rows.to_string()),
        ("row_digest", file.digest.to_owned()),
        ("rules", rules.to_owned()),
        ("dt", file.dt.to_owned()),
        ("kind", file.plan.kind.as_str().to_owned()),
        ("decoder_version", close.decoder_version.to_string()),
    ];
    if file.plan.kind == FileKind::Rows {
        pairs.push(("schema_version", file.version.to_owned()));
    }
    if file.incomplete {
        pairs.push(("incomplete", "true".to_owned()));
    }
    pairs.into_iter().map(|(name, value)| (format!("eventsink.{name}"), value)).collect()
}

/// Reads what an object says of itself.
///
/// `part` is the end of a Parquet file and the beginning of an Avro file ([`TAIL_HINT`] bytes of it, say), `size` the
/// size of the whole object.
///
/// # Errors
/// The part is too short, or the object is not a whole file of this program.
pub fn read_footer(format: Format, part: &[u8], size: u64) -> Result<Footer, TailError> {
    match format {
        Format::Parquet => footer_of(read_metadata(part, size)?.file_metadata()),
        Format::Avro => footer_of_header(&read_header(part, size)?, size),
    }
}

/// Reads Parquet's own metadata, whoever wrote the object; takes what [`read_footer`] takes.
pub fn read_metadata(tail: &[u8], size: u64) -> Result<ParquetMetaData, TailError> {
    let have = tail.len() as u64;
    if have > size {
        return Err(damaged(format!("{have} bytes were read of an object of {size}")));
    }
    if size < HEAD + TAIL as u64 {
        return Err(damaged(format!("{size} bytes are too few for a Parquet file")));
    }
    let Some((rest, end)) = tail.split_last_chunk::<TAIL>() else {
        return Err(TailError::NeedMore(size.min(TAIL_HINT)));
    };
    let end = FooterTail::try_new(end).map_err(|_| {
        damaged("it does not end as a Parquet file does, so it was cut short or is another format".into())
    })?;
    if end.is_encrypted_footer() {
        return Err(damaged("its footer is encrypted".into()));
    }
    let length = end.metadata_length();
    let needed = length as u64 + TAIL as u64;
    if needed + HEAD > size {
        return Err(damaged(format!("its footer claims {length} bytes and the object has {size}")));
    }
    let Some(start) = rest.len().checked_sub(length) else {
        return Err(TailError::NeedMore(needed));
    };
    ParquetMetaDataReader::decode_metadata(&rest[start..])
        .map_err(|error| damaged(format!("its footer cannot be read: {}", quoted(&error.to_string()))))
}

/// What the metadata says of the file, if this program wrote it.
pub fn footer_of(metadata: &FileMetaData) -> Result<Footer, TailError> {
    let pairs = metadata.key_value_metadata().into_iter().flatten();
    let find = |name: &str| pairs.clone().find(|pair| pair.key == name).and_then(|pair| pair.value.as_deref());
    let rows = u64::try_from(metadata.num_rows())
        .map_err(|_| damaged(format!("its footer counts {} rows", metadata.num_rows())))?;
    Ok(Footer { parquet_rows: Some(rows), ..told(&Pairs { place: "footer", find: &find })? })
}

/// What the header of an Avro file of so many bytes says of it, if this program wrote it. Nothing at the end of such a
/// file proves that it is whole, so the header says its size.
///
/// # Errors
/// Another program wrote it, or it was cut short.
pub fn footer_of_header(header: &Header, size: u64) -> Result<Footer, TailError> {
    let footer = told(&Pairs { place: "header", find: &|name| header.text(name) })?;
    match header.whole_size() {
        Some(whole) if whole == size => Ok(footer),
        Some(whole) => Err(damaged(format!("it has {size} bytes, and by its header {whole}"))),
        None => Err(damaged("its header has no usable `eventsink.block_bytes`".to_owned())),
    }
}

fn told(pairs: &Pairs<'_, '_>) -> Result<Footer, TailError> {
    let kind = match pairs.text("kind")?.as_str() {
        "rows" => FileKind::Rows,
        "dead_letters" => FileKind::DeadLetters,
        other => return Err(damaged(format!("`eventsink.kind` is `{}`", quoted(other)))),
    };
    Ok(Footer {
        version: pairs.text("version")?,
        identity: Identity {
            ledger: pairs.text("ledger")?,
            sink: pairs.text("sink")?,
            cluster_id: pairs.text("cluster_id")?,
            topic: pairs.text("topic")?,
            topic_id: pairs.text("topic_id")?,
            partition: pairs.number("partition")?,
        },
        cut_from: pairs.number("cut_from")?,
        cut_to: pairs.number("cut_to")?,
        nonce: pairs.text("nonce")?,
        first: pairs.number("first_offset")?,
        last: pairs.number("last_offset")?,
        rows: pairs.number("rows")?,
        parquet_rows: None,
        digest: pairs.text("row_digest")?,
        rules: pairs.text("rules")?,
        schema_version: if kind == FileKind::Rows { Some(pairs.text("schema_version")?) } else { None },
        dt: pairs.text("dt")?,
        kind,
        decoder_version: pairs.number("decoder_version")?,
        incomplete: pairs.find("incomplete") == Some("true"),
    })
}

/// Names and values, wherever they stand.
struct Pairs<'p, 'a> {
    place: &'static str,
    find: &'p dyn Fn(&str) -> Option<&'a str>,
}

impl<'a> Pairs<'_, 'a> {
    fn find(&self, name: &str) -> Option<&'a str> {
        (self.find)(&format!("eventsink.{name}"))
    }

    fn text(&self, name: &str) -> Result<String, TailError> {
        let place = self.place;
        self.find(name).map(str::to_owned).ok_or_else(|| damaged(format!("its {place} has no `eventsink.{name}`")))
    }

    fn number<T: std::str::FromStr>(&self, name: &str) -> Result<T, TailError> {
        let text = self.text(name)?;
        text.parse().map_err(|_| damaged(format!("`eventsink.{name}` is `{}`, not a number", quoted(&text))))
    }
}

pub(super) fn damaged(why: String) -> TailError {
    TailError::Damaged(why)
}

fn quoted(text: &str) -> String {
    text.chars().take(QUOTED).flat_map(char::escape_default).collect()
}
