//! How well flows, what is taken and angles are known: each is a function of voltages, and its variance one solve along a
//! path per gradient.

use super::meter::{Kind, Meters, Wish, as_rows, unit};
use super::posterior::Posterior;
use super::rows::{Currents, Terms, negative};
use super::stamp::EARTH;
use crate::circuit::flow::TakenVariance;
use crate::circuit::{Circuit, FlowPlace};
use crate::solve::NoSolution;
use num_complex::Complex64;

/// Weights of unknowns.
type Gradient = Vec<(usize, f64)>;

/// Standard deviations at an estimate.
#[derive(Debug)]
pub struct Flows<'a> {
    circuit: &'a Circuit,
    posterior: Posterior<'a>,
    currents: Currents,
}

impl<'a> Flows<'a> {
    /// Prepares.
    ///
    /// # Errors
    /// [`NoSolution::Singular`] for an impedance that cannot be inverted.
    pub fn new(circuit: &'a Circuit, posterior: Posterior<'a>) -> Result<Self, NoSolution> {
        let currents = Currents::new(circuit, &posterior.wls.live)?;
        Ok(Self { circuit, posterior, currents })
    }

    /// By local wire at a place: standard deviations of active power, reactive power and current magnitude, p.u.
    pub fn at(&self, place: FlowPlace) -> Vec<(u8, [f64; 3])> {
        let each = self.currents.at(self.circuit, &self.posterior.wls.live, place).into_iter();
        each.map(|(local, own, terms)| {
            let (_, [p, q]) = self.gradients(Kind::Power, own, terms.clone());
            let (_, [i, _]) = self.gradients(Kind::CurrentMagnitude, own, terms);
            (local, [p, q, i].map(|g| self.posterior.variance(&g).sqrt()))
        })
        .collect()
    }

    /// Standard deviation of the sum of the apparent powers of all wires at a place, p.u.
    pub fn apparent(&self, place: FlowPlace) -> f64 {
        let mut sum = Gradient::new();
        for (_, own, terms) in self.currents.at(self.circuit, &self.posterior.wls.live, place) {
            let (s, parts) = self.gradients(Kind::Power, own, terms);
            let along = s / s.norm().max(1e-24);
            for (g, share) in parts.into_iter().zip([along.re, along.im]) {
                sum.extend(g.into_iter().map(|(at, weight)| (at, weight * share)));
            }
        }
        self.posterior.variance(&sum).sqrt()
    }

    /// What loads and sources take at a wire (global number); `None` where it is dead.
    pub fn taken(&self, wire: usize) -> Option<TakenVariance> {
        let own = self.unknown(wire)?;
        let terms = negative(self.currents.all.get(own as usize)?);
        let (_, [p, q]) = self.gradients(Kind::Power, own, terms);
        let (_, [u, _]) = self.gradients(Kind::Voltage, own, Terms::new());
        let (p_variance, [pq, pu]) = self.posterior.covariances(&p, [&q, &u]);
        let (q_variance, [qu]) = self.posterior.covariances(&q, [&u]);
        Some(TakenVariance { p: p_variance, q: q_variance, pq, pu, qu })
    }

    /// Standard deviation of a wire's voltage angle, counted from that of another wire where one is given, rad.
    pub fn angle_std(&self, wire: usize, from: Option<usize>) -> Option<f64> {
        let mut g = self.angle(wire)?;
        if let Some(from) = from {
            g.extend(self.angle(from)?.into_iter().map(|(at, weight)| (at, -weight)));
        }
        Some(self.posterior.variance(&g).sqrt())
    }

    fn unknown(&self, wire: usize) -> Option<u32> {
        self.posterior.wls.live.unknown.get(wire).copied().filter(|unknown| *unknown != EARTH)
    }

    fn angle(&self, wire: usize) -> Option<Gradient> {
        let own = self.unknown(wire)? as usize;
        let (size, unit) = unit(self.posterior.wls.x[own], Complex64::ONE);
        Some(vec![(2 * own, -unit.im / size), (2 * own + 1, unit.re / size)])
    }

    /// The value of a meter nobody has, and the gradients of its two parts.
    fn gradients(&self, kind: Kind, own: u32, terms: Terms) -> (Complex64, [Gradient; 2]) {
        let mut meters = Meters::default();
        let wish = Wish {
            kind,
            parts: vec![(own, terms)],
            target: Complex64::ZERO,
            variances: [Some(1.0), Some(1.0)],
        };
        meters.add(wish);
        let mut found = (Complex64::ZERO, [Gradient::new(), Gradient::new()]);
        let mut slopes = Vec::new();
        for meter in &meters.meters {
            found.0 = meters.evaluate(meter, &self.posterior.wls.x, &mut slopes);
            for (&column, &slope) in meters.columns_of(meter).iter().zip(&slopes) {
                for (part, [re, im]) in as_rows(slope).into_iter().enumerate() {
                    found.1[part].extend([(2 * column as usize, re), (2 * column as usize + 1, im)]);
                }
            }
        }
        found
    }
}
