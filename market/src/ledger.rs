//! The state of a market area: what all events together say. Starting up is folding the journal; there is no
//! other way to come by a ledger.
//!
//! [`Ledger::apply`] refuses a fact that cannot follow from the facts before it. A fact that is known already is
//! recognised and changes nothing, so a journal may be read twice over and a message be delivered twice.

mod apply;
mod ascending;
mod asked;
mod billing;
mod changing;
#[cfg(test)]
mod changing_tests;
mod error;
mod indexed;
#[cfg(test)]
mod owed_tests;
mod per_device;
#[cfg(test)]
mod phase_tests;
mod queries;
mod settling;
mod shelf;
mod taking;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod waiting_tests;
mod written;

pub use error::LedgerError;
pub use queries::{ToActivate, Totals};

use crate::activation::{Activation, ActivationId, ActivationStatus};
use crate::aggregation::ExclusiveGroup;
use crate::baseline::Baseline;
use crate::bid::{BidId, DomsBid, Need};
use crate::clearing::RoundRecord;
use crate::contract::{AggregateId, AggregatedFlexOffer, Assignment, Contract, ContractId};
use crate::delegated::{DelegatedContract, Month, MonthlyBill};
use crate::event::RecordNumber;
use crate::flex_offer::{FlexOffer, FlexOfferId};
use crate::settlement::{Account, MeterReading, SlotSettlement};
use ascending::Ascending;
use asked::Asked;
use grid::{DeviceId, EnergyMwh, Money, ProsumerId, Slot, Timestamp, UsagePointId};
use indexed::{Offers, Orders};
use per_device::PerDevice;
use settling::Valued;
use shelf::{Filed, Place, Shelf};
use std::collections::{BTreeMap, BTreeSet};

/// What an event did to a ledger that did not refuse it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// It was news.
    New,
    /// It was known already; nothing changed, and it need not be recorded again.
    Known,
}

/// Where an accepted offer stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OfferStatus {
    /// It may be assigned.
    Open,
    /// Its aggregate was bought; the assignment follows.
    Contracted,
    /// It has a schedule.
    Assigned {
        /// End of the later one of schedule and default schedule: until then its device is taken.
        until: Timestamp,
    },
    /// Its owner took it back.
    Withdrawn,
    /// Its assignment deadline passed; the default schedule runs.
    Expired,
}

impl OfferStatus {
    /// Whether an offer that stands so keeps its device from being offered again at an instant.
    pub fn binds(self, now: Timestamp) -> bool {
        match self {
            Self::Open | Self::Contracted => true,
            Self::Assigned { until } => until > now,
            Self::Withdrawn | Self::Expired => false,
        }
    }
}

#[derive(Debug, Clone)]
struct OfferRecord {
    offer: FlexOffer,
    status: OfferStatus,
    aggregate: Option<AggregateId>,
    activation: Option<ActivationId>,
    /// Under which it was bought: an offer is bought once.
    contract: Option<ContractId>,
    /// Which of the contract's assignments is its own.
    part: u32,
    /// Relief credited minus relief taken back, mWh.
    relief: i64,
    /// In which it came to say what it says: its acceptance or its newest change.
    record: RecordNumber,
}

#[derive(Debug, Clone)]
struct ContractRecord {
    contract: Contract,
    assignments: Option<Vec<Assignment>>,
    formed: RecordNumber,
    assigned: RecordNumber,
}

#[derive(Debug, Clone)]
struct ActivationRecord {
    activation: Activation,
    answer: Option<Answered>,
    /// In which it was given; zero after a snapshot, all of which is durable.
    issued: RecordNumber,
}

/// A device's answer as it was recorded.
#[derive(Debug, Clone)]
struct Answered {
    status: ActivationStatus,
    /// When it was recorded, by the system's clock; what a device says of the time is its own affair.
    at: Timestamp,
    record: RecordNumber,
}

/// A slot of an assignment: slot first, so that the oldest comes first.
type OrderKey = (Slot, ContractId, FlexOfferId);

/// The fold of all market events. It can be packed and unpacked as it is (a snapshot); its form belongs to the
/// program's version, so whoever writes it down keeps the events, too. Two are equal when they are packed alike.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    offers: Offers,
    /// What changed offers said before, and by which record: who asks by an earlier one is told this.
    replaced: BTreeMap<FlexOfferId, (FlexOffer, RecordNumber)>,
    /// Exclusive groups of which an offer was bought.
    groups_sold: BTreeSet<ExclusiveGroup>,
    /// Offers that bind each device, or did when the newest of them came.
    binding: BTreeMap<DeviceId, Vec<Place>>,
    /// Newest offer of each device, and how many it made.
    by_device: BTreeMap<DeviceId, (FlexOfferId, u32)>,
    open_offers: BTreeSet<FlexOfferId>,
    aggregates: Shelf<AggregatedFlexOffer>,
    /// Sealed, not bought.
    unsold: BTreeSet<AggregateId>,
    need: Option<Need>,
    asked: Asked,
    /// Every bid there ever was.
    bids: BTreeMap<BidId, DomsBid>,
    /// The contracts that serve each bid, oldest first.
    bought: BTreeMap<BidId, Vec<ContractId>>,
    /// The newest clearing, and how many of its purchases became contracts.
    round: Option<(RoundRecord, u64)>,
    contracts: Shelf<ContractRecord>,
    unassigned: BTreeSet<ContractId>,
    activations: Orders,
    /// Offers that have a part and no order, by prosumer: each asks for its own each minute.
    unactivated: BTreeSet<(ProsumerId, Place)>,
    /// Orders by prosumer and the end of the schedule: one that was never answered is past some day.
    unanswered: BTreeSet<(ProsumerId, Slot, Place)>,
    /// Slot first: what is ordered together lies together.
    planned: BTreeMap<(Slot, UsagePointId), EnergyMwh>,
    contracted: PerDevice<Slot, EnergyMwh>,
    /// Only those that are not the declared schedule.
    baselines: BTreeMap<(ContractId, FlexOfferId), (Baseline, RecordNumber)>,
    /// Slot first: what comes in together lies together.
    readings: Filed<(Slot, DeviceId), (MeterReading, RecordNumber)>,
    /// What is not settled: each slot of a part by the reading that it waits for.
    awaited: BTreeSet<(Slot, DeviceId, Place)>,
    settled: Ascending<SlotSettlement>,
    balances: BTreeMap<Account, Money>,
    delegations: BTreeMap<ProsumerId, BTreeMap<Month, (DelegatedContract, RecordNumber)>>,
    bills: BTreeMap<(ProsumerId, Month), (MonthlyBill, RecordNumber)>,
    totals: Totals,
    newest_record: RecordNumber,
    /// What the deliveries settled last come to, while nothing else was recorded since.
    valued: Valued,
}
