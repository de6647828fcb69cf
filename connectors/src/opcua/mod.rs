//! OPC UA: servers that are listened to, and a server that shows what the system knows (`docs/opcua.md`).
//!
//! A [`connect`]ed server reports changes of monitored items; nothing is ever written to it. What it calls bad, what cannot
//! be read and what a lost connection leaves behind is told to be missing, once.
//!
//! * `config` says what is listened to and how it is protected, `tag` how a node is written in a point map;
//! * `identity` has our own certificate and those of others;
//! * `decode` turns what a server reports into numbers, quality and time;
//! * `point` decides what of it is told, `session` is one connection, `client` starts again;
//! * `server` publishes values, read only.

#[cfg(feature = "opcua")]
mod client;
#[cfg(feature = "opcua")]
mod config;
#[cfg(feature = "opcua")]
mod decode;
#[cfg(feature = "opcua")]
mod identity;
#[cfg(feature = "opcua")]
mod newest;
#[cfg(feature = "opcua")]
mod point;
mod security;
#[cfg(feature = "opcua")]
mod session;
#[cfg(feature = "opcua")]
mod tag;

#[cfg(feature = "opcua")]
pub use client::connect;
#[cfg(feature = "opcua")]
pub use config::{ConfigError, OpcUaConfig};
#[cfg(feature = "opcua")]
pub use decode::{Reading, decode};
#[cfg(feature = "opcua")]
pub use identity::{Identity, IdentityError, pinned};
#[cfg(feature = "opcua")]
pub mod server;
pub use security::{Policy, Security, User};
#[cfg(feature = "opcua")]
pub use tag::{Tag, TagError};
