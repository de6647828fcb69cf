//! Baselines, readings and money.

use super::{Audit, Source, energy_in};
use crate::baseline::{Baseline, BaselineMethod};
use crate::contract::{Assignment, Contract, ContractId};
use crate::flex_offer::{FlexOffer, FlexOfferId, TradingMode};
use crate::price_clearing::Pricing;
use crate::settlement::{Account, MeterReading, SlotSettlement};
use grid::{Quality, Slot, Timestamp};

impl<'a> Audit<'a> {
    /// Whether the prices of a contract are those of its slots and of bids that were made.
    pub(super) fn prices_agreed(&mut self, contract: &'a Contract) {
        let id = &contract.id;
        let slots = contract.deviation.iter().map(|(slot, _)| slot);
        if !slots.eq(contract.slot_prices.iter().map(|price| &price.slot)) {
            return self.wrong(format!("contract {id} has prices for other slots than it deviates in"));
        }
        let (mut worth, mut rounding) = (0_i128, 0_i128);
        for ((slot, energy), price) in contract.deviation.iter().zip(&contract.slot_prices) {
            let (energy, bid) = (i128::from(energy.0), i128::from(price.bid.0));
            let mut offered = 0_i128;
            for asked in contract.bids.iter().filter_map(|bid| self.bids.get(bid)) {
                let at = slot.0.checked_sub(asked.start.0).and_then(|at| usize::try_from(at).ok());
                let Some(asked) = at.and_then(|at| asked.intervals.get(at)) else { continue };
                if i128::from(asked.schedule_change.0) * energy > 0 {
                    offered += i128::from(asked.price.0);
                }
            }
            if (energy < 0 && bid > offered) || (energy > 0 && -bid > offered) {
                self.wrong(format!("contract {id} pays above the bids in slot {}", slot.0));
            }
            worth -= energy * bid;
            rounding += 1_000_000;
        }
        let cost = i128::from(contract.cost.0) * 1_000_000;
        if contract.terms.pricing == Pricing::PayAsBid && cost > worth + rounding {
            self.wrong(format!("contract {id} costs more than its bids pay"));
        }
    }

    pub(super) fn baseline_frozen(
        &mut self,
        contract: &'a ContractId,
        offer: &'a FlexOfferId,
        baseline: &'a Baseline,
        at: Timestamp,
    ) {
        let name = format!("the baseline of {offer} under {contract}");
        if self.activated_by.contains_key(offer) {
            self.wrong(format!("{name} was frozen after the device was told"));
        }
        if baseline.frozen_at > at {
            self.wrong(format!("{name} was frozen in the future"));
        }
        let named = self.contracts.get(contract).map(|contract| contract.terms.baseline);
        let declared = baseline.method == BaselineMethod::DeclaredSchedule;
        if declared || named != Some(baseline.method) || baseline.version != baseline.method.id() {
            self.wrong(format!("{name} is not by the method of the contract"));
        }
        if self.baselines.insert((contract, offer), baseline).is_some() {
            self.wrong(format!("{name} was frozen twice"));
        }
    }

    pub(super) fn meter_read(&mut self, reading: &'a MeterReading) {
        let (device, slot) = (reading.device, reading.slot);
        let Some(before) = self.readings.insert((device, slot), reading) else { return };
        let same = (before.energy, before.quality) == (reading.energy, reading.quality);
        if !same && before.quality == Quality::Measured {
            self.wrong(format!("the reading of device {device} in slot {} was changed", slot.0));
        }
    }

    pub(super) fn slot_settled(&mut self, settlement: &'a SlotSettlement) {
        self.report.settlements += 1;
        let SlotSettlement { contract, offer, slot, .. } = settlement;
        let name = format!("the settlement of {offer} under {contract} in slot {}", slot.0);
        if !self.settled.insert((contract, offer, *slot)) {
            self.wrong(format!("{name} was made twice"));
        }
        let parts = self.assigned.get(contract).copied().unwrap_or_default();
        let Some(part) = parts.iter().find(|part| part.offer == *offer) else {
            return self.wrong(format!("{name} is for a slot that was not ordered"));
        };
        let order = ordered(part, *slot);
        if order == 0 && settlement.ordered.0 != 0 {
            self.wrong(format!("{name} is for a slot that was not ordered"));
        } else if i128::from(settlement.ordered.0) != order {
            self.wrong(format!("{name} states another order than was assigned"));
        }
        if let Some(known) = self.offers.get(offer).copied() {
            self.baseline_and_meter(settlement, known, part, &name);
            let own = match known.terms.mode {
                TradingMode::Direct => Account::Prosumer(known.prosumer),
                TradingMode::Delegated => Account::Aggregator,
            };
            let party = |account| matches!(account, Account::Prosumer(_) | Account::Aggregator);
            let stranger = |account| party(account) && account != own;
            if settlement.postings.iter().any(|posting| stranger(posting.account)) {
                self.wrong(format!("{name} moves the money of another prosumer"));
            }
            self.cited(settlement, known, parts, &name);
        }
        self.delivery(settlement, part, &name);
        self.money(settlement, part, &name);
    }

