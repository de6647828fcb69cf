//! A dual simplex for problems that grow: bounded columns, rows added when they are violated, the inverse of the basis
//! held dense (a few hundred rows). All costs are at least 0 and all columns begin at their lower bound, so the first
//! basis is dual feasible, and stays so when rows come or bounds move.
//!
//! Minimise Σ cⱼxⱼ with Σ aᵢⱼxⱼ + wᵢ = bᵢ, 0 ≤ wᵢ ≤ rangeᵢ, lower ≤ x ≤ upper.

const FEASIBLE: f64 = 1e-7;
const PIVOT_MIN: f64 = 1e-9;
/// Most that rows and basic columns may be wrong by, relatively, before the inverse is made anew.
const DRIFT_MAX: f64 = 1e-7;

/// How a solve ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Optimal,
    /// No point satisfies rows and bounds.
    Infeasible,
    /// More pivots than allowed, or numbers that cannot be trusted.
    Stopped,
}

/// Where a column stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Basic(u32),
    Lower,
    Upper,
}

#[derive(Debug, Default)]
pub(super) struct Simplex {
    cost: Vec<f64>,
    lower: Vec<f64>,
    upper: Vec<f64>,
    place: Vec<Place>,
    reduced: Vec<f64>,
    columns: Vec<Vec<(u32, f64)>>,
    rows: Vec<Vec<(u32, f64)>>,
    rhs: Vec<f64>,
    basic: Vec<u32>,
    values: Vec<f64>,
    inverse: Vec<Vec<f64>>,
    pivots: usize,
    /// Pivots times rows, summed.
    pub effort: u64,
}

impl Simplex {
    /// A column in no row yet, at its lower bound.
    pub fn column(&mut self, cost: f64, lower: f64, upper: f64) -> u32 {
        self.cost.push(cost);
        self.lower.push(lower);
        self.upper.push(upper);
        self.place.push(Place::Lower);
        self.reduced.push(cost);
        self.columns.push(Vec::new());
        (self.cost.len() - 1) as u32
    }

    /// Adds Σ a·x + w = rhs with 0 ≤ w ≤ range.
    pub fn row(&mut self, entries: Vec<(u32, f64)>, rhs: f64, range: f64) {
        let m = self.rows.len();
        let slack = self.column(0.0, 0.0, range);
        let mut value = rhs;
        let mut inverse = vec![0.0; m + 1];
        for &(column, a) in &entries {
            value -= a * self.value(column);
            if let Place::Basic(row) = self.place[column as usize] {
                for k in 0..m {
                    inverse[k] -= a * self.inverse[row as usize][k];
                }
            }
            self.columns[column as usize].push((m as u32, a));
        }
        inverse[m] = 1.0;
        self.inverse.iter_mut().for_each(|row| row.push(0.0));
        self.inverse.push(inverse);
        self.columns[slack as usize].push((m as u32, 1.0));
        self.place[slack as usize] = Place::Basic(m as u32);
        self.basic.push(slack);
        self.values.push(value);
        let mut entries = entries;
        entries.push((slack, 1.0));
        self.rows.push(entries);
        self.rhs.push(rhs);
    }

    pub fn value(&self, column: u32) -> f64 {
        let column = column as usize;
        match self.place[column] {
            Place::Basic(row) => self.values[row as usize],
            Place::Lower => self.lower[column],
            Place::Upper => self.upper[column],
        }
    }

    /// What a unit more of a column costs.
    pub fn reduced(&self, column: u32) -> f64 {
        self.reduced[column as usize]
    }

    pub fn objective(&self) -> f64 {
        (0..self.cost.len())
            .map(|j| if self.cost[j] == 0.0 { 0.0 } else { self.cost[j] * self.value(j as u32) })
            .sum()
    }

    pub fn bounds(&self, column: u32) -> (f64, f64) {
        (self.lower[column as usize], self.upper[column as usize])
    }

