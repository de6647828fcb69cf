//! The order to a device, and the device's answer (after S2: every instruction is answered by a status).

use crate::contract::ContractId;
use crate::flex_offer::{FlexOfferId, Schedule};
use grid::{DeviceId, Timestamp};
use serde::{Deserialize, Serialize};

grid::named_id!(
    /// Names an activation; a device that sees the same name twice obeys once.
    ActivationId
);

/// A schedule for one device. It replaces the device's default behaviour for the schedule's slots.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Activation {
    /// Its name.
    pub id: ActivationId,
    /// Who shall act.
    pub device: DeviceId,
    /// The offer that promised it.
    pub offer: FlexOfferId,
    /// The contract that ordered it.
    pub contract: ContractId,
    /// Energy per slot, mWh, positive is taken from the grid.
    pub schedule: Schedule,
    /// First slot of the default schedule it replaces: the device does not run its default from there on.
    pub replaces_from: grid::Slot,
}

/// What the device answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActivationStatus {
    /// Which activation.
    pub activation: ActivationId,
    /// Which device.
    pub device: DeviceId,
    /// Whether it will obey.
    pub accepted: bool,
    /// Why not, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it answered.
    pub at: Timestamp,
}
