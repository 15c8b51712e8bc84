//! What takes how long: each is done once or a few times, and told in words.

use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use eventsink_e2e::{Worker, Workspace, folder, process, worker};

use crate::case::{Case, Load, standard};
use crate::fill::pace;
use crate::measure::{median, share};
use crate::run::{Bench, files_of_events, follow, sample};

/// A question and its measurement: lines of what was measured and the figure.
pub struct Timed {
    /// Its name.
    pub name: &'static str,
    /// Measures.
    pub run: fn(&mut Bench) -> Vec<(String, String)>,
}

/// All of them.
pub const ALL: [Timed; 8] = [
    Timed { name: "first-file", run: first_file },
    Timed { name: "recovery", run: recovery },
    Timed { name: "drain", run: drain },
    Timed { name: "freshness", run: freshness },
    Timed { name: "rebalance", run: rebalance },
    Timed { name: "idle", run: idle },
    Timed { name: "audit", run: audit },
    Timed { name: "profile", run: profile },
];

/// How often something is looked for whose time is told in tenths of a second.
const LOOK: Duration = Duration::from_millis(20);
const LIMIT: Duration = Duration::from_secs(180);

fn first_file(bench: &mut Bench) -> Vec<(String, String)> {
    let standard = standard();
    let load = Load { events: 60_000, ..standard.load };
    let topic = bench.topic(&load);
    let case = Case { load, age: "100ms", ..standard };
    let times = (0..5).map(|round| {
        let space = Workspace::new();
        let (config, landed) = bench.settings(&case, &topic, &space, &format!("first-file-{round}"));
        let begun = Instant::now();
        let mut worker = Worker::start(&config, space.join("log"), &[]);
        until("the first file", &mut [&mut worker], |_| !files(&landed).is_empty());
        begun.elapsed().as_secs_f64()
    });
    vec![(
        "start of the process to the first file, `rotation.max_age` 100 ms".to_owned(),
        format!("{:.2} s", median(times.collect())),
    )]
}

fn recovery(bench: &mut Bench) -> Vec<(String, String)> {
    let case = standard();
    let topic = bench.topic(&case.load);
    let space = Workspace::new();
    let (config, _) = bench.settings(&case, &topic, &space, "recovery");
    let mut first = Worker::start(&config, space.join("first.log"), &[]);
    until("a third is written", &mut [&mut first], |workers| {
        of(workers, "eventsink_records_written_total") >= case.load.events as f64 / 3.0
    });
    first.kill9();
    let begun = Instant::now();
    let mut second = Worker::start(&config, space.join("second.log"), &[]);
    until("records are read again", &mut [&mut second], |workers| {
        of(workers, "eventsink_records_consumed_total") > 0.0
    });
    let reads = begun.elapsed();
    until("a file is written", &mut [&mut second], |workers| of(workers, "eventsink_records_written_total") > 0.0);
    let writes = begun.elapsed();
    until("all is read", &mut [&mut second], |workers| of(workers, "eventsink_unread_records") == 0.0);
    second.terminate();
    let audit = worker::run("audit", &config);
    vec![
        (
            "kill -9 under backlog: next worker reads, `session_timeout` 6 s".to_owned(),
            format!("{:.1} s after its start", reads.as_secs_f64()),
        ),
        ("... its first file".to_owned(), format!("{:.1} s after its start", writes.as_secs_f64())),
        (
            "... `audit` afterwards ends with".to_owned(),
            audit.code.map_or("no code".to_owned(), |code| code.to_string()),
        ),
    ]
}

fn drain(bench: &mut Bench) -> Vec<(String, String)> {
    let standard = standard();
    let case = Case { load: Load { events: 10_000_000, ..standard.load }, ..standard };
    let topic = bench.topic(&case.load);
    let space = Workspace::new();
    let (config, _) = bench.settings(&case, &topic, &space, "drain");
    let begun = Instant::now();
    let mut workers = [Worker::start(&config, space.join("log"), &[])];
    follow(&mut workers, case.load.events);
    let seconds = begun.elapsed().as_secs_f64();
    let peak = workers[0].peak_bytes() >> 20;
    vec![
        ("10 million events, from the start of the process to the last file".to_owned(), format!("{seconds:.0} s")),
        ("... peak of memory".to_owned(), format!("{peak} MiB")),
    ]
}

