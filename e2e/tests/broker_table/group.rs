//! The rows about groups, on a real broker: members whose requests are sent when the play says so.

use crate::wire::{self, Answer, Api, Body, Connection, name};
use eventsink_e2e::{Kafka, patiently};
use std::collections::BTreeMap;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(30);

struct Member {
    connection: Connection,
    id: String,
    generation: i32,
    leads: bool,
    /// What the broker said when it joined last.
    joined: String,
    /// A request to join is under way.
    asked: bool,
}

/// One group, its members and a topic of two partitions.
pub struct Group<'a> {
    kafka: &'a Kafka,
    group: String,
    topic: String,
    connection: Connection,
    members: BTreeMap<String, Member>,
    /// How long a member may be silent, in milliseconds.
    patience: i32,
}

impl<'a> Group<'a> {
    pub fn new(kafka: &'a Kafka, play: &str) -> Self {
        let topic = kafka.create_topic("table", 2);
        let mut connection = Connection::to(kafka.plaintext());
        find_coordinator(&mut connection, &topic);
        // Whoever is to be missed must be missed soon, nobody else ever.
        let patience = if play.contains("is silent") { 2000 } else { 600_000 };
        Self { kafka, group: topic.clone(), topic, connection, members: BTreeMap::new(), patience }
    }

    /// One step of a play.
    pub fn act(&mut self, words: &[&str]) -> String {
        match *words {
            ["fetch", partition] => self.fetch(number(partition)),
            ["state"] => self.describe().0,
            ["nobody", "commits", partition, offset] => self.commit("", -1, (number(partition), number(offset), -1)),
            ["the", "group", "is", "deleted"] => self.delete(),
            ["the", "topic", "is", "deleted"] => self.delete_topic(),
            ["the", "topic", "is", "made", "again"] => self.make_topic_again(),
            ["the", "broker", "restarts"] => self.restart(),
            ["a", "minute", "passes"] => self.pass_a_minute(),
            [member, ref rest @ ..] => self.member_acts(member, rest),
            [] => panic!("an empty step"),
        }
    }

    fn member_acts(&mut self, who: &str, words: &[&str]) -> String {
        let (who, generation) = match who.split_once('@') {
            Some((who, generation)) => (who, Some(number::<i32>(generation))),
            None => (who, None),
        };
        let address = self.kafka.plaintext();
        let member = self.members.entry(who.to_owned()).or_insert_with(|| Member::new(address));
        let (id, generation) = (member.id.clone(), generation.unwrap_or(member.generation));
        match *words {
            ["asks"] => self.ask_to_join(who),
            ["joins"] => self.join(who),
            ["syncs", ref plan @ ..] => self.sync(who, plan),
            ["commits", partition, offset] => self.commit(&id, generation, (number(partition), number(offset), -1)),
            ["commits", partition, offset, epoch] => {
                self.commit(&id, generation, (number(partition), number(offset), number(epoch)))
            }
            ["beats"] => {
                let body = Body::default().text(&self.group).i32(generation).text(&id);
                self.ask(wire::HEARTBEAT, body, error_after_throttle).0
            }
            ["leaves"] => {
                let body = Body::default().text(&self.group).text(&id);
                self.ask(wire::LEAVE_GROUP, body, error_after_throttle).0
            }
            ["forgets"] => {
                self.members.remove(who);
                String::new()
            }
            ["is", "silent"] => patiently(SOON, "the broker misses the member", || {
                if self.describe().1.contains(&id) { Err(format!("{who} is a member")) } else { Ok(String::new()) }
            }),
            _ => panic!("nobody knows how to do {words:?}"),
        }
    }

    fn member(&mut self, who: &str) -> &mut Member {
        self.members.get_mut(who).expect("a member that has joined")
    }

