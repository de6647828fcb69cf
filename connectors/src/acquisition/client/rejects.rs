//! Lines and rows that cannot be used, with file or table, number and reason. They hold private ids and stay with the operator.

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Most of a bad line that is written down, characters.
const TEXT_CHARS_MAX: usize = 500;

/// A line that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Bad {
    pub(super) line: u64,
    pub(super) reason: String,
    pub(super) text: String,
}

#[derive(Debug)]
pub(super) struct Rejects {
    writer: csv::Writer<File>,
    path: PathBuf,
    /// What a run wrote down that died before it noted its progress.
    known: BTreeSet<(String, u64)>,
}

impl Rejects {
    /// Opens or begins the file. `is_passed` says whether a line lies within what was reached.
    pub(super) fn open(path: &Path, is_passed: impl Fn(&str, u64) -> bool) -> io::Result<Self> {
        let mut known = BTreeSet::new();
        let mut is_new = true;
        match File::open(path) {
            Ok(file) => {
                is_new = file.metadata()?.len() == 0;
                for record in csv::ReaderBuilder::new().flexible(true).from_reader(file).records() {
                    // A torn last line is one more bad line in a file of bad lines.
                    let Ok(record) = record else { continue };
                    let line = record.get(1).and_then(|line| line.parse().ok());
                    if let (Some(name), Some(line)) = (record.get(0), line)
                        && !is_passed(name, line)
                    {
                        known.insert((name.to_owned(), line));
                    }
                }
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        let mut writer = csv::WriterBuilder::new().flexible(true).from_writer(file);
        if is_new {
            writer.write_record(["file", "line", "reason", "text"])?;
        }
        Ok(Self { writer, path: path.to_owned(), known })
    }

    /// Writes lines down and syncs.
    pub(super) fn write(&mut self, name: &str, bad: &[Bad]) -> io::Result<()> {
        for Bad { line, reason, text } in bad {
            if !self.known.remove(&(name.to_owned(), *line)) {
                let text: String = text.chars().take(TEXT_CHARS_MAX).collect();
                self.writer.write_record([name, &line.to_string(), reason, &text])?;
            }
        }
        if bad.is_empty() {
            return Ok(());
        }
        self.writer.flush()?;
        self.writer.get_ref().sync_all()?;
        // What is noted of them afterwards must not outlive the file.
        files::sync_name(&self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_not_written_down_before_the_name_of_the_file_lasts() {
        let folder = tempfile::tempdir().unwrap();
        let (here, away) = (folder.path().join("operator"), folder.path().join("away"));
        std::fs::create_dir(&here).unwrap();
        let mut rejects = Rejects::open(&here.join("rejects.csv"), |_, _| false).unwrap();
        let bad = [Bad { line: 3, reason: "no number".to_owned(), text: "x".to_owned() }];
        // The file can be written, the folder cannot be synced.
        std::fs::rename(&here, &away).unwrap();
        rejects.write("a.csv", &bad).unwrap_err();
        std::fs::rename(&away, &here).unwrap();
        rejects.write("a.csv", &bad).unwrap();
        assert!(std::fs::read_to_string(here.join("rejects.csv")).unwrap().contains("a.csv,3,no number,x"));
    }
}
