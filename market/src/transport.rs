//! The integer transportation problem behind exact disaggregation.
//!
//! Rows are FlexOffers, columns are slots of the aggregate's profile. Each cell can carry from 0 to its room, each
//! row from `least` to `most` over all its cells, and each column must carry exactly its need. All numbers are
//! whole milliwatt hours, so a maximum flow is a whole and exact answer.
//!
//! Two phases: the rows' least amounts, then the rest. Each starts with every row taking in proportion to what the
//! columns still need (this alone leaves little to do), hands out the rounding, and finishes by augmenting along
//! shortest alternating paths. A path starts at a row that may take more and ends at a column in need; rows in
//! between keep their sums, so the least amounts survive the second phase. When no path is left and a column is
//! still in need (or a row below its least), no answer exists: max-flow min-cut.

mod paths;
#[cfg(test)]
mod tests;

/// A problem, row by row. Amounts in mWh.
#[derive(Debug, Clone, Default)]
pub(crate) struct Transport {
    /// First cell of each row, and one past the last cell at the end.
    starts: Vec<u32>,
    /// Column of each cell.
    columns: Vec<u32>,
    /// Most each cell can carry.
    rooms: Vec<i64>,
    least: Vec<i64>,
    most: Vec<i64>,
}

/// No flow exists; the columns of a cut that proves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NoFlow {
    /// Which columns ask for more than can be brought to them, or, taken together, can absorb less than rows must
    /// place in them.
    pub(crate) columns: Vec<u32>,
    /// Whether they ask for too much (else too little).
    pub(crate) too_much: bool,
}

impl Transport {
    /// An empty problem with space for this many rows and cells.
    pub(crate) fn with_capacity(rows: usize, cells: usize) -> Self {
        let mut starts = Vec::with_capacity(rows + 1);
        starts.push(0);
        Self {
            starts,
            columns: Vec::with_capacity(cells),
            rooms: Vec::with_capacity(cells),
            least: Vec::with_capacity(rows),
            most: Vec::with_capacity(rows),
        }
    }

    /// Adds a row: its cells as (column, room), and the bounds of their sum.
    pub(crate) fn push_row(&mut self, cells: impl Iterator<Item = (u32, i64)>, least: i64, most: i64) {
        if self.starts.is_empty() {
            self.starts.push(0);
        }
        for (column, room) in cells {
            self.columns.push(column);
            self.rooms.push(room.max(0));
        }
        self.starts.push(self.columns.len() as u32);
        self.least.push(least.max(0));
        self.most.push(most);
    }

    /// Number of rows.
    pub(crate) fn rows(&self) -> usize {
        self.least.len()
    }

    fn cells(&self, row: usize) -> std::ops::Range<usize> {
        self.starts[row] as usize..self.starts[row + 1] as usize
    }

    /// What each cell carries so that every column gets exactly its need, in the order the cells were added.
    pub(crate) fn solve(&self, need: &[i64]) -> Result<Vec<i64>, NoFlow> {
        let mut flow = Flow {
            problem: self,
            need: need.to_vec(),
            carried: vec![0; self.columns.len()],
            taken: vec![0; self.rows()],
            by_column: None,
        };
        let negative: Vec<u32> =
            (0..need.len()).filter(|&column| need[column] < 0).map(|c| c as u32).collect();
        if !negative.is_empty() || self.most.iter().zip(&self.least).any(|(most, least)| most < least) {
            return Err(NoFlow { columns: negative, too_much: false });
        }
        for (phase, limits) in [(Phase::Least, &self.least), (Phase::Rest, &self.most)] {
            flow.spread(limits, phase);
            flow.hand_out(limits);
            while !flow.done(limits, phase) {
                flow.augment(limits, phase)?;
            }
        }
        Ok(flow.carried)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Every row gets its least.
    Least,
    /// Every column gets its need.
    Rest,
}

struct Flow<'a> {
    problem: &'a Transport,
    /// What each column still needs.
    need: Vec<i64>,
    carried: Vec<i64>,
    /// Sum of each row.
    taken: Vec<i64>,
    /// Cells of each column and row of each cell, made when first needed.
    by_column: Option<paths::ByColumn>,
}

impl Flow<'_> {
    fn done(&self, limits: &[i64], phase: Phase) -> bool {
        match phase {
            Phase::Least => self.taken.iter().zip(limits).all(|(taken, limit)| taken >= limit),
            Phase::Rest => self.need.iter().all(|&need| need == 0),
        }
    }

    /// Every row takes in proportion to need over room of its columns; in the first phase scaled to reach its
    /// limit, in the second scaled down where it would pass it. Floating point only chooses; what is moved is whole.
    fn spread(&mut self, limits: &[i64], phase: Phase) {
        let problem = self.problem;
        let mut room = vec![0.0_f64; self.need.len()];
        for (cell, &column) in problem.columns.iter().enumerate() {
            room[column as usize] += (problem.rooms[cell] - self.carried[cell]) as f64;
        }
        let density = |(&need, &room): (&i64, &f64)| if room > 0.0 { need as f64 / room } else { 0.0 };
        let density: Vec<f64> = self.need.iter().zip(&room).map(density).collect();
        for row in 0..problem.rows() {
            let left = limits[row] - self.taken[row];
            if left <= 0 {
                continue;
            }
            let cells = problem.cells(row);
            let share = |cell: usize| {
                density[problem.columns[cell] as usize] * (problem.rooms[cell] - self.carried[cell]) as f64
            };
            let wanted: f64 = cells.clone().map(share).sum();
            if wanted <= 0.0 {
                continue;
            }
            let scale = match phase {
                Phase::Least => left as f64 / wanted,
                Phase::Rest => (left as f64 / wanted).min(1.0),
            };
            let mut moved = 0;
            for cell in cells {
                let column = problem.columns[cell] as usize;
                let free = problem.rooms[cell] - self.carried[cell];
                let amount = (density[column] * scale * free as f64) as i64;
                let amount = amount.min(free).min(self.need[column]).min(left - moved).max(0);
                self.carried[cell] += amount;
                self.need[column] -= amount;
                moved += amount;
            }
            self.taken[row] += moved;
        }
    }

    /// Rows below their limit take what their columns still need, first come first served.
    fn hand_out(&mut self, limits: &[i64]) {
        let problem = self.problem;
        for row in 0..problem.rows() {
            let mut left = limits[row] - self.taken[row];
            for cell in problem.cells(row) {
                if left <= 0 {
                    break;
                }
                let column = problem.columns[cell] as usize;
                let amount = (problem.rooms[cell] - self.carried[cell]).min(self.need[column]).min(left);
                if amount > 0 {
                    self.carried[cell] += amount;
                    self.need[column] -= amount;
                    self.taken[row] += amount;
                    left -= amount;
                }
            }
        }
    }
}
