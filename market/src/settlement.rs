//! What was delivered and what it earns: delivery = meter − baseline, money in = money out + fees.
//!
//! The baseline is the default schedule declared in the offer, frozen when the offer was accepted. Delivery is
//! credited in the ordered direction, from nothing up to what was ordered. Deficiency is one-sided: delivering
//! more than ordered earns and costs nothing, delivering less (or moving the other way, which widens the gap)
//! owes the penalty per kWh of the gap. This is USEF's settlement of a flex order; its worked example is a test.
//! A reading that was not measured proves nothing: it neither earns nor owes.

use crate::contract::{Assignment, Contract, ContractId};
use crate::flex_offer::{FlexOffer, FlexOfferId};
use crate::rules::Rules;
use grid::{DeviceId, EnergyMwh, Money, ProsumerId, Quality, Slot, Timestamp};
use serde::{Deserialize, Serialize};
use thiserror::Error;

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
}

/// Whose money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Account {
    /// The grid operator that buys.
    Dso,
    /// A prosumer that delivers.
    Prosumer(ProsumerId),
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
    /// Energy of the default schedule, frozen in the offer, mWh.
    pub baseline: EnergyMwh,
    /// Energy metered, mWh.
    pub metered: EnergyMwh,
    /// Quality of the metered energy.
    pub quality: Quality,
    /// Deviation credited: in the ordered direction, at most what was ordered, mWh.
    pub delivered: EnergyMwh,
    /// Movements of money, sum zero.
    pub postings: Vec<Posting>,
}

/// Why a slot cannot be settled from what was handed in.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SettlementError {
    /// Nothing was ordered there.
    #[error("contract {contract} orders nothing from FlexOffer {offer} in {slot}")]
    NotOrdered {
        /// Which contract.
        contract: ContractId,
        /// Which offer.
        offer: FlexOfferId,
        /// Which slot.
        slot: Slot,
    },
    /// Assignment and offer do not belong together.
    #[error("the assignment is for FlexOffer {assigned}, not for {offer}")]
    OtherOffer {
        /// The assignment's offer.
        assigned: FlexOfferId,
        /// The offer handed in.
        offer: FlexOfferId,
    },
    /// The reading is of another device or slot.
    #[error("the reading is of device {device} in {slot}, FlexOffer {offer} in {wanted} needs another one")]
    OtherReading {
        /// Device of the reading.
        device: DeviceId,
        /// Slot of the reading.
        slot: Slot,
        /// Which offer is settled.
        offer: FlexOfferId,
        /// Which slot is settled.
        wanted: Slot,
    },
}

/// Settles one offer under one contract in one slot; the postings sum to zero, zero amounts are left out.
pub fn settle(
    contract: &Contract,
    assignment: &Assignment,
    offer: &FlexOffer,
    slot: Slot,
    reading: &MeterReading,
    rules: &Rules,
) -> Result<SlotSettlement, SettlementError> {
    if assignment.offer != offer.id {
        return Err(SettlementError::OtherOffer {
            assigned: assignment.offer.clone(),
            offer: offer.id.clone(),
        });
    }
    if reading.device != offer.device || reading.slot != slot {
        let (device, offer) = (reading.device, offer.id.clone());
        return Err(SettlementError::OtherReading { device, slot: reading.slot, offer, wanted: slot });
    }
    let ordered = assignment.deviation.iter().find(|(at, _)| *at == slot).map_or(0, |(_, energy)| energy.0);
    if ordered == 0 {
        let (contract, offer) = (contract.id.clone(), offer.id.clone());
        return Err(SettlementError::NotOrdered { contract, offer, slot });
    }
    let baseline = offer.default_schedule.energy_in(slot);
    let measured = reading.quality == Quality::Measured;
    // Deviation along the ordered direction; negative when the device moved the other way.
    let along = reading.energy.0.saturating_sub(baseline.0).saturating_mul(ordered.signum());
    let magnitude = ordered.saturating_abs();
    let delivered = if measured { along.clamp(0, magnitude) } else { 0 };
    let shortfall = if measured { magnitude.saturating_sub(along).max(0) } else { 0 };
    let payment = EnergyMwh(delivered).cost(contract.prices.of(EnergyMwh(ordered)));
    let penalty = EnergyMwh(shortfall).cost(rules.penalty_per_kwh);
    let fee_per_mille = i128::from(rules.fee_per_mille.min(1000));
    let fee = i64::try_from(i128::from(payment.0) * fee_per_mille / 1000).unwrap_or(0);
    let due = payment.0.saturating_sub(penalty.0).clamp(-MONEY_MAX, MONEY_MAX);
    let postings =
        [(Account::Dso, -due), (Account::Prosumer(offer.prosumer), due - fee), (Account::MarketFee, fee)];
    Ok(SlotSettlement {
        contract: contract.id.clone(),
        offer: offer.id.clone(),
        slot,
        ordered: EnergyMwh(ordered),
        baseline,
        metered: reading.energy,
        quality: reading.quality,
        delivered: EnergyMwh(delivered * ordered.signum()),
        postings: postings
            .into_iter()
            .filter(|(_, amount)| *amount != 0)
            .map(|(account, amount)| Posting { account, amount: Money(amount) })
            .collect(),
    })
}

