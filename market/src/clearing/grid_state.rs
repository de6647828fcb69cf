//! What the DSO still lacks and what each element can still carry, per slot, while a clearing goes on.

use crate::bid::{BidId, Carried, CongestionPoint, Need, ZoneId, Zones};
use crate::contract::AggregatedFlexOffer;
use grid::{EnergyMwh, Slot};
use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};

/// Slots looked at: eight days, one more than an offer may reach ahead.
const SLOTS_MAX: i64 = 768;

/// One limited element over the slots of the clearing.
#[derive(Debug, Clone)]
struct Element {
    bid: Option<BidId>,
    slots: Vec<ElementSlot>,
}

#[derive(Debug, Clone, Copy, Default)]
struct ElementSlot {
    /// What can still be added, mWh; zero where nothing is known.
    headroom: i64,
    /// Change asked for, mWh, as given.
    asked: i64,
    /// Change asked for minus change bought, mWh; beyond zero it is surplus.
    open: i64,
    /// Micro-units per kWh of relief.
    price: i64,
}

/// What a deviation in one zone and slot meets.
#[derive(Debug, Clone, Default)]
pub(super) struct ZoneSlot {
    /// Least and largest deviation the grid allows, mWh.
    pub allowed: (i64, i64),
    /// −1 where less is wanted, 1 where more is wanted, 0 where nothing is.
    pub wanted: i64,
    /// Relief is worth, per mWh, the second number (micro-units per kWh) up to the first number (mWh, ascending
    /// magnitudes), then the next entry's, and nothing beyond the last.
    pub tiers: Vec<(i64, i64)>,
}

impl ZoneSlot {
    /// Value of a deviation, mWh × micro-units per kWh.
    pub fn value(&self, deviation: i64) -> i128 {
        let relief = deviation.saturating_mul(self.wanted);
        let (mut value, mut from) = (0_i128, 0_i64);
        for &(upto, price) in &self.tiers {
            if relief <= from {
                break;
            }
            value += i128::from(relief.min(upto) - from) * i128::from(price);
            from = upto;
        }
        value
    }

    /// The largest relief (a magnitude) whose last mWh is worth more than `price`.
    pub fn worthwhile(&self, price: i64) -> i64 {
        self.tiers.iter().take_while(|tier| tier.1 > price).last().map_or(0, |tier| tier.0)
    }
}

/// Needs and head-room, reduced by what was bought.
#[derive(Debug, Clone)]
pub(super) struct GridState {
    first: Slot,
    elements: Vec<Element>,
    /// Elements above each zone, with what of its energy they carry.
    upstream: BTreeMap<ZoneId, Vec<(usize, Carried)>>,
    /// Per zone with offers and slot; found when it is asked for, which most clearings never do.
    summary: BTreeMap<ZoneId, Vec<OnceCell<ZoneSlot>>>,
}

impl GridState {
    /// Whether an offer may run longer than a clearing looks ahead.
    pub fn beyond(first: Slot, offer: &AggregatedFlexOffer) -> bool {
        let end = offer.start_before.0 + offer.slices.len() as i64;
        end.max(offer.default_schedule.end().0) > first.0.saturating_add(SLOTS_MAX)
    }

    /// The state before anything is bought. `first` is the first slot that can be bought; need and offers are checked.
    pub fn new(need: &Need, zones: &Zones, first: Slot, offers: &[&AggregatedFlexOffer]) -> Self {
        let offer_ends = offers.iter().map(|offer| {
            (offer.start_before.0 + offer.slices.len() as i64).max(offer.default_schedule.end().0)
        });
        let need_ends = need.bids.iter().map(|bid| bid.start.0 + bid.intervals.len() as i64);
        let end = offer_ends.chain(need_ends).max().unwrap_or(first.0);
        let length = usize::try_from((end - first.0).clamp(0, SLOTS_MAX)).unwrap_or(0);
        let mut numbers: BTreeMap<CongestionPoint, usize> = BTreeMap::new();
        let points = zones
            .values()
            .flatten()
            .map(|on| on.point)
            .chain(need.bids.iter().map(|bid| bid.congestion_point));
        for point in points {
            let next = numbers.len();
            numbers.entry(point).or_insert(next);
        }
        let empty = Element { bid: None, slots: vec![ElementSlot::default(); length] };
        let mut state = Self {
            first,
            elements: vec![empty; numbers.len()],
            upstream: BTreeMap::new(),
            summary: BTreeMap::new(),
        };
        for row in &need.rows {
            let Some(&number) = numbers.get(&row.congestion_point) else { continue };
            if let Some(slot) = state.slot_mut(number, row.slot) {
                slot.headroom = row.headroom.0;
            }
        }
        for bid in &need.bids {
            let Some(&number) = numbers.get(&bid.congestion_point) else { continue };
            for (index, interval) in bid.intervals.iter().enumerate() {
                if let Some(slot) = state.slot_mut(number, bid.start.plus(index as i64)) {
                    let asked = interval.schedule_change.0;
                    *slot = ElementSlot { asked, open: asked, price: interval.price.0, ..*slot };
                }
            }
            if let Some(element) = state.elements.get_mut(number) {
                element.bid = Some(bid.id.clone());
            }
        }
        let with_offers: BTreeSet<ZoneId> = offers.iter().map(|offer| offer.zone).collect();
        for zone in with_offers {
            let path = zones.get(&zone).into_iter().flatten();
            let above: BTreeSet<(usize, Carried)> =
                path.filter_map(|on| Some((*numbers.get(&on.point)?, *on))).collect();
            state.upstream.insert(zone, above.into_iter().collect());
            state.summary.insert(zone, vec![OnceCell::new(); length]);
        }
        state
    }

