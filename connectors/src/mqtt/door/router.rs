//! The middle of the door: sessions, subscriptions, retained messages. One lock, never held while waiting.

use super::config::Limits;
use super::counters::{Count, DoorCounters};
use super::filter::matches;
use super::link::Tap;
use super::policy::{Action, Identity, Policy};
use super::retained::{Kept, Retained};
use super::session::{Connected, Delivery, Session, Will};
use super::standing::Withdrawn;
use super::tree::{SessionKey, Tree};
use crate::exchange::Limits as InboxLimits;
use bytes::Bytes;
use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v4::Publish;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

/// Messages, and bytes, sent to a client before its own packets are looked at again.
const MESSAGES_AT_ONCE: usize = 64;
const BYTES_AT_ONCE: usize = 256 * 1024;
/// Messages remembered because they failed once.
const FAILED_MAX: usize = 10_000;
/// How often absent sessions are looked through.
const SWEEP_PERIOD: Duration = Duration::from_secs(60);

/// What was published.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Publication {
    pub(super) topic: String,
    pub(super) payload: Bytes,
}

impl Publication {
    /// What it costs to keep, bytes.
    pub(super) fn bytes(&self) -> usize {
        self.topic.len() + self.payload.len() + 64
    }
}

#[derive(Debug)]
pub(super) struct Router {
    limits: Limits,
    counters: Arc<DoorCounters>,
    core: Mutex<Core>,
}

#[derive(Debug, Default)]
struct Core {
    sessions: BTreeMap<SessionKey, Session>,
    by_client: BTreeMap<String, SessionKey>,
    tree: Tree,
    retained: Retained,
    next: u64,
    taps: Vec<Tap>,
    /// What waits for all clients, bytes.
    queued_bytes: usize,
    /// Messages that failed once, by client and digest.
    failed: BTreeSet<(String, [u8; 8])>,
    /// Absent sessions are looked through above this number of sessions,
    sweep_above: usize,
    /// and at this moment.
    sweep_at: Option<Instant>,
}

/// What a connection holds of its session.
#[derive(Debug)]
pub(super) struct Attached {
    pub(super) session: SessionKey,
    pub(super) connection: u64,
    /// Whether it was there before.
    pub(super) present: bool,
    pub(super) wake: Arc<Notify>,
    pub(super) ended: Arc<Notify>,
}

impl Router {
    pub(super) fn new(limits: Limits, counters: Arc<DoorCounters>, retained: Retained) -> Self {
        Self { limits, counters, core: Mutex::new(Core { retained, ..Core::default() }) }
    }

    /// How much may wait for the system.
    pub(super) fn inbox_limits(&self) -> InboxLimits {
        self.limits.inbox
    }

    /// Waits until everything retained is written, and keeps nothing more.
    pub(super) fn finish(&self) {
        let retained = std::mem::take(&mut self.core().retained);
        retained.finish();
    }

