//! What was agreed: aggregated offers, contracts on them, and the assignments of their members.

use crate::bid::{BidId, ZoneId};
use crate::flex_offer::{DeviationPrices, FlexOfferId, Schedule, Slice};
use grid::{EnergyMwh, Money, Slot, Timestamp};
use serde::{Deserialize, Serialize};

grid::named_id!(
    /// Names an aggregated FlexOffer.
    AggregateId
);
grid::named_id!(
    /// Names a contract.
    ContractId
);

/// Several FlexOffers of one zone offered as one. Sealed: its members never change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AggregatedFlexOffer {
    /// Its name.
    pub id: AggregateId,
    /// Where its energy flows.
    pub zone: ZoneId,
    /// The offers in it.
    pub members: Vec<FlexOfferId>,
    /// A schedule must be assigned before this instant.
    pub assignment_before: Timestamp,
    /// Earliest start slot.
    pub start_after: Slot,
    /// Latest start slot, included.
    pub start_before: Slot,
    /// Sum of the members' slices.
    pub slices: Vec<Slice>,
    /// Sum of the members' default schedules.
    pub default_schedule: Schedule,
    /// What deviations cost, micro-units per kWh; the dearest member's.
    pub prices: DeviationPrices,
}

/// An agreement between the DSO and an aggregator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contract {
    /// Its name.
    pub id: ContractId,
    /// Number of this contract in its market area, counted from 1 without gaps.
    pub number: u64,
    /// The aggregated offer that was bought.
    pub aggregate: AggregateId,
    /// The bids it serves.
    pub bids: Vec<BidId>,
    /// The schedule that was bought.
    pub schedule: Schedule,
    /// Difference to the aggregate's default schedule per slot, ascending, zeros left out.
    pub deviation: Vec<(Slot, EnergyMwh)>,
    /// Where the deviation flows.
    pub zone: ZoneId,
    /// Prices paid per kWh deviated (pay-as-bid).
    pub prices: DeviationPrices,
    /// What the whole deviation costs if delivered, micro-units.
    pub cost: Money,
    /// When it was formed.
    pub formed_at: Timestamp,
}

/// One member's part of a contract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assignment {
    /// Whose offer.
    pub offer: FlexOfferId,
    /// What it shall do.
    pub schedule: Schedule,
    /// Difference to the offer's default schedule per slot, ascending, zeros left out.
    pub deviation: Vec<(Slot, EnergyMwh)>,
}
