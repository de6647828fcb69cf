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
    /// Whether its square is the simpler function.
    root: bool,
}

/// How a row's value behaves.
#[derive(PartialEq)]
enum Kind {
    Plain,
    Angle,
    Root,
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
        let mut push = |value: f64, said: f64, variance: f64, kind: Kind| {
            if variance.is_finite() {
                rows.push((
                    value,
                    Row { said, variance, angle: kind == Kind::Angle, root: kind == Kind::Root },
                ));
            }
        };
        let (readings, circuit) = (self.readings, self.circuit);
        let wire = |bus, local| circuit.wire(bus, local).unwrap();
        for reading in &readings.voltages {
            let v = v[wire(reading.bus, reading.wire)];
            push(v.norm(), reading.magnitude, reading.variance, Kind::Root);
            if let Some(angle) = reading.angle {
                push(v.arg(), angle, reading.variance_across, Kind::Angle);
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
            push(s.re, reading.s.re, reading.variance_p, Kind::Plain);
            push(s.im, reading.s.im, reading.variance_q, Kind::Plain);
        }
        readings.free.iter().for_each(|&wire| nothing[wire as usize] = false);
        for wire in (0..v.len()).filter(|&wire| nothing[wire]) {
            push(taken[wire].re, 0.0, 0.0, Kind::Plain);
            push(taken[wire].im, 0.0, 0.0, Kind::Plain);
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
                push(s.re, reading.s.re, variance, Kind::Plain);
            }
            if let Some(variance) = reading.variance_q {
                push(s.im, reading.s.im, variance, Kind::Plain);
            }
        }
        for reading in &readings.currents {
            let (v, current) = at(reading.place, reading.wire);
            let Some(angle) = reading.angle else {
                push(current.norm(), reading.magnitude, reading.variance, Kind::Root);
                continue;
            };
            let from = if reading.angle_from_voltage { v.arg() } else { 0.0 };
            let turned = current * Complex64::from_polar(1.0, -angle - from);
            push(turned.re, reading.magnitude, reading.variance, Kind::Plain);
            push(turned.im, 0.0, reading.variance_across, Kind::Plain);
        }
        for &(wire, angle, variance) in &self.ties {
            push(v[wire].arg(), angle, variance, Kind::Angle);
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
                for (row, (value, of)) in self.values(&moved).iter().enumerate() {
                    let value = if of.root { value * value } else { *value };
                    h[(row, unknown)] += value * weight / (12.0 * step);
                }
            }
        }
        for (row, (value, _)) in self.values(v).iter().enumerate().filter(|(_, row)| row.1.root) {
            h.row_mut(row).scale_mut(0.5 / value);
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

    /// Gauss–Newton on the null space of the exact rows.
    pub(super) fn solve(&self, start: &[Complex64]) -> Answer {
        let mut v = start.to_vec();
        for _ in 0..60 {
            let (step, _) = self.step(&self.slopes(&v), &self.residuals(&v));
            for (at, v) in v.iter_mut().enumerate() {
                *v += Complex64::new(step[2 * at], step[2 * at + 1]);
            }
            if step.amax() < 1e-13 {
                break;
            }
            // Off to nowhere; a decomposition of what is no number would never end.
            if !v.iter().all(|v| v.norm() < 1e3) {
                let size = 2 * v.len();
                let covariance = DMatrix::from_element(size, size, f64::INFINITY);
                return Answer { voltages: v, objective: f64::INFINITY, covariance };
            }
        }
        let rows = self.values(&v);
        let r = self.residuals(&v);
        let soft = rows.iter().zip(r.iter()).filter(|((_, row), _)| row.variance > 0.0);
        let objective = soft.map(|((_, row), r)| r * r / row.variance).sum();
        let (_, covariance) = self.step(&self.slopes(&v), &r);
        Answer { voltages: v, objective, covariance }
    }

    fn step(&self, h: &DMatrix<f64>, r: &DVector<f64>) -> (DVector<f64>, DMatrix<f64>) {
        let size = h.ncols();
        let rows = self.values(&vec![Complex64::ONE; size / 2]);
        let weigh = |exact: bool| {
            let mut weighed = h.clone();
            let mut right = r.clone();
            for (row, (_, of)) in rows.iter().enumerate() {
                let weight = match (of.variance == 0.0, exact) {
                    (true, true) => 1.0,
                    (false, false) => of.variance.sqrt().recip(),
                    _ => 0.0,
                };
                weighed.row_mut(row).scale_mut(weight);
                right[row] *= weight;
            }
            let tall = weighed.nrows().max(size);
            (weighed.resize_vertically(tall, 0.0), right.resize_vertically(tall, 0.0))
        };
        let (exact, exact_right) = weigh(true);
        let svd = exact.svd(true, true);
        let floor = 1e-10 * svd.singular_values.amax().max(1e-300);
        let particular = svd.solve(&exact_right, floor).unwrap();
        let directions = svd.v_t.unwrap();
        let open: Vec<_> = (0..size)
            .filter(|&k| svd.singular_values[k] <= floor)
            .map(|k| directions.row(k).transpose())
            .collect();
        if open.is_empty() {
            return (particular, DMatrix::zeros(size, size));
        }
        let open = DMatrix::from_columns(&open);
        let (soft, soft_right) = weigh(false);
        let seen = &soft * &open;
        let svd = seen.svd(true, true);
        let along = svd.solve(&(soft_right - soft * &particular), 0.0).unwrap();
        let mut root = open.clone() * svd.v_t.unwrap().transpose();
        for (k, value) in svd.singular_values.iter().enumerate() {
            root.column_mut(k).scale_mut(value.recip());
        }
        (particular + open * along, &root * root.transpose())
    }

    /// The covariance once more, from the inverse of the augmented matrix (Abur & Expósito 2004, section 3.7): the two ways
    /// lose their digits in different places. `None` when it has no inverse.
    pub(super) fn augmented_covariance(&self, v: &[Complex64]) -> Option<DMatrix<f64>> {
        let (h, rows) = (self.slopes(v), self.values(v));
        let (m, n) = h.shape();
        let mut k = DMatrix::zeros(m + n, m + n);
        k.view_mut((0, m), (m, n)).copy_from(&h);
        k.view_mut((m, 0), (n, m)).copy_from(&h.transpose());
        for (row, (_, of)) in rows.iter().enumerate() {
            k[(row, row)] = of.variance;
        }
        Some(-k.full_piv_lu().try_inverse()?.view((m, m), (n, n)).into_owned())
    }

    /// Which wires the null space of H leaves alone; nothing when its dimension is a matter of taste.
    pub(super) fn determined(&self, v: &[Complex64]) -> Option<Vec<bool>> {
        let mut h = self.slopes(v);
        for mut line in h.row_iter_mut() {
            let norm = line.norm().max(1e-300);
            line /= norm;
        }
        // Square, so that the decomposition has all directions.
        let rows = h.nrows().max(h.ncols());
        let svd = h.resize_vertically(rows, 0.0).svd(false, true);
        let directions = svd.v_t?;
        let most = svd.singular_values.amax();
        let mut found = vec![true; v.len()];
        for (k, &value) in svd.singular_values.iter().enumerate() {
            if (1e-9 * most..1e-4 * most).contains(&value) {
                return None;
            }
            if value < 1e-9 * most {
                for (at, found) in found.iter_mut().enumerate() {
                    let part = directions[(k, 2 * at)].hypot(directions[(k, 2 * at + 1)]);
                    if (1e-8..1e-4).contains(&part) {
                        return None;
                    }
                    *found &= part < 1e-6;
                }
            }
        }
        Some(found)
    }
}
