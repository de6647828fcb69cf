//! The sweep against a dense nodal solve that knows no tree.

use super::*;
use crate::circuit::{CircuitBus, CircuitShunt, CircuitSource, Coupling, GROUND, General, Series};
use nalgebra::{DMatrix, DVector};
use proptest::prelude::*;

const C0: Complex64 = Complex64::ZERO;

fn c(re: f64, im: f64) -> Complex64 {
    Complex64::new(re, im)
}

/// splitmix64: numbers for a case from its seed.
pub(super) struct Dice(pub u64);

impl Dice {
    pub fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub fn below(&mut self, n: usize) -> usize {
        ((self.unit() * n as f64) as usize).min(n - 1)
    }

    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    pub fn chance(&mut self, p: f64) -> bool {
        self.unit() < p
    }
}

/// What a random circuit may contain.
#[derive(Clone, Copy)]
pub(super) struct Mix {
    pub wires: usize,
    pub buses: usize,
    pub plain: bool,
    pub scale: f64,
}

fn full(dice: &mut Dice, wires: usize, own: Complex64) -> Coupling {
    let mut m = DMatrix::zeros(wires, wires);
    for i in 0..wires {
        for k in 0..=i {
            let f = if i == k { dice.between(0.8, 1.2) } else { dice.between(0.1, 0.3) };
            m[(i, k)] = own * f;
            m[(k, i)] = own * f;
        }
    }
    Coupling::Full(Box::new(m))
}

fn impedance(dice: &mut Dice, wires: usize) -> Coupling {
    let own = c(dice.between(0.002, 0.02), dice.between(0.001, 0.02));
    match dice.below(3) {
        0 => full(dice, wires, own),
        _ => Coupling::Even { own, mutual: if wires > 1 { own * dice.between(0.1, 0.4) } else { C0 } },
    }
}

fn shunt(dice: &mut Dice, wires: usize) -> Coupling {
    let own = c(dice.between(0.0, 0.002), dice.between(0.0, 0.01));
    match dice.below(4) {
        0 => Coupling::Zero,
        1 => full(dice, wires, own),
        _ => Coupling::Even { own, mutual: if wires > 1 { own * -0.2 } else { C0 } },
    }
}

/// A ratio, and whether it can be turned round.
fn ratio(dice: &mut Dice, wires: usize) -> (DMatrix<Complex64>, bool) {
    let tap = dice.between(0.95, 1.05);
    if wires == 1 {
        return (DMatrix::from_element(1, 1, Complex64::from_polar(tap, dice.between(-3.0, 3.0))), true);
    }
    if dice.chance(0.5) {
        let q = tap / 3_f64.sqrt();
        let m = [[1.0, -1.0, 0.0], [0.0, 1.0, -1.0], [-1.0, 0.0, 1.0]];
        return (DMatrix::from_fn(3, 3, |i, k| c(q * m[i][k], 0.0)), false);
    }
    (DMatrix::from_fn(3, 3, |i, k| if i == k { c(tap, 0.0) } else { C0 }), true)
}

fn port(dice: &mut Dice, bus: u32, mix: &Mix) -> LoadPort {
    let mut s = || c(dice.between(-0.3, 1.0), dice.between(-0.2, 0.5)) * (mix.scale / mix.buses as f64);
    let (power, current, impedance) = (s(), s(), s());
    let (mut minus, plus) = (GROUND, dice.below(mix.wires) as u8);
    if mix.wires == 3 && !mix.plain && dice.chance(0.4) {
        minus = (plus + 1) % 3;
    }
    let zip = !mix.plain && dice.chance(0.5);
    let u_nominal = if minus == GROUND { 1.0 } else { 3_f64.sqrt() };
    LoadPort {
        bus,
        plus,
        minus,
        u_nominal,
        power,
        current: if zip { current } else { C0 },
        impedance: if zip { impedance } else { C0 },
        limits: (!mix.plain && dice.chance(0.3)).then_some((0.97, 1.03)),
    }
}

