//! The FlexOffer: what a prosumer could do instead of its default schedule, and at what price.
//!
//! Terms after the FlexOffer specification (v1, 2023) and Valsomatzis et al. 2015: a profile of slices with
//! energy bounds, a window of start slots, optional bounds on total energy, a default schedule, an acceptance
//! and an assignment deadline. One slice lasts one market slot.

mod check;
mod fault;
pub mod life_cycle;
pub mod measures;
mod terms;
mod terms_check;

pub use check::{HORIZON, SLICES_MAX};
pub(crate) use check::{PRICE_MAX, Profile, deviation};
pub use fault::{FlexOfferError, FlexOfferFault};
pub use terms::{
    Acceptance, ActivationCost, DependencyPolygon, DependencyRow, ExclusiveGroupId, PPM, TariffRange, Terms,
    TradingMode,
};
pub use terms_check::ROWS_MAX;

use grid::{DeviceId, EnergyMwh, Money, ProsumerId, Slot, Timestamp, UsagePointId};
use serde::{Deserialize, Serialize};

grid::named_id!(
    /// Names a FlexOffer; chosen by the prosumer's side, so that a retry is recognised.
    FlexOfferId
);

/// Lower and upper bound of an energy, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnergyBounds {
    /// Least energy, mWh.
    pub min: EnergyMwh,
    /// Most energy, mWh.
    pub max: EnergyMwh,
}

/// One slot of the profile.
pub type Slice = EnergyBounds;

/// A start slot and the energy of each slot from there on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// First slot.
    pub start: Slot,
    /// Energy of the first, second, … slot, mWh.
    pub energies: Vec<EnergyMwh>,
}

/// What a deviation from the default schedule costs, micro-units per kWh deviated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviationPrices {
    /// For taking less than the default in a slot.
    pub decrease: Money,
    /// For taking more than the default in a slot.
    pub increase: Money,
}

/// A FlexOffer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlexOffer {
    /// Its name, unique in the market area for ever.
    pub id: FlexOfferId,
    /// Who offers.
    pub prosumer: ProsumerId,
    /// Where the energy flows.
    pub usage_point: UsagePointId,
    /// The sub-metered device the offer is about.
    pub device: DeviceId,
    /// When it was made.
    pub created_at: Timestamp,
    /// The market must accept or reject it before this instant.
    pub acceptance_before: Timestamp,
    /// A schedule must be assigned before this instant, or the default schedule runs; at the latest when the
    /// default starts.
    pub assignment_before: Timestamp,
    /// Earliest start slot.
    pub start_after: Slot,
    /// Latest start slot, included.
    pub start_before: Slot,
    /// The profile, one slice per slot.
    pub slices: Vec<Slice>,
    /// Bounds on the sum over all slices, when narrower than the sum of the slice bounds.
    pub total_energy: Option<EnergyBounds>,
    /// What runs if nothing is assigned; lies inside the offer and is the baseline of the delivery.
    pub default_schedule: Schedule,
    /// What deviations cost.
    pub prices: DeviationPrices,
    /// What it says beyond that; nothing for a plain offer.
    #[serde(default, skip_serializing_if = "Terms::is_plain")]
    pub terms: Terms,
}

impl Schedule {
    /// First slot after the schedule.
    pub fn end(&self) -> Slot {
        Slot(self.start.0.saturating_add(self.energies.len() as i64))
    }

    /// The slots it covers; those that no number can name are left out.
    pub fn slots(&self) -> impl Iterator<Item = Slot> + use<> {
        let start = self.start;
        (0..self.energies.len() as i64).filter_map(move |count| start.0.checked_add(count)).map(Slot)
    }

    /// Energy of a slot, mWh; zero outside the schedule.
    pub fn energy_in(&self, slot: Slot) -> EnergyMwh {
        let index = slot.0.checked_sub(self.start.0).and_then(|index| usize::try_from(index).ok());
        index.and_then(|index| self.energies.get(index)).copied().unwrap_or_default()
    }
}

impl DeviationPrices {
    /// The price of a deviation of this sign, micro-units per kWh.
    pub fn of(&self, deviation: EnergyMwh) -> Money {
        if deviation.0 < 0 { self.decrease } else { self.increase }
    }
}

impl FlexOffer {
    /// Checks everything that can be checked without knowing other offers or the present time.
    ///
    /// An offer that passes has integers small enough that sums over slices and over thousands of offers fit.
    pub fn check(&self) -> Result<(), FlexOfferError> {
        check::check(self).map_err(|fault| FlexOfferError { offer: self.id.clone(), fault })
    }

    /// Checks that a schedule lies inside the (checked) offer: length, start window, slice and total bounds, terms.
    pub fn check_schedule(&self, schedule: &Schedule) -> Result<(), FlexOfferError> {
        self.profile()
            .check_schedule("schedule", schedule)
            .and_then(|()| terms_check::check_schedule("schedule", self, schedule))
            .map_err(|fault| FlexOfferError { offer: self.id.clone(), fault })
    }

    /// Difference of a schedule to the default schedule, mWh per slot, ascending, zeros left out. Outside its
    /// profile a schedule takes no energy.
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

#[cfg(test)]
mod tests;