    /// Moves the bounds of a column; the basis stays dual feasible.
    pub fn set_bounds(&mut self, column: u32, lower: f64, upper: f64) {
        let j = column as usize;
        if self.lower[j] == lower && self.upper[j] == upper {
            return;
        }
        if let Place::Basic(_) = self.place[j] {
            (self.lower[j], self.upper[j]) = (lower, upper);
            return;
        }
        let before = self.value(column);
        (self.lower[j], self.upper[j]) = (lower, upper);
        self.place[j] =
            if self.reduced[j] >= 0.0 || upper.is_infinite() { Place::Lower } else { Place::Upper };
        let step = self.value(column) - before;
        if step != 0.0 {
            let entries: Vec<(u32, f64)> = self.columns[j].iter().map(|&(row, a)| (row, a * step)).collect();
            self.shift(&entries);
        }
    }

    /// Takes Σ of columns that moved out of the basic values.
    fn shift(&mut self, entries: &[(u32, f64)]) {
        for (row, value) in self.inverse.iter().zip(&mut self.values) {
            *value -= entries.iter().map(|&(k, a)| row[k as usize] * a).sum::<f64>();
        }
    }

    /// Makes the basis feasible, in at most `limit` pivots.
    pub fn solve(&mut self, limit: usize) -> End {
        let stop = self.pivots + limit;
        loop {
            let Some((row, below)) = self.leaving() else { return End::Optimal };
            if self.pivots >= stop {
                return End::Stopped;
            }
            match self.pivot(row, below) {
                End::Optimal => {}
                end => return end,
            }
            self.pivots += 1;
            self.effort += self.rows.len() as u64;
            if self.pivots.is_multiple_of(100) && !self.refresh() {
                return End::Stopped;
            }
        }
    }

    /// The row whose basic value breaks its bounds most, by the length of its row in the inverse.
    fn leaving(&self) -> Option<(usize, bool)> {
        let mut best: Option<(f64, usize, bool)> = None;
        for (row, &column) in self.basic.iter().enumerate() {
            let (value, j) = (self.values[row], column as usize);
            let short = self.lower[j] - value;
            let over = value - self.upper[j];
            let worst = short.max(over);
            if worst > FEASIBLE {
                let norm: f64 = self.inverse[row].iter().map(|v| v * v).sum();
                let score = worst * worst / norm.max(1e-12);
                if best.is_none_or(|(most, ..)| score > most) {
                    best = Some((score, row, short > over));
                }
            }
        }
        best.map(|(_, row, below)| (row, below))
    }

    fn pivot(&mut self, row: usize, below: bool) -> End {
        let leaving = self.basic[row] as usize;
        let bound = if below { self.lower[leaving] } else { self.upper[leaving] };
        let alpha = self.row_of(row);
        let sign = if below { -1.0 } else { 1.0 };
        let mut candidates: Vec<(f64, u32)> = Vec::new();
        for (j, &a) in alpha.iter().enumerate() {
            let a = a * sign;
            let moves = match self.place[j] {
                Place::Basic(_) => false,
                Place::Lower => a > PIVOT_MIN && self.upper[j] > self.lower[j],
                Place::Upper => a < -PIVOT_MIN && self.upper[j] > self.lower[j],
            };
            if moves {
                candidates.push((self.reduced[j].abs() / a.abs(), j as u32));
            }
        }
        candidates.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let mut slope = (self.values[row] - bound).abs();
        let (mut entering, mut flips) = (None, Vec::new());
        for (at, &(ratio, j)) in candidates.iter().enumerate() {
            let reach = (self.upper[j as usize] - self.lower[j as usize]) * alpha[j as usize].abs();
            if slope - reach < 0.0 || !reach.is_finite() {
                // Of those that are as near, the largest pivot.
                let near = candidates[at..].iter().take_while(|&&(other, _)| other <= ratio + 1e-12);
                entering = near
                    .map(|&(_, j)| j)
                    .max_by(|&a, &b| alpha[a as usize].abs().total_cmp(&alpha[b as usize].abs()));
                break;
            }
            slope -= reach;
            flips.push(j);
        }
        let Some(entering) = entering else { return End::Infeasible };
        let mut moved: Vec<(u32, f64)> = Vec::new();
        for j in flips {
            let j = j as usize;
            let up = self.place[j] == Place::Lower;
            let step = if up { self.upper[j] - self.lower[j] } else { self.lower[j] - self.upper[j] };
            self.place[j] = if up { Place::Upper } else { Place::Lower };
            moved.extend(self.columns[j].iter().map(|&(k, a)| (k, a * step)));
        }
        if !moved.is_empty() {
            self.shift(&moved);
        }
        self.exchange(row, leaving, bound, below, entering as usize, &alpha)
    }

