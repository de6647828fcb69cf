//! Weighted least squares by Gauss–Newton on the augmented system (Gjelsvik, Aam & Holten 1985, "Hachtel's augmented
//! matrix method"; Abur & Expósito 2004, section 3.6):
//!
//! ```text
//! ⎡ R   H ⎤ ⎡ dμ ⎤   ⎡ z − h(x) − R μ ⎤
//! ⎣ Hᵀ  0 ⎦ ⎣ dx ⎦ = ⎣ −Hᵀ μ          ⎦
//! ```
//!
//! x are the real and imaginary parts of all live voltages, μ one multiplier per row: the weighted residual
//! `(z − h)/R`, and for an exact row (`R = 0`) the force that holds it. Nothing is squared and no weight is infinite.
//! As right-hand sides are exact at every step, a factor may be older than the point it is used at.
//!
//! Where the system is singular beyond a few unknowns (little is measured), it is made regular by ε on the lower block
//! and δ on exact rows. Both only damp the step: they vanish from the fixed point, and what is not determined stays
//! where it started.
//!
//! Limits: the magnitude of a current alone leaves its direction open. Where nothing else determines a state there can
//! be several optima, and Gauss–Newton may wander between them (`NotSettled`).

use super::factor::Factor;
use super::flat::{self, Flat};
use super::meter::{Meters, NO_ROW, as_rows};
use super::nodal::compact;
use super::rows::{RowOf, Rows};
use super::stamp::{self, Live, Stamp};
use super::symbolic::Symbolic;
use super::whole_steps::Begin;
use crate::circuit::{Circuit, Readings};
use crate::solve::{NoSolution, Tolerance, voltage_max};
use num_complex::Complex64;

/// Work of all factorizations, in multiplications, after which nothing is tried any more, for each of the iterations that are allowed; 100
/// of them take about half a second.
const WORK_PER_ITERATION: u64 = 5_000_000;
/// Damped steps are not begun where fewer than so many could be made.
const DAMPED_LEAST: u64 = 8;
/// Steps below this that do not shrink are rounding, p.u.
pub(super) const ROUNDING: f64 = 1e-9;
/// No reading is that far from the flat start, p.u. (a terawatt on a base of 1 MVA is 1e6).
const ABSURD: f64 = 1e12;
/// More open unknowns than this, and the regularised system takes over, where none should be open.
const LOST_MAX: usize = 64;
const LOST_MAX_SOFT: usize = 2000;
/// Smaller pivots are none: rounding, after scaling.
const FLOOR: f64 = 1e-14;
/// ε and δ of the regularised system, relative to the entries of H.
pub(super) const SOFT: f64 = 1e-9;

/// One row of an estimate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EstimatedRow {
    /// What it measures.
    pub of: RowOf,
    /// What was said, per unit or rad.
    pub measured: f64,
    /// What the estimate makes of it.
    pub estimated: f64,
    /// Measured minus estimated (angles the short way round).
    pub residual: f64,
    /// Variance stated; zero is exact.
    pub variance: f64,
    /// The weighted residual; for an exact row the multiplier that holds it.
    pub multiplier: f64,
}

/// An estimate.
#[derive(Debug, Clone, PartialEq)]
pub struct Estimated {
    /// Voltage of every wire, p.u., by global wire number; zero on dead buses.
    pub voltages: Vec<Complex64>,
    /// Iterations taken.
    pub iterations: usize,
    /// Sum of squared residuals over variances.
    pub objective: f64,
    /// Rows (exact ones included) less unknowns (2 per live wire). Not positive: nothing can be checked.
    pub degrees_of_freedom: i64,
    /// Row by row; exact rows included.
    pub rows: Vec<EstimatedRow>,
}

