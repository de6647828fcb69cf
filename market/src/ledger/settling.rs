//! Baselines, readings and settlements, and what waits for them.

use super::apply::{Outcome, again, unknown};
use super::ascending::Keyed;
use super::{Applied, ContractRecord, Ledger, LedgerError, OrderKey, Place};
use crate::baseline::{Baseline, BaselineMethod};
use crate::contract::{Assignment, ContractId};
use crate::event::RecordNumber;
use crate::flex_offer::FlexOfferId;
use crate::settlement::{
    Account, Due, MeterReading, Posting, SlotSettlement, ordered_in, rebound_slots, relief_direction,
    settle_together,
};
use grid::defect::{Defect, planted};
use grid::{DeviceId, EnergyMwh, Money, Quality, Slot, Timestamp};
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::collections::btree_map::Entry;

/// Largest energy of a reading or a baseline, mWh.
const ENERGY_MAX: EnergyMwh = EnergyMwh(1_000_000_000_000_000);

/// What deliveries that were valued together come to. Those of a group follow each other, and each would value all of
/// them again. Settling one changes nothing that the others rest on: only a rebound rests on settlements, and it stands
/// alone. Forgotten with every other fact. No part of what a ledger is: two are equal whatever they have valued.
#[derive(Clone, Default)]
pub(super) struct Valued {
    together: Vec<SlotSettlement>,
    /// Where the one after the one that was asked for last is: they are recorded in their order.
    next: usize,
}

/// Nothing of it: what is written of two equal ledgers is the same.
impl std::fmt::Debug for Valued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Valued")
    }
}

impl Valued {
    fn has(&mut self, settlement: &SlotSettlement) -> bool {
        let at = match self.together.get(self.next) {
            Some(next) if next == settlement => Some(self.next),
            _ => self.together.iter().position(|known| known == settlement),
        };
        self.next = at.map_or(self.next, |at| at + 1);
        at.is_some()
    }

    /// Keeps what was valued and says whether a settlement is among it.
    fn keep(&mut self, together: Vec<SlotSettlement>, settlement: &SlotSettlement) -> bool {
        *self = Self { together, next: 0 };
        let is_among = self.has(settlement);
        if self.together.len() == 1 {
            self.forget();
        }
        is_among
    }

    pub(super) fn forget(&mut self) {
        self.together.clear();
    }
}

/// Oldest slot first.
impl Keyed for SlotSettlement {
    type Key = OrderKey;

    fn key(&self) -> OrderKey {
        (self.slot, self.contract.clone(), self.offer.clone())
    }

    fn compare(&self, (slot, contract, offer): &OrderKey) -> Ordering {
        (self.slot, &self.contract, &self.offer).cmp(&(*slot, contract, offer))
    }
}

impl Ledger {
    /// Waits for a reading of a device to settle something with it.
    pub(super) fn wait_for(&mut self, device: DeviceId, offer: Place, slot: Slot) {
        self.awaited.insert((slot, device, offer));
    }

    fn wait_no_more(&mut self, device: DeviceId, offer: Place, slot: Slot) {
        self.awaited.remove(&(slot, device, offer));
    }

    /// Device and place of an offer that was bought under a contract.
    pub(super) fn sold_under(&self, contract: &ContractId, offer: &FlexOfferId) -> Option<(DeviceId, Place)> {
        let place = self.offers.place(offer)?;
        let record = self.offers.at(place)?;
        (record.contract.as_ref() == Some(contract)).then_some((record.offer.device, place))
    }

    /// What is not settled up to a slot, oldest first, then by contract and offer.
    pub(super) fn unsettled_until(&self, slot: Slot) -> Vec<OrderKey> {
        let waiting = self.awaited.range(..=(slot, DeviceId(u32::MAX), Place::LAST));
        let keys = waiting.filter_map(|(slot, _, offer)| {
            self.part_at(*offer).map(|(contract, offer)| (*slot, contract, offer))
        });
        let mut keys: Vec<OrderKey> = keys.collect();
        keys.sort_unstable();
        keys
    }

    /// What waits for the reading of a device in a slot, by contract and offer.
    fn awaiting(&self, device: DeviceId, slot: Slot) -> Vec<(ContractId, FlexOfferId)> {
        let offers = self.awaited.range((slot, device, Place::FIRST)..=(slot, device, Place::LAST));
        let mut parts: Vec<_> = offers.filter_map(|(_, _, offer)| self.part_at(*offer)).collect();
        parts.sort_unstable();
        parts
    }

    /// The part of the offer at a place.
    pub(super) fn part_at(&self, offer: Place) -> Option<(ContractId, FlexOfferId)> {
        let record = self.offers.at(offer)?;
        Some((record.contract.clone()?, record.offer.id.clone()))
    }

