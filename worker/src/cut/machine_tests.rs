//! One rule of the delivery contract each; the simulation runs them together.

use super::*;
use crate::cut::{MANIFEST_VERSION, PartitionStart};
use crate::events::Reason;
use crate::files::{FileKind, PlannedFile};
use eventsink_crds::settings::Share;
use std::time::Duration;

#[path = "adoption_tests.rs"]
mod adoption;
#[path = "away_tests.rs"]
mod away;
#[path = "dead_tests.rs"]
mod dead;

const LIMITS: Limits =
    Limits { max_bytes: 1000, max_records: 3, max_age: Duration::from_secs(10), max_idle: Duration::from_secs(4) };

const ORDERS: Orders = Orders {
    limits: LIMITS,
    skip_losses: false,
    copy_dead: false,
    flood: FloodLimit { threshold: Share::percent(100), min_records: 1 },
};

fn secs(n: u64) -> Now {
    Duration::from_secs(n)
}

/// The only place that knows every field of a planned file.
fn planned(key: &str, first: i64, last: i64) -> PlannedFile {
    let rows = u64::try_from(last - first + 1).unwrap();
    PlannedFile { key: key.into(), kind: FileKind::Rows, rows, first, last, digest: "d".into() }
}

/// A manifest with one file of all its offsets.
fn manifest(from: i64, to: i64, nonce: &str) -> Manifest {
    Manifest {
        version: MANIFEST_VERSION,
        ledger: "l".into(),
        topic: "t".into(),
        partition: 0,
        from,
        to,
        epoch: 1,
        prev: GENESIS_NONCE.into(),
        nonce: nonce.into(),
        rules: "r".into(),
        decoder_version: 1,
        files: vec![planned(nonce, from, to - 1)],
        dead: Ranges::default(),
        filtered: Ranges::default(),
        absent: Ranges::default(),
        lost: Ranges::default(),
    }
}

fn ranges(of: &[(i64, i64)]) -> Ranges {
    let mut ranges = Ranges::default();
    of.iter().for_each(|(from, to)| ranges.push(*from, *to));
    ranges
}

/// A machine and the generation that its last seek opened.
struct Rig {
    machine: Machine,
    generation: u64,
}

impl Rig {
    fn new(skip_losses: bool) -> Self {
        Self::with(Orders { skip_losses, ..ORDERS })
    }

    fn with(orders: Orders) -> Self {
        let (machine, fx) = Machine::new(orders);
        assert_eq!(fx, [Effect::Resolve]);
        Self { machine, generation: 0 }
    }

    fn reading(skip_losses: bool) -> Self {
        let mut rig = Self::new(skip_losses);
        let start = PartitionStart { offset: 0, epoch: -1, why: "earliest".into() };
        rig.step(Input::Resolved(Resolution::Fresh(start)), 0);
        rig
    }

    /// A restart that finds `tip` without proof, and of its files those at `missing` not there.
    fn adopting(tip: Manifest, missing: Vec<usize>, skip_losses: bool) -> Self {
        let mut rig = Self::new(skip_losses);
        rig.step(Input::Resolved(Resolution::Adopt(tip)), 0);
        rig.step(Input::FilesChecked(Ok(missing)), 0);
        rig
    }

    fn keep(&mut self, fx: Vec<Effect>) -> Vec<Effect> {
        for effect in &fx {
            if let Effect::Seek { generation, .. } = effect {
                self.generation = *generation;
            }
        }
        fx
    }

    fn step(&mut self, input: Input, at: u64) -> Vec<Effect> {
        let mut fx = vec![];
        self.machine.step(input, secs(at), &mut fx);
        self.keep(fx)
    }

    fn offer(&mut self, offset: i64, at: u64) -> (Admit, Vec<Effect>) {
        let mut fx = vec![];
        let admit = self.machine.admit(self.generation, offset, secs(at), &mut fx);
        if admit == Admit::Take {
            self.machine.taken(1, Outcome::Row, secs(at));
        }
        (admit, self.keep(fx))
    }

