//! What goes into a state estimation: values with standard deviations, and a prior belief per usage point.

use crate::feeder::Feeder;
use crate::power_flow::FlowError;
use grid::telemetry::Element;
use grid::{BusId, PointId, Quality, Quantity, UsagePointId};
use thiserror::Error;

/// Values and deviations beyond this are refused, in the point's unit.
const VALUE_MAX: f64 = 1e12;

/// A value and how far it can be trusted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WeightedValue {
    /// Which point.
    pub point: PointId,
    /// In the point's unit, load sign convention.
    pub value: f64,
    /// Standard deviation of its error, in the point's unit; positive.
    pub sigma: f64,
    /// Whether it was measured or is a substitute.
    pub quality: Quality,
}

/// What is believed about a usage point before anything is measured (a pseudo-measurement).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct InjectionPrior {
    /// Expected active power, W, positive is taken from the grid.
    pub p_w: f64,
    /// Its standard deviation, W; positive.
    pub p_std_w: f64,
    /// Expected reactive power, var.
    pub q_var: f64,
    /// Its standard deviation, var; positive.
    pub q_std_var: f64,
}

/// The input of one estimation.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct MeasurementSet {
    /// Values; a point may have several.
    pub values: Vec<WeightedValue>,
    /// One per usage point, in the network's order.
    pub priors: Vec<InjectionPrior>,
}

/// Why nothing was estimated.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum EstimationError {
    /// A point of an element that the feeder does not have.
    #[error("{point} is not part of this feeder")]
    UnknownPoint {
        /// The point.
        point: PointId,
    },
    /// A point that says nothing about the state.
    #[error("{point} cannot be used: {reason}")]
    Unsupported {
        /// The point.
        point: PointId,
        /// Why.
        reason: &'static str,
    },
    /// A value that is not a number, or absurd.
    #[error("{point} is {value}; a finite number below 1e12 is needed")]
    Value {
        /// The point.
        point: PointId,
        /// As given.
        value: f64,
    },
    /// A negative voltage or current magnitude.
    #[error("{point} is {value}; a magnitude cannot be negative")]
    Negative {
        /// The point.
        point: PointId,
        /// As given.
        value: f64,
    },
    /// A standard deviation that is not positive and finite.
    #[error("the standard deviation of {point} is {sigma}; a positive finite number is needed")]
    Sigma {
        /// The point.
        point: PointId,
        /// As given.
        sigma: f64,
    },
    /// One prior per usage point is needed.
    #[error("{given} priors were given for {usage_points} usage points")]
    PriorCount {
        /// As given.
        given: usize,
        /// As needed.
        usage_points: usize,
    },
    /// A prior that is no belief.
    #[error("the prior of usage point {usage_point} has {attribute} {value}; {expected} is needed")]
    Prior {
        /// Where.
        usage_point: UsagePointId,
        /// Which number.
        attribute: &'static str,
        /// As given.
        value: f64,
        /// What would be accepted.
        expected: &'static str,
    },
    /// The expected loads have no power flow.
    #[error("the prior loads have no power flow: {0}")]
    Flow(#[from] FlowError),
    /// The feeder's structure does not fit the estimator.
    #[error("the feeder cannot be estimated: {reason}")]
    Structure {
        /// Why.
        reason: String,
    },
    /// The measurements have no state that fits them.
    #[error("no state fits the measurements at bus {bus}: {reason}")]
    NoState {
        /// Where it shows.
        bus: BusId,
        /// What happened.
        reason: String,
    },
    /// The steps did not settle.
    #[error(
        "the estimation did not settle: the step was still {step:.1e} standard deviations after {iterations} iterations"
    )]
    NotConverged {
        /// Steps taken.
        iterations: usize,
        /// Largest component of the last step, in standard deviations of the prior.
        step: f64,
    },
}

