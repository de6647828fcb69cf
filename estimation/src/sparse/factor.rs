//! Sparse LU of a square matrix, real or complex: multifrontal (Duff & Reid 1983, "The multifrontal solution of
//! unsymmetric sets of linear equations"), with threshold row pivoting inside each front and delayed pivots.
//!
//! A front is a small dense matrix: the rows and columns of the unknowns eliminated in this step and of those coupled
//! with them. Children hand their Schur complements up. A column whose pivot would be small against the rest of the
//! column is handed up too instead of being eliminated badly, so stability does not depend on the order that was
//! chosen beforehand. What is still zero at the root is not determined by the equations: it is counted and set to zero.

use super::front::{Elimination, add, multiplications, subtract};
use super::symbolic::Symbolic;
use crate::simd::{Arithmetic, Kernel, Path};
use nalgebra::ComplexField;

/// A number fit for elimination.
pub trait Scalar: ComplexField<RealField = f64> + Copy {}
impl<T: ComplexField<RealField = f64> + Copy> Scalar for T {}

/// An entry takes as long as so many multiplications of an elimination: it is weighed thrice, put in its place, and read
/// again where solutions are refined.
const ENTRY_WORK: u64 = 30;

/// How far from one the largest entry of a row may be for scales to be kept.
const FITS: f64 = 16.0;

/// Unknowns handed up to one front beyond which factorizing would take too long.
const DELAYED_MAX: usize = 500;

/// An eliminated front, as ranges of the arenas.
#[derive(Debug, Clone, Copy)]
struct Step {
    /// Start of `size` row numbers, then `size` column numbers.
    ids: usize,
    /// Start of the multipliers, column by column below the diagonal.
    lower: usize,
    /// Start of U, column by column: those beyond the pivots, then those of the pivots down to the diagonal.
    upper: usize,
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
    /// The front and the step it comes from.
    front: u32,
    step: u32,
}

/// No step.
const NONE: u32 = u32::MAX;

/// The factors of one matrix; storage is kept from one factorization to the next.
#[derive(Debug, Clone)]
pub struct Factor<T> {
    steps: Vec<Step>,
    ids: Vec<u32>,
    lower: Vec<T>,
    upper: Vec<T>,
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
    rows: Vec<u32>,
    columns: Vec<u32>,
    /// Scales of the rows and columns of the front.
    scales: Vec<(f64, f64)>,
    front: Vec<T>,
    /// Places of what a child hands over.
    places: Vec<u32>,
    handed: Vec<Handed>,
    stack_ids: Vec<u32>,
    stack: Vec<T>,
}

