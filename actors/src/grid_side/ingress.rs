//! The way in: sorts what a connector decoded to the node, the agent or the observer it belongs to.
//!
//! The connector's queue is bounded, and a batch is taken from it only when there is a credit for it, which comes back when
//! all that an earlier batch caused was handled ([`Credits`]): that is what slows the connector down, and bounds the mailboxes
//! of all stages.

use super::node::NodeMsg;
use super::preference::Origin;
use crate::area::Area;
use crate::market_side::FoaMsg;
use crate::observer::Seen;
use crate::runtime::{Address, Context, Credits, Stage};
use connectors::{Arrival, Counters, Inbox, LinkState, Message, Receipt};
use grid::telemetry::Element;
use grid::{BranchId, BusId, DeviceId, Measurement, ProsumerId};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What can wake the way in.
#[derive(Debug, Clone)]
pub enum IngressMsg {
    /// The connector ended although nobody asked it to: without it the system is deaf.
    ConnectorEnded,
    /// What the connector has decoded.
    Arrived {
        /// In order of arrival.
        batch: Arc<Vec<Arrival>>,
        /// From which connector beside the field connection, if it is one of those.
        source: Option<Arc<str>>,
    },
}

/// Batches of a connector that are under way through the system, at most.
pub const BATCHES_MAX: usize = 4;

/// Carries batches from a connector's inbox to the way in, a few at a time, until the connector ends. `source` names a
/// connector beside the field connection; the system lives on without it.
pub async fn pump(
    mut inbox: Inbox,
    counters: Arc<Counters>,
    source: Option<Arc<str>>,
    ingress: Address<IngressMsg>,
    observer: Address<Seen>,
) {
    let credits = Credits::new(BATCHES_MAX);
    loop {
        let credit = credits.take().await;
        let Some(batch) = inbox.recv_batch().await else {
            return match source {
                None => ingress.deliver(IngressMsg::ConnectorEnded),
                Some(name) => {
                    let state = LinkState::Down { reason: "the connector has ended".to_owned() };
                    observer.deliver(Seen::SourceChanged { name, state });
                }
            };
        };
        let counted = counters.snapshot();
        let arrived = IngressMsg::Arrived { batch: Arc::new(batch), source: source.clone() };
        ingress.deliver_carrying(arrived, Some(credit.clone()));
        let counted = Seen::DoorCounted {
            source: source.clone(),
            received: counted.received,
            skipped: counted.skipped,
            skipped_reports: counted.skipped_reports,
            rejected: counted.rejected.into_iter().collect(),
        };
        observer.deliver_carrying(counted, Some(credit));
    }
}

/// Where everything goes.
#[derive(Debug, Clone)]
pub struct Routes {
    /// The node of each bus.
    pub nodes: BTreeMap<BusId, Address<NodeMsg>>,
    /// The agent of each prosumer.
    pub agents: BTreeMap<ProsumerId, Address<FoaMsg>>,
    /// Who watches.
    pub observer: Address<Seen>,
}

/// The state of the way in.
pub struct Ingress {
    area: Arc<Area>,
    branch_bus: BTreeMap<BranchId, BusId>,
    routes: Routes,
}

impl Ingress {
    /// Sorts for an area.
    pub fn new(area: Arc<Area>, routes: Routes) -> Self {
        let network = area.feeder.network();
        let lines = network.lines().iter().map(|line| (line.id, line.from));
        let transformers =
            network.transformers().iter().map(|transformer| (transformer.id, transformer.from));
        let branch_bus = lines.chain(transformers).collect();
        Self { area, branch_bus, routes }
    }

    fn bus_of(&self, element: Element) -> Option<BusId> {
        match element {
            Element::Bus(bus) => self.area.feeder.network().bus_index(bus).map(|_| bus),
            Element::Branch(branch) => self.branch_bus.get(&branch).copied(),
            Element::UsagePoint(point) => self.area.bus_of.get(&point).copied(),
            Element::Device(device) => {
                let device = self.area.devices.get(&device)?;
                self.area.bus_of.get(&device.usage_point).copied()
            }
        }
    }

    fn on_telemetry(&self, values: &[Measurement], origin: &Origin, cx: &mut Context<IngressMsg>) {
        let mut by_bus: BTreeMap<BusId, Vec<Measurement>> = BTreeMap::new();
        for value in values {
            match self.bus_of(value.point.element) {
                Some(bus) => by_bus.entry(bus).or_default().push(*value),
                None => {
                    let reason = format!("{} is not a point of network {}", value.point, self.area.name);
                    cx.send(&self.routes.observer, Seen::Rejected { code: "unknown_point", reason });
                }
            }
        }
        for (bus, values) in by_bus {
            if let Some(node) = self.routes.nodes.get(&bus) {
                cx.send(node, NodeMsg::Reported(Arc::new(values), origin.clone()));
            }
        }
    }

