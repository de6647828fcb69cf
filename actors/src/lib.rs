//! The running system: actors around the synchronous rules of `estimation` and `market`, supervision, the journal
//! and the clock.
//!
//! Wire formats end in `connectors`; this crate speaks `grid` and `market` types only, except in the journal.

pub mod area;
pub mod beats;
pub mod door;
pub mod egress;
pub mod figures;
pub mod forecasts;
pub mod grid_side;
pub mod historian;
pub mod journal;
pub mod market_side;
pub mod observer;
pub mod picture;
pub mod refusals;
pub mod runtime;
pub mod stalls;
pub mod system;
mod weather;

pub use area::{Area, AreaError, Delegation, Device, DsoRules};
pub use door::OfferDoor;
pub use figures::Operations;
pub use forecasts::Forecasts;
pub use historian::Historian;
pub use refusals::Refusals;
pub use system::{Parts, System};
pub use weather::Weather;
