//! What the journal keeps of a clearing: what came out, what it looked at, and enough to clear it again.
//!
//! Offers, bids and head-room are in the journal already; the record says which of them the clearing looked at, by which
//! rules, and what lay in no record, the ways of the zones' energy. Whoever reads the journal clears the same book again
//! and must find the same, to the bit.

use super::{Accepted, Book, Clearing, Refused, clear};
use crate::aggregation::{ExclusiveGroup, LoneTerms};
use crate::bid::{Carried, CongestionPoint, Need, ZoneId};
use crate::contract::{AggregateId, AggregatedFlexOffer};
use crate::rules::{CLEARING_REVISION, RuleSet};
use grid::packed::Packed;
use grid::{BranchId, Money, Slot, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};

/// Prices that are written down, the first by element and slot: a record has its limit. The hash of the result counts all.
const PRICES_MAX: usize = 200_000;

/// What the journal keeps of a clearing in which something was bought, or that was not certified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoundRecord {
    /// When; what it bought was formed at this instant.
    pub at: Timestamp,
    /// When the need that it served was issued.
    pub need_issued_at: Timestamp,
    /// Offers in the book.
    pub offers: u64,
    /// How many were bought.
    pub purchases: u64,
    /// Value of relief minus what accepted offers ask, micro-units.
    pub welfare: Money,
    /// What no clearing of this book exceeds, micro-units.
    pub bound: Money,
    /// What the certificate checker objected to; then nothing was bought.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objection: Option<String>,
}

impl RoundRecord {
    /// The record of a clearing.
    pub fn new(book: &Book, clearing: &Clearing, at: Timestamp) -> Option<Self> {
        Some(Self {
            at,
            need_issued_at: book.need.as_ref()?.issued_at,
            offers: book.offers.len() as u64,
            purchases: clearing.accepted.len() as u64,
            welfare: clearing.welfare,
            bound: clearing.bound,
            objection: clearing.objection.clone(),
        })
    }
}

/// What is priced at an element in a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PriceOf {
    /// A kWh more of the relief, or consumption, that a bid asks for.
    Bid,
    /// A kWh more of head-room.
    Headroom,
    /// Whole lumps that do not fit, beside one of the prices above.
    Lump,
}

/// A price of a clearing that is not 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RowPrice {
    /// Where; of elements that the same offers load the one with least head-room.
    pub congestion_point: CongestionPoint,
    /// When.
    pub slot: Slot,
    /// Of what.
    pub of: PriceOf,
    /// Micro-units per kWh.
    pub price: Money,
}

/// What a clearing looked at beyond the journal, and what it found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoundProof {
    /// By which rules, such as `pay-as-bid/2 gate=60 gain=0 book=10000`.
    pub rule_set: String,
    /// Which offers were in the book, by id.
    pub offers: Vec<AggregateId>,
    /// Exclusive groups of them of which an offer had been bought.
    pub groups_sold: BTreeSet<ExclusiveGroup>,
    /// The ways of the energy of their zones, by zone.
    pub zones: Vec<(ZoneId, Vec<Carried>)>,
    /// What the use of the elements on these ways costs, by element and quarter-hour of the UTC day.
    pub transfer: Vec<(BranchId, u8, Money)>,
    /// SHA-256 of all that was looked at, hexadecimal.
    pub book_sha256: String,
    /// The prices that prove the bound, per slot and element.
    pub prices: Vec<RowPrice>,
    /// SHA-256 of all that was found, hexadecimal.
    pub result_sha256: String,
}

/// What clearing a recorded round again says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClearedAgain {
    /// The same, to the bit; with what was bought.
    Same(Vec<Accepted>),
    /// By another revision of the clearing than this program's; it cannot tell.
    OtherRevision,
    /// Something else: the first difference in words.
    Differs(String),
}

impl RoundProof {
    /// The proof of a clearing of a book.
    pub fn new(book: &Book, rules: &crate::Rules, clearing: &Clearing, at: Timestamp) -> Self {
        let rule_set = RuleSet::of(rules).to_string();
        let used: BTreeSet<_> = book.offers.values().map(|offer| offer.zone).collect();
        let zones: Vec<(ZoneId, Vec<Carried>)> = (book.zones.iter())
            .filter(|(zone, _)| used.contains(zone))
            .map(|(zone, way)| (*zone, way.clone()))
            .collect();
        let groups_sold: BTreeSet<ExclusiveGroup> = (book.lone.iter())
            .filter(|(id, _)| book.offers.contains_key(id))
            .filter_map(|(_, lone)| lone.group.clone())
            .filter(|group| book.groups_sold.contains(group))
            .collect();
        let ways: BTreeSet<BranchId> =
            zones.iter().flat_map(|(_, way)| way).map(|carried| carried.point.branch).collect();
        let transfer: Vec<(BranchId, u8, Money)> = (rules.transfer.per_kwh.iter())
            .filter(|((branch, _), _)| ways.contains(branch))
            .map(|((branch, time), price)| (*branch, *time, *price))
            .collect();
        let mut looked_at = book_bytes(book, &zones, &groups_sold, &rule_set, at);
        transfer.pack(&mut looked_at);
        Self {
            rule_set,
            offers: book.offers.keys().cloned().collect(),
            groups_sold,
            zones,
            transfer,
            book_sha256: sha256(&looked_at),
            prices: clearing.prices.iter().take(PRICES_MAX).copied().collect(),
            result_sha256: sha256(&result_bytes(clearing)),
        }
    }

