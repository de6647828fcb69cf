//! An evening of a market area through the public interface: devices offer every minute, the DSO asks every five,
//! everything that is bought is assigned, activated, metered and settled, and the audit finds nothing.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test, with helpers outside its function")]

use grid::{BranchId, DeviceId, EnergyMwh, Money, ProsumerId, Quality, Slot, Timestamp, UsagePointId};
use market::price_clearing::Pricing;
use market::{
    Account, Activation, ActivationId, ActivationStatus, AggregateId, AggregateRules, Aggregation, BidId,
    BidInterval, Book, CongestionPoint, Contract, ContractId, DeviceReport, DeviceState, DomsBid,
    EnergyBounds, FlexOffer, GridRow, Ledger, MarketEvent, MeterReading, Need, OfferRules, Removal,
    RoundProof, RoundRecord, Rules, SettlementTerms, ZoneId, Zones, audit, clear, disaggregate, offer_for,
    settle_together,
};

const DEVICES: u32 = 18;
const KWH: i64 = 1_000_000;

struct Area {
    ledger: Ledger,
    events: Vec<MarketEvent>,
    aggregation: Aggregation,
    rules: Rules,
    pricing: Pricing,
    zones: Zones,
    evening: Slot,
    random: u64,
}

impl Area {
    fn new(seed: u64) -> Self {
        let point = |branch| CongestionPoint { branch: BranchId(branch), phase: None };
        let zones = (0..3).map(|zone| (ZoneId(zone), vec![point(zone).into(), point(9).into()])).collect();
        let evening = "2026-01-15T16:00:00Z".parse::<Timestamp>().unwrap().slot();
        let aggregates = match seed % 2 {
            0 => AggregateRules::default(),
            _ => AggregateRules {
                start_slots: 8,
                flexibility_slots: 4,
                loss_percent_max: 100,
                ..AggregateRules::default()
            },
        };
        let (ledger, aggregation) = (Ledger::default(), Aggregation::new(aggregates, seed));
        let pricing = [Pricing::PayAsBid, Pricing::Uniform, Pricing::UniformMakeWhole][seed as usize % 3];
        let mut rules = Rules::default();
        rules.settlement.pricing = pricing;
        Self { ledger, events: vec![], aggregation, rules, pricing, zones, evening, random: seed }
    }

    fn record(&mut self, event: MarketEvent) {
        if let Err(error) = self.ledger.apply(&event) {
            panic!("{error}: {event:?}");
        }
        self.events.push(event);
    }

    /// The next number below `limit` of a linear congruential generator (Knuth, MMIX).
    fn below(&mut self, limit: u64) -> u64 {
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % limit
    }

    fn report(&self, device: u32, now: Timestamp) -> DeviceReport {
        let plugged = self.evening.start();
        let hours = now.since(plugged).as_secs_f64() / 3600.0;
        let power = 3_700.0 + f64::from(device % 2) * 7_300.0;
        let state = match device % 3 {
            0 => DeviceState::Charger {
                session: 1,
                energy_needed_wh: (14_000.0 + f64::from(device) * 700.0 - power * hours).max(0.0),
                departure: plugged.plus(std::time::Duration::from_secs(8 * 3600)),
                p_max_w: power,
            },
            1 => DeviceState::Battery {
                energy_wh: 7_000.0 + f64::from(device) * 100.0,
                capacity_wh: 10_000.0,
                p_charge_max_w: 3_000.0,
                p_discharge_max_w: 3_000.0,
            },
            _ => DeviceState::HeatPump {
                p_expected_w: (0..16).map(|k| 1_500.0 + f64::from((k + device) % 5) * 300.0).collect(),
                fraction_min: 0.4,
                slots_max: 4,
            },
        };
        DeviceReport {
            device: DeviceId(device),
            prosumer: ProsumerId(device),
            usage_point: UsagePointId(device),
            at: now,
            state,
        }
    }

    fn offer(&mut self, now: Timestamp) {
        for device in 0..DEVICES {
            let state = self.ledger.offer_state(DeviceId(device));
            let Some(mut offer) = offer_for(&self.report(device, now), now, &state, &OfferRules::default())
            else {
                continue;
            };
            if device % 3 == 2 {
                offer.total_energy = Some(half_of_the_choice(&offer));
            }
            self.record(MarketEvent::OfferAccepted { offer: offer.clone(), at: now });
            self.aggregation.add(offer, ZoneId(device / 3 % 3)).unwrap();
        }
        let mut count = self.ledger.aggregate_count();
        let next = || {
            count += 1;
            AggregateId::new(format!("agg-{count}")).unwrap()
        };
        for aggregate in self.aggregation.seal(now, next) {
            self.record(MarketEvent::AggregateFormed { aggregate, at: now });
        }
    }

