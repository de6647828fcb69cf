//! Loops closed on the tree. Of each loop one element is opened ([`crate::circuit::Opened`]); a tie joins its end, the twin, with the bus it
//! belongs to. It draws a current i from the bus that comes out of the twin, and the gradient by the voltage draws a force λ likewise.
//! At the optimum
//!
//! ```text
//! V_twin = V_bus        μ_twin = μ_bus
//! ```
//!
//! with 2N unknowns (i, λ) and 2N equations for each tie. On the factors of the tree both answer to (i, λ) linearly: a walk up from
//! both ends and down again for each unknown gives the matrix (the Schur complement of the bordered equations). After a step (i, λ) move by
//! what closes the gap that it left, and the next step carries that, together with all other residuals, to everywhere. Where the gap is closed,
//! a state without residual is the exact optimum of the network with its loops.

use super::core::{Core, Drawn};
use super::cuts::Cut;
use super::dense::{self, Plain, Vector};
use super::factor::Broken;
use super::lines::NONE;
use super::ways::Ways;
use crate::circuit::Tie;
use nalgebra::{DMatrix, DVector, Dyn, LU};

/// The ties of a tree.
#[derive(Debug, Clone)]
pub(super) struct Ties<const N: usize> {
    pub(super) ends: Vec<Ends>,
    /// (i, λ) of each tie.
    drawn: Vec<Drawn>,
    /// Positions from the ends to the root, rising, and the number of each one's parent among them.
    pub(super) paths: Vec<(u32, u32)>,
    /// First row of each cut among all rows at cuts, and one more.
    pub(super) first_row: Vec<usize>,
    /// How ends answer to what is drawn, on the factors at hand.
    answer: Option<Answer>,
    /// Whether the next step is the first one on its factors.
    fresh: bool,
}

/// Where a tie ends: numbers among the paths.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ends {
    pub twin: usize,
    pub bus: usize,
}

#[derive(Debug, Clone)]
struct Answer {
    /// Of gaps to what is drawn, after scaling.
    gaps: LU<f64, Dyn, Dyn>,
    /// By which gaps are multiplied before, and what is drawn after.
    scales: (DVector<f64>, DVector<f64>),
    /// Of voltages at both ends, tie by tie.
    voltages: DMatrix<f64>,
}

impl<const N: usize> Ties<N> {
    /// Gives every end a place among what is drawn.
    pub fn new(core: &mut Core<N>, ties: &[Tie]) -> Self {
        let mut on_path: Vec<u32> = vec![0];
        for end in ties.iter().flat_map(|tie| [tie.twin, tie.bus]) {
            let next = core.drawn.len() as u32;
            let site = core.site(end as usize);
            if site.drawn == NONE {
                site.drawn = next;
                core.drawn.push(Drawn::NOTHING);
            }
            let mut at = end;
            while at != 0 {
                on_path.push(at);
                at = core.lines.line[at as usize].parent;
            }
        }
        on_path.sort_unstable();
        on_path.dedup();
        let number = |position: u32| on_path.partition_point(|&on| on < position);
        let ends = ties.iter().map(|tie| Ends { twin: number(tie.twin), bus: number(tie.bus) }).collect();
        let parent = |&at: &u32| if at == 0 { 0 } else { number(core.lines.line[at as usize].parent) as u32 };
        let paths = on_path.iter().map(|at| (*at, parent(at))).collect();
        let mut first_row = vec![0];
        for cut in &core.cuts {
            first_row.push(first_row[first_row.len() - 1] + cut.rows.len());
        }
        Self { ends, drawn: vec![Drawn::NOTHING; ties.len()], paths, first_row, answer: None, fresh: false }
    }

    /// Draws nothing.
    pub fn restart(&mut self, core: &mut Core<N>) {
        self.drawn.fill(Drawn::NOTHING);
        core.drawn.fill(Drawn::NOTHING);
    }

