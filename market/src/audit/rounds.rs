//! Clearings: whether they were certified, and whether the same book cleared again is the same.
//!
//! Clearing again is the one place where the auditor runs the code it judges: it asks whether that code, on what the journal
//! says, does what it did then. Whether that is good is the certificate's affair.

use super::Audit;
use crate::aggregation::LoneTerms;
use crate::bid::Need;
use crate::clearing::{Accepted, ClearedAgain, RoundProof, RoundRecord};
use crate::contract::{AggregateId, AggregatedFlexOffer, Contract};
use crate::flex_offer::FlexOffer;
use grid::side_by_side;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A round that is to be cleared again, with what the records before it say. Rounds do not depend on each other.
pub(super) struct Again<'a> {
    round: &'a RoundRecord,
    proof: &'a RoundProof,
    need: Option<&'a Need>,
    /// Its offers; of those of one member, that member.
    book: BTreeMap<&'a AggregateId, (&'a AggregatedFlexOffer, Option<&'a FlexOffer>)>,
    /// The contracts after it.
    contracts: Vec<(Place, &'a Contract)>,
    place: Place,
}

/// How many violations there were before something was read: what is found of it later comes behind those.
type Place = usize;

impl Again<'_> {
    fn clear(&self) -> ClearedAgain {
        self.proof.clear_again(self.round, self.need, |id| {
            let (aggregate, member) = self.book.get(id)?;
            Some(((*aggregate).clone(), member.and_then(LoneTerms::of)))
        })
    }
}

impl<'a> Audit<'a> {
    pub(super) fn cleared(&mut self, round: &'a RoundRecord) {
        if round.purchases > 0 && (round.objection.is_some() || round.welfare > round.bound) {
            self.wrong(format!("the clearing at {} bought without a certificate that holds", round.at));
        }
        if self.round.is_some_and(|(before, _)| round.at <= before.at) {
            self.wrong(format!("the clearing at {} is not after the one before", round.at));
        }
        self.round = Some((round, 0));
        self.is_cleared_again = false;
        self.report.rounds += 1;
    }

    /// Notes a round to be cleared again.
    pub(super) fn cleared_again(&mut self, round: &'a RoundRecord, proof: &'a RoundProof) {
        if self.without_clearings {
            self.report.rounds_left_out += 1;
            return;
        }
        let known = |id: &'a AggregateId| {
            let aggregate = *self.aggregates.get(id)?;
            let member = match aggregate.members.as_slice() {
                [_] => Some(self.made_of.get(id).copied()?),
                _ => None,
            };
            Some((id, (aggregate, member)))
        };
        self.again.push(Again {
            round,
            proof,
            need: self.needs.get(&round.need_issued_at).copied(),
            book: proof.offers.iter().filter_map(known).collect(),
            contracts: Vec::new(),
            place: self.report.violations.len(),
        });
        self.is_cleared_again = true;
    }

    /// Notes a contract, which is to be what the clearing before it bought.
    pub(super) fn bought_again(&mut self, contract: &'a Contract) {
        if let Some(again) = self.again.last_mut().filter(|_| self.is_cleared_again) {
            again.contracts.push((self.report.violations.len(), contract));
        }
    }

    /// Clears all rounds again that were noted.
    pub(super) fn clear_all_again(&mut self, tell: &(dyn Fn(usize) + Sync)) {
        let again = std::mem::take(&mut self.again);
        let mut found: Vec<(Place, String)> = Vec::new();
        let done = AtomicUsize::new(0);
        let outcomes = side_by_side(&again, |again| {
            let outcome = again.clear();
            tell(done.fetch_add(1, Ordering::Relaxed) + 1);
            outcome
        });
        for (again, outcome) in again.iter().zip(outcomes) {
            match outcome {
                ClearedAgain::Same(accepted) => {
                    self.report.rounds_cleared_again += 1;
                    let others =
                        again.contracts.iter().filter(|(_, contract)| !is_among(contract, &accepted));
                    found.extend(others.map(|(place, contract)| {
                        let id = &contract.id;
                        (*place, format!("contract {id} is not what the clearing before it buys again"))
                    }));
                }
                ClearedAgain::OtherRevision => self.report.rounds_of_other_revisions += 1,
                ClearedAgain::Differs(difference) => {
                    let at = again.round.at;
                    found.push((
                        again.place,
                        format!("the clearing at {at} comes out otherwise again: {difference}"),
                    ));
                }
            }
        }
        let mut before = std::mem::take(&mut self.report.violations).into_iter();
        let mut taken = 0;
        for (place, text) in found {
            self.report.violations.extend(before.by_ref().take(place - taken));
            taken = place;
            self.wrong(text);
        }
        self.report.violations.extend(before);
    }
}

fn is_among(contract: &Contract, accepted: &[Accepted]) -> bool {
    accepted.iter().any(|accepted| {
        accepted.aggregate == contract.aggregate
            && accepted.schedule == contract.schedule
            && accepted.cost == contract.cost
            && accepted.slot_prices == contract.slot_prices
    })
}
