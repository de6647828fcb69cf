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
use super::dense::{self, LANES, Plain, Vector};
use super::factor::Broken;
use super::lines::NONE;
use super::live::pass_rows;
use super::precision::Up;
use crate::circuit::Tie;
use nalgebra::{DMatrix, DVector, Dyn, LU};

/// The ties of a tree.
#[derive(Debug, Clone)]
pub(super) struct Ties<const N: usize> {
    ends: Vec<Ends>,
    /// (i, λ) of each tie.
    drawn: Vec<Drawn>,
    /// Positions from the ends to the root, rising, and the number of each one's parent among them.
    paths: Vec<(u32, u32)>,
    /// First row of each cut among all rows at cuts, and one more.
    first_row: Vec<usize>,
    /// How ends answer to what is drawn, on the factors at hand.
    answer: Option<Answer>,
    /// Whether the next step is the first one on its factors.
    fresh: bool,
}

/// Where a tie ends: numbers among the paths.
#[derive(Debug, Clone, Copy)]
struct Ends {
    twin: usize,
    bus: usize,
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

/// Corrections at a position: of its voltage and of the gradient by its current.
type Moved = (Vector, Vector);

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

    fn position(&self, number: usize) -> usize {
        self.paths[number].0 as usize
    }

    /// Finds out how ends answer on the factors at hand.
    pub fn factorize(&mut self, core: &Core<N>) -> Result<(), Broken> {
        let size = 2 * N * self.ends.len();
        let (mut gaps, mut voltages) = (DMatrix::zeros(size, size), DMatrix::zeros(size, size));
        let mut walk = Walk::new(self);
        for tie in 0..self.ends.len() {
            for unknown in 0..2 * N {
                let column = 2 * N * tie + unknown;
                walk.answer(core, self, tie, unknown);
                for (other, ends) in self.ends.iter().enumerate() {
                    let (twin, bus) = (&walk.moved[ends.twin], &walk.moved[ends.bus]);
                    for c in 0..N {
                        let (row, lane) = (2 * N * other + c, dense::lane::<N>(c));
                        gaps[(row, column)] = twin.0[lane] - bus.0[lane];
                        gaps[(row + N, column)] = twin.1[lane] - bus.1[lane];
                        voltages[(row, column)] = twin.0[lane];
                        voltages[(row + N, column)] = bus.0[lane];
                    }
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

/// Room for a walk over the paths.
struct Walk {
    /// By number on the paths: what arrives from below, if something does, and what the line makes of it.
    sums: Vec<Option<Up<f64>>>,
    up: Vec<Up<f64>>,
    /// By row at a cut: change of ν/s.
    nu: Vec<f64>,
    moved: Vec<Moved>,
}

impl Walk {
    fn new<const N: usize>(ties: &Ties<N>) -> Self {
        let (count, nothing) = (ties.paths.len(), Up::NOTHING);
        let rows = ties.first_row.last().copied().unwrap_or_default();
        let moved = vec![([0.0; LANES], [0.0; LANES]); count];
        Self { sums: vec![None; count], up: vec![nothing; count], nu: vec![0.0; rows], moved }
    }

    /// How all voltages and gradients on the paths answer when a tie draws one more of an unknown: of currents (the first N), of
    /// forces (the others).
    fn answer<const N: usize>(&mut self, core: &Core<N>, ties: &Ties<N>, tie: usize, unknown: usize) {
        let mut unit = Up::<f64>::NOTHING;
        let part = if unknown < N { &mut unit.a } else { &mut unit.e };
        let lane = dense::lane::<N>(unknown % N);
        let Ends { twin, bus } = ties.ends[tie];
        part[lane] = 1.0;
        self.sums[bus] = Some(unit);
        let part = if unknown < N { &mut unit.a } else { &mut unit.e };
        part[lane] = -1.0;
        self.sums[twin] = Some(unit);
        let e = self.climb(core, ties);
        self.descend(core, ties, dense::times(Plain, &core.root, &e));
    }

    /// Up to the root; gives the residual of the gradient there.
    fn climb<const N: usize>(&mut self, core: &Core<N>, ties: &Ties<N>) -> Vector {
        let factors = &core.double;
        for number in (0..ties.paths.len()).rev() {
            let (i, parent) = (ties.paths[number].0 as usize, ties.paths[number].1 as usize);
            let Some(mut sum) = self.sums[number].take() else {
                self.up[number] = Up::NOTHING;
                ties.rows_at(core, i).for_each(|row| self.nu[row] = 0.0);
                continue;
            };
            let site = core.place[i].site;
            if site != NONE {
                let (first, end) = core.sites[site as usize].here;
                (first..end).for_each(|cut| self.pass_up(core, ties, cut, &mut sum));
            }
            if i == 0 {
                return sum.e;
            }
            let line = &core.lines.line[i];
            let next = factors.climb(Plain, &factors.edges[i], line, &sum);
            self.up[number] = next;
            let mut at_parent =
                Up { a: factors.tt(Plain, line, &next.a), e: factors.tt(Plain, line, &next.e) };
            if site != NONE && core.sites[site as usize].above != NONE {
                self.pass_up(core, ties, core.sites[site as usize].above, &mut at_parent);
            }
            self.sums[parent] = Some(match self.sums[parent] {
                Some(there) => Up {
                    a: dense::add(Plain, &there.a, &at_parent.a),
                    e: dense::add(Plain, &there.e, &at_parent.e),
                },
                None => at_parent,
            });
        }
        [0.0; LANES]
    }

    fn pass_up<const N: usize>(&mut self, core: &Core<N>, ties: &Ties<N>, cut: u32, sum: &mut Up<f64>) {
        let first = ties.first_row[cut as usize];
        core.cuts[cut as usize].pass_up(sum, |row, nu| self.nu[first + row] = nu);
    }

    /// Down to all ends.
    fn descend<const N: usize>(&mut self, core: &Core<N>, ties: &Ties<N>, root: Vector) {
        let (factors, nu) = (&core.double, |cut: usize, row: usize| self.nu[ties.first_row[cut] + row]);
        let mut mu = [0.0; LANES];
        pass_rows::<f64, N>(core, 0, &root, &mut mu, &nu);
        self.moved[0] = (root, mu);
        for (number, &(i, parent)) in ties.paths.iter().enumerate().skip(1) {
            let (i, line) = (i as usize, &core.lines.line[i as usize]);
            let (v, mut mu) = self.moved[parent as usize];
            let site = core.place[i].site;
            if site != NONE && core.sites[site as usize].above != NONE {
                let cut = core.sites[site as usize].above as usize;
                core.cuts[cut].descend::<f64>(&v, &mut mu, |row| nu(cut, row));
            }
            let (u, omega) = (factors.t(Plain, line, &v), factors.t(Plain, line, &mu));
            let change = factors.descend(Plain, &factors.edges[i], line, &self.up[number], (&u, &omega));
            let v = dense::sub(Plain, &u, &factors.z(Plain, line, &change.a));
            let mut mu = dense::sub(Plain, &omega, &factors.zt(Plain, line, &change.e));
            pass_rows::<f64, N>(core, i, &v, &mut mu, &nu);
            self.moved[number] = (v, mu);
        }
    }
}

impl<const N: usize> Ties<N> {
    /// Numbers of the rows of cuts at a position and above it.
    fn rows_at(&self, core: &Core<N>, i: usize) -> impl Iterator<Item = usize> {
        let site = core.place[i].site;
        let (here, above) = if site == NONE {
            (0..0, NONE)
        } else {
            let site = core.sites[site as usize];
            (site.here.0 as usize..site.here.1 as usize, site.above)
        };
        let above = if above == NONE { 0..0 } else { above as usize..above as usize + 1 };
        let rows = |cuts: std::ops::Range<usize>| self.first_row[cuts.start]..self.first_row[cuts.end];
        rows(here).chain(rows(above))
    }
}