    /// X and Y with `X Y' = T⁻¹`, where T says how gaps answer to what is drawn on the factors at hand, rows of gradients before those
    /// of voltages: then it is symmetric, as currents do to gradients what forces do to voltages.
    pub fn unknowns(&self) -> Option<(DMatrix<f64>, DMatrix<f64>)> {
        let Answer { gaps, scales, .. } = self.answer.as_ref()?;
        let size = scales.0.len();
        let unit = DMatrix::identity(size, size);
        let mut left = gaps.u().solve_upper_triangular(&unit)?;
        for (mut row, by) in left.row_iter_mut().zip(&scales.1) {
            row *= *by;
        }
        let mut by_gaps = gaps.l().transpose().solve_upper_triangular(&unit)?;
        gaps.p().inv_permute_rows(&mut by_gaps);
        for (mut row, by) in by_gaps.row_iter_mut().zip(&scales.0) {
            row *= *by;
        }
        let swapped = |row: usize| if row % (2 * N) < N { row + N } else { row - N };
        let right = DMatrix::from_fn(size, size, |row, column| by_gaps[(swapped(row), column)]);
        Some((left, right))
    }

    fn position(&self, number: usize) -> usize {
        self.paths[number].0 as usize
    }

    /// Finds out how ends answer on the factors at hand.
    pub fn factorize(&mut self, core: &Core<N>) -> Result<(), Broken> {
        let size = 2 * N * self.ends.len();
        let (mut gaps, mut voltages) = (DMatrix::zeros(size, size), DMatrix::zeros(size, size));
        let mut ways = Ways::new(self);
        for column in 0..size {
            let mut drawn = vec![Drawn::NOTHING; self.ends.len()];
            let (tie, lane) = (&mut drawn[column / (2 * N)], dense::lane::<N>(column % N));
            let part = if column % (2 * N) < N { &mut tie.current } else { &mut tie.pull };
            part[lane] = 1.0;
            ways.answer(core, self, &drawn);
            for (tie, ends) in self.ends.iter().enumerate() {
                let (twin, bus) = (&ways.answered()[ends.twin], &ways.answered()[ends.bus]);
                for c in 0..N {
                    let (row, lane) = (2 * N * tie + c, dense::lane::<N>(c));
                    gaps[(row, column)] = twin.v[lane] - bus.v[lane];
                    gaps[(row + N, column)] = twin.mu[lane] - bus.mu[lane];
                    voltages[(row, column)] = twin.v[lane];
                    voltages[(row + N, column)] = bus.v[lane];
                }
            }
        }
        self.answer = Answer::new(gaps, voltages);
        self.fresh = true;
        let position = self.position(self.ends[0].twin);
        if self.answer.is_some() { Ok(()) } else { Err(Broken { position }) }
    }

    /// Voltages and gradients at twins less those at their buses.
    fn gaps(&self, core: &Core<N>) -> DVector<f64> {
        let mut gaps = DVector::zeros(2 * N * self.ends.len());
        for (tie, ends) in self.ends.iter().enumerate() {
            let (twin, bus) = (self.position(ends.twin), self.position(ends.bus));
            for c in 0..N {
                let (row, lane) = (2 * N * tie + c, dense::lane::<N>(c));
                gaps[row] = core.v[twin][lane] - core.v[bus][lane];
                gaps[row + N] = core.mu[twin][lane] - core.mu[bus][lane];
            }
        }
        gaps
    }

    /// Moves what is drawn by what closes the gaps of the state, to be done before each step. The first one on new factors is the
    /// whole Gauss-Newton step of the network with its loops: `step` is tried, tells the gaps that it leaves, and is undone.
    pub fn close(&mut self, core: &mut Core<N>, step: impl FnOnce(&mut Core<N>)) {
        if std::mem::take(&mut self.fresh) {
            let before = State::of(core);
            step(core);
            self.draw(core);
            before.put_back(core);
        } else {
            self.draw(core);
        }
    }

    fn draw(&mut self, core: &mut Core<N>) {
        let Some(answer) = &self.answer else { return };
        let change = answer.closing(&self.gaps(core));
        core.drawn.fill(Drawn::NOTHING);
        for (tie, (drawn, ends)) in self.drawn.iter_mut().zip(&self.ends).enumerate() {
            for c in 0..N {
                let (row, lane) = (2 * N * tie + c, dense::lane::<N>(c));
                drawn.current[lane] += change[row];
                drawn.pull[lane] += change[row + N];
            }
            for (end, sign) in [(ends.bus, 1.0), (ends.twin, -1.0)] {
                let site = core.place[self.paths[end].0 as usize].site;
                let sum = &mut core.drawn[core.sites[site as usize].drawn as usize];
                sum.current = dense::axpy(Plain, sign, &drawn.current, &sum.current);
                sum.pull = dense::axpy(Plain, sign, &drawn.pull, &sum.pull);
            }
        }
    }

