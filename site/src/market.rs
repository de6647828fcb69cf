//! The page's door to the market, opened to the system.

#[cfg(test)]
pub(crate) mod tests;

use crate::paged::{HELD_MAX, Span, page};
use crate::trades;
use actors::door::OVERLOADED;
use actors::journal::Books;
use actors::journal::stage::JOURNAL_FULL;
use actors::market_side::{BEING_RECORDED, OfferAnswer as Answer};
use actors::{Area, Refusals};
use dashboards_server::{
    BidFound, BillKey, MarketDoor, NotBought, OfferAnswer, OfferFound, OfferState, OffersAsked, OffersPage,
    Ordered, TradesAsked, TradesPage,
};
use futures_util::future::BoxFuture;
use grid::telemetry::Element;
use grid::{DeviceId, EnergyMwh, ProsumerId, Slot, Timestamp, UsagePointId};
use market::delegated::BillLine;
use market::transfer_price::TransferPart;
use market::{
    Activation, BidId, DomsBid, FlexOffer, FlexOfferId, Ledger, MonthlyBill, OfferStatus, RecordNumber,
    Schedule,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Orders to a device in a month at most: one for each quarter-hour, and as many that were replaced.
const ORDERS_MAX: usize = 10_000;

/// Offers handed in over HTTP go to the aggregator; offers asked for are looked up in the books.
#[derive(Debug, Clone)]
pub struct Door {
    door: actors::OfferDoor,
    books: Books,
    refusals: Refusals,
    area: Arc<Area>,
    /// The prosumers behind each usage point.
    behind: Arc<BTreeMap<UsagePointId, Vec<ProsumerId>>>,
}

impl Door {
    /// Joins both, and the devices of the area.
    pub fn new(door: actors::OfferDoor, books: Books, refusals: Refusals, area: Arc<Area>) -> Self {
        let mut behind: BTreeMap<UsagePointId, BTreeSet<ProsumerId>> = BTreeMap::new();
        for device in area.devices.values() {
            behind.entry(device.usage_point).or_default().insert(device.prosumer);
        }
        let behind = behind.into_iter().map(|(point, prosumers)| (point, prosumers.into_iter().collect()));
        let behind = Arc::new(behind.collect());
        Self { door, books, refusals, area, behind }
    }
}

impl MarketDoor for Door {
    fn submit(&self, offer: FlexOffer) -> BoxFuture<'static, OfferAnswer> {
        let door = self.door.clone();
        Box::pin(async move { answered(door.submit(offer).await) })
    }

    fn change(&self, offer: FlexOffer) -> BoxFuture<'static, OfferAnswer> {
        let door = self.door.clone();
        Box::pin(async move { answered(door.change(offer).await) })
    }

    fn withdraw(&self, id: FlexOfferId) -> BoxFuture<'static, OfferAnswer> {
        let door = self.door.clone();
        Box::pin(async move { answered(door.withdraw(id).await) })
    }

    fn heard(&self, party: ProsumerId, expected: bool) -> bool {
        self.door.heard(party, expected)
    }

    fn offers(&self, asked: &OffersAsked) -> OffersPage {
        offers(&self.books, asked)
    }

    fn orders(&self, prosumer: ProsumerId) -> Vec<Activation> {
        let durable = self.books.durable();
        self.books.read(|ledger| orders(ledger, prosumer, durable))
    }

    fn find(&self, id: FlexOfferId) -> BoxFuture<'static, Option<OfferFound>> {
        let found = found(&self.books, &self.refusals, &id);
        Box::pin(std::future::ready(found))
    }

    fn devices_of(&self, prosumer: ProsumerId) -> Vec<(UsagePointId, DeviceId)> {
        let owned = self.area.devices.iter().filter(|(_, device)| device.prosumer == prosumer);
        owned.map(|(&id, device)| (device.usage_point, id)).collect()
    }

    fn owners(&self, element: Element) -> Vec<ProsumerId> {
        match element {
            Element::UsagePoint(point) => self.behind.get(&point).cloned().unwrap_or_default(),
            Element::Device(device) => {
                self.area.devices.get(&device).map(|d| d.prosumer).into_iter().collect()
            }
            Element::Bus(_) | Element::Branch(_) => Vec::new(),
        }
    }

    /// Behind a connection there may be a generator that is no device.
    fn feeds_in(&self, element: Element) -> bool {
        match element {
            Element::Device(device) => {
                self.area.devices.get(&device).is_none_or(|device| device.kind.feeds_in())
            }
            Element::UsagePoint(_) | Element::Bus(_) | Element::Branch(_) => true,
        }
    }

    fn ordered(&self, device: DeviceId, first: Slot, end: Slot) -> BTreeMap<Slot, Ordered> {
        ordered(&self.books, device, (first, end))
    }

    fn transfer_costs(&self, point: UsagePointId, first: Slot, count: u16) -> Option<Vec<Vec<TransferPart>>> {
        let zone = *self.area.zone_of.get(&point)?;
        let parts = |after: u16| {
            let slot = first.plus(i64::from(after));
            self.area.rules.transfer.parts(&self.area.zones, zone, slot).collect()
        };
        Some((0..count).map(parts).collect())
    }

    fn trades(&self, asked: &TradesAsked) -> TradesPage {
        trades::trades(&self.books, asked)
    }

    fn bids(&self) -> Vec<DomsBid> {
        let durable = self.books.durable();
        self.books.read(|ledger| ledger.open_bids_as_of(durable).cloned().collect())
    }

    fn bid(&self, id: &BidId) -> Option<BidFound> {
        let durable = self.books.durable();
        self.books.read(|ledger| {
            let bid = ledger.bid_as_of(id, durable)?.clone();
            let open = ledger.open_bids_as_of(durable).any(|open| open.id == *id);
            Some(BidFound { bid, open, bought: bought(ledger, id, durable) })
        })
    }

    fn bills(&self, after: Option<BillKey>, owners: Option<&[ProsumerId]>, most: usize) -> Vec<MonthlyBill> {
        durable_bills(&self.books, after, owners, most)
    }

    fn bill(&self, key: BillKey) -> Option<MonthlyBill> {
        let durable = self.books.durable();
        self.books.read(|ledger| ledger.bill_as_of(durable, key).cloned())
    }
}

