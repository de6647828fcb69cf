//! An offer that its owner changes while nobody has bought it: the same name, a higher revision, other contents.

use super::apply::{Outcome, again};
use super::{Applied, Ledger, LedgerError, OfferStatus, Place};
use crate::event::RecordNumber;
use crate::flex_offer::{FlexOffer, FlexOfferId};
use grid::{DeviceId, Timestamp};

impl Ledger {
    /// Puts other contents into the place of an open offer's. It is offered afresh: an aggregate that it was by itself is not
    /// sold any more. A revision that was overtaken since is known.
    pub(super) fn change_offer(&mut self, offer: FlexOffer, at: Timestamp, record: RecordNumber) -> Outcome {
        let known = self.record(&offer.id)?;
        let (given, newest) = (offer.terms.revision, known.offer.terms.revision);
        if given == newest || offer.prosumer != known.offer.prosumer {
            return again("FlexOffer", &offer.id, &known.offer, &offer);
        }
        if given < newest {
            return Ok(Applied::Known);
        }
        if known.status != OfferStatus::Open {
            return Err(LedgerError::NotOpen { offer: offer.id });
        }
        offer.check()?;
        let deadlines = [
            ("the change of the offer", known.offer.assignment_before),
            ("the acceptance", offer.acceptance_before),
        ];
        if let Some(&(what, deadline)) = deadlines.iter().find(|(_, deadline)| at >= *deadline) {
            return Err(LedgerError::TooLate { what, at, deadline });
        }
        if let Some(id) = &known.aggregate {
            let alone = self.aggregates.get(id).is_some_and(|aggregate| aggregate.members.len() == 1);
            if !alone {
                return Err(LedgerError::InAggregate { offer: offer.id, aggregate: id.clone() });
            }
            self.unsold.remove(&id.clone());
        }
        let (id, device) = (offer.id.clone(), offer.device);
        let Some(place) = self.offers.place(&id) else { return Ok(Applied::Known) };
        let Some(known) = self.offers.at_mut(place) else { return Ok(Applied::Known) };
        let before = std::mem::replace(&mut known.offer, offer);
        let accepted = std::mem::replace(&mut known.record, record);
        known.aggregate = None;
        if before.device != device {
            self.move_to_device((&id, place), before.device, device);
        }
        self.bind(device, place, at);
        self.replaced.insert(id, (before, accepted));
        Ok(Applied::New)
    }

    /// What follows the newest offer of a device, when an offer is another one's from now on.
    fn move_to_device(&mut self, (id, place): (&FlexOfferId, Place), from: DeviceId, to: DeviceId) {
        if let Some(binding) = self.binding.get_mut(&from) {
            binding.retain(|other| *other != place);
        }
        let (newest, made) = self.by_device.entry(to).or_insert_with(|| (id.clone(), 0));
        (*newest, *made) = (id.clone(), made.saturating_add(1));
        let Some((newest, _)) = self.by_device.get_mut(&from).filter(|(newest, _)| newest == id) else {
            return;
        };
        let owner = self.offers.get(id).map(|record| record.offer.prosumer);
        let own = owner.and_then(|owner| self.offers.of(owner)).into_iter().flatten();
        let left = own.filter_map(|id| self.offers.get(id)).filter(|record| record.offer.device == from);
        if let Some(last) = left.max_by_key(|record| record.record) {
            *newest = last.offer.id.clone();
        }
    }
}
