//! Sparse LU of a square matrix, real or complex: multifrontal (Duff & Reid 1983, "The multifrontal solution of
//! unsymmetric sets of linear equations"), with threshold row pivoting inside each front and delayed pivots.
//!
//! A front is a small dense matrix: the rows and columns of the unknowns eliminated in this step and of those coupled
//! with them. Children hand their Schur complements up. A column whose pivot would be small against the rest of the
//! column is handed up too instead of being eliminated badly, so stability does not depend on the order that was
//! chosen beforehand. What is still zero at the root is not determined by the equations: it is counted and set to zero.

use super::symbolic::Symbolic;
use crate::simd::{Arithmetic, Kernel, Path};
use nalgebra::ComplexField;

/// A number fit for elimination.
pub trait Scalar: ComplexField<RealField = f64> + Copy {}
impl<T: ComplexField<RealField = f64> + Copy> Scalar for T {}

/// A pivot must not be smaller than this share of its column: multipliers stay below the inverse.
const THRESHOLD: f64 = 0.02;

/// What is left may be a weak pivot, as small against its column as variances of good meters against what they see: solutions are
/// corrected afterwards. Anything smaller than the floor, after scaling, may be rounding.
const WEAK: f64 = 1e-6;
const WEAK_FLOOR: f64 = 1e-9;

/// An entry takes as long as so many multiplications of an elimination: it is weighed thrice, put in its place, and read
/// again where solutions are refined.
const ENTRY_WORK: u64 = 30;

/// Unknowns handed up to one front beyond which factorizing would take too long.
const DELAYED_MAX: usize = 500;

/// An eliminated front, as ranges of the arenas.
#[derive(Debug, Clone, Copy)]
struct Step {
    /// Start of `size` row numbers, then `size` column numbers.
    ids: usize,
    /// Start of the values: the pivot rows in full width, then the multipliers of the other rows.
    values: usize,
    size: u32,
    pivots: u32,
}

/// What a front hands to its parent.
#[derive(Debug, Clone, Copy)]
struct Handed {
    ids: usize,
    values: usize,
    size: u32,
    /// How many of its first rows and columns are delayed pivots.
    delayed: u32,
    /// The step it comes from.
    step: u32,
}

/// No step.
const NONE: u32 = u32::MAX;

/// The factors of one matrix; storage is kept from one factorization to the next.
#[derive(Debug, Clone)]
pub struct Factor<T> {
    steps: Vec<Step>,
    ids: Vec<u32>,
    values: Vec<T>,
    row_scale: Vec<f64>,
    column_scale: Vec<f64>,
    lost: Vec<u32>,
    /// By step: the step that takes what it hands up.
    parents: Vec<u32>,
    /// By equation and by unknown: the step that eliminates it.
    row_steps: Vec<u32>,
    column_steps: Vec<u32>,
    work: Workspace<T>,
    /// After scaling, entries are about one; smaller pivots than this are no pivots.
    floor: f64,
    /// Whether weak pivots are taken.
    weak: bool,
    /// More undetermined unknowns than this end the factorization: fronts would become large.
    lost_max: usize,
    /// What the last factorization took.
    work_done: u64,
    path: Path,
}

#[derive(Debug, Clone)]
struct Workspace<T> {
    row_at: Vec<u32>,
    column_at: Vec<u32>,
    rows: Vec<u32>,
    columns: Vec<u32>,
    front: Vec<T>,
    handed: Vec<Handed>,
    stack_ids: Vec<u32>,
    stack: Vec<T>,
}

impl<T: Scalar> Default for Factor<T> {
    fn default() -> Self {
        Self {
            steps: Vec::new(),
            ids: Vec::new(),
            values: Vec::new(),
            row_scale: Vec::new(),
            column_scale: Vec::new(),
            lost: Vec::new(),
            parents: Vec::new(),
            row_steps: Vec::new(),
            column_steps: Vec::new(),
            floor: 1e-12,
            weak: true,
            lost_max: 400,
            work_done: 0,
            path: Path::detect(),
            work: Workspace {
                row_at: Vec::new(),
                column_at: Vec::new(),
                rows: Vec::new(),
                columns: Vec::new(),
                front: Vec::new(),
                handed: Vec::new(),
                stack_ids: Vec::new(),
                stack: Vec::new(),
            },
        }
    }
}

