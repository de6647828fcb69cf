//! One grid node: everything measured at one bus, at the connections and devices behind it, and at the branches
//! that leave it.
//!
//! It keeps the newest value per point, refuses the impossible, and passes the rest on. That a value is missing is
//! passed on as well: whoever used the last one must not go on with it.

use super::region::RegionMsg;
use crate::market_side::metering::MeteringMsg;
use crate::observer::Seen;
use crate::runtime::{Address, Context, Stage};
use connectors::Receipt;
use estimation::Plausibility;
use grid::telemetry::Element;
use grid::{Measurement, PointId, Quality, Quantity, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What can wake a node.
#[derive(Debug, Clone)]
pub enum NodeMsg {
    /// Values of its points, oldest first.
    Reported(Arc<Vec<Measurement>>),
    /// A slot energy whose sender waits until it is durable, if it has to be.
    Owing(Measurement, Receipt),
}

/// The state of a node.
#[derive(Debug)]
pub struct Node {
    plausibility: Arc<Plausibility>,
    newest: BTreeMap<PointId, Timestamp>,
    region: Address<RegionMsg>,
    metering: Address<MeteringMsg>,
    observer: Address<Seen>,
}

impl Node {
    /// A node without any value yet.
    pub fn new(
        plausibility: Arc<Plausibility>,
        region: Address<RegionMsg>,
        metering: Address<MeteringMsg>,
        observer: Address<Seen>,
    ) -> Self {
        Self { plausibility, newest: BTreeMap::new(), region, metering, observer }
    }

    /// Splits a batch into what is accepted and, for each refused value, the rule that stopped it.
    fn sift(&mut self, batch: &[Measurement]) -> (Vec<Measurement>, Vec<Seen>) {
        let (mut accepted, mut refused) = (Vec::with_capacity(batch.len()), Vec::new());
        for value in batch {
            if value.quality == Quality::Missing {
                // When it was found missing is our time; when the next value was measured is its source's.
                accepted.push(*value);
                continue;
            }
            if let Err(error) = self.plausibility.check(value) {
                refused.push(Seen::Rejected { code: error.rule, reason: error.to_string() });
                continue;
            }
            let newest = self.newest.entry(value.point).or_insert(value.measured_at);
            // Slot energies are facts about different slots: a late one is as good as a timely one.
            if value.measured_at < *newest && value.point.quantity != Quantity::SlotEnergy {
                refused.push(Seen::Superseded);
                continue;
            }
            *newest = value.measured_at.max(*newest);
            accepted.push(*value);
        }
        (accepted, refused)
    }
}

impl Stage for Node {
    type Msg = NodeMsg;

    fn kin(msg: &NodeMsg) -> Option<String> {
        match msg {
            NodeMsg::Reported(values) => values.first().map(|value| value.point.to_string()),
            NodeMsg::Owing(value, _) => Some(value.point.to_string()),
        }
    }

    fn divide(msg: &NodeMsg) -> Vec<NodeMsg> {
        let NodeMsg::Reported(values) = msg else { return Vec::new() };
        values.iter().map(|value| NodeMsg::Reported(Arc::new(vec![*value]))).collect()
    }

    fn unowed(msg: NodeMsg) -> NodeMsg {
        match msg {
            NodeMsg::Owing(value, _) => NodeMsg::Reported(Arc::new(vec![value])),
            NodeMsg::Reported(_) => msg,
        }
    }

    fn handle(&mut self, msg: NodeMsg, cx: &mut Context<NodeMsg>) {
        let (batch, mut receipt) = match msg {
            NodeMsg::Reported(batch) => (batch, None),
            NodeMsg::Owing(value, receipt) => (Arc::new(vec![value]), Some(receipt)),
        };
        let (accepted, refused) = self.sift(&batch);
        for refusal in refused {
            cx.send(&self.observer, refusal);
        }
        let (devices, grid): (Vec<_>, Vec<_>) =
            accepted.into_iter().partition(|value| matches!(value.point.element, Element::Device(_)));
        for value in devices {
            cx.send(&self.observer, Seen::Telemetry(Arc::new(vec![value])));
            if value.point.quantity == Quantity::SlotEnergy && value.quality != Quality::Missing {
                cx.send(&self.metering, MeteringMsg::Read(value, receipt.take()));
            }
        }
        // Refused, or nothing that money depends on.
        receipt.iter().for_each(Receipt::confirm);
        if !grid.is_empty() {
            let grid = Arc::new(grid);
            cx.send(&self.observer, Seen::Telemetry(grid.clone()));
            cx.send(&self.region, RegionMsg::NodeReported(grid));
        }
    }
}
