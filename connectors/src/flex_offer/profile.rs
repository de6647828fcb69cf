//! The profile of an offer: slices with bounds, tariffs and dependency rows.

use super::amount::{Scale, prices};
use super::fault::{ReadError, ReadFault};
use super::field::{Fields, Path, items, number};
use grid::{EnergyMwh, Money};
use market::flex_offer::{DependencyPolygon, DependencyRow, PPM, ROWS_MAX, SLICES_MAX, Slice, TariffRange};
use serde_json::Value;

const BOUND_LISTS: [&str; 3] = ["energyConstraintList", "energyConstraint", "energyConstraints"];
pub(crate) const ROW_LISTS: [&str; 2] = ["DependencyEnergyConstraintList", "dependencyEnergyConstraint"];
pub(crate) const TOTALS: [&str; 2] = ["totalEnergyConstraint", "totalEnergyConstraints"];
pub(crate) const SUB_TOTALS: [&str; 2] = ["subTotalEnergyConstraint", "subTotalEnergyConstraints"];
/// Fields of a slice that are read.
const KNOWN: [&str; 15] = [
    "energyConstraintList",
    "energyConstraint",
    "energyConstraints",
    "DependencyEnergyConstraintList",
    "dependencyEnergyConstraint",
    "tariffConstraint",
    "priceConstraint",
    "minDuration",
    "maxDuration",
    "totalEnergyConstraint",
    "totalEnergyConstraints",
    "subTotalEnergyConstraint",
    "subTotalEnergyConstraints",
    "duration",
    "durationIntervals",
];
/// Largest coefficient of a dependency row.
const COEFFICIENT_MAX: u64 = 1_000_000;

/// What a profile says, one entry per market slot.
#[derive(Debug, Default)]
pub(crate) struct Profile {
    pub slices: Vec<Slice>,
    /// Tariffs where the message has them.
    pub tariffs: Vec<Option<TariffRange>>,
    pub dependencies: Vec<DependencyPolygon>,
    pub unknown: Vec<String>,
}

/// Whether the bounds are spelled `lowerBound`/`upperBound`; an error when both spellings occur.
pub(crate) fn fed_in(profile: &[&Value], path: &Path<'_>) -> Result<bool, ReadError> {
    let (mut taken, mut fed) = (false, false);
    for slice in profile.iter().filter_map(|slice| Fields::of(slice, path).ok()) {
        let lists = BOUND_LISTS.iter().filter_map(|name| slice.get(&[*name]));
        for bounds in lists.flat_map(items).filter_map(|bounds| Fields::of(bounds, path).ok()) {
            taken |= bounds.names("lower") || bounds.names("upper");
            fed |= bounds.names("lowerBound") || bounds.names("upperBound");
        }
    }
    match taken && fed {
        true => Err(path.refuse(ReadFault::MixedSigns)),
        false => Ok(fed),
    }
}

/// Reads the slices.
pub(crate) fn read(profile: &[&Value], scale: Scale, path: &Path<'_>) -> Result<Profile, ReadError> {
    let mut read = Profile::default();
    for (index, slice) in profile.iter().enumerate() {
        let path = Path::Index(path, index);
        let fields = Fields::of(slice, &path)?;
        let rows = dependency_rows(&fields, scale)?;
        let bounds = fields.entry(&BOUND_LISTS);
        if bounds.is_none() && rows.is_empty() && fields.get(&TOTALS).or(fields.get(&SUB_TOTALS)).is_some() {
            continue; // An example of the specification lists the totals among the slices.
        }
        let duration = duration(&fields)?;
        let bounds = match bounds {
            Some((key, list)) => slice_bounds(list, duration, scale, &Path::Key(&path, key))?,
            None => vec![bounds_of_rows(&rows).ok_or_else(|| path.missing(BOUND_LISTS[0]))?],
        };
        if bounds.len() > 1 && !rows.is_empty() {
            let wanted = "a duration of 1 beside dependency rows";
            return Err(path.refuse(ReadFault::Kind { wanted }));
        }
        let tariffs = tariffs(&fields, bounds.len(), scale.exact())?;
        read.slices.extend(bounds);
        read.tariffs.extend(tariffs);
        read.dependencies.resize(read.slices.len(), Vec::new());
        if let Some(polygon) = read.dependencies.last_mut() {
            *polygon = rows;
        }
        read.unknown.extend(fields.unknown(&KNOWN).map(|key| Path::Key(&path, key).to_string()));
        if read.slices.len() > SLICES_MAX {
            let (count, max) = (read.slices.len(), SLICES_MAX);
            return Err(path.refuse(ReadFault::TooMany { count, max }));
        }
    }
    Ok(read)
}

/// The fixed duration of a slice in intervals, which are market slots.
fn duration(fields: &Fields<'_>) -> Result<usize, ReadError> {
    let limit = SLICES_MAX as u64;
    let one = fields.integer(&["duration", "durationIntervals"], limit)?;
    let min = fields.integer(&["minDuration"], limit)?.or(one).unwrap_or(1);
    let max = fields.integer(&["maxDuration"], limit)?.or(one).unwrap_or(min);
    match usize::try_from(min) {
        Ok(duration) if min == max && duration > 0 => Ok(duration),
        _ => Err(fields.path.refuse(ReadFault::Duration { min, max })),
    }
}

