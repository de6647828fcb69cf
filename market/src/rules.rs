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
    /// Which offers are sold together.
    pub aggregates: AggregateRules,
    /// What every contract says about its settlement.
    pub settlement: SettlementTerms,
    /// What is gained by less than this is left alone: switching a device has a cost that no offer names. Default 0.
    pub gain_min: Money,
    /// Most aggregated offers in one clearing; more are refused with a reason. Default 10,000.
    pub book_offers_max: usize,
    /// What the use of the grid costs: counted in a clearing on top of what is asked for taking more. Default nothing.
    pub transfer: TransferPrices,
}

/// Which offers are sold together, and how many. With the defaults nothing is lost but the members' freedom to move
/// apart; wider tolerances make fewer aggregates of more offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AggregateRules {
    /// Most members of an aggregate that cannot move in time: its energy is bought in any part. Default 50.
    pub members_max: usize,
    /// Most members of one that can: it moves as a whole, so many members are a lump that no small need pays for.
    /// Default 4.
    pub moving_members_max: usize,
    /// Width of the classes of earliest starts, slots. Members keep their distance. Default 1: all start together.
    pub start_slots: u32,
    /// Width of the classes of time flexibility, slots; an aggregate moves as far as its least flexible member.
    /// Default 1: nothing is lost.
    pub flexibility_slots: u32,
    /// Width of the classes of prices, micro-units per kWh. Members are sold at the dearest one's, so at most this much
    /// above their own. Default 10,000 (0.01 EUR).
    pub price: Money,
    /// How much of the choice that an offer's slices leave may be lost, percent, when its total binds and it is summed;
    /// an offer that would lose more stays alone. Default 0.
    pub loss_percent_max: u32,
}

impl Default for AggregateRules {
    fn default() -> Self {
        Self {
            members_max: 50,
            moving_members_max: 4,
            start_slots: 1,
            flexibility_slots: 1,
            price: Money(10_000),
            loss_percent_max: 0,
        }
    }
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            gate_closure: Duration::from_secs(60),
            aggregates: AggregateRules::default(),
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
