//! The auditor of a run: it reads the journal from the disk beside whoever writes it, and shares no code with the ledger.

use actors::journal::{Entry, Fact, Follower, JournalError};
use grid::{Beside, beside};
use market::{Audit, AuditReport, RecordNumber};
use std::cell::OnceCell;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

/// How often it looks whether another segment is finished, by the clock of the machine.
const LOOK: Duration = Duration::from_secs(1);

/// Reads and judges on a thread of its own.
#[derive(Debug)]
pub struct Auditor {
    ended: SyncSender<()>,
    work: Beside<Result<Audited, JournalError>>,
}

/// What was read, and what is to be said of it.
#[derive(Debug)]
pub struct Audited {
    /// Of the market's facts.
    pub report: AuditReport,
    /// All records.
    pub records: u64,
}

impl Auditor {
    /// Begins with the first record of the journal in `directory`.
    pub fn of(directory: &Path) -> Self {
        let (ended, until) = sync_channel(1);
        let directory = directory.to_owned();
        Self { ended, work: beside(move || read_along(&directory, &until)) }
    }

    /// Nobody writes any more: waits for the rest to be read and judged.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn found(self) -> Result<Audited, JournalError> {
        // One that ended early says why.
        let _ = self.ended.send(());
        self.work.found()
    }
}

/// What was read at once, and what after it. It stays where it is while the audit refers to it.
#[derive(Default)]
struct Read {
    entries: Vec<Entry>,
    next: OnceCell<Box<Read>>,
}

fn read_along(directory: &Path, ended: &Receiver<()>) -> Result<Audited, JournalError> {
    let mut follower = Follower::new(directory);
    let first = Read::default();
    let (mut last, mut audit, mut records) = (&first, Audit::default(), 0);
    loop {
        let over = !matches!(ended.recv_timeout(LOOK), Err(RecvTimeoutError::Timeout));
        let entries = if over { follower.rest()? } else { follower.finished()? };
        if !entries.is_empty() {
            records += entries.len() as u64;
            last = last.next.get_or_init(|| Box::new(Read { entries, next: OnceCell::new() }));
            for entry in &last.entries {
                if let Fact::Market(event) = &entry.fact {
                    audit.take(RecordNumber(entry.number), event);
                }
            }
        }
        if over {
            return Ok(Audited { report: audit.report(&|_| ()), records });
        }
        audit.clear_again();
    }
}
