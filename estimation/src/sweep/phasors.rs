//! The complex voltages or currents of one bus, as the sweep calculates with them: [`Three`] wires in the lanes of one
//! vector, or [`Lanes`]: wires one by one, a scenario per lane.

use super::rows::Row;
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
    fn plus<A: Arithmetic>(self, a: A, other: Self) -> Self;
    /// self − other.
    fn minus<A: Arithmetic>(self, a: A, other: Self) -> Self;
    /// self − C x, C as below.
    fn minus_coupled<A: Arithmetic>(self, a: A, c: &[f64; 4], x: Self) -> Self;
    /// self + C x, C with one value on and one beside the diagonal: own re, own im, mutual re, mutual im.
    fn plus_coupled<A: Arithmetic>(self, a: A, c: &[f64; 4], x: Self) -> Self;
    /// M x.
    fn times<A: Arithmetic>(a: A, m: &Matrix, x: Self) -> Self;
    /// self + conj(s / v), wire by wire: the current of constant powers.
    fn plus_load<A: Arithmetic>(self, a: A, v: Self, s: Self) -> Self;
    /// 1 / conj(self), wire by wire.
    fn inverse<A: Arithmetic>(self, a: A) -> Self;
    /// self ∘ (1 + e Re r − conj r) with conj r = conj(moved) u: the current after voltages moved by r, relative to
    /// 1 / conj(u), for appliances that take |V|^e. Waits little for `moved`.
    fn eased<A: Arithmetic>(self, a: A, moved: Self, u: Self, e: f64) -> Self;
    /// self ∘ other.
    fn scaled<A: Arithmetic>(self, a: A, other: Self) -> Self;
    /// self − D conj(x), D column by column.
    fn minus_turned<A: Arithmetic>(self, a: A, d: &[Self; 3], x: Self) -> Self;
    /// self ∘ other as a diagonal matrix, column by column.
    fn diagonal<A: Arithmetic>(self, a: A, other: Self) -> [Self; 3];
    /// Keeps the larger of each wire's squared magnitude; a value that is no number replaces.
    fn raise<A: Arithmetic>(self, a: A, squares: &mut Self::Squares);
    /// The largest of all, or something that is no number.
    fn largest(squares: Self::Squares) -> f64;

    /// Adds to one wire of one scenario.
    #[inline(always)]
    fn add_at(&mut self, wire: usize, lane: usize, value: Complex64) {
        self.put(wire, lane, self.at(wire, lane) + value);
    }
}

/// The largest of all; what is no number is the largest wherever it stands.
#[inline(always)]
fn worst(squares: impl Iterator<Item = f64>) -> f64 {
    let mut worst = 0.0;
    for square in squares {
        // Not `worst < square`: a square that is no number counts, and stays.
        if square.is_nan() || square > worst {
            worst = square;
        }
        if worst.is_nan() {
            break;
        }
    }
    worst
}

/// Three wires side by side; the fourth lane is zero.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C, align(64))]
pub(super) struct Three {
    re: [f64; 4],
    im: [f64; 4],
}

/// Keeps the fourth lane from a division by zero.
const EMPTY: [f64; 4] = [0.0, 0.0, 0.0, 1.0];

impl Three {
    /// Each wire: the sum of the other two.
    #[inline(always)]
    fn others<A: Arithmetic>(self, a: A) -> Self {
        let sum = |x: [f64; 4]| {
            let once = a.turn4(x);
            a.add4(once, a.turn4(once))
        };
        Self { re: sum(self.re), im: sum(self.im) }
    }
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
    fn plus<A: Arithmetic>(self, a: A, o: Self) -> Self {
        Self { re: a.add4(self.re, o.re), im: a.add4(self.im, o.im) }
    }

    #[inline(always)]
    fn minus<A: Arithmetic>(self, a: A, o: Self) -> Self {
        Self { re: a.sub4(self.re, o.re), im: a.sub4(self.im, o.im) }
    }

