//! What was asked for by the facts up to a record: whoever is outside is told of a need when it is durable.

use super::Ledger;
use crate::bid::{BidId, DomsBid, Need};
use crate::event::RecordNumber;

/// Needs come minutes apart, and few of them can be on their way to the disk.
const KEPT: usize = 8;

/// The newest needs, the newest last, by the names of their bids. Not part of a snapshot: all of that is durable.
#[derive(Debug, Clone, Default)]
pub(super) struct Asked(Vec<(RecordNumber, Vec<BidId>)>);

impl Asked {
    /// Takes in a need that follows another one.
    pub fn next(&mut self, before: Option<&Need>, need: &Need, record: RecordNumber) {
        let names = |need: &Need| need.bids.iter().map(|bid| bid.id.clone()).collect();
        if self.0.is_empty() {
            self.0.extend(before.map(|before| (RecordNumber::default(), names(before))));
        }
        self.0.push((record, names(need)));
        if self.0.len() > KEPT {
            self.0.remove(0);
        }
    }

    /// The names of the need that was the newest one; nothing when all that are kept are younger.
    fn as_of(&self, record: RecordNumber) -> Option<&[BidId]> {
        self.0.iter().rev().find(|(asked, _)| *asked <= record).map(|(_, names)| names.as_slice())
    }

    /// Whether a bid is one of later needs only.
    fn is_later(&self, id: &BidId, record: RecordNumber) -> bool {
        let mut of = self.0.iter().filter(|(_, names)| names.contains(id)).peekable();
        of.peek().is_some() && of.all(|(asked, _)| *asked > record)
    }
}

impl Ledger {
    /// The bids of the newest need that was placed up to a record.
    pub fn open_bids_as_of(&self, record: RecordNumber) -> impl Iterator<Item = &DomsBid> {
        let names = self.asked.as_of(record).unwrap_or_default();
        // Since the snapshot nothing was asked for.
        let newest = self.need.as_ref().filter(|_| self.asked.0.is_empty());
        let unchanged = newest.into_iter().flat_map(|need| &need.bids);
        names.iter().filter_map(|id| self.bids.get(id)).chain(unchanged)
    }

    /// A bid, also one of an earlier need, that was placed up to a record.
    pub fn bid_as_of(&self, id: &BidId, record: RecordNumber) -> Option<&DomsBid> {
        self.bids.get(id).filter(|_| !self.asked.is_later(id, record))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::MarketEvent;
    use crate::sample::instant;
    use crate::sample::story::need;
    use grid::packed::{pack_whole, unpack_whole};

    fn place(ledger: &mut Ledger, name: &str, at: i64) -> RecordNumber {
        let mut need = Need { issued_at: instant(at), ..need() };
        need.bids.truncate(1);
        need.bids[0].id = BidId::new(name).unwrap();
        ledger.apply(&MarketEvent::NeedPlaced { need, at: instant(at) }).unwrap();
        ledger.newest_record()
    }

    #[test]
    fn who_asks_by_an_earlier_record_is_told_what_was_asked_for_then() {
        let mut ledger = Ledger::default();
        let first = place(&mut ledger, "one", -900);
        let second = place(&mut ledger, "two", -600);
        let told = |ledger: &Ledger, record| {
            let open: Vec<_> = ledger.open_bids_as_of(record).map(|bid| bid.id.to_string()).collect();
            let known = ["one", "two", "three"]
                .map(|name| ledger.bid_as_of(&BidId::new(name).unwrap(), record).is_some());
            (open, known)
        };
        let (one, two, three) = (vec!["one".to_owned()], vec!["two".to_owned()], vec!["three".to_owned()]);
        assert_eq!(told(&ledger, RecordNumber(0)), (vec![], [false, false, false]));
        assert_eq!(told(&ledger, first), (one, [true, false, false]));
        assert_eq!(told(&ledger, second), (two.clone(), [true, true, false]));
        // All of a snapshot is durable, whatever its numbers were.
        let mut ledger: Ledger = unpack_whole(&pack_whole(&ledger)).unwrap();
        assert_eq!(told(&ledger, second), (two.clone(), [true, true, false]));
        let third = place(&mut ledger, "three", -300);
        assert_eq!(told(&ledger, second), (two, [true, true, false]));
        assert_eq!(told(&ledger, third), (three, [true, true, true]));
        for number in 0..20 {
            place(&mut ledger, &format!("n-{number}"), number);
        }
        assert_eq!(ledger.asked.0.len(), KEPT);
    }
}
