//! Brokers of others that are listened to: topics and payloads as they are there ([docs/broker.md](../../../docs/broker.md)).
//!
//! A point map says which topic is which point, and where in a JSON payload its value stands. It subscribes to those topics and
//! publishes nothing. Values come with quality of service 1; what was published while the connection was away is not asked for.

mod client;
mod config;
mod decode;
mod tag;
mod tls;

pub use client::connect;
pub use config::{BrokerConfig, BrokerTls, ConfigError};
pub use tag::{Tag, TagError};
