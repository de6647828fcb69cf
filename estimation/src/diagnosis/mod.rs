//! What an estimate says of its sensors and of the network behind it: consistent or not, which sensor is wrong, which
//! error could be seen at all, and whether a switch stands otherwise.
//!
//! It knows no estimator: whoever can give voltages, the variance of estimated rows and (for identification) columns of the
//! residual covariance implements [`Fitted`]. Everything is per unit and by row number; `Row::sensor` leads back.

#[cfg(test)]
pub(crate) mod dense;
mod detectability;
pub mod distribution;
pub mod edits;
mod fitted;
mod hypotheses;
mod rows;
#[cfg(test)]
pub(crate) mod study;
#[cfg(test)]
mod tests;
mod verdict;

pub use detectability::{Detectability, MISSED, alike_groups, detectability, expected_residual};
pub use fitted::{Evidence, Fits, Fitted};
pub use hypotheses::{Hypothesis, Ranking, Standing, network_is_wrong, rank, reach};
pub use rows::{Part, Reading, Row, base, exact_wires, rows};
pub use verdict::{CHI_SQUARE_SHARE, Rules, Suspect, Verdict, judge};
