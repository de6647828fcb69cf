//! What is wrong with a site, as people and editors read it: `file:line: what`.

use serde::Serialize;
use std::fmt;
use std::path::Path;

/// One thing to correct.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// In which file.
    pub file: String,
    /// Counted from 1; `None` when it is the file as a whole.
    pub line: Option<u64>,
    /// What is wrong and what is possible.
    pub what: String,
}

impl Problem {
    /// A problem at a line of a file.
    pub fn at(file: &Path, line: u64, what: impl Into<String>) -> Self {
        Self { file: file.display().to_string(), line: Some(line), what: what.into() }
    }

    /// A problem of a file as a whole.
    pub fn of(file: &Path, what: impl Into<String>) -> Self {
        Self { file: file.display().to_string(), line: None, what: what.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.file, self.what),
            None => write!(f, "{}: {}", self.file, self.what),
        }
    }
}
