//! Variances of the passes as standard deviations of wires and elements of the circuit.

use super::closure::Closure;
use super::compile::Compiled;
use super::dense::{self, HALF};
use super::posterior::{EndVariance, Posterior, TotalVariance, Variances, Wanted};
use super::solver::Solver;
use super::taken::Together;
use super::{FlowDeviation, TakenTogether, TotalDeviation, Uncertainty};
use crate::solve::NoSolution;
use nalgebra::DMatrix;
use std::collections::BTreeMap;

impl<const N: usize> Solver<N> {
    /// Standard deviations of everything at the present state, on new factors if those at hand were made too far from it.
    pub fn uncertainty(&mut self) -> Result<Uncertainty, NoSolution> {
        self.fold();
        let mut variances = self.variances();
        if self.compiled.core.is_past_its_factors(&variances) {
            self.renew_factors()?;
            variances = self.variances();
        }
        Ok(self.told(&variances))
    }

    /// Variances of everything, from the factors at hand.
    fn variances(&self) -> Variances {
        let Compiled { core, ends, loaded, .. } = &self.compiled;
        let wanted = Some(Wanted { ends, whole: loaded });
        let closure = self.ties.as_ref().and_then(|ties| Closure::new(core, ties));
        core.path.run(Posterior { core, wanted, closure: closure.as_ref() })
    }

    /// Variances by position as deviations by wire and element.
    fn told(&self, variances: &Variances) -> Uncertainty {
        let Compiled { core, elements, loaded, .. } = &self.compiled;
        let w = N / 2;
        let root = |variance: f64| variance.max(0.0).sqrt();
        let deviation = |end: &EndVariance| FlowDeviation { p: root(end.p), q: root(end.q), i: root(end.i) };
        let mut out = Uncertainty {
            voltages: vec![0.0; self.wires],
            angles: vec![0.0; self.wires],
            injections: vec![(0.0, 0.0); self.wires],
            from: vec![FlowDeviation::default(); self.elements * w],
            to: vec![FlowDeviation::default(); self.elements * w],
            from_total: vec![TotalDeviation::default(); self.elements],
            to_total: vec![TotalDeviation::default(); self.elements],
            turned_angles: vec![0.0; self.wires],
            taken: vec![TakenTogether::default(); self.wires],
            buses: BTreeMap::new(),
        };
        // Covariances are those of the state; what is returned is turned.
        let turn = self.turn(&core.v[0]);
        let turned =
            DMatrix::from_fn(N, N, |row, column| match (row % w == column % w, row / w, column / w) {
                (false, ..) => 0.0,
                (true, 0, 1) => -turn.im,
                (true, 1, 0) => turn.im,
                _ => turn.re,
            });
        for (&position, all) in loaded.iter().zip(&variances.whole) {
            // Real parts in the lower half of the lanes, imaginary ones in the upper; columns without gaps.
            let whole = DMatrix::from_fn(N, N, |row, column| all[column][dense::lane::<N>(row)]);
            out.buses.insert(self.order[position as usize], &turned * whole * turned.transpose());
        }
        let total = |all: &TotalVariance| TotalDeviation {
            p: root(all.p),
            q: root(all.q),
            s: root(all.s),
            apparent: root(all.apparent),
        };
        for i in 0..core.count() {
            if i > 0 {
                let (below, above) = (total(&variances.below_total[i]), total(&variances.above_total[i]));
                let (element, fed_at_from) = elements[i];
                let (from, to) = if fed_at_from { (above, below) } else { (below, above) };
                (out.from_total[element as usize], out.to_total[element as usize]) = (from, to);
            }
            for k in (0..w).filter(|_| i > 0) {
                let (element, fed_at_from) = elements[i];
                let (below, above) = (&variances.below[i * w + k], &variances.above[i * w + k]);
                let (from, to) = if fed_at_from { (above, below) } else { (below, above) };
                out.from[element as usize * w + k] = deviation(from);
                out.to[element as usize * w + k] = deviation(to);
            }
            // A bus is asked where it is, not where opened elements end.
            let at_bus = self.position(self.order[i]) == Some(i);
            for k in (0..w).filter(|_| at_bus) {
                let at = self.global(i, k);
                let (magnitude, v) = (variances.magnitude[i * w + k], &core.v[i]);
                out.voltages[at] = root(magnitude);
                out.angles[at] = ((variances.phasor[i * w + k] - magnitude).max(0.0)
                    / (v[k] * v[k] + v[k + HALF] * v[k + HALF]))
                    .sqrt();
                let (p, q) = variances.injection[i * w + k];
                out.injections[at] = (root(p), root(q));
                out.turned_angles[at] = root(variances.turned[i * w + k]);
                let Together { pq, pu, qu } = variances.taken[i * w + k];
                out.taken[at] = TakenTogether { pq, pu, qu };
            }
        }
        out
    }

    /// Variance of each voltage alone, by position and wire; for measurements of time.
    pub fn voltage_variances(&mut self) -> Vec<f64> {
        self.fold();
        let core = &self.compiled.core;
        core.path.run(Posterior { core, wanted: None, closure: None }).magnitude
    }
}
