//! Collecting elements.

use super::frame::Frame;
use super::{AppliancePlace, Assembly, BranchPlace};
use crate::circuit::{Circuit, CircuitShunt, CircuitSource, General, HeldBus, LoadPort, Series};
use grid::{BranchId, Network};
use std::collections::BTreeMap;

/// What a branch turns into.
#[derive(Debug, Clone)]
pub(super) enum Element {
    Series(Series),
    /// With the terminal of each end of the branch.
    General(General, Vec<Option<u8>>),
    Star(Vec<Element>),
    Off,
}

/// A circuit in the making.
pub(super) struct Builder {
    pub(super) frame: Frame,
    series: Vec<Series>,
    general: Vec<General>,
    shunts: Vec<CircuitShunt>,
    ports: Vec<LoadPort>,
    sources: Vec<CircuitSource>,
    held: Vec<HeldBus>,
    branches: Vec<(BranchId, BranchPlace)>,
    appliances: Vec<(u32, (u32, AppliancePlace))>,
}

impl Builder {
    pub(super) fn new(frame: Frame) -> Self {
        Self {
            frame,
            series: Vec::new(),
            general: Vec::new(),
            shunts: Vec::new(),
            ports: Vec::new(),
            sources: Vec::new(),
            held: Vec::new(),
            branches: Vec::new(),
            appliances: Vec::new(),
        }
    }

    pub(super) fn branch(&mut self, id: BranchId, element: Element) {
        let place = self.place(element);
        self.branches.push((id, place));
    }

    fn place(&mut self, element: Element) -> BranchPlace {
        match element {
            Element::Off => BranchPlace::Off,
            Element::Series(series) => {
                self.series.push(series);
                BranchPlace::Series(self.series.len() as u32 - 1)
            }
            Element::General(general, ends) => {
                self.general.push(general);
                BranchPlace::General(self.general.len() as u32 - 1, ends)
            }
            Element::Star(arms) => BranchPlace::Star(arms.into_iter().map(|arm| self.place(arm)).collect()),
        }
    }

    pub(super) fn off(&mut self, id: u32, bus: u32) {
        self.appliances.push((id, (bus, AppliancePlace::Off)));
    }

    pub(super) fn source(&mut self, id: u32, source: CircuitSource) {
        let place = AppliancePlace::Source(self.sources.len() as u32);
        self.appliances.push((id, (source.bus, place)));
        self.sources.push(source);
    }

    pub(super) fn shunt(&mut self, id: u32, shunt: CircuitShunt) {
        let place = AppliancePlace::Shunt(self.shunts.len() as u32);
        self.appliances.push((id, (shunt.bus, place)));
        self.shunts.push(shunt);
    }

    pub(super) fn ports(&mut self, id: u32, bus: u32, ports: impl IntoIterator<Item = LoadPort>) {
        let first = self.ports.len() as u32;
        self.ports.extend(ports);
        self.appliances.push((id, (bus, AppliancePlace::Ports(first..self.ports.len() as u32))));
    }

    pub(super) fn hold(&mut self, network: &Network) {
        let places: BTreeMap<u32, &(u32, AppliancePlace)> =
            self.appliances.iter().map(|(id, place)| (*id, place)).collect();
        let s_base_va = self.frame.s_base_va();
        for regulator in network.voltage_regulators().iter().filter(|regulator| regulator.active) {
            let Some((bus, AppliancePlace::Ports(ports))) = places.get(&regulator.appliance) else {
                continue;
            };
            // Injected limits become limits of what is taken.
            let (low, high) = regulator.q_range_var;
            let range = (-high / s_base_va, -low / s_base_va);
            match self.held.iter_mut().find(|held| held.bus == *bus) {
                Some(held) => {
                    held.ports.extend(ports.clone());
                    held.q_range.0 += range.0;
                    held.q_range.1 += range.1;
                }
                None => self.held.push(HeldBus {
                    bus: *bus,
                    u_pu: regulator.u_ref_pu,
                    ports: ports.clone().collect(),
                    q_range: range,
                }),
            }
        }
    }

    pub(super) fn finish(self, network: &Network) -> Assembly {
        let frame = self.frame;
        let mut buses: Vec<_> =
            network.buses().iter().enumerate().map(|(position, bus)| (bus.id, position as u32)).collect();
        buses.sort_unstable();
        let (mut branches, mut appliances) = (self.branches, self.appliances);
        branches.sort_by_key(|(id, _)| *id);
        appliances.sort_by_key(|(id, _)| *id);
        Assembly {
            symmetric: frame.symmetric,
            circuit: Circuit {
                s_base_va: frame.s_base_va(),
                buses: frame.buses,
                series: self.series,
                general: self.general,
                shunts: self.shunts,
                ports: self.ports,
                sources: self.sources,
                held: self.held,
            },
            wires: frame.wires,
            buses: buses.into_iter().collect(),
            branches: branches.into_iter().collect(),
            appliances: appliances.into_iter().collect(),
        }
    }
}
