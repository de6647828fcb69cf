//! Line monitors: one on the first line behind the transformer (or on each, where several leave it), some where the feeder branches. Each reads active
//! and reactive power, current and voltage of every phase at its line's `from` side, as mean of the last minute.

use crate::plant::Plant;
use crate::plant::stream::{Purpose, normal, stream};
use crate::plant::topology::{homes_behind, tree};
use crate::scenario::{FieldSettings, Scenario};
use estimation::Feeder;
use grid::telemetry::Element;
use grid::{Measurement, Phase, PointId, Quality, Quantity};

/// Least number of homes in each arm of a junction that is worth a monitor.
const ARM_HOMES_MIN: usize = 4;

/// A monitor on a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Monitor {
    /// Position of the line in the network.
    pub line: usize,
    /// Position of the bus at its `from` side.
    pub bus: usize,
}

/// All monitors of a feeder.
#[derive(Debug, Clone)]
pub struct Instruments {
    monitors: Vec<Monitor>,
    settings: FieldSettings,
    seed: u64,
}

impl Instruments {
    /// Chooses the places: the line that carries everyone, then the arms of junctions, the most loaded first.
    pub fn place(feeder: &Feeder, scenario: &Scenario) -> Self {
        let monitors = places(feeder, scenario.field.line_monitors);
        Self { monitors, settings: scenario.field.clone(), seed: scenario.seed }
    }

    /// Where they are; the first one is behind the transformer.
    pub fn monitors(&self) -> &[Monitor] {
        &self.monitors
    }

    /// One reading of every quantity of every monitor, with its error. A bus voltage is read once.
    pub fn read(&self, plant: &Plant) -> Vec<Measurement> {
        let network = plant.feeder().network();
        let flow = plant.flow();
        let mut readings = Vec::with_capacity(self.monitors.len() * 12);
        for (number, monitor) in self.monitors.iter().enumerate() {
            let branch = Element::Branch(network.lines()[monitor.line].id);
            let bus = Element::Bus(network.buses()[monitor.bus].id);
            let first_at_bus = self.monitors[..number].iter().all(|other| other.bus != monitor.bus);
            for phase in Phase::ALL {
                let power_va = flow.powers_from_va[monitor.line][phase.index()];
                let current_a = flow.currents_from_a[monitor.line][phase.index()].norm();
                let voltage_v = flow.voltages_v[monitor.bus][phase.index()].norm();
                let power_error_va = self.settings.noise_power * power_va.norm();
                let current_error_a = self.settings.noise_current * current_a;
                let voltage_error_v = self.settings.noise_voltage * voltage_v;
                let mut read = |element, quantity, value, error| {
                    let point = PointId { element, quantity, phase: Some(phase) };
                    readings.push(self.reading(plant, point, value, error));
                };
                read(branch, Quantity::ActivePower, power_va.re, power_error_va);
                read(branch, Quantity::ReactivePower, power_va.im, power_error_va);
                read(branch, Quantity::CurrentMagnitude, current_a, current_error_a);
                if first_at_bus {
                    read(bus, Quantity::VoltageMagnitude, voltage_v, voltage_error_v);
                }
            }
        }
        readings
    }

    fn reading(&self, plant: &Plant, point: PointId, value: f64, error: f64) -> Measurement {
        let at = plant.now();
        let mut rng = stream(self.seed, Purpose::Noise, code(point), at.seconds());
        let mut value = value + error * normal(&mut rng).clamp(-4.0, 4.0);
        if matches!(point.quantity, Quantity::CurrentMagnitude | Quantity::VoltageMagnitude) {
            value = value.max(0.0);
        }
        Measurement { point, value, quality: Quality::Measured, measured_at: at, received_at: at }
    }
}

/// A number of its own for every point: the name of its random stream.
pub(crate) fn code(point: PointId) -> u64 {
    let (kind, number) = match point.element {
        Element::Bus(id) => (0, id.0),
        Element::Branch(id) => (1, id.0),
        Element::UsagePoint(id) => (2, id.0),
        Element::Device(id) => (3, id.0),
    };
    let phase = point.phase.map_or(3, |phase| phase.index() as u64);
    u64::from(number) << 8 | kind << 6 | (point.quantity as u64) << 2 | phase
}

fn places(feeder: &Feeder, count: usize) -> Vec<Monitor> {
    let network = feeder.network();
    let homes = homes_behind(network);
    let lines = network.lines();
    let monitor = |line: usize| {
        let bus = network.bus_index(lines[line].from).unwrap_or_default();
        Monitor { line, bus }
    };
    let all = network.usage_points().len();
    // The section that everything passes, or the feeders that leave the transformer.
    let mut heads: Vec<usize> = (0..lines.len()).find(|&line| homes[line] == all).into_iter().collect();
    if heads.is_empty() {
        let busbars: Vec<_> = network.transformers().iter().map(|transformer| transformer.to).collect();
        heads =
            (0..lines.len()).filter(|&line| homes[line] > 0 && busbars.contains(&lines[line].from)).collect();
    }
    let mut arms: Vec<Vec<usize>> = vec![Vec::new(); network.buses().len()];
    for (_, above) in tree(network) {
        if let Some((parent, branch)) = above
            && branch < lines.len()
            && homes[branch] >= ARM_HOMES_MIN
        {
            arms[parent].push(branch);
        }
    }
    let mut junctions: Vec<usize> = arms.into_iter().filter(|arms| arms.len() > 1).flatten().collect();
    junctions.sort_by_key(|&line| (std::cmp::Reverse(homes[line]), line));
    junctions.retain(|line| !heads.contains(line));
    junctions.truncate(count);
    heads.into_iter().chain(junctions).map(monitor).collect()
}
