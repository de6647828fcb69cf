//! Weighted least squares with dense matrices: slow, plain, the oracle of tests and their first estimator.

use super::fitted::{Fits, Fitted};
use super::rows::{exact_wires, rows};
use crate::circuit::{Circuit, FlowPlace, Readings, flow};
use crate::solve::NoSolution;
use nalgebra::{DMatrix, DVector};
use num_complex::Complex64;

/// Gauss–Newton on real and imaginary parts of all live wires, zero injections as exact constraints.
pub(crate) struct Dense;

/// A linear function of the voltages: the current at a wire.
type Current = Vec<Complex64>;

/// What a row measures.
enum Shape {
    Magnitude(usize),
    Phasor(usize),
    Power(Vec<(usize, Current)>, bool, bool),
    Current(Current, usize, Option<f64>, bool),
}

/// The readings as functions of the voltages.
pub(crate) struct Model {
    shapes: Vec<Shape>,
    balances: Vec<Current>,
    live: Vec<usize>,
    weights: DVector<f64>,
}

impl Model {
    pub(crate) fn new(circuit: &Circuit, readings: &Readings) -> Self {
        let count = circuit.wire_count();
        let unit = |wire: usize| {
            let mut v = vec![Complex64::ZERO; count];
            v[wire] = Complex64::new(1.0, 0.0);
            v
        };
        // `taken` is bilinear; its current part is found with the voltage taken out: V = e_k gives it at wire k only, so
        // currents are collected place by place instead.
        let places: Vec<FlowPlace> = (0..circuit.series.len() as u32)
            .flat_map(|k| [FlowPlace::SeriesFrom(k), FlowPlace::SeriesTo(k)])
            .chain((0..circuit.shunts.len() as u32).map(FlowPlace::Shunt))
            .chain((0..circuit.general.len() as u32).flat_map(|element| {
                let terminals = circuit.general[element as usize].terminals.len() as u8;
                (0..terminals).map(move |terminal| FlowPlace::General { element, terminal })
            }))
            .collect();
        let mut drawn = vec![vec![Complex64::ZERO; count]; count];
        let mut at = std::collections::BTreeMap::new();
        for column in 0..count {
            let v = unit(column);
            for place in &places {
                let first = circuit.wires(circuit.bus_at(*place)).start;
                for (wire, current) in flow::currents(circuit, *place, &v) {
                    drawn[first + usize::from(wire)][column] += current;
                    at.entry((*place, wire)).or_insert_with(|| vec![Complex64::ZERO; count])[column] +=
                        current;
                }
            }
        }
        let taken = |wire: usize| -> Current { drawn[wire].iter().map(|y| -y).collect() };
        let none = vec![Complex64::ZERO; count];
        let current = |place, wire| at.get(&(place, wire)).unwrap_or(&none).clone();
        let mut shapes = Vec::new();
        for r in &readings.voltages {
            let wire = circuit.wires(r.bus).start + usize::from(r.wire);
            shapes.push(if r.angle.is_some() { Shape::Phasor(wire) } else { Shape::Magnitude(wire) });
        }
        for r in &readings.injections {
            let wire = circuit.wires(r.bus).start + usize::from(r.wire);
            shapes.push(Shape::Power(vec![(wire, taken(wire))], true, true));
        }
        for r in &readings.powers {
            let wires = circuit.wires(circuit.bus_at(r.place));
            let local = (0..wires.len() as u8).filter(|w| r.wire.is_none_or(|measured| measured == *w));
            let terms = local.map(|w| (wires.start + usize::from(w), current(r.place, w))).collect();
            shapes.push(Shape::Power(terms, r.variance_p.is_some(), r.variance_q.is_some()));
        }
        for r in &readings.currents {
            let wire = circuit.wires(circuit.bus_at(r.place)).start + usize::from(r.wire);
            shapes.push(Shape::Current(current(r.place, r.wire), wire, r.angle, r.angle_from_voltage));
        }
        let mut live = Vec::new();
        for bus in (0..).zip(&circuit.buses).filter(|(_, bus)| bus.energized).map(|(at, _)| at) {
            live.extend(circuit.wires(bus));
        }
        let balances = exact_wires(circuit, readings).into_iter().map(taken).collect();
        let weights = rows(circuit, readings, &none)
            .iter()
            .map(|row| 1.0 / row.variance.max(1e-18))
            .collect::<Vec<_>>();
        Self { shapes, balances, live, weights: DVector::from_vec(weights) }
    }

