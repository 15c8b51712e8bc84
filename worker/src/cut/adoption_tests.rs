//! Cuts that somebody else has promised: a rival, or the worker before.

use super::*;

#[test]
fn a_rivals_manifest_is_adopted_in_place_of_the_buffers() {
    let mut rig = Rig::reading(false);
    rig.read(0..3, 0);
    rig.step(Input::Tick, 0);
    let rival = manifest(0, 5, "r");
    let fx = rig.step(Input::ManifestPut(PutOutcome::Rival(rival.clone())), 0);
    assert_eq!(fx, [Effect::Discard, Effect::CheckFiles(rival)]);
    assert_eq!(rig.offer(3, 0).0, Admit::Drop);
    assert_eq!(rig.step(Input::FilesChecked(Ok(vec![])), 0), [seek(5, 1, 3), commit(5, "r")]);
}

#[test]
fn a_rivals_newer_version_holds() {
    let mut rig = Rig::reading(false);
    rig.read(0..3, 0);
    rig.step(Input::Tick, 0);
    let rival = Manifest { version: MANIFEST_VERSION + 1, ..manifest(0, 5, "r") };
    let fx = rig.step(Input::ManifestPut(PutOutcome::Rival(rival)), 0);
    assert_eq!(held(&fx), HoldReason::UnknownVersion);
}

#[test]
fn an_adopted_cut_with_all_its_files_is_not_read_again() {
    let mut rig = Rig::new(false);
    let tip = manifest(0, 3, "a");
    assert_eq!(rig.step(Input::Resolved(Resolution::Adopt(tip.clone())), 0), [Effect::CheckFiles(tip)]);
    assert_eq!(rig.step(Input::FilesChecked(Ok(vec![])), 0), [seek(3, 1, 2), commit(3, "a")]);
}

#[test]
fn an_adopted_cut_without_some_files_is_replayed_from_its_start() {
    let mut rig = Rig::new(false);
    let tip = manifest(0, 3, "a");
    rig.step(Input::Resolved(Resolution::Adopt(tip.clone())), 0);
    assert_eq!(rig.step(Input::FilesChecked(Ok(vec![0])), 0), [Effect::Replay(tip), seek(0, -1, 2)]);
}

#[test]
fn a_replay_puts_just_the_missing_files() {
    let files = vec![planned("x", 0, 2), planned("y", 1, 1)];
    let mut rig = Rig::adopting(Manifest { files, ..manifest(0, 3, "a") }, vec![1], false);
    rig.read(0..3, 0);
    let (admit, fx) = rig.offer(3, 0);
    assert_eq!((admit, fx), (Admit::Take, vec![Effect::EncodeReplay { incomplete: false }]));
    assert_eq!(rig.step(Input::Replayed(Ok(())), 0), [Effect::PutFiles(vec![1])]);
    assert_eq!(rig.step(Input::FilesPut(Ok(())), 0), [Effect::Finished, commit(3, "a")]);
}

#[test]
fn a_replay_ends_where_the_log_ends() {
    let mut rig = Rig::adopting(manifest(0, 3, "a"), vec![0], false);
    rig.read(0..3, 0);
    assert_eq!(rig.position(3, 0), [Effect::EncodeReplay { incomplete: false }]);
}

#[test]
fn a_replay_leaves_out_what_its_plan_leaves_out() {
    let tip = Manifest { filtered: ranges(&[(1, 2)]), ..manifest(0, 3, "a") };
    let mut rig = Rig::adopting(tip, vec![0], false);
    rig.read(0..1, 0);
    assert_eq!(rig.machine.admit(rig.generation, 1, secs(0), &mut vec![]), Admit::Take);
    assert!(rig.machine.planned_filtered());
}

#[test]
fn a_replay_passes_offsets_that_were_absent_before() {
    let tip = Manifest { absent: ranges(&[(1, 2)]), ..manifest(0, 3, "a") };
    let mut rig = Rig::adopting(tip, vec![0], false);
    rig.read(0..1, 0);
    assert_eq!(rig.offer(2, 0), (Admit::Take, vec![]));
}

