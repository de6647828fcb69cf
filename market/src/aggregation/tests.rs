use super::*;
use crate::bid::ZoneId;
use crate::contract::{AggregateId, AggregatedFlexOffer};
use crate::flex_offer::{DeviationPrices, EnergyBounds, FlexOfferId, Schedule};
use crate::rules::AggregateRules;
use crate::sample::{energies, instant, offer, slices, slot};
use grid::{EnergyMwh, Money};
use proptest::prelude::*;

fn ids() -> impl FnMut() -> AggregateId {
    let mut count = 0;
    move || {
        count += 1;
        AggregateId::new(format!("agg-{count}")).unwrap()
    }
}

fn sealed(offers: &[FlexOffer], size_max: usize) -> Vec<AggregatedFlexOffer> {
    let rules =
        AggregateRules { members_max: size_max, moving_members_max: size_max, ..AggregateRules::default() };
    sealed_by(rules, offers)
}

fn sealed_by(rules: AggregateRules, offers: &[FlexOffer]) -> Vec<AggregatedFlexOffer> {
    let mut aggregation = Aggregation::new(rules, 7);
    offers.iter().for_each(|offer| aggregation.add(offer.clone(), ZoneId(7)).unwrap());
    aggregation.seal(instant(-120), ids())
}

/// Shifts two slices of 1 Wh, no choice of energy.
fn shift(id: &str) -> FlexOffer {
    FlexOffer { slices: slices(&[(1_000, 1_000), (1_000, 1_000)]), ..offer(id) }
}

#[test]
fn like_offers_are_packed_in_id_order() {
    let offers: Vec<_> = (0..10).map(|n| shift(&format!("fo-{n}"))).collect();
    let formed = sealed(&offers, 4);
    let sizes: Vec<usize> = formed.iter().map(|aggregate| aggregate.members.len()).collect();
    assert_eq!(sizes, [4, 4, 2]);
    assert_eq!(formed[0].members[3].as_str(), "fo-3");
    assert_eq!(formed[0].slices, slices(&[(4_000, 4_000), (4_000, 4_000)]));
    assert_eq!(formed[0].default_schedule.energies, energies(&[4_000, 4_000]));
    formed.iter().for_each(|aggregate| aggregate.check().unwrap());
}

#[test]
fn unlike_offers_stay_apart() {
    let late = FlexOffer { start_before: slot(3), ..shift("fo-b") };
    let dear = FlexOffer {
        prices: DeviationPrices { decrease: Money(200_000), increase: Money(0) },
        ..shift("fo-c")
    };
    let total = EnergyBounds { min: EnergyMwh(1_500), max: EnergyMwh(2_000) };
    let bound = FlexOffer { total_energy: Some(total), ..offer("fo-d") };
    let bound_too = FlexOffer { total_energy: Some(total), ..offer("fo-e") };
    let mut delegated = shift("fo-f");
    delegated.terms.mode = crate::flex_offer::TradingMode::Delegated;
    let formed = sealed(&[shift("fo-a"), late, dear, bound, bound_too, delegated], 4);
    assert_eq!(formed.len(), 6);
    assert_eq!(formed.iter().filter(|aggregate| aggregate.total_energy == Some(total)).count(), 2);
}

#[test]
fn offers_whose_deviations_could_cancel_stay_apart() {
    let falling = FlexOffer {
        slices: slices(&[(1_000, 1_000), (500, 500)]),
        default_schedule: Schedule { start: slot(0), energies: energies(&[1_000, 500]) },
        ..offer("fo-a")
    };
    let rising = FlexOffer {
        slices: slices(&[(500, 500), (1_000, 1_000)]),
        default_schedule: Schedule { start: slot(0), energies: energies(&[500, 1_000]) },
        ..offer("fo-b")
    };
    assert_eq!(sealed(&[falling.clone(), rising], 4).len(), 2);
    assert_eq!(sealed(&[falling, shift("fo-c")], 4).len(), 1);
}

#[test]
fn removal_says_where_the_offer_was() {
    let mut aggregation = Aggregation::default();
    aggregation.add(shift("fo-1"), ZoneId(7)).unwrap();
    aggregation.add(shift("fo-2"), ZoneId(7)).unwrap();
    assert!(matches!(aggregation.add(shift("fo-2"), ZoneId(7)), Err(AggregationError::Twice { .. })));
    let id = |name: &str| FlexOfferId::new(name).unwrap();
    assert_eq!(aggregation.remove(&id("fo-1")), Removal::Pending);
    assert_eq!(aggregation.remove(&id("fo-1")), Removal::Unknown);
    let formed = aggregation.seal(instant(-120), ids());
    assert_eq!(formed[0].members, [id("fo-2")]);
    assert_eq!(aggregation.remove(&id("fo-2")), Removal::Sealed(formed[0].id.clone()));
    aggregation.forget(&formed[0].id);
    assert_eq!(aggregation.remove(&id("fo-2")), Removal::Unknown);
}

