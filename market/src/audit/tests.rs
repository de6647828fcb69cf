//! An honest evening is clean; each way of tampering with it is found.

mod lone;
mod rounds;

use super::*;
use crate::baseline::BaselineMethod;
use crate::sample::instant;
use crate::sample::story::{battery, charger, story};
use crate::settlement::{Account, Cites};

fn of(events: &[MarketEvent]) -> AuditReport {
    audit(events)
}

/// Changes every event that `change` knows how to change.
fn tampered(mut change: impl FnMut(&mut MarketEvent)) -> AuditReport {
    let mut events = story();
    events.iter_mut().for_each(&mut change);
    assert_ne!(events, story(), "nothing was tampered with");
    of(&events)
}

/// Leaves out the first event that fits.
fn without(fits: impl Fn(&MarketEvent) -> bool) -> AuditReport {
    let mut events = story();
    let at = events.iter().position(fits).unwrap();
    events.remove(at);
    of(&events)
}

/// Repeats the first event that fits, changed.
fn again(fits: impl Fn(&MarketEvent) -> bool, change: impl FnOnce(&mut MarketEvent)) -> AuditReport {
    let mut events = story();
    let at = events.iter().position(fits).unwrap();
    let mut copy = events[at].clone();
    change(&mut copy);
    events.insert(at + 1, copy);
    of(&events)
}

fn says(report: &AuditReport, words: &str) {
    assert!(!report.is_clean());
    assert!(report.violations.iter().any(|text| text.contains(words)), "{words:?} not in {report:#?}");
}

fn is_assigned(event: &MarketEvent) -> bool {
    matches!(event, MarketEvent::Assigned { .. })
}

fn is_activation(event: &MarketEvent) -> bool {
    matches!(event, MarketEvent::ActivationIssued { .. })
}

#[test]
fn an_honest_evening_is_clean() {
    let report = of(&story());
    assert_eq!(report.violations, Vec::<String>::new());
    assert!(report.is_clean());
    assert_eq!((report.offers, report.aggregates, report.contracts), (3, 2, 1));
    assert_eq!((report.activations, report.answered, report.settlements), (2, 2, 8));
}

#[test]
fn every_beginning_of_an_honest_evening_is_clean() {
    let events = story();
    for length in 0..events.len() {
        let report = of(&events[..length]);
        assert!(report.is_clean(), "{length}: {report:#?}");
    }
}

#[test]
fn a_lost_order_is_found() {
    let report = without(is_activation);
    assert_eq!(report.orders_lost, 1);
    says(&report, "did not answer");
    let report = without(|event| matches!(event, MarketEvent::ActivationAnswered { .. }));
    assert_eq!(report.orders_lost, 1);
    let report = without(is_assigned);
    assert_eq!(report.orders_lost, 2);
}

#[test]
fn a_doubled_order_is_found() {
    let report = again(is_activation, |event| {
        if let MarketEvent::ActivationIssued { activation, .. } = event {
            activation.id = ActivationId::new("act-again").unwrap();
        }
    });
    assert_eq!(report.orders_doubled, 1);
    says(&report, "was activated by act-1 and act-again");
    let report = again(is_assigned, |_| {});
    assert_eq!(report.orders_doubled, 2);
    says(&report, "was assigned twice");
}

#[test]
fn energy_that_does_not_add_up_is_found() {
    let report = tampered(|event| {
        if let MarketEvent::Assigned { assignments, .. } = event {
            assignments[0].schedule.energies[0].0 -= 1;
        }
    });
    assert_eq!(report.energy_mismatch_mwh, 1);
    says(&report, "outside it");
    says(&report, "another deviation");
    says(&report, "orders another schedule");
}

#[test]
fn a_missing_member_is_found() {
    let report = tampered(|event| {
        if let MarketEvent::Assigned { assignments, .. } = event {
            assignments.pop();
        }
    });
    assert_eq!(report.energy_mismatch_mwh, 2_000_000);
    says(&report, "exactly one part");
    says(&report, "which was not assigned");
    says(&report, "was not ordered");
}