    /// By how much the objective of a state grows when its gaps are closed, to first order: they have the forces as multipliers.
    pub fn objective(&self, core: &Core<N>) -> f64 {
        let gaps = self.gaps(core);
        let of_tie = |(tie, drawn): (usize, &Drawn)| -> f64 {
            (0..N).map(|c| drawn.pull[dense::lane::<N>(c)] * gaps[2 * N * tie + c]).sum()
        };
        2.0 * self.drawn.iter().enumerate().map(of_tie).sum::<f64>()
    }

    /// The larger of a step's largest change of a voltage and what closing the gaps that it left will move at an end, p.u., and
    /// where.
    pub fn with_gaps(&self, core: &Core<N>, step: (f64, usize)) -> (f64, usize) {
        let Some(answer) = &self.answer else { return step };
        let moves = &answer.voltages * answer.closing(&self.gaps(core));
        let end = |row: usize| {
            let ends = &self.ends[row / (2 * N)];
            self.position(if row % (2 * N) < N { ends.twin } else { ends.bus })
        };
        moves.iter().enumerate().fold(step, |largest, (row, by)| {
            // What is no number stays the largest.
            if by.abs() <= largest.0 || largest.0.is_nan() { largest } else { (by.abs(), end(row)) }
        })
    }
}

/// What a step changes, where nothing is free.
struct State<const N: usize> {
    v: Vec<Vector>,
    mu: Vec<Vector>,
    j: Vec<Vector>,
    pull: Vec<Vector>,
    cuts: Vec<Cut<N>>,
}

impl<const N: usize> State<N> {
    fn of(core: &Core<N>) -> Self {
        let Core { v, mu, j, pull, cuts, .. } = core;
        Self { v: v.clone(), mu: mu.clone(), j: j.clone(), pull: pull.clone(), cuts: cuts.clone() }
    }

    fn put_back(self, core: &mut Core<N>) {
        let Self { v, mu, j, pull, cuts } = self;
        (core.v, core.mu, core.j, core.pull, core.cuts) = (v, mu, j, pull, cuts);
    }
}

impl Answer {
    /// `None` where something drawn changes nothing: a loop without impedance.
    fn new(mut gaps: DMatrix<f64>, voltages: DMatrix<f64>) -> Option<Self> {
        // Currents and forces differ by many orders of magnitude.
        let scale = |largest: f64| 1.0 / largest;
        let of_gaps = DVector::from_iterator(gaps.nrows(), gaps.row_iter().map(|row| scale(row.amax())));
        for (mut row, by) in gaps.row_iter_mut().zip(&of_gaps) {
            row *= *by;
        }
        let of_drawn =
            DVector::from_iterator(gaps.ncols(), gaps.column_iter().map(|column| scale(column.amax())));
        for (mut column, by) in gaps.column_iter_mut().zip(&of_drawn) {
            column *= *by;
        }
        let finite = gaps.iter().all(|entry| entry.is_finite());
        let gaps = finite.then(|| gaps.lu())?;
        let pivots = gaps.u().diagonal();
        (pivots.iter().all(|pivot| pivot.abs() > NO_PIVOT)).then_some(Self {
            gaps,
            scales: (of_gaps, of_drawn),
            voltages,
        })
    }

    /// What has to be drawn beside what is, to close the gaps.
    fn closing(&self, gaps: &DVector<f64>) -> DVector<f64> {
        let scaled = -gaps.component_mul(&self.scales.0);
        let found = self.gaps.solve(&scaled).unwrap_or_else(|| DVector::from_element(gaps.len(), f64::NAN));
        found.component_mul(&self.scales.1)
    }
}

/// Smaller pivots are rounding, after scaling.
const NO_PIVOT: f64 = 1e-13;
