//! What can be wrong with a FlexOffer, an aggregate, or a schedule for one of them.

use super::FlexOfferId;
use grid::{EnergyMwh, Money, Slot, Timestamp};
use thiserror::Error;

/// Why a FlexOffer or a schedule for it is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("FlexOffer {offer}: {fault}")]
pub struct FlexOfferError {
    /// Which offer.
    pub offer: FlexOfferId,
    /// What is wrong with it.
    pub fault: FlexOfferFault,
}

impl FlexOfferError {
    /// The stable code of the fault, see [`FlexOfferFault::code`].
    pub fn code(&self) -> &'static str {
        self.fault.code()
    }
}

/// One broken rule, with the facts. Energies in mWh, prices in micro-units per kWh.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FlexOfferFault {
    /// The profile is empty.
    #[error("the profile has no slices")]
    Empty,
    /// The profile is longer than two days.
    #[error("the profile has {slices} slices, at most {max} are allowed")]
    TooManySlices {
        /// As given.
        slices: usize,
        /// The most allowed.
        max: usize,
    },
    /// A lower bound above the upper one.
    #[error("slice {slice} has its lower bound {min} above its upper bound {max}")]
    InvertedSlice {
        /// Counted from 0.
        slice: usize,
        /// Lower bound.
        min: EnergyMwh,
        /// Upper bound.
        max: EnergyMwh,
    },
    /// An energy too large to be meant.
    #[error("{what} has an energy of {} mWh, magnitudes up to 1e15 mWh are allowed", .energy.0)]
    EnergyTooLarge {
        /// Where.
        what: &'static str,
        /// As given.
        energy: EnergyMwh,
    },
    /// A slot outside the years 1970 to 2200.
    #[error("slot number {slot} lies outside the years 1970 to 2200")]
    SlotOutOfRange {
        /// As given.
        slot: i64,
    },
    /// The latest start lies before the earliest.
    #[error("the latest start {start_before} lies before the earliest start {start_after}")]
    InvertedWindow {
        /// Earliest start.
        start_after: Slot,
        /// Latest start.
        start_before: Slot,
    },
    /// The offer reaches too far into the future.
    #[error("it may run until {end}, at most 7 days after its creation at {created_at} are allowed")]
    BeyondHorizon {
        /// First slot after its latest schedule.
        end: Slot,
        /// When it was made.
        created_at: Timestamp,
    },
    /// A schedule of another length than the profile.
    #[error("the {schedule} has {energies} energies, the profile has {slices} slices")]
    ScheduleLength {
        /// Which schedule.
        schedule: &'static str,
        /// Energies given.
        energies: usize,
        /// Energies needed.
        slices: usize,
    },
    /// A schedule that starts outside the start window.
    #[error("the {schedule} starts at {start}, outside the window {start_after} to {start_before}")]
    ScheduleStart {
        /// Which schedule.
        schedule: &'static str,
        /// Its start.
        start: Slot,
        /// Earliest start.
        start_after: Slot,
        /// Latest start.
        start_before: Slot,
    },
    /// A schedule with an energy outside its slice.
    #[error("the {schedule} takes {energy} in slice {slice}, outside {min} to {max}")]
    ScheduleEnergy {
        /// Which schedule.
        schedule: &'static str,
        /// Counted from 0.
        slice: usize,
        /// As given.
        energy: EnergyMwh,
        /// Lower bound.
        min: EnergyMwh,
        /// Upper bound.
        max: EnergyMwh,
    },
    /// A schedule with a sum outside the total bounds.
    #[error("the {schedule} takes {total} in all, outside {min} to {max}")]
    ScheduleTotal {
        /// Which schedule.
        schedule: &'static str,
        /// Its sum.
        total: EnergyMwh,
        /// Lower bound.
        min: EnergyMwh,
        /// Upper bound.
        max: EnergyMwh,
    },
    /// Total bounds the wrong way round.
    #[error("the total energy has its lower bound {min} above its upper bound {max}")]
    InvertedTotal {
        /// Lower bound.
        min: EnergyMwh,
        /// Upper bound.
        max: EnergyMwh,
    },
    /// Total bounds that no filling of the slices meets.
    #[error("a total energy of {min} to {max} cannot be reached, the slices allow {least} to {most}")]
    UnreachableTotal {
        /// Lower bound.
        min: EnergyMwh,
        /// Upper bound.
        max: EnergyMwh,
        /// Sum of the slices' lower bounds.
        least: EnergyMwh,
        /// Sum of the slices' upper bounds.
        most: EnergyMwh,
    },
    /// A price below zero.
    #[error("the price of a {what} is {} micro-units per kWh, it must not be negative", .price.0)]
    NegativePrice {
        /// `decrease` or `increase`.
        what: &'static str,
        /// As given.
        price: Money,
    },
    /// A price too large to be meant.
    #[error("the price of a {what} is {} micro-units per kWh, at most 1e9 are allowed", .price.0)]
    PriceTooLarge {
        /// `decrease` or `increase`.
        what: &'static str,
        /// As given.
        price: Money,
    },
    /// Instants in the wrong order.
    #[error("{earlier} ({earlier_at}) lies after {later} ({later_at})")]
    DeadlineOrder {
        /// What must come first.
        earlier: &'static str,
        /// Its instant.
        earlier_at: Timestamp,
        /// What must follow.
        later: &'static str,
        /// Its instant.
        later_at: Timestamp,
    },
}

impl FlexOfferFault {
    /// A code that stays the same over versions, for machines.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Empty => "empty-profile",
            Self::TooManySlices { .. } => "too-many-slices",
            Self::InvertedSlice { .. } => "inverted-slice",
            Self::EnergyTooLarge { .. } => "energy-too-large",
            Self::SlotOutOfRange { .. } => "slot-out-of-range",
            Self::InvertedWindow { .. } => "inverted-start-window",
            Self::BeyondHorizon { .. } => "beyond-horizon",
            Self::ScheduleLength { .. } => "schedule-length",
            Self::ScheduleStart { .. } => "schedule-start",
            Self::ScheduleEnergy { .. } => "schedule-energy",
            Self::ScheduleTotal { .. } => "schedule-total",
            Self::InvertedTotal { .. } => "inverted-total",
            Self::UnreachableTotal { .. } => "unreachable-total",
            Self::NegativePrice { .. } => "negative-price",
            Self::PriceTooLarge { .. } => "price-too-large",
            Self::DeadlineOrder { .. } => "deadline-order",
        }
    }
}
