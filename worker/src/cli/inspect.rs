//! `inspect`: shows a file, a folder or an object of the ledger, on this machine or in the store. Writes nothing.

use super::{FAILED, SettingsFile, block_on, failed, load, open, print, progress};
use crate::audit::read::{End, Entry as Read, Reader};
use crate::cut::Manifest;
use crate::cut::manifest::LEDGER;
use crate::files::avro::{blocks, read_header};
use crate::files::{Format, ReadError, TAIL_HINT, TailError, caught, read_metadata};
use crate::inspect::{Entry, FileFacts, Folder, LedgerObject, first_rows, first_rows_of_avro, is_manifest};
use crate::store::ledger::LedgerError;
use crate::store::{Backend, Listed, Store, StoreError, StoreOptions, Tail};
use bytesize::ByteSize;
use clap::Args;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use indicatif::ProgressBar;
use parquet::file::reader::{ChunkReader as _, Length as _};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Requests at a time.
const CONCURRENCY: usize = 16;

const EXAMPLES: &str = "\
Examples:
  eventsink-worker inspect out/orders/v1/dt=2025-12-21/pid=0/20251221_100000_offset0_count1000.parquet
  eventsink-worker inspect out
  eventsink-worker inspect --config sink.yaml orders/v1/dt=2025-12-21 --json
  eventsink-worker inspect --config sink.yaml _eventsink/orders/ID/0/cuts

Without --config the target is a path on this machine. With it, it is a key or prefix below the sink's base path, as
`audit` and the log name it, and the whole base path when it is left out. On the screen long values are shortened and
nulls left out; --json has them in full.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Inspect {
    /// A .parquet or .avro file, a folder or prefix, or an object of the ledger
    #[arg(required_unless_present = "config")]
    target: Option<String>,
    /// Settings of the sink in whose store the target is
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How many rows of a file to show; with 0 only its footer, or the header of Avro, is read
    #[arg(long, default_value_t = 3, value_name = "N")]
    rows: usize,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, thiserror::Error)]
enum InspectError {
    #[error(
        "{0}: there is no such file or folder; correct the path, or give --config FILE if it is a key in a sink's store"
    )]
    NoPath(String),
    #[error(
        "{key}: {place} has no such key or prefix; keys are relative to the base path: leave it out to see all of them"
    )]
    NoKey { key: String, place: String },
    #[error(
        "{key}: {words}; if it is a file of a sink, `eventsink-worker audit` says what should be there: restore it \
         from a backup or the bucket's older versions"
    )]
    Damaged { key: String, words: String },
    #[error(
        "{key}: its footer is whole, its rows cannot be decoded: {words}; show the footer alone with --rows 0, restore \
         the file from a backup or the bucket's older versions"
    )]
    Rows { key: String, words: String },
    #[error("{path}: {source}; see that this user may read it")]
    Path { path: String, source: std::io::Error },
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What there is to show.
enum Found {
    File(Box<FileFacts>),
    Ledger(LedgerObject),
    Folder(Folder),
}

impl Inspect {
    pub fn run(&self) -> u8 {
        let found = match &self.config {
            None => self.on_this_machine(self.target.as_deref().unwrap_or(".")),
            Some(config) => {
                let settings = match load(&SettingsFile { config: config.clone() }) {
                    Ok(settings) => settings,
                    Err(code) => return code,
                };
                match open(&settings) {
                    Ok(store) => self.in_store(&store),
                    Err((code, words)) => return failed(code, &words),
                }
            }
        };
        match found {
            Ok(found) => self.show(&found),
            Err(error) => failed(FAILED, &error),
        }
    }

    fn show(&self, found: &Found) -> u8 {
        match found {
            Found::File(found) => print(&**found, self.json),
            Found::Ledger(found) => print(found, self.json),
            Found::Folder(found) => {
                print(found, self.json);
                return if found.totals.problems == 0 { 0 } else { FAILED };
            }
        }
        0
    }

