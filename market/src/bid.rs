//! What the DSO asks for: the DOMS bid (D6.1, Table 1) per congestion point, and the head-room rows that keep
//! a solution from making the next problem.

use grid::{BranchId, EnergyMwh, Money, Phase, Slot, Timestamp};
use serde::{Deserialize, Serialize};

grid::named_id!(
    /// Names a DOMS bid.
    BidId
);

/// A limited element: a transformer (phases summed) or one phase of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CongestionPoint {
    /// The line or transformer.
    pub branch: BranchId,
    /// The phase that counts; `None` sums the phases.
    pub phase: Option<Phase>,
}

/// One interval of a bid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BidInterval {
    /// Wanted change of energy through the congestion point, mWh; negative asks for less consumption.
    pub schedule_change: EnergyMwh,
    /// What the DSO pays at most, micro-units per kWh of that change.
    pub price: Money,
}

/// The DSO's bid for one congestion point: start, interval length (one market slot), schedule change and price
/// per interval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DomsBid {
    /// Its name.
    pub id: BidId,
    /// What is congested.
    pub congestion_point: CongestionPoint,
    /// First slot.
    pub start: Slot,
    /// Consecutive slots from `start` on; zero change where nothing is wanted.
    pub intervals: Vec<BidInterval>,
}

/// How much more energy an element can carry in one slot, mWh; negative where a bid asks for relief.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GridRow {
    /// Which element.
    pub congestion_point: CongestionPoint,
    /// Which slot.
    pub slot: Slot,
    /// Energy that can be added through the element, mWh.
    pub headroom: EnergyMwh,
}

/// A set of usage points that load the same limited elements alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ZoneId(pub u32);

/// For each zone, the congestion points its consumption flows through.
pub type Zones = std::collections::BTreeMap<ZoneId, Vec<CongestionPoint>>;

/// Everything the DSO wants at one instant. A newer need replaces the older one whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Need {
    /// When it was found.
    pub issued_at: Timestamp,
    /// How many contracts of this market area had been taken into account; a need that does not know the newest
    /// contract would buy twice and is refused.
    pub contracts_seen: u64,
    /// One bid per congested element.
    pub bids: Vec<DomsBid>,
    /// Head-room of every limited element for each slot of the horizon.
    pub rows: Vec<GridRow>,
}
