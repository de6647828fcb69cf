//! Location: what relieves one feeder does not relieve the other, and what was bought overloads nothing. From a network by
//! its outlook to a need, cleared by the market, and a power flow on what is bought.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test

use estimation::{Feeder, LimitedElement, OutlookRules, OutlookStudy, limited_elements, zones};
use grid::network::{Bus, Line, NetworkParts, Source, UsagePoint};
use grid::{
    BranchId, BusId, EnergyMwh, Money, Network, Phase, Slot, SlotForecast, Timestamp, UsagePointForecast,
    UsagePointId,
};
use market::flex_offer::EnergyBounds;
use market::{
    AggregateId, AggregatedFlexOffer, BidId, BidInterval, Book, Carried, Clearing, CongestionPoint,
    DeviationPrices, DomsBid, GridRow, Need, Refusal, Rules, Schedule, ZoneId, Zones, clear,
};
use num_complex::Complex64;
use std::sync::Arc;

const KWH: i64 = 1_000_000;
/// Rated current of both lines; all usage points are on phase A, where that is 27.7 kVA.
const RATED_A: f64 = 120.0;
/// First of six quarter-hours.
const FIRST: i64 = 1_965_000;
/// What the three usage points take in each of them, W: two behind the left line, one behind the right.
const LOADS_W: [[f64; 3]; 6] = [
    [20_000.0, 14_000.0, 8_000.0],
    [20_000.0, 4_000.0, 8_000.0],
    [18_000.0, 8_000.0, 8_000.0],
    [18_000.0, 8_000.0, 8_000.0],
    [6_000.0, 4_000.0, 8_000.0],
    [6_000.0, 4_000.0, 8_000.0],
];

/// A source, and a line of 100 m from it to each of two buses.
fn network() -> Network {
    let bus = |id| Bus { id: BusId(id), u_rated_v: 400.0, position_m: None };
    let line = |id, to| Line {
        id: BranchId(id),
        from: BusId(0),
        to: BusId(to),
        r1_ohm: 0.032,
        x1_ohm: 0.008,
        r0_ohm: 0.128,
        x0_ohm: 0.032,
        i_rated_a: Some(RATED_A),
        ..Line::default()
    };
    let point = |id, bus| UsagePoint {
        id: UsagePointId(id),
        bus: BusId(bus),
        phase: Some(Phase::A),
        p_specified_w: 5_000.0,
        q_specified_var: 500.0,
    };
    let source = Source {
        bus: BusId(0),
        u_ref_pu: 1.02,
        sk_va: 1e7,
        rx_ratio: 0.3,
        z01_ratio: 1.0,
        ..Source::default()
    };
    let parts = NetworkParts {
        name: "two feeders".into(),
        buses: vec![bus(0), bus(1), bus(2)],
        lines: vec![line(10, 1), line(20, 2)],
        sources: vec![source],
        usage_points: vec![point(1, 1), point(2, 1), point(3, 2)],
        ..NetworkParts::default()
    };
    Network::new(parts).unwrap()
}

fn slot(index: usize) -> Slot {
    Slot(FIRST + index as i64)
}

fn now() -> Timestamp {
    slot(0).plus(-2).start()
}

fn point(element: &LimitedElement) -> CongestionPoint {
    CongestionPoint { branch: element.branch, phase: element.phase }
}

fn carried((element, share): &(LimitedElement, f64)) -> Carried {
    Carried::part(point(element), *share)
}

/// What a network operator asks for who plans on the whole rating: relief where the outlook has no room.
fn need(feeder: &Arc<Feeder>, limited: &[LimitedElement]) -> Need {
    let forecast = |at: usize| UsagePointForecast {
        usage_point: UsagePointId(at as u32 + 1),
        issued_at: now(),
        slots: (0..LOADS_W.len())
            .map(|k| SlotForecast { slot: slot(k), p_w: LOADS_W[k][at], p_std_w: 0.0 })
            .collect(),
    };
    let forecasts: Vec<UsagePointForecast> = (0..3).map(forecast).collect();
    let rules = OutlookRules { planning_limit: 1.0, confidence_sigmas: 0.0, error_correlation: 0.0 };
    let study = OutlookStudy::new(feeder.clone(), limited).unwrap();
    let outlook = study.outlook(&forecasts, &|_, _| 0.0, &rules, now()).unwrap();
    let rows: Vec<GridRow> = (outlook.elements.iter())
        .map(|element| GridRow {
            congestion_point: CongestionPoint { branch: element.branch, phase: element.phase },
            slot: element.slot,
            headroom: EnergyMwh::from_watt_hours(element.headroom_w * Slot::HOURS).unwrap(),
        })
        .collect();
    let bid = |element: &LimitedElement| {
        let interval = |k: usize| {
            let here = |row: &&GridRow| row.congestion_point == point(element) && row.slot == slot(k);
            let lacking = rows.iter().find(here).unwrap().headroom.min(EnergyMwh::ZERO);
            BidInterval { schedule_change: lacking, price: Money(500_000) }
        };
        let intervals: Vec<BidInterval> = (0..LOADS_W.len()).map(interval).collect();
        let name =
            format!("bid-{}-{:?}", element.branch, element.phase.map(|phase| phase.index()).unwrap_or(9));
        let id = BidId::new(name.replace(['(', ')', ' '], "")).unwrap();
        let wanted = intervals.iter().any(|interval| interval.schedule_change < EnergyMwh::ZERO);
        wanted.then_some(DomsBid { id, congestion_point: point(element), start: slot(0), intervals })
    };
    let bids = limited.iter().filter_map(bid).collect();
    Need { issued_at: now(), contracts_seen: 0, bids, rows }
}

