use super::*;
use crate::baseline::BaselineMethod;
use crate::delegated::{DelegatedContract, Month, MonthlyBill};
use crate::event::MarketEvent;
use crate::flex_offer::TradingMode;
use crate::offering::OfferState;
use crate::sample::story::{battery, charger, ledger_of, need, story, story_of};
use crate::sample::{instant, slices, slot};
use crate::settlement::SettlementTerms;
use grid::{ProsumerId, Quality};

pub(super) fn up_to(fits: impl Fn(&MarketEvent) -> bool) -> (Ledger, MarketEvent) {
    let events = story();
    let at = events.iter().position(fits).unwrap();
    (ledger_of(&events[..at]), events[at].clone())
}

pub(super) fn code(ledger: &mut Ledger, event: &MarketEvent) -> &'static str {
    let before = format!("{ledger:?}");
    match ledger.apply(event) {
        Ok(_) => "ok",
        Err(error) => {
            assert_eq!(before, format!("{ledger:?}"), "a refused fact changed the ledger");
            let _ = error.to_string();
            error.code()
        }
    }
}

fn is_contract(event: &MarketEvent) -> bool {
    matches!(event, MarketEvent::ContractFormed { .. })
}

fn is_assigned(event: &MarketEvent) -> bool {
    matches!(event, MarketEvent::Assigned { .. })
}

pub(super) fn is_activation(event: &MarketEvent) -> bool {
    matches!(event, MarketEvent::ActivationIssued { .. })
}

fn is_settled(event: &MarketEvent) -> bool {
    matches!(event, MarketEvent::Settled { .. })
}

#[test]
fn an_evening_leaves_nothing_open_and_money_in_balance() {
    let ledger = ledger_of(&story());
    assert_eq!(ledger.open_offers().count(), 0);
    assert_eq!(ledger.contracts_without_assignment().count(), 0);
    assert_eq!(ledger.assignments_without_activation().count(), 0);
    assert_eq!(ledger.activations_unanswered().count(), 0);
    assert_eq!((ledger.unsettled_due().len(), ledger.unsettled_count()), (0, 0));
    assert_eq!(ledger.settlements().count(), 8);
    assert_eq!(ledger.balances().values().copied().sum::<Money>(), Money::ZERO);
    let totals = ledger.totals();
    assert_eq!(
        (totals.ordered_decrease, totals.ordered_increase),
        (EnergyMwh(4_000_000), EnergyMwh(4_000_000))
    );
    assert_eq!(totals.delivered, EnergyMwh(7_900_000));
    assert_eq!(totals.paid, -ledger.balances()[&Account::Dso]);
    assert!(
        ledger.balances()[&Account::Prosumer(ProsumerId(1))]
            > ledger.balances()[&Account::Prosumer(ProsumerId(2))]
    );
}

#[test]
fn a_fact_heard_twice_changes_nothing() {
    let mut ledger = Ledger::default();
    for event in story() {
        ledger.apply(&event).unwrap();
        let once = format!("{ledger:?}");
        ledger.apply(&event).unwrap();
        assert_eq!(once, format!("{ledger:?}"));
    }
    let once = format!("{ledger:?}");
    for event in story().iter().filter(|event| !matches!(event, MarketEvent::NeedPlaced { .. })) {
        ledger.apply(event).unwrap();
    }
    assert_eq!(once, format!("{ledger:?}"));
}

#[test]
fn every_event_survives_json() {
    for event in story() {
        let text = serde_json::to_string(&event).unwrap();
        assert_eq!(serde_json::from_str::<MarketEvent>(&text).unwrap(), event);
        let more = text.replacen('{', "{\"colour\":1,", 1);
        assert!(serde_json::from_str::<MarketEvent>(&more).is_err(), "{more}");
    }
}

