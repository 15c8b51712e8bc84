//! What the poll thread shares with the rest of the process: its heartbeat and facts of the client. Decides nothing.

use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// See the module.
#[derive(Debug, Default)]
pub struct Pulse {
    /// Milliseconds since the process started at the last turn of the loop.
    pub beat: AtomicU64,
    /// True once partitions, perhaps none, were assigned.
    pub joined: AtomicBool,
    /// Rebalances seen.
    pub rebalances: AtomicU64,
    /// Records delivered.
    pub records: AtomicU64,
    /// Bytes of keys and values delivered.
    pub bytes: AtomicU64,
    fault: Mutex<Option<String>>,
}

impl Pulse {
    /// The client as a whole reports an error; true when it is another one than the last.
    pub fn fails(&self, words: &str) -> bool {
        let mut fault = self.lock();
        let news = fault.as_deref() != Some(words);
        *fault = Some(words.to_owned());
        news
    }

    /// The cluster has answered: what was wrong with it is so no more.
    pub fn works(&self) {
        if self.lock().take().is_some() {
            tracing::info!("kafka is back");
        }
    }

    /// Last error of the client as a whole, until the cluster has answered again.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Option<String>> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::Pulse;

    #[test]
    fn an_error_is_shown_until_the_cluster_answers_and_is_news_once() {
        let pulse = Pulse::default();
        assert!(pulse.fails("down") && !pulse.fails("down"));
        assert_eq!(pulse.fault().as_deref(), Some("down"));
        pulse.works();
        assert_eq!(pulse.fault(), None);
    }
}