    fn baseline_and_meter(
        &mut self,
        settlement: &SlotSettlement,
        known: &FlexOffer,
        part: &Assignment,
        name: &str,
    ) {
        let (slot, default) = (settlement.slot, &known.default_schedule);
        let frozen = self.baselines.get(&(&settlement.contract, &settlement.offer)).copied();
        let (said, first, count) = match frozen {
            None => (energy_in(default, slot.0), default.start, default.energies.len()),
            Some(baseline) => {
                let at = usize::try_from(i128::from(slot.0) - i128::from(baseline.start.0));
                let said = at.ok().and_then(|at| baseline.energies.get(at));
                (said.map_or(0, |energy| i128::from(energy.0)), baseline.start, baseline.energies.len())
            }
        };
        if said != i128::from(settlement.baseline.0) {
            self.wrong(format!("{name} has another baseline than was frozen"));
        }
        let covered = (0..count as i128).contains(&(i128::from(slot.0) - i128::from(first.0)));
        let relief =
            part.deviation.iter().filter(|(_, e)| e.0.signum() == direction(part)).map(|(at, _)| *at).min();
        if settlement.ordered.0 == 0 && (!covered || relief.is_none_or(|relief| slot <= relief)) {
            self.wrong(format!("{name} is for a slot that was not ordered and cannot rebound"));
        }
        let read = self.readings.get(&(known.device, slot)).map(|r| (r.energy, r.quality));
        if read != Some((settlement.metered, settlement.quality)) {
            self.wrong(format!("{name} has another energy than the meter"));
        }
    }

    /// Its own sources have to be cited, and nothing but those of members of the same contract.
    fn cited(
        &mut self,
        settlement: &'a SlotSettlement,
        known: &'a FlexOffer,
        parts: &'a [Assignment],
        name: &str,
    ) {
        let contract = &settlement.contract;
        let own = self.sources(contract, known, settlement.slot);
        let mut all = own.clone();
        for member in parts.iter().filter_map(|part| self.offers.get(&part.offer)) {
            all.extend(self.sources(contract, member, settlement.slot));
        }
        if own.iter().any(|record| !settlement.cites.contains(record)) {
            self.wrong(format!("{name} does not cite what it rests on"));
        }
        if settlement.cites.iter().any(|record| !all.contains(record)) {
            self.wrong(format!("{name} cites a record that says nothing of it"));
        }
    }

    fn sources(
        &self,
        contract: &'a ContractId,
        offer: &'a FlexOffer,
        slot: Slot,
    ) -> Vec<crate::RecordNumber> {
        let answer = self.activated_by.get(&offer.id).map(|id| Source::Answer(id));
        let named = [
            Source::Offer(&offer.id),
            Source::Contract(contract),
            Source::Assignment(contract),
            Source::Baseline(contract, &offer.id),
            Source::Reading(offer.device, slot),
        ];
        named.iter().chain(&answer).filter_map(|source| self.records.get(source)).copied().collect()
    }

    fn delivery(&mut self, settlement: &'a SlotSettlement, part: &'a Assignment, name: &str) {
        let wide = |energy: grid::EnergyMwh| i128::from(energy.0);
        let moved = wide(settlement.metered) - wide(settlement.baseline);
        let (ordered, delivered) = (wide(settlement.ordered), wide(settlement.delivered));
        let most = if ordered < 0 { moved.clamp(ordered, 0) } else { moved.clamp(0, ordered) };
        let measured = settlement.quality == Quality::Measured;
        let wanted = if measured { most } else { 0 };
        if delivered != wanted {
            self.wrong(format!("{name} credits {delivered} mWh, {wanted} were delivered"));
        }
        let relief = self.relief.entry((&settlement.contract, &settlement.offer)).or_default();
        let against = moved * -i128::from(direction(part));
        let back = if measured && ordered == 0 { against.clamp(0, (*relief).max(0)) } else { 0 };
        if ordered.signum() == i128::from(direction(part)) {
            *relief += delivered.abs();
        }
        *relief -= back;
        if wide(settlement.rebound) != back * -i128::from(direction(part)) {
            self.wrong(format!("{name} states a rebound of {}, it was {back}", settlement.rebound.0));
        }
        self.netting(settlement, name);
    }

    /// All members together are never credited with more than was bought.
    fn netting(&mut self, settlement: &'a SlotSettlement, name: &str) {
        let Some(contract) = self.contracts.get(&settlement.contract).copied() else { return };
        if settlement.netted.0 != 0 && !contract.terms.netting {
            self.wrong(format!("{name} nets although the contract does not"));
        }
        let less = settlement.ordered.0 < 0;
        let along = |energy: i64| if less { -i128::from(energy) } else { i128::from(energy) };
        let of_slot = contract.deviation.iter().filter(|(slot, _)| *slot == settlement.slot);
        let bought: i128 = of_slot.map(|(_, energy)| along(energy.0)).sum();
        let credited = self.credited.entry((&settlement.contract, settlement.slot, less)).or_default();
        *credited += along(settlement.delivered.0) + along(settlement.netted.0);
        if *credited > bought.max(0) {
            self.wrong(format!("{name} credits members with more than was bought of all"));
        }
    }
}

fn ordered(part: &Assignment, slot: Slot) -> i128 {
    part.deviation.iter().filter(|(at, _)| *at == slot).map(|(_, energy)| i128::from(energy.0)).sum()
}

/// The direction of relief: less where anything less was ordered.
fn direction(part: &Assignment) -> i64 {
    if part.deviation.iter().any(|(_, energy)| energy.0 < 0) { -1 } else { 1 }
}
