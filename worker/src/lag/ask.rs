//! Asks Kafka and the ledger. In this order for each partition: commit, tip, end of the log, so that what is written
//! meanwhile never looks like an offset that was moved or a log that was cut short.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use eventsink_crds::settings::{OnLoss, OnOffsetsMoved, Settings};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use rdkafka::consumer::BaseConsumer;

use super::judge::{Facts, judge};
use super::report::{Report, TopicLag, Totals};
use crate::audit::Finding;
use crate::audit::read::{Entry, Reader, Versioned};
use crate::cut::manifest::{LEDGER, NO_TOPIC_ID, cuts_prefix, done_key, genesis_key};
use crate::cut::{CommitNote, Committed, Genesis, Hold, HoldReason, Manifest, Owner};
use crate::kafka::TopicPartition;
use crate::kafka::client::Context;
use crate::kafka::connect::Cluster;
use crate::kafka::offsets::{CommittedOffset, committed, log_range};
use crate::kafka::raw::TopicId;
use crate::kafka::topics;
use crate::store::ledger::{LedgerError, same_owner};
use crate::store::{Store, StoreError};

/// How long Kafka may take to answer one question.
const PATIENCE: Duration = Duration::from_secs(15);
/// Partitions at a time.
const CONCURRENCY: usize = 16;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum LagError {
    /// Kafka did not answer a question.
    #[error("kafka does not tell the {what}: {words}; see that this user may read topics and group, then ask again")]
    Kafka {
        /// What was asked for.
        what: &'static str,
        /// Its words.
        words: String,
    },
    /// An object of the ledger cannot be understood.
    #[error("{0}")]
    Object(Finding),
    /// The prefix belongs to another sink.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

type Client = Arc<BaseConsumer<Context>>;

/// Finds how far the sink of `settings` is behind. `on_progress` gets the number of partitions looked at and of all.
///
/// # Errors
/// Kafka or the store does not answer, the prefix belongs to another sink, or its ledger cannot be read.
pub async fn lag(
    settings: &Settings,
    (client, cluster): (Client, &Cluster),
    store: &Store,
    on_progress: impl Fn(usize, usize),
) -> Result<Report, LagError> {
    let reader = Reader::new(store);
    let ours = Owner {
        version: crate::cut::MANIFEST_VERSION,
        ledger: String::new(),
        cluster_id: cluster.id.clone(),
        sink: settings.sink_name().to_owned(),
        group: settings.kafka.consumer.group_id.clone(),
    };
    let owner: Option<Owner> = there(reader.entry(&Owner::key()).await?)?;
    if let Some(owner) = &owner {
        same_owner(&reader.place(), owner, &ours)?;
    }
    let asker = Asker { settings, client, reader, ledger: owner.map(|owner| owner.ledger) };
    let total: usize = cluster.topics.iter().map(|(_, partitions)| partitions).sum();
    let mut topics = Vec::with_capacity(cluster.topics.len());
    let mut before = 0;
    for (topic, partitions) in &cluster.topics {
        topics.push(asker.topic(topic, *partitions, |done| on_progress(before + done, total)).await?);
        before += partitions;
    }
    Ok(Report {
        place: asker.reader.place(),
        sink: ours.sink,
        group: ours.group,
        ledger: asker.ledger,
        totals: Totals::of(&topics),
        topics,
    })
}

fn there<T: Versioned>(entry: Entry<T>) -> Result<Option<T>, LagError> {
    match entry {
        Entry::There(found) => Ok(Some(found)),
        Entry::Missing => Ok(None),
        Entry::Bad(finding) => Err(LagError::Object(finding)),
    }
}

struct Asker<'a> {
    settings: &'a Settings,
    client: Client,
    reader: Reader,
    ledger: Option<String>,
}

/// What all partitions of a topic share.
struct Topic {
    name: Arc<str>,
    id: String,
    genesis: Option<Genesis>,
    /// It has a start under another id: it was deleted and made again.
    recreated: Option<Hold>,
}

