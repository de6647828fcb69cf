//! What makes a set of parts a network: unique numbers, known buses, physical attributes, everything fed.

mod appliances;
mod branches;

pub(super) use appliances::check_appliances;
pub(super) use branches::check_branches;

use super::{Bus, NetworkError, NetworkParts, Terminal, Wire};
use crate::id::BusId;
use std::collections::{BTreeMap, BTreeSet};

/// Most conductors of a terminal.
const WIRES_MAX: usize = 8;

/// Position of each bus.
pub(super) type BusIndex = BTreeMap<BusId, usize>;
type Check = Result<(), NetworkError>;

pub(super) fn index_buses(buses: &[Bus]) -> Result<BusIndex, NetworkError> {
    let mut order = Vec::with_capacity(buses.len());
    for (position, bus) in buses.iter().enumerate() {
        let here = Component { kind: "bus", id: bus.id.0 };
        here.positive("rated voltage in V", bus.u_rated_v)?;
        if let Some((x, y)) = bus.position_m {
            here.finite("x coordinate in m", x)?;
            here.finite("y coordinate in m", y)?;
        }
        order.push((bus.id, position));
    }
    order.sort_unstable();
    if let Some(pair) = order.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(NetworkError::Duplicate { kind: "bus", id: pair[0].0.0 });
    }
    Ok(order.into_iter().collect())
}

pub(super) fn check_frequency(parts: &NetworkParts) -> Check {
    match parts.frequency_hz {
        Some(hz) => Component { kind: "network", id: 0 }.positive("frequency in Hz", hz),
        None => Ok(()),
    }
}

pub(super) fn check_controls(parts: &NetworkParts) -> Check {
    let loads: BTreeSet<u32> = parts.loads.iter().map(|load| load.id).collect();
    for regulator in &parts.voltage_regulators {
        let here = Component { kind: "voltage regulator", id: regulator.id };
        here.positive("u_ref in p.u.", regulator.u_ref_pu)?;
        let (low, high) = regulator.q_range_var;
        let good = low <= high && !low.is_nan() && !high.is_nan();
        here.accept(good, "q_min in var", low, "a number not above q_max is needed")?;
        here.refers(loads.contains(&regulator.appliance), "load", regulator.appliance)?;
    }
    let transformers: BTreeSet<u32> = (parts.transformers.iter().map(|t| t.id.0))
        .chain(parts.three_winding_transformers.iter().map(|t| t.id.0))
        .chain(parts.winding_transformers.iter().map(|t| t.id.0))
        .collect();
    for regulator in &parts.tap_regulators {
        let here = Component { kind: "tap regulator", id: regulator.id };
        here.not_negative("u_set in V", regulator.u_set_v)?;
        here.not_negative("u_band in V", regulator.band_v)?;
        here.refers(transformers.contains(&regulator.transformer.0), "transformer", regulator.transformer.0)?;
    }
    let capacitors: BTreeSet<u32> = parts.capacitors.iter().map(|capacitor| capacitor.id).collect();
    for control in &parts.capacitor_controls {
        let here = Component { kind: "capacitor control", id: control.id };
        here.finite("on setting", control.on_setting)?;
        here.finite("off setting", control.off_setting)?;
        here.positive("voltage-transformer ratio", control.pt_ratio)?;
        here.positive("current-transformer ratio", control.ct_ratio)?;
        here.refers(capacitors.contains(&control.capacitor), "capacitor", control.capacitor)?;
    }
    Ok(())
}

/// Every bus has a way to a source, over closed and open branches alike: an open switch is no mistake of the data.
pub(super) fn check_islands(parts: &NetworkParts, buses: &BusIndex) -> Check {
    let mut neighbours: Vec<Vec<usize>> = vec![Vec::new(); parts.buses.len()];
    branches::for_each_pair(parts, |one, other| {
        if let (Some(&one), Some(&other)) = (buses.get(&one), buses.get(&other)) {
            neighbours[one].push(other);
            neighbours[other].push(one);
        }
    });
    let mut fed = vec![false; parts.buses.len()];
    let mut waiting: Vec<usize> =
        parts.sources.iter().filter_map(|source| buses.get(&source.bus).copied()).collect();
    while let Some(bus) = waiting.pop() {
        if !std::mem::replace(&mut fed[bus], true) {
            waiting.extend(neighbours[bus].iter().copied().filter(|&next| !fed[next]));
        }
    }
    match fed.iter().position(|fed| !fed) {
        None => Ok(()),
        Some(first) => Err(NetworkError::Island {
            count: fed.iter().filter(|fed| !**fed).count(),
            first: parts.buses[first].id,
        }),
    }
}

/// A component under check: errors carry its name.
#[derive(Clone, Copy)]
struct Component {
    kind: &'static str,
    id: u32,
}

impl Component {
    fn at(self, buses: &BusIndex, bus: BusId) -> Check {
        if buses.contains_key(&bus) {
            return Ok(());
        }
        Err(NetworkError::UnknownBus { kind: self.kind, id: self.id, bus })
    }

    /// A known bus, 1 to 8 conductors, none twice, the earth excepted.
    fn terminal(self, buses: &BusIndex, terminal: &Terminal) -> Check {
        self.at(buses, terminal.bus)?;
        let wires = &terminal.wires;
        self.wires((1..=WIRES_MAX).contains(&wires.len()), "a terminal has 1 to 8 conductors")?;
        for (position, wire) in wires.iter().enumerate() {
            let again = *wire != Wire::GROUND && wires[..position].contains(wire);
            self.wires(!again, "a conductor is named twice at one terminal")?;
            self.wires(wire.0 < 64, "conductor numbers go from 0 (the earth) to 63")?;
        }
        Ok(())
    }

    fn wires(self, good: bool, problem: &'static str) -> Check {
        if good { Ok(()) } else { Err(NetworkError::Wires { kind: self.kind, id: self.id, problem }) }
    }

    fn refers(self, good: bool, target_kind: &'static str, target: u32) -> Check {
        if good {
            return Ok(());
        }
        Err(NetworkError::UnknownComponent { kind: self.kind, id: self.id, target_kind, target })
    }

    fn finite(self, attribute: &'static str, value: f64) -> Check {
        self.accept(value.is_finite() && value.abs() < 1e15, attribute, value, "a finite number is needed")
    }

    fn positive(self, attribute: &'static str, value: f64) -> Check {
        let good = value > 0.0 && value < 1e15;
        self.accept(good, attribute, value, "a positive finite number is needed")
    }

    fn not_negative(self, attribute: &'static str, value: f64) -> Check {
        let good = (0.0..1e15).contains(&value);
        self.accept(good, attribute, value, "zero or a positive finite number is needed")
    }

    fn accept(self, good: bool, attribute: &'static str, value: f64, expected: &'static str) -> Check {
        if good {
            return Ok(());
        }
        Err(NetworkError::Attribute { kind: self.kind, id: self.id, attribute, value, expected })
    }
}

/// No number twice.
fn unique(mut numbers: Vec<Component>) -> Check {
    numbers.sort_by_key(|component| component.id);
    match numbers.windows(2).find(|pair| pair[0].id == pair[1].id) {
        Some(pair) => Err(NetworkError::Duplicate { kind: pair[1].kind, id: pair[1].id }),
        None => Ok(()),
    }
}
