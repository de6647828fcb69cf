//! What is owed, and what is not.

use super::*;
use crate::delegated::{DelegatedContract, Month};
use crate::event::MarketEvent;
use crate::flex_offer::TradingMode;
use crate::sample::story::{charger, ledger_of, story};
use crate::sample::{instant, slot};
use crate::settlement::settle_together;

pub(super) fn settle_all(ledger: &mut Ledger, events: &mut Vec<MarketEvent>) {
    while let Some(group) = ledger.unsettled_due().first() {
        for settlement in settle_together(group).unwrap() {
            let settled = MarketEvent::Settled { settlement, at: instant(9_000) };
            ledger.apply(&settled).unwrap();
            events.push(settled);
        }
    }
}

/// What charger 2 gets for slot 3, where it misses a tenth, when its answer is recorded at `second`: before its reading of
/// that slot or after it.
fn paid(second: i64, after_the_reading: bool) -> Money {
    let is_answer = |event: &MarketEvent| match event {
        MarketEvent::ActivationAnswered { status, .. } => status.device == DeviceId(2),
        _ => false,
    };
    let is_reading = |event: &MarketEvent| match event {
        MarketEvent::MeterRead { reading } => (reading.device, reading.slot) == (DeviceId(2), slot(3)),
        _ => false,
    };
    let told = story().into_iter().find(is_answer).unwrap();
    let MarketEvent::ActivationAnswered { status, .. } = told else { panic!() };
    let answer = MarketEvent::ActivationAnswered { status, at: instant(second) };
    let mut events = Vec::new();
    let mut ledger = Ledger::default();
    let facts = story()
        .into_iter()
        .filter(|event| !is_answer(event) && !matches!(event, MarketEvent::Settled { .. }));
    for event in facts {
        let here = is_reading(&event);
        let mut now = vec![event];
        if here {
            now.insert(usize::from(after_the_reading), answer.clone());
        }
        for event in now {
            ledger.apply(&event).unwrap();
            events.push(event);
            settle_all(&mut ledger, &mut events);
        }
    }
    let report = crate::audit::audit(&events);
    assert!(report.is_clean(), "{:#?}", report.violations);
    let own =
        |settlement: &&SlotSettlement| (settlement.slot, settlement.offer.as_str()) == (slot(3), "fo-2");
    let settlement = ledger.settlements().find(own).unwrap();
    let account = Account::Prosumer(grid::ProsumerId(2));
    settlement.postings.iter().filter(|posting| posting.account == account).map(|p| p.amount).sum()
}

#[test]
fn nothing_is_owed_for_a_slot_that_began_before_the_device_was_reached_whatever_comes_first() {
    let starts = 3 * 900;
    let in_time = paid(starts, false);
    let late = paid(starts + 1, false);
    assert_eq!(late - in_time, Money(10_000), "a tenth of a kWh at 0.10 EUR");
    assert_eq!(paid(starts + 901, true), late);
}

#[test]
fn flexibility_that_is_taken_back_or_offered_twice_for_the_same_time_is_paid_once() {
    let january = Month::new(2026, 1).unwrap();
    let contract = DelegatedContract { time_flex_reward: Money(10_000), ..DelegatedContract::default() };
    let prosumer = grid::ProsumerId(1);
    let agreed = MarketEvent::DelegationAgreed { prosumer, from: january, contract, at: instant(-3_000_000) };
    let offer = |name: &str, later: i64| {
        let mut offer = charger(1);
        offer.id = FlexOfferId::new(name).unwrap();
        offer.terms.mode = TradingMode::Delegated;
        let shift = |at: &mut grid::Slot| at.0 += later;
        shift(&mut offer.start_after);
        shift(&mut offer.start_before);
        shift(&mut offer.default_schedule.start);
        offer
    };
    let accepted =
        |name, later| MarketEvent::OfferAccepted { offer: offer(name, later), at: instant(-3_000) };
    let id = |name: &str| FlexOfferId::new(name).unwrap();
    let withdrawn = |name: &str| MarketEvent::OfferWithdrawn { offer: id(name), at: instant(-2_000) };
    let expired = |name: &str| MarketEvent::OfferExpired { offer: id(name), at: instant(90_000) };
    let mut events = vec![agreed];
    // Handed in and taken back, again and again.
    for name in ["a", "b", "c"] {
        events.extend([accepted(name, 0), withdrawn(name)]);
    }
    // The second of these overlaps the first, the third does not.
    events.extend([accepted("z", 0), accepted("y", 1), accepted("x", 2)]);
    events.extend(["x", "y", "z"].map(expired));
    let bill = ledger_of(&events).bills_due(january.end()).pop().unwrap();
    assert_eq!((bill.num_flex_offers, bill.total_time_flex), (2, 8));
    assert_eq!(bill.postings.last().unwrap().amount, Money(80_000));
    events.push(MarketEvent::BillIssued { bill: bill.clone(), at: january.end() });
    assert_eq!(crate::audit::audit(&events).violations, [""; 0]);
    events.pop();
    let more = crate::delegated::MonthlyBill { num_flex_offers: 3, ..bill };
    events.push(MarketEvent::BillIssued { bill: more, at: january.end() });
    assert!(!crate::audit::audit(&events).is_clean());
}
