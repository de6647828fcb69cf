//! What the door did, as numbers that only grow.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counts {
    ($($(#[$doc:meta])* $variant:ident => $word:literal,)*) => {
        /// What is counted at the door.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Count { $($(#[$doc])* $variant,)* }

        impl Count {
            /// All of them, in the order of their words' table in `docs/mqtt.md`.
            pub const ALL: &[Count] = &[$(Count::$variant,)*];

            /// The word it is shown under.
            pub fn as_str(self) -> &'static str {
                match self { $(Count::$variant => $word,)* }
            }
        }
    };
}

counts! {
    /// Clients that got in.
    Connected => "connected",
    /// Connections turned away because the peer, or all together, had too many or came too fast.
    TurnedAway => "turned_away",
    /// Connections cut for a newer one before they had said who they are.
    GaveWay => "gave_way",
    /// Connections that did not say in time who they are, TLS included.
    Late => "late",
    /// Connections whose TLS handshake failed.
    TlsFailed => "tls_failed",
    /// Bytes that are no MQTT 3.1.1, or a packet that must not come now.
    Malformed => "malformed",
    /// Packets above the limit.
    TooLarge => "too_large",
    /// Refused names and passwords.
    NotAuthorized => "not_authorized",
    /// Names and passwords that were not looked at after too many wrong ones.
    Guessing => "guessing",
    /// Publications and wills outside the client's rights; each ends a connection.
    PublishDenied => "publish_denied",
    /// Filters refused in the answer to a subscription.
    SubscribeDenied => "subscribe_denied",
    /// Connections ended because the same client id connected again.
    TakenOver => "taken_over",
    /// Clients that fell silent for longer than they had announced.
    Silent => "silent",
    /// Clients that did not finish a packet, or did not take what was sent to them.
    Stalled => "stalled",
    /// Messages received.
    Received => "received",
    /// Messages handed to subscribers.
    Delivered => "delivered",
    /// Messages that gave way in the queue of a subscriber who does not keep up.
    Dropped => "dropped",
    /// Wills that did not reach the system because it had no room for them.
    WillLost => "will_lost",
    /// Messages passed on but not retained, because there is no room for more.
    NotRetained => "not_retained",
    /// Messages not acknowledged because what they cause could not be made durable.
    NotDurable => "not_durable",
    /// Messages acknowledged although they failed twice, so that they do not come for ever.
    GivenUp => "given_up",
    /// Times that changed files of rights, certificates or revocations were taken over.
    Renewed => "renewed",
    /// Times that they could not be, so that what was last good went on.
    NotRenewed => "not_renewed",
    /// Clients that were cut off, and sessions of absent ones that were narrowed or given up, by such a change.
    Withdrawn => "withdrawn",
    /// Sessions of absent clients that gave way to others or grew too old.
    SessionsForgotten => "sessions_forgotten",
}

/// Counts of one door.
#[derive(Debug, Default)]
pub struct DoorCounters([AtomicU64; Count::ALL.len()]);

impl DoorCounters {
    pub(super) fn add(&self, count: Count) {
        self.0[count as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// One of them.
    pub fn get(&self, count: Count) -> u64 {
        self.0[count as usize].load(Ordering::Relaxed)
    }

    /// All that are not zero, by word.
    pub fn snapshot(&self) -> BTreeMap<&'static str, u64> {
        let all = Count::ALL.iter().map(|count| (count.as_str(), self.get(*count)));
        all.filter(|(_, n)| *n > 0).collect()
    }
}