    /// Waits for the meter where a part can only rebound.
    pub(super) fn expect_rebound(
        &mut self,
        part: &Assignment,
        (device, place): (DeviceId, Place),
        covered: impl Iterator<Item = Slot>,
    ) {
        for slot in rebound_slots(part, covered) {
            self.wait_for(device, place, slot);
            self.contracted.entry(device, slot);
        }
    }

    pub(super) fn freeze_baseline(
        &mut self,
        contract: &ContractId,
        offer: &FlexOfferId,
        baseline: Baseline,
        at: Timestamp,
        record: RecordNumber,
    ) -> Outcome {
        let key = (contract.clone(), offer.clone());
        if let Some((known, _)) = self.baselines.get(&key) {
            return again("baseline of FlexOffer", offer, known, &baseline);
        }
        let refuse = |what| {
            let (contract, offer) = (contract.clone(), offer.clone());
            Err(LedgerError::BaselineContents { contract, offer, what })
        };
        let Some(part) = self.assignment(contract, offer).cloned() else {
            return refuse("nothing was assigned");
        };
        let unknown = || unknown("FlexOffer", offer);
        let place = self.offers.place(offer).ok_or_else(unknown)?;
        let known = self.offers.at(place).ok_or_else(unknown)?;
        if known.activation.is_some() {
            return refuse("the device was told already");
        }
        let (device, declared) = (known.offer.device, known.offer.default_schedule.slots());
        let named = self.contracts.get(contract).map(|record| record.contract.terms.baseline);
        if named != Some(baseline.method) || baseline.version != baseline.method.id() {
            return refuse("the contract names another method");
        }
        if baseline.method == BaselineMethod::DeclaredSchedule {
            return refuse("a declared schedule was frozen with its offer");
        }
        let first = part.deviation.first().map(|(slot, _)| slot.start());
        if baseline.frozen_at > at || first.is_some_and(|first| baseline.frozen_at > first) {
            return refuse("it was frozen too late");
        }
        if baseline.energies.iter().any(|energy| energy.abs() > ENERGY_MAX) {
            return refuse("an energy is too large");
        }
        if part.deviation.iter().any(|(slot, _)| baseline.energy_in(*slot).is_none()) {
            return refuse("it does not cover every ordered slot");
        }
        // Rebound is looked for where this baseline says something, not the declared one.
        for slot in rebound_slots(&part, declared) {
            self.wait_no_more(device, place, slot);
        }
        self.expect_rebound(&part, (device, place), baseline.slots());
        self.baselines.insert(key, (baseline, record));
        Ok(Applied::New)
    }

    pub(super) fn read_meter(&mut self, reading: MeterReading, record: RecordNumber) -> Outcome {
        if reading.energy.abs() > ENERGY_MAX {
            return Err(LedgerError::ReadingTooLarge { device: reading.device, energy: reading.energy });
        }
        if reading.received_at < reading.slot.end() {
            let (at, earliest) = (reading.received_at, reading.slot.end());
            return Err(LedgerError::TooEarly { what: "the meter reading", at, earliest });
        }
        let key = (reading.slot, reading.device);
        if self.readings.insert(key, (reading.clone(), record)) {
            return Ok(Applied::New);
        }
        let Some((known, _)) = self.readings.get(&key) else { return Ok(Applied::Known) };
        if (known.energy, known.quality) == (reading.energy, reading.quality) {
            return Ok(if planted(Defect::RecordsReadingsTwice) { Applied::New } else { Applied::Known });
        }
        let corrects = known.quality != Quality::Measured && reading.quality == Quality::Measured;
        if !corrects || self.is_settled_with(reading.device, reading.slot) {
            return Err(LedgerError::ReadingTwice { device: reading.device, slot: reading.slot });
        }
        self.readings.replace(&key, (reading, record));
        Ok(Applied::New)
    }

    /// Whether a settlement rests on a device's reading of a slot: its own, or one of the same contract.
    fn is_settled_with(&self, device: DeviceId, slot: Slot) -> bool {
        // From the end: what is corrected is seldom old.
        let in_slot = self.settled.newest_first().skip_while(|settled| settled.slot > slot);
        let mut in_slot = in_slot.take_while(|settled| settled.slot == slot);
        in_slot.any(|settled| {
            let parts =
                self.contracts.get(&settled.contract).and_then(|record| record.assignments.as_deref());
            let mut offers = parts.unwrap_or_default().iter().filter_map(|part| self.offers.get(&part.offer));
            offers.any(|record| record.offer.device == device)
        })
    }

