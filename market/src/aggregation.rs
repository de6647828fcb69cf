//! Several offers as one, as the running market sells them. Waiting offers lie in a [`Portfolio`]; what it publishes
//! is *sealed* into an aggregate whose members never change, because it is sold as a whole.
//!
//! Beyond what a portfolio asks for, deviations of members never cancel each other in one slot
//! ([`Portfolio::one_sided`]): what the members are ordered to deviate adds up to what the DSO bought, so each is paid
//! for all of it, at the dearest member's price. Zone, trading mode and the quarter-hour of the assignment deadline are
//! always common; the rest is [`crate::rules::AggregateRules`]. Offers with terms that no sum keeps (`lone`), or whose
//! total would lose too much in a sum, stay alone.
//!
//! What a sealed aggregate is follows from its members alone ([`combine`]), whatever the rules were: so the ledger
//! recomputes it, and a schedule is split by the members' portfolio ([`Portfolio::of_sealed`]).

mod combine;
mod disaggregation;
mod lone;
mod pending;
#[cfg(test)]
mod tests;

pub use combine::combine;
pub use disaggregation::{DisaggregationError, disaggregate};
pub use lone::{ExclusiveGroup, LoneTerms};
pub use pending::{Aggregation, AggregationError, Removal};

use crate::flex_offer::FlexOffer;
#[cfg(doc)]
use crate::portfolio::Portfolio;

/// Whether a checked offer can be summed with others as far as its terms go.
fn is_summable(offer: &FlexOffer) -> bool {
    offer.terms.restriction().is_none() && LoneTerms::of(offer).is_none()
}
