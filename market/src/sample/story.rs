//! One evening of a small market area, made by the crate's own functions: two chargers move out of a congested
//! half-hour, one battery is not needed.

use super::{energies, instant, offer, slices, slot};
use crate::activation::{Activation, ActivationId, ActivationStatus};
use crate::aggregation::{Aggregation, disaggregate};
use crate::bid::{BidId, BidInterval, CongestionPoint, DomsBid, GridRow, Need, ZoneId};
use crate::clearing::{Book, RoundProof, RoundRecord, clear};
use crate::contract::{AggregateId, AggregatedFlexOffer, Assignment, Contract, ContractId};
use crate::event::MarketEvent;
use crate::flex_offer::{FlexOffer, Schedule};
use crate::ledger::Ledger;
use crate::rules::Rules;
use crate::settlement::{MeterReading, SettlementTerms, settle_together};
use grid::{BranchId, DeviceId, EnergyMwh, Money, ProsumerId, Quality, UsagePointId};
use std::collections::BTreeMap;

const KWH: i64 = 1_000_000;

/// A charger's offer: 2 kWh, by default at once, to be started up to four slots later.
pub fn charger(number: u32) -> FlexOffer {
    FlexOffer {
        prosumer: ProsumerId(number),
        usage_point: UsagePointId(number),
        device: DeviceId(number),
        start_before: slot(4),
        slices: slices(&[(KWH, KWH), (KWH, KWH)]),
        default_schedule: Schedule { start: slot(0), energies: energies(&[KWH, KWH]) },
        ..offer(&format!("fo-{number}"))
    }
}

/// A battery's offer nobody needs, since it is dear.
pub fn battery(number: u32) -> FlexOffer {
    let mut offer = FlexOffer {
        slices: slices(&[(-KWH, 0)]),
        default_schedule: Schedule { start: slot(0), energies: energies(&[0]) },
        ..charger(number)
    };
    (offer.prices.decrease, offer.prices.increase) = (Money(900_000), Money(900_000));
    offer
}

/// A congestion of slots 0 and 1 behind one element; later slots have room.
pub fn need() -> Need {
    let congestion_point = CongestionPoint { branch: BranchId(1), phase: None };
    let interval = BidInterval { schedule_change: EnergyMwh(-2 * KWH), price: Money(500_000) };
    let headroom = |index: i64| EnergyMwh(if index < 2 { -2 * KWH } else { 9 * KWH });
    Need {
        issued_at: instant(-600),
        contracts_seen: 0,
        bids: vec![DomsBid {
            id: BidId::new("bid-1").unwrap(),
            congestion_point,
            start: slot(0),
            intervals: vec![interval; 2],
        }],
        rows: (0..8)
            .map(|index| GridRow { congestion_point, slot: slot(index), headroom: headroom(index) })
            .collect(),
    }
}

/// Buys what a clearing of the aggregates accepts; with the record of the clearing.
fn contract(
    aggregates: &[AggregatedFlexOffer],
    ledger: &Ledger,
    terms: SettlementTerms,
) -> (RoundRecord, RoundProof, Contract) {
    let lone = |aggregate: &AggregatedFlexOffer| Some((aggregate.id.clone(), ledger.lone_terms(aggregate)?));
    let book = Book {
        need: Some(need()),
        zones: [(ZoneId(1), vec![CongestionPoint { branch: BranchId(1), phase: None }.into()])].into(),
        offers: aggregates.iter().map(|aggregate| (aggregate.id.clone(), aggregate.clone())).collect(),
        lone: aggregates.iter().filter_map(lone).collect(),
        ..Book::default()
    };
    let rules = Rules { settlement: terms.clone(), ..Rules::default() };
    let clearing = clear(&book, &rules, instant(-120));
    assert_eq!(clearing.accepted.len(), 1);
    let round = RoundRecord::new(&book, &clearing, instant(-120)).unwrap();
    let proof = RoundProof::new(&book, &rules, &clearing, instant(-120));
    let accepted = clearing.accepted.into_iter().next().unwrap();
    let aggregate = &book.offers[&accepted.aggregate];
    let id = ContractId::new("c-1").unwrap();
    (round, proof, Contract::bought(id, 1, accepted, aggregate, terms, instant(-120)))
}

