//! What a subtree leaves open, on the way up.

use super::Tree;
use super::span::Span;
use crate::smoother::core::Core;
use crate::smoother::cuts::Cut;
use crate::smoother::dense::{self, HALF, LANES, Matrix, Plain, Vector};
use crate::smoother::injections::Load;
use crate::smoother::lines::NONE;

/// A voltage, then a current.
pub(super) type Pair = [f64; 2 * LANES];

pub(super) fn pair(v: &Vector, j: &Vector) -> Pair {
    let mut pair = [0.0; 2 * LANES];
    pair[..LANES].copy_from_slice(v);
    pair[LANES..].copy_from_slice(j);
    pair
}

pub(super) fn parts(pair: &Pair) -> (Vector, Vector) {
    let (mut v, mut j) = ([0.0; LANES], [0.0; LANES]);
    v.copy_from_slice(&pair[..LANES]);
    j.copy_from_slice(&pair[LANES..]);
    (v, j)
}

/// The lanes of a pair that stand for unknowns.
pub(super) fn lanes<const N: usize>() -> Vec<usize> {
    (0..2 * N).map(|at| dense::lane::<N>(at % N) + at / N * LANES).collect()
}

/// Pairs that a part of the network allows.
#[derive(Debug, Clone)]
pub(super) enum Reach<const N: usize> {
    /// Any voltage, and the current A V.
    Closed(Matrix<N>),
    /// These.
    Open(Span<{ 2 * LANES }>),
}

impl<const N: usize> Reach<N> {
    /// A part that takes nothing.
    pub const NOTHING: Self = Self::Closed(dense::zero());

    /// The voltage of a bus and the current that arrives there from above.
    pub fn of_bus(tree: &Tree<'_, N>, i: usize) -> Self {
        let core = tree.core;
        let (closed, open) = Self::parts_of_bus(tree, i);
        let all = open.iter().fold(Self::Closed(closed), |sum, (reach, child)| match (&sum, reach) {
            (Self::Open(sum), Self::Open(one)) if full::<N>(sum) && full::<N>(one) => Self::Open(sum.clone()),
            (Self::Closed(_), Self::Open(one)) if full::<N>(one) && straight(core, *child) => {
                Self::Open(one.clone())
            }
            _ => Self::Open(Join::new(core, sum.span(), reach.span(), *child).total()),
        });
        all.limited(rows_of_bus(tree, i))
    }

    /// What hangs on a bus: all that is closed as one matrix, and what is open with the line it comes from ([`NONE`]: the
    /// bus's own load).
    pub fn parts_of_bus(tree: &Tree<'_, N>, i: usize) -> (Matrix<N>, Vec<(Self, u32)>) {
        let core = tree.core;
        let mut closed = scaled(tree.unit[i], &core.lines.admittance(Plain, i));
        let mut open = Vec::new();
        match Self::of_load(tree, i) {
            Self::Closed(b) => closed = dense::plus(Plain, &closed, &b),
            load => open.push((load, NONE)),
        }
        for child in tree.children(i) {
            match &tree.reaches[child] {
                Self::Closed(a) => {
                    let mut a = *a;
                    a.iter_mut().for_each(|column| {
                        *column = core.lines.tt(Plain, &core.lines.line[child], column);
                    });
                    closed = dense::plus(Plain, &closed, &a);
                }
                Self::Open(span) => open.push((Self::Open(span.clone()), child as u32)),
            }
        }
        (closed, open)
    }

    /// What the load of a bus takes. Where nothing is taken a start that does not balance yet leaves a little, which turns
    /// with the voltage like any power.
    fn of_load(tree: &Tree<'_, N>, i: usize) -> Self {
        let core = tree.core;
        let all_free = tree.loads.get(core.place[i].load as usize).map_or(0, |load| load.free);
        let current = tree.taken(i);
        let b = by_voltage(&core.v[i], &current);
        let mut known = dense::zero::<N>();
        let free = |k: usize| all_free & (1 << k) != 0;
        for k in (0..N / 2).filter(|k| !free(*k)) {
            let w = N / 2;
            (known[k][k], known[k][k + HALF]) = (b[k], b[k + HALF]);
            (known[k + w][k], known[k + w][k + HALF]) = (b[k + HALF], -b[k]);
        }
        let mut reach = Self::Closed(scaled(tree.unit[i], &known));
        if all_free != 0 {
            let mut vectors = reach.vectors();
            for lane in (0..N / 2).filter(|k| free(*k)).flat_map(|k| [k, k + HALF]) {
                let mut current = [0.0; LANES];
                current[lane] = 1.0;
                vectors.push(pair(&[0.0; LANES], &current));
            }
            reach = Self::Open(Span::of(vectors));
        }
        let own = core.own_cut(i);
        if own != NONE {
            let cut = &core.cuts[own as usize];
            reach = reach.limited(rows(tree.unit[i], cut.derivatives(&core.admittances, &current)));
        }
        reach
    }

