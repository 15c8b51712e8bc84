//! The command line: one file per verb, which reads arguments and prints; what it does is done elsewhere.

mod audit;
mod check;
mod demo;
mod start;

use crate::settings::{self, SettingsError};
use clap::{Args, Parser, Subcommand};
use eventsink_crds::settings::Settings;
use std::path::PathBuf;
use std::process::ExitCode;

/// Something is wrong, or the command failed.
const FAILED: u8 = 1;
/// The settings are wrong.
const BAD_SETTINGS: u8 = 2;
/// The prefix belongs to another sink, or the store cannot keep the promise.
const REFUSED: u8 = 3;

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
    /// Land sample events in a folder, without any server
    Demo(demo::Demo),
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
        Verb::Demo(verb) => verb.run(),
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
