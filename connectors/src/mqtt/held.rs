//! What was sent but is not yet acknowledged. It outlives connections: rumqttc forgets its own pending messages
//! when the broker comes back without our session, so they are held here and published again.

use crate::house::Packet;
use std::collections::{BTreeMap, VecDeque};

/// Most packets held, acknowledged or not; beyond it the link's `outbound` fills up and senders wait.
pub(super) const HELD_MAX: usize = 256;
/// Most packets on their way to the broker at once.
pub(super) const WINDOW: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Held {
    next: u64,
    /// Not given to the present connection.
    waiting: VecDeque<(u64, Packet)>,
    /// Given to the present connection, packet id not yet known; in the order given.
    handed: VecDeque<(u64, Packet)>,
    /// Sent under a packet id.
    unacknowledged: BTreeMap<u16, (u64, Packet)>,
}

impl Held {
    pub(super) fn len(&self) -> usize {
        self.waiting.len() + self.handed.len() + self.unacknowledged.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn has_room(&self) -> bool {
        self.len() < HELD_MAX
    }

    pub(super) fn push(&mut self, packet: Packet) {
        self.waiting.push_back((self.next, packet));
        self.next += 1;
    }

    /// The next packet to publish, if the window allows one. It counts as handed over.
    pub(super) fn hand_over(&mut self) -> Option<Packet> {
        if self.handed.len() + self.unacknowledged.len() >= WINDOW {
            return None;
        }
        let (number, packet) = self.waiting.pop_front()?;
        self.handed.push_back((number, packet.clone()));
        Some(packet)
    }

    /// The connection took the oldest handed packet under this packet id.
    pub(super) fn sent(&mut self, packet_id: u16) {
        if let Some(entry) = self.handed.pop_front() {
            self.unacknowledged.insert(packet_id, entry);
        }
    }

    /// The broker has it. Whether we were waiting for that.
    pub(super) fn acknowledged(&mut self, packet_id: u16) -> bool {
        self.unacknowledged.remove(&packet_id).is_some()
    }

    /// The connection is gone: everything not acknowledged waits again, in the order of pushing.
    pub(super) fn connection_lost(&mut self) {
        let mut again: Vec<_> = std::mem::take(&mut self.unacknowledged).into_values().collect();
        again.extend(self.handed.drain(..));
        again.extend(self.waiting.drain(..));
        again.sort_by_key(|&(number, _)| number);
        self.waiting = again.into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(n: usize) -> Packet {
        Packet { topic: n.to_string(), payload: vec![] }
    }

    #[test]
    fn what_was_not_acknowledged_is_published_again_in_order() {
        let mut held = Held::default();
        (0..6).for_each(|n| held.push(packet(n)));
        for packet_id in 1..=4 {
            held.hand_over().unwrap();
            held.sent(packet_id);
        }
        held.hand_over().unwrap();
        assert!(held.acknowledged(2) && !held.acknowledged(2) && !held.acknowledged(99));
        held.connection_lost();
        let again: Vec<_> = std::iter::from_fn(|| held.hand_over()).map(|p| p.topic).collect();
        assert_eq!(again, ["0", "2", "3", "4", "5"]);
    }

    #[test]
    fn the_window_limits_what_is_on_its_way() {
        let mut held = Held::default();
        (0..HELD_MAX).for_each(|n| held.push(packet(n)));
        assert!(!held.has_room());
        assert_eq!(std::iter::from_fn(|| held.hand_over()).count(), WINDOW);
        held.sent(1);
        assert!(held.hand_over().is_none());
        assert!(held.acknowledged(1));
        assert!(held.hand_over().is_some() && held.hand_over().is_none());
    }
}
