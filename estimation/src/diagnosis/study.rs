//! Random feeders with sensors for tests: truth, meters with errors, all from one seed.

use super::dense::Dense;
use super::fitted::{Evidence, Fits, Fitted};
use super::rows::{Row, rows};
use crate::circuit::{
    Circuit, CircuitBus, CircuitSource, Coupling, FlowPlace, GROUND, InjectionReading, LoadPort,
    PowerReading, Readings, Series, VoltageReading,
};
use crate::solve::{NoSolution, Tolerance};
use crate::sparse::{General, Method, power_flow};
use num_complex::Complex64;
use std::f64::consts::TAU;

/// splitmix64 with normal deviates.
pub(crate) struct Dice(pub u64);

impl Dice {
    pub fn next(&mut self) -> u64 {
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
    pub fn below(&mut self, n: usize) -> usize {
        (self.unit() * n as f64) as usize
    }
    pub fn normal(&mut self) -> f64 {
        (-2.0 * (1.0 - self.unit()).ln()).sqrt() * (TAU * self.unit()).cos()
    }
}

/// A feeder: the circuit, what its loads are expected to take, and the readings without values.
pub(crate) struct Study {
    pub circuit: Circuit,
    pub readings: Readings,
    /// Series elements that are ties between branches, open in truth: not in the circuit.
    pub ties: Vec<Series>,
}

const LOAD_STD: f64 = 0.3;

impl Study {
    /// A feeder of `buses`; `wires` 1 or 3; `loops` ties are closed, as many again are left open.
    pub fn new(seed: u64, buses: usize, wires: u8, loops: usize) -> Self {
        let mut dice = Dice(seed);
        let third = TAU / 3.0;
        let emf: Vec<Complex64> =
            (0..wires).map(|k| Complex64::from_polar(1.0, -third * f64::from(k))).collect();
        let z = |r: f64, x: f64, scale: f64| match wires {
            1 => Coupling::Even { own: Complex64::new(r, x) * scale, mutual: Complex64::ZERO },
            _ => Coupling::from_sequence(
                Complex64::new(r, x) * scale,
                Complex64::new(3.0 * r, 3.0 * x) * scale,
            ),
        };
        let series = |from: usize, to: usize, z: Coupling| Series {
            from: from as u32,
            to: to as u32,
            ratio: None,
            z,
            y_from: Coupling::Zero,
            y_to: Coupling::Zero,
        };
        let mut circuit = Circuit {
            s_base_va: 1e6 / f64::from(wires),
            buses: (0..buses as u32)
                .map(|k| CircuitBus {
                    first_wire: k * u32::from(wires),
                    wires,
                    energized: true,
                    u_base_v: 5_800.0,
                })
                .collect(),
            sources: vec![CircuitSource { bus: 0, emf, y: z(1.0, 1.0, 0.0) }],
            ..Circuit::default()
        };
        circuit.sources[0].y = match wires {
            1 => Coupling::Even { own: Complex64::new(500.0, -2000.0), mutual: Complex64::ZERO },
            _ => Coupling::from_sequence(Complex64::new(500.0, -2000.0), Complex64::new(500.0, -2000.0)),
        };
        for to in 1..buses {
            let from = to - 1 - dice.below(to.min(4));
            let scale = 0.004 + 0.008 * dice.unit();
            circuit.series.push(series(from, to, z(0.5, 0.6, scale)));
        }
        let mut ties = Vec::new();
        while ties.len() < 2 * loops {
            let (a, b) = (1 + dice.below(buses - 1), 1 + dice.below(buses - 1));
            if a.abs_diff(b) > 3 {
                ties.push(series(a, b, z(0.5, 0.6, 0.006 + 0.006 * dice.unit())));
            }
        }
        circuit.series.extend(ties.drain(..loops));
        let readings = template(&circuit, &mut dice);
        Self { circuit, readings, ties }
    }

    /// A true state: every load at its expectation with a random deviation.
    pub fn truth(&self, circuit: &Circuit, dice: &mut Dice) -> Option<Vec<Complex64>> {
        let off = |reading: &InjectionReading, dice: &mut Dice| {
            let std = self.expected_std(reading);
            Complex64::new(dice.normal() * std.0, dice.normal() * std.1)
        };
        let loads: Vec<Complex64> = self.readings.injections.iter().map(|r| r.s + off(r, dice)).collect();
        self.flow(circuit, &loads)
    }

    /// The state in which every load takes what its reading says.
    pub fn exact(&self, circuit: &Circuit) -> Option<Vec<Complex64>> {
        let loads: Vec<Complex64> = self.readings.injections.iter().map(|reading| reading.s).collect();
        self.flow(circuit, &loads)
    }

    fn flow(&self, circuit: &Circuit, loads: &[Complex64]) -> Option<Vec<Complex64>> {
        let mut circuit = circuit.clone();
        let port = |(reading, power): (&InjectionReading, &Complex64)| LoadPort {
            bus: reading.bus,
            plus: reading.wire,
            minus: GROUND,
            u_nominal: 1.0,
            power: *power,
            current: Complex64::ZERO,
            impedance: Complex64::ZERO,
            limits: None,
        };
        circuit.ports = self.readings.injections.iter().zip(loads).map(port).collect();
        let tolerance = Tolerance { voltage_pu: 1e-11, iterations_max: 100 };
        power_flow(&circuit, &tolerance, Method::FixedPoint).ok().map(|solved| solved.voltages)
    }

