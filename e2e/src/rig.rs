//! Server processes of one test process, and the folder of one test. Starts and ends, knows no protocol.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;

/// Path of a file of this crate, for example `rigs/kafka`.
pub(crate) fn own_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// A server that is up as long as this process lives: the script waits for the end of its input,
/// and then removes all it made.
#[derive(Debug)]
pub(crate) struct Held {
    _input: ChildStdin,
    _script: Child,
    path: PathBuf,
    state: PathBuf,
}

impl Held {
    /// Where the script keeps what the server writes.
    pub fn folder(&self) -> PathBuf {
        self.state.join(self.path.file_name().unwrap_or_default())
    }

    /// Runs another verb of the script on this server.
    pub fn run(&self, verb: &str) {
        self.run_with(verb, &[]);
    }

    /// As [`Self::run`], with arguments.
    pub fn run_with(&self, verb: &str, arguments: &[&str]) {
        let mut command = Command::new(&self.path);
        command.arg(verb).args(arguments).env("EVENTSINK_STATE", &self.state);
        finish(command);
    }
}

/// Runs another verb of the script `rigs/{name}` on the server that [`server`] found or started.
pub(crate) fn run(name: &str, held: Option<&Held>, verb: &str, arguments: &[&str]) {
    match held {
        Some(held) => held.run_with(verb, arguments),
        // That of `rigs/with`, which has said by a variable where it keeps it.
        None => {
            let mut command = Command::new(own_file("rigs").join(name));
            command.arg(verb).args(arguments);
            finish(command);
        }
    }
}

fn finish(mut command: Command) {
    let done = command.stdin(Stdio::null()).output();
    let done = done.unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    assert!(done.status.success(), "{command:?} failed: {}", String::from_utf8_lossy(&done.stderr));
}

/// What the script `rigs/{name}` says of a running server: from the variable that `rigs/with` sets,
/// or from a server of our own.
pub(crate) fn server<T: DeserializeOwned>(name: &str) -> (T, Option<Held>) {
    let variable = format!("EVENTSINK_E2E_{}", name.to_uppercase());
    match std::env::var(&variable) {
        Ok(text) => (parse(name, &text), None),
        Err(_) => own_server(name, &[]),
    }
}

/// As [`server`], one that listens at an address of this machine other than loopback.
pub(crate) fn server_at<T: DeserializeOwned>(name: &str, host: &str) -> (T, Option<Held>) {
    let variable = format!("EVENTSINK_E2E_{}", name.to_uppercase());
    match std::env::var(&variable) {
        Ok(text) if text.contains(host) => (parse(name, &text), None),
        _ => own_server(name, &[("EVENTSINK_HOST", host)]),
    }
}

/// A server of our own, with variables for its script.
pub(crate) fn own_server<T: DeserializeOwned>(name: &str, variables: &[(&str, &str)]) -> (T, Option<Held>) {
    let state = tempfile::Builder::new().prefix("eventsink-rig-").tempdir().expect("a temporary folder").keep();
    let path = own_file("rigs").join(name);
    let mut script = Command::new(&path)
        .arg("hold")
        .env("EVENTSINK_STATE", &state)
        .envs(variables.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .process_group(0)
        .spawn()
        .unwrap_or_else(|error| panic!("cannot run the script rigs/{name}: {error}"));
    let input = script.stdin.take().expect("its input is a pipe");
    let output = script.stdout.take().expect("its output is a pipe");
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line).expect("its output is text");
    let status = parse(name, &line);
    (status, Some(Held { _input: input, _script: script, path, state }))
}

fn parse<T: DeserializeOwned>(name: &str, text: &str) -> T {
    serde_json::from_str(text)
        .unwrap_or_else(|error| panic!("rigs/{name} is not up: {error} in {text:?}; see its words above"))
}

/// The folder of one test: settings, logs, lists, data. Kept when the test fails.
#[derive(Debug)]
pub struct Workspace {
    folder: Option<tempfile::TempDir>,
    path: PathBuf,
}

impl Workspace {
    /// A new, empty folder.
    #[must_use]
    pub fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("eventsink-e2e-").tempdir().expect("a temporary folder");
        let path = folder.path().to_owned();
        Self { folder: Some(folder), path }
    }

    /// Path of a file in it.
    #[must_use]
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

impl Default for Workspace {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        if thread::panicking()
            && let Some(folder) = self.folder.take()
        {
            eprintln!("settings, logs and lists of this test: {}", folder.keep().display());
        }
    }
}

/// Asks until there is an answer; panics after `limit` with `what` and the last reason why not.
pub fn patiently<T>(limit: Duration, what: &str, mut ask: impl FnMut() -> Result<T, String>) -> T {
    let start = Instant::now();
    loop {
        match ask() {
            Ok(answer) => return answer,
            Err(reason) if start.elapsed() > limit => {
                panic!("not within {limit:?}: {what}: {reason}")
            }
            Err(_) => thread::sleep(Duration::from_millis(200)),
        }
    }
}

/// A name that no other test and no earlier run on the same server has.
#[must_use]
pub(crate) fn unique(stem: &str) -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{stem}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}
