//! One component of the file, with its attributes asked for by name and type.

use super::error::NetworkFileError;
use serde_json::Value;
use std::collections::BTreeMap;

/// Attributes without effect on the calculation, allowed on every component.
const INFORMATION: [&str; 4] = ["name", "id_reference", "comment", "extra"];
/// Largest magnitude of any attribute.
const NUMBER_MAX: f64 = 1e15;

#[derive(Debug)]
pub(super) struct Row<'a> {
    component: &'static str,
    id: u32,
    values: BTreeMap<&'a str, &'a Value>,
}

type Result<T> = std::result::Result<T, NetworkFileError>;

impl<'a> Row<'a> {
    /// Takes an object, or a list explained by `names`; `known` are the attributes of this component.
    pub(super) fn new(
        component: &'static str,
        place: usize,
        value: &'a Value,
        names: Option<&[&'a str]>,
        known: &[&str],
    ) -> Result<Self> {
        let wrong = |reason: String| NetworkFileError::Row { component, row: place + 1, reason };
        let values: BTreeMap<&str, &Value> = match (value, names) {
            (Value::Object(object), _) => object.iter().map(|(name, value)| (name.as_str(), value)).collect(),
            (Value::Array(list), Some(names)) if list.len() == names.len() => {
                names.iter().copied().zip(list).collect()
            }
            (Value::Array(list), Some(names)) => {
                return Err(wrong(format!("{} values, attributes names {}", list.len(), names.len())));
            }
            (Value::Array(_), None) => {
                return Err(wrong("a list, but attributes does not explain it".into()));
            }
            _ => return Err(wrong("neither an object nor a list".into())),
        };
        let id = match values.get("id") {
            Some(value) => id_from(value).ok_or_else(|| wrong(format!("id is {}", brief(value))))?,
            None => return Err(wrong("the id is missing".into())),
        };
        let row = Self { component, id, values };
        for name in row.values.keys() {
            if !known.contains(name) && !INFORMATION.contains(name) {
                return Err(row.wrong(
                    &brief_text(name),
                    "is not an attribute known here; remove it if it has no effect",
                ));
            }
        }
        Ok(row)
    }

    pub(super) fn id(&self) -> u32 {
        self.id
    }

    pub(super) fn wrong(&self, attribute: &str, reason: impl Into<String>) -> NetworkFileError {
        let (component, id) = (self.component, self.id);
        NetworkFileError::Attribute { component, id, attribute: attribute.to_owned(), reason: reason.into() }
    }

    /// The value unless it is missing or null (which power-grid-model writes for "not given").
    fn given(&self, name: &str) -> Option<&'a Value> {
        self.values.get(name).copied().filter(|value| !value.is_null())
    }

    pub(super) fn number(&self, name: &str) -> Result<f64> {
        self.optional(name)?.ok_or_else(|| self.wrong(name, "is missing"))
    }

    pub(super) fn optional(&self, name: &str) -> Result<Option<f64>> {
        let Some(value) = self.given(name) else { return Ok(None) };
        match value.as_f64() {
            Some(number) if number.abs() < NUMBER_MAX => Ok(Some(number)),
            _ => Err(self.wrong(name, format!("is {}, a number is needed", brief(value)))),
        }
    }

    /// A whole number inside a range.
    pub(super) fn integer(&self, name: &str, range: std::ops::RangeInclusive<i64>) -> Result<Option<i64>> {
        let Some(value) = self.given(name) else { return Ok(None) };
        let whole = |number: f64| (number.fract() == 0.0 && number.abs() < 1e9).then_some(number as i64);
        let number = value.as_i64().or_else(|| value.as_f64().and_then(whole));
        match number {
            Some(number) if range.contains(&number) => Ok(Some(number)),
            _ => {
                let (low, high) = (range.start(), range.end());
                Err(self.wrong(
                    name,
                    format!("is {}, a whole number from {low} to {high} is needed", brief(value)),
                ))
            }
        }
    }

    /// The id of another component.
    pub(super) fn reference(&self, name: &str) -> Result<u32> {
        let value = self.given(name).ok_or_else(|| self.wrong(name, "is missing"))?;
        id_from(value).ok_or_else(|| self.wrong(name, format!("is {}, an id is needed", brief(value))))
    }

    /// Whether a status is 1.
    pub(super) fn status(&self, name: &str) -> Result<bool> {
        let status = self.integer(name, 0..=1)?.ok_or_else(|| self.wrong(name, "is missing"))?;
        Ok(status == 1)
    }

    /// Three numbers, each null when the phase has none.
    pub(super) fn phases(&self, name: &str) -> Result<[Option<f64>; 3]> {
        let wrong = || {
            let given = self.given(name).map_or("missing".into(), brief);
            self.wrong(name, format!("is {given}, a list of three numbers is needed"))
        };
        let list =
            self.given(name).and_then(Value::as_array).filter(|list| list.len() == 3).ok_or_else(wrong)?;
        let mut phases = [None; 3];
        for (phase, value) in phases.iter_mut().zip(list) {
            *phase = match value.as_f64() {
                None if value.is_null() => None,
                Some(number) if number.abs() < NUMBER_MAX => Some(number),
                _ => return Err(wrong()),
            };
        }
        Ok(phases)
    }

    /// Refuses an attribute that the network model cannot express, unless it has no effect.
    pub(super) fn without(&self, name: &str, neutral: f64, advice: &str) -> Result<()> {
        match self.optional(name)? {
            Some(number) if number != neutral => {
                Err(self.wrong(name, format!("is {number}, which is not supported; {advice}")))
            }
            _ => Ok(()),
        }
    }
}

fn id_from(value: &Value) -> Option<u32> {
    value.as_u64().and_then(|id| u32::try_from(id).ok()).filter(|&id| id <= i32::MAX as u32)
}

/// A value short enough for an error message.
fn brief(value: &Value) -> String {
    match value {
        Value::Array(list) if list.len() > 3 => format!("a list of {}", list.len()),
        Value::Object(_) => "an object".into(),
        Value::Array(list) => format!("[{}]", list.iter().map(brief).collect::<Vec<_>>().join(", ")),
        Value::String(text) => format!("{:?}", brief_text(text)),
        other => other.to_string(),
    }
}

pub(super) fn brief_text(text: &str) -> String {
    text.chars().take(40).map(|c| if c.is_control() { '?' } else { c }).collect()
}
