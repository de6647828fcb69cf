//! A forecast as prior: what is expected of loads becomes pseudo-readings of their buses, tighter and better centred than
//! one static expectation for the whole year.
//!
//! Errors of a forecast are alike within an area (the same weather, the same evening): with ρ the share of the variance
//! that is common, the error of load i is σ_i (√ρ f + √(1 − ρ) e_i), f one standard normal number per area. An estimator
//! takes independent readings only, so f is found beside it: for given f the readings are mean + σ √ρ f with variance
//! σ² (1 − ρ), and the most probable f makes g(f) = f + Σ √ρ r_i / (σ_i (1 − ρ)) zero, r_i = reading − estimate
//! (the derivative of half the objective Σ r²/(σ²(1 − ρ)) + f²). g is nearly linear: secants settle it in three or four
//! estimates on kept factors. Active and reactive power share f.

use crate::circuit::InjectionReading;
use num_complex::Complex64;

/// What is expected of one wire of a bus, all its loads together, p.u.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Expected {
    /// For the reading.
    pub sensor: u32,
    /// Where.
    pub bus: u32,
    /// Local wire.
    pub wire: u8,
    /// Power taken.
    pub mean: Complex64,
    /// Standard deviations of its active and reactive part; positive.
    pub std: (f64, f64),
    /// Which area.
    pub area: u32,
}

/// A forecast for one instant.
#[derive(Debug, Clone, PartialEq)]
pub struct Prior {
    /// Wire by wire.
    pub expected: Vec<Expected>,
    /// Per area: the share of the variance that is common, in [0, 1).
    pub common: Vec<f64>,
}

/// Most estimates for the common factors.
const ROUNDS_MAX: usize = 8;
/// Settled below this gradient, in deviations of a factor.
const SETTLED: f64 = 1e-3;

impl Prior {
    /// The pseudo-readings for given common factors (one per area).
    pub fn readings(&self, factors: &[f64]) -> Vec<InjectionReading> {
        let one = |expected: &Expected| {
            let area = expected.area as usize;
            let shift = self.common[area].sqrt() * factors[area];
            let left = 1.0 - self.common[area];
            InjectionReading {
                sensor: expected.sensor,
                bus: expected.bus,
                wire: expected.wire,
                s: expected.mean + Complex64::new(expected.std.0, expected.std.1) * shift,
                variance_p: expected.std.0.powi(2) * left,
                variance_q: expected.std.1.powi(2) * left,
            }
        };
        self.expected.iter().map(one).collect()
    }

    /// Finds the common factors. `estimate` makes an estimate with these pseudo-readings and returns the powers taken at
    /// their wires, p.u. and in their order. The last call is made with the factors returned.
    ///
    /// # Errors
    /// Whatever `estimate` returns.
    pub fn settle<E>(
        &self,
        mut estimate: impl FnMut(&[InjectionReading]) -> Result<Vec<Complex64>, E>,
    ) -> Result<Vec<f64>, E> {
        let mut factors = vec![0.0; self.common.len()];
        let mut last: Option<(Vec<f64>, Vec<f64>)> = None;
        for round in 0..ROUNDS_MAX {
            let readings = self.readings(&factors);
            let gradient = self.gradient(&factors, &readings, &estimate(&readings)?);
            let open = gradient.iter().any(|g| g.abs() > SETTLED);
            if !open || round + 1 == ROUNDS_MAX {
                break;
            }
            let next = (0..factors.len()).map(|area| {
                let slope = last.as_ref().map_or(self.stiffness(area), |(before, was)| {
                    let (moved, changed) = (factors[area] - before[area], gradient[area] - was[area]);
                    // Between 1 (nothing measured) and the loads' own stiffness (everything measured).
                    let slope = if moved.abs() > 1e-12 { changed / moved } else { 1.0 };
                    slope.clamp(1.0, self.stiffness(area))
                });
                factors[area] - gradient[area] / slope
            });
            let next: Vec<f64> = next.collect();
            last = Some((std::mem::replace(&mut factors, next), gradient));
        }
        Ok(factors)
    }

    /// How half the objective grows with each factor.
    fn gradient(&self, factors: &[f64], readings: &[InjectionReading], taken: &[Complex64]) -> Vec<f64> {
        let mut gradient = factors.to_vec();
        for ((expected, reading), taken) in self.expected.iter().zip(readings).zip(taken) {
            let area = expected.area as usize;
            let off = reading.s - taken;
            let weight = self.common[area].sqrt() / (1.0 - self.common[area]);
            gradient[area] += weight * (off.re / expected.std.0 + off.im / expected.std.1);
        }
        gradient
    }

