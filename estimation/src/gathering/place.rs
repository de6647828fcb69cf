//! Where a sensor's readings go in the circuit.

use super::SensorError;
use super::spread::PHASES;
use crate::assembly::{AppliancePlace, Assembly, BranchPlace};
use crate::circuit::{Circuit, FlowPlace};
use grid::network::{TransformerSide, Wire};
use grid::{BranchId, BusId, Network, Sensor, SensorPlace, SensorValue};

/// What became of a sensor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Site {
    /// At a part without voltage: it takes part in nothing and has no residual.
    Dead,
    /// At an open end or a switched-off appliance of a live part: nothing flows there, and it takes part in nothing.
    Open {
        /// Bus position whose base voltage converts.
        bus: u32,
    },
    /// At a bus.
    Voltage(u32),
    /// At a place where power or current flows.
    Flow(FlowPlace),
    /// At an appliance that is part of what its bus takes: index into the nodes and their appliances.
    Appliance {
        /// Which node.
        node: u32,
        /// Which of its appliances.
        member: u32,
    },
    /// All appliances of a node.
    Node(u32),
}

/// The local wires of the phases of a bus; in a symmetric calculation its only wire is the first.
pub(super) fn phase_wires(assembly: &Assembly, bus: u32) -> [Option<u8>; PHASES] {
    let wires = assembly.circuit.wires(bus);
    std::array::from_fn(|phase| {
        let is_phase = |wire: &Wire| usize::from(wire.0) == phase + 1;
        assembly.wires[wires.clone()].iter().position(is_phase).map(|local| local as u8)
    })
}

/// Bus and local phase wires of a place.
pub(super) fn terminal(assembly: &Assembly, place: FlowPlace) -> (u32, [Option<u8>; PHASES]) {
    let circuit = &assembly.circuit;
    let bus = circuit.bus_at(place);
    let there = phase_wires(assembly, bus);
    let FlowPlace::General { element, terminal } = place else { return (bus, there) };
    let (_, wires) = &circuit.general[element as usize].terminals[usize::from(terminal)];
    (bus, there.map(|wire| wire.filter(|wire| wires.contains(wire))))
}

/// The kind of a sensor's quantity, for errors.
pub(super) fn quantity(value: &SensorValue) -> &'static str {
    match value {
        SensorValue::Voltage { .. } => "voltage",
        SensorValue::Power { .. } => "power",
        SensorValue::Current { .. } => "current",
    }
}

/// Position of a bus and whether it has voltage.
pub(super) fn bus(assembly: &Assembly, sensor: u32, bus: BusId) -> Result<(u32, bool), SensorError> {
    let position = assembly.buses.get(&bus).copied();
    let position = position.ok_or(SensorError::Unknown { sensor, kind: "bus", object: bus.0 })?;
    Ok((position, assembly.circuit.buses[position as usize].energized))
}

/// Where a branch sensor sits.
pub(super) fn branch(
    assembly: &Assembly,
    network: &Network,
    sensor: &Sensor,
    id: BranchId,
    side: TransformerSide,
) -> Result<Site, SensorError> {
    let refuse = |place| SensorError::Place { sensor: sensor.id, quantity: quantity(&sensor.value), place };
    if network.links().iter().any(|link| link.id == id) {
        return Err(refuse("a link: it has no impedance, and what flows through it is not determined"));
    }
    let place = assembly.branches.get(&id);
    let place = place.ok_or(SensorError::Unknown { sensor: sensor.id, kind: "branch", object: id.0 })?;
    let end = match side {
        TransformerSide::From => 0,
        TransformerSide::To => 1,
        TransformerSide::Third => 2,
    };
    let missing = refuse("the third side of a branch with two");
    match place {
        BranchPlace::Star(windings) => match windings.get(end).ok_or(missing)? {
            BranchPlace::Star(_) => Ok(Site::Dead),
            winding => end_of(&assembly.circuit, winding, 0).ok_or(refuse("a winding that is not there")),
        },
        other => end_of(&assembly.circuit, other, end).ok_or(missing),
    }
}

fn end_of(circuit: &Circuit, place: &BranchPlace, end: usize) -> Option<Site> {
    let alive = |bus: u32| circuit.buses[bus as usize].energized;
    match place {
        BranchPlace::Series(k) => {
            let series = &circuit.series[*k as usize];
            let place = match end {
                0 => FlowPlace::SeriesFrom(*k),
                1 => FlowPlace::SeriesTo(*k),
                _ => return None,
            };
            Some(if alive(series.from) { Site::Flow(place) } else { Site::Dead })
        }
        BranchPlace::General(element, terminals) => {
            let buses = &circuit.general[*element as usize].terminals;
            let Some(&(bus, _)) = buses.iter().find(|(bus, _)| alive(*bus)) else { return Some(Site::Dead) };
            Some(match *terminals.get(end)? {
                Some(terminal) => Site::Flow(FlowPlace::General { element: *element, terminal }),
                None => Site::Open { bus },
            })
        }
        BranchPlace::Star(_) | BranchPlace::Off => Some(Site::Dead),
    }
}

/// Where an appliance sensor sits. `member` finds its node and its place there.
pub(super) fn appliance(
    assembly: &Assembly,
    sensor: &Sensor,
    id: u32,
    member: impl FnOnce(u32) -> Option<(u32, u32)>,
) -> Result<Site, SensorError> {
    if matches!(sensor.value, SensorValue::Current { .. }) {
        return Err(SensorError::Place { sensor: sensor.id, quantity: "current", place: "an appliance" });
    }
    let unknown = SensorError::Unknown { sensor: sensor.id, kind: "appliance", object: id };
    let (bus, place) = assembly.appliances.get(&id).ok_or(unknown.clone())?;
    let alive = assembly.circuit.buses[*bus as usize].energized;
    match place {
        _ if !alive => Ok(Site::Dead),
        AppliancePlace::Off => Ok(Site::Open { bus: *bus }),
        AppliancePlace::Shunt(k) => Ok(Site::Flow(FlowPlace::Shunt(*k))),
        AppliancePlace::Ports(_) | AppliancePlace::Source(_) => {
            let (node, member) = member(id).ok_or(unknown)?;
            Ok(Site::Appliance { node, member })
        }
    }
}

/// Whether a quantity can be measured at a kind of place.
pub(super) fn fits(sensor: &Sensor) -> Result<(), SensorError> {
    let place = match (sensor.place, &sensor.value) {
        (SensorPlace::Bus(_), SensorValue::Voltage { .. })
        | (SensorPlace::BusInjection(_) | SensorPlace::Appliance(_), SensorValue::Power { .. })
        | (SensorPlace::Branch(..), SensorValue::Power { .. } | SensorValue::Current { .. }) => return Ok(()),
        (SensorPlace::Bus(_), _) => "a bus (its injection is another place)",
        (SensorPlace::BusInjection(_), _) => "the injection of a bus",
        (SensorPlace::Appliance(_), _) => "an appliance",
        (SensorPlace::Branch(..), _) => "a branch",
    };
    Err(SensorError::Place { sensor: sensor.id, quantity: quantity(&sensor.value), place })
}
