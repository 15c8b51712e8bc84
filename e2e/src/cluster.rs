//! A Kubernetes cluster, asked as people ask it: by kubectl.
//!
//! The cluster is the one that `KUBECONFIG` names, the one that `rigs/with cluster` holds, or one of this test process.
//! Each test has namespaces of its own, in which the API server admits only pods that keep to the restricted profile.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::kafka::Kafka;
use crate::rig::{self, Held, own_file, patiently};
use crate::s3::S3;

/// What `rigs/cluster status` says.
#[derive(Debug, Clone, Deserialize)]
struct Status {
    kubeconfig: PathBuf,
    kubectl: PathBuf,
    /// Where pods reach this machine.
    host_address: String,
    audit_log: Option<PathBuf>,
    /// Where the rig keeps its cluster; none of a cluster that somebody made.
    state: Option<PathBuf>,
}

/// A running cluster.
#[derive(Debug)]
pub struct Cluster {
    status: Status,
    held: Option<Held>,
}

/// One of the project's programs, as an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Program {
    /// `eventsink-worker`.
    Worker,
    /// `eventsink-operator`.
    Operator,
}

impl Program {
    /// Name of the binary, and of its target in the Dockerfile after `eventsink-`.
    #[must_use]
    pub fn binary(self) -> &'static str {
        match self {
            Self::Worker => "eventsink-worker",
            Self::Operator => "eventsink-operator",
        }
    }

    fn variable(self) -> &'static str {
        match self {
            Self::Worker => "EVENTSINK_WORKER_IMAGE",
            Self::Operator => "EVENTSINK_OPERATOR_IMAGE",
        }
    }
}

