//! What waits for something, by who asks for it.

use super::tests::{is_activation, up_to};
use super::*;
use crate::event::MarketEvent;
use crate::sample::instant;
use crate::sample::slot;
use crate::sample::story::{ledger_of, story};
use crate::settlement::Due;

#[test]
fn an_agent_sees_its_own_orders_while_they_can_be_followed() {
    let (ledger, event) = up_to(is_activation);
    let told = |ledger: &Ledger, prosumer| {
        let parts = ledger.assignments_to_activate(ProsumerId(prosumer));
        parts.map(|part| part.offer.prosumer.0).collect::<Vec<_>>()
    };
    assert_eq!((told(&ledger, 1), told(&ledger, 2), told(&ledger, 3)), (vec![1], vec![2], vec![]));
    let mut ledger = ledger;
    ledger.apply(&event).unwrap();
    let MarketEvent::ActivationIssued { activation, .. } = event else { panic!() };
    let prosumer = ledger.offer(&activation.offer).unwrap().0.prosumer;
    assert!(told(&ledger, prosumer.0).is_empty());
    let end = activation.schedule.end().start();
    let repeated = |prosumer, now| ledger.activations_to_repeat(prosumer, now).count();
    assert_eq!(repeated(prosumer, end.minus(std::time::Duration::from_nanos(1))), 1);
    assert_eq!(repeated(prosumer, end), 0, "it is past");
    assert_eq!(repeated(ProsumerId(prosumer.0 % 2 + 1), instant(0)), 0, "it is another one's");
    assert_eq!(ledger.activations_unanswered().count(), 1);
    let whole = ledger_of(&story());
    assert_eq!((1..4).map(|prosumer| repeated_in(&whole, prosumer)).sum::<usize>(), 0, "all were answered");
    let accepted = whole.activations().filter(|(_, answer)| answer.is_some_and(|answer| answer.accepted));
    assert_eq!(whole.totals().confirmed, accepted.count() as u64);
    let counts =
        (whole.offer_count(), whole.activation_count(), whole.settlement_count(), whole.open_offer_count());
    let counted = (whole.offers().count(), whole.activations().count(), whole.settlements().count());
    assert_eq!(
        counts,
        (counted.0 as u64, counted.1 as u64, counted.2 as u64, whole.open_offers().count() as u64)
    );
}

fn repeated_in(ledger: &Ledger, prosumer: u32) -> usize {
    ledger.activations_to_repeat(ProsumerId(prosumer), instant(-9_999)).count()
}

#[test]
fn what_a_reading_completes_is_what_is_due_with_it() {
    let mut ledger = Ledger::default();
    let mut met = 0;
    for event in story() {
        ledger.apply(&event).unwrap();
        let MarketEvent::MeterRead { reading } = &event else { continue };
        let due = ledger.unsettled_due();
        let with = |group: &Vec<Due<'_>>| {
            group.iter().any(|due| due.offer.device == reading.device && due.slot == reading.slot)
        };
        let wanted: Vec<_> = due.into_iter().filter(with).collect();
        assert_eq!(ledger.due_with(reading.device, reading.slot), wanted);
        met += wanted.len();
        assert!(ledger.due_with(DeviceId(99), reading.slot).is_empty());
    }
    assert!(met > 2, "{met}");
}

#[test]
fn what_stands_for_a_missing_reading_is_the_baseline_of_an_order_that_waits_for_it() {
    let (ledger, _) = up_to(is_activation);
    let missing = ledger.missing_readings(instant(90_000));
    assert!(!missing.is_empty());
    for (device, slot) in missing {
        let offers = ledger.offers().filter(|(offer, _)| offer.device == device);
        let declared = offers.map(|(offer, _)| offer.default_schedule.energy_in(slot)).next().unwrap();
        assert_eq!(ledger.substitute(device, slot), declared);
    }
    assert_eq!(ledger.substitute(DeviceId(99), slot(0)), EnergyMwh::ZERO);
}
