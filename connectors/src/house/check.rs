//! What a message must satisfy whichever way it travels: finite, physical, inside the calendar.

use super::SLOTS_MAX;
use super::reject::{Refusal, RejectCode, refuse};
use grid::{EnergyMwh, Measurement, Quality, Quantity, Slot};
use market::{Activation, ActivationStatus, DeviceReport, DeviceState};

/// Largest magnitude of any physical value accepted, in its base unit.
const VALUE_MAX: f64 = 1e12;
/// Largest energy of one slot of a schedule: 1 TWh.
const SLOT_ENERGY_MAX: EnergyMwh = EnergyMwh(1_000_000_000_000_000);
/// First slot of the year 2200, where [`grid::Timestamp`] ends.
const SLOT_END: i64 = 7_258_118_400 / Slot::SECONDS;
const REASON_BYTES_MAX: usize = 1024;

/// Checks a measurement that is not of our own making.
///
/// # Errors
/// [`Refusal`] of a value that is not finite, beyond 1e12 in its base unit, or a negative magnitude; of a quality that is none of
/// a measurement; of an energy that is not of the end of a quarter-hour.
pub fn measurement(value: &Measurement) -> Result<(), Refusal> {
    let point = value.point;
    number(&point.to_string(), value.value)?;
    let quantity = point.quantity;
    if matches!(quantity, Quantity::VoltageMagnitude | Quantity::CurrentMagnitude) && value.value < 0.0 {
        return refuse(RejectCode::Value, format!("{point} is {}, a magnitude is not negative", value.value));
    }
    if matches!(value.quality, Quality::Forecast | Quality::Missing) {
        return refuse(
            RejectCode::Quality,
            "telemetry is measured, estimated or substituted; leave out what is missing",
        );
    }
    if quantity == Quantity::SlotEnergy && value.measured_at.slot().start() != value.measured_at {
        return refuse(
            RejectCode::Time,
            format!(
                "{point}: measured_at is {}, the energy of a slot needs the slot's end",
                value.measured_at
            ),
        );
    }
    Ok(())
}

pub(super) fn report(report: &DeviceReport) -> Result<(), Refusal> {
    match &report.state {
        DeviceState::Charger { session: _, energy_needed_wh, departure: _, p_max_w } => {
            not_negative("energy_needed_wh", *energy_needed_wh)?;
            not_negative("p_max_w", *p_max_w)
        }
        DeviceState::Battery { energy_wh, capacity_wh, p_charge_max_w, p_discharge_max_w } => {
            not_negative("energy_wh", *energy_wh)?;
            not_negative("capacity_wh", *capacity_wh)?;
            not_negative("p_charge_max_w", *p_charge_max_w)?;
            not_negative("p_discharge_max_w", *p_discharge_max_w)
        }
        DeviceState::HeatPump { p_expected_w, fraction_min, slots_max } => {
            few_slots("p_expected_w", p_expected_w.len())?;
            few_slots("slots_max", *slots_max as usize)?;
            for &power in p_expected_w {
                not_negative("p_expected_w", power)?;
            }
            if (0.0..=1.0).contains(fraction_min) {
                Ok(())
            } else {
                refuse(RejectCode::Value, format!("fraction_min is {fraction_min}, 0 to 1 is possible"))
            }
        }
    }
}

pub(super) fn activation(order: &Activation) -> Result<(), Refusal> {
    let energies = &order.schedule.energies;
    few_slots("schedule.energies", energies.len())?;
    if energies.is_empty() {
        return refuse(RejectCode::Value, "schedule.energies is empty");
    }
    for (name, slot) in [("schedule.start", order.schedule.start), ("replaces_from", order.replaces_from)] {
        if !(0..SLOT_END - SLOTS_MAX as i64).contains(&slot.0) {
            return refuse(RejectCode::Time, format!("{name} is slot {}, outside 1970 to 2200", slot.0));
        }
    }
    match energies.iter().find(|energy| energy.abs() > SLOT_ENERGY_MAX) {
        Some(energy) => refuse(
            RejectCode::Value,
            format!("schedule.energies has {} mWh, at most {} is accepted", energy.0, SLOT_ENERGY_MAX.0),
        ),
        None => Ok(()),
    }
}

pub(super) fn status(status: &ActivationStatus) -> Result<(), Refusal> {
    match status.reason.as_ref().map_or(0, String::len) {
        0..=REASON_BYTES_MAX => Ok(()),
        bytes => refuse(
            RejectCode::TooLarge,
            format!("reason has {bytes} bytes, at most {REASON_BYTES_MAX} are accepted"),
        ),
    }
}

fn number(name: &str, value: f64) -> Result<(), Refusal> {
    if value.is_finite() && value.abs() <= VALUE_MAX {
        return Ok(());
    }
    refuse(RejectCode::Value, format!("{name} is {value:e}, at most {VALUE_MAX:e} is accepted"))
}

fn not_negative(name: &str, value: f64) -> Result<(), Refusal> {
    number(name, value)?;
    if value >= 0.0 {
        Ok(())
    } else {
        refuse(RejectCode::Value, format!("{name} is {value}, it is not negative"))
    }
}

fn few_slots(name: &str, slots: usize) -> Result<(), Refusal> {
    if slots <= SLOTS_MAX {
        return Ok(());
    }
    refuse(RejectCode::TooLarge, format!("{name} spans {slots} slots, at most {SLOTS_MAX} are accepted"))
}
