//! The complex voltages or currents of one bus, as the sweep calculates with them: [`Three`] wires in the lanes of one
//! vector, or [`Lanes`]: wires one by one, a scenario per lane.

use crate::simd::Arithmetic;
use num_complex::Complex64;

/// A complex matrix over at most three wires, column by column; the fourth row is zero.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Matrix {
    /// Real parts, a column each.
    pub re: [[f64; 4]; 3],
    /// Imaginary parts, a column each.
    pub im: [[f64; 4]; 3],
}

/// What the sweep needs of a bus quantity.
pub(super) trait Phasors: Copy {
    /// Largest squares met so far.
    type Squares: Copy + Default;
    /// Scenarios.
    const LANES: usize;
    /// Nothing.
    const ZERO: Self;

    /// One wire of one scenario.
    fn at(&self, wire: usize, lane: usize) -> Complex64;
    /// Sets one wire of one scenario.
    fn put(&mut self, wire: usize, lane: usize, value: Complex64);
    /// self + other.
    fn plus(self, other: Self) -> Self;
    /// self − other.
    fn minus(self, other: Self) -> Self;
    /// self + C x, C with one value on and one beside the diagonal: own re, own im, mutual re, mutual im.
    fn plus_coupled<A: Arithmetic>(self, c: &[f64; 4], x: Self) -> Self;
    /// M x.
    fn times<A: Arithmetic>(m: &Matrix, x: Self) -> Self;
    /// self + conj(s / v), wire by wire: the current of constant powers.
    fn plus_load<A: Arithmetic>(self, v: Self, s: Self) -> Self;
    /// self ∘ (1 + e Re r − conj r) with conj r = conj(moved) u: the current after voltages moved by r relative to
    /// 1 / conj(u), for appliances that take |V|^e.
    fn eased<A: Arithmetic>(self, moved: Self, u: Self, e: f64) -> Self;
    /// Keeps the larger of each wire's squared magnitude; a value that is no number replaces.
    fn raise<A: Arithmetic>(self, squares: &mut Self::Squares);
    /// The largest of all, or something that is no number.
    fn largest(squares: Self::Squares) -> f64;

    /// Adds to one wire of one scenario.
    #[inline(always)]
    fn add_at(&mut self, wire: usize, lane: usize, value: Complex64) {
        self.put(wire, lane, self.at(wire, lane) + value);
    }
}

#[inline(always)]
fn larger(a: f64, b: f64) -> f64 {
    if b < a { a } else { b }
}

/// Three wires side by side; the fourth lane is zero.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C, align(64))]
pub(super) struct Three {
    re: [f64; 4],
    im: [f64; 4],
}

#[inline(always)]
fn each(f: impl Fn(usize) -> f64) -> [f64; 4] {
    [f(0), f(1), f(2), f(3)]
}

/// The sum of the other two wires.
#[inline(always)]
fn others(x: [f64; 4]) -> [f64; 4] {
    [x[1] + x[2], x[2] + x[0], x[0] + x[1], x[3] + x[3]]
}

impl Phasors for Three {
    type Squares = [f64; 4];
    const LANES: usize = 1;
    const ZERO: Self = Self { re: [0.0; 4], im: [0.0; 4] };

    #[inline(always)]
    fn at(&self, wire: usize, _: usize) -> Complex64 {
        Complex64::new(self.re[wire], self.im[wire])
    }

    #[inline(always)]
    fn put(&mut self, wire: usize, _: usize, value: Complex64) {
        (self.re[wire], self.im[wire]) = (value.re, value.im);
    }

    #[inline(always)]
    fn plus(self, o: Self) -> Self {
        Self { re: each(|k| self.re[k] + o.re[k]), im: each(|k| self.im[k] + o.im[k]) }
    }

    #[inline(always)]
    fn minus(self, o: Self) -> Self {
        Self { re: each(|k| self.re[k] - o.re[k]), im: each(|k| self.im[k] - o.im[k]) }
    }

