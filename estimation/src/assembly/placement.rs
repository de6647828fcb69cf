//! Where components of the network went.

use std::ops::Range;

/// Where a branch of the network went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BranchPlace {
    /// A series element between two buses, with its `from` and `to` as in the network.
    Series(u32),
    /// A general element; per terminal of the branch the terminal of the element, `None` where the end is open.
    General(u32, Vec<Option<u8>>),
    /// A three-winding transformer: one place per winding, seen from that winding's bus (`from` side of each).
    Star(Vec<BranchPlace>),
    /// Not connected at any end, or only to dead buses.
    Off,
}

/// Where an appliance (load, generator, source, shunt, capacitor, usage point) went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AppliancePlace {
    /// Load ports, consecutive.
    Ports(Range<u32>),
    /// A source.
    Source(u32),
    /// A shunt.
    Shunt(u32),
    /// Disconnected or at a dead bus.
    Off,
}
