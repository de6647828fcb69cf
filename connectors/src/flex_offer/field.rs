//! Tolerant access to the fields of a message. Names are compared without regard to case and blanks, since both
//! differ between published examples; null is absent; numbers may be written as text, as XML does.

use super::fault::{ReadError, ReadFault, shown};
use serde_json::{Map, Value};
use std::fmt;

/// Where something stands in a message; a chain of borrowed steps, so that naming costs nothing until it is needed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Path<'a> {
    Root,
    Key(&'a Path<'a>, &'a str),
    Index(&'a Path<'a>, usize),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Path::Root => f.write_str("message"),
            Path::Key(Path::Root, key) => f.write_str(key),
            Path::Key(parent, key) => write!(f, "{parent}.{key}"),
            Path::Index(Path::Root, index) => write!(f, "[{index}]"),
            Path::Index(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

impl Path<'_> {
    pub(crate) fn refuse(&self, fault: ReadFault) -> ReadError {
        ReadError { path: self.to_string(), fault }
    }

    pub(crate) fn missing(&self, key: &str) -> ReadError {
        Path::Key(self, key).refuse(ReadFault::Missing)
    }
}

/// An object of the message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fields<'a> {
    map: &'a Map<String, Value>,
    pub path: &'a Path<'a>,
}

impl<'a> Fields<'a> {
    pub(crate) fn of(value: &'a Value, path: &'a Path<'a>) -> Result<Self, ReadError> {
        match value {
            Value::Object(map) => Ok(Self { map, path }),
            _ => Err(path.refuse(ReadFault::Kind { wanted: "an object" })),
        }
    }

    /// The first of these names that is there and not null, with the name as the message writes it.
    pub(crate) fn entry(&self, names: &[&str]) -> Option<(&'a str, &'a Value)> {
        names.iter().find_map(|name| {
            let found = self.map.iter().find(|(key, value)| same_name(key, name) && !value.is_null());
            found.map(|(key, value)| (key.as_str(), value))
        })
    }

    pub(crate) fn get(&self, names: &[&str]) -> Option<&'a Value> {
        self.entry(names).map(|(_, value)| value)
    }

    /// Whether the message names a field at all, null or not.
    pub(crate) fn names(&self, name: &str) -> bool {
        self.map.keys().any(|key| same_name(key, name))
    }

    /// Fields whose names are in none of these lists.
    pub(crate) fn unknown<'b>(&'b self, known: &'b [&str]) -> impl Iterator<Item = &'a str> + 'b {
        let keys = self.map.iter().filter(|(_, value)| !value.is_null()).map(|(key, _)| key.as_str());
        keys.filter(|key| !known.iter().any(|name| same_name(key, name)))
    }

    pub(crate) fn number(&self, names: &[&str], limit: u64) -> Result<Option<f64>, ReadError> {
        let Some((key, value)) = self.entry(names) else { return Ok(None) };
        number(value, limit, &Path::Key(self.path, key)).map(Some)
    }

    pub(crate) fn integer(&self, names: &[&str], limit: u64) -> Result<Option<i64>, ReadError> {
        let Some((key, value)) = self.entry(names) else { return Ok(None) };
        let path = Path::Key(self.path, key);
        let whole = number(value, limit, &path)?;
        match whole.fract() == 0.0 {
            true => Ok(Some(whole as i64)),
            false => Err(path.refuse(ReadFault::Kind { wanted: "a whole number" })),
        }
    }

    /// A text; a number is taken as its digits.
    pub(crate) fn text(&self, names: &[&str]) -> Result<Option<String>, ReadError> {
        let Some((key, value)) = self.entry(names) else { return Ok(None) };
        match value {
            Value::String(text) => Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty())),
            Value::Number(number) => Ok(Some(number.to_string())),
            Value::Bool(flag) => Ok(Some(flag.to_string())),
            _ => Err(Path::Key(self.path, key).refuse(ReadFault::Kind { wanted: "a text" })),
        }
    }
}

/// A finite number of at most this magnitude.
pub(crate) fn number(value: &Value, limit: u64, path: &Path<'_>) -> Result<f64, ReadError> {
    let (number, text) = match value {
        Value::Number(number) => (number.as_f64(), number.to_string()),
        Value::String(text) => (text.trim().parse().ok(), shown(text)),
        // A list of one, as some examples have it.
        Value::Array(items) if items.len() == 1 => match items.first() {
            Some(item @ (Value::Number(_) | Value::String(_))) => return self::number(item, limit, path),
            _ => return Err(path.refuse(ReadFault::Kind { wanted: "a number" })),
        },
        _ => return Err(path.refuse(ReadFault::Kind { wanted: "a number" })),
    };
    match number {
        Some(number) if number.is_finite() && number.abs() <= limit as f64 => Ok(number),
        _ => Err(path.refuse(ReadFault::Number { text: shown(&text), limit })),
    }
}

/// Names that stand for themselves where an object has a single field: such an object is no wrapper of a list.
const NO_WRAPPERS: [&str; 5] = [
    "energyConstraintList",
    "energyConstraints",
    "DependencyEnergyConstraintList",
    "energyAmount",
    "totalEnergyConstraint",
];

/// The items of a list. XML has no lists: one item stands alone, several come in a wrapper of their own.
pub(crate) fn items(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(items) => items.iter().collect(),
        Value::Object(map) if map.len() == 1 => match map.iter().next() {
            Some((key, _)) if NO_WRAPPERS.iter().any(|name| same_name(key, name)) => vec![value],
            Some((_, Value::Array(items))) => items.iter().collect(),
            Some((_, inner @ Value::Object(_))) => vec![inner],
            _ => vec![value],
        },
        Value::String(text) if text.trim().is_empty() => Vec::new(),
        _ => vec![value],
    }
}

fn same_name(key: &str, name: &str) -> bool {
    if key.len() == name.len() {
        return key.eq_ignore_ascii_case(name);
    }
    // Only blanks make a key longer than the name it is; most keys differ in the first letter already.
    let first = |text: &str| text.as_bytes().first().map_or(b' ', u8::to_ascii_lowercase);
    if key.len() < name.len() || (first(key) != first(name) && !first(key).is_ascii_whitespace()) {
        return false;
    }
    let letters = key.bytes().filter(|byte| !byte.is_ascii_whitespace());
    letters.map(|byte| byte.to_ascii_lowercase()).eq(name.bytes().map(|byte| byte.to_ascii_lowercase()))
}
