//! What a contract says about its settlement. Named in the contract, so that nobody can change it afterwards.

use crate::baseline::BaselineMethod;
use crate::price_clearing::Pricing;
use grid::{Money, Slot};
use serde::{Deserialize, Serialize};

/// By which rules deliveries under a contract are valued.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SettlementTerms {
    /// What is paid for what was delivered.
    pub pricing: Pricing,
    /// How it is found out what would have been taken otherwise.
    pub baseline: BaselineMethod,
    /// The market operator's share of each payment for delivery, in thousandths, out of the prosumer's side;
    /// at most 1000 is charged. Default 20 (2 %).
    pub fee_per_mille: u32,
    /// Owed per kWh ordered and not delivered, micro-units. Default 0.10 EUR/kWh.
    pub penalty_per_kwh: Money,
    /// Owed per kWh taken back in an interval in which nothing was ordered, micro-units. Default 0.05 EUR/kWh.
    pub rebound_per_kwh: Money,
    /// Whether the members of an aggregate make up for each other before a penalty is due. Default yes.
    pub netting: bool,
}

impl Default for SettlementTerms {
    fn default() -> Self {
        Self {
            pricing: Pricing::PayAsBid,
            baseline: BaselineMethod::DeclaredSchedule,
            fee_per_mille: 20,
            penalty_per_kwh: Money(100_000),
            rebound_per_kwh: Money(50_000),
            netting: true,
        }
    }
}

/// What energy is worth where a contract's deviation flows, in one slot; micro-units per kWh taken less. Negative:
/// per kWh taken more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlotPrice {
    /// Which quarter-hour.
    pub slot: Slot,
    /// The nodal price of the clearing.
    pub nodal: Money,
    /// The sum of the bids that ask there; no delivery is paid above it.
    pub bid: Money,
}

impl SlotPrice {
    /// What the DSO pays for a kWh less (`energy` negative) or charges for a kWh more: the nodal price, never beyond
    /// the bid.
    pub fn paid(&self, energy: i64) -> Money {
        if energy < 0 {
            self.nodal.min(self.bid.max(Money::ZERO))
        } else {
            self.nodal.max(self.bid.min(Money::ZERO))
        }
    }
}
