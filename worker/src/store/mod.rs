//! The bucket: create-only puts, reads and listings over `object_store`, the probe, and retries.
//! Knows keys and bytes, and decides nothing about cuts. It never overwrites and never deletes: the truth lives here.

mod error;
pub mod ledger;
mod open;
mod options;
mod probe;
mod retry;
mod wire;

use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use object_store::aws::AmazonS3;
use object_store::list::{PaginatedListOptions, PaginatedListStore};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutMode, PutPayload};

use crate::files::Format;
use error::Location;
pub use error::{StoreError, StoreErrorKind};
pub use eventsink_crds::settings::Secret;
pub use options::{Backend, S3Options, StoreOptions};
pub use probe::Guarantee;
pub use retry::{Backoff, retry};

/// Time for a request without its body.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Slowest rate, in bytes per second, at which a body is still waited for; on top of `REQUEST_TIMEOUT`.
const MIN_RATE: u64 = 256 * 1024;

/// Keys asked for when only the least is wanted: more than one, so that a folder marker or a foreign object in front
/// costs no second request.
const FIRST_PAGE: usize = 8;

/// An open store. Cheap to clone; every clone shares one pool of connections.
#[derive(Debug, Clone)]
pub struct Store {
    client: Client,
    /// Prefix of every key inside the client, without slashes at its ends; empty on disk.
    prefix: String,
    location: Location,
}

#[derive(Debug, Clone)]
enum Client {
    Disk { store: LocalFileSystem, base: PathBuf },
    S3 { store: AmazonS3, sorted: bool },
}

/// What a create-only put came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// The object is there, with this content.
    Created,
    /// Something was there already: a rival's object, or our own from a try whose reply was lost. Read it to know.
    Exists,
}

/// The end of an object, or its beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tail {
    /// The bytes, fewer than asked for when the object is shorter.
    pub bytes: Bytes,
    /// Size of the whole object in bytes.
    pub size: u64,
}

/// One object of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Key relative to the base path, exactly as it was given to [`Store::create`].
    pub key: String,
    /// Size in bytes.
    pub size: u64,
}

impl Store {
    /// Checks the options and builds the client. On disk the base folder is created; S3 is not asked anything yet, see
    /// [`Store::probe`].
    pub fn open(options: &StoreOptions) -> Result<Self, StoreError> {
        match &options.backend {
            Backend::File { base_path } => {
                let (store, location) = open::disk(base_path)?;
                let client = Client::Disk { store, base: base_path.clone() };
                Ok(Self { client, prefix: String::new(), location })
            }
            Backend::S3(options) => {
                let prefix = options.base_path.trim_matches('/').to_string();
                let (store, location) = open::s3(options, &prefix)?;
                // Directory buckets (S3 Express) list in no order; all others in UTF-8 binary order.
                let sorted = !options.bucket.ends_with("--x-s3");
                let store = Self { client: Client::S3 { store, sorted }, prefix, location };
                store.path("open", "")?;
                Ok(store)
            }
        }
    }

    /// Where the objects live, `s3://bucket/prefix` or `file:///path`; without secrets.
    pub fn describe(&self) -> String {
        self.location.place.clone()
    }

    /// Puts an object that must not exist yet; one try, of up to 30 s and a second per 256 KiB. The key is relative to
    /// the base path and stored verbatim. The body is sent in one request: at most 5 GiB on S3, and held in memory.
    pub async fn create(&self, key: &str, body: Bytes) -> Result<Put, StoreError> {
        let what = format!("put {key}");
        let path = self.path(&what, key)?;
        self.check_base(&what).await?;
        let limit = time_for(body.len() as u64);
        let put = self.client.store().put_opts(&path, PutPayload::from_bytes(body), PutMode::Create.into());
        let refused = match self.within(limit, &what, put).await? {
            Ok(_) => return Ok(Put::Created),
            Err(object_store::Error::AlreadyExists { .. }) => {
                let words = "the store says that it exists, and then has nothing there";
                self.location.error(StoreErrorKind::Conflict, &what, words)
            }
            Err(error) => self.location.classify(&what, &error),
        };
        if refused.kind() != StoreErrorKind::Conflict {
            return Err(refused);
        }
        // S3 also says "conflict" while another put to this key is still under way, and that one may yet fail.
        match self.size(key).await? {
            Some(_) => Ok(Put::Exists),
            None => Err(refused),
        }
    }

