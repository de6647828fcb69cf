//! Clearing by prices.
mod arrays;
mod ascent;
mod dual;
mod energies;
mod fault;
mod gate;
mod lump_dual;
mod outcome;
mod problem;
mod report;
mod respond;
mod solve;
mod state;
mod worth;
pub use fault::ProblemFault;
pub use gate::freeze_offer;
pub use outcome::{DeclineReason, Declined, Limit, Payee, Plan, PriceClearing, Prices, Worth};
pub use problem::{
    ActivationOption, ClearingProblem, GridRow, NeedBid, OfferParts, OfferTerms, OfferView, Pricing,
};
pub use solve::{Session, clear_by_prices};
