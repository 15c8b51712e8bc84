//! The `eventsink-operator` program.

use clap::Parser as _;
use eventsink_operator::args::Args;
use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    Args::parse().run().await
}