    /// Clears the round again from what other records say and compares. `offer` finds an aggregate with its terms.
    pub fn clear_again(
        &self,
        round: &RoundRecord,
        need: Option<&Need>,
        offer: impl Fn(&AggregateId) -> Option<(AggregatedFlexOffer, Option<LoneTerms>)>,
    ) -> ClearedAgain {
        let rule_set: RuleSet = match self.rule_set.parse() {
            Ok(rule_set) => rule_set,
            Err(fault) => return ClearedAgain::Differs(format!("{fault}")),
        };
        if rule_set.revision != CLEARING_REVISION {
            return ClearedAgain::OtherRevision;
        }
        let Some(need) = need else {
            return ClearedAgain::Differs(format!("no need was issued at {}", round.need_issued_at));
        };
        let (zones, groups_sold) = (self.zones.iter().cloned().collect(), self.groups_sold.clone());
        let mut book = Book { need: Some(need.clone()), zones, groups_sold, ..Book::default() };
        for id in &self.offers {
            let Some((aggregate, lone)) = offer(id) else {
                return ClearedAgain::Differs(format!("its book holds {id}, which was not formed"));
            };
            book.offers.insert(id.clone(), aggregate);
            book.lone.extend(lone.map(|lone| (id.clone(), lone)));
        }
        let mut rules = rule_set.rules();
        rules.transfer.per_kwh =
            self.transfer.iter().map(|&(branch, time, price)| ((branch, time), price)).collect();
        let clearing = clear(&book, &rules, round.at);
        let again = Self::new(&book, &rules, &clearing, round.at);
        match self.first_difference(round, &again, RoundRecord::new(&book, &clearing, round.at).as_ref()) {
            Some(difference) => ClearedAgain::Differs(difference),
            None => ClearedAgain::Same(clearing.accepted),
        }
    }

    fn first_difference(
        &self,
        round: &RoundRecord,
        again: &Self,
        record: Option<&RoundRecord>,
    ) -> Option<String> {
        if self.book_sha256 != again.book_sha256 {
            return Some("its book is not what the records before it say".to_owned());
        }
        let record = record?;
        let counts = [
            ("offers", round.offers as i64, record.offers as i64),
            ("purchases", round.purchases as i64, record.purchases as i64),
            ("welfare", round.welfare.0, record.welfare.0),
            ("bound", round.bound.0, record.bound.0),
        ];
        if let Some((what, was, is)) = counts.into_iter().find(|(_, was, is)| was != is) {
            return Some(format!("{what}: recorded {was}, cleared again {is}"));
        }
        if round.objection != record.objection {
            return Some(format!("objection: {:?}, cleared again {:?}", round.objection, record.objection));
        }
        let prices = |proof: &Self| -> BTreeMap<(CongestionPoint, Slot, PriceOf), Money> {
            let at = |price: &RowPrice| ((price.congestion_point, price.slot, price.of), price.price);
            proof.prices.iter().map(at).collect()
        };
        let (was, is) = (prices(self), prices(again));
        let other = was.keys().chain(is.keys()).filter(|at| was.get(at) != is.get(at)).min();
        if let Some(at @ (point, slot, of)) = other {
            let of_it = |prices: &BTreeMap<_, Money>| prices.get(at).copied().unwrap_or_default().0;
            return Some(format!(
                "price of {of:?} at branch {} in {slot}: recorded {}, cleared again {}",
                point.branch,
                of_it(&was),
                of_it(&is)
            ));
        }
        (self.result_sha256 != again.result_sha256).then(|| "the hash of its result".to_owned())
    }
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// All that a clearing looks at, in a fixed form.
fn book_bytes(
    book: &Book,
    zones: &[(ZoneId, Vec<Carried>)],
    groups_sold: &BTreeSet<ExclusiveGroup>,
    rule_set: &str,
    at: Timestamp,
) -> Vec<u8> {
    let mut bytes = Vec::new();
    rule_set.to_owned().pack(&mut bytes);
    at.pack(&mut bytes);
    book.need.pack(&mut bytes);
    zones.to_vec().pack(&mut bytes);
    book.offers.pack(&mut bytes);
    for (id, lone) in book.lone.iter().filter(|(id, _)| book.offers.contains_key(id)) {
        id.pack(&mut bytes);
        lone.acceptance.pack(&mut bytes);
        lone.group.pack(&mut bytes);
        lone.cost.pack(&mut bytes);
        // Said only where there are such bounds, so that books without them keep their hash.
        if lone.running.is_some() {
            lone.running.pack(&mut bytes);
        }
    }
    groups_sold.pack(&mut bytes);
    bytes
}

/// All that a clearing finds, in a fixed form.
fn result_bytes(clearing: &Clearing) -> Vec<u8> {
    let mut bytes = Vec::new();
    (clearing.welfare, clearing.bound).pack(&mut bytes);
    (clearing.need_before, clearing.need_after).pack(&mut bytes);
    clearing.objection.pack(&mut bytes);
    for Accepted { aggregate, schedule, deviation, bids, cost, gain, slot_prices } in &clearing.accepted {
        (aggregate.clone(), schedule.clone()).pack(&mut bytes);
        deviation.pack(&mut bytes);
        bids.pack(&mut bytes);
        (*cost, *gain).pack(&mut bytes);
        slot_prices.pack(&mut bytes);
    }
    for Refused { aggregate, reason, asked_and_winning, against } in &clearing.refused {
        (aggregate.clone(), reason.code().to_owned()).pack(&mut bytes);
        asked_and_winning.pack(&mut bytes);
        against.pack(&mut bytes);
    }
    clearing.prices.pack(&mut bytes);
    bytes
}
