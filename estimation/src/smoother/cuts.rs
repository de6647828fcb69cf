//! Readings of powers and currents: rows on the voltage of a bus and the current through a cut beside it.
//!
//! On its way up, the summary of a subtree, `J = a + A V + noise(S)` with evidence (L, e) on V, meets a row
//! `z = h_J J + h_V V + ε`, ε of variance r. With `g = h_V + A' h_J`, `s = h_J S h_J' + r`, `k = S h_J / s`,
//!
//! ```text
//! a += k ν    A −= k g'    S −= s k k'    L += g g' / s    e += g ν / s        ν = z − h_J a
//! ```
//!
//! On the way down, `λ = ν/s − g V/s − k μ` is the row's residual over its variance, and `μ += h_J λ`. Steps carry
//! corrections of all of these: a, V, μ and λ are then changes, and z is the row's residual at the state.

use super::dense::{self, HALF, LANES, Matrix, Plain, Vector};
use super::lines::NONE;

/// What a row measures of the current I and the voltage V of the cut.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Says {
    /// Active power of a wire; [`ALL`] is the sum.
    Active(u8),
    /// Reactive power.
    Reactive(u8),
    /// Magnitude of the current.
    Magnitude(u8),
    /// Part of the current along (`false`) or across (`true`) the measured phasor, which counts from the common
    /// reference (`false`) or from the voltage (`true`).
    Phasor { wire: u8, across: bool, relative: bool, angle: f64 },
    /// A part of the current itself is zero: what flows into the root from nowhere.
    Balance { wire: u8, imaginary: bool },
}

/// The sum over the wires.
pub(super) const ALL: u8 = u8::MAX;

/// Which current a cut carries, in terms of the summary it conditions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// What the bus itself takes.
    Own,
    /// I = Y V, of a shunt.
    Local,
    /// I = −J + Y V: into the element above, at the bus below it. Of the root: I = −J.
    Below,
    /// I = T' J + Y V_parent: into the element above, at the bus above it.
    Above,
}

/// One row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    pub says: Says,
    pub value: f64,
    pub variance: f64,
    /// h_J, k and g/s of the factors.
    pub h_j: Vector,
    pub k: Vector,
    pub g: Vector,
    pub s: f64,
    /// Whether the factors have a derivative of it.
    pub usable: bool,
    /// What a way up left for the next way down, divided by s.
    pub nu: f64,
    /// The multiplier λ at the state: at the optimum the residual over the variance.
    pub lambda: f64,
}

impl Row {
    pub fn new(says: Says, value: f64, variance: f64) -> Self {
        let zero = [0.0; LANES];
        Self {
            says,
            value,
            variance,
            h_j: zero,
            k: zero,
            g: zero,
            s: 1.0,
            usable: false,
            nu: 0.0,
            lambda: 0.0,
        }
    }
}

/// All rows at one cut.
#[derive(Debug, Clone)]
pub(super) struct Cut<const N: usize> {
    pub position: u32,
    pub place: Place,
    /// Index of Y, [`NONE`] when there is none.
    pub y: u32,
    pub rows: Vec<Row>,
    /// A and S after all rows, in the factors.
    pub a: Matrix<N>,
    pub s: Matrix<N>,
    /// Σ h_J λ at the state: what the gradient gains from the outer to the inner side; and what is still missing of it
    /// because the derivatives moved.
    pub gain: Vector,
    pub tilt: Vector,
    /// V, J (as conditioned) and the gradient by it of everything beyond the inner side, at the last step.
    pub v: Vector,
    pub j: Vector,
    pub mu: Vector,
    /// V and J where the factors were made.
    made_at: (Vector, Vector),
}

/// A row at a state: its value there, the reading, derivatives by I and V.
#[derive(Debug, Clone, Copy)]
pub(super) struct RowAt {
    pub value: f64,
    pub h_i: Vector,
    pub h_v: Vector,
    /// Whether the row can be used there (the magnitude of no current has no derivative).
    pub usable: bool,
}

impl Says {
    /// Changes the angle of a measured phasor.
    pub fn aim(&mut self, to: f64) {
        if let Says::Phasor { angle, .. } = self {
            *angle = to;
        }
    }

