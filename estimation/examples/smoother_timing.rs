//! Times the smoother on synthetic radial areas: one 10.5 kV bus, branched feeders, a Dyn11 transformer per hundred
//! low-voltage buses, unbalanced loads with a 30 % pseudo-measurement or a 1 % meter, 5 % of the buses with voltmeters.
//!
//! ```text
//! cargo run --release -p estimation --example smoother_timing -- 1000 10000
//! ```
#![allow(clippy::disallowed_methods, clippy::print_stdout, clippy::unwrap_used)]

use estimation::circuit::{
    Circuit, CircuitBus, CircuitSource, Coupling, InjectionReading, Readings, Series, Tree, VoltageReading,
};
use estimation::smoother::{Changed, SETS, Smoother};
use estimation::solve::Tolerance;
use nalgebra::DMatrix;
use num_complex::Complex64;
use std::f64::consts::TAU;
use std::time::Instant;

const S_BASE: f64 = 1e6 / 3.0;

struct Dice(u64);

impl Dice {
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
    fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }
    fn below(&mut self, limit: usize) -> usize {
        ((self.unit() * limit as f64) as usize).min(limit - 1)
    }
    fn gauss(&mut self) -> f64 {
        (-2.0 * self.unit().max(1e-300).ln()).sqrt() * (TAU * self.unit()).cos()
    }
}

/// r1 x1 c1 r0 x0 c0 per km: medium voltage, low voltage, service drop.
const CABLES: [[f64; 6]; 3] = [
    [0.206, 0.110, 0.30e-6, 0.824, 0.385, 0.30e-6],
    [0.206, 0.079, 0.30e-6, 0.824, 0.277, 0.15e-6],
    [0.727, 0.083, 0.25e-6, 2.908, 0.291, 0.12e-6],
];

struct Net {
    circuit: Circuit,
    /// Bus and power per wire, p.u.
    loads: Vec<(u32, [Complex64; 3])>,
}

fn line(from: usize, to: usize, kind: usize, km: f64, u_base_v: f64) -> Series {
    let z_base = u_base_v * u_base_v / S_BASE;
    let c = CABLES[kind].map(|value| value * km);
    let omega = TAU * 50.0;
    let z = Coupling::from_sequence(Complex64::new(c[0], c[1]) / z_base, Complex64::new(c[3], c[4]) / z_base);
    let y = |c: f64| Complex64::new(0.0, omega * c * z_base / 2.0);
    let y = Coupling::from_sequence(y(c[2]), y(c[5]));
    Series { from: from as u32, to: to as u32, ratio: None, z, y_from: y.clone(), y_to: y }
}

fn transformer(from: usize, to: usize) -> Series {
    let f = 1.05 / 3.0_f64.sqrt();
    let t = DMatrix::from_fn(3, 3, |a, b| {
        Complex64::from(if a == b {
            f
        } else if b == (a + 1) % 3 {
            -f
        } else {
            0.0
        })
    });
    let z_base = 230.94 * 230.94 / S_BASE;
    let rated = 420.0_f64 * 420.0 / 630e3;
    let r = 6500.0 / 630e3;
    let x = (0.045_f64 * 0.045 - r * r).sqrt();
    let z = Coupling::Even { own: Complex64::new(r, x) * rated / z_base, mutual: Complex64::ZERO };
    let g = 800.0 / 630e3;
    let y = Complex64::new(g, -(0.002_f64 * 0.002 - g * g).max(0.0).sqrt()) / rated * z_base;
    let y_to = Coupling::Even { own: y, mutual: Complex64::ZERO };
    Series { from: from as u32, to: to as u32, ratio: Some(Box::new(t)), z, y_from: Coupling::Zero, y_to }
}