    /// The voltage of the parent and the current of the line, from those of the bus below it.
    pub fn through_line(self, tree: &Tree<'_, N>, i: usize) -> Self {
        let core = tree.core;
        let lines = &core.lines;
        let line = &lines.line[i];
        let (inner, outer) = (tree.unit[i], tree.unit[line.parent as usize]);
        let through = match &self {
            Self::Closed(a) => {
                let a = scaled(1.0 / inner, a);
                let through = dense::right_divide_one_plus(Plain, &a, &lines.z_matrix(Plain, line, &a));
                through.map(|a| {
                    let ratio = lines.ratios.get(line.ratio as usize);
                    let turned = ratio.map_or(a, |ratio| dense::product(Plain, &a, ratio));
                    Self::Closed(scaled(outer, &turned))
                })
            }
            Self::Open(span) if full::<N>(span) => Some(self.clone()),
            Self::Open(_) => None,
        };
        let through = through.unwrap_or_else(|| {
            // n · (T V − Z J, J) = 0 for all n that the pairs at the bus are orthogonal to.
            let lanes = lanes::<N>();
            let forbidden = self.span().complement(&lanes);
            let rows = forbidden.vectors().iter().map(|n| {
                let (n_v, n_j) = parts(n);
                let n_j = dense::sub(Plain, &n_j.map(|n| n * inner), &lines.zt(Plain, line, &n_v));
                pair(&lines.tt(Plain, line, &n_v), &n_j.map(|n| n / outer))
            });
            Self::Open(Span::solving(rows.map(of_length_one).collect(), &lanes))
        });
        let site = core.place[i].site;
        let above = if site == NONE { NONE } else { core.sites[site as usize].above };
        if above == NONE {
            return through;
        }
        // The row's current is T' J.
        let rows = rows_of_cut(core, outer, &core.cuts[above as usize]).into_iter().map(|row| {
            let (h_v, h_j) = parts(&row);
            pair(&h_v, &lines.t(Plain, line, &h_j))
        });
        through.limited(rows.collect())
    }

    /// What is left when rows are to stay as they are.
    fn limited(self, rows: Vec<Pair>) -> Self {
        if rows.is_empty() {
            return self;
        }
        let mut equations = self.span().complement(&lanes::<N>()).vectors().to_vec();
        equations.extend(rows.into_iter().map(of_length_one));
        Self::Open(Span::solving(equations, &lanes::<N>()))
    }

    fn vectors(&self) -> Vec<Pair> {
        match self {
            Self::Open(span) => span.vectors().to_vec(),
            Self::Closed(a) => (0..N)
                .map(|k| {
                    let mut v = [0.0; LANES];
                    v[dense::lane::<N>(k)] = 1.0;
                    pair(&v, &a[k])
                })
                .collect(),
        }
    }

    pub fn span(&self) -> Span<{ 2 * LANES }> {
        match self {
            Self::Open(span) => span.clone(),
            Self::Closed(_) => Span::of(self.vectors()),
        }
    }
}

/// Whether everything is possible.
pub(super) fn full<const N: usize>(span: &Span<{ 2 * LANES }>) -> bool {
    span.dimension() == 2 * N
}

/// Whether currents of a child arrive as they are ([`NONE`]: of the load).
pub(super) fn straight<const N: usize>(core: &Core<N>, child: u32) -> bool {
    child == NONE || core.lines.line[child as usize].ratio == NONE
}

/// The rows at a bus: on its voltage, and on what arrives there from above.
fn rows_of_bus<const N: usize>(tree: &Tree<'_, N>, i: usize) -> Vec<Pair> {
    let core = tree.core;
    let mut rows = Vec::new();
    for meter in core.meters_at(i) {
        let meter = &core.meters[meter];
        let (_, d) = meter.residual(&core.v[i]);
        let mut row = [0.0; 2 * LANES];
        let k = usize::from(meter.wire);
        (row[k], row[k + HALF]) = (d[0], d[1]);
        rows.push(row);
    }
    if core.place[i].site != NONE {
        let (first, end) = core.sites[core.place[i].site as usize].here;
        for cut in first..end {
            rows.extend(rows_of_cut(core, tree.unit[i], &core.cuts[cut as usize]));
        }
    }
    rows
}

fn rows_of_cut<const N: usize>(core: &Core<N>, unit: f64, cut: &Cut<N>) -> Vec<Pair> {
    rows(unit, cut.derivatives(&core.admittances, &cut.j))
}