    /// One slot energy whose sender waits. Whoever knows what it causes confirms it; here it is confirmed when it
    /// belongs to nobody.
    fn on_owing(&self, value: Measurement, origin: &Origin, receipt: &Receipt, cx: &mut Context<IngressMsg>) {
        let node = self.bus_of(value.point.element).and_then(|bus| self.routes.nodes.get(&bus));
        match node {
            Some(node) => cx.send(node, NodeMsg::Owing(value, origin.clone(), receipt.clone())),
            None => {
                self.on_telemetry(&[value], origin, cx);
                receipt.confirm();
            }
        }
    }

    fn on_message(
        &self,
        message: &Message,
        origin: &Origin,
        receipt: Option<&Receipt>,
        cx: &mut Context<IngressMsg>,
    ) {
        match message {
            Message::Telemetry(values) => match receipt {
                None => self.on_telemetry(values, origin, cx),
                Some(receipt) => {
                    values.iter().for_each(|value| self.on_owing(*value, origin, receipt, cx));
                }
            },
            Message::Device(report) => {
                self.to_agent(report.device, FoaMsg::Reported(Arc::new(report.clone())), cx);
            }
            Message::Status(status) => {
                let answer = FoaMsg::Answered(status.clone(), receipt.cloned());
                if !self.to_agent(status.device, answer, cx) {
                    receipt.into_iter().for_each(Receipt::confirm);
                }
            }
            // Orders go out of this system, not into it.
            Message::Activation(activation) => {
                let reason = format!("{} was sent to the system instead of its device", activation.id);
                cx.send(&self.routes.observer, Seen::Rejected { code: "misdirected_order", reason });
                receipt.into_iter().for_each(Receipt::confirm);
            }
        }
    }

    /// Whether there is an agent for the device.
    fn to_agent(&self, device: DeviceId, msg: FoaMsg, cx: &mut Context<IngressMsg>) -> bool {
        let agent = self.area.devices.get(&device).and_then(|d| self.routes.agents.get(&d.prosumer));
        match agent {
            Some(agent) => cx.send(agent, msg),
            None => {
                let reason = format!("device {device} is not registered in {}", self.area.name);
                cx.send(&self.routes.observer, Seen::Rejected { code: "unknown_device", reason });
            }
        }
        agent.is_some()
    }
}

/// Who something that arrived is from.
fn source(arrival: &Arrival) -> String {
    match arrival {
        Arrival::Link(_) => "link".to_owned(),
        Arrival::Message(message) | Arrival::Owing(message, _) => match message {
            Message::Telemetry(values) => match values.first() {
                Some(value) => format!("telemetry of {}", value.point),
                None => "telemetry of nothing".to_owned(),
            },
            Message::Device(report) => format!("report of device {}", report.device),
            Message::Status(status) => format!("answer of device {}", status.device),
            Message::Activation(activation) => format!("order to device {}", activation.device),
        },
    }
}

impl Stage for Ingress {
    type Msg = IngressMsg;

    fn kin(msg: &IngressMsg) -> Option<String> {
        match msg {
            IngressMsg::ConnectorEnded => None,
            IngressMsg::Arrived { batch, .. } => batch.first().map(source),
        }
    }

    fn divide(msg: &IngressMsg) -> Vec<IngressMsg> {
        let IngressMsg::Arrived { batch, source } = msg else { return Vec::new() };
        let alone = |arrival: &Arrival| IngressMsg::Arrived {
            batch: Arc::new(vec![arrival.clone()]),
            source: source.clone(),
        };
        batch.iter().map(alone).collect()
    }

    fn unowed(msg: IngressMsg) -> IngressMsg {
        let IngressMsg::Arrived { batch, source } = msg else { return msg };
        let batch = batch.iter().map(|arrival| match arrival {
            Arrival::Owing(message, _) => Arrival::Message(message.clone()),
            Arrival::Link(_) | Arrival::Message(_) => arrival.clone(),
        });
        IngressMsg::Arrived { batch: Arc::new(batch.collect()), source }
    }

    fn handle(&mut self, msg: IngressMsg, cx: &mut Context<IngressMsg>) {
        let IngressMsg::Arrived { batch, source } = msg else {
            return cx.give_up("the field connector has ended".to_owned());
        };
        let origin = self.area.ranks.origin(source.clone());
        for arrival in batch.iter() {
            match arrival {
                Arrival::Link(state) => cx.send(
                    &self.routes.observer,
                    match &source {
                        None => Seen::LinkChanged(*state == LinkState::Up),
                        Some(name) => Seen::SourceChanged { name: name.clone(), state: state.clone() },
                    },
                ),
                Arrival::Message(message) => self.on_message(message, &origin, None, cx),
                Arrival::Owing(message, receipt) => self.on_message(message, &origin, Some(receipt), cx),
            }
        }
    }
}
