//! The table of what a broker does, played row by row on a real one. The simulation's broker plays the same rows.

mod client;
mod group;
mod log;
#[path = "../../../worker/tests/simulation/table.rs"]
mod table;
mod wire;

use client::Clients;
use eventsink_e2e::Kafka;
use group::Group;
use log::Log;
use std::thread;
use table::Row;

/// Commits expire after the shortest time that a broker takes, and compaction does not dawdle.
const HASTY: &str = "offsets.retention.minutes=1\noffsets.retention.check.interval.ms=1000\nlog.cleaner.backoff.ms=200";

/// A row that cannot be played to its end is told like one with other answers.
fn play(row: &Row, kafka: &Kafka) -> String {
    let played = std::panic::catch_unwind(|| answers(row, kafka));
    played.unwrap_or_else(|_| "not played to its end: the words of the panic are above".to_owned())
}

fn answers(row: &Row, kafka: &Kafka) -> String {
    if row.side == "client" {
        let mut clients = Clients::new(kafka);
        row.play(|words| clients.act(words))
    } else if row.is_about_a_log() {
        let mut log = Log::new(kafka, row.play);
        row.play(|words| log.act(words))
    } else {
        let mut group = Group::new(kafka, row.play);
        row.play(|words| group.act(words))
    }
}

/// Rows that need a minute run beside the others; those that need the broker to go away run alone.
#[test]
fn a_real_broker_answers_as_the_table_says() {
    let kafka = Kafka::own_with(HASTY);
    let (slow, others): (Vec<_>, Vec<_>) = table::rows().partition(|row| row.play.contains("a minute"));
    let (alone, quick): (Vec<_>, Vec<_>) = others.into_iter().partition(|row| row.play.contains("the broker"));
    let mut played = thread::scope(|scope| {
        let kafka = &kafka;
        let slow: Vec<_> = slow.iter().map(|row| scope.spawn(move || (row, play(row, kafka)))).collect();
        let quick: Vec<_> = quick.iter().map(|row| (row, play(row, kafka))).collect();
        let slow = slow.into_iter().map(|row| row.join().expect("a thread that catches its panics"));
        quick
            .into_iter()
            .chain(slow)
            .map(|(row, answers)| (row.line(row.answers), row.line(&answers)))
            .collect::<Vec<_>>()
    });
    played.extend(alone.iter().map(|row| (row.line(row.answers), row.line(&play(row, &kafka)))));
    let differ: Vec<_> = played.into_iter().filter(|(told, seen)| told != seen).map(|(_, seen)| seen).collect();
    assert!(differ.is_empty(), "the broker does otherwise; these rows would be right:\n{}", differ.join("\n"));
}
