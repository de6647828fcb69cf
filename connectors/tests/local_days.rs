//! Days by the clock on the wall, of 92, 96 and 100 quarter-hours, in a market that knows UTC only.
//!
//! Nowhere in the market is a local day made: slots are numbered, prices for the use of the grid go by the quarter-hour of the UTC
//! day, baselines compare UTC days, bills are of UTC months. So a day of another length must lose nothing, have nothing twice, and
//! change nothing. Zones north and south of the equator, the years 2020 to 2040, from the calendar of the IANA data base.
#![allow(clippy::unwrap_used, clippy::panic)] // a test says what is wrong by panicking

use grid::{BranchId, DeviceId, EnergyMwh, Money, ProsumerId, Quality, Slot, Timestamp, UsagePointId};
use jiff::civil::{Date, date};
use jiff::tz::TimeZone;
use market::baseline::{History, estimate};
use market::transfer_price::TransferPrices;
use market::{
    Activation, ActivationId, ActivationStatus, AggregateId, Aggregation, BaselineMethod, BidId, BidInterval,
    Book, CongestionPoint, Contract, ContractId, DeviationPrices, DomsBid, EnergyBounds, FlexOffer,
    FlexOfferId, GridRow, Ledger, MarketEvent, MeterReading, Month, Need, RoundProof, RoundRecord, Rules,
    Schedule, Terms, ZoneId, Zones, audit, clear, disaggregate, settle_together,
};
use proptest::prelude::*;
use std::collections::BTreeMap;

const ZONES: [&str; 2] = ["Europe/Copenhagen", "Australia/Sydney"];
const KWH: i64 = 1_000_000;
const POINT: CongestionPoint = CongestionPoint { branch: BranchId(1), phase: None };

/// A local day: the slots it has.
#[derive(Debug, Clone, Copy)]
struct Day {
    date: Date,
    first: Slot,
    end: Slot,
}

impl Day {
    fn of(date: Date, zone: &TimeZone) -> Self {
        let midnight = |date: Date| {
            let instant = zone.to_ambiguous_timestamp(date.at(0, 0, 0, 0)).compatible().unwrap();
            let at = Timestamp::from_seconds(instant.as_second());
            assert_eq!(at.slot().start(), at, "a day begins with a quarter-hour");
            at.slot()
        };
        Self { date, first: midnight(date), end: midnight(date.tomorrow().unwrap()) }
    }

    fn slots(self) -> impl Iterator<Item = Slot> {
        (self.first.0..self.end.0).map(Slot)
    }

    fn count(self) -> usize {
        self.slots().count()
    }
}

fn days(zone: &TimeZone) -> Vec<Day> {
    let all = date(2020, 1, 1).series(jiff::Span::new().days(1));
    all.take_while(|day| day.year() <= 2040).map(|day| Day::of(day, zone)).collect()
}

fn quarter(slot: Slot) -> u8 {
    (slot.start().seconds().rem_euclid(86_400) / 900) as u8
}

/// Different in every quarter-hour of the UTC day.
fn price(quarter: u8) -> Money {
    Money(1_000 + 37 * i64::from(quarter) % 97 * 10 + i64::from(quarter))
}

fn zones() -> Zones {
    [(ZoneId(1), vec![POINT.into()])].into()
}

#[test]
fn local_days_have_92_96_or_100_quarter_hours_and_lie_side_by_side() {
    let prices = TransferPrices { per_kwh: (0..96).map(|at| ((POINT.branch, at), price(at))).collect() };
    for name in ZONES {
        let zone = TimeZone::get(name).unwrap();
        let days = days(&zone);
        let mut lengths: BTreeMap<usize, usize> = BTreeMap::new();
        for (day, next) in days.iter().zip(days.iter().skip(1)) {
            assert_eq!(day.end, next.first, "{name}, {}", day.date);
            *lengths.entry(day.count()).or_default() += 1;
            for slot in day.slots() {
                let at = jiff::Timestamp::from_second(slot.start().seconds()).unwrap();
                assert_eq!(zone.to_datetime(at).date(), day.date);
                // Each belongs to one bill.
                let month = Month::of(slot.start());
                assert!(month.contains(slot.start()) && !month.next().contains(slot.start()));
                assert_eq!(prices.of(&zones(), ZoneId(1), slot), price(quarter(slot)));
            }
            let dearest = day.slots().map(|slot| price(quarter(slot))).max().unwrap();
            assert_eq!(
                prices.dearest(&zones(), ZoneId(1), day.first, day.end),
                dearest,
                "{name} {}",
                day.date
            );
        }
        let short_and_long = lengths.iter().filter(|(length, _)| **length != 96).collect::<Vec<_>>();
        assert_eq!(short_and_long, [(&92, &21), (&100, &21)], "{name}");
        assert_eq!(days.len(), 7_671);
    }
}

