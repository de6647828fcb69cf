//! Delegated contracts and bills.

use super::money::per_kwh;
use super::{Audit, Source, slots};
use crate::delegated::{DelegatedContract, Month, MonthlyBill, Reward};
use crate::flex_offer::{FlexOffer, TradingMode};
use crate::settlement::Account;
use grid::{DeviceId, Money, ProsumerId, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

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
        let (mut offers, mut time, mut energy) = (0, 0, 0_i128);
        for offer in self.billable(prosumer, month) {
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
        let agreed = self.delegations.iter().filter(|((of, from), _)| *of == prosumer && *from <= month);
        if let Some((_, contract)) = agreed.max_by_key(|((_, from), _)| *from) {
            let stated: Vec<_> = bill.lines.iter().map(|line| (line.reward, line.amount)).collect();
            if stated != rewards(contract, bill) {
                self.wrong(format!("{name} pays other rewards than were agreed"));
            }
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

impl<'a> Audit<'a> {
    /// The delegated offers whose flexibility a month pays for: those that were assigned, then in the order in which they
    /// came those that were not taken back and whose default runs when no other one of the device that counts has its own.
    fn billable(&self, prosumer: ProsumerId, month: Month) -> Vec<&'a FlexOffer> {
        let of_month = |offer: &&&FlexOffer| {
            let starts = offer.default_schedule.start.start();
            offer.prosumer == prosumer
                && offer.terms.mode == TradingMode::Delegated
                && month.start() <= starts
                && starts < month.end()
        };
        let (sold, mut others): (Vec<&FlexOffer>, Vec<&FlexOffer>) = (self.offers.values().filter(of_month))
            .partition(|offer| self.assigned_to.contains_key(&offer.id));
        others.retain(|offer| self.closed.get(&offer.id) != Some(&"withdrawn"));
        others.sort_by_key(|offer| self.records.get(&Source::Offer(&offer.id)));
        let mut busy: BTreeMap<DeviceId, BTreeSet<i64>> = BTreeMap::new();
        let mut counting = Vec::new();
        let sold_first = sold.into_iter().map(|offer| (offer, true));
        for (offer, is_sold) in sold_first.chain(others.into_iter().map(|offer| (offer, false))) {
            let busy = busy.entry(offer.device).or_default();
            let runs: Vec<i64> = slots(&offer.default_schedule).collect();
            if is_sold || runs.iter().all(|slot| !busy.contains(slot)) {
                busy.extend(runs);
                counting.push(offer);
            }
        }
        counting
    }
}

/// What a contract pays for what a bill counts; zero amounts are left out.
fn rewards(contract: &DelegatedContract, bill: &MonthlyBill) -> Vec<(Reward, Money)> {
    let each = |count: u64, reward: Money| i128::from(count) * i128::from(reward.0);
    let amounts = [
        (Reward::Fixed, i128::from(contract.fixed_reward.0)),
        (Reward::TimeFlex, each(bill.total_time_flex, contract.time_flex_reward)),
        (Reward::EnergyFlex, per_kwh(bill.total_energy_flex.0.into(), contract.energy_flex_reward)),
        (Reward::SchedulingFixed, each(bill.num_executed_flex_offers, contract.scheduling_fixed_reward)),
        (
            Reward::SchedulingStartTime,
            each(bill.total_start_time_deviations, contract.scheduling_start_time_reward),
        ),
        (
            Reward::SchedulingEnergy,
            per_kwh(bill.total_energy_deviations.0.into(), contract.scheduling_energy_reward),
        ),
    ];
    let paid = amounts.into_iter().filter(|(_, amount)| *amount != 0);
    paid.map(|(reward, amount)| (reward, Money(i64::try_from(amount).unwrap_or(i64::MAX)))).collect()
}