#[test]
fn money_out_of_nothing_is_found() {
    let report = tampered(|event| {
        if let MarketEvent::Settled { settlement, .. } = event
            && settlement.offer == charger(1).id
        {
            settlement.postings.iter_mut().for_each(|p| p.amount.0 += i64::from(p.account != Account::Dso));
        }
    });
    assert_eq!(report.money_imbalance, Money(8));
    let report = tampered(|event| {
        if let MarketEvent::Settled { settlement, .. } = event {
            settlement.postings.iter_mut().for_each(|posting| posting.amount.0 *= 2);
        }
    });
    says(&report, "makes the DSO pay");
    let report = tampered(|event| {
        if let MarketEvent::Settled { settlement, .. } = event
            && let Some(posting) = settlement.postings.get_mut(1)
        {
            posting.account = Account::Prosumer(grid::ProsumerId(99));
        }
    });
    says(&report, "another prosumer");
}

#[test]
fn a_false_settlement_is_found() {
    let settled = |change: fn(&mut crate::settlement::SlotSettlement)| {
        tampered(|event| {
            if let MarketEvent::Settled { settlement, .. } = event {
                change(settlement);
            }
        })
    };
    says(&settled(|s| s.delivered.0 += s.ordered.0), "credits");
    says(&settled(|s| s.ordered.0 *= 2), "another order");
    says(&settled(|s| s.baseline.0 += 1), "another baseline");
    says(&settled(|s| s.metered.0 += 1), "than the meter");
    says(&settled(|s| s.slot.0 += 10), "was not ordered");
    says(&again(|event| matches!(event, MarketEvent::Settled { .. }), |_| {}), "was made twice");
}

#[test]
fn a_changed_reading_is_found() {
    let is_reading = |event: &MarketEvent| matches!(event, MarketEvent::MeterRead { .. });
    let report = again(is_reading, |event| {
        if let MarketEvent::MeterRead { reading } = event {
            reading.energy.0 += 1;
        }
    });
    says(&report, "was changed");
}

#[test]
fn a_false_contract_is_found() {
    let contract = |change: fn(&mut Contract)| {
        tampered(|event| {
            if let MarketEvent::ContractFormed { contract } = event {
                change(contract);
            }
        })
    };
    says(&contract(|c| c.number = 2), "has number 2, the next is 1");
    says(&contract(|c| c.schedule.start = c.schedule.start.plus(9)), "has a schedule outside");
    says(&contract(|c| c.deviation[0].1.0 -= 1), "another deviation");
    says(&contract(|c| c.prices.decrease.0 += 1), "other prices");
    says(&contract(|c| c.cost.0 += 1), "states a cost");
    says(&contract(|c| c.formed_at = instant(0)), "after the deadline");
    says(&contract(|c| c.bids = vec![BidId::new("bid-9").unwrap()]), "unknown bid");
    says(&contract(|c| c.aggregate = AggregateId::new("agg-9").unwrap()), "unknown aggregate");
    let is_contract = |event: &MarketEvent| matches!(event, MarketEvent::ContractFormed { .. });
    let twice = again(is_contract, |event| {
        if let MarketEvent::ContractFormed { contract } = event {
            (contract.id, contract.number) = (ContractId::new("c-2").unwrap(), 2);
        }
    });
    says(&twice, "was bought by c-1 and c-2");
    assert_eq!(twice.orders_lost, 2);
}

#[test]
fn a_false_activation_is_found() {
    let activation = |change: fn(&mut Activation)| {
        tampered(|event| {
            if let MarketEvent::ActivationIssued { activation, .. } = event {
                change(activation);
            }
        })
    };
    says(&activation(|a| a.device.0 += 1), "tells device");
    says(&activation(|a| a.schedule.start.0 += 1), "another schedule");
    says(&activation(|a| a.offer = battery(3).id), "was not assigned");
    says(&activation(|a| a.replaces_from.0 += 1), "does not replace");
}

