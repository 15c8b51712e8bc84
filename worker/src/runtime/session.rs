//! What a partition must know before its first record: topic id, genesis, tip, committed offset. Asks Kafka and the
//! ledger, again and again until both have answered; decides nothing that `cut::resolve` decides.

use crate::cut::manifest::{Genesis, MANIFEST_VERSION, NO_TOPIC_ID, PartitionStart};
use crate::cut::{CommitNote, Committed, Evidence, Hold, HoldReason, Resolution, resolve};
use crate::kafka::TopicPartition;
use crate::kafka::client::{Context, start_word};
use crate::kafka::offsets::{CommittedOffset, committed, log_range};
use crate::kafka::raw::TopicId;
use crate::kafka::topics;
use crate::runtime::shared_answer::SharedAnswer;
use crate::store::ledger::{Ledger, LedgerError};
use eventsink_crds::settings::{OnLoss, OnOffsetsMoved, Settings, StartFrom};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{Offset, TopicPartitionList};
use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::sync::{Mutex, Semaphore};
use tokio::time::Instant;

/// How long Kafka may take to answer one question.
const ASK: Duration = Duration::from_secs(15);
/// Pause before a question is asked again.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// Commits that are asked for at a time, since a thread waits for each answer.
const COMMITS: usize = 16;
/// A question without an answer is logged again after this long.
const SAY_AGAIN: Duration = Duration::from_secs(60);
/// A genesis is looked up anew after this long, so that a mended one is noticed.
const FRESH: Duration = Duration::from_secs(5);

/// Facts of one topic.
#[derive(Debug, Clone)]
pub struct Topic {
    /// Id, or `0`.
    pub id: String,
    /// Where its partitions start, or why they cannot.
    pub genesis: Result<Genesis, Hold>,
}

/// See the module.
pub struct Session {
    consumer: Arc<BaseConsumer<Context>>,
    ledger: Ledger,
    settings: Arc<Settings>,
    ids: std::sync::Mutex<HashMap<Arc<str>, Arc<SharedAnswer<TopicId>>>>,
    topics: Mutex<HashMap<Arc<str>, (Instant, Topic)>>,
    commits: Semaphore,
}

/// What is known of a partition now.
#[derive(Debug)]
pub struct Resolved {
    /// Id of its topic.
    pub topic_id: String,
    /// What to do first.
    pub resolution: Resolution,
}

type Answer<T> = Result<T, String>;

impl Session {
    /// A session over one consumer and one ledger.
    pub fn new(consumer: Arc<BaseConsumer<Context>>, ledger: Ledger, settings: Arc<Settings>) -> Self {
        let commits = Semaphore::new(COMMITS);
        Self { consumer, ledger, settings, ids: Default::default(), topics: Mutex::default(), commits }
    }

    /// The ledger.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Finds where a partition goes on. Returns when all is known, however long that takes.
    pub async fn resolve(self: &Arc<Self>, at: &TopicPartition) -> Resolved {
        let topic = self.topic(&at.topic).await;
        let held = |hold| Resolved { topic_id: topic.id.clone(), resolution: Resolution::Hold(hold) };
        let genesis = match &topic.genesis {
            Ok(genesis) => genesis,
            Err(hold) => return held(hold.clone()),
        };
        let wanted = vec![at.clone()];
        // The semaphore is never closed.
        let permit = self.commits.acquire().await;
        let committed = self.ask("committed offset", move |session| session.committed(&wanted)).await;
        drop(permit);
        // After the commit: one that names a manifest is younger than the manifest.
        let tip = match self.ledger.tip(&at.topic, &topic.id, at.partition).await {
            Ok(tip) => tip,
            Err(error) => return held(error.hold(0)),
        };
        let tip_done = tip.as_ref().is_some_and(|(_, done)| *done);
        let evidence = Evidence {
            ledger: self.ledger.owner().ledger.clone(),
            tip: tip.map(|(manifest, _)| manifest),
            tip_done,
            start: genesis.start(at.partition),
            committed: committed.into_iter().next().flatten().map(|(committed, _)| committed),
            ignore_moved: self.settings.kafka.on_offsets_moved == OnOffsetsMoved::Ignore,
        };
        Resolved { topic_id: topic.id.clone(), resolution: resolve(evidence) }
    }

