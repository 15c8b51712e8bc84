//! Walks a bucket: one listing, every object of the ledger, the end of every file. Reads and hands over to the pure
//! judges; keeps keys and sums in memory, never manifests or footers of more than a few cuts.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;

use futures::stream::{self, FuturesUnordered, StreamExt};

use super::chain::PartitionId;
use super::deep::{self, Cover};
use super::inventory::{Inventory, Planned, TopicKeys};
use super::partition::Partition;
use super::read::{End, Entry, NamedLoss, Reader, unreadable};
use super::{Claim, Depth, Finding, FindingKind, Loss, PartitionSummary, Report, TopicSummary, file};
use crate::cut::manifest::{
    Genesis, Manifest, Owner, cut_key, done_key, genesis_key, lost_key, rules_key, topic_prefix,
};
use crate::files::{Footer, ReadError, RowsRead, Rules};
use crate::store::{Store, StoreError};

/// Requests at a time.
const CONCURRENCY: usize = 16;

/// Files whose rows are read at a time: each is in memory as a whole.
const DEEP_CONCURRENCY: usize = 2;

/// One audit under way.
pub(super) struct Walk<F> {
    reader: Reader,
    depth: Depth,
    /// By place of the partition and first offset: cuts whose files are being read.
    covers: BTreeMap<(usize, i64), Cover>,
    on_progress: F,
    done: u64,
    total: u64,
    report: Report,
    inventory: Inventory,
    partitions: Vec<Partition>,
    unnamed: Vec<Unnamed>,
}

/// One manifest to be read.
#[derive(Debug, Clone, Copy)]
struct CutRef {
    /// Place among the partitions.
    at: usize,
    from: i64,
    /// It is the newest and has no done mark: its files need not be there yet.
    open: bool,
}

/// A manifest whose files are being looked at.
struct Cut {
    found: CutRef,
    id: Arc<PartitionId>,
    manifest: Manifest,
}

/// One planned file.
struct Job {
    cut: Arc<Cut>,
    file: usize,
    listed: bool,
}

/// What was found of a planned file.
struct Looked {
    job: Job,
    end: End,
    /// Its rows, when they were asked for and the file has a footer.
    rows: Option<Result<RowsRead, ReadError>>,
}

/// A loss that is told somewhere but was not named in `lost/` when that was listed.
struct Unnamed {
    at: usize,
    key: String,
    range: (i64, i64),
}

impl<F: Fn(u64, u64)> Walk<F> {
    pub fn new(store: &Store, depth: Depth, on_progress: F) -> Self {
        let reader = Reader::new(store);
        Self {
            depth,
            covers: BTreeMap::new(),
            report: Report { place: reader.place(), ..Report::default() },
            reader,
            on_progress,
            done: 0,
            total: 0,
            inventory: Inventory::default(),
            partitions: Vec::new(),
            unnamed: Vec::new(),
        }
    }

    /// Looks at everything, or as far as the store answers.
    pub async fn run(&mut self) -> Result<(), StoreError> {
        let listing = self.reader.list("").await?;
        self.total = listing.len() as u64;
        self.inventory = Inventory::of(listing.into_iter().map(|listed| listed.key));
        self.owner().await?;
        self.rules().await?;
        self.topics().await?;
        self.cuts().await?;
        self.strangers().await?;
        self.done_marks().await?;
        self.losses().await?;
        for key in &self.inventory.stray {
            let what = "lies in the ledger's folder, and no worker writes such a name";
            self.report.findings.push(Finding::new(FindingKind::UnknownObject, key, what, "move it away"));
        }
        self.done = self.total;
        (self.on_progress)(self.done, self.total);
        Ok(())
    }

    /// The report, of a walk that came to its end or did not.
    pub fn close(self, end: Result<(), StoreError>) -> Report {
        let mut report = self.report;
        let ended = end.is_ok();
        if let Err(error) = end {
            let what = format!("not everything was looked at: {error}");
            report.findings.push(Finding::new(FindingKind::NotFinished, &report.place, what, "then audit again"));
        }
        let mut topics: BTreeMap<(String, String), Vec<PartitionSummary>> = BTreeMap::new();
        for partition in self.partitions {
            let id = Arc::clone(&partition.id);
            let (summary, unfinished, denied) = partition.close();
            report.unfinished.extend(unfinished);
            // What was not walked claims nothing.
            if ended {
                report.claims.push(Claim { id: PartitionId::clone(&id), to: summary.to, denied });
            }
            topics.entry((id.topic.clone(), id.topic_id.clone())).or_default().push(summary);
        }
        let topic = |((topic, topic_id), partitions)| TopicSummary { topic, topic_id, partitions };
        report.topics = topics.into_iter().map(topic).collect();
        report.findings.sort_by(|a, b| (&a.key, &a.what).cmp(&(&b.key, &b.what)));
        report.green = report.is_green();
        report
    }

