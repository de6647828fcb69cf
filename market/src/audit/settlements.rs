//! Readings and money.

use super::Audit;
use crate::settlement::{Account, MeterReading, SlotSettlement};
use grid::{Money, Quality};

impl<'a> Audit<'a> {
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
        let part = parts.iter().find(|part| part.offer == *offer);
        let ordered = part.and_then(|part| part.deviation.iter().find(|(at, _)| at == slot));
        match ordered {
            None => self.wrong(format!("{name} is for a slot that was not ordered")),
            Some((_, energy)) if *energy != settlement.ordered => {
                self.wrong(format!("{name} states another order than was assigned"));
            }
            Some(_) => {}
        }
        if let Some(known) = self.offers.get(offer).copied() {
            if super::energy_in(&known.default_schedule, slot.0) != i128::from(settlement.baseline.0) {
                self.wrong(format!("{name} has another baseline than the default schedule"));
            }
            let read = self.readings.get(&(known.device, *slot)).map(|r| (r.energy, r.quality));
            if read != Some((settlement.metered, settlement.quality)) {
                self.wrong(format!("{name} has another energy than the meter"));
            }
            let own = Account::Prosumer(known.prosumer);
            let stranger = |account| matches!(account, Account::Prosumer(_)) && account != own;
            if settlement.postings.iter().any(|posting| stranger(posting.account)) {
                self.wrong(format!("{name} moves the money of another prosumer"));
            }
        }
        self.delivery(settlement, &name);
        self.money(settlement, &name);
    }

    fn delivery(&mut self, settlement: &SlotSettlement, name: &str) {
        let wide = |energy: grid::EnergyMwh| i128::from(energy.0);
        let moved = wide(settlement.metered) - wide(settlement.baseline);
        let (ordered, delivered) = (wide(settlement.ordered), wide(settlement.delivered));
        let most = if ordered < 0 { moved.clamp(ordered, 0) } else { moved.clamp(0, ordered) };
        let wanted = if settlement.quality == Quality::Measured { most } else { 0 };
        if delivered != wanted {
            self.wrong(format!("{name} credits {delivered} mWh, {wanted} were delivered"));
        }
    }

    fn money(&mut self, settlement: &SlotSettlement, name: &str) {
        let sum: i128 = settlement.postings.iter().map(|posting| i128::from(posting.amount.0)).sum();
        if sum != 0 {
            self.wrong(format!("{name} has postings that sum to {sum}"));
            let gap = i64::try_from(sum.unsigned_abs()).unwrap_or(i64::MAX);
            self.report.money_imbalance = Money(self.report.money_imbalance.0.saturating_add(gap));
        }
        let Some(contract) = self.contracts.get(&settlement.contract).copied() else { return };
        let dso = settlement.postings.iter().filter(|posting| posting.account == Account::Dso);
        let paid = -dso.map(|posting| i128::from(posting.amount.0)).sum::<i128>();
        let worth = i128::from(settlement.delivered.abs().cost(contract.prices.of(settlement.ordered)).0);
        if paid > worth {
            self.wrong(format!("{name} makes the DSO pay {paid}, the delivery is worth {worth}"));
        }
    }
}
