//! The group coordinator: members, generations and commits, as `broker.tsv` tells of a real one. It looks at member
//! and generation of a commit and at nothing else: neither at who owns the partition nor at the offset.

use eventsink_worker::cut::Committed;
use std::collections::{BTreeMap, BTreeSet};

/// What a coordinator says, in the words of Kafka's protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    Ok,
    IllegalGeneration,
    UnknownMember,
    RebalanceInProgress,
    UnknownTopic,
    NonEmptyGroup,
}

impl Answer {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::IllegalGeneration => "ILLEGAL_GENERATION",
            Self::UnknownMember => "UNKNOWN_MEMBER_ID",
            Self::RebalanceInProgress => "REBALANCE_IN_PROGRESS",
            Self::UnknownTopic => "UNKNOWN_TOPIC_OR_PARTITION",
            Self::NonEmptyGroup => "NON_EMPTY_GROUP",
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// There is no such group.
    Dead,
    /// It has no members.
    Empty,
    /// Waits until all members have asked to join again.
    PreparingRebalance,
    /// Waits for the leader's plan.
    CompletingRebalance,
    Stable,
}

/// Who speaks: a member in a generation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seat {
    pub member: u64,
    pub generation: i32,
}

pub struct Group {
    pub phase: Phase,
    pub generation: i32,
    pub commits: BTreeMap<i32, Committed>,
    /// False when the topic is deleted: nothing of it is kept.
    topic: bool,
    members: BTreeSet<u64>,
    asked: BTreeSet<u64>,
    leader: u64,
    last_member: u64,
}

impl Group {
    pub fn new() -> Self {
        Self {
            phase: Phase::Dead,
            generation: 0,
            commits: BTreeMap::new(),
            topic: true,
            members: BTreeSet::new(),
            asked: BTreeSet::new(),
            leader: 0,
            last_member: 0,
        }
    }

    /// A request to join, by a new member without an id; gives the member's id. The answer comes with a new
    /// generation: see [`Self::joined`].
    pub fn ask_to_join(&mut self, member: Option<u64>) -> Result<u64, Answer> {
        let member = match member {
            Some(member) if !self.members.contains(&member) => return Err(Answer::UnknownMember),
            Some(member) => member,
            None => {
                self.last_member += 1;
                self.last_member
            }
        };
        self.members.insert(member);
        self.prepare();
        self.asked.insert(member);
        self.complete_join();
        Ok(member)
    }

    /// The members that have still to ask.
    pub fn awaited(&self) -> Vec<u64> {
        let preparing = self.phase == Phase::PreparingRebalance;
        self.members.difference(&self.asked).copied().filter(|_| preparing).collect()
    }

    fn prepare(&mut self) {
        if self.phase != Phase::PreparingRebalance {
            self.phase = Phase::PreparingRebalance;
            self.asked.clear();
        }
    }

    /// All who stay have asked: the next generation begins.
    fn complete_join(&mut self) {
        if self.phase != Phase::PreparingRebalance || self.asked != self.members {
            return;
        }
        self.generation += 1;
        self.phase = if self.members.is_empty() { Phase::Empty } else { Phase::CompletingRebalance };
        if !self.members.contains(&self.leader) {
            self.leader = self.members.first().copied().unwrap_or(0);
        }
    }

    /// The generation that a member which has asked is told; `None` while the group waits for others.
    pub fn joined(&self, member: u64) -> Option<i32> {
        let decided = matches!(self.phase, Phase::CompletingRebalance | Phase::Stable);
        (decided && self.members.contains(&member)).then_some(self.generation)
    }

    /// True when the plan is this member's to make.
    pub fn leads(&self, member: u64) -> bool {
        self.phase == Phase::CompletingRebalance && self.leader == member
    }

    /// The leader's plan is there.
    pub fn sync(&mut self, seat: Seat) -> Answer {
        match self.known(seat) {
            Answer::Ok if self.leads(seat.member) => self.phase = Phase::Stable,
            other => return other,
        }
        Answer::Ok
    }

    /// A member leaves, or is missed for longer than its session.
    pub fn remove(&mut self, member: u64) -> Answer {
        if !self.members.remove(&member) {
            return Answer::UnknownMember;
        }
        self.asked.remove(&member);
        self.prepare();
        self.complete_join();
        Answer::Ok
    }

    pub fn members(&self) -> Vec<u64> {
        self.members.iter().copied().collect()
    }

    fn known(&self, seat: Seat) -> Answer {
        if !self.members.contains(&seat.member) {
            Answer::UnknownMember
        } else if seat.generation != self.generation {
            Answer::IllegalGeneration
        } else {
            Answer::Ok
        }
    }

    pub fn heartbeat(&self, seat: Seat) -> Answer {
        match self.known(seat) {
            Answer::Ok if self.phase == Phase::PreparingRebalance => Answer::RebalanceInProgress,
            other => other,
        }
    }

    fn judge(&self, seat: Option<Seat>) -> Answer {
        let nobody_there = matches!(self.phase, Phase::Dead | Phase::Empty);
        match seat {
            _ if !self.topic => Answer::UnknownTopic,
            None if nobody_there => Answer::Ok,
            None => Answer::UnknownMember,
            Some(_) if self.phase == Phase::Dead => Answer::IllegalGeneration,
            Some(seat) => match self.known(seat) {
                Answer::Ok if self.phase == Phase::CompletingRebalance => Answer::RebalanceInProgress,
                other => other,
            },
        }
    }

    /// A commit by a member, or by somebody outside the group.
    pub fn commit(&mut self, seat: Option<Seat>, partition: i32, committed: Committed) -> Answer {
        let answer = self.judge(seat);
        if answer == Answer::Ok {
            self.commits.insert(partition, committed);
            if self.phase == Phase::Dead {
                self.phase = Phase::Empty;
            }
        }
        answer
    }

    /// Somebody deletes the group.
    pub fn delete(&mut self) -> Answer {
        if !self.members.is_empty() {
            return Answer::NonEmptyGroup;
        }
        self.commits.clear();
        self.phase = Phase::Dead;
        Answer::Ok
    }

    /// Commits get too old, unless there are members.
    pub fn expire(&mut self) {
        if self.members.is_empty() {
            let _ = self.delete();
        }
    }

    /// The topic goes, and its commits with it; or comes again.
    pub fn set_topic(&mut self, there: bool) {
        self.topic = there;
        self.commits.clear();
    }
}
