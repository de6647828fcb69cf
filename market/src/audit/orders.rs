//! Contracts, their parts, and the orders to devices.

use super::{Audit, begun, change, inside, same_change, slots};
use crate::activation::{Activation, ActivationStatus};
use crate::contract::{Assignment, Contract, ContractId};
use crate::flex_offer::FlexOfferId;
use grid::Timestamp;

impl<'a> Audit<'a> {
    pub(super) fn contract_formed(&mut self, contract: &'a Contract) {
        self.report.contracts += 1;
        let id = &contract.id;
        if self.contracts.contains_key(id) {
            self.wrong(format!("contract {id} was formed twice"));
        }
        self.bought_again(contract);
        let next = self.contracts.len() as u64 + 1;
        if contract.number != next {
            self.wrong(format!("contract {id} has number {}, the next is {next}", contract.number));
        }
        for bid in contract.bids.iter().filter(|bid| !self.bids.contains_key(bid)).collect::<Vec<_>>() {
            self.wrong(format!("contract {id} serves the unknown bid {bid}"));
        }
        match self.aggregates.get(&contract.aggregate).copied() {
            None => self.wrong(format!("contract {id} buys the unknown aggregate {}", contract.aggregate)),
            Some(aggregate) => {
                if contract.formed_at >= aggregate.assignment_before {
                    self.wrong(format!("contract {id} was formed after the deadline of {}", aggregate.id));
                }
                if contract.deviation.iter().any(|(slot, _)| slot.start() < contract.formed_at) {
                    self.wrong(format!("contract {id} changes what has begun"));
                }
                let window = (aggregate.start_after, aggregate.start_before);
                if !inside(window, &aggregate.slices, aggregate.total_energy, &contract.schedule) {
                    self.wrong(format!("contract {id} has a schedule outside {}", aggregate.id));
                }
                if !same_change(&change(&aggregate.default_schedule, &contract.schedule), &contract.deviation)
                {
                    self.wrong(format!("contract {id} states another deviation than its schedule makes"));
                }
                if contract.prices != aggregate.prices || contract.zone != aggregate.zone {
                    self.wrong(format!(
                        "contract {id} has other prices or another zone than {}",
                        aggregate.id
                    ));
                }
                for member in
                    aggregate.members.iter().filter(|m| self.closed.contains_key(m)).collect::<Vec<_>>()
                {
                    self.wrong(format!("contract {id} buys the closed offer {member}"));
                }
                let left = |m: &&FlexOfferId| self.aggregate_of.get(m) != Some(&&aggregate.id);
                for member in aggregate.members.iter().filter(left).collect::<Vec<_>>() {
                    self.wrong(format!("contract {id} buys offer {member} as it was before its change"));
                }
            }
        }
        let prices: i128 =
            contract.deviation.iter().map(|(_, e)| i128::from(e.abs().cost(contract.prices.of(*e)).0)).sum();
        let cost = prices + self.beside(contract);
        if cost != i128::from(contract.cost.0) {
            self.wrong(format!("contract {id} states a cost of {}, it is {cost}", contract.cost.0));
        }
        self.prices_agreed(contract);
        match &mut self.round {
            Some((round, bought)) if round.at == contract.formed_at && *bought < round.purchases => {
                *bought += 1
            }
            _ => self.wrong(format!("contract {id} is no purchase of the newest clearing")),
        }
        if let Some(first) = self.sold.insert(&contract.aggregate, id) {
            self.wrong(format!("aggregate {} was bought by {first} and {id}", contract.aggregate));
        }
        self.contracts.insert(id, contract);
    }

    pub(super) fn contract_assigned(&mut self, id: &'a ContractId, parts: &'a [Assignment]) {
        let Some(contract) = self.contracts.get(id).copied() else {
            return self.wrong(format!("the unknown contract {id} was assigned"));
        };
        if self.assigned.insert(id, parts).is_some() {
            self.wrong(format!("contract {id} was assigned twice"));
        }
        let members = self.aggregates.get(&contract.aggregate).map_or(&[][..], |a| a.members.as_slice());
        for member in members {
            if parts.iter().filter(|part| part.offer == *member).count() != 1 {
                self.wrong(format!("contract {id} does not give offer {member} exactly one part"));
            }
        }
        for part in parts {
            self.part_assigned(id, members, part);
        }
        let mut ways = std::collections::BTreeMap::new();
        let mut deviations = parts.iter().flat_map(|part| &part.deviation);
        if deviations.any(|(slot, energy)| *ways.entry(slot).or_insert(energy.0 > 0) != (energy.0 > 0)) {
            self.wrong(format!("parts of contract {id} deviate against each other"));
        }
        let mismatch = mismatch(contract, parts);
        if mismatch != 0 {
            self.wrong(format!("the parts of contract {id} differ from it by {mismatch} mWh"));
            let mismatch = i64::try_from(mismatch).unwrap_or(i64::MAX);
            self.report.energy_mismatch_mwh = self.report.energy_mismatch_mwh.saturating_add(mismatch);
        }
    }

