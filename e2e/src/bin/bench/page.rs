//! Results: kept as one file for each case, shown as one table, written as `docs/performance.md`.

use std::fmt::Write as _;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::case::{self, BUDGET, ROOMY_BUDGET, SMALL_BUDGET};
use crate::run::Outcome;
use crate::times;

/// The most that the worker may cost, to the bare loop.
const GATE: f64 = 1.1;

const HEAD: &str = "\
# Performance

`make bench` measures and writes this page: a real Kafka of one broker, the worker as users start it, and the *bare
loop* beside them on the same two cores, in turn, round after round. The bare loop is the worker's consumer settings,
threads, decoder, encoder and allocator in one binary, without ledger, storage, byte budget and recovery: what the worker
costs beyond it is the price of its promise. `ratio` says how much that is; it should be at most 1.1.

- The standard case: CloudEvents in structured JSON of 550 bytes that producers do not compress, 6 partitions, Parquet
  with zstd, files on a disk. Every other case differs from it in what its name says.
- CPU-s: seconds of the processor, the kernel's for the process included, for a million events, from its start to its
  last file. Events per second count from the first event to the last one encoded.
- All figures are medians of the rounds (of two, the lower one). Before each of a case a file of a gibibyte is written and
  deleted: memory that a virtual machine has not used of late its host must give it page by page, on the account of
  whoever touches it.
";

/// What was timed: lines of what it was and the figure.
#[derive(Debug, Serialize, Deserialize)]
pub struct Told {
    /// What, and the figure.
    pub lines: Vec<(String, String)>,
    /// Of the code that was measured.
    pub commit: String,
}

/// Keeps a result until the next one of the same name.
pub fn keep(folder: &Path, name: &str, result: &impl Serialize) {
    let path = folder.join(format!("{name}.json"));
    let text = serde_json::to_string(result).expect("numbers and texts");
    let kept = std::fs::create_dir_all(folder).and_then(|()| std::fs::write(&path, text));
    kept.unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
}

/// The results that are there of some names, in their order.
fn kept<'a, T: DeserializeOwned>(folder: &Path, names: impl Iterator<Item = &'a str>) -> Vec<T> {
    let read = |name: &str| serde_json::from_slice(&std::fs::read(folder.join(format!("{name}.json"))).ok()?).ok();
    names.filter_map(read).collect()
}

/// The table of cases.
pub fn table(outcomes: &[Outcome]) -> String {
    let mut text = String::from(
        "| case | rounds | events/s | CPU-s | bare loop | ratio | broker CPU-s | peak MiB | bare loop | files | bytes/event | commit |\n\
         |---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|\n",
    );
    for Outcome { case, rounds, worker, bare, ratio, commit } in outcomes {
        _ = writeln!(
            text,
            "| {case} | {rounds} | {:.0} | {:.2} | {:.2} | {ratio:.2} | {:.2} | {:.0} | {:.0} | {:.0} | {:.0} | {commit} |",
            worker.rate, worker.cpu, bare.cpu, worker.broker, worker.peak, bare.peak, worker.files, worker.bytes
        );
    }
    text
}

/// Says which cases cost more than they should.
fn verdict(outcomes: &[Outcome]) -> String {
    // As the table shows it.
    let misses = |outcome: &&Outcome| (outcome.ratio * 100.0).round() > GATE * 100.0;
    let missed: Vec<_> = outcomes.iter().filter(misses).map(|outcome| format!("`{}`", outcome.case)).collect();
    if missed.is_empty() {
        return format!("Every case is within {GATE}.\n");
    }
    format!("Above {GATE}, and so not where they should be: {}.\n", missed.join(", "))
}

/// The cases with many partitions or open files, each with the one whose files are as small while few are open.
const GROWTH: [(&str, &str); 3] =
    [("600-partitions", "small-files"), ("600-partitions-with-room", "small-files"), ("1000-files", "tiny-files")];

