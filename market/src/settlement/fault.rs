//! Why a delivery cannot be settled.

use crate::contract::ContractId;
use crate::flex_offer::FlexOfferId;
use grid::Slot;
use thiserror::Error;

/// Why slots cannot be settled from what was handed in.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SettlementError {
    /// Nothing was ordered there, and nothing that was ordered can rebound there.
    #[error(
        "contract {contract} neither orders anything from FlexOffer {offer} in {slot} nor can it rebound there"
    )]
    NotOrdered {
        /// Which contract.
        contract: ContractId,
        /// Which offer.
        offer: FlexOfferId,
        /// Which slot.
        slot: Slot,
    },
    /// Deliveries of different contracts or slots were to be settled together.
    #[error("the deliveries of contract {contract} in {slot} are settled together, not with others")]
    NotTogether {
        /// Contract of the first delivery.
        contract: ContractId,
        /// Slot of the first delivery.
        slot: Slot,
    },
    /// A price in the contract that no clearing makes.
    #[error("contract {contract} has no price for {slot}")]
    NoPrice {
        /// Which contract.
        contract: ContractId,
        /// Which slot.
        slot: Slot,
    },
    /// An amount of money too large to be meant.
    #[error("FlexOffer {offer} in {slot} would move more than a billion units of the currency")]
    TooMuchMoney {
        /// Which offer.
        offer: FlexOfferId,
        /// Which slot.
        slot: Slot,
    },
}