impl<T: Scalar> Factor<T> {
    /// Factorizes the matrix whose entries stand at `plan.positions()`.
    ///
    /// Returns the unknowns that the equations leave open, empty for a regular matrix; `None` when there are too many
    /// of them or a value is not finite.
    pub fn factorize(&mut self, plan: &Symbolic, values: &[T]) -> Option<&[u32]> {
        self.scale(plan, values)?;
        self.steps.clear();
        self.ids.clear();
        self.values.clear();
        self.lost.clear();
        self.parents.clear();
        self.work_done = ENTRY_WORK * values.len() as u64;
        for steps in [&mut self.row_steps, &mut self.column_steps] {
            steps.clear();
            steps.resize(plan.size, NONE);
        }
        let work = &mut self.work;
        work.row_at.resize(plan.size, 0);
        work.column_at.resize(plan.size, 0);
        work.handed.clear();
        work.stack.clear();
        work.stack_ids.clear();
        for at in 0..plan.fronts.len() {
            let full = self.assemble(plan, at, values);
            if full > plan.fronts[at].own.len() + self.lost_max.max(DELAYED_MAX) {
                return None;
            }
            let work = &mut self.work;
            let Workspace { front, rows, columns, .. } = work;
            let pivots =
                self.path.run(Elimination { front, rows, columns, full, floor: self.floor, weak: self.weak });
            self.work_done += multiplications(work.rows.len(), pivots);
            self.store(pivots, full, plan.fronts[at].root);
        }
        if self.lost.len() > self.lost_max {
            return None;
        }
        Some(&self.lost)
    }

    /// What the last factorization and solutions with it took, in multiplications: a measure of time that is the same on every
    /// machine.
    pub fn work_done(&self) -> u64 {
        self.work_done
    }

    /// What counts as no pivot (of entries scaled to about one), and how many unknowns may be left open.
    pub fn set_limits(&mut self, floor: f64, lost_max: usize) {
        self.floor = floor;
        self.lost_max = lost_max;
    }

    /// Whether weak pivots are taken: not where solutions are used as they are.
    pub fn take_weak(&mut self, weak: bool) {
        self.weak = weak;
    }

    /// Largest entry of a right-hand side, equations weighed as in the factorization.
    pub fn weighted(&self, right: &[T]) -> f64 {
        right.iter().zip(&self.row_scale).map(|(value, scale)| value.norm1() * scale).fold(0.0, f64::max)
    }

    /// The unknowns left open by the last factorization.
    pub fn lost(&self) -> &[u32] {
        &self.lost
    }

    /// Brings all entries to about one: three rounds of division by the square roots of row and column maxima
    /// (Ruiz 2001), rounded to powers of two so that nothing is lost.
    fn scale(&mut self, plan: &Symbolic, values: &[T]) -> Option<()> {
        self.row_scale.clear();
        self.row_scale.resize(plan.size, 1.0);
        self.column_scale.clear();
        self.column_scale.resize(plan.size, 1.0);
        let mut rows = vec![0.0_f64; plan.size];
        let mut columns = vec![0.0_f64; plan.size];
        for _ in 0..3 {
            rows.fill(0.0);
            columns.fill(0.0);
            for (&(row, column), value) in plan.positions.iter().zip(values) {
                let (row, column) = (row as usize, column as usize);
                let size = value.norm1() * self.row_scale[row] * self.column_scale[column];
                if !size.is_finite() {
                    return None;
                }
                // Not `max`, which looks for what is no number, too.
                if size > rows[row] {
                    rows[row] = size;
                }
                if size > columns[column] {
                    columns[column] = size;
                }
            }
            for (scale, &most) in
                self.row_scale.iter_mut().zip(&rows).chain(self.column_scale.iter_mut().zip(&columns))
            {
                if most > 0.0 {
                    *scale *= power_of_two(1.0 / most.sqrt());
                }
            }
        }
        Some(())
    }

    /// Builds the front; returns the number of unknowns that may be eliminated in it.
    fn assemble(&mut self, plan: &Symbolic, at: usize, values: &[T]) -> usize {
        let step = &plan.fronts[at];
        let Workspace { row_at, column_at, rows, columns, front, handed, stack_ids, stack } = &mut self.work;
        let children = handed.split_off(handed.len() - step.children as usize);
        let (own, touched) =
            (&plan.unknowns[step.own.clone()], &plan.unknowns[step.own.end..step.touched_end]);
        for child in &children {
            self.parents[child.step as usize] = at as u32;
        }
        rows.clear();
        rows.extend_from_slice(own);
        columns.clear();
        columns.extend_from_slice(own);
        for child in &children {
            let (size, delayed) = (child.size as usize, child.delayed as usize);
            rows.extend_from_slice(&stack_ids[child.ids..child.ids + delayed]);
            columns.extend_from_slice(&stack_ids[child.ids + size..child.ids + size + delayed]);
        }
        let full = rows.len();
        rows.extend_from_slice(touched);
        columns.extend_from_slice(touched);
        for (place, (&row, &column)) in rows.iter().zip(columns.iter()).enumerate() {
            row_at[row as usize] = place as u32;
            column_at[column as usize] = place as u32;
        }
        let size = rows.len();
        front.clear();
        front.resize(size * size, T::zero());
        for &entry in &plan.entries[step.entries.clone()] {
            let (row, column) = plan.positions[entry as usize];
            let scale = self.row_scale[row as usize] * self.column_scale[column as usize];
            let place = row_at[row as usize] as usize * size + column_at[column as usize] as usize;
            front[place] += values[entry as usize].scale(scale);
        }
        for child in &children {
            let count = child.size as usize;
            let ids = &stack_ids[child.ids..child.ids + 2 * count];
            let block = &stack[child.values..child.values + count * count];
            for (&row, line) in ids[..count].iter().zip(block.chunks_exact(count)) {
                let place = row_at[row as usize] as usize * size;
                let target = &mut front[place..place + size];
                for (&column, &value) in ids[count..].iter().zip(line) {
                    target[column_at[column as usize] as usize] += value;
                }
            }
        }
        if let Some(first) = children.first() {
            stack.truncate(first.values);
            stack_ids.truncate(first.ids);
        }
        full
    }

