//! How well what nodes and appliances take is known, from how well each wire's total is.

use super::Gathered;
use super::node;
use crate::assembly::Assembly;
use crate::circuit::flow::TakenVariance;
use grid::BusId;
use std::collections::BTreeMap;

/// Wire by wire of the bus, p.u.²: of nodes (loads, generators and sources together), and of these appliances.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TakenVariances {
    /// By bus, where anything is connected.
    pub nodes: BTreeMap<BusId, Vec<TakenVariance>>,
    /// By appliance.
    pub appliances: BTreeMap<u32, Vec<TakenVariance>>,
}

impl Gathered {
    /// Divides the variances of totals (`of` a global wire number) among nodes and appliances as
    /// [`Gathered::outcome`] divides the totals.
    pub fn taken_variances(
        &self,
        assembly: &Assembly,
        mut of: impl FnMut(usize) -> TakenVariance,
    ) -> TakenVariances {
        let mut found = TakenVariances::default();
        for nodes in self.nodes.chunk_by(|a, b| a.position == b.position) {
            if nodes.iter().all(|node| node.members.is_empty()) {
                continue;
            }
            for (wire, number) in assembly.circuit.wires(nodes[0].position).enumerate() {
                let said = nodes.iter().map(|node| node.said(wire));
                for (node, total) in nodes.iter().zip(node::divide_variance(said, of(number))) {
                    found.nodes.entry(node.bus).or_default().push(total);
                    let parts = node.members.iter().map(|member| member.wires[wire]);
                    for (member, part) in node.members.iter().zip(node::divide_variance(parts, total)) {
                        found.appliances.entry(member.id).or_default().push(part);
                    }
                }
            }
        }
        found
    }

    /// The wire (global number) whose angle those of a bus count from; nothing where a phasor is measured.
    pub fn reference_wire(&self, assembly: &Assembly, bus: u32) -> Option<usize> {
        self.islands.reference(&assembly.circuit, &self.turns, bus)
    }
}
