//! Delegated contracts and bills.

use super::Audit;
use crate::delegated::{DelegatedContract, Month, MonthlyBill};
use crate::flex_offer::TradingMode;
use crate::settlement::Account;
use grid::{Money, ProsumerId, Timestamp};

impl<'a> Audit<'a> {
    pub(super) fn delegation_agreed(
        &mut self,
        prosumer: ProsumerId,
        from: Month,
        contract: &'a DelegatedContract,
        at: Timestamp,
    ) {
        if at > from.start() {
            self.wrong(format!(
                "the delegated contract of prosumer {prosumer} was agreed after {from} began"
            ));
        }
        if self.delegations.insert((prosumer, from), contract).is_some() {
            self.wrong(format!("the delegated contract of prosumer {prosumer} from {from} was agreed twice"));
        }
    }

    pub(super) fn bill_issued(&mut self, bill: &'a MonthlyBill, at: Timestamp) {
        let (prosumer, month) = (bill.prosumer, bill.month);
        let name = format!("the bill of prosumer {prosumer} for {month}");
        if !self.bills.insert((prosumer, month)) {
            self.wrong(format!("{name} was issued twice"));
        }
        if at < month.end() {
            self.wrong(format!("{name} was issued before the month was over"));
        }
        if !self.delegations.keys().any(|(of, from)| *of == prosumer && *from <= month) {
            self.wrong(format!("{name} rests on no contract"));
        }
        let own = self.offers.values().filter(|offer| {
            let starts = offer.default_schedule.start.start();
            offer.prosumer == prosumer
                && offer.terms.mode == TradingMode::Delegated
                && month.start() <= starts
                && starts < month.end()
        });
        let (mut offers, mut time, mut energy) = (0, 0, 0_i128);
        for offer in own {
            offers += 1;
            time += i128::from(offer.start_before.0) - i128::from(offer.start_after.0);
            energy += offer.slices.iter().map(|s| i128::from(s.max.0) - i128::from(s.min.0)).sum::<i128>();
        }
        let said =
            (bill.num_flex_offers, i128::from(bill.total_time_flex), i128::from(bill.total_energy_flex.0));
        if said != (offers, time, energy) {
            self.wrong(format!("{name} counts other offers or flexibility than there were"));
        }
        if bill.num_executed_flex_offers > bill.num_custom_schedule_activations {
            self.wrong(format!("{name} counts more executed offers than activations"));
        }
        let sum: i128 = bill.postings.iter().map(|posting| i128::from(posting.amount.0)).sum();
        if sum != 0 {
            self.wrong(format!("{name} has postings that sum to {sum}"));
            let gap = i64::try_from(sum.unsigned_abs()).unwrap_or(i64::MAX);
            self.report.money_imbalance = Money(self.report.money_imbalance.0.saturating_add(gap));
        }
        let lines: i128 = bill.lines.iter().map(|line| i128::from(line.amount.0)).sum();
        let paid = bill.postings.iter().filter(|posting| posting.account == Account::Prosumer(prosumer));
        if paid.map(|posting| i128::from(posting.amount.0)).sum::<i128>() != lines {
            self.wrong(format!("{name} pays another sum than its lines"));
        }
        if bill.lines.iter().any(|line| line.cites.is_empty()) {
            self.wrong(format!("{name} has a line that cites nothing"));
        }
    }
}
