//! An answer that many wait for: asked once for all of them, and at most fifty times a second.

use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// Two questions are at least so far apart. What Kafka says of a topic is as long as the topic has partitions.
const PACE: Duration = Duration::from_millis(20);

/// The last answer and when it was asked for.
#[derive(Debug)]
pub struct SharedAnswer<T>(Mutex<Option<(Instant, T)>>);

impl<T> Default for SharedAnswer<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<T: Clone> SharedAnswer<T> {
    /// An answer to a question that was asked at `since` or later.
    pub async fn since(&self, since: Instant, ask: impl AsyncFnOnce() -> T) -> T {
        let mut last = self.0.lock().await;
        if let Some((asked, answer)) = &*last {
            if *asked >= since {
                return answer.clone();
            }
            // Others come to wait meanwhile, and all share the next one.
            tokio::time::sleep_until(*asked + PACE).await;
        }
        let asked = Instant::now();
        let answer = ask().await;
        *last = Some((asked, answer.clone()));
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::future::join_all;
    use std::cell::RefCell;

    /// Each question takes a while; the answer is its number.
    async fn ask(asked: &RefCell<Vec<Instant>>) -> usize {
        asked.borrow_mut().push(Instant::now());
        let number = asked.borrow().len();
        tokio::time::sleep(Duration::from_millis(10)).await;
        number
    }

    #[tokio::test]
    async fn all_that_wait_when_it_is_asked_share_an_answer() {
        let (answer, asked) = (SharedAnswer::default(), RefCell::default());
        for number in 1..=2 {
            let since = Instant::now();
            let answers = join_all((0..600).map(|_| answer.since(since, async || ask(&asked).await))).await;
            assert_eq!(answers, [number; 600]);
        }
    }

    #[tokio::test]
    async fn no_answer_is_older_than_the_wish_for_it_and_no_question_follows_another_at_once() {
        let (answer, asked) = (SharedAnswer::default(), RefCell::default());
        for number in 1..=3 {
            let since = Instant::now();
            assert_eq!(answer.since(since, async || ask(&asked).await).await, number);
            assert!(asked.borrow()[number - 1] >= since);
        }
        assert!(asked.borrow().windows(2).all(|two| two[1] - two[0] >= PACE), "{asked:?}");
    }
}
