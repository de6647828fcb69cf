//! What the DSO asks for: the DOMS bid (D6.1, Table 1) per congestion point, and the head-room rows that keep
//! a solution from making the next problem.

use grid::{BranchId, EnergyMwh, Money, Phase, Slot, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use thiserror::Error;

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

/// An element that a zone's energy flows through, with the share that does: all of it in a transformer, a third on each phase
/// of a line to a three-phase connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Carried {
    /// The element.
    pub point: CongestionPoint,
    /// How much of a change behind it changes the flow there, millionths; at least 1, at most a million.
    pub share: i64,
}

/// Millionths of the whole.
pub const WHOLE_SHARE: i64 = 1_000_000;

impl Carried {
    /// A share given as a number from 0 to 1, to the nearest millionth that is possible.
    pub fn part(point: CongestionPoint, share: f64) -> Self {
        Self { point, share: ((share * WHOLE_SHARE as f64).round() as i64).clamp(1, WHOLE_SHARE) }
    }

    /// An energy or price as far as it counts at the element, rounded toward zero.
    pub(crate) fn of(&self, whole: i64) -> i64 {
        (i128::from(whole) * i128::from(self.share) / i128::from(WHOLE_SHARE)) as i64
    }

    /// What a zone can do until the element feels this much, rounded toward zero.
    pub(crate) fn reach(&self, felt: i64) -> i64 {
        let reach = i128::from(felt) * i128::from(WHOLE_SHARE) / i128::from(self.share.max(1));
        i64::try_from(reach).unwrap_or(if felt < 0 { i64::MIN } else { i64::MAX })
    }
}

/// All of it flows through the element.
impl From<CongestionPoint> for Carried {
    fn from(point: CongestionPoint) -> Self {
        Self { point, share: WHOLE_SHARE }
    }
}

/// For each zone, the elements its energy flows through.
pub type Zones = std::collections::BTreeMap<ZoneId, Vec<Carried>>;

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
    #[serde(with = "crate::grid_rows")]
    pub rows: Vec<GridRow>,
}

/// Most intervals of a bid: a week.
const INTERVALS_MAX: usize = 672;
/// Largest magnitude of a wanted change or a head-room, mWh (1 TWh).
const ENERGY_MAX: u64 = 1_000_000_000_000_000;
/// Last slot that a need may name: the year 2200.
const SLOT_MAX: i64 = 7_258_118_400 / Slot::SECONDS;

/// Why a need is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NeedError {
    /// Two bids carry one name.
    #[error("bid {bid} is given twice")]
    BidTwice {
        /// Which.
        bid: BidId,
    },
    /// Two bids ask for the same element; the same relief would be counted twice.
    #[error("bid {bid} asks at branch {} phase {:?}, where another bid asks already", .point.branch, .point.phase)]
    PointTwice {
        /// The second bid.
        bid: BidId,
        /// Its element.
        point: CongestionPoint,
    },
    /// Two rows for one element and slot.
    #[error("the head-room of branch {} phase {:?} in {slot} is given twice", .point.branch, .point.phase)]
    RowTwice {
        /// Which element.
        point: CongestionPoint,
        /// Which slot.
        slot: Slot,
    },
    /// More intervals than a week has.
    #[error("bid {bid} has {intervals} intervals, at most 672 are allowed")]
    TooManyIntervals {
        /// Which bid.
        bid: BidId,
        /// As given.
        intervals: usize,
    },
    /// An energy too large to be meant.
    #[error("{what} is {} mWh, magnitudes up to 1e15 mWh are allowed", .energy.0)]
    EnergyTooLarge {
        /// What.
        what: &'static str,
        /// As given.
        energy: EnergyMwh,
    },
    /// A price below zero or too large to be meant.
    #[error("bid {bid} has a price of {} micro-units per kWh, 0 to 1e9 are allowed", .price.0)]
    Price {
        /// Which bid.
        bid: BidId,
        /// As given.
        price: Money,
    },
    /// A slot outside the years 1970 to 2200.
    #[error("slot number {slot} lies outside the years 1970 to 2200")]
    SlotOutOfRange {
        /// As given.
        slot: i64,
    },
}

impl Need {
    /// Checks what the market relies on: names and elements once, magnitudes, prices and slots in range.
    pub fn check(&self) -> Result<(), NeedError> {
        let (mut names, mut points) = (BTreeSet::new(), BTreeSet::new());
        for bid in &self.bids {
            if !names.insert(&bid.id) {
                return Err(NeedError::BidTwice { bid: bid.id.clone() });
            }
            if !points.insert(bid.congestion_point) {
                return Err(NeedError::PointTwice { bid: bid.id.clone(), point: bid.congestion_point });
            }
            bid.check()?;
        }
        let mut rows = Vec::with_capacity(self.rows.len());
        for row in &self.rows {
            check_slot(row.slot)?;
            check_energy("a head-room", row.headroom)?;
            rows.push((row.congestion_point, row.slot));
        }
        // Thousands, mostly in order already.
        rows.sort_unstable();
        match rows.windows(2).find(|two| two[0] == two[1]) {
            Some(&[(point, slot), _]) => Err(NeedError::RowTwice { point, slot }),
            _ => Ok(()),
        }
    }
}

impl DomsBid {
    /// What it asks in a slot.
    pub fn interval(&self, slot: Slot) -> Option<&BidInterval> {
        self.intervals.get(usize::try_from(slot.0.checked_sub(self.start.0)?).ok()?)
    }

    fn check(&self) -> Result<(), NeedError> {
        check_slot(self.start)?;
        if self.intervals.len() > INTERVALS_MAX {
            return Err(NeedError::TooManyIntervals {
                bid: self.id.clone(),
                intervals: self.intervals.len(),
            });
        }
        for interval in &self.intervals {
            check_energy("a wanted change", interval.schedule_change)?;
            if !(0..=crate::flex_offer::PRICE_MAX).contains(&interval.price.0) {
                return Err(NeedError::Price { bid: self.id.clone(), price: interval.price });
            }
        }
        Ok(())
    }
}

fn check_slot(slot: Slot) -> Result<(), NeedError> {
    match (0..SLOT_MAX).contains(&slot.0) {
        true => Ok(()),
        false => Err(NeedError::SlotOutOfRange { slot: slot.0 }),
    }
}

fn check_energy(what: &'static str, energy: EnergyMwh) -> Result<(), NeedError> {
    match energy.0.unsigned_abs() > ENERGY_MAX {
        true => Err(NeedError::EnergyTooLarge { what, energy }),
        false => Ok(()),
    }
}
