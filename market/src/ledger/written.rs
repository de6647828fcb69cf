//! How a ledger is packed, for snapshots. The form belongs to the program's version.

use super::{
    ActivationRecord, Answered, ContractRecord, Ledger, OfferRecord, OfferStatus, Offers, OrderKey, Orders,
    Valued,
};
use crate::activation::ActivationId;
use crate::bid::{BidId, DomsBid};
use crate::contract::{AggregateId, AggregatedFlexOffer, ContractId};
use crate::event::RecordNumber;
use crate::flex_offer::FlexOfferId;
use crate::settlement::{MeterReading, SlotSettlement};
use grid::packed::{Malformed, Packed, unpack_list};
use grid::{DeviceId, Slot, packed};
use std::collections::BTreeMap;

packed!(enum OfferStatus { 0 = Open, 1 = Contracted, 2 = Assigned { until }, 3 = Withdrawn, 4 = Expired });
packed!(struct OfferRecord { offer, status, aggregate, activation, contract, record });
packed!(struct ContractRecord { contract, assignments, formed, assigned });
packed!(struct ActivationRecord { activation, answer });
packed!(struct Answered { status, at, record });
packed!(struct Ledger {
    offers => indexed_offers, by_device, open_offers, aggregates => aggregates_by_id, unsold, need, bids => bids_by_id, bought, round,
    contracts => contracts_by_id, unassigned, activations => indexed_orders, unactivated, unanswered, planned,
    contracted, baselines, readings => readings_by_slot, unsettled, awaited, settled => settled_by_order, relief, balances,
    delegations, bills, totals, newest_record, groups_sold, binding, valued => not_kept,
});

/// A map whose keys are in its values is packed as the list of its values.
macro_rules! keyed {
    ($module:ident, $key:ty, $value:ty, $key_of:expr) => {
        mod $module {
            use super::*;

            pub(super) fn pack(map: &BTreeMap<$key, $value>, bytes: &mut Vec<u8>) {
                (map.len() as u64).pack(bytes);
                map.values().for_each(|value| value.pack(bytes));
            }

            pub(super) fn unpack(bytes: &mut &[u8]) -> Result<BTreeMap<$key, $value>, Malformed> {
                let key_of: fn(&$value) -> $key = $key_of;
                let pairs = unpack_list(bytes, |bytes| {
                    let value = <$value>::unpack(bytes)?;
                    Ok((key_of(&value), value))
                })?;
                match pairs.is_sorted_by(|one, next| one.0 < next.0) {
                    true => Ok(pairs.into_iter().collect()),
                    false => Err(Malformed("the keys of a map do not ascend")),
                }
            }
        }
    };
}

keyed!(offers_by_id, FlexOfferId, OfferRecord, |record| record.offer.id.clone());
keyed!(aggregates_by_id, AggregateId, AggregatedFlexOffer, |aggregate| aggregate.id.clone());
keyed!(bids_by_id, BidId, DomsBid, |bid| bid.id.clone());
keyed!(contracts_by_id, ContractId, ContractRecord, |record| record.contract.id.clone());
keyed!(activations_by_id, ActivationId, ActivationRecord, |record| record.activation.id.clone());
keyed!(readings_by_slot, (Slot, DeviceId), (MeterReading, RecordNumber), |(reading, _)| (
    reading.slot,
    reading.device
));
keyed!(settled_by_order, OrderKey, SlotSettlement, |settled| {
    (settled.slot, settled.contract.clone(), settled.offer.clone())
});

/// What is found in a second way is packed in the first one only.
macro_rules! indexed {
    ($module:ident, $all:ty, $as:ident) => {
        mod $module {
            use super::*;

            pub(super) fn pack(all: &$all, bytes: &mut Vec<u8>) {
                $as::pack(all, bytes);
            }

            pub(super) fn unpack(bytes: &mut &[u8]) -> Result<$all, Malformed> {
                $as::unpack(bytes).map(<$all>::from)
            }
        }
    };
}

indexed!(indexed_offers, Offers, offers_by_id);
indexed!(indexed_orders, Orders, activations_by_id);

/// What is worked out again when it is asked for.
mod not_kept {
    use super::{Malformed, Valued};

    pub(super) fn pack(_: &Valued, _: &mut Vec<u8>) {}

    pub(super) fn unpack(_: &mut &[u8]) -> Result<Valued, Malformed> {
        Ok(Valued::default())
    }
}
