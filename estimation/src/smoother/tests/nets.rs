//! Random small trees with random sensors, and readings that a true state would give, with noise.

use crate::circuit::{
    Circuit, CircuitBus, CircuitShunt, CircuitSource, Coupling, CurrentReading, FlowPlace, InjectionReading,
    PowerReading, Readings, Series, Tree, VoltageReading,
};
use nalgebra::{DMatrix, DVector};
use num_complex::Complex64;

/// A stream of numbers from a seed (splitmix64).
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x1234_5678)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// In [0, 1).
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    pub fn chance(&mut self, share: f64) -> bool {
        self.unit() < share
    }

    pub fn gauss(&mut self) -> f64 {
        let (a, b) = (self.unit().max(1e-300), self.unit());
        (-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos()
    }
}

/// A network with its truth.
pub struct Case {
    pub circuit: Circuit,
    pub tree: Tree,
    /// True voltages by global wire.
    pub truth: DVector<Complex64>,
}

/// What to put into a case.
#[derive(Clone, Copy, Default)]
pub struct Sensors {
    pub flows: bool,
    pub currents: bool,
    pub phasors: bool,
    pub free: bool,
    pub bus_powers: bool,
    pub unequal: bool,
}

/// A random tree of `buses` buses with `wires` wires.
pub fn random_case(dice: &mut Dice, buses: usize, wires: usize) -> Case {
    let mut circuit = Circuit { s_base_va: 1e6 / wires as f64, ..Circuit::default() };
    for bus in 0..buses {
        let first_wire = (bus * wires) as u32;
        circuit.buses.push(CircuitBus { first_wire, wires: wires as u8, energized: true, u_base_v: 230.0 });
    }
    for bus in 1..buses {
        let parent = if dice.chance(0.5) { bus - 1 } else { dice.below(bus) };
        let series = random_series(dice, parent as u32, bus as u32, wires);
        circuit.series.push(series);
        if dice.chance(0.15) {
            let y = Coupling::Even { own: Complex64::new(0.02, 0.05), mutual: Complex64::new(-0.005, 0.0) };
            circuit.shunts.push(CircuitShunt { bus: bus as u32, y });
        }
    }
    let emf =
        (0..wires).map(|k| Complex64::cis(-(k as f64) * std::f64::consts::TAU / wires as f64)).collect();
    circuit.sources.push(CircuitSource { bus: 0, emf, y: Coupling::Zero });
    let tree = Tree::new(&circuit).expect("a tree");
    let truth = true_state(dice, &circuit, &tree, wires);
    Case { circuit, tree, truth }
}

fn random_series(dice: &mut Dice, parent: u32, child: u32, wires: usize) -> Series {
    let r = dice.between(0.002, 0.03);
    let x = dice.between(0.002, 0.03);
    let own = Complex64::new(r * 1.3, x * 1.2);
    let mutual = Complex64::new(r * 0.3, x * 0.2);
    let mut z = Coupling::Even { own, mutual };
    if dice.chance(0.3) {
        let skew = DMatrix::from_fn(wires, wires, |a, b| {
            let same = if a == b { 1.0 + 0.2 * a as f64 } else { 0.1 * (a + b) as f64 };
            Complex64::new(r * same, x * same)
        });
        z = Coupling::Full(Box::new(skew));
    }
    let charge = Coupling::Even { own: Complex64::new(0.0, 2e-3), mutual: Complex64::new(0.0, -4e-4) };
    let (mut y_from, mut y_to) = (charge.clone(), charge);
    let kind = dice.unit();
    let ratio = dice.between(0.96, 1.04);
    let mut turned = dice.chance(0.3);
    let ratio = match (kind, wires) {
        (k, _) if k < 0.7 => None,
        (k, 1) if k < 1.0 => {
            Some(DMatrix::from_element(1, 1, Complex64::from_polar(ratio, -std::f64::consts::FRAC_PI_6)))
        }
        (k, _) if k < 0.85 => Some(DMatrix::identity(wires, wires) * Complex64::from(ratio)),
        _ => {
            turned = false;
            let f = ratio / 3.0_f64.sqrt();
            y_from = Coupling::Zero;
            y_to = Coupling::Even { own: Complex64::new(1e-3, -4e-3), mutual: Complex64::ZERO };
            Some(DMatrix::from_fn(wires, wires, |a, b| {
                Complex64::from(if a == b {
                    f
                } else if b == (a + 1) % wires {
                    -f
                } else {
                    0.0
                })
            }))
        }
    };
    let (from, to) = if turned { (child, parent) } else { (parent, child) };
    Series { from, to, ratio: ratio.map(Box::new), z, y_from, y_to }
}

