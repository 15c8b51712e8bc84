//! One line that shows how far the demo is: redrawn on a terminal, plain lines elsewhere. Writes to standard error only.

use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

/// Plain lines come this often at most.
const PLAIN: Duration = Duration::from_secs(1);

pub(super) struct Progress {
    total: u64,
    done: u64,
    /// What is being done.
    what: String,
    /// `None` where nobody could redraw a line.
    bar: Option<ProgressBar>,
    said: Option<Instant>,
}

impl Progress {
    pub fn new(total: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(total);
            let style = ProgressStyle::with_template("{spinner} {msg:10} [{bar:30}] {pos}/{len} events");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        Self { total, done: 0, what: String::new(), bar, said: None }
    }

    /// Names what is being done.
    pub fn say(&mut self, what: &str) {
        what.clone_into(&mut self.what);
        match &self.bar {
            Some(bar) => bar.set_message(what.to_owned()),
            None => self.plain(),
        }
    }

    /// So many events are durable.
    pub fn at(&mut self, done: u64) {
        self.done = done;
        match &self.bar {
            Some(bar) => bar.set_position(done),
            None if self.said.is_none_or(|said| said.elapsed() >= PLAIN) => self.plain(),
            None => {}
        }
    }

    /// Leaves the last line standing.
    pub fn finish(&mut self, what: &str) {
        self.say(what);
        if let Some(bar) = &self.bar {
            bar.finish();
        }
    }

    fn plain(&mut self) {
        self.said = Some(Instant::now());
        eprintln!("{}: {}/{} events", self.what, self.done, self.total);
    }
}
