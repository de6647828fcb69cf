//! HTTP: the page, the snapshot and the stream behind it, the door for FlexOffers from outside, figures, and the quarantine.
//!
//! Handlers read the newest published picture and hand offers to an [`OfferDoor`]; they start nothing and know
//! no actor. There is no authentication and no TLS yet, so only loopback addresses are served.

mod api;
mod door;
mod metrics;
mod offers;
mod page;
mod problem;
mod quarantine;
mod serve;
mod stream;

pub use door::{OfferAnswer, OfferDoor, OfferFound, OfferState};
pub use serve::{Limits, RunningServer, ServeError, Served, serve, serve_with};