    fn tick(&mut self) {
        self.done += 1;
        (self.on_progress)(self.done, self.total);
    }

    fn find(&mut self, finding: Finding) {
        self.report.findings.push(finding);
    }

    /// An object of the ledger that is not there.
    fn lacks(&mut self, key: &str, what: &str) {
        let way_out = "restore it as it was written, from a backup or the bucket's older versions";
        self.find(Finding::new(FindingKind::MissingFromLedger, key, what, way_out));
    }

    /// The owner's ledger, if it is known.
    fn ledger(&self) -> Option<&str> {
        (!self.report.ledger.is_empty()).then_some(self.report.ledger.as_str())
    }

    async fn owner(&mut self) -> Result<(), StoreError> {
        let key = Owner::key();
        match self.reader.entry::<Owner>(&key).await? {
            Entry::There(owner) => {
                self.report.ledger = owner.ledger;
                self.report.sink = owner.sink;
                self.report.group = owner.group;
            }
            Entry::Bad(finding) => self.find(finding),
            Entry::Missing if self.total == 0 => {
                let what = "there is nothing here: no worker has written to this base path";
                let way_out = "check the storage section of the settings";
                self.find(Finding::new(FindingKind::MissingFromLedger, key, what, way_out));
            }
            Entry::Missing => self.lacks(&key, "not there: whose prefix this is cannot be told"),
        }
        if self.inventory.owner {
            self.tick();
        }
        Ok(())
    }

    /// Rules are named by the digest of their bytes.
    async fn rules(&mut self) -> Result<(), StoreError> {
        for digest in self.inventory.rules.clone() {
            let key = rules_key(&digest);
            match self.reader.body(&key).await? {
                Entry::There(body) if Rules::digest_of(&body) == digest => {}
                Entry::There(_) => self.find(unreadable(&key, "its content does not have the digest of its name")),
                Entry::Missing => self.lacks(&key, "listed, and not there"),
                Entry::Bad(finding) => self.find(finding),
            }
            self.tick();
        }
        Ok(())
    }

    async fn topics(&mut self) -> Result<(), StoreError> {
        for ((topic, topic_id), keys) in std::mem::take(&mut self.inventory.topics) {
            let genesis = self.genesis(&genesis_key(&topic, &topic_id), keys.genesis).await?;
            self.partitions(&topic, &topic_id, &keys, genesis.as_ref()).await?;
            self.inventory.topics.insert((topic, topic_id), keys);
        }
        Ok(())
    }

    async fn genesis(&mut self, key: &str, listed: bool) -> Result<Option<Genesis>, StoreError> {
        if listed {
            self.tick();
        }
        let genesis = match self.reader.entry::<Genesis>(key).await? {
            Entry::There(genesis) => genesis,
            Entry::Bad(finding) => {
                self.find(finding);
                return Ok(None);
            }
            Entry::Missing => {
                self.lacks(key, "not there: where the partitions of this topic start cannot be told");
                return Ok(None);
            }
        };
        if let Some(ledger) = self.ledger()
            && genesis.ledger != ledger
        {
            let why = format!("it belongs to ledger {}, and the prefix to {ledger}", genesis.ledger);
            self.find(unreadable(key, &why));
        }
        if genesis.partitions.iter().any(|start| start.offset < 0) {
            self.find(unreadable(key, "it starts a partition below offset 0"));
            return Ok(None);
        }
        Ok(Some(genesis))
    }

    async fn partitions(
        &mut self,
        topic: &str,
        topic_id: &str,
        keys: &TopicKeys,
        genesis: Option<&Genesis>,
    ) -> Result<(), StoreError> {
        let counted = genesis.map_or(0, |genesis| i32::try_from(genesis.partitions.len()).unwrap_or(i32::MAX));
        let beyond = keys.partitions.keys().copied().filter(|partition| *partition >= counted);
        for number in (0..counted).chain(beyond) {
            let id = PartitionId { topic: topic.to_owned(), topic_id: topic_id.to_owned(), partition: number };
            let start = genesis.map(|genesis| genesis.start(number).offset);
            let losses = match keys.partitions.get(&number) {
                Some(keys) => self.named(&id, keys.lost.iter().copied()).await?,
                None => Vec::new(),
            };
            self.partitions.push(Partition::new(id, start, losses));
        }
        Ok(())
    }