#[test]
fn queries_follow_the_life_of_an_order() {
    let (ledger, _) = up_to(is_contract);
    assert_eq!(ledger.open_offers().count(), 3);
    assert_eq!(ledger.unaggregated_offers().count(), 0);
    assert_eq!(ledger.open_aggregates().count(), 2);
    let (ledger, _) = up_to(is_assigned);
    assert_eq!((ledger.contract_count(), ledger.contracts_without_assignment().count()), (1, 1));
    let aggregate = &ledger.contracts_without_assignment().next().unwrap().aggregate;
    assert_eq!(ledger.members(aggregate).len(), 2);
    assert_eq!(ledger.open_offers().count(), 1);
    let (ledger, _) = up_to(is_activation);
    assert_eq!(ledger.assignments_without_activation().count(), 2);
    assert_eq!(ledger.overdue_offers(instant(-60)), [battery(3).id]);
    let first = ledger.planned_deviation().iter().filter(|((_, point), _)| point.0 == 1);
    let planned: Vec<i64> = first.map(|(_, energy)| energy.0).collect();
    assert_eq!(planned[..4], [-1_000_000, -1_000_000, 1_000_000, 1_000_000]);
    let ordered: usize = (0..10).map(|device| ledger.contracted_from(grid::DeviceId(device)).len()).sum();
    assert_eq!(ordered, 8);
    assert_eq!(ledger.missing_readings(crate::sample::slot(0).end()).len(), 2);
    let (ledger, _) = up_to(is_settled);
    assert_eq!(ledger.unsettled_due().len(), 1);
    assert_eq!(ledger.missing_readings(crate::sample::slot(0).end()).len(), 0);
}

#[test]
fn the_state_of_a_device_is_its_newest_offer() {
    let ledger = ledger_of(&story());
    let state = ledger.offer_state(DeviceId(1));
    let (offer, status) = state.newest.unwrap();
    assert_eq!((state.made, offer), (1, &charger(1)));
    assert!(matches!(status, OfferStatus::Assigned { until } if until == crate::sample::slot(4).start()));
    assert_eq!(ledger.offer_state(DeviceId(9)), OfferState::default());
}

#[test]
fn a_refused_activation_is_not_planned_with() {
    let (mut ledger, event) = up_to(|event| matches!(event, MarketEvent::ActivationAnswered { .. }));
    let MarketEvent::ActivationAnswered { mut status, at } = event else { panic!() };
    status.accepted = false;
    ledger.apply(&MarketEvent::ActivationAnswered { status, at }).unwrap();
    let behind = |usage_point| {
        let planned = ledger.planned_deviation().iter().filter(move |((_, at), _)| at.0 == usage_point);
        planned.map(|(_, energy)| energy.0.abs()).sum::<i64>()
    };
    assert_eq!((behind(1), behind(2)), (0, 4_000_000));
}

#[test]
fn offers_that_are_not_open_cannot_be_closed_bundled_or_bought() {
    let (mut ledger, contract) = up_to(is_contract);
    let withdrawn = MarketEvent::OfferWithdrawn { offer: charger(1).id, at: instant(-500) };
    assert_eq!(code(&mut ledger, &withdrawn), "ok");
    assert_eq!(code(&mut ledger, &contract), "not-open");
    assert_eq!(ledger.open_aggregates().count(), 1);
    let (mut ledger, _) = up_to(is_assigned);
    assert_eq!(code(&mut ledger, &withdrawn), "not-open");
    let expired = |at| MarketEvent::OfferExpired { offer: battery(3).id, at: instant(at) };
    assert_eq!(code(&mut ledger, &expired(-61)), "too-early");
    assert_eq!(code(&mut ledger, &expired(-60)), "ok");
    let stranger = MarketEvent::OfferWithdrawn { offer: charger(9).id, at: instant(-500) };
    assert_eq!(code(&mut ledger, &stranger), "unknown");
}

#[test]
fn false_offers_and_aggregates_are_refused() {
    let (mut ledger, event) = up_to(|event| matches!(event, MarketEvent::AggregateFormed { .. }));
    let other = FlexOffer { start_before: crate::sample::slot(5), ..charger(1) };
    assert_eq!(
        code(&mut ledger, &MarketEvent::OfferAccepted { offer: other, at: instant(-3000) }),
        "conflict"
    );
    assert_eq!(
        code(&mut ledger, &MarketEvent::OfferAccepted { offer: charger(7), at: instant(0) }),
        "too-late"
    );
    let MarketEvent::AggregateFormed { aggregate, at } = event else { panic!() };
    let mut wide = aggregate.clone();
    wide.slices[0].max.0 += 1;
    assert_eq!(code(&mut ledger, &MarketEvent::AggregateFormed { aggregate: wide, at }), "not-the-sum");
    let mut twice = aggregate.clone();
    twice.members = vec![twice.members[0].clone(); 2];
    assert_eq!(code(&mut ledger, &MarketEvent::AggregateFormed { aggregate: twice, at }), "not-the-sum");
    ledger.apply(&MarketEvent::AggregateFormed { aggregate: aggregate.clone(), at }).unwrap();
    let renamed = AggregatedFlexOffer { id: AggregateId::new("agg-9").unwrap(), ..aggregate };
    assert_eq!(code(&mut ledger, &MarketEvent::AggregateFormed { aggregate: renamed, at }), "in-aggregate");
}

