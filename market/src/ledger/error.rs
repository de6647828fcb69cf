//! Why a fact cannot follow.

use crate::activation::ActivationId;
use crate::bid::NeedError;
use crate::contract::{AggregateError, AggregateId, ContractId};
use crate::delegated::Month;
use crate::event::RecordNumber;
use crate::flex_offer::{ExclusiveGroupId, FlexOfferError, FlexOfferId};
use grid::{DeviceId, EnergyMwh, ProsumerId, Slot, Timestamp};
use thiserror::Error;

/// Why an event was refused; the ledger is unchanged.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LedgerError {
    /// The offer or a schedule for it breaks a rule.
    #[error(transparent)]
    Offer(#[from] FlexOfferError),
    /// The aggregate or a schedule for it breaks a rule.
    #[error(transparent)]
    Aggregate(#[from] AggregateError),
    /// The need breaks a rule.
    #[error(transparent)]
    Need(#[from] NeedError),
    /// Something else is known under this name.
    #[error("{what} {id} is known with other contents")]
    Conflict {
        /// Kind of thing.
        what: &'static str,
        /// Its name.
        id: String,
    },
    /// Nothing is known under this name.
    #[error("{what} {id} is not known")]
    Unknown {
        /// Kind of thing.
        what: &'static str,
        /// Its name.
        id: String,
    },
    /// The offer is not open any more.
    #[error("FlexOffer {offer} is not open any more")]
    NotOpen {
        /// Which.
        offer: FlexOfferId,
    },
    /// The offer is part of another aggregate.
    #[error("FlexOffer {offer} is part of aggregated FlexOffer {aggregate}")]
    InAggregate {
        /// Which.
        offer: FlexOfferId,
        /// The aggregate it is in.
        aggregate: AggregateId,
    },
    /// Another offer of the same exclusive group was bought.
    #[error("FlexOffer {offer} is in exclusive group {group}, of which another offer was bought")]
    GroupSold {
        /// Which.
        offer: FlexOfferId,
        /// Its group.
        group: ExclusiveGroupId,
    },
    /// A deadline has passed.
    #[error("{what} came at {at}, the deadline was {deadline}")]
    TooLate {
        /// What.
        what: &'static str,
        /// When it came.
        at: Timestamp,
        /// When it had to come.
        deadline: Timestamp,
    },
    /// It came before it could be true.
    #[error("{what} came at {at}, it cannot be before {earliest}")]
    TooEarly {
        /// What.
        what: &'static str,
        /// When it came.
        at: Timestamp,
        /// When it can come.
        earliest: Timestamp,
    },
    /// The aggregate is not the sum of its members.
    #[error("aggregated FlexOffer {aggregate} is not the sum of its members")]
    NotTheSum {
        /// Which.
        aggregate: AggregateId,
    },
    /// The need does not know the newest contract and would buy twice.
    #[error("the need has seen {seen} contracts, there are {contracts}")]
    StaleNeed {
        /// Contracts the need knew.
        seen: u64,
        /// Contracts there are.
        contracts: u64,
    },
    /// Contracts are numbered without gaps.
    #[error("contract {contract} has number {number}, the next number is {next}")]
    ContractNumber {
        /// Which.
        contract: ContractId,
        /// As given.
        number: u64,
        /// As needed.
        next: u64,
    },
    /// A clearing that bought without a certificate.
    #[error("the clearing at {at} bought without a certificate that holds")]
    NotCertified {
        /// When.
        at: Timestamp,
    },
    /// The contract comes from no recorded clearing, or is one more than it bought.
    #[error("contract {contract} is no purchase of the newest clearing")]
    NotCleared {
        /// Which.
        contract: ContractId,
    },
    /// The contract contradicts what was bought.
    #[error("contract {contract} has another {what} than aggregated FlexOffer {aggregate} gives it")]
    ContractContents {
        /// Which.
        contract: ContractId,
        /// What was bought.
        aggregate: AggregateId,
        /// What differs.
        what: &'static str,
    },
    /// The assignments do not make up the contract.
    #[error("the assignments of contract {contract} are refused: {what}")]
    AssignmentContents {
        /// Which.
        contract: ContractId,
        /// What is wrong.
        what: &'static str,
    },
    /// The activation contradicts the assignment.
    #[error("activation {activation} has another {what} than was assigned")]
    ActivationContents {
        /// Which.
        activation: ActivationId,
        /// What differs.
        what: &'static str,
    },
    /// The offer has an activation already.
    #[error("FlexOffer {offer} was activated by {first}, {second} would be the second")]
    ActivatedTwice {
        /// Which offer.
        offer: FlexOfferId,
        /// The first activation.
        first: ActivationId,
        /// The one refused.
        second: ActivationId,
    },
    /// An energy too large to be meant.
    #[error("device {device} reads {} mWh, magnitudes up to 1e15 mWh are allowed", .energy.0)]
    ReadingTooLarge {
        /// Which device.
        device: DeviceId,
        /// As given.
        energy: EnergyMwh,
    },
    /// Another value was read before.
    #[error("device {device} has another reading for {slot}")]
    ReadingTwice {
        /// Which device.
        device: DeviceId,
        /// Which slot.
        slot: Slot,
    },
    /// The baseline contradicts what was ordered, or comes when the device was told already.
    #[error("the baseline of FlexOffer {offer} under contract {contract} is refused: {what}")]
    BaselineContents {
        /// Which contract.
        contract: ContractId,
        /// Which offer.
        offer: FlexOfferId,
        /// What is wrong.
        what: &'static str,
    },
    /// The bill or its contract contradicts what is known.
    #[error("the bill or contract of prosumer {prosumer} for {month} is refused: {what}")]
    BillContents {
        /// Whose.
        prosumer: ProsumerId,
        /// Of when.
        month: Month,
        /// What is wrong.
        what: &'static str,
    },
    /// Records are numbered upward.
    #[error("record {} does not follow record {}", .record.0, .newest.0)]
    RecordOrder {
        /// As given.
        record: RecordNumber,
        /// The newest there is.
        newest: RecordNumber,
    },
    /// The settlement contradicts what was ordered or read.
    #[error("the settlement of FlexOffer {offer} under contract {contract} in {slot} is refused: {what}")]
    SettlementContents {
        /// Which contract.
        contract: ContractId,
        /// Which offer.
        offer: FlexOfferId,
        /// Which slot.
        slot: Slot,
        /// What is wrong.
        what: &'static str,
    },
}

impl LedgerError {
    /// A code that stays the same over versions, for machines.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Offer(error) => error.code(),
            Self::Aggregate(error) => error.fault.code(),
            Self::Need(_) => "need-malformed",
            Self::Conflict { .. } => "conflict",
            Self::Unknown { .. } => "unknown",
            Self::NotOpen { .. } => "not-open",
            Self::InAggregate { .. } => "in-aggregate",
            Self::GroupSold { .. } => "group-sold",
            Self::TooLate { .. } => "too-late",
            Self::TooEarly { .. } => "too-early",
            Self::NotTheSum { .. } => "not-the-sum",
            Self::StaleNeed { .. } => "stale-need",
            Self::ContractNumber { .. } => "contract-number",
            Self::NotCertified { .. } => "not-certified",
            Self::NotCleared { .. } => "not-cleared",
            Self::ContractContents { .. } => "contract-contents",
            Self::AssignmentContents { .. } => "assignment-contents",
            Self::ActivationContents { .. } => "activation-contents",
            Self::ActivatedTwice { .. } => "activated-twice",
            Self::ReadingTooLarge { .. } => "energy-too-large",
            Self::ReadingTwice { .. } => "reading-twice",
            Self::BaselineContents { .. } => "baseline-contents",
            Self::BillContents { .. } => "bill-contents",
            Self::RecordOrder { .. } => "record-order",
            Self::SettlementContents { .. } => "settlement-contents",
        }
    }
}
