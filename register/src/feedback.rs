//! What parties answered to bids, as text that only the door understands. The newest answer of each party to each bid counts.

use crate::error::Refusal;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Most bids whose answers are kept; of more, those of the bid that was first answered longest ago go.
pub const BIDS_MAX: usize = 1_000;
/// Most answers to one bid, one of each party; more are refused.
pub const PARTIES_MAX: usize = 100;

/// Answers to one bid.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Answers {
    /// Counts first answers: which bid was answered first.
    pub number: u64,
    pub by_party: BTreeMap<String, String>,
}

/// All of them, by bid.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Feedback {
    pub by_bid: BTreeMap<String, Answers>,
    pub count: u64,
    /// Answers that had to go.
    pub forgotten: u64,
}

impl Feedback {
    pub fn may_answer(&self, bid: &str, by: &str) -> Result<(), Refusal> {
        let full = self
            .by_bid
            .get(bid)
            .filter(|answers| answers.by_party.len() >= PARTIES_MAX && !answers.by_party.contains_key(by));
        match full {
            None => Ok(()),
            Some(_) => Err(Refusal::Limit {
                what: "parties that answer one bid",
                most: PARTIES_MAX,
                found: PARTIES_MAX + 1,
            }),
        }
    }

    pub fn answer(&mut self, bid: String, by: String, text: String) {
        if !self.by_bid.contains_key(&bid) && self.by_bid.len() >= BIDS_MAX {
            let oldest = self.by_bid.iter().min_by_key(|(_, answers)| answers.number);
            let oldest = oldest.map(|(bid, _)| bid.clone());
            let gone = oldest.and_then(|bid| self.by_bid.remove(&bid));
            self.forgotten += gone.map_or(0, |answers| answers.by_party.len() as u64);
        }
        self.count += 1;
        let number = self.count;
        let answers = self.by_bid.entry(bid).or_insert(Answers { number, ..Answers::default() });
        answers.by_party.insert(by, text);
    }
}