    #[inline(always)]
    fn plus_coupled<A: Arithmetic>(self, a: A, c: &[f64; 4], x: Self) -> Self {
        let o = x.others(a);
        let [or, oi, mr, mi] = c.map(|part| a.splat4(part));
        let own_re = a.fma4(or, x.re, a.fnma4(oi, x.im, self.re));
        let own_im = a.fma4(or, x.im, a.fma4(oi, x.re, self.im));
        Self {
            re: a.fnma4(mi, o.im, a.fma4(mr, o.re, own_re)),
            im: a.fma4(mi, o.re, a.fma4(mr, o.im, own_im)),
        }
    }

    #[inline(always)]
    fn minus_coupled<A: Arithmetic>(self, a: A, c: &[f64; 4], x: Self) -> Self {
        let o = x.others(a);
        let [or, oi, mr, mi] = c.map(|part| a.splat4(part));
        let own_re = a.fnma4(or, x.re, a.fma4(oi, x.im, self.re));
        let own_im = a.fnma4(or, x.im, a.fnma4(oi, x.re, self.im));
        Self {
            re: a.fma4(mi, o.im, a.fnma4(mr, o.re, own_re)),
            im: a.fnma4(mi, o.re, a.fnma4(mr, o.im, own_im)),
        }
    }

    #[inline(always)]
    fn times<A: Arithmetic>(a: A, m: &Matrix, x: Self) -> Self {
        let mut y = Self::ZERO;
        for n in 0..3 {
            let (re, im) = (a.splat4(x.re[n]), a.splat4(x.im[n]));
            y.re = a.fnma4(m.im[n], im, a.fma4(m.re[n], re, y.re));
            y.im = a.fma4(m.im[n], re, a.fma4(m.re[n], im, y.im));
        }
        y
    }

    #[inline(always)]
    fn plus_load<A: Arithmetic>(self, a: A, v: Self, s: Self) -> Self {
        let u = v.inverse(a);
        Self {
            re: a.fma4(s.re, u.re, a.fma4(s.im, u.im, self.re)),
            im: a.fma4(s.re, u.im, a.fnma4(s.im, u.re, self.im)),
        }
    }

    #[inline(always)]
    fn inverse<A: Arithmetic>(self, a: A) -> Self {
        let square = a.fma4(self.re, self.re, a.fma4(self.im, self.im, EMPTY));
        let w = a.div4(a.splat4(1.0), square);
        Self { re: a.mul4(self.re, w), im: a.mul4(self.im, w) }
    }

    #[inline(always)]
    fn scaled<A: Arithmetic>(self, a: A, o: Self) -> Self {
        Self {
            re: a.fnma4(self.im, o.im, a.mul4(self.re, o.re)),
            im: a.fma4(self.im, o.re, a.mul4(self.re, o.im)),
        }
    }

    #[inline(always)]
    fn eased<A: Arithmetic>(self, a: A, moved: Self, u: Self, e: f64) -> Self {
        let p = self.scaled(a, u);
        let (mut dd, mut dq, mut qd, mut qq) = (p.re, p.im, p.im, a.sub4([0.0; 4], p.re));
        if e != 0.0 {
            // Re r is half r, half conj r.
            let q = self.scaled(a, Self { re: u.re, im: a.sub4([0.0; 4], u.im) });
            let (by, half) = (a.splat4(1.0 - e / 2.0), a.splat4(e / 2.0));
            dd = a.fnma4(half, q.re, a.mul4(by, p.re));
            dq = a.fma4(half, q.im, a.mul4(by, p.im));
            qd = a.fnma4(half, q.im, a.mul4(by, p.im));
            qq = a.fnma4(half, q.re, a.mul4(by, qq));
        }
        Self {
            re: a.fnma4(dd, moved.re, a.fnma4(dq, moved.im, self.re)),
            im: a.fnma4(qd, moved.re, a.fnma4(qq, moved.im, self.im)),
        }
    }

    #[inline(always)]
    fn minus_turned<A: Arithmetic>(mut self, a: A, d: &[Self; 3], x: Self) -> Self {
        for n in 0..3 {
            let (re, im) = (a.splat4(x.re[n]), a.splat4(x.im[n]));
            self.re = a.fnma4(d[n].im, im, a.fnma4(d[n].re, re, self.re));
            self.im = a.fma4(d[n].re, im, a.fnma4(d[n].im, re, self.im));
        }
        self
    }

