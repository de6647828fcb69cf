//! Facts up to an order that its device has not answered: one charger moves out of a congested half-hour.

use connectors::network_file;
use grid::{BranchId, DeviceId, EnergyMwh, Money, ProsumerId, Slot, Timestamp, UsagePointId};
use market::settlement::SettlementTerms;
use market::{
    Activation, ActivationId, AggregateId, Aggregation, BidId, BidInterval, Book, CongestionPoint, Contract,
    ContractId, DomsBid, EnergyBounds, FlexOffer, FlexOfferId, GridRow, MarketEvent, Need, RoundRecord,
    Rules, Schedule, ZoneId, clear, disaggregate,
};

const NETWORK: &[u8] = include_bytes!("../../../connectors/testdata/network_file/objects.json");
const KWH: i64 = 1_000_000;
pub const DEVICE: DeviceId = DeviceId(7);
pub const USAGE_POINT: UsagePointId = UsagePointId(41);
pub const PROSUMER: ProsumerId = ProsumerId(1);
pub const ACTIVATION: &str = "act-c-1-7";
const CONGESTED: CongestionPoint = CongestionPoint { branch: BranchId(21), phase: None };

/// The feeder of the tests.
pub fn network() -> grid::Network {
    network_file::read(NETWORK).unwrap()
}

/// The slot `count` quarter-hours after 2026-01-15T17:30Z.
pub fn slot(count: i64) -> Slot {
    "2026-01-15T17:30:00Z".parse::<Timestamp>().unwrap().slot().plus(count)
}

fn instant(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(slot(0).start().seconds() + seconds)
}

/// 2 kWh, by default at once, to be started up to four slots later.
fn offer() -> FlexOffer {
    let kwh = EnergyMwh(KWH);
    FlexOffer {
        id: FlexOfferId::new("fo-7").unwrap(),
        prosumer: PROSUMER,
        usage_point: USAGE_POINT,
        device: DEVICE,
        created_at: instant(-3600),
        acceptance_before: instant(-60),
        assignment_before: instant(-60),
        start_after: slot(0),
        start_before: slot(4),
        slices: vec![EnergyBounds { min: kwh, max: kwh }; 2],
        total_energy: None,
        default_schedule: Schedule { start: slot(0), energies: vec![kwh; 2] },
        prices: market::DeviationPrices { decrease: Money(100_000), increase: Money(100_000) },
        terms: market::Terms::default(),
    }
}

fn need() -> Need {
    let interval = BidInterval { schedule_change: EnergyMwh(-KWH), price: Money(500_000) };
    let headroom = |index: i64| EnergyMwh(if index < 2 { -KWH } else { 9 * KWH });
    let row = |index| GridRow { congestion_point: CONGESTED, slot: slot(index), headroom: headroom(index) };
    Need {
        issued_at: instant(-600),
        contracts_seen: 0,
        bids: vec![DomsBid {
            id: BidId::new("bid-1").unwrap(),
            congestion_point: CONGESTED,
            start: slot(0),
            intervals: vec![interval; 2],
        }],
        rows: (0..8).map(row).collect(),
    }
}

/// Everything up to the order, oldest first; the device moves 1 kWh out of slot 0.
pub fn up_to_the_order() -> Vec<MarketEvent> {
    let offer = offer();
    let mut events = vec![MarketEvent::OfferAccepted { offer: offer.clone(), at: instant(-3_000) }];
    let mut aggregation = Aggregation::default();
    aggregation.add(offer.clone(), ZoneId(1)).unwrap();
    let aggregates = aggregation.seal(instant(-2_000), || AggregateId::new("agg-1").unwrap());
    let aggregate = aggregates.first().unwrap().clone();
    events.push(MarketEvent::AggregateFormed { aggregate: aggregate.clone(), at: instant(-2_000) });
    events.push(MarketEvent::NeedPlaced { need: need(), at: instant(-600) });
    let book = Book {
        need: Some(need()),
        zones: [(ZoneId(1), vec![CONGESTED.into()])].into(),
        offers: [(aggregate.id.clone(), aggregate.clone())].into(),
        ..Book::default()
    };
    let at = instant(-120);
    let clearing = clear(&book, &Rules::default(), at);
    events.push(MarketEvent::Cleared { round: RoundRecord::new(&book, &clearing, at).unwrap() });
    let accepted = clearing.accepted.into_iter().next().unwrap();
    let id = ContractId::new("c-1").unwrap();
    let contract = Contract::bought(id, 1, accepted, &aggregate, SettlementTerms::default(), at);
    events.push(MarketEvent::ContractFormed { contract: contract.clone() });
    let assignments = disaggregate(&aggregate, std::slice::from_ref(&offer), &contract.schedule).unwrap();
    let activation = Activation {
        id: ActivationId::new(ACTIVATION).unwrap(),
        device: DEVICE,
        offer: offer.id,
        contract: contract.id.clone(),
        schedule: assignments[0].schedule.clone(),
        replaces_from: slot(0),
    };
    events.push(MarketEvent::Assigned { contract: contract.id, assignments, at: instant(-115) });
    events.push(MarketEvent::ActivationIssued { activation, at: instant(-110) });
    events
}