/// No settlement moves more, micro-units (a billion EUR).
const MONEY_MAX: i64 = 1_000_000_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bid::ZoneId;
    use crate::contract::AggregateId;
    use crate::flex_offer::{DeviationPrices, Schedule};
    use crate::sample::{energies, instant, offer, slot};
    use proptest::prelude::*;

    /// One slot ordered to take `ordered` less or more than `baseline`, at a price per kWh.
    fn settled(baseline: i64, ordered: i64, metered: i64, quality: Quality, rules: &Rules) -> SlotSettlement {
        let mut offer = offer("fo-1");
        offer.default_schedule.energies = energies(&[baseline, 0]);
        let prices = DeviationPrices { decrease: Money(7_000_000), increase: Money(7_000_000) };
        let schedule = Schedule { start: slot(0), energies: energies(&[baseline + ordered, 0]) };
        let deviation = vec![(slot(0), EnergyMwh(ordered))];
        let contract = Contract {
            id: ContractId::new("c-1").unwrap(),
            number: 1,
            aggregate: AggregateId::new("agg-1").unwrap(),
            bids: vec![],
            schedule: schedule.clone(),
            deviation: deviation.clone(),
            zone: ZoneId(1),
            prices,
            cost: Money(0),
            formed_at: instant(-120),
        };
        let assignment = Assignment { offer: offer.id.clone(), schedule, deviation };
        let reading = MeterReading {
            device: offer.device,
            slot: slot(0),
            energy: EnergyMwh(metered),
            quality,
            received_at: slot(0).end(),
        };
        settle(&contract, &assignment, &offer, slot(0), &reading, rules).unwrap()
    }

    fn amount(settlement: &SlotSettlement, account: Account) -> i64 {
        settlement.postings.iter().filter(|p| p.account == account).map(|p| p.amount.0).sum()
    }

    #[test]
    fn the_worked_example_of_usef_is_met() {
        let rules = Rules { fee_per_mille: 0, penalty_per_kwh: Money(11_000_000), ..Rules::default() };
        let kwh = 1_000_000;
        for (metered, due) in [(7, 14), (8, 14), (9, -4), (10, -22), (11, -33)] {
            let settlement = settled(10 * kwh, -2 * kwh, metered * kwh, Quality::Measured, &rules);
            assert_eq!(amount(&settlement, Account::Prosumer(ProsumerId(1))), due * 1_000_000, "{metered}");
        }
    }

    #[test]
    fn the_fee_comes_out_of_the_prosumers_side() {
        let settlement = settled(1_000_000, -1_000_000, 0, Quality::Measured, &Rules::default());
        assert_eq!(amount(&settlement, Account::Dso), -7_000_000);
        assert_eq!(amount(&settlement, Account::Prosumer(ProsumerId(1))), 6_860_000);
        assert_eq!(amount(&settlement, Account::MarketFee), 140_000);
    }

    #[test]
    fn more_consumption_is_settled_with_the_same_rule() {
        let settlement = settled(0, 1_000_000, 600_000, Quality::Measured, &Rules::default());
        assert_eq!(settlement.delivered, EnergyMwh(600_000));
        assert_eq!(amount(&settlement, Account::Dso), -(4_200_000 - 40_000));
    }

    #[test]
    fn a_substituted_reading_neither_earns_nor_owes() {
        let settlement = settled(1_000_000, -1_000_000, 0, Quality::Substituted, &Rules::default());
        assert_eq!((settlement.delivered, settlement.postings), (EnergyMwh(0), vec![]));
    }

    proptest! {
        #[test]
        fn money_in_equals_money_out(
            baseline in -10_000_000_i64..10_000_000,
            ordered in prop_oneof![-5_000_000_i64..0, 1_i64..5_000_000],
            metered in any::<i64>(),
            fee_per_mille in 0_u32..2_000,
        ) {
            let rules = Rules { fee_per_mille, ..Rules::default() };
            let settlement = settled(baseline, ordered, metered, Quality::Measured, &rules);
            prop_assert_eq!(settlement.postings.iter().map(|p| p.amount.0).sum::<i64>(), 0);
            prop_assert!(settlement.delivered.0 * ordered.signum() >= 0);
            prop_assert!(settlement.delivered.abs() <= EnergyMwh(ordered.abs()));
        }
    }
}
