//! The folder, without a network: what is read, in which pieces, and what is never read twice.

use super::config::Files;
use super::progress::Progress;
use super::rejects::{Bad, Rejects};
use super::source::{FILES_MAX, Source};
use crate::acquisition::keys::SiteKey;
use crate::acquisition::mapping::Mapping;
use crate::acquisition::pseudonym::Pseudonymiser;
use grid::Timestamp;
use jiff::tz::TimeZone;
use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

struct Place {
    directory: tempfile::TempDir,
    files: Files,
    mapping: Mapping,
    pseudonymiser: Pseudonymiser,
    /// Every line that was read, by keyed file and number.
    read: BTreeMap<(String, u64), f64>,
    bad: Vec<(String, u64)>,
}

impl Place {
    fn new(header: bool) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let pseudonymiser = Pseudonymiser::new(&SiteKey::generate("w", "s", "r", "1").unwrap());
        let table = directory.path().join("mapping");
        std::fs::write(&table, "private_id,classification_id\n1,PRE-001\n2,PRE-002\n").unwrap();
        std::fs::set_permissions(&table, std::fs::Permissions::from_mode(0o600)).unwrap();
        let mapping = Mapping::read(&table, &pseudonymiser).unwrap();
        let folder = directory.path().join("export");
        std::fs::create_dir(&folder).unwrap();
        let files = Files {
            folder,
            pattern: ".csv".into(),
            header,
            delimiter: b',',
            decimal: '.',
            zone: TimeZone::UTC,
            places: [0, 1, 2],
            settle: Duration::from_secs(60),
        };
        Self { directory, files, mapping, pseudonymiser, read: BTreeMap::new(), bad: Vec::new() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.files.folder.join(name)
    }

    fn append(&self, name: &str, text: &str) {
        let mut file = std::fs::OpenOptions::new().append(true).create(true).open(self.path(name)).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn progress(&self) -> Progress {
        Progress::open(&self.directory.path().join("progress.json")).unwrap()
    }

    /// One look at the folder by a new process, in batches of 3 lines; how many lines it read.
    fn look(&mut self, later: Duration) -> u64 {
        let now = Timestamp::from_seconds(mtime(&self.files.folder)).plus(later);
        let mut progress = self.progress();
        let source = Source {
            files: &self.files,
            mapping: &self.mapping,
            pseudonymiser: &self.pseudonymiser,
            batch: 3,
            files_max: FILES_MAX,
        };
        let mut lines = 0;
        for mut cursor in source.scan(&mut progress, now).unwrap() {
            while let Some(batch) = source.next(&mut cursor).unwrap() {
                let reached = progress.files.iter_mut().find(|reached| reached.id == batch.file).unwrap();
                assert_eq!((batch.first, batch.last - batch.first < 3), (reached.line + 1, true));
                (reached.line, reached.offset) = (batch.last, batch.offset);
                lines += batch.last + 1 - batch.first;
                for row in batch.rows {
                    let before = self.read.insert((batch.file.to_string(), row.line), row.value);
                    assert_eq!(before, None, "line {} of {} was read twice", row.line, batch.name);
                }
                self.bad.extend(batch.bad.into_iter().map(|bad| (batch.name.clone(), bad.line)));
            }
        }
        progress.save().unwrap();
        lines
    }

    fn values(&self) -> Vec<f64> {
        let mut values: Vec<f64> = self.read.values().copied().collect();
        values.sort_by(f64::total_cmp);
        values
    }
}

fn mtime(path: &Path) -> i64 {
    use std::os::unix::fs::MetadataExt;
    let files = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().metadata().unwrap().mtime());
    files.max().unwrap_or(0)
}

fn line(id: u32, value: f64) -> String {
    format!("{id},2026-01-15 17:30:00,{value}\n")
}

#[test]
fn a_file_that_grows_is_read_line_by_line_and_half_a_line_waits_for_its_end() {
    let mut place = Place::new(false);
    place.append("a.csv", &(line(1, 1.0) + &line(2, 2.0) + "1,2026-01-15 17:3"));
    assert_eq!(place.look(Duration::ZERO), 2);
    assert_eq!(place.look(Duration::ZERO), 0);
    place.append("a.csv", "0:00,3");
    assert_eq!(place.look(Duration::from_secs(59)), 0, "it may go on");
    place.append("a.csv", ".5\n");
    assert_eq!(place.look(Duration::ZERO), 1);
    place.append("a.csv", line(1, 4.0).trim_end());
    assert_eq!(place.look(Duration::from_secs(61)), 1, "a file at rest ends without an end of line");
    assert_eq!(place.values(), [1.0, 2.0, 3.5, 4.0]);
    assert!(place.bad.is_empty());
}

