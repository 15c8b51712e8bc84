//! The modes, and what is not known.

use super::*;

fn policy(mode: ScalingMode) -> Policy {
    Policy { scaling: Scaling { mode, ..Scaling::default() }, replicas: 5, suspend: false, alone: false }
}

fn decide(policy: &Policy, observed: &Observed) -> Plan {
    plan(policy, observed, &mut Memory::default(), Duration::ZERO)
}

fn seen(current: i32, partitions: i32) -> Observed {
    Observed { current: Some(current), partitions: Some(partitions), places: None }
}

#[test]
fn by_partitions_a_worker_has_so_many_within_the_bounds() {
    let mut policy = policy(ScalingMode::Partitions);
    for (partitions, each, expected) in [(0, 1, 1), (1, 1, 1), (12, 1, 12), (12, 5, 3), (40, 1, 16), (16, 100, 1)] {
        policy.scaling.partitions_per_replica = each;
        let plan = decide(&policy, &seen(1, partitions));
        assert_eq!((plan.replicas, plan.active), (expected, true), "{partitions} partitions, {each} each: {plan:?}");
    }
    policy.scaling.partitions_per_replica = 1;
    assert_eq!(decide(&policy, &seen(3, 5)).replicas, 5, "partitions were added");
}

#[test]
fn unknown_is_not_zero() {
    let nothing = Observed::default();
    let some = Observed { current: Some(7), ..Observed::default() };
    for mode in [ScalingMode::Partitions, ScalingMode::Lag] {
        let first = decide(&policy(mode), &nothing);
        assert_eq!((first.replicas, first.active, first.reason), (1, false, reason::HOLDING), "{mode:?}");
        let holds = decide(&policy(mode), &some);
        assert_eq!((holds.replicas, holds.active, holds.reason), (7, false, reason::HOLDING), "{mode:?}");
    }
    let empty = Observed { current: Some(7), partitions: Some(0), places: Some(Vec::new()) };
    assert_eq!(decide(&policy(ScalingMode::Lag), &empty).replicas, 7, "no partition at all is no answer");
}

#[test]
fn while_the_broker_is_away_the_number_holds_and_nothing_is_made_up_for_when_it_is_back() {
    let policy = policy(ScalingMode::Lag);
    let mut memory = Memory::default();
    let place = |at: u64| Place {
        partition: ("orders".to_owned(), 0),
        worker: 0,
        position: at as i64 * 10,
        high: at as i64 * 10,
        unread: 0,
        held: false,
    };
    let mut at = |seconds: u64, known: bool| {
        let places = known.then(|| vec![place(seconds)]);
        plan(
            &policy,
            &Observed { current: Some(4), partitions: Some(1), places },
            &mut memory,
            Duration::from_secs(seconds),
        )
    };
    (0..120).step_by(15).for_each(|seconds| assert_eq!(at(seconds, true).replicas, 4));
    for seconds in (120..7200).step_by(15) {
        let plan = at(seconds, false);
        assert_eq!((plan.replicas, plan.active), (4, false), "{seconds} s");
    }
    let back = at(7200, true);
    assert_eq!(back.replicas, 4, "the time without an answer is no time of quiet: {back:?}");
}

#[test]
fn new_bounds_hold_at_once() {
    let mut policy = policy(ScalingMode::Lag);
    (policy.scaling.min_replicas, policy.scaling.max_replicas) = (2, 4);
    let place = Place { partition: ("orders".to_owned(), 0), worker: 0, position: 0, high: 0, unread: 0, held: false };
    for (current, expected) in [(1, 2), (3, 3), (9, 4)] {
        let observed = Observed { current: Some(current), partitions: Some(1), places: Some(vec![place.clone()]) };
        assert_eq!(decide(&policy, &observed).replicas, expected, "{current} workers");
    }
}

#[test]
fn fixed_and_external_follow_the_spec_even_to_zero_and_a_suspended_sink_has_none() {
    for mode in [ScalingMode::Fixed, ScalingMode::External] {
        for replicas in [0, 5, 1000] {
            let policy = Policy { replicas, ..policy(mode) };
            assert_eq!(decide(&policy, &seen(1, 3)).replicas, replicas, "{mode:?}");
        }
    }
    for mode in [ScalingMode::Partitions, ScalingMode::Lag, ScalingMode::External, ScalingMode::Fixed] {
        assert_eq!(decide(&Policy { suspend: true, ..policy(mode) }, &seen(3, 3)).replicas, 0, "{mode:?}");
    }
}

#[test]
fn a_volume_for_one_node_has_one_worker_or_none() {
    let alone = |replicas| Policy { replicas, alone: true, ..policy(ScalingMode::Fixed) };
    let many = decide(&alone(5), &seen(1, 3));
    assert_eq!((many.replicas, many.active, many.reason), (1, false, reason::CLAIM_NOT_SHARED));
    for replicas in [0, 1] {
        let plan = decide(&alone(replicas), &seen(1, 3));
        assert_eq!((plan.replicas, plan.active), (replicas, true));
    }
}