#[test]
fn an_offer_past_its_deadline_is_not_sealed() {
    let mut aggregation = Aggregation::default();
    aggregation.add(shift("fo-1"), ZoneId(7)).unwrap();
    assert_eq!(aggregation.seal(instant(-60), ids()), []);
    assert_eq!(aggregation.pending(), 1);
}

#[test]
fn a_foreign_member_or_schedule_is_refused() {
    let offers = [shift("fo-1"), shift("fo-2")];
    let aggregate = sealed(&offers, 4).remove(0);
    let schedule = Schedule { start: slot(1), energies: energies(&[2_000, 2_000]) };
    let code = |members: &[FlexOffer], schedule: &Schedule| {
        disaggregate(&aggregate, members, schedule).map_or_else(|error| error.code(), |_| "ok")
    };
    assert_eq!(code(&offers, &schedule), "ok");
    assert_eq!(code(&offers[..1], &schedule), "other-members");
    assert_eq!(code(&[shift("fo-1"), shift("fo-3")], &schedule), "other-members");
    assert_eq!(code(&[shift("fo-1"), offer("fo-2")], &schedule), "members-do-not-add-up");
    assert_eq!(code(&offers, &Schedule { start: slot(3), ..schedule.clone() }), "schedule-start");
    let thinner = FlexOffer {
        slices: slices(&[(500, 500), (500, 500)]),
        default_schedule: Schedule { start: slot(0), energies: energies(&[500, 500]) },
        ..offer("fo-2")
    };
    assert_eq!(code(&[shift("fo-1"), thinner], &schedule), "members-do-not-add-up");
}

#[test]
fn offers_that_cannot_move_share_larger_aggregates_than_those_that_can() {
    let fixed = |n: i64| FlexOffer { start_before: slot(0), ..offer(&format!("fixed-{n}")) };
    let offers: Vec<_> = (0..120).map(fixed).chain((0..9).map(|n| shift(&format!("moving-{n}")))).collect();
    let sizes: Vec<usize> =
        sealed_by(AggregateRules::default(), &offers).iter().map(|one| one.members.len()).collect();
    assert_eq!(sizes, [50, 50, 20, 4, 4, 1]);
}

#[test]
fn members_of_one_start_class_keep_their_distance_and_lengths() {
    let rules = AggregateRules { start_slots: 96, ..AggregateRules::default() };
    let later = FlexOffer {
        start_after: slot(2),
        start_before: slot(4),
        slices: slices(&[(500, 500)]),
        default_schedule: Schedule { start: slot(2), energies: energies(&[500]) },
        prices: DeviationPrices { decrease: Money(109_000), increase: Money(100_000) },
        ..offer("fo-b")
    };
    let offers =
        [FlexOffer { start_before: slot(1), ..shift("fo-a") }, FlexOffer { start_before: slot(3), ..later }];
    assert_eq!(sealed(&offers, 4).len(), 2, "by default all start together");
    // Moved by one slot, the first takes more in slot 2, where the later one takes less.
    assert_eq!(sealed_by(rules, &offers).len(), 2);
    let after = |slots: i64, offer: &FlexOffer| FlexOffer {
        start_after: offer.start_after.plus(slots),
        start_before: offer.start_before.plus(slots),
        default_schedule: Schedule {
            start: offer.default_schedule.start.plus(slots),
            ..offer.default_schedule.clone()
        },
        ..offer.clone()
    };
    let offers = [offers[0].clone(), after(1, &offers[1])];
    let aggregate = sealed_by(rules, &offers).remove(0);
    aggregate.check().unwrap();
    assert_eq!((aggregate.start_after, aggregate.start_before), (slot(0), slot(1)));
    assert_eq!(aggregate.slices, slices(&[(1_000, 1_000), (1_000, 1_000), (0, 0), (500, 500)]));
    assert_eq!(aggregate.prices.decrease, Money(109_000), "nobody is sold below its price");
    let schedule = Schedule { start: slot(1), energies: energies(&[1_000, 1_000, 0, 500]) };
    let parts = disaggregate(&aggregate, &offers, &schedule).unwrap();
    assert_eq!(parts[0].schedule, Schedule { start: slot(1), energies: energies(&[1_000, 1_000]) });
    assert_eq!(parts[1].schedule, Schedule { start: slot(4), energies: energies(&[500]) });
}