#[test]
fn a_foreign_object_under_a_planned_key_holds() {
    let mut rig = Rig::new(false);
    rig.step(Input::Resolved(Resolution::Adopt(manifest(0, 3, "a"))), 0);
    let fx = rig.step(Input::FilesChecked(Err("x differs".into())), 0);
    assert_eq!(held(&fx), HoldReason::ForeignObject);
}

#[test]
fn a_foreign_object_met_by_a_put_holds() {
    let mut rig = Rig::with_cut_in_flight(false);
    assert_eq!(held(&rig.step(Input::FilesPut(Err("x differs".into())), 0)), HoldReason::ForeignObject);
}

#[test]
fn rows_that_cannot_be_repeated_need_another_decoder() {
    let mut rig = Rig::adopting(manifest(0, 3, "a"), vec![0], false);
    rig.read(0..3, 0);
    rig.position(3, 0);
    assert_eq!(held(&rig.step(Input::Replayed(Err("digest differs".into())), 0)), HoldReason::PlanNeedsDecoder);
}

#[test]
fn another_epoch_below_the_end_of_an_adopted_cut_is_a_loss() {
    let mut rig = Rig::adopting(Manifest { epoch: 2, ..manifest(0, 3, "a") }, vec![0], false);
    rig.read(0..3, 0);
    assert_eq!(held(&rig.position(3, 0)), HoldReason::OffsetLost);
}

#[test]
fn the_epoch_of_an_earlier_record_says_nothing_when_the_last_one_is_gone() {
    let tip = Manifest { epoch: 2, files: vec![planned("x", 0, 1)], ..manifest(0, 3, "a") };
    let mut rig = Rig::adopting(tip, vec![0], false);
    rig.read(0..2, 0);
    assert_eq!(rig.position(3, 0), [Effect::EncodeReplay { incomplete: false }]);
}

#[test]
fn planned_rows_that_are_gone_hold_the_partition() {
    let mut rig = Rig::adopting(manifest(0, 3, "a"), vec![0], false);
    rig.read(0..1, 0);
    let (admit, fx) = rig.offer(2, 0);
    assert_eq!((admit, held(&fx)), (Admit::Drop, HoldReason::OffsetLost));
}

#[test]
fn planned_rows_that_are_gone_are_named_and_skipped_when_told_so() {
    let mut rig = Rig::adopting(manifest(0, 4, "a"), vec![0], true);
    rig.read(0..1, 0);
    assert_eq!(rig.offer(2, 0), (Admit::Take, vec![Effect::NameLoss { from: 1, to: 2 }]));
    rig.read(3..4, 0);
    assert_eq!(rig.position(4, 0), [Effect::EncodeReplay { incomplete: true }]);
}

#[test]
fn rows_of_files_that_are_there_may_be_gone() {
    let files = vec![planned("there", 0, 1), planned("missing", 2, 2)];
    let mut rig = Rig::adopting(Manifest { files, ..manifest(0, 3, "a") }, vec![1], false);
    assert_eq!(rig.offer(2, 0), (Admit::Take, vec![]));
}

#[test]
fn a_loss_past_an_adopted_cut_is_lost_to_the_next_cut_and_not_absent() {
    let mut rig = Rig::adopting(manifest(0, 3, "a"), vec![0], true);
    let fx = rig.step(Input::OutOfRange { generation: 2, low: 7 }, 0);
    let named = Effect::NameLoss { from: 0, to: 3 };
    assert_eq!(fx, [named, Effect::EncodeReplay { incomplete: true }, seek(7, -1, 3)]);
    rig.step(Input::Replayed(Ok(())), 0);
    rig.read(7..8, 0);
    rig.step(Input::FilesPut(Ok(())), 0);
    let fx = rig.step(Input::Tick, 10);
    assert_eq!((&cut(&fx).lost, cut(&fx).absent.is_empty()), (&ranges(&[(3, 7)]), true));
}
