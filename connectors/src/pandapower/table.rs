//! A table of the file: a pandas frame in `split` orientation.

use super::error::PandapowerError;
use crate::power_grid_model::brief_text;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

type Result<T> = std::result::Result<T, PandapowerError>;

/// The tables of a file by name.
pub(super) type Document = Map<String, Value>;

/// Rows of one kind of element.
#[derive(Debug, Default)]
pub(super) struct Table {
    name: &'static str,
    columns: BTreeMap<String, usize>,
    index: Vec<i64>,
    rows: Vec<Vec<Value>>,
}

impl Table {
    /// Takes a table out of a document; one that is not there has no rows.
    pub fn take(document: &mut Document, name: &'static str) -> Result<Self> {
        let wrong = |reason: &str| PandapowerError::Table { table: name, reason: reason.into() };
        let Some(mut frame) = document.remove(name) else { return Ok(Self { name, ..Self::default() }) };
        // Written as text inside the text, in most versions.
        let body = match frame.get_mut("_object").map(Value::take) {
            Some(Value::String(text)) => serde_json::from_str(&text).map_err(|error| {
                PandapowerError::Table { table: name, reason: format!("not JSON: {error}") }
            })?,
            Some(body @ Value::Object(_)) => body,
            _ => return Err(wrong("is no frame (_object is missing)")),
        };
        let Value::Object(mut body) = body else { return Err(wrong("is no frame")) };
        let mut list = |key: &str| match body.remove(key) {
            Some(Value::Array(list)) => Ok(list),
            _ => Err(wrong(&format!("has no list of {key}; only orientation \"split\" is read"))),
        };
        let (columns, index, data) = (list("columns")?, list("index")?, list("data")?);
        let mut table = Self { name, ..Self::default() };
        for (at, column) in columns.iter().enumerate() {
            let column = column.as_str().ok_or_else(|| wrong("has a column without a name"))?;
            table.columns.insert(column.to_owned(), at);
        }
        for (index, row) in index.iter().zip(data) {
            let Value::Array(row) = row else { return Err(wrong("has a row that is no list")) };
            let index = index.as_i64().ok_or_else(|| wrong("has an index that is no whole number"))?;
            if row.len() != columns.len() {
                return Err(wrong(&format!(
                    "row {index} has {} cells for {} columns",
                    row.len(),
                    columns.len()
                )));
            }
            table.index.push(index);
            table.rows.push(row);
        }
        Ok(table)
    }

    /// The rows in their order.
    pub fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        (0..self.rows.len()).map(|at| Row { table: self, at })
    }
}

/// One element.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row<'a> {
    table: &'a Table,
    at: usize,
}

impl<'a> Row<'a> {
    /// Its index, as pandapower shows it.
    pub fn index(&self) -> i64 {
        self.table.index[self.at]
    }

    /// What it is called in messages and results.
    pub fn name(&self) -> String {
        let given = self.text("name").filter(|name| !name.is_empty());
        match given {
            Some(name) => format!("{} {}, {}", self.table.name, self.index(), brief_text(name)),
            None => format!("{} {}", self.table.name, self.index()),
        }
    }

    fn cell(&self, column: &str) -> Option<&'a Value> {
        let at = *self.table.columns.get(column)?;
        self.table.rows[self.at].get(at).filter(|value| !value.is_null())
    }

    /// An error about a column.
    pub fn wrong(&self, column: &str, reason: impl Into<String>) -> PandapowerError {
        let (table, index) = (self.table.name, self.index());
        PandapowerError::Cell { table, index, column: column.into(), reason: reason.into() }
    }

    /// A number, if there is one; NaN counts as none.
    pub fn optional(&self, column: &str) -> Result<Option<f64>> {
        let found = match self.cell(column) {
            None => None,
            Some(Value::Number(number)) => number.as_f64(),
            Some(Value::Bool(flag)) => Some(f64::from(u8::from(*flag))),
            Some(Value::String(text)) if text == "NaN" => None,
            Some(other) => {
                return Err(
                    self.wrong(column, format!("is {}, a number is needed", brief_text(&other.to_string())))
                );
            }
        };
        Ok(found.filter(|number| !number.is_nan()))
    }

    /// A number, or what stands for it.
    pub fn or(&self, column: &str, default: f64) -> Result<f64> {
        Ok(self.optional(column)?.unwrap_or(default))
    }

    /// A number that has to be there.
    pub fn number(&self, column: &str) -> Result<f64> {
        self.optional(column)?.ok_or_else(|| self.wrong(column, "is missing"))
    }

    /// The index of another element.
    pub fn key(&self, column: &str) -> Result<i64> {
        let number = self.number(column)?;
        let whole = number as i64;
        if whole as f64 == number {
            Ok(whole)
        } else {
            Err(self.wrong(column, format!("is {number}, no index")))
        }
    }

    /// A yes or no, or what stands for it.
    pub fn flag(&self, column: &str, default: bool) -> Result<bool> {
        match self.cell(column) {
            None => Ok(default),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(_) => Ok(self.number(column)? != 0.0),
        }
    }

    /// Whether it takes part.
    pub fn in_service(&self) -> Result<bool> {
        self.flag("in_service", true)
    }

    /// A text, if there is one.
    pub fn text(&self, column: &str) -> Option<&'a str> {
        self.cell(column)?.as_str()
    }

    /// Whether the table has a column at all.
    pub fn has_column(&self, column: &str) -> bool {
        self.table.columns.contains_key(column)
    }
}
