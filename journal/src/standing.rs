//! What the records up to some number add up to.

use crate::record::{Defect, Entry, Fact, Record, Stop};
use grid::{Timestamp, packed};
use market::{Ledger, LedgerError, RecordNumber};

/// The fold of a journal's entries: all that a start needs to know of them.
#[derive(Debug, Clone, Default)]
pub struct Standing {
    /// The newest record, 0 before the first.
    pub records: u64,
    /// The ledger after it.
    pub ledger: Ledger,
    /// What the system was last started with.
    pub configuration: Option<String>,
    /// The latest instant at which a record was handed in.
    pub reached: Option<Timestamp>,
    /// The latest instant at which a market fact was handed in: what has to be past before the next one.
    pub traded: Option<Timestamp>,
}

packed!(struct Standing { records, ledger, configuration, reached, traded });

impl Standing {
    /// Takes in the next entry.
    pub fn fold(&mut self, entry: Entry) -> Result<(), Box<LedgerError>> {
        match entry.fact {
            Fact::Market(event) => {
                self.ledger.take_record(RecordNumber(entry.number), event)?;
                self.traded = self.traded.max(Some(entry.written_at));
            }
            Fact::Opened { configuration } => self.configuration = Some(configuration),
            Fact::Reached => {}
        }
        self.records = entry.number;
        self.reached = self.reached.max(Some(entry.written_at));
        Ok(())
    }

    /// Takes in the next record: the same as reading it and taking in the entry, without the way through the entry.
    pub(crate) fn fold_record(&mut self, record: Record<'_>) -> Result<(), Stop<Box<LedgerError>>> {
        let Some((written_at, event)) = record.market()? else {
            return self.fold(record.entry()?).map_err(Stop::Refused);
        };
        let taken = self.ledger.take_packed(RecordNumber(record.number), event).map_err(Defect::from)?;
        taken.map_err(|error| Stop::Refused(Box::new(error)))?;
        self.records = record.number;
        (self.traded, self.reached) = (self.traded.max(Some(written_at)), self.reached.max(Some(written_at)));
        Ok(())
    }
}
