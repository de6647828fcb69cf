//! How a ledger is packed, for snapshots. The form belongs to the program's version.

use super::ascending::Keyed;
use super::{
    ActivationRecord, Answered, Ascending, ContractRecord, Filed, Ledger, OfferRecord, OfferStatus, Offers,
    OrderKey, Orders, Place, Shelf,
};
use crate::activation::ActivationId;
use crate::bid::{BidId, DomsBid};
use crate::contract::{AggregateId, AggregatedFlexOffer, ContractId};
use crate::event::RecordNumber;
use crate::flex_offer::FlexOfferId;
use crate::settlement::{MeterReading, SlotSettlement};
use grid::packed::{Malformed, Packed, pack_whole, unpack_list};
use grid::{DeviceId, Slot, packed};
use std::collections::{BTreeMap, BTreeSet};

packed!(enum OfferStatus { 0 = Open, 1 = Contracted, 2 = Assigned { until }, 3 = Withdrawn, 4 = Expired });
packed!(struct OfferRecord { offer, status, aggregate, activation, contract, part, relief, record });
packed!(struct ContractRecord { contract, assignments, formed, assigned });
packed!(struct Answered { status, at, record });

impl Packed for ActivationRecord {
    fn pack(&self, bytes: &mut Vec<u8>) {
        let Self { activation, answer, issued: _ } = self;
        activation.pack(bytes);
        answer.pack(bytes);
    }

    fn unpack(bytes: &mut &[u8]) -> Result<Self, Malformed> {
        let (activation, answer) = (Packed::unpack(bytes)?, Packed::unpack(bytes)?);
        Ok(Self { activation, answer, issued: RecordNumber::default() })
    }
}

macro_rules! packed_ledger {
    ($($field:ident $(=> $how:ident)? $(by $view:ident)?),* $(,)?) => {
        impl Packed for Ledger {
            fn pack(&self, bytes: &mut Vec<u8>) {
                let Self { $($field,)* unactivated: _, unanswered: _, valued: _, replaced: _, asked: _ } = self;
                $(packed_ledger!(@pack self, $field, bytes $(, $how)? $(, by $view)?);)*
            }

            fn unpack(bytes: &mut &[u8]) -> Result<Self, Malformed> {
                let mut ledger = Self::default();
                $(ledger.$field = packed_ledger!(@unpack ledger, bytes $(, $how)? $(, by $view)?);)*
                ledger.find_waiting()?;
                Ok(ledger)
            }
        }
    };
    // What has places in it is written with names, which the offers before it tell.
    (@pack $ledger:ident, $field:ident, $bytes:ident, by $view:ident) => {
        $view::pack($field, $ledger, $bytes)
    };
    (@pack $ledger:ident, $field:ident, $bytes:ident $(, $how:ident)?) => {
        packed!(@pack $field, $bytes $(, $how)?)
    };
    (@unpack $ledger:ident, $bytes:ident, by $view:ident) => { $view::unpack(&$ledger, $bytes)? };
    (@unpack $ledger:ident, $bytes:ident $(, $how:ident)?) => { packed!(@unpack $bytes $(, $how)?) };
}

packed_ledger! {
    offers => offers_by_id, by_device, open_offers, aggregates => aggregates_by_id, unsold, need, bids => bids_by_id, bought,
    round, contracts => contracts_by_id, unassigned, activations => activations_by_id, planned, contracted, baselines,
    readings => readings_by_slot, awaited by unsettled_by_name, settled => settled_by_order, balances, delegations, bills, totals,
    newest_record, groups_sold, binding by binding_by_name,
}

const UNKNOWN: Malformed = Malformed("a ledger has a name that it does not know");

/// What waits for readings is written by slot, contract and offer.
mod unsettled_by_name {
    use super::*;

    pub(super) fn pack(_: &BTreeSet<(Slot, DeviceId, Place)>, ledger: &Ledger, bytes: &mut Vec<u8>) {
        ledger.unsettled_until(Slot(i64::MAX)).pack(bytes);
    }

    pub(super) fn unpack(
        ledger: &Ledger,
        bytes: &mut &[u8],
    ) -> Result<BTreeSet<(Slot, DeviceId, Place)>, Malformed> {
        let keys = BTreeSet::<OrderKey>::unpack(bytes)?;
        let awaited = keys.into_iter().map(|(slot, contract, offer)| {
            let (device, place) = ledger.sold_under(&contract, &offer).ok_or(UNKNOWN)?;
            Ok((slot, device, place))
        });
        awaited.collect()
    }
}

