//! What the use of the grid costs, per element and slot, and how it is added to an offer (requirement G27: the implicit
//! capacity price). The addition is kept beside the offer, so that it can be seen and taken out again.
//!
//! Prices are the DSO's, micro-units per kWh taken through an element; those of all elements on the way of a zone add
//! up. An offer that may move pays for the dearest slot in which it may run: whoever buys it there finds the cost in it.

use crate::bid::{ZoneId, Zones};
use crate::flex_offer::{FlexOffer, FlexOfferError};
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

/// An offer with the price of transfer in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transferred {
    /// The offer as it is traded.
    pub offer: FlexOffer,
    /// What was added to its price for taking more, micro-units per kWh.
    pub added: Money,
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

    /// The offer with the dearest of its slots added to what it asks for taking more; refused when that makes it a
    /// price nobody can mean.
    pub fn add_to(
        &self,
        offer: &FlexOffer,
        zones: &Zones,
        zone: ZoneId,
    ) -> Result<Transferred, FlexOfferError> {
        offer.check()?;
        let end = offer.start_before.plus(offer.slices.len() as i64);
        let added = self.dearest(zones, zone, offer.start_after, end);
        let mut priced = offer.clone();
        priced.prices.increase = Money(offer.prices.increase.0.saturating_add(added.0));
        priced.check()?;
        Ok(Transferred { offer: priced, added })
    }
}

impl Transferred {
    /// The offer as its owner made it.
    pub fn without(&self) -> FlexOffer {
        let mut offer = self.offer.clone();
        offer.prices.increase = Money(offer.prices.increase.0.saturating_sub(self.added.0));
        offer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bid::CongestionPoint;
    use crate::sample::{offer, slot};

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
    fn the_same_offer_is_dearer_where_the_grid_is_busy() {
        let offer = offer("fo-1");
        let (busy, free) = (ZoneId(1), ZoneId(2));
        let at = |zone| prices().add_to(&offer, &zones(), zone).unwrap();
        assert_eq!((at(busy).added, at(free).added), (Money(75_000), Money(5_000)));
        assert_eq!(at(busy).offer.prices.increase, Money(175_000));
        assert_eq!(at(busy).offer.prices.decrease, offer.prices.decrease, "taking less uses no grid");
    }

    #[test]
    fn the_addition_can_be_seen_and_taken_out() {
        let offer = offer("fo-1");
        let priced = prices().add_to(&offer, &zones(), ZoneId(1)).unwrap();
        assert_eq!(priced.without(), offer);
        assert_eq!(priced.offer.prices.increase - offer.prices.increase, priced.added);
    }

    #[test]
    fn slots_it_cannot_run_in_and_unknown_zones_cost_nothing() {
        let early = FlexOffer { start_before: slot(0), ..offer("fo-1") };
        assert_eq!(prices().add_to(&early, &zones(), ZoneId(1)).unwrap().added, Money::ZERO);
        assert_eq!(prices().of(&zones(), ZoneId(7), slot(2)), Money::ZERO);
    }

    #[test]
    fn a_price_nobody_can_mean_is_refused() {
        let dear = TransferPrices { per_kwh: [((BranchId(9), time(0)), Money(i64::MAX))].into() };
        let refused = dear.add_to(&offer("fo-1"), &zones(), ZoneId(2)).unwrap_err();
        assert_eq!(refused.code(), "price-too-large");
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
