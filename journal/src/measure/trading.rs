//! A market that trades without end: chargers move out of a congestion, round after round, and are settled. Made by the
//! market's own functions, so that a ledger accepts every event.

use grid::{BranchId, DeviceId, EnergyMwh, Money, ProsumerId, Quality, Slot, Timestamp, UsagePointId};
use market::{
    Activation, ActivationId, ActivationStatus, AggregateId, AggregateRules, AggregatedFlexOffer,
    Aggregation, BidId, BidInterval, Book, CongestionPoint, Contract, ContractId, DeviationPrices, DomsBid,
    EnergyBounds, FlexOffer, FlexOfferId, GridRow, Ledger, MarketEvent, MeterReading, Need, RoundRecord,
    Rules, Schedule, SettlementTerms, Terms, ZoneId, clear, disaggregate, settle_together,
};
use std::time::Duration;

const KWH: i64 = 1_000_000;
/// Chargers in a round.
const CHARGERS: u64 = 10;
/// Slots from one round to the next.
const APART: i64 = 12;
const POINT: CongestionPoint = CongestionPoint { branch: BranchId(1), phase: None };
/// Devices, prosumers and connections, which take turns, are called 1 to this.
pub const DEVICES: u32 = 100 * CHARGERS as u32;

/// The market so far.
#[derive(Debug)]
pub struct Trading {
    ledger: Ledger,
    /// The slot in which the first round delivers.
    first: Slot,
    /// The connections behind which devices are in turn; without any each has its own, of its number.
    usage_points: Vec<UsagePointId>,
    rounds: u64,
    events: Vec<MarketEvent>,
}

impl Default for Trading {
    /// From the end of 2025 on.
    fn default() -> Self {
        Self::from(Slot(1_960_000), Vec::new())
    }
}

impl Trading {
    /// A market that begins with deliveries in `first`, of devices behind these connections in turn; without any each has its own, of its
    /// number.
    pub fn from(first: Slot, usage_points: Vec<UsagePointId>) -> Self {
        Self { ledger: Ledger::default(), first, usage_points, rounds: 0, events: Vec::new() }
    }

    /// One that has come to a slot, or a little less far, after so many records. Fails when the market does not buy.
    pub fn until(slot: Slot, records: usize, usage_points: Vec<UsagePointId>) -> Result<Self, String> {
        let each = Self::default().events(1)?.len();
        // The last groups of events may be some rounds more than was asked for.
        let rounds = records / each + 2_000 / each + 2;
        Ok(Self::from(slot.plus(-APART * (rounds as i64 + 1)), usage_points))
    }

    /// When the newest round was settled.
    pub fn now(&self) -> Timestamp {
        self.first.plus(APART * self.rounds as i64).start()
    }

    /// The connection of a device.
    fn usage_point(&self, device: u32) -> UsagePointId {
        match self.usage_points.len() {
            0 => UsagePointId(device),
            count => self.usage_points[device as usize % count],
        }
    }

    /// The next `count` events, or some more: a round is not cut. Fails when the market does not buy, which would be a
    /// defect of this file.
    pub fn events(&mut self, count: usize) -> Result<Vec<MarketEvent>, String> {
        while self.events.len() < count {
            self.round()?;
        }
        Ok(std::mem::take(&mut self.events))
    }

    fn record(&mut self, event: MarketEvent) -> Result<(), String> {
        self.ledger.apply(&event).map_err(|error| error.to_string())?;
        self.events.push(event);
        Ok(())
    }

    fn round(&mut self) -> Result<(), String> {
        let first = self.first.plus(self.rounds as i64 * APART);
        let before = |seconds: u64| first.start().minus(Duration::from_secs(seconds));
        let offers: Vec<FlexOffer> = (0..CHARGERS).map(|at| self.charger(at, first)).collect();
        self.rounds += 1;
        let rules = AggregateRules { moving_members_max: CHARGERS as usize, ..AggregateRules::default() };
        let mut aggregation = Aggregation::new(rules, 0);
        for offer in &offers {
            self.record(MarketEvent::OfferAccepted { offer: offer.clone(), at: before(3_000) })?;
            aggregation.add(offer.clone(), ZoneId(1)).map_err(|error| error.to_string())?;
        }
        let mut number = self.ledger.aggregate_count();
        let next = || {
            number += 1;
            AggregateId::numbered("aggregate-", number)
        };
        let aggregates = aggregation.seal(before(2_000), next);
        for aggregate in aggregates.iter().cloned() {
            self.record(MarketEvent::AggregateFormed { aggregate, at: before(2_000) })?;
        }
        let need = self.need(first, before(600));
        self.record(MarketEvent::NeedPlaced { need: need.clone(), at: before(600) })?;
        for contract in self.buy(need, &aggregates, before(120))? {
            self.deliver(&contract, &offers, before(110))?;
        }
        self.settle(first.plus(APART).start())
    }

