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
    /// Bounds on the running energy the wrong way round.
    #[error("the running energy has its lower bound {min} above its upper bound {max}")]
    InvertedRunning {
        /// Lower bound.
        min: EnergyMwh,
        /// Upper bound.
        max: EnergyMwh,
    },
    /// Something that must be given for each slice or not at all.
    #[error("there are {given} {what} for {slices} slices")]
    NotPerSlice {
        /// What.
        what: &'static str,
        /// How many there are.
        given: usize,
        /// How many are needed.
        slices: usize,
    },
    /// A polygon with more sides than can be meant.
    #[error("the dependency polygon of slice {slice} has {rows} sides, at most {max} are allowed")]
    TooManyRows {
        /// Counted from 0.
        slice: usize,
        /// As given.
        rows: usize,
        /// The most allowed.
        max: usize,
    },
    /// A coefficient of a dependency row too large to be meant.
    #[error("a dependency row of slice {slice} has a coefficient above 1e6")]
    CoefficientTooLarge {
        /// Counted from 0.
        slice: usize,
    },
    /// A tariff range the wrong way round.
    #[error(
        "the tariff of slice {slice} has its lower bound {} above its upper bound {} (micro-units per kWh)",
        .min.0,
        .max.0
    )]
    InvertedTariff {
        /// Counted from 0.
        slice: usize,
        /// Lower bound.
        min: Money,
        /// Upper bound.
        max: Money,
    },
    /// A least acceptance below zero.
    #[error("the least acceptance of {energy} must not be negative")]
    NegativeAcceptance {
        /// As given.
        energy: EnergyMwh,
    },
    /// A least activation factor that is not above 0 and at most 1.
    #[error("a least activation factor of {factor_min_ppm} millionths is not above 0 and at most 1")]
    FactorOutOfRange {
        /// As given, parts per million.
        factor_min_ppm: u32,
    },
    /// A schedule outside a dependency polygon.
    #[error("the {schedule} takes {energy} in slice {slice} after {used}, outside the slice's polygon")]
    ScheduleDependency {
        /// Which schedule.
        schedule: &'static str,
        /// Counted from 0.
        slice: usize,
        /// Energy taken before.
        used: EnergyMwh,
        /// Energy of the slice.
        energy: EnergyMwh,
    },
    /// A schedule whose running sum leaves its bounds.
    #[error("the {schedule} has taken {used} at the end of slice {slice}, outside {min} to {max}")]
    ScheduleRunning {
        /// Which schedule.
        schedule: &'static str,
        /// Counted from 0.
        slice: usize,
        /// Energy taken up to the end of the slice.
        used: EnergyMwh,
        /// Lower bound.
        min: EnergyMwh,
        /// Upper bound.
        max: EnergyMwh,
    },
    /// A schedule that deviates, but by less than the offer asks for.
    #[error("the {schedule} deviates by {moved}, the offer asks for at least {least} or nothing")]
    ScheduleTooLittle {
        /// Which schedule.
        schedule: &'static str,
        /// Sum of the deviations' magnitudes.
        moved: EnergyMwh,
        /// The least the offer accepts.
        least: EnergyMwh,
    },
    /// A schedule that is no allowed fraction of an offer's block.
    #[error("the {schedule} is neither the default nor an allowed fraction of the offer's block")]
    ScheduleNotBlock {
        /// Which schedule.
        schedule: &'static str,
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
            Self::InvertedRunning { .. } => "inverted-running-energy",
            Self::NotPerSlice { .. } => "not-per-slice",
            Self::TooManyRows { .. } => "too-many-rows",
            Self::CoefficientTooLarge { .. } => "coefficient-too-large",
            Self::InvertedTariff { .. } => "inverted-tariff",
            Self::NegativeAcceptance { .. } => "negative-acceptance",
            Self::FactorOutOfRange { .. } => "factor-out-of-range",
            Self::ScheduleDependency { .. } => "schedule-dependency",
            Self::ScheduleRunning { .. } => "schedule-running-energy",
            Self::ScheduleTooLittle { .. } => "schedule-too-little",
            Self::ScheduleNotBlock { .. } => "schedule-not-block",
            Self::DeadlineOrder { .. } => "deadline-order",
        }
    }
}
