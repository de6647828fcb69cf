//! The operator's table: private id → classification id. It never leaves the operator.
//!
//! ```text
//! private_id,classification_id,channel,element,quantity,phase,unit,scale,sign,accuracy,deadband
//! DE0001234567890,7-PRE-001,,meter.31,p,,kW,,,,
//! ```
//!
//! The columns from `element` on say what the value is in the network. They are for the platform and go there as a point map
//! ([`point_map`](crate::point_map)) with the pseudonym in place of the ids.

use super::keys::{self, KeyError};
use super::pseudonym::{Pseudonym, Pseudonymiser};
use csv::{ReaderBuilder, StringRecord, Trim};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Largest table read, bytes.
const BYTES_MAX: u64 = 64 << 20;
/// Most entries.
const ENTRIES_MAX: usize = 1_000_000;
/// Longest private id, bytes.
const ID_BYTES_MAX: usize = 256;
/// What a point map has besides its tag.
const POINT_COLUMNS: [&str; 8] =
    ["element", "quantity", "phase", "unit", "scale", "sign", "accuracy", "deadband"];

/// Why there is no table.
#[derive(Debug, Error)]
pub enum MappingError {
    /// It cannot be read.
    #[error("mapping {}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// Others can read it.
    #[error("mapping: {0}")]
    Open(#[from] KeyError),
    /// A line cannot be used.
    #[error("{}:{line}: {reason}", path.display())]
    Line {
        /// Which file.
        path: PathBuf,
        /// Counted from 1.
        line: u64,
        /// What is wrong.
        reason: String,
    },
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What the historian calls it.
    pub private_id: String,
    /// Whose it is, for the operator.
    pub classification_id: String,
    /// Which of its values; may be empty.
    pub channel: String,
    /// What the platform calls it.
    pub pseudonym: Pseudonym,
    /// The rest of a line of a point map, in the order of its columns.
    point: Vec<String>,
}

/// The table with its pseudonyms.
#[derive(Debug, Clone, Default)]
pub struct Mapping {
    entries: Vec<Entry>,
    by_id: BTreeMap<String, usize>,
    by_pseudonym: BTreeMap<Pseudonym, usize>,
}

impl Mapping {
    /// Reads the table; no private id and no classification id with its channel twice.
    ///
    /// # Errors
    /// [`MappingError`] names file and line.
    pub fn read(path: &Path, pseudonymiser: &Pseudonymiser) -> Result<Self, MappingError> {
        let failed = |source| MappingError::File { path: path.to_owned(), source };
        let size = std::fs::metadata(path).map_err(failed)?.len();
        if size > BYTES_MAX {
            return Err(failed(std::io::Error::other(format!("{size} bytes, at most {BYTES_MAX} are read"))));
        }
        keys::is_private(path)?;
        let text = std::fs::read_to_string(path).map_err(failed)?;
        parse(text.strip_prefix('\u{feff}').unwrap_or(&text), pseudonymiser)
            .map_err(|(line, reason)| MappingError::Line { path: path.to_owned(), line, reason })
    }

    /// What stands in place of a private id.
    pub fn pseudonym(&self, private_id: &str) -> Option<Pseudonym> {
        self.by_id.get(private_id).and_then(|place| self.entries.get(*place)).map(|entry| entry.pseudonym)
    }

    /// Whose a pseudonym is: only who has this table and the key can say.
    pub fn entry(&self, pseudonym: Pseudonym) -> Option<&Entry> {
        self.by_pseudonym.get(&pseudonym).and_then(|place| self.entries.get(*place))
    }

