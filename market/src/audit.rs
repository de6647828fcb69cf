//! An independent judge of a market area's events: was anything lost, doubled, or not conserved?
//!
//! It shares no code with the ledger or the splitting of schedules, so that one mistake cannot hide in both.
//! It never fails: whatever does not fit is counted and put into words.
//!
//! * *Lost*: a part of a contract whose first slot has begun (compared with the newest event) and whose device
//!   was not told or did not answer.
//! * *Doubled*: an offer that was assigned or activated more than once.

mod bills;
mod lone;
mod money;
mod offers;
mod orders;
mod rounds;
mod settlements;
mod sums;
#[cfg(test)]
mod tests;

use crate::activation::{Activation, ActivationId, ActivationStatus};
use crate::baseline::Baseline;
use crate::bid::{BidId, DomsBid, Need};
use crate::clearing::RoundRecord;
use crate::contract::{AggregateId, AggregatedFlexOffer, Assignment, Contract, ContractId};
use crate::delegated::{DelegatedContract, Month};
use crate::event::{MarketEvent, RecordNumber};
use crate::flex_offer::{EnergyBounds, ExclusiveGroupId, FlexOffer, FlexOfferId, Schedule, Slice};
use crate::settlement::MeterReading;
use grid::{DeviceId, EnergyMwh, Money, ProsumerId, Slot, Timestamp};
use rounds::Again;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// What an audit found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct AuditReport {
    /// Offers accepted.
    pub offers: u64,
    /// Changes of offers by their owners.
    #[serde(skip_serializing_if = "is_none")]
    pub offers_changed: u64,
    /// Aggregates formed.
    pub aggregates: u64,
    /// Clearings recorded.
    pub rounds: u64,
    /// Of these, those that were cleared again and were the same.
    pub rounds_cleared_again: u64,
    /// Of these, those by another revision of the clearing than this program's, which cannot be cleared again by it.
    pub rounds_of_other_revisions: u64,
    /// Of these, those that could have been cleared again and were left out, as was asked for.
    #[serde(skip_serializing_if = "is_none")]
    pub rounds_left_out: u64,
    /// Contracts formed.
    pub contracts: u64,
    /// Activations issued.
    pub activations: u64,
    /// Activations answered by their devices.
    pub answered: u64,
    /// Parts of contracts assigned to offers.
    pub assignments: u64,
    /// Of these, those that were assigned at the offer's assignment deadline or later. After an outage that is lawful.
    pub assignments_late: u64,
    /// Activations issued at the offer's assignment deadline or later.
    pub activations_late: u64,
    /// Slots settled.
    pub settlements: u64,
    /// Parts of contracts whose time came without an activation and an answer.
    pub orders_lost: u64,
    /// Assignments or activations beyond the first of an offer.
    pub orders_doubled: u64,
    /// Sum over contracts and slots of |parts − whole|, mWh.
    pub energy_mismatch_mwh: i64,
    /// Sum over settlements of |sum of postings|, micro-units.
    pub money_imbalance: Money,
    /// Every broken rule in words, in the order of the events.
    pub violations: Vec<String>,
}

fn is_none(count: &u64) -> bool {
    *count == 0
}

impl AuditReport {
    /// Whether nothing was lost, doubled, left unbalanced or otherwise wrong.
    pub fn is_clean(&self) -> bool {
        self.orders_lost == 0
            && self.orders_doubled == 0
            && self.energy_mismatch_mwh == 0
            && self.money_imbalance == Money::ZERO
            && self.violations.is_empty()
    }
}

/// Judges all events of a market area, oldest first, as records counted from 1.
pub fn audit<'a>(events: impl IntoIterator<Item = &'a MarketEvent>) -> AuditReport {
    audit_records(events.into_iter().zip(1..).map(|(event, number)| (RecordNumber(number), event)))
}

/// Judges all events of a market area with the numbers of their records, oldest first. Rounds are cleared again on all processors.
pub fn audit_records<'a>(records: impl IntoIterator<Item = (RecordNumber, &'a MarketEvent)>) -> AuditReport {
    Audit::default().of(records, &|_| ())
}

/// The same; `tell` is told how many rounds are cleared again so far.
pub fn audit_telling<'a>(
    records: impl IntoIterator<Item = (RecordNumber, &'a MarketEvent)>,
    tell: &(dyn Fn(usize) + Sync),
) -> AuditReport {
    Audit::default().of(records, tell)
}

/// The same without clearing any round again, which is most of the work in a long journal. How many were left out is in the report.
pub fn audit_without_clearings<'a>(
    records: impl IntoIterator<Item = (RecordNumber, &'a MarketEvent)>,
) -> AuditReport {
    Audit { without_clearings: true, ..Audit::default() }.of(records, &|_| ())
}