/// A charger of a usage point that takes `kwh` in slot `at` and may take it up to `later` slots later.
fn charger(id: &str, zone: ZoneId, at: usize, kwh: i64, later: i64, price: i64) -> AggregatedFlexOffer {
    let energy = EnergyMwh(kwh * KWH);
    AggregatedFlexOffer {
        id: AggregateId::new(id).unwrap(),
        zone,
        members: vec![],
        assignment_before: slot(0).plus(-1).start(),
        start_after: slot(at),
        start_before: slot(at).plus(later),
        slices: vec![EnergyBounds { min: energy, max: energy }],
        total_energy: None,
        default_schedule: Schedule { start: slot(at), energies: vec![energy] },
        prices: DeviationPrices { decrease: Money(price), increase: Money(0) },
    }
}

/// The largest loading of the lines in a slot, with some power taken more at the usage points, W.
fn loading(feeder: &Feeder, k: usize, more_w: [f64; 3]) -> f64 {
    // The power factor of the specified powers; a deviation is active power.
    let load = |at: usize| Complex64::new(LOADS_W[k][at] + more_w[at], 0.1 * LOADS_W[k][at]);
    let flow = feeder.solve(&[load(0), load(1), load(2)]).unwrap();
    (0..feeder.branch_count()).filter_map(|branch| flow.loading(branch)).fold(0.0, f64::max)
}

/// The loadings of the slots with what was bought.
fn with_bought(feeder: &Feeder, clearing: &Clearing, usage_point: impl Fn(&str) -> usize) -> Vec<f64> {
    let of_slot = |k: usize| {
        let mut more_w = [0.0; 3];
        for accepted in &clearing.accepted {
            for (_, energy) in accepted.deviation.iter().filter(|(at, _)| *at == slot(k)) {
                more_w[usage_point(accepted.aggregate.as_str())] += energy.0 as f64 * 1e-3 / Slot::HOURS;
            }
        }
        loading(feeder, k, more_w)
    };
    (0..LOADS_W.len()).map(of_slot).collect()
}

