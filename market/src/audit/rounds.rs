//! Clearings: whether they were certified, and whether the same book cleared again is the same.
//!
//! Clearing again is the one place where the auditor runs the code it judges: it asks whether that code, on what the journal
//! says, does what it did then. Whether that is good is the certificate's affair.

use super::Audit;
use crate::aggregation::LoneTerms;
use crate::clearing::{Accepted, ClearedAgain, RoundProof, RoundRecord};
use crate::contract::{AggregateId, AggregatedFlexOffer, Contract};

impl<'a> Audit<'a> {
    pub(super) fn cleared(&mut self, round: &'a RoundRecord) {
        if round.purchases > 0 && (round.objection.is_some() || round.welfare > round.bound) {
            self.wrong(format!("the clearing at {} bought without a certificate that holds", round.at));
        }
        if self.round.is_some_and(|(before, _)| round.at <= before.at) {
            self.wrong(format!("the clearing at {} is not after the one before", round.at));
        }
        self.round = Some((round, 0));
        self.bought_again = None;
        self.report.rounds += 1;
    }

    /// Clears a round again.
    pub(super) fn cleared_again(&mut self, round: &'a RoundRecord, proof: &RoundProof) {
        if self.without_clearings {
            self.report.rounds_left_out += 1;
            return;
        }
        let need = self.needs.get(&round.need_issued_at).copied();
        let offer = |id: &AggregateId| -> Option<(AggregatedFlexOffer, Option<LoneTerms>)> {
            let aggregate = *self.aggregates.get(id)?;
            let lone = match aggregate.members.as_slice() {
                [member] => LoneTerms::of(self.offers.get(member)?),
                _ => None,
            };
            Some((aggregate.clone(), lone))
        };
        match proof.clear_again(round, need, offer) {
            ClearedAgain::Same(accepted) => {
                self.report.rounds_cleared_again += 1;
                self.bought_again = Some(accepted);
            }
            ClearedAgain::OtherRevision => self.report.rounds_of_other_revisions += 1,
            ClearedAgain::Differs(difference) => {
                self.wrong(format!("the clearing at {} comes out otherwise again: {difference}", round.at));
            }
        }
    }

    /// A contract is what the clearing before it bought.
    pub(super) fn bought_again(&mut self, contract: &Contract) {
        let same = |accepted: &Accepted| {
            accepted.aggregate == contract.aggregate
                && accepted.schedule == contract.schedule
                && accepted.cost == contract.cost
                && accepted.slot_prices == contract.slot_prices
        };
        if self.bought_again.as_ref().is_some_and(|accepted| !accepted.iter().any(same)) {
            self.wrong(format!("contract {} is not what the clearing before it buys again", contract.id));
        }
    }
}