#[test]
fn an_order_is_known_by_the_record_that_gives_it_also_after_a_snapshot() {
    let (mut ledger, event) = up_to(is_activation);
    let before = ledger.newest_record();
    ledger.apply(&event).unwrap();
    let MarketEvent::ActivationIssued { activation, .. } = event else { panic!() };
    let known = |ledger: &Ledger, record| ledger.activation_as_of(&activation.id, record).is_some();
    assert_eq!((known(&ledger, before), known(&ledger, ledger.newest_record())), (false, true));
    let restarted: Ledger = grid::packed::unpack_whole(&grid::packed::pack_whole(&ledger)).unwrap();
    assert!(known(&restarted, restarted.newest_record()));
}

#[test]
fn a_need_that_does_not_know_the_newest_contract_is_refused() {
    let (mut ledger, _) = up_to(is_assigned);
    let fresh = |contracts_seen| Need { contracts_seen, issued_at: instant(-100), ..need() };
    let place = |need| MarketEvent::NeedPlaced { need, at: instant(-100) };
    assert_eq!(code(&mut ledger, &place(fresh(0))), "stale-need");
    assert_eq!(ledger.fresh_need(), None, "clearing the old need again would buy twice");
    assert_eq!(code(&mut ledger, &place(fresh(1))), "ok");
    assert_eq!(ledger.fresh_need(), Some(&fresh(1)));
}

#[test]
fn false_contracts_are_refused() {
    let (mut ledger, event) = up_to(is_contract);
    let MarketEvent::ContractFormed { contract } = event else { panic!() };
    let mut refused = |change: fn(&mut Contract)| {
        let mut contract = contract.clone();
        change(&mut contract);
        code(&mut ledger, &MarketEvent::ContractFormed { contract })
    };
    assert_eq!(refused(|c| c.number = 2), "contract-number");
    assert_eq!(refused(|c| c.aggregate = AggregateId::new("agg-9").unwrap()), "unknown");
    assert_eq!(refused(|c| c.schedule.start.0 += 9), "schedule-start");
    assert_eq!(refused(|c| c.schedule.start.0 = i64::MIN), "schedule-start");
    assert_eq!(refused(|c| c.deviation[0].1.0 -= 1), "contract-contents");
    assert_eq!(refused(|c| c.cost.0 -= 1), "contract-contents");
    assert_eq!(refused(|c| c.prices.increase.0 += 1), "contract-contents");
    assert_eq!(refused(|c| c.slot_prices.truncate(1)), "contract-contents");
    assert_eq!(refused(|c| c.slot_prices[0].bid.0 += 1), "contract-contents");
    assert_eq!(refused(|c| c.slot_prices.iter_mut().for_each(|p| p.bid.0 = 0)), "contract-contents");
    assert_eq!(refused(|c| c.bids[0] = BidId::new("bid-9").unwrap()), "contract-contents");
    assert_eq!(refused(|c| c.formed_at = instant(-60)), "too-late");
}

#[test]
fn parts_that_move_otherwise_or_deviate_against_each_other_are_refused() {
    let given = |offers: &[FlexOffer], change: fn(&mut [Assignment])| {
        let events = story_of(offers, SettlementTerms::default());
        let place = events.iter().position(is_assigned).unwrap();
        let MarketEvent::Assigned { contract, mut assignments, at } = events[place].clone() else { panic!() };
        change(&mut assignments);
        for (part, offer) in assignments.iter_mut().zip(offers) {
            part.deviation = offer.deviation(&part.schedule);
        }
        let event = MarketEvent::Assigned { contract, assignments, at };
        ledger_of(&events[..place]).apply(&event).map_or_else(|error| error.to_string(), |_| "ok".to_owned())
    };
    let sheddable = |number| FlexOffer {
        start_before: slot(0),
        slices: slices(&[(0, 1_500_000), (0, 1_500_000)]),
        ..charger(number)
    };
    let four = [1, 2, 4, 5].map(sheddable); // 3 is the battery
    assert_eq!(given(&four, |_| ()), "ok");
    // 2 of 4 kWh are bought off in slot 0; these parts add up to what is left, but the first takes more than ever.
    let said = given(&four, |parts| {
        for (part, energy) in parts.iter_mut().zip([1_200_000, 0, 300_000, 500_000]) {
            part.schedule.energies[0] = EnergyMwh(energy);
        }
    });
    assert!(said.contains("against each other"), "{said}");
    let movable = [charger(1), charger(2)];
    let said = given(&movable, |parts| parts[0].schedule.start = parts[0].schedule.start.plus(-1));
    assert!(said.contains("moves by another time"), "{said}");
}

