//! Seeded simulation of the delivery contract: several workers that may all own one partition at once, over a
//! log, a bucket and a group that fail in every way that the contract allows for.
//!
//! `EVENTSINK_SEED=n cargo test -p eventsink-worker --test simulation` runs one seed and prints its story if it fails.

mod driver;
mod log;
mod rng;
mod shared;
mod world;

use shared::Sabotage;
use std::collections::BTreeMap;
use world::{Violation, World};

/// Runs a seed; a panic inside the machine is a violation too.
fn run(seed: u64, sabotage: Sabotage, story: bool) -> Result<World, Violation> {
    let mut world = World::new(seed, sabotage, story);
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| world.run()));
    let what = match result {
        Ok(Ok(())) => return Ok(world),
        Ok(Err(what)) => what,
        Err(panic) => match panic.downcast_ref::<String>() {
            Some(text) => format!("panic: {text}"),
            None => format!("panic: {:?}", panic.downcast_ref::<&str>()),
        },
    };
    Err(Violation { seed, what, steps: world.steps, story: world.shared.story.take().unwrap_or_default() })
}

/// Runs a failing seed again, with its story.
fn tell(seed: u64, sabotage: Sabotage) -> ! {
    match run(seed, sabotage, true) {
        Err(violation) => panic!("{violation}"),
        Ok(_) => panic!("seed {seed} fails without a story and not with one: the simulation is not deterministic"),
    }
}

/// What the steps must have met, or the simulation proves little.
const HARD_CASES: [&str; 15] = [
    "rival",
    "lost reply",
    "replay",
    "incomplete replay",
    "named loss",
    "waiting record",
    "PartitionStalled",
    "OffsetLost",
    "copied dead letter",
    "copy of an adopted cut",
    "DeadLetterTopic",
    "failed copy that keeps its cut",
    "copy that outlives a hold",
    "PoisonFlood",
    "open breaker",
];

#[test]
fn every_offset_has_exactly_one_answer_whatever_crashes() {
    if let Some(seed) = std::env::var("EVENTSINK_SEED").ok().and_then(|seed| seed.parse().ok()) {
        match run(seed, Sabotage::None, true) {
            Ok(world) => return println!("seed {seed}: {} steps, nothing found", world.steps),
            Err(_) => tell(seed, Sabotage::None),
        }
    }
    let (mut seed, mut steps, mut seen) = (0, 0, BTreeMap::<_, u64>::new());
    while steps < 10_000_000 {
        match run(seed, Sabotage::None, false) {
            Ok(world) => {
                steps += world.steps;
                for (what, times) in world.shared.seen {
                    *seen.entry(what).or_default() += times;
                }
            }
            Err(_) => tell(seed, Sabotage::None),
        }
        seed += 1;
    }
    println!("{seed} seeds, {steps} steps, {seen:?}");
    for what in HARD_CASES {
        assert!(seen.get(what).is_some_and(|times| *times > 100), "{what} hardly came up: {seen:?}");
    }
}

/// A broken rule must be found within this many seeds.
const PATIENCE: u64 = 20_000;

fn is_caught(sabotage: Sabotage) {
    let found = (0..PATIENCE).find_map(|seed| run(seed, sabotage, false).err());
    let Some(found) = found else { panic!("{sabotage:?} went unnoticed for {PATIENCE} seeds") };
    println!("{sabotage:?}: seed {}, step {}: {}", found.seed, found.steps, found.what);
}

macro_rules! caught {
    ($($name:ident: $sabotage:ident,)*) => {
        $(#[test]
        fn $name() {
            is_caught(Sabotage::$sabotage);
        })*
    };
}

caught! {
    taking_a_rivals_manifest_for_ones_own_is_caught: RivalTakenAsWon,
    believing_that_planned_files_are_there_is_caught: CheckSkipped,
    putting_files_before_their_manifest_is_caught: FilesFirst,
    using_records_that_the_machine_drops_is_caught: AdmitIgnored,
    passing_answers_from_before_a_discard_is_caught: AnswersOutliveDiscard,
    reading_the_tip_before_the_commit_is_caught: TipReadFirst,
    passing_a_position_over_a_waiting_record_is_caught: PositionPassesWaiting,
    marking_a_cut_as_done_too_early_is_caught: DoneTooEarly,
    committing_a_cut_too_early_is_caught: CommitTooEarly,
    going_on_after_a_tip_without_proof_is_caught: AdoptionSkipped,
    replaying_a_cut_by_other_rules_is_caught: OwnRulesInReplay,
    naming_losses_later_than_files_is_caught: LossesNamedLater,
    forgetting_a_failed_put_is_caught: PutForgotten,
    going_on_to_the_next_cut_without_the_copy_is_caught: CopySkipped,
    committing_a_cut_before_the_copy_is_caught: CommitBeforeCopy,
    adopting_a_cut_without_the_copy_is_caught: AdoptionWithoutCopy,
    copying_before_the_manifest_is_caught: CopyFirst,
    keeping_rows_behind_a_copy_in_a_hold_is_caught: OpenSurvivesHold,
    letting_a_flood_through_is_caught: FloodIgnored,
    cutting_while_the_store_is_away_is_caught: BreakerIgnored,
}