    #[inline(always)]
    fn diagonal<A: Arithmetic>(self, _: A, other: Self) -> [Self; 3] {
        let mut columns = [Self::ZERO; 3];
        for (n, column) in columns.iter_mut().enumerate() {
            column.put(n, 0, self.at(n, 0) * other.at(n, 0));
        }
        columns
    }

    #[inline(always)]
    fn raise<A: Arithmetic>(self, a: A, squares: &mut [f64; 4]) {
        let square = a.fma4(self.re, self.re, a.mul4(self.im, self.im));
        *squares = a.max4(*squares, square);
    }

    #[inline(always)]
    fn largest(squares: [f64; 4]) -> f64 {
        worst(squares[..3].iter().copied())
    }
}

/// W wires one by one, each with a scenario per lane.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C, align(32))]
pub(super) struct Lanes<const W: usize, R> {
    re: [R; W],
    im: [R; W],
}

impl<const W: usize, R: Row> Lanes<W, R> {
    #[inline(always)]
    fn sum<A: Arithmetic>(self, a: A) -> (R, R) {
        let (mut re, mut im) = (self.re[0], self.im[0]);
        for w in 1..W {
            (re, im) = (R::add(a, re, self.re[w]), R::add(a, im, self.im[w]));
        }
        (re, im)
    }
}

impl<const W: usize, R: Row> Phasors for Lanes<W, R> {
    type Squares = Squares<R>;
    const LANES: usize = R::LANES;
    const ZERO: Self = Self { re: [R::ZERO; W], im: [R::ZERO; W] };

    #[inline(always)]
    fn at(&self, wire: usize, lane: usize) -> Complex64 {
        Complex64::new(self.re[wire].lane(lane), self.im[wire].lane(lane))
    }

    #[inline(always)]
    fn put(&mut self, wire: usize, lane: usize, value: Complex64) {
        self.re[wire].put(lane, value.re);
        self.im[wire].put(lane, value.im);
    }

    #[inline(always)]
    fn plus<A: Arithmetic>(mut self, a: A, o: Self) -> Self {
        for w in 0..W {
            self.re[w] = R::add(a, self.re[w], o.re[w]);
            self.im[w] = R::add(a, self.im[w], o.im[w]);
        }
        self
    }

    #[inline(always)]
    fn minus<A: Arithmetic>(mut self, a: A, o: Self) -> Self {
        for w in 0..W {
            self.re[w] = R::sub(a, self.re[w], o.re[w]);
            self.im[w] = R::sub(a, self.im[w], o.im[w]);
        }
        self
    }

    #[inline(always)]
    fn plus_coupled<A: Arithmetic>(self, a: A, c: &[f64; 4], x: Self) -> Self {
        self.minus_coupled(a, &[-c[0], -c[1], -c[2], -c[3]], x)
    }

    /// C x = (own − mutual) x + mutual Σ x.
    #[inline(always)]
    fn minus_coupled<A: Arithmetic>(mut self, a: A, c: &[f64; 4], x: Self) -> Self {
        let mut own = [c[0], c[1]];
        if W > 1 {
            own = [c[0] - c[2], c[1] - c[3]];
            let (re, im) = x.sum(a);
            let (mr, mi) = (R::splat(a, c[2]), R::splat(a, c[3]));
            let by_re = R::fnma(a, mi, im, R::mul(a, mr, re));
            let by_im = R::fma(a, mi, re, R::mul(a, mr, im));
            for w in 0..W {
                self.re[w] = R::sub(a, self.re[w], by_re);
                self.im[w] = R::sub(a, self.im[w], by_im);
            }
        }
        let [or, oi] = own.map(|part| R::splat(a, part));
        for w in 0..W {
            self.re[w] = R::fnma(a, or, x.re[w], R::fma(a, oi, x.im[w], self.re[w]));
            self.im[w] = R::fnma(a, or, x.im[w], R::fnma(a, oi, x.re[w], self.im[w]));
        }
        self
    }

