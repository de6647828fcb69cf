//! The facts that move money or devices. Each is journaled and synced before it takes effect; folding them in
//! order is the only way a state comes to be.

use crate::activation::{Activation, ActivationStatus};
use crate::baseline::Baseline;
use crate::bid::Need;
use crate::clearing::{RoundProof, RoundRecord};
use crate::contract::{AggregatedFlexOffer, Assignment, Contract, ContractId};
use crate::delegated::{DelegatedContract, Month, MonthlyBill};
use crate::flex_offer::{FlexOffer, FlexOfferId};
use crate::settlement::{MeterReading, SlotSettlement};
use grid::{ProsumerId, Timestamp};
use serde::{Deserialize, Serialize};

/// The number of a record in the journal, counted from 1: what a posting cites.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RecordNumber(pub u64);

/// One fact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case", deny_unknown_fields)]
pub enum MarketEvent {
    /// An offer is valid and may be assigned from now on.
    OfferAccepted {
        /// The offer.
        offer: FlexOffer,
        /// When.
        at: Timestamp,
    },
    /// An offer that was not bought says something else from now on: its revision is higher.
    OfferChanged {
        /// The whole offer as it is now.
        offer: FlexOffer,
        /// When.
        at: Timestamp,
    },
    /// An offer was taken back by its owner before it was assigned.
    OfferWithdrawn {
        /// Which.
        offer: FlexOfferId,
        /// When.
        at: Timestamp,
    },
    /// An offer's assignment deadline passed without a contract; its default schedule runs.
    OfferExpired {
        /// Which.
        offer: FlexOfferId,
        /// When.
        at: Timestamp,
    },
    /// Offers were sealed into an aggregate and placed on the market.
    AggregateFormed {
        /// The aggregate with its members.
        aggregate: AggregatedFlexOffer,
        /// When.
        at: Timestamp,
    },
    /// The DSO asked.
    NeedPlaced {
        /// For what.
        need: Need,
        /// When.
        at: Timestamp,
    },
    /// The market was cleared; what it bought follows. Written before a clearing could be made again from the journal.
    Cleared {
        /// What came out.
        round: RoundRecord,
    },
    /// The market was cleared; what it bought follows.
    RoundCleared {
        /// What came out.
        round: RoundRecord,
        /// How, so that it can be cleared again.
        proof: RoundProof,
    },
    /// DSO and aggregator agreed.
    ContractFormed {
        /// On what.
        contract: Contract,
    },
    /// A contract was split among the members of its aggregate.
    Assigned {
        /// Which contract.
        contract: ContractId,
        /// Each member's part.
        assignments: Vec<Assignment>,
        /// When.
        at: Timestamp,
    },
    /// What a device would take without its order, by another method than its own declaration. Comes before the
    /// device is told, or never.
    BaselineFrozen {
        /// Under which contract.
        contract: ContractId,
        /// Whose.
        offer: FlexOfferId,
        /// As it will be settled with.
        baseline: Baseline,
        /// When.
        at: Timestamp,
    },
    /// A device is about to be told.
    ActivationIssued {
        /// What.
        activation: Activation,
        /// When.
        at: Timestamp,
    },
    /// A device answered.
    ActivationAnswered {
        /// What.
        status: ActivationStatus,
        /// When it was received.
        at: Timestamp,
    },
    /// A settlement meter was read (or its value substituted).
    MeterRead {
        /// What it said.
        reading: MeterReading,
    },
    /// Aggregator and prosumer agreed on rewards for delegated trading; replaces an earlier contract from that month on.
    DelegationAgreed {
        /// Whose.
        prosumer: ProsumerId,
        /// The first month.
        from: Month,
        /// On what.
        contract: DelegatedContract,
        /// When; not after the first month began.
        at: Timestamp,
    },
    /// A month of delegated trading was added up and paid.
    BillIssued {
        /// How.
        bill: MonthlyBill,
        /// When.
        at: Timestamp,
    },
    /// Delivery was valued and money moved.
    Settled {
        /// How.
        settlement: SlotSettlement,
        /// When.
        at: Timestamp,
    },
}