fn answered(answer: Option<Answer>) -> OfferAnswer {
    match answer {
        Some(Answer::Accepted) => OfferAnswer::Accepted,
        Some(Answer::AlreadyKnown) => OfferAnswer::Known,
        Some(Answer::Conflict) => OfferAnswer::Conflict,
        Some(Answer::Refused { code: code @ (JOURNAL_FULL | BEING_RECORDED | OVERLOADED), reason }) => {
            OfferAnswer::Unavailable { code, sentence: reason }
        }
        Some(Answer::Refused { code, reason }) => {
            OfferAnswer::Refused { code: code.to_owned(), sentence: reason }
        }
        None => OfferAnswer::Unavailable {
            code: "unavailable",
            sentence: "no durable answer in time; ask the same again to learn what became of it".to_owned(),
        },
    }
}

/// Durable orders to a prosumer's devices that were not answered: one that is not durable may be lost, and its device would have
/// followed an order that nobody gave.
fn orders(ledger: &Ledger, prosumer: ProsumerId, durable: RecordNumber) -> Vec<Activation> {
    // From the beginning of time: whoever asks says what is over.
    let orders = ledger.activations_to_repeat(prosumer, Timestamp::default());
    let given = |order: &&Activation| ledger.activation_as_of(&order.id, durable).is_some();
    orders.filter(given).cloned().collect()
}

/// The deviation of all durable contracts that serve a bid, from its first slot to its last.
fn bought(ledger: &Ledger, id: &BidId, durable: RecordNumber) -> Option<(Slot, Vec<EnergyMwh>)> {
    let mut by_slot: BTreeMap<Slot, EnergyMwh> = BTreeMap::new();
    for contract in ledger.bought_as_of(id, durable) {
        for &(slot, energy) in &contract.deviation {
            *by_slot.entry(slot).or_default() += energy;
        }
    }
    let (first, last) = (*by_slot.keys().next()?, *by_slot.keys().next_back()?);
    let energies = (first.0..=last.0).map(|slot| by_slot.get(&Slot(slot)).copied().unwrap_or_default());
    Some((first, energies.collect()))
}

/// A page of durable offers.
fn offers(books: &Books, asked: &OffersAsked) -> OffersPage {
    let durable = books.durable();
    let span = Span { after: asked.after.as_ref(), owners: asked.owners.as_deref(), most: asked.most };
    let (offers, next) = page(books, &span, |ledger, name| {
        let (offer, status) = ledger.offer_as_of(name, durable)?;
        let state = state(status);
        let schedule = || ledger.assigned_schedule(name).cloned();
        asked.wants(state).then(|| OfferFound {
            offer: offer.clone(),
            state,
            schedule: (state == OfferState::Contracted).then(schedule).flatten(),
            not_bought: None,
        })
    });
    OffersPage { offers, next }
}

