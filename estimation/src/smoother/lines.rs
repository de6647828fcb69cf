//! The tree as the passes walk it: one compact record per position, seen from the source.

use super::dense::{self, Arithmetic, Even, Matrix, Plain, Transposed, Vector};
use super::precision::{Real, rounded_even};
use crate::circuit::{Circuit, Coupling, NotATree, Tree};
use nalgebra::DMatrix;
use num_complex::Complex64;

/// No entry.
pub(super) const NONE: u32 = u32::MAX;

/// The element above a position: `V = T V_parent − Z J`, the parent gives `T' J`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line {
    /// Z when it is even, see [`Even`].
    pub z: Even,
    /// Position of the parent.
    pub parent: u32,
    /// Index of T among the ratios, [`NONE`] for the unit matrix.
    pub ratio: u32,
    /// Index of Z among the full matrices, [`NONE`] when it is even.
    pub full: u32,
    /// Index of the subtree's evidence on the voltage; [`NONE`] when nothing below says anything.
    pub evidence: u32,
}

impl Line {
    /// Z: when it is even, and its index among the full matrices.
    #[inline(always)]
    pub fn impedance<T: Real>(&self) -> (Even<T>, u32) {
        (rounded_even(&self.z), self.full)
    }
}

/// The lines of a tree with their matrices, and the admittance at every bus.
#[derive(Debug, Clone)]
pub(super) struct Lines<const N: usize> {
    /// By position; the root's is a line without impedance that nobody reads.
    pub line: Vec<Line>,
    /// Distinct ratios T.
    pub ratios: Vec<Matrix<N>>,
    /// Their transposes.
    pub ratios_transposed: Vec<Matrix<N>>,
    /// Impedances that are not even.
    pub full: Vec<Matrix<N>>,
    /// Their transposes.
    pub full_transposed: Vec<Matrix<N>>,
    /// Admittance at each position: every shunt, and the ends of every element.
    pub shunt: Vec<Shunt>,
    /// Admittances that are not even.
    pub full_shunts: Vec<Matrix<N>>,
}

/// The admittance at a bus.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Shunt {
    /// The even part.
    pub even: Even,
    /// Index of a full matrix to add, plus one; zero when there is none.
    pub full: u32,
}

impl Shunt {
    /// Whether there is nothing.
    #[inline(always)]
    pub fn is_none(&self) -> bool {
        let [dr, di, mr, mi] = self.even;
        self.full == 0 && dr == 0.0 && di == 0.0 && mr == 0.0 && mi == 0.0
    }
}

/// `[d_re, d_im, m_re, m_im]` of an even coupling over `wires` wires.
fn even(own: Complex64, mutual: Complex64, wires: usize) -> Even {
    let mutual = if wires == 1 { Complex64::ZERO } else { mutual };
    let d = own - mutual;
    [d.re, d.im, mutual.re, mutual.im]
}

/// The real form of a complex matrix.
pub(super) fn real_form<const N: usize>(m: &DMatrix<Complex64>) -> Matrix<N> {
    let w = N / 2;
    let mut real = dense::zero();
    for r in 0..w {
        for c in 0..w {
            let z = m[(r, c)];
            let (re, im) = (dense::lane::<N>(r), dense::lane::<N>(r + w));
            real[c][re] = z.re;
            real[c + w][im] = z.re;
            real[c][im] = z.im;
            real[c + w][re] = -z.im;
        }
    }
    real
}

impl<const N: usize> Lines<N> {
    pub fn new(circuit: &Circuit, tree: &Tree) -> Result<Self, NotATree> {
        let count = tree.order.len();
        let mut lines = Self {
            line: Vec::with_capacity(count),
            ratios: Vec::new(),
            ratios_transposed: Vec::new(),
            full: Vec::new(),
            full_transposed: Vec::new(),
            shunt: vec![Shunt::default(); count],
            full_shunts: Vec::new(),
        };
        for position in 0..count {
            let line = lines.line_above(circuit, tree, position)?;
            lines.line.push(line);
        }
        lines.add_shunts(circuit, tree);
        Ok(lines)
    }

    fn line_above(&mut self, circuit: &Circuit, tree: &Tree, position: usize) -> Result<Line, NotATree> {
        let mut line = Line { z: [0.0; 4], parent: 0, ratio: NONE, full: NONE, evidence: NONE };
        if position == 0 {
            return Ok(line);
        }
        line.parent = tree.parent[position];
        let (ratio, z) = tree.downstream(circuit, position)?;
        if let Some(ratio) = ratio {
            line.ratio = self.ratio(&real_form(&ratio));
        }
        match z {
            Coupling::Zero => {}
            Coupling::Even { own, mutual } => line.z = even(own, mutual, N / 2),
            Coupling::Full(z) => {
                line.full = self.full.len() as u32;
                let z = real_form(&z);
                self.full.push(z);
                self.full_transposed.push(dense::transpose(Plain, &z));
            }
        }
        Ok(line)
    }