/// Offers that bind a device are written by name.
mod binding_by_name {
    use super::*;

    pub(super) fn pack(binding: &BTreeMap<DeviceId, Vec<Place>>, ledger: &Ledger, bytes: &mut Vec<u8>) {
        (binding.len() as u64).pack(bytes);
        for (device, places) in binding {
            let offers = places.iter().filter_map(|place| ledger.offers.at(*place));
            let mut names: Vec<_> = offers.map(|record| record.offer.id.clone()).collect();
            names.sort_unstable();
            device.pack(bytes);
            names.pack(bytes);
        }
    }

    pub(super) fn unpack(
        ledger: &Ledger,
        bytes: &mut &[u8],
    ) -> Result<BTreeMap<DeviceId, Vec<Place>>, Malformed> {
        let named = BTreeMap::<DeviceId, Vec<FlexOfferId>>::unpack(bytes)?;
        let binding = named.into_iter().map(|(device, names)| {
            let places: Option<Vec<Place>> = names.iter().map(|name| ledger.offers.place(name)).collect();
            let mut places = places.ok_or(UNKNOWN)?;
            places.sort_unstable();
            Ok((device, places))
        });
        binding.collect()
    }
}

impl Ledger {
    /// What waits for an order or an answer, from the facts that say so.
    fn find_waiting(&mut self) -> Result<(), Malformed> {
        for (place, record) in self.offers.places() {
            let contract = record.contract.as_ref().and_then(|id| self.contracts.get(id));
            if record.activation.is_none() && contract.is_some_and(|known| known.assignments.is_some()) {
                self.unactivated.insert((record.offer.prosumer, place));
            }
        }
        for (place, ActivationRecord { activation, answer, .. }) in self.activations.places() {
            if answer.is_none() {
                let prosumer = self.offers.get(&activation.offer).ok_or(UNKNOWN)?.offer.prosumer;
                self.unanswered.insert((prosumer, activation.schedule.end(), place));
            }
        }
        Ok(())
    }
}

impl PartialEq for Ledger {
    fn eq(&self, other: &Self) -> bool {
        pack_whole(self) == pack_whole(other)
    }
}

impl Eq for Ledger {}

/// A map whose keys are in its values is packed as the list of its values.
macro_rules! keyed {
    ($module:ident, $all:ty, $key:ty, $value:ty, $key_of:expr $(, $only:ident)?) => {
        mod $module {
            use super::*;

            pub(super) fn pack(map: &$all, bytes: &mut Vec<u8>) {
                (map.len() as u64).pack(bytes);
                map.values().for_each(|value| value.pack(bytes));
            }

            pub(super) fn unpack(bytes: &mut &[u8]) -> Result<$all, Malformed> {
                let key_of: fn(&$value) -> $key = $key_of;
                let pairs = unpack_list(bytes, |bytes| {
                    let value = <$value>::unpack(bytes)?;
                    Ok((key_of(&value), value))
                })?;
                match pairs.is_sorted_by(|one, next| one.0 < next.0) {
                    true => Ok(pairs.into_iter().map(|pair| keyed!(@of pair $(, $only)?)).collect()),
                    false => Err(Malformed("the keys of a map do not ascend")),
                }
            }
        }
    };
    (@of $pair:ident) => { $pair };
    (@of $pair:ident, named) => { $pair.1 };
}

keyed!(offers_by_id, Offers, FlexOfferId, OfferRecord, |record| record.offer.id.clone(), named);
keyed!(
    aggregates_by_id,
    Shelf<AggregatedFlexOffer>,
    AggregateId,
    AggregatedFlexOffer,
    |sum| sum.id.clone(),
    named
);
keyed!(
    contracts_by_id,
    Shelf<ContractRecord>,
    ContractId,
    ContractRecord,
    |record| record.contract.id.clone(),
    named
);
keyed!(
    activations_by_id,
    Orders,
    ActivationId,
    ActivationRecord,
    |record| record.activation.id.clone(),
    named
);
keyed!(bids_by_id, BTreeMap<BidId, DomsBid>, BidId, DomsBid, |bid| bid.id.clone());
keyed!(
    readings_by_slot,
    Filed<(Slot, DeviceId), (MeterReading, RecordNumber)>,
    (Slot, DeviceId),
    (MeterReading, RecordNumber),
    |(reading, _)| (reading.slot, reading.device)
);
keyed!(settled_by_order, Ascending<SlotSettlement>, OrderKey, SlotSettlement, Keyed::key);
