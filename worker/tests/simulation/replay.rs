//! The table of what a real broker does, played on the simulation's: both stay equal.

use crate::broker::{Answer, Group, Seat};
use crate::log::{Kind, Log};
use crate::table;
use eventsink_worker::cut::Committed;
use std::collections::BTreeMap;

fn number<T: std::str::FromStr>(word: &str) -> T {
    word.parse().unwrap_or_else(|_| panic!("{word:?} is no number"))
}

/// Members by name: their ids, and the generation they know.
struct Members {
    group: Group,
    epochs: BTreeMap<i32, i32>,
    seats: BTreeMap<String, (Option<u64>, i32)>,
}

impl Members {
    fn act(&mut self, words: &[&str]) -> String {
        match *words {
            ["fetch", partition] => self.fetch(number(partition)),
            ["state"] => format!("{:?}", self.group.phase),
            ["nobody", "commits", partition, offset] => self.commit(None, partition, offset, -1),
            ["the", "group", "is", "deleted"] => self.group.delete().as_str().to_owned(),
            ["the", "topic", "is", "deleted"] => self.quietly(|group| group.set_topic(false)),
            ["the", "topic", "is", "made", "again"] => self.quietly(|group| group.set_topic(true)),
            ["a", "minute", "passes"] => self.quietly(Group::expire),
            // Members and commits outlive the coordinator's process.
            ["the", "broker", "restarts"] => String::new(),
            [who, ref rest @ ..] => self.member_acts(who, rest),
            [] => panic!("an empty step"),
        }
    }

    fn quietly(&mut self, change: impl FnOnce(&mut Group)) -> String {
        change(&mut self.group);
        String::new()
    }

    fn member_acts(&mut self, who: &str, words: &[&str]) -> String {
        let (who, generation) = who.split_once('@').map_or((who, None), |(who, at)| (who, Some(number::<i32>(at))));
        let (id, known) = self.seats.get(who).copied().unwrap_or((None, -1));
        let seat = Seat { member: id.unwrap_or(0), generation: generation.unwrap_or(known) };
        match *words {
            ["asks"] => self.ask(who, id).as_str().to_owned(),
            ["joins"] => self.join(who, id).as_str().to_owned(),
            ["syncs", ..] => self.group.sync(seat).as_str().to_owned(),
            ["commits", partition, offset] => self.commit(Some(seat), partition, offset, -1),
            ["commits", partition, offset, epoch] => self.commit(Some(seat), partition, offset, number(epoch)),
            ["beats"] => self.group.heartbeat(seat).as_str().to_owned(),
            ["leaves"] => self.group.remove(seat.member).as_str().to_owned(),
            ["is", "silent"] => self.quietly(|group| assert_eq!(group.remove(seat.member), Answer::Ok)),
            ["forgets"] => {
                self.seats.remove(who);
                String::new()
            }
            _ => panic!("nobody knows how to do {words:?}"),
        }
    }

    fn ask(&mut self, who: &str, id: Option<u64>) -> Answer {
        match self.group.ask_to_join(id) {
            Ok(id) => {
                let known = self.seats.get(who).map_or(-1, |seat| seat.1);
                self.seats.insert(who.to_owned(), (Some(id), known));
                Answer::Ok
            }
            Err(answer) => answer,
        }
    }

    /// Waits for the answer to a request; makes one unless it is under way.
    fn join(&mut self, who: &str, id: Option<u64>) -> Answer {
        let waits = id.is_some_and(|id| self.group.joined(id).is_some_and(|now| now > self.seats[who].1));
        if !waits {
            let asked = self.ask(who, id);
            if asked != Answer::Ok {
                return asked;
            }
        }
        let seat = self.seats.get_mut(who).expect("it has asked");
        // Others may have to ask first; then the play reads this answer later.
        if let Some(generation) = seat.0.and_then(|id| self.group.joined(id)) {
            seat.1 = generation;
        }
        Answer::Ok
    }

    fn commit(&mut self, seat: Option<Seat>, partition: &str, offset: &str, epoch: i32) -> String {
        let (partition, offset) = (number(partition), number(offset));
        let answer = self.group.commit(seat, partition, Committed { offset, note: None });
        if answer == Answer::Ok {
            self.epochs.insert(partition, epoch);
        }
        answer.as_str().to_owned()
    }

    fn fetch(&self, partition: i32) -> String {
        match (self.group.commits.get(&partition), self.epochs.get(&partition)) {
            (None, _) => "none".to_owned(),
            (Some(committed), None | Some(-1)) => committed.offset.to_string(),
            (Some(committed), Some(epoch)) => format!("{} of epoch {epoch}", committed.offset),
        }
    }
}

fn log_acts(log: &mut Log, words: &[&str]) -> String {
    match *words {
        ["write" | "rewrite", count] => (0..number(count)).for_each(|_| log.write(Kind::Event(0))),
        ["transaction", count, ref how @ ..] => {
            log.begin();
            (0..number(count)).for_each(|_| log.write(Kind::Event(0)));
            log.leave();
            if how[0] != "stays" {
                log.end_transaction(how[0] == "commits");
            }
        }
        ["the", "transaction", how] => log.end_transaction(how == "commits"),
        ["records", "below", offset, "are", "deleted"] => log.low = number(offset),
        ["compaction", "reaches", offset] => (0..number(offset)).for_each(|at| log.compact_at(at)),
        // One without a leader, and one with the old leader again.
        ["the", "broker", "restarts"] => log.epoch += 2,
        ["low"] => return log.low.to_string(),
        ["stable"] => return log.stable().to_string(),
        ["high"] => return log.end().to_string(),
        ["read", from] => return read(log, number(from)),
        ["end", "of", "epoch", epoch] => return end_of_epoch(log, number(epoch)),
        _ => panic!("nobody knows how to do {words:?}"),
    }
    String::new()
}

fn read(log: &Log, from: i64) -> String {
    if from < log.low || from > log.end() {
        return "AutoOffsetReset".to_owned();
    }
    let told: String = (from..log.stable()).filter(|at| log.delivers(*at)).map(|at| format!("{at} ")).collect();
    // A consumer has no position before the log has made it move.
    if from < log.stable() { format!("{told}then {}", log.stable()) } else { "then nothing".to_owned() }
}

fn end_of_epoch(log: &Log, epoch: i32) -> String {
    match log.end_of_epoch(epoch) {
        Some((epoch, end)) => format!("{end} of epoch {epoch}"),
        None => "-1 of epoch -1".to_owned(),
    }
}

#[test]
fn the_simulated_broker_answers_as_the_table_says() {
    let differ: Vec<_> = table::rows()
        .filter(|row| row.side == "broker")
        .filter_map(|row| {
            let answers = if row.is_about_a_log() {
                let mut log = Log::new(0, false);
                row.play(|words| log_acts(&mut log, words))
            } else {
                let mut members = Members { group: Group::new(), epochs: BTreeMap::new(), seats: BTreeMap::new() };
                row.play(|words| members.act(words))
            };
            (answers != row.answers).then(|| row.line(&answers))
        })
        .collect();
    assert!(differ.is_empty(), "the simulated broker does otherwise:\n{}", differ.join("\n"));
}
