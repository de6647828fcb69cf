mod nested;
mod splitting;

use super::*;
use crate::flex_offer::{ActivationCost, DeviationPrices, EnergyBounds, Schedule};
use crate::sample::{energies, instant, offer, slices, slot};
use grid::{EnergyMwh, Money};

/// A small generator of numbers; the same stream everywhere.
pub(super) struct Dice(pub u64);

impl Dice {
    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 11
    }

    /// A number from `low` to `high`, both included.
    pub(super) fn between(&mut self, low: i64, high: i64) -> i64 {
        low + (self.next() % (high - low + 1).unsigned_abs()) as i64
    }

    /// An offer with a window near slot 0, of both signs now and then, with a total on request.
    pub(super) fn offer(&mut self, id: &str, slices_max: i64, with_total: bool) -> FlexOffer {
        let (mut bounds, mut default) = (Vec::new(), Vec::new());
        for _ in 0..self.between(1, slices_max) {
            let low = self.between(-200, 2_000);
            let width = if self.between(0, 3) == 0 { 0 } else { self.between(0, 3_000) };
            bounds.push((low, low + width));
            default.push(self.between(low, low + width));
        }
        let start = self.between(0, 3);
        let flexibility = self.between(0, 2);
        let total = default.iter().sum::<i64>();
        let total_energy = with_total.then(|| EnergyBounds {
            min: EnergyMwh(total - self.between(0, 1_500)),
            max: EnergyMwh(total + self.between(0, 1_500)),
        });
        FlexOffer {
            start_after: slot(start),
            start_before: slot(start + flexibility),
            slices: slices(&bounds),
            total_energy,
            default_schedule: Schedule { start: slot(start), energies: energies(&default) },
            prices: DeviationPrices { decrease: Money(self.between(0, 20_000)), increase: Money(5_000) },
            ..offer(id)
        }
    }
}

fn name(id: &str) -> FlexOfferId {
    FlexOfferId::new(id).unwrap()
}

fn wide() -> Tolerances {
    Tolerances { flexibility_slots: 10, price: Money(1_000_000), ..Tolerances::default() }
}

#[test]
fn like_offers_share_an_aggregate_and_unlike_ones_do_not() {
    let mut portfolio = Portfolio::new(Tolerances::default(), Bounds::default());
    let first = portfolio.insert(&offer("fo-1"), ZoneId(1)).unwrap();
    assert_eq!((first.kind, first.members, first.start_before), (ChangeKind::Created, 1, slot(2)));
    let mut bound = offer("fo-2");
    bound.total_energy = Some(EnergyBounds { min: EnergyMwh(1_500), max: EnergyMwh(2_000) });
    let second = portfolio.insert(&bound, ZoneId(1)).unwrap();
    assert_eq!((second.kind, second.aggregate, second.members), (ChangeKind::Grown, first.aggregate, 2));
    let elsewhere = portfolio.insert(&offer("fo-3"), ZoneId(2)).unwrap();
    let mut delegated = offer("fo-4");
    delegated.terms.mode = crate::TradingMode::Delegated;
    let delegated = portfolio.insert(&delegated, ZoneId(1)).unwrap();
    assert!(elsewhere.aggregate != first.aggregate && delegated.aggregate != first.aggregate);

    let seen = portfolio.published(first.aggregate).unwrap();
    assert_eq!(seen.outer_slices, slices(&[(0, 2_000), (0, 2_000)]));
    assert_eq!(seen.slices, slices(&[(750, 2_000), (750, 2_000)]));
    assert_eq!(seen.total_energy, Some(EnergyBounds { min: EnergyMwh(1_500), max: EnergyMwh(4_000) }));
    assert_eq!(seen.loss, Loss { time_slots: 0, energy: EnergyMwh(1_500) });
    assert_eq!(portfolio.remove(&name("fo-1")).unwrap().kind, ChangeKind::Shrunk);
    assert_eq!(portfolio.remove(&name("fo-1")), None);
    let last = portfolio.remove(&name("fo-2")).unwrap();
    assert_eq!((last.kind, last.members), (ChangeKind::Deleted, 0));
    assert_eq!(portfolio.published(first.aggregate), None);
    assert_eq!(portfolio.len(), 2);
}

