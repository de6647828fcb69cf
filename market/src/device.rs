//! What a device tells its FlexOffer Agent about itself; the input from which FlexOffers are made.

use grid::{DeviceId, ProsumerId, Timestamp, UsagePointId};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The present state of one controllable device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceReport {
    /// Which device.
    pub device: DeviceId,
    /// Whose.
    pub prosumer: ProsumerId,
    /// Behind which connection.
    pub usage_point: UsagePointId,
    /// When it was so.
    pub at: Timestamp,
    /// The state by kind of device.
    pub state: DeviceState,
}

/// State by kind of device. Powers in W and energies in Wh; positive is taken from the grid.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum DeviceState {
    /// A charging point for electric vehicles. By default it charges at full power from plug-in until full.
    Charger {
        /// Counts plug-ins of this charging point; one session is offered once. 0 when nothing is plugged in.
        session: u64,
        /// Energy still needed before departure, Wh.
        energy_needed_wh: f64,
        /// When the vehicle leaves.
        departure: Timestamp,
        /// Charging power, W.
        p_max_w: f64,
    },
    /// A stationary battery. By default it rests.
    Battery {
        /// Usable stored energy, Wh.
        energy_wh: f64,
        /// Usable capacity, Wh.
        capacity_wh: f64,
        /// Largest charging power, W.
        p_charge_max_w: f64,
        /// Largest discharging power, W (a positive number).
        p_discharge_max_w: f64,
    },
    /// A heat pump with thermal storage in the building.
    HeatPump {
        /// Mean power it expects to take in each of the next slots by default, W; the first is the slot after `at`'s.
        p_expected_w: Vec<f64>,
        /// The least fraction of the expected power it accepts, 0 to 1.
        fraction_min: f64,
        /// For how many consecutive slots comfort allows that.
        slots_max: u32,
    },
}

/// Largest power a device may report, W (1 GW).
const POWER_MAX_W: f64 = 1e9;
/// Largest energy a device may report, Wh (1 TWh).
const ENERGY_MAX_WH: f64 = 1e12;
/// Most expected powers a report may carry: two days.
const EXPECTED_MAX: usize = 192;

/// Why a device's report is refused.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum DeviceReportError {
    /// NaN, infinite, negative or too large.
    #[error("device {device} reports {what} of {value} {unit}, 0 to {limit:e} {unit} are accepted")]
    Number {
        /// Which device.
        device: DeviceId,
        /// Which number.
        what: &'static str,
        /// As given.
        value: f64,
        /// Its unit.
        unit: &'static str,
        /// The largest value accepted.
        limit: f64,
    },
    /// Too many expected powers.
    #[error("device {device} reports {count} expected powers, at most 192 are accepted")]
    TooLong {
        /// Which device.
        device: DeviceId,
        /// As given.
        count: usize,
    },
}

impl DeviceReport {
    /// Checks that all numbers are finite, not negative and small enough to be meant.
    pub fn check(&self) -> Result<(), DeviceReportError> {
        let number = |what, value: f64, unit, limit| match (0.0..=limit).contains(&value) {
            true => Ok(()),
            false => Err(DeviceReportError::Number { device: self.device, what, value, unit, limit }),
        };
        match &self.state {
            DeviceState::Charger { energy_needed_wh, p_max_w, .. } => {
                number("an energy needed", *energy_needed_wh, "Wh", ENERGY_MAX_WH)?;
                number("a charging power", *p_max_w, "W", POWER_MAX_W)
            }
            DeviceState::Battery { energy_wh, capacity_wh, p_charge_max_w, p_discharge_max_w } => {
                number("a stored energy", *energy_wh, "Wh", ENERGY_MAX_WH)?;
                number("a capacity", *capacity_wh, "Wh", ENERGY_MAX_WH)?;
                number("a charging power", *p_charge_max_w, "W", POWER_MAX_W)?;
                number("a discharging power", *p_discharge_max_w, "W", POWER_MAX_W)
            }
            DeviceState::HeatPump { p_expected_w, fraction_min, .. } => {
                if p_expected_w.len() > EXPECTED_MAX {
                    return Err(DeviceReportError::TooLong {
                        device: self.device,
                        count: p_expected_w.len(),
                    });
                }
                number("a least fraction", *fraction_min, "", 1.0)?;
                p_expected_w.iter().try_for_each(|&p| number("an expected power", p, "W", POWER_MAX_W))
            }
        }
    }
}
