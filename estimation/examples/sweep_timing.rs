//! Times the sweep on a synthetic radial medium/low-voltage area: CPU time of this thread, medians.
//!
//! `taskset -c 1 cargo run --release -p estimation --example sweep_timing [buses…]`
#![allow(clippy::print_stdout, clippy::unwrap_used)] // a program of its own

use estimation::circuit::{Circuit, CircuitBus, CircuitSource, Coupling, GROUND, LoadPort, Series, Tree};
use estimation::solve::Tolerance;
use estimation::sweep::Sweep;
use nalgebra::DMatrix;
use num_complex::Complex64;
use std::f64::consts::PI;

fn main() {
    let sizes: Vec<usize> = std::env::args().skip(1).filter_map(|a| a.parse().ok()).collect();
    let sizes = if sizes.is_empty() { vec![100, 1000, 10_000, 100_000] } else { sizes };
    for size in sizes {
        time(size);
    }
}

fn time(size: usize) {
    let circuit = area(size, 20_240_611);
    let tree = Tree::new(&circuit).unwrap();
    let sweep = Sweep::new(&circuit, &tree).unwrap();
    let mut state = sweep.state(&circuit.ports);
    let tolerance = Tolerance::default();
    let powers: Vec<Complex64> = circuit.ports.iter().map(|port| port.power).collect();
    let changed: Vec<Complex64> = powers.iter().map(|power| power * 1.02).collect();
    let mut voltages = Vec::new();
    let sweeps = sweep.settle_flat(&mut state, &tolerance).unwrap();
    let lowest = {
        sweep.voltages(&state, &mut voltages);
        voltages.iter().map(|v| v.norm()).fold(f64::INFINITY, f64::min)
    };
    let solve = median(|_| {
        sweep.settle_flat(&mut state, &tolerance).unwrap();
    });
    let whole = median(|turn| {
        sweep.set_powers(&mut state, if turn % 2 == 0 { &powers } else { &changed });
        sweep.settle_flat(&mut state, &tolerance).unwrap();
        sweep.voltages(&state, &mut voltages);
    });
    let mut warm_sweeps = 0;
    let warm = median(|turn| {
        sweep.set_powers(&mut state, if turn % 2 == 0 { &powers } else { &changed });
        warm_sweeps = sweep.settle_warm(&mut state, &tolerance).unwrap();
        sweep.voltages(&state, &mut voltages);
    });
    // Every load for itself, by 5 % at most; or all of them together between a fifth and the double.
    for (what, width, common) in [("within 5 %", 0.1, 0.0), ("of 20 to 200 %", 0.0, 1.8)] {
        let dice = &mut Dice(7);
        let scenarios: Vec<Vec<Complex64>> = (0..20)
            .map(|at| {
                let all = 1.0 + common * (at as f64 / 19.0 - 0.445);
                powers.iter().map(|power| power * (all + width * (dice.unit() - 0.5))).collect()
            })
            .collect();
        let (mut batch, mut most) = (sweep.batch(&circuit.ports), 0);
        let ns = median(|_| {
            most = 0;
            batch.solve(
                &sweep,
                scenarios.len(),
                |at| &scenarios[at],
                &tolerance,
                |_, result| {
                    let result = result.unwrap();
                    most = result.iterations.max(most);
                    result.write(&mut voltages);
                },
            );
        }) / scenarios.len() as f64;
        println!(
            "{size:>6} buses: batch of 20 with loads {what}, loads in and voltages out, {:.4} ms per scenario \
             (up to {most} sweeps)",
            ns * 1e-6
        );
    }
    println!(
        "{size:>6} buses: flat start {:.4} ms ({sweeps} sweeps, {:.1} ns per bus and sweep), with new loads in and \
         voltages out {:.4} ms, warm {:.4} ms ({warm_sweeps} sweeps); lowest voltage {lowest:.3}",
        solve * 1e-6,
        solve / (size * sweeps) as f64,
        whole * 1e-6,
        warm * 1e-6,
    );
}

/// CPU time of this thread, ns.
fn cpu_ns() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split_whitespace().next().unwrap().parse().unwrap()
}

