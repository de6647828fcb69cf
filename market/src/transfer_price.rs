//! What the use of the grid costs, per element and slot, and how it is added to an offer (requirement G27: the implicit
//! capacity price). The addition is kept beside the offer, so that it can be seen and taken out again.
//!
//! Prices are the DSO's, micro-units per kWh taken through an element; those of all elements on the way of a zone add
//! up. An offer that may move pays for the dearest slot in which it may run: whoever buys it there finds the cost in it.

use crate::bid::{Carried, CongestionPoint, ZoneId, Zones};
use crate::flex_offer::{FlexOffer, FlexOfferError};
use grid::{Money, Slot};
use std::collections::BTreeMap;

/// Prices of the elements.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TransferPrices {
    /// Micro-units per kWh, at least 0; what is not named costs nothing.
    pub per_kwh: BTreeMap<(CongestionPoint, Slot), Money>,
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
    /// What a kWh taken in a zone and slot costs, micro-units.
    pub fn of(&self, zones: &Zones, zone: ZoneId, slot: Slot) -> Money {
        let path = zones.get(&zone).map_or(&[][..], Vec::as_slice);
        let price = |carried: &Carried| {
            self.per_kwh.get(&(carried.point, slot)).map(|price| carried.of(price.0.max(0)))
        };
        Money(path.iter().filter_map(price).fold(0_i64, i64::saturating_add))
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
        let slots = offer.start_after.0..offer.start_before.0 + offer.slices.len() as i64;
        let added = slots.map(|slot| self.of(zones, zone, Slot(slot))).max().unwrap_or_default();
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
    use crate::sample::{offer, slot};
    use grid::BranchId;

    fn point(branch: u32) -> CongestionPoint {
        CongestionPoint { branch: BranchId(branch), phase: None }
    }

    /// Zone 1 lies behind a busy line and the transformer, zone 2 behind the transformer.
    fn zones() -> Zones {
        [(ZoneId(1), vec![point(1).into(), point(9).into()]), (ZoneId(2), vec![point(9).into()])].into()
    }

    fn prices() -> TransferPrices {
        let busy = [((point(1), slot(2)), Money(70_000)), ((point(9), slot(2)), Money(5_000))];
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
        let dear = TransferPrices { per_kwh: [((point(9), slot(0)), Money(i64::MAX))].into() };
        let refused = dear.add_to(&offer("fo-1"), &zones(), ZoneId(2)).unwrap_err();
        assert_eq!(refused.code(), "price-too-large");
    }
}
