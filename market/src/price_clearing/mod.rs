//! Clearing by prices.
mod arrays;
mod ascent;
mod dual;
mod energies;
mod fault;
mod problem;
mod respond;
mod state;
pub mod tune;
pub use fault::ProblemFault;
pub use problem::{ActivationOption, ClearingProblem, GridRow, NeedBid, OfferTerms, Pricing};