    fn expire(&mut self, now: Timestamp) {
        for offer in self.ledger.overdue_offers(now) {
            if let Removal::Sealed(aggregate) = self.aggregation.remove(&offer) {
                self.aggregation.forget(&aggregate);
            }
            self.record(MarketEvent::OfferExpired { offer, at: now });
        }
    }

    fn ask(&mut self, now: Timestamp) {
        let evening = self.evening.0;
        let lacking = |slot: i64| (4..9).contains(&(slot - evening));
        let points: Vec<CongestionPoint> =
            (0..3).chain([9]).map(|b| CongestionPoint { branch: BranchId(b), phase: None }).collect();
        let (bid_point, lack) =
            (points[if self.random.is_multiple_of(2) { 3 } else { 1 }], -(1 + self.below(6) as i64) * KWH);
        let first = now.slot();
        let slots = || (first.0..first.0 + 60).map(Slot);
        let interval = |slot: Slot| BidInterval {
            schedule_change: EnergyMwh(if lacking(slot.0) { lack } else { 0 }),
            price: Money(400_000),
        };
        let row = |congestion_point: CongestionPoint, slot: Slot| GridRow {
            congestion_point,
            slot,
            headroom: EnergyMwh(if lacking(slot.0) && congestion_point == bid_point {
                lack
            } else {
                8 * KWH
            }),
        };
        let number = self.events.len();
        let need = Need {
            issued_at: now,
            contracts_seen: self.ledger.contract_count(),
            bids: vec![DomsBid {
                id: BidId::new(format!("bid-{number}")).unwrap(),
                congestion_point: bid_point,
                start: first,
                intervals: slots().map(interval).collect(),
            }],
            rows: points.iter().flat_map(|point| slots().map(move |slot| row(*point, slot))).collect(),
        };
        self.record(MarketEvent::NeedPlaced { need, at: now });
        self.buy(now);
    }

    fn buy(&mut self, now: Timestamp) {
        let offers = self.ledger.open_aggregates().map(|offer| (offer.id.clone(), offer.clone())).collect();
        let need = self.ledger.fresh_need().cloned();
        let book = Book { need, zones: self.zones.clone(), offers, ..Book::default() };
        let clearing = clear(&book, &self.rules, now);
        assert_eq!(clearing.objection, None);
        assert!(clearing.bound >= clearing.welfare && clearing.welfare.0 >= 0);
        if !clearing.accepted.is_empty() {
            let round = RoundRecord::new(&book, &clearing, now).unwrap();
            let proof = RoundProof::new(&book, &self.rules, &clearing, now);
            self.record(MarketEvent::RoundCleared { round, proof });
        }
        for accepted in clearing.accepted {
            let aggregate = book.offers[&accepted.aggregate].clone();
            let number = self.ledger.contract_count() + 1;
            let id = ContractId::new(format!("c-{number}")).unwrap();
            let terms = SettlementTerms { pricing: self.pricing, ..self.rules.settlement.clone() };
            let contract = Contract::bought(id, number, accepted, &aggregate, terms, now);
            self.record(MarketEvent::ContractFormed { contract: contract.clone() });
            let members = self.ledger.members(&aggregate.id);
            let assignments = disaggregate(&aggregate, &members, &contract.schedule).unwrap();
            let moved =
                |deviation: &[(Slot, EnergyMwh)]| deviation.iter().map(|(_, e)| e.0.abs()).sum::<i64>();
            let parts: i64 = assignments.iter().map(|part| moved(&part.deviation)).sum();
            assert_eq!(parts, moved(&contract.deviation), "the DSO pays for what it bought");
            self.record(MarketEvent::Assigned { contract: contract.id.clone(), assignments, at: now });
            self.aggregation.forget(&aggregate.id);
        }
        let orders: Vec<Activation> = self
            .ledger
            .assignments_without_activation()
            .map(|order| Activation {
                id: ActivationId::new(format!("act-{}", order.offer.id)).unwrap(),
                device: order.offer.device,
                offer: order.offer.id.clone(),
                contract: order.contract.id.clone(),
                schedule: order.assignment.schedule.clone(),
                replaces_from: order.offer.default_schedule.start,
            })
            .collect();
        for activation in orders {
            let (id, device) = (activation.id.clone(), activation.device);
            self.record(MarketEvent::ActivationIssued { activation, at: now });
            let accepted = self.below(10) > 0;
            let reason = (!accepted).then(|| "the owner pressed boost".to_owned());
            let status = ActivationStatus { activation: id, device, accepted, reason, at: now };
            self.record(MarketEvent::ActivationAnswered { status, at: now });
        }
    }

