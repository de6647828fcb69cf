//! Augmenting a flow along shortest alternating paths.

use super::{Flow, NoFlow, Phase, Transport};

const NONE: u32 = u32::MAX;

/// The problem seen from its columns.
pub(super) struct ByColumn {
    /// Where each column's cells start in `cells`, and one past the last at the end.
    starts: Vec<u32>,
    cells: Vec<u32>,
    row_of: Vec<u32>,
}

impl ByColumn {
    fn new(problem: &Transport, columns: usize) -> Self {
        let mut starts = vec![0_u32; columns + 1];
        for &column in &problem.columns {
            starts[column as usize + 1] += 1;
        }
        for column in 0..columns {
            starts[column + 1] += starts[column];
        }
        let (mut next, mut cells) = (starts.clone(), vec![0; problem.columns.len()]);
        let mut row_of = vec![0; problem.columns.len()];
        for row in 0..problem.rows() {
            for cell in problem.cells(row) {
                let column = problem.columns[cell] as usize;
                cells[next[column] as usize] = cell as u32;
                next[column] += 1;
                row_of[cell] = row as u32;
            }
        }
        Self { starts, cells, row_of }
    }

    fn cells(&self, column: usize) -> &[u32] {
        &self.cells[self.starts[column] as usize..self.starts[column + 1] as usize]
    }
}

/// Shortest paths from all rows that may take more. A path enters a column through a cell with room and leaves it
/// through a cell that carries something.
struct Forest {
    /// The cell by which a column was reached; `NONE` when it was not.
    into_column: Vec<u32>,
    /// The cell by which a row was reached; `NONE` for a root or an unreached row.
    into_row: Vec<u32>,
    reached_row: Vec<bool>,
    /// Columns in need, nearest first; those of the level at which the first one was found.
    ends: Vec<u32>,
}

impl Flow<'_> {
    /// Moves what fits along shortest paths; an error when there is none.
    pub(super) fn augment(&mut self, limits: &[i64], phase: Phase) -> Result<(), NoFlow> {
        let columns = self.need.len();
        let by_column = match self.by_column.take() {
            Some(by_column) => by_column,
            None => ByColumn::new(self.problem, columns),
        };
        let forest = self.grow(&by_column, limits);
        let mut moved = 0;
        for &column in &forest.ends {
            moved += self.push(&forest, &by_column, limits, column);
        }
        self.by_column = Some(by_column);
        if moved > 0 {
            return Ok(());
        }
        let reached = |column: &u32| forest.into_column[*column as usize] != NONE;
        let all = 0..columns as u32;
        Err(match phase {
            // Rows must place their least in these columns, which are full.
            Phase::Least => NoFlow { columns: all.filter(reached).collect(), too_much: false },
            // Nobody who may take more reaches these columns.
            Phase::Rest => {
                NoFlow { columns: all.filter(|column| !reached(column)).collect(), too_much: true }
            }
        })
    }

    fn grow(&self, by_column: &ByColumn, limits: &[i64]) -> Forest {
        let problem = self.problem;
        let may_take = |row: &usize| self.taken[*row] < limits[*row];
        let mut rows: Vec<u32> = (0..problem.rows()).filter(may_take).map(|row| row as u32).collect();
        let mut forest = Forest {
            into_column: vec![NONE; self.need.len()],
            into_row: vec![NONE; problem.rows()],
            reached_row: vec![false; problem.rows()],
            ends: Vec::new(),
        };
        for &row in &rows {
            forest.reached_row[row as usize] = true;
        }
        while !rows.is_empty() && forest.ends.is_empty() {
            let mut fresh = Vec::new();
            for &row in &rows {
                for cell in problem.cells(row as usize) {
                    let column = problem.columns[cell] as usize;
                    if forest.into_column[column] == NONE && self.carried[cell] < problem.rooms[cell] {
                        forest.into_column[column] = cell as u32;
                        fresh.push(column as u32);
                    }
                }
            }
            forest.ends.extend(fresh.iter().filter(|&&column| self.need[column as usize] > 0));
            rows.clear();
            for &column in &fresh {
                for &cell in by_column.cells(column as usize) {
                    let row = by_column.row_of[cell as usize];
                    if !forest.reached_row[row as usize] && self.carried[cell as usize] > 0 {
                        forest.reached_row[row as usize] = true;
                        forest.into_row[row as usize] = cell;
                        rows.push(row);
                    }
                }
            }
        }
        forest
    }

    /// Moves what fits along the path that ends at a column; 0 when an earlier path used it up.
    fn push(&mut self, forest: &Forest, by_column: &ByColumn, limits: &[i64], end: u32) -> i64 {
        let problem = self.problem;
        let mut amount = self.need[end as usize];
        let mut column = end as usize;
        let root = loop {
            let cell = forest.into_column[column] as usize;
            amount = amount.min(problem.rooms[cell] - self.carried[cell]);
            let row = by_column.row_of[cell] as usize;
            match forest.into_row[row] {
                NONE => break row,
                back => {
                    amount = amount.min(self.carried[back as usize]);
                    column = problem.columns[back as usize] as usize;
                }
            }
        };
        amount = amount.min(limits[root] - self.taken[root]);
        if amount <= 0 {
            return 0;
        }
        let mut column = end as usize;
        loop {
            let cell = forest.into_column[column] as usize;
            self.carried[cell] += amount;
            match forest.into_row[by_column.row_of[cell] as usize] {
                NONE => break,
                back => {
                    self.carried[back as usize] -= amount;
                    column = problem.columns[back as usize] as usize;
                }
            }
        }
        self.need[end as usize] -= amount;
        self.taken[root] += amount;
        amount
    }
}
