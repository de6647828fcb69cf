//! The ways for an event into the books.

use super::apply::Outcome;
use super::{Applied, Ledger, LedgerError, OfferStatus};
use crate::activation::{Activation, ActivationStatus};
use crate::event::{MarketEvent, RecordNumber};
use crate::packed::number;
use crate::settlement::{MeterReading, SlotSettlement};
use grid::Timestamp;
use grid::packed::{Malformed, Packed, unpack_whole};

fn is_whole(rest: &[u8]) -> Result<(), Malformed> {
    if rest.is_empty() { Ok(()) } else { Err(Malformed("something follows the value")) }
}

/// The instant that a fact ends with.
fn last_instant(rest: &mut &[u8]) -> Result<Timestamp, Malformed> {
    let at = Timestamp::unpack(rest)?;
    is_whole(rest)?;
    Ok(at)
}

impl Ledger {
    /// Takes in one event, as the next record. A refused event leaves the ledger as it was; a known one changes
    /// nothing and is no record.
    pub fn apply(&mut self, event: &MarketEvent) -> Result<Applied, LedgerError> {
        self.apply_record(RecordNumber(self.newest_record.0.saturating_add(1)), event)
    }

    /// Takes in one event that is, or will be, this record of the journal.
    pub fn apply_record(
        &mut self,
        record: RecordNumber,
        event: &MarketEvent,
    ) -> Result<Applied, LedgerError> {
        self.take_record(record, event.clone())
    }

    /// Like [`apply_record`](Self::apply_record), of an event that nobody else needs.
    pub fn take_record(&mut self, record: RecordNumber, event: MarketEvent) -> Result<Applied, LedgerError> {
        let settles = matches!(event, MarketEvent::Settled { .. });
        self.take(record, settles, |ledger| ledger.dispatch(record, event))
    }

    /// Like [`take_record`](Self::take_record), of a packed event. Most records are of a few kinds, which are taken in as they
    /// are read: an event is as large as the largest kind there is, and moving it from hand to hand takes longer than reading it.
    ///
    /// # Errors
    /// [`Malformed`] when it is no packed event; nothing was changed then, nor where the event is refused.
    pub fn take_packed(
        &mut self,
        record: RecordNumber,
        event: &[u8],
    ) -> Result<Result<Applied, LedgerError>, Malformed> {
        let (kind, rest) = (u64::unpack(&mut &*event)?, &mut event.get(1..).unwrap_or_default());
        Ok(match kind {
            number::SETTLED => {
                let settlement = SlotSettlement::unpack(rest)?;
                last_instant(rest)?;
                self.take(record, true, |ledger| ledger.settle(settlement))
            }
            number::METER_READ => {
                let reading = MeterReading::unpack(rest)?;
                is_whole(rest)?;
                self.take(record, false, |ledger| ledger.read_meter(reading, record))
            }
            number::ACTIVATION_ISSUED => {
                let activation = Activation::unpack(rest)?;
                last_instant(rest)?;
                self.take(record, false, |ledger| ledger.issue_activation(activation, record))
            }
            number::ACTIVATION_ANSWERED => {
                let status = ActivationStatus::unpack(rest)?;
                let at = last_instant(rest)?;
                self.take(record, false, |ledger| ledger.answer_activation(status, at, record))
            }
            _ => self.take_record(record, unpack_whole(event)?),
        })
    }

    fn take(
        &mut self,
        record: RecordNumber,
        settles: bool,
        rule: impl FnOnce(&mut Self) -> Outcome,
    ) -> Outcome {
        if record <= self.newest_record {
            return Err(LedgerError::RecordOrder { record, newest: self.newest_record });
        }
        if !settles {
            self.valued.forget();
        }
        let applied = rule(self)?;
        if applied == Applied::New {
            self.newest_record = record;
        }
        Ok(applied)
    }

    fn dispatch(&mut self, record: RecordNumber, event: MarketEvent) -> Outcome {
        match event {
            MarketEvent::OfferAccepted { offer, at } => self.accept_offer(offer, at, record),
            MarketEvent::OfferChanged { offer, at } => self.change_offer(offer, at, record),
            MarketEvent::OfferWithdrawn { offer, .. } => self.close_offer(&offer, OfferStatus::Withdrawn),
            MarketEvent::OfferExpired { offer, at } => self.expire_offer(&offer, at),
            MarketEvent::AggregateFormed { aggregate, .. } => self.form_aggregate(aggregate),
            MarketEvent::NeedPlaced { need, .. } => self.place_need(need, record),
            MarketEvent::Cleared { round } | MarketEvent::RoundCleared { round, .. } => self.clear(round),
            MarketEvent::ContractFormed { contract } => self.form_contract(contract, record),
            MarketEvent::Assigned { contract, assignments, .. } => {
                self.assign(&contract, assignments, record)
            }
            MarketEvent::BaselineFrozen { contract, offer, baseline, at } => {
                self.freeze_baseline(&contract, &offer, baseline, at, record)
            }
            MarketEvent::ActivationIssued { activation, .. } => self.issue_activation(activation, record),
            MarketEvent::ActivationAnswered { status, at } => self.answer_activation(status, at, record),
            MarketEvent::MeterRead { reading } => self.read_meter(reading, record),
            MarketEvent::DelegationAgreed { prosumer, from, contract, at } => {
                self.agree_delegation(prosumer, from, contract, at, record)
            }
            MarketEvent::BillIssued { bill, at } => self.issue_bill(bill, at, record),
            MarketEvent::Settled { settlement, .. } => self.settle(settlement),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::story::story;
    use grid::packed::pack_whole;

    #[test]
    fn a_packed_event_is_taken_in_like_the_event_and_a_cut_one_changes_nothing() {
        let (mut plain, mut read) = (Ledger::default(), Ledger::default());
        let mut kinds = std::collections::BTreeSet::new();
        for (number, event) in (1..).zip(story()) {
            let (record, bytes) = (RecordNumber(number), pack_whole(&event));
            kinds.insert(bytes[0]);
            for cut in 0..bytes.len() {
                assert!(read.take_packed(record, &bytes[..cut]).is_err(), "{event:?} cut at {cut}");
            }
            let longer = [bytes.as_slice(), &[0x80]].concat();
            assert!(read.take_packed(record, &longer).is_err());
            assert_eq!(read.take_packed(record, &bytes).unwrap(), plain.take_record(record, event.clone()));
            assert_eq!(read.take_packed(record, &bytes).unwrap(), plain.take_record(record, event));
            assert!(read == plain);
        }
        assert!([9_u8, 10, 11, 14].iter().all(|kind| kinds.contains(&(kind | 0x80))), "{kinds:?}");
        assert_eq!(pack_whole(&read), pack_whole(&plain));
    }
}