#[test]
fn a_false_change_of_an_offer_is_found() {
    let expired = story().iter().position(|event| matches!(event, MarketEvent::OfferExpired { .. })).unwrap();
    let changed = |place: usize, mut offer: FlexOffer, second: i64| {
        offer.terms.revision += 1;
        // Settlements cite records by number.
        let mut events = story();
        events.truncate(1 + expired);
        events.insert(place, MarketEvent::OfferChanged { offer, at: instant(second) });
        of(&events)
    };
    let bundled = story().iter().position(|event| matches!(event, MarketEvent::NeedPlaced { .. })).unwrap();
    let report = changed(3, battery(3), -2_500);
    assert_eq!((report.violations.as_slice(), report.offers_changed), (&[][..], 1));
    says(&changed(0, charger(1), -3_000), "never accepted");
    says(&changed(bundled, charger(1), -700), "has others beside it");
    says(&changed(bundled, charger(1), -700), "as it was before its change");
    says(&changed(expired, charger(1), -100), "although contract c-1 bought it");
    says(&changed(expired + 1, battery(3), -61), "after it was expired");
    says(&changed(3, battery(3), -60), "after its deadline");
    says(&changed(3, FlexOffer { prosumer: ProsumerId(9), ..battery(3) }, -2_500), "another prosumer's");
    let mut outside = battery(3);
    outside.default_schedule.start.0 -= 1;
    says(&changed(3, outside, -2_500), "outside itself");
    let again = MarketEvent::OfferChanged { offer: battery(3), at: instant(-2_500) };
    let mut events = story();
    events.insert(3, again);
    says(&of(&events), "without a higher revision");
}

#[test]
fn a_false_offer_or_aggregate_is_found() {
    says(&without(|event| matches!(event, MarketEvent::OfferAccepted { .. })), "unknown member");
    says(&again(|event| matches!(event, MarketEvent::OfferAccepted { .. }), |_| {}), "accepted twice");
    let aggregate = |change: fn(&mut AggregatedFlexOffer)| {
        tampered(|event| {
            if let MarketEvent::AggregateFormed { aggregate, .. } = event {
                change(aggregate);
            }
        })
    };
    says(&aggregate(|a| a.slices[0].max.0 += 1), "not the sum");
    says(&aggregate(|a| a.members = vec![charger(1).id]), "is in aggregates");
    let expired = tampered(|event| {
        if let MarketEvent::OfferExpired { offer, .. } = event {
            *offer = charger(1).id;
        }
    });
    says(&expired, "although contract c-1 bought it");
    let early = tampered(|event| {
        if let MarketEvent::OfferExpired { at, .. } = event {
            *at = instant(-61);
        }
    });
    says(&early, "before its deadline");
}

#[test]
fn a_need_that_forgot_a_contract_is_found() {
    let mut events = story();
    let need = events.iter().find(|event| matches!(event, MarketEvent::NeedPlaced { .. })).cloned().unwrap();
    events.push(need);
    says(&of(&events), "saw 0 of 1 contracts");
}

#[test]
fn wild_numbers_are_judged_without_a_panic() {
    let wild = [i64::MIN, i64::MAX];
    for wild in wild {
        let report = tampered(|event| match event {
            MarketEvent::ContractFormed { contract } => {
                contract.schedule.start.0 = wild;
                contract.deviation[0].1.0 = wild;
            }
            MarketEvent::Assigned { assignments, .. } => {
                assignments[0].schedule.start.0 = wild;
                assignments[0].schedule.energies[0].0 = wild;
            }
            MarketEvent::Settled { settlement, .. } => {
                (settlement.slot.0, settlement.metered.0, settlement.delivered.0) = (wild, wild, wild);
                settlement.postings.iter_mut().for_each(|posting| posting.amount.0 = wild);
            }
            _ => {}
        });
        assert!(!report.is_clean());
    }
}

#[test]
fn settlements_that_net_rebound_or_cite_falsely_are_found() {
    let settled = |change: fn(&mut crate::settlement::SlotSettlement)| {
        tampered(|event| {
            if let MarketEvent::Settled { settlement, .. } = event {
                change(settlement);
            }
        })
    };
    says(&settled(|s| s.netted.0 += s.ordered.0), "more than was bought of all");
    says(&settled(|s| s.rebound.0 += 1), "states a rebound");
    says(&settled(|s| s.cites = Cites::default()), "does not cite");
    says(&settled(|s| s.cites = [&s.cites, &[RecordNumber(4)][..]].concat().into()), "says nothing of it");
    let unnetted = tampered(|event| match event {
        MarketEvent::ContractFormed { contract } => contract.terms.netting = false,
        MarketEvent::Settled { settlement, .. } => settlement.netted.0 += 1,
        _ => {}
    });
    says(&unnetted, "nets although");
}

