//! Power flow, state estimation, forecasting and outlook of a radial three-phase feeder: plain functions from
//! values to values.
//!
//! This crate knows no actor, no runtime, no file, no clock reading, no wire format and no market. Voltages are
//! phase-to-neutral; power is positive when it is taken from the grid; `f64` carries its unit in its name.

pub mod assembly;
pub mod circuit;
pub mod control;
pub mod diagnosis;
pub mod expectation;
mod feeder;
mod forecast;
pub mod gathering;
mod limited_element;
mod line_impedance;
#[cfg(test)]
mod linear_response;
#[cfg(test)]
mod linearization;
mod live;
mod measurement_set;
mod on_tree;
mod outlook;
mod plausibility;
#[cfg(test)]
mod posterior;
mod power_flow;
pub mod results;
pub mod simd;
mod skeleton;
pub mod smoother;
pub mod solve;
pub mod sparse;
#[cfg(test)]
mod state_estimation;
pub mod study;
pub mod sweep;
mod transformer;
mod two_port;

pub use feeder::{BranchRef, Feeder, TopologyError};
pub use forecast::{ForecastError, Forecaster, sum_std};
pub use limited_element::{LimitedElement, limited_elements, zones};
pub use live::{KeptEstimate, LiveEstimator, NotEstimable};
pub use measurement_set::{EstimationError, InjectionPrior, MeasurementSet, WeightedValue};
pub use outlook::{OutlookRules, OutlookStudy};
pub use plausibility::{
    Implausible, Judged, LATE_AFTER, Plausibility, Register, RegisteredDevice, Rule, Watch,
};
pub use power_flow::{FlowError, FlowSolution};

#[cfg(test)]
mod case;