    /// The whole object, or `None` when there is none.
    pub async fn get(&self, key: &str) -> Result<Option<Bytes>, StoreError> {
        let read = self.read(&format!("get {key}"), key, GetOptions::default()).await?;
        Ok(read.map(|tail| tail.bytes))
    }

    /// The last `len` bytes and the size of the whole, or `None` when there is no object.
    pub async fn tail(&self, key: &str, len: u64) -> Result<Option<Tail>, StoreError> {
        self.part(&format!("get the end of {key}"), key, len, GetRange::Suffix(len)).await
    }

    /// The first `len` bytes and the size of the whole, or `None` when there is no object.
    pub async fn head(&self, key: &str, len: u64) -> Result<Option<Tail>, StoreError> {
        self.part(&format!("get the beginning of {key}"), key, len, GetRange::Bounded(0..len)).await
    }

    /// So many bytes of the part of a data file in which it tells about itself: the end, or of Avro the beginning.
    pub async fn telling(&self, key: &str, len: u64) -> Result<Option<Tail>, StoreError> {
        match Format::of(key) {
            Format::Parquet => self.tail(key, len).await,
            Format::Avro => self.head(key, len).await,
        }
    }

    async fn part(&self, what: &str, key: &str, len: u64, range: GetRange) -> Result<Option<Tail>, StoreError> {
        let nothing = |size| Tail { bytes: Bytes::new(), size };
        if len == 0 {
            return Ok(self.size(key).await?.map(nothing));
        }
        let options = GetOptions { range: Some(range), ..GetOptions::default() };
        match self.read(what, key, options).await {
            // HTTP has no range of an empty object.
            Err(error) if error.kind() == StoreErrorKind::Other => match self.size(key).await? {
                Some(0) => Ok(Some(nothing(0))),
                _ => Err(error),
            },
            read => read,
        }
    }

    /// Size of an object in bytes, or `None` when there is none.
    pub async fn size(&self, key: &str) -> Result<Option<u64>, StoreError> {
        let what = format!("look up {key}");
        let path = self.path(&what, key)?;
        self.check_base(&what).await?;
        let head = self.client.store().head(&path);
        match self.within(REQUEST_TIMEOUT, &what, head).await? {
            Ok(meta) => return Ok(Some(meta.size)),
            Err(object_store::Error::NotFound { .. }) if self.location.on_disk => return Ok(None),
            Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(self.location.classify(&what, &error)),
        }
        // The answer to HEAD has no body, so a missing bucket looks like a missing key. GET tells them apart.
        let get = self.client.store().get(&path);
        match self.within(REQUEST_TIMEOUT, &what, get).await? {
            Ok(found) => Ok(Some(found.meta.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.location.classify(&what, &error)),
        }
    }

    /// The least key below the folder `prefix`, in byte order: one page where the store lists in order, else the
    /// minimum of a whole listing.
    pub async fn first(&self, prefix: &str) -> Result<Option<String>, StoreError> {
        if let Client::S3 { store, sorted: true } = &self.client
            && let InOrder::Yes(first) = self.first_of_pages(store, prefix).await?
        {
            return Ok(first);
        }
        let all = self.list(prefix).await?;
        Ok(all.into_iter().next().map(|l| l.key))
    }

    /// All objects below the folder `prefix` and its subfolders (everything for an empty one), sorted by key in byte
    /// order. What a killed worker left half written on disk is not an object and is not listed.
    pub async fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        let what = format!("list {prefix}/");
        let path = self.path(&what, prefix)?;
        self.check_base(&what).await?;
        let below = folder(path.as_ref());
        let mut objects = self.client.store().list(Some(&path));
        let mut listed = Vec::new();
        while let Some(next) = self.within(REQUEST_TIMEOUT, &what, objects.next()).await? {
            let object = next.map_err(|e| self.location.classify(&what, &e))?;
            // A folder marker of an S3 console is the folder itself.
            if object.location.as_ref().starts_with(&below) {
                listed.push(Listed { key: self.relative(&object.location), size: object.size });
            }
        }
        listed.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(listed)
    }

