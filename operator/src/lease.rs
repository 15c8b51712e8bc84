//! One operator works at a time: the one that holds the Lease. The others watch it grow old.
//!
//! Clocks of other machines are not believed: a Lease has run out when nobody has renewed it for its whole duration on
//! the clock of the one who looks. Its holder stops long before that, and asks before each write whether it still may.

use k8s_openapi::api::coordination::v1::{Lease as Object, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::{Api, Client};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::time::{sleep, timeout};

/// Nobody else takes a Lease that was renewed within this time.
const DURATION: Duration = Duration::from_secs(15);
/// Its holder writes nothing when its last renewal is older.
const TRUST: Duration = Duration::from_secs(10);
/// Time between two renewals, or two looks at somebody else's.
const PACE: Duration = Duration::from_secs(2);

/// Why the Lease is no longer ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Lost {
    /// Another operator took it.
    #[error("the Lease {name} is now held by {holder}")]
    Taken {
        /// Name of the Lease.
        name: String,
        /// Who holds it.
        holder: String,
    },
    /// It could not be renewed in time.
    #[error("the Lease {name} could not be renewed within {} s: {why}", TRUST.as_secs())]
    NotRenewed {
        /// Name of the Lease.
        name: String,
        /// The last reason.
        why: String,
    },
}

/// Whether this operator may write; shared with all that does.
#[derive(Debug, Clone)]
pub struct Leadership(Arc<Mutex<Held>>);

#[derive(Debug, Clone, Copy)]
enum Held {
    /// There is no Lease: nobody else works.
    Alone,
    /// Somebody else has it, or nobody.
    No,
    /// Ours, and when the last renewal was asked for.
    Since(Instant),
}

impl Leadership {
    /// For an operator without a Lease.
    #[must_use]
    pub fn alone() -> Self {
        Self(Arc::new(Mutex::new(Held::Alone)))
    }

    fn none() -> Self {
        Self(Arc::new(Mutex::new(Held::No)))
    }

    fn set(&self, held: Held) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = held;
    }

    /// Whether a write is allowed now.
    #[must_use]
    pub fn holds(&self) -> bool {
        match *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Held::Alone => true,
            Held::No => false,
            Held::Since(renewed) => renewed.elapsed() < TRUST,
        }
    }
}

/// What a look at the Lease asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    /// It is free, or has run out.
    Take,
    /// It is ours.
    Renew,
    /// Somebody has it.
    Wait(String),
}

/// The version of the Lease that was seen last, and for how long it has not changed.
#[derive(Debug, Default)]
struct Seen(Option<(String, Instant)>);

impl Seen {
    fn unchanged(&mut self, version: &str, now: Instant) -> Duration {
        match &self.0 {
            Some((seen, since)) if seen == version => now.duration_since(*since),
            _ => {
                self.0 = Some((version.to_owned(), now));
                Duration::ZERO
            }
        }
    }
}

/// Decides. `unchanged` is the time for which nobody has renewed it.
fn step(spec: &LeaseSpec, me: &str, unchanged: Duration) -> Step {
    let lasts = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
    match spec.holder_identity.as_deref().unwrap_or_default() {
        "" => Step::Take,
        holder if holder == me => Step::Renew,
        _ if unchanged >= lasts.map_or(DURATION, Duration::from_secs) => Step::Take,
        holder => Step::Wait(holder.to_owned()),
    }
}

/// The Lease as it shall be after a step; `old` is what was there.
fn renewed(old: Option<&LeaseSpec>, me: &str, now: Timestamp) -> LeaseSpec {
    let ours = old.filter(|old| old.holder_identity.as_deref() == Some(me));
    let changes = old.and_then(|old| old.lease_transitions).unwrap_or(0);
    LeaseSpec {
        holder_identity: Some(me.to_owned()),
        lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
        acquire_time: ours.map_or(Some(MicroTime(now)), |ours| ours.acquire_time.clone()),
        renew_time: Some(MicroTime(now)),
        lease_transitions: Some(if ours.is_some() || old.is_none() { changes } else { changes + 1 }),
        ..LeaseSpec::default()
    }
}

/// The Lease of all operators of one installation.
pub struct Lease {
    api: Api<Object>,
    name: String,
    me: String,
    seen: Seen,
    leadership: Leadership,
}