impl Cluster {
    /// The cluster of this test process; started with the first call unless `KUBECONFIG` or `EVENTSINK_E2E_CLUSTER`
    /// names a running one.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(|| match std::env::var_os("KUBECONFIG") {
            Some(kubeconfig) => Self { status: foreign(kubeconfig.into()), held: None },
            None => {
                let (status, held) = rig::server("cluster");
                Self { status, held }
            }
        })
    }

    /// The file by which clients find the cluster and log in as its administrator.
    #[must_use]
    pub fn kubeconfig(&self) -> &Path {
        &self.status.kubeconfig
    }

    /// The address at which pods reach this machine.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.status.host_address
    }

    /// The API server's log of what ServiceAccounts asked for, an `audit.k8s.io/v1` event as JSON in each line; only
    /// of a cluster of the rig.
    #[must_use]
    pub fn audit_log(&self) -> Option<&Path> {
        self.status.audit_log.as_deref()
    }

    /// A Kafka that pods reach; one for all tests of this process.
    #[must_use]
    pub fn kafka(&self) -> &'static Kafka {
        static SHARED: OnceLock<Kafka> = OnceLock::new();
        SHARED.get_or_init(|| Kafka::at(self.host()))
    }

    /// An S3 server that pods reach; one for all tests of this process.
    #[must_use]
    pub fn s3(&self) -> &'static S3 {
        static SHARED: OnceLock<S3> = OnceLock::new();
        SHARED.get_or_init(|| S3::at(self.host()))
    }

    /// Name of a program's image, which is in the cluster when this returns: the binary that cargo built beside this
    /// test, or what `EVENTSINK_WORKER_IMAGE` and `EVENTSINK_OPERATOR_IMAGE` name.
    #[must_use]
    pub fn image(&self, program: Program) -> String {
        self.image_of(program, &[])
    }

    /// As [`Self::image`], under a tag of the test's own, as if it were another release of the program; on a cluster that
    /// somebody made it is the same image.
    #[must_use]
    pub fn image_as(&self, program: Program, tag: &str) -> String {
        self.image_of(program, &[tag])
    }

    fn image_of(&self, program: Program, tag: &[&str]) -> String {
        if let Ok(name) = std::env::var(program.variable()) {
            return name;
        }
        let Some(state) = &self.status.state else {
            panic!("set {} to an image that the cluster of KUBECONFIG can pull", program.variable());
        };
        let binary = beside_this_test(program.binary());
        let mut command = Command::new(own_file("rigs/cluster"));
        command.arg("image").arg(&binary).args(tag).env("EVENTSINK_STATE", state);
        let name = finish(command, "").unwrap_or_else(|words| panic!("no image of {}: {words}", binary.display()));
        name.trim().to_owned()
    }

    /// Makes the resource `EventSink` known, as `crds/yaml` has it, and waits until it is served.
    pub fn install_definition(&self) {
        let path = own_file("../crds/yaml/eventsinks.yaml");
        let path = path.to_str().expect("a path of this repository is text");
        self.kubectl(&["apply", "--server-side", "--force-conflicts", "-f", path]);
        // One that was just made has no conditions to wait for.
        patiently(Duration::from_secs(30), "the definition is served", || {
            self.try_kubectl(&["wait", "--for=condition=Established", "--timeout=10s", "crd/eventsinks.eventsink.dev"])
        });
    }

    /// A new namespace whose name begins with `stem`, deleted with all in it at the end of the test.
    #[must_use]
    pub fn namespace(&self, stem: &str) -> Namespace<'_> {
        let name = rig::unique(stem);
        let labels = json!({"pod-security.kubernetes.io/enforce": "restricted"});
        let metadata = json!({"name": name, "labels": labels});
        self.apply(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}));
        Namespace { cluster: self, name }
    }

    /// Runs kubectl and returns what it printed; panics with its words when it fails.
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        self.try_kubectl(arguments).unwrap_or_else(|words| panic!("kubectl {arguments:?}: {words}"))
    }

    /// As [`Self::kubectl`].
    ///
    /// # Errors
    /// Its words when it fails.
    pub fn try_kubectl(&self, arguments: &[&str]) -> Result<String, String> {
        finish(self.command(arguments), "")
    }

    /// As [`Self::try_kubectl`], with text for its input.
    ///
    /// # Errors
    /// Its words when it fails.
    pub fn kubectl_with(&self, arguments: &[&str], input: &str) -> Result<String, String> {
        finish(self.command(arguments), input)
    }

    /// Runs Helm, of the rig's version, and returns what it printed; panics with its words when it fails.
    pub fn helm(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(own_file("rigs/helm"));
        command.arg("--kubeconfig").arg(self.kubeconfig()).args(arguments);
        finish(command, "").unwrap_or_else(|words| panic!("helm {arguments:?}: {words}"))
    }

    /// Applies an object, or several in a `List`, by server-side apply, as the manager `e2e`.
    pub fn apply(&self, object: &Value) {
        self.try_apply(object).unwrap_or_else(|words| panic!("cannot apply {object:#}: {words}"));
    }

    /// As [`Self::apply`].
    ///
    /// # Errors
    /// The API server's words.
    pub fn try_apply(&self, object: &Value) -> Result<String, String> {
        self.try_apply_yaml(&object.to_string())
    }

    /// As [`Self::try_apply`], with YAML as it stands in a file.
    ///
    /// # Errors
    /// The API server's words.
    pub fn try_apply_yaml(&self, yaml: &str) -> Result<String, String> {
        finish(self.command(&["apply", "--server-side", "--force-conflicts", "--field-manager=e2e", "-f", "-"]), yaml)
    }

    /// Ends the containers of a pod as kill -9 does; the kubelet starts them again. On a cluster that somebody made the
    /// pod is deleted instead, with as little grace as there is.
    pub fn kill9(&self, namespace: &Namespace<'_>, pod: &str) {
        if self.status.state.is_none() {
            namespace.kubectl(&["delete", "pod", pod, "--grace-period=0", "--force"]);
            return;
        }
        let object = namespace.get("pod", pod).unwrap_or_else(|| panic!("there is no pod {pod}"));
        for container in object["status"]["containerStatuses"].as_array().into_iter().flatten() {
            let id = container["containerID"].as_str().unwrap_or_default();
            rig::run("cluster", self.held.as_ref(), "kill9", &[id]);
        }
    }

    /// A command of kubectl for this cluster, to be started by the test.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.status.kubectl);
        command.arg("--kubeconfig").arg(self.kubeconfig()).args(arguments);
        command
    }
}

