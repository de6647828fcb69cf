//! The frame of the file: version, row names, and the lists of components.

use super::components;
use super::error::NetworkFileError;
use super::row::{Row, brief_text};
use grid::network::NetworkParts;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

type Result<T> = std::result::Result<T, NetworkFileError>;

/// What to do about components that the network model does not have.
const ADVICE: [(&str, &str); 8] = [
    ("three_winding_transformer", "replace it by two-winding transformers around an inner node"),
    ("link", "merge its two nodes into one"),
    ("shunt", "leave it out if its effect is small"),
    ("sym_gen", "turn it into a load with negative power"),
    ("asym_gen", "turn it into loads with negative power"),
    ("asym_line", "replace it by a line with sequence impedances"),
    ("generic_branch", "replace it by a line or a transformer"),
    ("transformer_tap_regulator", "leave it out and set the tap position it would reach"),
];
const ADVICE_OTHERWISE: &str =
    "node, line, transformer, source, sym_load and asym_load are read; leave it out of the network file";

pub(super) fn read(bytes: &[u8], name: &str) -> Result<NetworkParts> {
    if bytes.len() > super::FILE_BYTES_MAX {
        return Err(NetworkFileError::TooLarge { limit: super::FILE_BYTES_MAX });
    }
    let root: Value = serde_json::from_slice(bytes)?;
    let root = root.as_object().ok_or_else(|| frame("it is not an object"))?;
    check_frame(root)?;
    let data = object(root, "data")?;
    let row_names = row_names(root)?;
    let mut parts = NetworkParts { name: name.to_owned(), ..NetworkParts::default() };
    if let Some(Value::String(name)) = root.get("name") {
        parts.name = brief_text(name);
    }
    let mut ids = BTreeMap::new();
    for (component, rows) in data {
        let rows =
            rows.as_array().ok_or_else(|| frame(format!("{} is not a list", brief_text(component))))?;
        if rows.is_empty() {
            continue;
        }
        let Some(kind) = components::KINDS.iter().find(|kind| kind.name == component) else {
            return Err(unsupported(component, rows.len()));
        };
        let names = row_names.get(component.as_str()).map(Vec::as_slice);
        for (place, value) in rows.iter().enumerate() {
            let row = Row::new(kind.name, place, value, names, kind.attributes)?;
            if let Some(other) = ids.insert(row.id(), kind.name) {
                return Err(NetworkFileError::DuplicateId { component: kind.name, id: row.id(), other });
            }
            (kind.read)(&row, &mut parts)?;
        }
    }
    Ok(parts)
}

fn check_frame(root: &Map<String, Value>) -> Result<()> {
    const KEYS: [&str; 6] = ["version", "type", "is_batch", "attributes", "data", "name"];
    if let Some(key) = root.keys().find(|key| !KEYS.contains(&key.as_str())) {
        return Err(frame(format!(
            "{:?} is unknown beside version, type, is_batch, attributes, data",
            brief_text(key)
        )));
    }
    for (key, expected) in [("version", "1.0"), ("type", "input")] {
        if root.get(key).and_then(Value::as_str) != Some(expected) {
            return Err(frame(format!("{key} is not {expected:?}")));
        }
    }
    match root.get("is_batch") {
        Some(Value::Bool(false)) => Ok(()),
        Some(Value::Bool(true)) => Err(frame("it is a batch; give one scenario with is_batch false")),
        _ => Err(frame("is_batch is not false")),
    }
}

/// Component → names of the values in its list rows.
fn row_names(root: &Map<String, Value>) -> Result<BTreeMap<&str, Vec<&str>>> {
    let mut names = BTreeMap::new();
    for (component, list) in object(root, "attributes")? {
        let list: Option<Vec<&str>> =
            list.as_array().and_then(|list| list.iter().map(Value::as_str).collect());
        let list = list.ok_or_else(|| frame("attributes does not hold lists of names"))?;
        if list.len() > 64 || list.iter().enumerate().any(|(place, name)| list[..place].contains(name)) {
            return Err(frame(format!(
                "attributes of {} name one twice, or more than 64",
                brief_text(component)
            )));
        }
        names.insert(component.as_str(), list);
    }
    Ok(names)
}

fn object<'a>(root: &'a Map<String, Value>, key: &str) -> Result<&'a Map<String, Value>> {
    root.get(key).and_then(Value::as_object).ok_or_else(|| frame(format!("{key} is not an object")))
}

fn frame(reason: impl Into<String>) -> NetworkFileError {
    NetworkFileError::Frame(reason.into())
}

fn unsupported(component: &str, count: usize) -> NetworkFileError {
    let advice =
        ADVICE.iter().find(|(name, _)| *name == component).map_or(ADVICE_OTHERWISE, |(_, advice)| advice);
    NetworkFileError::Unsupported { component: brief_text(component), count, advice }
}