impl Lease {
    /// The Lease `name` in `namespace`; `me` names this process, and no other that runs.
    #[must_use]
    pub fn new(client: Client, namespace: &str, name: &str, me: &str) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            name: name.to_owned(),
            me: me.to_owned(),
            seen: Seen::default(),
            leadership: Leadership::none(),
        }
    }

    /// Tells whoever writes whether it may.
    #[must_use]
    pub fn leadership(&self) -> Leadership {
        self.leadership.clone()
    }

    /// Waits until it is ours.
    pub async fn acquire(&mut self) {
        let mut told = None;
        loop {
            match self.look().await {
                Ok(Step::Wait(holder)) => {
                    if told.as_ref() != Some(&holder) {
                        tracing::info!(lease = self.name, holder, "another operator works: waiting for its Lease");
                        told = Some(holder);
                    }
                }
                Ok(Step::Take | Step::Renew) => return tracing::info!(lease = self.name, me = self.me, "took the Lease"),
                Err(why) => tracing::warn!(lease = self.name, why, "cannot take the Lease; trying again"),
            }
            sleep(PACE).await;
        }
    }

    /// Renews it until it is lost; says why.
    pub async fn keep(&mut self) -> Lost {
        let mut renewed = Instant::now();
        let mut why = "no answer".to_owned();
        loop {
            sleep(PACE).await;
            let asked = Instant::now();
            // Counted from before the request, as others count from after it.
            match self.look().await {
                Ok(Step::Wait(holder)) => {
                    self.leadership.set(Held::No);
                    return Lost::Taken { name: self.name.clone(), holder };
                }
                Ok(_) => renewed = asked,
                Err(words) => why = words,
            }
            if renewed.elapsed() >= TRUST {
                self.leadership.set(Held::No);
                return Lost::NotRenewed { name: self.name.clone(), why };
            }
        }
    }

    /// Gives it back, so that the next need not wait until it has run out.
    pub async fn release(&mut self) {
        self.leadership.set(Held::No);
        let give_back = async {
            let mut object = self.api.get(&self.name).await?;
            if let Some(spec) = object.spec.as_mut().filter(|spec| spec.holder_identity.as_ref() == Some(&self.me)) {
                spec.holder_identity = Some(String::new());
                self.api.replace(&self.name, &PostParams::default(), &object).await?;
            }
            Ok::<_, kube::Error>(())
        };
        if let Ok(Err(error)) = timeout(PACE, give_back).await {
            tracing::debug!(%error, "the Lease was not given back; it runs out");
        }
    }

    /// Looks at it once and takes or renews it where that is due. Whoever changed it in between has won.
    async fn look(&mut self) -> Result<Step, String> {
        let asked = Instant::now();
        let step = timeout(TRUST / 2, self.attempt()).await.map_err(|_| "the API server does not answer".to_owned())?;
        let step = step.map_err(|error| error.to_string())?;
        if matches!(step, Step::Take | Step::Renew) {
            self.leadership.set(Held::Since(asked));
        }
        Ok(step)
    }

    async fn attempt(&mut self) -> Result<Step, kube::Error> {
        let Some(mut object) = self.api.get_opt(&self.name).await? else {
            let metadata = ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() };
            let object = Object { metadata, spec: Some(renewed(None, &self.me, Timestamp::now())) };
            return self.decided(self.api.create(&PostParams::default(), &object).await, Step::Take);
        };
        let version = object.metadata.resource_version.clone().unwrap_or_default();
        let old = object.spec.take().unwrap_or_default();
        let step = step(&old, &self.me, self.seen.unchanged(&version, Instant::now()));
        if matches!(step, Step::Wait(_)) {
            return Ok(step);
        }
        object.spec = Some(renewed(Some(&old), &self.me, Timestamp::now()));
        self.decided(self.api.replace(&self.name, &PostParams::default(), &object).await, step)
    }

    fn decided(&self, written: Result<Object, kube::Error>, step: Step) -> Result<Step, kube::Error> {
        match written {
            Ok(_) => Ok(step),
            Err(kube::Error::Api(status)) if status.is_conflict() || status.is_already_exists() => {
                Ok(Step::Wait("somebody who was quicker".to_owned()))
            }
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held_by(holder: &str) -> LeaseSpec {
        renewed(None, holder, Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn a_lease_is_taken_when_free_or_not_renewed_for_its_whole_duration() {
        let cases = [
            ("", Duration::ZERO, Step::Take),
            ("me", DURATION * 9, Step::Renew),
            ("other", Duration::ZERO, Step::Wait("other".to_owned())),
            ("other", DURATION - Duration::from_millis(1), Step::Wait("other".to_owned())),
            ("other", DURATION, Step::Take),
        ];
        for (holder, unchanged, expected) in cases {
            assert_eq!(step(&held_by(holder), "me", unchanged), expected, "{holder} {unchanged:?}");
        }
    }

    #[test]
    fn a_lease_that_says_how_long_it_lasts_is_waited_for_so_long() {
        let spec = LeaseSpec { lease_duration_seconds: Some(60), ..held_by("other") };
        assert_eq!(step(&spec, "me", DURATION), Step::Wait("other".to_owned()));
        assert_eq!(step(&spec, "me", Duration::from_secs(60)), Step::Take);
    }

    #[test]
    fn its_age_counts_from_when_a_version_was_first_seen() {
        let (mut seen, start) = (Seen::default(), Instant::now());
        assert_eq!(seen.unchanged("1", start), Duration::ZERO);
        assert_eq!(seen.unchanged("1", start + DURATION), DURATION);
        assert_eq!(seen.unchanged("2", start + DURATION), Duration::ZERO);
    }

    #[test]
    fn a_change_of_holder_is_counted_and_a_renewal_is_not() {
        let later = Timestamp::from_second(60).expect("a time");
        let ours = renewed(Some(&held_by("other")), "me", later);
        assert_eq!((ours.lease_transitions, &ours.acquire_time), (Some(1), &Some(MicroTime(later))));
        let again = renewed(Some(&ours), "me", Timestamp::from_second(90).expect("a time"));
        assert_eq!((again.lease_transitions, again.acquire_time), (Some(1), Some(MicroTime(later))));
    }

    #[test]
    fn who_has_not_renewed_for_too_long_may_not_write_though_nobody_else_has_it() {
        let leadership = Leadership::none();
        assert!(!leadership.holds());
        leadership.set(Held::Since(Instant::now()));
        assert!(leadership.holds());
        let Some(before) = Instant::now().checked_sub(TRUST) else { return };
        leadership.set(Held::Since(before));
        assert!(!leadership.holds());
        assert!(Leadership::alone().holds());
    }

    #[test]
    fn a_holder_stops_before_another_may_begin() {
        // The last write may begin at the end of TRUST and takes a moment.
        assert!(TRUST + PACE * 2 < DURATION);
    }
}
