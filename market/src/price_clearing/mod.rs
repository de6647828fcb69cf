//! Clearing by prices.
mod arrays;
mod ascent;
mod change;
mod dual;
mod energies;
mod exact;
mod fault;
mod gate;
mod lump_dual;
mod outcome;
mod problem;
mod rearrange;
mod report;
mod respond;
#[cfg(test)]
pub(crate) mod sample;
mod solve;
mod state;
#[cfg(test)]
mod tests;
mod worth;
#[cfg(test)]
pub(crate) use ascent::Stream;
pub use fault::ProblemFault;
pub use gate::freeze_offer;
pub use outcome::{DeclineReason, Declined, Limit, Payee, Plan, PriceClearing, Prices, Worth};
pub use problem::{
    ActivationOption, ClearingProblem, GridRow, NeedBid, OfferParts, OfferTerms, OfferView, Pricing,
};
pub use solve::{Session, clear_by_prices, greedy_welfare};
