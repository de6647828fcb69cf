//! Buses, lines, links and π-models.

use super::columns::{asym_line, generic_branch, line, link, node};
use super::error::ReadError;
use super::row::Row;
use grid::network::{Bus, CoupledLine, GenericBranch, Line, Link, Terminal, Wire};
use grid::{BranchId, BusId};
use num_complex::Complex64;
use std::f64::consts::TAU;

type Result<T> = std::result::Result<T, ReadError>;

/// System frequency of power-grid-model when nothing else is said, Hz.
pub(super) const FREQUENCY_HZ: f64 = 50.0;

pub(super) fn node(row: &Row<'_>) -> Result<Bus> {
    let position_m = match (row.optional(node::x_m), row.optional(node::y_m)) {
        (Some(_), Some(_)) => Some((row.number(node::x_m)?, row.number(node::y_m)?)),
        (None, None) => None,
        (Some(_), None) => return Err(row.wrong(node::y_m, "is missing beside x_m")),
        (None, Some(_)) => return Err(row.wrong(node::x_m, "is missing beside y_m")),
    };
    Ok(Bus { id: BusId(row.id()), u_rated_v: row.number(node::u_rated)?, position_m })
}

/// Both ends and whether they are connected; the columns 1 to 4 of every branch.
pub(super) struct Ends {
    pub(super) id: BranchId,
    pub(super) from: BusId,
    pub(super) to: BusId,
    pub(super) from_closed: bool,
    pub(super) to_closed: bool,
}

pub(super) fn ends(row: &Row<'_>) -> Result<Ends> {
    Ok(Ends {
        id: BranchId(row.id()),
        from: BusId(row.reference(link::from_node)?),
        to: BusId(row.reference(link::to_node)?),
        from_closed: row.status(link::from_status)?,
        to_closed: row.status(link::to_status)?,
    })
}

pub(super) fn line(row: &Row<'_>) -> Result<Line> {
    let Ends { id, from, to, from_closed, to_closed } = ends(row)?;
    Ok(Line {
        id,
        from,
        to,
        from_closed,
        to_closed,
        r1_ohm: row.number(line::r1)?,
        x1_ohm: row.number(line::x1)?,
        c1_f: row.number(line::c1)?,
        tan1: row.number(line::tan1)?,
        // Needed for asymmetric calculations only.
        r0_ohm: row.or(line::r0, 0.0)?,
        x0_ohm: row.or(line::x0, 0.0)?,
        c0_f: row.or(line::c0, 0.0)?,
        tan0: row.or(line::tan0, 0.0)?,
        i_rated_a: row.optional(line::i_n),
    })
}

pub(super) fn link(row: &Row<'_>) -> Result<Link> {
    let Ends { id, from, to, from_closed, to_closed } = ends(row)?;
    Ok(Link { id, from, to, from_closed, to_closed })
}

pub(super) fn generic_branch(row: &Row<'_>) -> Result<GenericBranch> {
    let Ends { id, from, to, from_closed, to_closed } = ends(row)?;
    Ok(GenericBranch {
        id,
        from,
        to,
        from_closed,
        to_closed,
        r1_ohm: row.number(generic_branch::r1)?,
        x1_ohm: row.number(generic_branch::x1)?,
        g1_s: row.number(generic_branch::g1)?,
        b1_s: row.number(generic_branch::b1)?,
        k: row.or(generic_branch::k, 1.0)?,
        theta_rad: row.or(generic_branch::theta, 0.0)?,
        s_rated_va: row.optional(generic_branch::sn),
    })
}

/// A line given by lower triangles. A neutral is grounded at both ends and eliminated:
/// `Z = Z_abc − Z_abn Z_nn⁻¹ Z_nbc` (Kron); capacitances by phase or by sequence.
pub(super) fn asym_line(row: &Row<'_>) -> Result<CoupledLine> {
    use asym_line as c;
    let Ends { id, from, to, from_closed, to_closed } = ends(row)?;
    let z = |r: usize, x: usize| -> Result<Complex64> { Ok(Complex64::new(row.number(r)?, row.number(x)?)) };
    let lower = [
        [z(c::r_aa, c::x_aa)?, Complex64::ZERO, Complex64::ZERO],
        [z(c::r_ba, c::x_ba)?, z(c::r_bb, c::x_bb)?, Complex64::ZERO],
        [z(c::r_ca, c::x_ca)?, z(c::r_cb, c::x_cb)?, z(c::r_cc, c::x_cc)?],
    ];
    let mut z_ohm = full(lower);
    if row.optional(c::r_na).is_some() || row.optional(c::x_na).is_some() {
        let to_neutral = [z(c::r_na, c::x_na)?, z(c::r_nb, c::x_nb)?, z(c::r_nc, c::x_nc)?];
        let own = z(c::r_nn, c::x_nn)?;
        if own.norm() == 0.0 {
            return Err(row.wrong(c::r_nn, "and x_nn are zero"));
        }
        for (place, value) in z_ohm.iter_mut().enumerate() {
            *value -= to_neutral[place / 3] * to_neutral[place % 3] / own;
        }
    }
    let farad = if row.optional(c::c0).is_some() && row.optional(c::c1).is_some() {
        let (zero, positive) = (row.number(c::c0)?, row.number(c::c1)?);
        let (own, mutual) = ((zero + 2.0 * positive) / 3.0, (zero - positive) / 3.0);
        [[own, 0.0, 0.0], [mutual, own, 0.0], [mutual, mutual, own]]
    } else {
        [
            [row.number(c::c_aa)?, 0.0, 0.0],
            [row.number(c::c_ba)?, row.number(c::c_bb)?, 0.0],
            [row.number(c::c_ca)?, row.number(c::c_cb)?, row.number(c::c_cc)?],
        ]
    };
    let y_s = full(farad.map(|line| line.map(|c| Complex64::new(0.0, TAU * FREQUENCY_HZ * c))));
    let terminal = |bus| Terminal { bus, wires: Wire::PHASES.to_vec() };
    Ok(CoupledLine {
        id,
        from: terminal(from),
        to: terminal(to),
        z_ohm,
        y_s,
        i_rated_a: row.optional(c::i_n),
        from_closed,
        to_closed,
    })
}

/// A symmetric matrix by rows from its lower triangle.
fn full(lower: [[Complex64; 3]; 3]) -> Vec<Complex64> {
    (0..9).map(|place| lower[(place / 3).max(place % 3)][(place / 3).min(place % 3)]).collect()
}
