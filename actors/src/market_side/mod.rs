//! From the need to the money: matcher, aggregator, FlexOffer Agents, metering, settlement and billing.

pub mod aggregator;
pub mod billing;
mod changing;
#[cfg(test)]
#[allow(dead_code)] // other tests use all of it
#[path = "../../tests/receipts/evening.rs"]
mod evening;
pub mod foa;
mod freezing;
pub mod matcher;
pub mod metering;
mod orders_underway;
pub mod settlement;
mod suspending;
mod withdrawing;

pub use aggregator::{Aggregator, AggregatorMsg, AnswerTo, OfferAnswer, Submission, Withdrawal};
pub use billing::{Billing, BillingMsg};
pub use changing::{BEING_RECORDED, OLD_REVISION, OTHER_OWNER};
pub use foa::{Foa, FoaMsg};
pub use matcher::{Matcher, MatcherMsg};
pub use metering::{Metering, MeteringMsg};
pub use settlement::{SettlementMsg, SettlementStage};
pub use withdrawing::{BUNDLED, NOT_OPEN};