#[test]
fn false_assignments_and_activations_are_refused() {
    let (mut ledger, event) = up_to(is_assigned);
    let MarketEvent::Assigned { contract, assignments, at } = event else { panic!() };
    let mut refused = |change: fn(&mut Vec<Assignment>)| {
        let (contract, mut assignments) = (contract.clone(), assignments.clone());
        change(&mut assignments);
        code(&mut ledger, &MarketEvent::Assigned { contract, assignments, at })
    };
    assert_eq!(refused(|parts| drop(parts.pop())), "assignment-contents");
    assert_eq!(refused(|parts| parts.push(parts[0].clone())), "assignment-contents");
    assert_eq!(refused(|parts| parts[0].schedule.energies[0].0 += 1), "schedule-energy");
    assert_eq!(refused(|parts| parts[0].deviation.clear()), "assignment-contents");
    let (mut ledger, event) = up_to(is_activation);
    let MarketEvent::ActivationIssued { activation, at } = event else { panic!() };
    let mut refused = |change: fn(&mut Activation)| {
        let mut activation = activation.clone();
        change(&mut activation);
        code(&mut ledger, &MarketEvent::ActivationIssued { activation, at })
    };
    assert_eq!(refused(|a| a.device.0 += 1), "activation-contents");
    assert_eq!(refused(|a| a.offer = battery(3).id), "activation-contents");
    assert_eq!(refused(|a| a.schedule.start.0 += 1), "activation-contents");
    assert_eq!(refused(|_| {}), "ok");
    assert_eq!(refused(|a| a.id = ActivationId::new("act-9").unwrap()), "activated-twice");
}

#[test]
fn false_readings_and_settlements_are_refused() {
    let (mut ledger, event) = up_to(is_settled);
    let MarketEvent::Settled { settlement, at } = event else { panic!() };
    let mut refused = |change: fn(&mut SlotSettlement)| {
        let mut settlement = settlement.clone();
        change(&mut settlement);
        code(&mut ledger, &MarketEvent::Settled { settlement, at })
    };
    assert_eq!(refused(|s| s.slot.0 += 9), "settlement-contents");
    assert_eq!(refused(|s| s.slot.0 = i64::MAX), "settlement-contents");
    assert_eq!(refused(|s| s.metered.0 += 1), "settlement-contents");
    assert_eq!(refused(|s| s.baseline.0 += 1), "settlement-contents");
    assert_eq!(refused(|s| s.netted.0 += 1), "settlement-contents");
    assert_eq!(refused(|s| s.rebound.0 += 1), "settlement-contents");
    assert_eq!(refused(|s| s.cites = s.cites[..1].to_vec().into()), "settlement-contents");
    assert_eq!(
        refused(|s| s.cites = [&s.cites, &[RecordNumber(1_000)][..]].concat().into()),
        "settlement-contents"
    );
    assert_eq!(refused(|s| s.delivered.0 = s.ordered.0 - 1), "settlement-contents");
    assert_eq!(refused(|s| s.postings[0].amount.0 += 1), "settlement-contents");
    assert_eq!(refused(|_| {}), "ok");
    assert_eq!(refused(|s| s.postings.clear()), "settlement-contents");
    let (mut ledger, _) = up_to(|event| matches!(event, MarketEvent::MeterRead { .. }));
    let read = |energy, quality, seconds| MarketEvent::MeterRead {
        reading: MeterReading {
            source: None,
            device: DeviceId(2),
            slot: crate::sample::slot(0),
            energy: EnergyMwh(energy),
            quality,
            received_at: instant(seconds),
        },
    };
    assert_eq!(code(&mut ledger, &read(5, Quality::Measured, 899)), "too-early");
    assert_eq!(code(&mut ledger, &read(i64::MIN, Quality::Measured, 900)), "energy-too-large");
    assert_eq!(code(&mut ledger, &read(5, Quality::Substituted, 900)), "ok");
    assert_eq!(code(&mut ledger, &read(6, Quality::Measured, 950)), "ok");
    assert_eq!(code(&mut ledger, &read(7, Quality::Measured, 960)), "reading-twice");
}

