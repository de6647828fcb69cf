//! Reading a journal while it is written.

use crate::disk::Folder;
use crate::error::JournalError;
use crate::layout::Layout;
use crate::reader::walk;
use crate::record::Entry;
use crate::segment::Position;
use crate::tip;
use std::path::Path;

/// Reads on where it stopped, in a journal that is being written.
#[derive(Debug)]
pub struct Follower {
    folder: Folder,
    read: Position,
}

impl Follower {
    /// Nothing of the journal in `directory` is read yet.
    pub fn new(directory: &Path) -> Self {
        Self { folder: Folder::new(directory), read: Position::start() }
    }

    /// The entries of the segments that were finished since the last time.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn finished(&mut self) -> Result<Vec<Entry>, JournalError> {
        // The last one may still be written to.
        let mut segments = self.segments()?;
        segments.pop();
        self.read_on(&segments, None)
    }

    /// The entries that were not read yet, of a journal that nobody writes any more; its end is checked as when one starts with it.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn rest(&mut self) -> Result<Vec<Entry>, JournalError> {
        let tip = tip::read(&self.folder);
        let segments = self.segments()?;
        self.read_on(&segments, tip.position())
    }

    /// Those of which nothing is read yet, with the numbers of their first records.
    fn segments(&self) -> Result<Vec<(u64, String)>, JournalError> {
        let mut segments = Layout::of(&self.folder)?.segments;
        segments.retain(|(first, _)| *first > self.read.number);
        Ok(segments)
    }

    fn read_on(
        &mut self,
        segments: &[(u64, String)],
        tip: Option<&Position>,
    ) -> Result<Vec<Entry>, JournalError> {
        let mut entries = Vec::new();
        let from = self.read.clone();
        let walked = walk(&self.folder, segments, from, tip, &mut |record, _| {
            entries.push(record.entry()?);
            Ok(())
        })?;
        self.read = walked.position;
        Ok(entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Trading;
    use crate::record::Fact;
    use crate::writer::{Durability, Journal, Options};
    use grid::Timestamp;

    fn facts() -> Vec<Fact> {
        Trading::default().events(400).unwrap().into_iter().map(Fact::Market).collect()
    }

    fn open(directory: &Path) -> Journal {
        let options = Options { segment_bytes: 4_000, ..Options::new(Durability::Simulated) };
        Journal::open_with(directory, options).unwrap().journal
    }

    #[test]
    fn what_is_read_along_is_what_is_read_at_the_end_and_nothing_is_read_twice() {
        let directory = tempfile::tempdir().unwrap();
        let mut journal = open(directory.path());
        let mut follower = Follower::new(directory.path());
        let (mut read, mut finished) = (Vec::new(), 0);
        for facts in facts().chunks(7) {
            journal.append(facts.iter().map(|fact| (Timestamp::from_seconds(0), fact))).unwrap();
            let entries = follower.finished().unwrap();
            finished += usize::from(!entries.is_empty());
            read.extend(entries);
            assert!(read.len() as u64 <= journal.records());
        }
        assert!(finished > 5, "{finished} segments were finished");
        drop(journal);
        read.extend(follower.rest().unwrap());
        assert_eq!(read, Journal::verify(directory.path()).unwrap().entries);
        assert!(follower.rest().unwrap().is_empty());
    }

    #[test]
    fn what_was_acknowledged_and_is_gone_is_missed_at_the_end() {
        let directory = tempfile::tempdir().unwrap();
        let mut journal = open(directory.path());
        let facts = facts();
        journal.append(facts.iter().map(|fact| (Timestamp::from_seconds(0), fact))).unwrap();
        let mut follower = Follower::new(directory.path());
        drop(journal);
        let (_, last) = Layout::of(&Folder::new(directory.path())).unwrap().segments.pop().unwrap();
        std::fs::remove_file(directory.path().join(last)).unwrap();
        follower.finished().unwrap();
        assert!(matches!(follower.rest(), Err(JournalError::Missing { .. })));
    }

    #[test]
    fn a_changed_byte_of_a_finished_segment_is_found() {
        let directory = tempfile::tempdir().unwrap();
        let mut journal = open(directory.path());
        journal.append(facts().iter().map(|fact| (Timestamp::from_seconds(0), fact))).unwrap();
        journal.append(facts().iter().map(|fact| (Timestamp::from_seconds(0), fact))).unwrap();
        let (_, first) = Layout::of(&Folder::new(directory.path())).unwrap().segments.swap_remove(0);
        let file = directory.path().join(first);
        let mut bytes = std::fs::read(&file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&file, bytes).unwrap();
        assert!(matches!(Follower::new(directory.path()).finished(), Err(JournalError::Damaged { .. })));
    }
}
