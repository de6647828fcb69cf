//! What others want to know. All answers are in a fixed order.

use super::{Ledger, OfferRecord, OfferStatus, Place};
use crate::activation::{Activation, ActivationId, ActivationStatus};
use crate::aggregation::{ExclusiveGroup, LoneTerms};
use crate::bid::{BidId, Need};
use crate::clearing::RoundRecord;
use crate::contract::{AggregateId, AggregatedFlexOffer, Assignment, Contract, ContractId};
use crate::event::RecordNumber;
use crate::flex_offer::{FlexOffer, FlexOfferId, Schedule};
use crate::offering::OfferState;
use crate::settlement::{Account, MeterReading, SlotSettlement};
use grid::{DeviceId, EnergyMwh, Money, ProsumerId, Slot, Timestamp, UsagePointId};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::ops::{Bound, RangeInclusive};

/// Sums since the first event. Energies are magnitudes in mWh.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Ordered to be taken less.
    pub ordered_decrease: EnergyMwh,
    /// Ordered to be taken more.
    pub ordered_increase: EnergyMwh,
    /// Ordered and by now settled, in both directions.
    pub settled: EnergyMwh,
    /// Credited as delivered, in both directions.
    pub delivered: EnergyMwh,
    /// Credited as delivered decrease.
    pub delivered_decrease: EnergyMwh,
    /// What the DSO has paid, net of penalties, micro-units.
    pub paid: Money,
    /// Orders that their devices accepted.
    pub confirmed: u64,
}

grid::packed!(struct Totals {
    ordered_decrease, ordered_increase, settled, delivered, delivered_decrease, paid, confirmed,
});

impl Totals {
    pub(super) fn order(&mut self, energy: EnergyMwh) {
        let sum = if energy.0 < 0 { &mut self.ordered_decrease } else { &mut self.ordered_increase };
        grow(sum, energy);
    }

    pub(super) fn settle(&mut self, settlement: &SlotSettlement) {
        grow(&mut self.settled, settlement.ordered);
        grow(&mut self.delivered, settlement.delivered);
        if settlement.ordered.0 < 0 {
            grow(&mut self.delivered_decrease, settlement.delivered);
        }
        for posting in settlement.postings.iter().filter(|posting| posting.account == Account::Dso) {
            self.paid = Money(self.paid.0.saturating_sub(posting.amount.0));
        }
    }
}

fn grow(sum: &mut EnergyMwh, energy: EnergyMwh) {
    *sum = EnergyMwh(sum.0.saturating_add(energy.abs().0));
}

/// An assigned part whose device was not told yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ToActivate<'a> {
    /// Under which contract.
    pub contract: &'a Contract,
    /// What was assigned.
    pub assignment: &'a Assignment,
    /// The offer with its device and default schedule.
    pub offer: &'a FlexOffer,
}

impl Ledger {
    /// An accepted offer and where it stands.
    pub fn offer(&self, id: &FlexOfferId) -> Option<(&FlexOffer, OfferStatus)> {
        self.offers.get(id).map(|record| (&record.offer, record.status))
    }

    /// An accepted offer and where it stands by the facts up to a record; unknown when its acceptance is a later one, and as it
    /// was before when its newest change is. That it was withdrawn, or has expired, is told at once.
    pub fn offer_as_of(&self, id: &FlexOfferId, record: RecordNumber) -> Option<(&FlexOffer, OfferStatus)> {
        let known = self.offers.get(id)?;
        let offer = match known.record <= record {
            true => &known.offer,
            false => {
                self.replaced.get(id).filter(|(_, accepted)| *accepted <= record).map(|(before, _)| before)?
            }
        };
        let contract = || self.contracts.get(known.contract.as_ref()?);
        let status = match known.status {
            sold @ (OfferStatus::Contracted | OfferStatus::Assigned { .. }) => match contract() {
                Some(contract) if contract.formed > record => OfferStatus::Open,
                Some(contract) if contract.assigned > record => OfferStatus::Contracted,
                _ => sold,
            },
            status => status,
        };
        Some((offer, status))
    }

    /// A contract that was formed up to a record.
    pub fn contract_as_of(&self, id: &ContractId, record: RecordNumber) -> Option<&Contract> {
        self.contracts.get(id).filter(|one| one.formed <= record).map(|one| &one.contract)
    }

    /// Under which contract an offer was bought, and its part of it, by the facts up to a record.
    pub fn sold_as_of(
        &self,
        id: &FlexOfferId,
        record: RecordNumber,
    ) -> Option<(&Contract, &Assignment, &FlexOffer)> {
        let known = self.offers.get(id)?;
        let contract = self.contracts.get(known.contract.as_ref()?).filter(|one| one.assigned <= record)?;
        let part = contract.assignments.as_ref()?.get(known.part as usize)?;
        Some((&contract.contract, part, &known.offer))
    }

