//! The embedded broker: rumqttd on the loopback address, for the demo and for a first try with hand-made
//! messages.
//!
//! It has no access control and does not survive hostile clients (a handful of clients that connect and reset
//! end its accept loop), so only loopback addresses are accepted; anything else needs an external broker. It
//! keeps sessions and queued messages in memory. It runs in threads of its own, the only ones this crate
//! starts, and cannot be stopped: it ends with the process.

use crate::house::PAYLOAD_BYTES_MAX;
use rumqttd::{Config, ConnectionSettings, RouterConfig, ServerSettings};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::thread::JoinHandle;
use thiserror::Error;

/// Room for topic and headers beside the payload.
const PACKET_OVERHEAD_BYTES: usize = 1024;
/// What the broker keeps of each topic filter for slow readers: segments × bytes.
const SEGMENTS: usize = 8;
const SEGMENT_BYTES: usize = 2 * 1024 * 1024;

/// Settings of the embedded broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerConfig {
    /// Where it listens: a loopback address; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Most clients at a time.
    pub connections_max: usize,
}

impl Default for BrokerConfig {
    /// `127.0.0.1:1883`, 256 clients.
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 1883)), connections_max: 256 }
    }
}

/// Why the broker was not started.
#[derive(Debug, Error)]
pub enum BrokerError {
    /// It would be open to others.
    #[error(
        "the embedded broker has no access control and listens on loopback addresses only, not on {address}; use an external broker there"
    )]
    NotLoopback {
        /// As given.
        address: SocketAddr,
    },
    /// The port is taken or not ours to take.
    #[error("the embedded broker cannot listen on {address}: {source}")]
    Listen {
        /// As given.
        address: SocketAddr,
        /// What the operating system says.
        source: io::Error,
    },
    /// No thread.
    #[error("the embedded broker cannot start its thread: {0}")]
    Thread(#[source] io::Error),
}

/// A started broker. Dropping it leaves the broker running.
#[derive(Debug)]
pub struct Broker {
    address: SocketAddr,
    thread: JoinHandle<()>,
}

impl Broker {
    /// Starts the broker. It accepts clients some milliseconds later; clients of ours retry anyway.
    ///
    /// # Errors
    /// [`BrokerError`]; the address is tried before anything is started.
    pub fn start(config: &BrokerConfig) -> Result<Self, BrokerError> {
        if !config.listen.ip().is_loopback() {
            return Err(BrokerError::NotLoopback { address: config.listen });
        }
        // rumqttd only logs that its port is taken, so ask first.
        let address = TcpListener::bind(config.listen)
            .and_then(|listener| listener.local_addr())
            .map_err(|source| BrokerError::Listen { address: config.listen, source })?;
        let mut broker = rumqttd::Broker::new(settings(address, config.connections_max));
        let serve = move || {
            if let Err(error) = broker.start() {
                tracing::error!(%error, %address, "embedded broker ended");
            }
        };
        let thread = std::thread::Builder::new().name("mqtt-broker".into()).spawn(serve);
        Ok(Self { address, thread: thread.map_err(BrokerError::Thread)? })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether its listener still lives.
    pub fn is_running(&self) -> bool {
        !self.thread.is_finished()
    }
}

fn settings(listen: SocketAddr, connections_max: usize) -> Config {
    let connections = ConnectionSettings {
        connection_timeout_ms: 5_000,
        max_payload_size: PAYLOAD_BYTES_MAX + PACKET_OVERHEAD_BYTES,
        max_inflight_count: 100,
        auth: None,
        external_auth: None,
        // A filter per topic would cost memory that is never freed; the one filter below takes them all.
        dynamic_filters: false,
    };
    let server = ServerSettings {
        name: "mqtt-listener".into(),
        listen,
        tls: None,
        next_connection_delay_ms: 1,
        connections,
    };
    let router = RouterConfig {
        max_connections: connections_max,
        max_outgoing_packet_count: 200,
        max_segment_size: SEGMENT_BYTES,
        max_segment_count: SEGMENTS,
        initialized_filters: Some(vec!["gridflex/#".into()]),
        ..RouterConfig::default()
    };
    let v4 = Some(std::iter::once(("v4".into(), server)).collect());
    Config { router, v4, ..Config::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_open_to_others_is_refused() {
        let listen = SocketAddr::from(([0, 0, 0, 0], 0));
        let error = Broker::start(&BrokerConfig { listen, ..BrokerConfig::default() }).unwrap_err();
        assert!(error.to_string().contains("0.0.0.0:0"), "{error}");
    }

    #[test]
    fn a_port_in_use_is_named_before_anything_starts() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let listen = taken.local_addr().unwrap();
        let error = Broker::start(&BrokerConfig { listen, ..BrokerConfig::default() }).unwrap_err();
        assert!(error.to_string().contains(&listen.to_string()), "{error}");
        assert!(matches!(error, BrokerError::Listen { .. }));
    }
}