    fn part_assigned(&mut self, id: &'a ContractId, members: &[FlexOfferId], part: &'a Assignment) {
        if !members.contains(&part.offer) {
            self.wrong(format!("contract {id} gives a part to {}, which is no member", part.offer));
        }
        match self.offers.get(&part.offer).copied() {
            None => self.wrong(format!("contract {id} assigns the unknown offer {}", part.offer)),
            Some(offer) => {
                let window = (offer.start_after, offer.start_before);
                if !inside(window, &offer.slices, offer.total_energy, &part.schedule) {
                    self.wrong(format!("contract {id} gives offer {} a schedule outside it", offer.id));
                }
                if !same_change(&change(&offer.default_schedule, &part.schedule), &part.deviation) {
                    self.wrong(format!(
                        "contract {id} states another deviation of {} than it makes",
                        offer.id
                    ));
                }
            }
        }
        if let Some(first) = self.assigned_to.insert(&part.offer, id) {
            self.report.orders_doubled += 1;
            self.wrong(format!("offer {} was assigned by {first} and {id}", part.offer));
        }
    }

    pub(super) fn activation_issued(&mut self, activation: &'a Activation) {
        self.report.activations += 1;
        let (id, offer) = (&activation.id, &activation.offer);
        let parts = self.assigned.get(&activation.contract).copied().unwrap_or_default();
        match parts.iter().find(|part| part.offer == *offer) {
            None => self.wrong(format!("activation {id} orders {offer}, which was not assigned")),
            Some(part) if part.schedule != activation.schedule => {
                self.wrong(format!("activation {id} orders another schedule than was assigned to {offer}"));
            }
            Some(_) => {}
        }
        if let Some(known) = self.offers.get(offer).copied() {
            if known.device != activation.device {
                self.wrong(format!(
                    "activation {id} tells device {}, not {}",
                    activation.device, known.device
                ));
            }
            if known.default_schedule.start != activation.replaces_from {
                self.wrong(format!("activation {id} does not replace the default schedule of {offer}"));
            }
        }
        if self.activations.insert(id, activation).is_some() {
            self.wrong(format!("activation {id} was issued twice"));
        }
        if let Some(first) = self.activated_by.insert(offer, id) {
            self.report.orders_doubled += 1;
            self.wrong(format!("offer {offer} was activated by {first} and {id}"));
        }
    }

    pub(super) fn activation_answered(&mut self, status: &'a ActivationStatus, at: Timestamp) {
        let id = &status.activation;
        self.answered_at.entry(id).or_insert(at);
        match self.activations.get(id) {
            None => return self.wrong(format!("the unknown activation {id} was answered")),
            Some(activation) if activation.device != status.device => {
                self.wrong(format!("activation {id} was answered by device {}", status.device));
            }
            Some(_) => {}
        }
        match self.answers.insert(id, status) {
            None => self.report.answered += 1,
            Some(_) => self.wrong(format!("activation {id} was answered twice")),
        }
    }

    pub(super) fn find_lost(&mut self) {
        let Some(newest) = self.newest else { return };
        let mut lost: Vec<String> = Vec::new();
        for (id, contract) in &self.contracts {
            if !begun(contract.schedule.start, newest) {
                continue;
            }
            let members = self.aggregates.get(&contract.aggregate).map_or(&[][..], |a| a.members.as_slice());
            for member in members {
                let part = self.assigned_to.get(member).is_some_and(|by| by == id);
                let told = self.activated_by.get(member).filter(|_| part);
                if told.is_none_or(|activation| !self.answers.contains_key(activation)) {
                    lost.push(format!("contract {id} began, but the device of {member} did not answer"));
                }
            }
        }
        self.report.orders_lost += lost.len() as u64;
        self.report.violations.append(&mut lost);
    }
}

/// Sum over the contract's slots, and the slots that parts have beside them, of |parts − whole|, mWh.
fn mismatch(contract: &Contract, parts: &[Assignment]) -> u128 {
    let whole = &contract.schedule;
    let mut difference = std::collections::BTreeMap::<i64, i128>::new();
    for (slot, energy) in slots(whole).zip(&whole.energies) {
        *difference.entry(slot).or_default() -= i128::from(energy.0);
    }
    for part in parts {
        for (slot, energy) in slots(&part.schedule).zip(&part.schedule.energies) {
            *difference.entry(slot).or_default() += i128::from(energy.0);
        }
    }
    difference.values().map(|energy| energy.unsigned_abs()).sum()
}
