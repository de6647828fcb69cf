//! A dual simplex for problems that grow: bounded columns, rows added when they are violated, the inverse of the basis
//! held dense (a few hundred rows). All costs are at least 0 and all columns begin at their lower bound, so the first
//! basis is dual feasible, and stays so when rows come or bounds move.
//!
//! Minimise Σ cⱼxⱼ with Σ aᵢⱼxⱼ + wᵢ = bᵢ, 0 ≤ wᵢ ≤ rangeᵢ, lower ≤ x ≤ upper.

const FEASIBLE: f64 = 1e-7;
const PIVOT_MIN: f64 = 1e-9;

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
    pub pivots: usize,
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
            if self.pivots.is_multiple_of(200) && !self.refresh() {
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
            return if self.refresh() { End::Optimal } else { End::Stopped };
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
        for (i, other) in self.inverse.iter_mut().enumerate() {
            let a = column[i];
            if i != row && a.abs() > 1e-14 {
                for (v, p) in other.iter_mut().zip(&pivot_row) {
                    *v -= a * p;
                }
            }
        }
        self.inverse[row] = pivot_row;
        End::Optimal
    }

    /// Inverse, values and reduced costs from the basis alone; false when it is singular.
    fn refresh(&mut self) -> bool {
        let m = self.rows.len();
        let mut basis = vec![vec![0.0; m]; m];
        for (at, &column) in self.basic.iter().enumerate() {
            for &(row, a) in &self.columns[column as usize] {
                basis[row as usize][at] = a;
            }
        }
        let mut inverse: Vec<Vec<f64>> =
            (0..m).map(|i| (0..m).map(|k| f64::from(u8::from(i == k))).collect()).collect();
        for at in 0..m {
            let Some(best) = (at..m).max_by(|&a, &b| basis[a][at].abs().total_cmp(&basis[b][at].abs()))
            else {
                return false;
            };
            if basis[best][at].abs() < 1e-11 {
                return false;
            }
            basis.swap(at, best);
            inverse.swap(at, best);
            let scale = 1.0 / basis[at][at];
            basis[at].iter_mut().for_each(|v| *v *= scale);
            inverse[at].iter_mut().for_each(|v| *v *= scale);
            let (pivot_row, pivot_inverse) = (basis[at].clone(), inverse[at].clone());
            for i in (0..m).filter(|&i| i != at) {
                let a = basis[i][at];
                if a != 0.0 {
                    basis[i].iter_mut().zip(&pivot_row).skip(at).for_each(|(v, p)| *v -= a * p);
                    inverse[i].iter_mut().zip(&pivot_inverse).for_each(|(v, p)| {
                        if *p != 0.0 {
                            *v -= a * p
                        }
                    });
                }
            }
        }
        self.inverse = inverse;
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
        let mut duals = vec![0.0; m];
        for (row, &column) in self.inverse.iter().zip(&self.basic) {
            let c = self.cost[column as usize];
            if c != 0.0 {
                duals.iter_mut().zip(row).for_each(|(y, v)| *y += c * v);
            }
        }
        for (j, entries) in self.columns.iter().enumerate() {
            let basic = matches!(self.place[j], Place::Basic(_));
            let charged: f64 = entries.iter().map(|&(row, a)| duals[row as usize] * a).sum();
            self.reduced[j] = if basic { 0.0 } else { self.cost[j] - charged };
        }
        true
    }
}