pub(super) fn random(seed: u64, mix: Mix) -> Circuit {
    let dice = &mut Dice(seed);
    let wires = mix.wires;
    let mut circuit = Circuit { s_base_va: 1e6 / 3.0, ..Circuit::default() };
    // Buses in a shuffled numbering, the last two dead.
    let live = mix.buses;
    let mut number: Vec<u32> = (0..live as u32 + 2).collect();
    for i in (1..number.len()).rev() {
        number.swap(i, dice.below(i + 1));
    }
    circuit.buses =
        vec![CircuitBus { first_wire: 0, wires: wires as u8, energized: true, u_base_v: 230.0 }; live + 2];
    for (bus, entry) in circuit.buses.iter_mut().enumerate() {
        entry.first_wire = (bus * wires) as u32;
    }
    for dead in [number[live], number[live + 1]] {
        circuit.buses[dead as usize].energized = false;
    }
    for i in 1..live {
        let parent = number[dice.below(i)];
        let (t, turns) = ratio(dice, wires);
        let t = dice.chance(0.25).then(|| Box::new(t));
        let reverse = dice.chance(0.5) && (turns || t.is_none());
        let (from, to) = if reverse { (number[i], parent) } else { (parent, number[i]) };
        let z = impedance(dice, wires);
        let (y_from, y_to) = (shunt(dice, wires), shunt(dice, wires));
        circuit.series.push(Series { from, to, ratio: t, z, y_from, y_to });
    }
    let z = Coupling::Even { own: c(0.0, 0.0), mutual: C0 };
    circuit.series.push(Series {
        from: number[live],
        to: number[live + 1],
        ratio: None,
        z,
        y_from: Coupling::Zero,
        y_to: Coupling::Zero,
    });
    for _ in 0..2 {
        let bus = number[dice.below(live)];
        circuit.shunts.push(CircuitShunt { bus, y: shunt(dice, wires) });
        let y = shunt(dice, wires).to_matrix(wires);
        let locals = (0..wires as u8).collect();
        let dead = DMatrix::from_fn(2 * wires, 2 * wires, |i, k| {
            if i < wires && k < wires { y[(i, k)] } else { c(0.3, 0.1) }
        });
        let other = (number[live], (0..wires as u8).collect());
        circuit.general.push(General { terminals: vec![(bus, locals), other], y: dead });
    }
    for _ in 0..live + 2 {
        let bus = number[dice.below(live + 1)];
        let port = port(dice, bus, &mix);
        circuit.ports.push(port);
    }
    for _ in 0..1 + dice.below(2) {
        let u = dice.between(0.98, 1.05);
        let emf = (0..wires)
            .map(|w| Complex64::from_polar(u, 0.1 - 2.0 * std::f64::consts::FRAC_PI_3 * w as f64))
            .collect();
        let z = impedance(dice, wires).to_matrix(wires).try_inverse().unwrap();
        circuit.sources.push(CircuitSource { bus: number[0], emf, y: Coupling::Full(Box::new(z)) });
    }
    circuit
}

