//! From a network to its equations: buses merged and numbered, islands found, every element per unit. This is the only
//! place where volts and ohms become per unit.

use crate::circuit::Circuit;
use grid::{BranchId, BusId};
use std::collections::BTreeMap;

/// Where a branch of the network went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BranchPlace {
    /// A series element between two buses, with its `from` and `to` as in the network.
    Series(u32),
    /// A general element; per terminal of the branch the terminal of the element, `None` where the end is open.
    General(u32, Vec<Option<u8>>),
    /// A three-winding transformer: one place per winding, seen from that winding's bus (`from` side of each).
    Star(Vec<BranchPlace>),
    /// Not connected at any end.
    Off,
}

/// Where an appliance (load, generator, source, shunt, capacitor, usage point) went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AppliancePlace {
    /// Load ports, consecutive.
    Ports(std::ops::Range<u32>),
    /// A source.
    Source(u32),
    /// A shunt.
    Shunt(u32),
    /// Disconnected or at a dead bus.
    Off,
}

/// A circuit with the way back to the network.
#[derive(Debug, Clone, PartialEq)]
pub struct Assembly {
    /// The equations.
    pub circuit: Circuit,
    /// Whether it is a symmetric calculation: one wire per bus.
    pub symmetric: bool,
    /// Bus → position in `circuit.buses` (the star points of three-winding transformers come after these).
    pub buses: BTreeMap<BusId, u32>,
    /// Branch → place.
    pub branches: BTreeMap<BranchId, BranchPlace>,
    /// Appliance → bus position and place. Usage points are appliances under their own number when no load has it.
    pub appliances: BTreeMap<u32, (u32, AppliancePlace)>,
}