    fn read(&mut self, offsets: std::ops::Range<i64>, at: u64) {
        for offset in offsets {
            assert_eq!(self.offer(offset, at).0, Admit::Take, "offset {offset}");
        }
    }

    fn position(&mut self, position: i64, at: u64) -> Vec<Effect> {
        self.step(Input::Position { generation: self.generation, position }, at)
    }

    /// Reads `[0, 3)`, closes the cut and puts its manifest `a`.
    fn with_cut_in_flight(skip_losses: bool) -> Self {
        let mut rig = Self::reading(skip_losses);
        rig.read(0..3, 0);
        assert_eq!(cut(&rig.step(Input::Tick, 0)).to, 3);
        rig.step(Input::ManifestPut(PutOutcome::Won(manifest(0, 3, "a"))), 0);
        rig
    }
}

fn cut(fx: &[Effect]) -> &CutPlan {
    let plan = fx.iter().find_map(|effect| match effect {
        Effect::Cut(plan) => Some(plan),
        _ => None,
    });
    plan.unwrap_or_else(|| panic!("no cut in {fx:?}"))
}

fn held(fx: &[Effect]) -> HoldReason {
    let reason = fx.iter().find_map(|effect| match effect {
        Effect::Held(hold) => Some(hold.reason),
        _ => None,
    });
    reason.unwrap_or_else(|| panic!("no hold in {fx:?}"))
}

fn commit(offset: i64, nonce: &str) -> Effect {
    Effect::Commit { offset, epoch: if nonce == GENESIS_NONCE { -1 } else { 1 }, nonce: nonce.into() }
}

fn seek(offset: i64, epoch: i32, generation: u64) -> Effect {
    Effect::Seek { offset, epoch, generation }
}

fn stalled(generation: u64) -> Input {
    Input::ConsumerError { generation, reason: HoldReason::PartitionStalled, detail: "broken pipe".into() }
}

#[test]
fn nothing_is_read_before_the_partition_is_resolved() {
    let mut rig = Rig::new(false);
    assert_eq!(rig.offer(0, 0), (Admit::Drop, vec![]));
    assert_eq!(rig.machine.expected(), None);
}

#[test]
fn a_fresh_partition_is_read_from_its_genesis() {
    let mut rig = Rig::new(false);
    let start = PartitionStart { offset: 7, epoch: 3, why: "latest".into() };
    assert_eq!(rig.step(Input::Resolved(Resolution::Fresh(start)), 0), [seek(7, 3, 1)]);
    assert_eq!(rig.machine.frontier(), 7);
}

#[test]
fn a_finished_tip_is_committed_and_read_on_from_its_end_with_its_epoch() {
    let mut rig = Rig::new(false);
    let fx = rig.step(Input::Resolved(Resolution::After(manifest(0, 3, "a"))), 0);
    assert_eq!(fx, [seek(3, 1, 1), commit(3, "a")]);
}

#[test]
fn a_record_below_the_expected_offset_is_dropped() {
    let mut rig = Rig::reading(false);
    rig.read(0..2, 0);
    assert_eq!(rig.offer(1, 0).0, Admit::Drop);
}

#[test]
fn a_record_of_an_older_generation_is_dropped() {
    let mut rig = Rig::reading(false);
    rig.generation = 0;
    assert_eq!(rig.offer(0, 0).0, Admit::Drop);
}

#[test]
fn a_gap_inside_a_generation_is_absent_in_the_manifest() {
    let mut rig = Rig::reading(false);
    rig.read(0..1, 0);
    rig.read(4..5, 0);
    assert_eq!(cut(&rig.step(Input::Tick, 10)).absent, ranges(&[(1, 4)]));
}

