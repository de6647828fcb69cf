//! What was delivered and what it earns: delivery = baseline − meter, money in = money out + fees.

use crate::contract::ContractId;
use crate::flex_offer::FlexOfferId;
use grid::{DeviceId, EnergyMwh, Money, ProsumerId, Quality, Slot, Timestamp};
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
