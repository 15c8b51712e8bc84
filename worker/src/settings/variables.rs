//! `${VAR}` and `${VAR:-default}` inside values. Pure.
//!
//! References are masked by inert words before the text is read as YAML and put in afterwards, scalar
//! by scalar. So braces never disturb YAML, a value never changes the structure of the file whatever
//! it contains, and comments may say anything.

use std::collections::BTreeMap;

use super::error::Problem;

/// A text whose references are masked.
#[derive(Debug)]
pub(super) struct Masked {
    /// The text to be read as YAML.
    pub(super) text: String,
    word: String,
    references: Vec<String>,
}

/// Replaces each reference and each `$${` in `text` by a word that occurs nowhere else in it.
pub(super) fn mask(text: &str) -> Masked {
    let word = (0u64..).map(|n| format!("masked{n}x")).find(|word| !text.contains(word.as_str())).unwrap_or_default();
    let mut masked = Masked { text: String::with_capacity(text.len()), word, references: Vec::new() };
    let mut rest = text;
    while let Some((before, reference, after)) = next_reference(rest) {
        masked.text.push_str(before);
        masked.text.push_str(&format!("{}{}z", masked.word, masked.references.len()));
        masked.references.push(reference.to_owned());
        rest = after;
    }
    masked.text.push_str(rest);
    masked
}

/// Splits `text` around its first reference (up to its closing brace on the same line) or `$${`.
fn next_reference(text: &str) -> Option<(&str, &str, &str)> {
    let start = text.find("${")?;
    let escape = start.checked_sub(1).filter(|&i| text[i..].starts_with('$'));
    let (start, end) = match escape {
        Some(dollar) => (dollar, start + 2),
        None => (start, closing_brace(&text[start..]).map_or(start + 2, |len| start + len)),
    };
    Some((&text[..start], &text[start..end], &text[end..]))
}

/// Length of the reference that `text` begins with; a default may hold references of its own.
fn closing_brace(text: &str) -> Option<usize> {
    let line = text.lines().next()?;
    let mut depth = 0usize;
    let mut previous = ' ';
    for (at, c) in line.char_indices() {
        match c {
            '{' if previous == '$' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if c == '}' && depth == 0 {
            return Some(at + 1);
        }
        previous = c;
    }
    None
}

impl Masked {
    /// Whether a scalar holds a reference, so that it is text whatever it looks like.
    pub(super) fn is_in(&self, scalar: &str) -> bool {
        scalar.contains(&self.word)
    }

    /// Gives the scalar with the values of its variables.
    pub(super) fn resolve(&self, scalar: &str, env: &BTreeMap<String, String>) -> Result<String, Problem> {
        self.replace(scalar, |reference| expand(reference, env))
    }

    /// Gives the scalar as it was written.
    pub(super) fn restore(&self, scalar: &str) -> String {
        let written = |reference: &str| Ok::<_, Problem>(reference.to_owned());
        self.replace(scalar, written).unwrap_or_else(|_| scalar.to_owned())
    }

    fn replace<E>(&self, scalar: &str, with: impl Fn(&str) -> Result<String, E>) -> Result<String, E> {
        let mut parts = scalar.split(self.word.as_str());
        let mut out = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (number, after) = part.split_once('z').unwrap_or((part, ""));
            let number = number.parse::<usize>().ok();
            if let Some(reference) = number.and_then(|n| self.references.get(n)) {
                out.push_str(&with(reference)?);
            }
            out.push_str(after);
        }
        Ok(out)
    }
}

/// The value of one reference. As in a shell, `:-` also covers a variable that is set to nothing.
fn expand(reference: &str, env: &BTreeMap<String, String>) -> Result<String, Problem> {
    if reference.starts_with("$$") {
        return Ok("${".to_owned());
    }
    let malformed = || Problem::MalformedVariable { text: reference.to_owned() };
    let inner = reference.strip_prefix("${").and_then(|inner| inner.strip_suffix('}')).ok_or_else(malformed)?;
    let (name, default) = match inner.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inner, None),
    };
    if !is_name(name) {
        return Err(malformed());
    }
    match (env.get(name), default) {
        (Some(value), None) => Ok(value.clone()),
        (Some(value), Some(_)) if !value.is_empty() => Ok(value.clone()),
        (_, Some(default)) => expand_all(default, env),
        (None, None) => Err(Problem::UnsetVariable { name: name.to_owned() }),
    }
}

fn expand_all(text: &str, env: &BTreeMap<String, String>) -> Result<String, Problem> {
    let masked = mask(text);
    masked.resolve(&masked.text, env)
}

fn is_name(name: &str) -> bool {
    let first = name.chars().next();
    first.is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(text: &str, env: &[(&str, &str)]) -> Result<String, Problem> {
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        expand_all(text, &env)
    }

    #[test]
    fn a_set_variable_wins_over_its_default() {
        let env = [("A", "1")];
        assert_eq!(resolved("x${A}y${A:-2}", &env), Ok("x1y1".to_owned()));
    }

    #[test]
    fn a_default_may_name_another_variable() {
        let env = [("B", "b")];
        assert_eq!(resolved("${A:-<${B}>}!", &env), Ok("<b>!".to_owned()));
    }

    #[test]
    fn a_default_replaces_an_empty_variable() {
        assert_eq!(resolved("${A:-2}", &[("A", "")]), Ok("2".to_owned()));
    }

    #[test]
    fn two_dollars_give_the_characters_themselves() {
        let env = [("A", "1")];
        assert_eq!(resolved("$${A} $$ ${A}", &env), Ok("${A} $$ 1".to_owned()));
    }

    #[test]
    fn a_value_is_not_expanded_again() {
        let env = [("A", "${B} masked0x0z")];
        assert_eq!(resolved("${A}", &env), Ok("${B} masked0x0z".to_owned()));
    }

    #[test]
    fn a_text_that_looks_like_our_words_is_kept() {
        let env = [("A", "1")];
        let text = "masked0x0z ${A}";
        assert_eq!(resolved(text, &env), Ok("masked0x0z 1".to_owned()));
    }

    #[test]
    fn an_unset_variable_without_a_default_is_named() {
        let problem = resolved("${NOT_SET}", &[]);
        let name = "NOT_SET".to_owned();
        assert_eq!(problem, Err(Problem::UnsetVariable { name }));
    }

    #[test]
    fn other_shell_forms_are_refused() {
        for text in ["${A-b}", "${}", "${A", "${1}"] {
            let problem = resolved(text, &[("A", "1")]);
            assert!(matches!(problem, Err(Problem::MalformedVariable { .. })), "{text}: {problem:?}");
        }
    }
}