    fn index(&self, slot: Slot) -> Option<usize> {
        usize::try_from(slot.0.checked_sub(self.first.0)?).ok()
    }

    fn slot_mut(&mut self, element: usize, slot: Slot) -> Option<&mut ElementSlot> {
        let index = self.index(slot)?;
        self.elements.get_mut(element)?.slots.get_mut(index)
    }

    fn upstream_of(&self, zone: ZoneId) -> &[(usize, Carried)] {
        self.upstream.get(&zone).map_or(&[], Vec::as_slice)
    }

    /// What a deviation of `zone` in `slot` meets; `None` for a slot that cannot be bought any more.
    pub fn at(&self, zone: ZoneId, slot: Slot) -> Option<&ZoneSlot> {
        let index = self.index(slot)?;
        Some(self.summary.get(&zone)?.get(index)?.get_or_init(|| self.summarise(zone, index)))
    }

    fn summarise(&self, zone: ZoneId, index: usize) -> ZoneSlot {
        let (mut low, mut high, mut wanted) = (i64::MIN, i64::MAX, 0);
        let mut worth: Vec<(i64, i64)> = Vec::new();
        for &(number, on) in self.upstream_of(zone) {
            let Some(slot) = self.elements.get(number).and_then(|element| element.slots.get(index)) else {
                continue;
            };
            high = high.min(on.reach(slot.headroom.max(0)));
            // What may be given back of a surplus; nothing while the bid is unmet.
            match slot.asked.signum() {
                -1 => high = high.min(on.reach(slot.open.max(0))),
                1 => low = low.max(on.reach(slot.open.min(0))),
                _ => {}
            }
            if slot.open.signum() == slot.asked.signum() && slot.asked != 0 {
                wanted = if wanted == 0 { slot.asked.signum() } else { wanted };
                if slot.asked.signum() == wanted {
                    worth.push((on.reach(slot.open.saturating_abs()), on.of(slot.price)));
                }
            }
        }
        // Each element pays for every mWh up to what it lacks, so prices add up and fall as elements are served.
        worth.sort_unstable();
        let mut price: i64 = worth.iter().fold(0, |sum, entry| sum.saturating_add(entry.1));
        let mut tiers = Vec::with_capacity(worth.len());
        for (upto, own) in worth {
            tiers.push((upto, price));
            price -= own;
        }
        ZoneSlot { allowed: (low, high), wanted, tiers }
    }

    /// Books a purchase and names the bids it serves.
    pub fn take(&mut self, zone: ZoneId, deviation: &[(Slot, EnergyMwh)]) -> Vec<BidId> {
        let above = self.upstream_of(zone).to_vec();
        let mut served = Vec::new();
        for &(number, on) in &above {
            let mut serves = false;
            for &(slot, energy) in deviation {
                let Some(slot) = self.slot_mut(number, slot) else { continue };
                let unmet = slot.open.signum() == slot.asked.signum() && slot.asked != 0;
                serves |= unmet && energy.0.signum() == slot.asked.signum();
                slot.open = slot.open.saturating_sub(on.of(energy.0));
                slot.headroom = slot.headroom.saturating_sub(on.of(energy.0));
            }
            let bid = self.elements.get(number).and_then(|element| element.bid.clone());
            served.extend(bid.filter(|_| serves));
        }
        let touched: Vec<usize> = deviation.iter().filter_map(|(slot, _)| self.index(*slot)).collect();
        let zones: Vec<ZoneId> =
            self.summary.keys().copied().filter(|other| self.share(*other, zone)).collect();
        for other in zones {
            for &index in &touched {
                if let Some(slot) = self.summary.get_mut(&other).and_then(|slots| slots.get_mut(index)) {
                    slot.take();
                }
            }
        }
        served
    }

    fn share(&self, a: ZoneId, b: ZoneId) -> bool {
        let upstream = self.upstream_of(b);
        self.upstream_of(a).iter().any(|(number, _)| upstream.iter().any(|(other, _)| other == number))
    }

    /// Whether a purchase in `zone` can change what `offer` does best.
    pub fn concerns(
        &self,
        offer: &AggregatedFlexOffer,
        zone: ZoneId,
        deviation: &[(Slot, EnergyMwh)],
    ) -> bool {
        let (from, to) = span(offer);
        deviation.iter().any(|(slot, _)| (from..to).contains(&slot.0)) && self.share(offer.zone, zone)
    }

    /// Whether any bid above the offer's zone is unmet in a slot where the offer could deviate.
    pub fn asks(&self, offer: &AggregatedFlexOffer) -> bool {
        let (from, to) = span(offer);
        (from..to).any(|slot| self.at(offer.zone, Slot(slot)).is_some_and(|slot| slot.wanted != 0))
    }

    /// Sum of what is still asked for, mWh (a magnitude).
    pub fn unmet(&self) -> EnergyMwh {
        let open = |slot: &ElementSlot| {
            if slot.open.signum() == slot.asked.signum() { slot.open.saturating_abs() } else { 0 }
        };
        let slots = self.elements.iter().flat_map(|element| &element.slots);
        EnergyMwh(slots.fold(0, |sum, slot| sum.saturating_add(open(slot))))
    }
}

/// The slots an offer may touch: from the first it could run in to the last, its default included.
pub(super) fn span(offer: &AggregatedFlexOffer) -> (i64, i64) {
    (offer.start_after.0, offer.start_before.0 + offer.slices.len() as i64)
}
