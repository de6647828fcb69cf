//! The folder: which files there are, which of them are known under another name, and the next lines of each.

use super::config::Files;
use super::line::{self, BYTES_MAX};
use super::progress::{Progress, Reached};
use super::rejects::Bad;
use crate::acquisition::keys::Digest128;
use crate::acquisition::mapping::Mapping;
use crate::acquisition::pseudonym::Pseudonymiser;
use crate::acquisition::row::Row;
use grid::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Endings of files that are being written or packed.
const LEFT_OUT: [&str; 6] = [".gz", ".zst", ".bz2", ".xz", ".tmp", ".part"];
/// Most files looked at.
pub(super) const FILES_MAX: usize = 100_000;

/// Neighbouring lines of one file.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) name: String,
    pub(super) file: Digest128,
    pub(super) first: u64,
    pub(super) last: u64,
    /// Bytes up to the end of the last line.
    pub(super) offset: u64,
    pub(super) rows: Vec<Row>,
    pub(super) bad: Vec<Bad>,
}

/// What is known besides lines.
pub(super) struct Source<'a> {
    pub(super) files: &'a Files,
    pub(super) mapping: &'a Mapping,
    pub(super) pseudonymiser: &'a Pseudonymiser,
    pub(super) batch: usize,
    /// Most files of the folder, [`FILES_MAX`].
    pub(super) files_max: usize,
}

/// A file of the folder, and how far it was read: further than the platform has it while envelopes are on their way.
#[derive(Debug, Clone)]
pub(super) struct Cursor {
    pub(super) name: String,
    pub(super) id: Digest128,
    line: u64,
    offset: u64,
    /// Bytes it had when the folder was looked at.
    pub(super) bytes: u64,
    /// Whether a last line without an end counts.
    settled: bool,
    /// Shorter than what was read of it.
    pub(super) shrunk: bool,
}

/// Where in the progress files are that were seen, by their place on the disk and by the name they had first.
struct Known {
    by_place: BTreeMap<(u64, u64), Vec<usize>>,
    by_name: BTreeMap<String, Vec<usize>>,
}

impl Known {
    fn of(progress: &Progress) -> Self {
        let mut known = Self { by_place: BTreeMap::new(), by_name: BTreeMap::new() };
        for (place, reached) in progress.files.iter().enumerate() {
            known.note(&reached.first_name, (reached.device, reached.inode), place);
        }
        known
    }

    fn note(&mut self, name: &str, on_disk: (u64, u64), place: usize) {
        let by_place = self.by_place.entry(on_disk).or_default();
        if !by_place.contains(&place) {
            by_place.push(place);
        }
        if !self.by_name.contains_key(name) {
            self.by_name.insert(name.to_owned(), Vec::new());
        }
        if let Some(by_name) = self.by_name.get_mut(name).filter(|by_name| !by_name.contains(&place)) {
            by_name.push(place);
        }
    }
}

impl Cursor {
    /// Nothing more is to be had of it before the next look at the folder.
    pub(super) fn rest(&mut self) {
        self.bytes = self.offset;
    }
}