#[test]
fn an_offer_with_a_total_is_summed_where_the_rules_let_it_lose_that_much() {
    let total = EnergyBounds { min: EnergyMwh(1_200), max: EnergyMwh(2_000) };
    let bound = |id: &str| FlexOffer { start_before: slot(0), total_energy: Some(total), ..offer(id) };
    let free = FlexOffer { start_before: slot(0), ..offer("fo-c") };
    let offers = [bound("fo-a"), bound("fo-b"), free];
    let losing = |percent| AggregateRules { loss_percent_max: percent, ..AggregateRules::default() };
    assert_eq!(sealed_by(losing(0), &offers).len(), 3);
    let formed = sealed_by(losing(100), &offers);
    assert_eq!(formed.len(), 1);
    let aggregate = &formed[0];
    assert_eq!(aggregate.total_energy, None);
    let least: Vec<EnergyMwh> = aggregate.slices.iter().map(|slice| slice.min).collect();
    let schedule = Schedule { start: slot(0), energies: least };
    let parts = disaggregate(aggregate, &offers, &schedule).unwrap();
    let sum = |at: usize| -> i64 { parts[at].schedule.energies.iter().map(|energy| energy.0).sum() };
    assert_eq!((sum(0), sum(1)), (1_200, 1_200), "their totals are kept to the milliwatt hour");
}

/// Any offers that the market would take: of one or two slices more or less, earlier and later, some with a total.
fn any_neighbours() -> impl Strategy<Value = Vec<FlexOffer>> {
    let slice = (-3_000_i64..3_000, 0_i64..800, 0_i64..800);
    let one = (
        proptest::collection::vec(slice, 1..4),
        0_i64..5,
        0_i64..3,
        any::<bool>(),
        0_i64..=1000,
        0_i64..9_000,
    );
    proptest::collection::vec(one, 1..9).prop_map(|all| {
        let made = all.into_iter().enumerate().map(|(n, (parts, start, flexible, moved, total, price))| {
            let bounds: Vec<_> = parts.iter().map(|&(d, down, up)| (d - down, d + up)).collect();
            let energies: Vec<_> = parts.iter().map(|&(d, _, _)| EnergyMwh(d)).collect();
            let default: i64 = parts.iter().map(|&(d, _, _)| d).sum();
            let (least, most) = bounds.iter().fold((0, 0), |sum, bound| (sum.0 + bound.0, sum.1 + bound.1));
            let at = |whole: i64| EnergyMwh(default + (whole - default) * total / 1000);
            let distance = i64::from(moved && flexible > 0);
            FlexOffer {
                start_after: slot(start),
                start_before: slot(start + flexible),
                slices: slices(&bounds),
                default_schedule: Schedule { start: slot(start + distance), energies },
                total_energy: (n % 3 == 0).then(|| EnergyBounds { min: at(least), max: at(most) }),
                prices: DeviationPrices { decrease: Money(price), increase: Money(9_000 - price) },
                ..offer(&format!("fo-{n}"))
            }
        });
        made.collect()
    })
}

/// An offer of three slices around its default, startable at slots 0 to 2.
fn any_offer(index: usize) -> impl Strategy<Value = FlexOffer> {
    proptest::collection::vec((-5_000_i64..5_000, 0_i64..40, 0_i64..40), 3).prop_map(move |parts| FlexOffer {
        slices: slices(&parts.iter().map(|&(d, down, up)| (d - down, d + up)).collect::<Vec<_>>()),
        default_schedule: Schedule {
            start: slot(1),
            energies: parts.iter().map(|&(d, _, _)| EnergyMwh(d)).collect(),
        },
        ..offer(&format!("fo-{index}"))
    })
}

fn any_offers() -> impl Strategy<Value = Vec<FlexOffer>> {
    (any_offer(0), any_offer(1), any_offer(2), any_offer(3)).prop_map(|(a, b, c, d)| vec![a, b, c, d])
}

