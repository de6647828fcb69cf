//! Small random books against exhaustive search, and the rules one by one.

mod crowded;
mod lone;

use super::*;
use crate::bid::{BidInterval, Carried, CongestionPoint, DomsBid, GridRow, ZoneId};
use crate::contract::cost;
use crate::flex_offer::{DeviationPrices, EnergyBounds};
use crate::sample::{energies, instant, slices, slot};
use grid::{BranchId, Phase};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

fn point(branch: u32) -> CongestionPoint {
    CongestionPoint { branch: BranchId(branch), phase: None }
}

fn bid(branch: u32, start: i64, changes: &[i64], price: i64) -> DomsBid {
    let interval = |&change| BidInterval { schedule_change: EnergyMwh(change), price: Money(price) };
    DomsBid {
        id: BidId::new(format!("bid-{branch}")).unwrap(),
        congestion_point: point(branch),
        start: slot(start),
        intervals: changes.iter().map(interval).collect(),
    }
}

fn rows(branch: u32, headroom: &[i64]) -> Vec<GridRow> {
    let row = |(index, &headroom): (usize, &i64)| GridRow {
        congestion_point: point(branch),
        slot: slot(index as i64),
        headroom: EnergyMwh(headroom),
    };
    headroom.iter().enumerate().map(row).collect()
}

fn need(bids: Vec<DomsBid>, rows: Vec<GridRow>) -> Need {
    Need { issued_at: instant(-600), contracts_seen: 0, bids, rows }
}

fn aggregate(id: &str, zone: u32, bounds: &[(i64, i64)], default: &[i64], shift: i64) -> AggregatedFlexOffer {
    AggregatedFlexOffer {
        id: AggregateId::new(id).unwrap(),
        zone: ZoneId(zone),
        members: vec![],
        assignment_before: instant(-60),
        start_after: slot(0),
        start_before: slot(shift),
        slices: slices(bounds),
        total_energy: None,
        default_schedule: Schedule { start: slot(0), energies: energies(default) },
        prices: DeviationPrices { decrease: Money(100_000), increase: Money(0) },
    }
}

/// Zone 1 lies behind elements 1 and 10, zone 2 behind 2 and 10.
fn book(need: Need, offers: Vec<AggregatedFlexOffer>) -> Book {
    let zones = [
        (ZoneId(1), vec![point(1).into(), point(10).into()]),
        (ZoneId(2), vec![point(2).into(), point(10).into()]),
    ];
    let offers = offers.into_iter().map(|offer| (offer.id.clone(), offer)).collect();
    Book { need: Some(need), zones: zones.into(), offers, ..Book::default() }
}

const KWH: i64 = 1_000_000;

fn free(slots: usize) -> Vec<GridRow> {
    [1, 2, 10].iter().flat_map(|branch| rows(*branch, &vec![100 * KWH; slots])).collect()
}

fn reason(clearing: &Clearing) -> &'static str {
    clearing.refused.first().map_or("accepted", |refused| refused.reason.code())
}

#[test]
fn a_charger_moves_out_of_the_congested_slots() {
    let charger = aggregate("a", 1, &[(KWH, KWH), (KWH, KWH)], &[KWH, KWH], 4);
    let mut all_rows = free(6);
    all_rows[0].headroom = EnergyMwh(-KWH);
    all_rows[1].headroom = EnergyMwh(-KWH);
    let book = book(need(vec![bid(1, 0, &[-KWH, -KWH], 500_000)], all_rows), vec![charger]);
    let clearing = clear(&book, &Rules::default(), instant(-120));
    let accepted = &clearing.accepted[0];
    assert_eq!(accepted.schedule.start, slot(2));
    assert_eq!((accepted.cost, accepted.gain), (Money(200_000), Money(800_000)));
    assert_eq!(accepted.bids[0].as_str(), "bid-1");
    assert_eq!((clearing.need_before, clearing.need_after), (EnergyMwh(2 * KWH), EnergyMwh(0)));
    assert_eq!(clearing.welfare, Money(800_000));
}

