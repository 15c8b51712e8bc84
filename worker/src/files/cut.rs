//! The rows of one cut while they are collected: sorts them into files by schema version and day, bounds
//! how many files are open, and closes all of them together. Which file a row goes to depends on the rows
//! before it in the cut and on the rules, on nothing else.

use std::sync::Arc;

use bytes::Bytes;

use super::columns::{Columns, DeadColumns, DeadRow, EventColumns, EventRow};
use super::digest::Canon;
use super::encoder::{Encoders, Profile};
use super::file::{OpenFile, Setting};
use super::footer::{FileFacts, key_values};
use super::path::{self, FileName, Place, UNDATED};
use super::{Close, EncodeError, EncodedFile, Encoding, FileKind, Identity, PartitionBy, PlannedFile, Rules};
use crate::events::{Event, Record};

/// Collects the rows of one cut and encodes them as they come.
///
/// At most `max_open_keys` (schema version, day) pairs get a file of their own; the rows of later ones,
/// by offset, share one file `other` under the Kafka day of the first of them. Dead letters are bounded
/// the same way; their surplus goes to 1970-01-01. So a cut has at most `2 * max_open_keys + 2` files.
pub struct CutWriter {
    rules: Arc<Rules>,
    identity: Arc<Identity>,
    profile: Profile,
    encoders: Arc<Encoders>,
    events: Slots<EventColumns>,
    dead: Slots<DeadColumns>,
    canon: Canon,
    last: Option<i64>,
    undated: u64,
    overflowed: bool,
    follows_plan: bool,
}

struct Slot<C> {
    place: Place,
    planned: Option<PlannedFile>,
    file: OpenFile<C>,
}

/// The open files of one kind.
struct Slots<C> {
    all: Vec<Slot<C>>,
    /// The file of the row before: the next one mostly goes there too.
    latest: usize,
}

impl<C: Columns> Slots<C> {
    fn new() -> Self {
        Self { all: Vec::new(), latest: 0 }
    }

    fn find(&mut self, version: &str, day: i32) -> Option<usize> {
        let matches = |slot: &Slot<C>| slot.place.day == day && *slot.place.version == *version;
        if self.all.get(self.latest).is_some_and(matches) {
            return Some(self.latest);
        }
        self.all.iter().position(matches)
    }

    fn open(&mut self, place: Place, planned: Option<PlannedFile>) -> usize {
        self.all.push(Slot { place, planned, file: OpenFile::default() });
        self.all.len() - 1
    }
}

impl CutWriter {
    /// A writer for a new cut, or for one whose records are all still there.
    pub fn new(rules: Arc<Rules>, identity: Arc<Identity>, encoding: Encoding) -> Self {
        Self {
            profile: Profile::new(&rules, encoding),
            encoders: Encoders::within(usize::MAX),
            rules,
            identity,
            events: Slots::new(),
            dead: Slots::new(),
            canon: Canon::default(),
            last: None,
            undated: 0,
            overflowed: false,
            follows_plan: false,
        }
    }

    /// A writer for a cut that has a manifest: rows go to the planned files under the planned keys.
    ///
    /// This is for a cut whose records are partly lost: the rows that are left would give other names, and
    /// a key that had been surplus could get a file of its own. Every planned file comes out of
    /// [`Self::finish`], with fewer rows or none where the log has lost them.
    pub fn following(
        rules: Arc<Rules>,
        identity: Arc<Identity>,
        encoding: Encoding,
        plan: &[PlannedFile],
    ) -> Result<Self, EncodeError> {
        let mut writer = Self::new(rules, identity, encoding);
        writer.follows_plan = true;
        for file in plan {
            let place = Place::of_plan(file)?;
            match file.kind {
                FileKind::Rows => writer.events.open(place, Some(file.clone())),
                FileKind::DeadLetters => writer.dead.open(place, Some(file.clone())),
            };
        }
        Ok(writer)
    }

    /// Takes places for encoders from those of the process; by itself a writer takes what it wants.
    #[must_use]
    pub fn sharing(mut self, encoders: &Arc<Encoders>) -> Self {
        self.encoders = Arc::clone(encoders);
        self
    }

