//! Clearing by prices: a day of intervals, all nodes and grid rows at once, with a bound on what was left.
//!
//! Every bid and every row has a price per interval; each offer answers with its best start and energies; prices move
//! until supply meets need. What comes out is feasible and whole, and the prices prove how good it is
//! (`docs/clearing.md`). `crate::certificate` judges a result without any of this code.
//!
//! * `problem`, `offer`: what is cleared, on integers; `fault`: why a part of it is refused; `gate`: what is decided already
//! * `arrays`, `respond`, `energies`, `course`, `state`: the solver's view, and what one offer does at given prices
//! * `ascent`, `single_steps`, `rearrange`, `dual`, `lump_dual`, `lump_unit`, `exact`: rounds, exchanges, bounds, branch and bound
//! * `solve`, `components`, `change`: from a problem and its parts to a clearing, and to the next one after a change
//! * `ties`: which of offers that are alike
//! * `worth`, `lump`, `report`, `declined`, `outcome`: the same on integers, and what is said of it

mod arrays;
mod ascent;
mod change;
mod components;
mod course;
mod declined;
mod dual;
mod energies;
mod exact;
mod fault;
mod gate;
mod lump;
mod lump_dual;
mod lump_unit;
mod offer;
mod outcome;
mod pieces;
mod problem;
mod rearrange;
mod report;
mod respond;
#[cfg(test)]
pub(crate) mod sample;
mod single_steps;
mod solve;
mod state;
#[cfg(test)]
mod tests;
mod ties;
mod worth;
#[cfg(test)]
pub(crate) use ascent::Stream;
pub use fault::ProblemFault;
pub use gate::freeze_offer;
pub use offer::{ActivationOption, OfferParts, OfferTerms, OfferView};
pub use outcome::{
    Alternative, DeclineReason, Declined, Limit, LumpPrice, NodePrice, Payee, Plan, PriceClearing, Prices,
    Worth,
};
pub use problem::{ClearingProblem, GridRow, NeedBid, Pricing};
pub use solve::{Session, clear_by_prices, greedy_welfare};