    fn ask_to_join(&mut self, who: &str) -> String {
        let patience = if who == "A" { self.patience } else { 600_000 };
        // Without it the broker takes the commits for those of a topic that nobody reads any more.
        let subscription = Body::default().i16(0).i32(1).text(&self.topic).bytes(b"").into_bytes();
        let group = self.group.clone();
        let member = self.member(who);
        let body = Body::default().text(&group).i32(patience).i32(60_000).text(&member.id);
        let body = body.text("consumer").i32(1).text("cooperative-sticky").bytes(&subscription);
        member.connection.send(wire::JOIN_GROUP, body);
        member.asked = true;
        let id = member.id.clone();
        // The broker has it before anything that follows on another connection.
        patiently(SOON, "the broker has seen the request", || {
            let (state, members) = self.describe();
            let refused = !id.is_empty() && !members.contains(&id);
            let heard = state != "Stable" || members.is_empty() || refused;
            if heard { Ok(String::new()) } else { Err(state) }
        })
    }

    /// A coordinator that answers may still refuse for a moment, as on a machine that is busy.
    fn join(&mut self, who: &str) -> String {
        patiently(SOON, "the coordinator takes the request", || match self.try_to_join(who) {
            answer if answer.contains("COORDINATOR") => Err(answer),
            answer => Ok(answer),
        })
    }

    fn try_to_join(&mut self, who: &str) -> String {
        if !self.member(who).asked {
            let _ = self.ask_to_join(who);
        }
        let member = self.member(who);
        member.asked = false;
        let mut answer = member.connection.receive();
        let _throttle = answer.i32();
        let error = answer.i16();
        if error == 0 {
            member.generation = answer.i32();
            let _protocol = answer.text();
            let leader = answer.text();
            member.id = answer.text();
            member.leads = leader == member.id;
        }
        member.joined = name(error);
        member.joined.clone()
    }

    /// The broker keeps a plan without reading it: that of each member is its text.
    fn sync(&mut self, who: &str, plan: &[&str]) -> String {
        let ids: Vec<_> = plan.iter().filter_map(|part| part.split_once('=')).collect();
        let ids: Vec<_> = ids.into_iter().map(|(who, what)| (self.member(who).id.clone(), what)).collect();
        let group = self.group.clone();
        let member = self.member(who);
        let joined = &member.joined;
        assert_eq!(member.leads, !plan.is_empty(), "the leader has the plan, and only the leader; it joined: {joined}");
        let body = Body::default().text(&group).i32(member.generation).text(&member.id);
        let count = i32::try_from(ids.len()).expect("few members");
        let body = ids.iter().fold(body.i32(count), |body, (id, what)| body.text(id).bytes(what.as_bytes()));
        let mut answer = member.connection.ask(wire::SYNC_GROUP, body);
        error_after_throttle(&mut answer).0
    }

    fn commit(&mut self, id: &str, generation: i32, (partition, offset, epoch): (i32, i64, i32)) -> String {
        let read = |answer: &mut Answer| {
            let _throttle = answer.i32();
            let (_topics, _topic, _partitions, _partition) = (answer.i32(), answer.text(), answer.i32(), answer.i32());
            (name(answer.i16()), String::new())
        };
        let body = Body::default().text(&self.group).i32(generation).text(id);
        let body = body.i32(1).text(&self.topic).i32(1).i32(partition).i64(offset).i32(epoch).text("");
        self.ask(wire::OFFSET_COMMIT, body, read).0
    }

    fn fetch(&mut self, partition: i32) -> String {
        let read = |answer: &mut Answer| {
            let _throttle = answer.i32();
            let (_topics, _topic, _partitions, _partition) = (answer.i32(), answer.text(), answer.i32(), answer.i32());
            let (offset, epoch, _note, error) = (answer.i64(), answer.i32(), answer.text(), answer.i16());
            let word = match (offset, epoch) {
                (-1, _) => "none".to_owned(),
                (offset, -1) => offset.to_string(),
                (offset, epoch) => format!("{offset} of epoch {epoch}"),
            };
            (name(error), word)
        };
        let body = Body::default().text(&self.group).i32(1).text(&self.topic).i32(1).i32(partition);
        match self.ask(wire::OFFSET_FETCH, body, read) {
            (error, offset) if error == "ok" => offset,
            (error, _) => error,
        }
    }

