//! One rule of the breaker each, over simulated time.

use super::*;
use Admission::{At, Go};
use Verdict::{Nothing, Refuses, Works};

const RULES: BreakerRules = BreakerRules {
    window: secs(60),
    min_requests: 3,
    failure_share: Share::percent(50),
    open: secs(5),
    max_open: secs(120),
};

const FAILS: Verdict = Verdict::Fails { asked: Duration::ZERO };

const fn secs(n: u64) -> Now {
    Duration::from_secs(n)
}

/// Sends a request that ends at once.
fn send(breaker: &mut Breaker, verdict: Verdict, now: Now) {
    let Go(pass) = breaker.admit(now) else { panic!("{breaker:?} lets nothing through at {now:?}") };
    breaker.settle(pass, verdict, now, 1.0);
}

fn after(verdicts: &[(Verdict, u64)]) -> Breaker {
    let mut breaker = Breaker::new(RULES);
    verdicts.iter().for_each(|(verdict, at)| send(&mut breaker, *verdict, secs(*at)));
    breaker
}

#[test]
fn half_of_at_least_three_requests_in_the_window_open_it() {
    assert_eq!(after(&[(FAILS, 0), (FAILS, 0)]).state(), BreakerState::Closed, "two are not judged");
    assert_eq!(after(&[(FAILS, 0), (FAILS, 0), (FAILS, 0)]).state(), BreakerState::Open);
    assert_eq!(after(&[(Works, 0), (Works, 0), (FAILS, 1), (FAILS, 2)]).state(), BreakerState::Open);
    assert_eq!(after(&[(Works, 0), (Works, 0), (Works, 0), (FAILS, 1), (FAILS, 2)]).state(), BreakerState::Closed);
    let with_one_at = |at| after(&[(FAILS, 0), (FAILS, 0), (Works, 1), (FAILS, at)]).state();
    assert_eq!(with_one_at(60), BreakerState::Closed, "the window slides on");
    assert_eq!(with_one_at(59), BreakerState::Open);
}

#[test]
fn one_refusal_opens_it_and_what_says_nothing_of_the_store_never_does() {
    assert_eq!(after(&[(Works, 0), (Works, 0), (Refuses, 0)]).state(), BreakerState::Open);
    assert_eq!(after(&[(Nothing, 0); 100]).state(), BreakerState::Closed);
    assert_eq!(after(&[(Nothing, 0), (FAILS, 0), (FAILS, 0)]).state(), BreakerState::Closed, "it is not counted");
}

#[test]
fn each_kind_of_failure_has_its_verdict() {
    let place = super::super::error::Location {
        place: "s3://b".into(),
        endpoint: "https://h".into(),
        kind: super::super::error::Place::Bucket,
        secrets: vec![],
    };
    for kind in StoreErrorKind::ALL {
        let expected = match kind {
            StoreErrorKind::Denied | StoreErrorKind::NoBucket => Refuses,
            StoreErrorKind::Conflict | StoreErrorKind::Other => Nothing,
            _ => FAILS,
        };
        assert_eq!(Verdict::of::<()>(&Err(place.error(kind, "put k", "no"))), expected, "{kind:?}");
    }
    assert_eq!(Verdict::of(&Ok(())), Works);
}

#[test]
fn it_stays_open_twice_as_long_after_each_failed_probe_up_to_the_maximum() {
    let mut breaker = after(&[(Refuses, 0)]);
    let (mut now, mut waits) = (Duration::ZERO, vec![]);
    for _ in 0..7 {
        let At(until) = breaker.admit(now) else { panic!("{breaker:?}") };
        waits.push((until - now).as_secs());
        now = until;
        send(&mut breaker, FAILS, now);
    }
    assert_eq!(waits, [5, 10, 20, 40, 80, 120, 120]);
}

#[test]
fn half_of_the_time_is_random() {
    for (share, expected) in [(0.0, 2500), (0.5, 3750), (1.0, 5000), (7.0, 5000)] {
        let mut breaker = Breaker::new(RULES);
        let Go(pass) = breaker.admit(Duration::ZERO) else { panic!("it is closed") };
        breaker.settle(pass, Refuses, Duration::ZERO, share);
        assert_eq!(breaker.admit(Duration::ZERO), At(Duration::from_millis(expected)));
    }
}

#[test]
fn a_store_that_asks_for_time_gets_it_within_reason() {
    for (asked, expected) in [(1, 5), (60, 60), (86_400, 300)] {
        let mut breaker = after(&[(FAILS, 0), (FAILS, 0)]);
        send(&mut breaker, Verdict::Fails { asked: secs(asked) }, secs(0));
        assert_eq!(breaker.admit(secs(0)), At(secs(expected)));
    }
}

#[test]
fn one_success_closes_it_and_what_failed_before_is_forgotten() {
    let mut breaker = after(&[(FAILS, 0), (FAILS, 0), (FAILS, 0), (Works, 5)]);
    send(&mut breaker, FAILS, secs(6));
    send(&mut breaker, FAILS, secs(6));
    assert_eq!(breaker.state(), BreakerState::Closed);
}

#[test]
fn a_store_that_comes_back_only_to_fail_again_is_left_alone_longer_and_longer() {
    let mut flapping = after(&[(Refuses, 0), (Works, 5), (Refuses, 6)]);
    assert_eq!(flapping.admit(secs(6)), At(secs(16)));
    let mut well = after(&[(Refuses, 0), (Works, 5), (Refuses, 65)]);
    assert_eq!(well.admit(secs(65)), At(secs(70)), "it worked for a whole window");
}

