//! Market cases and clearing results as JSON, form `gridflex-market/1` (`docs/clearing.md`): names, ISO times, kWh and
//! currency outside, dense numbers, mWh and micro-units inside.
//!
//! Consumption is positive on both sides; a bid's `scheduleChange` has D6.1's sign, positive is less consumption. A bid
//! that asks for both is two bids of the problem, the second named `… (more)`.

mod decode;
mod fault;
mod offer;
#[cfg(test)]
mod offer_tests;
mod plain;
mod result_read;
mod result_wire;
mod result_write;
#[cfg(test)]
mod tests;
mod twins;
mod wire;

pub use decode::read_case;
pub use fault::{CASE_BYTES_MAX, CaseError, OFFERS_MAX, RESULT_BYTES_MAX, RefusedOffer};
pub use result_read::{ResultError, read_result};
pub use result_write::{ResultExtras, write_result};

use market::price_clearing::ClearingProblem;

/// A case that can be cleared, with the names of its parts.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct MarketCase {
    /// What is cleared.
    pub problem: ClearingProblem,
    /// First interval, seconds since 1970-01-01 UTC.
    pub start_s: i64,
    /// Length of an interval, s.
    pub interval_s: i64,
    /// Names of the nodes.
    pub nodes: Vec<String>,
    /// Ids of the offers in the problem.
    pub offers: Vec<String>,
    /// Ids of the bids.
    pub bids: Vec<String>,
    /// Congestion points of the bids.
    pub congestion_points: Vec<String>,
    /// Elements of the rows.
    pub elements: Vec<String>,
    /// Offers that are not in the problem, with the reason.
    pub refused: Vec<RefusedOffer>,
    /// Entries that repeat an offer word for word; they are ignored.
    pub repeated: usize,
    /// The first interval in which anything may be changed.
    pub gate: u16,
}

impl MarketCase {
    /// The rules by which it is cleared, as a name: pricing, revision of the clearing, and the gate if there is one.
    pub fn rule_set(&self, revision: u32) -> String {
        let name = format!("{}/{revision}", self.problem.pricing.code());
        if self.gate == 0 { name } else { format!("{name} gate={}", result_write::instant(self, self.gate)) }
    }
}
