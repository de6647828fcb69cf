//! What a user of any connector holds.

use crate::exchange::{Closed, Counters, Inbox};
use crate::house::Message;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Messages a link takes before its `outbound` makes the sender wait.
pub(crate) const OUTBOUND_MAX: usize = 256;

/// Which end of the convention someone is. It decides what is listened to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The grid operator's side: hears telemetry, device reports and statuses; sends activations.
    System,
    /// The side of meters and devices: hears activations; sends the rest.
    Field,
}

impl Role {
    /// Whether this end listens to such a message.
    pub fn hears(self, message: &Message) -> bool {
        match message {
            Message::Activation(_) => self == Role::Field,
            Message::Telemetry(_) | Message::Device(_) | Message::Status(_) => self == Role::System,
        }
    }
}

/// How one connection of a [`Source`] ended.
pub(crate) enum End {
    /// Nobody reads any more.
    Unheard,
    /// Something went wrong.
    Lost(String),
}

impl From<Closed> for End {
    fn from(_: Closed) -> Self {
        End::Unheard
    }
}

/// The two parts of `host:port`; a port is never 0.
pub(crate) fn host_and_port(address: &str) -> Option<(&str, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port > 0)?;
    (!host.is_empty()).then_some((host, port))
}

/// A connector that only brings measurements: it polls or listens to somebody else's system. It ends when the inbox has
/// been dropped. While it cannot reach the other side it keeps trying, says so once, and reports its points as missing.
#[derive(Debug)]
pub struct Source {
    /// What people call it.
    pub name: String,
    /// What arrived.
    pub inbox: Inbox,
    /// What was received, refused and skipped.
    pub counters: Arc<Counters>,
}

/// One end of a connector. The connector ends when both parts have been dropped, after it has tried for a
/// few seconds to hand over what it still holds.
#[derive(Debug)]
pub struct Link {
    /// What to send; bounded, so a sender waits while the other side is away. Dropping it stops sending only.
    pub outbound: mpsc::Sender<Message>,
    /// What arrived. Dropping it stops listening only.
    pub inbox: Inbox,
    /// What was received, refused and skipped.
    pub counters: Arc<Counters>,
}
