//! The part of the picture that does not change while the system runs: the network.

use grid::{BranchId, BusId, Phase, UsagePointId};
use serde::Serialize;

/// The network of one area, as drawn.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct NetworkPicture {
    /// What people call it.
    pub name: String,
    /// What a reader must know to judge it: where it comes from, what was changed.
    pub notes: Vec<String>,
    /// Name of the market area.
    pub area: String,
    /// Buses; positions in the other lists and in the voltages refer to this order.
    pub buses: Vec<BusPicture>,
    /// Lines, then transformers.
    pub branches: Vec<BranchPicture>,
    /// Connections of customers.
    pub usage_points: Vec<UsagePointPicture>,
}

/// A bus.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BusPicture {
    /// Its number.
    pub id: BusId,
    /// Coordinate to the east, m; `None` when not known.
    pub x_m: Option<f64>,
    /// Coordinate to the north, m.
    pub y_m: Option<f64>,
    /// Rated phase-to-phase voltage, V.
    pub u_rated_v: f64,
}

/// Kind of a branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum BranchKind {
    /// A line or cable section.
    Line,
    /// A transformer.
    Transformer,
}

/// A branch.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BranchPicture {
    /// Its number.
    pub id: BranchId,
    /// Line or transformer.
    pub kind: BranchKind,
    /// Position of the `from` bus in [`NetworkPicture::buses`].
    pub from: usize,
    /// Position of the `to` bus.
    pub to: usize,
    /// Rated current of a line, A.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rated_a: Option<f64>,
    /// Rated apparent power of a transformer, kVA.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rated_kva: Option<f64>,
}

/// Kind of a controllable device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceKind {
    /// A charging point for electric vehicles.
    Charger,
    /// A stationary battery.
    Battery,
    /// A heat pump.
    HeatPump,
    /// What another aggregator offers of its own customers, as one.
    Portfolio,
}

impl DeviceKind {
    /// Whether it may feed into the grid.
    pub fn feeds_in(self) -> bool {
        matches!(self, Self::Battery | Self::Portfolio)
    }
}

/// A customer's connection.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct UsagePointPicture {
    /// Its number.
    pub id: UsagePointId,
    /// Position of its bus in [`NetworkPicture::buses`].
    pub bus: usize,
    /// The phase of a single-phase connection; `None` is three-phase.
    pub phase: Option<Phase>,
    /// Controllable devices behind it.
    pub devices: Vec<DeviceKind>,
}