#[test]
fn relief_counts_once_for_each_element_it_passes() {
    let heat_pump = aggregate("a", 1, &[(0, KWH)], &[KWH], 0);
    let bids = vec![bid(1, 0, &[-KWH / 2], 300_000), bid(10, 0, &[-2 * KWH], 200_000)];
    let clearing = clear(&book(need(bids, free(1)), vec![heat_pump]), &Rules::default(), instant(-120));
    let accepted = &clearing.accepted[0];
    assert_eq!(accepted.deviation, [(slot(0), EnergyMwh(-KWH))]);
    assert_eq!(accepted.bids.len(), 2);
    assert_eq!(accepted.gain, Money(150_000 + 200_000 - 100_000));
    assert_eq!(clearing.need_after, EnergyMwh(KWH));
}

#[test]
fn a_gain_too_small_is_left_alone() {
    let heat_pump = aggregate("a", 1, &[(0, KWH)], &[KWH], 0);
    let book = book(need(vec![bid(1, 0, &[-KWH], 300_000)], free(1)), vec![heat_pump]);
    let with = |gain_min| {
        let rules = Rules { gain_min: Money(gain_min), ..Rules::default() };
        clear(&book, &rules, instant(-120))
    };
    assert_eq!(with(200_000).accepted[0].gain, Money(200_000));
    assert!(with(200_001).accepted.is_empty());
    assert_eq!(reason(&with(200_001)), "not-worth-it");
}

#[test]
fn where_the_use_of_the_grid_costs_more_flexibility_is_bought_elsewhere_or_not_at_all() {
    let charger = |id: &str, zone| aggregate(id, zone, &[(KWH, KWH)], &[KWH], 4);
    let offers = || vec![charger("a", 1), charger("b", 2)];
    let with = |priced: &[(u32, i64, i64)]| {
        let time = |after: i64| slot(after).0.rem_euclid(96) as u8;
        let price =
            |&(branch, after, price): &(u32, i64, i64)| ((BranchId(branch), time(after)), Money(price));
        let transfer = crate::transfer_price::TransferPrices { per_kwh: priced.iter().map(price).collect() };
        let bids = vec![bid(10, 0, &[-KWH], 500_000)];
        let book = book(need(bids, free(6)), offers());
        let rules = Rules { transfer, ..Rules::default() };
        clear(&book, &rules, instant(-120))
    };
    let bought = |clearing: &Clearing| {
        clearing.accepted.iter().map(|one| one.aggregate.as_str().to_owned()).collect::<Vec<_>>()
    };
    let without = with(&[]);
    assert_eq!((bought(&without).len(), without.welfare), (1, Money(400_000)));
    // Behind one of the elements the grid is busy in one of the slots.
    for (busy, other) in [(1, "b"), (2, "a")] {
        let clearing = with(&[(busy, 3, 50_000)]);
        assert_eq!((bought(&clearing), clearing.welfare), (vec![other.to_owned()], Money(400_000)));
    }
    // Everywhere: it is still worth it, and its owner gets what it asks.
    let dear = with(&[(10, 3, 50_000)]);
    assert_eq!((bought(&dear).len(), dear.welfare), (1, Money(350_000)));
    assert_eq!(dear.accepted[0].cost, without.accepted[0].cost);
    let too_dear = with(&[(10, 3, 450_000)]);
    assert_eq!((bought(&too_dear), too_dear.welfare), (vec![], Money(0)));
    let against = &too_dear.refused[0];
    assert!(against.asked_and_winning.is_some_and(|(asked, winning)| asked > winning), "{against:?}");
}

#[test]
fn of_offers_that_are_worth_the_same_the_older_one_is_bought() {
    let offer = |number: u64| aggregate(&format!("aggregate-{number}"), 1, &[(0, KWH)], &[KWH], 0);
    for (older, younger) in [(2, 10), (9, 100), (11, 12)] {
        let bids = vec![bid(1, 0, &[-KWH], 500_000)];
        let clearing = clear(
            &book(need(bids, free(1)), vec![offer(younger), offer(older)]),
            &Rules::default(),
            instant(-120),
        );
        let bought: Vec<_> = clearing.accepted.iter().map(|one| one.aggregate.as_str()).collect();
        assert_eq!(bought, [format!("aggregate-{older}")]);
        assert_eq!(clearing.refused[0].reason, Refusal::NeedMet);
    }
}