/// The X of Y rules of a contract that names them.
const BY_DAYS: BaselineMethod =
    BaselineMethod::XOfY { x: 1, y: 1, adjustment_slots: 0, adjustment_max_per_mille: 0 };

/// The story until the first activation, with a contract that names another baseline than the declared one.
fn by_days() -> Ledger {
    let mut ledger = Ledger::default();
    for mut event in story().into_iter().take_while(|event| !is_activation(event)) {
        if let MarketEvent::ContractFormed { contract } = &mut event {
            contract.terms.baseline = BY_DAYS;
        }
        ledger.apply(&event).unwrap();
    }
    ledger
}

fn frozen(start: i64, energies: &[i64], frozen_at: i64) -> MarketEvent {
    let baseline = Baseline {
        method: BY_DAYS,
        version: BY_DAYS.id().to_owned(),
        frozen_at: instant(frozen_at),
        start: crate::sample::slot(start),
        energies: crate::sample::energies(energies),
    };
    let contract = ContractId::new("c-1").unwrap();
    MarketEvent::BaselineFrozen { contract, offer: charger(1).id, baseline, at: instant(-112) }
}

#[test]
fn a_baseline_is_frozen_before_the_device_is_told_or_never() {
    let whole = [1_100_000, 900_000, 5, 5, 7, 7];
    let (mut ledger, _) = up_to(is_activation);
    assert_eq!(
        code(&mut ledger, &frozen(0, &whole, -115)),
        "baseline-contents",
        "the contract names another"
    );
    let mut ledger = by_days();
    assert_eq!(code(&mut ledger, &frozen(0, &whole[..3], -115)), "baseline-contents", "slots are missing");
    assert_eq!(code(&mut ledger, &frozen(0, &whole, -100)), "baseline-contents", "of the future");
    assert_eq!(code(&mut ledger, &frozen(0, &[i64::MIN; 6], -115)), "baseline-contents");
    let waiting = ledger.unsettled_count();
    assert_eq!(code(&mut ledger, &frozen(0, &whole, -115)), "ok");
    assert_eq!(ledger.unsettled_count(), waiting + 2, "the two slots after the order can rebound");
    assert_eq!(code(&mut ledger, &frozen(0, &[1; 6], -115)), "conflict");
    let mut told = by_days();
    let order = story().into_iter().find(is_activation).unwrap();
    assert_eq!(code(&mut told, &order), "ok");
    assert_eq!(code(&mut told, &frozen(0, &whole, -115)), "baseline-contents", "told already");
}

#[test]
fn a_frozen_baseline_is_what_delivery_is_measured_against() {
    let mut ledger = by_days();
    ledger.apply(&frozen(0, &[1_100_000, 900_000, 5, 5, 7, 7], -115)).unwrap();
    let later = story().into_iter().skip_while(|event| !is_activation(event));
    for event in later.filter(|event| !is_settled(event)) {
        ledger.apply(&event).unwrap();
    }
    for (device, slot) in ledger.missing_readings(instant(9_000)) {
        let (energy, quality) = (EnergyMwh(40_007), Quality::Measured);
        let reading =
            MeterReading { device, slot, energy, quality, received_at: instant(9_000), source: None };
        ledger.apply(&MarketEvent::MeterRead { reading }).unwrap();
    }
    // One at a time: what can be taken back depends on what was credited before.
    while let Some(group) = ledger.unsettled_due().first() {
        for settlement in crate::settlement::settle_together(group).unwrap() {
            ledger.apply(&MarketEvent::Settled { settlement, at: instant(9_100) }).unwrap();
        }
    }
    let own = || ledger.settlements().filter(|s| s.offer == charger(1).id);
    let baselines: Vec<i64> = own().map(|s| s.baseline.0).collect();
    assert_eq!(baselines, [1_100_000, 900_000, 5, 5, 7, 7]);
    assert_eq!(own().map(|s| s.rebound.0).collect::<Vec<_>>(), [0, 0, 0, 0, 40_000, 40_000]);
    assert_eq!(ledger.balances().values().copied().sum::<Money>(), Money::ZERO);
}