#[test]
fn what_began_before_a_change_says_nothing_after_it() {
    let mut breaker = Breaker::new(RULES);
    let Go(late) = breaker.admit(secs(0)) else { panic!("it is closed") };
    send(&mut breaker, Refuses, secs(0));
    breaker.settle(late, Works, secs(1), 1.0);
    assert_eq!(breaker.state(), BreakerState::Open);
    let Go(probe) = breaker.admit(secs(5)) else { panic!("its time is over") };
    breaker.settle(late, Works, secs(5), 1.0);
    assert_eq!(breaker.admit(secs(5)), At(secs(5) + RULES.max_open));
    breaker.settle(probe, Nothing, secs(6), 1.0);
    assert!(matches!(breaker.admit(secs(6)), Go(_)), "a probe that was given up makes room for the next");
}

#[test]
fn no_work_begins_until_it_is_closed() {
    let mut breaker = after(&[(Refuses, 0)]);
    assert!(breaker.halts());
    let Go(probe) = breaker.admit(secs(5)) else { panic!("its time is over") };
    assert!(breaker.halts());
    breaker.settle(probe, Works, secs(5), 1.0);
    assert!(!breaker.halts());
}

#[test]
fn a_probe_that_does_not_end_makes_room_for_the_next_and_says_nothing_any_more() {
    let mut breaker = after(&[(Refuses, 0)]);
    let Go(lost) = breaker.admit(secs(5)) else { panic!("its time is over") };
    let Go(next) = breaker.admit(secs(5) + RULES.max_open) else { panic!("the probe took too long") };
    breaker.settle(lost, Refuses, secs(6) + RULES.max_open, 1.0);
    breaker.settle(next, Works, secs(7) + RULES.max_open, 1.0);
    assert_eq!(breaker.state(), BreakerState::Closed);
}

#[test]
fn failures_in_a_row_open_it_however_slowly_they_come() {
    let mut breaker = after(&[(FAILS, 0), (FAILS, 61)]);
    assert_eq!(breaker.state(), BreakerState::Closed);
    send(&mut breaker, FAILS, secs(122));
    assert_eq!(breaker.state(), BreakerState::Open);
    let mut well = after(&[(FAILS, 0), (FAILS, 61), (Works, 62), (Works, 63), (Works, 64), (FAILS, 130)]);
    send(&mut well, FAILS, secs(191));
    assert_eq!(well.state(), BreakerState::Closed, "it worked in between");
}

/// A small generator of numbers (SplitMix64), so that each seed is one story.
fn roll(seed: &mut u64, below: u64) -> u64 {
    *seed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *seed;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (z ^ (z >> 31)) % below
}

#[test]
fn whatever_happens_there_is_never_a_second_probe_and_the_next_one_comes_in_time() {
    for story in 0..500 {
        let (mut seed, mut now, mut breaker) = (story, Duration::ZERO, Breaker::new(RULES));
        // Requests under way, and whether each was let through as a probe.
        let (mut sent, mut probing): (Vec<(Pass, bool)>, _) = (vec![], Duration::ZERO);
        for _ in 0..400 {
            now += Duration::from_millis(roll(&mut seed, 20_000));
            let before = breaker.state();
            if roll(&mut seed, 2) == 0 {
                match breaker.admit(now) {
                    Go(pass) => {
                        if before == BreakerState::HalfOpen {
                            assert!(now - probing >= RULES.max_open, "story {story}: the probe had more time");
                            sent.iter_mut().for_each(|(_, probe)| *probe = false);
                        }
                        probing = now;
                        sent.push((pass, before != BreakerState::Closed));
                    }
                    At(until) => assert!(until > now && until - now <= RULES.max_open, "story {story}"),
                }
                assert!(sent.iter().filter(|(_, probe)| *probe).count() <= 1, "story {story}: two probes");
            } else if !sent.is_empty() {
                let at = roll(&mut seed, sent.len() as u64) as usize;
                let (pass, probe) = sent.swap_remove(at);
                let verdict = [Works, FAILS, FAILS, Refuses, Nothing][roll(&mut seed, 5) as usize];
                breaker.settle(pass, verdict, now, roll(&mut seed, 100) as f64 / 100.0);
                let stays = !probe && before != BreakerState::Closed;
                assert!(!stays || breaker.state() == before, "story {story}: a late end changed the state");
            }
        }
    }
}

/// What a request of the story below does.
#[derive(Clone, Copy)]
enum Request {
    Waits,
    Sent(Pass, Now),
    Done,
}

#[test]
fn an_hours_outage_costs_one_request_at_a_time_and_is_over_soon_after_it_ends() {
    let (hour, step, takes) = (secs(3600), Duration::from_millis(100), Duration::from_millis(200));
    let (mut breaker, mut now, mut seed, mut tries) = (Breaker::new(RULES), Duration::ZERO, 1, 0);
    let mut requests = [Request::Waits; 16];
    while !requests.iter().all(|request| matches!(request, Request::Done)) {
        for request in &mut requests {
            *request = match *request {
                Request::Waits => match breaker.admit(now) {
                    Go(pass) => {
                        tries += 1;
                        Request::Sent(pass, now + takes)
                    }
                    _ => Request::Waits,
                },
                Request::Sent(pass, end) if now >= end => {
                    let works = now >= hour;
                    breaker.settle(pass, if works { Works } else { FAILS }, now, roll(&mut seed, 100) as f64 / 100.0);
                    if works { Request::Done } else { Request::Waits }
                }
                other => other,
            };
        }
        let under_way = requests.iter().filter(|request| matches!(request, Request::Sent(..))).count();
        assert!(now < secs(1) || now >= hour || under_way <= 1, "{under_way} requests at {now:?}");
        now += step;
    }
    assert!(now <= hour + RULES.max_open + secs(1), "the last one ended at {now:?}");
    assert!(tries <= 16 + 16 + 8 + 60, "{tries} tries in an hour");
}
