//! Settlement: values each delivery once and moves the money in postings that sum to zero.

use crate::area::Area;
use crate::journal::{Books, JournalWriter};
use crate::runtime::{Context, Stage};
use grid::{DeviceId, Money, Slot};
use market::{FlexOfferId, Ledger, MarketEvent, settle};
use std::collections::BTreeSet;
use std::sync::Arc;

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
}

/// The state of settlement: none of its own, it reads the books.
pub struct SettlementStage {
    area: Arc<Area>,
    books: Books,
    journal: JournalWriter,
}

impl SettlementStage {
    /// Settlement of an area.
    pub fn new(area: Arc<Area>, books: Books, journal: JournalWriter) -> Self {
        Self { area, books, journal }
    }

    /// Settles whatever this reading is the delivery of and is not settled yet.
    fn on_reading(&mut self, device: DeviceId, slot: Slot, cx: &mut Context<SettlementMsg>) {
        let settlements: Vec<_> = self.books.read(|ledger| {
            let due = ledger.unsettled_due().into_iter();
            due.filter(|due| due.offer.device == device && due.slot == slot)
                .map(|due| {
                    // Nobody owes for an order that never reached the device.
                    let mut rules = self.area.rules.clone();
                    if !reached(ledger, &due.offer.id) {
                        rules.penalty_per_kwh = Money::ZERO;
                    }
                    settle(due.contract, due.assignment, due.offer, due.slot, due.reading, &rules)
                })
                .collect()
        });
        for settlement in settlements {
            let settlement = match settlement {
                Ok(settlement) => settlement,
                Err(error) => {
                    tracing::error!(%error, %device, %slot, "a delivery could not be settled");
                    continue;
                }
            };
            let event = MarketEvent::Settled { settlement, at: cx.now() };
            self.journal.record(cx, event, Vec::new());
        }
    }
}

/// Whether a device answered the order that came of an offer.
fn reached(ledger: &Ledger, offer: &FlexOfferId) -> bool {
    ledger.activations().any(|(order, answer)| order.offer == *offer && answer.is_some())
}

impl Stage for SettlementStage {
    type Msg = SettlementMsg;

    /// Readings that were recorded but not settled when the last run ended.
    fn started(&mut self, cx: &mut Context<SettlementMsg>) {
        let read = |ledger: &Ledger| {
            ledger.unsettled_due().iter().map(|due| (due.offer.device, due.slot)).collect::<BTreeSet<_>>()
        };
        for (device, slot) in self.books.read(read) {
            self.on_reading(device, slot, cx);
        }
    }

    fn handle(&mut self, msg: SettlementMsg, cx: &mut Context<SettlementMsg>) {
        match msg {
            SettlementMsg::Read { device, slot } => self.on_reading(device, slot, cx),
        }
    }
}