    /// The index of a ratio; equal ones share a place.
    fn ratio(&mut self, ratio: &Matrix<N>) -> u32 {
        // Transformers repeat themselves; a few distinct ratios are searched from the end.
        let known = self.ratios.iter().rev().take(64).position(|known| known == ratio);
        if let Some(back) = known {
            return (self.ratios.len() - 1 - back) as u32;
        }
        self.ratios.push(*ratio);
        self.ratios_transposed.push(dense::transpose(Plain, ratio));
        (self.ratios.len() - 1) as u32
    }

    fn add_shunts(&mut self, circuit: &Circuit, tree: &Tree) {
        let alive = |bus: u32| tree.position[bus as usize] != NONE;
        for (series, &below) in circuit.series.iter().zip(&tree.below(circuit)).filter(|pair| *pair.1 != NONE)
        {
            let (here, above) = (below as usize, tree.parent[below as usize]);
            let (from, to) = if tree.fed_at_from[here] { (above, below) } else { (below, above) };
            self.add_shunt(from, &series.y_from);
            self.add_shunt(to, &series.y_to);
        }
        for shunt in circuit.shunts.iter().filter(|shunt| alive(shunt.bus)) {
            self.add_shunt(tree.position[shunt.bus as usize], &shunt.y);
        }
        for general in &circuit.general {
            if let Some((bus, y)) = general_at_bus(general, N / 2, &alive) {
                self.add_shunt(tree.position[bus as usize], &Coupling::Full(Box::new(y)));
            }
        }
    }

    fn add_shunt(&mut self, position: u32, y: &Coupling) {
        let shunt = &mut self.shunt[position as usize];
        match y {
            Coupling::Zero => {}
            Coupling::Even { own, mutual } => {
                let more = even(*own, *mutual, N / 2);
                for (sum, part) in shunt.even.iter_mut().zip(more) {
                    *sum += part;
                }
            }
            Coupling::Full(y) => {
                let more = real_form(y);
                if shunt.full == 0 {
                    self.full_shunts.push(more);
                    shunt.full = self.full_shunts.len() as u32;
                } else {
                    let place = &mut self.full_shunts[shunt.full as usize - 1];
                    *place = dense::plus(Plain, place, &more);
                }
            }
        }
    }

    /// An admittance on its own.
    pub fn shunt_of(&mut self, y: &Coupling) -> Shunt {
        match y {
            Coupling::Zero => Shunt::default(),
            Coupling::Even { own, mutual } => Shunt { even: even(*own, *mutual, N / 2), full: 0 },
            Coupling::Full(y) => {
                self.full_shunts.push(real_form(y));
                Shunt { even: [0.0; 4], full: self.full_shunts.len() as u32 }
            }
        }
    }

    /// The admittance at a position.
    #[inline(always)]
    pub fn admittance<K: Arithmetic>(&self, kit: K, position: usize) -> Matrix<N> {
        let shunt = &self.shunt[position];
        let mut y = dense::unit();
        for column in &mut y {
            *column = dense::even_times::<_, N>(kit, &shunt.even, column, Transposed::No);
        }
        if shunt.full != 0 {
            y = dense::plus(kit, &y, &self.full_shunts[shunt.full as usize - 1]);
        }
        y
    }

    /// Y V at a position.
    #[inline(always)]
    pub fn shunt_current<K: Arithmetic>(&self, kit: K, position: usize, v: &Vector) -> Vector {
        let shunt = &self.shunt[position];
        let mut current = dense::even_times::<_, N>(kit, &shunt.even, v, Transposed::No);
        if shunt.full != 0 {
            let y = &self.full_shunts[shunt.full as usize - 1];
            current = dense::add(kit, &current, &dense::times(kit, y, v));
        }
        current
    }

    /// Adds Y V to the current and Y' μ to the gradient by the voltage.
    #[inline(always)]
    pub fn add_shunt_terms<K: Arithmetic>(
        &self,
        kit: K,
        position: usize,
        (v, j): (&Vector, &mut Vector),
        (mu, pull): (&Vector, &mut Vector),
    ) {
        let shunt = &self.shunt[position];
        if shunt.is_none() {
            return;
        }
        *j = dense::add(kit, j, &dense::even_times::<_, N>(kit, &shunt.even, v, Transposed::No));
        *pull = dense::add(kit, pull, &dense::even_times::<_, N>(kit, &shunt.even, mu, Transposed::Yes));
        if shunt.full != 0 {
            let y = &self.full_shunts[shunt.full as usize - 1];
            *j = dense::times_plus(kit, y, v, j);
            *pull = dense::add(kit, pull, &dense::transposed_times(kit, y, mu));
        }
    }

    /// Z x
    #[inline(always)]
    pub fn z<K: Arithmetic>(&self, kit: K, line: &Line, x: &Vector) -> Vector {
        if line.full == NONE {
            dense::even_times::<_, N>(kit, &line.z, x, Transposed::No)
        } else {
            dense::times(kit, &self.full[line.full as usize], x)
        }
    }

