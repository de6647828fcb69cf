//! The MQTT door from outside: what a foreign client meets, what an attacker can do, what is left after a restart.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)] // the whole crate is a test
#![allow(clippy::disallowed_methods)] // wall time is measured, and sockets are driven from plain threads

mod abuse;
mod durable;
mod peers;
mod protocol;
mod raw;
mod restart;
mod rights;
mod withdrawn;

use connectors::Area;
use connectors::mqtt::{Door, DoorConfig};
use grid::{Clock, Slot, Timestamp};
use std::net::SocketAddr;
use std::path::Path;

/// A clock that stands.
#[derive(Debug)]
pub struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Slot(1_965_170).start()
    }
}

/// The area of all tests.
pub fn area() -> Area {
    Area::new("demo").unwrap()
}

/// A door for anyone on a free loopback port.
pub fn open_door() -> Door {
    Door::open(config()).unwrap()
}

/// A free loopback port, for anyone.
pub fn config() -> DoorConfig {
    DoorConfig { listen: SocketAddr::from(([127, 0, 0, 1], 0)), ..DoorConfig::default() }
}

/// A door that keeps what is retained, where another may have stood before.
pub async fn open_door_at(listen: SocketAddr, state: &Path) -> Door {
    for _ in 0..100 {
        match Door::open(DoorConfig { listen, state: Some(state.to_owned()), ..DoorConfig::default() }) {
            Ok(door) => return door,
            // The port of the one before is not free yet.
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
        }
    }
    panic!("no door at {listen}");
}