    async fn first_of_pages(&self, store: &AmazonS3, prefix: &str) -> Result<InOrder, StoreError> {
        let what = format!("list {prefix}/");
        let below = folder(self.path(&what, prefix)?.as_ref());
        let mut options = PaginatedListOptions { max_keys: Some(FIRST_PAGE), ..Default::default() };
        loop {
            let page = store.list_paginated(Some(&below), options.clone());
            let page =
                self.within(REQUEST_TIMEOUT, &what, page).await?.map_err(|e| self.location.classify(&what, &e))?;
            let objects = page.result.objects;
            if !objects.is_sorted_by(|a, b| a.location.as_ref() <= b.location.as_ref()) {
                return Ok(InOrder::No);
            }
            let first = objects.iter().find(|o| o.location.as_ref().starts_with(&below));
            if let Some(first) = first {
                return Ok(InOrder::Yes(Some(self.relative(&first.location))));
            }
            match page.page_token {
                Some(token) => options.page_token = Some(token),
                None => return Ok(InOrder::Yes(None)),
            }
        }
    }

    async fn read(&self, what: &str, key: &str, options: GetOptions) -> Result<Option<Tail>, StoreError> {
        let path = self.path(what, key)?;
        self.check_base(what).await?;
        let get = self.client.store().get_opts(&path, options);
        let found = match self.within(REQUEST_TIMEOUT, what, get).await? {
            Ok(found) => found,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(self.location.classify(what, &error)),
        };
        let (size, length) = (found.meta.size, found.range.end - found.range.start);
        let bytes =
            self.within(time_for(length), what, found.bytes()).await?.map_err(|e| self.location.classify(what, &e))?;
        Ok(Some(Tail { bytes, size }))
    }

    /// The key as the client knows it. Never re-encoded: a key is stored as it is or refused.
    fn path(&self, what: &str, key: &str) -> Result<Path, StoreError> {
        let whole = match (self.prefix.as_str(), key) {
            ("", key) => key.to_string(),
            (prefix, "") => prefix.to_string(),
            (prefix, key) => format!("{prefix}/{key}"),
        };
        match Path::parse(&whole) {
            Ok(path) if path.as_ref() == whole => Ok(path),
            _ => {
                let words = format!(
                    "'{whole}' is not a key: no control characters, and no '.', '..' or empty part between slashes"
                );
                Err(self.location.error(StoreErrorKind::Other, what, &words))
            }
        }
    }

    fn relative(&self, path: &Path) -> String {
        let whole = path.as_ref();
        let below = whole.strip_prefix(&self.prefix).unwrap_or(whole);
        below.strip_prefix('/').unwrap_or(below).to_string()
    }

    /// On disk a base folder that vanished (an unmounted volume) must not be created anew: what was written there
    /// would hide below the volume when it returns, and an empty listing would look like an empty ledger.
    async fn check_base(&self, what: &str) -> Result<(), StoreError> {
        let Client::Disk { base, .. } = &self.client else {
            return Ok(());
        };
        match tokio::fs::metadata(base).await {
            Ok(_) => Ok(()),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                let words = format!("the folder {} is gone", base.display());
                Err(self.location.error(StoreErrorKind::NoBucket, what, &words))
            }
            Err(e) => Err(self.location.classify(what, &e)),
        }
    }

    async fn within<T>(&self, limit: Duration, what: &str, work: impl Future<Output = T>) -> Result<T, StoreError> {
        tokio::time::timeout(limit, work).await.map_err(|_| {
            let words = format!("no end after {} s", limit.as_secs());
            self.location.error(StoreErrorKind::Timeout, what, &words)
        })
    }
}

impl Client {
    fn store(&self) -> &dyn ObjectStore {
        match self {
            Self::Disk { store, .. } => store,
            Self::S3 { store, .. } => store,
        }
    }
}

/// The least key, if the pages came in the order that makes it known early.
enum InOrder {
    Yes(Option<String>),
    No,
}

/// What keys below a folder begin with.
fn folder(path: &str) -> String {
    if path.is_empty() { String::new() } else { format!("{path}/") }
}

/// Longest time for a request with a body of this size.
fn time_for(bytes: u64) -> Duration {
    REQUEST_TIMEOUT + Duration::from_secs(bytes / MIN_RATE)
}