    #[inline(always)]
    fn times<A: Arithmetic>(a: A, m: &Matrix, x: Self) -> Self {
        let mut y = Self::ZERO;
        for n in 0..W {
            for k in 0..W {
                let (re, im) = (R::splat(a, m.re[n][k]), R::splat(a, m.im[n][k]));
                y.re[k] = R::fnma(a, im, x.im[n], R::fma(a, re, x.re[n], y.re[k]));
                y.im[k] = R::fma(a, im, x.re[n], R::fma(a, re, x.im[n], y.im[k]));
            }
        }
        y
    }

    #[inline(always)]
    fn plus_load<A: Arithmetic>(mut self, a: A, v: Self, s: Self) -> Self {
        let u = v.inverse(a);
        for k in 0..W {
            self.re[k] = R::fma(a, s.re[k], u.re[k], R::fma(a, s.im[k], u.im[k], self.re[k]));
            self.im[k] = R::fma(a, s.re[k], u.im[k], R::fnma(a, s.im[k], u.re[k], self.im[k]));
        }
        self
    }

    #[inline(always)]
    fn inverse<A: Arithmetic>(mut self, a: A) -> Self {
        for k in 0..W {
            let (x, y) = (self.re[k], self.im[k]);
            let w = R::div(a, R::splat(a, 1.0), R::fma(a, x, x, R::mul(a, y, y)));
            (self.re[k], self.im[k]) = (R::mul(a, x, w), R::mul(a, y, w));
        }
        self
    }

    #[inline(always)]
    fn eased<A: Arithmetic>(self, a: A, moved: Self, u: Self, e: f64) -> Self {
        let (one, less) = (R::splat(a, 1.0), R::splat(a, e - 1.0));
        let mut factor = Self::ZERO;
        for k in 0..W {
            let (x, y, p, q) = (moved.re[k], moved.im[k], u.re[k], u.im[k]);
            factor.re[k] = R::fma(a, less, R::fma(a, x, p, R::mul(a, y, q)), one);
            factor.im[k] = R::fnma(a, x, q, R::mul(a, y, p));
        }
        self.scaled(a, factor)
    }

    #[inline(always)]
    fn scaled<A: Arithmetic>(mut self, a: A, o: Self) -> Self {
        for k in 0..W {
            let (re, im) = (self.re[k], self.im[k]);
            self.re[k] = R::fnma(a, im, o.im[k], R::mul(a, re, o.re[k]));
            self.im[k] = R::fma(a, im, o.re[k], R::mul(a, re, o.im[k]));
        }
        self
    }

    #[inline(always)]
    fn minus_turned<A: Arithmetic>(mut self, a: A, d: &[Self; 3], x: Self) -> Self {
        for n in 0..W.min(3) {
            for k in 0..W {
                let (re, im) = (d[n].re[k], d[n].im[k]);
                self.re[k] = R::fnma(a, im, x.im[n], R::fnma(a, re, x.re[n], self.re[k]));
                self.im[k] = R::fma(a, re, x.im[n], R::fnma(a, im, x.re[n], self.im[k]));
            }
        }
        self
    }

    #[inline(always)]
    fn diagonal<A: Arithmetic>(self, a: A, o: Self) -> [Self; 3] {
        let mut columns = [Self::ZERO; 3];
        for n in 0..W.min(3) {
            let (x, y, p, q) = (self.re[n], self.im[n], o.re[n], o.im[n]);
            columns[n].re[n] = R::fnma(a, y, q, R::mul(a, x, p));
            columns[n].im[n] = R::fma(a, y, p, R::mul(a, x, q));
        }
        columns
    }

    #[inline(always)]
    fn raise<A: Arithmetic>(self, a: A, squares: &mut Squares<R>) {
        for k in 0..W {
            let square = R::fma(a, self.re[k], self.re[k], R::mul(a, self.im[k], self.im[k]));
            squares.0 = R::max(a, squares.0, square);
        }
    }

    #[inline(always)]
    fn largest(squares: Squares<R>) -> f64 {
        worst((0..R::LANES).map(|lane| squares.0.lane(lane)))
    }
}

/// One square per lane.
#[derive(Debug, Clone, Copy)]
pub(super) struct Squares<R>(pub R);

impl<R: Row> Default for Squares<R> {
    fn default() -> Self {
        Self(R::ZERO)
    }
}