/// A circuit with its readings, ready to be estimated.
#[derive(Debug, Clone)]
pub struct Wls {
    pub(super) live: Live,
    pub(super) rows: Rows,
    pub(super) plan: Symbolic,
    pub(super) factor: Factor<f64>,
    /// Voltages of live wires, and multipliers.
    pub(super) x: Vec<Complex64>,
    pub(super) mu: Vec<f64>,
    start: Vec<Complex64>,
    /// Entries of H, as laid out in the plan.
    pub(super) h: Vec<f64>,
    pub(super) values: Vec<f64>,
    pub(super) residuals: Vec<f64>,
    estimates: Vec<f64>,
    pub(super) soft: bool,
    /// Whether the matrix as filled is the estimate's own: nothing damped, nothing left out.
    own: bool,
    /// Work since the estimate was asked for, in multiplications.
    pub(super) spent: u64,
    /// How many readings of each kind there were.
    shape: [usize; 4],
}

impl Wls {
    /// Lays out rows and matrix.
    ///
    /// # Errors
    /// [`NoSolution::Singular`] for an impedance that cannot be inverted.
    pub fn new(circuit: &Circuit, readings: &Readings) -> Result<Self, NoSolution> {
        let live = Live::new(circuit);
        let mut rows = Rows::new(circuit, &live, readings)?;
        let mut flat = start(circuit, &live)?;
        for tie in flat.refer(circuit, &live, readings) {
            rows.reference(&live, tie.wire, tie.angle, tie.variance);
        }
        let plan = plan(&live, &rows.meters, &[]);
        let count = rows.names.len();
        let mut factor = Factor::default();
        factor.set_limits(FLOOR, LOST_MAX);
        Ok(Self {
            plan,
            factor,
            x: flat.voltages.clone(),
            start: flat.voltages,
            mu: vec![0.0; count],
            h: Vec::new(),
            values: Vec::new(),
            residuals: vec![0.0; count],
            estimates: vec![0.0; count],
            soft: false,
            own: false,
            spent: 0,
            shape: [
                readings.voltages.len(),
                readings.injections.len(),
                readings.powers.len(),
                readings.currents.len(),
            ],
            live,
            rows,
        })
    }

    /// Takes over other values and variances of the same readings; rows and matrix structure stay. False, and nothing
    /// to rely on, when the readings are not the same (other places, kinds, exactness): make a new one then.
    pub fn set_values(&mut self, readings: &Readings) -> bool {
        let shape = |r: &Readings| [r.voltages.len(), r.injections.len(), r.powers.len(), r.currents.len()];
        shape(readings) == self.shape && self.rows.set_values(readings)
    }

    /// Estimates from the flat start: by whole Gauss–Newton steps, which settle in a few iterations almost always; by the
    /// same of the regularised system where nothing determines some voltages; by damped steps where neither settles.
    ///
    /// # Errors
    /// [`NoSolution`]: not settled, not finite, or settled only where no grid is. A wire that nothing determines is no
    /// error; see [`Wls::observability`].
    pub fn estimate(&mut self, tolerance: &Tolerance) -> Result<Estimated, NoSolution> {
        self.spent = 0;
        self.sane()?;
        self.estimate_from_flat(tolerance)
    }

    pub(super) fn estimate_from_flat(&mut self, tolerance: &Tolerance) -> Result<Estimated, NoSolution> {
        self.soft = false;
        let why = match self.iterate(tolerance).and_then(|steps| self.believed(steps)) {
            Ok(iterations) => return Ok(self.finish(iterations)),
            Err(why) => why,
        };
        self.soft = true;
        // What does not settle with a regular matrix, or only far away, does not do better with a regularised one.
        let regularised = match why {
            NoSolution::NotSettled { .. } | NoSolution::Implausible { .. } => Err(why),
            _ => self.iterate(tolerance).and_then(|steps| self.believed(steps)),
        };
        let damped =
            |wls: &mut Self| wls.iterate_damped(tolerance).and_then(|iterations| wls.believed(iterations));
        let iterations = match regularised {
            // What is large has to do without.
            Err(_) if !self.would_spend(DAMPED_LEAST, tolerance) => damped(self)?,
            done => done?,
        };
        Ok(self.finish(iterations))
    }

