//! The rights of the operator: those that the chart grants are those that it uses, by the API server's own log.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use eventsink_e2e::{Cluster, Namespace, patiently};
use serde_json::{Value, json};

use crate::installed::{OPERATOR, install, wait_until_ready};
use crate::sink::{NAME, Sink};

/// API group, resource with its subresource, verb.
type Right = (String, String, String);

#[test]
fn the_operator_uses_every_right_that_the_chart_grants_and_misses_none() {
    let cluster = Cluster::shared();
    let Some(log) = cluster.audit_log() else {
        return println!("a cluster that somebody made has no log to be judged by");
    };
    let namespace = cluster.namespace("rights");
    install(cluster, &namespace);
    do_everything(cluster, &namespace);

    patiently(Duration::from_secs(60), "the log has everything", || {
        let (granted, (used, refused)) = (granted(&namespace), used(log, &namespace.name));
        assert!(refused.is_empty(), "the API server refused {refused:?}");
        let idle: Vec<_> = granted.difference(&used).collect();
        if idle.is_empty() { Ok(()) } else { Err(format!("granted and never used: {idle:?}")) }
    });
}

/// Every kind of change that makes the operator do something new.
fn do_everything(cluster: &Cluster, namespace: &Namespace<'_>) {
    let sink = Sink::new(cluster, namespace, "rights", 2);
    let mut resource = sink.scaled(&json!({"mode": "Fixed"}));
    namespace.apply(&resource);
    // The same change twice: its second Event is one more of a series.
    for count in [2, 0, 2, 0, 1] {
        namespace.kubectl(&["scale", "eventsink", NAME, &format!("--replicas={count}")]);
        wait_until_ready(namespace, NAME, count);
    }
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "with-identity"}});
    namespace.apply(&account);
    resource["spec"]["worker"]["serviceAccountName"] = "with-identity".into();
    namespace.apply(&resource);
    wait_until_ready(namespace, NAME, 1);
    namespace.kubectl(&["delete", "pods", "--selector", OPERATOR]);

    let claim = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "files"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    });
    namespace.apply(&claim);
    resource["metadata"]["name"] = "on-a-claim".into();
    resource["spec"]["storage"] = json!({"filesystem": {"claimName": "files"}});
    resource["spec"]["replicas"] = 2.into();
    namespace.apply(&resource);
}

/// What the Roles of the chart say.
fn granted(namespace: &Namespace<'_>) -> BTreeSet<Right> {
    let roles = namespace.list("roles", "app.kubernetes.io/managed-by=Helm");
    let rules = roles.iter().flat_map(|role| role["rules"].as_array().into_iter().flatten());
    rules
        .flat_map(|rule| {
            let texts = |name: &str| texts(&rule[name]);
            let pairs = texts("apiGroups")
                .into_iter()
                .flat_map(move |group| texts("resources").into_iter().map(move |resource| (group.clone(), resource)));
            pairs.flat_map(move |(group, resource)| {
                texts("verbs").into_iter().map(move |verb| (group.clone(), resource.clone(), verb))
            })
        })
        .collect()
}

/// What the operator asked for, and of that what was refused.
fn used(log: &Path, namespace: &str) -> (BTreeSet<Right>, BTreeSet<Right>) {
    let user = format!("system:serviceaccount:{namespace}:eventsink-operator");
    let text = std::fs::read_to_string(log).unwrap_or_else(|error| panic!("cannot read {}: {error}", log.display()));
    let (mut used, mut refused) = (BTreeSet::new(), BTreeSet::new());
    for line in text.lines().filter(|line| line.contains(&user)) {
        // The last line may be half written.
        let Ok(event) = serde_json::from_str::<Value>(line) else { continue };
        let about = &event["objectRef"];
        let Some(resource) = about["resource"].as_str() else { continue };
        let resource = about["subresource"].as_str().map_or(resource.to_owned(), |sub| format!("{resource}/{sub}"));
        let group = about["apiGroup"].as_str().unwrap_or_default().to_owned();
        let right = |verb: &str| (group.clone(), resource.clone(), verb.to_owned());
        let (verb, code) = (event["verb"].as_str().unwrap_or_default(), event["responseStatus"]["code"].as_i64());
        if code == Some(403) {
            refused.insert(right(verb));
        }
        // An object that is applied and not there is created, which is a right of its own.
        if verb == "patch" && code == Some(201) {
            used.insert(right("create"));
        }
        used.insert(right(verb));
    }
    (used, refused)
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}