#[test]
fn what_else_is_in_the_book_does_not_change_which_of_equal_offers_is_bought() {
    let heat_pump = |number: i64| aggregate(&format!("aggregate-{number}"), 1, &[(0, KWH); 2], &[KWH; 2], 0);
    let numbers = [3, 4, 12, 40, 100, 1_000];
    for (wanted, others) in (1..6).flat_map(|wanted| (0..12).map(move |others| (wanted, others))) {
        let mut offers: Vec<_> = numbers.into_iter().map(heat_pump).collect();
        offers.extend((0..others).map(|n| {
            let mut other = heat_pump(2_000 + n);
            other.zone = ZoneId(1 + n as u32 % 2);
            other.prices.decrease = Money(90_000 + n * 7_919 % 20_000);
            other
        }));
        let bids = vec![bid(10, 0, &[-wanted * KWH, -(wanted + 1) * KWH / 2], 500_000)];
        let clearing = clear(&book(need(bids, free(2)), offers), &Rules::default(), instant(-120));
        assert_eq!(clearing.objection, None);
        let bought = |number: &i64| {
            clearing.accepted.iter().any(|one| one.aggregate.as_str() == format!("aggregate-{number}"))
        };
        let first_not = numbers.iter().take_while(|number| bought(number)).count();
        assert!(!numbers[first_not..].iter().any(bought), "{wanted} {others}: {:?}", clearing.accepted);
    }
}

#[test]
fn a_book_that_is_full_keeps_the_oldest() {
    let offers =
        [3, 20, 100].map(|number: u64| aggregate(&format!("aggregate-{number}"), 1, &[(0, KWH)], &[KWH], 0));
    let rules = Rules { book_offers_max: 2, ..Rules::default() };
    let book = book(need(vec![bid(1, 0, &[-3 * KWH], 500_000)], free(1)), offers.to_vec());
    let clearing = clear(&book, &rules, instant(-120));
    let refused: Vec<_> = clearing.refused.iter().map(|one| (one.aggregate.as_str(), one.reason)).collect();
    assert_eq!(refused, [("aggregate-100", Refusal::BookFull)]);
}

#[test]
fn no_more_is_bought_than_is_needed() {
    let offers = (0..3).map(|n| aggregate(&format!("a{n}"), 1, &[(0, KWH)], &[KWH], 0)).collect();
    let book = book(need(vec![bid(1, 0, &[-3 * KWH / 2], 500_000)], free(1)), offers);
    let clearing = clear(&book, &Rules::default(), instant(-120));
    let bought: i64 = clearing.accepted.iter().map(|accepted| accepted.deviation[0].1.0).sum();
    assert_eq!(bought, -3 * KWH / 2);
    assert_eq!(reason(&clearing), "need-met");
}

#[test]
fn total_bounds_are_honoured() {
    let mut offer = aggregate("a", 1, &[(0, KWH), (0, KWH)], &[KWH, KWH], 0);
    offer.total_energy = Some(EnergyBounds { min: EnergyMwh(3 * KWH / 2), max: EnergyMwh(2 * KWH) });
    let bids = vec![DomsBid {
        intervals: vec![
            BidInterval { schedule_change: EnergyMwh(-KWH), price: Money(300_000) },
            BidInterval { schedule_change: EnergyMwh(-KWH), price: Money(400_000) },
        ],
        ..bid(1, 0, &[], 0)
    }];
    let clearing = clear(&book(need(bids, free(2)), vec![offer]), &Rules::default(), instant(-120));
    assert_eq!(clearing.accepted[0].schedule.energies, energies(&[KWH, KWH / 2]));
}

#[test]
fn what_is_left_out_for_anothers_sake_is_taken_when_the_other_goes_too() {
    // Together they exceed slot 2 by 11 mWh, A alone by 1 mWh; B alone fits.
    let a = aggregate("a", 1, &[(10 * KWH + 1, 10 * KWH + 1)], &[10 * KWH + 1], 1);
    let mut a = AggregatedFlexOffer { start_after: slot(1), start_before: slot(2), ..a };
    a.default_schedule.start = slot(1);
    let b = aggregate("b", 1, &[(10, 10), (4 * KWH, 4 * KWH)], &[10, 4 * KWH], 2);
    let mut all_rows = free(8);
    let lack = |row: &mut GridRow| match row.slot.0 - slot(0).0 {
        1 if row.congestion_point == point(10) => row.headroom = EnergyMwh(-20 * KWH),
        2 if row.congestion_point == point(10) => row.headroom = EnergyMwh(10 * KWH),
        _ => {}
    };
    all_rows.iter_mut().for_each(lack);
    let book = book(need(vec![bid(10, 1, &[-20 * KWH], 500_000)], all_rows), vec![a, b]);
    let clearing = clear(&book, &Rules::default(), instant(-120));
    assert!(!clearing.accepted.is_empty(), "{clearing:#?}");
    assert!(clearing.welfare > Money(1_500_000) && clearing.bound >= clearing.welfare, "{clearing:#?}");
    assert!(clearing.bound > Money(4_000_000), "the bound is that of both offers: {}", clearing.bound);
}

