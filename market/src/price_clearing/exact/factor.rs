//! The basis of the simplex as sparse triangular factors, and the exchanges since they were made as elementary columns.
//!
//! Slacks are pivots first: nothing is eliminated by them. Of the rest columns and rows that stand alone come next, then
//! short columns, each eliminated by those before it (left-looking), with the pivot in the emptiest row that is not much
//! smaller than the largest. Rows are numbers of constraints, positions numbers of basic columns.

/// A pivot is at least this share of the largest entry of its column.
const SHARE_MIN: f64 = 0.1;
/// Least pivot at all.
const PIVOT_MIN: f64 = 1e-11;

/// A matrix by columns or by rows: where each begins, and what it has.
#[derive(Debug, Default)]
struct Lists {
    first: Vec<u32>,
    entries: Vec<(u32, f64)>,
}

impl Lists {
    fn clear(&mut self) {
        self.first.clear();
        self.first.push(0);
        self.entries.clear();
    }

    fn close(&mut self) {
        self.first.push(self.entries.len() as u32);
    }

    fn of(&self, at: usize) -> &[(u32, f64)] {
        &self.entries[self.first[at] as usize..self.first[at + 1] as usize]
    }
}

/// An exchange: the position, its entry of the column that came, and the others.
#[derive(Debug)]
struct Exchange {
    position: u32,
    pivot: f64,
    others: Vec<(u32, f64)>,
}

#[derive(Debug, Default)]
pub(super) struct Factor {
    /// Pivots in order: row, position, value.
    pivots: Vec<(u32, u32, f64)>,
    /// What each pivot takes from later rows, and what its position has in rows of earlier pivots.
    lower: Lists,
    upper: Lists,
    /// The rows of `upper`: positions of later pivots.
    across: Lists,
    /// Pivots that take something from later rows.
    eliminating: Vec<u32>,
    exchanges: Vec<Exchange>,
    work: Vec<f64>,
}

impl Factor {
    /// Factors the columns of a basis, by position; false when it is singular.
    pub fn make(&mut self, columns: &[&[(u32, f64)]]) -> bool {
        let m = columns.len();
        self.pivots.clear();
        self.exchanges.clear();
        self.eliminating.clear();
        self.lower.clear();
        self.upper.clear();
        self.work.clear();
        self.work.resize(m, 0.0);
        let mut order = Order::new(columns);
        // Which pivot took a row.
        let mut taken = vec![u32::MAX; m];
        while let Some((position, lone)) = order.next() {
            if !self.eliminate(columns[position as usize], position, lone, &order.row_count, &mut taken) {
                return false;
            }
            let &(row, ..) = self.pivots.last().unwrap_or(&(0, 0, 0.0));
            order.took(columns, row, position);
        }
        self.turn(m, &taken);
        self.pivots.len() == m
    }

