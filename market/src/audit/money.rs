//! What a settlement has to pay, worked out again: payment by the contract's pricing, fee, penalty, rebound.

use super::Audit;
use crate::contract::{Assignment, Contract, ContractId};
use crate::price_clearing::Pricing;
use crate::settlement::{Account, SlotSettlement};
use grid::{Money, Quality, Slot};

/// Members of a contract that are settled together in one slot and direction; magnitudes, mWh.
#[derive(Debug, Default)]
pub(super) struct Netted {
    missing: i128,
    surplus: i128,
    /// Micro-units.
    penalty: i128,
    members: usize,
    unreached: bool,
}

impl<'a> Audit<'a> {
    pub(super) fn money(&mut self, settlement: &'a SlotSettlement, part: &'a Assignment, name: &str) {
        let sum: i128 = settlement.postings.iter().map(|posting| i128::from(posting.amount.0)).sum();
        if sum != 0 {
            self.wrong(format!("{name} has postings that sum to {sum}"));
            let gap = i64::try_from(sum.unsigned_abs()).unwrap_or(i64::MAX);
            self.report.money_imbalance = Money(self.report.money_imbalance.0.saturating_add(gap));
        }
        let Some(contract) = self.contracts.get(&settlement.contract).copied() else { return };
        let posted = |account| {
            let own = settlement.postings.iter().filter(move |posting| posting.account == account);
            own.map(|posting| i128::from(posting.amount.0)).sum::<i128>()
        };
        let ordered = i128::from(settlement.ordered.0);
        let credited = i128::from(settlement.delivered.0) + i128::from(settlement.netted.0);
        let payment = payment(contract, part, settlement.slot, ordered, credited);
        let fee = payment.max(0) * i128::from(contract.terms.fee_per_mille.min(1000)) / 1000;
        if posted(Account::MarketFee) != fee {
            self.wrong(format!("{name} takes a fee of {}, it is {fee}", posted(Account::MarketFee)));
        }
        let paid = -posted(Account::Dso);
        if ordered == 0 {
            let back = i128::from(settlement.rebound.0).abs();
            let owed = per_kwh(back, contract.terms.rebound_per_kwh);
            if paid != -owed {
                self.wrong(format!("{name} makes the DSO pay {paid}, for the rebound it gets {owed}"));
            }
            return;
        }
        let penalty = payment - paid;
        let most = self.own_penalty(contract, settlement, penalty);
        let fits = if contract.terms.netting { (0..=most).contains(&penalty) } else { penalty == most };
        if !fits {
            self.wrong(format!(
                "{name} makes the DSO pay {paid}; delivery earns {payment}, what is missing costs up to {most}"
            ));
        }
    }

    /// What is owed for the part's own shortfall, before others make up for it; noted with those it is netted with.
    fn own_penalty(&mut self, contract: &'a Contract, settlement: &'a SlotSettlement, penalty: i128) -> i128 {
        let ordered = i128::from(settlement.ordered.0);
        let moved = i128::from(settlement.metered.0) - i128::from(settlement.baseline.0);
        let gap = ordered.abs() - moved * ordered.signum();
        let gap = if settlement.quality == Quality::Measured { gap } else { 0 };
        let in_time = |id| self.answered_at.get(id).is_some_and(|at| *at <= settlement.slot.start());
        let reached = self.activated_by.get(&settlement.offer).is_some_and(in_time);
        let group = self.netted.entry((&contract.id, settlement.slot, ordered < 0)).or_default();
        group.missing += gap.max(0);
        group.surplus += (-gap).max(0);
        group.penalty += penalty;
        group.members += 1;
        group.unreached |= !reached;
        if reached { per_kwh(gap.max(0), contract.terms.penalty_per_kwh) } else { 0 }
    }

