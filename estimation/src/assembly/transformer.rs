//! Two- and three-winding transformers as power-grid-model understands them (documentation, "Transformer" and
//! "Three-winding transformer"; version 1.12): short-circuit impedance at the `to` side, half the no-load admittance at
//! each side, zero sequence by the connection of the windings.

use super::AssemblyError;
use super::element::Element;
use super::frame::{BASE_POWER_VA, Frame};
use super::sequence::{Pi, SequenceBranch, Zero};
use grid::network::{Tap, ThreeWindingTransformer, Transformer, Winding};
use num_complex::Complex64;
use std::f64::consts::FRAC_PI_6;

/// Share of the rated short-circuit susceptance that ties a floating zero sequence to ground.
const FLOATING_SUSCEPTANCE: f64 = 1e-8;

/// A unit with its taps applied; voltages in V, powers in VA and W, the rest per unit.
struct TwoWinding {
    kind: &'static str,
    id: u32,
    from: u32,
    to: u32,
    closed: (bool, bool),
    u1_v: f64,
    u2_v: f64,
    s_rated_va: f64,
    /// At the present tap, and without taps.
    uk_pu: (f64, f64),
    pk_w: f64,
    /// Positive and zero sequence.
    i0_pu: (f64, f64),
    p0_w: (f64, f64),
    windings: (Winding, Winding),
    clock: i8,
    /// Between neutral and ground, p.u. of each side.
    grounding: (Complex64, Complex64),
}

pub(super) fn two_winding(frame: &Frame, unit: &Transformer) -> Result<Element, AssemblyError> {
    let (from, to) = (frame.position(unit.from), frame.position(unit.to));
    let (u1_v, u2_v) = unit.tapped_v();
    let pk_w = at_tap(unit.tap, unit.pk_w, unit.pk_at_limits_w);
    let i0_zero = unit.i0_zero_pu.unwrap_or(unit.i0_pu);
    let grown = unit.pk_w * (i0_zero * i0_zero - unit.i0_pu * unit.i0_pu);
    TwoWinding {
        kind: "transformer",
        id: unit.id.0,
        from,
        to,
        closed: (unit.from_closed, unit.to_closed),
        u1_v,
        u2_v,
        s_rated_va: unit.s_rated_va,
        uk_pu: (at_tap(unit.tap, unit.uk_pu, unit.uk_at_limits_pu), unit.uk_pu),
        pk_w,
        i0_pu: (unit.i0_pu, i0_zero),
        p0_w: (unit.p0_w, unit.p0_zero_w.unwrap_or(unit.p0_w + grown)),
        windings: (unit.winding_from, unit.winding_to),
        clock: unit.clock as i8,
        grounding: (
            grounding(frame, from, unit.grounding_from_ohm),
            grounding(frame, to, unit.grounding_to_ohm),
        ),
    }
    .element(frame)
}

/// Three units around a star point at the voltage level of winding 1; the no-load admittance belongs to the first.
pub(super) fn three_winding(
    frame: &Frame,
    unit: &ThreeWindingTransformer,
    star: u32,
) -> Result<Element, AssemblyError> {
    let u_v = unit.tapped_v();
    let sn = unit.s_rated_va;
    // Values of the pairs 12, 13, 23 in terms of winding 1; the smaller rating of the pair is the base.
    let smaller = [sn[0].min(sn[1]), sn[0].min(sn[2]), sn[1].min(sn[2])];
    let uk = std::array::from_fn(|pair| {
        let limits = unit.uk_at_limits_pu.map(|limits| limits[pair]);
        at_tap(unit.tap, unit.uk_pu[pair], limits) * sn[0] / smaller[pair]
    });
    let pk = std::array::from_fn(|pair| {
        let limits = unit.pk_at_limits_w.map(|limits| limits[pair]);
        at_tap(unit.tap, unit.pk_w[pair], limits) * (sn[0] / smaller[pair]).powi(2)
    });
    let (uk, pk) = (arms(uk), arms(pk));
    let mut elements = Vec::with_capacity(3);
    for winding in 0..3 {
        let from = frame.position(unit.buses[winding]);
        let share = sn[winding] / sn[0];
        let first = winding == 0;
        let arm = TwoWinding {
            kind: "three-winding transformer",
            id: unit.id.0,
            from,
            to: star,
            closed: (unit.closed[winding], frame.alive(star)),
            u1_v: u_v[winding],
            u2_v: u_v[0],
            s_rated_va: sn[winding],
            uk_pu: (uk[winding] * share, uk[winding] * share),
            pk_w: pk[winding] * share * share,
            i0_pu: if first { (unit.i0_pu, unit.i0_pu) } else { (0.0, 0.0) },
            p0_w: if first { (unit.p0_w, unit.p0_w) } else { (0.0, 0.0) },
            windings: match first {
                true => (Winding::WyeN, Winding::WyeN),
                false => (unit.windings[winding], unit.windings[0]),
            },
            clock: if first { 0 } else { 12 - unit.clocks[winding - 1] },
            grounding: (grounding(frame, from, unit.grounding_ohm[winding]), Complex64::ZERO),
        };
        elements.push(arm.element(frame)?);
    }
    Ok(Element::Star(elements))
}

/// From pairs 12, 13, 23 to the arms of the star.
fn arms([a, b, c]: [f64; 3]) -> [f64; 3] {
    [0.5 * (a + b - c), 0.5 * (a + c - b), 0.5 * (b + c - a)]
}

fn grounding(frame: &Frame, bus: u32, ohm: (f64, f64)) -> Complex64 {
    Complex64::new(ohm.0, ohm.1) / frame.z_base_ohm(bus)
}