/// Iterative current injection on the dense nodal matrix, to 1e-13.
pub(super) fn dense(circuit: &Circuit) -> Option<Vec<Complex64>> {
    let count = circuit.wire_count();
    let wires = circuit.uniform_wires().unwrap();
    let mut y = DMatrix::<Complex64>::zeros(count, count);
    let mut given = DVector::<Complex64>::zeros(count);
    let mut stamp = |row: usize, column: usize, m: &DMatrix<Complex64>| {
        let mut view = y.view_mut((row, column), (wires, wires));
        view += m;
    };
    let first = |bus: u32| circuit.wires(bus).start;
    let alive = |bus: u32| circuit.buses[bus as usize].energized;
    for s in circuit.series.iter().filter(|s| alive(s.from) && alive(s.to)) {
        let ys = s.z.to_matrix(wires).try_inverse().unwrap();
        let t = s.ratio.as_deref().cloned().unwrap_or_else(|| DMatrix::identity(wires, wires));
        let (f, o) = (first(s.from), first(s.to));
        stamp(f, f, &(t.adjoint() * &ys * &t + s.y_from.to_matrix(wires)));
        stamp(f, o, &(-(t.adjoint() * &ys)));
        stamp(o, f, &(-(&ys * &t)));
        stamp(o, o, &(ys + s.y_to.to_matrix(wires)));
    }
    for s in &circuit.shunts {
        stamp(first(s.bus), first(s.bus), &s.y.to_matrix(wires));
    }
    for g in &circuit.general {
        let bus = g.terminals[0].0;
        stamp(first(bus), first(bus), &g.y.view((0, 0), (wires, wires)).into_owned());
    }
    for s in &circuit.sources {
        let ys = s.y.to_matrix(wires);
        let current = &ys * DMatrix::from_column_slice(wires, 1, &s.emf);
        for w in 0..wires {
            given[first(s.bus) + w] += current[(w, 0)];
        }
        stamp(first(s.bus), first(s.bus), &ys);
    }
    for bus in 0..circuit.buses.len() as u32 {
        if !alive(bus) {
            for w in circuit.wires(bus) {
                y.row_mut(w).fill(C0);
                y.column_mut(w).fill(C0);
                y[(w, w)] = c(1.0, 0.0);
            }
        }
    }
    let lu = y.lu();
    let mut v = lu.solve(&given)?;
    for _ in 0..500 {
        let mut i = given.clone();
        for port in circuit.ports.iter().filter(|p| alive(p.bus)) {
            let a = circuit.wire(port.bus, port.plus).unwrap();
            let b = circuit.wire(port.bus, port.minus);
            let across = v[a] - b.map_or(C0, |b| v[b]);
            let taken = (port.taken(across.norm() / port.u_nominal) / across).conj();
            i[a] -= taken;
            if let Some(b) = b {
                i[b] += taken;
            }
        }
        let next = lu.solve(&i)?;
        let step = (&next - &v).camax();
        v = next;
        if step < 1e-13 {
            return Some(v.iter().copied().collect());
        }
        if !step.is_finite() {
            return None;
        }
    }
    None
}

fn distance(a: &[Complex64], b: &[Complex64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).norm()).fold(0.0, f64::max)
}

fn prepared(circuit: &Circuit) -> Sweep {
    Sweep::new(circuit, &Tree::new(circuit).unwrap()).unwrap()
}

fn solve(circuit: &Circuit, path: Path) -> Result<Solved, NoSolution> {
    let sweep = prepared(circuit).on(path);
    let mut state = sweep.state(&circuit.ports);
    sweep.solve(&mut state, &Tolerance { voltage_pu: 1e-11, iterations_max: 100 })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn random_trees_agree_with_a_dense_nodal_solve(seed: u64, three: bool, plain: bool, buses in 1_usize..14) {
        let mix = Mix { wires: if three { 3 } else { 1 }, buses, plain, scale: 0.6 };
        let circuit = random(seed, mix);
        let truth = dense(&circuit);
        prop_assume!(truth.is_some());
        let truth = truth.unwrap();
        for path in [Path::Base, Path::detect()] {
            let solved = solve(&circuit, path).unwrap();
            let apart = distance(&solved.voltages, &truth);
            prop_assert!(apart < 1e-9 || on_two_sides(&circuit, &solved.voltages, &truth), "{path:?}: {apart:.1e}");
        }
    }
}

