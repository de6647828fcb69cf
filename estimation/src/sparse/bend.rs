//! How meters bend: second derivatives of their rows by the voltages, for steps where residuals are large.

use super::meter::{Kind, Meter, Meters, unit};
use num_complex::Complex64;

/// One entry of a symmetric matrix over (re, im) of a meter's columns: row, column, value.
pub(super) type Entry = (u32, u32, f64);

impl Meters {
    /// The second derivative of `Re(weight · F)`, as entries that are added up. Which entries there are depends on the meter
    /// only, not on the voltages.
    pub(super) fn bend(
        &self,
        meter: &Meter,
        voltages: &[Complex64],
        weight: Complex64,
        entries: &mut Vec<Entry>,
    ) {
        let columns = self.columns_of(meter);
        for part in &self.parts[meter.parts.start as usize..meter.parts.end as usize] {
            let v = voltages[columns[part.own as usize] as usize];
            let terms = &self.terms[part.terms.start as usize..part.terms.end as usize];
            let current: Complex64 =
                terms.iter().map(|&(at, y)| y * voltages[columns[at as usize] as usize]).sum();
            match meter.kind {
                Kind::Balance | Kind::CurrentPhasor { from_voltage: false, .. } => {}
                // d²F = 2 dV conj(dI)
                Kind::Power => {
                    terms.iter().for_each(|&(at, y)| product(part.own, at, weight * y.conj(), entries));
                }
                // d²|V| = Im(conj(u) dV)² / |V|, d² arg V = −Im(dV² / V²)
                Kind::Voltage => {
                    let (size, u) = unit(v, Complex64::ONE);
                    let turn = (u.conj() * u.conj()) / (size * size);
                    square(&[(part.own, u.conj())], weight.re / size, entries);
                    // Re(weight j arg): the weight of the angle is −Im(weight).
                    plain(part.own, part.own, turn * Complex64::new(0.0, -weight.im), entries);
                }
                // d²|I| = Im(conj(u) dI)² / |I|
                Kind::CurrentMagnitude => {
                    let (size, u) = unit(current, v);
                    let along: Vec<(u32, Complex64)> =
                        terms.iter().map(|&(at, y)| (at, u.conj() * y)).collect();
                    square(&along, weight.re / size, entries);
                }
                // F = I conj(u) back, d²F = −2j conj(u) back dI dθ − j F d²θ − F dθ², dθ = Im(dV / V)
                Kind::CurrentPhasor { back, from_voltage: true } => {
                    let (size, u) = unit(v, Complex64::ONE);
                    let turned = u.conj() * back * weight;
                    let value = current * turned;
                    let angle = u.conj() / size;
                    let j = Complex64::I;
                    for &(at, y) in terms {
                        // 2 Re(a dI) Im(b dV) = Im(a b dI dV) − Im(a conj(b) dI conj(dV)), with Im(x) = Re(−j x)
                        let a = -j * turned * y;
                        plain(at, part.own, -j * a * angle, entries);
                        product(at, part.own, j * a * angle.conj() * 0.5, entries);
                    }
                    // −Re(j value) d²θ with d²θ = −Im(dV²/V²) = Re(j dV²/V²)
                    plain(part.own, part.own, j * angle * angle * -(j * value).re, entries);
                    square(&[(part.own, angle)], -value.re, entries);
                }
            }
        }
    }
}

/// The quadratic form `2 Re(c dA conj(dB))`.
fn product(a: u32, b: u32, c: Complex64, entries: &mut Vec<Entry>) {
    for (row, column, value) in [
        (2 * a, 2 * b, c.re),
        (2 * a + 1, 2 * b + 1, c.re),
        (2 * a, 2 * b + 1, c.im),
        (2 * a + 1, 2 * b, -c.im),
    ] {
        entries.push((row, column, value));
        entries.push((column, row, value));
    }
}

/// The quadratic form `Re(c dA dB)`.
fn plain(a: u32, b: u32, c: Complex64, entries: &mut Vec<Entry>) {
    for (row, column, value) in [
        (2 * a, 2 * b, c.re),
        (2 * a + 1, 2 * b + 1, -c.re),
        (2 * a, 2 * b + 1, -c.im),
        (2 * a + 1, 2 * b, -c.im),
    ] {
        entries.push((row, column, 0.5 * value));
        entries.push((column, row, 0.5 * value));
    }
}

/// The quadratic form `scale · Im(Σ c dV)²`.
fn square(terms: &[(u32, Complex64)], scale: f64, entries: &mut Vec<Entry>) {
    for &(a, c) in terms {
        for &(b, d) in terms {
            for (row, x) in [(2 * a, c.im), (2 * a + 1, c.re)] {
                for (column, y) in [(2 * b, d.im), (2 * b + 1, d.re)] {
                    entries.push((row, column, scale * x * y));
                }
            }
        }
    }
}
