//! What is found of a value before the estimator sees it. Residuals alone name the wrong meter in most unit slips, so what
//! cannot be true is stopped here, with the rule that stopped it ([`Rule`]).
//!
//! * [`Plausibility`]: limits that follow from the network and from what is registered in it;
//! * [`Watch`]: the values of one place, judged in the order in which they come; it remembers a little of each point.
//!
//! A sign cannot be known from one number. It is known where nobody can feed in ([`Rule::Direction`]), and where a value lands on
//! the mirror image of the one before in a jump that is larger than anything which switches there ([`Rule::SignFlip`]). What
//! neither knows is left to the residuals of the estimate.

mod limits;
mod rule;
mod trail;
mod triangle;
mod watch;
#[cfg(test)]
mod watch_tests;

pub use limits::{Plausibility, Register, RegisteredDevice};
pub use rule::{Implausible, Rule};
pub use watch::{Judged, LATE_AFTER, Watch};