/// Median CPU time of a call, ns: the clock ticks in milliseconds, so calls are timed in long groups.
fn median(mut call: impl FnMut(usize)) -> f64 {
    let (mut turn, mut times) = (0, Vec::new());
    for _ in 0..7 {
        let (start, first) = (cpu_ns(), turn);
        while cpu_ns() - start < 60e6 {
            for _ in 0..4 {
                call(turn);
                turn += 1;
            }
        }
        times.push((cpu_ns() - start) / (turn - first) as f64);
    }
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

struct Dice(u64);

impl Dice {
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn below(&mut self, n: usize) -> usize {
        ((self.unit() * n as f64) as usize).min(n - 1)
    }

    fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    fn normal(&mut self) -> f64 {
        (-2.0 * (1.0 - self.unit()).ln()).sqrt() * (2.0 * PI * self.unit()).cos()
    }
}

/// r1, x1, c1, r0, x0, c0 per km.
type Cable = [f64; 6];
const MV: Cable = [0.206, 0.110, 0.30e-6, 0.824, 0.385, 0.30e-6];
const LV: Cable = [0.206, 0.079, 0.30e-6, 0.824, 0.277, 0.15e-6];
const SERVICE: Cable = [0.727, 0.083, 0.25e-6, 2.908, 0.291, 0.12e-6];
const U_MV: f64 = 10_500.0;
const U_LV: f64 = 400.0;

/// One 10.5 kV busbar, feeders of about 30 stations, a Dyn transformer 10.5/0.42 kV and about 100 low-voltage buses each.
fn area(size: usize, seed: u64) -> Circuit {
    let dice = &mut Dice(seed + size as u64);
    let stations = (((size - 1) as f64 / 102.0).round() as usize).max(1);
    let mv = 1 + stations;
    let mut circuit = Circuit { s_base_va: 1e6 / 3.0, ..Circuit::default() };
    for bus in 0..size {
        let u = if bus < mv { U_MV } else { U_LV };
        let first_wire = 3 * bus as u32;
        circuit.buses.push(CircuitBus { first_wire, wires: 3, energized: true, u_base_v: u / 3_f64.sqrt() });
    }
    let feeders = ((stations as f64 / 30.0).round() as usize).max(1);
    let mut members: Vec<Vec<usize>> = vec![Vec::new(); feeders];
    for station in 1..mv {
        let feeder = &mut members[(station - 1) % feeders];
        let spur = !feeder.is_empty() && dice.unit() < 0.2;
        let parent =
            if spur { feeder[dice.below(feeder.len())] } else { feeder.last().copied().unwrap_or(0) };
        feeder.push(station);
        let km = dice.between(0.2, 0.9);
        circuit.series.push(line(parent, station, &MV, km, U_MV));
    }
    let low = size - mv;
    let mut next = mv;
    for station in 0..stations {
        let count = low / stations + usize::from(station < low % stations);
        circuit.series.push(transformer(1 + station, next));
        low_voltage(&mut circuit, dice, next, count);
        next += count;
    }
    let z = U_MV * U_MV / 5e8;
    let x = z / 1.01_f64.sqrt();
    let y = (Complex64::new(0.1 * x, x) / (U_MV * U_MV / 1e6)).inv();
    let emf = (0..3).map(|wire| Complex64::from_polar(1.02, -2.0 * PI / 3.0 * f64::from(wire))).collect();
    circuit.sources.push(CircuitSource {
        bus: 0,
        emf,
        y: Coupling::Even { own: y, mutual: Complex64::ZERO },
    });
    circuit
}

fn low_voltage(circuit: &mut Circuit, dice: &mut Dice, bar: usize, count: usize) {
    let feeders = (3 + dice.below(5)).clamp(1, (count - 1).max(1));
    let mut mains: Vec<Vec<usize>> = vec![vec![bar]; feeders];
    for at in 0..count - 1 {
        let bus = bar + 1 + at;
        let main = &mut mains[if at < feeders { at } else { dice.below(feeders) }];
        let extends = at < feeders || dice.unit() < 0.5;
        let parent = if extends { main[main.len() - 1] } else { main[dice.below(main.len())] };
        let km = if extends { 0.025 * (0.5 * dice.normal()).exp() } else { dice.between(0.005, 0.025) };
        if extends {
            main.push(bus);
        }
        circuit.series.push(line(parent, bus, if extends { &LV } else { &SERVICE }, km, U_LV));
        if !extends || dice.unit() < 0.6 {
            load(circuit, dice, bus);
        }
    }
}

fn load(circuit: &mut Circuit, dice: &mut Dice, bus: usize) {
    let total = 700.0 * (0.7 * dice.normal()).exp();
    let tan = dice.between(0.92, 0.99_f64).acos().tan();
    let mut shares = [0.0; 3];
    if dice.unit() < 0.5 {
        shares[dice.below(3)] = 1.0;
    } else {
        shares = std::array::from_fn(|_| dice.between(0.5, 1.5));
    }
    let sum: f64 = shares.iter().sum();
    for (wire, share) in shares.iter().enumerate() {
        let p = total * share / sum / (1e6 / 3.0);
        circuit.ports.push(LoadPort {
            bus: bus as u32,
            plus: wire as u8,
            minus: GROUND,
            u_nominal: 1.0,
            power: Complex64::new(p, p * tan),
            current: Complex64::ZERO,
            impedance: Complex64::ZERO,
            limits: None,
        });
    }
}

fn line(from: usize, to: usize, cable: &Cable, km: f64, u: f64) -> Series {
    let base = u * u / 1e6;
    let [r1, x1, c1, r0, x0, c0] = cable.map(|value| value * km);
    let z = Coupling::from_sequence(Complex64::new(r1, x1) / base, Complex64::new(r0, x0) / base);
    let half = |c: f64| Complex64::new(0.0, PI * 50.0 * c) * base;
    let y = Coupling::from_sequence(half(c1), half(c0));
    Series { from: from as u32, to: to as u32, ratio: None, z, y_from: y.clone(), y_to: y }
}

fn transformer(from: usize, to: usize) -> Series {
    let k = 420.0 / U_LV / 3_f64.sqrt();
    let t = [[1.0, -1.0, 0.0], [0.0, 1.0, -1.0], [-1.0, 0.0, 1.0]];
    let ratio = DMatrix::from_fn(3, 3, |row, column| Complex64::new(k * t[row][column], 0.0));
    let base = U_LV * U_LV / 1e6;
    let z = 420.0 * 420.0 / 630e3 / base;
    let r = 6500.0 / 630e3;
    let z = Complex64::new(r * z, (0.045_f64 * 0.045 - r * r).sqrt() * z);
    let y = Complex64::new(800.0, -(1260.0_f64 * 1260.0 - 800.0 * 800.0).sqrt()) / 1e6 * 1.1;
    Series {
        from: from as u32,
        to: to as u32,
        ratio: Some(Box::new(ratio)),
        z: Coupling::Even { own: z, mutual: Complex64::ZERO },
        y_from: Coupling::Zero,
        y_to: Coupling::Even { own: y, mutual: Complex64::ZERO },
    }
}
