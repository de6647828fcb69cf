//! HTTP: the page, the snapshot and the stream behind it, the door for FlexOffers from outside, what parties
//! deposit, figures, and the quarantine.
//!
//! Handlers read the newest published picture and hand offers to an [`MarketDoor`]; they start nothing and know
//! no actor. What there is to ask for stands in one table (`endpoints.rs`): routes, rights and the OpenAPI document are
//! made from it. An address that others can reach needs TLS and accounts (`listen.rs`).

mod answered;
mod api;
mod benchmarks;
mod bids;
mod bills;
mod certificate;
mod commits;
mod deposit;
mod door;
mod endpoints;
mod field;
mod fman;
mod fmar;
mod foa;
mod follow;
mod forecasts;
mod gate;
mod guard;
mod heartbeats;
mod history;
mod key_values;
mod kpis;
mod listen;
mod measured;
mod metrics;
mod offer_message;
mod offers;
mod oidc;
mod openapi;
mod owned;
mod page;
mod parties;
mod party;
mod places;
mod problem;
mod quarantine;
mod ready;
mod reported;
mod serve;
mod services;
mod session;
mod setup;
mod span;
mod stream;
mod supervision;
mod topology;
mod trading;
mod transfer;
mod validation;
mod weather;

pub use deposit::SharedRegister;
pub use door::{
    BidFound, BillKey, MarketDoor, NotBought, OFFERS_LOOKED_AT_MAX, OfferAnswer, OfferFound, OfferState,
    OffersAsked, OffersPage, Ordered, Trade, TradedSlot, TradesAsked, TradesPage,
};
pub use endpoints::{Answer, Content, ENDPOINTS, Endpoint};
pub use field::FieldDoor;
pub use guard::{Access, AccessError, Accounts};
pub use listen::{Listen, ServeError};
pub use oidc::{CALLBACK as OIDC_CALLBACK, OidcConfig};
pub use openapi::document as openapi;
pub use serve::{Limits, RunningServer, Served, serve, serve_with};
pub use services::Whose;
pub use session::Admitted;
pub use setup::SET_UP_WITHIN;
