//! Transformers of two and three windings, with their tap changers.

use super::error::PandapowerError;
use super::model::Model;
use super::table::{Row, Table};
use grid::network::{GenericBranch, Tap, ThreeWindingTransformer, Transformer, TransformerSide, Winding};
use grid::{BranchId, BusId};
use num_complex::Complex64;

type Result<T> = std::result::Result<T, PandapowerError>;

/// Above this rated voltage, V, a transformer without a vector group is taken as YNd rather than Dyn.
const YND_FROM_V: f64 = 60e3;

/// Adds all transformers.
pub(super) fn read(model: &mut Model, two: &Table, three: &Table) -> Result<()> {
    for row in two.rows() {
        two_winding(model, &row)?;
    }
    for row in three.rows() {
        three_winding(model, &row)?;
    }
    Ok(())
}

/// What a tap changer does at its position.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Effect {
    /// Which winding.
    side: TransformerSide,
    /// Steps from the neutral position.
    steps: f64,
    /// Ratio of the winding's voltage to its rated one.
    ratio: f64,
    /// What is added to the phase shift, degrees.
    shift: f64,
}

/// Sides by name, in the order of the windings.
type Sides = [(&'static str, TransformerSide)];
const TWO: &Sides = &[("hv", TransformerSide::From), ("lv", TransformerSide::To)];
const THREE: &Sides =
    &[("hv", TransformerSide::From), ("mv", TransformerSide::To), ("lv", TransformerSide::Third)];

/// The effect of the tap changer, if it has one.
fn effect(row: &Row<'_>, sides: &Sides) -> Result<Option<Effect>> {
    if row.flag("tap_dependency_table", false)? {
        return Err(row.wrong("tap_dependency_table", "is not supported; set tap_step_percent instead"));
    }
    if row.optional("tap2_pos")?.unwrap_or(0.0) != row.or("tap2_neutral", 0.0)? {
        return Err(row.wrong("tap2_pos", "is not at tap2_neutral; a second tap changer is not supported"));
    }
    let Some(side) = row.text("tap_side") else { return Ok(None) };
    let found = sides.iter().find(|(name, _)| *name == side);
    let side = found.ok_or_else(|| row.wrong("tap_side", "is no side of this transformer"))?.1;
    let Some(position) = row.optional("tap_pos")? else { return Ok(None) };
    let steps = position - row.or("tap_neutral", 0.0)?;
    let (percent, degree) = (row.or("tap_step_percent", 0.0)?, row.or("tap_step_degree", 0.0)?);
    // Before version 3 there were phase shifters and others.
    let kind = if row.has_column("tap_changer_type") {
        row.text("tap_changer_type")
    } else if row.flag("tap_phase_shifter", false)? {
        Some("Ideal")
    } else {
        Some("Ratio")
    };
    let direction = if side == TransformerSide::From { 1.0 } else { -1.0 };
    let (ratio, shift) = match kind {
        None => return Ok(None),
        Some("Ratio" | "Symmetrical") => {
            let by = Complex64::from_polar(steps * percent / 100.0, degree.to_radians()) + 1.0;
            (by.norm(), direction * by.arg().to_degrees())
        }
        Some("Ideal") if degree != 0.0 => (1.0, direction * steps * degree),
        Some("Ideal") => (1.0, direction * 2.0 * (steps * percent / 200.0).asin().to_degrees()),
        Some(_) => return Err(row.wrong("tap_changer_type", "is not Ratio, Symmetrical or Ideal")),
    };
    Ok(Some(Effect { side, steps, ratio, shift }))
}

/// A tap changer whose effect is that of `effect` on a winding of rated voltage `u_v`.
fn tap(row: &Row<'_>, effect: Effect, u_v: f64) -> Result<Option<Tap>> {
    let numbers = (row.or("tap_pos", 0.0)?, row.or("tap_neutral", 0.0)?);
    let limits = (row.or("tap_min", numbers.0)?, row.or("tap_max", numbers.0)?);
    let whole = |x: f64| (x.fract() == 0.0 && x.abs() <= 127.0).then_some(x as i8);
    let size_v = row.or("tap_step_percent", 0.0)? / 100.0 * u_v;
    let [Some(position), Some(nominal), Some(min), Some(max)] =
        [numbers.0, numbers.1, limits.0, limits.1].map(whole)
    else {
        return Ok(None);
    };
    // A tap counts from its lowest position up; one outside its own range stands where it stands.
    let (min, max) = (min.min(max).min(position).min(nominal), max.max(min).max(position).max(nominal));
    let plain =
        size_v > 0.0 && max > min && effect.shift == 0.0 && (effect.ratio - 1.0) * effect.steps >= 0.0;
    Ok(plain.then_some(Tap { side: effect.side, position, min, max, nominal, size_v }))
}

/// Series impedance and no-load admittance of a π-model, p.u. of the rated power.
struct Pi {
    z: Complex64,
    y: Complex64,
}

fn pi(row: &Row<'_>, t_model: bool) -> Result<Pi> {
    let (vk, vkr) = (row.number("vk_percent")? / 100.0, row.number("vkr_percent")? / 100.0);
    if vkr.abs() > vk.abs() || vk == 0.0 {
        return Err(row.wrong("vkr_percent", "is larger than vk_percent, or both are zero"));
    }
    let z = Complex64::new(vkr, (vk * vk - vkr * vkr).sqrt() * vk.signum());
    let s_mva = row.number("sn_mva")?;
    let (g, i0) = (row.or("pfe_kw", 0.0)? * 1e-3 / s_mva, row.or("i0_percent", 0.0)? / 100.0);
    let y = Complex64::new(g, -(i0 * i0 - g * g).max(0.0).sqrt());
    for ratio in ["leakage_resistance_ratio_hv", "leakage_reactance_ratio_hv"] {
        if row.or(ratio, 0.5)? != 0.5 {
            return Err(row.wrong(ratio, "is not 0.5, which is not supported"));
        }
    }
    if !t_model {
        return Ok(Pi { z, y });
    }
    // A star of z/2, z/2 and 1/y as a triangle.
    Ok(Pi { z: z + z * z * y / 4.0, y: y / (1.0 + z * y / 4.0) })
}

/// The clock number of a phase shift; `None` when it is not one of the twelve.
fn clock(shift_degree: f64) -> Option<u8> {
    let clock = shift_degree / 30.0;
    ((clock - clock.round()).abs() < 1e-9).then(|| (clock.round() as i64).rem_euclid(12) as u8)
}

fn two_winding(model: &mut Model, row: &Row<'_>) -> Result<()> {
    let (from, from_closed) = model.end(row, "t", "hv_bus")?;
    let (to, to_closed) = model.end(row, "t", "lv_bus")?;
    let (mut u1_v, mut u2_v) = (row.number("vn_hv_kv")? * 1e3, row.number("vn_lv_kv")? * 1e3);
    let s_rated_va = row.number("sn_mva")? * 1e6 * row.or("parallel", 1.0)?;
    let Pi { z, y } = pi(row, model.t_model)?;
    let effect = effect(row, TWO)?;
    let shift = row.or("shift_degree", 0.0)? + effect.map_or(0.0, |effect| effect.shift);
    let mut changer = None;
    if let Some(effect) = effect {
        let u_v = if effect.side == TransformerSide::From { &mut u1_v } else { &mut u2_v };
        changer = tap(row, effect, *u_v)?;
        if changer.is_none() {
            *u_v *= effect.ratio;
        }
    }
    let id = BranchId(model.number(row));
    let Some(clock) = clock(shift) else {
        let ratio = effect.filter(|_| changer.is_some()).map_or(1.0, |effect| effect.ratio);
        let at_from = effect.is_some_and(|effect| effect.side == TransformerSide::From);
        let (u1_v, u2_v) = if at_from { (u1_v * ratio, u2_v) } else { (u1_v, u2_v * ratio) };
        let rated = model.place(row, "hv_bus")?.u_rated_v / model.place(row, "lv_bus")?.u_rated_v;
        let base_ohm = u2_v * u2_v / s_rated_va;
        model.parts.generic_branches.push(GenericBranch {
            id,
            from,
            to,
            from_closed,
            to_closed,
            r1_ohm: z.re * base_ohm,
            x1_ohm: z.im * base_ohm,
            g1_s: y.re / base_ohm,
            b1_s: y.im / base_ohm,
            k: u1_v / u2_v / rated,
            theta_rad: shift.to_radians(),
            s_rated_va: Some(s_rated_va),
        });
        return model.keep("trafo", row, id, &["hv_bus", "lv_bus"]);
    };
    let (winding_from, winding_to) = windings(row, clock, u1_v)?;
    model.parts.transformers.push(Transformer {
        id,
        from,
        to,
        u1_v,
        u2_v,
        s_rated_va,
        uk_pu: z.norm(),
        pk_w: z.re * s_rated_va,
        i0_pu: y.norm(),
        p0_w: y.re * s_rated_va,
        winding_from,
        winding_to,
        clock,
        tap: changer,
        from_closed,
        to_closed,
        ..Transformer::default()
    });
    model.keep("trafo", row, id, &["hv_bus", "lv_bus"])
}

/// Windings from `vector_group` (`Dyn`, `YNyn`, `Yzn`; a clock number behind it is passed over), or from the clock number.
fn windings(row: &Row<'_>, clock: u8, u1_v: f64) -> Result<(Winding, Winding)> {
    let odd = clock % 2 == 1;
    let Some(group) = row.text("vector_group") else {
        return Ok(match (odd, u1_v >= YND_FROM_V) {
            (false, _) => (Winding::WyeN, Winding::WyeN),
            (true, true) => (Winding::WyeN, Winding::Delta),
            (true, false) => (Winding::Delta, Winding::WyeN),
        });
    };
    let letters = group.trim_end_matches(|c: char| c.is_ascii_digit());
    let split = letters.char_indices().skip(1).find(|(_, c)| c.is_ascii_lowercase()).map_or(0, |(at, _)| at);
    let winding = |text: &str| match text {
        "Y" | "y" => Some(Winding::Wye),
        "YN" | "yn" => Some(Winding::WyeN),
        "D" | "d" => Some(Winding::Delta),
        "Z" | "z" => Some(Winding::Zigzag),
        "ZN" | "zn" => Some(Winding::ZigzagN),
        _ => None,
    };
    let (one, other) = letters.split_at(split);
    let (Some(one), Some(other)) = (winding(one), winding(other)) else {
        return Err(row.wrong("vector_group", "is no vector group of two windings"));
    };
    let star = |winding| matches!(winding, Winding::Wye | Winding::WyeN);
    if odd == (star(one) == star(other)) {
        let reason = format!("does not go with clock number {clock} (shift_degree and taps)");
        return Err(row.wrong("vector_group", reason));
    }
    Ok((one, other))
}

/// Short-circuit voltages of the pairs 12, 13, 23. pandapower splits resistances and reactances of the pairs into arms,
/// [`ThreeWindingTransformer`] the short-circuit voltages: these are the pairs whose arms are pandapower's.
fn pairs_of_arms(vk: [f64; 3], vkr: [f64; 3], s_1_va: f64, smaller_va: [f64; 3]) -> [f64; 3] {
    let arms = |pairs: [f64; 3]| {
        let [a, b, c] = pairs;
        [(a + b - c) / 2.0, (a + c - b) / 2.0, (b + c - a) / 2.0]
    };
    let on_1 =
        |of: &dyn Fn(usize) -> f64| arms(std::array::from_fn(|pair| of(pair) * s_1_va / smaller_va[pair]));
    let r = on_1(&|pair| vkr[pair]);
    let x = on_1(&|pair| (vk[pair] * vk[pair] - vkr[pair] * vkr[pair]).max(0.0).sqrt());
    let arm = |winding: usize| r[winding].hypot(x[winding]) * x[winding].signum();
    let pair = |one, other, smaller: f64| (arm(one) + arm(other)) * smaller / s_1_va;
    [pair(0, 1, smaller_va[0]), pair(0, 2, smaller_va[1]), pair(1, 2, smaller_va[2])]
}

fn three_winding(model: &mut Model, row: &Row<'_>) -> Result<()> {
    let ends =
        [model.end(row, "t3", "hv_bus")?, model.end(row, "t3", "mv_bus")?, model.end(row, "t3", "lv_bus")?];
    let of = |column: &str| -> Result<[f64; 3]> {
        let side = |side: &str| row.number(&column.replace("{}", side));
        Ok([side("hv")?, side("mv")?, side("lv")?])
    };
    let (mut u_v, s) = (of("vn_{}_kv")?.map(|kv| kv * 1e3), of("sn_{}_mva")?.map(|mva| mva * 1e6));
    // pandapower: hv to mv, mv to lv, lv to hv; here 12, 13, 23.
    let [vk_12, vk_23, vk_13] = of("vk_{}_percent")?.map(|percent| percent / 100.0);
    let [vkr_12, vkr_23, vkr_13] = of("vkr_{}_percent")?.map(|percent| percent / 100.0);
    let smaller = [s[0].min(s[1]), s[0].min(s[2]), s[1].min(s[2])];
    let uk_pu = pairs_of_arms([vk_12, vk_13, vk_23], [vkr_12, vkr_13, vkr_23], s[0], smaller);
    let effect = effect(row, THREE)?;
    if row.flag("tap_at_star_point", false)? && effect.is_some_and(|effect| effect.steps != 0.0) {
        return Err(row.wrong("tap_at_star_point", "is not supported away from the neutral position"));
    }
    let mut changer = None;
    if let Some(effect) = effect {
        if effect.shift != 0.0 {
            return Err(row.wrong("tap_step_degree", "of three windings is not supported"));
        }
        let u_v = &mut u_v[effect.side as usize];
        changer = tap(row, effect, *u_v)?;
        if changer.is_none() {
            *u_v *= effect.ratio;
        }
    }
    let shifted = |column: &str| -> Result<u8> {
        let shift = row.or(column, 0.0)?;
        clock(shift).ok_or_else(|| row.wrong(column, format!("is {shift}, which is no multiple of 30")))
    };
    let clocks = [shifted("shift_mv_degree")?, shifted("shift_lv_degree")?];
    let side = |clock: u8| if clock % 2 == 1 { Winding::Delta } else { Winding::WyeN };
    let id = BranchId(model.number(row));
    model.parts.three_winding_transformers.push(ThreeWindingTransformer {
        id,
        buses: ends.map(|end: (BusId, bool)| end.0),
        closed: ends.map(|end| end.1),
        u_v,
        s_rated_va: s,
        uk_pu,
        uk_at_limits_pu: None,
        pk_w: [vkr_12 * smaller[0], vkr_13 * smaller[1], vkr_23 * smaller[2]],
        pk_at_limits_w: None,
        i0_pu: row.or("i0_percent", 0.0)? / 100.0,
        p0_w: row.or("pfe_kw", 0.0)? * 1e3,
        windings: [Winding::WyeN, side(clocks[0]), side(clocks[1])],
        clocks: clocks.map(|clock| clock as i8),
        tap: changer,
        grounding_ohm: [(0.0, 0.0); 3],
    });
    model.keep("trafo3w", row, id, &["hv_bus", "mv_bus", "lv_bus"])
}
