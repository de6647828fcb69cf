//! The best schedule of one offer against the present state of the grid, found exactly.
//!
//! Per slot the gain is a concave function of the deviation: value of relief with falling prices up to what is
//! lacking, minus a linear cost on either side of zero. So without a binding total each slot is solved by
//! itself, and with one the surplus is moved along the flattest pieces first.

use super::grid_state::{GridState, ZoneSlot};
use crate::contract::AggregatedFlexOffer;
use crate::flex_offer::{EnergyBounds, Schedule};
use grid::{EnergyMwh, Money, Slot};

/// Money before rounding: mWh × micro-units per kWh, a millionth of a micro-unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Gain(pub i128);

impl Gain {
    pub fn is_positive(self) -> bool {
        self.0 > 0
    }

    /// In micro-units, rounded half away from zero.
    pub fn rounded(self) -> Money {
        let half = if self.0 < 0 { -500_000 } else { 500_000 };
        let micros = (self.0 + half) / 1_000_000;
        Money(i64::try_from(micros).unwrap_or(if micros < 0 { i64::MIN } else { i64::MAX }))
    }
}

/// What is assumed in a search.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Conditions {
    /// Deviations cost nothing.
    pub free_of_charge: bool,
    /// Head-room and unmet opposite bids do not count.
    pub without_limits: bool,
}

/// The best schedule of an offer.
#[derive(Debug, Clone)]
pub(super) struct Best {
    pub gain: Gain,
    pub schedule: Schedule,
    pub deviation: Vec<(Slot, EnergyMwh)>,
}

/// One slot of an offer: what is common to all starts.
struct Site<'a> {
    default: i64,
    allowed: (i64, i64),
    peak: i64,
    grid: Option<&'a ZoneSlot>,
    decrease: i64,
    increase: i64,
}

impl<'a> Site<'a> {
    fn new(
        offer: &AggregatedFlexOffer,
        slot: Slot,
        grid: Option<&'a ZoneSlot>,
        conditions: Conditions,
    ) -> Self {
        let price = |price: Money| if conditions.free_of_charge { 0 } else { price.0 };
        let (decrease, increase) = (price(offer.prices.decrease), price(offer.prices.increase));
        let peak = grid.map_or(0, |grid| match grid.wanted {
            -1 => -grid.worthwhile(decrease),
            _ => grid.worthwhile(increase),
        });
        let allowed = match grid {
            None => (0, 0),
            Some(_) if conditions.without_limits => (i64::MIN, i64::MAX),
            Some(grid) => grid.allowed,
        };
        Self { default: offer.default_schedule.energy_in(slot).0, allowed, peak, grid, decrease, increase }
    }

    fn gain(&self, deviation: i64) -> i128 {
        let price = if deviation < 0 { self.decrease } else { self.increase };
        let value = self.grid.map_or(0, |grid| grid.value(deviation));
        value - i128::from(deviation).abs() * i128::from(price)
    }

    /// Deviations that keep slice and grid; `None` when there are none.
    fn range(&self, slice: Option<&EnergyBounds>) -> Option<(i64, i64)> {
        let (min, max) = slice.map_or((0, 0), |slice| (slice.min.0, slice.max.0));
        let low = min.saturating_sub(self.default).max(self.allowed.0);
        let high = max.saturating_sub(self.default).min(self.allowed.1);
        (low <= high).then_some((low, high))
    }

    /// The nearest kink of the gain beyond `deviation` in `direction` (−1 or 1), at most `limit`.
    fn next_kink(&self, deviation: i64, direction: i64, limit: i64) -> i64 {
        let tiers = self.grid.into_iter().flat_map(|grid| grid.tiers.iter().map(|tier| tier.0 * grid.wanted));
        let ahead = tiers.chain([0]).filter(|kink| (kink - deviation).signum() == direction);
        match direction {
            -1 => ahead.max().map_or(limit, |kink| kink.max(limit)),
            _ => ahead.min().map_or(limit, |kink| kink.min(limit)),
        }
    }
}

