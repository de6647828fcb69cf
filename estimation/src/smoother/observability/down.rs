//! What the rest of the network leaves of each reach, on the way down.

use super::Tree;
use super::reach::{Join, Reach, full, pair, parts, straight};
use super::span::Span;
use crate::smoother::dense::{self, HALF, LANES, Plain};
use crate::smoother::lines::NONE;

/// What is left of pairs.
type Left = Span<{ 2 * LANES }>;

/// How far a wire's voltage moves, beside those of the same bus, when it is not determined.
const MOVES: f64 = 1e-4;

/// By position and wire: whether what is left moves the voltage.
pub(super) fn undetermined<const N: usize>(tree: &Tree<'_, N>) -> Vec<bool> {
    let count = tree.core.count();
    let mut found = vec![false; count * N / 2];
    // Of buses still to come: depth first, so that few wait at a time.
    let mut waiting = vec![(0, Reach::of_bus(tree, 0).span())];
    while let Some((i, left)) = waiting.pop() {
        for v in voltages(&left).vectors() {
            for k in 0..N / 2 {
                found[i * N / 2 + k] |= v[k].hypot(v[k + HALF]) > MOVES;
            }
        }
        for (child, left) in divide(tree, i, &left) {
            waiting.push((child, below(tree, child, &left)));
        }
    }
    found
}

/// What is left for each child's line, where anything may be: the voltage of the bus and the current of the line.
fn divide<const N: usize>(tree: &Tree<'_, N>, i: usize, left: &Left) -> Vec<(usize, Left)> {
    let core = tree.core;
    let mut out = Vec::new();
    // Lines that are closed follow the voltage.
    let voltages = voltages(left);
    for child in tree.children(i).filter(|_| voltages.dimension() > 0) {
        if let Reach::Closed(a) = &tree.reaches[child] {
            let pairs = voltages.vectors().iter().map(|v| pair(v, &dense::times::<_, N>(Plain, a, v)));
            out.push((child, Span::of(pairs.collect())));
        }
    }
    let (closed, open) = Reach::parts_of_bus(tree, i);
    let mut sums = vec![Reach::Closed(closed).span()];
    let free = |sum: &Left, at: usize| {
        let (reach, child) = &open[at];
        matches!(reach, Reach::Open(one) if full::<N>(sum) && full::<N>(one)) && straight(core, *child)
    };
    let mut joins = Vec::new();
    for (at, (reach, child)) in open.iter().enumerate() {
        let sum = sums[at].clone();
        if free(&sum, at) {
            joins.push(None);
            sums.push(sum);
        } else {
            let join = Join::new(core, sum, reach.span(), *child);
            sums.push(join.total());
            joins.push(Some(join));
        }
    }
    let mut left = left.clone();
    for (at, join) in joins.iter().enumerate().rev() {
        let [rest, one] = match join {
            Some(join) => join.split(&left),
            // Each takes any current, as the other gives way.
            None => {
                let any = any_current::<N>(&left);
                [any.clone(), any]
            }
        };
        left = rest;
        let child = open[at].1;
        // Also where nothing is left at the line: what is below it may trade among itself.
        if child != NONE {
            out.push((child as usize, one));
        }
    }
    out
}

/// The voltages that are left.
fn voltages(left: &Left) -> Span<LANES> {
    Span::of(left.vectors().iter().map(|vector| parts(vector).0).collect())
}

/// The voltages that are left, with any current.
fn any_current<const N: usize>(left: &Left) -> Left {
    let known = voltages(left);
    let voltages = known.vectors().iter().map(|v| pair(v, &[0.0; LANES]));
    let currents = (0..N).map(|k| {
        let mut j = [0.0; LANES];
        j[dense::lane::<N>(k)] = 1.0;
        pair(&[0.0; LANES], &j)
    });
    Span::of(voltages.chain(currents).collect())
}

/// The voltage of the bus below a line and the line's current, from what is left above it.
fn below<const N: usize>(tree: &Tree<'_, N>, i: usize, left: &Left) -> Left {
    let lines = &tree.core.lines;
    let line = &lines.line[i];
    let (inner, outer) = (tree.unit[i], tree.unit[line.parent as usize]);
    let pairs = left.vectors().iter().map(|vector| {
        let (v, j) = parts(vector);
        let j = j.map(|j| j / outer);
        let v = dense::sub(Plain, &lines.t(Plain, line, &v), &lines.z(Plain, line, &j));
        pair(&v, &j.map(|j| inner * j))
    });
    Span::of(pairs.collect())
}
