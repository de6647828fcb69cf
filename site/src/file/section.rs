//! A table of a TOML file, read key by key: every fault is noted with its line and reading goes on, and what nobody asked
//! for is a fault too.

use crate::problem::Problem;
use std::cell::RefCell;
use std::net::SocketAddr;
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};
use toml::de::{DeTable, DeValue};

/// A value with the line it stands in.
#[derive(Debug, Clone, PartialEq)]
pub struct Located<T> {
    /// The value.
    pub value: T,
    /// Its line, counted from 1; of what is not written, that of the table.
    pub line: u64,
}

/// The file that is read, and what was found wrong with it so far.
#[derive(Debug)]
pub struct Reading<'a> {
    path: &'a Path,
    text: &'a str,
    /// Where lines end, bytes.
    ends: Vec<usize>,
    problems: RefCell<Vec<Problem>>,
}

impl<'a> Reading<'a> {
    /// Reads this text, which stands in that file.
    pub fn new(path: &'a Path, text: &'a str) -> Self {
        let ends = text.bytes().enumerate().filter(|&(_, byte)| byte == b'\n').map(|(at, _)| at).collect();
        Self { path, text, ends, problems: RefCell::default() }
    }

    /// The file as a table; syntax errors are noted.
    pub fn root(&'a self) -> Section<'a> {
        let (table, errors) = DeTable::parse_recoverable(self.text);
        for error in errors {
            let line = error.span().map_or(1, |span| self.line(&span));
            self.note(line, error.message().to_owned());
        }
        Section::new(self, String::new(), 1, table.into_inner())
    }

    /// Notes what is wrong at a line.
    pub fn note(&self, line: u64, what: impl Into<String>) {
        self.problems.borrow_mut().push(Problem::at(self.path, line, what));
    }

    /// Everything that was noted, by line.
    pub fn problems(self) -> Vec<Problem> {
        let mut problems = self.problems.into_inner();
        problems.sort_by_key(|problem| problem.line);
        problems
    }

    fn line(&self, span: &Range<usize>) -> u64 {
        1 + self.ends.partition_point(|end| *end < span.start) as u64
    }

    /// What a path in the file means: relative ones start at the file.
    fn resolve(&self, written: &str) -> PathBuf {
        self.path.parent().unwrap_or(Path::new("")).join(written)
    }
}

/// One table. [`finish`](Self::finish) it when everything known was asked for.
pub struct Section<'a> {
    reading: &'a Reading<'a>,
    /// As written in messages: `mqtt.`, or nothing.
    name: String,
    line: u64,
    /// What nobody has asked for yet.
    left: Vec<(String, u64, Located<DeValue<'a>>)>,
    known: Vec<&'static str>,
}

impl<'a> Section<'a> {
    fn new(reading: &'a Reading<'a>, name: String, line: u64, table: DeTable<'a>) -> Self {
        let left = table.into_iter().map(|(key, value)| {
            let (key_line, line) = (reading.line(&key.span()), reading.line(&value.span()));
            (key.into_inner().into_owned(), key_line, Located { value: value.into_inner(), line })
        });
        Self { reading, name, line, left: left.collect(), known: Vec::new() }
    }

    /// The line it begins in.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// Notes what is wrong with one of its keys.
    pub fn note(&self, line: u64, key: &str, what: impl AsRef<str>) {
        self.reading.note(line, format!("{}{key}: {}", self.name, what.as_ref()));
    }

