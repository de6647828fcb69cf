//! A DOMS bid in the form of a FlexOffer, for managers that know nothing else (requirement G24): the wanted range per
//! slot around a default of nothing, and the willingness to pay as tariff. Both have the sign of this crate, positive
//! is taken; the sign of D6.1 ends in its codec.

use crate::bid::{BidId, BidInterval, CongestionPoint, DomsBid};
use crate::flex_offer::{
    DeviationPrices, EnergyBounds, FlexOffer, FlexOfferError, Schedule, TariffRange, Terms,
};
use crate::portfolio::OfferIdentity;
use grid::{EnergyMwh, Money, Slot, Timestamp};

impl DomsBid {
    /// The bid as an offer that can be assigned until `assignment_before`. A schedule of it is what was bought.
    pub fn as_flex_offer(
        &self,
        identity: OfferIdentity,
        assignment_before: Timestamp,
    ) -> Result<FlexOffer, FlexOfferError> {
        let wanted = |interval: &BidInterval| EnergyBounds {
            min: interval.schedule_change.min(EnergyMwh::ZERO),
            max: interval.schedule_change.max(EnergyMwh::ZERO),
        };
        let price = |interval: &BidInterval| TariffRange { min: Money::ZERO, max: interval.price };
        let most = self.intervals.iter().map(|interval| interval.price).max().unwrap_or_default();
        let offer = FlexOffer {
            id: identity.id,
            prosumer: identity.prosumer,
            usage_point: identity.usage_point,
            device: identity.device,
            created_at: identity.created_at,
            acceptance_before: assignment_before,
            assignment_before,
            start_after: self.start,
            start_before: self.start,
            slices: self.intervals.iter().map(wanted).collect(),
            total_energy: None,
            default_schedule: Schedule {
                start: self.start,
                energies: vec![EnergyMwh::ZERO; self.intervals.len()],
            },
            prices: DeviationPrices { decrease: most, increase: most },
            terms: Terms { tariffs: self.intervals.iter().map(price).collect(), ..Terms::default() },
        };
        offer.check().map(|()| offer)
    }

    /// What was bought for the bid, from some slot on, as energies of all its intervals; what lies outside of them is left
    /// out.
    pub fn bought_as_profile(&self, (first, energies): &(Slot, Vec<EnergyMwh>)) -> Vec<EnergyMwh> {
        let after = |at: usize| self.start.0 + at as i64 - first.0;
        let energy = |at| usize::try_from(after(at)).ok().and_then(|place| energies.get(place).copied());
        (0..self.intervals.len()).map(|at| energy(at).unwrap_or_default()).collect()
    }

    /// The bid that an offer made by [`DomsBid::as_flex_offer`] stands for; `None` when it is none: a slice that
    /// wants both directions, another start, or no price per slice.
    pub fn of_flex_offer(offer: &FlexOffer, id: BidId, congestion_point: CongestionPoint) -> Option<Self> {
        let fixed =
            offer.start_after == offer.start_before && offer.terms.tariffs.len() == offer.slices.len();
        let idle = offer.default_schedule.energies.iter().all(|energy| *energy == EnergyMwh::ZERO);
        if !fixed || !idle {
            return None;
        }
        let interval = |(slice, tariff): (&EnergyBounds, &TariffRange)| {
            let one_way = slice.min == EnergyMwh::ZERO || slice.max == EnergyMwh::ZERO;
            let schedule_change = EnergyMwh(slice.min.0.checked_add(slice.max.0)?);
            one_way.then_some(BidInterval { schedule_change, price: tariff.max })
        };
        let intervals: Option<Vec<_>> = offer.slices.iter().zip(&offer.terms.tariffs).map(interval).collect();
        Some(Self { id, congestion_point, start: offer.start_after, intervals: intervals? })
    }
}