fn orders(contract: &Contract, assignments: &[Assignment], offers: &[FlexOffer]) -> Vec<MarketEvent> {
    let mut events = Vec::new();
    for (assignment, offer) in assignments.iter().zip(offers) {
        let activation = Activation {
            id: ActivationId::new(format!("act-{}", offer.device)).unwrap(),
            device: offer.device,
            offer: offer.id.clone(),
            contract: contract.id.clone(),
            schedule: assignment.schedule.clone(),
            replaces_from: offer.default_schedule.start,
        };
        let status = ActivationStatus {
            activation: activation.id.clone(),
            device: offer.device,
            accepted: true,
            reason: None,
            at: instant(-100),
        };
        events.push(MarketEvent::ActivationIssued { activation, at: instant(-110) });
        events.push(MarketEvent::ActivationAnswered { status, at: instant(-100) });
    }
    events
}

/// The whole evening, oldest first. Charger 2 misses a tenth of its last slot.
pub fn story() -> Vec<MarketEvent> {
    story_of(&[charger(1), charger(2)], SettlementTerms::default())
}

/// The same with other chargers, which become one aggregate, and terms.
pub fn story_of(offers: &[FlexOffer], terms: SettlementTerms) -> Vec<MarketEvent> {
    let at = instant(-3_000);
    let mut events: Vec<MarketEvent> = offers
        .iter()
        .chain([&battery(3)])
        .map(|offer| MarketEvent::OfferAccepted { offer: offer.clone(), at })
        .collect();
    let mut aggregation = Aggregation::default();
    offers.iter().chain([&battery(3)]).for_each(|o| aggregation.add(o.clone(), ZoneId(1)).unwrap());
    let mut count = 0;
    let next = || {
        count += 1;
        AggregateId::new(format!("agg-{count}")).unwrap()
    };
    let aggregates = aggregation.seal(instant(-2_000), next);
    let formed = |aggregate: &AggregatedFlexOffer| MarketEvent::AggregateFormed {
        aggregate: aggregate.clone(),
        at: instant(-2_000),
    };
    events.extend(aggregates.iter().map(formed));
    events.push(MarketEvent::NeedPlaced { need: need(), at: instant(-600) });
    let (round, proof, contract) = contract(&aggregates, &ledger_of(&events), terms);
    events.push(MarketEvent::RoundCleared { round, proof });
    events.push(MarketEvent::ContractFormed { contract: contract.clone() });
    let bought = aggregates.iter().find(|aggregate| aggregate.id == contract.aggregate).unwrap();
    let assignments = disaggregate(bought, offers, &contract.schedule).unwrap();
    let (id, parts) = (contract.id.clone(), assignments.clone());
    events.push(MarketEvent::Assigned { contract: id, assignments: parts, at: instant(-115) });
    events.extend(orders(&contract, &assignments, offers));
    events.push(MarketEvent::OfferExpired { offer: battery(3).id, at: instant(-60) });
    let mut readings = BTreeMap::new();
    for (assignment, offer) in assignments.iter().zip(offers) {
        for (slot, _) in &assignment.deviation {
            let energy = assignment.schedule.energy_in(*slot);
            let missing = offer.device == DeviceId(2) && *slot == super::slot(3);
            let energy = if missing { EnergyMwh(energy.0 * 9 / 10) } else { energy };
            let received_at = slot.end();
            let (device, quality) = (offer.device, Quality::Measured);
            let reading = MeterReading { device, slot: *slot, energy, quality, received_at, source: None };
            readings.insert((*slot, device), reading);
        }
    }
    let mut ledger = ledger_of(&events);
    for reading in readings.into_values() {
        let at = reading.received_at;
        let read = MarketEvent::MeterRead { reading };
        ledger.apply(&read).unwrap();
        events.push(read);
        let due = ledger.unsettled_due();
        let settlements: Vec<_> = due.iter().flat_map(|group| settle_together(group).unwrap()).collect();
        for settlement in settlements {
            let settled = MarketEvent::Settled { settlement, at };
            ledger.apply(&settled).unwrap();
            events.push(settled);
        }
    }
    events
}

/// The ledger of some events, all of which must be accepted.
pub fn ledger_of(events: &[MarketEvent]) -> Ledger {
    let mut ledger = Ledger::default();
    events.iter().for_each(|event| {
        ledger.apply(event).unwrap();
    });
    ledger
}