    pub(super) fn settle(&mut self, settlement: SlotSettlement) -> Outcome {
        let SlotSettlement { contract, offer, slot, .. } = &settlement;
        let key = (*slot, contract.clone(), offer.clone());
        let refuse = |what| {
            let (contract, offer, slot) = (contract.clone(), offer.clone(), *slot);
            Err(LedgerError::SettlementContents { contract, offer, slot, what })
        };
        // Nearly always it comes after all that were settled before.
        let next = self.settled.is_next(&key);
        if let Some(known) = Some(&key).filter(|_| !next).and_then(|key| self.settled.get(key)) {
            return if *known == settlement {
                Ok(Applied::Known)
            } else {
                refuse("it was settled otherwise")
            };
        }
        let nothing = || refuse("nothing was ordered and nothing can rebound there");
        let Some((device, place)) = self.sold_under(contract, offer) else { return nothing() };
        // What was valued together and is not settled yet is waited for.
        if !self.valued.has(&settlement) {
            if !self.awaited.contains(&(*slot, device, place)) {
                return nothing();
            }
            let Some(dues) = self.together(&key) else {
                return refuse("a reading or an earlier settlement it rests on is missing");
            };
            let Ok(expected) = settle_together(&dues) else { return refuse("it cannot be valued") };
            if !self.valued.keep(expected, &settlement) {
                return refuse("it is not what terms, baseline and readings make of it");
            }
        }
        if !self.post(&settlement.postings) {
            return refuse("a balance would overflow");
        }
        self.totals.settle(&settlement);
        self.note_relief(place, &settlement);
        self.wait_no_more(device, place, settlement.slot);
        self.settled.insert(key, settlement);
        Ok(Applied::New)
    }

