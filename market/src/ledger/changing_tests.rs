//! Offers that their owners change.

use super::owed_tests::settle_all;
use super::tests::{code, up_to};
use super::*;
use crate::aggregation::combine;
use crate::bid::ZoneId;
use crate::delegated::{DelegatedContract, Month};
use crate::event::MarketEvent;
use crate::flex_offer::TradingMode;
use crate::sample::story::{battery, charger, ledger_of, story, story_of};
use crate::sample::{instant, slot};
use crate::settlement::SettlementTerms;
use grid::packed::{pack_whole, unpack_whole};

/// An offer in a later revision, which asks for another price.
fn revised(offer: FlexOffer, revision: u32) -> FlexOffer {
    let mut offer = offer;
    offer.terms.revision = revision;
    offer.prices.increase.0 += i64::from(revision);
    offer
}

fn changed(offer: &FlexOffer, second: i64) -> MarketEvent {
    MarketEvent::OfferChanged { offer: offer.clone(), at: instant(second) }
}

fn is_contract(event: &MarketEvent) -> bool {
    matches!(event, MarketEvent::ContractFormed { .. })
}

#[test]
fn a_changed_offer_is_one_offer_and_nobody_buys_what_it_said_before() {
    let mut events = story_of(&[charger(1)], SettlementTerms::default());
    let bought = events.iter().position(is_contract).unwrap();
    let contract = events.split_off(bought).remove(0);
    let mut ledger = ledger_of(&events);
    let MarketEvent::AggregateFormed { aggregate: before, .. } = &events[2] else { panic!() };
    assert_eq!((before.members.as_slice(), ledger.open_aggregates().count()), (&[charger(1).id][..], 2));

    let mut second = revised(charger(1), 1);
    (second.acceptance_before, second.assignment_before) = (instant(-30), instant(-30));
    let counts =
        |ledger: &Ledger| (ledger.offer_count(), ledger.open_offer_count(), ledger.open_aggregates().count());
    let accepted_by = ledger.newest_record();
    assert_eq!(code(&mut ledger, &changed(&second, -121)), "ok");
    assert_eq!(counts(&ledger), (2, 2, 1));
    assert_eq!(ledger.unaggregated_offers().collect::<Vec<_>>(), [&second]);
    assert_eq!(code(&mut ledger, &contract), "not-open");
    // Until the change is durable the offer is what it was.
    let as_of =
        |ledger: &Ledger, record| ledger.offer_as_of(&second.id, record).map(|(offer, _)| offer.clone());
    assert_eq!(as_of(&ledger, accepted_by), Some(charger(1)));
    assert_eq!(as_of(&ledger, ledger.newest_record()), Some(second.clone()));
    assert_eq!(as_of(&ledger, RecordNumber(0)), None);

    // What is known already changes nothing, the first acceptance included.
    let once = format!("{ledger:?}");
    for event in events.iter().filter(|event| matches!(event, MarketEvent::OfferAccepted { .. })) {
        assert_eq!(ledger.apply(event), Ok(Applied::Known));
    }
    assert_eq!(ledger.apply(&changed(&second, 0)), Ok(Applied::Known), "however late it is said again");
    assert_eq!(once, format!("{ledger:?}"));

    // It is bundled afresh, under another name, and its old bundle stays dead.
    let id = AggregateId::new("agg-9").unwrap();
    let aggregate = combine(id, ZoneId(1), &[&second]).unwrap();
    assert_eq!(code(&mut ledger, &MarketEvent::AggregateFormed { aggregate, at: instant(-120) }), "ok");
    assert_eq!(counts(&ledger), (2, 2, 2));
    assert_eq!(code(&mut ledger, &contract), "not-open");

    // Its time is the new one.
    let expired = |at| MarketEvent::OfferExpired { offer: second.id.clone(), at: instant(at) };
    assert_eq!(ledger.overdue_offers(instant(-60)), [battery(3).id]);
    assert_eq!(code(&mut ledger, &expired(-31)), "too-early");
    assert_eq!(ledger.overdue_offers(instant(-30)), [second.id.clone(), battery(3).id]);
    assert_eq!(code(&mut ledger, &expired(-30)), "ok");
    assert_eq!(ledger.open_aggregates().count(), 1);

    let mut read: Ledger = unpack_whole(&pack_whole(&ledger)).unwrap();
    assert!(read == ledger);
    for event in [changed(&second, -40), expired(-30)] {
        assert_eq!(read.apply(&event), Ok(Applied::Known));
    }
}

