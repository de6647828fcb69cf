//! Delegated contracts and their monthly bills.

use super::apply::{Outcome, again};
use super::{Applied, ContractRecord, Ledger, LedgerError, OfferRecord, OfferStatus};
use crate::contract::AggregateId;
use crate::delegated::{Billed, DelegatedContract, Month, MonthlyBill, monthly_bill};
use crate::event::RecordNumber;
use crate::flex_offer::TradingMode;
use grid::{DeviceId, ProsumerId, Quality, Slot, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

/// Contracts by the aggregate they are about.
type ByAggregate<'a> = BTreeMap<&'a AggregateId, &'a ContractRecord>;

/// The offers of a prosumer and month that count, by their names: none that was taken back, and of those of a device whose
/// default schedules overlap the one that was assigned, or else the first. Otherwise handing in and taking back would be
/// paid each time.
fn counted(mut records: Vec<&OfferRecord>) -> Vec<&OfferRecord> {
    let assigned = |record: &OfferRecord| matches!(record.status, OfferStatus::Assigned { .. });
    records.retain(|record| record.status != OfferStatus::Withdrawn);
    records.sort_by_key(|record| (!assigned(record), record.record));
    let mut taken: BTreeSet<(DeviceId, Slot)> = BTreeSet::new();
    records.retain(|record| {
        let offer = &record.offer;
        let of_device = |slot| (offer.device, slot);
        let counts = assigned(record)
            || !offer.default_schedule.slots().map(of_device).any(|slot| taken.contains(&slot));
        if counts {
            taken.extend(offer.default_schedule.slots().map(of_device));
        }
        counts
    });
    records.sort_by(|a, b| a.offer.id.cmp(&b.offer.id));
    records
}

impl Ledger {
    pub(super) fn agree_delegation(
        &mut self,
        prosumer: ProsumerId,
        from: Month,
        contract: DelegatedContract,
        at: Timestamp,
        record: RecordNumber,
    ) -> Outcome {
        let agreed = self.delegations.get(&prosumer).and_then(|by_month| by_month.get(&from));
        if let Some((known, _)) = agreed {
            return again("delegated contract", format!("{prosumer} from {from}"), known, &contract);
        }
        if at > from.start() {
            let (what, deadline) = ("a delegated contract", from.start());
            return Err(LedgerError::TooLate { what, at, deadline });
        }
        if let Some(what) = contract.fault() {
            return Err(LedgerError::BillContents { prosumer, month: from, what });
        }
        self.delegations.entry(prosumer).or_default().insert(from, (contract, record));
        Ok(Applied::New)
    }

    pub(super) fn issue_bill(&mut self, bill: MonthlyBill, at: Timestamp, record: RecordNumber) -> Outcome {
        let key = (bill.prosumer, bill.month);
        if let Some((known, _)) = self.bills.get(&key) {
            return again("bill of prosumer", format!("{} for {}", key.0, key.1), known, &bill);
        }
        let refuse = |what| Err(LedgerError::BillContents { prosumer: key.0, month: key.1, what });
        if at < bill.month.end() {
            let (what, earliest) = ("a bill", bill.month.end());
            return Err(LedgerError::TooEarly { what, at, earliest });
        }
        let Some(expected) = self.bill(bill.prosumer, bill.month) else {
            return refuse(
                "no contract is agreed, a delivery waits for its settlement, or it cannot be counted",
            );
        };
        if expected != bill {
            return refuse("it is not what contract, offers and readings make of it");
        }
        if !self.post(&bill.postings) {
            return refuse("a balance would overflow");
        }
        self.bills.insert(key, (bill, record));
        Ok(Applied::New)
    }

    /// What was agreed with a prosumer for a month, by the newest contract that holds then.
    pub fn delegation(&self, prosumer: ProsumerId, month: Month) -> Option<&DelegatedContract> {
        let (_, (contract, _)) = self.delegations.get(&prosumer)?.range(..=month).next_back()?;
        Some(contract)
    }

    /// The bills of all months that ended at `before` or earlier, as far as they can be made and were not issued, oldest
    /// month first. [`Ledger::bill`] says when one cannot; it also waits while an offer of the month may still be assigned.
    pub fn bills_due(&self, before: Timestamp) -> Vec<MonthlyBill> {
        let mut due = BTreeSet::new();
        for (&prosumer, agreed) in &self.delegations {
            let mut month = agreed.keys().next().copied();
            while let Some(at) = month.filter(|month| month.end() <= before) {
                if !self.bills.contains_key(&(prosumer, at)) {
                    due.insert((at, prosumer));
                }
                month = Some(at.next());
            }
        }
        if due.is_empty() {
            return Vec::new();
        }
        let mut offers: BTreeMap<(Month, ProsumerId), Vec<&OfferRecord>> = BTreeMap::new();
        for record in self.offers.values().filter(|record| record.offer.terms.mode == TradingMode::Delegated)
        {
            let key = (Month::of(record.offer.default_schedule.start.start()), record.offer.prosumer);
            if due.contains(&key) {
                offers.entry(key).or_default().push(record);
            }
        }
        let by_aggregate =
            self.contracts.values().map(|record| (&record.contract.aggregate, record)).collect();
        let made = due.into_iter().filter_map(|(month, prosumer)| {
            let records = offers.remove(&(month, prosumer)).unwrap_or_default();
            let open =
                |record: &OfferRecord| matches!(record.status, OfferStatus::Open | OfferStatus::Contracted);
            if records.iter().any(|record| open(record)) {
                return None;
            }
            self.bill_of(prosumer, month, records, &by_aggregate)
        });
        made.collect()
    }

    /// The bill of a prosumer and month as the facts make it. `None` without a contract, while a delivery waits for
    /// its settlement, or when it exceeds what can be counted.
    pub fn bill(&self, prosumer: ProsumerId, month: Month) -> Option<MonthlyBill> {
        let counts = |record: &&OfferRecord| {
            record.offer.prosumer == prosumer
                && record.offer.terms.mode == TradingMode::Delegated
                && month.contains(record.offer.default_schedule.start.start())
        };
        let records: Vec<&OfferRecord> = self.offers.values().filter(counts).collect();
        let sold: BTreeSet<_> = records.iter().filter_map(|record| record.aggregate.as_ref()).collect();
        let contracts = self.contracts.values().map(|record| (&record.contract.aggregate, record));
        let contracts = contracts.filter(|(aggregate, _)| sold.contains(aggregate)).collect();
        self.bill_of(prosumer, month, records, &contracts)
    }

    fn bill_of(
        &self,
        prosumer: ProsumerId,
        month: Month,
        records: Vec<&OfferRecord>,
        contracts: &ByAggregate<'_>,
    ) -> Option<MonthlyBill> {
        let (_, (contract, agreed)) = self.delegations.get(&prosumer)?.range(..=month).next_back()?;
        let names: BTreeSet<_> = records.iter().map(|record| &record.offer.id).collect();
        let mut waiting = self.awaited.iter().filter_map(|(_, _, offer)| self.offers.at(*offer));
        if waiting.any(|record| names.contains(&record.offer.id)) {
            return None;
        }
        let billed = counted(records).into_iter().map(|record| self.billed(record, contracts));
        let billed: Vec<Billed<'_>> = billed.collect();
        monthly_bill(prosumer, month, contract, *agreed, &billed).ok()
    }

    fn billed<'a>(&'a self, record: &'a OfferRecord, contracts: &ByAggregate<'a>) -> Billed<'a> {
        let offer = &record.offer;
        let contract = record.aggregate.as_ref().and_then(|aggregate| contracts.get(aggregate).copied());
        let part = contract.and_then(|contract| self.assignment(&contract.contract.id, &offer.id));
        let order = record.activation.as_ref().and_then(|id| self.activations.get(id));
        let answer = order.and_then(|order| order.answer.as_ref());
        let mut cites = vec![record.record];
        cites.extend(contract.filter(|_| part.is_some()).map(|contract| contract.assigned));
        cites.extend(answer.map(|answer| answer.record));
        let (mut measured, mut complete) = (Vec::new(), true);
        for (slot, _) in part.map_or(&[][..], |part| part.deviation.as_slice()) {
            match self.readings.get(&(*slot, offer.device)) {
                Some((reading, record)) if reading.quality == Quality::Measured => {
                    measured.push((*slot, reading.energy));
                    cites.push(*record);
                }
                _ => complete = false,
            }
        }
        cites.sort_unstable();
        let obeyed = answer.is_some_and(|answer| answer.status.accepted);
        Billed { offer, schedule: part.map(|part| &part.schedule), obeyed, measured, complete, cites }
    }

    /// All bills, by prosumer and month.
    pub fn bills(&self) -> impl Iterator<Item = &MonthlyBill> {
        self.bills.values().map(|(bill, _)| bill)
    }

    /// The bills that were issued up to a record, by prosumer and month, from the one after `after` on.
    pub fn bills_as_of(
        &self,
        record: RecordNumber,
        after: Option<(ProsumerId, Month)>,
    ) -> impl Iterator<Item = &MonthlyBill> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let bills = self.bills.range((from, Bound::Unbounded));
        bills.filter(move |(_, (_, issued))| *issued <= record).map(|(_, (bill, _))| bill)
    }

    /// Those of one prosumer, by month. Looks at no other.
    pub fn bills_of_as_of(
        &self,
        record: RecordNumber,
        prosumer: ProsumerId,
    ) -> impl Iterator<Item = &MonthlyBill> {
        let from = (prosumer, Month::of(Timestamp::default()));
        let own = self.bills.range(from..).take_while(move |((owner, _), _)| *owner == prosumer);
        own.filter(move |(_, (_, issued))| *issued <= record).map(|(_, (bill, _))| bill)
    }

    /// The bill of a prosumer and month, if it was issued up to a record.
    pub fn bill_as_of(&self, record: RecordNumber, key: (ProsumerId, Month)) -> Option<&MonthlyBill> {
        self.bills.get(&key).filter(|(_, issued)| *issued <= record).map(|(bill, _)| bill)
    }
}
