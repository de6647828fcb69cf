//! Auctions of demand curves: one interval, no grid, a demand per price step that never rises with the price.
//!
//! The uniform price of such a market lies between the last step at which more is wanted than offered and the first at
//! which less is; there the step with the smaller imbalance is taken, and of two equal ones the lower. When all want
//! more at every price it is the highest step, when all offer more the lowest. Energies here are whole numbers of
//! whatever unit the curves have; positive is taken.

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
        if let Some(step) = curve.iter().position(|demand| demand.abs() > DEMAND_MAX) {
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
            let (wanted, offered) = (self.aggregate[below - 1].abs(), self.aggregate[below].abs());
            if wanted <= offered { below - 1 } else { below }
        };
        let side = |wanted: bool| -> i64 {
            let part = |curve: &Vec<i64>| if wanted { curve[step].max(0) } else { (-curve[step]).max(0) };
            self.curves.iter().map(part).fold(0, i64::saturating_add)
        };
        Equilibrium { step, imbalance: self.aggregate[step], volume: side(true).min(side(false)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::{Path, PathBuf};

    /// Curves and aggregates of the PowerMatcher auction cases, in thousandths.
    fn curves(path: &Path) -> Vec<Vec<i64>> {
        let number = |text: &str| text.trim().parse::<f64>().map(|value| (value * 1000.0).round() as i64);
        let line =
            |line: &str| line.split(',').map(number).collect::<Result<Vec<i64>, _>>().unwrap_or_default();
        fs::read_to_string(path).unwrap().lines().filter(|l| !l.trim().is_empty()).map(line).collect()
    }

    /// Plays the cases below a folder; returns how many are consistent (their bids sum to their own aggregate).
    fn play(folder: &Path) -> usize {
        let mut consistent = 0;
        let mut entries: Vec<PathBuf> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        for path in entries {
            if path.is_dir() {
                consistent += play(&path);
                continue;
            }
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let Some(number) = name.strip_prefix("Bids").and_then(|rest| rest.strip_suffix(".csv")) else {
                continue;
            };
            let expected = curves(&folder.join(format!("AggBidPrice{number}.csv")));
            let (basis, aggregate) = (&expected[0], &expected[1]);
            let mut market = StepMarket::new(aggregate.len()).unwrap();
            let refused = curves(&path).into_iter().filter(|bid| market.add(bid.clone()).is_err()).count();
            let rounding = |(a, b): (&i64, &i64)| (a - b).abs() <= 1 + a.abs() / 1_000_000;
            if refused > 0 || !market.aggregate().iter().zip(aggregate).all(rounding) {
                continue;
            }
            consistent += 1;
            // Their price lies between the last step that wants more and the first that offers more, and so does ours;
            // what is left over at our step is no more than at theirs.
            let (steps, low, high) = (basis[0] / 1000, basis[1], basis[2]);
            let step_of = |price: i64| (price - low) as f64 / (high - low) as f64 * (steps - 1) as f64;
            let theirs = step_of(expected[2][0]);
            let wanted = aggregate.partition_point(|&demand| demand > 0);
            let (least, most) = (wanted.saturating_sub(1) as f64, wanted.min(aggregate.len() - 1) as f64);
            let ours = market.equilibrium();
            assert!(theirs >= least - 1e-6 && theirs <= most + 1e-6, "{}: {theirs}", path.display());
            assert!(
                ours.step as f64 >= least && ours.step as f64 <= most,
                "{}: {}",
                path.display(),
                ours.step
            );
            let at_theirs = aggregate[theirs.round() as usize];
            assert!(ours.imbalance.abs() <= at_theirs.abs(), "{}", path.display());
        }
        consistent
    }

    #[test]
    fn powermatcher_cases_of_few_bids_settle_at_their_price() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/powermatcher");
        assert_eq!(play(&folder), 16);
    }

    /// All published cases (Apache-2.0, some of 10,000 bids) when `POWERMATCHER_CASES` names their folder.
    #[test]
    #[ignore = "needs the published cases"]
    fn all_consistent_powermatcher_cases_settle_at_their_price() {
        let Ok(folder) = std::env::var("POWERMATCHER_CASES") else { return };
        assert_eq!(play(Path::new(&folder)), 25);
    }

    /// Every price tried: what is left over is least there, and as much is traded as both sides want.
    #[test]
    fn a_hundred_thousand_small_random_markets_equal_exhaustive_search() {
        let mut state = 1_u64;
        let mut below = |n: i64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 33) % n.unsigned_abs()) as i64
        };
        for market in 0..100_000 {
            let (steps, bids) = (1 + below(8) as usize, 1 + below(5));
            let mut auction = StepMarket::new(steps).unwrap();
            let mut curves = Vec::new();
            for _ in 0..bids {
                let mut curve: Vec<i64> = (0..steps).map(|_| below(21) - 10).collect();
                curve.sort_unstable_by(|a, b| b.cmp(a));
                auction.add(curve.clone()).unwrap();
                curves.push(curve);
            }
            let found = auction.equilibrium();
            let sum = |step: usize| curves.iter().map(|curve| curve[step]).sum::<i64>();
            let least = (0..steps).map(|step| sum(step).abs()).min();
            assert_eq!(Some(found.imbalance.abs()), least, "market {market}: {curves:?}");
            assert_eq!(found.imbalance, sum(found.step), "market {market}");
            let wanted: i64 = curves.iter().map(|curve| curve[found.step].max(0)).sum();
            assert_eq!(found.volume, wanted.min(wanted - found.imbalance), "market {market}: {curves:?}");
        }
    }

    #[test]
    fn curves_of_another_basis_and_rising_ones_are_refused() {
        let mut market = StepMarket::new(3).unwrap();
        assert_eq!(market.add(vec![1, 0]), Err(CurveFault::Steps { found: 2, expected: 3 }));
        assert_eq!(market.add(vec![1, 2, 0]), Err(CurveFault::Rising { step: 1 }));
        assert!(market.add(vec![i64::MAX, 0, 0]).is_err());
        assert!(StepMarket::new(0).is_err());
    }
}
