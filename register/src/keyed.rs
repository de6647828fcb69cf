//! Values under keys: who puts a value owns its key, everybody else may read it.

use crate::error::Refusal;
use grid::Timestamp;
use grid::id::check_name;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::ops::Bound;

/// Keys that are put, asked for or deleted at once.
pub const AT_ONCE_MAX: usize = 100;
/// Longest value, bytes of its JSON text.
pub const VALUE_BYTES_MAX: usize = 16 * 1024;
/// Keys of one owner.
pub const OWNED_MAX: usize = 1_000;
/// Bytes of the values of one owner.
pub const OWNED_BYTES_MAX: usize = 1 << 20;
/// Keys of all owners.
pub const KEYS_MAX: usize = 20_000;
/// Bytes of the values of all owners.
pub const BYTES_MAX: usize = 32 << 20;

/// What stands under a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Name of who put it first.
    pub owner: String,
    /// When it was put last.
    pub at: Timestamp,
    /// JSON text, byte for byte as it came.
    pub value: String,
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Keyed {
    entries: BTreeMap<String, Entry>,
    /// Keys and bytes by owner.
    owned: BTreeMap<String, (usize, usize)>,
    bytes: usize,
}

fn at_most(what: &'static str, most: usize, found: usize) -> Result<(), Refusal> {
    if found > most { Err(Refusal::Limit { what, most, found }) } else { Ok(()) }
}

/// Checks how many keys there are and what they look like.
pub fn check_keys<'a>(keys: impl ExactSizeIterator<Item = &'a str>) -> Result<(), Refusal> {
    at_most("keys at once", AT_ONCE_MAX, keys.len())?;
    let mut seen = std::collections::BTreeSet::new();
    for key in keys {
        check_name(key).map_err(|error| Refusal::Malformed(error.to_string()))?;
        if !seen.insert(key) {
            return Err(Refusal::Malformed(format!("{key} stands twice")));
        }
    }
    Ok(())
}

impl Keyed {
    /// Whether `owner` may put these values, all of them together.
    pub fn may_put(&self, owner: &str, values: &[(String, String)]) -> Result<(), Refusal> {
        check_keys(values.iter().map(|(key, _)| key.as_str()))?;
        let (mut keys, mut bytes) = self.owned.get(owner).copied().unwrap_or_default();
        let (mut all_keys, mut all_bytes) = (self.entries.len(), self.bytes);
        for (key, value) in values {
            at_most("bytes of a value", VALUE_BYTES_MAX, value.len())?;
            serde_json::from_str::<&RawValue>(value)
                .map_err(|error| Refusal::Malformed(format!("{key}: {error}")))?;
            let known = match self.entries.get(key) {
                Some(entry) if entry.owner != owner => {
                    return Err(Refusal::NotOwner { key: key.clone(), owner: entry.owner.clone() });
                }
                Some(entry) => (1, entry.value.len()),
                None => (0, 0),
            };
            (keys, bytes) = (keys + 1 - known.0, bytes + value.len() - known.1);
            (all_keys, all_bytes) = (all_keys + 1 - known.0, all_bytes + value.len() - known.1);
        }
        at_most("keys of one owner", OWNED_MAX, keys)?;
        at_most("bytes of the values of one owner", OWNED_BYTES_MAX, bytes)?;
        at_most("keys of all owners", KEYS_MAX, all_keys)?;
        at_most("bytes of the values of all owners", BYTES_MAX, all_bytes)
    }

    /// Which of these keys are there, when `owner` may delete them all.
    pub fn may_delete(&self, owner: &str, keys: &[String]) -> Result<Vec<String>, Refusal> {
        check_keys(keys.iter().map(String::as_str))?;
        let mut there = Vec::new();
        for key in keys {
            match self.entries.get(key) {
                Some(entry) if entry.owner != owner => {
                    return Err(Refusal::NotOwner { key: key.clone(), owner: entry.owner.clone() });
                }
                Some(_) => there.push(key.clone()),
                None => {}
            }
        }
        Ok(there)
    }

    pub fn put(&mut self, key: String, entry: Entry) {
        self.delete(&key);
        let (keys, bytes) = self.owned.entry(entry.owner.clone()).or_default();
        (*keys, *bytes) = (*keys + 1, *bytes + entry.value.len());
        self.bytes += entry.value.len();
        self.entries.insert(key, entry);
    }

    pub fn delete(&mut self, key: &str) {
        let Some(entry) = self.entries.remove(key) else { return };
        self.bytes -= entry.value.len();
        if let Some((keys, bytes)) = self.owned.get_mut(&entry.owner) {
            (*keys, *bytes) = (*keys - 1, *bytes - entry.value.len());
            if *keys == 0 {
                self.owned.remove(&entry.owner);
            }
        }
    }

    pub fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.get(key)
    }

    /// By key, after one of them.
    pub fn after(&self, after: Option<&str>) -> impl Iterator<Item = (&String, &Entry)> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.entries.range::<str, _>((from, Bound::Unbounded))
    }
}