fn make(n: usize, dice: &mut Dice) -> Net {
    let stations = (((n - 1) as f64 / 102.0).round() as usize).max(1);
    let n_mv = 1 + stations;
    let feeders = (stations as f64 / 30.0).round().max(1.0) as usize;
    let mut circuit = Circuit { s_base_va: S_BASE, ..Circuit::default() };
    for bus in 0..n {
        let u_base_v = if bus < n_mv { 10500.0 } else { 400.0 } / 3.0_f64.sqrt();
        circuit.buses.push(CircuitBus { first_wire: 3 * bus as u32, wires: 3, energized: true, u_base_v });
    }
    let mut tips = vec![0; feeders];
    let mut members = vec![Vec::new(); feeders];
    for station in 1..n_mv {
        let feeder = (station - 1) % feeders;
        let spur = !members[feeder].is_empty() && dice.unit() < 0.2;
        let parent = if spur { members[feeder][dice.below(members[feeder].len())] } else { tips[feeder] };
        circuit.series.push(line(parent, station, 0, dice.between(0.2, 0.9), 10500.0 / 3.0_f64.sqrt()));
        tips[feeder] = station;
        members[feeder].push(station);
    }
    let mut loads = Vec::new();
    let mut next = n_mv;
    for station in 0..stations {
        let count = (n - n_mv) / stations + usize::from(station < (n - n_mv) % stations);
        let bar = next;
        circuit.series.push(transformer(1 + station, bar));
        let feeders = (3 + dice.below(5)).min((count - 1).max(1));
        let mut main = vec![vec![bar]; feeders];
        for k in 1..count {
            let bus = bar + k;
            let feeder = if k <= feeders { k - 1 } else { dice.below(feeders) };
            let (parent, kind, km) = if k <= feeders || dice.unit() < 0.5 {
                let tip = *main[feeder].last().unwrap();
                main[feeder].push(bus);
                (tip, 1, (0.025_f64.ln() + 0.5 * dice.gauss()).exp())
            } else {
                (main[feeder][dice.below(main[feeder].len())], 2, dice.between(0.005, 0.025))
            };
            circuit.series.push(line(parent, bus, kind, km, 400.0 / 3.0_f64.sqrt()));
            if kind == 2 || dice.unit() < 0.6 {
                loads.push((bus as u32, load(dice)));
            }
        }
        next += count;
    }
    let emf = (0..3).map(|k| Complex64::from_polar(1.02, -TAU / 3.0 * f64::from(k))).collect();
    circuit.sources.push(CircuitSource { bus: 0, emf, y: Coupling::Zero });
    Net { circuit, loads }
}

fn load(dice: &mut Dice) -> [Complex64; 3] {
    let total = (700.0_f64.ln() + 0.7 * dice.gauss()).exp() / S_BASE;
    let factor = dice.between(0.92, 0.99_f64).acos().tan();
    let share = if dice.unit() < 0.5 {
        let mut one = [0.0; 3];
        one[dice.below(3)] = 1.0;
        one
    } else {
        let parts = [dice.between(0.5, 1.5), dice.between(0.5, 1.5), dice.between(0.5, 1.5)];
        parts.map(|part| part / parts.iter().sum::<f64>())
    };
    share.map(|share| Complex64::new(1.0, factor) * total * share)
}

fn readings(net: &Net, tree: &Tree, dice: &mut Dice) -> Readings {
    let mut exact = Readings { free: vec![0, 1, 2], ..Readings::default() };
    for wire in 0..3 {
        exact.voltages.push(VoltageReading {
            sensor: 0,
            bus: 0,
            wire,
            magnitude: 1.02,
            angle: None,
            variance: 1e-6,
            variance_across: 1e-6,
        });
    }
    for &(bus, s) in &net.loads {
        for (wire, s) in s.into_iter().enumerate() {
            let (wire, variance) = (wire as u8, 1e-14);
            let (variance_p, variance_q) = (variance, variance);
            exact.injections.push(InjectionReading { sensor: 0, bus, wire, s, variance_p, variance_q });
        }
    }
    let truth =
        Smoother::new(&net.circuit, tree, &exact).unwrap().estimate(Tolerance::default()).unwrap().voltages;
    let mut readings = Readings { free: vec![0, 1, 2], ..Readings::default() };
    let n = net.circuit.buses.len();
    for bus in 0..n {
        if bus != 0 && dice.unit() > 0.05 {
            continue;
        }
        for wire in 0..3 {
            let magnitude = truth[3 * bus + wire].norm() + 0.005 * dice.gauss();
            let (bus, wire) = (bus as u32, wire as u8);
            let (angle, variance) = (None, 2.5e-5);
            let variance_across = variance;
            let reading =
                VoltageReading { sensor: bus, bus, wire, magnitude, angle, variance, variance_across };
            readings.voltages.push(reading);
        }
    }
    for &(bus, s) in &net.loads {
        let total: Complex64 = s.iter().sum();
        let relative = if dice.unit() < 0.2 { 0.01 } else { 0.3 };
        let sigma = (relative * total.norm()).max(5.0 / S_BASE) / 3.0_f64.sqrt();
        for (wire, s) in s.into_iter().enumerate() {
            let s = s + Complex64::new(dice.gauss(), dice.gauss()) * sigma;
            let wire = wire as u8;
            let (variance_p, variance_q) = (sigma * sigma, sigma * sigma);
            readings.injections.push(InjectionReading { sensor: bus, bus, wire, s, variance_p, variance_q });
        }
    }
    readings
}

/// Time on the processor, ns: other programs on the machine do not count. The wall clock where there is no such count.
fn now_ns(since: Instant) -> f64 {
    let counted = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let counted = counted.and_then(|text| text.split(' ').next()?.parse().ok());
    counted.unwrap_or_else(|| since.elapsed().as_nanos() as f64)
}

/// Milliseconds on the processor, mean of `repeats`.
fn mean(repeats: usize, mut work: impl FnMut()) -> f64 {
    let begin = Instant::now();
    let start = now_ns(begin);
    for _ in 0..repeats {
        work();
    }
    (now_ns(begin) - start) / 1e6 / repeats as f64
}

