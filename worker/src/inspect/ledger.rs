//! Objects of the ledger, told by their names: manifests, where topics start, whose prefix it is.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

use crate::cut::manifest::{cut_from, lost_range};
use crate::cut::{Genesis, Manifest, Owner, Ranges};
use crate::store::ledger::{LedgerError, parse};
use crate::text::{cells, counted, printable, table};

/// More ranges of a kind than this are only counted.
const RANGES_SHOWN: usize = 12;
/// Longest foreign text on a line.
const WIDTH: usize = 200;

/// One object of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LedgerObject {
    /// A manifest.
    Manifest(Box<Manifest>),
    /// Where the partitions of a topic start.
    Genesis(Genesis),
    /// Whose prefix it is.
    Owner(Owner),
    /// Rules, marks, names of losses: shown as they are.
    Other(Value),
}

/// True for the names of manifests; the whole path is wanted, since done marks have the same last part.
#[must_use]
pub fn is_manifest(path: &str) -> bool {
    let mut parts = path.rsplit('/');
    let (name, folder) = (parts.next(), parts.next());
    folder == Some("cuts") && name.and_then(cut_from).is_some()
}

impl LedgerObject {
    /// Reads the object at `path`, whose end tells what it is.
    ///
    /// # Errors
    /// It is not what its name says.
    pub fn read(path: &str, body: &[u8]) -> Result<Self, LedgerError> {
        let name = path.rsplit('/').next().unwrap_or(path);
        Ok(match name {
            "owner.json" => Self::Owner(parse(path, body)?),
            "genesis.json" => Self::Genesis(parse(path, body)?),
            _ if is_manifest(path) => Self::Manifest(Box::new(parse(path, body)?)),
            // A manifest that was copied out of its folder is still one; a done mark with the same name is not.
            _ if cut_from(name).is_some() && lost_range(name).is_none() => parse::<Manifest>(path, body)
                .map_or_else(|_| other(path, body), |found| Ok(Self::Manifest(found.into())))?,
            _ => other(path, body)?,
        })
    }
}

fn other(path: &str, body: &[u8]) -> Result<LedgerObject, LedgerError> {
    Ok(LedgerObject::Other(parse(path, body)?))
}

impl fmt::Display for LedgerObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Manifest(found) => manifest(f, found),
            Self::Genesis(found) => genesis(f, found),
            Self::Owner(found) => owner(f, found),
            Self::Other(found) => writeln!(f, "{found:#}"),
        }
    }
}

fn lines(f: &mut fmt::Formatter<'_>, pairs: &[(&str, String)]) -> fmt::Result {
    let rows: Vec<_> = pairs.iter().map(|(name, value)| vec![format!("  {name}"), printable(value, WIDTH)]).collect();
    table(f, 2, &rows)
}

fn manifest(f: &mut fmt::Formatter<'_>, found: &Manifest) -> fmt::Result {
    let Manifest { from, to, .. } = *found;
    writeln!(f, "manifest of topic {}, partition {}", printable(&found.topic, WIDTH), found.partition)?;
    lines(
        f,
        &[
            ("offsets", format!("{from}..{to} ({})", to.saturating_sub(from))),
            ("nonce", format!("{}, follows {}", found.nonce, found.prev)),
            ("ledger", found.ledger.clone()),
            ("leader epoch", found.epoch.to_string()),
            ("rules", found.rules.clone()),
            ("decoder", found.decoder_version.to_string()),
            ("dead letters", ranges(&found.dead)),
            ("filtered", ranges(&found.filtered)),
            ("absent", ranges(&found.absent)),
            ("lost", ranges(&found.lost)),
        ],
    )?;
    writeln!(f, "\n{} planned", counted(found.files.len() as u64, "file"))?;
    let mut rows = vec![cells(&["  key", "kind", "row digest", "rows", "first", "last"])];
    for file in &found.files {
        rows.push(vec![
            format!("  {}", printable(&file.key, usize::MAX)),
            file.kind.as_str().replace('_', " "),
            printable(&file.digest, WIDTH),
            file.rows.to_string(),
            file.first.to_string(),
            file.last.to_string(),
        ]);
    }
    if found.files.is_empty() { Ok(()) } else { table(f, 3, &rows) }
}

fn ranges(ranges: &Ranges) -> String {
    if ranges.is_empty() {
        return "none".to_owned();
    }
    let shown: Vec<String> = ranges.iter().take(RANGES_SHOWN).map(|(from, to)| format!("{from}..{to}")).collect();
    let more = ranges.iter().count() - shown.len();
    // Foreign numbers: their sum must not end the program.
    let offsets = ranges.iter().fold(0_u64, |sum, (from, to)| sum.saturating_add(to.abs_diff(from)));
    let more = if more > 0 { format!(" and {}", counted(more as u64, "more range")) } else { String::new() };
    format!("{} in {}{more}", counted(offsets, "offset"), shown.join(", "))
}

fn genesis(f: &mut fmt::Formatter<'_>, found: &Genesis) -> fmt::Result {
    writeln!(f, "where the partitions start, fixed for ledger {}", printable(&found.ledger, WIDTH))?;
    let mut rows = vec![cells(&["  partition", "offset", "leader epoch", "why"])];
    for (number, start) in found.partitions.iter().enumerate() {
        let why = printable(&start.why, WIDTH);
        rows.push(vec![number.to_string(), start.offset.to_string(), start.epoch.to_string(), why]);
    }
    table(f, 0, &rows)
}

fn owner(f: &mut fmt::Formatter<'_>, found: &Owner) -> fmt::Result {
    writeln!(f, "whose prefix this is")?;
    let pairs = [
        ("sink", found.sink.clone()),
        ("group", found.group.clone()),
        ("cluster", found.cluster_id.clone()),
        ("ledger", found.ledger.clone()),
    ];
    lines(f, &pairs)
}