#[test]
fn what_cannot_be_taken_up_is_refused_with_a_code() {
    let mut portfolio = Portfolio::new(Tolerances::default(), Bounds::default());
    portfolio.insert(&offer("fo-1"), ZoneId(1)).unwrap();
    let code = |portfolio: &mut Portfolio, offer: &FlexOffer| {
        portfolio.insert(offer, ZoneId(1)).map_or_else(|error| error.code(), |_| "ok")
    };
    assert_eq!(code(&mut portfolio, &offer("fo-1")), "offer-twice");
    let mut other = offer("fo-2");
    other.terms.running_energy = Some(EnergyBounds { min: EnergyMwh(0), max: EnergyMwh(9_000) });
    assert_eq!(code(&mut portfolio, &other), "not-summable");
    other.slices.clear();
    assert_eq!(code(&mut portfolio, &other), "empty-profile");
    assert_eq!(portfolio.len(), 1);
}

#[test]
fn aggregates_keep_to_their_bounds_and_the_remainder_is_told() {
    let bounds = Bounds { members_min: 2, members_max: 3, ..Bounds::default() };
    let mut portfolio = Portfolio::new(Tolerances::default(), bounds);
    let kinds: Vec<ChangeKind> =
        (0..7).map(|n| portfolio.insert(&offer(&format!("fo-{n}")), ZoneId(1)).unwrap().kind).collect();
    use ChangeKind::*;
    assert_eq!(kinds, [Waiting, Created, Grown, Waiting, Created, Grown, Waiting]);
    assert_eq!(portfolio.numbers().count(), 2);
    assert_eq!(portfolio.waiting(), [name("fo-6")]);
    // A place that is left is filled before a new aggregate is begun.
    assert_eq!(portfolio.remove(&name("fo-6")).unwrap().kind, Waiting);
    assert_eq!(portfolio.remove(&name("fo-0")).unwrap().kind, Shrunk);
    assert_eq!(portfolio.insert(&offer("fo-7"), ZoneId(1)).unwrap().members, 3);

    let bounds = Bounds { energy_max: EnergyMwh(5_000), ..Bounds::default() };
    let mut portfolio = Portfolio::new(Tolerances::default(), bounds);
    for n in 0..5 {
        portfolio.insert(&offer(&format!("fo-{n}")), ZoneId(1)).unwrap();
    }
    let sizes: Vec<usize> = portfolio.numbers().map(|n| portfolio.published(n).unwrap().members).collect();
    assert_eq!(sizes, [2, 2, 1]);
}

#[test]
fn no_aggregate_asks_for_more_than_one_offer_may() {
    let costly = |n: usize, activation: i64, per_slot_shifted: i64| {
        let mut offer = offer(&format!("fo-{n}"));
        offer.terms.cost =
            ActivationCost { activation: Money(activation), per_slot_shifted: Money(per_slot_shifted) };
        offer
    };
    let identity = |number: u64| OfferIdentity {
        id: FlexOfferId::numbered("agg-", number),
        prosumer: grid::ProsumerId(9),
        usage_point: grid::UsagePointId(1),
        device: grid::DeviceId(9),
        created_at: instant(-3600),
    };
    for (activation, shifted) in [(1_000_000, 0), (0, 1_000_000), (1_000_000_000, 1_000_000_000)] {
        let mut portfolio = Portfolio::new(Tolerances::default(), Bounds::default());
        let offers: Vec<FlexOffer> = (0..1_001).map(|n| costly(n, activation, shifted)).collect();
        let refused = portfolio.insert_all(offers.iter().map(|offer| (offer, ZoneId(1))));
        assert_eq!(refused, []);
        let published: Vec<Published> =
            portfolio.numbers().map(|n| portfolio.published(n).unwrap()).collect();
        let bundles = if activation + shifted > 1_000_000 { 1_001 } else { 2 };
        assert_eq!(published.len(), bundles);
        published.iter().for_each(|seen| seen.offer(identity(seen.number)).check().unwrap());
        // A place that is left is filled again.
        portfolio.remove(&name("fo-0")).unwrap();
        portfolio.insert(&costly(2_000, activation, shifted), ZoneId(1)).unwrap();
        assert_eq!(portfolio.numbers().count(), bundles);
    }
}

