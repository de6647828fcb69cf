//! What a device tells its FlexOffer Agent about itself; the input from which FlexOffers are made.

use grid::{DeviceId, ProsumerId, Timestamp, UsagePointId};
use serde::{Deserialize, Serialize};

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
