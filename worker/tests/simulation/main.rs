//! Seeded simulation of the delivery contract: several workers that may all own one partition at once, over a
//! log, a bucket and a group that fail in every way that the contract allows for.
//!
//! A seed that fails is shrunk to a short story. `EVENTSINK_SEED=n cargo test --workspace --test simulation`
//! tells the story of one seed, `EVENTSINK_STEPS=n` runs more steps.
//!
//! Not in it: a log that is truncated, which no seed does, and the leader epoch of a seek, which the driver drops.

mod broker;
mod consumer;
mod driver;
mod holds;
mod log;
mod replay;
mod rng;
mod shared;
mod shrink;
mod table;
mod world;

use rng::{Rng, Tape};
use shared::Sabotage;
use shrink::{Failing, Try, kind, shrink};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Once;
use world::{Violation, World};

thread_local! {
    static PLAYING: Cell<bool> = const { Cell::new(false) };
}

/// Runs a world to its end; a panic inside the machine is a violation too, and is told as one.
fn play(seed: u64, mut world: World) -> Result<World, Violation> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !PLAYING.get() {
                usual(panic);
            }
        }));
    });
    PLAYING.set(true);
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| world.run()));
    PLAYING.set(false);
    let what = match result {
        Ok(Ok(())) => return Ok(world),
        Ok(Err(what)) => what,
        Err(panic) => match panic.downcast_ref::<String>() {
            Some(text) => format!("panic: {text}"),
            None => format!("panic: {:?}", panic.downcast_ref::<&str>()),
        },
    };
    let shared = &mut world.shared;
    let (story, tape) = (shared.story.take().unwrap_or_default(), shared.rng.tape().unwrap_or_default());
    Err(Violation { seed, what, steps: world.steps, story, tape })
}

fn run(seed: u64, sabotage: Sabotage) -> Result<World, Violation> {
    play(seed, World::new(Rng::new(seed), sabotage, false))
}

/// Runs a seed again, by its tape or else to make one.
fn replay(seed: u64, sabotage: Sabotage, tape: Option<Tape>, story: bool) -> Result<World, Violation> {
    play(seed, World::new(Rng::taped(seed, tape), sabotage, story))
}

/// The short story of a seed that fails.
fn short_story(seed: u64, sabotage: Sabotage) -> Violation {
    let whole = replay(seed, sabotage, None, false).err().expect("a seed that fails once fails again");
    let failing = |violation: Violation| Failing { tape: violation.tape, what: violation.what };
    let short = shrink(failing(whole), |tape| match replay(seed, sabotage, Some(tape), false) {
        Ok(world) => Try { steps: world.steps, failing: None },
        Err(violation) => Try { steps: violation.steps, failing: Some(failing(violation)) },
    });
    replay(seed, sabotage, Some(short.tape), true).err().expect("a tape that fails once fails again")
}

/// What the steps must have met, or the simulation proves little.
const HARD_CASES: [&str; 21] = [
    "refused commit",
    "late commit",
    "late commit refused",
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
    "PlanNeedsDecoder",
    "offset reset by hand",
    "OffsetsMoved",
];

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is {text:?} and must be a number")))
}

#[test]
fn every_offset_has_exactly_one_answer_whatever_crashes() {
    if let Some(seed) = number("EVENTSINK_SEED") {
        match run(seed, Sabotage::None) {
            Ok(world) => return println!("seed {seed}: {} steps, nothing found", world.steps),
            Err(_) => panic!("{}", short_story(seed, Sabotage::None)),
        }
    }
    let enough = number("EVENTSINK_STEPS").unwrap_or(10_000_000);
    let (mut seed, mut steps, mut seen) = (0, 0, BTreeMap::<_, u64>::new());
    while steps < enough {
        match run(seed, Sabotage::None) {
            Ok(world) => {
                steps += world.steps;
                for (what, times) in world.shared.seen {
                    *seen.entry(what).or_default() += times;
                }
            }
            Err(_) => panic!("{}", short_story(seed, Sabotage::None)),
        }
        seed += 1;
    }
    println!("{seed} seeds, {steps} steps, {seen:?}");
    for what in HARD_CASES {
        assert!(seen.get(what).is_some_and(|times| *times > 100), "{what} hardly came up: {seen:?}");
    }
}

/// A broken rule must be found within this many seeds.
const PATIENCE: u64 = 100_000;

fn caught(sabotage: Sabotage) -> Violation {
    let found = (0..PATIENCE).find_map(|seed| run(seed, sabotage).err());
    found.unwrap_or_else(|| panic!("{sabotage:?} went unnoticed for {PATIENCE} seeds"))
}

/// Caught, and told in a story that a person can follow.
fn is_caught(sabotage: Sabotage) {
    let found = caught(sabotage);
    let short = short_story(found.seed, sabotage);
    println!("{sabotage:?}: from {} steps\n{short}", found.steps);
    assert_eq!(kind(&short.what), kind(&found.what), "{short}");
    assert!(short.steps <= 150, "the story of {sabotage:?} is long:\n{short}");
}

#[test]
fn a_failing_seed_of_hundreds_of_steps_becomes_a_story_of_forty_that_fails_alike() {
    for sabotage in [Sabotage::FloodIgnored, Sabotage::CommitTooEarly, Sabotage::DoneTooEarly] {
        let found = (0..PATIENCE).filter_map(|seed| run(seed, sabotage).err()).find(|found| found.steps > 100);
        let found = found.expect("a failing seed of more than a hundred steps");
        let short = short_story(found.seed, sabotage);
        assert_eq!(kind(&short.what), kind(&found.what), "{short}");
        assert!(short.steps <= 40, "{sabotage:?}: from {} steps\n{short}", found.steps);
        assert!(short.to_string().contains(&format!("EVENTSINK_SEED={}", found.seed)), "{short}");
    }
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
    letting_records_overtake_an_error_is_caught: ErrorOvertaken,
    writing_the_rows_of_another_decoder_is_caught: DecoderIgnored,
}
