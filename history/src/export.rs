//! All that a query asks as one Parquet file, however much it is: sealed files and memory are merged, and what is in memory of them at a
//! time is a row group each.
//!
//! More sources than [`MERGED_MAX`] are merged into runs first: nameless files beside the one that is made, of 42 bytes a value.

use crate::error::HistoryError;
use crate::log;
use crate::query::{Query, Versions, Wanted};
use crate::sealed::{Ends, FileWriter, GROUP_ROWS, Sealed};
use crate::store::History;
use crate::value::Value;
use files::Disk;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Sources that are merged at once: row groups in memory, some 2 MB each.
const MERGED_MAX: usize = 32;
/// Values of a run that are read at once.
const RUN_VALUES: usize = 4096;

fn io<'a>(path: &'a Path, doing: &'static str) -> impl Fn(std::io::Error) -> HistoryError + 'a {
    move |source| HistoryError::Io { path: path.to_owned(), doing, source }
}

impl History {
    /// Writes what a query asks, whatever it says about how much, to a new Parquet file, in order, and syncs it. Returns how many values
    /// that are. When it fails, there is no file.
    ///
    /// # Errors
    /// [`HistoryError::Io`], above all when the file is there already; [`HistoryError::Damaged`].
    pub fn export(&self, query: &Query, path: &Path) -> Result<u64, HistoryError> {
        let file = File::create_new(path).map_err(io(path, "making"))?;
        let written = self.export_to(file, query, path);
        if written.is_err() {
            // The first error is the one that is told.
            drop(std::fs::remove_file(path));
        }
        written
    }

    fn export_to(&self, file: File, query: &Query, path: &Path) -> Result<u64, HistoryError> {
        let unwritten = |error: std::io::Error| io(path, "writing")(error);
        let mut out = FileWriter::new(BufWriter::new(file)).map_err(unwritten)?;
        let (mut group, mut count) = (Vec::with_capacity(GROUP_ROWS), 0);
        self.merged(query, path, &mut |value| {
            group.push(value);
            count += 1;
            if group.len() < GROUP_ROWS {
                return Ok(());
            }
            out.put(&group).map_err(unwritten)?;
            group.clear();
            Ok(())
        })?;
        if !group.is_empty() {
            out.put(&group).map_err(unwritten)?;
        }
        let file = out.finish().and_then(|out| out.into_inner().map_err(std::io::IntoInnerError::into_error));
        file.and_then(|file| file.sync_all()).map_err(unwritten)?;
        Ok(count)
    }

    /// Hands over what a query asks, in order. Runs are made beside `path`.
    fn merged(&self, query: &Query, path: &Path, put: Put<'_>) -> Result<(), HistoryError> {
        let (disk, wanted) = (self.disk.as_ref(), Wanted::new(query));
        let mut sources: Vec<Source> = Vec::new();
        for file in self.sealed.iter().filter(|file| file.kind == wanted.kind()) {
            let groups = file.groups_for(&wanted);
            if !groups.is_empty() {
                let (file, ends) = (file.clone(), None);
                sources.push(Source::Sealed { file, ends, groups: groups.into_iter() });
            }
        }
        let mut newest: Vec<Value> = self.in_memory().filter(|value| wanted.fits(value)).copied().collect();
        newest.sort_by_key(Value::order);
        sources.push(Source::Memory(Some(newest)));
        let mut made = 0;
        while sources.len() > MERGED_MAX {
            let mut runs = Vec::new();
            let mut left = sources.into_iter().peekable();
            while left.peek().is_some() {
                let some: Vec<Source> = left.by_ref().take(MERGED_MAX).collect();
                let mut run = Run::begin(path, made)?;
                made += 1;
                merge(disk, &wanted, query.versions, some, &mut |value| run.put(value))?;
                runs.push(Source::Run(run.turn_round()?));
            }
            sources = runs;
        }
        merge(disk, &wanted, query.versions, sources, put)
    }
}

type Put<'a> = &'a mut dyn FnMut(Value) -> Result<(), HistoryError>;

/// Where sorted values come from, some at a time.
enum Source {
    Sealed { file: Arc<Sealed>, ends: Option<Ends>, groups: std::vec::IntoIter<usize> },
    Memory(Option<Vec<Value>>),
    Run(Run<BufReader<File>>),
}

impl Source {
    /// The next values; none when that was all.
    fn more(&mut self, disk: &dyn Disk, wanted: &Wanted) -> Result<Option<Vec<Value>>, HistoryError> {
        match self {
            Self::Memory(values) => Ok(values.take()),
            Self::Run(run) => run.more(),
            Self::Sealed { file, ends, groups } => {
                let Some(at) = groups.next() else { return Ok(None) };
                let known = match ends {
                    Some(known) => known,
                    None => ends.insert(file.end(disk)?),
                };
                let mut rows = file.rows_of(disk, known, at)?;
                rows.retain(|value| wanted.fits(value));
                Ok(Some(rows))
            }
        }
    }
}

