//! What was agreed: aggregated offers, contracts on them, and the assignments of their members.

use crate::bid::{BidId, ZoneId};
use crate::clearing::Accepted;
use crate::flex_offer::{
    DeviationPrices, EnergyBounds, FlexOfferFault, FlexOfferId, Profile, Schedule, Slice, deviation,
};
use crate::settlement::{SettlementTerms, SlotPrice};
use grid::{EnergyMwh, Money, Slot, Timestamp};
use serde::{Deserialize, Serialize};
use thiserror::Error;

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
    /// Bounds on the sum over all slices; only an offer that stays alone has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_energy: Option<EnergyBounds>,
    /// Sum of the members' default schedules.
    pub default_schedule: Schedule,
    /// What deviations cost, micro-units per kWh; the dearest member's. What an offer that stays alone asks beyond that is
    /// in the offer ([`crate::aggregation::LoneTerms`]).
    pub prices: DeviationPrices,
}

/// Why an aggregated FlexOffer or a schedule for it is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("aggregated FlexOffer {aggregate}: {fault}")]
pub struct AggregateError {
    /// Which aggregate.
    pub aggregate: AggregateId,
    /// What is wrong with it.
    pub fault: FlexOfferFault,
}

impl AggregatedFlexOffer {
    /// Checks the profile, the start window, the default schedule and the prices by the rules of a FlexOffer.
    pub fn check(&self) -> Result<(), AggregateError> {
        self.profile().check().map_err(|fault| AggregateError { aggregate: self.id.clone(), fault })
    }

    /// Checks that a schedule lies inside the (checked) aggregate.
    pub fn check_schedule(&self, schedule: &Schedule) -> Result<(), AggregateError> {
        self.profile()
            .check_schedule("schedule", schedule)
            .map_err(|fault| AggregateError { aggregate: self.id.clone(), fault })
    }

    /// Difference of a schedule to the default schedule, mWh per slot, ascending, zeros left out.
    pub fn deviation(&self, schedule: &Schedule) -> Vec<(Slot, EnergyMwh)> {
        deviation(&self.default_schedule, schedule)
    }

    pub(crate) fn profile(&self) -> Profile<'_> {
        Profile {
            start_after: self.start_after,
            start_before: self.start_before,
            slices: &self.slices,
            total_energy: self.total_energy,
            default_schedule: &self.default_schedule,
            prices: self.prices,
        }
    }
}

/// What a deviation costs at these prices if all of it is delivered, micro-units: the sum of the slots' costs,
/// each rounded by itself.
pub fn cost(deviation: &[(Slot, EnergyMwh)], prices: &DeviationPrices) -> Money {
    let total = deviation
        .iter()
        .fold(0_i64, |sum, (_, energy)| sum.saturating_add(energy.abs().cost(prices.of(*energy)).0));
    Money(total)
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
    /// What the offer asks per kWh deviated.
    pub prices: DeviationPrices,
    /// What the whole deviation costs if delivered, micro-units: at the prices per kWh, and what is asked beside them.
    pub cost: Money,
    /// What energy is worth there, for every slot of the deviation.
    pub slot_prices: Vec<SlotPrice>,
    /// By which rules it is settled.
    pub terms: SettlementTerms,
    /// When it was formed.
    pub formed_at: Timestamp,
}

impl Contract {
    /// The contract that a purchase becomes.
    pub fn bought(
        id: ContractId,
        number: u64,
        purchase: Accepted,
        aggregate: &AggregatedFlexOffer,
        terms: SettlementTerms,
        formed_at: Timestamp,
    ) -> Self {
        Self {
            id,
            number,
            aggregate: purchase.aggregate,
            bids: purchase.bids,
            schedule: purchase.schedule,
            deviation: purchase.deviation,
            zone: aggregate.zone,
            prices: aggregate.prices,
            cost: purchase.cost,
            slot_prices: purchase.slot_prices,
            terms,
            formed_at,
        }
    }

    /// What of the cost is asked beside the prices per kWh (an activation, a shift), micro-units.
    pub fn beside(&self) -> Money {
        Money(self.cost.0.saturating_sub(cost(&self.deviation, &self.prices).0).max(0))
    }

    /// What the DSO's bids are worth to it if all is delivered, micro-units; energy taken where relief is asked counts
    /// against it.
    pub fn bid_worth(&self) -> i128 {
        let prices = self.slot_prices.iter().map(|price| (price.slot, i128::from(price.bid.0)));
        let prices: std::collections::BTreeMap<_, _> = prices.collect();
        let worth = |(slot, energy): &(Slot, EnergyMwh)| {
            -i128::from(energy.0) * prices.get(slot).copied().unwrap_or_default()
        };
        self.deviation.iter().map(worth).sum::<i128>() / 1_000_000
    }
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