fn accepted_and_bought(day: Day, offer: &FlexOffer, record: &mut impl FnMut(MarketEvent)) -> Contract {
    let at = offer.created_at;
    record(MarketEvent::OfferAccepted { offer: offer.clone(), at });
    let mut aggregation = Aggregation::default();
    aggregation.add(offer.clone(), ZoneId(1)).unwrap();
    let aggregate = aggregation.seal(at, || AggregateId::new("agg-1").unwrap()).remove(0);
    record(MarketEvent::AggregateFormed { aggregate: aggregate.clone(), at });
    let interval = BidInterval { schedule_change: EnergyMwh(-KWH), price: Money(500_000) };
    let row = |slot| GridRow { congestion_point: POINT, slot, headroom: EnergyMwh(-KWH) };
    let need = Need {
        issued_at: at,
        contracts_seen: 0,
        bids: vec![DomsBid {
            id: BidId::new("bid-1").unwrap(),
            congestion_point: POINT,
            start: day.first,
            intervals: vec![interval; day.count()],
        }],
        rows: day.slots().map(row).collect(),
    };
    record(MarketEvent::NeedPlaced { need: need.clone(), at });
    let offers = [(aggregate.id.clone(), aggregate.clone())].into();
    let book = Book { need: Some(need), zones: zones(), offers, ..Book::default() };
    let rules = Rules::default();
    let clearing = clear(&book, &rules, at);
    let round = RoundRecord::new(&book, &clearing, at).unwrap();
    let proof = RoundProof::new(&book, &rules, &clearing, at);
    record(MarketEvent::RoundCleared { round, proof });
    let purchase = clearing.accepted.into_iter().next().unwrap();
    let id = ContractId::new("c-1").unwrap();
    let contract = Contract::bought(id, 1, purchase, &aggregate, rules.settlement, at);
    record(MarketEvent::ContractFormed { contract: contract.clone() });
    let assignments = disaggregate(&aggregate, std::slice::from_ref(offer), &contract.schedule).unwrap();
    record(MarketEvent::Assigned { contract: contract.id.clone(), assignments, at });
    contract
}

/// Somebody offers to take nothing for a whole local day, is bought, told, metered and paid: slot by slot, once.
fn lived_through(day: Day) {
    let at = Timestamp::from_seconds(day.first.start().seconds() - 3_600);
    let deadline = Timestamp::from_seconds(day.first.start().seconds() - 60);
    let (kwh, count) = (EnergyMwh(KWH), day.count());
    let offer = FlexOffer {
        id: FlexOfferId::new("day").unwrap(),
        prosumer: ProsumerId(1),
        usage_point: UsagePointId(1),
        device: DeviceId(1),
        created_at: at,
        acceptance_before: deadline,
        assignment_before: deadline,
        start_after: day.first,
        start_before: day.first,
        slices: vec![EnergyBounds { min: EnergyMwh::ZERO, max: kwh }; count],
        total_energy: None,
        default_schedule: Schedule { start: day.first, energies: vec![kwh; count] },
        prices: DeviationPrices { decrease: Money(100_000), increase: Money(100_000) },
        terms: Terms::default(),
    };
    let (mut ledger, mut events) = (Ledger::default(), Vec::new());
    let mut record = |event: MarketEvent| {
        ledger.apply(&event).unwrap();
        events.push(event);
    };
    let contract = accepted_and_bought(day, &offer, &mut record);
    assert_eq!(
        contract.deviation.iter().map(|(slot, _)| *slot).collect::<Vec<_>>(),
        day.slots().collect::<Vec<_>>()
    );
    let activation = Activation {
        id: ActivationId::new("act-1").unwrap(),
        device: offer.device,
        offer: offer.id.clone(),
        contract: contract.id,
        schedule: contract.schedule,
        replaces_from: day.first,
    };
    let status = ActivationStatus {
        activation: activation.id.clone(),
        device: offer.device,
        accepted: true,
        reason: None,
        at,
    };
    record(MarketEvent::ActivationIssued { activation, at });
    record(MarketEvent::ActivationAnswered { status, at });
    for slot in day.slots() {
        let (energy, quality, received_at) = (EnergyMwh::ZERO, Quality::Measured, slot.end());
        let reading = MeterReading { device: offer.device, slot, energy, quality, received_at, source: None };
        ledger.apply(&MarketEvent::MeterRead { reading: reading.clone() }).unwrap();
        events.push(MarketEvent::MeterRead { reading });
        assert_eq!(ledger.missing_readings(slot.end()), []);
        let due = ledger.unsettled_due();
        assert_eq!(due.len(), 1, "{slot}");
        let settlement = settle_together(&due[0]).unwrap().remove(0);
        assert_eq!((settlement.slot, settlement.delivered), (slot, EnergyMwh(-KWH)));
        let event = MarketEvent::Settled { settlement, at: slot.end() };
        ledger.apply(&event).unwrap();
        events.push(event);
    }
    assert_eq!(ledger.settlements().map(|one| one.slot).collect::<Vec<_>>(), day.slots().collect::<Vec<_>>());
    assert_eq!((ledger.unsettled_count(), ledger.totals().delivered.0), (0, KWH * count as i64));
    let report = audit(&events);
    assert!(report.is_clean() && report.rounds_cleared_again == 1, "{:#?}", report.violations);
}

