//! What is wrong with settings, in words that name the way out. Secrets never get this far.

use std::fmt;

/// All mistakes in the settings, sorted by path; shown one per line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", lines(.mistakes))]
pub struct SettingsError {
    /// At least one.
    pub mistakes: Vec<Mistake>,
}

fn lines(mistakes: &[Mistake]) -> String {
    let lines: Vec<String> = mistakes.iter().map(Mistake::to_string).collect();
    lines.join("\n")
}

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The key, such as `kafka.consumer.topics[1]`; empty when a whole layer is meant.
    pub path: String,
    /// The file and line or the variable that the value came from; none when there is no value.
    pub origin: Option<String>,
    /// What is wrong.
    pub problem: Problem,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.path.as_str(), self.origin.as_deref()) {
            ("", None) => write!(f, "{}", self.problem),
            ("", Some(origin)) => write!(f, "{origin}: {}", self.problem),
            (path, None) => write!(f, "{path}: {}", self.problem),
            (path, Some(origin)) => write!(f, "{path}: {} (from {origin})", self.problem),
        }
    }
}

/// What is wrong with a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A settings file or a file named by a setting cannot be read.
    #[error("cannot read {file}: {reason}")]
    Unreadable {
        /// Its path.
        file: String,
        /// The system's words.
        reason: String,
    },
    /// A settings file is not YAML.
    #[error("not valid YAML: {0}")]
    Syntax(String),
    /// The name of the environment cannot be part of a file name.
    #[error("{value:?} cannot be part of a file name; use letters, digits, `.`, `_` and `-`")]
    EnvironmentName {
        /// The name.
        value: String,
    },
    /// No such key.
    #[error("unknown key; {}", suggestion(.nearest, .known))]
    UnknownKey {
        /// The known key that it resembles.
        nearest: Option<String>,
        /// All keys of its section.
        known: Vec<String>,
    },
    /// A required value is not given.
    #[error("is missing; it must be {allowed}")]
    Missing {
        /// What it must be.
        allowed: String,
    },
    /// The value is not one that the key takes.
    #[error("{value} is not allowed; it must be {allowed}")]
    NotAllowed {
        /// The value as it was written, `***` for a secret.
        value: String,
        /// What it must be.
        allowed: String,
    },
    /// An option of the Kafka client that users may not set.
    #[error("is not passed on: {why}")]
    NotPassedOn {
        /// The reason, and what to use instead.
        why: String,
    },
    /// A value that the Kafka client itself refuses.
    #[error("{words}")]
    Library {
        /// Its words.
        words: String,
    },
    /// The same is given in two ways.
    #[error("is given, and so is {other}; give one of them")]
    Both {
        /// The other key.
        other: String,
    },
    /// A variable inside a value has no value itself.
    #[error("variable {name} is not set; set it or write ${{{name}:-default}}")]
    UnsetVariable {
        /// Its name.
        name: String,
    },
    /// `${` without a name and a closing brace.
    #[error("{text} names no variable; write ${{NAME}} or ${{NAME:-default}}, or $${{ for the characters ${{")]
    MalformedVariable {
        /// The text from `${` on.
        text: String,
    },
    /// A variable of our prefix that can be no key.
    #[error("names no key; write EVENTSINK__SECTION__KEY, such as EVENTSINK__KAFKA__CONSUMER__GROUP_ID")]
    VariableName,
    /// A variable for a name whose case counts.
    #[error(
        "names in {section} keep their case, which a variable cannot say; write them in the file, with ${{VAR}} for a value"
    )]
    VariableCase {
        /// The section of such names.
        section: String,
    },
    /// A key with a dot in it.
    #[error("write sections one inside the other, not joined by dots")]
    DottedKey,
}

fn suggestion(nearest: &Option<String>, known: &[String]) -> String {
    match nearest {
        Some(key) => format!("did you mean `{key}`?"),
        None => format!("known here: {}", known.join(", ")),
    }
}

/// Keys whose values are never shown, in whatever section they stand.
const SECRETS: [&str; 11] = [
    "password",
    "key_password",
    "access_key_id",
    "secret_access_key",
    "session_token",
    "access_key",
    "sas_token",
    "client_secret",
    "customer_key",
    "proxy_url",
    "headers",
];

/// Whether the value at this path must not be shown.
pub(super) fn is_secret(steps: &[String]) -> bool {
    steps.iter().any(|step| SECRETS.contains(&step.as_str()))
}

/// Collects mistakes; at most one per key, and none below a key that is already known to be wrong.
#[derive(Debug, Default)]
pub(super) struct Mistakes(Vec<Mistake>);

impl Mistakes {
    /// Adds one, unless the same key or the section around it has one already.
    pub(super) fn add(&mut self, path: &str, origin: Option<String>, problem: Problem) {
        if !self.covers(path) {
            self.0.push(Mistake { path: path.to_owned(), origin, problem });
        }
    }

    /// Adds one that concerns no single key.
    pub(super) fn add_to_layer(&mut self, origin: Option<String>, problem: Problem) {
        self.0.push(Mistake { path: String::new(), origin, problem });
    }

    /// Whether the key, the section around it or an item of it is known to be wrong.
    pub(super) fn covers(&self, path: &str) -> bool {
        self.0.iter().any(|known| {
            let known = known.path.as_str();
            known == path || (!known.is_empty() && is_below(path, known, &['.', '['])) || is_below(known, path, &['['])
        })
    }

    /// Ends the loading when there is any.
    pub(super) fn stop_if_any(&mut self) -> Result<(), SettingsError> {
        if self.0.is_empty() {
            return Ok(());
        }
        let mut mistakes = std::mem::take(&mut self.0);
        mistakes.sort_by(|a, b| a.path.cmp(&b.path).then_with(|| a.origin.cmp(&b.origin)));
        Err(SettingsError { mistakes })
    }
}

/// Whether `path` is `parent` with one of the `signs` and more after it.
fn is_below(path: &str, parent: &str, signs: &[char]) -> bool {
    path.strip_prefix(parent).is_some_and(|rest| rest.starts_with(signs))
}