    /// First and next offset of a partition, asked of the broker.
    pub async fn log_range(self: &Arc<Self>, at: TopicPartition) -> (i64, i64) {
        self.ask("first and next offset", move |session| session.watermarks(&at)).await
    }

    /// True when a topic has this id no more, asked after this call began: what was read before it began is of the
    /// topic with this id when it has it still. The library itself reads on in a topic made again, at the old offset.
    pub async fn was_made_again(self: &Arc<Self>, name: &Arc<str>, id: &str) -> bool {
        id != NO_TOPIC_ID && matches!(self.topic_id(name, Instant::now()).await, TopicId::Is(now) if now != id)
    }

    /// The id that a topic has at `since` or later.
    async fn topic_id(self: &Arc<Self>, name: &Arc<str>, since: Instant) -> TopicId {
        let shared = {
            let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(ids.entry(Arc::clone(name)).or_default())
        };
        let asked = Arc::clone(name);
        let ask = async || self.ask("topic id", move |session| topics::topic_id(&session.consumer, &asked, ASK)).await;
        shared.since(since, ask).await
    }

    async fn topic(self: &Arc<Self>, name: &Arc<str>) -> Topic {
        let mut since = Instant::now();
        // One question per topic, however many partitions wait for the answer.
        let mut topics = self.topics.lock().await;
        let id = loop {
            match self.topic_id(name, since).await {
                TopicId::Is(id) => break id,
                TopicId::None => break NO_TOPIC_ID.to_owned(),
                TopicId::Gone => tracing::warn!(topic = &**name, "the topic is gone, waiting for it"),
            }
            tokio::time::sleep(FRESH).await;
            since = Instant::now();
        };
        if let Some((asked, topic)) = topics.get(name)
            && asked.elapsed() < FRESH
            && topic.id == id
        {
            return topic.clone();
        }
        let genesis = self.genesis(name, &id).await;
        let topic = Topic { id, genesis };
        topics.insert(Arc::clone(name), (Instant::now(), topic.clone()));
        topic
    }

    async fn genesis(self: &Arc<Self>, name: &Arc<str>, id: &str) -> Result<Genesis, Hold> {
        let at_start = |error: LedgerError| error.hold(0);
        if let Some(genesis) = self.ledger.genesis(name, id).await.map_err(at_start)? {
            return Ok(genesis);
        }
        let others = self.ledger.topic_ids(name).await;
        let other = others.iter().find(|other| *other != id);
        if let Some(other) = other
            && self.settings.kafka.on_loss == OnLoss::Hold
        {
            let detail = format!(
                "topic {name} has id {id}, the ledger knows it as {other}: it was deleted and made again; \
                 set kafka.on_loss to skip to start anew with the new topic"
            );
            return Err(Hold { reason: HoldReason::TopicRecreated, from: 0, to: 0, detail });
        }
        // All of a topic made again is new to a sink that has read its namesake.
        let start = if other.is_some() { StartFrom::Earliest } else { self.settings.kafka.consumer.start_from };
        let asked = Arc::clone(name);
        let found = self.ask("partition starts", move |session| session.starts(&asked, &start)).await?;
        let genesis =
            Genesis { version: MANIFEST_VERSION, ledger: self.ledger.owner().ledger.clone(), partitions: found };
        let genesis = self.ledger.fix_genesis(name, id, &genesis).await.map_err(at_start)?;
        tracing::info!(topic = &**name, topic_id = id, partitions = genesis.partitions.len(), "genesis fixed");
        Ok(genesis)
    }