/// The mean of earlier days, which are UTC days, says of each slot of a local day what its quarter-hour of UTC was like.
fn foreseen(day: Day) {
    let energy = |slot: Slot| EnergyMwh(price(quarter(slot)).0 * 1_000);
    let before = (day.first.0 - 30 * 96..day.first.0).map(Slot);
    let history =
        History { metered: before.map(|slot| (slot, energy(slot))).collect(), ..History::default() };
    let method = BaselineMethod::XOfY { x: 3, y: 5, adjustment_slots: 8, adjustment_max_per_mille: 200 };
    let offer = FlexOffer {
        id: FlexOfferId::new("day").unwrap(),
        prosumer: ProsumerId(1),
        usage_point: UsagePointId(1),
        device: DeviceId(1),
        created_at: day.first.start(),
        acceptance_before: day.first.start(),
        assignment_before: day.first.start(),
        start_after: day.first,
        start_before: day.first,
        slices: Vec::new(),
        total_energy: None,
        default_schedule: Schedule { start: day.first, energies: Vec::new() },
        prices: DeviationPrices::default(),
        terms: Terms::default(),
    };
    let found = estimate(method, &offer, day.first..day.end, &history, day.first.start()).unwrap();
    assert!(found.slots().eq(day.slots()), "{day:?}");
    assert!(day.slots().all(|slot| found.energy_in(slot) == Some(energy(slot))), "{day:?}");
}

#[test]
fn every_day_on_which_clocks_change_and_every_turn_of_a_year_is_traded_and_paid_slot_by_slot() {
    let mut lived: BTreeMap<usize, u32> = BTreeMap::new();
    for name in ZONES {
        let zone = TimeZone::get(name).unwrap();
        let of_note = |day: &Day| {
            let (date, count) = (day.date, day.count());
            count != 96 || (date.month(), date.day()) == (12, 31) || (date.month(), date.day()) == (2, 29)
        };
        for day in days(&zone).into_iter().filter(of_note) {
            lived_through(day);
            foreseen(day);
            *lived.entry(day.count()).or_default() += 1;
        }
    }
    assert_eq!(lived, [(92, 42), (96, 54), (100, 42)].into());
}

#[test]
fn a_leap_second_is_no_time_here_and_makes_no_slot() {
    assert!("2016-12-31T23:59:60Z".parse::<Timestamp>().is_err());
    let (before, after) =
        ("2016-12-31T23:59:59Z".parse::<Timestamp>(), "2017-01-01T00:00:00Z".parse::<Timestamp>());
    let (before, after) = (before.unwrap(), after.unwrap());
    assert_eq!((after.seconds() - before.seconds(), after.slot().0 - before.slot().0), (1, 1));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_day_is_traded_and_paid_slot_by_slot(number in 0_usize..7_671, zone in 0_usize..2) {
        let zone = TimeZone::get(ZONES[zone]).unwrap();
        let date = date(2020, 1, 1).checked_add(jiff::Span::new().days(number as i64)).unwrap();
        let day = Day::of(date, &zone);
        prop_assert!([92, 96, 100].contains(&day.count()));
        lived_through(day);
        foreseen(day);
    }
}