    /// Value and derivatives at voltage `v` and current `i`.
    pub fn at<const N: usize>(self, v: &Vector, i: &Vector) -> RowAt {
        let h = HALF;
        let mut row = RowAt { value: 0.0, h_i: [0.0; LANES], h_v: [0.0; LANES], usable: true };
        let wires = |wire: u8| if wire == ALL { 0..N / 2 } else { usize::from(wire)..usize::from(wire) + 1 };
        match self {
            Says::Active(wire) => {
                for k in wires(wire) {
                    row.value += v[k] * i[k] + v[k + h] * i[k + h];
                    (row.h_i[k], row.h_i[k + h]) = (v[k], v[k + h]);
                    (row.h_v[k], row.h_v[k + h]) = (i[k], i[k + h]);
                }
            }
            Says::Reactive(wire) => {
                for k in wires(wire) {
                    row.value += v[k + h] * i[k] - v[k] * i[k + h];
                    (row.h_i[k], row.h_i[k + h]) = (v[k + h], -v[k]);
                    (row.h_v[k], row.h_v[k + h]) = (-i[k + h], i[k]);
                }
            }
            Says::Magnitude(wire) => {
                let k = usize::from(wire);
                row.value = i[k].hypot(i[k + h]);
                row.usable = row.value > 1e-9;
                if row.usable {
                    (row.h_i[k], row.h_i[k + h]) = (i[k] / row.value, i[k + h] / row.value);
                }
            }
            Says::Phasor { wire, across, relative, angle } => {
                let k = usize::from(wire);
                let at = if relative { angle + v[k + h].atan2(v[k]) } else { angle };
                let (c, s) = (at.cos(), at.sin());
                let (along, beside) = (c * i[k] + s * i[k + h], c * i[k + h] - s * i[k]);
                row.value = if across { beside } else { along };
                (row.h_i[k], row.h_i[k + h]) = if across { (-s, c) } else { (c, s) };
                if relative {
                    // Turning the voltage turns the frame.
                    let by_angle = if across { -along } else { beside };
                    let square = v[k] * v[k] + v[k + h] * v[k + h];
                    (row.h_v[k], row.h_v[k + h]) = (-by_angle * v[k + h] / square, by_angle * v[k] / square);
                }
            }
            Says::Balance { wire, imaginary } => {
                let k = usize::from(wire) + if imaginary { h } else { 0 };
                row.value = i[k];
                row.h_i[k] = 1.0;
            }
        }
        row
    }
}

impl<const N: usize> Cut<N> {
    pub fn new(position: u32, place: Place, y: u32) -> Self {
        let zero = [0.0; LANES];
        let none = dense::zero();
        Self {
            position,
            place,
            y,
            rows: Vec::new(),
            a: none,
            s: none,
            gain: zero,
            tilt: zero,
            v: zero,
            j: zero,
            mu: zero,
            made_at: (zero, zero),
        }
    }

    /// How the current follows from J.
    fn sign(&self) -> f64 {
        match self.place {
            Place::Own | Place::Above => 1.0,
            Place::Below => -1.0,
            Place::Local => 0.0,
        }
    }

    /// The measured current at the state.
    pub fn current(&self, admittances: &[Matrix<N>]) -> Vector {
        self.current_of(admittances, &self.v, &self.j)
    }

    fn current_of(&self, admittances: &[Matrix<N>], v: &Vector, j: &Vector) -> Vector {
        let sign = self.sign();
        let mut i = j.map(|j| sign * j);
        if self.y != NONE {
            let y = &admittances[self.y as usize];
            i = dense::add(Plain, &i, &dense::times(Plain, y, v));
        }
        i
    }

    /// A row at a voltage and a measured current, in terms of J and V: value, h_J, h_V.
    fn evaluate(&self, row: &Row, (v, i): (&Vector, &Vector), admittances: &[Matrix<N>]) -> RowAt {
        let mut at = row.says.at::<N>(v, i);
        if self.y != NONE {
            let y = &admittances[self.y as usize];
            at.h_v = dense::add(Plain, &at.h_v, &dense::transposed_times(Plain, y, &at.h_i));
        }
        let sign = self.sign();
        at.h_i = at.h_i.map(|h| sign * h);
        at
    }

    /// Derivatives by V and by J, at the voltage of the state and a current, of the rows that have some.
    pub fn derivatives(
        &self,
        admittances: &[Matrix<N>],
        j: &Vector,
    ) -> impl Iterator<Item = (Vector, Vector)> {
        let i = self.current_of(admittances, &self.v, j);
        let rows = self.rows.iter().map(move |row| self.evaluate(row, (&self.v, &i), admittances));
        rows.filter(|row| row.usable).map(|row| (row.h_v, row.h_i))
    }