    /// How far loads are from their expectation in truth.
    fn expected_std(&self, reading: &InjectionReading) -> (f64, f64) {
        (LOAD_STD * reading.s.re.abs().max(1e-4), LOAD_STD * reading.s.im.abs().max(1e-4))
    }

    /// Readings of a true state of a circuit, with the errors that their variances say; pseudo-readings keep their value
    /// (the truth deviates from them).
    pub fn read(&self, circuit: &Circuit, truth: &[Complex64], dice: &mut Dice) -> Readings {
        let mut readings = self.readings.clone();
        for row in rows(circuit, &self.readings, truth).iter().filter(|row| !row.pseudo) {
            shift(&mut readings, row, row.variance.sqrt() * dice.normal() - row.residual);
        }
        readings
    }

    /// An estimate with what it says.
    pub fn estimate(&self, circuit: &Circuit, readings: &Readings) -> Option<(Box<dyn Fitted>, Evidence)> {
        let kept = Either.fit(circuit, readings).ok()?;
        let evidence = Evidence::new(circuit, readings, &*kept);
        Some((kept, evidence))
    }
}

/// The general estimator; where it finds no solution it is said aloud, and dense matrices try.
pub(crate) struct Either;

impl Fits for Either {
    fn fit(&self, circuit: &Circuit, readings: &Readings) -> Result<Box<dyn Fitted>, NoSolution> {
        let tolerance = Tolerance { voltage_pu: 1e-9, iterations_max: 50 };
        match (General { tolerance }).fit(circuit, readings) {
            Ok(fit) => Ok(fit),
            Err(error) => {
                let dense = Fits::fit(&Dense, circuit, readings);
                let outcome = if dense.is_ok() { "solves it" } else { "neither" };
                println!("the general estimator: {error}; the dense one: {outcome}");
                dense
            }
        }
    }
}

/// Adds to the measured value of a row.
pub(crate) fn shift(readings: &mut Readings, row: &Row, by: f64) {
    use super::rows::{Part, Reading};
    match (row.reading, row.part) {
        (Reading::Voltage(at), Part::Angle) => {
            let reading = &mut readings.voltages[at as usize];
            reading.angle = reading.angle.map(|angle| angle + by);
        }
        (Reading::Voltage(at), _) => readings.voltages[at as usize].magnitude += by,
        (Reading::Injection(at), Part::Active) => readings.injections[at as usize].s.re += by,
        (Reading::Injection(at), _) => readings.injections[at as usize].s.im += by,
        (Reading::Power(at), Part::Active) => readings.powers[at as usize].s.re += by,
        (Reading::Power(at), _) => readings.powers[at as usize].s.im += by,
        (Reading::Current(at), _) => readings.currents[at as usize].magnitude += by,
    }
}

/// Sensors: a fifth of the loads metered, the others expected; voltages at a third of the buses; flows at a third of the
/// lines; the source is free.
fn template(circuit: &Circuit, dice: &mut Dice) -> Readings {
    let wires = circuit.buses[0].wires;
    let mut readings = Readings::default();
    let (mut metered, mut expected) = (Vec::new(), Vec::new());
    readings.free = circuit.wires(0).map(|wire| wire as u32).collect();
    let mut sensor = 0;
    for bus in 1..circuit.buses.len() as u32 {
        if dice.unit() < 0.2 {
            continue;
        }
        let meter = dice.unit() < 0.3;
        for wire in 0..wires {
            let s = Complex64::new(0.05 + 0.15 * dice.unit(), 0.02 + 0.05 * dice.unit());
            let std = if meter { 0.01 } else { LOAD_STD };
            let reading = InjectionReading {
                sensor,
                bus,
                wire,
                s,
                variance_p: (std * s.re).powi(2),
                variance_q: (std * s.im).powi(2),
            };
            if meter {
                metered.push(reading)
            } else {
                expected.push(reading)
            }
            sensor += 1;
        }
    }
    readings.first_pseudo = Some(metered.len() as u32);
    readings.injections = metered;
    readings.injections.extend(expected);
    for bus in 0..circuit.buses.len() as u32 {
        if bus > 0 && dice.unit() > 0.4 {
            continue;
        }
        for wire in 0..wires {
            // The reference: angles at the source's bus.
            let angle = (bus == 0).then(|| -TAU * f64::from(wire) / 3.0);
            let variance = 0.002_f64.powi(2);
            let (magnitude, variance_across) = (1.0, variance);
            let reading = VoltageReading { sensor, bus, wire, magnitude, angle, variance, variance_across };
            readings.voltages.push(reading);
            sensor += 1;
        }
    }
    for element in 0..circuit.series.len() as u32 {
        if element > 0 && dice.unit() > 0.35 {
            continue;
        }
        for wire in 0..wires {
            let std = 0.01_f64;
            readings.powers.push(PowerReading {
                sensor,
                place: FlowPlace::SeriesFrom(element),
                wire: Some(wire),
                s: Complex64::ZERO,
                variance_p: Some(std * std),
                variance_q: Some(std * std),
            });
            sensor += 1;
        }
    }
    readings
}