#[test]
fn money_does_not_depend_on_the_order_in_which_meters_are_heard() {
    let run = |turned: bool| {
        let mut ledger = by_days();
        ledger.apply(&frozen(0, &[1_100_000, 900_000, 5, 5, 7, 7], -115)).unwrap();
        let mut readings = Vec::new();
        for event in story().into_iter().skip_while(|event| !is_activation(event)) {
            match event {
                MarketEvent::MeterRead { reading } => readings.push(reading),
                MarketEvent::Settled { .. } => {}
                event => _ = ledger.apply(&event).unwrap(),
            }
        }
        for (device, slot) in ledger.missing_readings(instant(9_000)) {
            if !readings.iter().any(|reading| (reading.device, reading.slot) == (device, slot)) {
                let (energy, quality) = (EnergyMwh(40_007), Quality::Measured);
                readings.push(MeterReading {
                    device,
                    slot,
                    energy,
                    quality,
                    received_at: instant(9_000),
                    source: None,
                });
            }
        }
        if turned {
            readings.reverse();
        }
        for reading in readings {
            ledger.apply(&MarketEvent::MeterRead { reading }).unwrap();
            while let Some(group) = ledger.unsettled_due().first() {
                for settlement in crate::settlement::settle_together(group).unwrap() {
                    ledger.apply(&MarketEvent::Settled { settlement, at: instant(9_100) }).unwrap();
                }
            }
        }
        assert_eq!(ledger.unsettled_count(), 0);
        (ledger.balances().clone(), ledger.settlements().filter(|one| one.rebound.0 != 0).count())
    };
    assert_eq!(run(false), run(true));
    assert_eq!(run(true).1, 2, "what rebounds is owed for");
}

#[test]
fn nothing_is_bought_that_has_begun_and_no_bid_changes_under_its_name() {
    let (mut ledger, event) = up_to(|event| matches!(event, MarketEvent::RoundCleared { .. }));
    let MarketEvent::RoundCleared { mut round, .. } = event else { panic!() };
    let mut other = need();
    other.bids[0].intervals[0].price = Money(1);
    assert_eq!(code(&mut ledger, &MarketEvent::NeedPlaced { need: other, at: instant(-500) }), "conflict");
    round.at = instant(1);
    ledger.apply(&MarketEvent::Cleared { round }).unwrap();
    let Some(MarketEvent::ContractFormed { mut contract }) = story().into_iter().find(is_contract) else {
        panic!()
    };
    contract.formed_at = instant(1);
    assert_eq!(code(&mut ledger, &MarketEvent::ContractFormed { contract }), "too-late");
    let mut late = charger(1);
    late.acceptance_before = instant(-3_000);
    let accepted = MarketEvent::OfferAccepted { offer: late, at: instant(-3_000) };
    assert_eq!(code(&mut Ledger::default(), &accepted), "too-late", "deadlines are exclusive");
}

#[test]
fn records_are_numbered_upward_and_cited_by_their_numbers() {
    let mut ledger = Ledger::default();
    for (mut event, number) in story().into_iter().zip(1..) {
        if let MarketEvent::Settled { settlement, .. } = &mut event {
            assert!(ledger.apply_record(RecordNumber(10 * number), &story()[number as usize - 1]).is_err());
            settlement.cites =
                settlement.cites.iter().map(|record| RecordNumber(record.0 * 10)).collect::<Vec<_>>().into();
        }
        ledger.apply_record(RecordNumber(10 * number), &event).unwrap();
    }
    let cited = || ledger.settlements().flat_map(|settlement| settlement.cites.iter());
    assert!(cited().all(|record| record.0 % 10 == 0) && cited().count() > 40);
    let again = ledger.apply_record(RecordNumber(10), &story()[0]).unwrap_err();
    assert_eq!(again.code(), "record-order");
}

