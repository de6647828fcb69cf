//! The live system of one site: its file, checked as a whole, and the parts of the system started in order.
//!
//! * [`mod@file`]: `SITE.toml` as written, every fault with its line;
//! * [`mod@check`]: everything the file names read and put together, or all that is wrong with it;
//! * [`station`]: door, system and page of one site, for `gridflex serve` and for the demo;
//! * [`backup`]: a copy of a data directory, also of one in use;
//! * [`memory`]: how the memory a site may use is divided among what grows with what arrives;
//! * `archive`: what a forecast goes on from after a start;
//! * `sources`: what is read from others; `published`: what others see over OPC UA;
//! * [`running`]: the live system against the machine's clock.
//!
//! It knows no command line and nothing of a simulated plant.

mod archive;
pub mod backup;
pub mod check;
pub mod file;
mod market;
pub mod memory;
mod paged;
pub mod picture;
pub mod problem;
#[cfg(feature = "opcua")]
mod published;
#[cfg(not(feature = "opcua"))]
#[path = "unpublished.rs"]
mod published;
pub mod running;
mod sources;
pub mod station;
mod trades;

pub use check::{Site, check};
pub use picture::network_picture;
pub use problem::Problem;
pub use published::Published;
pub use running::{Running, SiteError};
pub use sources::Sources;
pub use station::{AccountFiles, Foundation, Kept, Listeners, Station, StationError};
