//! Operator processes beside the cluster: the real binary, with the rights that the chart grants and no others.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::cluster::{Cluster, Namespace, beside_this_test};
use crate::http;
use crate::process;
use crate::rig::patiently;
use crate::worker::free_address;

/// Name of the ServiceAccount and the roles that the chart makes.
pub const ACCOUNT: &str = "eventsink-operator";

/// Applies the chart's ServiceAccount and roles for a namespace that the operator is in and watches, with further
/// values such as `worker.podMonitor=true`, and writes a file by which a process logs in as that account.
#[must_use]
pub fn granted(cluster: &Cluster, namespace: &Namespace<'_>, values: &[&str], folder: &Path) -> PathBuf {
    let name = namespace.name.as_str();
    let chart = concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/eventsink");
    let watched = format!("watchNamespaces={{{name}}}");
    let mut arguments = vec!["template", "eventsink", chart, "--namespace", name, "--set", &watched];
    arguments.extend(["--show-only", "templates/rbac.yaml", "--show-only", "templates/serviceaccount.yaml"]);
    arguments.extend(values.iter().flat_map(|value| ["--set", value]));
    let objects = cluster.helm(&arguments);
    cluster.try_apply_yaml(&objects).unwrap_or_else(|words| panic!("cannot apply {objects}: {words}"));
    let token = namespace.kubectl(&["create", "token", ACCOUNT, "--duration=2h"]);
    let seen = cluster.kubectl(&["config", "view", "--raw", "--minify", "-o", "json"]);
    let mut config: Value = serde_json::from_str(&seen).unwrap_or_else(|error| panic!("{error} in a kubeconfig"));
    let user = &config["users"][0]["name"];
    config["users"] = json!([{"name": user, "user": {"token": token.trim()}}]);
    let path = folder.join("operator.kubeconfig");
    std::fs::write(&path, config.to_string()).expect("a file in the test's folder");
    path
}

/// One running `eventsink-operator run`. Killed when it goes out of scope.
#[derive(Debug)]
pub struct Operator {
    child: Child,
    address: SocketAddr,
    log: PathBuf,
}

impl Operator {
    /// Starts one that watches a namespace, under the name of a pod, with `extra` arguments; it adds to the log.
    #[must_use]
    pub fn start(kubeconfig: &Path, namespace: &str, pod: &str, log: PathBuf, extra: &[&str]) -> Self {
        let address = free_address();
        let file = File::options().create(true).append(true).open(&log).expect("a log file");
        let child = Command::new(beside_this_test("eventsink-operator"))
            .args(["run", "--worker-image=eventsink/worker:test", "--listen", &address.to_string()])
            .args(["--watch-namespaces", namespace, "--pod-namespace", namespace, "--pod-name", pod])
            .args(extra)
            .env("KUBECONFIG", kubeconfig)
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a second handle"))
            .stderr(file)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start the operator: {error}"));
        Self { child, address, log }
    }

    /// Code and body of `GET {path}`; `None` while nobody listens.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<(u16, String)> {
        http::get(self.address, path).ok()
    }

    /// Waits until `/ready` answers with that code and words; panics when the process has ended.
    pub fn wait_until_says(&mut self, code: u16, words: &str) {
        patiently(Duration::from_secs(60), &format!("/ready says {code} {words}"), || {
            self.assert_alive();
            match self.get("/ready") {
                Some((found, body)) if found == code && body.contains(words) => Ok(()),
                answer => Err(format!("{answer:?}; {}", self.tail())),
            }
        });
    }

    /// Waits until it works: it has the definition and the Lease.
    pub fn wait_until_it_works(&mut self) {
        patiently(Duration::from_secs(60), "the operator works", || {
            self.assert_alive();
            let metrics = self.get("/metrics").map(|(_, body)| body).unwrap_or_default();
            if metrics.lines().any(|line| line == "eventsink_operator_working 1") { Ok(()) } else { Err(self.tail()) }
        });
    }

    /// The whole log so far.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Ends it without a warning, and waits until it is gone.
    pub fn kill9(&mut self) {
        self.child.kill().expect("it is our child");
        self.child.wait().expect("it is our child");
    }

    /// Sends a signal, for example `STOP`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()), "cannot send SIG{name} to the operator");
    }

    /// Waits until it ends, at most a minute.
    pub fn wait(&mut self) -> ExitStatus {
        patiently(Duration::from_secs(60), "the operator ends", || match self.child.try_wait() {
            Ok(Some(status)) => Ok(status),
            Ok(None) => Err(self.tail()),
            Err(error) => Err(error.to_string()),
        })
    }

    /// Memory that the process holds now, in bytes.
    #[must_use]
    pub fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        kib.unwrap_or_default() << 10
    }

    /// Time of the processor that the process has used.
    #[must_use]
    pub fn cpu(&self) -> Duration {
        process::cpu(self.child.id())
    }

    fn assert_alive(&mut self) {
        if let Ok(Some(status)) = self.child.try_wait() {
            panic!("the operator ended by itself with {status}: {}", self.tail());
        }
    }

    fn tail(&self) -> String {
        let log = self.log();
        let skip = log.lines().count().saturating_sub(15);
        format!("the log ends:\n{}", log.lines().skip(skip).collect::<Vec<_>>().join("\n"))
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        // It may have ended already: nothing to do then.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
