//! Weighted least squares as in the textbook, dense, with numerical derivatives: the truth that tests compare with.
//! Shares nothing with the solver but the readings.

use super::test_circuits::element_currents;
use crate::circuit::{Circuit, FlowPlace, Readings};
use nalgebra::{DMatrix, DVector};
use num_complex::Complex64;

/// A row: what was said, its variance, whether it is an angle.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    pub(super) said: f64,
    pub(super) variance: f64,
    angle: bool,
}

/// Angles tied: (global wire, angle, variance).
pub(super) type Ties = Vec<(usize, f64, f64)>;

pub(super) struct Dense<'a> {
    pub(super) circuit: &'a Circuit,
    pub(super) readings: &'a Readings,
    pub(super) ties: Ties,
}

pub(super) struct Answer {
    pub(super) voltages: Vec<Complex64>,
    pub(super) objective: f64,
    pub(super) covariance: DMatrix<f64>,
}

impl Dense<'_> {
    /// Values of all rows at given voltages, in the order of the solver: voltages, injections, nothing taken, powers,
    /// currents, ties.
    pub(super) fn values(&self, v: &[Complex64]) -> Vec<(f64, Row)> {
        let mut rows = Vec::new();
        let mut push = |value: f64, said: f64, variance: f64, angle: bool| {
            if variance.is_finite() {
                rows.push((value, Row { said, variance, angle }));
            }
        };
        let (readings, circuit) = (self.readings, self.circuit);
        let wire = |bus, local| circuit.wire(bus, local).unwrap();
        for reading in &readings.voltages {
            let v = v[wire(reading.bus, reading.wire)];
            push(v.norm(), reading.magnitude, reading.variance, false);
            if let Some(angle) = reading.angle {
                push(v.arg(), angle, reading.variance, true);
            }
        }
        let flows = element_currents(circuit, v, false);
        let mut taken = vec![Complex64::ZERO; v.len()];
        let mut branches = taken.clone();
        for (place, bus, currents) in &flows {
            for (k, current) in currents.iter().enumerate() {
                taken[circuit.wires(*bus).start + k] -= current;
                if !matches!(place, FlowPlace::Shunt(_)) {
                    branches[circuit.wires(*bus).start + k] -= current;
                }
            }
        }
        let mut nothing = vec![true; v.len()];
        for reading in &readings.injections {
            let wire = wire(reading.bus, reading.wire);
            nothing[wire] = false;
            let s = v[wire] * taken[wire].conj();
            push(s.re, reading.s.re, reading.variance_p, false);
            push(s.im, reading.s.im, reading.variance_q, false);
        }
        readings.free.iter().for_each(|&wire| nothing[wire as usize] = false);
        for wire in (0..v.len()).filter(|&wire| nothing[wire]) {
            push(taken[wire].re, 0.0, 0.0, false);
            push(taken[wire].im, 0.0, 0.0, false);
        }
        let at = |place: FlowPlace, local: u8| -> (Complex64, Complex64) {
            if let FlowPlace::Bus(bus) = place {
                let wire = circuit.wires(bus).start + usize::from(local);
                return (v[wire], branches[wire]);
            }
            let (_, bus, currents) = flows.iter().find(|flow| flow.0 == place).unwrap();
            (v[circuit.wires(*bus).start + usize::from(local)], currents[usize::from(local)])
        };
        for reading in &readings.powers {
            let wires = circuit.buses[0].wires;
            let locals: Vec<u8> = reading.wire.map_or((0..wires).collect(), |wire| vec![wire]);
            let s: Complex64 = locals.iter().map(|&k| at(reading.place, k)).map(|(v, i)| v * i.conj()).sum();
            if let Some(variance) = reading.variance_p {
                push(s.re, reading.s.re, variance, false);
            }
            if let Some(variance) = reading.variance_q {
                push(s.im, reading.s.im, variance, false);
            }
        }
        for reading in &readings.currents {
            let (v, current) = at(reading.place, reading.wire);
            let Some(angle) = reading.angle else {
                push(current.norm(), reading.magnitude, reading.variance, false);
                continue;
            };
            let from = if reading.angle_from_voltage { v.arg() } else { 0.0 };
            let turned = current * Complex64::from_polar(1.0, -angle - from);
            push(turned.re, reading.magnitude, reading.variance, false);
            push(turned.im, 0.0, reading.variance_across, false);
        }
        for &(wire, angle, variance) in &self.ties {
            push(v[wire].arg(), angle, variance, true);
        }
        rows
    }

    /// H by fourth-order differences.
    pub(super) fn slopes(&self, v: &[Complex64]) -> DMatrix<f64> {
        let rows = self.values(v).len();
        let mut h = DMatrix::zeros(rows, 2 * v.len());
        let step = 1e-3;
        for unknown in 0..2 * v.len() {
            let unit = if unknown % 2 == 0 { Complex64::ONE } else { Complex64::I };
            for (steps, weight) in [(-2.0, 1.0), (-1.0, -8.0), (1.0, 8.0), (2.0, -1.0)] {
                let mut moved = v.to_vec();
                moved[unknown / 2] += unit * (step * steps);
                for (row, (value, _)) in self.values(&moved).iter().enumerate() {
                    h[(row, unknown)] += value * weight / (12.0 * step);
                }
            }
        }
        h
    }

    pub(super) fn residuals(&self, v: &[Complex64]) -> DVector<f64> {
        let tau = std::f64::consts::TAU;
        let rows = self.values(v);
        DVector::from_iterator(
            rows.len(),
            rows.iter().map(|(value, row)| {
                let off = row.said - value;
                if row.angle { off - (off / tau).round() * tau } else { off }
            }),
        )
    }

    /// Gauss–Newton with Lagrange multipliers; the pseudo-inverse takes care of redundant exact rows.
    pub(super) fn solve(&self, start: &[Complex64]) -> Answer {
        let mut v = start.to_vec();
        let size = 2 * v.len();
        for _ in 0..60 {
            let h = self.slopes(&v);
            let r = self.residuals(&v);
            let (kkt, right) = self.system(&h, &r);
            let step = kkt.svd(true, true).solve(&right, 1e-13).unwrap();
            for (at, v) in v.iter_mut().enumerate() {
                *v += Complex64::new(step[2 * at], step[2 * at + 1]);
            }
            if step.rows(0, size).amax() < 1e-13 {
                break;
            }
        }
        let rows = self.values(&v);
        let r = self.residuals(&v);
        let soft = rows.iter().zip(r.iter()).filter(|((_, row), _)| row.variance > 0.0);
        let objective = soft.map(|((_, row), r)| r * r / row.variance).sum();
        let (kkt, _) = self.system(&self.slopes(&v), &r);
        let inverse = kkt.pseudo_inverse(1e-13).unwrap();
        Answer { voltages: v, objective, covariance: inverse.view((0, 0), (size, size)).into() }
    }

    /// `[HᵀWH Cᵀ; C 0]` with its right-hand side.
    fn system(&self, h: &DMatrix<f64>, r: &DVector<f64>) -> (DMatrix<f64>, DVector<f64>) {
        let variances: Vec<f64> =
            self.values(&vec![Complex64::ONE; h.ncols() / 2]).iter().map(|row| row.1.variance).collect();
        let exact: Vec<usize> = (0..h.nrows()).filter(|&row| variances[row] == 0.0).collect();
        let size = h.ncols();
        let mut kkt = DMatrix::zeros(size + exact.len(), size + exact.len());
        let mut right = DVector::zeros(size + exact.len());
        for row in (0..h.nrows()).filter(|&row| variances[row] > 0.0) {
            let line = h.row(row).transpose();
            let mut gain = kkt.view_mut((0, 0), (size, size));
            gain += &line * line.transpose() / variances[row];
            let mut gradient = right.rows_mut(0, size);
            gradient += &line * (r[row] / variances[row]);
        }
        for (k, &row) in exact.iter().enumerate() {
            // Scaled to the size of the gain.
            let scale = 1e3;
            for column in 0..size {
                kkt[(size + k, column)] = h[(row, column)] * scale;
                kkt[(column, size + k)] = h[(row, column)] * scale;
            }
            right[size + k] = r[row] * scale;
        }
        (kkt, right)
    }

    /// Which wires the null space of H leaves alone.
    pub(super) fn determined(&self, v: &[Complex64]) -> Vec<bool> {
        let mut h = self.slopes(v);
        for (mut line, (_, row)) in h.row_iter_mut().zip(self.values(v)) {
            let norm = line.norm().max(1e-300);
            line /= norm;
            let _ = row;
        }
        let gram = h.transpose() * &h;
        let eigen = gram.symmetric_eigen();
        let most = eigen.eigenvalues.amax();
        let mut found = vec![true; v.len()];
        for (k, &value) in eigen.eigenvalues.iter().enumerate() {
            if value < 1e-11 * most {
                for (at, found) in found.iter_mut().enumerate() {
                    let vector = eigen.eigenvectors.column(k);
                    *found &= vector[2 * at].hypot(vector[2 * at + 1]) < 1e-4;
                }
            }
        }
        found
    }
}