#[test]
fn a_gap_before_the_record_that_opens_the_next_cut_belongs_to_the_next_cut() {
    let mut rig = Rig::reading(false);
    rig.read(0..3, 0);
    let (_, fx) = rig.offer(6, 0);
    assert_eq!((cut(&fx).to, cut(&fx).absent.is_empty()), (3, true));
    assert_eq!(rig.machine.open.absent, ranges(&[(3, 6)]));
}

#[test]
fn the_plan_names_what_became_of_each_record() {
    let mut rig = Rig::reading(false);
    for (offset, outcome) in [(0, Outcome::Dead(Reason::InvalidTime)), (1, Outcome::Filtered), (2, Outcome::Row)] {
        assert_eq!(rig.machine.admit(1, offset, secs(0), &mut vec![]), Admit::Take);
        rig.machine.taken(1, outcome, secs(0));
    }
    let fx = rig.step(Input::Tick, 0);
    assert_eq!((&cut(&fx).dead, &cut(&fx).filtered), (&ranges(&[(0, 1)]), &ranges(&[(1, 2)])));
}

#[test]
fn a_cut_holds_exactly_the_greatest_number_of_records() {
    let mut rig = Rig::reading(false);
    rig.read(0..3, 0);
    let (admit, fx) = rig.offer(3, 0);
    assert_eq!((admit, cut(&fx).from, cut(&fx).to, cut(&fx).trigger), (Admit::Take, 0, 3, Trigger::Records));
}

#[test]
fn a_large_file_closes_the_cut_before_the_next_record() {
    let mut rig = Rig::reading(false);
    rig.read(0..1, 0);
    rig.step(Input::Size(1000), 0);
    assert_eq!(cut(&rig.offer(1, 0).1).trigger, Trigger::Bytes);
}

#[test]
fn a_size_measured_for_a_closed_cut_does_not_close_an_empty_one() {
    let mut rig = Rig::with_cut_in_flight(false);
    rig.step(Input::FilesPut(Ok(())), 0);
    rig.step(Input::Size(1000), 0);
    assert_eq!(rig.offer(3, 0), (Admit::Take, vec![]));
}

#[test]
fn a_full_cut_waits_for_the_one_in_flight() {
    let mut rig = Rig::with_cut_in_flight(false);
    rig.read(3..6, 0);
    assert_eq!(rig.offer(6, 0), (Admit::Wait, vec![]));
    let fx = rig.step(Input::FilesPut(Ok(())), 0);
    assert_eq!((cut(&fx).from, cut(&fx).to, cut(&fx).prev.as_str()), (3, 6, "a"));
    assert_eq!(rig.offer(6, 0).0, Admit::Take);
}

#[test]
fn files_are_put_after_the_manifest_is_won() {
    let mut rig = Rig::reading(false);
    rig.read(0..3, 0);
    assert!(matches!(rig.step(Input::Tick, 0)[..], [Effect::Cut(_)]));
    let fx = rig.step(Input::ManifestPut(PutOutcome::Won(manifest(0, 3, "a"))), 0);
    assert_eq!(fx, [Effect::PutFiles(vec![0])]);
}

#[test]
fn a_cut_is_committed_when_its_files_are_there() {
    let mut rig = Rig::with_cut_in_flight(false);
    assert_eq!(rig.machine.frontier(), 0);
    assert_eq!(rig.step(Input::FilesPut(Ok(())), 0), [Effect::Finished, commit(3, "a")]);
    assert_eq!(rig.machine.frontier(), 3);
}

#[test]
fn files_without_a_manifest_finish_nothing() {
    let mut rig = Rig::reading(false);
    rig.read(0..3, 0);
    rig.step(Input::Tick, 0);
    assert_eq!(rig.step(Input::FilesPut(Ok(())), 0), []);
    assert!(rig.machine.in_flight());
}

