//! How fast a journal is: acknowledgement with group commit, replay, and a start from snapshot and rest.

mod trading;

pub use trading::{DEVICES, Trading};

use crate::error::contradiction;
use crate::record::Fact;
use crate::segment::Position;
use crate::{Durability, Folder, Journal, Options, layout::Layout, reader::walk};
use grid::Timestamp;
use market::{Ledger, MarketEvent, RecordNumber};
use serde::Serialize;
use std::path::Path;

/// What to measure with.
pub struct Bench<'a> {
    /// An empty directory on the disk in question.
    pub directory: &'a Path,
    /// Records of the long journal.
    pub records: usize,
    /// Starts that are timed.
    pub starts: usize,
    /// Time passed since some instant, ms.
    pub now_ms: &'a dyn Fn() -> f64,
    /// CPU time of this thread, ms.
    pub cpu_ms: &'a dyn Fn() -> f64,
}

/// One size of group.
#[derive(Debug, Clone, Serialize)]
pub struct Appended {
    /// Facts per sync.
    pub group: usize,
    /// Acknowledged per second, one group after the other.
    pub records_per_s: f64,
    /// From handing a group in to its acknowledgement, half of them, ms.
    pub ack_ms_p50: f64,
    /// The same, 99 %, ms.
    pub ack_ms_p99: f64,
}

/// What was measured. Times of replay are CPU time of one thread, the others wall time.
#[derive(Debug, Clone, Serialize)]
pub struct Figures {
    /// Group commit on this disk.
    pub append: Vec<Appended>,
    /// Records of the long journal.
    pub records: usize,
    /// Its bytes per record.
    pub bytes_per_record: f64,
    /// Events per second from files to ledger, snapshots left out.
    pub replay_per_s: f64,
    /// Events per second read and checked, without a ledger.
    pub read_per_s: f64,
    /// Events per second folded into a ledger from memory.
    pub fold_per_s: f64,
    /// The newest snapshot, bytes.
    pub snapshot_bytes: u64,
    /// Making one from the one before, ms.
    pub snapshot_ms: f64,
    /// Records read after the snapshot at a start.
    pub replayed_at_start: u64,
    /// From opening to appending, half of the starts, ms.
    pub start_ms_p50: f64,
    /// The same, 99 % (or the slowest of fewer), ms.
    pub start_ms_p99: f64,
    /// CPU time of a start, half of them, ms: what does not depend on who else runs on the machine.
    pub start_cpu_ms_p50: f64,
}

fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    values.get((share * last as f64).ceil() as usize).copied().unwrap_or_default()
}

/// Appends so many records of trading, with the snapshots that a running system would make meanwhile. Returns how long the last one took,
/// ms.
///
/// # Errors
/// The journal's, and words when the market does not buy.
pub fn write(
    journal: &mut Journal,
    trading: &mut Trading,
    records: usize,
    now_ms: &dyn Fn() -> f64,
) -> Result<f64, Box<dyn std::error::Error>> {
    let (mut written, mut snapshot_ms) = (0, 0.0);
    while written < records {
        let events = trading.events(2_000.min(records - written))?;
        let facts: Vec<Fact> = events.into_iter().map(Fact::Market).collect();
        written += facts.len();
        journal.append(facts.iter().map(|fact| (trading.now(), fact)))?;
        if let Some(snapshotter) = journal.snapshot_due() {
            let begin = now_ms();
            snapshotter.make()?;
            snapshot_ms = now_ms() - begin;
        }
    }
    Ok(snapshot_ms)
}