impl Source<'_> {
    /// Looks at the folder. What is new gets an entry in `progress`; a file that was renamed keeps its own.
    pub(super) fn scan(&self, progress: &mut Progress, now: Timestamp) -> io::Result<Vec<Cursor>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.files.folder)? {
            let entry = entry?;
            // A name that is no text is told apart by its bytes in hexadecimal.
            let name = entry.file_name().to_string_lossy().into_owned();
            let fits = name.contains(&self.files.pattern) && !name.starts_with('.');
            if fits && !LEFT_OUT.iter().any(|ending| name.ends_with(ending)) && entry.path().is_file() {
                names.push(name);
            }
        }
        if names.len() > self.files_max {
            let (most, count) = (self.files_max, names.len());
            let reason = format!(
                "{count} files fit the pattern, and at most {most} are looked at: move those that were read elsewhere"
            );
            return Err(io::Error::other(reason));
        }
        names.sort_unstable();
        let (mut cursors, mut seen, mut known) = (Vec::new(), BTreeSet::new(), Known::of(progress));
        for name in names {
            let path = self.files.folder.join(&name);
            let file = match File::open(&path) {
                Ok(file) => file,
                // Rotated away since.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            let metadata = file.metadata()?;
            let rested = now.since(Timestamp::from_seconds(metadata.mtime()));
            let settled = rested >= self.files.settle;
            let Some(head) = head(file, self.files.header, settled)? else { continue };
            let place = (metadata.dev(), metadata.ino());
            let reached = self.reached(progress, &mut known, &name, &head, place);
            // Hard links, or a copy beside its original: once is enough.
            if seen.insert(reached.id) {
                cursors.push(Cursor {
                    name,
                    id: reached.id,
                    line: reached.line,
                    offset: reached.offset,
                    bytes: metadata.len(),
                    settled,
                    shrunk: metadata.len() < reached.offset,
                });
            }
        }
        progress.forget_absent(&seen);
        Ok(cursors)
    }

    /// The entry of a file: the same place on the disk and the same beginning, else the same name and beginning, else a new one.
    fn reached<'p>(
        &self,
        progress: &'p mut Progress,
        known: &mut Known,
        name: &str,
        head: &[u8],
        (device, inode): (u64, u64),
    ) -> &'p Reached {
        let files = &progress.files;
        let same = |place: &&usize| {
            let reached = files.get(**place);
            reached.is_some_and(|r| r.id == self.pseudonymiser.file(r.first_name.as_bytes(), head))
        };
        let moved = known.by_place.get(&(device, inode)).into_iter().flatten().find(same);
        let found = moved.or_else(|| known.by_name.get(name).into_iter().flatten().find(same)).copied();
        let place = found.unwrap_or(files.len());
        if found.is_none() {
            let id = self.pseudonymiser.file(name.as_bytes(), head);
            let (file, first_name) = (name.to_owned(), name.to_owned());
            progress.files.push(Reached { file, first_name, id, device, inode, line: 0, offset: 0 });
        }
        // Of two hard links the second is found by the place of the first.
        known.note(name, (device, inode), place);
        let reached = &mut progress.files[place]; // just found, or just pushed
        (reached.device, reached.inode) = (device, inode);
        name.clone_into(&mut reached.file);
        reached
    }

    /// The next lines of a file; `None` when there is none that is whole.
    pub(super) fn next(&self, cursor: &mut Cursor) -> io::Result<Option<Batch>> {
        if cursor.shrunk || cursor.offset >= cursor.bytes {
            return Ok(None);
        }
        let mut file = match File::open(self.files.folder.join(&cursor.name)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        file.seek(SeekFrom::Start(cursor.offset))?;
        // Not beyond what was seen: what is appended meanwhile may be half a line.
        let mut reader = BufReader::with_capacity(64 * 1024, file.take(cursor.bytes - cursor.offset));
        let (mut rows, mut bad) = (Vec::new(), Vec::new());
        let (first, mut line, mut offset) = (cursor.line + 1, cursor.line, cursor.offset);
        let mut text = Vec::new();
        while line + 1 - first < self.batch as u64 {
            text.clear();
            let (bytes, has_end) = read_line(&mut reader, &mut text)?;
            if bytes == 0 || !(has_end || cursor.settled) {
                break;
            }
            line += 1;
            offset += bytes;
            if line == 1 && self.files.header {
                continue;
            }
            match self.row(line, &text) {
                Ok(row) => rows.extend(row),
                Err(reason) => {
                    bad.push(Bad { line, reason, text: String::from_utf8_lossy(&text).into_owned() })
                }
            }
        }
        if line < first {
            return Ok(None);
        }
        (cursor.line, cursor.offset) = (line, offset);
        Ok(Some(Batch { name: cursor.name.clone(), file: cursor.id, first, last: line, offset, rows, bad }))
    }

    fn row(&self, line: u64, text: &[u8]) -> Result<Option<Row>, String> {
        let text = if line == 1 { text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text) } else { text };
        let Some(reading) = line::read(text, self.files)? else { return Ok(None) };
        let pseudonym = self.mapping.pseudonym(&reading.private_id);
        let pseudonym = pseudonym.ok_or_else(|| "its device_id is not in the mapping".to_owned())?;
        Ok(Some(Row { line, pseudonym, observed_at: reading.observed_at, value: reading.value }))
    }
}

/// One line without its end: how many bytes it takes in the file, and whether it has an end. Of a very long one only the
/// beginning is kept.
fn read_line(reader: &mut impl BufRead, text: &mut Vec<u8>) -> io::Result<(u64, bool)> {
    let mut bytes = 0;
    loop {
        let available = reader.fill_buf()?;
        if available.is_empty() {
            return Ok((bytes, false));
        }
        let end = available.iter().position(|&byte| byte == b'\n');
        let taken = end.unwrap_or(available.len());
        let room = (BYTES_MAX + 1).saturating_sub(text.len());
        text.extend(available.iter().take(taken.min(room)));
        let consumed = end.map_or(taken, |end| end + 1);
        bytes += consumed as u64;
        reader.consume(consumed);
        if end.is_some() {
            return Ok((bytes, true));
        }
    }
}

/// The first line of data, when it is whole.
fn head(file: File, header: bool, settled: bool) -> io::Result<Option<Vec<u8>>> {
    let mut reader = BufReader::new(file.take(4 * BYTES_MAX as u64));
    let mut text = Vec::new();
    for _ in 0..=usize::from(header) {
        text.clear();
        let (bytes, has_end) = read_line(&mut reader, &mut text)?;
        if bytes == 0 || !(has_end || settled) {
            return Ok(None);
        }
    }
    Ok(Some(text))
}

/// Bytes of files that are not read yet.
pub(super) fn bytes_left(cursors: &[Cursor]) -> u64 {
    cursors.iter().map(|cursor| cursor.bytes.saturating_sub(cursor.offset)).sum()
}

/// Whether a folder can be read.
pub(super) fn is_folder(path: &Path) -> io::Result<()> {
    std::fs::read_dir(path).map(drop)
}