#[test]
fn a_folder_of_too_many_files_is_refused_and_not_read_in_part() {
    let place = Place::new(false);
    for day in 1..=4 {
        place.append(&format!("{day}.csv"), &line(1, f64::from(day)));
    }
    place.append("notes.txt", "fits no pattern");
    let (files, mapping, pseudonymiser) = (&place.files, &place.mapping, &place.pseudonymiser);
    let source = |files_max| Source { files, mapping, pseudonymiser, batch: 3, files_max };
    let now = Timestamp::from_seconds(mtime(&place.files.folder));
    assert_eq!(source(4).scan(&mut place.progress(), now).unwrap().len(), 4);
    let refused = source(3).scan(&mut place.progress(), now).unwrap_err().to_string();
    assert!(refused.contains("4 files") && refused.contains("at most 3"), "{refused}");
}

#[test]
fn files_that_are_rotated_and_begun_anew_lose_and_double_nothing() {
    let mut place = Place::new(true);
    let header = "device_id,observed_timestamp,value\n";
    place.append("a.csv", &format!("\u{feff}{header}{}{}", line(1, 1.0), line(1, 2.0)));
    assert_eq!(place.look(Duration::ZERO), 3, "the header is a line too");
    place.append("a.csv", &line(1, 3.0));
    std::fs::rename(place.path("a.csv"), place.path("a.csv.1")).unwrap();
    place.append("a.csv", &format!("{header}{}", line(2, 4.0)));
    assert_eq!(place.look(Duration::ZERO), 3);
    std::fs::rename(place.path("a.csv.1"), place.path("a.csv.2")).unwrap();
    std::fs::rename(place.path("a.csv"), place.path("a.csv.1")).unwrap();
    place.append("a.csv", &format!("{header}{}", line(2, 5.0)));
    std::fs::write(place.path("a.csv.3.gz"), b"\x1f\x8b packed").unwrap();
    assert_eq!(place.look(Duration::ZERO), 2);
    // Restored from a copy: another place on the disk, the same name and beginning.
    std::fs::copy(place.path("a.csv"), place.path("copy")).unwrap();
    std::fs::remove_file(place.path("a.csv")).unwrap();
    std::fs::rename(place.path("copy"), place.path("a.csv")).unwrap();
    assert_eq!(place.look(Duration::ZERO), 0);
    // Emptied in place and filled anew.
    std::fs::write(place.path("a.csv"), format!("{header}{}", line(1, 6.0))).unwrap();
    assert_eq!(place.look(Duration::ZERO), 2);
    assert_eq!(place.values(), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
}

#[test]
fn a_bad_line_is_named_and_stops_nothing() {
    let mut place = Place::new(false);
    let text = format!(
        "{}rubbish\n\n3,2026-01-15 17:30:00,7\n{}\n{}",
        line(1, 1.0),
        "x".repeat(70_000),
        line(2, 2.0)
    );
    place.append("a.csv", &text);
    place.append("b.csv", &line(2, 3.0));
    assert_eq!(place.look(Duration::ZERO), 7);
    assert_eq!(place.values(), [1.0, 2.0, 3.0]);
    let name = || "a.csv".to_owned();
    assert_eq!(place.bad, [(name(), 2), (name(), 4), (name(), 5)], "no fields, an id of nobody, too long");
}

#[test]
fn a_file_that_is_shorter_than_what_was_read_is_left_alone() {
    let mut place = Place::new(false);
    place.append("a.csv", &(line(1, 1.0) + &line(1, 2.0)));
    place.look(Duration::ZERO);
    std::fs::write(place.path("a.csv"), line(1, 1.0)).unwrap();
    let mut progress = place.progress();
    let source = Source {
        files: &place.files,
        mapping: &place.mapping,
        pseudonymiser: &place.pseudonymiser,
        batch: 3,
        files_max: FILES_MAX,
    };
    let cursors = source.scan(&mut progress, Timestamp::from_seconds(0)).unwrap();
    assert!(cursors[0].shrunk && cursors.len() == 1);
    assert_eq!(place.look(Duration::ZERO), 0);
}

#[test]
fn lines_that_a_dying_run_wrote_down_are_not_written_down_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("rejects.csv");
    let bad = |line| Bad { line, reason: "no value".into(), text: "1,\"x\ny".into() };
    let mut rejects = Rejects::open(&path, |_, _| false).unwrap();
    rejects.write("a.csv", &[bad(2), bad(5)]).unwrap();
    // It died before line 5 was noted in the progress file.
    let mut rejects = Rejects::open(&path, |name, line| name == "a.csv" && line <= 3).unwrap();
    rejects.write("a.csv", &[bad(5), bad(7)]).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<String> = csv::Reader::from_reader(text.as_bytes())
        .records()
        .map(|record| record.unwrap()[1].to_owned())
        .collect();
    assert_eq!(lines, ["2", "5", "7"]);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}
