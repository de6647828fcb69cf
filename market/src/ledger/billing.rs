//! Delegated contracts and their monthly bills.

use super::apply::{Outcome, again};
use super::{Applied, Ledger, LedgerError, OfferRecord};
use crate::delegated::{Billed, DelegatedContract, Month, MonthlyBill, monthly_bill};
use crate::event::RecordNumber;
use crate::flex_offer::TradingMode;
use grid::{ProsumerId, Quality, Timestamp};

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

    pub(super) fn issue_bill(&mut self, bill: MonthlyBill, at: Timestamp) -> Outcome {
        let key = (bill.prosumer, bill.month);
        if let Some(known) = self.bills.get(&key) {
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
        let Some(balances) = self.balances_after(&bill.postings) else {
            return refuse("a balance would overflow");
        };
        self.balances.extend(balances);
        self.bills.insert(key, bill);
        Ok(Applied::New)
    }

    /// The bill of a prosumer and month as the facts make it. `None` without a contract, while a delivery waits for
    /// its settlement, or when it exceeds what can be counted.
    pub fn bill(&self, prosumer: ProsumerId, month: Month) -> Option<MonthlyBill> {
        let (_, (contract, agreed)) = self.delegations.get(&prosumer)?.range(..=month).next_back()?;
        let counts = |record: &&OfferRecord| {
            record.offer.prosumer == prosumer
                && record.offer.terms.mode == TradingMode::Delegated
                && month.contains(record.offer.default_schedule.start.start())
        };
        let records: Vec<&OfferRecord> = self.offers.values().filter(counts).collect();
        let waits = |offer| self.unsettled.iter().any(|(_, _, waiting)| waiting == offer);
        if records.iter().any(|record| waits(&record.offer.id)) {
            return None;
        }
        let billed: Vec<Billed<'_>> = records.into_iter().map(|record| self.billed(record)).collect();
        monthly_bill(prosumer, month, contract, *agreed, &billed).ok()
    }

    fn billed<'a>(&'a self, record: &'a OfferRecord) -> Billed<'a> {
        let offer = &record.offer;
        let contract = record.aggregate.as_ref().and_then(|aggregate| {
            self.contracts.values().find(|contract| contract.contract.aggregate == *aggregate)
        });
        let part = contract.and_then(|contract| self.assignment(&contract.contract.id, &offer.id));
        let order = record.activation.as_ref().and_then(|id| self.activations.get(id));
        let answer = order.and_then(|order| order.answer.as_ref());
        let mut cites = vec![record.record];
        cites.extend(contract.filter(|_| part.is_some()).map(|contract| contract.assigned));
        cites.extend(answer.map(|(_, record)| *record));
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
        let obeyed = answer.is_some_and(|(answer, _)| answer.accepted);
        Billed { offer, schedule: part.map(|part| &part.schedule), obeyed, measured, complete, cites }
    }

    /// All bills, by prosumer and month.
    pub fn bills(&self) -> impl Iterator<Item = &MonthlyBill> {
        self.bills.values()
    }
}
