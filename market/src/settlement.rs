//! What was delivered and what it earns: delivery = meter − baseline, money in = money out + fees.
//!
//! The baseline was frozen before the device was told (`crate::baseline`). Delivery is credited in the ordered
//! direction, from nothing up to what was ordered. Deficiency is one-sided: delivering more than ordered earns and
//! costs nothing, delivering less (or moving the other way, which widens the gap) owes the penalty per kWh of the
//! gap. This is USEF's settlement of a flex order; its worked example is a test. A reading that was not measured
//! proves nothing: it neither earns nor owes.
//!
//! *Rebound*: an interval after the first relief for which there is a baseline but no order is settled too. What is
//! taken there beyond the baseline takes relief back; it is owed for, up to the relief that was credited before.
//!
//! *Netting*: where the contract says so, the members of its aggregate are settled together (`delivery`).
//!
//! Every settlement cites the records of the journal it rests on.

pub(crate) mod cites;
mod delivery;
mod fault;
mod payment;
mod terms;
#[cfg(test)]
mod tests;

pub use cites::Cites;
pub use fault::SettlementError;
pub use terms::{SettlementTerms, SlotPrice};

use crate::contract::{Assignment, Contract, ContractId};
use crate::event::RecordNumber;
use crate::flex_offer::{FlexOffer, FlexOfferId, TradingMode};
use delivery::{Credit, Part, net};
use grid::defect::{Defect, planted};
use grid::name::Name;
use grid::{DeviceId, EnergyMwh, Money, ProsumerId, Quality, Slot, Timestamp};
use payment::Payment;
use serde::{Deserialize, Serialize};

/// A sub-meter's energy of one slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeterReading {
    /// Which device.
    pub device: DeviceId,
    /// Which quarter-hour.
    pub slot: Slot,
    /// Energy taken, mWh.
    pub energy: EnergyMwh,
    /// Measured or substituted.
    pub quality: Quality,
    /// When it was received (or substituted).
    pub received_at: Timestamp,
    /// Who said it: `mqtt`, `http` or the name of a connector; `None` when it was substituted, or recorded before this was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Name>,
}

/// Whose money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Account {
    /// The grid operator that buys.
    Dso,
    /// A prosumer that delivers.
    Prosumer(ProsumerId),
    /// The aggregator, which pays those who delegate their trading to it.
    Aggregator,
    /// The market operator's fee.
    MarketFee,
}

/// A movement of money; positive is received.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Posting {
    /// Whose.
    pub account: Account,
    /// How much, micro-units.
    pub amount: Money,
}

/// Settlement of one offer under one contract in one slot. Its postings sum to zero.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlotSettlement {
    /// Under which contract.
    pub contract: ContractId,
    /// Whose delivery.
    pub offer: FlexOfferId,
    /// Which quarter-hour.
    pub slot: Slot,
    /// Deviation ordered, mWh; negative is less consumption.
    pub ordered: EnergyMwh,
    /// What would have been taken otherwise, frozen before the device was told, mWh.
    pub baseline: EnergyMwh,
    /// Energy metered, mWh.
    pub metered: EnergyMwh,
    /// Quality of the metered energy.
    pub quality: Quality,
    /// Deviation credited: in the ordered direction, at most what was ordered, mWh.
    pub delivered: EnergyMwh,
    /// Credited beside it for what other members lack (the sign of `ordered`), or charged for relief that this one
    /// undid (the opposite sign), mWh.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub netted: EnergyMwh,
    /// Energy taken back where nothing was ordered, mWh.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub rebound: EnergyMwh,
    /// Movements of money, sum zero.
    pub postings: Vec<Posting>,
    /// The records that every one of them rests on, ascending.
    pub cites: Cites,
}

fn is_zero(energy: &EnergyMwh) -> bool {
    *energy == EnergyMwh::ZERO
}

/// A delivery that can be settled: everything its settlement depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due<'a> {
    /// Under which contract.
    pub contract: &'a Contract,
    /// What was assigned.
    pub assignment: &'a Assignment,
    /// The offer.
    pub offer: &'a FlexOffer,
    /// Which slot.
    pub slot: Slot,
    /// What the meter said.
    pub reading: &'a MeterReading,
    /// What would have been taken otherwise, mWh.
    pub baseline: EnergyMwh,
    /// Whether the device's answer to the order was recorded by the start of the slot; nobody owes for an order that had not
    /// reached it, whether the reading or the answer is told first.
    pub reached: bool,
    /// Relief credited so far minus what was taken back so far, mWh, at least 0.
    pub rebound_room: EnergyMwh,
    /// The records all of this is from, ascending.
    pub cites: Vec<RecordNumber>,
}

impl Due<'_> {
    /// What was ordered in the slot, mWh, signed; 0 where only a rebound can be settled.
    pub fn ordered(&self) -> EnergyMwh {
        ordered_in(self.assignment, self.slot)
    }

    fn part(&self) -> Part {
        let direction = i128::from(self.ordered().0.signum());
        let moved = i128::from(self.reading.energy.0) - i128::from(self.baseline.0);
        Part { ordered: i128::from(self.ordered().0.unsigned_abs()), along: moved * direction }
    }

    fn measured(&self) -> bool {
        self.reading.quality == Quality::Measured
    }
}

/// Deviation ordered from a part in a slot, mWh.
pub(crate) fn ordered_in(part: &Assignment, slot: Slot) -> EnergyMwh {
    part.deviation.iter().find(|(at, _)| *at == slot).map_or(EnergyMwh::ZERO, |(_, energy)| *energy)
}

/// The direction of the relief that a part was ordered to give: less where it is to take less anywhere, else more.
pub(crate) fn relief_direction(part: &Assignment) -> i64 {
    if part.deviation.iter().any(|(_, energy)| energy.0 < 0) { -1 } else { 1 }
}