    /// Contracts that serve a bid and were formed up to a record, oldest first.
    pub fn bought_as_of(&self, bid: &BidId, record: RecordNumber) -> impl Iterator<Item = &Contract> {
        let contracts = self.bought.get(bid).into_iter().flatten().filter_map(|id| self.contracts.get(id));
        contracts.take_while(move |one| one.formed <= record).map(|one| &one.contract)
    }

    /// Number of the newest record that was taken in.
    pub fn newest_record(&self) -> RecordNumber {
        self.newest_record
    }

    /// How many offers were ever accepted.
    pub fn offer_count(&self) -> u64 {
        self.offers.len() as u64
    }

    /// How many offers may still be assigned.
    pub fn open_offer_count(&self) -> u64 {
        self.open_offers.len() as u64
    }

    /// How many orders were ever given.
    pub fn activation_count(&self) -> u64 {
        self.activations.len() as u64
    }

    /// How many deliveries were settled.
    pub fn settlement_count(&self) -> u64 {
        self.settled.len() as u64
    }

    /// Every accepted offer and where it stands, by id.
    pub fn offers(&self) -> impl Iterator<Item = (&FlexOffer, OfferStatus)> {
        self.offers.values().map(|record| (&record.offer, record.status))
    }

    /// Names of accepted offers after one of them, in order: all, or those of some prosumers. Looks at no other.
    pub fn offers_after<'a>(
        &'a self,
        after: Option<&'a FlexOfferId>,
        owners: Option<&[ProsumerId]>,
    ) -> Box<dyn Iterator<Item = &'a FlexOfferId> + 'a> {
        let from = (after.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
        let Some(owners) = owners else {
            let from = after.map_or(Bound::Unbounded, |after| Bound::Excluded(after.clone()));
            return Box::new(self.offers.names((from, Bound::Unbounded)));
        };
        let owners: BTreeSet<ProsumerId> = owners.iter().copied().collect();
        let mut own: Vec<_> = owners
            .into_iter()
            .filter_map(|owner| self.offers.of(owner))
            .map(|names| names.range::<FlexOfferId, _>(from))
            .collect();
        // The first name that is left of each owner.
        let mut next: BinaryHeap<_> = own
            .iter_mut()
            .enumerate()
            .filter_map(|(owner, names)| Some(Reverse((names.next()?, owner))))
            .collect();
        Box::new(std::iter::from_fn(move || {
            let Reverse((first, owner)) = next.pop()?;
            let following = own.get_mut(owner).and_then(Iterator::next);
            next.extend(following.map(|name| Reverse((name, owner))));
            Some(first)
        }))
    }

    /// Offers that may still be assigned, by id.
    pub fn open_offers(&self) -> impl Iterator<Item = &FlexOffer> {
        self.open_offers.iter().filter_map(|id| self.offers.get(id)).map(|record| &record.offer)
    }

    /// Open offers that are in no aggregate yet, by id: what an aggregation starts from after a restart.
    pub fn unaggregated_offers(&self) -> impl Iterator<Item = &FlexOffer> {
        let records = self.open_offers.iter().filter_map(|id| self.offers.get(id));
        records.filter(|record| record.aggregate.is_none()).map(|record| &record.offer)
    }

    /// Open offers whose assignment deadline has passed: they are to be declared expired.
    pub fn overdue_offers(&self, now: Timestamp) -> Vec<FlexOfferId> {
        let overdue = self.open_offers().filter(|offer| offer.assignment_before <= now);
        overdue.map(|offer| offer.id.clone()).collect()
    }

    /// What the next offer of a device depends on.
    pub fn offer_state(&self, device: DeviceId) -> OfferState<'_> {
        let Some((newest, made)) = self.by_device.get(&device) else { return OfferState::default() };
        OfferState {
            made: *made,
            newest: self
                .offers
                .get(newest)
                // It may be another device's since.
                .filter(|record| record.offer.device == device)
                .map(|record| (&record.offer, record.status)),
        }
    }

    /// A sealed aggregate.
    pub fn aggregate(&self, id: &AggregateId) -> Option<&AggregatedFlexOffer> {
        self.aggregates.get(id)
    }

    /// What an aggregate asks that is one offer by itself; `None` for a sum.
    pub fn lone_terms(&self, aggregate: &AggregatedFlexOffer) -> Option<LoneTerms> {
        match aggregate.members.as_slice() {
            [member] => LoneTerms::of(&self.offers.get(member)?.offer),
            _ => None,
        }
    }

    /// Exclusive groups of which an offer was bought.
    pub fn groups_sold(&self) -> &BTreeSet<ExclusiveGroup> {
        &self.groups_sold
    }

    /// The offers that bind a device at an instant: open ones unless their exclusive group is sold, and sold ones until both
    /// their schedules have ended.
    pub fn binding_offers(&self, device: DeviceId, now: Timestamp) -> impl Iterator<Item = &FlexOffer> {
        let known = self.binding.get(&device).into_iter().flatten();
        let mut records: Vec<&OfferRecord> = known.filter_map(|place| self.offers.at(*place)).collect();
        records.sort_unstable_by_key(|record| &record.offer.id);
        let hopeless = |record: &&OfferRecord| {
            let offer = &record.offer;
            let group = offer.terms.exclusive_group.clone().map(|group| (offer.prosumer, group));
            record.status == OfferStatus::Open && group.is_some_and(|group| self.groups_sold.contains(&group))
        };
        let binding = records.into_iter().filter(move |record| record.status.binds(now) && !hopeless(record));
        binding.map(|record| &record.offer)
    }

    /// How many aggregates were ever formed.
    pub fn aggregate_count(&self) -> u64 {
        self.aggregates.len() as u64
    }

    /// Aggregates that were not bought and whose members are all open, by id.
    pub fn open_aggregates(&self) -> impl Iterator<Item = &AggregatedFlexOffer> {
        self.unsold.iter().filter_map(|id| self.aggregates.get(id))
    }

    /// The members of an aggregate, in its order.
    pub fn members(&self, aggregate: &AggregateId) -> Vec<FlexOffer> {
        let members = self.aggregates.get(aggregate).map_or(&[][..], |a| a.members.as_slice());
        members.iter().filter_map(|id| self.offers.get(id)).map(|record| record.offer.clone()).collect()
    }

    /// The aggregate an offer was sealed into.
    pub fn aggregate_of(&self, offer: &FlexOfferId) -> Option<&AggregateId> {
        self.offers.get(offer)?.aggregate.as_ref()
    }

    /// The newest need.
    pub fn need(&self) -> Option<&Need> {
        self.need.as_ref()
    }

    /// The newest need, while it knows every contract: the only one that may be cleared without buying twice.
    pub fn fresh_need(&self) -> Option<&Need> {
        self.need.as_ref().filter(|need| need.contracts_seen == self.contract_count())
    }

    /// The newest clearing that bought something or was not certified.
    pub fn newest_round(&self) -> Option<&RoundRecord> {
        self.round.as_ref().map(|(round, _)| round)
    }

    /// How many contracts there are.
    pub fn contract_count(&self) -> u64 {
        self.contracts.len() as u64
    }

    /// A contract and, once they are made, its assignments.
    pub fn contract(&self, id: &ContractId) -> Option<(&Contract, Option<&[Assignment]>)> {
        self.contracts.get(id).map(|record| (&record.contract, record.assignments.as_deref()))
    }

    /// All contracts with their assignments, by id.
    pub fn contracts(&self) -> impl Iterator<Item = (&Contract, Option<&[Assignment]>)> {
        self.contracts.values().map(|record| (&record.contract, record.assignments.as_deref()))
    }

    /// Contracts that were not split yet, by id.
    pub fn contracts_without_assignment(&self) -> impl Iterator<Item = &Contract> {
        self.unassigned.iter().filter_map(|id| self.contracts.get(id)).map(|record| &record.contract)
    }

    /// Assigned parts whose devices were not told yet, by prosumer, contract and offer.
    pub fn assignments_without_activation(&self) -> impl Iterator<Item = ToActivate<'_>> {
        self.to_activate((ProsumerId(0), Place::FIRST)..=(ProsumerId(u32::MAX), Place::LAST))
    }

    /// Those of one prosumer, by contract and offer.
    pub fn assignments_to_activate(&self, prosumer: ProsumerId) -> impl Iterator<Item = ToActivate<'_>> {
        self.to_activate((prosumer, Place::FIRST)..=(prosumer, Place::LAST))
    }

    /// The schedule that was assigned to an offer.
    pub fn assigned_schedule(&self, offer: &FlexOfferId) -> Option<&Schedule> {
        let contract = self.offers.get(offer)?.contract.as_ref()?;
        self.assignment(contract, offer).map(|part| &part.schedule)
    }

    fn to_activate(
        &self,
        waiting: RangeInclusive<(ProsumerId, Place)>,
    ) -> impl Iterator<Item = ToActivate<'_>> + use<'_> {
        let waiting = self.unactivated.range(waiting).filter_map(|(prosumer, place)| {
            let record = self.offers.at(*place)?;
            let contract = self.contracts.get(record.contract.as_ref()?)?;
            let assignment = contract.assignments.as_ref()?.get(record.part as usize)?;
            Some((*prosumer, ToActivate { contract: &contract.contract, assignment, offer: &record.offer }))
        });
        let mut waiting: Vec<_> = waiting.collect();
        waiting.sort_by(|(owner, one), (other_owner, other)| {
            (owner, &one.contract.id, &one.offer.id).cmp(&(other_owner, &other.contract.id, &other.offer.id))
        });
        waiting.into_iter().map(|(_, waits)| waits)
    }

    /// An activation and, once it came, the device's answer.
    pub fn activation(&self, id: &ActivationId) -> Option<(&Activation, Option<&ActivationStatus>)> {
        self.activations
            .get(id)
            .map(|record| (&record.activation, record.answer.as_ref().map(|answer| &answer.status)))
    }

    /// An activation that was given up to a record.
    pub fn activation_as_of(&self, id: &ActivationId, record: RecordNumber) -> Option<&Activation> {
        self.activations.get(id).filter(|known| known.issued <= record).map(|known| &known.activation)
    }

    /// All activations with the devices' answers, by id.
    pub fn activations(&self) -> impl Iterator<Item = (&Activation, Option<&ActivationStatus>)> {
        self.activations
            .values()
            .map(|record| (&record.activation, record.answer.as_ref().map(|answer| &answer.status)))
    }

    /// Orders to a device that replace or ask for something in a slot or later. Looks at no other.
    pub fn orders_to(&self, device: DeviceId, from: Slot) -> impl Iterator<Item = &Activation> {
        self.activations.to(device, from)
    }

    /// Activations whose devices have not answered, by prosumer, end of their schedule and id.
    pub fn activations_unanswered(&self) -> impl Iterator<Item = &Activation> {
        self.unanswered_in(
            (ProsumerId(0), Slot(i64::MIN), Place::FIRST)
                ..=(ProsumerId(u32::MAX), Slot(i64::MAX), Place::LAST),
        )
    }

    /// Those of one prosumer that can still be followed, because their schedules end after `now`.
    pub fn activations_to_repeat(
        &self,
        prosumer: ProsumerId,
        now: Timestamp,
    ) -> impl Iterator<Item = &Activation> {
        let from = (prosumer, now.slot().plus(1), Place::FIRST);
        self.unanswered_in(from..=(prosumer, Slot(i64::MAX), Place::LAST))
    }

    fn unanswered_in(
        &self,
        waiting: RangeInclusive<(ProsumerId, Slot, Place)>,
    ) -> impl Iterator<Item = &Activation> + use<'_> {
        let orders = self.unanswered.range(waiting).filter_map(|(prosumer, end, place)| {
            Some(((*prosumer, *end), &self.activations.at(*place)?.activation))
        });
        let mut orders: Vec<_> = orders.collect();
        orders.sort_by(|(due, one), (other_due, other)| (due, &one.id).cmp(&(other_due, &other.id)));
        orders.into_iter().map(|(_, order)| order)
    }

    /// Deviation assigned per slot behind each usage point, mWh, parts that a device refused left out.
    pub fn planned_deviation(&self) -> &BTreeMap<(Slot, UsagePointId), EnergyMwh> {
        &self.planned
    }

    /// Deviation ordered from a device per slot, mWh, by slot; zero where it may only rebound.
    pub fn contracted_from(&self, device: DeviceId) -> &[(Slot, EnergyMwh)] {
        self.contracted.of(device)
    }

    /// Deviation ordered from a device in a slot, mWh; zero where it may only rebound, nothing where no contract rests on its reading.
    pub fn contracted_in(&self, device: DeviceId, slot: Slot) -> Option<EnergyMwh> {
        self.contracted.get(device, &slot).copied()
    }

    /// A meter reading.
    pub fn reading(&self, device: DeviceId, slot: Slot) -> Option<&MeterReading> {
        self.readings.get(&(slot, device)).map(|(reading, _)| reading)
    }

    /// How many ordered slots are not settled.
    pub fn unsettled_count(&self) -> usize {
        self.awaited.len()
    }

    /// All settlements, oldest slot first.
    pub fn settlements(&self) -> impl Iterator<Item = &SlotSettlement> {
        self.settled.values()
    }

    /// The settlement of one offer in one slot.
    pub fn settlement(
        &self,
        contract: &ContractId,
        offer: &FlexOfferId,
        slot: Slot,
    ) -> Option<&SlotSettlement> {
        self.settled.get(&(slot, contract.clone(), offer.clone()))
    }

    /// Account balances, micro-units; they sum to zero.
    pub fn balances(&self) -> &BTreeMap<Account, Money> {
        &self.balances
    }

    /// Sums since the first event.
    pub fn totals(&self) -> Totals {
        self.totals
    }
}