#[test]
fn a_three_phase_connection_counts_with_a_third_on_each_phase_of_a_line() {
    // Each phase lacks 0.5 kWh in slot 0 and has room for 1 kWh in slot 1: 2 kWh are shifted, 0.67 kWh on each phase.
    let phase = |phase| CongestionPoint { branch: BranchId(1), phase: Some(phase) };
    let rows = |slot_0: i64, slot_1: i64| {
        let row = |phase, index, headroom| GridRow {
            congestion_point: phase,
            slot: slot(index),
            headroom: EnergyMwh(headroom),
        };
        Phase::ALL
            .iter()
            .flat_map(|p| [row(phase(*p), 0, slot_0), row(phase(*p), 1, slot_1)])
            .collect::<Vec<_>>()
    };
    let bids = |asked: i64| {
        let bid = |p: &Phase| DomsBid {
            id: BidId::new(format!("bid-{p:?}")).unwrap(),
            congestion_point: phase(*p),
            ..bid(1, 0, &[-asked], 600_000)
        };
        Phase::ALL.iter().map(bid).collect::<Vec<_>>()
    };
    let offer = || aggregate("a", 1, &[(2 * KWH, 2 * KWH)], &[2 * KWH], 1);
    let third = |p: &Phase| Carried::part(phase(*p), 1.0 / 3.0);
    let zones: Zones = [(ZoneId(1), Phase::ALL.iter().map(third).collect())].into();
    let cleared = |asked: i64, room: i64| {
        let book = book_with(need(bids(asked), rows(-asked, room)), zones.clone(), vec![offer()]);
        clear(&book, &Rules::default(), instant(-120))
    };
    let clearing = cleared(KWH / 2, KWH);
    let bought = &clearing.accepted[0];
    assert_eq!(bought.schedule.start, slot(1));
    // What it relieves is worth 0.5 kWh on each of three phases, not 2 kWh on each.
    assert_eq!(bought.gain.0 + bought.cost.0, 3 * 300_000);
    assert_eq!((bought.slot_prices[0].bid, bought.bids.len()), (Money(3 * 199_999), 3));
    assert_eq!(clearing.need_after, EnergyMwh(0));
    // A phase with less room than a third of it.
    let full = cleared(KWH / 2, KWH / 2);
    assert!(full.accepted.is_empty());
    assert_eq!(reason(&full), "no-head-room");
    // More is lacking on each phase than a third of it relieves.
    let part = cleared(KWH, KWH);
    assert_eq!(part.need_before.0 - part.need_after.0, 3 * 666_666);
}

#[test]
fn a_wish_for_more_consumption_is_served_too() {
    let mut battery = aggregate("a", 1, &[(0, KWH)], &[0], 0);
    battery.prices.increase = Money(100_000);
    let clearing = clear(
        &book(need(vec![bid(1, 0, &[KWH / 2], 300_000)], free(1)), vec![battery]),
        &Rules::default(),
        instant(-120),
    );
    assert_eq!(clearing.accepted[0].deviation, [(slot(0), EnergyMwh(KWH / 2))]);
}

