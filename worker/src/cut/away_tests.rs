//! What a partition does while the store takes nothing.

use super::*;

fn away(rig: &mut Rig, away: bool) {
    assert_eq!(rig.step(Input::StoreAway(away), 0), []);
}

fn cuts(fx: &[Effect]) -> bool {
    fx.iter().any(|effect| matches!(effect, Effect::Cut(_)))
}

#[test]
fn triggers_wait_while_the_store_is_away() {
    let mut rig = Rig::reading(false);
    rig.read(0..1, 0);
    away(&mut rig, true);
    assert_eq!(rig.step(Input::Tick, 1000), []);
    rig.read(1..3, 1000);
    assert_eq!(rig.step(Input::Tick, 1000), []);
    away(&mut rig, false);
    assert_eq!(cut(&rig.step(Input::Tick, 1000)).to, 3);
}

#[test]
fn a_full_cut_takes_nothing_more_and_lets_records_wait() {
    let mut rig = Rig::reading(false);
    away(&mut rig, true);
    rig.read(0..3, 0);
    assert_eq!(rig.offer(3, 0), (Admit::Wait, vec![]));
    away(&mut rig, false);
    let (admit, fx) = rig.offer(3, 0);
    assert_eq!((admit, cut(&fx).to), (Admit::Take, 3));
}

#[test]
fn short_memory_makes_no_files_of_rows_that_nobody_takes() {
    let mut rig = Rig::reading(false);
    rig.read(0..1, 0);
    away(&mut rig, true);
    assert_eq!(rig.step(Input::ShortOfMemory, 0), []);
    assert_eq!(rig.machine.buffered(), 1);
}

#[test]
fn a_cut_in_flight_is_finished_and_the_next_one_waits() {
    let mut rig = Rig::with_cut_in_flight(false);
    rig.read(3..6, 0);
    away(&mut rig, true);
    let fx = rig.step(Input::FilesPut(Ok(())), 0);
    assert!(fx.contains(&Effect::Finished) && !cuts(&fx), "{fx:?}");
    away(&mut rig, false);
    assert_eq!(cut(&rig.step(Input::Tick, 0)).from, 3);
}

#[test]
fn a_leaving_partition_leaves_its_rows_to_the_log() {
    let mut rig = Rig::reading(false);
    rig.read(0..3, 0);
    away(&mut rig, true);
    assert_eq!(rig.step(Input::Revoke { lost: false }, 1000), [Effect::Discard, Effect::Release]);
}

#[test]
fn a_leaving_partition_waits_for_its_manifest_until_the_deadline() {
    let mut rig = Rig::with_cut_in_flight(false);
    away(&mut rig, true);
    assert_eq!(rig.step(Input::Revoke { lost: false }, 1), []);
    assert_eq!(rig.step(Input::Deadline, 2), [Effect::Discard, Effect::Release]);
}

#[test]
fn a_topic_made_again_does_not_bring_the_store_back() {
    let mut rig = Rig::reading(true);
    away(&mut rig, true);
    rig.step(Input::TopicMadeAgain, 0);
    let start = PartitionStart { offset: 0, epoch: -1, why: "earliest".into() };
    rig.step(Input::Resolved(Resolution::Fresh(start)), 0);
    rig.read(0..3, 0);
    assert_eq!(rig.step(Input::Tick, 1000), []);
}
