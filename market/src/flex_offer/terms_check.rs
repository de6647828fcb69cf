//! The rules of what an offer says beyond the plain offer, and whether a schedule keeps to it.

use super::check::{check_magnitude, check_price};
use super::terms::PPM;
use super::{
    Acceptance, DependencyRow, EnergyBounds, FlexOffer, FlexOfferFault as Fault, Schedule, TariffRange,
};
use grid::{EnergyMwh, Money};

/// Most sides of a dependency polygon.
pub const ROWS_MAX: usize = 64;
/// Largest coefficient of a dependency row, parts per million.
const COEFFICIENT_MAX_PPM: u64 = 1_000_000_000_000;

/// Checks the terms of an offer whose plain part is checked, its default schedule included.
pub(super) fn check(offer: &FlexOffer) -> Result<(), Fault> {
    let terms = &offer.terms;
    if let Some(EnergyBounds { min, max }) = terms.running_energy {
        check_magnitude("the running energy", min)?;
        check_magnitude("the running energy", max)?;
        if min > max {
            return Err(Fault::InvertedRunning { min, max });
        }
    }
    let slices = offer.slices.len();
    let per_slice = |what, given: usize| match given == 0 || given == slices {
        true => Ok(()),
        false => Err(Fault::NotPerSlice { what, given, slices }),
    };
    per_slice("dependency polygons", terms.dependencies.len())?;
    per_slice("tariffs", terms.tariffs.len())?;
    for (slice, polygon) in terms.dependencies.iter().enumerate() {
        if polygon.len() > ROWS_MAX {
            return Err(Fault::TooManyRows { slice, rows: polygon.len(), max: ROWS_MAX });
        }
        for row in polygon {
            check_row(slice, row)?;
        }
    }
    for (slice, &TariffRange { min, max }) in terms.tariffs.iter().enumerate() {
        check_tariff(slice, min, max)?;
    }
    check_price("activation", terms.cost.activation)?;
    check_price("shifted slot", terms.cost.per_slot_shifted)?;
    check_acceptance(offer)?;
    check_schedule("default schedule", offer, &offer.default_schedule)
}

fn check_row(slice: usize, row: &DependencyRow) -> Result<(), Fault> {
    check_magnitude("a dependency row", row.limit)?;
    match row.used_ppm.unsigned_abs().max(row.slice_ppm.unsigned_abs()) > COEFFICIENT_MAX_PPM {
        true => Err(Fault::CoefficientTooLarge { slice }),
        false => Ok(()),
    }
}

fn check_tariff(slice: usize, min: Money, max: Money) -> Result<(), Fault> {
    if min > max {
        return Err(Fault::InvertedTariff { slice, min, max });
    }
    // A tariff may be negative; its magnitude is limited as a price's is.
    check_price("tariff", min.abs())?;
    check_price("tariff", max.abs())
}

fn check_acceptance(offer: &FlexOffer) -> Result<(), Fault> {
    match &offer.terms.acceptance {
        Acceptance::Any => Ok(()),
        Acceptance::AtLeast { energy } => {
            check_magnitude("the least acceptance", *energy)?;
            match energy.0 {
                0.. => Ok(()),
                _ => Err(Fault::NegativeAcceptance { energy: *energy }),
            }
        }
        Acceptance::Block { deviation, factor_min_ppm } => {
            if deviation.len() != offer.slices.len() {
                let (given, slices) = (deviation.len(), offer.slices.len());
                return Err(Fault::NotPerSlice { what: "deviations of a block", given, slices });
            }
            if !(1..=PPM).contains(&i64::from(*factor_min_ppm)) {
                return Err(Fault::FactorOutOfRange { factor_min_ppm: *factor_min_ppm });
            }
            deviation.iter().try_for_each(|&energy| check_magnitude("a block", energy))?;
            let energies = offer.default_schedule.energies.iter().zip(deviation);
            let whole = Schedule {
                start: offer.default_schedule.start,
                energies: energies.map(|(e, d)| EnergyMwh(e.0.saturating_add(d.0))).collect(),
            };
            offer.profile().check_schedule("block at factor 1", &whole)
        }
    }
}

/// Whether a schedule inside the slices and totals keeps to the terms as well.
pub(super) fn check_schedule(
    name: &'static str,
    offer: &FlexOffer,
    schedule: &Schedule,
) -> Result<(), Fault> {
    let terms = &offer.terms;
    if terms.running_energy.is_some() || !terms.dependencies.is_empty() {
        check_course(name, offer, schedule)?;
    }
    if terms.acceptance == Acceptance::Any || *schedule == offer.default_schedule {
        return Ok(());
    }
    check_accepted(name, offer, schedule)
}

/// Whether the energy taken up to each slice keeps to the running bounds and the polygons.
fn check_course(name: &'static str, offer: &FlexOffer, schedule: &Schedule) -> Result<(), Fault> {
    let mut used = 0_i64;
    for (slice, &energy) in schedule.energies.iter().enumerate() {
        let polygon = offer.terms.dependencies.get(slice).map_or(&[][..], Vec::as_slice);
        if !polygon.iter().all(|row| row.admits(used, energy.0)) {
            return Err(Fault::ScheduleDependency { schedule: name, slice, used: EnergyMwh(used), energy });
        }
        used = used.saturating_add(energy.0);
        if let Some(EnergyBounds { min, max }) = offer.terms.running_energy
            && !(min.0..=max.0).contains(&used)
        {
            return Err(Fault::ScheduleRunning { schedule: name, slice, used: EnergyMwh(used), min, max });
        }
    }
    Ok(())
}

/// Whether a schedule other than the default is one that the offer accepts.
fn check_accepted(name: &'static str, offer: &FlexOffer, schedule: &Schedule) -> Result<(), Fault> {
    match &offer.terms.acceptance {
        Acceptance::Any => Ok(()),
        Acceptance::AtLeast { energy } => {
            let moved =
                offer.deviation(schedule).iter().fold(0_i64, |sum, (_, e)| sum.saturating_add(e.abs().0));
            match moved >= energy.0 {
                true => Ok(()),
                false => {
                    Err(Fault::ScheduleTooLittle { schedule: name, moved: EnergyMwh(moved), least: *energy })
                }
            }
        }
        Acceptance::Block { deviation, factor_min_ppm } => {
            match is_fraction(offer, schedule, deviation, i64::from(*factor_min_ppm)) {
                true => Ok(()),
                false => Err(Fault::ScheduleNotBlock { schedule: name }),
            }
        }
    }
}

/// Whether every slot lies within 1 mWh of default + factor × deviation for one factor between the least and 1.
fn is_fraction(offer: &FlexOffer, schedule: &Schedule, deviation: &[EnergyMwh], factor_min_ppm: i64) -> bool {
    let (mut low, mut high) = (i128::from(factor_min_ppm), i128::from(PPM));
    let defaults = &offer.default_schedule.energies;
    for ((energy, default), block) in schedule.energies.iter().zip(defaults).zip(deviation) {
        let moved = i128::from(energy.0) - i128::from(default.0);
        let (moved, block) = match block.0 < 0 {
            true => (-moved, -i128::from(block.0)),
            false => (moved, i128::from(block.0)),
        };
        if block == 0 {
            if moved != 0 {
                return false;
            }
            continue;
        }
        // |block × factor − moved| < 1, the factor in parts per million.
        let ppm = i128::from(PPM);
        low = low.max(((moved - 1) * ppm).div_euclid(block) + 1);
        high = high.min(-(-(moved + 1) * ppm).div_euclid(block) - 1);
    }
    low <= high
}
