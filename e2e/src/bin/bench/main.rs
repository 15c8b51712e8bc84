//! `make bench`: the worker beside the bare loop on the same topic, round after round, as one table.
//!
//! A real broker, the real binary as users start it, and processor time as the kernel counts it. `case` says what is
//! measured, `events` makes the records, `fill` sends them, `measure` makes one figure of many, `run` runs one case, `page`
//! keeps results and writes them down; `times` measures what takes how long. Nothing here is asserted: a figure is a figure.

mod case;
mod events;
mod fill;
mod measure;
mod page;
mod run;
mod times;

use std::path::{Path, PathBuf};

/// Where results are kept from run to run, so that a page can be written from several.
const RESULTS: &str = "target/bench";

const USAGE: &str = "\
usage: bench [--only CASE,...] [--rounds N] [--to PAGE]
Binaries: EVENTSINK_WORKER and EVENTSINK_BARE_LOOP. Results are kept in target/bench.";

struct Options {
    only: Vec<String>,
    rounds: usize,
    page: Option<PathBuf>,
}

fn main() {
    let options = options(std::env::args().skip(1)).unwrap_or_else(|words| {
        eprintln!("{words}\n{USAGE}");
        std::process::exit(2)
    });
    let results = Path::new(RESULTS);
    let mut bench = run::Bench::new();
    for case in case::all().iter().filter(|case| options.wants(case.name)) {
        let outcome = bench.run(case, options.rounds);
        page::keep(results, case.name, &outcome);
        println!("{}", page::table(&[outcome]));
    }
    for timed in times::ALL.iter().filter(|timed| options.wants(timed.name)) {
        let told = page::Told { lines: (timed.run)(&mut bench), commit: run::commit() };
        page::keep(results, timed.name, &told);
        println!("{}", page::times(&[told]));
    }
    if let Some(to) = &options.page {
        let text = page::page(results);
        std::fs::write(to, text).unwrap_or_else(|error| panic!("cannot write {}: {error}", to.display()));
    }
}

/// Names of all that can be measured.
fn names() -> Vec<&'static str> {
    case::all().iter().map(|case| case.name).chain(times::ALL.iter().map(|timed| timed.name)).collect()
}

impl Options {
    fn wants(&self, case: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == case)
    }
}

fn options(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options { only: Vec::new(), rounds: 3, page: None };
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{name} needs a value"))?;
        match name.as_str() {
            "--only" => options.only = value.split(',').map(str::to_owned).collect(),
            "--rounds" => options.rounds = value.parse().map_err(|_| format!("{value} is no number of rounds"))?,
            "--to" => options.page = Some(value.into()),
            _ => return Err(format!("unknown argument {name}")),
        }
    }
    let known = names();
    match options.only.iter().find(|only| !known.contains(&only.as_str())) {
        Some(unknown) => Err(format!("no case {unknown}; there are {}", known.join(", "))),
        None => Ok(options),
    }
}