    /// Reads named losses.
    async fn named(
        &mut self,
        id: &PartitionId,
        lost: impl Iterator<Item = (i64, i64)>,
    ) -> Result<Vec<(i64, i64)>, StoreError> {
        let mut ranges = Vec::new();
        for (from, to) in lost {
            let key = lost_key(&id.topic, &id.topic_id, id.partition, from, to);
            match self.reader.entry::<NamedLoss>(&key).await? {
                Entry::There(loss)
                    if (loss.from, loss.to) == (from, to)
                        && self.ledger().is_none_or(|ledger| ledger == loss.ledger) =>
                {
                    ranges.push((from, loss.to));
                    self.report.losses.push(Loss {
                        topic: id.topic.clone(),
                        topic_id: id.topic_id.clone(),
                        partition: id.partition,
                        from,
                        to: loss.to,
                    });
                }
                Entry::There(loss) => {
                    let why = format!("it names {}..{} of ledger {}", loss.from, loss.to, loss.ledger);
                    self.find(unreadable(&key, &why));
                }
                Entry::Bad(finding) => self.find(finding),
                Entry::Missing => self.lacks(&key, "listed, and not there"),
            }
            self.tick();
        }
        Ok(ranges)
    }

    /// Every manifest, oldest first in each partition.
    fn cut_refs(&self) -> Vec<CutRef> {
        let mut all = Vec::new();
        for (at, partition) in self.partitions.iter().enumerate() {
            let id = &partition.id;
            let topic = self.inventory.topics.get(&(id.topic.clone(), id.topic_id.clone()));
            let Some(keys) = topic.and_then(|keys| keys.partitions.get(&id.partition)) else { continue };
            let tip = keys.cuts.last().copied();
            let open = |from| Some(from) == tip && !keys.done.contains(&from);
            all.extend(keys.cuts.iter().map(|&from| CutRef { at, from, open: open(from) }));
        }
        all
    }

    /// Reads all manifests and, a few steps behind, the ends of their files.
    async fn cuts(&mut self) -> Result<(), StoreError> {
        let ids: Vec<Arc<PartitionId>> = self.partitions.iter().map(|partition| Arc::clone(&partition.id)).collect();
        let reader = self.reader.clone();
        let read = stream::iter(self.cut_refs()).map(move |found| {
            let (reader, id) = (reader.clone(), Arc::clone(&ids[found.at]));
            async move {
                let key = cut_key(&id.topic, &id.topic_id, id.partition, found.from);
                reader.entry::<Manifest>(&key).await.map(|entry| (found, key, entry))
            }
        });
        let mut manifests = pin!(read.buffered(CONCURRENCY));
        let mut files = FuturesUnordered::new();
        let at_once = if self.depth == Depth::Rows { DEEP_CONCURRENCY } else { CONCURRENCY };
        while let Some(next) = manifests.next().await {
            let (found, key, entry) = next?;
            self.tick();
            for job in self.cut(found, &key, entry).await? {
                if files.len() >= at_once
                    && let Some(checked) = files.next().await
                {
                    self.file(checked?);
                }
                files.push(look(self.reader.clone(), job, self.depth));
            }
        }
        while let Some(checked) = files.next().await {
            self.file(checked?);
        }
        Ok(())
    }

    /// Judges one manifest; gives its files.
    async fn cut(&mut self, found: CutRef, key: &str, entry: Entry<Manifest>) -> Result<Vec<Job>, StoreError> {
        let manifest = match entry {
            Entry::There(manifest) => manifest,
            Entry::Bad(finding) => {
                self.partitions[found.at].chain.unreadable();
                self.find(finding);
                return Ok(vec![]);
            }
            Entry::Missing => {
                self.partitions[found.at].chain.unreadable();
                self.lacks(key, "listed, and not there");
                return Ok(vec![]);
            }
        };
        let ledger = self.ledger().map(str::to_owned);
        let findings = self.partitions[found.at].chain.link(found.from, &manifest, ledger.as_deref());
        self.report.findings.extend(findings);
        self.rules_of(key, &manifest).await?;
        self.partitions[found.at].account(key, &manifest, found.open);
        for range in manifest.lost.iter() {
            self.expect_named(found.at, key, range);
        }
        let id = Arc::clone(&self.partitions[found.at].id);
        if self.depth == Depth::Rows && !manifest.files.is_empty() {
            self.covers.insert((found.at, found.from), Cover::of(manifest.files.len()));
        }
        let cut = Arc::new(Cut { found, id, manifest });
        Ok(self.jobs(&cut, key))
    }