    /// All entries, in the order of the file.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The platform's point map, CSV: what of the table may leave.
    ///
    /// # Errors
    /// The entries that do not say what they are in the network, by their number.
    pub fn point_map(&self) -> Result<String, Vec<usize>> {
        let is_open = |entry: &Entry| entry.point.iter().take(2).any(String::is_empty);
        let open = self.entries.iter().enumerate().filter(|(_, entry)| is_open(entry));
        let open: Vec<usize> = open.map(|(place, _)| place + 1).collect();
        if !open.is_empty() {
            return Err(open);
        }
        // In the order of the pseudonyms, so that the order of the table is not told.
        let mut text = format!("tag,{}\n", POINT_COLUMNS.join(","));
        for place in self.by_pseudonym.values() {
            if let Some(entry) = self.entries.get(*place) {
                text.push_str(&format!("{},{}\n", entry.pseudonym, entry.point.join(",")));
            }
        }
        Ok(text)
    }
}

/// Reads any bytes as a table.
pub(super) fn read_any(bytes: &[u8], pseudonymiser: &Pseudonymiser) {
    if let Ok(mapping) = parse(&String::from_utf8_lossy(bytes), pseudonymiser) {
        let _ = mapping.point_map();
    }
}

fn parse(text: &str, pseudonymiser: &Pseudonymiser) -> Result<Mapping, (u64, String)> {
    let mut reader =
        ReaderBuilder::new().flexible(true).comment(Some(b'#')).trim(Trim::All).from_reader(text.as_bytes());
    let header = reader.headers().map_err(|error| (1, error.to_string()))?.clone();
    let place = |name: &str| header.iter().position(|column| column == name);
    let known = ["private_id", "classification_id", "channel"].into_iter().chain(POINT_COLUMNS);
    if let Some(other) = header.iter().find(|column| !known.clone().any(|name| name == *column)) {
        let known: Vec<&str> = known.collect();
        return Err((1, format!("{other:?} is no column; known are {}", known.join(", "))));
    }
    let needed = |name| place(name).ok_or_else(|| (1, format!("the column {name} is missing")));
    let (id, classification, channel) =
        (needed("private_id")?, needed("classification_id")?, place("channel"));
    let points = POINT_COLUMNS.map(place);
    let mut mapping = Mapping::default();
    for record in reader.records() {
        let record = record.map_err(|error| (0, error.to_string()))?;
        let line = record.position().map_or(0, csv::Position::line);
        let field =
            |place: Option<usize>| place.and_then(|place| record.get(place)).unwrap_or_default().to_owned();
        let (private_id, classification_id) = (field(Some(id)), field(Some(classification)));
        let entry = Entry {
            pseudonym: pseudonymiser.pseudonym(&classification_id, &field(channel)),
            channel: field(channel),
            point: points.iter().map(|place| field(*place)).collect(),
            private_id,
            classification_id,
        };
        mapping.add(entry, &record, header.len()).map_err(|reason| (line, reason))?;
    }
    Ok(mapping)
}

impl Mapping {
    fn add(&mut self, entry: Entry, record: &StringRecord, columns: usize) -> Result<(), String> {
        if record.len() != columns {
            return Err(format!("{} fields, the first line has {columns}", record.len()));
        }
        if self.entries.len() >= ENTRIES_MAX {
            return Err(format!("more than {ENTRIES_MAX} lines are not read"));
        }
        // What is wrong is said without the ids: it may end in a log.
        if entry.private_id.is_empty() || entry.private_id.len() > ID_BYTES_MAX {
            return Err(format!(
                "private_id has {} bytes, 1 to {ID_BYTES_MAX} are possible",
                entry.private_id.len()
            ));
        }
        grid::id::check_name(&entry.classification_id)
            .map_err(|error| format!("classification_id: {error}"))?;
        if !entry.channel.is_empty() {
            grid::id::check_name(&entry.channel).map_err(|error| format!("channel: {error}"))?;
        }
        if entry.point.iter().any(|field| field.contains([',', '"', '\n', '\r'])) {
            return Err("a column of the point map has a comma or a quote in it".to_owned());
        }
        let place = self.entries.len();
        if self.by_id.insert(entry.private_id.clone(), place).is_some() {
            return Err("this private_id stands in the table already".to_owned());
        }
        if self.by_pseudonym.insert(entry.pseudonym, place).is_some() {
            return Err(
                "this classification_id stands in the table already; tell its values apart by channel"
                    .to_owned(),
            );
        }
        self.entries.push(entry);
        Ok(())
    }
}