    /// Adds the row of an event. Records must come in the order of their offsets.
    pub fn event(&mut self, record: &Record<'_>, event: &Event<'_>) -> Result<(), EncodeError> {
        self.accept_offset(record.offset)?;
        // Borrowed: a count of users that all lanes change would be fought over with every event.
        let rules = &self.rules;
        let version = path::version_segment(path::schema_version(event, &rules.default_schema_version));
        let time = event.time.as_ref().map(|time| time.micros);
        let day = path::day(rules.partition_by, record.timestamp, time);
        self.undated += u64::from(day.is_none());
        let day = day.unwrap_or(UNDATED);
        let at = match self.events.find(&version, day) {
            Some(at) => at,
            None => {
                let version = version.into_owned();
                self.place_new_event(&version, day, record)?
            }
        };
        self.events.latest = at;
        let slot = &mut self.events.all[at];
        let setting = Setting { identity: &self.identity, profile: &self.profile, encoders: &self.encoders };
        let row = EventRow { record, event, columns: &self.rules.columns };
        add(slot, (row, record), &mut self.canon, &setting)?;
        Ok(())
    }

    /// Adds the row of a dead letter. Records must come in the order of their offsets.
    pub fn dead(&mut self, record: &Record<'_>, reason: &str, detail: &str) -> Result<(), EncodeError> {
        self.accept_offset(record.offset)?;
        let day = path::day(self.rules.partition_by, record.timestamp, None);
        self.undated += u64::from(day.is_none());
        let day = day.unwrap_or(UNDATED);
        let at = match self.dead.find("", day) {
            Some(at) => at,
            None => self.place_new_dead(day)?,
        };
        self.dead.latest = at;
        let slot = &mut self.dead.all[at];
        let setting = Setting { identity: &self.identity, profile: &self.profile, encoders: &self.encoders };
        add(slot, (DeadRow { record, reason, detail }, record), &mut self.canon, &setting)?;
        Ok(())
    }

    /// Bytes held: builders and encoded rows of all open files.
    pub fn memory(&self) -> usize {
        let events: usize = self.events.all.iter().map(|slot| slot.file.memory()).sum();
        let dead: usize = self.dead.all.iter().map(|slot| slot.file.memory()).sum();
        events + dead
    }

    /// Bytes of the largest file if the cut closed now, estimated as encoded.
    pub fn largest_file(&self) -> u64 {
        let events = self.events.all.iter().map(|slot| slot.file.encoded_estimate());
        let dead = self.dead.all.iter().map(|slot| slot.file.encoded_estimate());
        events.chain(dead).max().unwrap_or(0) as u64
    }

    /// Rows whose day is 1970-01-01 because no timestamp was usable.
    pub fn undated(&self) -> u64 {
        self.undated
    }

    /// Whether some row had no file of its own any more, because `max_open_keys` were open.
    pub fn overflowed(&self) -> bool {
        self.overflowed
    }

    /// Ends all files; sorted by key. No rows, no files, unless a plan asks for them.
    pub fn finish(self, close: &Close) -> Result<Vec<EncodedFile>, EncodeError> {
        let end = End {
            rules: &self.rules,
            digest: &self.rules.digest(),
            close,
            setting: Setting { identity: &self.identity, profile: &self.profile, encoders: &self.encoders },
        };
        let events = self.events.all.into_iter().map(|slot| end.file(slot));
        let dead = self.dead.all.into_iter().map(|slot| end.file(slot));
        let mut files = events.chain(dead).collect::<Result<Vec<_>, _>>()?;
        files.sort_by(|a, b| a.plan.key.cmp(&b.plan.key));
        Ok(files)
    }

    fn accept_offset(&mut self, offset: i64) -> Result<(), EncodeError> {
        match self.last.replace(offset) {
            Some(last) if offset <= last => Err(EncodeError::OutOfOrder { offset, last }),
            _ => Ok(()),
        }
    }