#[test]
fn an_aggregate_moves_as_far_as_its_least_flexible_member() {
    let mut portfolio = Portfolio::new(wide(), Bounds::default());
    let stiff = FlexOffer { start_before: slot(1), ..offer("fo-1") };
    portfolio.insert(&stiff, ZoneId(1)).unwrap();
    let change = portfolio.insert(&offer("fo-2"), ZoneId(1)).unwrap();
    assert_eq!(change.start_before, slot(1));
    assert_eq!(portfolio.published(change.aggregate).unwrap().loss.time_slots, 1);
    let change = portfolio.remove(&name("fo-1")).unwrap();
    assert_eq!(change.start_before, slot(2));
}

#[test]
fn members_keep_their_distance_in_time() {
    let mut portfolio = Portfolio::new(wide(), Bounds::default());
    let later = FlexOffer {
        start_after: slot(1),
        start_before: slot(3),
        default_schedule: Schedule { start: slot(1), energies: energies(&[1_000, 1_000]) },
        ..offer("fo-2")
    };
    let base = offer("fo-1");
    portfolio.insert(&base, ZoneId(1)).unwrap();
    let number = portfolio.insert(&later, ZoneId(1)).unwrap().aggregate;
    let seen = portfolio.published(number).unwrap();
    assert_eq!(seen.outer_slices, slices(&[(0, 1_000), (0, 2_000), (0, 1_000)]));
    let schedule = Schedule { start: slot(2), energies: energies(&[10, 1_001, 7]) };
    let split = portfolio.split(number, &schedule).unwrap();
    let parts: Vec<(&str, Slot, Vec<i64>)> =
        split.parts().map(|(id, start, energies)| (id.as_str(), start, energies.to_vec())).collect();
    assert_eq!(parts, [("fo-1", slot(2), vec![10, 500]), ("fo-2", slot(3), vec![501, 7])]);
}

/// Least and most that a member's slices and total allow together, mWh, and whether the total excludes something.
fn reach_of(offer: &FlexOffer) -> ((i64, i64), bool) {
    let least: i64 = offer.slices.iter().map(|slice| slice.min.0).sum();
    let most: i64 = offer.slices.iter().map(|slice| slice.max.0).sum();
    let total = offer.total_energy.map_or((least, most), |t| (t.min.0.max(least), t.max.0.min(most)));
    (total, total != (least, most))
}

/// The part of `amount` up to and with each of the widths, in proportion, rounded down; then what each adds to it.
fn in_proportion(amount: i64, widths: &[i64]) -> Vec<i64> {
    let all: i128 = widths.iter().copied().map(i128::from).sum();
    let up_to = |count: usize| {
        let sum: i128 = widths[..count].iter().copied().map(i128::from).sum();
        if all == 0 { 0 } else { (sum * i128::from(amount) / all) as i64 }
    };
    (0..widths.len()).map(|k| up_to(k + 1) - up_to(k)).collect()
}

/// A member's bounds around its default of which every filling keeps its total.
fn safe(offer: &FlexOffer) -> Vec<(i64, i64)> {
    let bounds: Vec<(i64, i64)> = offer.slices.iter().map(|slice| (slice.min.0, slice.max.0)).collect();
    let (total, excludes) = reach_of(offer);
    if !excludes {
        return bounds;
    }
    let default: Vec<i64> = offer.default_schedule.energies.iter().map(|energy| energy.0).collect();
    let sum: i64 = default.iter().sum();
    let below: Vec<i64> = bounds.iter().zip(&default).map(|(bound, energy)| energy - bound.0).collect();
    let above: Vec<i64> = bounds.iter().zip(&default).map(|(bound, energy)| bound.1 - energy).collect();
    let down = in_proportion((sum - total.0).min(below.iter().sum()), &below);
    let up = in_proportion((total.1 - sum).min(above.iter().sum()), &above);
    (0..bounds.len()).map(|k| (default[k] - down[k], default[k] + up[k])).collect()
}

