//! Reads what the worker left with programs that we did not write, and compares it with the producer's list.

use std::path::Path;
use std::process::{Command, Output};

use serde::Deserialize;

use crate::rig::own_file;
use crate::settings::Target;

/// What `read/verify.py` found. Every list is empty when the promise holds; it shows the first few of each.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// Data files, those of dead letters included.
    pub files: u64,
    /// Rows of events.
    pub rows: u64,
    /// Dead letters.
    pub dead: u64,
    /// What differs, by kind; no difference, no entry.
    pub problems: std::collections::BTreeMap<String, Problem>,
}

/// One kind of difference.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Problem {
    /// How many.
    pub count: u64,
    /// The first few, readable.
    pub first: Vec<String>,
}

/// Compares every data file of the target with the list of [`crate::produce()`] and topic; panics on any difference.
pub fn verify(list: &Path, topic: &str, target: &Target<'_>) -> Report {
    let list = list.display().to_string();
    let output = run_on(target, &["read/verify.py", "--list", &list, "--topic", topic]);
    let report: Report = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("the verifier did not finish: {error}\n{}", String::from_utf8_lossy(&output.stderr))
    });
    assert!(output.status.success() && report.problems.is_empty(), "the files are not what was produced: {report:#?}");
    report
}

/// Counts of rows and dead letters in a folder of Parquet files as DuckDB reads it.
#[must_use]
pub fn count_with_duckdb(folder: &Path, topic: &str) -> (u64, u64) {
    count("read/duck.py", folder, topic)
}

/// The same as Apache Spark reads it.
#[must_use]
pub fn count_with_spark(folder: &Path, topic: &str) -> (u64, u64) {
    count("read/spark.py", folder, topic)
}

fn count(script: &str, folder: &Path, topic: &str) -> (u64, u64) {
    let output = run(&[script, &folder.display().to_string(), topic]);
    let counts: Option<(u64, u64)> = serde_json::from_slice(&output.stdout).ok();
    counts.unwrap_or_else(|| panic!("{script} cannot read the files: {}", String::from_utf8_lossy(&output.stderr)))
}

/// Copies all files of a target into `folder`.
pub fn fetch(target: &Target<'_>, folder: &Path) {
    let output = run_on(target, &["read/fetch.py", "--to", &folder.display().to_string()]);
    assert!(output.status.success(), "the files cannot be copied: {}", String::from_utf8_lossy(&output.stderr));
}

/// Runs a script with the arguments that say where the files are.
fn run_on(target: &Target<'_>, arguments: &[&str]) -> Output {
    let place = target.arguments();
    let all: Vec<&str> = arguments.iter().copied().chain(place.iter().map(String::as_str)).collect();
    run(&all)
}

fn run(arguments: &[&str]) -> Output {
    Command::new(own_file("rigs/python"))
        .args(arguments)
        .current_dir(own_file(""))
        .output()
        .unwrap_or_else(|error| panic!("cannot run the script rigs/python: {error}"))
}