impl<T: Scalar> Default for Factor<T> {
    fn default() -> Self {
        Self {
            steps: Vec::new(),
            ids: Vec::new(),
            lower: Vec::new(),
            upper: Vec::new(),
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
                rows: Vec::new(),
                columns: Vec::new(),
                scales: Vec::new(),
                front: Vec::new(),
                places: Vec::new(),
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
        self.lower.clear();
        self.upper.clear();
        self.lost.clear();
        self.parents.clear();
        self.work_done = ENTRY_WORK * values.len() as u64;
        for steps in [&mut self.row_steps, &mut self.column_steps] {
            steps.clear();
            steps.resize(plan.size, NONE);
        }
        let sizes = plan.fronts.iter().map(|front| (front.own.len(), front.touched_end - front.own.start));
        let half: usize = sizes.clone().map(|(own, size)| own * (2 * size - own) / 2).sum();
        self.lower.reserve(half);
        self.upper.reserve(half + plan.size);
        self.ids.reserve(sizes.map(|(_, size)| 2 * size).sum());
        let work = &mut self.work;
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
            self.store(pivots, full, (at, plan.fronts[at].root));
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

    /// What counts as no pivot (of entries scaled to about one), and how many unknowns may be left open. Weak pivots are taken.
    pub fn set_limits(&mut self, floor: f64, lost_max: usize) {
        (self.floor, self.lost_max, self.weak) = (floor, lost_max, true);
    }

    /// Weak pivots are not taken, until limits are set again: for solutions that are used as they are.
    pub fn refuse_weak(&mut self) {
        self.weak = false;
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
    /// (Ruiz 2001), rounded to powers of two so that nothing is lost. The scales of the last matrix are kept where they fit.
    fn scale(&mut self, plan: &Symbolic, values: &[T]) -> Option<()> {
        let (mut rows, mut columns) = (vec![0.0_f64; plan.size], vec![0.0_f64; plan.size]);
        if self.row_scale.len() == plan.size {
            self.largest(plan, values, (&mut rows, &mut columns))?;
            if rows.iter().chain(&columns).all(|&most| most > 1.0 / FITS && most < FITS) {
                return Some(());
            }
        }
        for scale in [&mut self.row_scale, &mut self.column_scale] {
            scale.clear();
            scale.resize(plan.size, 1.0);
        }
        for _ in 0..3 {
            self.largest(plan, values, (&mut rows, &mut columns))?;
            let rows = self.row_scale.iter_mut().zip(&rows);
            for (scale, &most) in rows.chain(self.column_scale.iter_mut().zip(&columns)) {
                if most > 0.0 {
                    *scale *= power_of_two(1.0 / most.sqrt());
                }
            }
        }
        Some(())
    }

    /// The largest entries of rows and columns as scaled; `None` when one is not finite.
    fn largest(
        &self,
        plan: &Symbolic,
        values: &[T],
        (rows, columns): (&mut [f64], &mut [f64]),
    ) -> Option<()> {
        rows.fill(0.0);
        columns.fill(0.0);
        for (&(row, column), value) in plan.positions.iter().zip(values) {
            let (row, column) = (row as usize, column as usize);
            let size = value.norm1() * self.row_scale[row] * self.column_scale[column];
            if !size.is_finite() {
                return None;
            }
            // Not `max`, which looks for what is no number, too. Of a symmetric matrix rows tell all.
            let columns = if plan.symmetric { &mut *rows } else { &mut *columns };
            if size > columns[column] {
                columns[column] = size;
            }
            if size > rows[row] {
                rows[row] = size;
            }
        }
        if plan.symmetric {
            columns.copy_from_slice(rows);
        }
        Some(())
    }

    /// Builds the front; returns the number of unknowns that may be eliminated in it.
    fn assemble(&mut self, plan: &Symbolic, at: usize, values: &[T]) -> usize {
        let step = &plan.fronts[at];
        let Workspace { rows, columns, scales, front, places, handed, stack_ids, stack } = &mut self.work;
        let children = handed.len() - step.children as usize;
        let (own, touched) =
            (&plan.unknowns[step.own.clone()], &plan.unknowns[step.own.end..step.touched_end]);
        rows.clear();
        rows.extend_from_slice(own);
        columns.clear();
        columns.extend_from_slice(own);
        for child in &handed[children..] {
            self.parents[child.step as usize] = at as u32;
            let delayed = child.delayed as usize;
            rows.extend_from_slice(&stack_ids[child.ids..child.ids + delayed]);
            columns.extend_from_slice(&stack_ids[child.ids + delayed..child.ids + 2 * delayed]);
        }
        let full = rows.len();
        rows.extend_from_slice(touched);
        columns.extend_from_slice(touched);
        let size = rows.len();
        front.clear();
        front.resize(size * size, T::zero());
        scales.clear();
        let both = rows.iter().zip(columns.iter());
        scales.extend(
            both.map(|(&row, &column)| (self.row_scale[row as usize], self.column_scale[column as usize])),
        );
        // What children delayed stands between.
        let place =
            |place: u32| place as usize + if place as usize >= own.len() { full - own.len() } else { 0 };
        for entry in &plan.entries[step.entries.clone()] {
            let (row, column) = (place(entry.row), place(entry.column));
            let value = values[entry.index as usize];
            front[column * size + row] += value.scale(scales[row].0 * scales[column].1);
            if plan.symmetric && row != column {
                front[row * size + column] += value.scale(scales[column].0 * scales[row].1);
            }
        }
        let mut delayed = own.len() as u32;
        for child in &handed[children..] {
            let from = &plan.fronts[child.front as usize];
            let count = child.size as usize;
            places.clear();
            places.extend(delayed..delayed + child.delayed);
            delayed += child.delayed;
            places.extend(plan.places[from.own.end..from.touched_end].iter().map(|&at| place(at) as u32));
            add(front, size, &stack[child.values..child.values + count * count], places);
        }
        if let Some(first) = handed.get(children) {
            stack.truncate(first.values);
            stack_ids.truncate(first.ids);
        }
        handed.truncate(children);
        full
    }

    /// Keeps the factors of the front and hands the rest up.
    fn store(&mut self, pivots: usize, full: usize, (at, root): (usize, bool)) {
        let Workspace { rows, columns, front, handed, stack_ids, stack, .. } = &mut self.work;
        let size = rows.len();
        let step = self.steps.len() as u32;
        self.parents.push(NONE);
        for (&row, &column) in rows.iter().zip(columns.iter()).take(pivots) {
            (self.row_steps[row as usize], self.column_steps[column as usize]) = (step, step);
        }
        self.steps.push(Step {
            ids: self.ids.len(),
            lower: self.lower.len(),
            upper: self.upper.len(),
            size: size as u32,
            pivots: pivots as u32,
        });
        self.ids.extend_from_slice(rows);
        self.ids.extend_from_slice(columns);
        if pivots > 0 {
            let (own, others) = front.split_at(pivots * size);
            for (k, line) in own.chunks_exact(size).enumerate() {
                self.lower.extend_from_slice(&line[k + 1..]);
            }
            for line in others.chunks_exact(size) {
                self.upper.extend_from_slice(&line[..pivots]);
            }
            for (k, line) in own.chunks_exact(size).enumerate() {
                self.upper.extend_from_slice(&line[..=k]);
            }
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
            front: at as u32,
            step,
        });
        stack_ids.extend_from_slice(&rows[pivots..full]);
        stack_ids.extend_from_slice(&columns[pivots..full]);
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
        self.forward(self.steps.iter(), right, &mut local);
        let mut found = vec![T::zero(); right.len()];
        self.backward(self.steps.iter().rev(), right, &mut found, &mut local);
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
        let at = |&step: &u32| &self.steps[step as usize];
        self.forward(up.iter().map(at), &mut room.right, &mut room.local);
        let down = self.path(wanted.iter().map(|&column| self.column_steps[column]), &mut room.marks);
        self.backward(down.iter().rev().map(at), &room.right, &mut room.found, &mut room.local);
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

    /// Eliminates in the equations what steps eliminate.
    fn forward<'a>(&'a self, steps: impl Iterator<Item = &'a Step>, right: &mut [T], local: &mut Vec<T>) {
        self.path.run(Forward { ids: &self.ids, lower: &self.lower, steps, right, local });
    }

    /// Finds the unknowns of steps from those of the steps after them, which come first.
    fn backward<'a>(
        &'a self,
        steps: impl Iterator<Item = &'a Step>,
        right: &[T],
        found: &mut [T],
        local: &mut Vec<T>,
    ) {
        self.path.run(Backward { ids: &self.ids, upper: &self.upper, steps, right, found, local });
    }
}

struct Forward<'a, T, I> {
    ids: &'a [u32],
    lower: &'a [T],
    steps: I,
    right: &'a mut [T],
    local: &'a mut Vec<T>,
}