    /// Derivatives of all rows.
    fn jacobian(&self, v: &[Complex64]) -> DMatrix<f64> {
        let mut all: Vec<Vec<f64>> = Vec::new();
        // `d(k)`: the change of the complex value with the real part of voltage k and with its imaginary part.
        let row = |d: &dyn Fn(usize) -> (f64, f64)| -> Vec<f64> {
            self.live.iter().flat_map(|&k| [d(k).0, d(k).1]).collect()
        };
        for shape in &self.shapes {
            match shape {
                Shape::Magnitude(w) => {
                    let u = v[*w] / v[*w].norm();
                    all.push(row(&|k| if k == *w { (u.re, u.im) } else { (0.0, 0.0) }));
                }
                Shape::Phasor(w) => {
                    let (size, u) = (v[*w].norm(), v[*w] / v[*w].norm());
                    all.push(row(&|k| if k == *w { (u.re, u.im) } else { (0.0, 0.0) }));
                    all.push(row(&|k| if k == *w { (-u.im / size, u.re / size) } else { (0.0, 0.0) }));
                }
                Shape::Power(terms, p, q) => {
                    let d = |k: usize| {
                        let mut real = Complex64::ZERO;
                        let mut imaginary = Complex64::ZERO;
                        for (w, a) in terms {
                            let s = v[*w] * a[k].conj();
                            real += s;
                            imaginary -= s * Complex64::i();
                            if k == *w {
                                let i = dot(a, v).conj();
                                real += i;
                                imaginary += i * Complex64::i();
                            }
                        }
                        (real, imaginary)
                    };
                    let both: Vec<(Complex64, Complex64)> = (0..v.len()).map(d).collect();
                    if *p {
                        all.push(row(&|k| (both[k].0.re, both[k].1.re)));
                    }
                    if *q {
                        all.push(row(&|k| (both[k].0.im, both[k].1.im)));
                    }
                }
                Shape::Current(a, w, angle, local) => {
                    let i = dot(a, v);
                    let Some(angle) = angle else {
                        let u = i.conj() / i.norm().max(1e-9);
                        all.push(row(&|k| ((u * a[k]).re, (u * a[k] * Complex64::i()).re)));
                        continue;
                    };
                    let from = if *local { v[*w].arg() } else { 0.0 };
                    let back = Complex64::from_polar(1.0, -angle - from);
                    let d = |k: usize, step: Complex64| {
                        let turned = match *local && k == *w {
                            true => (step * v[*w].conj()).im / v[*w].norm_sqr(),
                            false => 0.0,
                        };
                        back * (a[k] * step - i * Complex64::i() * turned)
                    };
                    let one = Complex64::new(1.0, 0.0);
                    all.push(row(&|k| (d(k, one).re, d(k, Complex64::i()).re)));
                    all.push(row(&|k| (d(k, one).im, d(k, Complex64::i()).im)));
                }
            }
        }
        DMatrix::from_fn(all.len(), 2 * self.live.len(), |r, c| all[r][c])
    }

    /// Real and imaginary part of the balances.
    fn constraints(&self) -> DMatrix<f64> {
        DMatrix::from_fn(2 * self.balances.len(), 2 * self.live.len(), |r, c| {
            let y = self.balances[r / 2][self.live[c / 2]];
            let y = if c % 2 == 0 { y } else { y * Complex64::i() };
            if r % 2 == 0 { y.re } else { y.im }
        })
    }

    /// The inverse of the augmented matrix [HᵀWH Cᵀ; C 0].
    fn inverse(&self, h: &DMatrix<f64>) -> Option<DMatrix<f64>> {
        let (n, c) = (h.ncols(), self.constraints());
        let mut weighed = h.clone();
        for (mut row, weight) in weighed.row_iter_mut().zip(self.weights.iter()) {
            row *= *weight;
        }
        let gain = h.transpose() * weighed;
        // Constraints are scaled to the size of the gain.
        let scale = gain.diagonal().max().max(1.0).sqrt();
        let total = n + c.nrows();
        let mut k = DMatrix::zeros(total, total);
        k.view_mut((0, 0), (n, n)).copy_from(&gain);
        k.view_mut((n, 0), (c.nrows(), n)).copy_from(&(&c * scale));
        k.view_mut((0, n), (n, c.nrows())).copy_from(&(c.transpose() * scale));
        let mut inverse = k.try_inverse()?;
        inverse.rows_mut(n, c.nrows()).scale_mut(scale);
        inverse.columns_mut(n, c.nrows()).scale_mut(scale);
        Some(inverse)
    }
}

fn dot(a: &[Complex64], v: &[Complex64]) -> Complex64 {
    a.iter().zip(v).map(|(a, v)| a * v).sum()
}

/// An estimate with everything about it.
pub(crate) struct DenseFit {
    voltages: Vec<Complex64>,
    h: DMatrix<f64>,
    c: DMatrix<f64>,
    inverse: DMatrix<f64>,
    weights: DVector<f64>,
    multipliers: Vec<f64>,
}

