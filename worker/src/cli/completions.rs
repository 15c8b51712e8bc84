//! `completions`: a script for the user's shell, made from the command line's own definition.

use super::{Cli, say};
use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

const EXAMPLES: &str = "\
Examples:
  eventsink-worker completions bash > ~/.local/share/bash-completion/completions/eventsink-worker
  eventsink-worker completions zsh > ~/.zfunc/_eventsink-worker
  eventsink-worker completions fish > ~/.config/fish/completions/eventsink-worker.fish

For zsh, ~/.zshrc says `fpath+=~/.zfunc` before `autoload -U compinit && compinit`.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Completions {
    /// Which shell
    shell: Shell,
}

impl Completions {
    pub fn run(&self) -> u8 {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "eventsink-worker", &mut script);
        say(&String::from_utf8_lossy(&script));
        0
    }
}
