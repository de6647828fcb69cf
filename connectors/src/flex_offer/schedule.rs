//! Schedules in messages: the default and the assigned one.

use super::Note;
use super::amount::Scale;
use super::fault::{ReadError, ReadFault};
use super::field::{Fields, Path, items};
use super::moment::time;
use grid::{EnergyMwh, Slot};
use market::flex_offer::life_cycle::ScheduleUpdate;
use market::flex_offer::{SLICES_MAX, Slice};
use market::{EnergyBounds, Schedule};
use serde_json::Value;

/// How far a default energy may lie outside its slice and is moved into it, mWh (0.01 kWh, as the published manager
/// tolerates).
const TOLERANCE_MWH: i64 = 10_000;

/// Reads a schedule; without a start of its own it starts at `start`.
pub(crate) fn read(value: &Value, scale: Scale, start: Slot, path: &Path<'_>) -> Result<Schedule, ReadError> {
    let fields = Fields::of(value, path)?;
    let begins = time(&fields, &["startTime"], &["startInterval"], Slot::SECONDS)?;
    let start = match begins {
        Some(begins) if begins.slot().start() == begins => begins.slot(),
        Some(_) => {
            let wanted = "a start at the beginning of a quarter-hour";
            return Err(Path::Key(path, "startTime").refuse(ReadFault::Kind { wanted }));
        }
        None => start,
    };
    Ok(Schedule { start, energies: energies(&fields, scale)? })
}

/// The energies of a schedule, one per slot.
pub(crate) fn energies(fields: &Fields<'_>, scale: Scale) -> Result<Vec<EnergyMwh>, ReadError> {
    let Some((key, list)) = fields.entry(&["scheduleSlices", "energyAmounts"]) else {
        return Err(fields.path.missing("scheduleSlices"));
    };
    let path = Path::Key(fields.path, key);
    let mut energies = Vec::new();
    for (index, item) in items(list).into_iter().enumerate() {
        slice(item, scale, &Path::Index(&path, index), &mut energies)?;
        if energies.len() > SLICES_MAX {
            return Err(path.refuse(ReadFault::TooMany { count: energies.len(), max: SLICES_MAX }));
        }
    }
    Ok(energies)
}

fn slice(
    item: &Value,
    scale: Scale,
    path: &Path<'_>,
    energies: &mut Vec<EnergyMwh>,
) -> Result<(), ReadError> {
    if !item.is_object() {
        energies.push(scale.energy(item, path)?);
        return Ok(());
    }
    let fields = Fields::of(item, path)?;
    let (key, amount) = fields.entry(&["energyAmount"]).ok_or_else(|| path.missing("energyAmount"))?;
    let path = Path::Key(path, key);
    let duration = fields.integer(&["duration"], SLICES_MAX as u64)?.unwrap_or(1);
    match amount {
        Value::Array(list) => {
            for item in list {
                energies.push(scale.energy(item, &path)?);
            }
        }
        one => {
            let energy = scale.energy(one, &path)?;
            let duration = usize::try_from(duration).unwrap_or_default();
            energies.extend(std::iter::repeat_n(energy, duration));
        }
    }
    Ok(())
}

/// Reads an assigned schedule with its numbers.
pub(crate) fn update(value: &Value, scale: Scale, path: &Path<'_>) -> Result<ScheduleUpdate, ReadError> {
    let fields = Fields::of(value, path)?;
    if fields.get(&["startTime"]).or(fields.get(&["startInterval"])).is_none() {
        return Err(path.missing("startTime"));
    }
    let number = |name| -> Result<u64, ReadError> {
        let number = fields.integer(&[name], 1 << 53)?.unwrap_or(0);
        u64::try_from(number)
            .map_err(|_| Path::Key(path, name).refuse(ReadFault::Kind { wanted: "a number from 0 on" }))
    };
    Ok(ScheduleUpdate {
        schedule_id: number("scheduleId")?,
        update_id: number("updateId")?,
        schedule: read(value, scale, Slot(0), path)?,
    })
}

/// Makes a default schedule fit what it belongs to where only rounding, or the way a message is written, keeps it
/// from it. Everything that is moved is noted, but for the widening to an activation option.
///
/// * an activation option's schedule may leave the slices as written: they are widened to hold it;
/// * an energy at most 0.01 kWh outside its slice is moved to the bound;
/// * a total missed by no more than the rounding of the energies is widened to hold the default.
pub(crate) fn fit(
    schedule: &mut Schedule,
    slices: &mut [Slice],
    total: &mut Option<EnergyBounds>,
    option: Option<&[EnergyMwh]>,
    path: &Path<'_>,
    notes: &mut Vec<Note>,
) {
    if let Some(option) = option
        && option.len() == slices.len()
        && option.len() == schedule.energies.len()
    {
        for ((slice, default), moved) in slices.iter_mut().zip(&schedule.energies).zip(option) {
            let whole = EnergyMwh(default.0.saturating_add(moved.0));
            slice.min = slice.min.min(whole).min(*default);
            slice.max = slice.max.max(whole).max(*default);
        }
    }
    for (index, (energy, slice)) in schedule.energies.iter_mut().zip(slices.iter()).enumerate() {
        if slice.min > slice.max {
            continue;
        }
        let inside = (*energy).clamp(slice.min, slice.max);
        if inside != *energy && (inside.0 - energy.0).abs() <= TOLERANCE_MWH {
            notes.push(Note::new(path, format!("energy {index} of {energy} moved to its bound {inside}")));
            *energy = inside;
        }
    }
    if let Some(total) = total {
        let sum = schedule.energies.iter().fold(0_i64, |sum, energy| sum.saturating_add(energy.0));
        let rounding = schedule.energies.len() as i64;
        let (below, above) = (total.min.0.saturating_sub(sum), sum.saturating_sub(total.max.0));
        if (1..=rounding).contains(&below.max(above)) {
            notes.push(Note::new(path, "total bounds widened by the rounding of the default"));
            total.min = total.min.min(EnergyMwh(sum));
            total.max = total.max.max(EnergyMwh(sum));
        }
    }
}

/// The default of an offer that declares none: as near to nothing as the bounds allow, at the earliest start.
pub(crate) fn least(slices: &[Slice], total: Option<EnergyBounds>, start: Slot) -> Schedule {
    let inside = |energy: i64, slice: &Slice| energy.max(slice.min.0).min(slice.max.0);
    let mut energies: Vec<EnergyMwh> = slices.iter().map(|slice| EnergyMwh(inside(0, slice))).collect();
    if let Some(total) = total {
        for (k, slice) in slices.iter().enumerate() {
            let sum = energies.iter().fold(0_i64, |sum, energy| sum.saturating_add(energy.0));
            let missing = (total.min.0.saturating_sub(sum)).max(0) - (sum.saturating_sub(total.max.0)).max(0);
            energies[k] = EnergyMwh(inside(energies[k].0.saturating_add(missing), slice));
        }
    }
    Schedule { start, energies }
}