/// A value at the present tap: straight lines from the nominal tap to each end of the range.
fn at_tap(tap: Option<Tap>, nominal: f64, limits: Option<(f64, f64)>) -> f64 {
    let (Some(tap), Some((at_min, at_max))) = (tap, limits) else { return nominal };
    let position = f64::from(tap.limited());
    let (min, max, nom) = (f64::from(tap.min), f64::from(tap.max), f64::from(tap.nominal));
    let upper = position <= nom.max(max) && position >= nom.min(max);
    let (end, value) = if upper { (max, at_max) } else { (min, at_min) };
    if end == nom { nominal } else { nominal + (position - nom) * (value - nominal) / (end - nom) }
}

impl TwoWinding {
    fn element(&self, frame: &Frame) -> Result<Element, AssemblyError> {
        if !valid_clock(self.clock, self.windings) {
            return Err(AssemblyError::Clock { kind: self.kind, id: self.id, clock: self.clock });
        }
        let (u_from, u_to) = (frame.u_rated_v(self.from), frame.u_rated_v(self.to));
        let k = (self.u1_v / self.u2_v) / (u_from / u_to);
        let turn = f64::from(self.clock.rem_euclid(12)) * FRAC_PI_6;
        let one = Pi {
            y_series: self.series()?,
            y_shunt: self.no_load(self.i0_pu.0, self.p0_w.0, u_to),
            ratio: if turn == 0.0 { Complex64::from(k) } else { Complex64::from_polar(k, turn) },
        };
        let one = Pi { y_series: one.y_series * (u_to / self.u2_v).powi(2), ..one };
        let zero = self.zero_sequence(&one, k, u_to);
        let values = [one.y_series, one.y_shunt, one.ratio, zero.from, zero.to];
        if !values.iter().all(|value| value.is_finite()) {
            return Err(AssemblyError::NotFinite { kind: self.kind, id: self.id });
        }
        Ok(SequenceBranch { from: self.from, to: self.to, closed: self.closed, one, zero }.element(frame))
    }

    /// Short-circuit admittance, p.u. of 1 MVA at the rated voltage of winding 2.
    fn series(&self) -> Result<Complex64, AssemblyError> {
        let uk = self.uk_pu.0;
        let r = self.pk_w / self.s_rated_va;
        let x = (uk * uk - r * r).max(0.0).sqrt().copysign(uk);
        let z = Complex64::new(r, x) * (BASE_POWER_VA / self.s_rated_va);
        if z.norm() == 0.0 {
            return Err(AssemblyError::Singular {
                kind: self.kind,
                id: self.id,
                what: "short-circuit impedance",
            });
        }
        Ok(1.0 / z)
    }

    /// No-load admittance, p.u. at `to`.
    fn no_load(&self, i0_pu: f64, p0_w: f64, u_to_v: f64) -> Complex64 {
        let g = p0_w / self.s_rated_va;
        let b = (i0_pu * i0_pu - g * g).max(0.0).sqrt();
        Complex64::new(g, -b) * (self.s_rated_va / BASE_POWER_VA * (u_to_v / self.u2_v).powi(2))
    }

    fn zero_sequence(&self, one: &Pi, k: f64, u_to_v: f64) -> Zero {
        use Winding::{Delta, WyeN, ZigzagN};
        let (from, to) = self.windings;
        let (at_from, at_to) = self.closed;
        let y_shunt = self.no_load(self.i0_pu.1, self.p0_w.1, u_to_v);
        let (ground_from, ground_to) = (3.0 * self.grounding.0 / (k * k), 3.0 * self.grounding.1);
        let mut zero = Zero { through: None, from: Complex64::ZERO, to: Complex64::ZERO };
        // A path to ground on one side, seen from `to`; the other winding, a delta, closes it.
        let to_ground = |other: Winding, ground: Complex64| {
            let y = if other == Delta { y_shunt + one.y_series } else { y_shunt };
            if y == Complex64::ZERO { y } else { 1.0 / (1.0 / y + ground) }
        };
        if (from, to) == (WyeN, WyeN) {
            let turned = matches!(self.clock.rem_euclid(12), 2 | 6 | 10);
            zero.through = Some(Pi {
                y_series: 1.0 / (1.0 / one.y_series + ground_from + ground_to),
                y_shunt,
                ratio: Complex64::from(if turned { -k } else { k }),
            });
        } else if from == WyeN && at_from {
            zero.from = to_ground(to, ground_from) / (k * k);
        } else if to == WyeN && at_to {
            zero.to = to_ground(from, ground_to);
        }
        // A zigzag is its own zero-sequence path, of a tenth of the short-circuit impedance.
        let zigzag = |ground: Complex64| 1.0 / (0.1 / one.y_series + ground);
        if from == ZigzagN && at_from {
            zero.from = zigzag(ground_from) / (k * k);
        }
        if to == ZigzagN && at_to {
            zero.to = zigzag(ground_to);
        }
        let grounded = |this: Winding, other: Winding| match this {
            WyeN => other == WyeN || other == Delta,
            ZigzagN => true,
            _ => false,
        };
        let low = -FLOATING_SUSCEPTANCE * self.s_rated_va / BASE_POWER_VA / self.uk_pu.1;
        if !grounded(from, to) && at_from {
            zero.from += Complex64::new(0.0, low);
        }
        if !grounded(to, from) && at_to {
            zero.to += Complex64::new(0.0, low);
        }
        zero
    }
}

/// Even between two stars or two others, odd between a star and another.
fn valid_clock(clock: i8, (from, to): (Winding, Winding)) -> bool {
    let star = |winding| matches!(winding, Winding::Wye | Winding::WyeN);
    (clock % 2 == 0) == (star(from) == star(to))
}