#[test]
fn cheap_flexibility_behind_another_feeder_is_not_taken_and_the_power_flow_after_the_clearing_is_clean() {
    let feeder = Arc::new(Feeder::new(&network()).unwrap());
    let limited = limited_elements(&feeder, &[30_000.0; 3]);
    let behind = zones(&feeder, &limited);
    assert!(behind[0] == behind[1] && behind[0].iter().all(|(element, _)| element.branch == BranchId(10)));
    assert!(!behind[2].is_empty() && behind[2].iter().all(|(element, _)| element.branch == BranchId(20)));
    let (left, right) = (ZoneId(0), ZoneId(1));
    let zones: Zones =
        [(left, 0), (right, 2)].map(|(zone, at)| (zone, behind[at].iter().map(carried).collect())).into();

    let before: Vec<f64> = (0..LOADS_W.len()).map(|k| loading(&feeder, k, [0.0; 3])).collect();
    assert!(before[0] > 1.2 && before[1..].iter().all(|loading| *loading < 1.0), "{before:?}");
    let need = need(&feeder, &limited);
    assert!(need.check().is_ok() && need.bids.iter().all(|bid| bid.congestion_point.branch == BranchId(10)));

    // Behind the right line it costs a hundredth, and the line has room for it in every slot.
    let offers =
        [charger("dear-left", left, 0, 2, 5, 300_000), charger("cheap-right", right, 0, 2, 5, 3_000)];
    let cleared = |offers: &[AggregatedFlexOffer]| {
        let offers = offers.iter().map(|offer| (offer.id.clone(), offer.clone())).collect();
        let book = Book { need: Some(need.clone()), zones: zones.clone(), offers, ..Book::default() };
        clear(&book, &Rules::default(), now())
    };
    let clearing = cleared(&offers);
    assert_eq!(clearing.objection, None);
    let bought: Vec<&str> = clearing.accepted.iter().map(|one| one.aggregate.as_str()).collect();
    assert_eq!(bought, ["dear-left"]);
    assert_eq!(clearing.refused[0].aggregate.as_str(), "cheap-right");
    assert_eq!(clearing.refused[0].reason, Refusal::NoNeed);
    assert_eq!(cleared(&offers[1..]).accepted, [], "alone it is not taken either");

    // Where it goes the line had room: 8 kW more in the third or fourth slot would have been a new overload.
    let moved_to = clearing.accepted[0].schedule.start;
    assert!([slot(4), slot(5)].contains(&moved_to), "{moved_to:?}");
    for k in [2, 3] {
        assert!(loading(&feeder, k, [0.0, 8_000.0, 0.0]) > 1.0, "slot {k} would have been no mistake");
    }
    let place = |id: &str| if id == "dear-left" { 1 } else { 2 };
    let after = with_bought(&feeder, &clearing, place);
    assert!(after.iter().all(|loading| *loading <= 1.0), "before {before:?}, after {after:?}");
    // The cheap one would have relieved nothing.
    let mistaken = loading(&feeder, 0, [0.0, 0.0, -8_000.0]);
    assert!((mistaken - before[0]).abs() < 0.01 && mistaken > 1.2, "{mistaken} instead of {}", before[0]);
}

#[test]
fn relief_that_could_only_be_paid_back_where_there_is_no_room_is_not_bought() {
    let feeder = Arc::new(Feeder::new(&network()).unwrap());
    let limited = limited_elements(&feeder, &[30_000.0; 3]);
    let path: Vec<Carried> = zones(&feeder, &limited)[0].iter().map(carried).collect();
    let book = |later| Book {
        need: Some(need(&feeder, &limited)),
        zones: [(ZoneId(0), path.clone())].into(),
        offers: [charger("left", ZoneId(0), 0, 2, later, 10_000)]
            .map(|offer| (offer.id.clone(), offer))
            .into(),
        ..Book::default()
    };
    let near = clear(&book(3), &Rules::default(), now());
    assert_eq!(near.accepted, [], "its last start is in the fourth slot, which is full");
    assert_eq!(near.refused[0].reason, Refusal::NoHeadRoom);
    let far = clear(&book(4), &Rules::default(), now());
    assert_eq!(far.accepted[0].schedule.start, slot(4));
    assert!(with_bought(&feeder, &far, |_| 1).iter().all(|loading| *loading <= 1.0));
}

/// Only the left line lacks room, in the first slot, and all its usage points are at one bus, so that the linear programme
/// (least energy, every limit kept) has one unknown: it is found on the power flow itself, by halving.
#[test]
fn what_is_asked_for_is_within_5_per_cent_of_the_least_that_relieves_the_line() {
    let feeder = Arc::new(Feeder::new(&network()).unwrap());
    let limited = limited_elements(&feeder, &[30_000.0; 3]);
    let behind = zones(&feeder, &limited);
    let need = need(&feeder, &limited);
    // One reduction relieves phase and neutral at once: what is asked for is what the dearest of both needs.
    let mut asked_wh: f64 = 0.0;
    for bid in &need.bids {
        let (_, share) =
            behind[0].iter().find(|(element, _)| point(element) == bid.congestion_point).unwrap();
        let lacking: Vec<f64> =
            bid.intervals.iter().map(|interval| interval.schedule_change.0 as f64 * -1e-3).collect();
        assert!(lacking[0] > 0.0 && lacking[1..].iter().all(|wh| *wh == 0.0), "{lacking:?}");
        asked_wh = asked_wh.max(lacking[0] / share);
    }
    for from in [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.7, 0.3, 0.0]] {
        let relieved = |wh: f64| loading(&feeder, 0, from.map(|part| -part * wh / Slot::HOURS)) <= 1.0;
        let (mut too_little, mut enough) = (0.0, 14_000.0 * Slot::HOURS);
        assert!(!relieved(too_little) && relieved(enough));
        for _ in 0..50 {
            let middle = 0.5 * (too_little + enough);
            if relieved(middle) { enough = middle } else { too_little = middle }
        }
        assert!((asked_wh / enough - 1.0).abs() < 0.05, "{asked_wh} Wh asked for, {enough} Wh are the least");
    }
}
