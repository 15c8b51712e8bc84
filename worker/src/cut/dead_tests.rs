//! Dead letters: their copy comes before every proof that a cut is finished, and a flood of them before nothing.

use super::*;

const COPYING: Orders = Orders { copy_dead: true, ..ORDERS };
const FLOOD: FloodLimit = FloodLimit { threshold: Share::percent(50), min_records: 2 };

fn with_dead(from: i64, to: i64, nonce: &str) -> Manifest {
    Manifest { dead: ranges(&[(from, from + 1)]), ..manifest(from, to, nonce) }
}

fn reading(orders: Orders) -> Rig {
    let mut rig = Rig::with(orders);
    let start = PartitionStart { offset: 0, epoch: -1, why: "earliest".into() };
    rig.step(Input::Resolved(Resolution::Fresh(start)), 0);
    rig
}

/// Reads `[0, 3)` and puts manifest `a` of it, whose first record is a dead letter, and its files.
fn copying() -> Rig {
    let mut rig = reading(COPYING);
    rig.read(0..3, 0);
    rig.step(Input::Tick, 0);
    rig.step(Input::ManifestPut(PutOutcome::Won(with_dead(0, 3, "a"))), 0);
    assert_eq!(rig.step(Input::FilesPut(Ok(())), 0), [Effect::CopyDead(with_dead(0, 3, "a"))]);
    rig
}

fn dead(rig: &mut Rig, offsets: std::ops::Range<i64>, at: u64) {
    for offset in offsets {
        assert_eq!(rig.machine.admit(rig.generation, offset, secs(at), &mut vec![]), Admit::Take, "offset {offset}");
        rig.machine.taken(1, Outcome::Dead(Reason::NotACloudEvent), secs(at));
    }
}

#[test]
fn a_cut_is_committed_and_the_next_one_closed_only_after_the_copy() {
    let mut rig = copying();
    rig.read(3..6, 0);
    assert_eq!(rig.step(Input::Tick, 100), []);
    assert_eq!((rig.offer(6, 100).0, rig.machine.frontier()), (Admit::Wait, 0));
    let fx = rig.step(Input::DeadCopied(Ok(())), 100);
    assert_eq!((&fx[..2], cut(&fx).from), (&[Effect::Finished, commit(3, "a")][..], 3));
}

#[test]
fn a_cut_without_dead_letters_is_not_copied() {
    let mut rig = reading(COPYING);
    rig.read(0..3, 0);
    rig.step(Input::Tick, 0);
    rig.step(Input::ManifestPut(PutOutcome::Won(manifest(0, 3, "a"))), 0);
    assert_eq!(rig.step(Input::FilesPut(Ok(())), 0), [Effect::Finished, commit(3, "a")]);
}

fn fails(rig: &mut Rig, at: u64) -> Vec<Effect> {
    rig.step(Input::DeadCopied(Err("no such topic".into())), at)
}

#[test]
fn a_failed_copy_keeps_the_cut_and_is_tried_again_ever_more_seldom() {
    let mut rig = copying();
    let fx = fails(&mut rig, 0);
    assert_eq!((fx.len(), held(&fx)), (1, HoldReason::DeadLetterTopic));
    let mut now = 0;
    for wait in [10, 20, 40, 80, 160, 300, 300] {
        assert_eq!(rig.machine.hold().map(|hold| hold.reason), Some(HoldReason::DeadLetterTopic));
        assert_eq!(rig.step(Input::Tick, now + wait - 1), []);
        now += wait;
        assert_eq!(rig.step(Input::Tick, now), [Effect::CopyDead(with_dead(0, 3, "a"))]);
        assert_eq!(rig.step(Input::Tick, now + 1000), [], "one copy at a time");
        assert_eq!(fails(&mut rig, now), [], "told once");
    }
    rig.step(Input::Tick, now + 300);
    assert_eq!(rig.step(Input::DeadCopied(Ok(())), now + 300), [Effect::Finished, commit(3, "a")]);
    assert_eq!(rig.machine.hold(), None);
}

#[test]
fn the_next_cut_fills_behind_a_failed_copy_until_it_is_full() {
    let mut rig = copying();
    fails(&mut rig, 0);
    rig.read(3..6, 0);
    assert_eq!(rig.offer(6, 0).0, Admit::Wait);
    rig.step(Input::Tick, 10);
    let fx = rig.step(Input::DeadCopied(Ok(())), 10);
    assert_eq!(cut(&fx).from, 3);
}