    /// Rules may be younger than the listing.
    async fn rules_of(&mut self, key: &str, manifest: &Manifest) -> Result<(), StoreError> {
        if self.inventory.rules.contains(&manifest.rules) {
            return Ok(());
        }
        let rules = rules_key(&manifest.rules);
        match self.reader.body(&rules).await? {
            Entry::There(_) => {}
            _ => self.lacks(&rules, &format!("not there: {key} was made under these rules")),
        }
        // Said once.
        self.inventory.rules.insert(manifest.rules.clone());
        Ok(())
    }

    /// A loss that is told must be named; one whose name is not known yet is looked up at the end.
    fn expect_named(&mut self, at: usize, key: &str, range: (i64, i64)) {
        // A range that is none is a finding of its own.
        if range.0 < range.1 && !self.partitions[at].names_loss(range) {
            self.unnamed.push(Unnamed { at, key: key.to_owned(), range });
        }
    }

    fn jobs(&mut self, cut: &Arc<Cut>, key: &str) -> Vec<Job> {
        let mut jobs = Vec::with_capacity(cut.manifest.files.len());
        for (file, plan) in cut.manifest.files.iter().enumerate() {
            let planned = self.inventory.data.plan(&plan.key);
            if planned == Planned::Again {
                let what = format!("{key} plans it, and another manifest does too");
                let way_out = "one of both manifests was changed: restore it as it was written";
                self.find(Finding::new(FindingKind::ChangedManifest, &plan.key, what, way_out));
            }
            jobs.push(Job { cut: Arc::clone(cut), file, listed: planned == Planned::Listed });
        }
        jobs
    }

    /// Judges one planned file, and after the last one of a cut that was read the offsets of all its rows.
    fn file(&mut self, looked: Looked) {
        if looked.job.listed {
            self.tick();
        }
        let cut = Arc::clone(&looked.job.cut);
        let kind = cut.manifest.files[looked.job.file].kind;
        let offsets = self.offsets(looked);
        let at = (cut.found.at, cut.found.from);
        let Some(cover) = self.covers.get_mut(&at) else { return };
        cover.add(kind, offsets);
        if cover.is_full()
            && let Some(cover) = self.covers.remove(&at)
        {
            let key = cut_key(&cut.id.topic, &cut.id.topic_id, cut.id.partition, cut.found.from);
            self.report.findings.extend(cover.judge(&key, &cut.manifest));
        }
    }

    /// Judges one planned file; gives the offsets of its rows when they were read and nothing is wrong or lost.
    fn offsets(&mut self, Looked { job, end, rows }: Looked) -> Option<Vec<i64>> {
        let Cut { found, id, manifest } = &*job.cut;
        let plan = &manifest.files[job.file];
        let manifest_key = cut_key(&id.topic, &id.topic_id, id.partition, found.from);
        let wrong = match end {
            End::Footer(footer) => match file::differences(&footer, manifest, id, plan) {
                same if same.is_empty() => return self.planned(&job, &manifest_key, &footer, rows),
                differences => file::different(&manifest_key, plan, &differences),
            },
            End::Missing if found.open && self.partitions[found.at].lacks(&plan.key) => return None,
            End::Missing => file::missing(&manifest_key, plan),
            End::Damaged(why) => file::damaged(&manifest_key, plan, &why),
        };
        self.find(wrong);
        None
    }

    /// The planned file stands under its key: what the log had lost of it is noted, and its rows are judged.
    fn planned(
        &mut self,
        job: &Job,
        manifest_key: &str,
        footer: &Footer,
        rows: Option<Result<RowsRead, ReadError>>,
    ) -> Option<Vec<i64>> {
        let Cut { found, manifest, .. } = &*job.cut;
        let plan = &manifest.files[job.file];
        if footer.incomplete {
            self.partitions[found.at].incomplete(plan, footer.rows, found.open);
            self.expect_named(found.at, &plan.key, (manifest.from, manifest.to));
        }
        let wrong = match rows? {
            Ok(read) => match deep::differences(&read, footer) {
                same if same.is_empty() => return (!footer.incomplete).then_some(read.offsets),
                differences => deep::changed(manifest_key, plan, &differences.join(", ")),
            },
            Err(error) => file::damaged(manifest_key, plan, &error.to_string()),
        };
        self.find(wrong);
        None
    }

