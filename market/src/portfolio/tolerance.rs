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

/// What the members of an aggregate have in common. [`SLICES_MAX`], [`crate::flex_offer::HORIZON`], the last slot and the
/// largest price bound the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Group {
    pub zone: ZoneId,
    pub mode: TradingMode,
    sign: Sign,
    /// Width of the bucket of earliest starts, slots.
    start_slots: u16,
    /// First slot of the bucket of earliest starts.
    base: i32,
    /// Assignment deadline, buckets.
    assignment: i32,
    /// Slots from the earliest start to the default start: the same for all, so that all defaults are one shift.
    default_shift: u16,
    /// Time flexibility, buckets.
    flexibility: u16,
    /// Prices, buckets.
    decrease: u32,
    increase: u32,
}

impl Group {
    /// Of a checked offer and the extremes of its slices' bounds.
    pub(super) fn of(
        offer: &FlexOffer,
        (lowest, highest): (i64, i64),
        zone: ZoneId,
        tolerances: &Tolerances,
    ) -> Self {
        let width = |slots: u32| i64::from(slots.max(1));
        // So that no aggregate has more slices than a FlexOffer may have.
        let start =
            width(tolerances.start_slots).min(1 + SLICES_MAX.saturating_sub(offer.slices.len()) as i64);
        let price = tolerances.price.0.max(1);
        let after = offer.start_after.0;
        let assignment = offer.assignment_before.slot().0;
        Self {
            zone,
            mode: offer.terms.mode,
            sign: match (highest > 0, lowest < 0) {
                (true, true) => Sign::Either,
                (_, false) => Sign::Taken,
                (false, true) => Sign::Fed,
            },
            start_slots: start as u16,
            base: (after - after.rem_euclid(start)) as i32,
            assignment: assignment.div_euclid(width(tolerances.assignment_slots)) as i32,
            default_shift: (offer.default_schedule.start.0 - after) as u16,
            flexibility: ((offer.start_before.0 - after) / width(tolerances.flexibility_slots)) as u16,
            decrease: (offer.prices.decrease.0 / price) as u32,
            increase: (offer.prices.increase.0 / price) as u32,
        }
    }

    /// The group of offers that are summed whatever buckets they fall into, from the earliest start of all on.
    pub(super) fn sealed(self, base: Slot, mode: TradingMode) -> Self {
        Self {
            mode,
            sign: Sign::Either,
            start_slots: SLICES_MAX as u16,
            base: base.0 as i32,
            assignment: 0,
            flexibility: 0,
            decrease: 0,
            increase: 0,
            ..self
        }
    }

    /// First slot of the bucket of earliest starts.
    pub(super) fn base(&self) -> Slot {
        Slot(self.base.into())
    }

    /// Slots from the earliest start to the default start.
    pub(super) fn default_shift(&self) -> i64 {
        self.default_shift.into()
    }

    pub(super) fn hash(&self, key: u64) -> u32 {
        let pair = |high: u32, low: u32| u64::from(high) << 32 | u64::from(low);
        let kind = (self.mode as u32) << 4 | self.sign as u32;
        let shifts = u32::from(self.default_shift) << 16 | u32::from(self.flexibility);
        hash::of_numbers(
            key,
            &[
                pair(self.zone.0, kind << 16 | u32::from(self.start_slots)),
                pair(self.base as u32, self.assignment as u32),
                pair(shifts, self.decrease),
                self.increase.into(),
            ],
        )
    }
}
