//! Worker processes: the real binary, started as users start it.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::cgroup::Cgroup;
use crate::http;
use crate::rig::patiently;

/// What a worker may hold beside its byte budget, in bytes: code, librdkafka, one fetch of each kind, the slack of the
/// allocator.
pub const BESIDE_BUDGET: u64 = 192 << 20;

/// How a command ended.
#[derive(Debug, Clone)]
pub struct Finished {
    /// Exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to both outputs, standard output first.
    pub text: String,
}

impl Finished {
    /// The one line that contains every word, in any case; panics when there is none or more than one.
    pub fn one_line_with(&self, words: &[&str]) -> &str {
        one_line_with(&self.text, words)
    }
}

/// The one line of `text` that contains every word, in any case; panics when there is none or more than one.
pub fn one_line_with<'a>(text: &'a str, words: &[&str]) -> &'a str {
    let found = lines_with(text, words);
    assert!(found.len() == 1, "one line should say {words:?}, {} do in:\n{text}", found.len());
    found[0]
}

fn lines_with<'a>(text: &'a str, words: &[&str]) -> Vec<&'a str> {
    let says = |line: &&str| words.iter().all(|word| line.to_lowercase().contains(&word.to_lowercase()));
    text.lines().filter(says).collect()
}

/// The binary under test: `EVENTSINK_WORKER`, or the one that cargo built beside this test.
#[must_use]
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("EVENTSINK_WORKER") {
        return path.into();
    }
    let own = std::env::current_exe().expect("this test has a path");
    let path = own.ancestors().nth(2).unwrap_or(Path::new(".")).join("eventsink-worker");
    assert!(path.exists(), "no worker at {}; run: cargo build --workspace", path.display());
    path
}

/// Runs a command of the worker to its end, for example `audit --json`, with `--config`.
#[must_use]
pub fn run(command: &str, config: &Path) -> Finished {
    let output = Command::new(binary())
        .args(command.split_whitespace())
        .arg("--config")
        .arg(config)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("cannot run the worker: {error}"));
    let text = [output.stdout, output.stderr].concat();
    Finished { code: output.status.code(), text: String::from_utf8_lossy(&text).into_owned() }
}

/// Panics with the audit's own words unless it finds everything in order, to the last row and in the log too.
pub fn audit(config: &Path) {
    let audit = run("audit --deep --kafka", config);
    assert_eq!(audit.code, Some(0), "the audit says:\n{}", audit.text);
}

/// One running `eventsink-worker start`. Killed when it goes out of scope.
#[derive(Debug)]
pub struct Worker {
    child: Child,
    address: SocketAddr,
    log: PathBuf,
}

impl Worker {
    /// Starts a worker with a log file of its own and `extra` arguments; it serves HTTP on a free port of its own.
    #[must_use]
    pub fn start(config: &Path, log: PathBuf, extra: &[&str]) -> Self {
        let mut command = Command::new(binary());
        command.args(["start", "--config"]).arg(config).args(extra);
        Self::spawn(command, log)
    }

    /// Starts a worker with variables in its environment.
    #[must_use]
    pub fn start_with(config: &Path, log: PathBuf, variables: &[(&str, &Path)]) -> Self {
        let mut command = Command::new(binary());
        command.args(["start", "--config"]).arg(config).envs(variables.iter().copied());
        Self::spawn(command, log)
    }

    /// Starts a worker that sees an empty file system of `size` bytes mounted on `folder`; needs to be root or
    /// to be allowed user namespaces. The mount goes with the process.
    #[must_use]
    pub fn start_on_small_disk(config: &Path, log: PathBuf, folder: &Path, size: u64) -> Self {
        let mut command = Command::new("unshare");
        if !is_root(folder) {
            command.args(["--user", "--map-root-user"]);
        }
        command.args(["--mount", "sh", "-c"]);
        command.arg(r#"mount -t tmpfs -o "size=$1" none "$2" && exec "$3" start --config "$4""#).arg("sh");
        command.arg(size.to_string()).arg(folder).arg(binary()).arg(config);
        Self::spawn(command, log)
    }

    /// Starts a worker in a control group.
    #[must_use]
    pub fn start_in(group: &Cgroup, config: &Path, log: PathBuf) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", r#"echo $$ >"$1" && exec "$2" start --config "$3""#, "sh"]);
        command.arg(group.entrance()).arg(binary()).arg(config);
        Self::spawn(command, log)
    }

