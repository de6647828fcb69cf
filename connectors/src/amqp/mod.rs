//! AMQP 0.9.1 as a client of a broker: requests come from one queue, replies go to the queue that each request names.
//!
//! ```text
//!   queue ─► deliver ─► read ─► services ─► reply, confirmed by the broker ─► acknowledge
//! ```
//!
//! * `wire`: the bytes, pure functions; `session`: the protocol without a socket;
//! * `request`: the JSON of requests and replies; `client`: the connection, and that it comes back.
//!
//! A request is acknowledged when its reply is at the broker, which is after what it causes lasts. Whatever breaks before, the
//! request comes again, and answering it again changes nothing.

mod client;
mod config;
mod request;
mod session;
mod wire;

pub use crate::tls_client::TlsFiles;
pub use client::{Answering, Services, Waiting, open};
pub use config::{AmqpConfig, ConfigError};
pub use request::{Answer, Request};