    /// Passes the iterations on where the voltages are such as a grid may have: the equations of power have solutions far
    /// from every grid, and an iteration that is far away may settle there. What nothing determines may stand anywhere.
    fn believed(&mut self, iterations: usize) -> Result<usize, NoSolution> {
        let largest = |voltages: &[Complex64], counts: &dyn Fn(usize) -> bool| {
            let squares = voltages.iter().map(Complex64::norm_sqr).enumerate().filter(|(at, _)| counts(*at));
            squares.fold((0, 0.0), |most, (at, square)| if square <= most.1 { most } else { (at, square) })
        };
        let magnitudes = self.rows.names.iter().enumerate();
        let magnitudes = magnitudes.filter(|(_, of)| matches!(of, RowOf::VoltageMagnitude(_)));
        let measured = magnitudes.map(|(row, _)| self.estimates[row] + self.residuals[row]);
        let max_pu = voltage_max(largest(&self.start, &|_| true).1.sqrt(), measured.fold(1.0, f64::max));
        if largest(&self.x, &|_| true).1 <= max_pu * max_pu {
            return Ok(iterations);
        }
        let seen = self.observability()?.determined;
        let determined = |at: usize| self.live.wire.get(at).is_some_and(|&wire| seen[wire as usize]);
        let (at, square) = largest(&self.x, &determined);
        if square <= max_pu * max_pu {
            // Something is open, and the factors are those of the question.
            self.soft = true;
            return Ok(iterations);
        }
        let bus = self.live.bus.get(at).map_or(0, |&bus| bus as usize);
        Err(NoSolution::Implausible { bus, voltage_pu: square.sqrt(), max_pu })
    }

    /// As [`Wls::estimate`], but from voltages (p.u. by global wire) near the optimum, such as those of another solver: a
    /// step or two, which also find the multipliers. From the flat start where that leads nowhere. Each of its attempts is
    /// allowed a few steps, also when all work is done that may be.
    ///
    /// # Errors
    /// As [`Wls::estimate`].
    pub fn estimate_from(
        &mut self,
        voltages: &[Complex64],
        tolerance: &Tolerance,
    ) -> Result<Estimated, NoSolution> {
        self.spent = 0;
        self.sane()?;
        let near: Option<Vec<Complex64>> =
            self.live.wire.iter().map(|&wire| voltages.get(wire as usize).copied()).collect();
        let near = near.filter(|all| all.iter().all(|v| v.is_finite() && *v != Complex64::ZERO));
        for soft in [false, true] {
            let Some(near) = &near else { break };
            self.soft = soft;
            self.x.copy_from_slice(near);
            self.mu.fill(0.0);
            self.look();
            if let Ok(iterations) = self.whole_steps(tolerance, Begin::Factorizes)
                && self.believed(iterations).is_ok()
            {
                return Ok(self.finish(iterations));
            }
        }
        self.estimate_from_flat(tolerance)
    }

    /// As [`Wls::estimate_from`], from its own last estimate and on the factors of that: with other values of the same
    /// readings ([`Wls::set_values`]) a few solves and no factorization. New factors come as soon as steps on the old ones
    /// do not shrink quickly, and the flat start where that leads nowhere. What nothing determines stays where it was.
    ///
    /// # Errors
    /// As [`Wls::estimate`].
    pub fn estimate_again(&mut self, tolerance: &Tolerance) -> Result<Estimated, NoSolution> {
        let last = self.live.spread(&self.x);
        if self.own && !self.soft {
            self.spent = 0;
            self.look();
            if self.absurd().is_none()
                && let Ok(iterations) = self.whole_steps(tolerance, Begin::OnOldFactors)
                && self.believed(iterations).is_ok()
            {
                return Ok(self.finish(iterations));
            }
        }
        self.estimate_from(&last, tolerance)
    }