/// Everything an aggregate says but its number and revision, computed from its members alone.
fn from_scratch(offers: &[&FlexOffer], zone: ZoneId, number: u64, revision: u64) -> Published {
    let start = offers.iter().map(|offer| offer.start_after).min().unwrap();
    let end = offers.iter().map(|o| o.start_after.0 + o.slices.len() as i64).max().unwrap();
    let moves = |offer: &FlexOffer| offer.start_before.0 - offer.start_after.0;
    let flexibility = offers.iter().map(|offer| moves(offer)).min().unwrap();
    let mut outer = vec![(0, 0); (end - start.0) as usize];
    let (mut inner, mut default) = (outer.clone(), vec![0; outer.len()]);
    let mut total = (0, 0);
    for offer in offers {
        let offset = (offer.start_after.0 - start.0) as usize;
        for (k, (low, high)) in safe(offer).into_iter().enumerate() {
            outer[offset + k].0 += offer.slices[k].min.0;
            outer[offset + k].1 += offer.slices[k].max.0;
            inner[offset + k].0 += low;
            inner[offset + k].1 += high;
            default[offset + k] += offer.default_schedule.energies[k].0;
        }
        let reach = reach_of(offer).0;
        total = (total.0 + reach.0, total.1 + reach.1);
    }
    let wide = |bounds: &[(i64, i64)]| bounds.iter().map(|bound| bound.1 - bound.0).sum::<i64>();
    let shift = offers[0].default_schedule.start.0 - offers[0].start_after.0;
    let cost = |of: fn(&ActivationCost) -> Money| Money(offers.iter().map(|o| of(&o.terms.cost).0).sum());
    Published {
        number,
        revision,
        zone,
        mode: offers[0].terms.mode,
        members: offers.len(),
        assignment_before: offers.iter().map(|offer| offer.assignment_before).min().unwrap(),
        start_after: start,
        start_before: start.plus(flexibility),
        slices: slices(&inner),
        outer_slices: slices(&outer),
        total_energy: offers
            .iter()
            .any(|offer| reach_of(offer).1)
            .then_some(EnergyBounds { min: EnergyMwh(total.0), max: EnergyMwh(total.1) }),
        default_schedule: Schedule { start: start.plus(shift), energies: energies(&default) },
        prices: DeviationPrices {
            decrease: offers.iter().map(|offer| offer.prices.decrease).max().unwrap(),
            increase: offers.iter().map(|offer| offer.prices.increase).max().unwrap(),
        },
        cost: ActivationCost {
            activation: cost(|cost| cost.activation),
            per_slot_shifted: cost(|cost| cost.per_slot_shifted),
        },
        loss: Loss {
            time_slots: offers.iter().map(|offer| moves(offer) - flexibility).sum(),
            energy: EnergyMwh(wide(&outer) - wide(&inner)),
        },
    }
}