#[test]
fn records_count_as_buffered_until_their_files_are_there() {
    let mut rig = Rig::with_cut_in_flight(false);
    rig.read(3..5, 0);
    assert_eq!(rig.machine.buffered(), 5);
    rig.step(Input::FilesPut(Ok(())), 0);
    assert_eq!(rig.machine.buffered(), 2);
}

#[test]
fn a_failed_commit_is_retried_after_a_second_with_the_newest_frontier() {
    let mut rig = Rig::with_cut_in_flight(false);
    assert_eq!(rig.step(Input::FilesPut(Ok(())), 0), [Effect::Finished, commit(3, "a")]);
    assert_eq!(rig.step(Input::Committed { ok: false }, 0), []);
    assert_eq!(rig.position(5, 0), []);
    assert_eq!(rig.step(Input::Tick, 0), []);
    assert_eq!(rig.step(Input::Tick, 1), [commit(5, "a")]);
}

#[test]
fn one_commit_is_outstanding_and_the_newest_frontier_follows_it() {
    let mut rig = Rig::reading(false);
    assert_eq!(rig.position(2, 0), [commit(2, GENESIS_NONCE)]);
    assert_eq!(rig.position(4, 0), []);
    assert_eq!(rig.position(6, 0), []);
    assert_eq!(rig.step(Input::Committed { ok: true }, 0), [commit(6, GENESIS_NONCE)]);
    assert_eq!(rig.step(Input::Committed { ok: true }, 0), []);
}

#[test]
fn control_records_at_the_end_of_the_log_are_committed_with_the_cut_before_them() {
    let mut rig = Rig::with_cut_in_flight(false);
    assert_eq!(rig.position(5, 0), []);
    assert_eq!(rig.step(Input::FilesPut(Ok(())), 0), [Effect::Finished, commit(5, "a")]);
    assert_eq!(rig.machine.frontier(), 5);
}

#[test]
fn the_position_does_not_pass_the_frontier_over_unwritten_records() {
    let mut rig = Rig::reading(false);
    rig.read(0..1, 0);
    assert_eq!(rig.position(4, 0), []);
    assert_eq!(rig.machine.frontier(), 0);
}

#[test]
fn a_position_of_an_older_generation_says_nothing() {
    let mut rig = Rig::reading(false);
    assert_eq!(rig.step(Input::Position { generation: 0, position: 9 }, 0), []);
    assert_eq!(rig.machine.expected(), Some(0));
}

#[test]
fn a_small_young_buffer_is_dropped_when_the_partition_leaves() {
    let mut rig = Rig::reading(false);
    rig.read(0..1, 0);
    assert_eq!(rig.step(Input::Revoke { lost: false }, 1), [Effect::Discard, Effect::Release]);
}

#[test]
fn a_large_buffer_is_written_when_the_partition_leaves() {
    let mut rig = Rig::reading(false);
    rig.read(0..2, 0);
    assert_eq!(cut(&rig.step(Input::Revoke { lost: false }, 1)).trigger, Trigger::Leaving);
    rig.step(Input::ManifestPut(PutOutcome::Won(manifest(0, 2, "a"))), 1);
    let fx = rig.step(Input::FilesPut(Ok(())), 1);
    assert_eq!(fx, [Effect::Finished, commit(2, "a"), Effect::MarkDone(0), Effect::Discard, Effect::Release]);
}

#[test]
fn the_cut_in_flight_is_finished_when_the_partition_leaves() {
    let mut rig = Rig::with_cut_in_flight(false);
    assert_eq!(rig.step(Input::Revoke { lost: false }, 1), []);
    let fx = rig.step(Input::FilesPut(Ok(())), 1);
    assert_eq!(fx, [Effect::Finished, commit(3, "a"), Effect::MarkDone(0), Effect::Discard, Effect::Release]);
}

#[test]
fn records_dropped_while_leaving_do_not_look_absent() {
    let mut rig = Rig::with_cut_in_flight(false);
    rig.step(Input::Revoke { lost: false }, 1);
    assert_eq!(rig.offer(3, 1).0, Admit::Drop);
    rig.position(4, 1);
    assert_eq!(rig.step(Input::FilesPut(Ok(())), 1)[1], commit(3, "a"));
}

