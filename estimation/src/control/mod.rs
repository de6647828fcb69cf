//! Loops around a power flow: taps that follow a voltage.

mod bisection;
mod order;
mod taps;

pub use taps::{Regulated, TapError, TapStrategy, regulate};
