//! The copy of a finished cut's dead letters: their files are there, so their bytes are what the copy is made of.

use super::Partition;
use crate::cut::{Input, Manifest};
use crate::runtime::Budget;
use crate::runtime::lane::Done;
use bytes::Bytes;
use std::sync::Arc;

impl Partition {
    pub(super) fn copy_dead(&mut self, manifest: Manifest) {
        let Some(dead_letters) = self.shared.dead_letters.clone() else {
            return self.input(Input::DeadCopied(Ok(())));
        };
        // Rows of a cut that was read again may be gone by now: what its files hold counts.
        let bodies = self.flight.as_ref().filter(|flight| !flight.from_files).map(|flight| flight.bodies.clone());
        let (shared, identity) = (Arc::clone(&self.shared), self.identity());
        self.spawn(async move {
            let body = |at: usize| {
                let (shared, known) = (&shared, bodies.as_ref().map(|bodies| bodies[at].clone()));
                let key = &manifest.files[at].key;
                async move {
                    match known {
                        Some(body) => Ok(body),
                        None => {
                            let body = shared.session.ledger().file(key).await.ok_or("it is not there")?;
                            Ok(counted(body, &shared.budget))
                        }
                    }
                }
            };
            let copied = dead_letters.copy(&manifest, &identity, body).await;
            Done::DeadCopied(copied.map_err(|error| error.to_string()))
        });
    }

    /// Memory is short, and a topic that takes no copies may be away for long: what is in the store need not stay here
    /// too.
    pub(super) fn copy_from_files(&mut self) {
        let Some(flight) = self.flight.as_mut().filter(|flight| !flight.from_files) else { return };
        flight.from_files = true;
        let left = flight.drop_bodies(true);
        self.shared.budget.change(&mut self.held_bodies, left);
    }
}

/// Bytes that the budget counts as long as somebody holds them.
fn counted(bytes: Bytes, budget: &Arc<Budget>) -> Bytes {
    budget.add(bytes.len());
    Bytes::from_owner(Counted { bytes, budget: Arc::clone(budget) })
}

struct Counted {
    bytes: Bytes,
    budget: Arc<Budget>,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.budget.sub(self.bytes.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fetched_bytes_are_counted_until_the_last_holder_is_gone() {
        let budget = Arc::new(Budget::new(1000));
        let body = counted(Bytes::from_static(b"12345"), &budget);
        let part = body.slice(1..3);
        drop(body);
        assert_eq!((budget.used(), &part[..]), (5, &b"23"[..]));
        drop(part);
        assert_eq!(budget.used(), 0);
    }
}