/// Whether a limit of a port lies between two solutions. OpenDSS's law of mixed shares jumps there, so that both may hold.
fn on_two_sides(circuit: &Circuit, one: &[Complex64], other: &[Complex64]) -> bool {
    let across = |port: &LoadPort, v: &[Complex64]| {
        let at = |wire: u8| v[circuit.wires(port.bus).start + usize::from(wire)];
        let v = if port.minus == GROUND { at(port.plus) } else { at(port.plus) - at(port.minus) };
        v.norm() / port.u_nominal
    };
    let jumps = |port: &LoadPort| {
        let (one, other) = (across(port, one), across(port, other));
        port.limits
            .is_some_and(|(low, high)| [low, high].iter().any(|limit| (one > *limit) != (other > *limit)))
    };
    circuit.ports.iter().any(jumps)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn a_batch_gives_what_each_scenario_gives_alone(seed: u64, three: bool, plain: bool, count in 1_usize..11) {
        let mix = Mix { wires: if three { 3 } else { 1 }, buses: 9, plain, scale: 0.6 };
        let circuit = random(seed, mix);
        prop_assume!(dense(&circuit).is_some());
        let sweep = prepared(&circuit);
        let tolerance = Tolerance { voltage_pu: 1e-11, iterations_max: 60 };
        let scenarios: Vec<Vec<Complex64>> = (0..count)
            .map(|scenario| {
                // The sixth scenario asks for too much.
                let factor = if scenario == 5 { 1e4 } else { 1.0 - 0.1 * scenario as f64 };
                circuit.ports.iter().map(|port| port.power * factor).collect()
            })
            .collect();
        let mut met = 0;
        sweep.batch(&circuit.ports).solve(&sweep, count, |at| &scenarios[at], &tolerance, |scenario, result| {
            assert_eq!(scenario, met);
            met += 1;
            let mut state = sweep.state(&circuit.ports);
            sweep.set_powers(&mut state, &scenarios[scenario]);
            let mut voltages = Vec::new();
            match (sweep.solve(&mut state, &tolerance), result) {
                (Ok(alone), Ok(together)) => {
                    together.write(&mut voltages);
                    let apart = distance(&alone.voltages, &voltages);
                    assert!(
                        apart < 1e-9 || on_two_sides(&circuit, &alone.voltages, &voltages),
                        "{apart:.1e} after {} and {} sweeps",
                        alone.iterations,
                        together.iterations
                    );
                    assert_eq!(together.at(0, 0), voltages[circuit.wires(circuit.sources[0].bus).start]);
                }
                (Err(_), Err(_)) => assert_eq!(scenario, 5),
                (alone, together) => panic!("{scenario}: {alone:?}, {:?}", together.map(|v| v.iterations)),
            }
        });
        prop_assert_eq!(met, count);
    }
}

/// Hundreds of buses, so that there are several blocks below a trunk with loads of its own.
#[test]
fn a_batch_of_a_large_circuit_gives_what_each_scenario_gives_alone() {
    let exact = Tolerance { voltage_pu: 1e-13, iterations_max: 200 };
    for seed in 0..16 {
        let (three, plain) = (seed % 2 == 0, seed % 4 < 2);
        let circuit = random(seed, Mix { wires: if three { 3 } else { 1 }, buses: 900, plain, scale: 0.9 });
        let sweep = prepared(&circuit);
        let dice = &mut Dice(seed);
        let scenarios: Vec<Vec<Complex64>> = (0..21)
            .map(|scenario| {
                let all = match scenario {
                    // Neither may spoil its neighbours.
                    5 => 1e4,
                    6 => f64::NAN,
                    _ => -0.6 + 0.12 * f64::from(scenario),
                };
                circuit.ports.iter().map(|port| port.power * (all + dice.between(-0.3, 0.3))).collect()
            })
            .collect();
        // What is taken at the reference says little of the scenarios.
        let share = [1.0, 0.0, 0.01, -0.2][seed as usize / 4];
        let ports = circuit.ports.iter().map(|port| LoadPort { power: port.power * share, ..*port });
        let mut batch = sweep.batch(&ports.collect::<Vec<_>>());
        let mut together = Vec::new();
        for _ in 0..2 {
            together.clear();
            batch.solve(
                &sweep,
                scenarios.len(),
                |at| &scenarios[at],
                &Tolerance::default(),
                |_, result| {
                    together.push(result.map(|voltages| voltages.all.to_vec()));
                },
            );
        }
        let mut state = sweep.state(&circuit.ports);
        let mut solved = 0;
        for (powers, together) in scenarios.iter().zip(&together) {
            sweep.set_powers(&mut state, powers);
            match (sweep.solve(&mut state, &exact), together) {
                (Ok(alone), Ok(together)) => {
                    let error = distance(&alone.voltages, together);
                    assert!(error < 1e-9, "seed {seed}: {error}");
                    solved += 1;
                }
                (Err(_), Err(_)) => {}
                (alone, together) => panic!("seed {seed}: {alone:?}, {together:?}"),
            }
        }
        assert!(solved >= 15, "seed {seed}: {solved}");
    }
}