/// The reference's stress test: 5,000 random adds and deletes in small groups; after each step the aggregate that
/// changed is what its members add up to, nobody is lost, and every bundle keeps to its bounds and tolerances.
#[test]
fn five_thousand_adds_and_deletes_leave_what_building_anew_would_give() {
    let bounds = Bounds { members_max: 10, members_min: 2, ..Bounds::default() };
    let tolerances = Tolerances { start_slots: 2, flexibility_slots: 2, ..Tolerances::default() };
    let mut portfolio = Portfolio::new(tolerances, bounds);
    let (mut dice, mut offers) = (Dice(1), BTreeMap::<FlexOfferId, (FlexOffer, ZoneId)>::new());
    let mut bound = 0;
    for n in 0..5_000 {
        let change = if dice.between(0, 99) < 55 || offers.is_empty() {
            let with_total = dice.between(0, 1) == 0;
            let mut offer = FlexOffer {
                assignment_before: instant(-60 - n % 7),
                ..dice.offer(&format!("fo-{n}"), 4, with_total)
            };
            offer.acceptance_before = offer.assignment_before;
            offer.prices.increase = Money(dice.between(0, 20_000));
            offer.terms.cost.activation = Money(dice.between(0, 900));
            offer.terms.cost.per_slot_shifted = Money(dice.between(0, 90));
            let zone = ZoneId((n % 3) as u32);
            offers.insert(offer.id.clone(), (offer.clone(), zone));
            portfolio.insert(&offer, zone).unwrap()
        } else {
            let id = offers.keys().nth(dice.between(0, offers.len() as i64 - 1) as usize).unwrap().clone();
            offers.remove(&id);
            portfolio.remove(&id).unwrap()
        };
        assert_eq!(portfolio.len(), offers.len());
        let Some(bundle) = portfolio.bundle(change.aggregate) else {
            assert_eq!(change.members, 0);
            continue;
        };
        let (members, zones): (Vec<&FlexOffer>, Vec<ZoneId>) = (bundle.rows())
            .map(|row| &offers[row.id.as_ref().unwrap()])
            .map(|(offer, zone)| (offer, *zone))
            .unzip();
        assert!(members.len() == change.members && members.len() <= 10);
        assert!(members.iter().all(|offer| portfolio.aggregate_of(&offer.id) == Some(change.aggregate)));
        let published = portfolio.published(change.aggregate);
        assert_eq!(published.is_some(), members.len() >= 2);
        let Some(seen) = published else { continue };
        assert!(zones.iter().all(|zone| *zone == zones[0]));
        assert_eq!(seen, from_scratch(&members, zones[0], change.aggregate, seen.revision), "step {n}");
        assert_eq!(
            (change.start_after, change.start_before, change.assignment_before),
            (seen.start_after, seen.start_before, seen.assignment_before)
        );
        bound += usize::from(seen.loss.energy > EnergyMwh::ZERO);
        let starts = members.iter().map(|offer| offer.start_after.0);
        assert!(starts.clone().max().unwrap() - starts.min().unwrap() < 2);
        assert!(seen.loss.time_slots <= members.len() as i64);
    }
    assert!(bound > 500, "only {bound} aggregates lost energy to total bounds");
    let ids: Vec<FlexOfferId> = offers.keys().cloned().collect();
    ids.iter().for_each(|id| assert!(portfolio.remove(id).is_some()));
    assert!(portfolio.is_empty() && portfolio.by_number.is_empty() && portfolio.keys.is_empty());
}

#[test]
fn many_at_once_are_taken_up_as_one_after_the_other() {
    let mut dice = Dice(41);
    let mut offers: Vec<FlexOffer> =
        (0..1_000).map(|n| dice.offer(&format!("fo-{n}"), 6, n % 3 == 0)).collect();
    // One that is here twice, one that breaks a rule, one that cannot be summed.
    offers.insert(70, offers[3].clone());
    offers[200].slices.clear();
    offers[201].terms.exclusive_group = Some(crate::flex_offer::ExclusiveGroupId::new("either").unwrap());
    let bounds = Bounds { members_max: 9, members_min: 2, ..Bounds::default() };
    let zone = |offer: &FlexOffer| ZoneId(u32::from(offer.slices.len() > 3));
    let mut alone = Portfolio::new(wide(), bounds);
    let mut refused = Vec::new();
    for (at, offer) in offers.iter().enumerate() {
        refused.extend(alone.insert(offer, zone(offer)).err().map(|error| (at, error)));
    }
    let mut together = Portfolio::new(wide(), bounds);
    assert_eq!(together.insert_all(offers.iter().map(|offer| (offer, zone(offer)))), refused);
    assert_eq!(refused.iter().map(|&(at, _)| at).collect::<Vec<_>>(), [70, 200, 201]);
    assert_eq!(together.len(), 998);
    assert_eq!(together.waiting(), alone.waiting());
    let seen = |portfolio: &Portfolio| -> Vec<_> {
        portfolio.numbers().map(|number| portfolio.published(number)).collect()
    };
    assert_eq!(seen(&together), seen(&alone));
    for offer in &offers {
        assert_eq!(together.aggregate_of(&offer.id), alone.aggregate_of(&offer.id));
    }
}