    /// Row of B⁻¹A over all columns.
    fn row_of(&self, row: usize) -> Vec<f64> {
        let mut alpha = vec![0.0; self.cost.len()];
        for (k, &r) in self.inverse[row].iter().enumerate() {
            if r.abs() > 1e-13 {
                for &(column, a) in &self.rows[k] {
                    alpha[column as usize] += r * a;
                }
            }
        }
        alpha
    }

    fn exchange(
        &mut self,
        row: usize,
        leaving: usize,
        bound: f64,
        below: bool,
        entering: usize,
        alpha: &[f64],
    ) -> End {
        let entries = &self.columns[entering];
        let column: Vec<f64> = self
            .inverse
            .iter()
            .map(|inverse| entries.iter().map(|&(k, a)| inverse[k as usize] * a).sum())
            .collect();
        let pivot = column[row];
        if (pivot - alpha[entering]).abs() > 1e-6 * (1.0 + pivot.abs()) || pivot.abs() < PIVOT_MIN {
            if !self.invert() {
                return End::Stopped;
            }
            self.evaluate();
            return End::Optimal;
        }
        let step = (self.values[row] - bound) / pivot;
        let value = self.value(entering as u32) + step;
        for (v, a) in self.values.iter_mut().zip(&column) {
            *v -= step * a;
        }
        self.values[row] = value;
        let dual = self.reduced[entering] / pivot;
        for (j, &a) in alpha.iter().enumerate() {
            if a != 0.0 && !matches!(self.place[j], Place::Basic(_)) {
                self.reduced[j] -= dual * a;
            }
        }
        self.reduced[entering] = 0.0;
        self.reduced[leaving] = -dual;
        self.place[leaving] = if below { Place::Lower } else { Place::Upper };
        self.place[entering] = Place::Basic(row as u32);
        self.basic[row] = entering as u32;
        let mut pivot_row = std::mem::take(&mut self.inverse[row]);
        pivot_row.iter_mut().for_each(|v| *v /= pivot);
        // Much of the inverse is zero, because many basic columns are slacks.
        let filled: Vec<(u32, f64)> =
            (0_u32..).zip(&pivot_row).filter(|&(_, &p)| p != 0.0).map(|(k, &p)| (k, p)).collect();
        let sparse = 3 * filled.len() < pivot_row.len();
        for (i, other) in self.inverse.iter_mut().enumerate() {
            let a = column[i];
            if i == row || a.abs() <= 1e-14 {
                continue;
            }
            if sparse {
                filled.iter().for_each(|&(k, p)| other[k as usize] -= a * p);
            } else {
                other.iter_mut().zip(&pivot_row).for_each(|(v, p)| *v -= a * p);
            }
        }
        self.inverse[row] = pivot_row;
        End::Optimal
    }

    /// Values and reduced costs from the inverse, and the inverse from the basis where it has drifted; false when that
    /// is singular.
    fn refresh(&mut self) -> bool {
        self.evaluate();
        if self.drift() <= DRIFT_MAX {
            return true;
        }
        let made = self.invert();
        if made {
            self.evaluate();
        }
        made
    }