/// Start: the sources' voltages carried through the ratios.
fn start(circuit: &Circuit) -> Vec<Complex64> {
    let mut v = vec![Complex64::ZERO; circuit.wire_count()];
    let mut known = vec![false; circuit.buses.len()];
    for source in &circuit.sources {
        let wires = circuit.wires(source.bus);
        v[wires].copy_from_slice(&source.emf);
        known[source.bus as usize] = true;
    }
    for _ in 0..circuit.buses.len() {
        for series in &circuit.series {
            let (from, to) = (series.from as usize, series.to as usize);
            if known[from] == known[to] {
                continue;
            }
            let here = if known[from] { series.from } else { series.to };
            let there = if known[from] { series.to } else { series.from };
            let at = DVector::from_column_slice(&v[circuit.wires(here)]);
            let carried = match &series.ratio {
                None => at,
                Some(ratio) if known[from] => &**ratio * at,
                Some(ratio) => (ratio.adjoint() * at) / Complex64::new(ratio.norm_squared() / 3.0, 0.0),
            };
            v[circuit.wires(there)].copy_from_slice(carried.as_slice());
            known[there as usize] = true;
        }
    }
    for (at, known) in (0_u32..).zip(known) {
        if !known && circuit.buses[at as usize].energized {
            for (k, wire) in circuit.wires(at).enumerate() {
                v[wire] = Complex64::from_polar(1.0, -std::f64::consts::TAU * k as f64 / 3.0);
            }
        }
    }
    v
}

impl Dense {
    pub(crate) fn fit(circuit: &Circuit, readings: &Readings) -> Result<DenseFit, NoSolution> {
        let model = Model::new(circuit, readings);
        Self::fit_model(circuit, readings, &model, start(circuit))
    }

    pub(crate) fn fit_model(
        circuit: &Circuit,
        readings: &Readings,
        model: &Model,
        mut v: Vec<Complex64>,
    ) -> Result<DenseFit, NoSolution> {
        let c = model.constraints();
        let mut step_pu = f64::INFINITY;
        for _ in 0..60 {
            let h = model.jacobian(&v);
            let n = h.ncols();
            let inverse = model.inverse(&h).ok_or(NoSolution::Singular { bus: 0 })?;
            let r =
                DVector::from_iterator(h.nrows(), rows(circuit, readings, &v).iter().map(|row| row.residual));
            let mut right = DVector::zeros(n + c.nrows());
            right.rows_mut(0, n).copy_from(&(h.transpose() * r.component_mul(&model.weights)));
            for (k, balance) in model.balances.iter().enumerate() {
                let off = dot(balance, &v);
                right[n + 2 * k] = -off.re;
                right[n + 2 * k + 1] = -off.im;
            }
            let solved = &inverse * right;
            if step_pu < 1e-10 {
                let weights = model.weights.clone();
                let multipliers = solved.rows(n, c.nrows()).iter().copied().collect();
                return Ok(DenseFit { voltages: v, h, c, inverse, weights, multipliers });
            }
            step_pu = 0.0;
            for (k, wire) in model.live.iter().enumerate() {
                let step = Complex64::new(solved[2 * k], solved[2 * k + 1]);
                v[*wire] += step;
                step_pu = step_pu.max(step.norm());
            }
            if !step_pu.is_finite() {
                return Err(NoSolution::NotFinite { bus: 0 });
            }
        }
        Err(NoSolution::NotSettled { iterations: 60, step_pu, bus: 0 })
    }
}

impl DenseFit {
    fn covariance(&self) -> nalgebra::DMatrixView<'_, f64> {
        let n = self.h.ncols();
        self.inverse.view((0, 0), (n, n))
    }
}

impl Fitted for DenseFit {
    fn voltages(&self) -> &[Complex64] {
        &self.voltages
    }

    fn variances(&self) -> Vec<f64> {
        let spread = &self.h * self.covariance();
        (0..self.h.nrows()).map(|row| spread.row(row).dot(&self.h.row(row))).collect()
    }

    fn column(&self, row: usize) -> Option<Vec<f64>> {
        let mut column = -(&self.h * (self.covariance() * self.h.row(row).transpose()));
        column[row] += 1.0 / self.weights[row];
        Some(column.iter().copied().collect())
    }

    fn pulls(&self) -> Vec<Complex64> {
        self.multipliers.chunks(2).map(|pair| -Complex64::new(pair[0], pair[1])).collect()
    }

    fn misfit(&self, rows: &[f64], drawn: &[Complex64]) -> Option<f64> {
        let n = self.h.ncols();
        let said = DVector::from_column_slice(rows);
        let mut right = DVector::zeros(n + self.c.nrows());
        right.rows_mut(0, n).copy_from(&(self.h.transpose() * said.component_mul(&self.weights)));
        for (k, current) in drawn.iter().enumerate() {
            right[n + 2 * k] = current.re;
            right[n + 2 * k + 1] = current.im;
        }
        let x = (&self.inverse * right).rows(0, n).into_owned();
        let off = said - &self.h * x;
        Some(off.component_mul(&self.weights).dot(&off))
    }
}

impl Fits for Dense {
    fn fit(&self, circuit: &Circuit, readings: &Readings) -> Result<Box<dyn Fitted>, NoSolution> {
        Ok(Box::new(Dense::fit(circuit, readings)?))
    }
}
