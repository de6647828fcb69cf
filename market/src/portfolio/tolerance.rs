//! Which offers are alike enough to be summed, and how large a sum may grow.

use super::hash;
use crate::bid::ZoneId;
use crate::flex_offer::{FlexOffer, SLICES_MAX, TradingMode};
use grid::{EnergyMwh, Money, Slot};

/// Widths of the buckets in which offers must agree. Wider buckets mean fewer aggregates and more flexibility lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tolerances {
    /// Earliest starts, slots. Members keep their distance in time, so nothing is lost but the choice to move apart.
    /// Default 20.
    pub start_slots: u32,
    /// Time flexibility, slots; an aggregate moves as far as its least flexible member. Default 1: nothing lost.
    pub flexibility_slots: u32,
    /// Assignment deadlines, slots; an aggregate has its earliest member's. Default 20.
    pub assignment_slots: u32,
    /// Prices, micro-units per kWh; an aggregate has its dearest member's. Default 10,000 (0.01 EUR).
    pub price: Money,
}

/// Bounds of an aggregate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Fewer members are not published. Default 1.
    pub members_min: usize,
    /// Most members. Default 10,000.
    pub members_max: usize,
    /// Less energy is not published: sum over slices of the bounds' largest magnitudes, mWh. Default 0.
    pub energy_min: EnergyMwh,
    /// Most energy, measured alike, mWh. Default 10¹⁵ (1 TWh); a larger offer
    /// stands alone.
    pub energy_max: EnergyMwh,
}

impl Default for Tolerances {
    fn default() -> Self {
        Self { start_slots: 20, flexibility_slots: 1, assignment_slots: 20, price: Money(10_000) }
    }
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            members_min: 1,
            members_max: 10_000,
            energy_min: EnergyMwh::ZERO,
            energy_max: EnergyMwh(1_000_000_000_000_000),
        }
    }
}

/// In which direction an offer's energy flows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    Taken,
    Fed,
    Either,
}

/// What the members of an aggregate have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Group {
    pub zone: ZoneId,
    pub mode: TradingMode,
    sign: Sign,
    /// Width of the bucket of earliest starts, slots.
    start_slots: i64,
    /// First slot of the bucket of earliest starts.
    pub base: Slot,
    /// Slots from the earliest start to the default start: the same for all, so that all defaults are one shift.
    pub default_shift: i64,
    flexibility: i64,
    assignment: i64,
    decrease: i64,
    increase: i64,
}

impl Group {
    pub(super) fn of(offer: &FlexOffer, zone: ZoneId, tolerances: &Tolerances) -> Self {
        let width = |slots: u32| i64::from(slots.max(1));
        // So that no aggregate has more slices than a FlexOffer may have.
        let start =
            width(tolerances.start_slots).min(1 + SLICES_MAX.saturating_sub(offer.slices.len()) as i64);
        let price = tolerances.price.0.max(1);
        let (mut taken, mut fed) = (false, false);
        for slice in &offer.slices {
            taken |= slice.max.0 > 0;
            fed |= slice.min.0 < 0;
        }
        Self {
            zone,
            mode: offer.terms.mode,
            sign: match (taken, fed) {
                (true, true) => Sign::Either,
                (_, false) => Sign::Taken,
                (false, true) => Sign::Fed,
            },
            start_slots: start,
            base: Slot(offer.start_after.0.div_euclid(start) * start),
            default_shift: offer.default_schedule.start.0 - offer.start_after.0,
            flexibility: (offer.start_before.0 - offer.start_after.0)
                .div_euclid(width(tolerances.flexibility_slots)),
            assignment: offer.assignment_before.slot().0.div_euclid(width(tolerances.assignment_slots)),
            decrease: offer.prices.decrease.0.div_euclid(price),
            increase: offer.prices.increase.0.div_euclid(price),
        }
    }

    pub(super) fn hash(&self, key: u64) -> u32 {
        let kind = i64::from(self.zone.0) << 8 | (self.mode as i64) << 4 | self.sign as i64;
        hash::of_numbers(
            key,
            &[
                kind,
                self.start_slots,
                self.base.0,
                self.default_shift,
                self.flexibility,
                self.assignment,
                self.decrease,
                self.increase,
            ],
        )
    }
}
