//! Power flow, state estimation, forecasting and outlook of a radial three-phase feeder: plain functions from
//! values to values.
//!
//! This crate knows no actor, no runtime, no file, no clock reading, no wire format and no market. Voltages are
//! phase-to-neutral; power is positive when it is taken from the grid; `f64` carries its unit in its name.

mod feeder;
mod line_impedance;
mod power_flow;
mod transformer;
mod two_port;

pub use feeder::{BranchRef, Feeder, TopologyError};
pub use power_flow::{FlowError, FlowSolution};
