//! The ledger in the bucket: owner, rules, genesis, manifests, marks. It reads and puts; what a reading means is
//! decided in `cut`.
//!
//! Every put is create-only and is tried until the store has decided. "Exists" may be our own earlier try whose
//! reply was lost, so it is always read back: the content decides.

use super::{Backoff, Gate, Put, Store, StoreError, retry};
use crate::cut::manifest::{
    Genesis, MANIFEST_VERSION, Manifest, Owner, cut_key, cuts_prefix, done_key, genesis_key, lost_key, rules_key,
};
use crate::cut::{Hold, HoldReason, PutOutcome};
use crate::files::{Footer, Format, PlannedFile, Rules, TAIL_HINT, TailError, read_footer};
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use tokio::task::AbortHandle;

/// Why a ledger cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// Another sink's prefix.
    #[error(
        "PrefixOwnedBy: {place} belongs to sink {theirs} (group {group}, cluster {cluster}), this is sink {ours}: \
         give each sink a base path of its own"
    )]
    PrefixOwnedBy {
        /// The prefix.
        place: String,
        /// Sink that owns it.
        theirs: String,
        /// Its group.
        group: String,
        /// Its cluster.
        cluster: String,
        /// This sink.
        ours: String,
    },
    /// An object of the ledger that cannot be understood.
    #[error("LedgerDamaged: {key}: {detail}: restore the object as it was written")]
    Damaged {
        /// Its key.
        key: String,
        /// What is wrong.
        detail: String,
    },
    /// Written by a newer worker.
    #[error(
        "UnknownVersion: {key} has version {version}, this worker knows {MANIFEST_VERSION}: run the newer worker again"
    )]
    UnknownVersion {
        /// Its key.
        key: String,
        /// Its version.
        version: u32,
    },
    /// Rules that are whole, and hold what only a newer worker knows.
    #[error("UnknownVersion: {key}: this worker does not know these rules: {detail}: run the newer worker again")]
    NewerRules {
        /// Their key.
        key: String,
        /// What is not known.
        detail: String,
    },
}

impl LedgerError {
    /// The hold that it means for a partition at `at`.
    #[must_use]
    pub fn hold(&self, at: i64) -> Hold {
        let reason = match self {
            Self::UnknownVersion { .. } | Self::NewerRules { .. } => HoldReason::UnknownVersion,
            Self::PrefixOwnedBy { .. } | Self::Damaged { .. } => HoldReason::LedgerDamaged,
        };
        Hold { reason, from: at, to: at, detail: self.to_string() }
    }
}

/// Called with each failure of the store.
pub type OnFault = Arc<dyn Fn(&StoreError) + Send + Sync>;

/// The ledger of one sink.
#[derive(Clone)]
pub struct Ledger {
    store: Store,
    gate: Gate,
    backoff: Backoff,
    on_fault: OnFault,
    owner: Arc<Owner>,
}

impl Ledger {
    /// Takes the prefix, or finds that it is ours already. Retries until the store answers. Every request passes `gate`.
    ///
    /// # Errors
    /// The prefix belongs to another sink, or its owner cannot be read.
    pub async fn open(
        store: Store,
        mut owner: Owner,
        gate: Gate,
        backoff: Backoff,
        on_fault: OnFault,
    ) -> Result<Self, LedgerError> {
        owner.ledger = nonce();
        let mut ledger = Self { store, gate, backoff, on_fault, owner: Arc::new(owner) };
        let found: Owner = ledger.create_or_read(&Owner::key(), &*ledger.owner).await?;
        if found.version > MANIFEST_VERSION {
            return Err(LedgerError::UnknownVersion { key: Owner::key(), version: found.version });
        }
        same_owner(&ledger.store.describe(), &found, &ledger.owner)?;
        ledger.owner = Arc::new(found);
        Ok(ledger)
    }

    /// The same ledger, whose failures somebody else is told.
    #[must_use]
    pub fn told_by(&self, on_fault: OnFault) -> Self {
        Self { on_fault, ..self.clone() }
    }

    /// Whose ledger it is.
    #[must_use]
    pub fn owner(&self) -> &Owner {
        &self.owner
    }

    /// The store below.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Begins to read the owner whenever the breaker of the store is open, until it is closed; goes on until aborted.
    pub fn keep_probing(&self) -> AbortHandle {
        let (ledger, key) = (self.clone(), Owner::key());
        let read = async move |ledger: &Self| {
            let read = ledger.store.get(&key).await;
            read.inspect_err(|error| (ledger.on_fault)(error))
        };
        tokio::spawn(async move { ledger.gate.keep_probing(|| read(&ledger)).await }).abort_handle()
    }

    /// Keeps the rules under their digest, so that an old cut can be finished under its own.
    pub async fn keep_rules(&self, rules: &Rules) {
        let body = Bytes::from(rules.canonical_json());
        self.create(&rules_key(&rules.digest()), body).await;
    }