    /// The slope of the gradient when every load is known by other means: the largest there is.
    fn stiffness(&self, area: usize) -> f64 {
        let count = self.expected.iter().filter(|expected| expected.area as usize == area).count();
        1.0 + 2.0 * count as f64 * self.common[area] / (1.0 - self.common[area])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnosis::Reading;
    use crate::diagnosis::study::{Dice, Study};
    use proptest::prelude::*;

    /// How far the estimates of simulated days are from the truth: loads, and voltages, root mean square, p.u.
    struct Days {
        loads: f64,
        voltages: f64,
    }

    /// What an estimator knows of loads beforehand.
    #[derive(Clone, Copy, PartialEq)]
    enum Knowledge {
        /// The mean of the day, with the deviation of the day.
        Static,
        /// The forecast, errors taken as independent.
        Independent,
        /// The forecast with its common errors.
        Common,
    }

    const ERROR: f64 = 0.25;
    const ALIKE: f64 = 0.6;

    /// Two days of quarter-hours on a feeder with a metered head and few voltages.
    fn days(knowledge: Knowledge) -> Days {
        let mut study = Study::new(77, 24, 1, 0);
        // Every load only expected; the head and some voltages metered.
        study.readings.powers.truncate(1);
        study.readings.first_pseudo = Some(0);
        let base: Vec<InjectionReading> = study.readings.injections.clone();
        let mut dice = Dice(78);
        let (mut loads, mut voltages, mut count) = (0.0, 0.0, 0.0);
        for quarter in 0..192 {
            let hour = f64::from(quarter % 96) / 4.0;
            let evening = 0.4
                + 1.0 * (-((hour - 19.0) / 3.0).powi(2)).exp()
                + 0.5 * (-((hour - 8.0) / 2.0).powi(2)).exp();
            let common = dice.normal();
            for (reading, base) in study.readings.injections.iter_mut().zip(&base) {
                let off = ERROR * (ALIKE.sqrt() * common + (1.0 - ALIKE).sqrt() * dice.normal());
                reading.s = base.s * evening * (1.0 + off);
            }
            let truth = study.exact(&study.circuit).unwrap();
            let taken: Vec<Complex64> = study.readings.injections.iter().map(|reading| reading.s).collect();
            let readings = study.read(&study.circuit, &truth, &mut dice);
            let expected = |base: &InjectionReading| {
                // 0.65 and 0.33 are mean and deviation of `evening` over the day.
                let (mean, std) = match knowledge {
                    Knowledge::Static => (0.65, (0.33_f64.powi(2) + (ERROR * 0.65).powi(2)).sqrt()),
                    _ => (evening, ERROR * evening),
                };
                let std = (std * base.s.re.abs(), std * base.s.im.abs());
                Expected { sensor: 0, bus: base.bus, wire: base.wire, mean: base.s * mean, std, area: 0 }
            };
            let prior = Prior {
                expected: base.iter().map(expected).collect(),
                common: vec![if knowledge == Knowledge::Common { ALIKE } else { 0.0 }],
            };
            let mut state = Vec::new();
            prior
                .settle(|pseudo| {
                    let readings =
                        crate::circuit::Readings { injections: pseudo.to_vec(), ..readings.clone() };
                    let (fitted, evidence) = study.estimate(&study.circuit, &readings).ok_or(())?;
                    state = fitted.voltages().to_vec();
                    let rows =
                        evidence.rows.iter().filter(|row| matches!(row.reading, Reading::Injection(_)));
                    let off: Vec<f64> = rows.map(|row| row.residual).collect();
                    Ok::<_, ()>(
                        pseudo
                            .iter()
                            .zip(off.chunks(2))
                            .map(|(r, off)| r.s - Complex64::new(off[0], off[1]))
                            .collect(),
                    )
                })
                .unwrap();
            let found = crate::circuit::flow::taken(&study.circuit, &state);
            for (base, s) in base.iter().zip(&taken) {
                loads += (found[study.circuit.wires(base.bus).start] - s).norm_sqr();
            }
            voltages += state.iter().zip(&truth).map(|(a, b)| (a.norm() - b.norm()).powi(2)).sum::<f64>();
            count += 1.0;
        }
        Days {
            loads: (loads / count / base.len() as f64).sqrt(),
            voltages: (voltages / count / study.circuit.buses.len() as f64).sqrt(),
        }
    }

    #[test]
    fn a_forecast_as_prior_beats_static_expectations() {
        let of = [Knowledge::Static, Knowledge::Independent, Knowledge::Common].map(days);
        for (name, days) in ["static", "forecast", "forecast, common errors"].iter().zip(&of) {
            println!("{name}: loads {:.5}, voltages {:.6} p.u. rms", days.loads, days.voltages);
        }
        let [fixed, independent, common] = of;
        assert!(independent.loads < 0.7 * fixed.loads && common.loads < 0.6 * fixed.loads);
        assert!(common.loads <= 1.001 * independent.loads);
        assert!(common.voltages < fixed.voltages);
    }

    proptest! {
        /// Loads whose sum is measured: the answer is the textbook one for correlated normal variables.
        #[test]
        fn the_common_factor_is_that_of_the_correlated_prior(
            means in prop::collection::vec(0.5..2.0_f64, 2..9), common in 0.05..0.9_f64, beyond in -3.0..3.0_f64,
        ) {
            let expected: Vec<Expected> = means.iter().map(|mean| Expected {
                sensor: 0, bus: 0, wire: 0, mean: Complex64::new(*mean, 0.0), std: (0.2 * mean, 0.1), area: 0,
            }).collect();
            let total: f64 = means.iter().sum::<f64>() + beyond;
            let meter = 1e-4_f64;
            let prior = Prior { expected, common: vec![common] };
            // The exact posterior mean given the sum, reactive power free of evidence.
            let std: Vec<f64> = means.iter().map(|mean| 0.2 * mean).collect();
            let sum_std: f64 = std.iter().sum();
            let covariance: Vec<f64> =
                std.iter().map(|s| s * (common * sum_std + (1.0 - common) * s)).collect();
            let variance = covariance.iter().sum::<f64>() + meter;
            let exact: Vec<f64> = means.iter().zip(&covariance).map(|(m, c)| m + c / variance * beyond).collect();
            let mut last = Vec::new();
            prior.settle(|readings| {
                let off = total - readings.iter().map(|r| r.s.re).sum::<f64>();
                let all = readings.iter().map(|r| r.variance_p).sum::<f64>() + meter;
                last = readings.iter().map(|r| r.s + r.variance_p / all * off).collect();
                Ok::<_, ()>(last.clone())
            }).unwrap();
            for (found, exact) in last.iter().zip(&exact) {
                prop_assert!((found.re - exact).abs() < 2e-3, "{found} instead of {exact}");
            }
        }
    }
}