fn freshness(bench: &mut Bench) -> Vec<(String, String)> {
    const RATE: u32 = 2000;
    let standard = standard();
    let load = Load { events: u64::from(RATE) * 120, ..standard.load };
    let topic = bench.kafka.create_topic("fresh", load.partitions);
    let case = Case { load, age: "30s", idle: "2m", ..standard };
    let space = Workspace::new();
    let (config, landed) = bench.settings(&case, &topic, &space, "freshness");
    let mut worker = Worker::start(&config, space.join("log"), &[]);
    worker.wait_until_ready();
    let sent = pace(&bench.kafka, &topic, &load, RATE);
    until("all is written", &mut [&mut worker], |workers| {
        of(workers, "eventsink_records_written_total") >= load.events as f64
    });
    let ages: Vec<f64> = files(&landed).iter().flat_map(|file| ages(file, &sent)).collect();
    vec![
        (
            format!("produced to durable at {RATE} events/s and `rotation.max_age` 30 s: p50"),
            format!("{:.1} s", share(ages.clone(), 0.5)),
        ),
        ("... p99".to_owned(), format!("{:.1} s", share(ages, 0.99))),
    ]
}

/// How old each row of a file was when the file was there.
fn ages(file: &Path, sent: &[Vec<SystemTime>]) -> Vec<f64> {
    let text = file.to_string_lossy();
    let number = |mark: &str| -> Option<usize> {
        let digits = text.split_once(mark)?.1;
        digits[..digits.find(|c: char| !c.is_ascii_digit())?].parse().ok()
    };
    let (Some(partition), Some(first), Some(rows)) = (number("/pid="), number("_offset"), number("_count")) else {
        panic!("{text} is no file of events");
    };
    let durable = file.metadata().and_then(|metadata| metadata.modified()).expect("a file");
    let age = |sent: &SystemTime| durable.duration_since(*sent).unwrap_or_default().as_secs_f64();
    sent[partition][first..first + rows].iter().map(age).collect()
}

fn rebalance(bench: &mut Bench) -> Vec<(String, String)> {
    const RATE: u32 = 5000;
    let standard = standard();
    let load = Load { events: u64::from(RATE) * 40, ..standard.load };
    let topic = bench.kafka.create_topic("rebalance", load.partitions);
    let case = Case { load, age: "30s", ..standard };
    let space = Workspace::new();
    let (config, landed) = bench.settings(&case, &topic, &space, "rebalance");
    let mut first = Worker::start(&config, space.join("first.log"), &[]);
    first.wait_until_ready();
    let (mut second, mut stalls) = (None, Vec::new());
    thread::scope(|scope| {
        let sending = scope.spawn(|| pace(&bench.kafka, &topic, &load, RATE));
        let (begun, mut read, mut moved) = (Instant::now(), 0.0, Instant::now());
        while !sending.is_finished() {
            if second.is_none() && begun.elapsed() > Duration::from_secs(15) {
                second = Some(Worker::start(&config, space.join("second.log"), &[]));
            }
            let workers: Vec<&Worker> = [Some(&first), second.as_ref()].into_iter().flatten().collect();
            let now = workers.iter().map(|worker| figure(worker, "eventsink_records_consumed_total")).sum::<f64>();
            if now > read {
                stalls.push(moved.elapsed().as_secs_f64());
                (read, moved) = (now, Instant::now());
            }
            thread::sleep(LOOK);
        }
    });
    let mut second = second.unwrap_or_else(|| panic!("the producer was done before the second worker began"));
    let all = load.events as f64;
    until("all is written", &mut [&mut first, &mut second], |workers| {
        of(workers, "eventsink_records_written_total") >= all
    });
    let read = of(&[&mut first, &mut second], "eventsink_records_consumed_total");
    vec![
        (
            format!("a second worker joins at {RATE} events/s: longest time without any record"),
            format!("{:.1} s", share(stalls, 1.0)),
        ),
        ("... events read twice".to_owned(), format!("{:.0}", read - all)),
        ("... files of all 40 seconds, `rotation.max_age` 30 s".to_owned(), files(&landed).len().to_string()),
    ]
}

