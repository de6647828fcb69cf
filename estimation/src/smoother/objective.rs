//! The weighted sum of squared residuals at a state, from the network's equations alone: nothing linearized.

use super::core::Core;
use super::cuts::{Place, Says as RowSays};
use super::dense::{self, HALF, LANES, Plain, Vector};
use super::lines::NONE;
use super::meters::Says;

impl<const N: usize> Core<N> {
    /// Whether a current reading counts from the common reference.
    pub fn has_absolute_currents(&self) -> bool {
        let mut rows = self.cuts.iter().flat_map(|cut| &cut.rows);
        rows.any(|row| matches!(row.says, RowSays::Phasor { relative: false, .. }))
    }

    /// What each bus takes by Kirchhoff's law, without its shunts. Of the root: what comes in from outside, negative.
    pub fn taken(&self) -> Vec<Vector> {
        let mut taken = self.j.clone();
        taken[0] = [0.0; LANES];
        for i in (0..self.count()).rev() {
            let shunt = self.lines.shunt_current(Plain, i, &self.v[i]);
            taken[i] = dense::sub(Plain, &taken[i], &shunt);
            if let Some(drawn) = self.drawn_at(i) {
                taken[i] = dense::sub(Plain, &taken[i], &drawn.current);
            }
            if i > 0 {
                let line = &self.lines.line[i];
                let from = self.lines.tt(Plain, line, &self.j[i]);
                let parent = line.parent as usize;
                taken[parent] = dense::sub(Plain, &taken[parent], &from);
            }
        }
        taken
    }

    /// Objective and the largest violation of an exact injection, p.u. of current.
    pub fn objective(&self) -> (f64, f64) {
        let taken = self.taken();
        let (mut sum, mut violation) = (0.0, 0.0_f64);
        for (i, (i_own, v)) in taken.iter().zip(&self.v).enumerate() {
            let at = self.place[i].load;
            if i == 0 && at == NONE {
                continue;
            }
            for k in 0..N / 2 {
                let (x, y, re, im) = (v[k], v[k + HALF], i_own[k], i_own[k + HALF]);
                if at == NONE {
                    violation = violation.max(re.hypot(im));
                    continue;
                }
                let load = &self.loads[at as usize];
                if load.free & (1 << k) != 0 {
                    continue;
                }
                let power = [x * re + y * im, y * re - x * im];
                for (lane, power) in [k, k + HALF].into_iter().zip(power) {
                    let residual = load.measured[lane] - power;
                    if load.variance[lane] > 0.0 {
                        sum += residual * residual / load.variance[lane];
                    } else {
                        violation = violation.max(residual.abs());
                    }
                }
            }
        }
        for meter in self.meters.iter().filter(|meter| meter.says != Says::Reference) {
            let (residual, _) = meter.residual(&self.v[meter.position as usize]);
            sum += residual * residual / meter.variance;
        }
        (sum + self.cut_residuals(&taken), violation)
    }

    fn cut_residuals(&self, taken: &[Vector]) -> f64 {
        let mut sum = 0.0;
        for cut in &self.cuts {
            let mut now = cut.clone();
            let i = cut.position as usize;
            let line = &self.lines.line[i];
            now.v = self.v[if cut.place == Place::Above { line.parent as usize } else { i }];
            now.j = match cut.place {
                Place::Own => taken[i],
                Place::Above => self.lines.tt(Plain, line, &self.j[i]),
                Place::Below | Place::Local => self.j[i],
            };
            let current = now.current(&self.admittances);
            for row in cut.rows.iter().filter(|row| row.variance > 0.0) {
                let residual = row.value - row.says.at::<N>(&now.v, &current).value;
                sum += residual * residual / row.variance;
            }
        }
        sum
    }
}