#[test]
fn every_refusal_has_its_reason() {
    let charger = || aggregate("a", 1, &[(KWH, KWH)], &[KWH], 1);
    let dear = |price| vec![bid(1, 0, &[-KWH], price)];
    let try_it = |need: Need, offer: AggregatedFlexOffer, now: i64| {
        clear(&book(need, vec![offer]), &Rules::default(), instant(now))
    };
    assert_eq!(reason(&try_it(need(dear(500_000), free(2)), charger(), -120)), "accepted");
    assert_eq!(reason(&try_it(need(vec![], free(2)), charger(), -120)), "no-need");
    assert_eq!(reason(&try_it(need(vec![bid(2, 0, &[-KWH], 500_000)], free(2)), charger(), -120)), "no-need");
    assert_eq!(reason(&try_it(need(dear(90_000), free(2)), charger(), -120)), "too-dear");
    assert_eq!(reason(&try_it(need(dear(500_000), vec![]), charger(), -120)), "no-head-room");
    assert_eq!(reason(&try_it(need(dear(500_000), free(2)), charger(), -60)), "past-gate");
    let fixed = aggregate("a", 1, &[(KWH, 2 * KWH)], &[KWH], 0);
    assert_eq!(reason(&try_it(need(dear(500_000), free(2)), fixed, -120)), "cannot-relieve");
    let stranger = AggregatedFlexOffer { zone: ZoneId(9), ..charger() };
    assert_eq!(reason(&try_it(need(dear(500_000), free(2)), stranger, -120)), "unknown-zone");
    let empty = AggregatedFlexOffer { slices: vec![], ..charger() };
    assert_eq!(reason(&try_it(need(dear(500_000), free(2)), empty, -120)), "malformed");
    assert_eq!(reason(&try_it(need(dear(-1), free(2)), charger(), -120)), "need-malformed");
    let two = book(
        need(dear(500_000), free(2)),
        vec![charger(), AggregatedFlexOffer { id: AggregateId::new("b").unwrap(), ..charger() }],
    );
    let clearing = clear(&two, &Rules { book_offers_max: 1, ..Rules::default() }, instant(-120));
    assert_eq!(clearing.refused[0].reason, Refusal::BookFull);
}

/// Random books in units so small that all energies can be tried.
fn any_book() -> impl Strategy<Value = Book> {
    let offer = |id: &'static str| {
        (1_u32..3, 0_i64..3, 0_i64..3, 0_i64..2, 1_i64..3, 0_i64..4, 0_i64..2).prop_map(
            move |(zone, a, b, flexible, shift, decrease, increase)| {
                let low = |energy: i64| if flexible == 1 { 0 } else { energy };
                let mut offer = aggregate(id, zone, &[(low(a), a), (low(b), b)], &[a, b], shift);
                offer.prices = DeviationPrices { decrease: Money(decrease), increase: Money(increase) };
                if flexible == 1 && a + b > 1 {
                    offer.total_energy = Some(EnergyBounds { min: EnergyMwh(1), max: EnergyMwh(a + b) });
                }
                offer
            },
        )
    };
    let lacks = || proptest::collection::vec(0_i64..4, 3);
    let spare = || proptest::collection::vec(0_i64..4, 4);
    (offer("a"), offer("b"), offer("c"), lacks(), lacks(), spare(), spare(), spare(), 1_i64..6, 1_i64..6)
        .prop_map(|(a, b, c, lack_1, lack_10, spare_1, spare_2, spare_10, price_1, price_10)| {
            let row = |branch, lack: &[i64], spare: &[i64]| {
                let headroom = |index: usize| match lack.get(index).copied().unwrap_or(0) {
                    0 => spare[index],
                    lack => -lack,
                };
                rows(branch, &(0..4).map(headroom).collect::<Vec<_>>())
            };
            let minus = |lack: &[i64]| lack.iter().map(|lack| -lack).collect::<Vec<_>>();
            let bids = vec![bid(1, 0, &minus(&lack_1), price_1), bid(10, 0, &minus(&lack_10), price_10)];
            let rows =
                [row(1, &lack_1, &spare_1), row(2, &[], &spare_2), row(10, &lack_10, &spare_10)].concat();
            book(need(bids, rows), vec![a, b, c])
        })
}

fn all_schedules(offer: &AggregatedFlexOffer) -> Vec<Schedule> {
    let mut all = vec![offer.default_schedule.clone()];
    for start in offer.start_after.0..=offer.start_before.0 {
        for first in offer.slices[0].min.0..=offer.slices[0].max.0 {
            for second in offer.slices[1].min.0..=offer.slices[1].max.0 {
                all.push(Schedule { start: Slot(start), energies: energies(&[first, second]) });
            }
        }
    }
    all.retain(|schedule| offer.check_schedule(schedule).is_ok());
    all
}

