//! An S3 server on a folder. Makes buckets; reads and writes nothing itself.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use serde::Deserialize;

use crate::folder;
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

    /// A server that listens at that address of this machine: of its own unless `EVENTSINK_E2E_S3` names one there.
    #[must_use]
    pub fn at(host: &str) -> Self {
        let (at, held) = rig::server_at("s3", host);
        Self { at, held }
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

    /// The folder in which the server keeps a bucket.
    #[must_use]
    pub fn folder(&self, bucket: &str) -> PathBuf {
        self.at.folder.join(bucket)
    }

    /// Keys of a bucket's objects in order, as they lie in the server's folder; what it keeps for itself is left out.
    #[must_use]
    pub fn keys(&self, bucket: &str) -> Vec<String> {
        let root = self.at.folder.join(bucket);
        let key = |path: PathBuf| path.strip_prefix(&root).ok().map(|key| key.to_string_lossy().into_owned());
        let mut keys: Vec<_> = folder::files(&root).into_iter().filter_map(key).collect();
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

    /// Puts a copy of an object under another key, as somebody else would; with the attributes in which the server
    /// keeps its entity tag, without which an object is not there for conditional writes.
    pub fn copy(&self, bucket: &str, from: &str, to: &str) {
        let root = self.at.folder.join(bucket);
        let (from, to) = (root.join(from), root.join(to));
        let made = std::fs::create_dir_all(to.parent().expect("a key is below its bucket"));
        let copied = Command::new("cp").arg("--archive").args([&from, &to]).status();
        assert!(made.is_ok() && copied.is_ok_and(|status| status.success()), "cannot copy {}", from.display());
    }

    /// Takes an object away.
    pub fn remove(&self, bucket: &str, key: &str) {
        let removed = std::fs::remove_file(self.at.folder.join(bucket).join(key));
        removed.unwrap_or_else(|error| panic!("cannot remove {key}: {error}"));
    }
}
