//! One grid node: everything measured at one bus, at the connections and devices behind it, and at the branches
//! that leave it.
//!
//! It takes each point from the source that is preferred, stops what cannot be true ([`Watch`]), and passes the rest on. That
//! a value is missing is passed on as well: whoever used the last one must not go on with it. What it remembers of its
//! points is as volatile as telemetry: after a restart it learns again.

use super::preference::{Listed, Origin, Preference};
use super::region::RegionMsg;
use crate::historian::Historian;
use crate::market_side::metering::MeteringMsg;
use crate::observer::Seen;
use crate::runtime::{Address, Context, Stage};
use connectors::Receipt;
use estimation::{Implausible, Plausibility, Watch};
use grid::telemetry::Element;
use grid::{Measurement, Quality, Quantity};
use std::sync::Arc;

/// What can wake a node.
#[derive(Debug, Clone)]
pub enum NodeMsg {
    /// Values of its points, oldest first.
    Reported(Arc<Vec<Measurement>>, Origin),
    /// A slot energy whose sender waits until it is durable, if it has to be.
    Owing(Measurement, Origin, Receipt),
}

/// The state of a node.
#[derive(Debug)]
pub struct Node {
    watch: Watch,
    preference: Preference,
    region: Address<RegionMsg>,
    metering: Address<MeteringMsg>,
    observer: Address<Seen>,
    historian: Option<Historian>,
}

/// What a batch comes to.
struct Sifted {
    /// To be used.
    good: Vec<Measurement>,
    /// What was used before and is found wrong now.
    withdrawn: Vec<Measurement>,
    /// Not to be used, each with its rule.
    unused: Vec<Implausible>,
    /// Sources that points were taken from before this one.
    left: Vec<Origin>,
}

impl Node {
    /// A node without any value yet.
    pub fn new(
        plausibility: Arc<Plausibility>,
        listed: Arc<Listed>,
        region: Address<RegionMsg>,
        metering: Address<MeteringMsg>,
        observer: Address<Seen>,
        historian: Option<Historian>,
    ) -> Self {
        let (watch, preference) = (Watch::new(plausibility), Preference::new(listed));
        Self { watch, preference, region, metering, observer, historian }
    }

    /// Splits a batch into what is used and, for each other value, the rule that stopped it.
    fn sift(&mut self, batch: &[Measurement], origin: &Origin) -> Sifted {
        let (mut unused, mut preferred) = (Vec::new(), Vec::with_capacity(batch.len()));
        for value in batch {
            if let Some(rule) = self.preference.leaves(value, origin) {
                unused.push(Implausible { measurement: *value, rule, limit: None });
            } else {
                preferred.push(*value);
            }
        }
        let judged = self.watch.judge(&preferred);
        unused.extend(judged.unused);
        let mut left: Vec<Origin> = Vec::new();
        for value in &judged.good {
            if value.quality == Quality::Missing {
                self.preference.forget(value.point);
            } else if let Some(before) = self.preference.used(value, origin)
                && !left.contains(&before)
            {
                left.push(before);
            }
        }
        let withdrawn = judged.withdrawn.iter().filter_map(|&point| {
            let wrong = unused.iter().find(|one| one.measurement.point == point)?;
            Some(Measurement { quality: Quality::Missing, value: 0.0, ..wrong.measurement })
        });
        let withdrawn = withdrawn.collect();
        Sifted { good: judged.good, withdrawn, unused, left }
    }
}

impl Stage for Node {
    type Msg = NodeMsg;

    fn kin(msg: &NodeMsg) -> Option<String> {
        match msg {
            NodeMsg::Reported(values, _) => values.first().map(|value| value.point.to_string()),
            NodeMsg::Owing(value, ..) => Some(value.point.to_string()),
        }
    }

    fn divide(msg: &NodeMsg) -> Vec<NodeMsg> {
        let NodeMsg::Reported(values, origin) = msg else { return Vec::new() };
        values.iter().map(|value| NodeMsg::Reported(Arc::new(vec![*value]), origin.clone())).collect()
    }

    fn unowed(msg: NodeMsg) -> NodeMsg {
        match msg {
            NodeMsg::Owing(value, origin, _) => NodeMsg::Reported(Arc::new(vec![value]), origin),
            NodeMsg::Reported(..) => msg,
        }
    }

    fn handle(&mut self, msg: NodeMsg, cx: &mut Context<NodeMsg>) {
        let (batch, origin, mut receipt) = match msg {
            NodeMsg::Reported(batch, origin) => (batch, origin, None),
            NodeMsg::Owing(value, origin, receipt) => (Arc::new(vec![value]), origin, Some(receipt)),
        };
        let Sifted { good, withdrawn, unused, left } = self.sift(&batch, &origin);
        for from in left {
            cx.send(&self.observer, Seen::SourceSwitched { from, to: origin.clone() });
        }
        let accepted: Vec<_> = withdrawn.into_iter().chain(good).collect();
        let (devices, grid): (Vec<_>, Vec<_>) =
            accepted.into_iter().partition(|value| matches!(value.point.element, Element::Device(_)));
        for value in devices {
            cx.send(&self.observer, Seen::Telemetry(Arc::new(vec![value])));
            if value.point.quantity == Quantity::SlotEnergy && value.quality != Quality::Missing {
                cx.send(&self.metering, MeteringMsg::Read(value, origin.clone(), receipt.take()));
            }
        }
        // Not used, or nothing that money depends on.
        receipt.iter().for_each(|receipt| match unused.first() {
            Some(unused) => receipt.refuse(unused.rule.name()),
            None => receipt.confirm(),
        });
        if !grid.is_empty() {
            let grid = Arc::new(grid);
            cx.send(&self.observer, Seen::Telemetry(grid.clone()));
            cx.send(&self.region, RegionMsg::NodeReported(grid));
        }
        if !unused.is_empty() {
            if let Some(historian) = &self.historian {
                historian.keep_doubted(&unused, cx.now());
            }
            cx.send(&self.observer, Seen::Unused(Arc::new(unused)));
        }
    }
}