#[test]
fn powers_of_the_reference_give_the_reference() {
    let circuit = random(21, Mix { wires: 3, buses: 300, plain: true, scale: 0.9 });
    let sweep = prepared(&circuit);
    let powers: Vec<Complex64> = circuit.ports.iter().map(|port| port.power).collect();
    let mut state = sweep.state(&circuit.ports);
    let alone = sweep.solve(&mut state, &Tolerance { voltage_pu: 1e-13, iterations_max: 100 }).unwrap();
    sweep.batch(&circuit.ports).solve(
        &sweep,
        1,
        |_| &powers,
        &Tolerance::default(),
        |_, result| {
            assert!(distance(&alone.voltages, result.unwrap().all) < 1e-13);
        },
    );
}

fn checked(circuit: &Circuit) -> (Sweep, Tree) {
    let tree = Tree::new(circuit).unwrap();
    (Sweep::new(circuit, &tree).unwrap(), tree)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn sensitivities_are_differences_of_solutions(seed: u64, three: bool, plain: bool) {
        use super::sensitivities::{End, Sensitivities, Taking};
        let mix = Mix { wires: if three { 3 } else { 1 }, buses: 8, plain, scale: 0.5 };
        let mut circuit = random(seed, mix);
        // A plain port to move; limits would have a kink.
        let bus = circuit.ports[0].bus;
        for port in &mut circuit.ports {
            port.limits = None;
        }
        circuit.ports.push(LoadPort { bus, plus: 0, minus: GROUND, u_nominal: 1.0, power: C0, current: C0, impedance: C0, limits: None });
        prop_assume!(circuit.buses[bus as usize].energized && dense(&circuit).is_some());
        let (sweep, tree) = checked(&circuit);
        let tolerance = Tolerance { voltage_pu: 1e-13, iterations_max: 100 };
        let solve = |power: Complex64| {
            let mut ports = circuit.ports.clone();
            ports.last_mut().unwrap().power = power;
            let mut state = sweep.state(&ports);
            sweep.solve(&mut state, &tolerance).unwrap().voltages
        };
        let base = solve(C0);
        let near = Sensitivities::new(&circuit, &tree, &circuit.ports, &base).unwrap();
        let taking = Taking { bus, shares: vec![(0, GROUND, 1.0)] };
        let (p, q) = near.of(&taking).unwrap();
        let h = 1e-5;
        for (effects, unit) in [(p, c(1.0, 0.0)), (q, c(0.0, 1.0))] {
            let (low, high) = (solve(-unit * h), solve(unit * h));
            for bus in 0..circuit.buses.len() as u32 {
                for (wire, moved) in effects.voltage(bus).into_iter().enumerate() {
                    let at = circuit.wires(bus).start + wire;
                    let difference = (high[at] - low[at]) / (2.0 * h);
                    prop_assert!((difference - moved).norm() < 1e-6, "{difference} {moved}");
                    let size = (high[at].norm() - low[at].norm()) / (2.0 * h);
                    prop_assert!((size - effects.magnitude(bus, wire as u8)).abs() < 1e-6);
                }
            }
            for (element, end) in (0..circuit.series.len() as u32).flat_map(|e| [(e, End::From), (e, End::To)]) {
                let s = &circuit.series[element as usize];
                let alive = [s.from, s.to].iter().all(|&bus| circuit.buses[bus as usize].energized);
                let found = effects.currents(element, end);
                prop_assert_eq!(found.is_some(), alive, "every live element has a current");
                let Some((_, moved)) = found else { continue };
                let ends = [&low, &high].map(|v| entering(&circuit, element as usize, end == End::From, v));
                for wire in 0..mix.wires {
                    let difference = (ends[1][wire] - ends[0][wire]) / (2.0 * h);
                    prop_assert!((difference - moved[wire]).norm() < 1e-5, "{difference} {}", moved[wire]);
                }
                let series = &circuit.series[element as usize];
                let start = circuit.wires(if end == End::From { series.from } else { series.to }).start;
                let power = |v: &[Complex64], i: &[Complex64]| {
                    (0..mix.wires).map(|wire| v[start + wire] * i[wire].conj()).sum::<Complex64>().norm()
                };
                let difference = (power(&high, &ends[1]) - power(&low, &ends[0])) / (2.0 * h);
                prop_assert!((difference - effects.apparent_power(element, end).unwrap()).abs() < 1e-4);
            }
        }
    }
}

