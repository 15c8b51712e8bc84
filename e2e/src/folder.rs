//! Folders in which a sink has landed: what is in them, and what a test takes out.

use std::path::{Path, PathBuf};

/// All files below a folder; what comes and goes meanwhile may be among them or not.
#[must_use]
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// All objects of the ledger of one kind: `cuts` or `done`.
#[must_use]
pub fn ledger(folder: &Path, kind: &str) -> Vec<PathBuf> {
    let of_kind = |path: &PathBuf| path.parent().is_some_and(|parent| parent.ends_with(kind));
    files(&folder.join("_eventsink")).into_iter().filter(of_kind).collect()
}

/// Takes away the marks that say that newest cuts are finished, as a crash before them would.
pub fn remove_done_marks(folder: &Path) {
    ledger(folder, "done").iter().for_each(|mark| std::fs::remove_file(mark).expect("a mark"));
}