    /// The rules with this digest.
    ///
    /// # Errors
    /// They are not there, are damaged, or are of a newer worker.
    pub async fn rules(&self, digest: &str) -> Result<Rules, LedgerError> {
        let key = rules_key(digest);
        let Some(body) = self.patiently(&key, || self.store.get(&key)).await else {
            return Err(LedgerError::Damaged { key, detail: "not there".to_owned() });
        };
        parse(&key, &body).map_err(|error| match error {
            // Their name proves them whole.
            LedgerError::Damaged { key, detail } if Rules::digest_of(&body) == digest => {
                LedgerError::NewerRules { key, detail }
            }
            error => error,
        })
    }

    /// The genesis of a topic, if it has one.
    ///
    /// # Errors
    /// It cannot be understood.
    pub async fn genesis(&self, topic: &str, topic_id: &str) -> Result<Option<Genesis>, LedgerError> {
        let key = genesis_key(topic, topic_id);
        let genesis: Option<Genesis> = self.read(&key).await?;
        match &genesis {
            Some(found) if found.version > MANIFEST_VERSION => {
                Err(LedgerError::UnknownVersion { key, version: found.version })
            }
            _ => Ok(genesis),
        }
    }

    /// Fixes the genesis of a topic; gives the one that stands, which may be a rival's.
    ///
    /// # Errors
    /// The one that stands cannot be understood.
    pub async fn fix_genesis(&self, topic: &str, topic_id: &str, genesis: &Genesis) -> Result<Genesis, LedgerError> {
        self.create_or_read(&genesis_key(topic, topic_id), genesis).await
    }

    /// Ids under which this topic has a genesis.
    pub async fn topic_ids(&self, topic: &str) -> Vec<String> {
        let prefix = format!("{}/{topic}", crate::cut::manifest::LEDGER);
        let listed = self.patiently("list topic", || self.store.list(&prefix)).await;
        listed
            .iter()
            .filter_map(|object| object.key.strip_prefix(&prefix)?.strip_prefix('/')?.strip_suffix("/genesis.json"))
            .map(str::to_owned)
            .collect()
    }

    /// The newest manifest of a partition, and whether it is marked as finished.
    ///
    /// # Errors
    /// It cannot be understood.
    pub async fn tip(
        &self,
        topic: &str,
        topic_id: &str,
        partition: i32,
    ) -> Result<Option<(Manifest, bool)>, LedgerError> {
        let prefix = cuts_prefix(topic, topic_id, partition);
        let Some(key) = self.patiently("list manifests", || self.store.first(&prefix)).await else { return Ok(None) };
        let Some(tip) = self.read::<Manifest>(&key).await? else {
            return Err(LedgerError::Damaged { key, detail: "listed but not there".to_owned() });
        };
        if cut_key(topic, topic_id, partition, tip.from) != key {
            return Err(LedgerError::Damaged { key, detail: format!("holds the manifest from {}", tip.from) });
        }
        let done = done_key(topic, topic_id, partition, tip.from);
        let done = self.patiently("look for the done mark", || self.store.size(&done)).await.is_some();
        Ok(Some((tip, done)))
    }

    /// Puts a manifest, before any of its files.
    ///
    /// # Errors
    /// The one that stands under its name cannot be understood.
    pub async fn put_manifest(&self, topic_id: &str, manifest: Manifest) -> Result<PutOutcome, LedgerError> {
        let key = cut_key(&manifest.topic, topic_id, manifest.partition, manifest.from);
        let found: Manifest = self.create_or_read(&key, &manifest).await?;
        Ok(if found.nonce == manifest.nonce { PutOutcome::Won(manifest) } else { PutOutcome::Rival(found) })
    }

    /// Puts a planned file; one that stands there already must be it.
    ///
    /// # Errors
    /// Another object stands there.
    pub async fn put_file(&self, cut: &Manifest, plan: &PlannedFile, body: &Bytes) -> Result<(), String> {
        loop {
            if self.create(&plan.key, body.clone()).await == Put::Created {
                return Ok(());
            }
            // Absent after "exists": the store decided a race by refusing both; try again.
            if self.is_planned(cut, plan).await? {
                return Ok(());
            }
        }
    }

    /// The bytes of a planned file, if it is there.
    pub async fn file(&self, key: &str) -> Option<Bytes> {
        self.patiently("read a file", || self.store.get(key)).await
    }

    /// Which planned files are not there yet, by their place in the manifest.
    ///
    /// # Errors
    /// Another object stands under a planned key.
    pub async fn missing_files(&self, cut: &Manifest) -> Result<Vec<usize>, String> {
        let mut missing = Vec::new();
        for (at, plan) in cut.files.iter().enumerate() {
            if !self.is_planned(cut, plan).await? {
                missing.push(at);
            }
        }
        Ok(missing)
    }

    /// Marks a cut as finished, so that the next start need not look at its files. Best effort: left out while the
    /// breaker is open.
    pub async fn mark_done(&self, topic: &str, topic_id: &str, partition: i32, from: i64) {
        let key = done_key(topic, topic_id, partition, from);
        let Some(permit) = self.gate.try_pass() else { return };
        let put = self.store.create(&key, Bytes::from_static(b"{}")).await;
        permit.ends(&put);
        if let Err(error) = put {
            tracing::debug!(key, %error, "done mark not written");
        }
    }