/// The current that enters an element, from its definition.
fn entering(circuit: &Circuit, element: usize, from_side: bool, v: &[Complex64]) -> Vec<Complex64> {
    let s = &circuit.series[element];
    let n = circuit.uniform_wires().unwrap();
    let at = |bus: u32| DVector::from_column_slice(&v[circuit.wires(bus)]);
    let t = s.ratio.as_deref().cloned().unwrap_or_else(|| DMatrix::identity(n, n));
    let j = s.z.to_matrix(n).try_inverse().unwrap() * (&t * at(s.from) - at(s.to));
    let i = if from_side {
        t.adjoint() * j + s.y_from.to_matrix(n) * at(s.from)
    } else {
        s.y_to.to_matrix(n) * at(s.to) - j
    };
    i.iter().copied().collect()
}

#[test]
fn more_than_the_circuit_can_carry_is_an_error_after_bounded_sweeps() {
    for (wires, factor) in [(1, 40.0), (3, 40.0), (3, 1e6)] {
        let mut circuit = random(7, Mix { wires, buses: 10, plain: true, scale: factor });
        for port in &mut circuit.ports {
            port.power = c(port.power.re.abs(), port.power.im.abs());
        }
        match solve(&circuit, Path::detect()) {
            Err(NoSolution::NotSettled { iterations, bus, .. }) => {
                assert!(iterations <= 100 && circuit.buses[bus].energized);
            }
            Err(NoSolution::NotFinite { bus }) => assert!(circuit.buses[bus].energized),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_failed_solve_leaves_nothing_behind() {
    let circuit = random(7, Mix { wires: 3, buses: 10, plain: true, scale: 0.5 });
    let sweep = prepared(&circuit);
    let mut state = sweep.state(&circuit.ports);
    let tolerance = Tolerance::default();
    let first = sweep.solve(&mut state, &tolerance).unwrap();
    let powers: Vec<Complex64> = circuit.ports.iter().map(|port| port.power).collect();
    for factor in [1e6, f64::NAN] {
        sweep.set_powers(&mut state, &powers.iter().map(|power| power * factor).collect::<Vec<_>>());
        assert!(sweep.solve(&mut state, &tolerance).is_err());
        sweep.set_powers(&mut state, &powers);
        let warm = sweep.solve_warm(&mut state, &tolerance).unwrap();
        assert!(distance(&warm.voltages, &first.voltages) < 1e-8);
        assert_eq!(sweep.solve(&mut state, &tolerance).unwrap(), first);
    }
}

#[test]
fn without_loads_the_voltages_are_the_linear_ones() {
    let mut circuit = random(11, Mix { wires: 3, buses: 12, plain: true, scale: 1.0 });
    circuit.ports.clear();
    let truth = dense(&circuit).unwrap();
    assert!(distance(&solve(&circuit, Path::detect()).unwrap().voltages, &truth) < 1e-9);
}

#[test]
fn a_source_without_admittance_leaves_the_voltage_undetermined() {
    let mut circuit = random(3, Mix { wires: 3, buses: 4, plain: true, scale: 0.1 });
    circuit.sources.truncate(1);
    circuit.sources[0].y = Coupling::Zero;
    let bus = circuit.sources[0].bus as usize;
    assert_eq!(solve(&circuit, Path::detect()), Err(NoSolution::Singular { bus }));
}

#[test]
fn a_warm_start_finds_the_same_voltages_in_fewer_sweeps() {
    let circuit = random(5, Mix { wires: 3, buses: 13, plain: true, scale: 1.0 });
    let sweep = prepared(&circuit);
    let mut state = sweep.state(&circuit.ports);
    let tolerance = Tolerance::default();
    let flat = sweep.solve(&mut state, &tolerance).unwrap();
    let warm = sweep.solve_warm(&mut state, &tolerance).unwrap();
    assert!(warm.iterations < flat.iterations);
    assert!(distance(&flat.voltages, &warm.voltages) < 1e-8);
    // Flat again after other loads gives the same bits.
    sweep.set_powers(&mut state, &vec![C0; circuit.ports.len()]);
    sweep.solve(&mut state, &tolerance).unwrap();
    sweep.set_ports(&mut state, &circuit.ports);
    assert_eq!(sweep.solve(&mut state, &tolerance).unwrap(), flat);
}
