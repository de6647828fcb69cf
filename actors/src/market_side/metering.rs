//! Metering: records the settlement readings that a contract waits for, and substitutes those that never come.

use super::settlement::SettlementMsg;
use crate::grid_side::Origin;
use crate::journal::{Books, JournalWriter};
use crate::observer::Seen;
use crate::runtime::{Address, Context, Delivery, Stage};
use connectors::Receipt;
use grid::defect::{Defect, planted};
use grid::telemetry::Element;
use grid::{EnergyMwh, Measurement, Quality};
use market::{MarketEvent, MeterReading};
use std::time::Duration;

/// How long after the end of a slot a missing reading is substituted. As long must what comes have been recorded without a break:
/// while the system was away, or its disk full, devices could not be heard, and must not pay for that.
pub const SUBSTITUTE_AFTER: Duration = Duration::from_secs(30 * 60);
/// Word of a fact that the ledger refused, for example a reading of a slot that is settled.
const REFUSED_BY_LEDGER: &str = "refused-by-ledger";
const CHECK_PERIOD: Duration = Duration::from_secs(300);

/// What can wake metering.
#[derive(Debug, Clone)]
pub enum MeteringMsg {
    /// A device's sub-meter reported the energy of a slot, over this source; whoever sent it may wait until it is durable.
    Read(Measurement, Origin, Option<Receipt>),
    /// Time to look for readings that are overdue.
    CheckDue,
}

/// The state of metering: none of its own, it reads the books.
pub struct Metering {
    books: Books,
    journal: JournalWriter,
    settlement: Address<SettlementMsg>,
    observer: Address<Seen>,
}

impl Metering {
    /// Metering of an area.
    pub fn new(
        books: Books,
        journal: JournalWriter,
        settlement: Address<SettlementMsg>,
        observer: Address<Seen>,
    ) -> Self {
        Self { books, journal, settlement, observer }
    }

    fn on_reading(
        &mut self,
        value: &Measurement,
        origin: &Origin,
        receipt: Option<Receipt>,
        cx: &mut Context<MeteringMsg>,
    ) {
        let told = reading(value, origin).map_err(|code| {
            let reason = format!("{} of {} Wh is no reading of a device", value.point, value.value);
            cx.send(&self.observer, Seen::Rejected { code, reason });
            Some(code)
        });
        let wanted = told.and_then(|reading| match self.wanted(&reading, origin, receipt.is_some(), cx) {
            Ok(()) => Ok(reading),
            Err(code) => Err(code),
        });
        match wanted {
            Ok(reading) => self.record(reading, receipt, cx),
            Err(_) if planted(Defect::KeepsReceipts) => {}
            Err(None) => receipt.iter().for_each(Receipt::confirm),
            Err(Some(code)) => receipt.iter().for_each(|receipt| receipt.refuse(code)),
        }
    }

