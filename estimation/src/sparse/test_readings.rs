//! Random readings of the circuits that tests are about.

use super::test_circuits::element_currents;
use super::{Method, power_flow};
use crate::circuit::{
    Circuit, CurrentReading, FlowPlace, InjectionReading, PowerReading, Readings, VoltageReading,
};
use crate::solve::Tolerance;
use num_complex::Complex64;

/// Below what a tenth digit shows.
pub(crate) const TIGHT: Tolerance = Tolerance { voltage_pu: 1e-12, iterations_max: 100 };

/// A random number in ±1.
pub(crate) fn noise(seed: &mut u64) -> f64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*seed >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
}

pub(crate) fn chance(seed: &mut u64, share: f64) -> bool {
    noise(seed) < 2.0 * share - 1.0
}

/// True voltages and random readings; enough of them unless `sparse`.
pub(crate) fn measure(net: &Circuit, mut seed: u64, sparse: bool) -> (Vec<Complex64>, Readings) {
    let truth = power_flow(net, &TIGHT, Method::FixedPoint).unwrap().voltages;
    let seed = &mut seed;
    let mut readings = Readings::default();
    let flows = element_currents(net, &truth, false);
    let mut taken = vec![Complex64::ZERO; truth.len()];
    for (_, bus, currents) in &flows {
        for (k, current) in currents.iter().enumerate() {
            taken[net.wires(*bus).start + k] -= current;
        }
    }
    let phasors = chance(seed, 0.4);
    for at in 0..net.buses.len() as u32 {
        let loaded = net.ports.iter().any(|port| port.bus == at);
        for (k, wire) in net.wires(at).enumerate() {
            let v = truth[wire];
            if if at == 0 { !sparse || k > 0 } else { chance(seed, 0.4) } {
                let mut reading = VoltageReading {
                    sensor: 0,
                    bus: at,
                    wire: k as u8,
                    magnitude: v.norm() + 1e-3 * noise(seed),
                    angle: phasors.then(|| v.arg() + 1e-3 * noise(seed)),
                    variance: if chance(seed, 0.1) { f64::INFINITY } else { 1e-6 },
                    variance_across: 0.0,
                };
                // Not the same, so that it shows which is which.
                reading.variance_across = 4.0 * reading.variance;
                readings.voltages.push(reading);
            }
            if at == 0 || (loaded && chance(seed, if sparse { 0.3 } else { 0.05 })) {
                readings.free.push(wire as u32);
            } else if loaded {
                let s = v * taken[wire].conj();
                let exact = chance(seed, 0.1);
                let error =
                    if exact { Complex64::ZERO } else { Complex64::new(noise(seed), noise(seed)) * 0.02 };
                readings.injections.push(InjectionReading {
                    sensor: 0,
                    bus: at,
                    wire: k as u8,
                    s: s + error,
                    variance_p: if exact { 0.0 } else { 4e-4 },
                    variance_q: if exact { 0.0 } else { 9e-4 },
                });
            }
        }
    }
    for (place, bus, currents) in &flows {
        let first = net.wires(*bus).start;
        if chance(seed, 0.2) {
            let wire = chance(seed, 0.6).then_some(0);
            let s: Complex64 = currents
                .iter()
                .enumerate()
                .filter(|(k, _)| wire.is_none() || *k == 0)
                .map(|(k, current)| truth[first + k] * current.conj())
                .sum();
            readings.powers.push(PowerReading {
                sensor: 0,
                place: *place,
                wire,
                s: s + Complex64::new(noise(seed), noise(seed)) * 0.01,
                variance_p: Some(1e-4),
                variance_q: chance(seed, 0.5).then_some(1e-4),
            });
        }
        for (k, current) in currents.iter().enumerate() {
            if chance(seed, 0.15) && current.norm() > 0.1 {
                let from_voltage = chance(seed, 0.5);
                let from = if from_voltage { truth[first + k].arg() } else { 0.0 };
                readings.currents.push(CurrentReading {
                    sensor: 0,
                    place: *place,
                    wire: k as u8,
                    magnitude: current.norm() + 1e-3 * noise(seed),
                    angle: ((phasors || from_voltage) && chance(seed, 0.7))
                        .then(|| current.arg() - from + 0.01 * noise(seed)),
                    angle_from_voltage: from_voltage,
                    variance: 1e-5,
                    variance_across: 4e-5,
                });
            }
        }
    }
    if chance(seed, 0.5) {
        let last = net.buses.len() as u32 - 1;
        let wire = net.wires(last).start;
        let drawn: Complex64 = flows
            .iter()
            .filter(|(place, bus, _)| *bus == last && !matches!(place, FlowPlace::Shunt(_)))
            .map(|(_, _, currents)| -currents[0])
            .sum();
        readings.powers.push(PowerReading {
            sensor: 0,
            place: FlowPlace::Bus(last),
            wire: Some(0),
            s: truth[wire] * drawn.conj() + 0.003,
            variance_p: Some(1e-4),
            variance_q: Some(1e-4),
        });
    }
    (truth, readings)
}

/// Other values of the same readings: true powers and voltages moved by `share` of themselves.
pub(crate) fn moved(readings: &Readings, mut seed: u64, share: f64) -> Readings {
    let mut moved = readings.clone();
    moved.voltages.iter_mut().for_each(|reading| reading.magnitude *= 1.0 + 0.1 * share * noise(&mut seed));
    moved.injections.iter_mut().for_each(|reading| reading.s *= 1.0 + share * noise(&mut seed));
    moved
}
