//! What the use of the grid costs, per element and slot (requirement G27: the implicit capacity price).
//!
//! Prices are the DSO's, micro-units per kWh taken through an element; those of all elements on the way of a zone add
//! up. To an offer that may move the dearest slot in which it may run counts: a clearing adds it to what the offer asks for taking
//! more, and the offer itself stays as its owner made it.

use crate::bid::{ZoneId, Zones};
use grid::{BranchId, Money, Slot};
use std::collections::{BTreeMap, BTreeSet};

/// Quarter-hours of a day.
const SLOTS_OF_DAY: i64 = 96;

/// Prices of the elements.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TransferPrices {
    /// Micro-units per kWh, at least 0, by element and quarter-hour of the UTC day (0 to 95); what is not named costs
    /// nothing. All that is taken behind an element flows through it, whichever of its phases are limited, so its price
    /// counts once and whole.
    pub per_kwh: BTreeMap<(BranchId, u8), Money>,
}

/// What one element on the way adds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransferPart {
    /// The element.
    pub branch: BranchId,
    /// Micro-units per kWh taken behind it.
    pub per_kwh: Money,
}

impl TransferPrices {
    /// Whether nothing costs anything.
    pub fn is_empty(&self) -> bool {
        self.per_kwh.is_empty()
    }

    /// What a kWh taken in a zone and slot costs, element by element.
    pub fn parts(
        &self,
        zones: &Zones,
        zone: ZoneId,
        slot: Slot,
    ) -> impl Iterator<Item = TransferPart> + use<'_> {
        let path = zones.get(&zone).map_or(&[][..], Vec::as_slice);
        let branches: BTreeSet<BranchId> = path.iter().map(|carried| carried.point.branch).collect();
        let time = slot.0.rem_euclid(SLOTS_OF_DAY) as u8;
        branches.into_iter().filter_map(move |branch| {
            let price = self.per_kwh.get(&(branch, time))?;
            Some(TransferPart { branch, per_kwh: Money(price.0.max(0)) })
        })
    }

    /// What a kWh taken in a zone and slot costs, micro-units.
    pub fn of(&self, zones: &Zones, zone: ZoneId, slot: Slot) -> Money {
        Money(self.parts(zones, zone, slot).map(|part| part.per_kwh.0).fold(0_i64, i64::saturating_add))
    }

    /// The dearest of the slots from `first` to before `end`, micro-units per kWh.
    pub fn dearest(&self, zones: &Zones, zone: ZoneId, first: Slot, end: Slot) -> Money {
        if self.is_empty() {
            return Money::ZERO;
        }
        // A day has them all.
        let slots = first.0..end.0.min(first.0.saturating_add(SLOTS_OF_DAY));
        slots.map(|slot| self.of(zones, zone, Slot(slot))).max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bid::CongestionPoint;
    use crate::sample::slot;

    fn point(branch: u32) -> CongestionPoint {
        CongestionPoint { branch: BranchId(branch), phase: None }
    }

    fn time(after: i64) -> u8 {
        slot(after).0.rem_euclid(SLOTS_OF_DAY) as u8
    }

    /// Zone 1 lies behind a busy line and the transformer, zone 2 behind the transformer.
    fn zones() -> Zones {
        [(ZoneId(1), vec![point(1).into(), point(9).into()]), (ZoneId(2), vec![point(9).into()])].into()
    }

    fn prices() -> TransferPrices {
        let busy = [((BranchId(1), time(2)), Money(70_000)), ((BranchId(9), time(2)), Money(5_000))];
        TransferPrices { per_kwh: busy.into() }
    }

    #[test]
    fn the_same_hours_are_dearer_where_the_grid_is_busy_and_cost_nothing_elsewhere() {
        let dearest = |zone, hours: std::ops::Range<i64>| {
            prices().dearest(&zones(), ZoneId(zone), slot(hours.start), slot(hours.end))
        };
        assert_eq!((dearest(1, 0..4), dearest(2, 0..4)), (Money(75_000), Money(5_000)));
        assert_eq!((dearest(1, 0..2), dearest(7, 0..4)), (Money::ZERO, Money::ZERO));
        let dear = TransferPrices { per_kwh: [((BranchId(9), time(0)), Money(i64::MAX))].into() };
        assert_eq!(dear.dearest(&zones(), ZoneId(1), slot(0), slot(1)), Money(i64::MAX));
    }

    #[test]
    fn a_price_comes_again_every_day_and_counts_once_for_all_phases() {
        let phase = |phase| CongestionPoint { branch: BranchId(1), phase: Some(phase) };
        let third = |at| crate::bid::Carried::part(phase(at), 1.0 / 3.0);
        let phases = [grid::Phase::A, grid::Phase::B, grid::Phase::C];
        let zones = [(ZoneId(3), phases.map(third).to_vec())].into();
        let next_day = slot(2).plus(SLOTS_OF_DAY);
        assert_eq!(prices().of(&zones, ZoneId(3), next_day), Money(70_000));
        assert_eq!(prices().of(&zones, ZoneId(3), slot(3)), Money::ZERO);
        assert_eq!(prices().dearest(&zones, ZoneId(3), slot(0), Slot(i64::MAX)), Money(70_000));
        assert_eq!(prices().parts(&zones, ZoneId(3), slot(2)).count(), 1);
    }
}