/// Says what a file costs beside its events, and what many partitions and open files cost beside small files.
fn growth(outcomes: &[Outcome]) -> String {
    let cases = case::all();
    let find = |name: &str| {
        let load = cases.iter().find(|case| case.name == name)?.load;
        Some((load, outcomes.iter().find(|outcome| outcome.case == name)?))
    };
    let Some((load, standard)) = find("standard") else { return String::new() };
    let rows = |outcome: &Outcome| load.events as f64 / outcome.worker.files;
    let mut each = String::new();
    for (_, few) in ["small-files", "tiny-files"].into_iter().filter_map(find) {
        let files = few.worker.files - standard.worker.files;
        let more = |cpu: f64, less: f64| (cpu - less) * load.events as f64 / 1e3 / files;
        _ = writeln!(
            each,
            "- {:.0} events to a file: {:.1} ms of the processor for each file, {:.1} ms in the bare loop.",
            rows(few),
            more(few.worker.cpu, standard.worker.cpu),
            more(few.bare.cpu, standard.bare.cpu)
        );
    }
    let mut table = String::new();
    for (many, few) in GROWTH {
        let (Some((load, many)), Some((_, few))) = (find(many), find(few)) else { continue };
        _ = writeln!(
            table,
            "| {} | {} | {:.0} | {:.2} | {:.0} | {:.2} |",
            many.case,
            load.partitions as u64 * load.versions.max(1),
            rows(many),
            many.worker.cpu,
            rows(few),
            few.worker.cpu
        );
    }
    if table.is_empty() {
        return table;
    }
    format!(
        "\n## Growth\n\nA topic shared by more partitions or schema versions gives more files with fewer events, and a file \
         costs what it costs, with\nits manifest, beside its events: `small-files` and `tiny-files`, whose six files close \
         early, show how much, measured\nagainst the standard case.\n\n{each}\nWhat many open files cost beyond that:\n\n\
         | case | open files | events to a file | CPU-s | with six open files: events to a file | CPU-s |\n\
         |---|--:|--:|--:|--:|--:|\n{table}"
    )
}

/// The table of times.
pub fn times(told: &[Told]) -> String {
    let mut text = String::from("| what | figure | commit |\n|---|--:|---|\n");
    for Told { lines, commit } in told {
        for (what, figure) in lines {
            _ = writeln!(text, "| {what} | {figure} | {commit} |");
        }
    }
    text
}

/// The page, from all results that are kept.
pub fn page(results: &Path) -> String {
    let cases = case::all();
    let outcomes: Vec<Outcome> = kept(results, cases.iter().map(|case| case.name));
    let names = || times::ALL.iter().map(|timed| timed.name);
    let told: Vec<Told> = kept(results, names().filter(|name| *name != "profile"));
    let profile: Vec<Told> = kept(results, names().filter(|name| *name == "profile"));
    let cases = table(&outcomes) + "\n" + &verdict(&outcomes) + &growth(&outcomes);
    format!(
        "{HEAD}- The byte budget is {BUDGET}; {SMALL_BUDGET}, the default in a container of 256 MiB, in the case\n  \
         `small-budget`; {ROOMY_BUDGET} in `600-partitions-with-room` and `1000-files`. In a container leave 96 MiB beside\n  \
         it.\n\
         - Machine: {}.\n\n{cases}\n## How long things take\n\n{}\n\
         ## Where the time of the standard case goes\n\n{}",
        machine(),
        times(&told),
        times(&profile)
    )
}

fn machine() -> String {
    let field = |path: &str, name: &str| {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with(name)).map(str::to_owned);
        line.and_then(|line| Some(line.split_once(':')?.1.trim().to_owned())).unwrap_or_default()
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let kib: u64 = field("/proc/meminfo", "MemTotal").trim_end_matches(" kB").parse().unwrap_or(0);
    format!(
        "{cores} cores of {}, {} GiB, Linux {}",
        field("/proc/cpuinfo", "model name"),
        kib.div_ceil(1 << 20),
        kernel.trim()
    )
}