/// A namespace of one test. When the test fails, its pods, events and the ends of its logs are printed.
#[derive(Debug)]
pub struct Namespace<'a> {
    cluster: &'a Cluster,
    /// Its name.
    pub name: String,
}

impl Namespace<'_> {
    /// Runs kubectl in this namespace and returns what it printed; panics with its words when it fails.
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        self.try_kubectl(arguments).unwrap_or_else(|words| panic!("kubectl {arguments:?}: {words}"))
    }

    /// As [`Self::kubectl`].
    ///
    /// # Errors
    /// Its words when it fails.
    pub fn try_kubectl(&self, arguments: &[&str]) -> Result<String, String> {
        let all: Vec<&str> = ["--namespace", &self.name].into_iter().chain(arguments.iter().copied()).collect();
        self.cluster.try_kubectl(&all)
    }

    /// Applies an object in this namespace; it need not name it.
    pub fn apply(&self, object: &Value) {
        self.try_apply(object).unwrap_or_else(|words| panic!("cannot apply {object:#}: {words}"));
    }

    /// As [`Self::apply`].
    ///
    /// # Errors
    /// The API server's words.
    pub fn try_apply(&self, object: &Value) -> Result<String, String> {
        let mut object = object.clone();
        object["metadata"]["namespace"] = self.name.as_str().into();
        self.cluster.try_apply(&object)
    }

    /// Makes or changes a Secret; values are text.
    pub fn secret(&self, name: &str, values: &[(&str, &str)]) {
        let data: serde_json::Map<String, Value> =
            values.iter().map(|(key, value)| ((*key).to_owned(), (*value).into())).collect();
        self.apply(&json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data}));
    }

    /// An object; `None` when there is none of that name.
    #[must_use]
    pub fn get(&self, kind: &str, name: &str) -> Option<Value> {
        let text = self.kubectl(&["get", kind, name, "--ignore-not-found", "-o", "json"]);
        (!text.trim().is_empty()).then(|| parse(&text))
    }

    /// All objects of a kind that have the labels of the selector, such as `a=b,c=d`; all when it is empty.
    #[must_use]
    pub fn list(&self, kind: &str, selector: &str) -> Vec<Value> {
        let text = self.kubectl(&["get", kind, "--selector", selector, "-o", "json"]);
        parse(&text)["items"].as_array().cloned().unwrap_or_default()
    }

    /// Names of the objects that [`Self::list`] finds.
    #[must_use]
    pub fn names(&self, kind: &str, selector: &str) -> Vec<String> {
        let name = |object: &Value| object["metadata"]["name"].as_str().map(str::to_owned);
        self.list(kind, selector).iter().filter_map(name).collect()
    }

    /// Deletes an object and waits until it is gone.
    pub fn delete(&self, kind: &str, name: &str) {
        self.kubectl(&["delete", kind, name, "--ignore-not-found", "--timeout=60s"]);
    }

    /// Waits until an object is as `check` wants it, and returns it; `check` says why not.
    pub fn wait_for(
        &self,
        kind: &str,
        name: &str,
        limit: Duration,
        check: impl Fn(&Value) -> Result<(), String>,
    ) -> Value {
        patiently(limit, &format!("{kind}/{name}"), || {
            let object = self.get(kind, name).ok_or_else(|| "there is none".to_owned())?;
            check(&object).map(|()| object)
        })
    }

    /// `GET path` from a pod's port, by way of the API server.
    ///
    /// # Errors
    /// Why there is no answer.
    pub fn get_from_pod(&self, pod: &str, port: u16, path: &str) -> Result<String, String> {
        let name = &self.name;
        self.cluster.try_kubectl(&["get", "--raw", &format!("/api/v1/namespaces/{name}/pods/{pod}:{port}/proxy{path}")])
    }

    /// Prints what people look at first when something does not run.
    fn tell(&self) {
        for arguments in [
            &["get", "eventsinks", "-o", "yaml"][..],
            &["get", "deployments,pods", "-o", "wide"],
            &["get", "events", "--sort-by=.lastTimestamp"],
            &["logs", "--selector=app.kubernetes.io/name", "--tail=40", "--prefix"],
        ] {
            let said = self.try_kubectl(arguments).unwrap_or_else(|words| words);
            eprintln!("--- kubectl {} in {}\n{said}", arguments.join(" "), self.name);
        }
    }
}

