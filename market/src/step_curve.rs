//! Auctions of demand curves: one interval, no grid, a demand per price step that never rises with the price.
//!
//! The uniform price of such a market lies between the last step at which more is wanted than offered and the first at
//! which less is; there the step with the smaller imbalance is taken, and of two equal ones the lower. When all want
//! more at every price it is the highest step, when all offer more the lowest. Energies here are whole numbers of
//! whatever unit the curves have; positive is taken.

#[cfg(test)]
mod tests;

use thiserror::Error;

/// Most price steps of a curve.
pub const STEPS_MAX: usize = 100_000;
/// Largest magnitude of a demand.
pub const DEMAND_MAX: i64 = 1_000_000_000_000_000;

/// Why a curve was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CurveFault {
    /// A curve of another basis.
    #[error("a curve of {found} steps; this market has {expected}")]
    Steps {
        /// As given.
        found: usize,
        /// The market's.
        expected: usize,
    },
    /// Demand that grows with the price.
    #[error("demand rises at price step {step}")]
    Rising {
        /// Where.
        step: usize,
    },
    /// Too large to be meant.
    #[error("a demand of {demand} at price step {step}")]
    OutOfRange {
        /// Where.
        step: usize,
        /// As given.
        demand: i64,
    },
}

/// The curves of a market, summed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepMarket {
    aggregate: Vec<i64>,
    curves: Vec<Vec<i64>>,
}

/// Where a market of curves settles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Equilibrium {
    /// The price step.
    pub step: usize,
    /// What all together want at it: positive is unserved demand, negative unused supply.
    pub imbalance: i64,
    /// What is traded: the lesser of demand and supply at that step.
    pub volume: i64,
}

impl StepMarket {
    /// A market without curves over some price steps, at least one.
    pub fn new(steps: usize) -> Result<Self, CurveFault> {
        let fits = (1..=STEPS_MAX).contains(&steps);
        fits.then(|| Self { aggregate: vec![0; steps], curves: Vec::new() })
            .ok_or(CurveFault::Steps { found: steps, expected: STEPS_MAX })
    }

    /// Takes a curve; refuses one of another basis or one that rises.
    pub fn add(&mut self, curve: Vec<i64>) -> Result<(), CurveFault> {
        if curve.len() != self.aggregate.len() {
            return Err(CurveFault::Steps { found: curve.len(), expected: self.aggregate.len() });
        }
        if let Some(step) = curve.iter().position(|demand| demand.unsigned_abs() > DEMAND_MAX.unsigned_abs())
        {
            return Err(CurveFault::OutOfRange { step, demand: curve[step] });
        }
        if let Some(step) = curve.windows(2).position(|pair| pair[1] > pair[0]) {
            return Err(CurveFault::Rising { step: step + 1 });
        }
        for (sum, demand) in self.aggregate.iter_mut().zip(&curve) {
            *sum = sum.saturating_add(*demand);
        }
        self.curves.push(curve);
        Ok(())
    }

    /// The sum of all curves.
    pub fn aggregate(&self) -> &[i64] {
        &self.aggregate
    }

    /// The price step and what is traded at it.
    pub fn equilibrium(&self) -> Equilibrium {
        let last = self.aggregate.len() - 1;
        let below = self.aggregate.partition_point(|&demand| demand > 0);
        let step = if below == 0 {
            0
        } else if below > last {
            last
        } else {
            let (wanted, offered) =
                (self.aggregate[below - 1].unsigned_abs(), self.aggregate[below].unsigned_abs());
            if wanted <= offered { below - 1 } else { below }
        };
        let side = |wanted: bool| -> i64 {
            let part = |curve: &Vec<i64>| if wanted { curve[step].max(0) } else { (-curve[step]).max(0) };
            self.curves.iter().map(part).fold(0, i64::saturating_add)
        };
        Equilibrium { step, imbalance: self.aggregate[step], volume: side(true).min(side(false)) }
    }
}