/// Welfare of a set of schedules in mWh × micro-units per kWh, or `None` when it overloads an element further than
/// it is already. Written from the definitions, apart from the code it judges.
fn judge(book: &Book, schedules: &[(&AggregatedFlexOffer, &Schedule)]) -> Option<i64> {
    let need = book.need.as_ref().unwrap();
    let mut welfare = 0;
    let mut through: BTreeMap<(CongestionPoint, Slot), i64> = BTreeMap::new();
    for (offer, schedule) in schedules {
        for (slot, energy) in offer.deviation(schedule) {
            welfare -= energy.0.abs() * offer.prices.of(energy).0;
            for point in &book.zones[&offer.zone] {
                *through.entry((point.point, slot)).or_default() += energy.0;
            }
        }
    }
    for ((point, slot), change) in &through {
        let row = need.rows.iter().find(|row| row.congestion_point == *point && row.slot == *slot);
        let headroom = row.map_or(0, |row| row.headroom.0);
        if headroom - change < headroom.min(0) {
            return None;
        }
        let bid = need.bids.iter().find(|bid| bid.congestion_point == *point);
        let interval = bid.and_then(|bid| bid.intervals.get((slot.0 - bid.start.0) as usize));
        if let Some(interval) = interval {
            welfare += (-change).clamp(0, -interval.schedule_change.0) * interval.price.0;
        }
    }
    Some(welfare)
}

fn exhaustive(book: &Book) -> i64 {
    let offers: Vec<&AggregatedFlexOffer> = book.offers.values().collect();
    let choices: Vec<Vec<Schedule>> = offers.iter().map(|offer| all_schedules(offer)).collect();
    let mut best = 0;
    for a in &choices[0] {
        for b in &choices[1] {
            for c in &choices[2] {
                let set = [(offers[0], a), (offers[1], b), (offers[2], c)];
                best = best.max(judge(book, &set).unwrap_or(0));
            }
        }
    }
    best
}

fn bought(book: &Book, clearing: &Clearing) -> Option<i64> {
    let set: Vec<_> = clearing
        .accepted
        .iter()
        .map(|accepted| {
            let offer = &book.offers[&accepted.aggregate];
            assert!(accepted.slot_prices.iter().map(|p| p.slot).eq(accepted.deviation.iter().map(|d| d.0)));
            offer.check_schedule(&accepted.schedule).unwrap();
            assert_eq!(accepted.deviation, offer.deviation(&accepted.schedule));
            assert_eq!(accepted.cost, cost(&accepted.deviation, &offer.prices));
            (offer, &accepted.schedule)
        })
        .collect();
    judge(book, &set)
}

proptest! {
    #[test]
    fn a_clearing_is_feasible_and_never_worse_than_nothing(book in any_book()) {
        let clearing = clear(&book, &Rules::default(), instant(-120));
        let welfare = bought(&book, &clearing);
        prop_assert!(welfare.is_some_and(|welfare| welfare >= 0), "{:?}", clearing);
        prop_assert_eq!(clearing.accepted.len() + clearing.refused.len(), book.offers.len());
        prop_assert_eq!(&clearing, &clear(&book, &Rules::default(), instant(-120)));
    }
}

/// Like `bought`, of what merit order buys.
fn bought_greedily(book: &Book) -> i64 {
    let accepted = clear_greedily(book, &Rules::default(), instant(-120));
    let set: Vec<_> = accepted.iter().map(|(id, schedule)| (&book.offers[id], schedule)).collect();
    judge(book, &set).unwrap()
}

#[test]
fn prices_get_more_of_what_exhaustive_search_gets_than_merit_order() {
    let mut runner =
        TestRunner::new_with_rng(Config::default(), TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]));
    let (mut by_prices, mut by_merit, mut possible) = (0, 0, 0);
    for _ in 0..80 {
        let book = any_book().new_tree(&mut runner).unwrap().current();
        let clearing = clear(&book, &Rules::default(), instant(-120));
        let (best, welfare) = (exhaustive(&book), bought(&book, &clearing).unwrap());
        assert!(welfare <= best, "exhaustive search found {best}, the clearing {welfare}");
        by_prices += welfare;
        by_merit += bought_greedily(&book);
        possible += best;
    }
    println!("of {possible}: by prices {by_prices}, by merit order {by_merit}");
    assert!(
        by_prices * 100 >= possible * 90 && by_prices >= by_merit,
        "{by_prices} {by_merit} of {possible}"
    );
}