#[test]
fn a_consumer_error_does_not_stop_the_cut_of_a_leaving_partition() {
    let mut rig = Rig::with_cut_in_flight(false);
    rig.step(Input::Revoke { lost: false }, 1);
    assert_eq!(rig.step(stalled(rig.generation), 1), []);
}

#[test]
fn the_deadline_leaves_the_cut_in_flight_to_the_next_owner() {
    let mut rig = Rig::with_cut_in_flight(false);
    rig.step(Input::Revoke { lost: false }, 1);
    assert_eq!(rig.step(Input::Deadline, 2), [Effect::Discard, Effect::Release]);
    assert_eq!(rig.step(Input::FilesPut(Ok(())), 3), []);
}

#[test]
fn a_lost_partition_is_released_at_once() {
    let mut rig = Rig::with_cut_in_flight(false);
    assert_eq!(rig.step(Input::Revoke { lost: true }, 1), [Effect::Discard, Effect::Release]);
}

#[test]
fn a_rival_met_while_leaving_releases_the_partition() {
    let mut rig = Rig::reading(false);
    rig.read(0..2, 0);
    rig.step(Input::Revoke { lost: false }, 1);
    let fx = rig.step(Input::ManifestPut(PutOutcome::Rival(manifest(0, 5, "r"))), 1);
    assert_eq!(fx, [Effect::Discard, Effect::Release]);
}

#[test]
fn a_hold_asks_again_after_a_minute_and_once() {
    let mut rig = Rig::reading(false);
    assert_eq!(held(&rig.step(stalled(1), 0)), HoldReason::PartitionStalled);
    assert_eq!(rig.step(Input::Tick, 59), []);
    assert_eq!(rig.step(Input::Tick, 60), [Effect::Resolve]);
    assert_eq!(rig.step(Input::Tick, 200), []);
}

#[test]
fn a_mended_hold_reads_on() {
    let mut rig = Rig::reading(false);
    rig.step(stalled(1), 0);
    rig.step(Input::Tick, 60);
    rig.step(Input::Resolved(Resolution::After(manifest(0, 3, "a"))), 60);
    assert_eq!((rig.machine.hold(), rig.machine.expected()), (None, Some(3)));
}

#[test]
fn a_hold_that_stays_is_reported_once() {
    let mut rig = Rig::new(false);
    let hold = Hold { reason: HoldReason::GroupShared, from: 0, to: 1, detail: "x".into() };
    assert_eq!(held(&rig.step(Input::Resolved(Resolution::Hold(hold.clone())), 0)), HoldReason::GroupShared);
    rig.step(Input::Tick, 60);
    let fx = rig.step(Input::Resolved(Resolution::Hold(hold)), 60);
    assert_eq!(fx, [Effect::Discard, Effect::Pause]);
}

#[test]
fn an_error_of_the_consumer_holds_the_partition_behind_what_was_read_before_it() {
    let mut rig = Rig::with_cut_in_flight(false);
    rig.read(3..5, 0);
    assert_eq!(rig.step(stalled(1), 0), [Effect::Pause]);
    assert_eq!(rig.offer(5, 0).0, Admit::Drop, "reading on would skip over the error");
    let fx = rig.step(Input::FilesPut(Ok(())), 0);
    assert_eq!((cut(&fx).from, cut(&fx).to, cut(&fx).trigger), (3, 5, Trigger::Held));
    rig.step(Input::ManifestPut(PutOutcome::Won(manifest(3, 5, "b"))), 0);
    let fx = rig.step(Input::FilesPut(Ok(())), 0);
    assert_eq!(held(&fx), HoldReason::PartitionStalled);
    assert_eq!(rig.machine.hold().map(|hold| (hold.from, hold.to)), Some((5, 6)));
    assert_eq!((rig.machine.frontier(), rig.machine.buffered()), (5, 0));
}

