//! What the kernel says of a process. Linux only.

use std::time::Duration;

/// A tick of `/proc/PID/stat`: the interface fixes 100 a second for every program.
const TICK: Duration = Duration::from_millis(10);

/// Time of the processor that a process has used, its own and the kernel's for it, ended threads included.
#[must_use]
pub fn cpu(pid: u32) -> Duration {
    let path = format!("/proc/{pid}/stat");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("cannot read {path}: {error}"));
    ticks(&text).map_or_else(|| panic!("no times in {text}"), |ticks| TICK * ticks)
}

/// Fields 14 and 15; the second one, the name, may hold spaces.
fn ticks(stat: &str) -> Option<u32> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut times = fields.split(' ').skip(11).map(str::parse::<u32>);
    Some(times.next()?.ok()? + times.next()?.ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_process_may_hold_anything() {
        let stat = "7 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 150 25 0 0 20 0 9";
        assert_eq!(ticks(stat), Some(175));
    }
}