    /// By how much the derivatives of each row by V and by J are others than where the factors were made, and its variance.
    pub fn moved(&self, admittances: &[Matrix<N>]) -> impl Iterator<Item = (Vector, Vector, f64)> {
        let then = &self.made_at.0;
        let i = [self.current(admittances), self.current_of(admittances, then, &self.made_at.1)];
        self.rows.iter().map(move |row| {
            let now = self.evaluate(row, (&self.v, &i[0]), admittances);
            let then = self.evaluate(row, (then, &i[1]), admittances);
            let (by_v, by_j) =
                (dense::sub(Plain, &now.h_v, &then.h_v), dense::sub(Plain, &now.h_i, &then.h_i));
            (by_v, by_j, row.variance)
        })
    }

    /// Conditions a summary's matrices on the rows at the present state and keeps what the passes need.
    pub fn condition(
        &mut self,
        admittances: &[Matrix<N>],
        a: &mut Matrix<N>,
        s: &mut Matrix<N>,
        l: &mut Matrix<N>,
    ) {
        let i = self.current(admittances);
        self.made_at = (self.v, self.j);
        for at in 0..self.rows.len() {
            let now = self.evaluate(&self.rows[at], (&self.v, &i), admittances);
            let row = &mut self.rows[at];
            if !now.usable {
                (row.h_j, row.k, row.g, row.s) = ([0.0; LANES], [0.0; LANES], [0.0; LANES], 1.0);
                (row.usable, row.lambda) = (false, 0.0);
                continue;
            }
            let g = dense::add(Plain, &now.h_v, &dense::transposed_times(Plain, a, &now.h_i));
            let sh = dense::times(Plain, s, &now.h_i);
            let variance = (dense::dot(&now.h_i, &sh) + row.variance).max(1e-30);
            let k = sh.map(|x| x / variance);
            for c in 0..N {
                let lane = dense::lane::<N>(c);
                a[c] = dense::axpy(Plain, -g[lane], &k, &a[c]);
                s[c] = dense::axpy(Plain, -k[lane], &sh, &s[c]);
                l[c] = dense::axpy(Plain, g[lane] / variance, &g, &l[c]);
            }
            (row.h_j, row.k, row.s, row.usable) = (now.h_i, k, variance, true);
            row.g = g.map(|x| x / variance);
        }
        (self.a, self.s) = (*a, *s);
    }

    /// Takes corrections from the inner to the outer side and adds the rows' residuals at the state: `z − h − r λ` of
    /// each row, `h_V λ` to the gradient by V, and by how much the gradient gains something else than it did.
    pub fn up(&mut self, admittances: &[Matrix<N>], a: &mut Vector, e: &mut Vector) {
        let i = self.current(admittances);
        let mut gain = [0.0; LANES];
        for at in 0..self.rows.len() {
            let now = self.evaluate(&self.rows[at], (&self.v, &i), admittances);
            let row = &mut self.rows[at];
            if !row.usable {
                continue;
            }
            gain = dense::axpy(Plain, row.lambda, &now.h_i, &gain);
            *e = dense::axpy(Plain, row.lambda, &now.h_v, e);
            let nu = row.value - now.value - row.variance * row.lambda - dense::dot(&row.h_j, a);
            *a = dense::axpy(Plain, nu, &row.k, a);
            *e = dense::axpy(Plain, nu, &row.g, e);
            row.nu = nu / row.s;
        }
        self.tilt = dense::sub(Plain, &gain, &self.gain);
        self.gain = gain;
        *a = dense::times_plus(Plain, &self.s, &self.tilt, a);
        *e = dense::add(Plain, e, &dense::transposed_times(Plain, &self.a, &self.tilt));
    }

    /// Takes the correction of the gradient from the outer to the inner side; the rows' multipliers follow.
    pub fn down(&mut self, v: &Vector, mu: &mut Vector) {
        *mu = dense::add(Plain, mu, &self.tilt);
        for row in self.rows.iter_mut().rev() {
            let change = row.nu - dense::dot(&row.g, v) - dense::dot(&row.k, mu);
            *mu = dense::axpy(Plain, change, &row.h_j, mu);
            self.gain = dense::axpy(Plain, change, &row.h_j, &self.gain);
            row.lambda += change;
            row.nu = 0.0;
        }
    }

    /// Takes the gradient itself from the outer to the inner side, at the voltage and current the step ends with.
    pub fn stand(&mut self, v: &Vector, j: &Vector, mu: &mut Vector) {
        *mu = dense::add(Plain, mu, &self.gain);
        (self.v, self.j, self.mu) = (*v, *j, *mu);
    }
}
