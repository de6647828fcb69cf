use super::*;
use crate::flex_offer::FlexOfferId;
use crate::sample::{energies, instant, offer, slices, slot};
use proptest::prelude::*;

fn ids() -> impl FnMut() -> AggregateId {
    let mut count = 0;
    move || {
        count += 1;
        AggregateId::new(format!("agg-{count}")).unwrap()
    }
}

fn sealed(offers: &[FlexOffer], size_max: usize) -> Vec<AggregatedFlexOffer> {
    let mut aggregation = Aggregation::default();
    offers.iter().for_each(|offer| aggregation.add(offer.clone(), ZoneId(7)).unwrap());
    aggregation.seal(instant(-120), ids(), size_max)
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
    let formed = aggregation.seal(instant(-120), ids(), 4);
    assert_eq!(formed[0].members, [id("fo-2")]);
    assert_eq!(aggregation.remove(&id("fo-2")), Removal::Sealed(formed[0].id.clone()));
    aggregation.forget(&formed[0].id);
    assert_eq!(aggregation.remove(&id("fo-2")), Removal::Unknown);
}

#[test]
fn an_offer_past_its_deadline_is_not_sealed() {
    let mut aggregation = Aggregation::default();
    aggregation.add(shift("fo-1"), ZoneId(7)).unwrap();
    assert_eq!(aggregation.seal(instant(-60), ids(), 4), []);
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
    assert_eq!(code(&[shift("fo-1"), offer("fo-2")], &schedule), "ok");
    assert_eq!(code(&offers, &Schedule { start: slot(3), ..schedule.clone() }), "schedule-start");
    let thinner = FlexOffer {
        slices: slices(&[(500, 500), (500, 500)]),
        default_schedule: Schedule { start: slot(0), energies: energies(&[500, 500]) },
        ..offer("fo-2")
    };
    assert_eq!(code(&[shift("fo-1"), thinner], &schedule), "members-do-not-add-up");
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