/// Slots with a baseline in which a part can only rebound: nothing is ordered, and relief was ordered before.
pub(crate) fn rebound_slots(part: &Assignment, covered: impl Iterator<Item = Slot>) -> Vec<Slot> {
    let relief = relief_direction(part);
    let first = part.deviation.iter().filter(|(_, e)| e.0.signum() == relief).map(|(slot, _)| *slot).min();
    let Some(first) = first else { return Vec::new() };
    covered.filter(|slot| *slot > first && ordered_in(part, *slot) == EnergyMwh::ZERO).collect()
}

/// Settles one delivery by itself; the postings sum to zero, zero amounts are left out.
pub fn settle(due: &Due<'_>) -> Result<SlotSettlement, SettlementError> {
    let credit = if due.measured() { due.part().alone() } else { Credit::default() };
    valued(due, credit, due.cites.clone().into())
}

/// Settles deliveries of one contract in one slot: together when the contract says so, else each by itself. The
/// answer is in their order.
pub fn settle_together(dues: &[Due<'_>]) -> Result<Vec<SlotSettlement>, SettlementError> {
    let Some(first) = dues.first() else { return Ok(Vec::new()) };
    if dues.iter().any(|due| due.contract.id != first.contract.id || due.slot != first.slot) {
        return Err(SettlementError::NotTogether { contract: first.contract.id.clone(), slot: first.slot });
    }
    if !first.contract.terms.netting {
        return dues.iter().map(settle).collect();
    }
    let mut credits = vec![Credit::default(); dues.len()];
    let mut cites: Vec<RecordNumber> = dues.iter().flat_map(|due| due.cites.iter().copied()).collect();
    cites.sort_unstable();
    cites.dedup();
    let cites = Cites::from(cites);
    for direction in [-1, 1] {
        let counts = |due: &Due<'_>| due.measured() && due.ordered().0.signum() == direction;
        let members: Vec<usize> = (0..dues.len()).filter(|&at| counts(&dues[at])).collect();
        let parts: Vec<Part> = members.iter().map(|&at| dues[at].part()).collect();
        members.iter().zip(net(&parts)).for_each(|(&at, credit)| credits[at] = credit);
    }
    // Collecting results would begin small and grow.
    let mut settlements = Vec::with_capacity(dues.len());
    for (due, credit) in dues.iter().zip(credits) {
        settlements.push(valued(due, credit, cites.clone())?);
    }
    Ok(settlements)
}

/// No settlement moves more, micro-units (a billion EUR).
const MONEY_MAX: i128 = 1_000_000_000_000_000;

/// Turns a credit into money.
fn valued(due: &Due<'_>, credit: Credit, cites: Cites) -> Result<SlotSettlement, SettlementError> {
    let (ordered, terms, slot) = (due.ordered().0, &due.contract.terms, due.slot);
    let per_kwh =
        |energy: i64, price: Money| (i128::from(energy) * i128::from(price.0) + 500_000) / 1_000_000;
    let (mut payment, mut rebound) = (0, 0);
    let penalty;
    if ordered != 0 {
        let credited = credit.delivered.saturating_add(credit.netted).saturating_mul(ordered.signum());
        payment = Payment::new(due.contract, due.assignment).of(slot, ordered, credited)?;
        penalty = if due.reached { per_kwh(credit.shortfall, terms.penalty_per_kwh) } else { 0 };
    } else {
        let covered = std::iter::once(slot);
        if rebound_slots(due.assignment, covered).is_empty() {
            let (contract, offer) = (due.contract.id.clone(), due.offer.id.clone());
            return Err(SettlementError::NotOrdered { contract, offer, slot });
        }
        rebound = if due.measured() { taken_back(due) } else { 0 };
        penalty = per_kwh(rebound, terms.rebound_per_kwh);
    }
    let fee = payment.max(0) * i128::from(terms.fee_per_mille.min(1000)) / 1000;
    let earned = payment - penalty;
    if [payment, penalty, earned].iter().any(|amount| amount.abs() > MONEY_MAX) {
        return Err(SettlementError::TooMuchMoney { offer: due.offer.id.clone(), slot });
    }
    let party = match due.offer.terms.mode {
        TradingMode::Direct => Account::Prosumer(due.offer.prosumer),
        TradingMode::Delegated => Account::Aggregator,
    };
    let amounts = [(Account::Dso, -earned), (party, earned - fee), (Account::MarketFee, fee)];
    let lost = |account| account == Account::MarketFee && planted(Defect::LosesTheFee);
    let postings = amounts.into_iter().filter(|(account, amount)| *amount != 0 && !lost(*account));
    Ok(SlotSettlement {
        contract: due.contract.id.clone(),
        offer: due.offer.id.clone(),
        slot,
        ordered: EnergyMwh(ordered),
        baseline: due.baseline,
        metered: due.reading.energy,
        quality: due.reading.quality,
        delivered: EnergyMwh(credit.delivered * ordered.signum()),
        netted: EnergyMwh(credit.netted * ordered.signum()),
        rebound: EnergyMwh(rebound * -relief_direction(due.assignment)),
        postings: postings
            .map(|(account, amount)| Posting { account, amount: Money(amount as i64) })
            .collect(),
        cites,
    })
}

/// Energy beyond the baseline against the relief, as far as there was relief, mWh (a magnitude).
fn taken_back(due: &Due<'_>) -> i64 {
    let moved = i128::from(due.reading.energy.0) - i128::from(due.baseline.0);
    let against = moved * -i128::from(relief_direction(due.assignment));
    against.clamp(0, i128::from(due.rebound_room.0.max(0))) as i64
}