impl Asker<'_> {
    async fn topic(&self, name: &str, partitions: usize, looked: impl Fn(usize)) -> Result<TopicLag, LagError> {
        let name: Arc<str> = name.into();
        let asked = Arc::clone(&name);
        let id = self.ask("id of a topic", move |client| topics::topic_id(client, &asked, PATIENCE)).await?;
        let id = match id {
            TopicId::Is(id) => id,
            TopicId::None => NO_TOPIC_ID.to_owned(),
            TopicId::Gone => {
                return Err(LagError::Kafka { what: "id of a topic", words: format!("topic {name} does not exist") });
            }
        };
        let genesis: Option<Genesis> = there(self.reader.entry(&genesis_key(&name, &id)).await?)?;
        let recreated = match genesis {
            Some(_) => None,
            None => self.recreated(&name, &id).await?,
        };
        let topic = Topic { name, id, genesis, recreated };
        let all = (0..i32::try_from(partitions).unwrap_or(i32::MAX))
            .map(|partition| TopicPartition { topic: Arc::clone(&topic.name), partition });
        let all: Vec<TopicPartition> = all.collect();
        let asked = all.clone();
        let commits = self.ask("committed offsets", move |client| committed(client, &asked, PATIENCE)).await?;
        let found: BTreeMap<i32, _> = stream::iter(all.into_iter().zip(commits))
            .map(|(at, commit)| self.partition(&topic, at, commit))
            .buffer_unordered(CONCURRENCY)
            .enumerate()
            .map(|(done, found)| {
                looked(done + 1);
                found.map(|found| (found.partition, found))
            })
            .try_collect()
            .await?;
        Ok(TopicLag { topic: topic.name.to_string(), topic_id: topic.id, partitions: found.into_values().collect() })
    }

    async fn partition(
        &self,
        topic: &Topic,
        at: TopicPartition,
        commit: Option<CommittedOffset>,
    ) -> Result<super::PartitionLag, LagError> {
        let partition = at.partition;
        let tip = match topic.genesis {
            Some(_) => self.tip(topic, partition).await?,
            None => None,
        };
        let log = self.ask("ends of a log", move |client| log_range(client, &at, PATIENCE)).await?;
        let facts = Facts {
            ledger: self.ledger.clone(),
            log,
            committed: commit.map(|c| Committed { offset: c.offset, note: CommitNote::parse(&c.metadata) }),
            start: topic.genesis.as_ref().map(|genesis| genesis.start(partition)),
            tip,
            ignore_moved: self.settings.kafka.on_offsets_moved == OnOffsetsMoved::Ignore,
            skip_losses: self.settings.kafka.on_loss == OnLoss::Skip,
        };
        let mut found = judge(partition, &facts);
        if topic.recreated.is_some() {
            found.hold.clone_from(&topic.recreated);
        }
        Ok(found)
    }

    /// The newest manifest, and whether it has a done mark.
    async fn tip(&self, topic: &Topic, partition: i32) -> Result<Option<(Manifest, bool)>, LagError> {
        let Some(key) = self.reader.first(&cuts_prefix(&topic.name, &topic.id, partition)).await? else {
            return Ok(None);
        };
        let Some(tip): Option<Manifest> = there(self.reader.entry(&key).await?)? else { return Ok(None) };
        let done = self.reader.exists(&done_key(&topic.name, &topic.id, partition, tip.from)).await?;
        Ok(Some((tip, done)))
    }

    async fn recreated(&self, name: &str, id: &str) -> Result<Option<Hold>, LagError> {
        if self.settings.kafka.on_loss == OnLoss::Skip {
            return Ok(None);
        }
        let folder = format!("{LEDGER}/{name}");
        let listed = self.reader.list(&folder).await?;
        let mut ids = listed
            .iter()
            .filter_map(|object| object.key.strip_prefix(&folder)?.strip_prefix('/')?.strip_suffix("/genesis.json"));
        Ok(ids.rfind(|other| *other != id).map(|other| {
            let detail = format!(
                "topic {name} has id {id}, the ledger knows it as {other}: it was deleted and made again; set \
                 kafka.on_loss to skip to start anew with the new topic"
            );
            Hold { reason: HoldReason::TopicRecreated, from: 0, to: 0, detail }
        }))
    }

    /// Asks on a thread that may block.
    async fn ask<T: Send + 'static>(
        &self,
        what: &'static str,
        question: impl FnOnce(&BaseConsumer<Context>) -> Result<T, String> + Send + 'static,
    ) -> Result<T, LagError> {
        let client = Arc::clone(&self.client);
        let answer = tokio::task::spawn_blocking(move || question(&client)).await;
        answer.unwrap_or_else(|error| Err(error.to_string())).map_err(|words| LagError::Kafka { what, words })
    }
}