/// The bounds of each interval of a slice: one pair for all, one pair each, or lists inside a pair.
fn slice_bounds(
    list: &Value,
    duration: usize,
    scale: Scale,
    path: &Path<'_>,
) -> Result<Vec<Slice>, ReadError> {
    let pairs = match list {
        // A single pair, as XML and an older draft have it.
        Value::Object(map) if map.len() > 1 => vec![list],
        _ => items(list),
    };
    let mut bounds = Vec::new();
    for (index, pair) in pairs.into_iter().enumerate() {
        let path = Path::Index(path, index);
        let fields = Fields::of(pair, &path)?;
        let end = |names: &[&str; 2]| -> Result<Vec<EnergyMwh>, ReadError> {
            let (key, value) = fields.entry(names).ok_or_else(|| path.missing(names[0]))?;
            let path = Path::Key(&path, key);
            match value {
                Value::Array(list) => list.iter().map(|item| scale.energy(item, &path)).collect(),
                one => Ok(vec![scale.energy(one, &path)?]),
            }
        };
        let (lower, upper) = (end(&["lower", "lowerBound"])?, end(&["upper", "upperBound"])?);
        if lower.len() != upper.len() {
            return Err(path.refuse(ReadFault::Kind { wanted: "as many lower as upper bounds" }));
        }
        bounds.extend(lower.into_iter().zip(upper).map(|(lower, upper)| scale.bounds(lower, upper)));
    }
    match (bounds.as_slice(), duration) {
        (&[one], _) => Ok(vec![one; duration]),
        (many, _) if many.len() == duration => Ok(bounds),
        _ => {
            Err(path
                .refuse(ReadFault::Kind { wanted: "one pair of bounds, or one per interval of the slice" }))
        }
    }
}

fn tariffs(fields: &Fields<'_>, slots: usize, exact: bool) -> Result<Vec<Option<TariffRange>>, ReadError> {
    let none = vec![None; slots];
    let Some((key, value)) = fields.entry(&["tariffConstraint", "priceConstraint"]) else { return Ok(none) };
    let path = Path::Key(fields.path, key);
    let value = items(value).first().copied().unwrap_or(value);
    let constraint = Fields::of(value, &path)?;
    let end = |names: [&str; 3]| match constraint.entry(&names) {
        Some((key, value)) => prices(value, exact, &Path::Key(&path, key)).map(Some),
        None => Ok(None),
    };
    let (min, max) = (end(["minTariff", "minPrice", "lower"])?, end(["maxTariff", "maxPrice", "upper"])?);
    let (min, max) = match (min, max) {
        (Some(min), Some(max)) => (min, max),
        (Some(one), None) | (None, Some(one)) => (one.clone(), one),
        (None, None) => return Ok(none),
    };
    let at = |list: &[Money], slot: usize| list.get(slot).or(list.first()).copied();
    let fits = |list: &[Money]| list.len() == 1 || list.len() == slots;
    if !fits(&min) || !fits(&max) {
        return Err(path.refuse(ReadFault::Kind { wanted: "one tariff, or one per interval of the slice" }));
    }
    let range = |slot| Some(TariffRange { min: at(&min, slot)?, max: at(&max, slot)? });
    Ok((0..slots).map(range).collect())
}

fn dependency_rows(fields: &Fields<'_>, scale: Scale) -> Result<DependencyPolygon, ReadError> {
    let Some((key, value)) = fields.entry(&ROW_LISTS) else { return Ok(Vec::new()) };
    let path = Path::Key(fields.path, key);
    let rows = items(value);
    if rows.len() > ROWS_MAX {
        return Err(path.refuse(ReadFault::TooMany { count: rows.len(), max: ROWS_MAX }));
    }
    let mut polygon = Vec::with_capacity(rows.len());
    for (index, row) in rows.into_iter().enumerate() {
        let path = Path::Index(&path, index);
        let words: Vec<Value> = match row {
            // `a b c`, as XML has it.
            Value::String(text) => {
                text.split_whitespace().map(|word| Value::String(word.to_owned())).collect()
            }
            _ => Vec::new(),
        };
        let cells = if words.is_empty() { items(row) } else { words.iter().collect() };
        let &[used, slice, limit] = cells.as_slice() else {
            return Err(path.refuse(ReadFault::Kind { wanted: "three numbers a, b, c" }));
        };
        // a·x + b·y ≤ c: where energies change their sign, so do a and b, and c does not.
        let sign = if scale.fed_in() { -1.0 } else { 1.0 };
        let coefficient = |value| -> Result<i64, ReadError> {
            Ok((number(value, COEFFICIENT_MAX, &path)? * sign * PPM as f64).round() as i64)
        };
        let limit = scale.energy(limit, &path)?;
        polygon.push(DependencyRow {
            used_ppm: coefficient(used)?,
            slice_ppm: coefficient(slice)?,
            limit: if scale.fed_in() { -limit } else { limit },
        });
    }
    Ok(polygon)
}

/// The bounds that rows without the energy taken before put on a slice.
fn bounds_of_rows(rows: &[DependencyRow]) -> Option<Slice> {
    let (mut min, mut max) = (None::<i64>, None::<i64>);
    for row in rows.iter().filter(|row| row.used_ppm == 0 && row.slice_ppm != 0) {
        let bound = i128::from(row.limit.0) * i128::from(PPM) / i128::from(row.slice_ppm);
        let bound = i64::try_from(bound).ok()?;
        match row.slice_ppm > 0 {
            true => max = Some(max.map_or(bound, |max| max.min(bound))),
            false => min = Some(min.map_or(bound, |min| min.max(bound))),
        }
    }
    Some(Slice { min: EnergyMwh(min?), max: EnergyMwh(max?) })
}
