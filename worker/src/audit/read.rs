//! Reads objects with a few tries. What one object is wrong with is told apart from a store that does not answer:
//! the first is a finding, the second ends the audit. Serves every verb that only reads.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{Finding, FindingKind};
use crate::cut::manifest::{Genesis, MANIFEST_VERSION, Manifest, Owner};
use crate::files::{Footer, Format, ReadError, RowsRead, TAIL_HINT, TailError, read_footer, read_rows};
use crate::store::ledger::{LedgerError, parse};
use crate::store::{Backoff, Listed, Store, StoreError, StoreErrorKind, Tail};

/// Tries of one request before the verb gives up.
const TRIES: u32 = 5;
const BACKOFF: Backoff = Backoff { initial: Duration::from_millis(250), max: Duration::from_secs(4) };

/// A named loss as it lies in the bucket.
#[derive(Debug, Deserialize)]
pub(crate) struct NamedLoss {
    version: u32,
    pub ledger: String,
    pub from: i64,
    pub to: i64,
}

/// Objects of the ledger, each of which says its version.
pub(crate) trait Versioned: DeserializeOwned {
    fn version(&self) -> u32;
}

macro_rules! versioned {
    ($($object:ty),*) => { $(impl Versioned for $object { fn version(&self) -> u32 { self.version } })* };
}
versioned!(Owner, Genesis, Manifest, NamedLoss);

/// An object of the ledger.
#[derive(Debug)]
pub(crate) enum Entry<T> {
    Missing,
    Bad(Finding),
    There(T),
}

/// What a data file says of itself: Parquet at its end, Avro at its beginning.
#[derive(Debug)]
pub(crate) enum End {
    Missing,
    /// No footer, and why.
    Damaged(String),
    Footer(Box<Footer>),
}

/// A store that is asked again when it fails, but not for ever.
#[derive(Debug, Clone)]
pub(crate) struct Reader(Store);

impl Reader {
    pub fn new(store: &Store) -> Self {
        Self(store.clone())
    }

    /// Where the objects live.
    pub fn place(&self) -> String {
        self.0.describe()
    }

    pub async fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        self.patiently(|| self.0.list(prefix)).await
    }

    /// The least key below a folder.
    pub async fn first(&self, prefix: &str) -> Result<Option<String>, StoreError> {
        self.patiently(|| self.0.first(prefix)).await
    }

    /// So many bytes of the part of a data file in which it tells about itself, and its size.
    pub async fn telling(&self, key: &str, len: u64) -> Result<Option<Tail>, StoreError> {
        self.patiently(|| self.0.telling(key, len)).await
    }

    /// Size of an object, or `None` when there is none.
    pub async fn size(&self, key: &str) -> Result<Option<u64>, StoreError> {
        self.patiently(|| self.0.size(key)).await
    }

    pub async fn exists(&self, key: &str) -> Result<bool, StoreError> {
        Ok(self.size(key).await?.is_some())
    }

    /// The bytes of an object of the ledger.
    pub async fn body(&self, key: &str) -> Result<Entry<Bytes>, StoreError> {
        match self.patiently(|| self.0.get(key)).await {
            Ok(None) => Ok(Entry::Missing),
            Ok(Some(body)) => Ok(Entry::There(body)),
            Err(error) if about_one_object(&error) => Ok(Entry::Bad(unreadable(key, error.message()))),
            Err(error) => Err(error),
        }
    }

    /// An object of the ledger.
    pub async fn entry<T: Versioned>(&self, key: &str) -> Result<Entry<T>, StoreError> {
        Ok(match self.body(key).await? {
            Entry::Missing => Entry::Missing,
            Entry::Bad(finding) => Entry::Bad(finding),
            Entry::There(body) => match understand(key, &body) {
                Ok(found) => Entry::There(found),
                Err(finding) => Entry::Bad(finding),
            },
        })
    }

    /// What a data file says of itself.
    pub async fn end(&self, key: &str) -> Result<End, StoreError> {
        let mut len = TAIL_HINT;
        loop {
            let tail = match self.telling(key, len).await {
                Ok(Some(tail)) => tail,
                Ok(None) => return Ok(End::Missing),
                Err(error) if about_one_object(&error) => return Ok(End::Damaged(error.message().to_owned())),
                Err(error) => return Err(error),
            };
            match read_footer(Format::of(key), &tail.bytes, tail.size) {
                Ok(footer) => return Ok(End::Footer(Box::new(footer))),
                Err(TailError::NeedMore(need)) if need > len => len = need,
                Err(error) => return Ok(End::Damaged(error.to_string())),
            }
        }
    }

    /// Every row of a data file, or why they cannot be read; `None` when it is gone.
    pub async fn rows(&self, key: &str) -> Result<Option<Result<RowsRead, ReadError>>, StoreError> {
        let body = match self.patiently(|| self.0.get(key)).await {
            Ok(Some(body)) => body,
            Ok(None) => return Ok(None),
            Err(error) if about_one_object(&error) => return Ok(Some(Err(ReadError(error.message().to_owned())))),
            Err(error) => return Err(error),
        };
        let read = tokio::task::spawn_blocking(move || read_rows(body)).await;
        Ok(Some(read.unwrap_or_else(|error| Err(ReadError(error.to_string())))))
    }

    async fn patiently<T, Fut>(&self, op: impl Fn() -> Fut) -> Result<T, StoreError>
    where
        Fut: Future<Output = Result<T, StoreError>>,
    {
        let mut failures = 0;
        loop {
            let error = match op().await {
                Ok(found) => return Ok(found),
                Err(error) => error,
            };
            if failures + 1 == TRIES || error.kind().needs_a_person() || about_one_object(&error) {
                return Err(error);
            }
            tokio::time::sleep(BACKOFF.delay(failures, rand::random(), error.retry_after())).await;
            failures += 1;
        }
    }
}

/// A key that the store cannot have, a folder in place of a file: waiting does not help, and others may be well.
fn about_one_object(error: &StoreError) -> bool {
    error.kind() == StoreErrorKind::Other
}

fn understand<T: Versioned>(key: &str, body: &[u8]) -> Result<T, Finding> {
    let newer = |version: u32| {
        let what = format!("has version {version}, and this program knows {MANIFEST_VERSION}");
        Finding::new(FindingKind::UnknownVersion, key, what, "audit with the release of the worker that wrote it")
    };
    match parse::<T>(key, body) {
        Ok(found) if found.version() == MANIFEST_VERSION => Ok(found),
        Ok(found) => Err(newer(found.version())),
        Err(LedgerError::UnknownVersion { version, .. }) => Err(newer(version)),
        Err(LedgerError::Damaged { detail, .. }) => Err(unreadable(key, &detail)),
        Err(error @ (LedgerError::PrefixOwnedBy { .. } | LedgerError::NewerRules { .. })) => {
            Err(unreadable(key, &error.to_string()))
        }
    }
}

/// An object of the ledger that is not what a worker wrote.
pub(super) fn unreadable(key: &str, why: &str) -> Finding {
    let way_out = "restore it as it was written, from a backup or the bucket's older versions";
    Finding::new(FindingKind::Unreadable, key, format!("cannot be read: {why}"), way_out)
}