    fn core(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A way to the system, in place of one with the same filters.
    pub(super) fn set_tap(&self, tap: Tap) {
        let mut core = self.core();
        core.taps.retain(|known| known.filters != tap.filters);
        core.taps.push(tap);
    }

    /// The way to the system, for topics it listens to.
    pub(super) fn tap_for(&self, topic: &str) -> Option<Tap> {
        self.core().taps.iter().find(|tap| tap.filters.iter().any(|filter| matches(filter, topic))).cloned()
    }

    /// Whether there is room for a session of this name among those whose names begin alike.
    pub(super) fn has_room(&self, session: &str, alike: &str) -> bool {
        let core = self.core();
        let others = core.by_client.range(alike.to_owned()..).take_while(|(name, _)| name.starts_with(alike));
        core.by_client.contains_key(session)
            || others.take(self.limits.sessions_per_identity_max).count()
                < self.limits.sessions_per_identity_max
    }

    /// Gives a client its session (`client_id` as [`super::policy::Identity::session_of`] names it), and ends the connection it had before.
    pub(super) fn attach(&self, client_id: &str, clean: bool, will: Option<Will>) -> Attached {
        let now = Instant::now();
        let mut core = self.core();
        core.next += 1;
        let connection = core.next;
        let (wake, ended) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let connected = Connected { number: connection, wake: wake.clone(), ended: ended.clone(), will };
        if let Some(&known) = core.by_client.get(client_id) {
            self.disconnect(&mut core, known, now);
        }
        let known = core.by_client.get(client_id).copied();
        let kept = known.filter(|_| !clean);
        if let (Some(known), None) = (known, kept) {
            core.forget(known);
        }
        let session = match kept {
            Some(known) => {
                if let Some(session) = core.sessions.get_mut(&known) {
                    session.connected = Some(connected);
                }
                known
            }
            None => {
                core.sessions.insert(connection, Session::new(client_id, !clean, connected, now));
                core.by_client.insert(client_id.to_owned(), connection);
                connection
            }
        };
        wake.notify_one();
        Attached { session, connection, present: kept.is_some(), wake, ended }
    }

    /// Ends the connection a session has, and publishes its will.
    fn disconnect(&self, core: &mut Core, key: SessionKey, now: Instant) {
        let Some(session) = core.sessions.get_mut(&key) else { return };
        let Some(connected) = session.connected.take() else { return };
        connected.ended.notify_one();
        self.counters.add(Count::TakenOver);
        self.leave(core, key, connected.will, now);
    }

    /// A connection has ended; with a goodbye there is no will.
    pub(super) fn detach(&self, attached: &Attached, goodbye: bool) {
        let mut core = self.core();
        let Some(session) = core.sessions.get_mut(&attached.session) else { return };
        let Some(connected) = session.connected.take_if(|c| c.number == attached.connection) else { return };
        let will = connected.will.filter(|_| !goodbye);
        self.leave(&mut core, attached.session, will, Instant::now());
    }

    fn leave(&self, core: &mut Core, key: SessionKey, will: Option<Will>, now: Instant) {
        if let Some(session) = core.sessions.get_mut(&key) {
            let before = session.queue_bytes();
            session.left(now);
            core.queued_bytes = core.queued_bytes + session.queue_bytes() - before;
            if !session.persistent {
                core.forget(key);
            }
        }
        self.forget_absent(core, now);
        if let Some(Will { last: will, points }) = will {
            let message = Arc::new(Publication { topic: will.topic, payload: will.message });
            // To the system a will is a message like others, but nobody waits for its acknowledgement.
            let tap = core.taps.iter().find(|tap| tap.filters.iter().any(|f| matches(f, &message.topic)));
            let kept = will.retain && tap.is_none();
            if tap.is_some_and(|tap| !tap.offer(&message, will.retain, points)) {
                self.counters.add(Count::WillLost);
            }
            self.spread(core, &message, will.qos);
            if kept {
                self.retain(core, &message, will.qos);
            }
        }
    }

    /// Sessions of absent clients are bounded in number and age. They are looked through once a minute, and when many
    /// came since; then a tenth more than needed goes, so that a flood of new ones does not cost a search each.
    fn forget_absent(&self, core: &mut Core, now: Instant) {
        let many = core.sessions.len() > core.sweep_above.max(self.limits.absent_max);
        if !many && core.sweep_at.is_some_and(|at| now < at) {
            return;
        }
        core.sweep_at = Some(now + SWEEP_PERIOD);
        let mut absent: Vec<_> = core.sessions.iter().filter(|(_, s)| s.connected.is_none()).collect();
        absent.sort_by_key(|(_, session)| session.absent_since);
        let surplus = match absent.len().checked_sub(self.limits.absent_max) {
            None | Some(0) => 0,
            Some(surplus) => surplus + self.limits.absent_max / 10,
        };
        let gone = absent.into_iter().enumerate().filter(|(place, (_, session))| {
            *place < surplus || now.saturating_duration_since(session.absent_since) > self.limits.absent_for
        });
        for key in gone.map(|(_, (key, _))| *key).collect::<Vec<_>>() {
            self.counters.add(Count::SessionsForgotten);
            core.forget(key);
        }
        core.sweep_above = core.sessions.len() + self.limits.absent_max / 10;
    }

    /// Passes a message to its subscribers; what is retained tells when it is on the disk.
    pub(super) fn publish(
        &self,
        message: &Arc<Publication>,
        qos: QoS,
        retain: bool,
    ) -> Option<oneshot::Receiver<bool>> {
        let mut core = self.core();
        self.spread(&mut core, message, qos);
        if retain { self.retain(&mut core, message, qos) } else { None }
    }

    fn spread(&self, core: &mut Core, message: &Arc<Publication>, qos: QoS) {
        for (key, granted) in core.tree.receivers(&message.topic) {
            let Some(session) = core.sessions.get_mut(&key) else { continue };
            let best = if qos < granted { qos } else { granted };
            // When all together have too much waiting, those who are away get no more.
            if session.connected.is_none() && core.queued_bytes > self.limits.all_queues_bytes_max {
                self.counters.add(Count::Dropped);
                continue;
            }
            let before = session.queue_bytes();
            let gave_way = session.push(Delivery::new(message.clone(), best, false), &self.limits);
            core.queued_bytes = core.queued_bytes + session.queue_bytes() - before;
            (0..gave_way).for_each(|_| self.counters.add(Count::Dropped));
        }
    }

    fn retain(
        &self,
        core: &mut Core,
        message: &Arc<Publication>,
        qos: QoS,
    ) -> Option<oneshot::Receiver<bool>> {
        match core.retained.keep(message, qos, &self.limits) {
            Kept::InMemory => None,
            Kept::OnDisk(written) => Some(written),
            Kept::Behind(failing) => {
                self.counters.add(Count::NotRetained);
                Some(failing)
            }
            Kept::No => {
                self.counters.add(Count::NotRetained);
                None
            }
        }
    }

    /// Adds a subscription and lets the retained messages wait for the client: how many of them were looked at, `None` when it
    /// has too many subscriptions.
    pub(super) fn subscribe(&self, session: SessionKey, filter: &str, qos: QoS) -> Option<usize> {
        let mut core = self.core();
        let core = &mut *core;
        let known = core.sessions.get_mut(&session)?;
        if known.filters.len() >= self.limits.filters_max && !known.filters.contains_key(filter) {
            return None;
        }
        known.filters.insert(filter.to_owned(), qos);
        core.tree.insert(filter, session, qos);
        let before = known.queue_bytes();
        let (matching, looked_at) = core.retained.matching(filter);
        for (message, kept) in matching {
            let best = if kept < qos { kept } else { qos };
            let gave_way = known.push(Delivery::new(message, best, true), &self.limits);
            (0..gave_way).for_each(|_| self.counters.add(Count::Dropped));
        }
        core.queued_bytes = core.queued_bytes + known.queue_bytes() - before;
        Some(looked_at)
    }

    pub(super) fn unsubscribe(&self, session: SessionKey, filter: &str) {
        let mut core = self.core();
        if let Some(known) = core.sessions.get_mut(&session)
            && known.filters.remove(filter).is_some()
        {
            core.tree.remove(filter, session);
        }
    }

    /// Takes from a connected client the subscriptions and the will it may not have any more; whether it had such subscriptions.
    pub(super) fn narrow(&self, attached: &Attached, who: &Identity, policy: &Policy) -> bool {
        let mut core = self.core();
        if let Some(connected) = core.session_of(attached).and_then(|session| session.connected.as_mut()) {
            let allowed = |will: &Will| policy.allows(who, Action::Publish, &will.last.topic);
            connected.will = connected.will.take().filter(allowed);
            if let Some(will) = &mut connected.will {
                will.points = policy.points(who);
            }
            return core.narrow(attached.session, who, policy);
        }
        false
    }

    /// Gives up the session of a connection, and all that waits in it, without its will.
    pub(super) fn give_up(&self, attached: &Attached) {
        let mut core = self.core();
        if core.session_of(attached).is_some() {
            core.forget(attached.session);
        }
    }

    /// Gives up what absent clients may not have any more: whose, and why.
    pub(super) fn review_absent(&self, policy: &Policy) -> Vec<(String, Withdrawn)> {
        let mut core = self.core();
        let absent = core.sessions.iter().filter(|(_, session)| session.connected.is_none());
        let absent: Vec<_> = absent.map(|(key, session)| (*key, session.client_id.clone())).collect();
        let mut found = Vec::new();
        for (key, session) in absent {
            let who = Identity::of_session(&session);
            if !policy.knows_still(&who) {
                core.forget(key);
                found.push((who.as_str().to_owned(), Withdrawn::Unknown));
            } else if core.narrow(key, &who, policy) {
                found.push((who.as_str().to_owned(), Withdrawn::Subscription));
            }
        }
        found
    }

    /// What may be sent to a client now, and whether there may be more. Nothing when its session was taken over.
    pub(super) fn take(&self, attached: &Attached) -> (Vec<Publish>, bool) {
        let mut core = self.core();
        let core = &mut *core;
        let Some(session) = core.session_of(attached) else { return (Vec::new(), false) };
        let before = session.queue_bytes();
        let (mut messages, mut bytes) = (Vec::new(), 0);
        while messages.len() < MESSAGES_AT_ONCE && bytes < BYTES_AT_ONCE {
            let Some(message) = session.next(self.limits.window) else { break };
            bytes += message.payload.len();
            messages.push(message);
        }
        let after = session.queue_bytes();
        core.queued_bytes = core.queued_bytes + after - before;
        let more = messages.len() == MESSAGES_AT_ONCE || bytes >= BYTES_AT_ONCE;
        (messages, more)
    }

    /// Whether a message of a client fails for the second time. It is remembered by what it says, because a client
    /// may send it again under another packet id.
    pub(super) fn fails_again(&self, client_id: &str, message: &Publication) -> bool {
        let mut digest = Sha256::new();
        digest.update(message.topic.as_bytes());
        digest.update([0]);
        digest.update(&message.payload);
        let mut key = (client_id.to_owned(), [0; 8]);
        key.1.copy_from_slice(&digest.finalize()[..8]);
        let mut core = self.core();
        if core.failed.remove(&key) {
            return true;
        }
        if core.failed.len() >= FAILED_MAX {
            core.failed.clear();
        }
        core.failed.insert(key);
        false
    }

    /// Does something with the session of a connection, unless another connection has taken it over.
    pub(super) fn with<T>(&self, attached: &Attached, act: impl FnOnce(&mut Session) -> T) -> Option<T> {
        self.core().session_of(attached).map(act)
    }
}

impl Core {
    /// The session of a connection, unless another connection has taken it over.
    fn session_of(&mut self, attached: &Attached) -> Option<&mut Session> {
        let session = self.sessions.get_mut(&attached.session)?;
        let current = session.connected.as_ref().is_some_and(|c| c.number == attached.connection);
        current.then_some(session)
    }

    /// Takes from a session what it may not have any more; whether there was something.
    fn narrow(&mut self, key: SessionKey, who: &Identity, policy: &Policy) -> bool {
        let Some(session) = self.sessions.get_mut(&key) else { return false };
        let before = session.queue_bytes();
        let gone = session.narrow(|filter| policy.allows(who, Action::Subscribe, filter));
        self.queued_bytes = self.queued_bytes + session.queue_bytes() - before;
        gone.iter().for_each(|filter| self.tree.remove(filter, key));
        !gone.is_empty()
    }

    fn forget(&mut self, key: SessionKey) {
        let Some(session) = self.sessions.remove(&key) else { return };
        self.by_client.remove(&session.client_id);
        self.queued_bytes -= session.queue_bytes();
        for filter in session.filters.keys() {
            self.tree.remove(filter, key);
        }
    }
}
