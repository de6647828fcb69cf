//! What holds at any instant, looked at each minute on the running system and at each start: money, energy, that nothing which
//! was durable is taken back, and that nothing is missing which the outside was told.

use crate::wire::Known;
use market::settlement::{Account, SlotSettlement};
use market::{
    Activation, ActivationId, ActivationStatus, Assignment, Contract, ContractId, FlexOffer, FlexOfferId,
    Ledger, OfferStatus, Schedule,
};
use std::collections::BTreeMap;

/// What earlier looks saw on the disk.
#[derive(Debug, Default)]
pub struct Watched {
    offers: BTreeMap<FlexOfferId, OfferStatus>,
    contracts: BTreeMap<ContractId, (Contract, Option<Vec<Assignment>>)>,
    orders: BTreeMap<ActivationId, (Activation, Option<ActivationStatus>)>,
    settled: BTreeMap<(ContractId, FlexOfferId, grid::Slot), SlotSettlement>,
}

impl Watched {
    /// Looks at a ledger; what is new in it is remembered when all of it is durable.
    pub fn look(&mut self, ledger: &Ledger, known: &Known, durable: bool) -> Vec<String> {
        let mut wrong = Vec::new();
        money(ledger, &mut wrong);
        self.told(ledger, known, &mut wrong);
        self.kept(ledger, &mut wrong);
        let new = ledger.contracts().filter(|(contract, parts)| {
            self.contracts.get(&contract.id).is_none_or(|(_, known)| known.is_some() != parts.is_some())
        });
        new.for_each(|(contract, parts)| energy(ledger, contract, parts, &mut wrong));
        let new = ledger.activations().filter(|(order, _)| !self.orders.contains_key(&order.id));
        new.for_each(|(order, _)| ordered(ledger, order, &mut wrong));
        if durable {
            self.remember(ledger);
        }
        wrong
    }

    /// What the outside was told, or told and had acknowledged, is in the books.
    fn told(&self, ledger: &Ledger, known: &Known, wrong: &mut Vec<String>) {
        // What was there at an earlier look is still: `kept` sees to it.
        let answered = |id| self.orders.get(id).is_some_and(|(_, answer)| answer.is_some());
        for answer in known.answers.iter().filter(|id| !answered(id)) {
            if ledger.activation(answer).is_none_or(|(_, status)| status.is_none()) {
                wrong.push(format!("the answer to {answer} was acknowledged and is lost"));
            }
        }
        for (device, slot) in known.energies.keys() {
            let wanted = ledger.contracted_in(*device, *slot).is_some();
            if wanted && ledger.reading(*device, *slot).is_none() {
                wrong.push(format!("the energy of device {device} in {slot} was acknowledged and is lost"));
            }
        }
        for (id, order) in &known.orders {
            match ledger.activation(id) {
                None => wrong.push(format!("{id} reached its device and is not in the journal")),
                Some((recorded, _)) if recorded != order => {
                    wrong.push(format!("{id} reached its device as something else than is recorded"));
                }
                Some(_) => {}
            }
        }
        wrong.extend(known.changed.iter().map(|id| format!("{id} reached its device with two contents")));
        wrong.extend(known.party.wrong(ledger));
    }

    /// States only move forward, and what is agreed, ordered, answered or settled stays what it is.
    fn kept(&self, ledger: &Ledger, wrong: &mut Vec<String>) {
        for (id, before) in &self.offers {
            match ledger.offer(id).map(|(_, status)| status) {
                Some(now) if follows(*before, now) => {}
                now => wrong.push(format!("{id} was {before:?} on the disk and is {now:?}")),
            }
        }
        for (id, (contract, parts)) in &self.contracts {
            let same = ledger.contract(id).is_some_and(|(now, now_parts)| {
                now == contract && (parts.is_none() || parts.as_deref() == now_parts)
            });
            if !same {
                wrong.push(format!("{id} was agreed or assigned otherwise on the disk"));
            }
        }
        for (id, (order, answer)) in &self.orders {
            let same = ledger.activation(id).is_some_and(|(now, now_answer)| {
                now == order && (answer.is_none() || answer.as_ref() == now_answer)
            });
            if !same {
                wrong.push(format!("{id} was ordered or answered otherwise on the disk"));
            }
        }
        for (key, settled) in &self.settled {
            if ledger.settlement(&key.0, &key.1, key.2) != Some(settled) {
                wrong.push(format!("{} was settled otherwise on the disk in {}", key.1, key.2));
            }
        }
    }

    fn remember(&mut self, ledger: &Ledger) {
        for (offer, status) in ledger.offers() {
            match self.offers.get_mut(&offer.id) {
                Some(known) => *known = status,
                None => drop(self.offers.insert(offer.id.clone(), status)),
            }
        }
        for (contract, parts) in ledger.contracts() {
            let known = self.contracts.get(&contract.id).is_some_and(|(_, known)| known.is_some());
            if !known {
                let parts = parts.map(<[_]>::to_vec);
                self.contracts.insert(contract.id.clone(), (contract.clone(), parts));
            }
        }
        for (order, answer) in ledger.activations() {
            let known = self.orders.get(&order.id).is_some_and(|(_, known)| known.is_some());
            if !known {
                self.orders.insert(order.id.clone(), (order.clone(), answer.cloned()));
            }
        }
        if self.settled.len() as u64 != ledger.settlement_count() {
            for one in ledger.settlements() {
                let key = (one.contract.clone(), one.offer.clone(), one.slot);
                self.settled.entry(key).or_insert_with(|| one.clone());
            }
        }
    }
}

