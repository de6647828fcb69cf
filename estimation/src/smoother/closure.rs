//! What closing loops tells of everything: covariances of a network with loops from those of its tree.
//!
//! Let M be how voltages and gradients (V, μ) answer to evidence and shifts of currents (e, a): `[c x; x' −γ]` at one bus, see
//! [`super::posterior`]. Ties draw C t, and close gaps C' (V, μ). With them (V, μ) answer by
//!
//! ```text
//! M + R T⁻¹ R'      R = M C      T = −C' M C
//! ```
//!
//! Every covariance changes by the same product of how both quantities answer to t. T⁻¹ = X Y' comes from triangular factors, so that
//! it is a sum over their columns, to which everything answers as to t itself. What hangs off the ways from ties to
//! the root is known through the bus it hangs on: only along them something has to be added.

use super::core::{Core, Drawn};
use super::dense::{self, LANES, Matrix, Plain, Vector};
use super::posterior::{self, Ends, Known, Variances};
use super::ties::Ties;
use super::ways::{Answered, Ways};
use nalgebra::DMatrix;

/// How the ways from ties to the root answer to unknowns put together in two ways, so that T⁻¹ is the sum over their pairs.
#[derive(Debug, Clone)]
pub(super) struct Closure<const N: usize> {
    /// Rising.
    positions: Vec<u32>,
    unknowns: usize,
    /// By position and unknown.
    answers: Vec<Pair<Answered>>,
    /// Of all that flows into the root, by unknown.
    into_root: Vec<Pair<Vector>>,
}

/// The same in both ways.
type Pair<T> = (T, T);

impl<const N: usize> Closure<N> {
    /// On the factors at hand; `None` before there are any.
    pub fn new(core: &Core<N>, ties: &Ties<N>) -> Option<Self> {
        let (left, right) = ties.unknowns()?;
        let positions: Vec<u32> = ties.positions().collect();
        let unknowns = left.ncols();
        let mut ways = Ways::new(ties);
        let mut answers = vec![(Answered::default(), Answered::default()); positions.len() * unknowns];
        let mut into_root = Vec::with_capacity(unknowns);
        for m in 0..unknowns {
            let one = ways.answer(core, ties, &drawn::<N>(&left, m));
            for (number, answer) in ways.answered().iter().enumerate() {
                answers[number * unknowns + m].0 = *answer;
            }
            let other = ways.answer(core, ties, &drawn::<N>(&right, m));
            for (number, answer) in ways.answered().iter().enumerate() {
                answers[number * unknowns + m].1 = *answer;
            }
            into_root.push((one, other));
        }
        Some(Self { positions, unknowns, answers, into_root })
    }

    /// The number of a position that is on a way.
    #[inline(always)]
    pub fn number(&self, position: usize) -> Option<usize> {
        self.positions.binary_search(&(position as u32)).ok()
    }

    fn answers(&self, number: usize) -> &[Pair<Answered>] {
        &self.answers[number * self.unknowns..(number + 1) * self.unknowns]
    }

    /// From a bus on a way to the next one below: writes what is wanted, and gives what is known inside the rows there. `bare` is
    /// what the tree alone knows, by level; `voltage_above` the covariance of the voltages at the upper end.
    pub fn below(
        &self,
        core: &Core<N>,
        (number, i): (usize, usize),
        (bare, voltage_above): (&mut [Known<N>], &Matrix<N>),
        ends: Option<&Ends>,
        out: &mut Variances,
    ) -> Known<N> {
        let level = core.place[i].level as usize;
        let mut outer = bare[level - 1];
        outer.through_above(core, i);
        let mut crossed = posterior::cross(Plain, core, i, &outer);
        bare[level] = crossed.known;
        if let Some(ends) = ends {
            let (mut v_j, mut j_j) = posterior::above(Plain, core, i, &outer, &crossed);
            let line = &core.lines.line[i];
            let parent = self.number(line.parent as usize).unwrap_or_default();
            for ((one, other), (above, _)) in self.answers(number).iter().zip(self.answers(parent)) {
                let current = |answered: &Answered| core.lines.tt(Plain, line, &answered.j);
                add_product(&mut v_j, &above.v, &current(other));
                add_product(&mut j_j, &current(one), &current(other));
                add_product(&mut crossed.known.c, &one.v, &other.v);
                add_product(&mut crossed.u_j, &one.u, &other.j);
                add_product(&mut crossed.j, &one.j, &other.j);
            }
            posterior::flows(Plain, core, i, (voltage_above, &v_j, &j_j), &crossed, ends, out);
        }
        self.arrive(core, (number, i), &mut bare[level], out)
    }

    /// Writes what is known of a bus on a way, and gives it as it is inside the rows there; so does `bare` afterwards.
    pub fn arrive(
        &self,
        core: &Core<N>,
        (number, i): (usize, usize),
        bare: &mut Known<N>,
        out: &mut Variances,
    ) -> Known<N> {
        bare.through_here(core, i);
        let mut known = *bare;
        let mut gradients = dense::zero();
        for (one, other) in self.answers(number) {
            add_product(&mut known.c, &one.v, &other.v);
            add_product(&mut known.x, &one.v, &other.mu);
            add_product(&mut gradients, &one.mu, &other.mu);
        }
        known.g = dense::minus(Plain, &known.g, &gradients);
        posterior::voltage(core, i, &known.c, out);
        posterior::taken(core, i, &known, out);
        known
    }

    /// Adds to covariances of what flows into the root: with its voltage, and with itself.
    pub fn add_into_root(&self, v_j: &mut Matrix<N>, j: &mut Matrix<N>) {
        for ((root, _), (one, other)) in self.answers(0).iter().zip(&self.into_root) {
            add_product(v_j, &root.v, other);
            add_product(j, one, other);
        }
    }

    /// How (V, μ) at a position answer to evidence at the root, from how they do on the tree alone.
    pub fn with_loops(&self, number: usize, bare: &(Vector, Vector), evidence: &Vector) -> (Vector, Vector) {
        let mut sum = *bare;
        for ((here, _), (_, root)) in self.answers(number).iter().zip(self.answers(0)) {
            let by = dense::dot(&root.v, evidence);
            sum.0 = dense::axpy(Plain, by, &here.v, &sum.0);
            sum.1 = dense::axpy(Plain, by, &here.mu, &sum.1);
        }
        sum
    }
}

/// Adds `one · other'`.
fn add_product<const N: usize>(to: &mut Matrix<N>, one: &Vector, other: &Vector) {
    for (c, column) in to.iter_mut().enumerate() {
        *column = dense::axpy(Plain, other[dense::lane::<N>(c)], one, column);
    }
}

/// What all ties draw in a column.
fn drawn<const N: usize>(unknowns: &DMatrix<f64>, column: usize) -> Vec<Drawn> {
    let lanes = |first: usize| {
        let mut all = [0.0; LANES];
        (0..N).for_each(|c| all[dense::lane::<N>(c)] = unknowns[(first + c, column)]);
        all
    };
    let ties = (0..unknowns.nrows()).step_by(2 * N);
    ties.map(|first| Drawn { current: lanes(first), pull: lanes(first + N) }).collect()
}
