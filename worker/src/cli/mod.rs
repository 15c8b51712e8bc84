//! The command line: one file per verb, which reads arguments and prints; what it does is done elsewhere.

mod audit;
mod check;
mod completions;
mod demo;
mod inspect;
mod lag;
mod start;

use crate::kafka::client::{ClientError, Context};
use crate::kafka::connect::{Cluster, connect};
use crate::runtime::mapping;
use crate::settings::{self, SettingsError};
use crate::store::Store;
use clap::{Args, Parser, Subcommand};
use eventsink_crds::settings::{Backend, Kafka, Settings};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use rdkafka::consumer::BaseConsumer;
use serde::Serialize;
use std::fmt::Display;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// Something is wrong, or the command failed.
const FAILED: u8 = 1;
/// The settings are wrong.
const BAD_SETTINGS: u8 = 2;
/// The prefix belongs to another sink, or the store cannot keep the promise.
const REFUSED: u8 = 3;

/// How long a cluster may take to answer the first question.
const PATIENCE: Duration = Duration::from_secs(10);

const EXIT_CODES: &str = "\
Exit codes:
  0  done; for audit: the promise holds
  1  failed, or something is wrong
  2  the settings or arguments are wrong
  3  the prefix may not be used: it belongs to another sink, its ledger cannot be read, or the store overwrites objects

First look: eventsink-worker demo. Settings: config/application.yaml names every key.";

/// Lands CloudEvents from Kafka in object storage and proves that nothing is missing.
#[derive(Debug, Parser)]
#[command(name = "eventsink-worker", version, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Consume, and write files, until a signal says stop
    Start(start::Start),
    /// Try settings, Kafka, topics and store, and say everything that is wrong
    Check(check::Check),
    /// Prove from the bucket alone that every offset is accounted for, or name what is wrong
    Audit(audit::Audit),
    /// Show what a file, a folder of files or a manifest holds
    Inspect(inspect::Inspect),
    /// Show how far the sink is behind Kafka, partition by partition, without joining the group
    Lag(lag::Lag),
    /// Land sample events in a folder, without any server
    Demo(demo::Demo),
    /// Print a script that completes this command in a shell
    Completions(completions::Completions),
}

/// Where the settings are.
#[derive(Debug, Args)]
struct SettingsFile {
    /// Settings; over it come application-{EVENTSINK_ENV}.yaml beside it and EVENTSINK__SECTION__KEY variables
    #[arg(long, short, value_name = "FILE", default_value = "config/application.yaml")]
    config: PathBuf,
}

impl SettingsFile {
    fn load(&self) -> Result<Settings, SettingsError> {
        settings::load(&self.config, &std::env::vars_os().filter_map(text).collect())
    }
}

/// Variables that are no text cannot be meant for us.
fn text((name, value): (std::ffi::OsString, std::ffi::OsString)) -> Option<(String, String)> {
    Some((name.into_string().ok()?, value.into_string().ok()?))
}

/// Runs the command line of the process.
#[must_use]
pub fn run() -> ExitCode {
    let code = match Cli::parse().verb {
        Verb::Start(verb) => verb.run(),
        Verb::Check(verb) => verb.run(),
        Verb::Audit(verb) => verb.run(),
        Verb::Inspect(verb) => verb.run(),
        Verb::Lag(verb) => verb.run(),
        Verb::Demo(verb) => verb.run(),
        Verb::Completions(verb) => verb.run(),
    };
    ExitCode::from(code)
}

/// Loads the settings or says every mistake.
fn load(file: &SettingsFile) -> Result<Settings, u8> {
    file.load().map_err(|error| {
        eprintln!("{error}");
        BAD_SETTINGS
    })
}

/// Opens the store, or says why not. Opening one on disk makes its folder, and a verb that only reads must leave no
/// trace of a mistyped path.
fn open(settings: &Settings) -> Result<Store, (u8, String)> {
    let folder = &settings.storage.file.base_path;
    if settings.storage.backend == Backend::File && !Path::new(folder).is_dir() {
        let words = format!(
            "storage.file.base_path: there is no folder `{folder}`: set the path that the worker writes to, or mount it"
        );
        return Err((FAILED, words));
    }
    Store::open(&mapping::store_options(settings)).map_err(|error| (BAD_SETTINGS, error.to_string()))
}

/// A client that has shown a way into Kafka, and what the cluster says of the topics; or says why there is none.
fn connected(
    kafka: &Kafka,
    topics: &[String],
    client: Result<Arc<BaseConsumer<Context>>, ClientError>,
) -> Result<(Arc<BaseConsumer<Context>>, Cluster), u8> {
    let client = client.map_err(|error| failed(FAILED, &error))?;
    let cluster = connect(&client, &kafka.bootstrap_servers, topics, PATIENCE);
    Ok((client, cluster.map_err(|error| failed(FAILED, &error))?))
}

/// Runs to its end what a verb does with a store.
fn block_on<T>(work: impl Future<Output = T>) -> Result<T, std::io::Error> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work))
}

/// A line that counts objects; shows nothing when stderr is not a terminal.
fn progress(doing: &str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    match ProgressStyle::with_template(&format!("{doing} {{pos}} of {{len}} {{wide_bar}} {{eta}}")) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// Prints what was found, for people or for machines.
fn print<T: Display + Serialize>(found: &T, as_json: bool) {
    say(&if as_json { json(found) } else { found.to_string() });
}

/// JSON as a person can read it too, and a line end.
fn json(found: &impl Serialize) -> String {
    let text = serde_json::to_string_pretty(found);
    text.map_or_else(|error| format!("{{\"error\": \"{error}\"}}\n"), |text| text + "\n")
}

/// A reader that closed the pipe has seen enough; the exit code still tells.
fn say(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// The words of an error on standard error, and the code to leave with.
fn failed(code: u8, error: &dyn Display) -> u8 {
    eprintln!("{error}");
    code
}

#[cfg(test)]
mod tests {
    use super::Cli;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_contradicts_itself_nowhere() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_help_of_every_verb_shows_how_to_type_it() {
        for verb in Cli::command().get_subcommands() {
            let help = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
            let examples = help.matches(&format!("eventsink-worker {}", verb.get_name())).count();
            assert!(examples >= 2, "{} has {examples} examples", verb.get_name());
        }
    }
}
