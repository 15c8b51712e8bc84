//! The bucket: create-only puts, reads and listings over `object_store`, the probe, retries and the breaker.
//! Knows keys and bytes, and decides nothing about cuts. It never overwrites and never deletes: the truth lives here.

mod breaker;
mod error;
mod gate;
pub mod ledger;
mod open;
mod options;
mod probe;
mod retry;
mod wire;

use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use object_store::list::{PaginatedListOptions, PaginatedListStore};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutPayload};

use crate::files::Format;
pub use breaker::BreakerRules;
use error::Location;
pub use error::{StoreError, StoreErrorKind};
pub use eventsink_crds::settings::Secret;
pub use gate::{Gate, Permit, View};
pub use options::{AzureOptions, Backend, GcsOptions, Network, S3Options, Sse, StoreOptions};
pub use probe::Guarantee;
pub use retry::{Backoff, retry};

/// Slowest rate, in bytes per second, at which a body is still waited for; on top of the time for a request.
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
    /// Longest time for a request without its body.
    request_timeout: Duration,
}

#[derive(Clone)]
enum Client {
    Disk {
        store: LocalFileSystem,
        base: PathBuf,
    },
    Cloud {
        store: Arc<dyn Bucket>,
        /// Whether listings come in the order of keys.
        sorted: bool,
        /// Whether the end of an object can be asked for without its size.
        suffix_ranges: bool,
    },
}

/// What every cloud's client can do.
trait Bucket: ObjectStore + PaginatedListStore {}

impl<S: ObjectStore + PaginatedListStore> Bucket for S {}

impl fmt::Debug for Client {
    /// Only the kind: the clients of `object_store` show their keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Disk { .. } => "Disk",
            Self::Cloud { .. } => "Cloud",
        })
    }
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
    /// Where the objects live, such as `s3://bucket/prefix`, `az://account/container/prefix`, `gs://bucket/prefix` or
    /// `file:///path`; without secrets.
    pub fn describe(&self) -> String {
        self.location.place.clone()
    }

    /// Puts an object that must not exist yet; one try, within the time for a request and a second per 256 KiB. The key is relative to
    /// the base path and stored verbatim. The body is sent in one request, at most 5 GB on any cloud, and held in memory.
    pub async fn create(&self, key: &str, body: Bytes) -> Result<Put, StoreError> {
        let what = format!("put {key}");
        let path = self.path(&what, key)?;
        self.check_base(&what).await?;
        let limit = self.time_for(body.len() as u64);
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
        // A store also says "conflict" while another put to this key is still under way, and that one may yet fail.
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
        let range = match (range, &self.client) {
            (GetRange::Suffix(len), Client::Cloud { suffix_ranges: false, .. }) => match self.size(key).await? {
                None => return Ok(None),
                Some(0) => return Ok(Some(nothing(0))),
                Some(size) => GetRange::Bounded(size.saturating_sub(len)..size),
            },
            (range, _) => range,
        };
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
        match self.within(self.request_timeout, &what, head).await? {
            Ok(meta) => return Ok(Some(meta.size)),
            Err(object_store::Error::NotFound { .. }) if self.location.on_disk() => return Ok(None),
            Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(self.location.classify(&what, &error)),
        }
        // The answer to HEAD has no body, so a missing bucket looks like a missing key. GET tells them apart.
        let get = self.client.store().get(&path);
        match self.within(self.request_timeout, &what, get).await? {
            Ok(found) => Ok(Some(found.meta.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.location.classify(&what, &error)),
        }
    }

    /// The least key below the folder `prefix`, in byte order: one page where the store lists in order, else the
    /// minimum of a whole listing.
    pub async fn first(&self, prefix: &str) -> Result<Option<String>, StoreError> {
        if let Client::Cloud { store, sorted: true, .. } = &self.client
            && let InOrder::Yes(first) = self.first_of_pages(store.as_ref(), prefix).await?
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
        while let Some(next) = self.within(self.request_timeout, &what, objects.next()).await? {
            let object = next.map_err(|e| self.location.classify(&what, &e))?;
            // A folder marker of a cloud's console is the folder itself.
            if object.location.as_ref().starts_with(&below) {
                listed.push(Listed { key: self.relative(&object.location), size: object.size });
            }
        }
        listed.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(listed)
    }

    async fn first_of_pages(&self, store: &dyn Bucket, prefix: &str) -> Result<InOrder, StoreError> {
        let what = format!("list {prefix}/");
        let below = folder(self.path(&what, prefix)?.as_ref());
        let mut options = PaginatedListOptions { max_keys: Some(FIRST_PAGE), ..Default::default() };
        loop {
            let page = store.list_paginated(Some(&below), options.clone());
            let page =
                self.within(self.request_timeout, &what, page).await?.map_err(|e| self.location.classify(&what, &e))?;
            let objects = page.result.objects;
            if !objects.is_sorted_by(|a, b| a.location.as_ref() <= b.location.as_ref()) {
                return Ok(InOrder::No);
            }
            let below_it = |o: &ObjectMeta| o.location.as_ref().strip_prefix(&below).map(|rest| rest.contains('/'));
            match objects.iter().find_map(|o| Some((o, below_it(o)?))) {
                Some((first, false)) => return Ok(InOrder::Yes(Some(self.relative(&first.location)))),
                // Stores with real folders (Azure with a hierarchical namespace) walk them one by one, so that a
                // lesser key may follow one in a subfolder. Of two names in one folder the lesser comes first.
                Some((_, true)) => return Ok(InOrder::No),
                None => {}
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
        let found = match self.within(self.request_timeout, what, get).await? {
            Ok(found) => found,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(self.location.classify(what, &error)),
        };
        let (size, length) = (found.meta.size, found.range.end - found.range.start);
        let bytes = self
            .within(self.time_for(length), what, found.bytes())
            .await?
            .map_err(|e| self.location.classify(what, &e))?;
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

    /// Longest time for a request with a body of this size.
    fn time_for(&self, bytes: u64) -> Duration {
        self.request_timeout + Duration::from_secs(bytes / MIN_RATE)
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
            Self::Cloud { store, .. } => store.as_ref(),
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
