//! Reads the layers and merges them by `config`. The only reader of settings files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use config::{Config, ConfigError, Map, Source, Value, ValueKind};

use super::error::{Mistake, Mistakes, Problem};
use super::yaml::{self, Document};
use super::{ENVIRONMENT, PREFIX};

/// Reads the main file and, if an environment is named, its file.
pub(super) fn read(path: &Path, env: &BTreeMap<String, String>, mistakes: &mut Mistakes) -> Vec<Document> {
    let mut documents = vec![read_file(path, None, env, mistakes)];
    match env.get(ENVIRONMENT).map(String::as_str) {
        None | Some("") => {}
        Some(name) if is_environment_name(name) => {
            let path = environment_file(path, name);
            let why = format!("{ENVIRONMENT}={name}");
            documents.push(read_file(&path, Some(why), env, mistakes));
        }
        Some(name) => mistakes
            .add_to_layer(Some(format!("variable {ENVIRONMENT}")), Problem::EnvironmentName { value: name.to_owned() }),
    }
    documents
}

fn is_environment_name(name: &str) -> bool {
    name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
}

/// `application-production.yaml` beside `application.yaml`.
fn environment_file(main: &Path, name: &str) -> PathBuf {
    let part = |part: Option<&std::ffi::OsStr>| part.map(|p| p.to_string_lossy().into_owned());
    let stem = part(main.file_stem()).unwrap_or_default();
    let extension = part(main.extension()).unwrap_or_else(|| "yaml".to_owned());
    main.with_file_name(format!("{stem}-{name}.{extension}"))
}

fn read_file(path: &Path, why: Option<String>, env: &BTreeMap<String, String>, mistakes: &mut Mistakes) -> Document {
    let name = path.display().to_string();
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            let reason = error.to_string();
            mistakes.add_to_layer(why, Problem::Unreadable { file: name, reason });
            return Document::default();
        }
    };
    yaml::read(&name, &text, env).unwrap_or_else(|error| {
        mistakes.add_to_layer(Some(name), Problem::Syntax(error));
        Document::default()
    })
}

/// Merges the files and the variables over them; nil leaves are keys without a value.
pub(super) fn merge(documents: Vec<Document>, env: &BTreeMap<String, String>, mistakes: &mut Mistakes) -> Value {
    let mut builder = Config::builder();
    let mut unresolved = Vec::new();
    for document in documents {
        builder = builder.add_source(Layer(document.table));
        unresolved.extend(document.unresolved);
        for Mistake { path, origin, problem } in document.wrong_keys {
            mistakes.add(&path, origin, problem);
        }
    }
    for variable in variables(env, mistakes) {
        builder = builder.add_source(variable);
    }
    let merged = match builder.build() {
        Ok(config) => config.cache,
        Err(error) => {
            mistakes.add_to_layer(None, Problem::Syntax(error.to_string()));
            Value::new(None, Map::<String, Value>::new())
        }
    };
    for mistake in unresolved {
        let survives = find(&merged, &mistake.path)
            .is_some_and(|node| node.kind == ValueKind::Nil && node.origin() == mistake.origin.as_deref());
        if survives {
            mistakes.add(&mistake.path, mistake.origin, mistake.problem);
        }
    }
    merged
}

/// Names in this section keep their case, which no variable can say.
const CASED: [&str; 4] = ["kafka", "sasl", "oauth", "extensions"];

/// One layer per variable, so that they apply in the order of their names.
fn variables(env: &BTreeMap<String, String>, mistakes: &mut Mistakes) -> Vec<Layer> {
    let mut layers = Vec::new();
    let ours = || env.iter().filter_map(|(name, value)| Some((name, name.strip_prefix(PREFIX)?, value)));
    for (name, key, value) in ours() {
        let origin = format!("variable {name}");
        let steps: Vec<String> = key.split("__").map(str::to_ascii_lowercase).collect();
        if !steps.iter().all(|step| is_key(step)) {
            mistakes.add_to_layer(Some(origin), Problem::VariableName);
            continue;
        }
        if steps.len() > CASED.len() && steps.starts_with(&CASED.map(str::to_owned)) {
            mistakes.add_to_layer(Some(origin), Problem::VariableCase { section: CASED.join(".") });
            continue;
        }
        let section = format!("{key}__");
        if ours().any(|(_, other, _)| other.starts_with(&section)) {
            let problem = Problem::NotAllowed {
                value: "text".to_owned(),
                allowed: "a section; other variables give its keys".to_owned(),
            };
            mistakes.add(&steps.join("."), Some(origin), problem);
            continue;
        }
        let kind = match value.as_str() {
            "" => ValueKind::Nil,
            text => ValueKind::String(text.to_owned()),
        };
        layers.push(Layer::of(&steps, Value::new(Some(&origin), kind)));
    }
    layers
}

fn is_key(step: &str) -> bool {
    !step.is_empty() && step.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// The node at a path such as `kafka.consumer.topics[0]`.
pub(super) fn find<'a>(root: &'a Value, path: &str) -> Option<&'a Value> {
    let path = path.replace('[', ".[");
    path.split('.').try_fold(root, |node, step| {
        let index = step.strip_prefix('[').and_then(|s| s.strip_suffix(']'));
        match (&node.kind, index) {
            (ValueKind::Table(table), None) => table.get(step),
            (ValueKind::Array(items), Some(index)) => items.get(index.parse::<usize>().ok()?),
            _ => None,
        }
    })
}

/// Where the value at `path` came from; for a section, where its first key came from.
pub(super) fn origin(root: &Value, path: &str) -> Option<String> {
    fn first(node: &Value) -> Option<String> {
        match (&node.kind, node.origin()) {
            (_, Some(origin)) => Some(origin.to_owned()),
            (ValueKind::Table(table), None) => {
                let sorted: BTreeMap<_, _> = table.iter().collect();
                sorted.into_values().find_map(first)
            }
            _ => None,
        }
    }
    first(find(root, path)?)
}

#[derive(Debug, Clone)]
struct Layer(Map<String, Value>);

impl Layer {
    /// A layer with one value under nested sections.
    fn of(steps: &[String], value: Value) -> Self {
        let mut table = Map::new();
        if let [key, inner @ ..] = steps {
            let value = match inner {
                [] => value,
                inner => Value::new(None, ValueKind::Table(Self::of(inner, value).0)),
            };
            table.insert(key.clone(), value);
        }
        Self(table)
    }
}

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        Ok(self.0.clone())
    }
}
