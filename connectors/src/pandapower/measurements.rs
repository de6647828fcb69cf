//! The `measurement` table: voltages, powers and currents with their standard deviations.

use super::error::PandapowerError;
use super::model::Model;
use super::table::{Row, Table};
use crate::power_grid_model::brief_text;
use grid::network::TransformerSide;
use grid::{PhaseValue, Sensor, SensorPlace, SensorValue};
use std::collections::BTreeMap;

type Result<T> = std::result::Result<T, PandapowerError>;

/// One half of a power sensor: value and standard deviation, W or var.
type Half = (f64, f64);

/// Adds the sensors, voltages first, then powers, then currents. Active and reactive power of one place are one sensor; powers
/// of a bus count as taken from it, as pandapower has it. A row without a value is a meter that says nothing.
pub(super) fn read(model: &mut Model, table: &Table) -> Result<()> {
    let mut powers: BTreeMap<(SensorPlace, usize), (u32, Option<Half>, Option<Half>)> = BTreeMap::new();
    let (mut voltages, mut currents) = (Vec::new(), Vec::new());
    let mut given: BTreeMap<(SensorPlace, bool), usize> = BTreeMap::new();
    for row in table.rows() {
        // SimBench has the places of its meters here, without values.
        let Some(value) = row.optional("value")? else { continue };
        let std = row.number("std_dev")?;
        let kind = row.text("measurement_type").ok_or_else(|| row.wrong("measurement_type", "is missing"))?;
        match kind {
            "v" => {
                let place = model.place(&row, "element")?;
                let (u_v, sigma_v) = (value * place.u_rated_v, std * place.u_rated_v);
                let value =
                    SensorValue::Voltage { u_v: PhaseValue::Symmetric(u_v), angle_rad: None, sigma_v };
                voltages.push(Sensor { id: model.number(&row), place: SensorPlace::Bus(place.id), value });
            }
            "p" | "q" => {
                let (place, reactive) = (place(model, &row)?, kind == "q");
                let times = given.entry((place, reactive)).or_default();
                let id = model.number(&row);
                let entry = powers.entry((place, *times)).or_insert((id, None, None));
                let half = Some((value * 1e6, std * 1e6));
                if reactive {
                    entry.2 = half
                } else {
                    entry.1 = half
                }
                *times += 1;
            }
            "i" => {
                let place = place(model, &row)?;
                if !matches!(place, SensorPlace::Branch(..)) {
                    return Err(row.wrong("element_type", "is no branch, which a current needs"));
                }
                let value = SensorValue::Current {
                    i_a: PhaseValue::Symmetric(value * 1e3),
                    angle_rad: None,
                    global_angle: false,
                    sigma_a: std * 1e3,
                    sigma_rad: f64::NAN,
                };
                currents.push(Sensor { id: model.number(&row), place, value });
            }
            "va" | "ia" => {
                return Err(
                    row.wrong("measurement_type", format!("{kind} is not supported; leave out angles"))
                );
            }
            other => {
                return Err(
                    row.wrong("measurement_type", format!("is {}, not v, p, q or i", brief_text(other)))
                );
            }
        }
    }
    model.sensors = voltages;
    // What is not given is not known: an infinite standard deviation.
    let half = |half: Option<Half>| half.unwrap_or((0.0, f64::INFINITY));
    model.sensors.extend(powers.into_iter().map(|((place, _), (id, p, q))| {
        let ((p_w, p_sigma), (q_var, q_sigma)) = (half(p), half(q));
        let value = SensorValue::Power {
            p_w: PhaseValue::Symmetric(p_w),
            q_var: PhaseValue::Symmetric(q_var),
            p_sigma_w: PhaseValue::Symmetric(p_sigma),
            q_sigma_var: PhaseValue::Symmetric(q_sigma),
            pseudo: false,
        };
        Sensor { id, place, value }
    }));
    model.sensors.extend(currents);
    Ok(())
}

/// Where a power or current is measured.
fn place(model: &Model, row: &Row<'_>) -> Result<SensorPlace> {
    let kind = row.text("element_type").ok_or_else(|| row.wrong("element_type", "is missing"))?;
    match kind {
        "bus" => Ok(SensorPlace::BusInjection(model.place(row, "element")?.id)),
        "line" | "trafo" | "trafo3w" => branch_end(model, row, kind),
        other => {
            let reason = format!("is {}; measure at its bus, a line or a transformer", brief_text(other));
            Err(row.wrong("element_type", reason))
        }
    }
}

fn branch_end(model: &Model, row: &Row<'_>, kind: &str) -> Result<SensorPlace> {
    let element = row.key("element")?;
    let branch = model.branch(kind, element);
    let branch = branch.ok_or_else(|| row.wrong("element", format!("is {element}, which is no {kind}")))?;
    let names: &[&str] = match kind {
        "line" => &["from", "to"],
        "trafo" => &["hv", "lv"],
        _ => &["hv", "mv", "lv"],
    };
    // The side is named, or is the bus there (a column of both kinds holds texts).
    let at_bus = |bus: i64| branch.buses.iter().position(|end| *end == bus);
    let at = match row.text("side") {
        Some(side) => names.iter().position(|name| *name == side).or_else(|| at_bus(side.parse().ok()?)),
        None => at_bus(row.key("side")?),
    };
    let at = at.ok_or_else(|| row.wrong("side", format!("is no side of {kind} {element}")))?;
    let side = [TransformerSide::From, TransformerSide::To, TransformerSide::Third][at];
    Ok(SensorPlace::Branch(branch.id, side))
}