    fn on_this_machine(&self, target: &str) -> Result<Found, InspectError> {
        let path = Path::new(target);
        let failed = |source| InspectError::Path { path: target.to_owned(), source };
        if path.is_dir() {
            // Where the folder is decides what its manifests are, however it was written.
            let whole = path.canonicalize().map_err(failed)?;
            let store = Store::open(&StoreOptions { backend: Backend::File { base_path: whole.clone() } })?;
            let place = whole.to_string_lossy().into_owned();
            return run(folder(&Reader::new(&store), "", place)).map(Found::Folder);
        }
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(InspectError::NoPath(target.to_owned()));
            }
            Err(error) => return Err(failed(error)),
        };
        if is_json(target) {
            let body = std::fs::read(path).map_err(failed)?;
            let whole = path.canonicalize().map_err(failed)?;
            return ledger(&whole.to_string_lossy(), &body);
        }
        let size = file.len();
        let part = |from, len| file.get_bytes(from, to_usize(len)).map_err(|e| e.to_string());
        if Format::of(target) == Format::Avro {
            if self.rows > 0 {
                let body = std::fs::read(path).map_err(failed)?;
                return avro(target, body.into(), self.rows);
            }
            let header = grown(target, |len| part(0, len.min(size)), |head| read_header(head, size))?;
            return Ok(Found::File(Box::new(FileFacts::of_avro(target, size, &header, None))));
        }
        let end = |len: u64| part(size - len.min(size), len.min(size));
        let metadata = grown(target, end, |end| read_metadata(end, size))?;
        let mut facts = FileFacts::of(target, size, &metadata);
        if self.rows > 0 {
            facts.first_rows = caught(|| first_rows(file, self.rows)).map_err(|error| no_rows(target, error))?;
        }
        Ok(Found::File(Box::new(facts)))
    }

    fn in_store(&self, store: &Store) -> Result<Found, InspectError> {
        let place = store.describe();
        let target = self.target.as_deref().unwrap_or("");
        // Both `s3://bucket/base/key` and `key` are how people know an object.
        let target = target.strip_prefix(&place).unwrap_or(target).trim_matches('/');
        let reader = Reader::new(store);
        run(async {
            if !target.is_empty()
                && let Some(found) = self.object(&reader, target).await?
            {
                return Ok(found);
            }
            let found = folder(&reader, target, format!("{place}/{target}").trim_end_matches('/').to_owned()).await?;
            if found.objects.is_empty() && found.not_shown == 0 {
                return Err(InspectError::NoKey { key: target.to_owned(), place });
            }
            Ok(Found::Folder(found))
        })
    }

    /// The object at `key`, if there is one.
    async fn object(&self, reader: &Reader, key: &str) -> Result<Option<Found>, InspectError> {
        if !is_json(key) && self.rows == 0 {
            return footer_alone(reader, key).await;
        }
        let Some(size) = reader.size(key).await? else { return Ok(None) };
        let bar = ProgressBar::new_spinner().with_message(format!("reading {key} ({})", ByteSize::b(size)));
        bar.enable_steady_tick(Duration::from_millis(200));
        let body = reader.body(key).await;
        bar.finish_and_clear();
        let body = match body? {
            Read::There(body) => body,
            Read::Missing => return Ok(None),
            Read::Bad(finding) => return Err(InspectError::Damaged { key: key.to_owned(), words: finding.what }),
        };
        if is_json(key) {
            return ledger(key, &body).map(Some);
        }
        if Format::of(key) == Format::Avro {
            return avro(key, body, self.rows).map(Some);
        }
        let size = body.len() as u64;
        let end = |len: u64| Ok(body.slice(to_usize(size - len.min(size))..));
        let metadata = grown(key, end, |end| read_metadata(end, size))?;
        let mut facts = FileFacts::of(key, size, &metadata);
        facts.first_rows = caught(|| first_rows(body, self.rows)).map_err(|error| no_rows(key, error))?;
        Ok(Some(Found::File(Box::new(facts))))
    }
}

/// A stored file without its rows: its end or, of Avro, its beginning is enough, however large it is.
async fn footer_alone(reader: &Reader, key: &str) -> Result<Option<Found>, InspectError> {
    let mut len = TAIL_HINT;
    loop {
        let Some(Tail { bytes, size }) = reader.telling(key, len).await? else { return Ok(None) };
        let facts = match Format::of(key) {
            Format::Parquet => read_metadata(&bytes, size).map(|found| FileFacts::of(key, size, &found)),
            Format::Avro => read_header(&bytes, size).map(|found| FileFacts::of_avro(key, size, &found, None)),
        };
        match facts {
            Ok(facts) => return Ok(Some(Found::File(Box::new(facts)))),
            Err(TailError::NeedMore(need)) if need > len => len = need,
            Err(error) => return Err(damaged(key, error)),
        }
    }
}

