//! Evenings with an offer that stays alone: what it asks once is paid, and what it does not accept is found.

use super::*;
use crate::flex_offer::{Acceptance, ActivationCost, ExclusiveGroupId, FlexOffer, Terms};
use crate::price_clearing::Pricing;
use crate::sample::energies;
use crate::sample::story::{ledger_of, story_of};
use crate::settlement::SettlementTerms;
use grid::Money;

/// A charger that asks 0.05 once and 0.01 for each slot of shift, wants to move 3 kWh in all at least, in a group.
fn choosy(number: u32) -> FlexOffer {
    let terms = Terms {
        acceptance: Acceptance::AtLeast { energy: EnergyMwh(3_000_000) },
        exclusive_group: Some(ExclusiveGroupId::new("g").unwrap()),
        cost: ActivationCost { activation: Money(50_000), per_slot_shifted: Money(10_000) },
        ..Terms::default()
    };
    FlexOffer { terms, ..charger(number) }
}

fn evening(pricing: Pricing) -> Vec<MarketEvent> {
    story_of(&[choosy(1)], SettlementTerms { pricing, fee_per_mille: 0, ..SettlementTerms::default() })
}

fn formed(events: &mut [MarketEvent]) -> &mut Contract {
    let formed = events.iter_mut().find_map(|event| match event {
        MarketEvent::ContractFormed { contract } => Some(contract),
        _ => None,
    });
    formed.unwrap()
}

#[test]
fn what_is_asked_once_is_paid_when_all_is_delivered() {
    for pricing in [Pricing::PayAsBid, Pricing::Uniform, Pricing::UniformMakeWhole] {
        let mut events = evening(pricing);
        let report = of(&events);
        assert_eq!(report.violations, Vec::<String>::new(), "{pricing:?}");
        let contract = formed(&mut events).clone();
        // By default in slots 0 and 1, moved to slots 2 and 3.
        assert_eq!(contract.beside(), Money(50_000 + 2 * 10_000));
        let paid = ledger_of(&events).totals().paid;
        match pricing {
            Pricing::PayAsBid => assert_eq!(paid, contract.cost),
            Pricing::Uniform => {}
            Pricing::UniformMakeWhole => assert!(paid >= contract.cost, "{paid} of {}", contract.cost),
        }
    }
}

#[test]
fn another_sum_beside_the_prices_is_found() {
    let mut events = evening(Pricing::PayAsBid);
    formed(&mut events).cost += Money(1);
    says(&of(&events), "states a cost of");
}

#[test]
fn the_ledger_refuses_a_contract_that_costs_more() {
    let mut events = evening(Pricing::PayAsBid);
    formed(&mut events).cost += Money(1);
    let at = events.iter().position(|event| matches!(event, MarketEvent::ContractFormed { .. })).unwrap();
    let mut ledger = ledger_of(&events[..at]);
    assert_eq!(ledger.apply(&events[at]).unwrap_err().code(), "contract-contents");
}

#[test]
fn a_schedule_that_the_offer_does_not_accept_is_found() {
    let mut events = evening(Pricing::PayAsBid);
    for event in &mut events {
        if let MarketEvent::OfferAccepted { offer, .. } = event
            && offer.device == DeviceId(1)
        {
            offer.terms.acceptance = Acceptance::AtLeast { energy: EnergyMwh(4_000_001) };
        }
    }
    says(&of(&events), "does not accept");
    let at = events.iter().position(|event| matches!(event, MarketEvent::ContractFormed { .. })).unwrap();
    let mut ledger = ledger_of(&events[..at]);
    assert_eq!(ledger.apply(&events[at]).unwrap_err().code(), "schedule-too-little");
}

#[test]
fn the_auditor_and_the_offer_agree_on_what_a_block_is() {
    let block = |factor_min_ppm| Acceptance::Block { deviation: energies(&[-1_000, -333]), factor_min_ppm };
    let slices = crate::sample::slices(&[(0, 1_000), (0, 1_000)]);
    for factor_min_ppm in [1, 250_000, 1_000_000] {
        let mut offer = FlexOffer { slices: slices.clone(), ..charger(1) };
        offer.default_schedule.energies = energies(&[1_000, 1_000]);
        offer.terms.acceptance = block(factor_min_ppm);
        offer.check().unwrap();
        for first in 0..=1_000 {
            for second in [0, 400, 665, 666, 667, 668, 750, 833, 834, 1_000] {
                let schedule =
                    Schedule { energies: energies(&[first, second]), ..offer.default_schedule.clone() };
                let accepted = offer.check_schedule(&schedule).is_ok();
                assert_eq!(super::super::lone::accepts(&offer, &schedule), accepted, "{first} {second}");
            }
        }
    }
}

#[test]
fn two_offers_of_a_group_are_not_both_bought() {
    let mut events = evening(Pricing::PayAsBid);
    let mut more = evening(Pricing::PayAsBid);
    for event in &mut more {
        match event {
            MarketEvent::OfferAccepted { offer, .. } if offer.device == DeviceId(1) => {
                offer.id = FlexOfferId::new("fo-9").unwrap();
            }
            MarketEvent::AggregateFormed { aggregate, .. } if aggregate.members == [choosy(1).id] => {
                aggregate.id = AggregateId::new("agg-9").unwrap();
                aggregate.members = vec![FlexOfferId::new("fo-9").unwrap()];
            }
            MarketEvent::RoundCleared { round, .. } => round.at = instant(-119),
            MarketEvent::ContractFormed { contract } => {
                (contract.aggregate, contract.number) = (AggregateId::new("agg-9").unwrap(), 2);
                (contract.id, contract.formed_at) = (ContractId::new("c-9").unwrap(), instant(-119));
            }
            _ => {}
        }
    }
    let early = |event: &MarketEvent| match event {
        MarketEvent::OfferAccepted { offer, .. } => offer.id.as_str() == "fo-9",
        MarketEvent::AggregateFormed { aggregate, .. } => aggregate.id.as_str() == "agg-9",
        _ => false,
    };
    let (offer, late): (Vec<MarketEvent>, Vec<MarketEvent>) = more.into_iter().partition(early);
    let late = late.into_iter().filter(|event| {
        matches!(event, MarketEvent::RoundCleared { .. } | MarketEvent::ContractFormed { .. })
    });
    let bought = events.iter().position(|event| matches!(event, MarketEvent::ContractFormed { .. })).unwrap();
    let second: Vec<MarketEvent> = late.collect();
    events.truncate(bought + 1);
    let at = events.iter().position(|event| matches!(event, MarketEvent::NeedPlaced { .. })).unwrap();
    events.splice(at..at, offer);
    let mut ledger = ledger_of(&events);
    ledger.apply(&second[0]).unwrap();
    assert_eq!(ledger.apply(&second[1]).unwrap_err().code(), "group-sold");
    events.extend(second);
    says(&of(&events), "were both bought");
}