    /// Names the loss of `[from, to)`.
    pub async fn name_loss(&self, topic: &str, topic_id: &str, partition: i32, range: (i64, i64)) {
        let (from, to) = range;
        let body =
            serde_json::json!({ "version": MANIFEST_VERSION, "ledger": self.owner.ledger, "from": from, "to": to });
        self.create(&lost_key(topic, topic_id, partition, from, to), Bytes::from(body.to_string())).await;
    }

    /// True when the planned file is there, false when nothing is.
    async fn is_planned(&self, cut: &Manifest, plan: &PlannedFile) -> Result<bool, String> {
        let mut len = TAIL_HINT;
        loop {
            let Some(tail) = self.patiently("read footer", || self.store.telling(&plan.key, len)).await else {
                return Ok(false);
            };
            let differs = |detail: String| {
                format!("{} is not the file that manifest {} plans: {detail}; move it away", plan.key, cut.nonce)
            };
            match read_footer(Format::of(&plan.key), &tail.bytes, tail.size) {
                Ok(footer) => return same(&footer, cut, plan).map(|()| true).map_err(differs),
                Err(TailError::NeedMore(need)) if need > len => len = need,
                Err(error) => return Err(differs(error.to_string())),
            }
        }
    }

    async fn create_or_read<T: Serialize + DeserializeOwned>(&self, key: &str, ours: &T) -> Result<T, LedgerError> {
        let body = serde_json::to_vec(ours).map(Bytes::from);
        let body = body.map_err(|e| LedgerError::Damaged { key: key.to_owned(), detail: e.to_string() })?;
        loop {
            if self.create(key, body.clone()).await == Put::Created {
                return parse(key, &body);
            }
            if let Some(found) = self.read(key).await? {
                return Ok(found);
            }
        }
    }

    async fn read<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, LedgerError> {
        let found = self.patiently(key, || self.store.get(key)).await;
        found.map(|body| parse(key, &body)).transpose()
    }

    async fn create(&self, key: &str, body: Bytes) -> Put {
        self.patiently(key, || self.store.create(key, body.clone())).await
    }

    async fn patiently<T, F, Fut>(&self, what: &str, op: F) -> T
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T, StoreError>>,
    {
        retry(&self.gate, self.backoff, what, op, |error| (self.on_fault)(error)).await
    }
}

/// One sink, one prefix: sink, group and cluster must be those that took it.
///
/// # Errors
/// The prefix belongs to another sink.
pub fn same_owner(place: &str, found: &Owner, ours: &Owner) -> Result<(), LedgerError> {
    if (&found.sink, &found.group, &found.cluster_id) == (&ours.sink, &ours.group, &ours.cluster_id) {
        return Ok(());
    }
    Err(LedgerError::PrefixOwnedBy {
        place: place.to_owned(),
        theirs: found.sink.clone(),
        group: found.group.clone(),
        cluster: found.cluster_id.clone(),
        ours: format!("{} (group {}, cluster {})", ours.sink, ours.group, ours.cluster_id),
    })
}

/// A random name: 32 hex digits.
#[must_use]
pub fn nonce() -> String {
    format!("{:032x}", rand::random::<u128>())
}

/// An object of the ledger from its bytes; a newer version is told apart from damage.
pub(crate) fn parse<T: DeserializeOwned>(key: &str, body: &[u8]) -> Result<T, LedgerError> {
    serde_json::from_slice(body).map_err(|error| {
        let version = serde_json::from_slice::<serde_json::Value>(body).ok().and_then(|v| v["version"].as_u64());
        match version.and_then(|v| u32::try_from(v).ok()) {
            Some(version) if version > MANIFEST_VERSION => LedgerError::UnknownVersion { key: key.to_owned(), version },
            _ => LedgerError::Damaged { key: key.to_owned(), detail: error.to_string() },
        }
    })
}

/// Rows must be equal, not bytes: codec builds and row groups may differ.
fn same(footer: &Footer, cut: &Manifest, plan: &PlannedFile) -> Result<(), String> {
    let check = |what: &str, found: &dyn std::fmt::Display, planned: &dyn std::fmt::Display| {
        let (found, planned) = (found.to_string(), planned.to_string());
        if found == planned { Ok(()) } else { Err(format!("its {what} is {found}, planned is {planned}")) }
    };
    check("ledger", &footer.identity.ledger, &cut.ledger)?;
    check("partition", &footer.identity.partition, &cut.partition)?;
    check("cut", &footer.cut_from, &cut.from)?;
    check("manifest", &footer.nonce, &cut.nonce)?;
    if footer.incomplete {
        return Ok(());
    }
    check("row count", &footer.rows, &plan.rows)?;
    check("row digest", &footer.digest, &plan.digest)
}