    /// Penalties of whole groups: what is missing after all have made up for each other.
    pub(super) fn judge_netted(&mut self) {
        let groups = std::mem::take(&mut self.netted);
        for ((id, slot, less), group) in groups {
            let Some(contract) = self.contracts.get(id).filter(|contract| contract.terms.netting) else {
                continue;
            };
            if group.members < self.members_ordered(id, slot, less) {
                continue;
            }
            let left = (group.missing - group.surplus).max(0);
            let owed = per_kwh(left, contract.terms.penalty_per_kwh);
            // Each member's share is rounded by itself.
            let slack = group.members as i128;
            let least = if group.unreached { 0 } else { owed - slack };
            if !(least..=owed + slack).contains(&group.penalty) {
                self.wrong(format!(
                    "the members of contract {id} owe {} together in slot {}, it should be {owed}",
                    group.penalty, slot.0
                ));
            }
        }
    }

    fn members_ordered(&self, contract: &ContractId, slot: Slot, less: bool) -> usize {
        let parts = self.assigned.get(contract).copied().unwrap_or_default();
        let ordered = |part: &&Assignment| {
            part.deviation.iter().any(|(at, energy)| *at == slot && energy.0 != 0 && (energy.0 < 0) == less)
        };
        parts.iter().filter(ordered).count()
    }
}

/// Rounded half away from zero.
fn rounded(product: i128) -> i128 {
    (product + if product < 0 { -500_000 } else { 500_000 }) / 1_000_000
}

/// What an energy (mWh, a magnitude) costs at a price, micro-units.
pub(super) fn per_kwh(energy: i128, price: Money) -> i128 {
    (energy * i128::from(price.0) + 500_000) / 1_000_000
}

/// What a credited deviation earns by the contract's pricing, micro-units.
fn payment(contract: &Contract, part: &Assignment, slot: Slot, ordered: i128, credited: i128) -> i128 {
    let asked = |ordered: i128, energy: i128| {
        let price = if ordered < 0 { contract.prices.decrease } else { contract.prices.increase };
        rounded(energy * ordered.signum() * i128::from(price.0))
    };
    let price = |slot: Slot| contract.slot_prices.iter().find(|price| price.slot == slot);
    let earned = |slot: Slot, ordered: i128, energy: i128| {
        let Some(price) = price(slot) else { return 0 };
        let (nodal, bid) = (i128::from(price.nodal.0), i128::from(price.bid.0));
        let paid = if ordered < 0 { nodal.min(bid.max(0)) } else { nodal.max(bid.min(0)) };
        -rounded(energy * paid)
    };
    let all = || part.deviation.iter().map(|(at, energy)| (*at, i128::from(energy.0)));
    // Asked once for the contract; spread by energy in running sums, so that the shares add up.
    let beside =
        || i128::from(contract.cost.0) - all_of(contract).map(|energy| asked(energy, energy)).sum::<i128>();
    let share = |amount: i128, slot: Slot, ordered: i128, credited: i128| {
        let whole: i128 = all().map(|(_, energy)| energy.abs()).sum();
        let until: i128 = all().take_while(|(at, _)| *at < slot).map(|(_, energy)| energy.abs()).sum();
        let share = amount * (until + ordered.abs()) / whole.max(1) - amount * until / whole.max(1);
        let done = credited * ordered.signum();
        share * done.min(ordered.abs()) / ordered.abs().max(1)
    };
    match contract.terms.pricing {
        _ if ordered == 0 => 0,
        Pricing::PayAsBid => asked(ordered, credited) + share(beside(), slot, ordered, credited),
        Pricing::Uniform => earned(slot, ordered, credited),
        Pricing::UniformMakeWhole => {
            let worth = |(at, energy): (Slot, i128)| {
                -rounded(energy * price(at).map_or(0, |price| i128::from(price.bid.0)))
            };
            let wanted: i128 = beside() + all().map(|(_, energy)| asked(energy, energy)).sum::<i128>();
            let bid: i128 = all().map(worth).sum();
            let had: i128 = all().map(|(at, energy)| earned(at, energy, energy)).sum();
            let missing = (wanted.min(bid) - had).max(0);
            earned(slot, ordered, credited) + share(missing, slot, ordered, credited)
        }
    }
}

/// What a contract's deviation comes to, slot by slot, mWh.
fn all_of(contract: &Contract) -> impl Iterator<Item = i128> {
    contract.deviation.iter().map(|(_, energy)| i128::from(energy.0))
}