impl<'a, T: Scalar, I: Iterator<Item = &'a Step>> Kernel for Forward<'_, T, I> {
    type Output = ();

    #[inline(always)]
    fn run<A: Arithmetic>(self, _: A) {
        let Self { ids, lower, steps, right, local } = self;
        for step in steps.filter(|step| step.pivots > 0) {
            let (size, pivots) = (step.size as usize, step.pivots as usize);
            let rows = &ids[step.ids..step.ids + size];
            local.clear();
            local.extend(rows.iter().map(|&row| right[row as usize]));
            let mut at = step.lower;
            for k in 0..pivots {
                let (factor, below) = (local[k], size - k - 1);
                subtract(factor, &lower[at..at + below], &mut local[k + 1..]);
                at += below;
            }
            for (&row, &value) in rows.iter().zip(local.iter()) {
                right[row as usize] = value;
            }
        }
    }
}

struct Backward<'a, T, I> {
    ids: &'a [u32],
    upper: &'a [T],
    steps: I,
    right: &'a [T],
    found: &'a mut [T],
    local: &'a mut Vec<T>,
}

impl<'a, T: Scalar, I: Iterator<Item = &'a Step>> Kernel for Backward<'_, T, I> {
    type Output = ();

    #[inline(always)]
    fn run<A: Arithmetic>(self, _: A) {
        let Self { ids, upper, steps, right, found, local } = self;
        for step in steps.filter(|step| step.pivots > 0) {
            let (size, pivots) = (step.size as usize, step.pivots as usize);
            let rows = &ids[step.ids..step.ids + pivots];
            let columns = &ids[step.ids + size..step.ids + 2 * size];
            let (others, own) = upper[step.upper..].split_at((size - pivots) * pivots);
            local.clear();
            local.extend(rows.iter().map(|&row| right[row as usize]));
            for (&column, line) in columns[pivots..].iter().zip(others.chunks_exact(pivots)) {
                subtract(found[column as usize], line, local);
            }
            let mut at = pivots * (pivots + 1) / 2;
            for k in (0..pivots).rev() {
                at -= k + 1;
                let value = local[k] / own[at + k];
                found[columns[k] as usize] = value;
                subtract(value, &own[at..at + k], &mut local[..k]);
            }
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

/// The nearest power of two, by ratio, of a positive normal number.
fn power_of_two(value: f64) -> f64 {
    const EXPONENT: u64 = 0x7ff << 52;
    let below = f64::from_bits(value.to_bits() & EXPONENT);
    if value < below * std::f64::consts::SQRT_2 { below } else { below * 2.0 }
}
