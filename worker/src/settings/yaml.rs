//! YAML text -> a tree of texts with the line that each came from. Pure.
//!
//! Scalars stay as they are written (a group named `007` or `1.10` keeps its name) and get their type
//! from the key that takes them, just as variables do. A scalar that is empty or null is no value.

use std::collections::{BTreeMap, HashMap};

use config::{Map, Value, ValueKind};
use yaml_rust2::Event;
use yaml_rust2::parser::Parser;
use yaml_rust2::scanner::{Marker, ScanError, TScalarStyle};

use super::error::{self, Mistake, Problem};
use super::variables::{self, Masked};

/// Nesting beyond this is refused; settings need five levels.
const MAX_DEPTH: usize = 32;

/// One settings file.
#[derive(Debug, Default)]
pub(super) struct Document {
    /// Its keys; every leaf is text or nil.
    pub(super) table: Map<String, Value>,
    /// Values that could not be resolved and are nil in `table`; harmless where a later layer overrides them.
    pub(super) unresolved: Vec<Mistake>,
    /// Keys that are wrong whatever later layers say.
    pub(super) wrong_keys: Vec<Mistake>,
}

/// Reads the text of a settings file; `name` is how messages call it.
pub(super) fn read(name: &str, text: &str, env: &BTreeMap<String, String>) -> Result<Document, String> {
    let masked = variables::mask(text.trim_start_matches('\u{feff}'));
    let mut reader = Reader {
        parser: Parser::new_from_str(&masked.text),
        masked: &masked,
        name,
        env,
        anchors: HashMap::new(),
        document: Document::default(),
    };
    let root = reader
        .document()
        .map_err(|error| format!("{} in line {}", masked.restore(error.info()), error.marker().line()))?;
    let mut document = reader.document;
    match root.map(|root| root.kind) {
        Some(ValueKind::Table(table)) => document.table = table,
        None | Some(ValueKind::Nil) => {}
        Some(_) => return Err("the file must hold sections such as `kafka:`".to_owned()),
    }
    Ok(document)
}

struct Reader<'a> {
    parser: Parser<std::str::Chars<'a>>,
    masked: &'a Masked,
    name: &'a str,
    env: &'a BTreeMap<String, String>,
    anchors: HashMap<usize, Value>,
    document: Document,
}