/// An offer by what is durable, and why it was not bought if it was not.
fn found(books: &Books, refusals: &Refusals, id: &FlexOfferId) -> Option<OfferFound> {
    let (offer, status) = books.durable_offer(id)?;
    let (schedule, aggregate) =
        books.read(|ledger| (ledger.assigned_schedule(id).cloned(), ledger.aggregate_of(id).cloned()));
    let unsold = matches!(status, OfferStatus::Open | OfferStatus::Expired);
    let last = aggregate.filter(|_| unsold).and_then(|aggregate| refusals.last(&aggregate));
    Some(OfferFound {
        offer,
        state: state(status),
        schedule: schedule.filter(|_| matches!(status, OfferStatus::Assigned { .. })),
        not_bought: last.map(|(at, refused)| NotBought { at, refused }),
    })
}

/// What durable orders ask of a device in some slots. The books are held for [`HELD_MAX`] orders at a time.
fn ordered(books: &Books, device: DeviceId, (first, end): (Slot, Slot)) -> BTreeMap<Slot, Ordered> {
    let durable = books.durable();
    let orders: Vec<Activation> = books.read(|ledger| {
        let begun = |order: &&Activation| order.schedule.start.min(order.replaces_from) < end;
        ledger.orders_to(device, first).filter(begun).take(ORDERS_MAX).cloned().collect()
    });
    let mut all = BTreeMap::new();
    for orders in orders.chunks(HELD_MAX) {
        all.extend(books.read(|ledger| ordered_by(ledger, orders, (first, end), durable)));
    }
    all
}

fn ordered_by(
    ledger: &Ledger,
    orders: &[Activation],
    (first, end): (Slot, Slot),
    durable: RecordNumber,
) -> BTreeMap<Slot, Ordered> {
    let mut ordered = BTreeMap::new();
    for order in orders.iter().filter(|order| ledger.activation_as_of(&order.id, durable).is_some()) {
        let Some((offer, _)) = ledger.offer(&order.offer) else { continue };
        let device = order.device;
        // Where the default schedule was, and where the ordered one is.
        let length = |schedule: &Schedule| schedule.start.plus(schedule.energies.len() as i64);
        let begin = order.schedule.start.min(offer.default_schedule.start);
        let over = length(&order.schedule).max(length(&offer.default_schedule));
        for slot in (begin.max(first).0..over.min(end).0).map(Slot) {
            let Some(baseline) = ledger.baseline(&order.contract, &order.offer, slot) else { continue };
            let scheduled = order.schedule.energy_in(slot);
            let metered = ledger.reading(device, slot).map(|reading| (reading.energy, reading.quality));
            ordered.insert(slot, Ordered { baseline, scheduled, metered });
        }
    }
    ordered
}

/// The bills that are durable, without what their lines rest on.
fn durable_bills(
    books: &Books,
    after: Option<BillKey>,
    owners: Option<&[ProsumerId]>,
    most: usize,
) -> Vec<MonthlyBill> {
    let durable = books.durable();
    books.read(|ledger| {
        let Some(owners) = owners else {
            return ledger.bills_as_of(durable, after).take(most).map(without_records).collect();
        };
        let owners: BTreeSet<ProsumerId> = owners.iter().copied().collect();
        let bills = owners.into_iter().flat_map(|owner| ledger.bills_of_as_of(durable, owner));
        let later = bills.filter(|bill| after.is_none_or(|after| after < (bill.prosumer, bill.month)));
        later.take(most).map(without_records).collect()
    })
}

/// A bill without what its lines rest on, which is most of it.
fn without_records(bill: &MonthlyBill) -> MonthlyBill {
    let line = |line: &BillLine| BillLine { reward: line.reward, amount: line.amount, cites: Vec::new() };
    MonthlyBill {
        prosumer: bill.prosumer,
        month: bill.month,
        num_flex_offers: bill.num_flex_offers,
        num_executed_flex_offers: bill.num_executed_flex_offers,
        total_time_flex: bill.total_time_flex,
        total_energy_flex: bill.total_energy_flex,
        num_custom_schedule_activations: bill.num_custom_schedule_activations,
        total_start_time_deviations: bill.total_start_time_deviations,
        total_energy_deviations: bill.total_energy_deviations,
        execution_imbalance: bill.execution_imbalance,
        lines: bill.lines.iter().map(line).collect(),
        postings: bill.postings.clone(),
    }
}

fn state(status: OfferStatus) -> OfferState {
    match status {
        OfferStatus::Open => OfferState::Accepted,
        OfferStatus::Contracted | OfferStatus::Assigned { .. } => OfferState::Contracted,
        OfferStatus::Withdrawn => OfferState::Withdrawn,
        OfferStatus::Expired => OfferState::Expired,
    }
}
