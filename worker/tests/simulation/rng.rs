//! Random choices from a seed (splitmix64), the same on every machine; or from a tape of an earlier run.
//! Of all choices the highest is the dull one: nothing happens, all goes well.

/// The choice that nobody made: the highest, whatever the range.
const DULL: u32 = u32::MAX;

/// What was chosen in each step, so that a run can be repeated without some of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tape {
    /// The first step sets up the world.
    pub stormy: Vec<Vec<u32>>,
    pub calm: Vec<Vec<u32>>,
}

impl Tape {
    pub fn steps(&self) -> usize {
        self.stormy.len() + self.calm.len()
    }

    /// How many choices are not dull: fewer make a plainer story.
    pub fn spice(&self) -> usize {
        self.stormy.iter().chain(&self.calm).flatten().filter(|choice| **choice != DULL).count()
    }

    fn phase(&mut self, calm: bool) -> &mut Vec<Vec<u32>> {
        if calm { &mut self.calm } else { &mut self.stormy }
    }

    /// Makes choices dull from the given one on; false when they are.
    pub fn dull(&mut self, step: usize, choices: std::ops::Range<usize>) -> bool {
        let stormy = self.stormy.len();
        let step = if step < stormy { &mut self.stormy[step] } else { &mut self.calm[step - stormy] };
        let choices = &mut step[choices];
        let changes = choices.iter().any(|choice| *choice != DULL);
        choices.fill(DULL);
        changes
    }

    pub fn choices(&self, step: usize) -> usize {
        self.stormy.iter().chain(&self.calm).nth(step).map_or(0, Vec::len)
    }

    /// Without these steps; the first one stays.
    pub fn without(&self, steps: std::ops::Range<usize>) -> Self {
        let stormy = self.stormy.len();
        let keep = |first: usize, all: &[Vec<u32>]| {
            let kept = all.iter().enumerate().filter(|(at, _)| !steps.contains(&(first + at)) || first + at == 0);
            kept.map(|(_, step)| step.clone()).collect()
        };
        Self { stormy: keep(0, &self.stormy), calm: keep(stormy, &self.calm) }
    }
}

pub struct Rng {
    state: u64,
    /// Choices to be made again.
    given: Option<Tape>,
    /// Choices that were made.
    made: Option<Tape>,
    /// Phase, step in it and choice in that.
    at: (bool, usize, usize),
}

impl Rng {
    pub fn new(seed: u64) -> Self {
        Self { state: seed, given: None, made: None, at: (false, 0, 0) }
    }

    /// Keeps a tape of the choices made, beginning with those of `given`.
    pub fn taped(seed: u64, given: Option<Tape>) -> Self {
        let made = Some(Tape { stormy: vec![vec![]], calm: vec![] });
        Self { given, made, ..Self::new(seed) }
    }

    pub fn tape(&mut self) -> Option<Tape> {
        self.made.take()
    }

    /// The next step begins; false when a tape has no more storm.
    pub fn begin(&mut self, calm: bool) -> bool {
        let (was_calm, step, _) = self.at;
        self.at = (calm, if calm == was_calm { step + 1 } else { 0 }, 0);
        if let Some(made) = &mut self.made {
            made.phase(calm).push(vec![]);
        }
        calm || self.given.as_ref().is_none_or(|given| self.at.1 < given.stormy.len())
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in `0..n`.
    pub fn below(&mut self, n: u64) -> u64 {
        let (calm, step, choice) = self.at;
        let given = self.given.as_mut().map(|given| given.phase(calm).get(step).map(|step| step.get(choice).copied()));
        let chosen = match given {
            Some(Some(choice)) => u64::from(choice.unwrap_or(DULL)).min(n - 1),
            // The calm after the tape needs chance, or somebody waits for ever.
            _ => self.next() % n,
        };
        if let Some(made) = &mut self.made
            && let Some(step) = made.phase(calm).last_mut()
        {
            self.at.2 += 1;
            step.push(if chosen == n - 1 { DULL } else { u32::try_from(chosen).unwrap_or(DULL) });
        }
        chosen
    }

    /// An index into something of length `n`.
    pub fn index(&mut self, n: usize) -> usize {
        usize::try_from(self.below(n as u64)).unwrap_or(0)
    }

    /// True once in `n` times.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}