    fn take(&mut self, key: &'static str) -> Option<Located<DeValue<'a>>> {
        self.known.push(key);
        let at = self.left.iter().position(|(name, ..)| name == key)?;
        Some(self.left.swap_remove(at).2)
    }

    /// A text.
    pub fn text(&mut self, key: &'static str) -> Option<Located<String>> {
        let Located { value, line } = self.take(key)?;
        match value {
            DeValue::String(text) => Some(Located { value: text.into_owned(), line }),
            other => self.wrong(line, key, "a text in quotes", &other),
        }
    }

    /// A path; relative ones start at the file.
    pub fn path(&mut self, key: &'static str) -> Option<Located<PathBuf>> {
        let Located { value, line } = self.text(key)?;
        Some(Located { value: self.reading.resolve(&value), line })
    }

    /// A path that has a default.
    pub fn path_or(&mut self, key: &'static str, default: &str) -> Located<PathBuf> {
        let default = Located { value: self.reading.resolve(default), line: self.line };
        self.path(key).unwrap_or(default)
    }

    /// `address:port`.
    pub fn address_or(&mut self, key: &'static str, default: SocketAddr) -> Located<SocketAddr> {
        let standard = Located { value: default, line: self.line };
        let Some(Located { value, line }) = self.text(key) else { return standard };
        match value.parse() {
            Ok(value) => Located { value, line },
            Err(_) => {
                let what = format!("{value:?} is no address and port; write for example {default}");
                self.note(line, key, what);
                standard
            }
        }
    }

    /// A number in a range.
    pub fn number(&mut self, key: &'static str, range: RangeInclusive<f64>) -> Option<Located<f64>> {
        let Located { value, line } = self.take(key)?;
        let number = match &value {
            DeValue::Integer(whole) if whole.radix() == 10 => whole.as_str().replace('_', "").parse().ok(),
            DeValue::Float(float) => float.as_str().replace('_', "").parse().ok(),
            _ => return self.wrong(line, key, "a number", &value),
        };
        match number {
            Some(number) if range.contains(&number) => Some(Located { value: number, line }),
            _ => {
                let (low, high) = (range.start(), range.end());
                self.note(line, key, format!("{} is not between {low} and {high}", shown(&value)));
                None
            }
        }
    }

    /// A whole number up to `most`.
    pub fn whole(&mut self, key: &'static str, most: u32) -> Option<Located<u32>> {
        let Located { value, line } = self.number(key, 0.0..=f64::from(most))?;
        if value.fract() != 0.0 {
            self.note(line, key, format!("{value} is no whole number"));
            return None;
        }
        Some(Located { value: value as u32, line })
    }

    /// A key that must be there, read by one of the others. One that is there and was found wrong is not missing, too.
    pub fn needed<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Self, &'static str) -> Option<Located<T>>,
    ) -> Option<Located<T>> {
        let noted = self.reading.problems.borrow().len();
        let value = read(self, key);
        if value.is_none() && self.reading.problems.borrow().len() == noted {
            self.note(self.line, key, "is missing");
        }
        value
    }

    /// `[key]`; an empty table where it is not written.
    pub fn section(&mut self, key: &'static str) -> Section<'a> {
        let name = format!("{}{key}.", self.name);
        match self.take(key) {
            Some(Located { value: DeValue::Table(table), line }) => {
                Section::new(self.reading, name, line, table)
            }
            Some(Located { value, line }) => {
                self.wrong::<()>(line, key, &format!("a table [{key}]"), &value);
                Section::new(self.reading, name, line, DeTable::new())
            }
            None => Section::new(self.reading, name, self.line, DeTable::new()),
        }
    }

    /// `[key]`, if it is written.
    pub fn section_if(&mut self, key: &'static str) -> Option<Section<'a>> {
        let is_written = self.left.iter().any(|(name, ..)| name == key);
        if !is_written {
            self.known.push(key);
            return None;
        }
        Some(self.section(key))
    }

    /// Yes or no; no where it is not written.
    pub fn flag(&mut self, key: &'static str) -> bool {
        self.flag_or(key, false)
    }

    /// Yes or no, and what it is where it is not written.
    pub fn flag_or(&mut self, key: &'static str, default: bool) -> bool {
        match self.take(key) {
            None => default,
            Some(Located { value: DeValue::Boolean(value), .. }) => value,
            Some(Located { value, line }) => {
                self.wrong::<()>(line, key, "true or false", &value);
                default
            }
        }
    }

    /// All `[[key]]`.
    pub fn sections(&mut self, key: &'static str) -> Vec<Section<'a>> {
        let Some(Located { value, line }) = self.take(key) else { return Vec::new() };
        let DeValue::Array(array) = value else {
            self.wrong::<()>(line, key, &format!("tables [[{key}]]"), &value);
            return Vec::new();
        };
        let mut sections = Vec::new();
        for (place, entry) in array.into_iter().enumerate() {
            let line = self.reading.line(&entry.span());
            match entry.into_inner() {
                DeValue::Table(table) => {
                    let name = format!("{}{key} {}.", self.name, place + 1);
                    sections.push(Section::new(self.reading, name, line, table));
                }
                other => {
                    self.wrong::<()>(line, key, &format!("tables [[{key}]]"), &other);
                }
            }
        }
        sections
    }

    /// Notes every key that nobody has asked for.
    pub fn finish(self) {
        for (key, line, _) in &self.left {
            let what = format!("no such key; known are {}", self.known.join(", "));
            self.note(*line, key, what);
        }
    }

    fn wrong<T>(&self, line: u64, key: &str, wanted: &str, value: &DeValue<'_>) -> Option<T> {
        self.note(line, key, format!("{} is not {wanted}", shown(value)));
        None
    }
}

fn shown(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("{text:?}"),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(value) => value.to_string(),
        DeValue::Datetime(time) => time.to_string(),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}