    /// Files that no manifest plans.
    async fn strangers(&mut self) -> Result<(), StoreError> {
        let ledger = self.ledger().map(str::to_owned);
        let reader = self.reader.clone();
        let looked = stream::iter(self.inventory.data.take_strangers())
            .map(move |key| stranger(reader.clone(), key, ledger.clone()))
            .buffer_unordered(CONCURRENCY);
        let mut looked = pin!(looked);
        while let Some(finding) = looked.next().await {
            self.report.findings.extend(finding?);
            self.tick();
        }
        Ok(())
    }

    /// A mark is written after its manifest, which may be younger than the listing of manifests.
    async fn done_marks(&mut self) -> Result<(), StoreError> {
        for ((topic, topic_id), keys) in std::mem::take(&mut self.inventory.topics) {
            for (number, keys) in keys.partitions {
                for &from in keys.done.difference(&keys.cuts) {
                    let key = cut_key(&topic, &topic_id, number, from);
                    if !self.reader.exists(&key).await? {
                        let mark = done_key(&topic, &topic_id, number, from);
                        let what = format!("not there: {mark} says that the cut from {from} was finished");
                        self.lacks(&key, &what);
                    }
                }
            }
        }
        Ok(())
    }

    /// Names of losses may be younger than the listing.
    async fn losses(&mut self) -> Result<(), StoreError> {
        for Unnamed { at, key, range } in std::mem::take(&mut self.unnamed) {
            let id = Arc::clone(&self.partitions[at].id);
            let folder = &format!("{}/{}/lost", topic_prefix(&id.topic, &id.topic_id), id.partition);
            let names = Inventory::of(self.reader.list(folder).await?.into_iter().map(|listed| listed.key));
            let topic = names.topics.get(&(id.topic.clone(), id.topic_id.clone()));
            let named = topic.and_then(|keys| keys.partitions.get(&id.partition));
            if named.is_none_or(|keys| keys.lost.iter().all(|(from, to)| *to <= range.0 || range.1 <= *from)) {
                let what =
                    format!("says that the log lost offsets within {}..{}, and {folder}/ does not", range.0, range.1);
                let way_out = "the name of a loss was deleted, or a crash came before it: restore it or note the loss";
                self.find(Finding::new(FindingKind::UnnamedLoss, key, what, way_out));
            }
        }
        Ok(())
    }
}

async fn look(reader: Reader, job: Job, depth: Depth) -> Result<Looked, StoreError> {
    let key = &job.cut.manifest.files[job.file].key;
    let mut end = reader.end(key).await?;
    let mut rows = None;
    if depth == Depth::Rows && matches!(end, End::Footer(_)) {
        rows = reader.rows(key).await?;
        if rows.is_none() {
            end = End::Missing;
        }
    }
    Ok(Looked { job, end, rows })
}

async fn stranger(reader: Reader, key: String, ledger: Option<String>) -> Result<Option<Finding>, StoreError> {
    let footer = match reader.end(&key).await? {
        End::Footer(footer) => footer,
        End::Damaged(why) => return Ok(Some(file::unknown(&key, &why))),
        End::Missing => return Ok(None),
    };
    let identity = &footer.identity;
    if ledger.is_some_and(|ledger| ledger != identity.ledger) {
        return Ok(Some(file::of_another_sink(&key, &footer)));
    }
    let id = PartitionId {
        topic: identity.topic.clone(),
        topic_id: identity.topic_id.clone(),
        partition: identity.partition,
    };
    let standing = match id.cut_key(footer.cut_from) {
        None => file::Standing::Missing,
        Some(manifest) => match reader.entry::<Manifest>(&manifest).await? {
            Entry::There(manifest) => file::Standing::There(Box::new(manifest)),
            Entry::Missing => file::Standing::Missing,
            Entry::Bad(_) => file::Standing::Unreadable,
        },
    };
    let original = match &standing {
        file::Standing::There(manifest) => file::original(&key, &footer, manifest),
        _ => None,
    };
    let Some(plan) = original else { return Ok(file::orphan(&key, &footer, &standing)) };
    let whole = matches!(reader.end(&plan.key).await?, End::Footer(_));
    Ok(Some(file::second(&key, plan, whole)))
}