    /// How far rows and basic columns are from holding, relative to what stands in them.
    fn drift(&self) -> f64 {
        let mut worst = 0.0_f64;
        for (entries, rhs) in self.rows.iter().zip(&self.rhs) {
            let (mut left, mut size) = (*rhs, 1.0 + rhs.abs());
            for &(column, a) in entries {
                let part = a * self.value(column);
                left -= part;
                size += part.abs();
            }
            worst = worst.max(left.abs() / size);
        }
        let duals = self.duals();
        for &column in &self.basic {
            let (mut left, mut size) = (self.cost[column as usize], 1.0 + self.cost[column as usize].abs());
            for &(row, a) in &self.columns[column as usize] {
                let part = a * duals[row as usize];
                left -= part;
                size += part.abs();
            }
            worst = worst.max(left.abs() / size);
        }
        worst
    }

    /// The inverse from the basis alone; false when it is singular.
    fn invert(&mut self) -> bool {
        let m = self.rows.len();
        let mut basis = vec![vec![0.0; m]; m];
        for (at, &column) in self.basic.iter().enumerate() {
            for &(row, a) in &self.columns[column as usize] {
                basis[row as usize][at] = a;
            }
        }
        let mut inverse: Vec<Vec<f64>> =
            (0..m).map(|i| (0..m).map(|k| f64::from(u8::from(i == k))).collect()).collect();
        // Short columns first: slacks cost nothing, and little is filled in.
        let mut order: Vec<usize> = (0..m).collect();
        order.sort_by_key(|&at| (self.columns[self.basic[at] as usize].len(), at));
        let mut done = vec![false; m];
        for &at in &order {
            let free = (0..m).filter(|&row| !done[row]);
            let best = free.max_by(|&a, &b| basis[a][at].abs().total_cmp(&basis[b][at].abs()));
            let Some(best) = best.filter(|&best| basis[best][at].abs() >= 1e-11) else { return false };
            basis.swap(at, best);
            inverse.swap(at, best);
            done[at] = true;
            let scale = 1.0 / basis[at][at];
            let filled = |row: &mut [f64]| -> Vec<(u32, f64)> {
                row.iter_mut().for_each(|v| *v *= scale);
                (0_u32..).zip(row.iter()).filter(|&(_, &v)| v != 0.0).map(|(k, &v)| (k, v)).collect()
            };
            let (pivot_row, pivot_inverse) = (filled(&mut basis[at]), filled(&mut inverse[at]));
            for i in (0..m).filter(|&i| i != at) {
                let a = basis[i][at];
                if a != 0.0 {
                    let (row, inverse) = (&mut basis[i], &mut inverse[i]);
                    pivot_row.iter().for_each(|&(k, p)| row[k as usize] -= a * p);
                    pivot_inverse.iter().for_each(|&(k, p)| inverse[k as usize] -= a * p);
                }
            }
        }
        self.inverse = inverse;
        true
    }

    /// Values of the basic columns and all reduced costs, by the inverse.
    fn evaluate(&mut self) {
        let mut right = self.rhs.clone();
        for (j, entries) in self.columns.iter().enumerate() {
            let value = if matches!(self.place[j], Place::Basic(_)) { 0.0 } else { self.value(j as u32) };
            if value != 0.0 {
                entries.iter().for_each(|&(row, a)| right[row as usize] -= a * value);
            }
        }
        for (value, row) in self.values.iter_mut().zip(&self.inverse) {
            *value = row.iter().zip(&right).map(|(a, b)| a * b).sum();
        }
        let duals = self.duals();
        for (j, entries) in self.columns.iter().enumerate() {
            let basic = matches!(self.place[j], Place::Basic(_));
            let charged: f64 = entries.iter().map(|&(row, a)| duals[row as usize] * a).sum();
            self.reduced[j] = if basic { 0.0 } else { self.cost[j] - charged };
        }
    }

    fn duals(&self) -> Vec<f64> {
        let mut duals = vec![0.0; self.rows.len()];
        for (row, &column) in self.inverse.iter().zip(&self.basic) {
            let c = self.cost[column as usize];
            if c != 0.0 {
                duals.iter_mut().zip(row).for_each(|(y, v)| *y += c * v);
            }
        }
        duals
    }
}