    /// State of the group and the ids of its members.
    fn describe(&mut self) -> (String, Vec<String>) {
        let mut answer = self.connection.ask(wire::DESCRIBE_GROUPS, Body::default().i32(1).text(&self.group));
        let (_groups, _error, _group, state) = (answer.i32(), answer.i16(), answer.text(), answer.text());
        let (_type, _protocol) = (answer.text(), answer.text());
        let members = (0..answer.i32()).map(|_| {
            let (id, _client, _host) = (answer.text(), answer.text(), answer.text());
            answer.skip_bytes();
            answer.skip_bytes();
            id
        });
        (state, members.collect())
    }

    fn delete(&mut self) -> String {
        let mut answer = self.connection.ask(wire::DELETE_GROUPS, Body::default().i32(1).text(&self.group));
        let (_throttle, _results, _group) = (answer.i32(), answer.i32(), answer.text());
        name(answer.i16())
    }

    /// Its commits go a moment after the topic.
    fn delete_topic(&mut self) -> String {
        self.kafka.delete_topic(&self.topic);
        patiently(SOON, "the commits are gone", || match self.fetch(0).as_str() {
            "none" => Ok(String::new()),
            offset => Err(offset.to_owned()),
        })
    }

    fn make_topic_again(&mut self) -> String {
        self.kafka.restore_topic(&self.topic, 2);
        String::new()
    }

    fn restart(&mut self) -> String {
        self.kafka.stop();
        self.kafka.start_again();
        let address = self.kafka.plaintext();
        self.connection = Connection::to(address);
        self.members.values_mut().for_each(|member| member.connection = Connection::to(address));
        find_coordinator(&mut self.connection, &self.group);
        String::new()
    }

    /// A minute is over when a commit of another, empty group, younger than all of ours, has expired.
    fn pass_a_minute(&mut self) -> String {
        let group = self.group.clone();
        self.group = format!("{group}-witness");
        let committed = self.commit("", -1, (0, 1, -1));
        assert_eq!(committed, "ok", "the witness commits");
        patiently(Duration::from_secs(200), "the witness expires", || match self.fetch(0).as_str() {
            "none" => Ok(()),
            offset => Err(offset.to_owned()),
        });
        self.group = group;
        String::new()
    }

    /// Asks again while the coordinator still reads its log.
    fn ask<T>(&mut self, api: Api, body: Body, read: fn(&mut Answer) -> (String, T)) -> (String, T) {
        patiently(SOON, "the coordinator answers", || {
            let answer = read(&mut self.connection.ask(api, body.clone()));
            if answer.0.contains("COORDINATOR") { Err(answer.0) } else { Ok(answer) }
        })
    }
}

impl Member {
    fn new(address: &str) -> Self {
        let connection = Connection::to(address);
        Self { connection, id: String::new(), generation: -1, leads: false, joined: String::new(), asked: false }
    }
}

/// With the first question for one, the broker makes the topic of the commits, and then reads it.
fn find_coordinator(connection: &mut Connection, group: &str) {
    patiently(SOON, "the group has a coordinator", || {
        let _ = connection.ask(wire::FIND_COORDINATOR, Body::default().text(group));
        let body = Body::default().text(group).i32(1).text("nobody");
        let answer = error_after_throttle(&mut connection.ask(wire::HEARTBEAT, body)).0;
        if answer.contains("COORDINATOR") { Err(answer) } else { Ok(()) }
    });
}

fn error_after_throttle(answer: &mut Answer) -> (String, ()) {
    let _throttle = answer.i32();
    (name(answer.i16()), ())
}

pub fn number<T: std::str::FromStr>(word: &str) -> T {
    word.parse().unwrap_or_else(|_| panic!("{word:?} is no number"))
}
