//! Asks the store, once at start, for what the contract stands on: put, get, list, and writes that never overwrite.
//! Needs no right to delete: it leaves one object of a few bytes behind.

use bytes::Bytes;

use super::{Put, Store, StoreError, StoreErrorKind};

/// Folder of the probes, below the base path.
const FOLDER: &str = "_eventsink/probe";

/// What a store does with a second write to one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guarantee {
    /// It is refused: one file per offset holds.
    CreateOnly,
    /// It replaces the first one: only at-least-once holds, and only for a worker alone on its prefix.
    Overwrites,
}

impl Store {
    /// Tries put, get, list and create-only on `_eventsink/probe/{token}`. A right that is missing, a bucket that is
    /// not there and a store that answers otherwise than S3 come out as errors. `token` is one path segment chosen by
    /// the caller; one that was used before, or is used by others at the same time, says as much as a new one, and
    /// leaves one object however often a worker starts. The object is never deleted.
    pub async fn probe(&self, token: &str) -> Result<Guarantee, StoreError> {
        let key = format!("{FOLDER}/{token}");
        let what = format!("probe {key}");
        let first = Bytes::from_static(b"first\n");
        let second = Bytes::from_static(b"second\n");

        self.create(&key, first).await?;
        if self.get(&key).await?.is_none() {
            return Err(self.odd(&what, "the store took an object and then did not have it"));
        }
        let listed = self.list(FOLDER).await?;
        if !listed.iter().any(|l| l.key == key) {
            return Err(self.odd(&what, "the store took an object and then did not list it"));
        }
        let again = self.create(&key, second.clone()).await?;
        let now = self.get(&key).await?;
        // A reply of "created" is proof enough; a store may also refuse and still replace.
        Ok(match again {
            Put::Exists if now != Some(second) => Guarantee::CreateOnly,
            _ => Guarantee::Overwrites,
        })
    }

    fn odd(&self, what: &str, words: &str) -> StoreError {
        self.location.error(StoreErrorKind::Other, what, words)
    }
}