/// Sixty offers over a day, behind 32 elements in 16 zones.
pub fn large_book() -> Book {
    let zones: Zones = (0..16)
        .map(|zone| (ZoneId(zone), vec![point(zone).into(), point(100).into(), point(101).into()]))
        .collect();
    let bids = [(100, 40 * KWH), (3, 5 * KWH), (5, 5 * KWH), (7, 3 * KWH)];
    let bids = bids.map(|(branch, lack)| bid(branch, 30, &[-lack; 12], 400_000)).to_vec();
    let mut all_rows = Vec::new();
    for branch in (0..16).chain([100, 101]) {
        let lacking = bids.iter().any(|bid| bid.congestion_point == point(branch));
        let headroom = |index: usize| if lacking && (30..42).contains(&index) { -KWH } else { 30 * KWH };
        all_rows.extend(rows(branch, &(0..96).map(headroom).collect::<Vec<_>>()));
    }
    let offer = |n: i64| {
        let (length, shift) = (4 + n as usize % 9, 20 + n % 30);
        let size = KWH + n % 7 * KWH / 4;
        let bounds = if n % 3 == 0 { (size / 2, size) } else { (size, size) };
        let mut offer =
            aggregate(&format!("a{n:02}"), n as u32 % 16, &vec![bounds; length], &vec![size; length], shift);
        offer.start_after = slot(20 + n % 12);
        offer.start_before = offer.start_after.plus(shift);
        offer.default_schedule.start = offer.start_after;
        offer.prices.decrease = Money(50_000 + n * 1_000);
        offer
    };
    book_with(need(bids, all_rows), zones, (0..60).map(offer).collect())
}

fn book_with(need: Need, zones: Zones, offers: Vec<AggregatedFlexOffer>) -> Book {
    Book {
        need: Some(need),
        zones,
        offers: offers.into_iter().map(|offer| (offer.id.clone(), offer)).collect(),
        ..Book::default()
    }
}

#[test]
fn a_day_of_sixty_offers_is_cleared() {
    let clearing = clear(&large_book(), &Rules::default(), instant(-120));
    println!(
        "{} accepted, welfare {}, {} of {} unmet",
        clearing.accepted.len(),
        clearing.welfare,
        clearing.need_after,
        clearing.need_before
    );
    assert!(clearing.accepted.len() > 10);
    assert!(clearing.need_after < clearing.need_before);
    assert!(clearing.objection.is_none() && clearing.gap().unwrap() < 0.25, "{:?}", clearing.gap());
    let book = large_book();
    let worth = |set: &[(&AggregatedFlexOffer, &Schedule)]| judge(&book, set).unwrap();
    let by_prices: Vec<_> =
        clearing.accepted.iter().map(|one| (&book.offers[&one.aggregate], &one.schedule)).collect();
    let greedy = clear_greedily(&book, &Rules::default(), instant(-120));
    let by_merit: Vec<_> = greedy.iter().map(|(id, schedule)| (&book.offers[id], schedule)).collect();
    println!("by prices {}, by merit order {}", worth(&by_prices), worth(&by_merit));
    assert!(worth(&by_prices) >= worth(&by_merit));
}

#[test]
fn a_clearing_that_comes_out_otherwise_has_another_revision() {
    // Whoever changes what a clearing finds raises the revision and writes down the new hashes: a journal of the earlier
    // one is then not judged by this one. They are also the same in every process and on every machine.
    let of = |book: &Book| {
        let clearing = clear(book, &Rules::default(), instant(-120));
        RoundProof::new(book, &Rules::default(), &clearing, instant(-120)).result_sha256[..16].to_owned()
    };
    let found = [of(&large_book()), of(&crowded::crowded_book(40))];
    assert_eq!(
        (crate::rules::CLEARING_REVISION, found),
        (2, ["2697f997a273072e".to_owned(), "578a80c88a9351a3".to_owned()])
    );
}

#[test]
fn what_runs_inside_the_gate_is_frozen() {
    let mut charger = aggregate("a", 1, &[(0, KWH); 4], &[KWH; 4], 0);
    charger.assignment_before = instant(3_600);
    let mut all_rows = free(6);
    all_rows.iter_mut().for_each(|row| row.headroom = EnergyMwh(-KWH));
    let book = book(need(vec![bid(1, 0, &[-KWH; 4], 500_000)], all_rows), vec![charger]);
    let accepted = clear(&book, &Rules::default(), instant(900)).accepted;
    assert_eq!(accepted, [], "its last start has passed the gate");
    let mut book = book;
    book.offers.values_mut().for_each(|offer| offer.start_before = slot(3));
    let accepted = clear(&book, &Rules::default(), instant(900)).accepted;
    assert_eq!(accepted[0].schedule, Schedule { start: slot(0), energies: energies(&[KWH, KWH, 0, 0]) });
    assert_eq!(accepted[0].slot_prices.len(), 2);
}
