//! MQTT 3.1.1 over TCP: a client for any broker, and an embedded broker for the loopback address.
//!
//! QoS 1 both ways: a message arrives once or more, and in order as long as the connection holds. The client's
//! PUBACK says that this process has the message, not that it is on disk.

mod broker;
mod client;
mod config;
mod held;

pub use broker::{Broker, BrokerConfig, BrokerError};
pub use client::connect;
pub use config::{ClientConfig, ConfigError, Credentials};