#[test]
fn another_hold_leaves_the_copy_its_time_and_looks_again_after_it() {
    let mut rig = copying();
    rig.read(3..5, 0);
    let fx = rig.step(Input::OutOfRange { generation: rig.generation, low: 0 }, 0);
    assert_eq!((&fx[..2], held(&fx)), (&[Effect::DiscardOpen, Effect::Pause][..], HoldReason::OffsetLost));
    assert_eq!(rig.step(Input::Tick, 100), []);
    fails(&mut rig, 100);
    assert_eq!(rig.step(Input::Tick, 110), [Effect::CopyDead(with_dead(0, 3, "a"))]);
    let fx = rig.step(Input::DeadCopied(Ok(())), 110);
    assert_eq!((fx, rig.machine.frontier()), (vec![Effect::Finished, commit(3, "a")], 3));
    assert_eq!(rig.step(Input::Tick, 110), [Effect::Resolve]);
    assert_eq!(rig.step(Input::Resolved(Resolution::After(with_dead(0, 3, "a"))), 110), [seek(3, 1, 3)]);
}

#[test]
fn memory_behind_a_failed_copy_is_given_back_when_it_is_short() {
    let mut rig = copying();
    rig.read(3..5, 0);
    assert_eq!(rig.step(Input::ShortOfMemory, 0), [], "the copy may end soon");
    fails(&mut rig, 0);
    assert_eq!(rig.step(Input::ShortOfMemory, 0), [Effect::DiscardOpen, Effect::Pause]);
    assert_eq!(rig.step(Input::Tick, 10), [Effect::CopyDead(with_dead(0, 3, "a"))]);
    rig.step(Input::DeadCopied(Ok(())), 10);
    assert_eq!(rig.step(Input::Tick, 10), [Effect::Resolve]);
}

#[test]
fn a_partition_that_leaves_does_not_wait_for_a_copy_that_fails() {
    let mut rig = copying();
    let mut waits = Rig { machine: rig.machine.clone(), generation: rig.generation };
    fails(&mut waits, 0);
    assert_eq!(waits.step(Input::Revoke { lost: false }, 0), [Effect::Discard, Effect::Release]);
    rig.step(Input::Revoke { lost: false }, 0);
    assert_eq!(fails(&mut rig, 0).last(), Some(&Effect::Release));
}

#[test]
fn an_adopted_cut_is_copied_while_the_next_one_is_read() {
    let mut rig = Rig::with(COPYING);
    rig.step(Input::Resolved(Resolution::Adopt(with_dead(0, 3, "a"))), 0);
    let fx = rig.step(Input::FilesChecked(Ok(vec![])), 0);
    assert_eq!(fx, [seek(3, 1, 2), Effect::CopyDead(with_dead(0, 3, "a"))]);
    rig.keep(fx);
    rig.read(3..6, 0);
    assert_eq!((rig.step(Input::Tick, 0), rig.machine.frontier()), (vec![], 0));
    assert_eq!(cut(&rig.step(Input::DeadCopied(Ok(())), 0)).prev, "a");
}

#[test]
fn an_adopted_cut_whose_files_are_put_is_copied_too() {
    let mut rig = Rig::with(COPYING);
    rig.step(Input::Resolved(Resolution::Adopt(with_dead(0, 3, "a"))), 0);
    rig.step(Input::FilesChecked(Ok(vec![0])), 0);
    rig.read(0..3, 0);
    rig.position(3, 0);
    rig.step(Input::Replayed(Ok(())), 0);
    assert_eq!(rig.step(Input::FilesPut(Ok(())), 0), [Effect::CopyDead(with_dead(0, 3, "a"))]);
}

#[test]
fn a_partition_that_leaves_waits_for_the_copy_and_at_the_deadline_leaves_it_to_others() {
    let mut rig = copying();
    assert_eq!(rig.step(Input::Revoke { lost: false }, 0), []);
    let mut late = Rig { machine: rig.machine.clone(), generation: rig.generation };
    assert_eq!(late.step(Input::Deadline, 0), [Effect::Discard, Effect::Release]);
    let fx = rig.step(Input::DeadCopied(Ok(())), 0);
    assert_eq!(fx[..3], [Effect::Finished, commit(3, "a"), Effect::MarkDone(0)]);
}

#[test]
fn a_flood_holds_before_its_manifest_and_stands_while_it_is_read_again() {
    let mut rig = reading(Orders { flood: FLOOD, ..ORDERS });
    dead(&mut rig, 0..2, 0);
    rig.read(2..3, 0);
    let fx = rig.step(Input::Tick, 0);
    assert_eq!(held(&fx), HoldReason::PoisonFlood);
    assert!(!fx.iter().any(|effect| matches!(effect, Effect::Cut(_))), "{fx:?}");
    assert_eq!(rig.step(Input::Tick, 599), []);
    assert_eq!(rig.step(Input::Tick, 600), [Effect::Resolve]);
    let start = PartitionStart { offset: 0, epoch: -1, why: "earliest".into() };
    rig.step(Input::Resolved(Resolution::Fresh(start)), 600);
    assert_eq!(rig.machine.hold().map(|hold| hold.reason), Some(HoldReason::PoisonFlood));
    // By now they are meant to be left out.
    rig.read(0..3, 600);
    assert_eq!(cut(&rig.step(Input::Tick, 600)).to, 3);
    assert_eq!(rig.machine.hold(), None);
}