    /// Moves money; nothing when a balance would overflow. Returns whether it moved.
    pub(super) fn post(&mut self, postings: &[Posting]) -> bool {
        let mut opened = Vec::new();
        for (done, Posting { account, amount }) in postings.iter().enumerate() {
            let foreign = *account == Account::MarketFee && planted(Defect::BooksForAnother);
            let account = if foreign { &Account::Aggregator } else { account };
            let balance = match self.balances.entry(*account) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(place) => {
                    opened.push(*account);
                    place.insert(Money::ZERO)
                }
            };
            if let Some(moved) = balance.0.checked_add(amount.0) {
                balance.0 = moved;
                continue;
            }
            for Posting { account, amount } in postings.iter().take(done) {
                if let Some(balance) = self.balances.get_mut(account) {
                    balance.0 = balance.0.wrapping_sub(amount.0);
                }
            }
            opened.iter().for_each(|account| {
                self.balances.remove(account);
            });
            return false;
        }
        true
    }

    fn note_relief(&mut self, offer: Place, settlement: &SlotSettlement) {
        let SlotSettlement { delivered, rebound, .. } = settlement;
        let parts = self.contracts.get(&settlement.contract).and_then(|known| known.assignments.as_ref());
        if let Some(record) = self.offers.at_mut(offer) {
            let part = parts.and_then(|parts| parts.get(record.part as usize));
            let given = delivered.0.saturating_mul(part.map_or(0, relief_direction)).max(0);
            record.relief = record.relief.saturating_add(given).saturating_sub(rebound.abs().0);
        }
    }

    /// The deliveries that are settled in one go with this one; `None` while a reading is missing.
    fn together(&self, key: &OrderKey) -> Option<Vec<Due<'_>>> {
        let (slot, id, offer) = key;
        let record = self.contracts.get(id)?;
        let parts = record.assignments.as_deref()?;
        let own = parts.iter().find(|part| part.offer == *offer)?;
        if ordered_in(own, *slot) == EnergyMwh::ZERO {
            let due = self.due(record, own, *slot)?;
            // What can be taken back is what was credited before: all of that has to be settled.
            let first = own.deviation.first().map_or(*slot, |(first, _)| *first);
            let (device, place) = self.sold_under(id, offer)?;
            let waits = (first.0..slot.0).any(|at| self.awaited.contains(&(Slot(at), device, place)));
            return (!waits).then(|| vec![due]);
        }
        if !record.contract.terms.netting {
            return Some(vec![self.due(record, own, *slot)?]);
        }
        let ordered = parts.iter().filter(|part| ordered_in(part, *slot) != EnergyMwh::ZERO);
        ordered.map(|part| self.due(record, part, *slot)).collect()
    }

    fn due<'a>(&'a self, contract: &'a ContractRecord, part: &'a Assignment, slot: Slot) -> Option<Due<'a>> {
        let record = self.offers.get(&part.offer)?;
        let (reading, read) = self.readings.get(&(slot, record.offer.device))?;
        let frozen = match self.baselines.is_empty() {
            true => None,
            false => self.baselines.get(&(contract.contract.id.clone(), part.offer.clone())),
        };
        let baseline = match frozen {
            Some((baseline, _)) => baseline.energy_in(slot)?,
            None => record.offer.default_schedule.energy_in(slot),
        };
        let order = record.activation.as_ref().and_then(|id| self.activations.get(id));
        let answer = order.and_then(|order| order.answer.as_ref());
        let mut cites = Vec::with_capacity(6);
        cites.extend([record.record, contract.formed, contract.assigned, *read]);
        cites.extend(frozen.map(|(_, record)| *record));
        cites.extend(answer.map(|answer| answer.record));
        cites.sort_unstable();
        Some(Due {
            contract: &contract.contract,
            assignment: part,
            offer: &record.offer,
            slot,
            reading,
            baseline,
            reached: answer.is_some_and(|answer| answer.at <= slot.start()),
            rebound_room: EnergyMwh(record.relief.max(0)),
            cites,
        })
    }

    /// What can be settled now, oldest slot first; what is settled together stands together.
    pub fn unsettled_due(&self) -> Vec<Vec<Due<'_>>> {
        // What no reading has come to yet is not looked at.
        let read = self.readings.last_key().map(|(slot, _)| *slot);
        self.groups(&read.map(|slot| self.unsettled_until(slot)).unwrap_or_default())
    }

    /// What can be settled now with a device's reading of a slot.
    pub fn due_with(&self, device: DeviceId, slot: Slot) -> Vec<Vec<Due<'_>>> {
        let parts = self.awaiting(device, slot).into_iter();
        let keys: Vec<OrderKey> = parts.map(|(contract, offer)| (slot, contract, offer)).collect();
        self.groups(&keys)
    }

    fn groups<'a>(&self, keys: impl IntoIterator<Item = &'a OrderKey>) -> Vec<Vec<Due<'_>>> {
        let (mut groups, mut grouped) = (Vec::new(), BTreeSet::new());
        for (slot, contract, offer) in keys {
            let key = (*slot, contract.clone(), offer.clone());
            if grouped.contains(&key) {
                continue;
            }
            if let Some(group) = self.together(&key) {
                // One that stands alone is not met again.
                if group.len() > 1 {
                    grouped.extend(
                        group.iter().map(|due| (due.slot, due.contract.id.clone(), due.offer.id.clone())),
                    );
                }
                groups.push(group);
            }
        }
        groups
    }

    /// Slots that ended at `before` or earlier, wait for their settlement and have no reading: the values to substitute,
    /// oldest first, then by contract and offer.
    pub fn missing_readings(&self, before: Timestamp) -> Vec<(DeviceId, Slot)> {
        let ended = self.awaited.iter().take_while(|(slot, _, _)| slot.end() <= before);
        let missing = ended.filter(|(slot, device, _)| self.readings.get(&(*slot, *device)).is_none());
        let named = missing.filter_map(|(slot, device, offer)| Some((*slot, self.part_at(*offer)?, *device)));
        let mut named: Vec<_> = named.collect();
        named.sort_unstable();
        named.into_iter().map(|(slot, _, device)| (device, slot)).collect()
    }

    /// What stands for a reading that never came, mWh: the baseline of the newest order that waits for it.
    pub fn substitute(&self, device: DeviceId, slot: Slot) -> EnergyMwh {
        let parts = self.awaiting(device, slot);
        let begun = |(contract, offer): &(ContractId, FlexOfferId)| {
            let first = self.assignment(contract, offer).and_then(|part| part.deviation.first());
            (first.map(|(at, _)| *at), self.contracts.get(contract).map(|record| record.contract.number))
        };
        let newest = parts.iter().max_by_key(|part| begun(part));
        newest.and_then(|(contract, offer)| self.baseline(contract, offer, slot)).unwrap_or_default()
    }

    /// The baseline that was frozen for a part by another method than its own declaration.
    pub fn frozen_baseline(&self, contract: &ContractId, offer: &FlexOfferId) -> Option<&Baseline> {
        self.baselines.get(&(contract.clone(), offer.clone())).map(|(baseline, _)| baseline)
    }

    /// What the baseline of a part says of a slot, mWh; what was declared where no other was frozen.
    pub fn baseline(&self, contract: &ContractId, offer: &FlexOfferId, slot: Slot) -> Option<EnergyMwh> {
        match self.baselines.get(&(contract.clone(), offer.clone())) {
            Some((baseline, _)) => baseline.energy_in(slot),
            None => self.offers.get(offer).map(|record| record.offer.default_schedule.energy_in(slot)),
        }
    }
}