impl Drop for Namespace<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.tell();
        }
        let delete = ["delete", "namespace", &self.name, "--ignore-not-found", "--wait=false"];
        if let Err(words) = self.cluster.try_kubectl(&delete) {
            eprintln!("namespace {} stays: {words}", self.name);
        }
    }
}

/// Status of a condition in an object's status, such as `True`; empty when there is none.
#[must_use]
pub fn condition(object: &Value, name: &str) -> String {
    let all = object["status"]["conditions"].as_array();
    let one = all.and_then(|all| all.iter().find(|condition| condition["type"] == name));
    one.and_then(|condition| condition["status"].as_str()).unwrap_or_default().to_owned()
}

/// A cluster that somebody made: `EVENTSINK_HOST` says where its pods reach this machine.
fn foreign(kubeconfig: PathBuf) -> Status {
    let host_address = std::env::var("EVENTSINK_HOST").unwrap_or_else(|_| {
        panic!(
            "KUBECONFIG={} is used for tests: set EVENTSINK_HOST to an address of this machine that its pods reach",
            kubeconfig.display()
        )
    });
    Status { kubeconfig, kubectl: "kubectl".into(), host_address, audit_log: None, state: None }
}

pub(crate) fn beside_this_test(binary: &str) -> PathBuf {
    let own = std::env::current_exe().expect("this test has a path");
    let path = own.ancestors().nth(2).unwrap_or(Path::new(".")).join(binary);
    assert!(path.exists(), "no program at {}; run: cargo build --workspace", path.display());
    path
}

fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("kubectl printed no JSON: {error} in {text}"))
}

/// Runs a command with text for its input.
fn finish(mut command: Command, input: &str) -> Result<String, String> {
    let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = spawned.map_err(|error| format!("cannot run {}: {error}", command.get_program().display()))?;
    let mut pipe = child.stdin.take().expect("its input is a pipe");
    // One that ends before it has read everything says why in its own words.
    let _ = pipe.write_all(input.as_bytes());
    drop(pipe);
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines of the Dockerfile that begin with an instruction, within the stage of that name.
    fn of_stage<'a>(dockerfile: &'a str, stage: &str, instruction: &str) -> Vec<&'a str> {
        let end = format!(" AS {stage}");
        let lines = dockerfile.lines().skip_while(|line| !line.ends_with(&end)).skip(1);
        let own = lines.take_while(|line| !line.starts_with("FROM "));
        own.filter_map(|line| line.strip_prefix(instruction)).map(str::trim).collect()
    }

    #[test]
    fn images_of_the_dockerfile_are_those_of_the_rig() {
        let dockerfile = include_str!("../../Dockerfile");
        let rootfs = include_str!("../../image/rootfs");
        for program in [Program::Worker, Program::Operator] {
            let binary = program.binary();
            let stage = binary.strip_prefix("eventsink-").unwrap();
            assert_eq!(of_stage(dockerfile, stage, "ENTRYPOINT "), [format!(r#"["/{binary}"]"#)]);
            assert_eq!(of_stage(dockerfile, stage, "USER "), ["65532:65532"]);
            assert_eq!(of_stage(dockerfile, stage, "COPY "), [format!("--from=build /rootfs/{stage}/ /")]);
            assert!(dockerfile.contains(&format!("image/rootfs target/release/{binary} /rootfs/{stage}")), "{binary}");
        }
        assert!(rootfs.contains("nonroot:x:65532:65532:"), "the user of the images has a name");
    }
}
