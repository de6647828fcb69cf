//! How the door is set up, and why it was not opened.

use super::policy::Policy;
use super::tls::TlsFiles;
use crate::exchange::Limits as InboxLimits;
use crate::house::PAYLOAD_BYTES_MAX;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use thiserror::Error;

/// Settings of the door.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DoorConfig {
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// TLS 1.3 instead of plain TCP.
    pub tls: Option<TlsFiles>,
    /// Who may do what.
    pub policy: Policy,
    /// The file `policy` was read from: it is read again whenever it changes, as those of `tls` are.
    pub rights: Option<PathBuf>,
    /// What one client, and all together, may use.
    pub limits: Limits,
    /// Where retained messages are kept over a restart; without it they are kept in memory.
    pub state: Option<PathBuf>,
}

impl Default for DoorConfig {
    /// `127.0.0.1:1883`, plain, for anyone, nothing on the disk.
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 1883)),
            tls: None,
            policy: Policy::open(),
            rights: None,
            limits: Limits::default(),
            state: None,
        }
    }
}

/// Limits; each is a bound of memory or of waiting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Time for TLS and CONNECT together.
    pub connect_within: Duration,
    /// Time for the rest of a packet that has begun, and for taking what is written.
    pub packet_within: Duration,
    /// Silence after which a client is cut that announced no keep-alive.
    pub idle_max: Duration,
    /// Connections at a time.
    pub connections_max: usize,
    /// Connections that have not said yet who they are; the oldest gives way to a new one.
    pub handshakes_max: usize,
    /// Connections at a time from one address.
    pub connections_per_peer_max: usize,
    /// New connections a second from one address; twice as many at once.
    pub connects_per_second: u32,
    /// Largest packet, bytes.
    pub packet_bytes_max: usize,
    /// Messages of one client under way to the system, unacknowledged; then its reading pauses.
    pub inflight_max: usize,
    /// Packets a second of one client; then its reading pauses.
    pub packets_per_second: u32,
    /// Messages on their way to one client, unacknowledged.
    pub window: usize,
    /// Messages waiting for one client, and their bytes; then the oldest gives way.
    pub queue_messages_max: usize,
    /// See `queue_messages_max`.
    pub queue_bytes_max: usize,
    /// Bytes waiting for all clients together; beyond it nothing more waits for those who are away.
    pub all_queues_bytes_max: usize,
    /// Sessions of one identity, away or not: it may have many client ids.
    pub sessions_per_identity_max: usize,
    /// Filters of one client.
    pub filters_max: usize,
    /// Sessions kept of clients that are away.
    pub absent_max: usize,
    /// How long they are kept.
    pub absent_for: Duration,
    /// Retained messages.
    pub retained_max: usize,
    /// Bytes of retained messages.
    pub retained_bytes_max: usize,
    /// How much of what clients sent may wait for the system.
    pub inbox: InboxLimits,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect_within: Duration::from_secs(5),
            packet_within: Duration::from_secs(20),
            idle_max: Duration::from_secs(30 * 60),
            connections_max: 20_000,
            handshakes_max: 2_000,
            connections_per_peer_max: 20_000,
            connects_per_second: 10_000,
            packet_bytes_max: PAYLOAD_BYTES_MAX + 1024,
            inflight_max: 256,
            packets_per_second: 50_000,
            window: 100,
            queue_messages_max: 20_000,
            queue_bytes_max: 16 << 20,
            all_queues_bytes_max: 256 << 20,
            sessions_per_identity_max: 100,
            filters_max: 1_000,
            absent_max: 10_000,
            absent_for: Duration::from_secs(24 * 3600),
            retained_max: 10_000,
            retained_bytes_max: 16 << 20,
            inbox: InboxLimits::default(),
        }
    }
}

/// Why the door was not opened.
#[derive(Debug, Error)]
pub enum DoorError {
    /// It would be open to others without protection.
    #[error(
        "the MQTT door would listen on {address}, open to others, without {missing}; give it both TLS and rights of clients, or a loopback address"
    )]
    Unprotected {
        /// As given.
        address: SocketAddr,
        /// `TLS`, `rights of clients` or both.
        missing: &'static str,
    },
    /// The port is taken or not ours to take.
    #[error("the MQTT door cannot listen on {address}: {source}")]
    Listen {
        /// As given.
        address: SocketAddr,
        /// What the operating system says.
        source: io::Error,
    },
    /// A certificate or key cannot be used.
    #[error("the MQTT door's TLS: {path}: {reason}")]
    Tls {
        /// Which file.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// The retained messages cannot be read or written.
    #[error("the MQTT door's retained messages: {path}: {source}")]
    State {
        /// Which file.
        path: String,
        /// What the operating system says.
        source: io::Error,
    },
    /// No thread.
    #[error("the MQTT door cannot start its threads: {0}")]
    Thread(#[source] io::Error),
}

impl DoorConfig {
    /// Checks what can be checked without opening: whether it may be opened where it is to listen, and whether the
    /// files of its TLS can be used.
    ///
    /// # Errors
    /// [`DoorError::Unprotected`] or [`DoorError::Tls`].
    pub fn check(&self) -> Result<(), DoorError> {
        self.is_protected()?;
        self.tls.as_ref().map(super::tls::server).transpose().map(drop)
    }

    pub(super) fn is_protected(&self) -> Result<(), DoorError> {
        let missing = match (self.tls.is_some(), !self.policy.is_open()) {
            _ if self.listen.ip().is_loopback() => return Ok(()),
            (true, true) => return Ok(()),
            (false, true) => "TLS",
            (true, false) => "rights of clients",
            (false, false) => "TLS and rights of clients",
        };
        Err(DoorError::Unprotected { address: self.listen, missing })
    }
}
