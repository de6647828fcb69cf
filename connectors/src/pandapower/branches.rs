//! Lines, switches, impedances.

use super::error::PandapowerError;
use super::model::Model;
use super::table::{Row, Table};
use grid::BranchId;
use grid::network::{GenericBranch, Line, Link};
use std::f64::consts::TAU;

type Result<T> = std::result::Result<T, PandapowerError>;

/// R/X of a switch with an impedance (`switch_rx_ratio` of `runpp`).
const SWITCH_RX: f64 = 2.0;

/// Finds the ends of branches that a switch has opened.
pub(super) fn open_ends(model: &mut Model, switches: &Table) -> Result<()> {
    for row in switches.rows() {
        let kind = row.text("et").ok_or_else(|| row.wrong("et", "is missing"))?;
        match kind {
            "b" => {}
            "l" | "t" | "t3" => {
                if !row.flag("closed", true)? {
                    model.opened(kind, row.key("element")?, row.key("bus")?);
                }
            }
            _ => return Err(row.wrong("et", "is not b, l, t or t3")),
        }
    }
    Ok(())
}

/// Adds lines, closed switches between buses, impedances.
pub(super) fn read(model: &mut Model, lines: &Table, switches: &Table, impedances: &Table) -> Result<()> {
    for row in lines.rows() {
        line(model, &row)?;
    }
    for row in switches.rows() {
        if row.text("et") == Some("b") && row.flag("closed", true)? {
            switch(model, &row)?;
        }
    }
    for row in impedances.rows() {
        impedance(model, &row)?;
    }
    Ok(())
}

fn line(model: &mut Model, row: &Row<'_>) -> Result<()> {
    let (from, from_closed) = model.end(row, "l", "from_bus")?;
    let (to, to_closed) = model.end(row, "l", "to_bus")?;
    let (length, parallel) = (row.number("length_km")?, row.or("parallel", 1.0)?);
    let (ohm, many) = (length / parallel, length * parallel);
    let (r1, x1, c1) =
        (row.number("r_ohm_per_km")?, row.number("x_ohm_per_km")?, row.or("c_nf_per_km", 0.0)?);
    let (c1_f, g_s) = (c1 * many * 1e-9, row.or("g_us_per_km", 0.0)? * many * 1e-6);
    let susceptance = TAU * model.f_hz * c1_f;
    if g_s != 0.0 && susceptance == 0.0 {
        return Err(
            row.wrong("g_us_per_km", "is given without c_nf_per_km, which is not supported; add a shunt")
        );
    }
    let rated = row.optional("max_i_ka")?.unwrap_or(0.0) * 1e3 * parallel * row.or("df", 1.0)?;
    let id = BranchId(model.number(row));
    model.parts.lines.push(Line {
        id,
        from,
        to,
        r1_ohm: r1 * ohm,
        x1_ohm: x1 * ohm,
        r0_ohm: row.or("r0_ohm_per_km", r1)? * ohm,
        x0_ohm: row.or("x0_ohm_per_km", x1)? * ohm,
        c1_f,
        c0_f: row.or("c0_nf_per_km", c1)? * many * 1e-9,
        tan1: if susceptance == 0.0 { 0.0 } else { g_s / susceptance },
        tan0: 0.0,
        i_rated_a: (rated > 0.0).then_some(rated),
        from_closed,
        to_closed,
    });
    model.keep("line", row, id, &["from_bus", "to_bus"])
}

/// A closed switch between buses; `element` is the other bus.
fn switch(model: &mut Model, row: &Row<'_>) -> Result<()> {
    let (one, other) = (model.place(row, "bus")?, model.place(row, "element")?);
    let z_ohm = row.or("z_ohm", 0.0)?;
    let id = BranchId(model.number(row));
    let (from, to, closed) = (one.id, other.id, one.in_service && other.in_service);
    if z_ohm > 0.0 {
        let x = z_ohm / 1.0_f64.hypot(SWITCH_RX);
        let (r1_ohm, x1_ohm) = (SWITCH_RX * x, x);
        let (r0_ohm, x0_ohm, from_closed, to_closed) = (r1_ohm, x1_ohm, closed, closed);
        let line =
            Line { id, from, to, r1_ohm, x1_ohm, r0_ohm, x0_ohm, from_closed, to_closed, ..Line::default() };
        model.parts.lines.push(line);
    } else {
        model.parts.links.push(Link { id, from, to, from_closed: closed, to_closed: closed });
    }
    Ok(())
}

/// An impedance in p.u. of the rated voltages of its buses.
fn impedance(model: &mut Model, row: &Row<'_>) -> Result<()> {
    let same = |one: &str, other: &str| -> Result<f64> {
        let (a, b) = (row.or(one, 0.0)?, row.or(other, 0.0)?);
        if a == b {
            Ok(a)
        } else {
            Err(row.wrong(other, format!("differs from {one}, which is not supported")))
        }
    };
    let (r, x) = (same("rft_pu", "rtf_pu")?, same("xft_pu", "xtf_pu")?);
    let (g, b) = (same("gf_pu", "gt_pu")?, same("bf_pu", "bt_pu")?);
    let (from, from_closed) = model.end(row, "impedance", "from_bus")?;
    let (to, to_closed) = model.end(row, "impedance", "to_bus")?;
    let u_v = model.place(row, "to_bus")?.u_rated_v;
    let s_rated_va = row.number("sn_mva")? * 1e6;
    let base_ohm = u_v * u_v / s_rated_va;
    let id = BranchId(model.number(row));
    model.parts.generic_branches.push(GenericBranch {
        id,
        from,
        to,
        from_closed,
        to_closed,
        r1_ohm: r * base_ohm,
        x1_ohm: x * base_ohm,
        g1_s: 2.0 * g / base_ohm,
        b1_s: 2.0 * b / base_ohm,
        k: 1.0,
        theta_rad: 0.0,
        s_rated_va: Some(s_rated_va),
    });
    model.keep("impedance", row, id, &["from_bus", "to_bus"])
}