    #[inline(always)]
    fn plus_coupled<A: Arithmetic>(self, c: &[f64; 4], x: Self) -> Self {
        let (or, oi) = (others(x.re), others(x.im));
        let re = each(|k| A::fma(c[0], x.re[k], self.re[k]));
        let im = each(|k| A::fma(c[0], x.im[k], self.im[k]));
        let re = each(|k| A::fma(-c[1], x.im[k], re[k]));
        let im = each(|k| A::fma(c[1], x.re[k], im[k]));
        let re = each(|k| A::fma(c[2], or[k], re[k]));
        let im = each(|k| A::fma(c[2], oi[k], im[k]));
        Self { re: each(|k| A::fma(-c[3], oi[k], re[k])), im: each(|k| A::fma(c[3], or[k], im[k])) }
    }

    #[inline(always)]
    fn times<A: Arithmetic>(m: &Matrix, x: Self) -> Self {
        let mut y = Self::ZERO;
        for n in 0..3 {
            let (a, b) = (x.re[n], x.im[n]);
            y.re = each(|k| A::fma(-m.im[n][k], b, A::fma(m.re[n][k], a, y.re[k])));
            y.im = each(|k| A::fma(m.im[n][k], a, A::fma(m.re[n][k], b, y.im[k])));
        }
        y
    }

    #[inline(always)]
    fn plus_load<A: Arithmetic>(self, v: Self, s: Self) -> Self {
        const EMPTY: [f64; 4] = [0.0, 0.0, 0.0, 1.0];
        let w = each(|k| 1.0 / A::fma(v.re[k], v.re[k], A::fma(v.im[k], v.im[k], EMPTY[k])));
        let re = each(|k| A::fma(s.re[k], v.re[k], s.im[k] * v.im[k]));
        let im = each(|k| A::fma(s.re[k], v.im[k], -(s.im[k] * v.re[k])));
        Self { re: each(|k| A::fma(re[k], w[k], self.re[k])), im: each(|k| A::fma(im[k], w[k], self.im[k])) }
    }

    #[inline(always)]
    fn eased<A: Arithmetic>(self, moved: Self, u: Self, e: f64) -> Self {
        let cr = each(|k| A::fma(moved.re[k], u.re[k], moved.im[k] * u.im[k]));
        let ci = each(|k| A::fma(moved.re[k], u.im[k], -(moved.im[k] * u.re[k])));
        let f = each(|k| A::fma(e - 1.0, cr[k], 1.0));
        Self {
            re: each(|k| A::fma(self.im[k], ci[k], self.re[k] * f[k])),
            im: each(|k| A::fma(-self.re[k], ci[k], self.im[k] * f[k])),
        }
    }

    #[inline(always)]
    fn raise<A: Arithmetic>(self, squares: &mut [f64; 4]) {
        let g = each(|k| A::fma(self.re[k], self.re[k], self.im[k] * self.im[k]));
        *squares = each(|k| larger(squares[k], g[k]));
    }

    #[inline(always)]
    fn largest(squares: [f64; 4]) -> f64 {
        larger(larger(squares[0], squares[1]), squares[2])
    }
}

/// W wires, each with a scenario per lane.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C, align(32))]
pub(super) struct Lanes<const W: usize, const L: usize> {
    re: [[f64; L]; W],
    im: [[f64; L]; W],
}

#[inline(always)]
fn row<const L: usize>(f: impl Fn(usize) -> f64) -> [f64; L] {
    let mut row = [0.0; L];
    for l in 0..L {
        row[l] = f(l);
    }
    row
}

impl<const W: usize, const L: usize> Phasors for Lanes<W, L> {
    type Squares = Squares<L>;
    const LANES: usize = L;
    const ZERO: Self = Self { re: [[0.0; L]; W], im: [[0.0; L]; W] };

    #[inline(always)]
    fn at(&self, wire: usize, lane: usize) -> Complex64 {
        Complex64::new(self.re[wire][lane], self.im[wire][lane])
    }

    #[inline(always)]
    fn put(&mut self, wire: usize, lane: usize, value: Complex64) {
        (self.re[wire][lane], self.im[wire][lane]) = (value.re, value.im);
    }

    #[inline(always)]
    fn plus(mut self, o: Self) -> Self {
        for w in 0..W {
            self.re[w] = row(|l| self.re[w][l] + o.re[w][l]);
            self.im[w] = row(|l| self.im[w][l] + o.im[w][l]);
        }
        self
    }

    #[inline(always)]
    fn minus(mut self, o: Self) -> Self {
        for w in 0..W {
            self.re[w] = row(|l| self.re[w][l] - o.re[w][l]);
            self.im[w] = row(|l| self.im[w][l] - o.im[w][l]);
        }
        self
    }

