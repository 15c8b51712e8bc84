//! What the keys of a listing are. Pure: names only, nothing is read.

use std::collections::{BTreeMap, BTreeSet};

use crate::cut::manifest::{LEDGER, cut_from, lost_range};

/// What one key is, by its name.
#[derive(Debug, PartialEq, Eq)]
enum Object<'a> {
    Owner,
    Rules(&'a str),
    /// Written to try the store; says nothing.
    Probe,
    Genesis {
        topic: &'a str,
        id: &'a str,
    },
    Mark {
        topic: &'a str,
        id: &'a str,
        partition: i32,
        folder: Folder,
        from: i64,
    },
    Lost {
        topic: &'a str,
        id: &'a str,
        partition: i32,
        range: (i64, i64),
    },
    /// Below the ledger's folder, and none of the above.
    Stray,
    /// Outside the ledger's folder.
    Data,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Folder {
    Cuts,
    Done,
}

/// Names alone tell: a topic may be called `rules` or `probe`, but its objects lie deeper.
fn classify(key: &str) -> Object<'_> {
    let Some(below) = key.strip_prefix(LEDGER).and_then(|rest| rest.strip_prefix('/')) else { return Object::Data };
    let parts: Vec<&str> = below.split('/').collect();
    match parts.as_slice() {
        ["owner.json"] => Object::Owner,
        ["probe", _] => Object::Probe,
        ["rules", name] => name.strip_suffix(".json").map_or(Object::Stray, Object::Rules),
        [topic, id, "genesis.json"] => Object::Genesis { topic, id },
        [topic, id, number, "lost", name] => partition(number)
            .zip(lost_range(name))
            .map_or(Object::Stray, |(partition, range)| Object::Lost { topic, id, partition, range }),
        [topic, id, number, folder, name] => mark(number, folder, name)
            .map_or(Object::Stray, |(partition, folder, from)| Object::Mark { topic, id, partition, folder, from }),
        _ => Object::Stray,
    }
}

fn partition(number: &str) -> Option<i32> {
    let partition: i32 = number.parse().ok()?;
    (partition >= 0 && partition.to_string() == number).then_some(partition)
}

fn mark(number: &str, folder: &str, name: &str) -> Option<(i32, Folder, i64)> {
    let folder = match folder {
        "cuts" => Folder::Cuts,
        "done" => Folder::Done,
        _ => return None,
    };
    Some((partition(number)?, folder, cut_from(name)?))
}

/// The ledger's objects of one partition, by the offset in their names.
#[derive(Debug, Default)]
pub(super) struct PartitionKeys {
    /// Manifests.
    pub cuts: BTreeSet<i64>,
    /// Done marks.
    pub done: BTreeSet<i64>,
    /// Named losses, by their ends.
    pub lost: BTreeSet<(i64, i64)>,
}

/// The ledger's objects of one topic id.
#[derive(Debug, Default)]
pub(super) struct TopicKeys {
    /// It has a genesis.
    pub genesis: bool,
    /// Partitions that have any object.
    pub partitions: BTreeMap<i32, PartitionKeys>,
}

/// A listing, sorted out.
#[derive(Debug, Default)]
pub(super) struct Inventory {
    /// There is an owner.
    pub owner: bool,
    /// Digests of the rules.
    pub rules: BTreeSet<String>,
    /// Topics by name and id.
    pub topics: BTreeMap<(String, String), TopicKeys>,
    /// Keys below the ledger's folder that no worker writes.
    pub stray: Vec<String>,
    /// All other keys.
    pub data: DataKeys,
}

impl Inventory {
    /// Takes keys in byte order.
    pub fn of(keys: impl Iterator<Item = String>) -> Self {
        let mut all = Self::default();
        for key in keys {
            match classify(&key) {
                Object::Owner => all.owner = true,
                Object::Probe => {}
                Object::Rules(digest) => drop(all.rules.insert(digest.to_owned())),
                Object::Genesis { topic, id } => all.topic(topic, id).genesis = true,
                Object::Mark { topic, id, partition, folder, from } => {
                    let keys = all.topic(topic, id).partitions.entry(partition).or_default();
                    let folder = match folder {
                        Folder::Cuts => &mut keys.cuts,
                        Folder::Done => &mut keys.done,
                    };
                    folder.insert(from);
                }
                Object::Lost { topic, id, partition, range } => {
                    all.topic(topic, id).partitions.entry(partition).or_default().lost.insert(range);
                }
                Object::Stray => all.stray.push(key),
                Object::Data => all.data.push(key),
            }
        }
        all
    }

