//! What a FlexOffer may say beyond a profile, a window and a price. A plain offer says none of it.

use super::EnergyBounds;
use grid::{EnergyMwh, Money};
use serde::{Deserialize, Serialize};

grid::named_id!(
    /// Names a set of FlexOffers of which at most one is assigned.
    ExclusiveGroupId
);

/// One million: factors and coefficients are written in parts per million.
pub const PPM: i64 = 1_000_000;

/// Who trades an offer (D6.1): the prosumer by itself, or the aggregator in the prosumer's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TradingMode {
    /// The prosumer is a party of the contract and is paid its price.
    #[default]
    Direct,
    /// The aggregator is; it rewards the prosumer by a contract of their own.
    Delegated,
}

/// Which schedules besides the default one may be assigned.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Acceptance {
    /// Every schedule inside the bounds.
    #[default]
    Any,
    /// Those that deviate by at least this much, mWh summed over the slots (UMEI `minimumAcceptanceQuantity`).
    AtLeast {
        /// Least sum of the deviations' magnitudes, mWh.
        energy: EnergyMwh,
    },
    /// The default plus a fraction of one deviation (USEF `MinActivationFactor`). A least factor of one million
    /// makes the offer indivisible.
    Block {
        /// Deviation from the default schedule at factor 1, mWh, slot by slot from the schedule's start.
        deviation: Vec<EnergyMwh>,
        /// Least factor other than 0, parts per million.
        factor_min_ppm: u32,
    },
}

/// What an assignment costs beside the price per kWh, micro-units (GOFLEX contract).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActivationCost {
    /// Once, if the schedule differs from the default.
    pub activation: Money,
    /// Per slot between the start and the default start.
    pub per_slot_shifted: Money,
}

/// The range of tariffs a slice was offered at, micro-units per kWh; may be negative. Kept for the party that
/// sent it; the market pays [`super::DeviationPrices`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TariffRange {
    /// Lowest.
    pub min: Money,
    /// Highest.
    pub max: Money,
}

/// One side of a dependency polygon: `used_ppm`·x + `slice_ppm`·y ≤ `limit`·10⁶, where x is the energy taken
/// before the slice and y the energy of the slice, both in mWh (FlexOffer specification 2.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DependencyRow {
    /// Coefficient of the energy taken before, parts per million.
    pub used_ppm: i64,
    /// Coefficient of the slice's energy, parts per million.
    pub slice_ppm: i64,
    /// Right-hand side, mWh.
    pub limit: EnergyMwh,
}

/// A convex polygon over (energy taken before, energy of the slice); no rows means no restriction.
pub type DependencyPolygon = Vec<DependencyRow>;

/// Everything beyond the plain offer. `Default` is a plain offer.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Terms {
    /// Counts changes of the offer by its owner.
    #[serde(skip_serializing_if = "is_default")]
    pub revision: u32,
    /// Who trades it.
    #[serde(skip_serializing_if = "is_default")]
    pub mode: TradingMode,
    /// Bounds on every running sum: the energy from the start to the end of each slice, mWh (the specification's
    /// sub-total; for a battery the head-room above and below its state at the start).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub running_energy: Option<EnergyBounds>,
    /// One polygon per slice, or none at all (a dependency-based offer, DFO).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dependencies: Vec<DependencyPolygon>,
    /// Which schedules may be assigned.
    #[serde(skip_serializing_if = "is_default")]
    pub acceptance: Acceptance,
    /// At most one offer of this group is assigned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exclusive_group: Option<ExclusiveGroupId>,
    /// Costs beside the price per kWh.
    #[serde(skip_serializing_if = "is_default")]
    pub cost: ActivationCost,
    /// One tariff range per slice, or none at all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tariffs: Vec<TariffRange>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Terms {
    /// Whether nothing is said beyond a plain offer (for a serialised offer that stays as small as before).
    pub fn is_plain(&self) -> bool {
        is_default(self)
    }

    /// What the running market's rounds do not look at yet, in words: an offer that asks for it would be sold
    /// against its owner's will. `None` when there is nothing of that kind.
    pub fn untraded(&self) -> Option<&'static str> {
        if !self.dependencies.is_empty() {
            Some("dependent energy constraints")
        } else if self.running_energy.is_some() && self.acceptance != Acceptance::Any {
            Some("bounds on its running energy beside a condition on its acceptance")
        } else {
            None
        }
    }

    /// What keeps an offer from being summed with others, in words; `None` when nothing does.
    pub fn restriction(&self) -> Option<&'static str> {
        if let Some(untraded) = self.untraded() {
            Some(untraded)
        } else if self.running_energy.is_some() {
            Some("bounds on its running energy")
        } else if self.acceptance != Acceptance::Any {
            Some("a condition on its acceptance")
        } else if self.exclusive_group.is_some() {
            Some("an exclusive group")
        } else {
            None
        }
    }
}

impl DependencyRow {
    /// Whether a slice of `slice` mWh after `used` mWh keeps to this side.
    pub fn admits(&self, used: i64, slice: i64) -> bool {
        let left =
            i128::from(self.used_ppm) * i128::from(used) + i128::from(self.slice_ppm) * i128::from(slice);
        left <= i128::from(self.limit.0) * i128::from(PPM)
    }
}
