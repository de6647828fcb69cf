//! Sparkplug B at brokers of others: nodes and devices that are born, tell what has changed, and die
//! ([docs/broker.md](../../../../docs/broker.md)).
//!
//! * `protobuf` are the bytes, `payload` what they say, `topic` who says it;
//! * `node` is what is known of one edge node, without a connection; here are all of a broker.

mod node;
mod payload;
mod protobuf;
#[cfg(test)]
mod tests;
mod topic;

pub(super) use node::Event;
pub use topic::{EdgeNode, MetricTag};

use crate::house::{Refusal, RejectCode};
use grid::Timestamp;
use node::Node;
use std::collections::BTreeMap;
use std::time::Duration;

/// The edge nodes of a broker that points hang on.
#[derive(Debug)]
pub(super) struct Nodes(BTreeMap<EdgeNode, Node>);

impl Nodes {
    /// Those of these metrics, each with the position of its point.
    pub fn new<'a>(metrics: impl IntoIterator<Item = (usize, &'a MetricTag)>) -> Self {
        let mut nodes: BTreeMap<EdgeNode, BTreeMap<_, Vec<usize>>> = BTreeMap::new();
        for (point, tag) in metrics {
            let of_node = nodes.entry(tag.node.clone()).or_default();
            of_node.entry((tag.device.clone(), tag.metric.clone())).or_default().push(point);
        }
        Self(nodes.into_iter().map(|(node, metrics)| (node, Node::new(metrics))).collect())
    }

    /// What is subscribed to, each with the positions of the points that need it.
    pub fn filters(&self) -> Vec<(String, Vec<usize>)> {
        let of = |(whose, node): (&EdgeNode, &Node)| whose.filters().map(|filter| (filter, node.points()));
        self.0.iter().flat_map(of).collect()
    }

    /// Whether a topic is one of Sparkplug's.
    pub fn is_theirs(&self, topic: &str) -> bool {
        !self.0.is_empty() && MetricTag::is_meant(topic)
    }

    /// What was known before a connection began says nothing.
    pub fn forget(&mut self) {
        self.0.values_mut().for_each(Node::forget);
    }

    /// What a message says.
    ///
    /// # Errors
    /// Why it is refused, or a part of it; what it says beside that is among the events.
    pub fn take(
        &mut self,
        topic: &str,
        retained: bool,
        payload: &[u8],
        now: Timestamp,
        events: &mut Vec<Event>,
    ) -> Result<(), Refusal> {
        let read = topic::read(topic);
        let Some((node, kind, device)) =
            read.and_then(|(whose, kind, device)| Some((self.0.get_mut(&whose)?, kind, device)))
        else {
            return Err((RejectCode::Topic, "the broker sends a topic that was not asked for".to_owned()));
        };
        if retained {
            let reason = "the message is retained, which no message of Sparkplug B may be";
            return Err((RejectCode::Retained, reason.to_owned()));
        }
        node.take(kind, device, payload, now, events)
    }

    /// What is so because time has passed, and the commands that are to be sent now: topic and payload.
    pub fn look(
        &mut self,
        silence: Duration,
        now: Timestamp,
        events: &mut Vec<Event>,
    ) -> Vec<(String, Vec<u8>)> {
        let due = self
            .0
            .iter_mut()
            .filter_map(|(whose, node)| node.look(silence, events).then(|| whose.commands()));
        due.map(|topic| (topic, payload::rebirth(now))).collect()
    }
}

/// Reads any bytes: a tag in the first line, and after it messages in a row, each behind a byte for its kind and one for its length.
pub(super) fn read_any(tag: &MetricTag, bytes: &[u8], now: Timestamp) {
    let mut nodes = Nodes::new([(0, tag)]);
    let (mut rest, mut events) = (bytes, Vec::new());
    while let [kind, length, left @ ..] = rest {
        let (message, left) = left.split_at(left.len().min(usize::from(*length)));
        rest = left;
        let kinds = ["NBIRTH", "NDATA", "NDEATH", "DBIRTH", "DDATA", "DDEATH"];
        let kind = kinds[usize::from(*kind) % kinds.len()];
        let EdgeNode { group, name } = &tag.node;
        let device = if kind.starts_with('D') { tag.device.as_deref() } else { None };
        let device = device.map_or_else(String::new, |device| format!("/{device}"));
        let topic = format!("spBv1.0/{group}/{kind}/{name}{device}");
        let _ = nodes.take(&topic, false, message, now, &mut events);
        let _ = nodes.look(Duration::ZERO, now, &mut events);
    }
}