    fn eliminate(
        &mut self,
        column: &[(u32, f64)],
        position: u32,
        lone: Option<u32>,
        row_count: &[u32],
        taken: &mut [u32],
    ) -> bool {
        let x = &mut self.work;
        let mut touched: Vec<u32> = Vec::with_capacity(2 * column.len());
        for &(row, a) in column {
            x[row as usize] = a;
            touched.push(row);
        }
        if column.iter().any(|&(row, _)| taken[row as usize] != u32::MAX) {
            for &at in &self.eliminating {
                let value = x[self.pivots[at as usize].0 as usize];
                if value != 0.0 {
                    for &(row, l) in self.lower.of(at as usize) {
                        if x[row as usize] == 0.0 {
                            touched.push(row);
                        }
                        x[row as usize] -= l * value;
                    }
                }
            }
        }
        let mut most = 0.0_f64;
        let mut rest: Vec<(u32, f64)> = Vec::new();
        for &row in &touched {
            let a = std::mem::take(&mut x[row as usize]);
            if a.abs() <= 1e-14 {
                continue;
            }
            if taken[row as usize] == u32::MAX {
                most = most.max(a.abs());
                rest.push((row, a));
            } else {
                self.upper.entries.push((row, a));
            }
        }
        let mut best: Option<(u32, u32, f64)> = None;
        for &(row, a) in &rest {
            let preferred = lone == Some(row) && a.abs() > 1e-5 * most;
            let fits = a.abs() >= SHARE_MIN * most;
            let count = if preferred { 0 } else { row_count[row as usize] };
            if (fits || preferred) && best.is_none_or(|(least, ..)| count < least) {
                best = Some((count, row, a));
            }
        }
        let Some((_, pivot_row, pivot)) = best.filter(|&(.., pivot)| pivot.abs() >= PIVOT_MIN) else {
            return false;
        };
        let others = rest.iter().filter(|&&(row, _)| row != pivot_row);
        self.lower.entries.extend(others.map(|&(row, a)| (row, a / pivot)));
        self.upper.close();
        self.lower.close();
        let done = self.pivots.len() as u32;
        if rest.len() > 1 {
            self.eliminating.push(done);
        }
        taken[pivot_row as usize] = done;
        self.pivots.push((pivot_row, position, pivot));
        true
    }

    /// Writes `upper` by rows.
    fn turn(&mut self, m: usize, taken: &[u32]) {
        let mut counts = vec![0_u32; m + 1];
        let of = |row: u32| taken[row as usize] as usize;
        self.upper.entries.iter().for_each(|&(row, _)| counts[of(row) + 1] += 1);
        for at in 0..m {
            counts[at + 1] += counts[at];
        }
        self.across.first.clear();
        self.across.first.extend_from_slice(&counts);
        self.across.entries.clear();
        self.across.entries.resize(self.upper.entries.len(), (0, 0.0));
        for (at, &(_, position, _)) in self.pivots.iter().enumerate() {
            for &(row, a) in self.upper.of(at) {
                let place = &mut counts[of(row)];
                self.across.entries[*place as usize] = (position, a);
                *place += 1;
            }
        }
    }

    /// Exchanges since the factors were made.
    pub fn exchanges(&self) -> usize {
        self.exchanges.len()
    }

    /// A column came to a position; `column` is what it is in the basis before.
    pub fn exchange(&mut self, position: usize, column: &[f64]) {
        let others = (0_u32..).zip(column).filter(|&(i, a)| i as usize != position && a.abs() > 1e-14);
        self.exchanges.push(Exchange {
            position: position as u32,
            pivot: column[position],
            others: others.map(|(i, &a)| (i, a)).collect(),
        });
    }

    /// Solves B·x = a: `a` by rows becomes `x` by positions.
    pub fn forward(&mut self, a: &mut Vec<f64>) {
        for &at in &self.eliminating {
            let value = a[self.pivots[at as usize].0 as usize];
            if value != 0.0 {
                for &(other, l) in self.lower.of(at as usize) {
                    a[other as usize] -= l * value;
                }
            }
        }
        let x = &mut self.work;
        x.clear();
        x.resize(a.len(), 0.0);
        for (at, &(row, position, pivot)) in self.pivots.iter().enumerate().rev() {
            let value = a[row as usize];
            if value != 0.0 {
                let value = value / pivot;
                x[position as usize] = value;
                for &(other, u) in self.upper.of(at) {
                    a[other as usize] -= u * value;
                }
            }
        }
        for exchange in &self.exchanges {
            let value = &mut x[exchange.position as usize];
            if *value != 0.0 {
                *value /= exchange.pivot;
                let value = *value;
                exchange.others.iter().for_each(|&(i, d)| x[i as usize] -= d * value);
            }
        }
        std::mem::swap(a, x);
    }

