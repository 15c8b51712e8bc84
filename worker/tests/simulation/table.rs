//! The table of what a broker does, `broker.tsv`: a row is a name, who acts, a short play and the answers to its
//! questions. The simulated broker and a real one are led through the same plays.

/// A case: what happens, and what the broker says to it.
pub struct Row {
    pub name: &'static str,
    /// `broker`: the protocol itself; `client`: only a real librdkafka can play it.
    pub side: &'static str,
    pub play: &'static str,
    pub answers: &'static str,
}

/// All rows of the file.
pub fn rows() -> impl Iterator<Item = Row> {
    let lines = include_str!("broker.tsv").lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| match *line.split('\t').collect::<Vec<_>>() {
        [name, side, play, answers] => Row { name, side, play, answers },
        _ => panic!("a row has four columns between tabs: {line:?}"),
    })
}

impl Row {
    /// About what is in a partition, not about a group.
    pub fn is_about_a_log(&self) -> bool {
        ["write", "rewrite", "transaction", "low?"].iter().any(|first| self.play.starts_with(first))
    }

    /// Leads somebody through the play; `act` takes a step in words and gives the answer to it. Only the answers
    /// to steps with a question mark are told.
    pub fn play(&self, mut act: impl FnMut(&[&str]) -> String) -> String {
        let mut answers = vec![];
        for step in self.play.split("; ") {
            let words: Vec<_> = step.trim_end_matches('?').split(' ').collect();
            let answer = act(&words);
            if step.ends_with('?') {
                answers.push(answer);
            }
        }
        answers.join(", ")
    }

    /// The line of the file that these answers would make.
    pub fn line(&self, answers: &str) -> String {
        [self.name, self.side, self.play, answers].join("\t")
    }
}