/// Refuses what cannot be weighed: counts, values, deviations.
pub(crate) fn check(feeder: &Feeder, set: &MeasurementSet) -> Result<(), EstimationError> {
    let points = feeder.network().usage_points();
    if set.priors.len() != points.len() {
        return Err(EstimationError::PriorCount { given: set.priors.len(), usage_points: points.len() });
    }
    for (prior, point) in set.priors.iter().zip(points) {
        let refuse = |attribute, value, expected| {
            Err(EstimationError::Prior { usage_point: point.id, attribute, value, expected })
        };
        for (attribute, value) in [("p in W", prior.p_w), ("q in var", prior.q_var)] {
            if value.is_nan() || value.abs() >= VALUE_MAX {
                return refuse(attribute, value, "a finite number below 1e12");
            }
        }
        for (attribute, value) in [("p_std in W", prior.p_std_w), ("q_std in var", prior.q_std_var)] {
            if !(value > 0.0 && value < VALUE_MAX) {
                return refuse(attribute, value, "a positive finite number");
            }
        }
    }
    for item in &set.values {
        if item.value.is_nan() || item.value.abs() >= VALUE_MAX {
            return Err(EstimationError::Value { point: item.point, value: item.value });
        }
        let magnitude =
            matches!(item.point.quantity, Quantity::VoltageMagnitude | Quantity::CurrentMagnitude);
        if magnitude && item.value < 0.0 {
            return Err(EstimationError::Negative { point: item.point, value: item.value });
        }
        if !(item.sigma > 0.0 && item.sigma < VALUE_MAX) {
            return Err(EstimationError::Sigma { point: item.point, sigma: item.sigma });
        }
    }
    Ok(())
}

/// A point, translated to positions of a feeder.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Observed {
    /// Magnitude of the voltage of a position and phase.
    Voltage { position: usize, phase: usize },
    /// Magnitude of the current entering a branch at its `from` side.
    Current { branch: usize, phase: usize },
    /// Power entering a branch at its `from` side; `None` is the sum of the phases.
    BranchPower { branch: usize, phase: Option<usize>, reactive: bool },
    /// This share of the power of a usage point.
    Injection { usage_point: usize, share: f64, reactive: bool },
}

/// Finds what a point observes.
pub(crate) fn observe(feeder: &Feeder, point: PointId) -> Result<Observed, EstimationError> {
    let unknown = EstimationError::UnknownPoint { point };
    let unsupported = |reason| Err(EstimationError::Unsupported { point, reason });
    let reactive = point.quantity == Quantity::ReactivePower;
    let is_power = matches!(point.quantity, Quantity::ActivePower | Quantity::ReactivePower);
    match point.element {
        Element::Bus(bus) => {
            let index = feeder.network().bus_index(bus).ok_or(unknown)?;
            match (point.quantity, point.phase) {
                (Quantity::VoltageMagnitude, Some(phase)) => {
                    Ok(Observed::Voltage { position: feeder.position[index], phase: phase.index() })
                }
                (Quantity::VoltageMagnitude, None) => unsupported("a bus voltage needs its phase"),
                _ => unsupported("only the voltage of a bus is known to the estimator"),
            }
        }
        Element::Branch(branch) => {
            let branch = feeder.branch_position(branch).ok_or(unknown)?;
            match (point.quantity, point.phase) {
                (Quantity::CurrentMagnitude, Some(phase)) => {
                    Ok(Observed::Current { branch, phase: phase.index() })
                }
                (Quantity::CurrentMagnitude, None) => unsupported("a branch current needs its phase"),
                (_, phase) if is_power => {
                    Ok(Observed::BranchPower { branch, phase: phase.map(|p| p.index()), reactive })
                }
                _ => unsupported("only p, q and i of a branch are known to the estimator"),
            }
        }
        Element::UsagePoint(id) => {
            let points = feeder.network().usage_points();
            let usage_point = feeder.usage_point_position(id).ok_or(unknown)?;
            if !is_power {
                return unsupported("only p and q of a usage point are known to the estimator");
            }
            let share = match (points[usage_point].phase, point.phase) {
                (_, None) => 1.0,
                (None, Some(_)) => 1.0 / 3.0,
                (Some(own), Some(asked)) if own == asked => 1.0,
                _ => return unsupported("the usage point is not connected to this phase"),
            };
            Ok(Observed::Injection { usage_point, share, reactive })
        }
        Element::Device(_) => unsupported("a device is part of its usage point"),
    }
}