impl<'a> Audit<'a> {
    fn of(
        mut self,
        records: impl IntoIterator<Item = (RecordNumber, &'a MarketEvent)>,
        tell: &(dyn Fn(usize) + Sync),
    ) -> AuditReport {
        for (number, event) in records {
            self.note_time(event);
            self.judge(event);
            self.note_record(number, event);
        }
        self.clear_all_again(tell);
        self.find_lost();
        self.judge_netted();
        self.report
    }
}

/// What a settlement rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Source<'a> {
    Offer(&'a FlexOfferId),
    Contract(&'a ContractId),
    Assignment(&'a ContractId),
    Baseline(&'a ContractId, &'a FlexOfferId),
    Answer(&'a ActivationId),
    Reading(DeviceId, Slot),
}

#[derive(Default)]
struct Audit<'a> {
    report: AuditReport,
    without_clearings: bool,
    newest: Option<Timestamp>,
    offers: BTreeMap<&'a FlexOfferId, &'a FlexOffer>,
    closed: BTreeMap<&'a FlexOfferId, &'static str>,
    aggregates: BTreeMap<&'a AggregateId, &'a AggregatedFlexOffer>,
    aggregate_of: BTreeMap<&'a FlexOfferId, &'a AggregateId>,
    /// What aggregates of one member were made of; an offer may say something else by now.
    made_of: BTreeMap<&'a AggregateId, &'a FlexOffer>,
    bids: BTreeMap<&'a BidId, &'a DomsBid>,
    contracts: BTreeMap<&'a ContractId, &'a Contract>,
    /// By when they were issued.
    needs: BTreeMap<Timestamp, &'a Need>,
    /// The newest clearing and its contracts so far.
    round: Option<(&'a RoundRecord, u64)>,
    /// Rounds that are cleared again when all was read; whether the newest clearing is the last of them.
    again: Vec<Again<'a>>,
    is_cleared_again: bool,
    sold: BTreeMap<&'a AggregateId, &'a ContractId>,
    groups_sold: BTreeMap<(ProsumerId, &'a ExclusiveGroupId), &'a FlexOfferId>,
    assigned: BTreeMap<&'a ContractId, &'a [Assignment]>,
    assigned_to: BTreeMap<&'a FlexOfferId, &'a ContractId>,
    activations: BTreeMap<&'a ActivationId, &'a Activation>,
    activated_by: BTreeMap<&'a FlexOfferId, &'a ActivationId>,
    answers: BTreeMap<&'a ActivationId, &'a ActivationStatus>,
    /// When the system recorded each first answer.
    answered_at: BTreeMap<&'a ActivationId, Timestamp>,
    baselines: BTreeMap<(&'a ContractId, &'a FlexOfferId), &'a Baseline>,
    readings: BTreeMap<(DeviceId, Slot), &'a MeterReading>,
    settled: BTreeSet<(&'a ContractId, &'a FlexOfferId, Slot)>,
    /// Per contract, slot and direction: credited along the order, mWh.
    credited: BTreeMap<(&'a ContractId, Slot, bool), i128>,
    /// Per contract, slot and direction: what was settled.
    netted: BTreeMap<(&'a ContractId, Slot, bool), money::Netted>,
    /// Per part: relief credited minus taken back, mWh.
    relief: BTreeMap<(&'a ContractId, &'a FlexOfferId), i128>,
    delegations: BTreeMap<(ProsumerId, Month), &'a DelegatedContract>,
    bills: BTreeSet<(ProsumerId, Month)>,
    /// The record in which each thing was.
    records: BTreeMap<Source<'a>, RecordNumber>,
}

impl<'a> Audit<'a> {
    fn wrong(&mut self, text: String) {
        self.report.violations.push(text);
    }

    fn note_record(&mut self, number: RecordNumber, event: &'a MarketEvent) {
        let source = match event {
            MarketEvent::OfferAccepted { offer, .. } | MarketEvent::OfferChanged { offer, .. } => {
                Source::Offer(&offer.id)
            }
            MarketEvent::ContractFormed { contract } => Source::Contract(&contract.id),
            MarketEvent::Assigned { contract, .. } => Source::Assignment(contract),
            MarketEvent::BaselineFrozen { contract, offer, .. } => Source::Baseline(contract, offer),
            MarketEvent::ActivationAnswered { status, .. } => Source::Answer(&status.activation),
            MarketEvent::MeterRead { reading } => Source::Reading(reading.device, reading.slot),
            _ => return,
        };
        self.records.insert(source, number);
    }

    fn judge(&mut self, event: &'a MarketEvent) {
        match event {
            MarketEvent::OfferAccepted { offer, at } => self.offer_accepted(offer, *at),
            MarketEvent::OfferChanged { offer, at } => self.offer_changed(offer, *at),
            MarketEvent::OfferWithdrawn { offer, .. } => self.offer_closed(offer, "withdrawn"),
            MarketEvent::OfferExpired { offer, at } => self.offer_expired(offer, *at),
            MarketEvent::AggregateFormed { aggregate, .. } => self.aggregate_formed(aggregate),
            MarketEvent::NeedPlaced { need, .. } => {
                self.needs.insert(need.issued_at, need);
                self.need_placed(need);
            }
            MarketEvent::ContractFormed { contract } => self.contract_formed(contract),
            MarketEvent::BaselineFrozen { contract, offer, baseline, at } => {
                self.baseline_frozen(contract, offer, baseline, *at)
            }
            MarketEvent::Cleared { round } => self.cleared(round),
            MarketEvent::RoundCleared { round, proof } => {
                self.cleared(round);
                self.cleared_again(round, proof);
            }
            MarketEvent::DelegationAgreed { prosumer, from, contract, at } => {
                self.delegation_agreed(*prosumer, *from, contract, *at)
            }
            MarketEvent::BillIssued { bill, at } => self.bill_issued(bill, *at),
            MarketEvent::Assigned { contract, assignments, at } => {
                self.report.assignments += assignments.len() as u64;
                self.report.assignments_late += self.late(assignments.iter().map(|part| &part.offer), *at);
                self.contract_assigned(contract, assignments)
            }
            MarketEvent::ActivationIssued { activation, at } => {
                self.report.activations_late += self.late([&activation.offer], *at);
                self.activation_issued(activation)
            }
            MarketEvent::ActivationAnswered { status, at } => self.activation_answered(status, *at),
            MarketEvent::MeterRead { reading } => self.meter_read(reading),
            MarketEvent::Settled { settlement, .. } => self.slot_settled(settlement),
        }
    }

    fn note_time(&mut self, event: &MarketEvent) {
        let at = match event {
            MarketEvent::OfferAccepted { at, .. }
            | MarketEvent::OfferChanged { at, .. }
            | MarketEvent::OfferWithdrawn { at, .. }
            | MarketEvent::OfferExpired { at, .. }
            | MarketEvent::AggregateFormed { at, .. }
            | MarketEvent::NeedPlaced { at, .. }
            | MarketEvent::Assigned { at, .. }
            | MarketEvent::BaselineFrozen { at, .. }
            | MarketEvent::DelegationAgreed { at, .. }
            | MarketEvent::BillIssued { at, .. }
            | MarketEvent::ActivationIssued { at, .. }
            | MarketEvent::ActivationAnswered { at, .. }
            | MarketEvent::Settled { at, .. } => *at,
            MarketEvent::ContractFormed { contract } => contract.formed_at,
            MarketEvent::Cleared { round } | MarketEvent::RoundCleared { round, .. } => round.at,
            MarketEvent::MeterRead { reading } => reading.received_at,
        };
        self.newest = self.newest.max(Some(at));
    }
}

/// Energy of a schedule in a slot, wide enough for any sum.
fn energy_in(schedule: &Schedule, slot: i64) -> i128 {
    let index = usize::try_from(i128::from(slot) - i128::from(schedule.start.0)).ok();
    index.and_then(|index| schedule.energies.get(index)).map_or(0, |energy| i128::from(energy.0))
}

/// The slots of a schedule; slots that no number can name are left out.
fn slots(schedule: &Schedule) -> impl Iterator<Item = i64> {
    let start = schedule.start.0;
    (0..schedule.energies.len() as i64).filter_map(move |count| start.checked_add(count))
}

/// What a schedule changes against another one: the slots where they differ.
fn change(default: &Schedule, schedule: &Schedule) -> BTreeMap<i64, i128> {
    let mut change = BTreeMap::new();
    for slot in slots(default).chain(slots(schedule)) {
        let difference = energy_in(schedule, slot) - energy_in(default, slot);
        if difference != 0 {
            change.insert(slot, difference);
        }
    }
    change
}

fn same_change(wanted: &BTreeMap<i64, i128>, stated: &[(Slot, EnergyMwh)]) -> bool {
    wanted.len() == stated.len()
        && wanted
            .iter()
            .zip(stated)
            .all(|((slot, energy), (at, stated))| *slot == at.0 && *energy == i128::from(stated.0))
}

/// Whether a schedule lies in a profile.
fn inside(window: (Slot, Slot), slices: &[Slice], total: Option<EnergyBounds>, schedule: &Schedule) -> bool {
    let sum: i128 = schedule.energies.iter().map(|energy| i128::from(energy.0)).sum();
    let within = |(energy, slice): (&EnergyMwh, &Slice)| slice.min <= *energy && *energy <= slice.max;
    schedule.energies.len() == slices.len()
        && window.0 <= schedule.start
        && schedule.start <= window.1
        && schedule.energies.iter().zip(slices).all(within)
        && total.is_none_or(|total| i128::from(total.min.0) <= sum && sum <= i128::from(total.max.0))
}

/// Whether a slot has begun at an instant.
fn begun(slot: Slot, at: Timestamp) -> bool {
    i128::from(slot.0) * 900_000_000_000 <= i128::from(at.nanos())
}
