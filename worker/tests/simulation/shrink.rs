//! From a failing run to a short one that fails alike: steps are left out and choices made dull, as long as
//! the violation stays of its kind.

use crate::rng::Tape;

/// Steps at most in all tries together: a second or so.
const EFFORT: u64 = 3_000_000;

/// A tape that fails, and how.
pub struct Failing {
    pub tape: Tape,
    pub what: String,
}

/// What became of a try: how many steps it took, and its failure, if any.
pub struct Try {
    pub steps: u64,
    pub failing: Option<Failing>,
}

/// The words of a violation without names and numbers.
pub fn kind(what: &str) -> String {
    let words = what.split_whitespace().filter(|word| !word.chars().any(|c| c.is_ascii_digit()));
    words.collect::<Vec<_>>().join(" ")
}

struct Shrink<R> {
    best: Failing,
    run: R,
    left: u64,
}

impl<R: FnMut(Tape) -> Try> Shrink<R> {
    /// True when this tape fails alike and is a shorter or plainer story.
    fn improves(&mut self, tape: Tape) -> bool {
        if self.left == 0 {
            return false;
        }
        let Try { steps, failing } = (self.run)(tape);
        self.left = self.left.saturating_sub(steps);
        let Some(found) = failing else { return false };
        let measure = |tape: &Tape| (tape.steps(), tape.spice());
        let better = kind(&found.what) == kind(&self.best.what) && measure(&found.tape) < measure(&self.best.tape);
        if better {
            self.best = found;
        }
        better
    }

    /// Leaves out runs of steps, long ones first.
    fn leave_out(&mut self) {
        let mut length = self.best.tape.steps() / 2;
        while length > 0 {
            let mut at = self.best.tape.steps();
            while at > 0 {
                at = at.saturating_sub(length);
                let shorter = self.best.tape.without(at..at + length);
                self.improves(shorter);
                at = at.min(self.best.tape.steps());
            }
            length /= 2;
        }
    }

    /// Leaves out two steps that only make sense together, such as a fault and its mending.
    fn leave_out_pairs(&mut self) {
        let mut first = self.best.tape.steps();
        while first > 1 {
            first -= 1;
            let mut second = first;
            while second > 1 {
                second -= 1;
                let shorter = self.best.tape.without(first..first + 1).without(second..second + 1);
                if self.improves(shorter) {
                    first -= 1;
                }
            }
            first = first.min(self.best.tape.steps());
        }
    }

    /// Makes steps dull, whole or choice by choice.
    fn make_dull(&mut self) {
        for step in (0..self.best.tape.steps()).rev() {
            let choices = self.best.tape.choices(step);
            let whole = 0..choices;
            let single = (0..choices).rev().map(|choice| choice..choice + 1);
            for choices in std::iter::once(whole).chain(single) {
                let mut duller = self.best.tape.clone();
                if choices.end <= duller.choices(step) && duller.dull(step, choices) {
                    self.improves(duller);
                }
            }
        }
    }
}

/// `run` repeats a tape and gives what failed, with the choices that were really made.
pub fn shrink(failing: Failing, run: impl FnMut(Tape) -> Try) -> Failing {
    let mut shrink = Shrink { best: failing, run, left: EFFORT };
    loop {
        let before = shrink.best.tape.clone();
        shrink.leave_out();
        shrink.make_dull();
        if shrink.best.tape == before {
            shrink.leave_out_pairs();
        }
        if shrink.left == 0 || shrink.best.tape == before {
            return shrink.best;
        }
    }
}