#[test]
fn a_flood_that_a_record_closes_drops_that_record() {
    let mut rig = reading(Orders { flood: FLOOD, ..ORDERS });
    dead(&mut rig, 0..3, 0);
    let (admit, fx) = rig.offer(3, 0);
    assert_eq!((admit, held(&fx)), (Admit::Drop, HoldReason::PoisonFlood));
}

#[test]
fn cuts_closed_early_for_want_of_memory_do_not_slip_below_the_least_number() {
    let mut rig = reading(Orders { flood: FLOOD, ..ORDERS });
    dead(&mut rig, 0..1, 0);
    assert_eq!(cut(&rig.step(Input::ShortOfMemory, 0)).to, 1);
    rig.step(Input::ManifestPut(PutOutcome::Won(with_dead(0, 1, "a"))), 0);
    rig.step(Input::FilesPut(Ok(())), 0);
    dead(&mut rig, 1..2, 0);
    assert_eq!(held(&rig.step(Input::ShortOfMemory, 0)), HoldReason::PoisonFlood);
}

#[test]
fn a_cut_that_did_not_come_about_is_counted_once_when_it_is_read_again() {
    let mut rig = reading(Orders { flood: FLOOD, ..ORDERS });
    for at in [0, 100] {
        dead(&mut rig, 0..1, at);
        assert_eq!(cut(&rig.step(Input::ShortOfMemory, at)).to, 1);
        rig.step(Input::Stuck { reason: HoldReason::LedgerDamaged, detail: "no".into() }, at);
        rig.step(Input::Tick, at + 60);
        let start = PartitionStart { offset: 0, epoch: -1, why: "earliest".into() };
        rig.step(Input::Resolved(Resolution::Fresh(start)), at + 60);
    }
}

#[test]
fn cuts_of_another_owner_count_once_each() {
    let mut rig = Rig::with(Orders { flood: FLOOD, ..ORDERS });
    let tip = |from, nonce| Manifest { files: vec![], ..with_dead(from, from + 1, nonce) };
    let look = |rig: &mut Rig, tip| {
        rig.step(Input::Resolved(Resolution::After(tip)), 0);
        rig.machine.flood.clone()
    };
    let first = look(&mut rig, tip(0, "a"));
    let error = Input::Stuck { reason: HoldReason::LedgerDamaged, detail: "no".into() };
    rig.step(error.clone(), 0);
    assert_eq!(look(&mut rig, tip(0, "a")), first, "the same cut");
    rig.step(error, 0);
    assert_ne!(look(&mut rig, tip(1, "b")), first, "a new one");
}

#[test]
fn a_restart_does_not_make_a_flood_of_small_cuts_harmless() {
    let mut rig = Rig::with(Orders { flood: FLOOD, ..ORDERS });
    let tip = Manifest { files: vec![], ..with_dead(0, 1, "a") };
    rig.step(Input::Resolved(Resolution::After(tip)), 0);
    dead(&mut rig, 1..2, 0);
    assert_eq!(held(&rig.step(Input::Tick, 100)), HoldReason::PoisonFlood);
}

#[test]
fn a_planned_cut_is_finished_however_many_dead_letters_it_has() {
    let mut rig = Rig::with(Orders { flood: FLOOD, ..ORDERS });
    let tip = Manifest { dead: ranges(&[(0, 3)]), ..manifest(0, 3, "a") };
    rig.step(Input::Resolved(Resolution::Adopt(tip)), 0);
    rig.step(Input::FilesChecked(Ok(vec![0])), 0);
    dead(&mut rig, 0..3, 0);
    assert_eq!(rig.position(3, 0), [Effect::EncodeReplay { incomplete: false }]);
    assert_eq!(rig.step(Input::Replayed(Ok(())), 0), [Effect::PutFiles(vec![0])]);
}

#[test]
fn a_partition_that_leaves_does_not_write_a_flood() {
    let mut rig = reading(Orders { flood: FLOOD, ..ORDERS });
    dead(&mut rig, 0..2, 0);
    let fx = rig.step(Input::Revoke { lost: false }, 6);
    assert!(!fx.iter().any(|effect| matches!(effect, Effect::Cut(_))), "{fx:?}");
    assert_eq!(fx.last(), Some(&Effect::Release));
}
