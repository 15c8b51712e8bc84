//! The manifests that people begin with are admitted as they are.

use std::fs;
use std::path::{Path, PathBuf};

use crate::scene::defined;

fn manifests(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config").join(folder);
    let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    files.map(|file| file.expect("a folder that can be read").path()).collect()
}

#[test]
fn every_sample_is_admitted_as_it_is() {
    let (cluster, _defined) = defined();
    let namespace = cluster.namespace("samples");
    let mut files = manifests("samples");
    assert!(files.len() > 10, "{files:?}");
    // The other one there is for KEDA, whose definitions this cluster has not.
    files.extend(manifests("autoscaling").into_iter().filter(|file| file.ends_with("hpa.yaml")));
    for file in files {
        let text = fs::read_to_string(&file).expect("a file that can be read");
        let here = text.replace("namespace: events", &format!("namespace: {}", namespace.name));
        let said = cluster.kubectl_with(&["apply", "--dry-run=server", "--filename", "-"], &here);
        assert!(said.is_ok(), "{}: {said:?}", file.display());
    }
}