    /// Keeps the factors of the front and hands the rest up.
    fn store(&mut self, pivots: usize, full: usize, root: bool) {
        let Workspace { rows, columns, front, handed, stack_ids, stack, .. } = &mut self.work;
        let size = rows.len();
        let step = self.steps.len() as u32;
        self.parents.push(NONE);
        for (&row, &column) in rows.iter().zip(columns.iter()).take(pivots) {
            (self.row_steps[row as usize], self.column_steps[column as usize]) = (step, step);
        }
        self.steps.push(Step {
            ids: self.ids.len(),
            values: self.values.len(),
            size: size as u32,
            pivots: pivots as u32,
        });
        self.ids.extend_from_slice(rows);
        self.ids.extend_from_slice(columns);
        self.values.extend_from_slice(&front[..pivots * size]);
        for line in front[pivots * size..].chunks_exact(size.max(1)) {
            self.values.extend_from_slice(&line[..pivots]);
        }
        if root {
            self.lost.extend_from_slice(&columns[pivots..full]);
            return;
        }
        handed.push(Handed {
            ids: stack_ids.len(),
            values: stack.len(),
            size: (size - pivots) as u32,
            delayed: (full - pivots) as u32,
            step,
        });
        stack_ids.extend_from_slice(&rows[pivots..]);
        stack_ids.extend_from_slice(&columns[pivots..]);
        for line in front[pivots * size..].chunks_exact(size.max(1)) {
            stack.extend_from_slice(&line[pivots..]);
        }
    }

    /// Solves in place: equations in, unknowns out. Unknowns left open become zero.
    pub fn solve(&self, right: &mut [T]) {
        for (value, &scale) in right.iter_mut().zip(&self.row_scale) {
            *value = value.scale(scale);
        }
        let mut local: Vec<T> = Vec::new();
        for step in &self.steps {
            self.forward(step, right, &mut local);
        }
        let mut found = vec![T::zero(); right.len()];
        for step in self.steps.iter().rev() {
            self.backward(step, right, &mut found, &mut local);
        }
        for ((value, found), &scale) in right.iter_mut().zip(&found).zip(&self.column_scale) {
            *value = found.scale(scale);
        }
    }

    /// Some unknowns of a solution whose equations are nearly all zero: only the fronts between those equations, those
    /// unknowns and the root take part, a path in a tree.
    pub fn solve_some(&self, right: &[(usize, T)], wanted: &[usize], room: &mut Room<T>) -> Vec<T> {
        let (rows, columns) = (self.row_scale.len(), self.column_scale.len());
        room.right.resize(rows, T::zero());
        room.found.resize(columns, T::zero());
        for &(row, value) in right {
            room.right[row] += value.scale(self.row_scale[row]);
        }
        let up = self.path(right.iter().map(|entry| self.row_steps[entry.0]), &mut room.marks);
        for &step in &up {
            self.forward(&self.steps[step as usize], &mut room.right, &mut room.local);
        }
        let down = self.path(wanted.iter().map(|&column| self.column_steps[column]), &mut room.marks);
        for &step in down.iter().rev() {
            let step = &self.steps[step as usize];
            self.backward(step, &room.right, &mut room.found, &mut room.local);
        }
        let values =
            wanted.iter().map(|&column| room.found[column].scale(self.column_scale[column])).collect();
        right.iter().for_each(|entry| room.right[entry.0] = T::zero());
        for (steps, columns) in [(&up, false), (&down, true)] {
            for &step in steps {
                let step = &self.steps[step as usize];
                let size = step.size as usize;
                let first = step.ids + if columns { size } else { 0 };
                let values = if columns { &mut room.found } else { &mut room.right };
                self.ids[first..first + size].iter().for_each(|&at| values[at as usize] = T::zero());
            }
        }
        values
    }

