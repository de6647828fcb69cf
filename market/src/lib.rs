//! The rules of the flexibility market, on integers: FlexOffers, aggregation, DOMS bids, clearing, contracts,
//! baselines, settlement, and the ledger that folds market events into a state.
//!
//! Energy is in milliwatt hours, money in micro-units, both signed; positive energy is taken from the grid.
//! What is traded is the *deviation* from a FlexOffer's default schedule.
//!
//! This crate knows no actor, no runtime, no file, no clock reading, no wire format and no grid solver.

pub mod activation;
pub mod aggregation;
pub mod audit;
pub mod baseline;
pub mod bid;
mod bid_offer;
pub mod certificate;
pub mod clearing;
pub mod contract;
pub mod delegated;
pub mod device;
pub mod event;
pub mod flex_offer;
mod grid_rows;
pub mod ledger;
pub mod offering;
mod packed;
pub mod portfolio;
pub mod price_clearing;
mod proportional;
pub mod rules;
#[cfg(test)]
mod sample;
pub mod settlement;
pub mod step_curve;
pub mod transfer_price;
mod transport;

pub use activation::{Activation, ActivationId, ActivationStatus};
pub use aggregation::{
    Aggregation, AggregationError, DisaggregationError, ExclusiveGroup, LoneTerms, Removal, disaggregate,
};
pub use audit::{AuditReport, audit, audit_records, audit_telling, audit_without_clearings};
pub use baseline::{Baseline, BaselineError, BaselineMethod};
pub use bid::{
    BidId, BidInterval, Carried, CongestionPoint, DomsBid, GridRow, Need, NeedError, ZoneId, Zones,
};
pub use clearing::{
    Accepted, Book, ClearedAgain, Clearing, PriceOf, Refusal, Refused, RoundProof, RoundRecord, RowPrice,
    clear, clear_greedily,
};
pub use contract::{AggregateError, AggregateId, AggregatedFlexOffer, Assignment, Contract, ContractId};
pub use delegated::{BillError, DelegatedContract, Month, MonthlyBill};
pub use device::{DeviceReport, DeviceReportError, DeviceState};
pub use event::{MarketEvent, RecordNumber};
pub use flex_offer::{
    Acceptance, DeviationPrices, EnergyBounds, FlexOffer, FlexOfferError, FlexOfferFault, FlexOfferId,
    Schedule, Slice, Terms, TradingMode,
};
pub use ledger::{Applied, Ledger, LedgerError, OfferStatus, ToActivate, Totals};
pub use offering::{OfferRules, OfferState, is_agents_name, offer_for};
pub use rules::{AggregateRules, CLEARING_REVISION, RuleSet, Rules};
pub use settlement::{
    Account, Cites, Due, MeterReading, Posting, SettlementError, SettlementTerms, SlotPrice, SlotSettlement,
    settle, settle_together,
};