    /// Whether the last estimate needed no regularisation: every unknown was determined.
    pub fn settled_regularly(&self) -> bool {
        !self.soft && self.factor.lost().is_empty()
    }

    /// Whether the readings determine every live wire: certain when factors left nothing open, and looked into at some
    /// factorizations when they did. Of the regularised system it is not asked.
    pub fn determines_all(&mut self) -> bool {
        self.settled_regularly()
            || (!self.soft
                && self
                    .observability()
                    .is_ok_and(|seen| self.live.wire.iter().all(|&wire| seen.determined[wire as usize])))
    }

    /// Whether all work is done that may be: in a network so large that more would keep whoever waits.
    pub(super) fn is_spent(&self, tolerance: &Tolerance) -> bool {
        self.would_spend(0, tolerance)
    }

    /// The same after so many more factorizations.
    fn would_spend(&self, factorizations: u64, tolerance: &Tolerance) -> bool {
        let spent = self.spent + factorizations * self.factor.work_done();
        spent > WORK_PER_ITERATION.saturating_mul(tolerance.iterations_max as u64)
    }

    /// Refuses what no iteration can meet: readings beyond [`ABSURD`], or not a number.
    fn sane(&mut self) -> Result<(), NoSolution> {
        self.restart();
        match self.absurd() {
            Some(row) => Err(NoSolution::NotFinite { bus: self.bus_of((2 * self.live.len() + row) as u32) }),
            None => Ok(()),
        }
    }

    /// A row that no iteration can meet.
    fn absurd(&self) -> Option<usize> {
        self.residuals.iter().position(|residual| !(residual.abs() < ABSURD))
    }

    /// Back to the flat start.
    pub(super) fn restart(&mut self) {
        self.x.copy_from_slice(&self.start);
        self.mu.fill(0.0);
        self.look();
    }

    /// The step from the present voltages and multipliers, with new factors.
    pub(super) fn step(&mut self, soft: f64, damping: f64) -> Result<Vec<f64>, NoSolution> {
        self.factorize(soft, damping)?;
        Ok(self.solved())
    }

    /// The same with the factors there are.
    pub(super) fn solved(&self) -> Vec<f64> {
        let right = self.right_side();
        let mut step = right.clone();
        self.factor.solve(&mut step);
        self.refine(&right, &mut step);
        step
    }

    /// Moves voltages and multipliers along a step, and looks.
    pub(super) fn go(&mut self, step: &[f64]) {
        let size = 2 * self.live.len();
        for (to, by) in self.x.iter_mut().zip(step.chunks_exact(2)) {
            *to += Complex64::new(by[0], by[1]);
        }
        for (mu, change) in self.mu.iter_mut().zip(&step[size..]) {
            *mu += change;
        }
        self.look();
    }

    /// Evaluates all meters at the present voltages: residuals, estimates and H.
    pub(super) fn look(&mut self) {
        self.h.clear();
        let mut slopes = Vec::new();
        for meter in &self.rows.meters.meters {
            let value = self.rows.meters.evaluate(meter, &self.x, &mut slopes);
            let residual = Meters::residual(meter, value);
            let parts = [value.re, value.im];
            for part in 0..2 {
                let row = meter.rows[part];
                if row != NO_ROW {
                    self.residuals[row as usize] = residual[part];
                    self.estimates[row as usize] = parts[part];
                    self.h.extend(slopes.iter().flat_map(|&slope| as_rows(slope)[part]));
                }
            }
        }
    }

    /// Fills and factorizes the matrix at the present voltages.
    pub(super) fn refactor(&mut self, soft: f64) -> Result<(), NoSolution> {
        self.factorize(soft, 0.0)
    }

    fn factorize(&mut self, soft: f64, damping: f64) -> Result<(), NoSolution> {
        self.fill(soft, damping, &[]);
        self.divide()
    }