    fn meter(&mut self, now: Timestamp) {
        for (device, slot) in self.ledger.missing_readings(now) {
            let quality = if self.below(12) == 0 { Quality::Substituted } else { Quality::Measured };
            let energy = EnergyMwh(self.below(3 * KWH as u64) as i64 - KWH);
            let reading = MeterReading { device, slot, energy, quality, received_at: now, source: None };
            self.record(MarketEvent::MeterRead { reading });
        }
        // One group at a time: what can be taken back depends on what was credited before.
        while let Some(group) = self.ledger.unsettled_due().first() {
            for settlement in settle_together(group).unwrap() {
                self.record(MarketEvent::Settled { settlement, at: now });
            }
        }
    }
}

/// A total that leaves half of what the slices leave on each side of the default.
fn half_of_the_choice(offer: &FlexOffer) -> EnergyBounds {
    let sum = |of: &dyn Fn(&EnergyBounds) -> EnergyMwh| offer.slices.iter().map(of).sum::<EnergyMwh>().0;
    let default = offer.default_schedule.energies.iter().copied().sum::<EnergyMwh>().0;
    let half = |whole: i64| EnergyMwh(default + (whole - default) / 2);
    EnergyBounds { min: half(sum(&|slice| slice.min)), max: half(sum(&|slice| slice.max)) }
}

#[test]
fn an_evening_is_traded_settled_and_found_clean() {
    let (mut contracts, mut several, mut shifted, mut bound, mut apart) = (0, 0, 0, 0, 0);
    for seed in 1..=6 {
        let mut area = Area::new(seed);
        for minute in 0..9 * 60 {
            let now = Timestamp::from_seconds(area.evening.start().seconds() + minute * 60);
            area.expire(now);
            area.meter(now);
            if minute < 180 {
                area.offer(now);
            }
            if minute % 5 == 3 && minute < 180 {
                area.ask(now);
            }
        }
        let report = audit(&area.events);
        assert!(report.is_clean(), "{:#?}", report.violations);
        assert!(report.rounds > 0 && report.rounds_cleared_again == report.rounds, "{report:#?}");
        assert_eq!(report.answered, report.activations);
        assert_eq!((area.ledger.unsettled_count(), area.ledger.open_offers().count()), (0, 0));
        assert_eq!(area.ledger.balances().values().map(|money| money.0).sum::<i64>(), 0);
        assert!(area.ledger.balances().get(&Account::Dso).is_some());
        let mut replayed = Ledger::default();
        area.events.iter().for_each(|event| {
            replayed.apply(event).unwrap();
        });
        assert_eq!(format!("{replayed:?}"), format!("{:?}", area.ledger));
        contracts += report.contracts;
        let members = |contract: &Contract| area.ledger.members(&contract.aggregate);
        let totals = |contract: &&Contract| {
            members(contract).len() > 1 && members(contract).iter().any(|offer| offer.total_energy.is_some())
        };
        bound += area.ledger.contracts().filter(|(contract, _)| totals(contract)).count();
        let starts = |contract: &Contract| {
            members(contract).iter().map(|offer| offer.start_after).collect::<std::collections::BTreeSet<_>>()
        };
        apart += area.ledger.contracts().filter(|(contract, _)| starts(contract).len() > 1).count();
        several += area.ledger.contracts().filter(|(contract, _)| members(contract).len() > 1).count();
        let moved = |contract: &Contract| contract.deviation.iter().any(|(_, energy)| energy.0 > 0);
        shifted += area.ledger.contracts().filter(|(contract, _)| moved(contract)).count();
    }
    println!(
        "{contracts} contracts, {several} on several offers ({bound} with totals, {apart} with several starts), {shifted} with a rebound"
    );
    assert!(bound > 0, "no contract was split among offers with totals");
    assert!(contracts > 20 && several > 0 && shifted > 0, "{contracts} {several} {shifted}");
}
