//! The FlexOffer: what a prosumer could do instead of its default schedule, and at what price.
//!
//! Terms after the FlexOffer specification (v1, 2023) and Valsomatzis et al. 2015: a profile of slices with
//! energy bounds, a window of start slots, optional bounds on total energy, a default schedule, an acceptance
//! and an assignment deadline. One slice lasts one market slot.

use grid::{DeviceId, EnergyMwh, Money, ProsumerId, Slot, Timestamp, UsagePointId};
use serde::{Deserialize, Serialize};
use thiserror::Error;

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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
    /// A schedule must be assigned before this instant, or the default schedule runs.
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
}

/// Why a FlexOffer or a schedule for it is refused. Each variant has a stable code, see [`FlexOfferError::code`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FlexOfferError {
    /// No slices.
    #[error("FlexOffer {offer} has no slices")]
    Empty {
        /// Which offer.
        offer: FlexOfferId,
    },
}