impl Bench<'_> {
    /// Measures everything.
    pub fn run(&self) -> Result<Figures, Box<dyn std::error::Error>> {
        let mut append = Vec::new();
        for group in [1, 8, 64, 512] {
            append.push(self.append(group)?);
        }
        let long = self.directory.join("long");
        let mut journal = Journal::open_with(&long, Options::new(Durability::Synced))?.journal;
        let snapshot_ms = write(&mut journal, &mut Trading::default(), self.records, self.now_ms)?;
        drop(journal);
        let (replay_per_s, _) = self.replay(&long, true)?;
        let (read_per_s, events) = self.replay(&long, false)?;
        let records = events.len();
        let begin = (self.cpu_ms)();
        let mut ledger = Ledger::default();
        for (event, number) in events.into_iter().zip(1..) {
            ledger.take_record(RecordNumber(number), event)?;
        }
        let fold_per_s = records as f64 / ((self.cpu_ms)() - begin) * 1e3;
        drop(ledger);
        let (mut starts, mut starts_cpu, mut replayed_at_start) = (Vec::new(), Vec::new(), 0);
        for _ in 0..self.starts {
            let (begin, begin_cpu) = ((self.now_ms)(), (self.cpu_ms)());
            let mut opened = Journal::open(&long, Durability::Synced)?;
            opened.journal.append([(Timestamp::from_seconds(0), &Fact::Reached)])?;
            starts.push((self.now_ms)() - begin);
            starts_cpu.push((self.cpu_ms)() - begin_cpu);
            replayed_at_start = opened.replayed;
        }
        let folder = Folder::new(&long);
        let layout = Layout::of(&folder)?;
        let size = |name: &String| crate::Disk::size(&folder, name).unwrap_or_default();
        let bytes: u64 = layout.segments.iter().map(|(_, name)| size(name)).sum();
        Ok(Figures {
            append,
            records,
            bytes_per_record: bytes as f64 / records as f64,
            replay_per_s,
            read_per_s,
            fold_per_s,
            snapshot_bytes: layout.snapshots.last().map_or(0, |(_, name)| size(name)),
            snapshot_ms,
            replayed_at_start,
            start_ms_p50: quantile(&mut starts, 0.5),
            start_ms_p99: quantile(&mut starts, 0.99),
            start_cpu_ms_p50: quantile(&mut starts_cpu, 0.5),
        })
    }

    fn append(&self, group: usize) -> Result<Appended, Box<dyn std::error::Error>> {
        let groups = if group > 64 { 60 } else { 200 };
        let events = Trading::default().events(group * groups)?;
        let facts: Vec<Fact> = events.into_iter().map(Fact::Market).collect();
        let directory = self.directory.join(format!("group-{group}"));
        let mut journal = Journal::open(&directory, Durability::Synced)?.journal;
        let (mut acks, begin) = (Vec::new(), (self.now_ms)());
        for facts in facts.chunks(group).take(groups) {
            let handed_in = (self.now_ms)();
            journal.append(facts.iter().map(|fact| (Timestamp::from_seconds(0), fact)))?;
            acks.push((self.now_ms)() - handed_in);
        }
        let seconds = ((self.now_ms)() - begin) / 1e3;
        Ok(Appended {
            group,
            records_per_s: (group * groups) as f64 / seconds,
            ack_ms_p50: quantile(&mut acks, 0.5),
            ack_ms_p99: quantile(&mut acks, 0.99),
        })
    }

    /// Reads all segments, into a ledger or into memory. Returns events per second of CPU time.
    fn replay(
        &self,
        directory: &Path,
        fold: bool,
    ) -> Result<(f64, Vec<MarketEvent>), Box<dyn std::error::Error>> {
        let folder = Folder::new(directory);
        let segments = Layout::of(&folder)?.segments;
        let (mut standing, mut events) = (crate::Standing::default(), Vec::new());
        let begin = (self.cpu_ms)();
        let walked = walk(&folder, &segments, Position::start(), None, &mut |record, _| {
            if fold {
                return standing.fold_record(record).map_err(contradiction(&folder, record.number));
            }
            if let Fact::Market(event) = record.entry()?.fact {
                events.push(event);
            }
            Ok(())
        })?;
        let seconds = ((self.cpu_ms)() - begin) / 1e3;
        Ok((walked.position.number as f64 / seconds, events))
    }
}