/// Rows for currents in this unit.
fn rows(unit: f64, derivatives: impl Iterator<Item = (Vector, Vector)>) -> Vec<Pair> {
    derivatives.map(|(h_v, h_j)| pair(&h_v, &h_j.map(|h| h / unit))).collect()
}

fn of_length_one(row: Pair) -> Pair {
    let length = row.iter().map(|h| h * h).sum::<f64>().sqrt();
    if length > 0.0 { row.map(|h| h / length) } else { row }
}

fn scaled<const N: usize>(by: f64, m: &Matrix<N>) -> Matrix<N> {
    m.map(|column| column.map(|x| by * x))
}

/// The derivative of a current by the voltage while the power stays: B of [`crate::smoother::injections`].
fn by_voltage(v: &Vector, current: &Vector) -> Vector {
    let mut power = [0.0; LANES];
    for k in 0..HALF {
        let (x, y, i, j) = (v[k], v[k + HALF], current[k], current[k + HALF]);
        (power[k], power[k + HALF]) = (x * i + y * j, y * i - x * j);
    }
    let load = Load { position: 0, free: 0, measured: power, variance: [0.0; LANES] };
    load.at(Plain, v, &[0.0; LANES]).exact.b
}

/// Numbers of how much of each vector of two spaces is taken.
type Mixture = [f64; 24];

/// Two parts side by side: the voltage is the same, the currents add up.
pub(super) struct Join {
    parts: [Span<{ 2 * LANES }>; 2],
    /// All mixtures whose voltages agree, and the pair each makes.
    mixtures: Vec<Mixture>,
    sums: Vec<Pair>,
}

impl Join {
    /// `second` is the line to `child`, whose current arrives turned by its ratio; or a load ([`NONE`]).
    pub fn new<const N: usize>(
        core: &Core<N>,
        first: Span<{ 2 * LANES }>,
        second: Span<{ 2 * LANES }>,
        child: u32,
    ) -> Self {
        let (count, both) = (first.dimension(), first.dimension() + second.dimension());
        let rows = (0..N).map(|k| {
            let mut row = [0.0; 24];
            for (at, vector) in first.vectors().iter().enumerate() {
                row[at] = vector[dense::lane::<N>(k)];
            }
            for (at, vector) in second.vectors().iter().enumerate() {
                row[count + at] = -vector[dense::lane::<N>(k)];
            }
            row
        });
        let coordinates: Vec<usize> = (0..both).collect();
        let mixtures = Span::<24>::solving(rows.collect(), &coordinates).vectors().to_vec();
        let mut join = Self { parts: [first, second], mixtures, sums: Vec::new() };
        join.sums = join
            .mixtures
            .iter()
            .map(|mixture| {
                let [one, other] = join.mix(mixture);
                let ((v, one), (_, mut other)) = (parts(&one), parts(&other));
                if child != NONE {
                    other = core.lines.tt(Plain, &core.lines.line[child as usize], &other);
                }
                pair(&v, &dense::add(Plain, &one, &other))
            })
            .collect();
        join
    }

    fn mix(&self, mixture: &Mixture) -> [Pair; 2] {
        let mut pairs = [[0.0; 2 * LANES]; 2];
        let vectors = self
            .parts
            .iter()
            .enumerate()
            .flat_map(|(part, span)| span.vectors().iter().map(move |vector| (part, vector)));
        for ((part, vector), share) in vectors.zip(mixture) {
            for (sum, number) in pairs[part].iter_mut().zip(vector) {
                *sum += share * number;
            }
        }
        pairs
    }

    /// What both allow together.
    pub fn total(&self) -> Span<{ 2 * LANES }> {
        Span::of(self.sums.clone())
    }

    /// What is left of either part when of the total only `left` is.
    pub fn split(&self, left: &Span<{ 2 * LANES }>) -> [Span<{ 2 * LANES }>; 2] {
        let mut beside = self.sums.clone();
        beside.iter_mut().for_each(|sum| left.leave(sum));
        let rows = (0..2 * LANES).map(|lane| {
            let mut row = [0.0; 24];
            row.iter_mut().zip(&beside).for_each(|(number, sum)| *number = sum[lane]);
            row
        });
        let coordinates: Vec<usize> = (0..beside.len()).collect();
        let chosen = Span::<24>::solving(rows.collect(), &coordinates);
        let mut vectors = [Vec::new(), Vec::new()];
        for choice in chosen.vectors() {
            let mut mixture = [0.0; 24];
            for (one, share) in self.mixtures.iter().zip(choice) {
                for (sum, number) in mixture.iter_mut().zip(one) {
                    *sum += share * number;
                }
            }
            let pairs = self.mix(&mixture);
            vectors.iter_mut().zip(pairs).for_each(|(vectors, pair)| vectors.push(pair));
        }
        vectors.map(Span::of)
    }
}