/// Whether an offer that stood so may stand so later.
fn follows(before: OfferStatus, now: OfferStatus) -> bool {
    use OfferStatus::{Assigned, Contracted, Open};
    before == now || before == Open || (before == Contracted && matches!(now, Assigned { .. }))
}

/// Every settlement moves money and makes none, and what the accounts say is what the settlements moved.
fn money(ledger: &Ledger, wrong: &mut Vec<String>) {
    let mut accounts: BTreeMap<Account, i128> = BTreeMap::new();
    for settlement in ledger.settlements() {
        let mut sum = 0;
        for posting in &settlement.postings {
            sum += i128::from(posting.amount.0);
            *accounts.entry(posting.account).or_default() += i128::from(posting.amount.0);
        }
        let (offer, slot) = (&settlement.offer, settlement.slot);
        if sum != 0 {
            wrong.push(format!("the settlement of {offer} in {slot} makes {sum} micro-units"));
        }
        let (ordered, delivered) = (settlement.ordered.0, settlement.delivered.0);
        if delivered.signum() * ordered.signum() < 0 || delivered.abs() > ordered.abs() {
            wrong.push(format!("{offer} delivered {delivered} of {ordered} mWh in {slot}"));
        }
    }
    let sum: i128 = ledger.balances().values().map(|money| i128::from(money.0)).sum();
    if sum != 0 {
        wrong.push(format!("the accounts add up to {sum} micro-units"));
    }
    let known: BTreeMap<_, _> =
        ledger.balances().iter().map(|(account, money)| (*account, i128::from(money.0))).collect();
    accounts.retain(|_, moved| *moved != 0);
    if known.iter().filter(|(_, money)| **money != 0).ne(accounts.iter()) {
        wrong.push(format!("the accounts say {known:?}, the settlements moved {accounts:?}"));
    }
}

/// What is assigned is what was cleared, to the milliwatt hour, and each part lies in its offer's bounds and window.
fn energy(ledger: &Ledger, contract: &Contract, parts: Option<&[Assignment]>, wrong: &mut Vec<String>) {
    let id = &contract.id;
    let Some(aggregate) = ledger.aggregate(&contract.aggregate) else {
        return wrong.push(format!("{id} buys {}, which is not known", contract.aggregate));
    };
    if contract.formed_at >= aggregate.assignment_before {
        wrong.push(format!("{id} was formed after the deadline of {}", aggregate.id));
    }
    let window = aggregate.start_after..=aggregate.start_before;
    if !window.contains(&contract.schedule.start) {
        wrong.push(format!("{id} starts outside the window of {}", aggregate.id));
    }
    let Some(parts) = parts else { return };
    let mut sums: BTreeMap<i64, i128> = BTreeMap::new();
    for (schedule, sign) in parts.iter().map(|part| (&part.schedule, 1)).chain([(&contract.schedule, -1)]) {
        for (after, energy) in schedule.energies.iter().enumerate() {
            *sums.entry(schedule.start.0 + after as i64).or_default() += sign * i128::from(energy.0);
        }
    }
    if sums.values().any(|sum| *sum != 0) {
        wrong.push(format!("the parts of {id} are not what was cleared"));
    }
    for part in parts {
        match ledger.offer(&part.offer) {
            Some((offer, OfferStatus::Assigned { .. })) if within(offer, &part.schedule) => {}
            Some((_, status)) => {
                wrong.push(format!("{} has a part of {id} and is {status:?}, or it is outside", part.offer));
            }
            None => wrong.push(format!("{id} has a part of {}, which is not known", part.offer)),
        }
    }
}

fn within(offer: &FlexOffer, schedule: &Schedule) -> bool {
    let sum: i128 = schedule.energies.iter().map(|energy| i128::from(energy.0)).sum();
    let total = offer.total_energy.map(|total| i128::from(total.min.0)..=i128::from(total.max.0));
    (offer.start_after..=offer.start_before).contains(&schedule.start)
        && schedule.energies.len() == offer.slices.len()
        && schedule.energies.iter().zip(&offer.slices).all(|(e, slice)| (slice.min..=slice.max).contains(e))
        && total.is_none_or(|total| total.contains(&sum))
}

/// An order is what was assigned, to the device that was offered.
fn ordered(ledger: &Ledger, order: &Activation, wrong: &mut Vec<String>) {
    let parts = ledger.contract(&order.contract).and_then(|(_, parts)| parts).unwrap_or_default();
    let part = parts.iter().find(|part| part.offer == order.offer);
    let device = ledger.offer(&order.offer).map(|(offer, _)| offer.device);
    if part.is_none_or(|part| part.schedule != order.schedule) || device != Some(order.device) {
        wrong.push(format!("{} is not what {} assigns", order.id, order.contract));
    }
}