impl Reader<'_> {
    /// The root of the only document, if there is one.
    fn document(&mut self) -> Result<Option<Value>, ScanError> {
        let mut root = None;
        loop {
            match self.parser.next_token()? {
                (Event::StreamEnd, _) => return Ok(root),
                (Event::StreamStart | Event::DocumentStart | Event::DocumentEnd, _) => {}
                (_, at) if root.is_some() => {
                    return Err(ScanError::new(at, "more than one document; keep one"));
                }
                (event, at) => root = Some(self.node(event, at, &mut Vec::new())?),
            }
        }
    }

    fn node(&mut self, event: Event, at: Marker, path: &mut Vec<String>) -> Result<Value, ScanError> {
        if path.len() > MAX_DEPTH {
            return Err(ScanError::new(at, "nested too deeply"));
        }
        let (anchor, value) = match event {
            Event::Scalar(text, style, anchor, _) => (anchor, self.scalar(&text, style, at, path)),
            Event::SequenceStart(anchor, _) => (anchor, self.sequence(at, path)?),
            Event::MappingStart(anchor, _) => (anchor, self.mapping(at, path)?),
            Event::Alias(anchor) => {
                let value = self.anchors.get(&anchor).cloned();
                return value.ok_or_else(|| ScanError::new(at, "an alias inside its own anchor"));
            }
            _ => return Err(ScanError::new(at, "a value is missing")),
        };
        if anchor > 0 {
            self.anchors.insert(anchor, value.clone());
        }
        Ok(value)
    }

    fn scalar(&mut self, text: &str, style: TScalarStyle, at: Marker, path: &[String]) -> Value {
        let null =
            style == TScalarStyle::Plain && matches!(text, "~" | "null" | "Null" | "NULL") && !self.masked.is_in(text);
        let kind = match self.masked.resolve(text, self.env) {
            Ok(resolved) if null || resolved.is_empty() => ValueKind::Nil,
            Ok(resolved) => ValueKind::String(resolved),
            Err(mut problem) => {
                if let Problem::MalformedVariable { text } = &mut problem
                    && error::is_secret(path)
                {
                    "${***".clone_into(text);
                }
                let mistake = self.mistake(at, path, problem);
                self.document.unresolved.push(mistake);
                ValueKind::Nil
            }
        };
        self.value(at, kind)
    }

    fn sequence(&mut self, start: Marker, path: &mut Vec<String>) -> Result<Value, ScanError> {
        let mut items: Vec<Value> = Vec::new();
        loop {
            match self.parser.next_token()? {
                (Event::SequenceEnd, _) => return Ok(self.value(start, ValueKind::Array(items))),
                (event, at) => {
                    path.push(format!("[{}]", items.len()));
                    items.push(self.node(event, at, path)?);
                    path.pop();
                }
            }
        }
    }

    fn mapping(&mut self, start: Marker, path: &mut Vec<String>) -> Result<Value, ScanError> {
        let mut table = Map::new();
        loop {
            let (key, at) = match self.parser.next_token()? {
                (Event::MappingEnd, _) => return Ok(self.value(start, ValueKind::Table(table))),
                (Event::Scalar(key, ..), at) => (self.masked.restore(&key), at),
                (_, at) => return Err(ScanError::new(at, "a key must be plain text")),
            };
            let (event, value_at) = self.parser.next_token()?;
            path.push(key.clone());
            let value = self.node(event, value_at, path)?;
            if is_option(path) {
                insert_option(&mut table, &key, value);
            // The layers below read a dot in a key of the first level as a path.
            } else if key.contains(['.', '[']) {
                let mistake = self.mistake(at, path, Problem::DottedKey);
                self.document.wrong_keys.push(mistake);
            } else if table.insert(key.clone(), value).is_some() {
                let twice = format!("key `{key}` stands here for the second time");
                return Err(ScanError::new_string(at, twice));
            }
            path.pop();
        }
    }

    fn value(&self, at: Marker, kind: ValueKind) -> Value {
        Value::new(Some(&self.origin(at)), kind)
    }

    fn mistake(&self, at: Marker, path: &[String], problem: Problem) -> Mistake {
        Mistake { path: join(path), origin: Some(self.origin(at)), problem }
    }

    fn origin(&self, at: Marker) -> String {
        format!("{}:{}", self.name, at.line())
    }
}

/// Options of the Kafka client have dots in their names.
fn is_option(path: &[String]) -> bool {
    matches!(path, [kafka, options, name] if kafka == "kafka" && options == "options" && !name.contains('['))
}

/// An option's name as sections one inside the other, as variables write it too; of two of one name the last counts.
fn insert_option(table: &mut Map<String, Value>, name: &str, value: Value) {
    let Some((part, rest)) = name.split_once('.') else {
        table.insert(name.to_owned(), value);
        return;
    };
    let section = table.entry(part.to_owned()).or_insert_with(|| Value::new(None, Map::<String, Value>::new()));
    if !matches!(section.kind, ValueKind::Table(_)) {
        *section = Value::new(None, Map::<String, Value>::new());
    }
    if let ValueKind::Table(inner) = &mut section.kind {
        insert_option(inner, rest, value);
    }
}

/// `a.b[0].c` from its steps, where an index is written `[0]`.
pub(super) fn join(steps: &[String]) -> String {
    let mut path = String::new();
    for step in steps {
        if !path.is_empty() && !step.starts_with('[') {
            path.push('.');
        }
        path.push_str(step);
    }
    path
}
