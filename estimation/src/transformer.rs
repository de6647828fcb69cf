//! Two-winding transformers with any clock whose downstream winding is a grounded star: Dyn and YNyn.
//!
//! Per sequence, with the ratio `N = u1/u2 e^{j 30° clock}` (its conjugate in the negative sequence), the
//! short-circuit impedance `z` and half of the magnetising admittance `y` at each side, both in terms of
//! winding 2, as power-grid-model places them. A delta winding closes the zero sequence: seen from a Dyn's
//! star it is a shunt of `1/z`, seen from its delta it is open.

use crate::feeder::TopologyError;
use crate::two_port::{FullTwoPort, Sequence, TwoPort};
use grid::network::{Transformer, Winding};
use num_complex::Complex64;

/// The matrices of a transformer fed from its `from` side, or from its `to` side.
pub(crate) fn transformer_two_port(
    unit: &Transformer,
    fed_from_from: bool,
) -> Result<TwoPort, TopologyError> {
    let (up, down) = if fed_from_from {
        (unit.winding_from, unit.winding_to)
    } else {
        (unit.winding_to, unit.winding_from)
    };
    let supported = down == Winding::WyeN && matches!(up, Winding::WyeN | Winding::Delta);
    if !supported {
        return Err(TopologyError::UnsupportedTransformer {
            branch: unit.id,
            upstream: winding_word(up),
            downstream: winding_word(down),
        });
    }
    let star_star = up == Winding::WyeN;
    if star_star != unit.clock.is_multiple_of(2) {
        return Err(TopologyError::ImpossibleClock { branch: unit.id, clock: unit.clock });
    }
    Ok(TwoPort::Full(Box::new(matrices(unit, fed_from_from, star_star))))
}

fn matrices(unit: &Transformer, fed_from_from: bool, star_star: bool) -> FullTwoPort {
    let z = short_circuit_impedance_ohm(unit);
    let y = 0.5 * magnetising_admittance_s(unit);
    let t = 1.0 / (1.0 + z * y);
    let k = unit.tapped_v().0 / unit.tapped_v().1;
    let ratio = Complex64::from_polar(k, f64::from(unit.clock) * std::f64::consts::FRAC_PI_6);
    // A star–star unit turns its zero sequence by 0° or 180°: the clock counts whole phases beside that.
    let ratio0 = Complex64::new(if unit.clock % 4 == 2 { -k } else { k }, 0.0);
    let all = |positive, negative, zero: Complex64| {
        let zero = if star_star { zero } else { Complex64::new(0.0, 0.0) };
        Sequence { positive, negative, zero }.to_phases()
    };
    let c = y + y * t;
    let z_down = z * t;
    if fed_from_from {
        let of = |n: Complex64| t / n;
        let back = |n: Complex64| t / n.conj();
        // Behind a delta the star's zero sequence meets the short-circuit impedance beside the whole shunt.
        let z0 = if star_star { z_down } else { 1.0 / (1.0 / z + 2.0 * y) };
        FullTwoPort {
            t: all(of(ratio), of(ratio.conj()), of(ratio0)),
            z: Sequence::balanced(z_down, z0).to_phases(),
            c: all(c / (k * k), c / (k * k), c / (k * k)),
            d: all(back(ratio), back(ratio.conj()), back(ratio0)),
        }
    } else {
        let of = |n: Complex64| t * n;
        let back = |n: Complex64| t * n.conj();
        let z_here = z_down * (k * k);
        let z0 = if star_star { z_here } else { k * k / (1.0 / z + 2.0 * y) };
        FullTwoPort {
            t: all(of(ratio), of(ratio.conj()), of(ratio0)),
            z: Sequence::balanced(z_here, z0).to_phases(),
            c: all(c, c, c),
            d: all(back(ratio), back(ratio.conj()), back(ratio0)),
        }
    }
}

/// Short-circuit impedance in terms of winding 2, Ω.
fn short_circuit_impedance_ohm(unit: &Transformer) -> Complex64 {
    let base = unit.tapped_v().1 * unit.tapped_v().1 / unit.s_rated_va;
    let r = unit.pk_w / unit.s_rated_va * base;
    let x2 = (unit.uk_pu * base).powi(2) - r * r;
    Complex64::new(r, x2.max(0.0).sqrt())
}

/// No-load admittance in terms of winding 2, S.
fn magnetising_admittance_s(unit: &Transformer) -> Complex64 {
    let square = unit.tapped_v().1 * unit.tapped_v().1;
    let g = unit.p0_w / square;
    let b2 = (unit.i0_pu * unit.s_rated_va / square).powi(2) - g * g;
    Complex64::new(g, -b2.max(0.0).sqrt())
}

fn winding_word(winding: Winding) -> &'static str {
    match winding {
        Winding::Wye => "floating star",
        Winding::WyeN => "grounded star",
        Winding::Delta => "delta",
        Winding::Zigzag | Winding::ZigzagN => "zigzag",
    }
}