    /// Where R and then ε stand among the values.
    pub(super) fn diagonal_from(&self) -> usize {
        self.h.len()
    }

    /// Factorizes the matrix as filled.
    pub(super) fn divide(&mut self) -> Result<(), NoSolution> {
        let divided = self.factor.factorize(&self.plan, &self.values).is_some();
        self.spent += self.factor.work_done();
        self.own &= divided;
        if divided {
            return Ok(());
        }
        let bus = self.factor.lost().first().map_or(0, |&unknown| self.bus_of(unknown));
        Err(NoSolution::Singular { bus })
    }

    /// The matrix values; `damping` is the least ε of every unknown, rows in `without` (sorted) are as if they were not
    /// measured.
    pub(super) fn fill(&mut self, soft: f64, damping: f64, without: &[u32]) {
        self.factor.set_limits(FLOOR, if soft > 0.0 { LOST_MAX_SOFT } else { LOST_MAX });
        self.own = soft == 0.0 && damping == 0.0 && without.is_empty();
        let wires = self.live.len();
        let values = &mut self.values;
        values.clear();
        values.extend_from_slice(&self.h);
        for &row in without {
            values[self.rows.meters.entries[row as usize].clone()].fill(0.0);
        }
        for (row, &variance) in self.rows.meters.variance.iter().enumerate() {
            let gone = without.binary_search(&(row as u32)).is_ok();
            values.push(if gone { 1.0 } else { variance });
        }
        let first = values.len();
        values.resize(self.plan.positions().len(), 0.0);
        if soft > 0.0 {
            let mut most = vec![1e-6_f64; 2 * wires];
            let mut row_most = vec![0.0_f64; self.rows.names.len()];
            for (&(row, column), value) in self.plan.positions().iter().zip(&self.h) {
                most[column as usize] = most[column as usize].max(value.abs());
                let row = row as usize - 2 * wires;
                row_most[row] = row_most[row].max(value.abs());
            }
            for (value, most) in values[first..first + 2 * wires].iter_mut().zip(&most) {
                *value = -damping.max(soft * most);
            }
            let rows = first - row_most.len();
            for (row, most) in row_most.iter().enumerate() {
                // As far below the row as the wires' ε is.
                values[rows + row] = values[rows + row].max(soft * most.max(1e-6) * 1e-3);
            }
        }
    }

    fn right_side(&self) -> Vec<f64> {
        let size = 2 * self.live.len();
        let mut right = vec![0.0; self.plan.size()];
        for (&(row, column), value) in self.plan.positions().iter().zip(&self.h) {
            right[column as usize] -= value * self.mu[row as usize - size];
        }
        for (row, value) in right[size..].iter_mut().enumerate() {
            *value = self.residuals[row] - self.rows.meters.variance[row] * self.mu[row];
        }
        right
    }

    /// One or two corrections when the step does not solve the system well.
    fn refine(&self, right: &[f64], step: &mut [f64]) {
        let mut before = f64::INFINITY;
        for _ in 0..2 {
            let mut off = right.to_vec();
            self.plan.subtract(&self.values, step, &mut off);
            let size = self.factor.weighted(&off);
            if size <= 1e-9 * self.factor.weighted(right) || size >= 0.5 * before {
                return;
            }
            before = size;
            self.factor.solve(&mut off);
            for (value, correction) in step.iter_mut().zip(&off) {
                *value += correction;
            }
        }
    }

    pub(super) fn largest(&self, step: &[f64]) -> Result<(f64, usize), NoSolution> {
        let mut most = (0.0, 0);
        for (at, value) in step.iter().enumerate() {
            if !value.is_finite() {
                return Err(NoSolution::NotFinite { bus: self.bus_of(at as u32) });
            }
            if value.abs() > most.0 {
                most = (value.abs(), at);
            }
        }
        Ok((most.0, self.bus_of(most.1 as u32)))
    }