#[test]
fn a_loss_holds_the_partition_behind_what_was_read_before_it() {
    let mut rig = Rig::reading(false);
    rig.read(0..2, 0);
    let fx = rig.step(Input::OutOfRange { generation: 1, low: 9 }, 0);
    assert_eq!((cut(&fx).to, cut(&fx).trigger), (2, Trigger::Held));
    rig.step(Input::ManifestPut(PutOutcome::Won(manifest(0, 2, "a"))), 0);
    let fx = rig.step(Input::FilesPut(Ok(())), 0);
    assert_eq!((held(&fx), rig.machine.frontier()), (HoldReason::OffsetLost, 2));
}

#[test]
fn an_error_waits_while_the_store_takes_nothing_and_is_forgotten_with_what_it_was_of() {
    let mut rig = Rig::reading(false);
    rig.read(0..2, 0);
    rig.step(Input::StoreAway(true), 0);
    assert_eq!(rig.step(stalled(1), 0), [Effect::Pause]);
    assert_eq!(rig.step(Input::Tick, 100), []);
    rig.step(Input::StoreAway(false), 100);
    assert_eq!(cut(&rig.step(Input::Tick, 100)).to, 2);
    rig.step(Input::ManifestPut(PutOutcome::Rival(manifest(0, 5, "r"))), 100);
    rig.step(Input::FilesChecked(Ok(vec![])), 100);
    assert_eq!((rig.machine.expected(), rig.machine.hold()), (Some(5), None), "the rival has read past it");
    rig.read(5..6, 100);
    assert_eq!(cut(&rig.step(Input::Tick, 200)).trigger, Trigger::Age);
}

#[test]
fn a_hold_at_once_drops_what_was_read_since_the_last_cut() {
    let mut rig = Rig::with_cut_in_flight(false);
    let fx = rig.step(Input::OutOfRange { generation: 1, low: 0 }, 0);
    assert_eq!(fx[..2], [Effect::Discard, Effect::Pause]);
    assert_eq!(rig.machine.buffered(), 0);
}

#[test]
fn a_ledger_that_vanishes_while_held_is_missing() {
    let mut rig = Rig::with_cut_in_flight(false);
    rig.step(Input::FilesPut(Ok(())), 0);
    rig.step(stalled(1), 0);
    let start = PartitionStart { offset: 0, epoch: -1, why: "earliest".into() };
    assert_eq!(held(&rig.step(Input::Resolved(Resolution::Fresh(start)), 60)), HoldReason::LedgerMissing);
}

#[test]
fn a_log_that_begins_too_late_holds() {
    let mut rig = Rig::reading(false);
    let fx = rig.step(Input::OutOfRange { generation: 1, low: 5 }, 0);
    assert_eq!(held(&fx), HoldReason::OffsetLost);
    assert_eq!(rig.machine.hold().map(|hold| (hold.from, hold.to)), Some((0, 5)));
}

#[test]
fn a_log_that_ends_too_early_holds_even_when_losses_are_skipped() {
    let mut rig = Rig::reading(true);
    rig.read(0..2, 0);
    assert_eq!(held(&rig.step(Input::OutOfRange { generation: 1, low: 0 }, 0)), HoldReason::OffsetLost);
}

#[test]
fn a_skipped_loss_is_in_the_next_manifest() {
    let mut rig = Rig::reading(true);
    assert_eq!(rig.step(Input::OutOfRange { generation: 1, low: 5 }, 0), [seek(5, -1, 2)]);
    assert_eq!(cut(&rig.step(Input::Tick, 10)).lost, ranges(&[(0, 5)]));
}