#[test]
fn money_that_the_contract_does_not_make_is_found() {
    // The first settlement with a posting of this account and the DSO's; both are changed by as much.
    let shifted = |account: Account, by: i64| {
        let mut done = false;
        tampered(|event| {
            let MarketEvent::Settled { settlement, .. } = event else { return };
            let at = |account| settlement.postings.iter().position(|posting| posting.account == account);
            if let (false, Some(own), Some(dso)) = (done, at(account), at(Account::Dso)) {
                settlement.postings[own].amount.0 += by;
                settlement.postings[dso].amount.0 -= by;
                done = true;
            }
        })
    };
    let prosumer = Account::Prosumer(ProsumerId(1));
    for by in [-1, 1, -1_000_000_000, 1_000_000_000] {
        says(&shifted(prosumer, by), "what is missing costs");
        says(&shifted(Account::MarketFee, by), "takes a fee of");
    }
    // Paid to the wrong pocket: the sum is still zero.
    let stolen = tampered(|event| {
        let MarketEvent::Settled { settlement, .. } = event else { return };
        for posting in &mut settlement.postings {
            if posting.account == prosumer {
                posting.account = Account::MarketFee;
            }
        }
    });
    says(&stolen, "takes a fee of");
}

#[test]
fn a_penalty_that_members_share_is_judged_together() {
    // Charger 2 misses a tenth of its last slot and owes for it; here nobody does.
    let mut forgiven = 0;
    let report = tampered(|event| {
        let MarketEvent::Settled { settlement, .. } = event else { return };
        let missing = settlement.ordered.0 - settlement.delivered.0;
        if missing != 0 {
            let owed = missing.abs() / 10;
            settlement.postings.iter_mut().for_each(|posting| match posting.account {
                Account::Dso => posting.amount.0 -= owed,
                Account::Prosumer(_) => posting.amount.0 += owed,
                _ => {}
            });
            forgiven += 1;
        }
    });
    assert_eq!(forgiven, 1);
    says(&report, "together in slot");
}

#[test]
fn contracts_above_their_bids_are_found() {
    let contract = |change: fn(&mut Contract)| {
        tampered(|event| {
            if let MarketEvent::ContractFormed { contract } = event {
                change(contract);
            }
        })
    };
    says(&contract(|c| c.slot_prices[0].bid.0 += 1), "above the bids");
    says(&contract(|c| c.slot_prices.truncate(1)), "prices for other slots");
    says(&contract(|c| c.slot_prices.iter_mut().for_each(|p| p.bid.0 = 0)), "costs more than its bids");
}

#[test]
fn a_baseline_frozen_late_or_by_another_method_is_found() {
    let method = BaselineMethod::XOfY { x: 1, y: 1, adjustment_slots: 0, adjustment_max_per_mille: 0 };
    let baseline = Baseline {
        method,
        version: method.id().to_owned(),
        frozen_at: instant(-100),
        start: crate::sample::slot(0),
        energies: vec![EnergyMwh(1); 8],
    };
    let frozen = MarketEvent::BaselineFrozen {
        contract: ContractId::new("c-1").unwrap(),
        offer: charger(1).id,
        baseline,
        at: instant(-105),
    };
    let with = |at: usize, named: bool| {
        let mut events = story();
        events.insert(at, frozen.clone());
        for event in &mut events {
            if let MarketEvent::ContractFormed { contract } = event
                && named
            {
                contract.terms.baseline = method;
            }
        }
        of(&events)
    };
    let activation = story().iter().position(is_activation).unwrap();
    says(&with(activation, false), "not by the method of the contract");
    says(&with(activation, true), "frozen in the future");
    says(&with(activation, true), "another baseline than was frozen");
    says(&with(activation + 1, true), "after the device was told");
}