    pub(super) fn bus_of(&self, unknown: u32) -> usize {
        let wire = (unknown / 2) as usize;
        let of_row = |row: usize| self.rows.meters.wire[row] as usize;
        let size = 2 * self.live.len();
        let wire = if wire < self.live.len() { wire } else { of_row(unknown as usize - size) };
        self.live.bus.get(wire).map_or(0, |&bus| bus as usize)
    }

    fn finish(&self, iterations: usize) -> Estimated {
        let variance = &self.rows.meters.variance;
        let mut rows: Vec<EstimatedRow> = Vec::with_capacity(variance.len());
        for (row, &of) in self.rows.names.iter().enumerate() {
            let (residual, estimated) = (self.residuals[row], self.estimates[row]);
            let multiplier = if variance[row] > 0.0 { residual / variance[row] } else { self.mu[row] };
            rows.push(EstimatedRow {
                of,
                measured: estimated + residual,
                estimated,
                residual,
                variance: variance[row],
                multiplier,
            });
        }
        Estimated {
            voltages: self.live.spread(&self.x),
            iterations,
            objective: rows
                .iter()
                .filter(|row| row.variance > 0.0)
                .map(|row| row.residual * row.multiplier)
                .sum(),
            degrees_of_freedom: variance.len() as i64 - 2 * self.live.len() as i64,
            rows,
        }
    }
}

/// Voltages without load.
fn start(circuit: &Circuit, live: &Live) -> Result<Flat, NoSolution> {
    let mut stamps: Vec<Option<Stamp>> = Vec::with_capacity(circuit.series.len());
    for element in &circuit.series {
        stamps.push(stamp::series(circuit, live, element).map_err(|bus| NoSolution::Singular { bus })?);
    }
    stamps.extend((0..circuit.general.len()).map(|index| stamp::general(circuit, live, index)));
    Ok(flat::walk(circuit, live, &stamps))
}

/// The pattern: H, R, ε. A row belongs to the block of the bus it is measured at.
/// `more` are further positions among the voltages.
pub(super) fn plan(live: &Live, meters: &Meters, more: &[(u32, u32)]) -> Symbolic {
    let blocks = compact(&live.bus);
    let size = 2 * live.len() as u32;
    let mut block_of: Vec<u32> = blocks.iter().flat_map(|&block| [block, block]).collect();
    block_of.resize(size as usize + meters.variance.len(), 0);
    let mut positions = Vec::new();
    for meter in &meters.meters {
        let columns = meters.columns_of(meter);
        for &row in meter.rows.iter().filter(|row| **row != NO_ROW) {
            block_of[(size + row) as usize] = blocks[meters.wire[row as usize] as usize];
            for &column in columns {
                positions.extend([(size + row, 2 * column), (size + row, 2 * column + 1)]);
            }
        }
    }
    positions.extend((0..meters.variance.len() as u32).map(|row| (size + row, size + row)));
    positions.extend((0..size).map(|unknown| (unknown, unknown)));
    positions.extend(more);
    Symbolic::symmetric(&block_of, positions)
}

#[cfg(test)]
impl Wls {
    /// Whether the factors are the estimate's own.
    pub(super) fn own(&self) -> bool {
        self.own
    }

    /// Puts voltages (by global wire, all live) and looks.
    pub(super) fn put(&mut self, voltages: &[Complex64]) {
        self.x.copy_from_slice(voltages);
        self.look();
    }

    pub(super) fn residual(&self, row: usize) -> f64 {
        self.residuals[row]
    }

    /// Entries of a row of H.
    pub(super) fn row_of_h(&self, row: usize) -> Vec<(usize, f64)> {
        let range = self.rows.meters.entries[row].clone();
        let positions = &self.plan.positions()[range.clone()];
        positions.iter().zip(&self.h[range]).map(|(at, &value)| (at.1 as usize, value)).collect()
    }
}
