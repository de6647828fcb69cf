//! The state of the grid at an instant, with how well each number is known.

use crate::id::{BranchId, BusId, UsagePointId};
use crate::phase::PerPhase;
use crate::telemetry::{PointId, Quality};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// The estimated state of one region.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The instant it describes.
    pub at: Timestamp,
    /// One entry per bus, in the network's order.
    pub buses: Vec<BusEstimate>,
    /// One entry per line, then per transformer, in the network's order.
    pub branches: Vec<BranchEstimate>,
    /// One entry per usage point, in the network's order.
    pub usage_points: Vec<UsagePointEstimate>,
    /// What each used measurement said and what the estimate says.
    pub residuals: Vec<Residual>,
    /// Weighted sum of squared residuals at the optimum.
    pub objective: f64,
    /// Measurements (pseudo-measurements included) minus states.
    pub degrees_of_freedom: usize,
    /// Gauss–Newton steps taken.
    pub iterations: usize,
    /// Whether the measurements fit the network and each other.
    pub consistency: Consistency,
}

/// Whether measurements fit the network and each other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Consistency {
    /// Probability of so large a weighted sum of squared residuals (chi-square) when all instruments are as good as stated.
    pub chance: f64,
    /// Whether that is too small to be chance.
    pub chi_square_alarm: bool,
    /// Measurements that are probably wrong, by their normalised residuals, the most conspicuous first.
    pub suspects: Vec<PointId>,
    /// Whether expectations (pseudo-measurements) stand out as well.
    pub expectations_off: bool,
}

impl Default for Consistency {
    /// Nothing is wrong.
    fn default() -> Self {
        Self { chance: 1.0, chi_square_alarm: false, suspects: Vec::new(), expectations_off: false }
    }
}

/// Voltage of one bus.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BusEstimate {
    /// Which bus.
    pub bus: BusId,
    /// Phase-to-neutral voltage magnitudes, V.
    pub u_v: PerPhase<f64>,
    /// Voltage angles, rad.
    pub u_angle_rad: PerPhase<f64>,
    /// Standard deviations of `u_v`, V; NaN where nothing determines the voltage.
    pub u_std_v: PerPhase<f64>,
    /// `u_v` over the rated phase-to-neutral voltage, p.u.
    pub u_pu: PerPhase<f64>,
    /// What each voltage rests on.
    pub observability: PerPhase<Observability>,
}

/// What an estimated value rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Observability {
    /// The measurements of the moment determine it.
    Measured,
    /// It is determined only together with expectations (pseudo-measurements: forecasts, last meter readings).
    Expected,
    /// Nothing determines it: its number means nothing.
    Unobservable,
}

/// Flow through one branch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BranchEstimate {
    /// Which branch.
    pub branch: BranchId,
    /// Active power entering at the `from` side, W, positive towards `to`.
    pub p_from_w: PerPhase<f64>,
    /// Reactive power entering at the `from` side, var.
    pub q_from_var: PerPhase<f64>,
    /// Current magnitude of the more loaded side in terms of that side's rating, A (line: the larger end).
    pub i_a: PerPhase<f64>,
    /// Fraction of the rating in use: a line's largest phase current over its rated current, a transformer's
    /// larger apparent power (sum of phases) over its rated power. `None` when no rating is known.
    pub loading: Option<f64>,
    /// Standard deviation of `loading`.
    pub loading_std: Option<f64>,
}

/// Power taken at one usage point.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UsagePointEstimate {
    /// Which usage point.
    pub usage_point: UsagePointId,
    /// Active power, W, positive is taken from the grid.
    pub p_w: f64,
    /// Reactive power, var.
    pub q_var: f64,
    /// Standard deviation of `p_w`, W.
    pub p_std_w: f64,
}

/// Why a measurement cannot be tested against the estimate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Untestable {
    /// Its own value decides the estimate there: nothing else would tell that it is wrong.
    OwnValue,
    /// The estimate has no standard deviation there.
    NoDeviation,
}

impl Untestable {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Untestable::OwnValue => "nothing but the value itself tells it",
            Untestable::NoDeviation => "the estimate has no standard deviation here",
        }
    }
}

/// How far a measurement lies from the estimate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Residual {
    /// Which point.
    pub point: PointId,
    /// What it said, in the point's unit.
    pub measured: f64,
    /// What the estimate says, in the point's unit.
    pub estimated: f64,
    /// What that says of the measurement, or why it says nothing.
    pub tested: Result<Tested, Untestable>,
    /// Whether the value was measured or a substitute.
    pub quality: Quality,
}

/// A measurement tested against the estimate.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Tested {
    /// (measured − estimated) over the standard deviation of that difference.
    pub normalized: f64,
    /// The smallest error of the measurement that raises the alarm in 95 of 100 cases, in the point's unit.
    pub detectable: f64,
}

impl Residual {
    /// (measured − estimated) over the standard deviation of that difference, where that can be told.
    pub fn normalized(&self) -> Option<f64> {
        self.tested.ok().map(|tested| tested.normalized)
    }
}