    fn charger(&self, at: u64, first: Slot) -> FlexOffer {
        let device = (self.rounds % 100 * CHARGERS + at + 1) as u32;
        let slice = EnergyBounds { min: EnergyMwh(KWH), max: EnergyMwh(KWH) };
        let before = |seconds| first.start().minus(Duration::from_secs(seconds));
        FlexOffer {
            id: FlexOfferId::numbered("offer-", self.rounds * CHARGERS + at + 1),
            prosumer: ProsumerId(device),
            usage_point: self.usage_point(device),
            device: DeviceId(device),
            created_at: before(3_600),
            acceptance_before: before(60),
            assignment_before: before(60),
            start_after: first,
            start_before: first.plus(4),
            slices: vec![slice; 2],
            total_energy: None,
            default_schedule: Schedule { start: first, energies: vec![EnergyMwh(KWH); 2] },
            prices: DeviationPrices { decrease: Money(100_000), increase: Money(100_000) },
            terms: Terms::default(),
        }
    }

    fn need(&self, first: Slot, issued_at: Timestamp) -> Need {
        let missing = EnergyMwh(-(CHARGERS as i64) * KWH);
        let interval = BidInterval { schedule_change: missing, price: Money(500_000) };
        let headroom = |index| if index < 2 { missing } else { EnergyMwh(9 * CHARGERS as i64 * KWH) };
        Need {
            issued_at,
            contracts_seen: self.ledger.contract_count(),
            bids: vec![DomsBid {
                id: BidId::numbered("bid-", self.rounds),
                congestion_point: POINT,
                start: first,
                intervals: vec![interval; 2],
            }],
            rows: (0..8)
                .map(|index| GridRow {
                    congestion_point: POINT,
                    slot: first.plus(index),
                    headroom: headroom(index),
                })
                .collect(),
        }
    }

    fn buy(
        &mut self,
        need: Need,
        aggregates: &[AggregatedFlexOffer],
        at: Timestamp,
    ) -> Result<Vec<Contract>, String> {
        let book = Book {
            need: Some(need),
            zones: [(ZoneId(1), vec![POINT.into()])].into(),
            offers: aggregates.iter().map(|aggregate| (aggregate.id.clone(), aggregate.clone())).collect(),
            ..Book::default()
        };
        let clearing = clear(&book, &Rules::default(), at);
        let round = RoundRecord::new(&book, &clearing, at).filter(|round| round.purchases > 0);
        self.record(MarketEvent::Cleared { round: round.ok_or("the market bought nothing")? })?;
        let mut contracts = Vec::new();
        for accepted in clearing.accepted {
            let Some(aggregate) = book.offers.get(&accepted.aggregate) else { continue };
            let number = self.ledger.contract_count() + 1;
            let id = ContractId::numbered("contract-", number);
            let contract = Contract::bought(id, number, accepted, aggregate, SettlementTerms::default(), at);
            self.record(MarketEvent::ContractFormed { contract: contract.clone() })?;
            contracts.push(contract);
        }
        Ok(contracts)
    }

    fn deliver(&mut self, contract: &Contract, offers: &[FlexOffer], at: Timestamp) -> Result<(), String> {
        let aggregate = self.ledger.aggregate(&contract.aggregate).cloned().ok_or("no aggregate")?;
        let members = self.ledger.members(&aggregate.id);
        let assignments =
            disaggregate(&aggregate, &members, &contract.schedule).map_err(|error| error.to_string())?;
        let parts = assignments.clone();
        self.record(MarketEvent::Assigned { contract: contract.id.clone(), assignments: parts, at })?;
        for assignment in assignments {
            let Some(offer) = offers.iter().find(|offer| offer.id == assignment.offer) else { continue };
            let activation = Activation {
                id: ActivationId::new(format!("order-{}", offer.id)).map_err(|error| error.to_string())?,
                device: offer.device,
                offer: offer.id.clone(),
                contract: contract.id.clone(),
                schedule: assignment.schedule,
                replaces_from: offer.default_schedule.start,
            };
            let (id, device) = (activation.id.clone(), offer.device);
            let status = ActivationStatus { activation: id, device, accepted: true, reason: None, at };
            self.record(MarketEvent::ActivationIssued { activation, at })?;
            self.record(MarketEvent::ActivationAnswered { status, at })?;
        }
        Ok(())
    }

    /// Reads every meter that is waited for, and settles.
    fn settle(&mut self, at: Timestamp) -> Result<(), String> {
        for (device, slot) in self.ledger.missing_readings(at) {
            let planned = self.ledger.contracted_in(device, slot).unwrap_or_default();
            let usual = (slot.0 - self.first.0).rem_euclid(APART) < 2;
            let energy = EnergyMwh(planned.0 + if usual { KWH } else { 0 });
            let (quality, received_at) = (Quality::Measured, slot.end());
            let reading = MeterReading { device, slot, energy, quality, received_at, source: None };
            self.record(MarketEvent::MeterRead { reading })?;
        }
        let due = self.ledger.unsettled_due();
        let settled: Result<Vec<_>, _> = due.iter().map(|group| settle_together(group)).collect();
        for settlement in settled.map_err(|error| error.to_string())?.into_iter().flatten() {
            self.record(MarketEvent::Settled { settlement, at })?;
        }
        Ok(())
    }
}
