//! What the process really holds, as the kernel counts it. No other place reads it.

/// Bytes of memory that belong to this process alone, heaps and stacks, without mapped files; `None` where the kernel
/// does not say.
pub(super) fn anonymous() -> Option<usize> {
    in_status(&std::fs::read_to_string("/proc/self/status").ok()?)
}

fn in_status(text: &str) -> Option<usize> {
    let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<usize>().ok()? << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_says_it_in_kibibytes() {
        assert_eq!(in_status("VmRSS:\t 9 kB\nRssAnon:\t    12 kB\nRssFile:\t 3 kB\n"), Some(12 << 10));
        assert_eq!(in_status("VmRSS:\t 9 kB\n"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn it_is_known_on_linux() {
        assert!(anonymous().is_some_and(|bytes| bytes > 0));
    }
}