/// An Avro file, all of it.
fn avro(key: &str, body: bytes::Bytes, count: usize) -> Result<Found, InspectError> {
    let size = body.len() as u64;
    let found = read_header(&body, size).and_then(|header| blocks(&body, &header).map(|blocks| (header, blocks)));
    let (header, blocks) = found.map_err(|error| damaged(key, error))?;
    if let Some(whole) = header.whole_size().filter(|whole| *whole != size) {
        return Err(damaged(key, TailError::Damaged(format!("it has {size} bytes, and by its header {whole}"))));
    }
    let mut facts = FileFacts::of_avro(key, size, &header, Some(&blocks));
    if count > 0 {
        facts.first_rows = first_rows_of_avro(body, count).map_err(|error| no_rows(key, error))?;
    }
    Ok(Found::File(Box::new(facts)))
}

fn no_rows(key: &str, ReadError(words): ReadError) -> InspectError {
    InspectError::Rows { key: key.to_owned(), words }
}

/// What is wrong with a file that need not be one of ours.
fn damaged(key: &str, error: TailError) -> InspectError {
    let words = match error {
        TailError::Damaged(words) => format!("not a whole {} file: {words}", Format::of(key)),
        TailError::NeedMore(_) => error.to_string(),
    };
    InspectError::Damaged { key: key.to_owned(), words }
}

fn to_usize(len: u64) -> usize {
    usize::try_from(len).unwrap_or(usize::MAX)
}

fn is_json(path: &str) -> bool {
    path.ends_with(".json")
}

fn ledger(path: &str, body: &[u8]) -> Result<Found, InspectError> {
    Ok(Found::Ledger(LedgerObject::read(path, body)?))
}

fn run<T>(work: impl Future<Output = Result<T, InspectError>>) -> Result<T, InspectError> {
    block_on(work).map_err(|source| InspectError::Path { path: "runtime".to_owned(), source })?
}

/// What a file says of itself, from as much of its end or beginning as it takes; `part` gives so many bytes.
fn grown<T>(
    key: &str,
    part: impl Fn(u64) -> Result<bytes::Bytes, String>,
    read: impl Fn(&[u8]) -> Result<T, TailError>,
) -> Result<T, InspectError> {
    let unread = |words| InspectError::Damaged { key: key.to_owned(), words };
    let mut len = TAIL_HINT;
    loop {
        match read(&part(len).map_err(unread)?) {
            Ok(found) => return Ok(found),
            Err(TailError::NeedMore(need)) if need > len => len = need,
            Err(error) => return Err(damaged(key, error)),
        }
    }
}

/// All files below a prefix, by their footers; manifests where there is no file.
async fn folder(reader: &Reader, prefix: &str, place: String) -> Result<Folder, InspectError> {
    let listed = reader.list(prefix).await?;
    let total = listed.len();
    let whole = |key: &str| match prefix {
        "" => format!("{place}/{key}"),
        _ => key.to_owned(),
    };
    let in_ledger = |key: &str| whole(key).split('/').any(|part| part == LEDGER);
    let mut wanted: Vec<Listed> = listed.iter().filter(|listed| !in_ledger(&listed.key)).cloned().collect();
    let files = !wanted.is_empty();
    if !files {
        wanted = listed.into_iter().filter(|listed| is_manifest(&whole(&listed.key))).collect();
    }
    let not_shown = (total - wanted.len()) as u64;
    let bar = progress(if files { "reading files" } else { "reading manifests" });
    bar.set_length(wanted.len() as u64);
    let entries = stream::iter(wanted).map(|listed| async move {
        if files { file_entry(reader, listed).await } else { manifest_entry(reader, listed).await }
    });
    let entries = entries.buffered(CONCURRENCY).inspect_ok(|_| bar.inc(1)).try_collect().await;
    bar.finish_and_clear();
    Ok(Folder::of(place, entries?, not_shown))
}

const GONE: &str = "gone since it was listed";

async fn file_entry(reader: &Reader, Listed { key, size }: Listed) -> Result<Entry, StoreError> {
    Ok(match reader.end(&key).await? {
        End::Footer(footer) => Entry::file(key, size, &footer),
        End::Missing => Entry::problem(key, size, GONE.to_owned()),
        End::Damaged(words) => Entry::problem(key, size, words),
    })
}

async fn manifest_entry(reader: &Reader, Listed { key, size }: Listed) -> Result<Entry, StoreError> {
    Ok(match reader.entry::<Manifest>(&key).await? {
        Read::There(found) => Entry::manifest(key, size, &found),
        Read::Missing => Entry::problem(key, size, GONE.to_owned()),
        Read::Bad(finding) => Entry::problem(key, size, finding.what),
    })
}
