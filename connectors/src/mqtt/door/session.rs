//! What the door keeps of one client: filters, what waits for it, and what it has not acknowledged.

use super::config::Limits;
use super::filter::matches;
use super::router::Publication;
use crate::house::Points;
use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v4::{LastWill, Publish};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use tokio::sync::Notify;
use tokio::time::Instant;

/// One message for one client.
#[derive(Debug, Clone)]
pub(super) struct Delivery {
    pub(super) message: Arc<Publication>,
    pub(super) qos: QoS,
    /// It was kept for whoever subscribes later.
    pub(super) retained: bool,
    /// It was sent before and not acknowledged.
    again: bool,
}

impl Delivery {
    pub(super) fn new(message: Arc<Publication>, qos: QoS, retained: bool) -> Self {
        Self { message, qos, retained, again: false }
    }
}

/// What is published when a connection ends without a goodbye.
#[derive(Debug, Clone)]
pub(super) struct Will {
    pub(super) last: LastWill,
    /// What its sender may speak of.
    pub(super) points: Points,
}

/// The connection a session has at the moment.
#[derive(Debug, Clone)]
pub(super) struct Connected {
    /// Which one; an older one that ends must not disturb it.
    pub(super) number: u64,
    /// There is something to send.
    pub(super) wake: Arc<Notify>,
    /// Another connection has taken the session over.
    pub(super) ended: Arc<Notify>,
    /// Published when the connection ends without a goodbye.
    pub(super) will: Option<Will>,
}

#[derive(Debug)]
pub(super) struct Session {
    pub(super) client_id: String,
    /// Whether it outlives its connection.
    pub(super) persistent: bool,
    pub(super) connected: Option<Connected>,
    pub(super) absent_since: Instant,
    pub(super) filters: BTreeMap<String, QoS>,
    /// Packet ids of quality 2 that were taken in and not yet released.
    pub(super) unreleased: BTreeSet<u16>,
    queue: VecDeque<Delivery>,
    queue_bytes: usize,
    /// In the order sent.
    unacknowledged: VecDeque<(u16, Delivery)>,
    last_packet_id: u16,
}

impl Session {
    pub(super) fn new(client_id: &str, persistent: bool, connected: Connected, now: Instant) -> Self {
        Self {
            client_id: client_id.to_owned(),
            persistent,
            connected: Some(connected),
            absent_since: now,
            filters: BTreeMap::new(),
            unreleased: BTreeSet::new(),
            queue: VecDeque::new(),
            queue_bytes: 0,
            unacknowledged: VecDeque::new(),
            last_packet_id: 0,
        }
    }

    /// What waits for the client, bytes.
    pub(super) fn queue_bytes(&self) -> usize {
        self.queue_bytes
    }

    /// Lets a message wait for the client; returns how many others gave way.
    pub(super) fn push(&mut self, delivery: Delivery, limits: &Limits) -> usize {
        if self.connected.is_none() && delivery.qos == QoS::AtMostOnce {
            return 0;
        }
        self.queue_bytes += delivery.message.bytes();
        self.queue.push_back(delivery);
        let mut gave_way = 0;
        while self.queue.len() > limits.queue_messages_max
            || (self.queue_bytes > limits.queue_bytes_max && self.queue.len() > 1)
        {
            if let Some(oldest) = self.queue.pop_front() {
                self.queue_bytes -= oldest.message.bytes();
                gave_way += 1;
            }
        }
        if let Some(connected) = &self.connected {
            connected.wake.notify_one();
        }
        gave_way
    }

    /// The next message to send, when the window has room for it.
    pub(super) fn next(&mut self, window: usize) -> Option<Publish> {
        let first = self.queue.front()?;
        if first.qos != QoS::AtMostOnce && self.unacknowledged.len() >= window {
            return None;
        }
        let delivery = self.queue.pop_front()?;
        self.queue_bytes -= delivery.message.bytes();
        let message = &delivery.message;
        let mut publish = Publish::from_bytes(message.topic.as_str(), delivery.qos, message.payload.clone());
        publish.retain = delivery.retained;
        if delivery.qos != QoS::AtMostOnce {
            publish.dup = delivery.again;
            publish.pkid = self.free_packet_id();
            self.unacknowledged.push_back((publish.pkid, delivery));
        }
        Some(publish)
    }

    fn free_packet_id(&mut self) -> u16 {
        loop {
            self.last_packet_id = self.last_packet_id.checked_add(1).unwrap_or(1);
            if self.unacknowledged.iter().all(|(id, _)| *id != self.last_packet_id) {
                return self.last_packet_id;
            }
        }
    }

    /// The client has it.
    pub(super) fn acknowledged(&mut self, packet_id: u16) {
        // Nearly always the first.
        if let Some(place) = self.unacknowledged.iter().position(|(id, _)| *id == packet_id) {
            self.unacknowledged.remove(place);
        }
    }

    /// Keeps only the filters that are allowed still, and of what waits only what they ask for. Which filters went.
    pub(super) fn narrow(&mut self, allowed: impl Fn(&str) -> bool) -> Vec<String> {
        let gone: Vec<String> = self.filters.keys().filter(|filter| !allowed(filter)).cloned().collect();
        if gone.is_empty() {
            return gone;
        }
        self.filters.retain(|filter, _| !gone.contains(filter));
        let filters = &self.filters;
        let wanted =
            |delivery: &Delivery| filters.keys().any(|filter| matches(filter, &delivery.message.topic));
        self.queue.retain(wanted);
        self.unacknowledged.retain(|(_, delivery)| wanted(delivery));
        self.queue_bytes = self.queue.iter().map(|delivery| delivery.message.bytes()).sum();
        gone
    }

    /// The connection is gone: what was not acknowledged waits again, in front and in order.
    pub(super) fn left(&mut self, now: Instant) {
        self.connected = None;
        self.absent_since = now;
        self.queue.retain(|delivery| delivery.qos != QoS::AtMostOnce);
        while let Some((_, mut delivery)) = self.unacknowledged.pop_back() {
            delivery.again = true;
            self.queue.push_front(delivery);
        }
        self.queue_bytes = self.queue.iter().map(|delivery| delivery.message.bytes()).sum();
    }
}
