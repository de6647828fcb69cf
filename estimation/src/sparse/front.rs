//! What happens in a front: children are added, pivots looked for and eliminated.

use super::factor::Scalar;
use crate::simd::{Arithmetic, Kernel};

/// A pivot must not be smaller than this share of its column: multipliers stay below the inverse.
const THRESHOLD: f64 = 0.02;

/// What is left may be a weak pivot, as small against its column as variances of good meters against what they see: solutions are
/// corrected afterwards. Anything smaller than the floor, after scaling, may be rounding.
const WEAK: f64 = 1e-6;
const WEAK_FLOOR: f64 = 1e-9;

/// Adds a block to the square matrix `front`, `places[i]` being where its row and its column i go.
pub(super) fn add<T: Scalar>(front: &mut [T], size: usize, block: &[T], places: &[u32]) {
    let Some(&first) = places.first() else { return };
    let count = places.len();
    let together = (first..).zip(places).all(|(next, &place)| next == place);
    for (&column, line) in places.iter().zip(block.chunks_exact(count)) {
        let target = &mut front[column as usize * size..][..size];
        if together {
            let target = &mut target[first as usize..][..count];
            target.iter_mut().zip(line).for_each(|(target, &value)| *target += value);
        } else {
            for (&row, &value) in places.iter().zip(line) {
                target[row as usize] += value;
            }
        }
    }
}

/// Eliminates what can be eliminated of the first `full` rows and columns of the square matrix `front`, column by column,
/// permuting them; how many it was. Afterwards the first rows hold U and, below the diagonal, the multipliers.
pub(super) struct Elimination<'a, T> {
    pub front: &'a mut [T],
    pub rows: &'a mut [u32],
    pub columns: &'a mut [u32],
    pub full: usize,
    /// Smaller pivots are none.
    pub floor: f64,
    /// Whether weak pivots are taken.
    pub weak: bool,
}

impl<T: Scalar> Kernel for Elimination<'_, T> {
    type Output = usize;

    #[inline(always)]
    fn run<A: Arithmetic>(self, _: A) -> usize {
        let Self { front, rows, columns, full, floor, weak } = self;
        eliminate(front, rows, columns, full, (floor, weak))
    }
}

#[inline(always)]
fn eliminate<T: Scalar>(
    front: &mut [T],
    rows: &mut [u32],
    columns: &mut [u32],
    full: usize,
    (floor, weak): (f64, bool),
) -> usize {
    let size = rows.len();
    let mut done = 0;
    while done < full {
        let best = |share, floor| {
            (done..full).find_map(|column| pivot(front, size, done..full, column, (share, floor)))
        };
        let weakest = || best(WEAK, floor.max(WEAK_FLOOR)).filter(|_| weak);
        let Some((row, column)) = best(THRESHOLD, floor).or_else(weakest) else {
            break;
        };
        if column != done {
            columns.swap(column, done);
            let (left, right) = front.split_at_mut(column * size);
            left[done * size..(done + 1) * size].swap_with_slice(&mut right[..size]);
        }
        if row != done {
            rows.swap(row, done);
            for line in front.chunks_exact_mut(size) {
                line.swap(row, done);
            }
        }
        let (left, right) = front.split_at_mut((done + 1) * size);
        let (pivot, below) = left[done * size + done..].split_at_mut(1);
        let inverse = T::one() / pivot[0];
        below.iter_mut().for_each(|value| *value *= inverse);
        for line in right.chunks_exact_mut(size) {
            let factor = line[done];
            if factor != T::zero() {
                subtract(factor, below, &mut line[done + 1..]);
            }
        }
        done += 1;
    }
    done
}

/// `to ← to − factor line`
#[inline(always)]
pub(super) fn subtract<T: Scalar>(factor: T, line: &[T], to: &mut [T]) {
    for (value, &by) in to.iter_mut().zip(line) {
        *value -= factor * by;
    }
}

/// How many multiplications it takes to eliminate the first `pivots` unknowns of a front.
pub(super) fn multiplications(size: usize, pivots: usize) -> u64 {
    let left = |eliminated: usize| (size - eliminated) as u64;
    (1..=pivots).map(|eliminated| left(eliminated) * left(eliminated)).sum()
}

/// The largest entry of a column among the candidate rows, when it is good enough against the whole column.
#[inline(always)]
fn pivot<T: Scalar>(
    front: &[T],
    size: usize,
    candidates: std::ops::Range<usize>,
    column: usize,
    (share, floor): (f64, f64),
) -> Option<(usize, usize)> {
    let (mut best, mut place) = (0.0, candidates.start);
    for row in candidates.clone() {
        let here = front[column * size + row].norm1();
        if here > best {
            (best, place) = (here, row);
        }
    }
    let rest = (candidates.end..size).map(|row| front[column * size + row].norm1()).fold(0.0, f64::max);
    (best > floor && best >= share * rest).then_some((place, column))
}
