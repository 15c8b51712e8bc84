//! The merged tree -> typed settings, naming every value that does not fit. Pure.
//!
//! Serde stops at the first error; so the value that it names is noted and removed, and serde is asked
//! again until nothing is left to complain about.

use config::{Value, ValueKind};
use eventsink_crds::settings::Settings;
use serde_json::{Map, Value as Json};
use serde_path_to_error::{Path, Segment};

use super::error::{self, Mistakes, Problem};
use super::{layers, yaml};

/// A key that differs from a known one by more than this share of itself does not mean that one.
const SIMILAR: f64 = 0.7;

/// Gives settings in which each value that does not fit is its default.
pub(super) fn settings(merged: &Value, mistakes: &mut Mistakes) -> Settings {
    let mut tree = json(merged).unwrap_or_default();
    loop {
        let error = match serde_path_to_error::deserialize::<_, Settings>(&tree) {
            Ok(settings) => return settings,
            Err(error) => error,
        };
        let steps = steps(error.path());
        let path = yaml::join(&steps);
        let problem = problem(&error.inner().to_string(), &steps, find(&tree, &steps));
        mistakes.add(&path, layers::origin(merged, &path), problem);
        if !remove(&mut tree, &steps) {
            return Settings::default();
        }
    }
}

/// The tree as serde's own value; keys without a value vanish, so that they get their defaults.
fn json(value: &Value) -> Option<Json> {
    match &value.kind {
        ValueKind::Nil => None,
        ValueKind::Table(table) => Some(Json::Object(
            table.iter().filter_map(|(key, value)| Some((key.clone(), json(value)?))).collect::<Map<_, _>>(),
        )),
        ValueKind::Array(items) => Some(Json::Array(items.iter().map(|item| json(item).unwrap_or_default()).collect())),
        scalar => Some(Json::String(scalar.to_string())),
    }
}

fn steps(path: &Path) -> Vec<String> {
    path.iter()
        .filter_map(|segment| match segment {
            Segment::Seq { index } => Some(format!("[{index}]")),
            Segment::Map { key } => Some(key.clone()),
            Segment::Enum { .. } | Segment::Unknown => None,
        })
        .collect()
}

/// Turns serde's words ("unknown field `x`, expected one of ...") into ours.
fn problem(words: &str, steps: &[String], value: Option<&Json>) -> Problem {
    let expected = words.rsplit_once(", expected ").map_or("", |(_, expected)| expected);
    if words.starts_with("unknown field") {
        let known: Vec<String> = quoted(expected).map(str::to_owned).collect();
        let key = steps.last().map(String::as_str).unwrap_or_default();
        return Problem::UnknownKey { nearest: nearest(key, &known), known };
    }
    let allowed = match expected {
        "" => "something else".to_owned(),
        "a string" => "text".to_owned(),
        section if section.starts_with("struct ") => "a section with keys of its own".to_owned(),
        one_of if words.starts_with("unknown variant") => {
            let names: Vec<&str> = quoted(one_of).collect();
            format!("one of {}", names.join(", "))
        }
        other => other.to_owned(),
    };
    // Text in place of a section may hold anything, a login too.
    let hidden = error::is_secret(steps) || expected.starts_with("struct ");
    Problem::NotAllowed { value: shown(value, hidden), allowed }
}

fn shown(value: Option<&Json>, hidden: bool) -> String {
    match value {
        Some(Json::Object(_)) => "a section".to_owned(),
        Some(Json::Array(_)) => "a list".to_owned(),
        Some(Json::String(_)) if hidden => "***".to_owned(),
        Some(Json::String(text)) => format!("{text:?}"),
        _ => "nothing".to_owned(),
    }
}

fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

pub(super) fn nearest(key: &str, known: &[String]) -> Option<String> {
    let key = key.to_ascii_lowercase().replace('-', "_");
    known
        .iter()
        .map(|candidate| (strsim::jaro_winkler(&key, candidate), candidate))
        .filter(|(similarity, _)| *similarity > SIMILAR)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate.clone())
}

fn find<'a>(tree: &'a Json, steps: &[String]) -> Option<&'a Json> {
    steps.iter().try_fold(tree, |node, step| match node {
        Json::Array(items) => items.get(index(step)?),
        node => node.get(step),
    })
}

fn index(step: &str) -> Option<usize> {
    step.strip_prefix('[')?.strip_suffix(']')?.parse().ok()
}

/// Removes a node; says whether there was one.
fn remove(tree: &mut Json, steps: &[String]) -> bool {
    let empty = Json::String(String::new());
    let Some((last, parents)) = steps.split_last() else {
        return false;
    };
    let parent = parents.iter().try_fold(tree, |node, step| match node {
        Json::Array(items) => items.get_mut(index(step)?),
        node => node.get_mut(step),
    });
    match parent {
        Some(Json::Object(table)) => table.remove(last).is_some(),
        Some(Json::Array(items)) => match index(last) {
            // Emptied in place, so that the items after it keep their paths; a list ignores empty items.
            Some(index) if items.get(index).is_some_and(|item| *item != empty) => {
                items[index] = empty;
                true
            }
            _ => false,
        },
        _ => false,
    }
}