#[test]
fn a_skipped_loss_is_named_when_its_manifest_stands_and_before_files() {
    let mut rig = Rig::reading(true);
    rig.step(Input::OutOfRange { generation: 1, low: 5 }, 0);
    rig.step(Input::Tick, 10);
    let won = Manifest { lost: ranges(&[(0, 5)]), files: vec![], ..manifest(0, 5, "a") };
    let fx = rig.step(Input::ManifestPut(PutOutcome::Won(won)), 10);
    assert_eq!(fx, [Effect::NameLoss { from: 0, to: 5 }, Effect::PutFiles(vec![])]);
}

#[test]
fn a_record_that_cannot_be_encoded_holds() {
    let mut rig = Rig::reading(false);
    rig.read(0..1, 0);
    assert_eq!(
        held(&rig.step(Input::Stuck { reason: HoldReason::Unencodable, detail: "too large".into() }, 0)),
        HoldReason::Unencodable
    );
}

#[test]
fn an_adopted_cut_whose_rules_cannot_be_read_holds() {
    let mut rig = Rig::new(false);
    rig.step(Input::Resolved(Resolution::Adopt(manifest(0, 3, "a"))), 0);
    let stuck = Input::Stuck { reason: HoldReason::LedgerDamaged, detail: "no rules".into() };
    assert_eq!(held(&rig.step(stuck, 0)), HoldReason::LedgerDamaged);
}

#[test]
fn a_cut_that_is_stuck_while_leaving_is_left_to_the_next_owner() {
    let mut rig = Rig::with_cut_in_flight(false);
    rig.step(Input::Revoke { lost: false }, 1);
    let fx = rig.step(Input::Stuck { reason: HoldReason::LedgerDamaged, detail: "no JSON".into() }, 1);
    assert_eq!(fx.last(), Some(&Effect::Release));
}

#[test]
fn what_is_stuck_after_a_hold_changes_nothing() {
    let mut rig = Rig::reading(false);
    rig.step(stalled(1), 0);
    let stuck = Input::Stuck { reason: HoldReason::Unencodable, detail: "too large".into() };
    assert_eq!(rig.step(stuck, 1), []);
}

#[test]
fn short_memory_closes_the_cut_early() {
    let mut rig = Rig::reading(false);
    rig.read(0..1, 0);
    assert_eq!(cut(&rig.step(Input::ShortOfMemory, 0)).trigger, Trigger::Memory);
}

#[test]
fn short_memory_makes_no_empty_cut() {
    let mut rig = Rig::reading(false);
    rig.position(4, 0);
    assert_eq!(rig.step(Input::ShortOfMemory, 0), []);
}

#[test]
fn a_cut_closed_by_idleness_is_marked_as_done() {
    let mut rig = Rig::reading(false);
    rig.read(0..1, 0);
    assert_eq!(cut(&rig.step(Input::Tick, 4)).trigger, Trigger::Idle);
    rig.step(Input::ManifestPut(PutOutcome::Won(manifest(0, 1, "a"))), 4);
    assert_eq!(rig.step(Input::FilesPut(Ok(())), 4), [Effect::Finished, commit(1, "a"), Effect::MarkDone(0)]);
}

#[test]
fn a_topic_made_again_starts_anew_and_its_low_offsets_are_committed() {
    let mut rig = Rig::new(true);
    rig.step(Input::Resolved(Resolution::After(manifest(0, 100, "old"))), 0);
    rig.step(Input::Committed { ok: true }, 0);
    let old = rig.generation;
    let fx = rig.step(Input::TopicMadeAgain, 1);
    assert_eq!(fx, [Effect::Discard, Effect::Pause, Effect::Resolve]);
    let start = PartitionStart { offset: 0, epoch: -1, why: "earliest".into() };
    rig.step(Input::Resolved(Resolution::Fresh(start)), 1);
    assert!(rig.generation > old, "records of the topic that is gone are told apart");
    let fx = rig.position(7, 2);
    assert_eq!(fx, [Effect::Commit { offset: 7, epoch: -1, nonce: GENESIS_NONCE.into() }]);
}
