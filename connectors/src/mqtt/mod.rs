//! MQTT 3.1.1: a door that devices connect to, and a client for any other broker.
//!
//! QoS 1 both ways: a message arrives once or more, and in order as long as the connection holds. What a PUBACK
//! promises is said in `docs/mqtt.md`: for the system's end of both, that what matters to orders and money is durable.

mod client;
mod config;
pub mod door;
pub mod foreign;
mod held;
mod unacknowledged;

pub use client::connect;
pub use config::{ClientConfig, ConfigError, Credentials};
pub use door::{Door, DoorConfig, DoorError};
