//! What an agent has begun to give and its books may not show yet.

use market::{ActivationId, FlexOfferId, Ledger};
use std::collections::BTreeSet;

/// Orders on their way to the books, in this run.
#[derive(Debug, Default)]
pub(super) struct OrdersUnderway {
    /// Handed to the journal.
    issued: BTreeSet<ActivationId>,
    /// Those of these offers wait for their baseline.
    freezing: BTreeSet<FlexOfferId>,
    /// Those of these go by the declared schedule because there is no baseline.
    declared: BTreeSet<FlexOfferId>,
}

impl OrdersUnderway {
    /// Whether an order was given.
    pub fn is_issued(&self, order: &ActivationId) -> bool {
        self.issued.contains(order)
    }

    /// An order is given: whatever it waited for is past.
    pub fn issue(&mut self, order: ActivationId, offer: &FlexOfferId) {
        self.freezing.remove(offer);
        self.declared.remove(offer);
        self.issued.insert(order);
    }

    /// A baseline is looked for; whether nobody did already.
    pub fn freeze(&mut self, offer: &FlexOfferId) -> bool {
        self.freezing.insert(offer.clone())
    }

    /// It is not looked for any more.
    pub fn end_freezing(&mut self, offer: &FlexOfferId) {
        self.freezing.remove(offer);
    }

    /// There is none, and there will be none.
    pub fn declare(&mut self, offer: &FlexOfferId) {
        self.declared.insert(offer.clone());
    }

    /// Whether there is none.
    pub fn is_declared(&self, offer: &FlexOfferId) -> bool {
        self.declared.contains(offer)
    }

    /// Forgets the orders that the books show by now.
    pub fn forget_known(&mut self, ledger: &Ledger) {
        self.issued.retain(|order| ledger.activation(order).is_none());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market_side::evening::{ACTIVATION, up_to_the_order};

    #[test]
    fn what_the_books_know_is_not_kept_beside_them() {
        let (order, offer) = (ActivationId::new(ACTIVATION).unwrap(), FlexOfferId::new("fo-7").unwrap());
        let (mut underway, mut ledger) = (OrdersUnderway::default(), Ledger::default());
        let mut facts = up_to_the_order();
        let given = facts.pop().unwrap();
        facts.iter().for_each(|fact| assert!(ledger.apply(fact).is_ok()));
        assert!(underway.freeze(&offer) && !underway.freeze(&offer), "it is looked for once");
        underway.end_freezing(&offer);
        underway.declare(&offer);
        assert!(underway.is_declared(&offer));
        underway.issue(order.clone(), &offer);
        underway.forget_known(&ledger);
        assert!(underway.is_issued(&order), "it has not reached the books");
        ledger.apply(&given).unwrap();
        underway.forget_known(&ledger);
        let OrdersUnderway { issued, freezing, declared } = underway;
        assert_eq!((issued.len(), freezing.len(), declared.len()), (0, 0, 0));
    }
}
