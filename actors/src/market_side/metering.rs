//! Metering: records the settlement readings that a contract waits for, and substitutes those that never come.

use super::settlement::SettlementMsg;
use crate::journal::{Books, JournalWriter};
use crate::runtime::{Address, Context, Stage};
use grid::telemetry::Element;
use grid::{DeviceId, EnergyMwh, Measurement, Quality, Slot};
use market::{Ledger, MarketEvent, MeterReading, Schedule};
use std::time::Duration;

/// How long after the end of a slot a missing reading is substituted.
pub const SUBSTITUTE_AFTER: Duration = Duration::from_secs(30 * 60);
const CHECK_PERIOD: Duration = Duration::from_secs(300);

/// What can wake metering.
#[derive(Debug, Clone)]
pub enum MeteringMsg {
    /// A device's sub-meter reported the energy of a slot.
    Read(Measurement),
    /// Time to look for readings that are overdue.
    CheckDue,
}

/// The state of metering: none of its own, it reads the books.
pub struct Metering {
    books: Books,
    journal: JournalWriter,
    settlement: Address<SettlementMsg>,
}

impl Metering {
    /// Metering of an area.
    pub fn new(books: Books, journal: JournalWriter, settlement: Address<SettlementMsg>) -> Self {
        Self { books, journal, settlement }
    }

    fn on_reading(&mut self, value: &Measurement, cx: &mut Context<MeteringMsg>) {
        let Element::Device(device) = value.point.element else { return };
        let Ok(energy) = EnergyMwh::from_watt_hours(value.value) else { return };
        let slot = value.measured_at.slot().plus(-1);
        let reading =
            MeterReading { device, slot, energy, quality: value.quality, received_at: value.received_at };
        let waited_for = self.books.read(|ledger| {
            ledger.contracted_deviation().contains_key(&(device, slot))
                && ledger.reading(device, slot).is_none()
        });
        if waited_for {
            self.record(reading, cx);
        }
    }

    fn record(&self, reading: MeterReading, cx: &mut Context<MeteringMsg>) {
        let settle =
            self.settlement.sending(SettlementMsg::Read { device: reading.device, slot: reading.slot });
        self.journal.record(cx, MarketEvent::MeterRead { reading }, vec![settle]);
    }

    /// A reading that is overdue is replaced by the baseline: nothing counts as delivered, nothing is fined.
    fn on_check(&mut self, cx: &mut Context<MeteringMsg>) {
        cx.wake_each(CHECK_PERIOD, Duration::ZERO, MeteringMsg::CheckDue);
        let now = cx.now();
        let overdue = self.books.read(|ledger| {
            let missing = ledger.missing_readings(now.minus(SUBSTITUTE_AFTER)).into_iter();
            missing.map(|(device, slot)| (device, slot, baseline(ledger, device, slot))).collect::<Vec<_>>()
        });
        for (device, slot, energy) in overdue {
            let reading =
                MeterReading { device, slot, energy, quality: Quality::Substituted, received_at: now };
            self.record(reading, cx);
        }
    }
}

/// Energy of the default schedule behind what was ordered from a device in a slot, mWh.
fn baseline(ledger: &Ledger, device: DeviceId, slot: Slot) -> EnergyMwh {
    let parts = ledger.contracts().flat_map(|(_, parts)| parts.unwrap_or_default());
    let ordered = parts.filter(|part| part.deviation.iter().any(|(at, _)| *at == slot));
    let offers = ordered.filter_map(|part| ledger.offer(&part.offer)).map(|(offer, _)| offer);
    let defaults = offers.filter(|offer| offer.device == device).map(|offer| &offer.default_schedule);
    let energy = |default: &Schedule| {
        let at = usize::try_from(slot.0 - default.start.0).ok()?;
        default.energies.get(at).copied()
    };
    defaults.filter_map(energy).sum()
}

impl Stage for Metering {
    type Msg = MeteringMsg;

    fn started(&mut self, cx: &mut Context<MeteringMsg>) {
        cx.wake_each(CHECK_PERIOD, Duration::ZERO, MeteringMsg::CheckDue);
    }

    fn handle(&mut self, msg: MeteringMsg, cx: &mut Context<MeteringMsg>) {
        match msg {
            MeteringMsg::Read(value) => self.on_reading(&value, cx),
            MeteringMsg::CheckDue => self.on_check(cx),
        }
    }
}
