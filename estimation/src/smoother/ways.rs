//! The ways from the ends of ties to the root, and how everything along them answers to what ties draw.

use super::core::{Core, Drawn};
use super::dense::{self, LANES, Plain, Vector};
use super::lines::NONE;
use super::live::pass_rows;
use super::precision::Up;
use super::ties::Ties;

/// Corrections at a position.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Answered {
    /// Of its voltage.
    pub v: Vector,
    /// Of the gradient by its current, inside its rows.
    pub mu: Vector,
    /// Of the voltage above, as the line brings it.
    pub u: Vector,
    /// Of the current of the line above.
    pub j: Vector,
}

/// Room for what goes along them.
pub(super) struct Ways {
    /// By number on the paths: what arrives from below, if something does, and what the line makes of it.
    sums: Vec<Option<Up<f64>>>,
    up: Vec<Up<f64>>,
    /// By row at a cut: change of ν/s.
    nu: Vec<f64>,
    answered: Vec<Answered>,
}

impl Ways {
    pub fn new<const N: usize>(ties: &Ties<N>) -> Self {
        let count = ties.paths.len();
        let rows = ties.first_row.last().copied().unwrap_or_default();
        let answered = vec![Answered::default(); count];
        Self { sums: vec![None; count], up: vec![Up::NOTHING; count], nu: vec![0.0; rows], answered }
    }

    /// How everything on the paths answers when ties draw this: what flows into the root, and [`Ways::answered`].
    pub fn answer<const N: usize>(&mut self, core: &Core<N>, ties: &Ties<N>, drawn: &[Drawn]) -> Vector {
        for (ends, drawn) in ties.ends.iter().zip(drawn) {
            for (end, sign) in [(ends.bus, 1.0), (ends.twin, -1.0)] {
                let sum = self.sums[end].get_or_insert(Up::NOTHING);
                sum.a = dense::axpy(Plain, sign, &drawn.current, &sum.a);
                sum.e = dense::axpy(Plain, sign, &drawn.pull, &sum.e);
            }
        }
        let sum = self.climb(core, ties);
        let root = dense::times(Plain, &core.root, &sum.e);
        self.descend(core, ties, root);
        dense::times_plus(Plain, &core.root_flow.0, &root, &sum.a)
    }

    /// Of the last answer, by number on the paths.
    pub fn answered(&self) -> &[Answered] {
        &self.answered
    }

    /// Up to the root; gives what arrives there.
    fn climb<const N: usize>(&mut self, core: &Core<N>, ties: &Ties<N>) -> Up<f64> {
        let factors = &core.double;
        for number in (0..ties.paths.len()).rev() {
            let (i, parent) = (ties.paths[number].0 as usize, ties.paths[number].1 as usize);
            let Some(mut sum) = self.sums[number].take() else {
                self.up[number] = Up::NOTHING;
                ties.rows_at(core, i).for_each(|row| self.nu[row] = 0.0);
                continue;
            };
            let site = core.place[i].site;
            if site != NONE {
                let (first, end) = core.sites[site as usize].here;
                (first..end).for_each(|cut| self.pass_up(core, ties, cut, &mut sum));
            }
            if i == 0 {
                return sum;
            }
            let line = &core.lines.line[i];
            let next = factors.climb(Plain, &factors.edges[i], line, &sum);
            self.up[number] = next;
            let mut at_parent =
                Up { a: factors.tt(Plain, line, &next.a), e: factors.tt(Plain, line, &next.e) };
            if site != NONE && core.sites[site as usize].above != NONE {
                self.pass_up(core, ties, core.sites[site as usize].above, &mut at_parent);
            }
            self.sums[parent] = Some(match self.sums[parent] {
                Some(there) => Up {
                    a: dense::add(Plain, &there.a, &at_parent.a),
                    e: dense::add(Plain, &there.e, &at_parent.e),
                },
                None => at_parent,
            });
        }
        Up::NOTHING
    }

    fn pass_up<const N: usize>(&mut self, core: &Core<N>, ties: &Ties<N>, cut: u32, sum: &mut Up<f64>) {
        let first = ties.first_row[cut as usize];
        core.cuts[cut as usize].pass_up(sum, |row, nu| self.nu[first + row] = nu);
    }

    /// Down to all ends.
    fn descend<const N: usize>(&mut self, core: &Core<N>, ties: &Ties<N>, root: Vector) {
        let (factors, nu) = (&core.double, |cut: usize, row: usize| self.nu[ties.first_row[cut] + row]);
        let mut mu = [0.0; LANES];
        pass_rows::<f64, N>(core, 0, &root, &mut mu, &nu);
        self.answered[0] = Answered { v: root, mu, ..Answered::default() };
        for (number, &(i, parent)) in ties.paths.iter().enumerate().skip(1) {
            let (i, line) = (i as usize, &core.lines.line[i as usize]);
            let Answered { v, mut mu, .. } = self.answered[parent as usize];
            let site = core.place[i].site;
            if site != NONE && core.sites[site as usize].above != NONE {
                let cut = core.sites[site as usize].above as usize;
                core.cuts[cut].descend::<f64>(&v, &mut mu, |row| nu(cut, row));
            }
            let (u, omega) = (factors.t(Plain, line, &v), factors.t(Plain, line, &mu));
            let change = factors.descend(Plain, &factors.edges[i], line, &self.up[number], (&u, &omega));
            let v = dense::sub(Plain, &u, &factors.z(Plain, line, &change.a));
            let mut mu = dense::sub(Plain, &omega, &factors.zt(Plain, line, &change.e));
            pass_rows::<f64, N>(core, i, &v, &mut mu, &nu);
            self.answered[number] = Answered { v, mu, u, j: change.a };
        }
    }
}

impl<const N: usize> Ties<N> {
    /// Numbers of the rows of cuts at a position and above it.
    fn rows_at(&self, core: &Core<N>, i: usize) -> impl Iterator<Item = usize> {
        let site = core.place[i].site;
        let (here, above) = if site == NONE {
            (0..0, NONE)
        } else {
            let site = core.sites[site as usize];
            (site.here.0 as usize..site.here.1 as usize, site.above)
        };
        let above = if above == NONE { 0..0 } else { above as usize..above as usize + 1 };
        let rows = |cuts: std::ops::Range<usize>| self.first_row[cuts.start]..self.first_row[cuts.end];
        rows(here).chain(rows(above))
    }
}
