//! Settlement: values each delivery once and moves the money in postings that sum to zero.

use crate::journal::{Books, JournalWriter};
use crate::runtime::{Context, Stage};
use grid::defect::{Defect, planted};
use grid::{DeviceId, Slot};
use market::{Ledger, MarketEvent, settle_together};
use std::collections::BTreeSet;
use std::time::Duration;

/// How often is looked for what is due and not settled: refused twice, or never told of.
const CHECK_PERIOD: Duration = Duration::from_secs(60);

/// What can wake settlement.
#[derive(Debug, Clone)]
pub enum SettlementMsg {
    /// A settlement reading is durable.
    Read {
        /// Of which device.
        device: DeviceId,
        /// For which slot.
        slot: Slot,
    },
    /// A settlement of this reading was refused because something was recorded meanwhile that it rests on.
    Again {
        /// Of which device.
        device: DeviceId,
        /// For which slot.
        slot: Slot,
    },
    /// Time to settle what is due.
    CheckDue,
}

/// The state of settlement: none of its own, it reads the books.
pub struct SettlementStage {
    books: Books,
    journal: JournalWriter,
}

impl SettlementStage {
    /// Settlement of an area.
    pub fn new(books: Books, journal: JournalWriter) -> Self {
        Self { books, journal }
    }

    /// Settles whatever this reading completes and is not settled yet.
    fn on_reading(&mut self, device: DeviceId, slot: Slot, last: bool, cx: &mut Context<SettlementMsg>) {
        // While nothing can be recorded readings wait outside; what is due is settled when they are in.
        if planted(Defect::ForgetsToSettle) || self.books.read_only().is_some() {
            return;
        }
        let valued: Vec<_> = self.books.read(|ledger| {
            ledger.due_with(device, slot).iter().map(|group| settle_together(group)).collect()
        });
        for settlements in valued {
            let settlements = match settlements {
                Ok(settlements) => settlements,
                Err(error) => {
                    tracing::error!(%error, %device, %slot, "a delivery could not be settled");
                    continue;
                }
            };
            for settlement in settlements {
                let event = MarketEvent::Settled { settlement, at: cx.now() };
                if last {
                    self.journal.record_for_now(cx, event, Vec::new());
                } else {
                    let again = cx.myself().sending(SettlementMsg::Again { device, slot });
                    self.journal.record_or(cx, event, Vec::new(), vec![again]);
                }
            }
        }
    }

    /// Settles whatever is due.
    fn on_check(&mut self, cx: &mut Context<SettlementMsg>) {
        cx.wake_each(CHECK_PERIOD, Duration::ZERO, SettlementMsg::CheckDue);
        let read = |ledger: &Ledger| {
            let due = ledger.unsettled_due();
            due.iter().flatten().map(|due| (due.offer.device, due.slot)).collect::<BTreeSet<_>>()
        };
        for (device, slot) in self.books.read(read) {
            self.on_reading(device, slot, false, cx);
        }
    }
}

impl Stage for SettlementStage {
    type Msg = SettlementMsg;

    /// Readings that were recorded but not settled when the last run ended.
    fn started(&mut self, cx: &mut Context<SettlementMsg>) {
        self.on_check(cx);
    }

    fn handle(&mut self, msg: SettlementMsg, cx: &mut Context<SettlementMsg>) {
        match msg {
            SettlementMsg::Read { device, slot } => self.on_reading(device, slot, false, cx),
            SettlementMsg::Again { device, slot } => self.on_reading(device, slot, true, cx),
            SettlementMsg::CheckDue => self.on_check(cx),
        }
    }
}
