//! Offers and orders with a second way to them: by whose they are. The second way is worked out from the first one.

use super::per_device::PerDevice;
use super::shelf::{Named, Place, Shelf};
use super::{ActivationRecord, ContractRecord, OfferRecord};
use crate::activation::{Activation, ActivationId};
use crate::contract::{AggregateId, AggregatedFlexOffer, ContractId};
use crate::flex_offer::FlexOfferId;
use grid::{DeviceId, ProsumerId, Slot};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Deref, DerefMut};

impl Named for OfferRecord {
    type Name = FlexOfferId;

    fn name(&self) -> &FlexOfferId {
        &self.offer.id
    }
}

impl Named for AggregatedFlexOffer {
    type Name = AggregateId;

    fn name(&self) -> &AggregateId {
        &self.id
    }
}

impl Named for ContractRecord {
    type Name = ContractId;

    fn name(&self) -> &ContractId {
        &self.contract.id
    }
}

impl Named for ActivationRecord {
    type Name = ActivationId;

    fn name(&self) -> &ActivationId {
        &self.activation.id
    }
}

/// Accepted offers by name, and the names of each prosumer's.
#[derive(Debug, Clone, Default)]
pub(super) struct Offers {
    by_id: Shelf<OfferRecord>,
    of_prosumer: BTreeMap<ProsumerId, BTreeSet<FlexOfferId>>,
}

impl Offers {
    pub fn insert(&mut self, record: OfferRecord) -> Place {
        self.of_prosumer.entry(record.offer.prosumer).or_default().insert(record.offer.id.clone());
        self.by_id.insert(record)
    }

    /// Names of the offers of a prosumer.
    pub fn of(&self, prosumer: ProsumerId) -> Option<&BTreeSet<FlexOfferId>> {
        self.of_prosumer.get(&prosumer)
    }
}

impl FromIterator<OfferRecord> for Offers {
    fn from_iter<I: IntoIterator<Item = OfferRecord>>(records: I) -> Self {
        let mut offers = Self::default();
        records.into_iter().for_each(|record| {
            offers.insert(record);
        });
        offers
    }
}

impl Deref for Offers {
    type Target = Shelf<OfferRecord>;

    fn deref(&self) -> &Self::Target {
        &self.by_id
    }
}

/// Records may be changed; whose an offer is never is.
impl DerefMut for Offers {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.by_id
    }
}

/// Orders by name, and those to each device by the slot before which they are over.
#[derive(Debug, Clone, Default)]
pub(super) struct Orders {
    by_id: Shelf<ActivationRecord>,
    to_device: PerDevice<(Slot, Place), ()>,
}

/// The end of what an order replaces and of what it asks for, whichever is later. Both are as long.
fn over(order: &Activation) -> Slot {
    order.schedule.end().max(order.replaces_from.plus(order.schedule.energies.len() as i64))
}

impl Orders {
    pub fn insert(&mut self, record: ActivationRecord) -> Place {
        let (device, over) = (record.activation.device, over(&record.activation));
        let place = self.by_id.insert(record);
        self.to_device.entry(device, (over, place));
        place
    }

    /// Orders to a device that are not over when a slot begins, by the slot before which they are over.
    pub fn to(&self, device: DeviceId, from: Slot) -> impl Iterator<Item = &Activation> {
        let own = self.to_device.after(device, &(from, Place::LAST)).iter();
        let mut own: Vec<_> =
            own.filter_map(|((over, place), ())| Some((*over, &self.by_id.at(*place)?.activation))).collect();
        own.sort_by(|(over, one), (until, other)| (over, &one.id).cmp(&(until, &other.id)));
        own.into_iter().map(|(_, order)| order)
    }
}

impl FromIterator<ActivationRecord> for Orders {
    fn from_iter<I: IntoIterator<Item = ActivationRecord>>(records: I) -> Self {
        let mut orders = Self::default();
        records.into_iter().for_each(|record| {
            orders.insert(record);
        });
        orders
    }
}

impl Deref for Orders {
    type Target = Shelf<ActivationRecord>;

    fn deref(&self) -> &Self::Target {
        &self.by_id
    }
}

/// Records may be changed; what an order says never is.
impl DerefMut for Orders {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.by_id
    }
}