    /// Opens the file of a (version, day) not seen before in this cut, or finds the one of the surplus.
    fn place_new_event(&mut self, version: &str, day: i32, record: &Record<'_>) -> Result<usize, EncodeError> {
        let surplus = self.events.all.iter().position(|slot| *slot.place.version == *path::SURPLUS);
        let own = Place { kind: FileKind::Rows, version: version.into(), day };
        if self.follows_plan {
            self.overflowed = true;
            return surplus.ok_or_else(|| self.not_in_plan(&own));
        }
        if self.events.all.len() < self.rules.max_open_keys as usize {
            return Ok(self.events.open(own, None));
        }
        self.overflowed = true;
        Ok(surplus.unwrap_or_else(|| {
            let day = path::day(PartitionBy::KafkaTimestamp, record.timestamp, None).unwrap_or(UNDATED);
            self.events.open(Place { version: path::SURPLUS.into(), day, ..own }, None)
        }))
    }

    fn place_new_dead(&mut self, day: i32) -> Result<usize, EncodeError> {
        let own = Place { kind: FileKind::DeadLetters, version: "".into(), day };
        if !self.follows_plan && self.dead.all.len() < self.rules.max_open_keys as usize {
            return Ok(self.dead.open(own, None));
        }
        self.overflowed = true;
        match self.dead.find("", UNDATED) {
            Some(at) => Ok(at),
            None if self.follows_plan => Err(self.not_in_plan(&own)),
            None => Ok(self.dead.open(Place { day: UNDATED, ..own }, None)),
        }
    }

    fn not_in_plan(&self, place: &Place) -> EncodeError {
        EncodeError::NotInPlan { folder: place.folder(&self.identity.topic, self.identity.partition) }
    }
}

fn add<C: Columns>(
    slot: &mut Slot<C>,
    (row, record): (C::Row<'_>, &Record<'_>),
    canon: &mut Canon,
    setting: &Setting<'_>,
) -> Result<(), EncodeError> {
    canon.clear();
    C::canon(row, setting.identity, canon);
    slot.file.push((row, record), canon, setting)
}

/// What all files of a closing cut share.
struct End<'a> {
    rules: &'a Rules,
    digest: &'a str,
    close: &'a Close,
    setting: Setting<'a>,
}

impl End<'_> {
    fn file<C: Columns>(&self, slot: Slot<C>) -> Result<EncodedFile, EncodeError> {
        let Slot { place, planned, file } = slot;
        let (rows, digest) = (file.rows, file.digest());
        let identity = self.setting.identity;
        let mut incomplete = self.close.incomplete;
        let plan = match planned {
            Some(plan) => {
                let differs = plan.rows != rows || plan.digest != digest;
                if differs && !incomplete {
                    return Err(EncodeError::PlanDiffers { key: plan.key, planned: plan.rows, rows });
                }
                incomplete &= differs;
                plan
            }
            None => {
                let format = self.rules.format;
                let name = FileName { timestamp: file.timestamp, first: file.first, rows, format };
                let key = place.key(&identity.topic, identity.partition, name);
                let digest = digest.clone();
                PlannedFile { key, kind: place.kind, rows, first: file.first, last: file.last, digest }
            }
        };
        let facts = FileFacts {
            plan: &plan,
            rows,
            digest: &digest,
            version: &place.version,
            dt: &path::date_text(place.day),
            incomplete,
        };
        let footer = key_values(identity, self.digest, self.close, &facts);
        let body = file.finish(footer, &self.setting)?;
        Ok(EncodedFile { plan, body })
    }
}

/// A file without rows, to stand under a planned key whose rows the log has lost altogether.
///
/// For a file that keeps some of its rows see [`CutWriter::following`].
pub fn empty_file(
    plan: &PlannedFile,
    identity: &Arc<Identity>,
    rules: &Arc<Rules>,
    encoding: Encoding,
    close: &Close,
) -> Result<Bytes, EncodeError> {
    let writer = CutWriter::following(Arc::clone(rules), Arc::clone(identity), encoding, std::slice::from_ref(plan))?;
    let close = Close { incomplete: true, ..close.clone() };
    let file = writer.finish(&close)?.pop();
    // One planned file gives exactly one file.
    file.map(|file| file.body).ok_or_else(|| EncodeError::PlanKey { key: plan.key.clone() })
}