#[test]
fn what_is_no_change_of_an_open_offer_is_refused() {
    let (mut ledger, contract) = up_to(is_contract);
    let lone = battery(3);
    let other_owner = FlexOffer { prosumer: ProsumerId(1), ..revised(lone.clone(), 1) };
    let mut same_revision = revised(lone.clone(), 1);
    same_revision.terms.revision = 0;
    let late = FlexOffer { acceptance_before: instant(-700), ..revised(lone.clone(), 1) };
    let mut broken = revised(lone.clone(), 1);
    broken.slices.clear();
    for (offer, second, said) in [
        (revised(charger(9), 1), -500, "unknown"),
        (other_owner, -500, "conflict"),
        (same_revision, -500, "conflict"),
        (late, -700, "too-late"),
        (revised(lone.clone(), 1), -60, "too-late"),
        // Others stand beside it.
        (revised(charger(1), 1), -500, "in-aggregate"),
        (revised(lone.clone(), 2), -500, "ok"),
        // It came late, and was overtaken.
        (revised(lone.clone(), 1), -400, "ok"),
    ] {
        assert_eq!(code(&mut ledger, &changed(&offer, second)), said, "{offer:?}");
    }
    assert_ne!(code(&mut ledger, &changed(&broken, -500)), "", "its own code");
    assert_eq!(ledger.offer(&lone.id).unwrap().0, &revised(lone.clone(), 2));
    assert_eq!(code(&mut ledger, &contract), "ok");
    assert_eq!(code(&mut ledger, &changed(&revised(charger(1), 1), -110)), "not-open");
    let withdrawn = MarketEvent::OfferWithdrawn { offer: lone.id.clone(), at: instant(-100) };
    assert_eq!(code(&mut ledger, &withdrawn), "ok");
    assert_eq!(code(&mut ledger, &changed(&revised(lone, 3), -90)), "not-open");
    let whole = ledger_of(&story());
    assert_eq!(code(&mut whole.clone(), &changed(&revised(charger(1), 1), -50)), "not-open");
}

#[test]
fn an_offer_may_come_to_be_another_device_s_of_its_owner() {
    let accepted =
        |offer: &FlexOffer| MarketEvent::OfferAccepted { offer: offer.clone(), at: instant(-3_000) };
    let of = |name: &str| FlexOffer { id: FlexOfferId::new(name).unwrap(), ..charger(1) };
    let (first, second) = (of("a"), of("b"));
    let mut ledger = ledger_of(&[accepted(&first), accepted(&second)]);
    let moved = FlexOffer { device: DeviceId(4), ..revised(second, 1) };
    assert_eq!(code(&mut ledger, &changed(&moved, -2_000)), "ok");
    let binding = |ledger: &Ledger, device| {
        let offers = ledger.binding_offers(DeviceId(device), instant(-1_000));
        offers.map(|offer| offer.id.to_string()).collect::<Vec<_>>()
    };
    let newest = |ledger: &Ledger, device| {
        let state = ledger.offer_state(DeviceId(device));
        (state.made, state.newest.map(|(offer, _)| offer.id.to_string()))
    };
    assert_eq!((binding(&ledger, 1), binding(&ledger, 4)), (vec!["a".to_owned()], vec!["b".to_owned()]));
    assert_eq!(
        (newest(&ledger, 1), newest(&ledger, 4)),
        ((2, Some("a".to_owned())), (1, Some("b".to_owned())))
    );
    let moved = FlexOffer { device: DeviceId(4), ..revised(first, 1) };
    assert_eq!(code(&mut ledger, &changed(&moved, -2_000)), "ok");
    assert_eq!((newest(&ledger, 1), binding(&ledger, 1)), ((2, None), Vec::new()));
    assert_eq!(newest(&ledger, 4), (2, Some("a".to_owned())));
}

#[test]
fn an_evening_with_a_change_is_settled_by_what_the_offer_said_last_and_the_auditor_agrees() {
    let last = revised(charger(1), 1);
    let mut facts = story_of(&[last.clone(), charger(2)], SettlementTerms::default());
    facts.retain(|event| !matches!(event, MarketEvent::Settled { .. }));
    let mut first = charger(1);
    (first.default_schedule.start, first.prices.decrease.0) = (slot(1), 3);
    facts[0] = MarketEvent::OfferAccepted { offer: first, at: instant(-3_000) };
    facts.insert(2, changed(&last, -2_900));
    let (mut ledger, mut events) = (Ledger::default(), Vec::new());
    for event in facts {
        ledger.apply(&event).unwrap();
        events.push(event);
        settle_all(&mut ledger, &mut events);
    }
    assert_eq!(ledger.settlements().count(), 8);
    let report = crate::audit::audit(&events);
    assert!(report.is_clean(), "{:#?}", report.violations);
    assert_eq!((report.offers, report.offers_changed), (3, 1));
    // As the first of its kind it would have been the same, but for the numbers of the records.
    let plain = story_of(&[last, charger(2)], SettlementTerms::default());
    assert_eq!(ledger.balances(), ledger_of(&plain).balances());
}

#[test]
fn flexibility_is_paid_once_and_as_it_was_offered_last() {
    let january = Month::new(2026, 1).unwrap();
    let contract = DelegatedContract { time_flex_reward: Money(10_000), ..DelegatedContract::default() };
    let prosumer = ProsumerId(1);
    let mut first = charger(1);
    first.terms.mode = TradingMode::Delegated;
    let last = FlexOffer { start_before: slot(2), ..revised(first.clone(), 1) };
    let mut events = vec![
        MarketEvent::DelegationAgreed { prosumer, from: january, contract, at: instant(-3_000_000) },
        MarketEvent::OfferAccepted { offer: first.clone(), at: instant(-3_000) },
        changed(&last, -2_000),
        MarketEvent::OfferExpired { offer: first.id.clone(), at: instant(90_000) },
    ];
    let bill = ledger_of(&events).bills_due(january.end()).pop().unwrap();
    assert_eq!((bill.num_flex_offers, bill.total_time_flex), (1, 2));
    // The contract, and the change.
    assert_eq!(bill.lines[0].cites, [1, 3].map(RecordNumber));
    events.push(MarketEvent::BillIssued { bill, at: january.end() });
    assert_eq!(crate::audit::audit(&events).violations, [""; 0]);
}
