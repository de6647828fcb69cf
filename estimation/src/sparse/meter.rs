//! Readings as functions of the voltages, with their exact derivatives.
//!
//! A meter is a complex function F of complex voltages whose real and imaginary part are one measured row each (or one
//! of them is). Its derivative has the form `dF = Σ direct · dV + conjugate · conj(dV)`. Currents are linear in the
//! voltages, `I = Σ y V`; with those,
//!
//! ```text
//! voltage                F = |V| + j arg(V)
//! power                  F = Σ over wires of V conj(I)
//! nothing taken          F = I, exactly zero
//! current                F = |I|, or I turned back by the measured angle, counted from the voltage's if so measured
//! ```

use num_complex::Complex64;
use std::ops::Range;

/// A part that a meter does not measure has no row.
pub(super) const NO_ROW: u32 = u32::MAX;

/// What a meter measures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Kind {
    /// Magnitude, angle.
    Voltage,
    /// Active, reactive.
    Power,
    /// Both parts of a current that is nothing.
    Balance,
    /// Magnitude only.
    CurrentMagnitude,
    /// Along, across the measured angle.
    CurrentPhasor { back: Complex64, from_voltage: bool },
}

/// One wire's share in a meter: its voltage and a current.
#[derive(Debug, Clone)]
pub(super) struct Part {
    /// Which column is its voltage.
    pub(super) own: u32,
    /// Terms of the current.
    pub(super) terms: Range<u32>,
}

/// One meter.
#[derive(Debug, Clone)]
pub(super) struct Meter {
    pub(super) kind: Kind,
    pub(super) parts: Range<u32>,
    pub(super) columns: Range<u32>,
    /// What it says: real and imaginary part of F.
    pub(super) target: Complex64,
    /// Numbers of its rows, [`NO_ROW`] where it says nothing.
    pub(super) rows: [u32; 2],
}

/// All meters, in flat arrays.
#[derive(Debug, Clone, Default)]
pub(super) struct Meters {
    pub(super) meters: Vec<Meter>,
    pub(super) parts: Vec<Part>,
    /// Column (within its meter) and coefficient.
    pub(super) terms: Vec<(u32, Complex64)>,
    /// Unknown wires that matter to a meter, rising.
    pub(super) columns: Vec<u32>,
    /// Row → variance; zero is exact.
    pub(super) variance: Vec<f64>,
    /// Row → where its entries of H begin and how many there are.
    pub(super) entries: Vec<Range<usize>>,
    /// Row → the wire it is measured at.
    pub(super) wire: Vec<u32>,
}

/// A meter to be added: its parts as (wire, terms of the current).
pub(super) struct Wish {
    pub(super) kind: Kind,
    pub(super) parts: Vec<(u32, Vec<(u32, Complex64)>)>,
    pub(super) target: Complex64,
    pub(super) variances: [Option<f64>; 2],
}

impl Meters {
    /// Adds a meter unless it says nothing; returns its rows.
    pub(super) fn add(&mut self, wish: Wish) -> [u32; 2] {
        let mut rows = [NO_ROW; 2];
        for (row, variance) in rows.iter_mut().zip(wish.variances) {
            if let Some(variance) = variance {
                *row = self.variance.len() as u32;
                self.variance.push(variance);
            }
        }
        if rows == [NO_ROW; 2] {
            return rows;
        }
        let first = self.columns.len();
        let wire = wish.parts.first().map_or(0, |part| part.0);
        let mut columns: Vec<u32> = wish.parts.iter().map(|part| part.0).collect();
        columns.extend(wish.parts.iter().flat_map(|part| part.1.iter().map(|term| term.0)));
        columns.sort_unstable();
        columns.dedup();
        for _ in rows.iter().filter(|row| **row != NO_ROW) {
            let start = self.entries.last().map_or(0, |range: &Range<usize>| range.end);
            self.entries.push(start..start + 2 * columns.len());
            self.wire.push(wire);
        }
        let place = |wire: u32| columns.partition_point(|&column| column < wire) as u32;
        let from = self.parts.len() as u32;
        for (wire, terms) in &wish.parts {
            let start = self.terms.len() as u32;
            self.terms.extend(terms.iter().map(|&(wire, y)| (place(wire), y)));
            self.parts.push(Part { own: place(*wire), terms: start..self.terms.len() as u32 });
        }
        self.columns.extend(columns);
        self.meters.push(Meter {
            kind: wish.kind,
            parts: from..self.parts.len() as u32,
            columns: first as u32..self.columns.len() as u32,
            target: wish.target,
            rows,
        });
        rows
    }

