//! Three workers for minutes under random kills, stops, rebalances and joins, with a store that fails and a group
//! that forgets. `EVENTSINK_SOAK_EVENTS` and `EVENTSINK_SOAK_FAULTS` make it shorter, `EVENTSINK_SOAK_SEED` another.

use std::thread;
use std::time::{Duration, Instant};

use eventsink_e2e::store_proxy::Done;
use eventsink_e2e::{Fault, Kafka, Matches, Mix, Rule, Worker, patiently};
use serde_json::json;

use crate::scene::{SOON, Scene};

const PARTITIONS: i32 = 12;
/// One fault in this time on average; odd, so that it keeps no step with the rotation.
const PERIOD: Duration = Duration::from_millis(2_900);
/// Above the session timeout: the group goes on without the stopped worker.
const LONG_STOP: Duration = Duration::from_secs(8);
const SHORT_STOP: Duration = Duration::from_millis(700);

#[test]
fn soak_plain() {
    let _ = Soak::new("soak").run(|_, _| {});
}

#[test]
fn soak_on_a_store_that_fails() {
    let soak = Soak::new("soak-store");
    let faults = [Fault::Refuse(503), Fault::LandAndDrop];
    soak.scene.proxy.set(&[Rule::share(5, Matches::Any, faults[0]), Rule::share(2, Matches::Any, faults[1])]);
    let done = soak.run(|_, _| {});
    for fault in faults {
        let met = done.faults.iter().filter(|(met, _)| *met == fault).count() as u64;
        // One percent of the requests at least, for the shares are drawn by chance.
        assert!(met > 0 && met * 100 >= done.requests, "{met} of {} requests met {fault:?}", done.requests);
    }
}

#[test]
fn soak_with_a_group_that_forgets() {
    let _ = Soak::new("soak-group").run(|soak, fault| {
        let group = soak.scene.topic.clone();
        let fifth = (soak.faults / 5).max(1);
        match (fault % fifth, fault / fifth) {
            (0, 1) => soak.while_stopped(|soak| soak.scene.kafka.delete_group(&group)),
            (0, 2) => soak.while_stopped(|soak| soak.reset(|_, _| 0)),
            (0, 3) => soak.while_stopped(|soak| soak.reset(|committed, _| committed / 2)),
            (0, 4) => soak.move_to_the_end(),
            _ => {}
        }
    });
}

struct Soak {
    scene: Scene<'static>,
    /// A stopped worker goes on at its time.
    workers: Vec<(Worker, Option<Instant>)>,
    events: u64,
    faults: u64,
    dice: Dice,
}

