//! An S3 server on a folder. Makes buckets; reads and writes nothing itself.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde::Deserialize;

use crate::rig::{self, Held};

/// What `rigs/s3 status` says.
#[derive(Debug, Clone, Deserialize)]
pub struct Endpoint {
    /// URL without a bucket; path-style.
    pub endpoint: String,
    /// Region to sign for.
    pub region: String,
    /// Access key.
    pub access_key_id: String,
    /// Secret key.
    pub secret_access_key: String,
    folder: PathBuf,
}

/// A running S3 server.
#[derive(Debug)]
pub struct S3 {
    /// Where it listens and with which keys.
    pub at: Endpoint,
    held: Option<Held>,
}

impl S3 {
    /// The server of this test process; started with the first call unless `EVENTSINK_E2E_S3` names a running one.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<S3> = OnceLock::new();
        SHARED.get_or_init(|| {
            let (at, held) = rig::server("s3");
            Self { at, held }
        })
    }

    /// A server of the test's own that lists and reads and refuses every write.
    #[must_use]
    pub fn read_only() -> Self {
        let (at, held) = rig::own_server("s3", &[("S3_READ_ONLY", "1")]);
        Self { at, held }
    }

    /// A server of the test's own, which it may stop.
    #[must_use]
    pub fn own() -> Self {
        let (at, held) = rig::own_server("s3", &[]);
        Self { at, held }
    }

    /// Ends the server; its data stays. Only on one of the test's own.
    pub fn stop(&self) {
        self.held().run("stop");
    }

    /// Starts it again on the same port, and waits until it answers.
    pub fn start_again(&self) {
        self.held().run("up");
    }

    fn held(&self) -> &Held {
        self.held.as_ref().expect("a server of the test's own")
    }

    /// A new, empty bucket whose name begins with `stem`.
    #[must_use]
    pub fn make_bucket(&self, stem: &str) -> String {
        let name = rig::unique(stem);
        std::fs::create_dir(self.at.folder.join(&name))
            .unwrap_or_else(|error| panic!("cannot make bucket {name}: {error}"));
        name
    }

    /// Keys of a bucket's objects in order, as they lie in the server's folder; what it keeps for itself is left out.
    #[must_use]
    pub fn keys(&self, bucket: &str) -> Vec<String> {
        let root = self.at.folder.join(bucket);
        let mut keys = files_below(&root, &root);
        keys.retain(|key| !key.starts_with(".sgwtmp"));
        keys.sort();
        keys
    }

    /// Bytes of an object, as they lie in the server's folder.
    #[must_use]
    pub fn read(&self, bucket: &str, key: &str) -> Vec<u8> {
        let path = self.at.folder.join(bucket).join(key);
        std::fs::read(&path).unwrap_or_else(|error| panic!("cannot read {key}: {error}"))
    }

    /// Puts an object into the server's folder as somebody else would.
    pub fn place(&self, bucket: &str, key: &str, bytes: &[u8]) {
        let path = self.at.folder.join(bucket).join(key);
        let parent = path.parent().expect("a key is below its bucket");
        let placed = std::fs::create_dir_all(parent).and_then(|()| std::fs::write(&path, bytes));
        placed.unwrap_or_else(|error| panic!("cannot place {key}: {error}"));
    }

    /// Takes an object away.
    pub fn remove(&self, bucket: &str, key: &str) {
        let removed = std::fs::remove_file(self.at.folder.join(bucket).join(key));
        removed.unwrap_or_else(|error| panic!("cannot remove {key}: {error}"));
    }
}

/// Paths of all files below `folder`, relative to `root`; what vanishes meanwhile is left out.
fn files_below(folder: &Path, root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files_below(&path, root));
        } else if let Ok(key) = path.strip_prefix(root) {
            found.push(key.to_string_lossy().into_owned());
        }
    }
    found
}
