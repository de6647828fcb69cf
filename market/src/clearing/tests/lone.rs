//! Offers that are no sums: what they accept, what they ask once, and their exclusive groups.

use super::*;
use crate::aggregation::LoneTerms;
use crate::flex_offer::{Acceptance, ActivationCost, ExclusiveGroupId};
use grid::ProsumerId;

/// Heat pumps that take a kWh, or any part of it, in one slot; a bid for some of it at 0.50 per kWh.
fn lone_book(asked: i64, lone: &[(&str, LoneTerms)]) -> Book {
    let offers = lone.iter().map(|(id, _)| aggregate(id, 1, &[(0, KWH)], &[KWH], 0)).collect();
    let mut book = book(need(vec![bid(1, 0, &[-asked], 500_000)], free(1)), offers);
    book.lone = lone.iter().map(|(id, lone)| (AggregateId::new(*id).unwrap(), lone.clone())).collect();
    book
}

fn cleared(book: &Book) -> Clearing {
    let clearing = clear(book, &Rules::default(), instant(-120));
    assert_eq!(clearing.objection, None);
    clearing
}

fn bought(clearing: &Clearing) -> Vec<(&str, i64)> {
    clearing.accepted.iter().map(|one| (one.aggregate.as_str(), one.deviation[0].1.0)).collect()
}

fn grouped(prosumer: u32, group: &str) -> LoneTerms {
    let group = Some((ProsumerId(prosumer), ExclusiveGroupId::new(group).unwrap()));
    LoneTerms { group, ..LoneTerms::default() }
}

#[test]
fn of_an_exclusive_group_one_offer_is_bought_and_later_none() {
    let mut book = lone_book(2 * KWH, &[("a", grouped(1, "g")), ("b", grouped(1, "g"))]);
    let clearing = cleared(&book);
    assert_eq!(bought(&clearing).len(), 1);
    assert_eq!(reason(&clearing), "group-sold");
    book.groups_sold = [(ProsumerId(1), ExclusiveGroupId::new("g").unwrap())].into();
    let later = cleared(&book);
    assert_eq!(later.accepted, []);
    assert!(later.refused.iter().all(|refused| refused.reason == Refusal::GroupSold));
}

#[test]
fn two_prosumers_may_use_one_name_for_their_groups() {
    let book = lone_book(2 * KWH, &[("a", grouped(1, "g")), ("b", grouped(2, "g"))]);
    assert_eq!(bought(&cleared(&book)), [("a", -KWH), ("b", -KWH)]);
}

#[test]
fn less_than_is_accepted_is_not_bought() {
    let terms = |least| LoneTerms {
        acceptance: Acceptance::AtLeast { energy: EnergyMwh(least) },
        ..LoneTerms::default()
    };
    assert_eq!(bought(&cleared(&lone_book(KWH / 2, &[("a", terms(KWH / 2))]))), [("a", -KWH / 2)]);
    // What is beyond the bid is worth nothing but still costs: 0.75 kWh for 0.075, worth 0.25.
    assert_eq!(bought(&cleared(&lone_book(KWH / 2, &[("a", terms(3 * KWH / 4))]))), [("a", -3 * KWH / 4)]);
    let dear = cleared(&lone_book(KWH / 10, &[("a", terms(KWH))]));
    assert_eq!((dear.accepted.len(), reason(&dear)), (0, "too-dear"));
}

#[test]
fn a_block_is_bought_whole_or_from_its_least_factor_on() {
    let terms = |factor_min_ppm| LoneTerms {
        acceptance: Acceptance::Block { deviation: energies(&[-KWH]), factor_min_ppm },
        ..LoneTerms::default()
    };
    assert_eq!(bought(&cleared(&lone_book(KWH / 2, &[("a", terms(1_000_000))]))), [("a", -KWH)]);
    assert_eq!(bought(&cleared(&lone_book(KWH / 2, &[("a", terms(250_000))]))), [("a", -KWH / 2)]);
    assert_eq!(cleared(&lone_book(KWH / 10, &[("a", terms(1_000_000))])).accepted, []);
}

#[test]
fn what_is_asked_once_is_part_of_the_cost_and_may_be_too_much() {
    let terms = |activation| LoneTerms {
        cost: ActivationCost { activation: Money(activation), per_slot_shifted: Money::ZERO },
        ..LoneTerms::default()
    };
    let clearing = cleared(&lone_book(KWH, &[("a", terms(300_000))]));
    assert_eq!((clearing.accepted[0].cost, clearing.accepted[0].gain), (Money(400_000), Money(100_000)));
    assert_eq!(clearing.welfare, Money(100_000));
    let dear = cleared(&lone_book(KWH, &[("a", terms(450_000))]));
    assert_eq!((dear.accepted.len(), reason(&dear)), (0, "too-dear"));
}

#[test]
fn a_shift_is_asked_for_slot_by_slot() {
    let charger = aggregate("a", 1, &[(KWH, KWH)], &[KWH], 4);
    let mut all_rows = free(5);
    all_rows.iter_mut().for_each(|row| {
        if row.congestion_point == point(1) && row.slot < slot(3) {
            row.headroom = EnergyMwh::ZERO;
        }
    });
    let mut book = book(need(vec![bid(1, 0, &[-KWH], 500_000)], all_rows), vec![charger]);
    let cost = ActivationCost { activation: Money(10_000), per_slot_shifted: Money(50_000) };
    let lone = LoneTerms { cost, ..LoneTerms::default() };
    book.lone = [(AggregateId::new("a").unwrap(), lone)].into();
    let clearing = cleared(&book);
    assert_eq!(clearing.accepted[0].schedule.start, slot(3), "the first slot with room");
    assert_eq!(clearing.accepted[0].cost, Money(100_000 + 10_000 + 3 * 50_000));
}

#[test]
fn a_battery_gives_no_more_than_its_running_sums_allow_and_charges_before() {
    // Two slots: the bid lacks 3 kWh in the second, the battery holds 1 kWh and has room for 1 more.
    let battery = aggregate("a", 1, &[(-3 * KWH, 3 * KWH), (-3 * KWH, 3 * KWH)], &[0, 0], 0);
    let mut book = book(need(vec![bid(1, 1, &[-3 * KWH], 500_000)], free(2)), vec![battery]);
    let running = EnergyBounds { min: EnergyMwh(-KWH), max: EnergyMwh(KWH) };
    book.lone =
        [(AggregateId::new("a").unwrap(), LoneTerms { running: Some(running), ..LoneTerms::default() })]
            .into();
    let clearing = cleared(&book);
    assert_eq!(clearing.accepted[0].schedule.energies, energies(&[KWH, -2 * KWH]));
}