proptest! {
    /// What the portfolio publishes is what the ledger finds by adding up afresh; every schedule of it splits exactly,
    /// inside every member, and nobody deviates against the others.
    #[test]
    fn what_is_sealed_adds_up_and_can_be_split_whatever_the_rules(
        offers in any_neighbours(),
        (start_slots, flexibility_slots, loss_percent_max) in (1_u32..9, 1_u32..4, 0_u32..=100),
        fractions in proptest::collection::vec(0_i64..=1000, 12),
    ) {
        let rules = AggregateRules {
            start_slots, flexibility_slots, loss_percent_max, moving_members_max: 8, ..AggregateRules::default()
        };
        let formed = sealed_by(rules, &offers);
        prop_assert_eq!(formed.iter().map(|one| one.members.len()).sum::<usize>(), offers.len());
        for aggregate in formed {
            aggregate.check().unwrap();
            let find = |id: &FlexOfferId| offers.iter().find(|offer| offer.id == *id).cloned();
            let members: Vec<FlexOffer> = aggregate.members.iter().filter_map(find).collect();
            let all: Vec<&FlexOffer> = members.iter().collect();
            let sum = combine(aggregate.id.clone(), aggregate.zone, &all);
            prop_assert_eq!(sum.as_ref(), Some(&aggregate));
            let pick = |(slice, f): (&EnergyBounds, &i64)| {
                EnergyMwh(slice.min.0 + (slice.max.0 - slice.min.0) * f / 1000)
            };
            for start in aggregate.start_after.0..=aggregate.start_before.0 {
                let energies = aggregate.slices.iter().zip(&fractions).map(pick).collect();
                let schedule = Schedule { start: grid::Slot(start), energies };
                if aggregate.check_schedule(&schedule).is_err() {
                    continue; // One offer by itself, whose total this would break.
                }
                let parts = disaggregate(&aggregate, &members, &schedule).unwrap();
                let mut sums = std::collections::BTreeMap::<grid::Slot, (i64, i64)>::new();
                for part in &parts {
                    for (slot, energy) in part.schedule.slots().zip(&part.schedule.energies) {
                        sums.entry(slot).or_default().0 += energy.0;
                    }
                    for (slot, energy) in &part.deviation {
                        sums.entry(*slot).or_default().1 += energy.0.abs();
                    }
                }
                let deviation: std::collections::BTreeMap<_, _> =
                    aggregate.deviation(&schedule).into_iter().collect();
                for (slot, (energy, moved)) in sums {
                    prop_assert_eq!(energy, schedule.energy_in(slot).0);
                    prop_assert_eq!(moved, deviation.get(&slot).map_or(0, |energy| energy.0.abs()));
                }
            }
        }
    }

    #[test]
    fn every_schedule_of_an_aggregate_splits_exactly(
        offers in any_offers(),
        start in 0_i64..3,
        fractions in proptest::collection::vec(0_i64..=1000, 3),
    ) {
        let all: Vec<&FlexOffer> = offers.iter().collect();
        let aggregate = combine(AggregateId::new("agg").unwrap(), ZoneId(1), &all).unwrap();
        let pick = |(slice, f): (&EnergyBounds, &i64)| {
            EnergyMwh(slice.min.0 + (slice.max.0 - slice.min.0) * f / 1000)
        };
        let schedule =
            Schedule { start: slot(start), energies: aggregate.slices.iter().zip(&fractions).map(pick).collect() };
        let parts = disaggregate(&aggregate, &offers, &schedule).unwrap();
        for (k, &energy) in schedule.energies.iter().enumerate() {
            prop_assert_eq!(parts.iter().map(|part| part.schedule.energies[k]).sum::<EnergyMwh>(), energy);
        }
        for (part, offer) in parts.iter().zip(&offers) {
            prop_assert!(offer.check_schedule(&part.schedule).is_ok());
        }
    }

    #[test]
    fn what_members_deviate_adds_up_to_what_was_bought(
        offers in any_offers(),
        start in 0_i64..3,
        fractions in proptest::collection::vec(0_i64..=1000, 3),
    ) {
        for aggregate in sealed(&offers, 4) {
            let members: Vec<FlexOffer> =
                offers.iter().filter(|offer| aggregate.members.contains(&offer.id)).cloned().collect();
            let pick = |(slice, f): (&EnergyBounds, &i64)| {
                EnergyMwh(slice.min.0 + (slice.max.0 - slice.min.0) * f / 1000)
            };
            let energies = aggregate.slices.iter().zip(&fractions).map(pick).collect();
            let schedule = Schedule { start: slot(start), energies };
            let parts = disaggregate(&aggregate, &members, &schedule).unwrap();
            let moved = |deviation: &[(grid::Slot, EnergyMwh)]| -> EnergyMwh {
                deviation.iter().map(|(_, energy)| energy.abs()).sum()
            };
            let bought = moved(&aggregate.deviation(&schedule));
            prop_assert_eq!(parts.iter().map(|part| moved(&part.deviation)).sum::<EnergyMwh>(), bought);
        }
    }
}
