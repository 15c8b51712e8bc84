//! The folder that a demo writes. A demo's broker is another cluster each time, so the files of an earlier demo must
//! go first; nothing else is ever removed.

use super::{DemoError, SINK, TOPIC};
use crate::cut::manifest::{LEDGER, Owner};
use std::fs;
use std::io;
use std::path::Path;

/// Begins the cluster id of every broker inside a process; real ones have random ids.
const CLUSTER: &str = "mockCluster";
/// Folder of dead letters.
const DEAD_LETTERS: &str = "_dlq";
/// Folder of probes: all that a demo leaves which was stopped before it took the folder.
const PROBES: &str = "probe";

/// What a folder holds.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    Nothing,
    Demo,
    Foreign(String),
}

/// Makes the folder ready; true when files of an earlier demo were removed.
pub(super) fn prepare(out: &Path) -> Result<bool, DemoError> {
    let folder = || out.display().to_string();
    let failed = |source| DemoError::Folder { folder: folder(), source };
    match look(out).map_err(failed)? {
        Found::Nothing => Ok(false),
        Found::Foreign(found) => Err(DemoError::FolderInUse { folder: folder(), found }),
        Found::Demo => clear(out).map(|()| true).map_err(failed),
    }
}

fn look(out: &Path) -> io::Result<Found> {
    let names = names(out)?;
    if names.is_empty() {
        return Ok(Found::Nothing);
    }
    if let Some(other) = names.iter().find(|name| ![LEDGER, TOPIC, DEAD_LETTERS].contains(&name.as_str())) {
        return Ok(Found::Foreign(other.clone()));
    }
    match fs::read(out.join(Owner::key())) {
        Ok(body) => Ok(match serde_json::from_slice::<Owner>(&body) {
            Ok(owner) if owner.sink == SINK && owner.cluster_id.starts_with(CLUSTER) => Found::Demo,
            Ok(owner) => Found::Foreign(format!("the ledger of sink {}", owner.sink)),
            Err(_) => Found::Foreign(Owner::key()),
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let probed = names == [LEDGER] && self::names(&out.join(LEDGER))? == [PROBES];
            Ok(if probed { Found::Nothing } else { Found::Foreign(names.join(", ")) })
        }
        Err(error) => Err(error),
    }
}

/// Sorted names of what is in a folder; none when it is not there.
fn names(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut names = Vec::new();
    for entry in entries {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// The owner goes last: while it is there, an interrupted demo can be told from anything else.
fn clear(out: &Path) -> io::Result<()> {
    for name in [TOPIC, DEAD_LETTERS] {
        remove(&out.join(name))?;
    }
    let (ledger, owner) = (out.join(LEDGER), out.join(Owner::key()));
    for name in names(&ledger)? {
        let path = ledger.join(name);
        if path != owner {
            remove(&path)?;
        }
    }
    remove(&ledger)
}

fn remove(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cut::manifest::MANIFEST_VERSION;
    use std::path::PathBuf;
    use tempfile::TempDir;

    fn folder_owned_by(sink: &str, cluster: &str) -> (TempDir, PathBuf) {
        let space = TempDir::new().unwrap();
        let out = space.path().join("out");
        let owner = Owner {
            version: MANIFEST_VERSION,
            ledger: "1".into(),
            cluster_id: cluster.into(),
            sink: sink.into(),
            group: SINK.into(),
        };
        put(&out.join(Owner::key()), &serde_json::to_vec(&owner).unwrap());
        put(&out.join("orders/v1/a.parquet"), b"rows");
        (space, out)
    }

    fn put(path: &Path, body: &[u8]) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, body).unwrap();
    }

    #[test]
    fn a_missing_folder_is_ready() {
        assert!(!prepare(&TempDir::new().unwrap().path().join("out")).unwrap());
    }

    #[test]
    fn an_earlier_demo_is_removed() {
        let (_space, out) = folder_owned_by(SINK, "mockCluster7f00");
        assert!(prepare(&out).unwrap());
        assert_eq!(look(&out).unwrap(), Found::Nothing);
    }

    #[test]
    fn a_demo_beside_other_files_stays() {
        let (_space, out) = folder_owned_by(SINK, "mockCluster7f00");
        put(&out.join("thesis.txt"), b"years");
        let error = prepare(&out).unwrap_err();
        assert!(error.to_string().contains("thesis.txt"), "{error}");
        assert!(out.join("orders/v1/a.parquet").exists());
    }

    #[test]
    fn the_ledger_of_another_sink_stays() {
        let (_space, out) = folder_owned_by("billing", "mockCluster7f00");
        let error = prepare(&out).unwrap_err();
        assert!(error.to_string().contains("sink billing"), "{error}");
        assert!(out.join("orders/v1/a.parquet").exists());
    }

    #[test]
    fn a_sink_named_demo_on_a_real_cluster_stays() {
        let (_space, out) = folder_owned_by(SINK, "8sYw7M3tSFmzT1dZ2f5hXA");
        assert!(prepare(&out).is_err());
        assert!(out.join("orders/v1/a.parquet").exists());
    }

    #[test]
    fn a_demo_that_was_stopped_at_its_probe_is_in_nobodys_way() {
        let space = TempDir::new().unwrap();
        put(&space.path().join("_eventsink/probe/1"), b"first");
        assert!(!prepare(space.path()).unwrap());
    }
}
