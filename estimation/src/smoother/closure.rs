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
use super::lines::{Line, Lines};
use super::posterior::{self, Ends, Known, Variances};
use super::reference;
use super::ties::Ties;
use super::ways::{Answered, Ways};
use nalgebra::DMatrix;

/// What closing loops adds along the ways from ties to the root.
#[derive(Debug, Clone)]
pub(super) struct Closure<const N: usize> {
    /// Rising.
    positions: Vec<u32>,
    /// By position.
    added: Vec<Added<N>>,
    /// To covariances of what flows into the root: with its voltage, and with itself.
    into_root: (Matrix<N>, Matrix<N>),
}

/// What is added at a position.
#[derive(Debug, Clone, Copy)]
struct Added<const N: usize> {
    /// To c, x and −γ, inside the rows there.
    c: Matrix<N>,
    x: Matrix<N>,
    minus_g: Matrix<N>,
    /// To cov(U, J) and cov(J) of the line above.
    u_j: Matrix<N>,
    j: Matrix<N>,
    /// To cov(V, T'J) and cov(T'J) of the bus above it.
    v_j_above: Matrix<N>,
    j_above: Matrix<N>,
    /// To how (V, μ) answer to evidence along the angle of the root's first wire.
    answer: (Vector, Vector),
}

impl<const N: usize> Added<N> {
    const NOTHING: Self = Self {
        c: dense::zero(),
        x: dense::zero(),
        minus_g: dense::zero(),
        u_j: dense::zero(),
        j: dense::zero(),
        v_j_above: dense::zero(),
        j_above: dense::zero(),
        answer: ([0.0; LANES], [0.0; LANES]),
    };

    /// Adds one of the products that T⁻¹ is the sum of: of how everything answers to both unknowns, here and above.
    fn add(&mut self, lines: &Lines<N>, line: &Line, (one, other): Pair<&Answered>, above: &Answered) {
        let (current, other_current) = (lines.tt(Plain, line, &one.j), lines.tt(Plain, line, &other.j));
        add_product(&mut self.c, &one.v, &other.v);
        add_product(&mut self.x, &one.v, &other.mu);
        add_product(&mut self.minus_g, &one.mu, &other.mu);
        add_product(&mut self.u_j, &one.u, &other.j);
        add_product(&mut self.j, &one.j, &other.j);
        add_product(&mut self.v_j_above, &above.v, &other_current);
        add_product(&mut self.j_above, &current, &other_current);
    }
}

/// Of the two unknowns of a product.
type Pair<T> = (T, T);

impl<const N: usize> Closure<N> {
    /// On the factors at hand; `None` before there are any.
    pub fn new(core: &Core<N>, ties: &Ties<N>) -> Option<Self> {
        let (left, right) = ties.unknowns()?;
        let along = reference::along(core);
        let mut added = vec![Added::NOTHING; ties.paths.len()];
        let mut into_root = (dense::zero(), dense::zero());
        let (mut one_way, mut other_way) = (Ways::new(ties), Ways::new(ties));
        for column in 0..left.ncols() {
            let one = one_way.answer(core, ties, &drawn::<N>(&left, column));
            let other = other_way.answer(core, ties, &drawn::<N>(&right, column));
            let (ones, others) = (one_way.answered(), other_way.answered());
            let by = dense::dot(&others[0].v, &along);
            for ((added, &(i, parent)), pair) in
                added.iter_mut().zip(&ties.paths).zip(ones.iter().zip(others))
            {
                added.add(&core.lines, &core.lines.line[i as usize], pair, &ones[parent as usize]);
                added.answer.0 = dense::axpy(Plain, by, &pair.0.v, &added.answer.0);
                added.answer.1 = dense::axpy(Plain, by, &pair.0.mu, &added.answer.1);
            }
            add_product(&mut into_root.0, &ones[0].v, &other);
            add_product(&mut into_root.1, &one, &other);
        }
        let positions = ties.paths.iter().map(|path| path.0).collect();
        Some(Self { positions, added, into_root })
    }

    /// The number of a position that is on a way.
    #[inline(always)]
    pub fn number(&self, position: usize) -> Option<usize> {
        self.positions.binary_search(&(position as u32)).ok()
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
            let (v_j, j_j) = posterior::above(Plain, core, i, &outer, &crossed);
            let added = &self.added[number];
            let v_j = dense::plus(Plain, &v_j, &added.v_j_above);
            let j_j = dense::plus(Plain, &j_j, &added.j_above);
            crossed.known.c = dense::plus(Plain, &crossed.known.c, &added.c);
            crossed.u_j = dense::plus(Plain, &crossed.u_j, &added.u_j);
            crossed.j = dense::plus(Plain, &crossed.j, &added.j);
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
        let added = &self.added[number];
        let known = Known {
            c: dense::plus(Plain, &bare.c, &added.c),
            x: dense::plus(Plain, &bare.x, &added.x),
            g: dense::minus(Plain, &bare.g, &added.minus_g),
        };
        posterior::voltage(core, i, &known.c, out);
        posterior::taken(core, i, &known, out);
        known
    }

    /// Adds to covariances of what flows into the root: with its voltage, and with itself.
    pub fn add_into_root(&self, v_j: &mut Matrix<N>, j: &mut Matrix<N>) {
        *v_j = dense::plus(Plain, v_j, &self.into_root.0);
        *j = dense::plus(Plain, j, &self.into_root.1);
    }

    /// How (V, μ) at a position answer to evidence along the angle of the root's first wire, from how they do on the tree alone.
    pub fn with_loops(&self, number: usize, bare: &(Vector, Vector)) -> (Vector, Vector) {
        let added = &self.added[number].answer;
        (dense::add(Plain, &bare.0, &added.0), dense::add(Plain, &bare.1, &added.1))
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