    /// The wires a meter looks at.
    pub(super) fn columns_of(&self, meter: &Meter) -> &[u32] {
        &self.columns[meter.columns.start as usize..meter.columns.end as usize]
    }

    /// F at given voltages; its derivative per column goes to `slopes` as (direct, conjugate).
    pub(super) fn evaluate(
        &self,
        meter: &Meter,
        voltages: &[Complex64],
        slopes: &mut Vec<(Complex64, Complex64)>,
    ) -> Complex64 {
        let columns = self.columns_of(meter);
        slopes.clear();
        slopes.resize(columns.len(), (Complex64::ZERO, Complex64::ZERO));
        let mut sum = Complex64::ZERO;
        for part in &self.parts[meter.parts.start as usize..meter.parts.end as usize] {
            let v = voltages[columns[part.own as usize] as usize];
            let terms = &self.terms[part.terms.start as usize..part.terms.end as usize];
            let current: Complex64 =
                terms.iter().map(|&(at, y)| y * voltages[columns[at as usize] as usize]).sum();
            let own = &mut slopes[part.own as usize];
            match meter.kind {
                Kind::Voltage => {
                    let (size, unit) = unit(v, Complex64::ONE);
                    sum += Complex64::new(size, v.arg());
                    own.0 += unit.conj() * (0.5 * (1.0 + 1.0 / size));
                    own.1 += unit * (0.5 * (1.0 - 1.0 / size));
                }
                Kind::Power => {
                    sum += v * current.conj();
                    own.0 += current.conj();
                    terms.iter().for_each(|&(at, y)| slopes[at as usize].1 += v * y.conj());
                }
                Kind::Balance => {
                    sum += current;
                    terms.iter().for_each(|&(at, y)| slopes[at as usize].0 += y);
                }
                Kind::CurrentMagnitude => {
                    let (size, unit) = unit(current, v);
                    sum += size;
                    for &(at, y) in terms {
                        slopes[at as usize].0 += unit.conj() * y * 0.5;
                        slopes[at as usize].1 += unit * y.conj() * 0.5;
                    }
                }
                Kind::CurrentPhasor { back, from_voltage: false } => {
                    sum += current * back;
                    terms.iter().for_each(|&(at, y)| slopes[at as usize].0 += y * back);
                }
                Kind::CurrentPhasor { back, from_voltage: true } => {
                    let (size, unit) = unit(v, Complex64::ONE);
                    let turn = unit.conj() * back;
                    let value = current * turn;
                    sum += value;
                    // −j F d(arg V)
                    own.0 -= value * unit.conj() / (2.0 * size);
                    own.1 += value * unit / (2.0 * size);
                    terms.iter().for_each(|&(at, y)| slopes[at as usize].0 += y * turn);
                }
            }
        }
        sum
    }

    /// What the meter says beyond F, angles the short way round.
    pub(super) fn residual(meter: &Meter, value: Complex64) -> [f64; 2] {
        let off = meter.target - value;
        match meter.kind {
            Kind::Voltage => {
                [off.re, off.im - (off.im / std::f64::consts::TAU).round() * std::f64::consts::TAU]
            }
            _ => [off.re, off.im],
        }
    }
}

/// The rows that a slope stands for: real part, then imaginary part, by (re V, im V).
pub(super) fn as_rows((direct, conjugate): (Complex64, Complex64)) -> [[f64; 2]; 2] {
    [
        [direct.re + conjugate.re, conjugate.im - direct.im],
        [direct.im + conjugate.im, direct.re - conjugate.re],
    ]
}

/// Size and direction; where there is next to nothing, the direction of something else.
pub(super) fn unit(value: Complex64, otherwise: Complex64) -> (f64, Complex64) {
    let size = value.norm();
    if size > 1e-9 {
        return (size, value / size);
    }
    let other = otherwise.norm();
    (size.max(1e-9), if other > 0.0 { otherwise / other } else { Complex64::ONE })
}