/// Some plausible state: sweeps with random constant-power loads.
fn true_state(dice: &mut Dice, circuit: &Circuit, tree: &Tree, wires: usize) -> DVector<Complex64> {
    let count = circuit.buses.len();
    let mut s = vec![Complex64::ZERO; count * wires];
    for value in &mut s {
        if dice.chance(0.6) {
            *value = Complex64::new(dice.between(0.0, 0.25), dice.between(-0.05, 0.1));
        }
    }
    // Buses where nothing is taken.
    for bus in 0..count {
        if bus == 0 || dice.chance(0.25) {
            s[bus * wires..(bus + 1) * wires].fill(Complex64::ZERO);
        }
    }
    let mut v = DVector::zeros(count * wires);
    for k in 0..wires {
        v[k] = Complex64::from_polar(1.01, -(k as f64) * std::f64::consts::TAU / wires as f64);
    }
    let y = super::oracle::admittance(circuit);
    let mut j = vec![DVector::zeros(wires); count];
    for _ in 0..60 {
        for at in 1..count {
            let (t, z) = tree.downstream(circuit, at).expect("a ratio");
            let parent = v.rows(tree.order[tree.parent[at] as usize] as usize * wires, wires).into_owned();
            let u = t.map_or(parent.clone(), |t| t * &parent);
            let here = u - z.to_matrix(wires) * &j[at];
            v.rows_mut(tree.order[at] as usize * wires, wires).copy_from(&here);
        }
        for at in (1..count).rev() {
            let bus = tree.order[at] as usize;
            let mut sum = DVector::zeros(wires);
            for k in 0..wires {
                let w = bus * wires + k;
                sum[k] = (s[w] / v[w]).conj();
            }
            sum += y.shunt(bus as u32) * v.rows(bus * wires, wires);
            for child in at + 1..count {
                if tree.parent[child] as usize == at {
                    let (t, _) = tree.downstream(circuit, child).expect("a ratio");
                    sum += t.map_or(j[child].clone(), |t| t.adjoint() * &j[child]);
                }
            }
            j[at] = sum;
        }
    }
    v
}

/// Readings of the truth: enough to be observable unless told otherwise.
pub fn readings(dice: &mut Dice, case: &Case, sensors: Sensors) -> Readings {
    let wires = case.circuit.uniform_wires().expect("uniform");
    let network = super::oracle::admittance(&case.circuit);
    let taken = network.injections(&case.truth);
    let power = |w: usize| case.truth[w] * taken[w].conj();
    let mut readings = Readings { free: (0..wires as u32).collect(), ..Readings::default() };
    let mut sensor = 0;
    for bus in 0..case.circuit.buses.len() as u32 {
        let measured = dice.chance(0.3) || bus == 1;
        for wire in 0..wires as u8 {
            let w = bus as usize * wires + usize::from(wire);
            if measured {
                let (magnitude, angle) = case.truth[w].to_polar();
                let sigma = if dice.chance(0.5) { 0.005 } else { 0.002 };
                readings.voltages.push(VoltageReading {
                    sensor,
                    bus,
                    wire,
                    magnitude: magnitude + sigma * dice.gauss(),
                    angle: (sensors.phasors && bus % 2 == 1).then(|| angle + sigma * dice.gauss()),
                    variance: sigma * sigma,
                    // Not the same, so that it shows which is which.
                    variance_across: 4.0 * sigma * sigma,
                });
                sensor += 1;
            }
            let s = power(w);
            if bus == 0 || s.norm() < 1e-9 {
                continue;
            }
            if sensors.free && dice.chance(0.1) {
                readings.free.push(w as u32);
                continue;
            }
            let sigma = 0.01 + 0.2 * s.norm() * dice.unit();
            let other = if sensors.unequal { 1.0 + 2.0 * dice.unit() } else { 1.0 };
            let noise = Complex64::new(sigma * dice.gauss(), sigma * other * dice.gauss());
            readings.injections.push(InjectionReading {
                sensor,
                bus,
                wire,
                s: s + noise,
                variance_p: sigma * sigma,
                variance_q: (sigma * other).powi(2),
            });
            sensor += 1;
        }
    }
    flows(dice, case, sensors, &network, &mut readings);
    readings
}

fn flows(
    dice: &mut Dice,
    case: &Case,
    sensors: Sensors,
    network: &super::oracle::Network,
    readings: &mut Readings,
) {
    let wires = case.circuit.uniform_wires().expect("uniform");
    let mut places = Vec::new();
    for element in 0..case.circuit.series.len() as u32 {
        places.push(FlowPlace::SeriesFrom(element));
        places.push(FlowPlace::SeriesTo(element));
    }
    let bus_powers = sensors.bus_powers;
    places.extend((0..case.circuit.buses.len() as u32).filter(|_| bus_powers).map(FlowPlace::Bus));
    for place in places {
        let at_bus = matches!(place, FlowPlace::Bus(_));
        let (v, i) = network.flow(place, &case.truth);
        let s: Vec<Complex64> = (0..wires).map(|k| v[k] * i[k].conj()).collect();
        if (sensors.flows || at_bus) && dice.chance(0.3) {
            let summed = dice.chance(0.3);
            let per_wire = if summed { 0..1 } else { 0..wires };
            for k in per_wire {
                let sigma = 0.01 + 0.02 * dice.unit();
                let value = if summed { s.iter().sum() } else { s[k] };
                let only_p = dice.chance(0.2);
                readings.powers.push(PowerReading {
                    sensor: 0,
                    place,
                    wire: (!summed).then_some(k as u8),
                    s: value + Complex64::new(sigma * dice.gauss(), sigma * dice.gauss()),
                    variance_p: Some(sigma * sigma),
                    variance_q: (!only_p).then_some(sigma * sigma * 1.5),
                });
            }
        }
        if sensors.currents && !at_bus && dice.chance(0.3) {
            let kind = dice.below(if sensors.phasors { 3 } else { 2 });
            for k in 0..wires {
                if i[k].norm() < 0.05 {
                    continue;
                }
                let sigma = 0.01;
                let (magnitude, angle) = i[k].to_polar();
                let relative = kind == 1;
                let angle = if relative { angle - v[k].arg() } else { angle } + 0.01 * dice.gauss();
                readings.currents.push(CurrentReading {
                    sensor: 0,
                    place,
                    wire: k as u8,
                    magnitude: (magnitude + sigma * dice.gauss()).abs(),
                    angle: (kind != 0).then_some(angle),
                    angle_from_voltage: relative,
                    variance: sigma * sigma,
                    variance_across: 1e-4,
                });
            }
        }
    }
}
