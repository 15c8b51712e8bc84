//! One case: rounds of the bare loop and the worker in turn, so that both meet the same machine.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use eventsink_e2e::process::cpu;
use eventsink_e2e::{Kafka, S3, Target, Worker, Workspace, folder, settings, sink};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::case::{Case, Load};
use crate::fill::fill;
use crate::measure::median;

/// The worker is looked at this often.
const LOOK: Duration = Duration::from_millis(100);
/// No round takes longer.
const LIMIT: Duration = Duration::from_secs(300);

/// What one process, or the workers of one round together, has used and made.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Used {
    /// Events read, decoded and encoded per second, from the first one on.
    pub rate: f64,
    /// Seconds of the processor for a million events, from the start of the process to the last file.
    pub cpu: f64,
    /// The same of the broker meanwhile.
    pub broker: f64,
    /// The most memory held at a time, of the largest process, in MiB.
    pub peak: f64,
    /// Files of events.
    pub files: f64,
    /// Bytes of those files for each event.
    pub bytes: f64,
}

/// Medians of a case.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Outcome {
    /// Name of the case.
    pub case: String,
    /// Rounds of each.
    pub rounds: usize,
    /// The worker.
    pub worker: Used,
    /// The bare loop.
    pub bare: Used,
    /// The worker's time of the processor to the bare loop's in the same round.
    pub ratio: f64,
    /// Of the code that was measured.
    pub commit: String,
}

/// A broker, and the topics that were filled.
pub struct Bench {
    /// The broker.
    pub kafka: Kafka,
    s3: Option<S3>,
    topics: HashMap<Load, String>,
}

impl Bench {
    /// Starts a broker.
    pub fn new() -> Self {
        Self { kafka: Kafka::own(), s3: None, topics: HashMap::new() }
    }

    /// A topic with a load in it.
    pub fn topic(&mut self, load: &Load) -> String {
        self.topics.entry(*load).or_insert_with(|| fill(&self.kafka, load)).clone()
    }

    /// Measures a case.
    pub fn run(&mut self, case: &Case, rounds: usize) -> Outcome {
        let topic = self.topic(&case.load);
        let (mut workers, mut bare) = (Vec::new(), Vec::new());
        for round in 1..=rounds {
            bare.push(self.bare_loop(case, &topic));
            workers.push(self.workers(case, &topic, round));
            let (last, lone) = (workers[round - 1], bare[round - 1]);
            eprintln!(
                "{} {round}: worker {:.2} CPU-s, {:.0} events/s, {:.0} MiB; bare loop {:.2} CPU-s, {:.0} events/s",
                case.name, last.cpu, last.rate, last.peak, lone.cpu, lone.rate
            );
        }
        let ratios = workers.iter().zip(&bare).map(|(worker, bare)| worker.cpu / bare.cpu).collect();
        Outcome {
            case: case.name.to_owned(),
            rounds,
            worker: middle(&workers),
            bare: middle(&bare),
            ratio: median(ratios),
            commit: commit(),
        }
    }

    /// Settings of a sink of its own, and where its files go if that is a folder.
    pub fn settings(&mut self, case: &Case, topic: &str, space: &Workspace, name: &str) -> (PathBuf, PathBuf) {
        let landing = space.join("landed");
        if case.s3 && self.s3.is_none() {
            self.s3 = Some(S3::own());
        }
        let bucket = self.s3.as_ref().filter(|_| case.s3).map(|server| (server, server.make_bucket("bench")));
        let target = match &bucket {
            Some((server, bucket)) => Target::Bucket { server, bucket, prefix: "" },
            None => Target::Folder(&landing),
        };
        let mut all = sink(name, topic, self.kafka.settings(case.access), &target);
        all["storage"]["format"] = case.format.into();
        all["storage"]["compression"] = case.compression.into();
        all["rotation"] = json!({
            "max_idle": case.idle, "max_bytes": case.file, "max_records": case.records, "max_age": case.age,
        });
        all["memory"] = json!({"budget": case.budget});
        all["observability"]["metrics"] = json!({"partition_label": false});
        let landed = bucket.map_or(landing, |(server, bucket)| server.folder(&bucket));
        (settings::write(space.join("sink.yaml"), &all), landed)
    }