#[test]
fn a_delegated_month_is_billed_once_and_only_as_the_facts_make_it() {
    let january = Month::new(2026, 1).unwrap();
    let contract = DelegatedContract {
        fixed_reward: Money(1_000_000),
        time_flex_reward: Money(10_000),
        scheduling_start_time_reward: Money(50_000),
        imbalance_limit: EnergyMwh(1_000_000),
        ..DelegatedContract::default()
    };
    let agreed = MarketEvent::DelegationAgreed {
        prosumer: ProsumerId(1),
        from: january,
        contract,
        at: instant(-3_000_000),
    };
    let mut events = vec![agreed.clone()];
    let mut ledger = ledger_of(&events);
    for mut event in story().into_iter().filter(|event| !is_settled(event)) {
        if let MarketEvent::OfferAccepted { offer, .. } = &mut event
            && offer.prosumer == ProsumerId(1)
        {
            offer.terms.mode = TradingMode::Delegated;
        }
        ledger.apply(&event).unwrap();
        events.push(event);
    }
    assert_eq!(ledger.bill(ProsumerId(1), january), None, "deliveries wait for their settlement");
    while let Some(group) = ledger.unsettled_due().first() {
        for settlement in crate::settlement::settle_together(group).unwrap() {
            let settled = MarketEvent::Settled { settlement, at: instant(9_000) };
            ledger.apply(&settled).unwrap();
            events.push(settled);
        }
    }
    assert!(ledger.balances()[&Account::Aggregator].0 > 0, "the aggregator is the party on the market");
    let bill = ledger.bill(ProsumerId(1), january).unwrap();
    assert_eq!(
        (bill.num_flex_offers, bill.num_executed_flex_offers, bill.total_start_time_deviations),
        (1, 1, 2)
    );
    assert_eq!(bill.postings[1].amount, Money(1_000_000 + 4 * 10_000 + 2 * 50_000));
    let issued = |bill: MonthlyBill, at| MarketEvent::BillIssued { bill, at };
    let over = january.end();
    assert_eq!(ledger.bills_due(instant(9_000)), []);
    assert_eq!(ledger.bills_due(over), std::slice::from_ref(&bill));
    assert_eq!(code(&mut ledger, &issued(bill.clone(), instant(9_000))), "too-early");
    let mut dear = bill.clone();
    dear.postings.iter_mut().for_each(|posting| posting.amount.0 *= 2);
    assert_eq!(code(&mut ledger, &issued(dear.clone(), over)), "bill-contents");
    let before = ledger.newest_record();
    assert_eq!(code(&mut ledger, &issued(bill.clone(), over)), "ok");
    // Who may not know of the newest record yet sees no bill.
    let (key, now) = ((bill.prosumer, bill.month), ledger.newest_record());
    assert_eq!((ledger.bills_as_of(before, None).count(), ledger.bill_as_of(before, key)), (0, None));
    assert_eq!(ledger.bill_as_of(now, key), Some(&bill));
    assert_eq!(ledger.bills_as_of(now, None).collect::<Vec<_>>(), [&bill]);
    assert_eq!(ledger.bills_as_of(now, Some(key)).count(), 0);
    assert_eq!(ledger.apply(&issued(bill.clone(), over)), Ok(Applied::Known), "nothing is paid twice");
    assert_eq!(ledger.bills_due(over), []);
    let february = ledger.bills_due(january.next().end());
    assert_eq!(
        (february.len(), february[0].num_flex_offers, february[0].lines.len()),
        (1, 0, 1),
        "the fixed reward"
    );
    assert_eq!(code(&mut ledger, &issued(dear, over)), "conflict");
    assert_eq!(ledger.balances()[&Account::Prosumer(ProsumerId(1))], bill.postings[1].amount);
    assert_eq!(ledger.balances().values().copied().sum::<Money>(), Money::ZERO);
    let late =
        MarketEvent::DelegationAgreed { prosumer: ProsumerId(2), from: january, contract, at: instant(0) };
    assert_eq!(code(&mut ledger, &late), "too-late");
    events.push(issued(bill.clone(), over));
    let report = crate::audit::audit(&events);
    assert!(report.is_clean(), "{:#?}", report.violations);
    events.push(issued(bill, over));
    assert!(!crate::audit::audit(&events).is_clean(), "a bill issued twice is found");
    let mut without = events.clone();
    without.remove(0);
    without.pop();
    let mut generous = events.clone();
    generous.pop();
    if let Some(MarketEvent::BillIssued { bill, .. }) = generous.last_mut() {
        bill.lines[0].amount.0 += 1;
        bill.postings[0].amount.0 -= 1;
        bill.postings[1].amount.0 += 1;
    }
    let found = crate::audit::audit(&generous).violations;
    assert!(found.iter().any(|text| text.contains("other rewards than were agreed")), "{found:?}");
    assert!(
        crate::audit::audit(&without).violations.iter().any(|text| text.contains("rests on no contract"))
    );
}
