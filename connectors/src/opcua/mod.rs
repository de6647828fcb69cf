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

mod client;
mod config;
mod decode;
mod identity;
mod newest;
mod point;
mod session;
mod tag;

pub use client::connect;
pub use config::{ConfigError, OpcUaConfig, Security, User};
pub use decode::{Reading, decode};
pub use identity::{Identity, IdentityError, pinned};
pub mod server;
pub use tag::{Tag, TagError};