    #[inline(always)]
    fn plus_coupled<A: Arithmetic>(mut self, c: &[f64; 4], x: Self) -> Self {
        // C x = (own − mutual) x + mutual Σ x.
        let (dr, di) = (c[0] - c[2], c[1] - c[3]);
        let (mut mr, mut mi) = ([0.0; L], [0.0; L]);
        if W > 1 {
            let (mut sr, mut si) = (x.re[0], x.im[0]);
            for w in 1..W {
                sr = row(|l| sr[l] + x.re[w][l]);
                si = row(|l| si[l] + x.im[w][l]);
            }
            mr = row(|l| A::fma(-c[3], si[l], c[2] * sr[l]));
            mi = row(|l| A::fma(c[3], sr[l], c[2] * si[l]));
        } else {
            let _ = (&mut mr, &mut mi);
        }
        for w in 0..W {
            let (re, im) = (x.re[w], x.im[w]);
            let (own_re, own_im) = if W > 1 { (dr, di) } else { (c[0], c[1]) };
            self.re[w] = row(|l| A::fma(-own_im, im[l], A::fma(own_re, re[l], self.re[w][l] + mr[l])));
            self.im[w] = row(|l| A::fma(own_im, re[l], A::fma(own_re, im[l], self.im[w][l] + mi[l])));
        }
        self
    }

    #[inline(always)]
    fn times<A: Arithmetic>(m: &Matrix, x: Self) -> Self {
        let mut y = Self::ZERO;
        for n in 0..W {
            for k in 0..W {
                let (a, b) = (m.re[n][k], m.im[n][k]);
                y.re[k] = row(|l| A::fma(-b, x.im[n][l], A::fma(a, x.re[n][l], y.re[k][l])));
                y.im[k] = row(|l| A::fma(b, x.re[n][l], A::fma(a, x.im[n][l], y.im[k][l])));
            }
        }
        y
    }

    #[inline(always)]
    fn plus_load<A: Arithmetic>(mut self, v: Self, s: Self) -> Self {
        for k in 0..W {
            let (x, y, p, q) = (v.re[k], v.im[k], s.re[k], s.im[k]);
            let w: [f64; L] = row(|l| 1.0 / A::fma(x[l], x[l], y[l] * y[l]));
            self.re[k] = row(|l| A::fma(A::fma(p[l], x[l], q[l] * y[l]), w[l], self.re[k][l]));
            self.im[k] = row(|l| A::fma(A::fma(p[l], y[l], -(q[l] * x[l])), w[l], self.im[k][l]));
        }
        self
    }

    #[inline(always)]
    fn eased<A: Arithmetic>(mut self, moved: Self, u: Self, e: f64) -> Self {
        for k in 0..W {
            let (x, y, a, b) = (moved.re[k], moved.im[k], u.re[k], u.im[k]);
            let cr: [f64; L] = row(|l| A::fma(x[l], a[l], y[l] * b[l]));
            let ci: [f64; L] = row(|l| A::fma(x[l], b[l], -(y[l] * a[l])));
            let (re, im) = (self.re[k], self.im[k]);
            let f: [f64; L] = row(|l| A::fma(e - 1.0, cr[l], 1.0));
            self.re[k] = row(|l| A::fma(im[l], ci[l], re[l] * f[l]));
            self.im[k] = row(|l| A::fma(-re[l], ci[l], im[l] * f[l]));
        }
        self
    }

    #[inline(always)]
    fn raise<A: Arithmetic>(self, squares: &mut Squares<L>) {
        for k in 0..W {
            let (re, im) = (self.re[k], self.im[k]);
            let g: [f64; L] = row(|l| A::fma(re[l], re[l], im[l] * im[l]));
            squares.0 = row(|l| larger(squares.0[l], g[l]));
        }
    }

    #[inline(always)]
    fn largest(squares: Squares<L>) -> f64 {
        squares.0.into_iter().fold(0.0, larger)
    }
}

/// One square per lane.
#[derive(Debug, Clone, Copy)]
pub(super) struct Squares<const L: usize>(pub [f64; L]);

impl<const L: usize> Default for Squares<L> {
    fn default() -> Self {
        Self([0.0; L])
    }
}
