//! The settings of a market area.

use crate::settlement::SettlementTerms;
use crate::transfer_price::TransferPrices;
use grid::{Money, Slot, Timestamp};
use std::time::Duration;

/// How a market area trades and settles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Nothing is bought in a slot that starts sooner than this. Default 60 s.
    pub gate_closure: Duration,
    /// Most members of an aggregate. Default 4.
    pub aggregate_size_max: usize,
    /// What every contract says about its settlement.
    pub settlement: SettlementTerms,
    /// What is gained by less than this is left alone: switching a device has a cost that no offer names. Default 0.
    pub gain_min: Money,
    /// Most aggregated offers in one clearing; more are refused with a reason. Default 10,000.
    pub book_offers_max: usize,
    /// What the use of the grid costs: counted in a clearing on top of what is asked for taking more. Default nothing.
    pub transfer: TransferPrices,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            gate_closure: Duration::from_secs(60),
            aggregate_size_max: 4,
            settlement: SettlementTerms::default(),
            gain_min: Money::ZERO,
            book_offers_max: 10_000,
            transfer: TransferPrices::default(),
        }
    }
}

impl Rules {
    /// The first slot that can still be bought at `now`.
    pub fn first_open_slot(&self, now: Timestamp) -> Slot {
        first_slot_from(now.plus(self.gate_closure))
    }
}

/// The first slot that starts at `instant` or later.
pub(crate) fn first_slot_from(instant: Timestamp) -> Slot {
    let slot = instant.slot();
    if slot.start() < instant { slot.plus(1) } else { slot }
}