    /// Every partition's start: the group's commit wins, then the setting.
    fn starts(&self, topic: &Arc<str>, start: &StartFrom) -> Answer<Result<Vec<PartitionStart>, Hold>> {
        let metadata = self.consumer.fetch_metadata(Some(topic), ASK).map_err(|e| e.to_string())?;
        let count = metadata.topics().first().map_or(0, |t| t.partitions().len());
        if count == 0 {
            return Err(format!("topic {topic} has no partitions"));
        }
        let count = i32::try_from(count).map_err(|e| e.to_string())?;
        let all: Vec<_> = (0..count).map(|partition| TopicPartition { topic: Arc::clone(topic), partition }).collect();
        let committed = self.committed(&all)?;
        let mut starts = Vec::with_capacity(all.len());
        for (at, committed) in all.iter().zip(committed) {
            starts.push(match committed {
                Some((committed, epoch)) => {
                    if let Some(hold) = self.foreign_note(&committed) {
                        return Ok(Err(hold));
                    }
                    PartitionStart { offset: committed.offset, epoch, why: "committed".to_owned() }
                }
                None => self.configured_start(at, start)?,
            });
        }
        Ok(Ok(starts))
    }

    /// A commit that names a ledger while there is no genesis: the ledger is gone, or it is another's group.
    fn foreign_note(&self, committed: &Committed) -> Option<Hold> {
        let note = committed.note.as_ref()?;
        let (reason, detail) = if note.ledger == self.ledger.owner().ledger {
            let detail = "the group's offsets name a ledger whose genesis is not in the bucket: restore the objects under _eventsink/";
            (HoldReason::LedgerMissing, detail.to_owned())
        } else {
            let detail = format!(
                "the group's offsets were committed for ledger {}, this one is {}: use a new consumer group, or restore the bucket",
                note.ledger,
                self.ledger.owner().ledger
            );
            (HoldReason::GroupShared, detail)
        };
        Some(Hold { reason, from: committed.offset, to: committed.offset, detail })
    }

    fn configured_start(&self, at: &TopicPartition, start: &StartFrom) -> Answer<PartitionStart> {
        let (low, high) = self.watermarks(at)?;
        let offset = match start {
            StartFrom::Earliest => low,
            StartFrom::Latest => high,
            StartFrom::Timestamp(time) => {
                let mut list = TopicPartitionList::new();
                let asked = list.add_partition_offset(&at.topic, at.partition, Offset::Offset(time.timestamp_millis()));
                asked.map_err(|e| e.to_string())?;
                let found = self.consumer.offsets_for_times(list, ASK).map_err(|e| e.to_string())?;
                match found.elements().first().map(|element| element.offset()) {
                    Some(Offset::Offset(offset)) => offset,
                    _ => high,
                }
            }
        };
        Ok(PartitionStart { offset, epoch: -1, why: start_word(start).to_owned() })
    }

    fn watermarks(&self, at: &TopicPartition) -> Answer<(i64, i64)> {
        log_range(&self.consumer, at, ASK)
    }

    /// The group's commits with their epochs, in the order asked.
    fn committed(&self, wanted: &[TopicPartition]) -> Answer<Vec<Option<(Committed, i32)>>> {
        let found = committed(&self.consumer, wanted, ASK)?;
        let noted = |commit: CommittedOffset| {
            let note = CommitNote::parse(&commit.metadata);
            (Committed { offset: commit.offset, note }, commit.epoch)
        };
        Ok(found.into_iter().map(|commit| commit.map(noted)).collect())
    }

    /// Asks on a thread that may block, until there is an answer.
    async fn ask<T: Send + 'static>(
        self: &Arc<Self>,
        what: &'static str,
        question: impl Fn(&Self) -> Answer<T> + Send + Sync + 'static,
    ) -> T {
        let question = Arc::new(question);
        let mut said: Option<Instant> = None;
        loop {
            let (session, asked) = (Arc::clone(self), Arc::clone(&question));
            let answer = tokio::task::spawn_blocking(move || asked(&session)).await;
            match answer.unwrap_or_else(|error| Err(error.to_string())) {
                Ok(answer) => return answer,
                Err(error) if said.is_none_or(|at| at.elapsed() >= SAY_AGAIN) => {
                    tracing::warn!(what, error, "kafka does not answer, asking again");
                    said = Some(Instant::now());
                }
                Err(_) => {}
            }
            tokio::time::sleep(ASK_AGAIN).await;
        }
    }
}

#[cfg(test)]
#[path = "session_tests.rs"]
pub(super) mod tests;
