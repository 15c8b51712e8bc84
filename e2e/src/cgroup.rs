//! A control group that holds a worker to so much memory as a container would. Needs the right to make one.

use std::fs;
use std::path::{Path, PathBuf};

/// Where either version is mounted, with the names of its files: limit, peak, and what counts kills.
const VERSIONS: [(&str, [&str; 3]); 2] = [
    ("/sys/fs/cgroup/memory", ["memory.limit_in_bytes", "memory.max_usage_in_bytes", "memory.oom_control"]),
    ("/sys/fs/cgroup", ["memory.max", "memory.peak", "memory.events"]),
];

/// A control group of the test's own. Removed with it, once no process is left in it.
#[derive(Debug)]
pub struct Cgroup {
    folder: PathBuf,
    files: [&'static str; 3],
}

impl Cgroup {
    /// A new group whose processes may hold `limit` bytes together.
    #[must_use]
    pub fn with_memory(limit: u64) -> Self {
        let name = crate::rig::unique("eventsink");
        let tried = VERSIONS.map(|(mount, files)| {
            let group = Self { folder: Path::new(mount).join(&name), files };
            group.make(limit).map(|()| group).map_err(|error| format!("{mount}: {error}"))
        });
        let words = tried.iter().filter_map(|made| made.as_ref().err().cloned()).collect::<Vec<_>>().join("; ");
        tried.into_iter().find_map(Result::ok).unwrap_or_else(|| {
            panic!(
                "needs a control group with the memory controller, version 1 or 2, in which to make a group: {words}"
            )
        })
    }

    fn make(&self, limit: u64) -> std::io::Result<()> {
        fs::create_dir(&self.folder)?;
        fs::write(self.folder.join(self.files[0]), limit.to_string())
    }

    /// The file that takes a process into the group.
    pub(crate) fn entrance(&self) -> PathBuf {
        self.folder.join("cgroup.procs")
    }

    /// Most bytes that were held at a time, page cache and the kernel's own included.
    #[must_use]
    pub fn peak(&self) -> u64 {
        self.read(1).trim().parse().expect("a number of bytes")
    }

    /// Processes that were killed for want of memory.
    #[must_use]
    pub fn kills(&self) -> u64 {
        let text = self.read(2);
        let count = text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok());
        count.unwrap_or_else(|| panic!("no count of kills in {text}"))
    }

    fn read(&self, file: usize) -> String {
        let path = self.folder.join(self.files[file]);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()))
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // A group in which a process still ends stays behind, empty.
        let _ = fs::remove_dir(&self.folder);
    }
}
