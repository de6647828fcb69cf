//! External grids, generators, loads, shunts.

use super::error::PandapowerError;
use super::model::Model;
use super::table::{Row, Table};
use grid::network::{Load, Shunt, Source, Terminal, VoltageDependence, VoltageRegulator, Wire};

type Result<T> = std::result::Result<T, PandapowerError>;

/// Impedance of a grid that holds its voltage, p.u. on 1 MVA: 100 MVA move it by 1e-9.
const STIFF_PU: f64 = 1e-11;
const STIFF_BASE_VA: f64 = 1e6;

/// Adds everything at a bus. Loads stand by kind, as results list them.
pub(super) fn read(model: &mut Model, mut table: impl FnMut(&'static str) -> Result<Table>) -> Result<()> {
    let grids = table("ext_grid")?;
    for row in grids.rows() {
        source(model, &row, row.or("va_degree", 0.0)?)?;
    }
    for name in ["load", "storage"] {
        for row in table(name)?.rows() {
            let load = balanced(model, &row, "p_mw", "q_mvar", row.or("scaling", 1.0)?)?;
            model.parts.loads.push(load);
        }
    }
    let wards = table("ward")?;
    for row in wards.rows() {
        ward(model, &row)?;
    }
    for row in table("sgen")?.rows() {
        let load = balanced(model, &row, "p_mw", "q_mvar", -row.or("scaling", 1.0)?)?;
        model.parts.loads.push(Load { generates: true, ..load });
    }
    for row in table("gen")?.rows() {
        if row.flag("slack", false)? {
            source(model, &row, 0.0)?;
        } else {
            generator(model, &row)?;
        }
    }
    for (name, sign) in [("asymmetric_load", 1.0), ("asymmetric_sgen", -1.0)] {
        for row in table(name)?.rows() {
            per_phase(model, &row, sign)?;
        }
    }
    for row in table("shunt")?.rows() {
        if row.flag("step_dependency_table", false)? {
            return Err(row.wrong("step_dependency_table", "is not supported; set q_mvar and step"));
        }
        let steps = row.or("step", 1.0)?;
        shunt(model, &row, "p_mw", "q_mvar", steps)?;
    }
    Ok(())
}

fn source(model: &mut Model, row: &Row<'_>, angle_degree: f64) -> Result<()> {
    let place = model.place(row, "bus")?;
    let x = STIFF_PU * place.u_rated_v * place.u_rated_v / STIFF_BASE_VA;
    let id = model.number(row);
    model.parts.sources.push(Source {
        id,
        closed: row.in_service()? && place.in_service,
        u_ref_angle_rad: angle_degree.to_radians(),
        bus: place.id,
        u_ref_pu: row.number("vm_pu")?,
        z_ohm: Some((0.0, x, 0.0, x)),
        ..Source::default()
    });
    Ok(())
}

/// A load of three equal phases; `sign` turns it to load convention and scales it.
fn balanced(model: &mut Model, row: &Row<'_>, p: &str, q: &str, sign: f64) -> Result<Load> {
    let place = model.place(row, "bus")?;
    let (p_w, q_var) = (sign * row.number(p)? * 1e6 / 3.0, sign * row.or(q, 0.0)? * 1e6 / 3.0);
    Ok(Load {
        id: model.number(row),
        generates: false,
        terminal: Terminal { bus: place.id, wires: Wire::PHASES.to_vec() },
        delta: false,
        u_branch_v: place.u_rated_v / 3.0_f64.sqrt(),
        p_w: vec![p_w; 3],
        q_var: vec![q_var; 3],
        symmetric: true,
        dependence: dependence(row)?,
        closed: row.in_service()? && place.in_service,
    })
}

/// Shares of constant impedance and current; one column for both powers before pandapower 3.
fn dependence(row: &Row<'_>) -> Result<VoltageDependence> {
    let share = |of: &str, both: &str| -> Result<f64> {
        Ok(row.optional(of)?.map_or_else(|| row.or(both, 0.0), Ok)? / 100.0)
    };
    Ok(VoltageDependence {
        z_p: share("const_z_p_percent", "const_z_percent")?,
        i_p: share("const_i_p_percent", "const_i_percent")?,
        z_q: share("const_z_q_percent", "const_z_percent")?,
        i_q: share("const_i_q_percent", "const_i_percent")?,
        limits_pu: None,
    })
}

/// A generator that holds its voltage.
fn generator(model: &mut Model, row: &Row<'_>) -> Result<()> {
    let load = balanced(model, row, "p_mw", "", -row.or("scaling", 1.0)?)?;
    let regulator = VoltageRegulator {
        id: model.number(row),
        appliance: load.id,
        u_ref_pu: row.number("vm_pu")?,
        q_range_var: (f64::NEG_INFINITY, f64::INFINITY),
        active: load.closed,
    };
    model.parts.loads.push(Load { generates: true, ..load });
    model.parts.voltage_regulators.push(regulator);
    Ok(())
}

fn per_phase(model: &mut Model, row: &Row<'_>, sign: f64) -> Result<()> {
    if row.text("type").is_some_and(|kind| kind != "wye") {
        return Err(row.wrong("type", "is not wye, which is not supported"));
    }
    let place = model.place(row, "bus")?;
    let scale = sign * row.or("scaling", 1.0)? * 1e6;
    let of = |power: &str, unit: &str| -> Result<Vec<f64>> {
        ["a", "b", "c"]
            .iter()
            .map(|phase| Ok(scale * row.or(&format!("{power}_{phase}_{unit}"), 0.0)?))
            .collect()
    };
    let load = Load {
        id: model.number(row),
        generates: sign < 0.0,
        terminal: Terminal { bus: place.id, wires: Wire::PHASES.to_vec() },
        delta: false,
        u_branch_v: place.u_rated_v / 3.0_f64.sqrt(),
        p_w: of("p", "mw")?,
        q_var: of("q", "mvar")?,
        symmetric: false,
        dependence: VoltageDependence::POWER,
        closed: row.in_service()? && place.in_service,
    };
    model.parts.loads.push(load);
    Ok(())
}

/// Constant power and constant impedance at one bus.
fn ward(model: &mut Model, row: &Row<'_>) -> Result<()> {
    let load = balanced(model, row, "ps_mw", "qs_mvar", 1.0)?;
    model.parts.loads.push(load);
    shunt(model, row, "pz_mw", "qz_mvar", 1.0)
}

/// A shunt that takes p and q at its rated voltage, so many times.
fn shunt(model: &mut Model, row: &Row<'_>, p: &str, q: &str, times: f64) -> Result<()> {
    let place = model.place(row, "bus")?;
    let u_v = row.optional("vn_kv")?.map_or(place.u_rated_v, |kv| kv * 1e3);
    let siemens = times * 1e6 / (u_v * u_v);
    let y = (row.or(p, 0.0)? * siemens, -row.or(q, 0.0)? * siemens);
    let id = model.number(row);
    let closed = row.in_service()? && place.in_service;
    model.parts.shunts.push(Shunt { id, bus: place.id, closed, y1_s: y, y0_s: y });
    Ok(())
}