/// What a worker costs that has read all, and waits for records.
fn idle(bench: &mut Bench) -> Vec<(String, String)> {
    const TIME: Duration = Duration::from_secs(20);
    let standard = standard();
    let of_partitions = |bench: &mut Bench, partitions| {
        let case = Case { load: Load { partitions, ..standard.load }, ..standard.clone() };
        let topic = bench.kafka.create_topic("idle", partitions);
        let space = Workspace::new();
        let (config, _) = bench.settings(&case, &topic, &space, &format!("idle-{partitions}"));
        let mut worker = Worker::start(&config, space.join("log"), &[]);
        worker.wait_until_ready();
        // The broker has just made the topic.
        thread::sleep(TIME);
        let used = |worker: &Worker, bench: &Bench| [worker.pid(), bench.kafka.broker_pid()].map(process::cpu);
        let before = used(&worker, bench);
        thread::sleep(TIME);
        let after = used(&worker, bench);
        worker.terminate();
        let [worker, broker] = [0, 1].map(|at| (after[at] - before[at]).as_secs_f64() / TIME.as_secs_f64() * 100.0);
        format!("{worker:.1} % of a core, the broker {broker:.1} %")
    };
    [6, 600]
        .map(|partitions| {
            (format!("a worker of {partitions} partitions without records"), of_partitions(bench, partitions))
        })
        .into()
}

/// A bucket of many files, and what it takes to prove that nothing is missing in it.
fn audit(bench: &mut Bench) -> Vec<(String, String)> {
    const CUTS: u64 = 10;
    const ROWS: u64 = 5;
    let standard = standard();
    let (partitions, versions) = (16, 63);
    let events = CUTS * ROWS * versions * partitions;
    let load = Load { partitions: partitions as i32, versions, events, ..standard.load };
    let topic = bench.topic(&load);
    let case = Case { load, s3: true, records: ROWS * versions, budget: "1GiB", ..standard };
    let space = Workspace::new();
    let (config, landed) = bench.settings(&case, &topic, &space, "audit");
    let mut worker = Worker::start(&config, space.join("log"), &[]);
    until("all is written", &mut [&mut worker], |workers| {
        of(workers, "eventsink_records_written_total") >= events as f64
    });
    worker.terminate();
    let (files, _) = files_of_events(&landed);
    let begun = Instant::now();
    let audit = worker::run("audit", &config);
    vec![(
        format!(
            "`audit` of {files} files in S3, with the code {}",
            audit.code.map_or("none".to_owned(), |code| code.to_string())
        ),
        format!("{:.1} s", begun.elapsed().as_secs_f64()),
    )]
}

/// Where the worker's time of the processor goes in the standard case, as `perf` samples it.
fn profile(bench: &mut Bench) -> Vec<(String, String)> {
    let case = standard();
    let topic = bench.topic(&case.load);
    let space = Workspace::new();
    let (config, _) = bench.settings(&case, &topic, &space, "profile");
    let data = space.join("perf.data");
    let mut workers = [Worker::start(&config, space.join("log"), &[])];
    // By then all threads are there.
    workers[0].wait_until_ready();
    let perf = Command::new("perf")
        .args(["record", "--quiet", "-e", "cpu-clock", "-F", "997", "-p", &workers[0].pid().to_string(), "-o"])
        .arg(&data)
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut perf) = perf else { return vec![("profile".to_owned(), "no perf on this machine".to_owned())] };
    follow(&mut workers, case.load.events);
    workers[0].terminate();
    perf.wait().expect("it is our child");
    let report = Command::new("perf")
        .args(["report", "--no-children", "--stdio", "--sort", "symbol", "--percent-limit", "1", "-i"])
        .arg(&data)
        .output()
        .expect("perf is there");
    let text = String::from_utf8_lossy(&report.stdout);
    let shares = text.lines().filter_map(|line| line.trim().split_once("%  ["));
    let name = |symbol: &str| symbol.trim().split("  ").next().unwrap_or_default().replace('|', "\\|");
    shares.map(|(share, symbol)| (format!("`[{}`", name(symbol)), format!("{share} %"))).collect()
}

fn files(landed: &Path) -> Vec<std::path::PathBuf> {
    let mut files = folder::files(landed);
    files.retain(|file| file.extension().is_some_and(|extension| extension == "parquet"));
    files
}

fn of(workers: &[&mut Worker], name: &str) -> f64 {
    workers.iter().map(|worker| figure(worker, name)).sum()
}

fn figure(worker: &Worker, name: &str) -> f64 {
    worker.get("/metrics").and_then(|(_, text)| sample(&text, name)).unwrap_or(0.0)
}

fn until(what: &str, workers: &mut [&mut Worker], mut done: impl FnMut(&[&mut Worker]) -> bool) {
    let begun = Instant::now();
    while !done(workers) {
        workers.iter_mut().for_each(|worker| worker.assert_alive());
        assert!(begun.elapsed() < LIMIT, "not within {LIMIT:?}: {what}");
        thread::sleep(LOOK);
    }
}