    /// Most bytes of memory of its own that the process has held at a time.
    #[must_use]
    pub fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it is our child");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        kib.unwrap_or_else(|| panic!("no peak in {status}")) << 10
    }

    fn spawn(mut command: Command, log: PathBuf) -> Self {
        let address = free_address();
        let file = File::options().create(true).append(true).open(&log).expect("a log file");
        let child = command
            .env("EVENTSINK__OBSERVABILITY__LISTEN", address.to_string())
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a second handle"))
            .stderr(file)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start the worker: {error}"));
        Self { child, address, log }
    }

    /// Number of the process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Body of `GET /status`.
    ///
    /// # Errors
    /// Why there is none.
    pub fn status(&self) -> Result<Value, String> {
        let (_, body) = http::get(self.address, "/status").map_err(|error| error.to_string())?;
        serde_json::from_str(&body).map_err(|error| format!("{error} in {body}"))
    }

    /// Value of a sample on `/metrics`, named as it stands there, labels included but for `sink`, which all have;
    /// `None` while there is none.
    #[must_use]
    pub fn metric(&self, sample: &str) -> Option<f64> {
        let (_, text) = http::get(self.address, "/metrics").ok()?;
        text.lines().find_map(|line| without_sink(line).strip_prefix(sample)?.strip_prefix(' ')?.parse().ok())
    }

    /// Code and body of `GET {path}`; `None` while nobody listens.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<(u16, String)> {
        http::get(self.address, path).ok()
    }

    /// Code and body of `PUT {path}`; `None` while nobody listens.
    #[must_use]
    pub fn put(&self, path: &str, body: &str) -> Option<(u16, String)> {
        http::send(self.address, "PUT", path, body).ok()
    }

    /// Code of `GET {path}`, for example `/ready`; `None` while nobody listens.
    #[must_use]
    pub fn code_of(&self, path: &str) -> Option<u16> {
        http::get(self.address, path).ok().map(|(code, _)| code)
    }

    /// Waits until `/ready` says yes.
    pub fn wait_until_ready(&mut self) {
        patiently(Duration::from_secs(60), "the worker is ready", || {
            self.assert_alive();
            if self.code_of("/ready") == Some(200) { Ok(()) } else { Err(self.tail()) }
        });
    }

    /// Waits until a line of the log contains every word, in any case.
    pub fn wait_until_log_says(&mut self, words: &[&str]) {
        patiently(Duration::from_secs(60), &format!("the log says {words:?}"), || {
            if lines_with(&self.log(), words).is_empty() { Err(self.tail()) } else { Ok(()) }
        });
    }

    /// The whole log so far.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Path by which others see a file in the worker's own mounts.
    #[must_use]
    pub fn sees(&self, path: &Path) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.child.id()));
        root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// Panics with the end of the log when the process has ended by itself.
    pub fn assert_alive(&mut self) {
        if let Ok(Some(status)) = self.child.try_wait() {
            panic!("the worker ended by itself with {status}: {}", self.tail());
        }
    }

    /// Ends it without a warning, and waits until it is gone.
    pub fn kill9(&mut self) {
        self.child.kill().expect("it is our child");
        self.child.wait().expect("it is our child");
    }

    /// SIGTERM; returns how it ended.
    pub fn terminate(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.wait()
    }

    /// Sends a signal, for example `STOP` or `CONT`.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args([&format!("-{name}"), &pid]).status();
        assert!(sent.is_ok_and(|status| status.success()), "cannot send SIG{name} to the worker");
    }

    /// The most memory that the process ever held, in bytes; 0 when it has ended.
    #[must_use]
    pub fn peak_bytes(&self) -> u64 {
        peak_of(self.child.id())
    }

    /// Memory that the process holds now, in bytes; 0 when it has ended.
    #[must_use]
    pub fn resident_bytes(&self) -> u64 {
        memory(self.child.id(), "VmRSS:")
    }

    /// Panics when the process ever held more than its byte budget and [`BESIDE_BUDGET`].
    pub fn assert_memory_within(&self, budget: u64) {
        let peak = self.peak_bytes();
        println!("{} MiB at most, {} of them the budget", peak >> 20, budget >> 20);
        assert!(peak > 0 && peak <= budget + BESIDE_BUDGET, "{} MiB at most", peak >> 20);
    }

    /// Waits until it ends by itself, at most a minute.
    pub fn wait(&mut self) -> ExitStatus {
        patiently(Duration::from_secs(60), "the worker ends", || match self.child.try_wait() {
            Ok(Some(status)) => Ok(status),
            Ok(None) => Err(self.tail()),
            Err(error) => Err(error.to_string()),
        })
    }

    fn tail(&self) -> String {
        let log = self.log();
        let skip = log.lines().count().saturating_sub(15);
        let lines: Vec<_> = log.lines().skip(skip).collect();
        format!("the log {} ends:\n{}", self.log.display(), lines.join("\n"))
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may have ended already: nothing to do then.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The most memory that a process ever held, in bytes; 0 when it has ended.
#[must_use]
pub fn peak_of(pid: u32) -> u64 {
    memory(pid, "VmHWM:")
}

fn memory(pid: u32, field: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or_default() << 10
}

/// A sample without its label `sink`, whose value has no quotes.
fn without_sink(line: &str) -> String {
    let Some((before, (_, after))) =
        line.split_once("sink=\"").and_then(|(before, rest)| Some((before, rest.split_once('"')?)))
    else {
        return line.to_owned();
    };
    match (before.strip_suffix('{'), after.strip_prefix('}'), after.strip_prefix(',')) {
        (Some(name), Some(value), _) => format!("{name}{value}"),
        (_, _, Some(more)) => format!("{before}{more}"),
        _ => format!("{}{after}", before.trim_end_matches(',')),
    }
}

/// The port is free again when this returns; nothing else on loopback asks for ports in between.
pub(crate) fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("it is bound")
}

/// Whether this process is root: then a folder that it made belongs to user 0.
fn is_root(folder: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(folder).is_ok_and(|metadata| metadata.uid() == 0)
}