    fn bare_loop(&mut self, case: &Case, topic: &str) -> Used {
        #[derive(Deserialize)]
        struct Said {
            seconds: f64,
            files: f64,
            bytes: f64,
        }
        let space = Workspace::new();
        let (config, _) = self.settings(case, topic, &space, "bare-loop");
        touch_memory(&space);
        let broker = cpu(self.kafka.broker_pid());
        let mut child = Command::new(binary("EVENTSINK_BARE_LOOP"))
            .arg(&config)
            .args([case.load.partitions.to_string(), case.load.events.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start the bare loop: {error}"));
        let said: Said =
            serde_json::from_str(&line(&mut child)).unwrap_or_else(|error| panic!("the bare loop: {error}"));
        let (events, pid) = (case.load.events as f64, child.id());
        let millions = events / 1e6;
        let used = Used {
            rate: events / said.seconds,
            cpu: cpu(pid).as_secs_f64() / millions,
            broker: (cpu(self.kafka.broker_pid()) - broker).as_secs_f64() / millions,
            peak: eventsink_e2e::worker::peak_of(pid) as f64 / f64::from(1 << 20),
            files: said.files,
            bytes: said.bytes / events,
        };
        drop(child.stdin.take());
        child.wait().expect("it is our child");
        used
    }

    fn workers(&mut self, case: &Case, topic: &str, round: usize) -> Used {
        let space = Workspace::new();
        let (config, landed) = self.settings(case, topic, &space, &format!("{}-{topic}-{round}", case.name));
        touch_memory(&space);
        let broker = cpu(self.kafka.broker_pid());
        let mut workers: Vec<Worker> =
            (0..case.workers).map(|at| Worker::start(&config, space.join(&format!("{at}.log")), &[])).collect();
        let seconds = follow(&mut workers, case.load.events).as_secs_f64();
        let events = case.load.events as f64;
        let millions = events / 1e6;
        let used: f64 = workers.iter().map(|worker| cpu(worker.pid()).as_secs_f64()).sum();
        let broker = (cpu(self.kafka.broker_pid()) - broker).as_secs_f64();
        let peak = workers.iter().map(Worker::peak_bytes).max().unwrap_or(0);
        workers.iter_mut().for_each(|worker| _ = worker.terminate());
        let (files, bytes) = files_of_events(&landed);
        // The next round makes as many again.
        _ = std::fs::remove_dir_all(&landed);
        Used {
            rate: events / seconds,
            cpu: used / millions,
            broker: broker / millions,
            peak: peak as f64 / f64::from(1 << 20),
            files: files as f64,
            bytes: bytes as f64 / events,
        }
    }
}

/// Writes a gibibyte and deletes it. Memory that a virtual machine has not used of late is given to it by its host page
/// by page, which counts as time of whoever touches it first: writing a file into such memory takes many times as long.
fn touch_memory(space: &Workspace) {
    let path = space.join("touched");
    let mut file = File::create(&path).expect("a file in the bench's folder");
    let part = vec![1; 4 << 20];
    (0..256).for_each(|_| file.write_all(&part).expect("a gibibyte of room on the disk"));
    std::fs::remove_file(&path).expect("it is there");
}

/// Waits until all is durable; gives the time from the first record to the last in its columns.
pub fn follow(workers: &mut [Worker], events: u64) -> Duration {
    let began = Instant::now();
    let (mut first, mut encoded) = (None, None);
    while began.elapsed() < LIMIT {
        workers.iter_mut().for_each(Worker::assert_alive);
        let sum = |name| workers.iter().filter_map(|worker| sample(&worker.get("/metrics")?.1, name)).sum::<f64>();
        let consumed = sum("eventsink_records_consumed_total");
        if consumed > 0.0 {
            first.get_or_insert_with(Instant::now);
        }
        if consumed >= events as f64 && sum("eventsink_unread_records") == 0.0 {
            encoded.get_or_insert_with(Instant::now);
        }
        if let (Some(first), Some(encoded)) = (first, encoded)
            && sum("eventsink_records_written_total") >= events as f64
        {
            return encoded - first;
        }
        thread::sleep(LOOK);
    }
    panic!("not within {LIMIT:?}: {}", workers.iter().map(Worker::log).collect::<String>());
}

/// The value of the one sample of a metric, whatever its labels.
pub fn sample(metrics: &str, name: &str) -> Option<f64> {
    let of_name = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
    metrics.lines().find(of_name)?.rsplit(' ').next()?.parse().ok()
}

/// Number and bytes of the files of events in a folder.
pub fn files_of_events(landed: &Path) -> (usize, u64) {
    let files = folder::files(landed);
    let of_events = files.iter().filter(|path| {
        path.extension().is_some_and(|extension| extension == "parquet" || extension == "avro")
            && !path.components().any(|part| part.as_os_str() == "_eventsink")
    });
    let sizes: Vec<u64> = of_events.filter_map(|path| Some(path.metadata().ok()?.len())).collect();
    (sizes.len(), sizes.iter().sum())
}

fn line(child: &mut Child) -> String {
    let mut line = String::new();
    let output = child.stdout.as_mut().expect("its output is a pipe");
    BufReader::new(output).read_line(&mut line).expect("its output is text");
    line
}

fn middle(all: &[Used]) -> Used {
    let of = |figure: fn(&Used) -> f64| median(all.iter().map(figure).collect());
    Used {
        rate: of(|used| used.rate),
        cpu: of(|used| used.cpu),
        broker: of(|used| used.broker),
        peak: of(|used| used.peak),
        files: of(|used| used.files),
        bytes: of(|used| used.bytes),
    }
}

fn binary(variable: &str) -> PathBuf {
    std::env::var_os(variable).unwrap_or_else(|| panic!("{variable} names no binary; run: make bench")).into()
}

/// The commit of the code, with a plus sign when the code differs from it.
pub fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output();
        output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
    };
    let changed = !git(&["status", "--porcelain", "worker", "crds", "Cargo.lock"]).is_empty();
    git(&["rev-parse", "--short=9", "HEAD"]) + if changed { "+" } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_found_whatever_its_labels() {
        let text = "# HELP a_total\na_total_more 1\na_total{sink=\"x\"} 7\nb 2\n";
        assert_eq!((sample(text, "a_total"), sample(text, "b"), sample(text, "c")), (Some(7.0), Some(2.0), None));
    }
}