    /// Z' x
    #[inline(always)]
    pub fn zt<K: Arithmetic>(&self, kit: K, line: &Line, x: &Vector) -> Vector {
        if line.full == NONE {
            dense::even_times::<_, N>(kit, &line.z, x, Transposed::Yes)
        } else {
            dense::times(kit, &self.full_transposed[line.full as usize], x)
        }
    }

    /// Z M
    #[inline(always)]
    pub fn z_matrix<K: Arithmetic>(&self, kit: K, line: &Line, m: &Matrix<N>) -> Matrix<N> {
        let mut y = *m;
        for column in &mut y {
            *column = self.z(kit, line, column);
        }
        y
    }

    /// Z' M
    #[inline(always)]
    pub fn zt_matrix<K: Arithmetic>(&self, kit: K, line: &Line, m: &Matrix<N>) -> Matrix<N> {
        let mut y = *m;
        for column in &mut y {
            *column = self.zt(kit, line, column);
        }
        y
    }

    /// M Z
    #[inline(always)]
    pub fn matrix_z<K: Arithmetic>(&self, kit: K, line: &Line, m: &Matrix<N>) -> Matrix<N> {
        if line.full == NONE {
            dense::times_even(kit, m, &line.z, Transposed::No)
        } else {
            dense::product(kit, m, &self.full[line.full as usize])
        }
    }

    /// M Z'
    #[inline(always)]
    pub fn matrix_zt<K: Arithmetic>(&self, kit: K, line: &Line, m: &Matrix<N>) -> Matrix<N> {
        if line.full == NONE {
            dense::times_even(kit, m, &line.z, Transposed::Yes)
        } else {
            dense::product(kit, m, &self.full_transposed[line.full as usize])
        }
    }

    /// T x
    #[inline(always)]
    pub fn t<K: Arithmetic>(&self, kit: K, line: &Line, x: &Vector) -> Vector {
        if line.ratio == NONE { *x } else { dense::times(kit, &self.ratios[line.ratio as usize], x) }
    }

    /// T' x
    #[inline(always)]
    pub fn tt<K: Arithmetic>(&self, kit: K, line: &Line, x: &Vector) -> Vector {
        if line.ratio == NONE {
            *x
        } else {
            dense::times(kit, &self.ratios_transposed[line.ratio as usize], x)
        }
    }

    /// T' M T
    #[inline(always)]
    pub fn to_parent<K: Arithmetic>(&self, kit: K, line: &Line, m: &Matrix<N>) -> Matrix<N> {
        if line.ratio == NONE {
            return *m;
        }
        let (t, tt) = (&self.ratios[line.ratio as usize], &self.ratios_transposed[line.ratio as usize]);
        dense::product(kit, &dense::product(kit, tt, m), t)
    }

    /// T M T'
    #[inline(always)]
    #[allow(clippy::wrong_self_convention)] // from the parent, not a conversion
    pub fn from_parent<K: Arithmetic>(&self, kit: K, line: &Line, m: &Matrix<N>) -> Matrix<N> {
        if line.ratio == NONE {
            return *m;
        }
        let (t, tt) = (&self.ratios[line.ratio as usize], &self.ratios_transposed[line.ratio as usize]);
        dense::product(kit, &dense::product(kit, t, m), tt)
    }
}

/// A general element that touches one living bus only: that bus and its admittance over the bus's wires. Wires of dead
/// buses and ground have no voltage.
pub(super) fn general_at_bus(
    general: &crate::circuit::General,
    wires: usize,
    alive: &impl Fn(u32) -> bool,
) -> Option<(u32, DMatrix<Complex64>)> {
    let bus = general.terminals.iter().map(|terminal| terminal.0).find(|&bus| alive(bus))?;
    let rows = general.terminals.iter().flat_map(|(at, wires)| wires.iter().map(move |&wire| (*at, wire)));
    let places: Vec<Option<usize>> = rows
        .map(|(at, wire)| (at == bus && usize::from(wire) < wires).then_some(usize::from(wire)))
        .collect();
    let mut y = DMatrix::zeros(wires, wires);
    for (r, row) in places.iter().enumerate() {
        for (c, column) in places.iter().enumerate() {
            if let (Some(row), Some(column)) = (row, column) {
                y[(*row, *column)] += general.y[(r, c)];
            }
        }
    }
    Some((bus, y))
}

/// The admittance between the voltage of a terminal's bus and the current into that terminal.
pub(super) fn terminal_at_bus(
    general: &crate::circuit::General,
    wires: usize,
    terminal: usize,
) -> DMatrix<Complex64> {
    let bus = general.terminals[terminal].0;
    let rows = general
        .terminals
        .iter()
        .enumerate()
        .flat_map(|(t, (at, wires))| wires.iter().map(move |&wire| (t, *at, usize::from(wire))));
    let places: Vec<(usize, u32, usize)> = rows.collect();
    let mut y = DMatrix::zeros(wires, wires);
    for (r, &(t, _, row)) in places.iter().enumerate() {
        for (c, &(_, at, column)) in places.iter().enumerate() {
            if t == terminal && at == bus && row < wires && column < wires {
                y[(row, column)] += general.y[(r, c)];
            }
        }
    }
    y
}
