//! Transformers of two and three windings.

use super::branches::{Ends, ends};
use super::columns::{three_winding_transformer as three, transformer as two};
use super::error::ReadError;
use super::row::Row;
use grid::network::{ThreeWindingTransformer, Transformer};
use grid::{BranchId, BusId};

type Result<T> = std::result::Result<T, ReadError>;

pub(super) fn transformer(row: &Row<'_>) -> Result<Transformer> {
    let Ends { id, from, to, from_closed, to_closed } = ends(row)?;
    let (uk_pu, pk_w) = (row.number(two::uk)?, row.number(two::pk)?);
    let (i0_pu, p0_w) = (row.number(two::i0)?, row.number(two::p0)?);
    let i0_zero_pu = row.optional(two::i0_zero_sequence);
    // power-grid-model: copper losses of a differing no-load current count as iron loss.
    let p0_derived = i0_zero_pu.map(|zero| p0_w + pk_w * (zero * zero - i0_pu * i0_pu));
    let (winding_from, winding_to) = (row.winding(two::winding_from)?, row.winding(two::winding_to)?);
    Ok(Transformer {
        id,
        from,
        to,
        from_closed,
        to_closed,
        u1_v: row.number(two::u1)?,
        u2_v: row.number(two::u2)?,
        s_rated_va: row.number(two::sn)?,
        uk_pu,
        pk_w,
        i0_pu,
        p0_w,
        winding_from,
        winding_to,
        clock: row.clock(two::clock, winding_from, winding_to)?,
        tap: row.tap(two::tap_side)?,
        uk_at_limits_pu: row.limits(two::uk_min, two::uk_max, uk_pu)?,
        pk_at_limits_w: row.limits(two::pk_min, two::pk_max, pk_w)?,
        i0_zero_pu,
        p0_zero_w: row.optional(two::p0_zero_sequence).or(p0_derived),
        grounding_from_ohm: (row.or(two::r_grounding_from, 0.0)?, row.or(two::x_grounding_from, 0.0)?),
        grounding_to_ohm: (row.or(two::r_grounding_to, 0.0)?, row.or(two::x_grounding_to, 0.0)?),
    })
}

pub(super) fn three_winding(row: &Row<'_>) -> Result<ThreeWindingTransformer> {
    let triple = |first: usize| -> Result<[f64; 3]> {
        Ok([row.number(first)?, row.number(first + 1)?, row.number(first + 2)?])
    };
    let at_limits = |first: usize, nominal: [f64; 3]| -> Result<Option<[(f64, f64); 3]>> {
        let mut limits = nominal.map(|value| (value, value));
        let mut given = false;
        for (pair, limit) in limits.iter_mut().enumerate() {
            if let Some(found) = row.limits(first + 2 * pair, first + 2 * pair + 1, nominal[pair])? {
                (*limit, given) = (found, true);
            }
        }
        Ok(given.then_some(limits))
    };
    let grounding = |r: usize| -> Result<(f64, f64)> { Ok((row.or(r, 0.0)?, row.or(r + 1, 0.0)?)) };
    let windings =
        [row.winding(three::winding_1)?, row.winding(three::winding_2)?, row.winding(three::winding_3)?];
    let clock =
        |column: usize, to: usize| -> Result<i8> { Ok(row.clock(column, windings[0], windings[to])? as i8) };
    let (uk_pu, pk_w) = (triple(three::uk_12)?, triple(three::pk_12)?);
    Ok(ThreeWindingTransformer {
        id: BranchId(row.id()),
        buses: [
            BusId(row.reference(three::node_1)?),
            BusId(row.reference(three::node_2)?),
            BusId(row.reference(three::node_3)?),
        ],
        closed: [row.status(three::status_1)?, row.status(three::status_2)?, row.status(three::status_3)?],
        u_v: triple(three::u1)?,
        s_rated_va: triple(three::sn_1)?,
        uk_pu,
        uk_at_limits_pu: at_limits(three::uk_12_min, uk_pu)?,
        pk_w,
        pk_at_limits_w: at_limits(three::pk_12_min, pk_w)?,
        i0_pu: row.number(three::i0)?,
        p0_w: row.number(three::p0)?,
        windings,
        clocks: [clock(three::clock_12, 1)?, clock(three::clock_13, 2)?],
        tap: row.tap(three::tap_side)?,
        grounding_ohm: [
            grounding(three::r_grounding_1)?,
            grounding(three::r_grounding_2)?,
            grounding(three::r_grounding_3)?,
        ],
    })
}