/// The schedule with the largest gain; among equals the one that starts nearest to the default, then earliest.
/// `None` when no start is possible at all.
pub(super) fn best_schedule(
    offer: &AggregatedFlexOffer,
    state: &GridState,
    conditions: Conditions,
) -> Option<Best> {
    let (from, to) = super::grid_state::span(offer);
    let sites: Vec<Site> = (from..to)
        .map(|slot| Site::new(offer, Slot(slot), state.at(offer.zone, Slot(slot)), conditions))
        .collect();
    let distance = |start: i64| (start - offer.default_schedule.start.0).abs();
    let mut best: Option<(Gain, i64, Vec<i64>)> = None;
    for start in offer.start_after.0..=offer.start_before.0 {
        let Some((gain, deviations)) = try_start(offer, &sites, start - from) else { continue };
        let better = best.as_ref().is_none_or(|(other, at, _)| {
            gain > *other || (gain == *other && distance(start) < distance(*at))
        });
        if better {
            best = Some((gain, start, deviations));
        }
    }
    let (gain, start, deviations) = best?;
    let offset = usize::try_from(start - from).ok()?;
    let in_profile = sites.iter().zip(&deviations).skip(offset).take(offer.slices.len());
    let energies = in_profile.map(|(site, deviation)| EnergyMwh(site.default + deviation)).collect();
    let moved = (from..to).map(Slot).zip(deviations).filter(|(_, deviation)| *deviation != 0);
    Some(Best {
        gain,
        schedule: Schedule { start: Slot(start), energies },
        deviation: moved.map(|(slot, deviation)| (slot, EnergyMwh(deviation))).collect(),
    })
}

/// Gain and deviation per site when the offer starts `offset` slots after its earliest start.
fn try_start(offer: &AggregatedFlexOffer, sites: &[Site], offset: i64) -> Option<(Gain, Vec<i64>)> {
    let mut deviations = Vec::with_capacity(sites.len());
    let mut gain = 0_i128;
    for (index, site) in sites.iter().enumerate() {
        let slice = usize::try_from(index as i64 - offset).ok().and_then(|index| offer.slices.get(index));
        if slice.is_none() && site.default == 0 {
            deviations.push(0);
            continue;
        }
        let (low, high) = site.range(slice)?;
        let deviation = site.peak.clamp(low, high);
        gain += site.gain(deviation);
        deviations.push(deviation);
    }
    if let Some(total) = offer.total_energy {
        let offset = usize::try_from(offset).ok()?;
        gain -= meet_total(offer, total, sites.get(offset..)?, deviations.get_mut(offset..)?)?;
    }
    Some((Gain(gain), deviations))
}

/// Moves the deviations inside the profile until the total lies in its bounds, cheapest pieces first, and says
/// what gain that costs. `None` when the bounds cannot be met.
fn meet_total(
    offer: &AggregatedFlexOffer,
    total: EnergyBounds,
    sites: &[Site],
    deviations: &mut [i64],
) -> Option<i128> {
    let mut lost = 0_i128;
    let mut sum: i64 =
        sites.iter().zip(&*deviations).zip(&offer.slices).map(|((s, d), _)| s.default + d).sum();
    loop {
        let (direction, missing) = if sum > total.max.0 {
            (-1, sum - total.max.0)
        } else if sum < total.min.0 {
            (1, total.min.0 - sum)
        } else {
            return Some(lost);
        };
        let mut flattest: Option<(i128, usize, i64)> = None;
        for (index, (site, slice)) in sites.iter().zip(&offer.slices).enumerate() {
            let (low, high) = site.range(Some(slice))?;
            let limit = if direction < 0 { low } else { high };
            let deviation = *deviations.get(index)?;
            if deviation == limit {
                continue;
            }
            let loss = site.gain(deviation) - site.gain(deviation + direction);
            if flattest.is_none_or(|(least, _, _)| loss < least) {
                let room = (site.next_kink(deviation, direction, limit) - deviation).abs();
                flattest = Some((loss, index, room));
            }
        }
        let (loss, index, room) = flattest?;
        let step = room.min(missing);
        lost += loss * i128::from(step);
        *deviations.get_mut(index)? += direction * step;
        sum += direction * step;
    }
}