/// The same readings, loads changed by a few per cent.
fn moved(readings: &Readings, dice: &mut Dice) -> Readings {
    let mut moved = readings.clone();
    for reading in &mut moved.injections {
        reading.s *= 1.0 + 0.02 * dice.gauss();
    }
    moved
}

fn main() {
    let sizes: Vec<usize> = std::env::args().skip(1).filter_map(|size| size.parse().ok()).collect();
    for n in if sizes.is_empty() { vec![100, 1000, 10_000, 100_000] } else { sizes } {
        let mut dice = Dice(n as u64 + 1);
        let net = make(n, &mut dice);
        let tree = Tree::new(&net.circuit).unwrap();
        let readings = readings(&net, &tree, &mut dice);
        let start = Instant::now();
        let mut smoother = Smoother::new(&net.circuit, &tree, &readings).unwrap();
        let built = start.elapsed().as_secs_f64() * 1e3;
        let repeats = (400_000 / n).clamp(7, 2000);
        let estimated = smoother.estimate(Tolerance::default()).unwrap();
        println!(
            "n {n}: {} steps, {} factorizations, objective {:.6}, violation {:.1e}; structure {built:.2} ms",
            estimated.iterations, estimated.factorizations, estimated.objective, estimated.violation_pu
        );
        let flat = mean(repeats, || {
            smoother.settle(Tolerance::default()).unwrap();
            std::hint::black_box(smoother.voltages());
        });
        let factor = mean(repeats, || smoother.renew_factors().unwrap());
        let step = mean(repeats, || {
            smoother.step();
        });
        let other = [moved(&readings, &mut dice), moved(&readings, &mut dice)];
        let mut turn = 0;
        let mut steps = 0;
        let kept = mean(repeats, || {
            turn += 1;
            smoother.set_values(&other[turn % 2]);
            steps = smoother.settle_kept(Tolerance::default()).unwrap().iterations;
            std::hint::black_box(smoother.voltages());
        });
        println!(
            "  flat {flat:.3} ms, kept {kept:.3} ms ({steps} steps); factor {factor:.3} step {step:.3} ms; \
             per bus: factor {:.0} ns, step {:.0} ns",
            factor * 1e6 / n as f64,
            step * 1e6 / n as f64
        );
        deviations_and_changes(&mut smoother, &readings, n, repeats, &mut dice);
        batch(&mut smoother, &readings, n, repeats, &mut dice);
    }
}

fn deviations_and_changes(
    smoother: &mut Smoother,
    readings: &Readings,
    n: usize,
    repeats: usize,
    dice: &mut Dice,
) {
    let voltages = mean(repeats, || {
        std::hint::black_box(smoother.voltage_variances());
    });
    let all = mean(repeats, || {
        std::hint::black_box(smoother.uncertainty().unwrap());
    });
    let pairs: Vec<(u32, u32)> =
        (0..20_000).map(|_| (dice.below(readings.injections.len()) as u32, dice.below(n) as u32)).collect();
    let response = mean(21, || {
        for &(injection, bus) in &pairs[..1000] {
            std::hint::black_box(smoother.response(injection, (1e-4, 0.0), bus));
        }
    });
    let mut times: Vec<f64> = pairs
        .iter()
        .map(|&(injection, bus)| {
            let start = Instant::now();
            smoother.change(Changed::Injection(injection), (1e-6, 0.0));
            std::hint::black_box(smoother.read(bus));
            start.elapsed().as_nanos() as f64 / 1e3
        })
        .collect();
    times.sort_by(f64::total_cmp);
    println!(
        "  deviations: voltages {voltages:.3} ms, everything {all:.3} ms; response {response:.3} us; \
         change and read p50 {:.2} us, p99 {:.2} us (wall)",
        times[10_000], times[19_800]
    );
}

fn batch(smoother: &mut Smoother, readings: &Readings, n: usize, repeats: usize, dice: &mut Dice) {
    let sets: Vec<Readings> = (0..SETS).map(|_| moved(readings, dice)).collect();
    smoother.set_values(readings);
    smoother.estimate(Tolerance::default()).unwrap();
    let mut batch = smoother.batch();
    let mut steps = 0;
    let mut turn = 0;
    let time = mean(repeats, || {
        for lane in 0..SETS {
            batch.set(smoother, lane, &sets[(lane + turn) % SETS]);
        }
        turn += 1;
        let lanes = batch.estimate(smoother, Tolerance::default());
        steps = lanes.into_iter().map(Result::unwrap).max().unwrap();
    });
    let values = mean(repeats, || {
        for lane in 0..SETS {
            batch.set(smoother, lane, &sets[lane]);
        }
    });
    println!(
        "  batch of {SETS}: {:.4} ms per set ({steps} steps, {:.4} ms of it to enter values), {:.0} ns per bus and step",
        time / 8.0,
        values / 8.0,
        (time - values) * 1e6 / 8.0 / n as f64 / steps as f64
    );
}
