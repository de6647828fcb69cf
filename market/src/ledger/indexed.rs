//! Offers and orders with a second way to them: by whose they are. The second way is worked out from the first one.

use super::{ActivationRecord, OfferRecord};
use crate::activation::{Activation, ActivationId};
use crate::flex_offer::FlexOfferId;
use grid::{DeviceId, ProsumerId, Slot};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Deref, DerefMut};

/// Accepted offers by name, and the names of each prosumer's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Offers {
    by_id: BTreeMap<FlexOfferId, OfferRecord>,
    of_prosumer: BTreeMap<ProsumerId, BTreeSet<FlexOfferId>>,
}

impl Offers {
    pub fn insert(&mut self, id: FlexOfferId, record: OfferRecord) {
        self.of_prosumer.entry(record.offer.prosumer).or_default().insert(id.clone());
        self.by_id.insert(id, record);
    }

    /// Names of the offers of a prosumer.
    pub fn of(&self, prosumer: ProsumerId) -> Option<&BTreeSet<FlexOfferId>> {
        self.of_prosumer.get(&prosumer)
    }
}

impl From<BTreeMap<FlexOfferId, OfferRecord>> for Offers {
    fn from(by_id: BTreeMap<FlexOfferId, OfferRecord>) -> Self {
        let mut of_prosumer: BTreeMap<ProsumerId, BTreeSet<FlexOfferId>> = BTreeMap::new();
        for (id, record) in &by_id {
            of_prosumer.entry(record.offer.prosumer).or_default().insert(id.clone());
        }
        Self { by_id, of_prosumer }
    }
}

impl Deref for Offers {
    type Target = BTreeMap<FlexOfferId, OfferRecord>;

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
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Orders {
    by_id: BTreeMap<ActivationId, ActivationRecord>,
    to_device: BTreeMap<(DeviceId, Slot), BTreeSet<ActivationId>>,
}

/// The end of what an order replaces and of what it asks for, whichever is later. Both are as long.
fn over(order: &Activation) -> Slot {
    order.schedule.end().max(order.replaces_from.plus(order.schedule.energies.len() as i64))
}

impl Orders {
    pub fn insert(&mut self, id: ActivationId, record: ActivationRecord) {
        let order = &record.activation;
        self.to_device.entry((order.device, over(order))).or_default().insert(id.clone());
        self.by_id.insert(id, record);
    }

    /// Orders to a device that are not over when a slot begins, by the slot before which they are over.
    pub fn to(&self, device: DeviceId, from: Slot) -> impl Iterator<Item = &Activation> {
        let own = self.to_device.range((device, from.plus(1))..=(device, Slot(i64::MAX)));
        let orders = own.flat_map(|(_, orders)| orders).filter_map(|id| self.by_id.get(id));
        orders.map(|record| &record.activation)
    }
}

impl From<BTreeMap<ActivationId, ActivationRecord>> for Orders {
    fn from(by_id: BTreeMap<ActivationId, ActivationRecord>) -> Self {
        let mut to_device: BTreeMap<(DeviceId, Slot), BTreeSet<ActivationId>> = BTreeMap::new();
        for (id, record) in &by_id {
            let order = &record.activation;
            to_device.entry((order.device, over(order))).or_default().insert(id.clone());
        }
        Self { by_id, to_device }
    }
}

impl Deref for Orders {
    type Target = BTreeMap<ActivationId, ActivationRecord>;

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
