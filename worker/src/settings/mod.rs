//! Settings from a file, the environment's file beside it and variables, layered in this order.
//!
//! Reads files and nothing else: variables come in as an argument. Either all settings are right, or
//! every mistake is named at once with its path, its source and the way out; a secret is never named.

mod checks;
mod deserialize;
mod error;
mod files;
mod layers;
mod variables;
mod yaml;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;

pub use error::{Mistake, Problem, SettingsError};
pub use eventsink_crds::settings::Settings;

use error::Mistakes;

/// Names the environment (`production`) whose file is read after the main one.
pub const ENVIRONMENT: &str = "EVENTSINK_ENV";

/// Variables of this prefix are settings: `EVENTSINK__KAFKA__CONSUMER__GROUP_ID` is `kafka.consumer.group_id`.
pub const PREFIX: &str = "EVENTSINK__";

/// Reads and checks all settings.
///
/// `path` is the main file, `env` all variables of the process. Each layer overrides the one before:
/// the file; `{stem}-{EVENTSINK_ENV}.yaml` beside it; variables named `EVENTSINK__...`. Sections are
/// merged, lists are replaced, and a key without a value stands for its default.
///
/// # Errors
/// Every mistake in any layer, unless a layer could not be read at all: then only that is reported,
/// since what it would have said is unknown.
pub fn load(path: &Path, env: &BTreeMap<String, String>) -> Result<Settings, SettingsError> {
    let mut mistakes = Mistakes::default();
    let layers = layers::read(path, env, &mut mistakes);
    mistakes.stop_if_any()?;
    let merged = layers::merge(layers, env, &mut mistakes);
    let mut settings = deserialize::settings(&merged, &mut mistakes);
    files::read(&mut settings, &merged, &mut mistakes);
    checks::all(&settings, &merged, &mut mistakes);
    mistakes.stop_if_any()?;
    Ok(settings)
}