    /// Solves Bᵀ·y = c: `c` by positions becomes `y` by rows.
    pub fn backward(&mut self, c: &mut Vec<f64>) {
        for exchange in self.exchanges.iter().rev() {
            let at = exchange.position as usize;
            let taken: f64 = exchange.others.iter().map(|&(i, d)| d * c[i as usize]).sum();
            c[at] = (c[at] - taken) / exchange.pivot;
        }
        let y = &mut self.work;
        y.clear();
        y.resize(c.len(), 0.0);
        for (at, &(row, position, pivot)) in self.pivots.iter().enumerate() {
            let value = c[position as usize];
            if value != 0.0 {
                let value = value / pivot;
                y[row as usize] = value;
                for &(other, u) in self.across.of(at) {
                    c[other as usize] -= u * value;
                }
            }
        }
        for &at in self.eliminating.iter().rev() {
            let row = self.pivots[at as usize].0;
            let taken: f64 = self.lower.of(at as usize).iter().map(|&(other, l)| l * y[other as usize]).sum();
            if taken != 0.0 {
                y[row as usize] -= taken;
            }
        }
        std::mem::swap(c, y);
    }
}

/// In which order columns become pivots.
struct Order {
    /// Columns left in each row, rows left in each column.
    row_count: Vec<u32>,
    column_count: Vec<u32>,
    /// Positions by row.
    rows: Vec<Vec<u32>>,
    row_free: Vec<bool>,
    column_free: Vec<bool>,
    lone_columns: Vec<u32>,
    lone_rows: Vec<u32>,
    /// All positions, the shortest first.
    rest: std::vec::IntoIter<u32>,
}

impl Order {
    fn new(columns: &[&[(u32, f64)]]) -> Self {
        let m = columns.len();
        let mut rows = vec![Vec::new(); m];
        for (position, column) in (0_u32..).zip(columns) {
            column.iter().for_each(|&(row, _)| rows[row as usize].push(position));
        }
        let row_count: Vec<u32> = rows.iter().map(|row: &Vec<u32>| row.len() as u32).collect();
        let column_count: Vec<u32> = columns.iter().map(|column| column.len() as u32).collect();
        let mut rest: Vec<u32> = (0..m as u32).collect();
        rest.sort_by_key(|&position| (column_count[position as usize], position));
        // The last one is taken first.
        let lone_columns = (0..m as u32).rev().filter(|&at| column_count[at as usize] == 1).collect();
        let lone_rows = (0..m as u32).rev().filter(|&row| row_count[row as usize] == 1).collect();
        Self {
            row_count,
            column_count,
            rows,
            row_free: vec![true; m],
            column_free: vec![true; m],
            lone_columns,
            lone_rows,
            rest: rest.into_iter(),
        }
    }

    /// The next position, and the row that it should take, if any.
    fn next(&mut self) -> Option<(u32, Option<u32>)> {
        while let Some(position) = self.lone_columns.pop() {
            if self.column_free[position as usize] {
                return Some((position, None));
            }
        }
        while let Some(row) = self.lone_rows.pop() {
            if self.row_free[row as usize]
                && let Some(&position) =
                    self.rows[row as usize].iter().find(|&&position| self.column_free[position as usize])
            {
                return Some((position, Some(row)));
            }
        }
        self.rest
            .by_ref()
            .find(|&position| self.column_free[position as usize])
            .map(|position| (position, None))
    }

    /// A pivot is made.
    fn took(&mut self, columns: &[&[(u32, f64)]], row: u32, position: u32) {
        self.row_free[row as usize] = false;
        self.column_free[position as usize] = false;
        for &(other, _) in columns[position as usize] {
            let count = &mut self.row_count[other as usize];
            *count -= 1;
            if *count == 1 && self.row_free[other as usize] {
                self.lone_rows.push(other);
            }
        }
        for &other in &self.rows[row as usize] {
            let count = &mut self.column_count[other as usize];
            *count = count.saturating_sub(1);
            if *count == 1 && self.column_free[other as usize] {
                self.lone_columns.push(other);
            }
        }
    }
}