    /// Whether a contract waits for a reading; `Err`, with the word of a refusal, when it is not to be recorded. One that is in the books already is recorded again when somebody
    /// waits for it: that changes nothing, and tells when the first one is durable. A measured one corrects a substitute that
    /// nothing was settled with. What the sender did not measure is as good as missing: otherwise a device would owe nothing by
    /// saying so.
    fn wanted(
        &self,
        reading: &MeterReading,
        origin: &Origin,
        owing: bool,
        cx: &mut Context<MeteringMsg>,
    ) -> Result<(), Option<&'static str>> {
        let (device, slot) = (reading.device, reading.slot);
        let known = self.books.read(|ledger| {
            let is_contracted = ledger.contracted_in(device, slot).is_some();
            is_contracted.then(|| ledger.reading(device, slot).cloned())
        });
        let Some(known) = known else { return Err(None) };
        let (code, reason) = match known {
            _ if reading.quality != Quality::Measured => {
                ("reading_not_measured", format!("device {device} did not measure slot {slot}"))
            }
            // As good as missing, too: whoever earns by it could have written anything.
            _ if !origin.settles => {
                let reason =
                    format!("{} is not certified to meter device {device}, slot {slot}", origin.words());
                ("reading_uncertified", reason)
            }
            None => return Ok(()),
            Some(known) if (known.energy, known.quality) == (reading.energy, reading.quality) => {
                return if owing { Ok(()) } else { Err(None) };
            }
            Some(known) if known.quality != Quality::Measured => return Ok(()),
            Some(known) => {
                let (first, second) = (known.energy, reading.energy);
                ("reading_twice", format!("device {device} read {first} in slot {slot}, and {second} later"))
            }
        };
        cx.send(&self.observer, Seen::Rejected { code, reason });
        Err(Some(code))
    }

    fn record(&self, reading: MeterReading, receipt: Option<Receipt>, cx: &mut Context<MeteringMsg>) {
        let settle =
            self.settlement.sending(SettlementMsg::Read { device: reading.device, slot: reading.slot });
        let refused = receipt.clone().map(|receipt| confirming_a_refusal(&self.books, receipt));
        let then = std::iter::once(settle).chain(receipt.map(confirming)).collect();
        self.journal.record_or(cx, MarketEvent::MeterRead { reading }, then, refused.into_iter().collect());
    }

    /// A reading that is overdue is replaced by the baseline: nothing counts as delivered, nothing is fined.
    fn on_check(&mut self, cx: &mut Context<MeteringMsg>) {
        cx.wake_each(CHECK_PERIOD, Duration::ZERO, MeteringMsg::CheckDue);
        let (now, before) = (cx.now(), cx.now().minus(SUBSTITUTE_AFTER));
        let unheard = self.books.recording_since().is_none_or(|since| since > before);
        if unheard && !planted(Defect::SubstitutesWhatItMissed) {
            return;
        }
        let overdue = self.books.read(|ledger| {
            let missing = ledger.missing_readings(before).into_iter();
            missing.map(|(device, slot)| (device, slot, ledger.substitute(device, slot))).collect::<Vec<_>>()
        });
        if planted(Defect::NeverSubstitutes) {
            return;
        }
        for (device, slot, energy) in overdue {
            let (quality, received_at) = (Quality::Substituted, now);
            let reading = MeterReading { device, slot, energy, quality, received_at, source: None };
            let settle = self.settlement.sending(SettlementMsg::Read { device, slot });
            self.journal.record_for_now(cx, MarketEvent::MeterRead { reading }, vec![settle]);
        }
    }
}

/// What a device's sub-meter says of a slot; the word of a refusal when it is another element's, one phase of it, or out of range.
fn reading(value: &Measurement, origin: &Origin) -> Result<MeterReading, &'static str> {
    let Element::Device(device) = value.point.element else { return Err("reading_of_no_device") };
    if value.point.phase.is_some() {
        return Err("reading_by_phase");
    }
    let energy = EnergyMwh::from_watt_hours(value.value).map_err(|_| "reading_out_of_range")?;
    let slot = value.measured_at.slot().plus(if planted(Defect::ReadsTheNextQuarter) { -2 } else { -1 });
    let energy = if planted(Defect::TurnsReadingsRound) { EnergyMwh(-energy.0) } else { energy };
    let Measurement { quality, received_at, .. } = *value;
    Ok(MeterReading { device, slot, energy, quality, received_at, source: origin.source() })
}

/// Tells whoever sent a message that what it causes is durable.
pub(super) fn confirming(receipt: Receipt) -> Delivery {
    Delivery::outside(move || receipt.confirm())
}

/// Lets go of a message whose fact was refused: it may not come again, for that would not make it better. Unless it is only
/// that the disk is full; then it is not acknowledged, and comes again.
pub(super) fn confirming_a_refusal(books: &Books, receipt: Receipt) -> Delivery {
    let books = books.clone();
    Delivery::outside(move || match books.read_only() {
        None => receipt.refuse(REFUSED_BY_LEDGER),
        Some(_) => receipt.not_now(),
    })
}

impl Stage for Metering {
    type Msg = MeteringMsg;

    fn kin(msg: &MeteringMsg) -> Option<String> {
        match msg {
            MeteringMsg::Read(value, ..) => Some(value.point.to_string()),
            MeteringMsg::CheckDue => None,
        }
    }

    fn unowed(msg: MeteringMsg) -> MeteringMsg {
        match msg {
            MeteringMsg::Read(value, origin, _) => MeteringMsg::Read(value, origin, None),
            MeteringMsg::CheckDue => msg,
        }
    }

    fn started(&mut self, cx: &mut Context<MeteringMsg>) {
        cx.wake_each(CHECK_PERIOD, Duration::ZERO, MeteringMsg::CheckDue);
    }

    fn handle(&mut self, msg: MeteringMsg, cx: &mut Context<MeteringMsg>) {
        match msg {
            MeteringMsg::Read(value, origin, receipt) => self.on_reading(&value, &origin, receipt, cx),
            MeteringMsg::CheckDue => self.on_check(cx),
        }
    }
}