/// A source and what was read of it.
struct Cursor {
    source: Source,
    values: std::vec::IntoIter<Value>,
}

impl Cursor {
    fn next(&mut self, disk: &dyn Disk, wanted: &Wanted) -> Result<Option<Value>, HistoryError> {
        loop {
            if let Some(value) = self.values.next() {
                return Ok(Some(value));
            }
            match self.source.more(disk, wanted)? {
                Some(values) => self.values = values.into_iter(),
                None => return Ok(None),
            }
        }
    }
}

/// Puts sorted sources together, older ones first. Of two values with the same version that of the later source counts, as in a query.
fn merge(
    disk: &dyn Disk,
    wanted: &Wanted,
    versions: Versions,
    sources: Vec<Source>,
    put: Put<'_>,
) -> Result<(), HistoryError> {
    let cursor = |source| Cursor { source, values: Vec::new().into_iter() };
    let mut cursors: Vec<Cursor> = sources.into_iter().map(cursor).collect();
    let (mut heap, mut heads) = (BinaryHeap::new(), Vec::new());
    for (at, cursor) in cursors.iter_mut().enumerate() {
        let head = cursor.next(disk, wanted)?;
        heap.extend(head.map(|value| Reverse((value.order(), at))));
        heads.push(head);
    }
    let mut held: Option<Value> = None;
    while let Some(Reverse((_, at))) = heap.pop() {
        let next = cursors[at].next(disk, wanted)?;
        heap.extend(next.map(|value| Reverse((value.order(), at))));
        let Some(value) = std::mem::replace(&mut heads[at], next) else { continue };
        let replaces = |held: &Value| match versions {
            // A copy that was taken up again may have the same twice.
            Versions::All => *held == value,
            _ => (held.point, held.measured_at) == (value.point, value.measured_at),
        };
        match held.replace(value) {
            Some(before) if !replaces(&before) => put(before)?,
            _ => {}
        }
    }
    held.map_or(Ok(()), put)
}

/// Sorted values on their way, in a file without a name.
struct Run<F> {
    path: PathBuf,
    file: F,
    values: Vec<Value>,
}

impl Run<BufWriter<File>> {
    fn begin(beside: &Path, number: usize) -> Result<Self, HistoryError> {
        let path = PathBuf::from(format!("{}.run-{number}", beside.display()));
        let file = File::options().read(true).write(true).create_new(true).open(&path);
        let file = file.map_err(io(&path, "making"))?;
        // It goes with the process.
        std::fs::remove_file(&path).map_err(io(&path, "removing"))?;
        Ok(Self { path, file: BufWriter::new(file), values: Vec::with_capacity(RUN_VALUES) })
    }

    fn put(&mut self, value: Value) -> Result<(), HistoryError> {
        self.values.push(value);
        if self.values.len() < RUN_VALUES { Ok(()) } else { self.flush() }
    }

    fn flush(&mut self) -> Result<(), HistoryError> {
        let mut bytes = Vec::new();
        log::write(&self.values, &mut bytes);
        self.values.clear();
        self.file.write_all(&bytes).map_err(io(&self.path, "writing"))
    }

    /// From writing to reading.
    fn turn_round(mut self) -> Result<Run<BufReader<File>>, HistoryError> {
        self.flush()?;
        let Self { path, file, values } = self;
        let file = file.into_inner().map_err(std::io::IntoInnerError::into_error);
        let file = file.and_then(|mut file| file.rewind().map(|()| file)).map_err(io(&path, "writing"))?;
        Ok(Run { path, file: BufReader::new(file), values })
    }
}

impl Run<BufReader<File>> {
    fn more(&mut self) -> Result<Option<Vec<Value>>, HistoryError> {
        let mut bytes = vec![0; log::HEAD];
        match self.file.read_exact(&mut bytes) {
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
            read => read.map_err(io(&self.path, "reading"))?,
        }
        bytes.resize(log::length_of(&bytes).min(log::HEAD + RUN_VALUES * log::ROW), 0);
        let rest = bytes.get_mut(log::HEAD..).unwrap_or_default();
        self.file.read_exact(rest).map_err(io(&self.path, "reading"))?;
        let (values, whole) = log::read(&bytes);
        match whole == bytes.len() {
            true => Ok(Some(values)),
            false => {
                Err(HistoryError::Damaged { path: self.path.clone(), reason: "it is no run".to_owned() })
            }
        }
    }
}
