//! What the kernel says of a process: time of the processor and the most memory it held. Linux only.

use std::time::Duration;

/// A tick of `/proc/PID/stat`: the interface fixes 100 a second for every program.
const TICK: Duration = Duration::from_millis(10);

/// Time of the processor that a process has used, its own and the kernel's for it, ended threads included.
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

/// The middle one of some figures; of two, the lower.
pub fn median(figures: Vec<f64>) -> f64 {
    share(figures, 0.5)
}

/// The least figure that such a share of all figures does not exceed.
pub fn share(mut figures: Vec<f64>, share: f64) -> f64 {
    figures.sort_by(f64::total_cmp);
    let below = (figures.len() as f64 * share).ceil() as usize;
    figures.get(below.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_process_may_hold_anything() {
        let stat = "7 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 150 25 0 0 20 0 9";
        assert_eq!(ticks(stat), Some(175));
    }

    #[test]
    fn the_median_is_the_middle_one() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0]), 1.0);
        assert_eq!(share((1..=200).map(f64::from).collect(), 0.99), 198.0);
    }
}