    fn topic(&mut self, topic: &str, id: &str) -> &mut TopicKeys {
        self.topics.entry((topic.to_owned(), id.to_owned())).or_default()
    }
}

/// What became of a planned key in the listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Planned {
    /// It was listed, and this is the first manifest that plans it.
    Listed,
    /// It was listed, and another manifest plans it too.
    Again,
    /// It was not listed.
    Unlisted,
}

/// Keys outside the ledger, and which of them are planned.
#[derive(Debug, Default)]
pub(super) struct DataKeys {
    keys: Vec<String>,
    planned: Vec<bool>,
}

impl DataKeys {
    fn push(&mut self, key: String) {
        debug_assert!(self.keys.last().is_none_or(|last| *last <= key), "keys come in byte order");
        self.keys.push(key);
        self.planned.push(false);
    }

    /// Notes that a manifest plans `key`.
    pub fn plan(&mut self, key: &str) -> Planned {
        match self.keys.binary_search_by(|listed| listed.as_str().cmp(key)) {
            Err(_) => Planned::Unlisted,
            Ok(at) if std::mem::replace(&mut self.planned[at], true) => Planned::Again,
            Ok(_) => Planned::Listed,
        }
    }

    /// Keys that no manifest plans; the others are let go.
    pub fn take_strangers(&mut self) -> Vec<String> {
        let keys = std::mem::take(&mut self.keys);
        let planned = std::mem::take(&mut self.planned);
        keys.into_iter().zip(planned).filter_map(|(key, planned)| (!planned).then_some(key)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cut::manifest::{cut_key, done_key, genesis_key, lost_key, rules_key};

    #[test]
    fn every_name_that_a_worker_writes_is_known() {
        let topics = ["user-events", "rules", "probe", "owner.json"];
        for topic in topics {
            let mark = |folder| Object::Mark { topic, id: "id", partition: 12, folder, from: 77 };
            assert_eq!(classify(&genesis_key(topic, "id")), Object::Genesis { topic, id: "id" });
            assert_eq!(classify(&cut_key(topic, "id", 12, 77)), mark(Folder::Cuts));
            assert_eq!(classify(&done_key(topic, "id", 12, 77)), mark(Folder::Done));
            let lost = Object::Lost { topic, id: "id", partition: 12, range: (77, 80) };
            assert_eq!(classify(&lost_key(topic, "id", 12, 77, 80)), lost);
        }
        assert_eq!(classify(&rules_key("abc")), Object::Rules("abc"));
        assert_eq!(classify("_eventsink/owner.json"), Object::Owner);
        assert_eq!(classify("_eventsink/probe/token"), Object::Probe);
    }

    #[test]
    fn other_names_in_the_ledgers_folder_are_stray() {
        let name = "9223372036854775807.json";
        for key in [
            "_eventsink/notes.txt",
            "_eventsink/rules/abc",
            "_eventsink/t/id/genesis.json.bak",
            &format!("_eventsink/t/id/00/cuts/{name}"),
            &format!("_eventsink/t/id/-1/cuts/{name}"),
            &format!("_eventsink/t/id/0/cut/{name}"),
            "_eventsink/t/id/0/cuts/12.json",
        ] {
            assert_eq!(classify(key), Object::Stray, "{key}");
        }
        assert_eq!(classify("_eventsinks/owner.json"), Object::Data);
    }

    #[test]
    fn a_key_planned_twice_is_told() {
        let mut inventory = Inventory::of(["a".to_owned(), "b".to_owned()].into_iter());
        let planned: Vec<Planned> = ["b", "b", "c"].iter().map(|key| inventory.data.plan(key)).collect();
        assert_eq!(planned, [Planned::Listed, Planned::Again, Planned::Unlisted]);
        assert_eq!(inventory.data.take_strangers(), ["a"]);
    }
}