impl Soak {
    fn new(stem: &str) -> Self {
        let mut scene = Scene::new(Kafka::shared(), stem, PARTITIONS);
        scene.settings["shutdown"] = json!({"deadline": "10s"});
        let (events, faults) = (number("EVENTSINK_SOAK_EVENTS", 1_000_000), number("EVENTSINK_SOAK_FAULTS", 200));
        let dice = Dice(number("EVENTSINK_SOAK_SEED", 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        scene.proxy.seed(dice.0);
        Self { scene, workers: Vec::new(), events, faults, dice }
    }

    /// Faults for as long as the producer needs, then the proof; `before` sees the number of each fault before it.
    fn run(mut self, before: impl Fn(&mut Self, u64)) -> Done {
        (0..3).for_each(|_| self.start());
        let seconds = PERIOD.as_secs_f64() * self.faults as f64;
        let pace = (self.events as f64 / seconds).ceil() as u32;
        let mix = Mix { pace: Some(pace), ..Mix::of(self.events, PARTITIONS.unsigned_abs()) };
        let (kafka, topic, list) = (self.scene.kafka, self.scene.topic.clone(), self.scene.list());
        let producing = thread::spawn(move || eventsink_e2e::produce(kafka, &topic, &mix, &list));
        for fault in 0..self.faults {
            thread::sleep(PERIOD * self.dice.below(5) as u32 / 3 + PERIOD / 3);
            self.go_on_when_due();
            before(&mut self, fault);
            self.fault();
        }
        let produced = producing.join().expect("the producer did not panic");
        assert_eq!(self.scene.listed(), (produced.rows, produced.dead), "the list is whole");
        self.go_on();
        let workers = self.workers.drain(..).map(|(worker, _)| worker).collect();
        self.scene.prove(workers);
        let done = self.scene.proxy.done();
        println!(
            "{} events, {} faults, {} requests failed; seed by EVENTSINK_SOAK_SEED",
            self.events,
            self.faults,
            done.faults.len()
        );
        done
    }

    fn start(&mut self) {
        let worker = self.scene.start();
        self.workers.push((worker, None));
    }

    /// One fault for a worker that runs.
    fn fault(&mut self) {
        let running: Vec<_> = (0..self.workers.len()).filter(|&at| self.workers[at].1.is_none()).collect();
        let Some(&victim) = running.get(self.dice.below(running.len().max(1) as u64) as usize) else {
            return self.start();
        };
        self.workers[victim].0.assert_alive();
        match self.dice.below(10) {
            0..4 => {
                self.workers[victim].0.kill9();
                self.replace(victim);
            }
            4..6 => self.stop(victim, LONG_STOP),
            6 => self.stop(victim, SHORT_STOP),
            7 => {
                self.end(victim);
                self.replace(victim);
            }
            _ if self.workers.len() == 3 => self.start(),
            _ => {
                self.end(victim);
                self.workers.remove(victim);
            }
        }
    }

    fn replace(&mut self, victim: usize) {
        self.workers[victim].0 = self.scene.start();
    }

    fn end(&mut self, victim: usize) {
        let worker = &mut self.workers[victim].0;
        // Before that line nobody hears a signal: the kernel ends the process.
        worker.wait_until_log_says(&["starting"]);
        let ended = worker.terminate();
        assert_eq!(ended.code(), Some(0), "SIGTERM is an orderly end:\n{}", worker.log());
    }

    fn stop(&mut self, victim: usize, time: Duration) {
        let (worker, until) = &mut self.workers[victim];
        worker.signal("STOP");
        *until = Some(Instant::now() + time);
    }

    fn go_on_when_due(&mut self) {
        let now = Instant::now();
        for (worker, until) in &mut self.workers {
            if until.is_some_and(|until| until <= now) {
                worker.signal("CONT");
                *until = None;
            }
        }
    }

    fn go_on(&mut self) {
        for (worker, until) in &mut self.workers {
            if until.take().is_some() {
                worker.signal("CONT");
            }
        }
    }

    /// What can be done to a group only while it has no members.
    fn while_stopped(&mut self, deed: impl FnOnce(&mut Self)) {
        self.go_on();
        (0..self.workers.len()).for_each(|victim| self.end(victim));
        self.workers.clear();
        deed(self);
        (0..3).for_each(|_| self.start());
    }

    /// Resets every partition to what `to` says of its committed offset and the end of its log.
    fn reset(&self, to: impl Fn(i64, i64) -> i64) {
        let (kafka, topic) = (self.scene.kafka, &self.scene.topic);
        let progress = kafka.progress(topic, topic).expect("the broker answers");
        let offsets: Vec<_> = progress.iter().map(|&(committed, end)| to(committed, end)).collect();
        kafka.reset_offsets(topic, topic, &offsets);
    }

    /// Above what the ledger knows the worker cannot tell whether somebody skips on purpose: it holds until the user
    /// says that the ledger counts.
    fn move_to_the_end(&mut self) {
        self.while_stopped(|soak| soak.reset(|_, end| end));
        let workers = &self.workers;
        patiently(SOON, "partitions hold with OffsetsMoved", || {
            let statuses: Vec<_> = workers.iter().filter_map(|(worker, _)| worker.status().ok()).collect();
            let holds = statuses.iter().any(|status| status.to_string().contains("\"OffsetsMoved\""));
            if holds { Ok(()) } else { Err(format!("{statuses:?}")) }
        });
        self.scene.settings["kafka"]["on_offsets_moved"] = "ignore".into();
        self.while_stopped(|_| {});
    }
}

fn number(variable: &str, default: u64) -> u64 {
    let Ok(text) = std::env::var(variable) else { return default };
    text.parse().unwrap_or_else(|error| panic!("{variable} is no number: {text}: {error}"))
}

/// A step of xorshift64: the same faults in every run with the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % limit
    }
}