    /// The given steps and all that follow them, in order.
    fn path(&self, from: impl Iterator<Item = u32>, marks: &mut Vec<bool>) -> Vec<u32> {
        marks.resize(self.steps.len(), false);
        let mut path = Vec::new();
        for mut step in from {
            while step != NONE && !marks[step as usize] {
                marks[step as usize] = true;
                path.push(step);
                step = self.parents[step as usize];
            }
        }
        path.iter().for_each(|&step| marks[step as usize] = false);
        path.sort_unstable();
        path
    }

    /// Eliminates in the equations what a step eliminates.
    fn forward(&self, step: &Step, right: &mut [T], local: &mut Vec<T>) {
        let (size, pivots) = (step.size as usize, step.pivots as usize);
        let rows = &self.ids[step.ids..step.ids + size];
        let values = &self.values[step.values..];
        local.clear();
        local.extend(rows.iter().map(|&row| right[row as usize]));
        for k in 1..pivots {
            let below = dot(&values[k * size..k * size + k], &local[..k]);
            local[k] -= below;
        }
        let (head, tail) = local.split_at_mut(pivots);
        let multipliers = &values[pivots * size..];
        if pivots > 0 {
            for (value, line) in tail.iter_mut().zip(multipliers.chunks_exact(pivots)) {
                *value -= dot(line, head);
            }
        }
        for (&row, &value) in rows.iter().zip(local.iter()) {
            right[row as usize] = value;
        }
    }

    /// Finds the unknowns of a step from those of the steps after it.
    fn backward(&self, step: &Step, right: &[T], found: &mut [T], local: &mut Vec<T>) {
        let (size, pivots) = (step.size as usize, step.pivots as usize);
        let rows = &self.ids[step.ids..step.ids + size];
        let columns = &self.ids[step.ids + size..step.ids + 2 * size];
        let values = &self.values[step.values..];
        local.clear();
        local.extend(columns.iter().map(|&column| found[column as usize]));
        for k in (0..pivots).rev() {
            let line = &values[k * size..(k + 1) * size];
            let known = dot(&line[k + 1..], &local[k + 1..]);
            local[k] = (right[rows[k] as usize] - known) / line[k];
            found[columns[k] as usize] = local[k];
        }
    }
}

/// Room for [`Factor::solve_some`]; all zero between two of them.
#[derive(Debug, Clone, Default)]
pub struct Room<T> {
    right: Vec<T>,
    found: Vec<T>,
    local: Vec<T>,
    marks: Vec<bool>,
}

fn dot<T: Scalar>(a: &[T], b: &[T]) -> T {
    a.iter().zip(b).fold(T::zero(), |sum, (&a, &b)| sum + a * b)
}

/// The nearest power of two, by ratio, of a positive normal number.
fn power_of_two(value: f64) -> f64 {
    const EXPONENT: u64 = 0x7ff << 52;
    let below = f64::from_bits(value.to_bits() & EXPONENT);
    if value < below * std::f64::consts::SQRT_2 { below } else { below * 2.0 }
}

/// Eliminates what can be eliminated of the first `full` rows and columns of the row-major square matrix `front`,
/// permuting them; how many it was. Afterwards the first rows hold U and, below the diagonal, the multipliers.
struct Elimination<'a, T> {
    front: &'a mut [T],
    rows: &'a mut [u32],
    columns: &'a mut [u32],
    full: usize,
    floor: f64,
    weak: bool,
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
        if row != done {
            rows.swap(row, done);
            let (upper, lower) = front.split_at_mut(row * size);
            upper[done * size..(done + 1) * size].swap_with_slice(&mut lower[..size]);
        }
        if column != done {
            columns.swap(column, done);
            for line in front.chunks_exact_mut(size) {
                line.swap(column, done);
            }
        }
        let (upper, lower) = front.split_at_mut((done + 1) * size);
        let head = &upper[done * size..];
        let inverse = T::one() / head[done];
        let head_rest = &head[done + 1..];
        for line in lower.chunks_exact_mut(size) {
            let factor = line[done] * inverse;
            line[done] = factor;
            if factor != T::zero() {
                for (value, &above) in line[done + 1..].iter_mut().zip(head_rest) {
                    *value -= factor * above;
                }
            }
        }
        done += 1;
    }
    done
}

/// How many multiplications it takes to eliminate the first `pivots` unknowns of a front.
fn multiplications(size: usize, pivots: usize) -> u64 {
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
        let here = front[row * size + column].norm1();
        if here > best {
            (best, place) = (here, row);
        }
    }
    let rest = (candidates.end..size).map(|row| front[row * size + column].norm1()).fold(0.0, f64::max);
    (best > floor && best >= share * rest).then_some((place, column))
}
