//! A feeder of one line behind a regulator, with a capacitor: small enough to know what has to happen.

use super::{NotAtRest, Settled, settle};
use crate::assembly::Assembly;
use crate::solve::{Solved, Tolerance};
use crate::sparse::{Method, power_flow};
use grid::network::{
    Bus, Capacitor, CapacitorControl, CapacitorWatches, Compensation, CoupledLine, CoupledWinding, Load,
    NetworkParts, Source, TapRegulator, Terminal, TransformerSide, VoltageDependence, WindingTransformer,
    Wire,
};
use grid::{BranchId, BusId, Network};
use num_complex::Complex64;

const RATED_V: f64 = 7200.0;

fn terminal(bus: u32, wires: &[u8]) -> Terminal {
    Terminal { bus: BusId(bus), wires: wires.iter().copied().map(Wire).collect() }
}

/// Source at 0, regulator from 0 to 1, a line of 1 + 2j Ω from 1 to 2, a load of 500 kW + 300 kvar at 2; phase a only.
fn feeder() -> NetworkParts {
    let winding = |bus| CoupledWinding {
        terminal: terminal(bus, &[1, 0]),
        delta: false,
        u_rated_v: RATED_V,
        s_rated_va: 5e6,
        r_pu: 5e-5,
        tap_pu: 1.0,
        tap_range_pu: (0.9, 1.1),
        tap_steps: 32,
        neutral_ohm: None,
    };
    NetworkParts {
        buses: (0..3).map(|id| Bus { id: BusId(id), u_rated_v: 12_470.0, position_m: None }).collect(),
        sources: vec![Source { id: 10, z_ohm: Some((0.0, 0.001, 0.0, 0.001)), ..Source::default() }],
        winding_transformers: vec![WindingTransformer {
            id: BranchId(11),
            phases: 1,
            windings: vec![winding(0), winding(1)],
            x_pu: vec![1e-3],
            no_load_loss_pu: 0.0,
            magnetising_pu: 0.0,
            antifloat_pu: 0.0,
            leads: false,
        }],
        coupled_lines: vec![CoupledLine {
            id: BranchId(12),
            from: terminal(1, &[1]),
            to: terminal(2, &[1]),
            z_ohm: vec![Complex64::new(1.0, 2.0)],
            y_s: vec![Complex64::ZERO],
            i_rated_a: None,
            from_closed: true,
            to_closed: true,
        }],
        loads: vec![Load {
            id: 13,
            generates: false,
            terminal: terminal(2, &[1]),
            delta: false,
            u_branch_v: RATED_V,
            p_w: vec![5e5],
            q_var: vec![3e5],
            symmetric: false,
            dependence: VoltageDependence::POWER,
            closed: true,
        }],
        ..NetworkParts::default()
    }
}

fn regulator(compensation: Compensation) -> TapRegulator {
    TapRegulator {
        id: 20,
        transformer: BranchId(11),
        controlled: 1,
        tapped: 1,
        phase: Some(1),
        u_set_v: 124.0 * 60.0,
        band_v: 2.0 * 60.0,
        compensation,
        ..TapRegulator::default()
    }
}

fn capacitor_control(watches: CapacitorWatches, on: f64, off: f64) -> CapacitorControl {
    CapacitorControl {
        id: 21,
        capacitor: 14,
        branch: BranchId(12),
        side: TransformerSide::From,
        phase: Some(1),
        watches,
        on_setting: on,
        off_setting: off,
        pt_ratio: 60.0,
        ct_ratio: 1.0,
        voltage_override: None,
        delay_s: (100.0, 100.0),
        dead_time_s: 300.0,
        active: true,
    }
}

fn bank(closed: bool) -> Capacitor {
    Capacitor { id: 14, terminal: terminal(2, &[1]), delta: false, q_var: 4e5, u_rated_v: RATED_V, closed }
}

fn run(parts: NetworkParts, rounds: usize) -> Result<(super::Settled, Assembly), NotAtRest> {
    let network = Network::new(parts).unwrap();
    let mut assembly = Assembly::new(&network, false).unwrap();
    let tolerance = Tolerance { voltage_pu: 1e-11, iterations_max: 200 };
    let mut solve = |circuit: &_| power_flow(circuit, &tolerance, Method::FixedPoint);
    settle(&network, &mut assembly, rounds, &mut solve).map(|settled| (settled, assembly))
}

/// Magnitude of phase a at a bus, V.
fn volts(assembly: &Assembly, solved: &Solved, bus: u32) -> f64 {
    let position = assembly.buses[&BusId(bus)];
    let local = assembly.conductors(position).iter().position(|&wire| wire == Wire(1)).unwrap();
    let base = assembly.circuit.buses[position as usize].u_base_v;
    solved.voltages[assembly.circuit.wires(position).start + local].norm() * base
}

#[test]
fn a_regulator_brings_its_own_terminal_into_the_band() {
    let parts = NetworkParts { tap_regulators: vec![regulator(Compensation::None)], ..feeder() };
    let (settled, assembly) = run(parts, 20).unwrap();
    let held = volts(&assembly, &settled.solved, 1);
    assert!((held - 124.0 * 60.0).abs() <= 60.0, "{held}");
    let tap_pu = settled.transformers[&BranchId(11)].windings[1].tap_pu;
    assert!((tap_pu * 160.0).fract().abs() < 1e-9 && tap_pu > 1.0, "{tap_pu}");
    // 70 % of the way first, then what is left: never more than is needed.
    assert!(settled.rounds > 2, "{}", settled.rounds);
}

#[test]
fn with_the_dial_set_to_the_line_the_far_end_is_held() {
    // 1 + 2j Ω at 100 A and a ratio of 60: 1.6667 and 3.3333 V.
    let dial = Compensation::Dial { r_v: 100.0 / 60.0, x_v: 200.0 / 60.0, ct_a: 100.0, pt_ratio: 60.0 };
    let parts = NetworkParts { tap_regulators: vec![regulator(dial)], ..feeder() };
    let (settled, assembly) = run(parts, 20).unwrap();
    let held = volts(&assembly, &settled.solved, 2);
    assert!((held - 124.0 * 60.0).abs() <= 60.0, "{held}");
    let ohm = Compensation::Ohm { r_ohm: 1.0, x_ohm: 2.0 };
    let same = NetworkParts { tap_regulators: vec![regulator(ohm)], ..feeder() };
    let (again, _) = run(same, 20).unwrap();
    assert_eq!(again.transformers, settled.transformers);
}

#[test]
fn a_locked_regulator_and_one_at_its_end_rest() {
    let locked = TapRegulator { steps_max: 0, ..regulator(Compensation::None) };
    let (settled, _) = run(NetworkParts { tap_regulators: vec![locked], ..feeder() }, 20).unwrap();
    assert_eq!((settled.rounds, settled.transformers[&BranchId(11)].windings[1].tap_pu), (1, 1.0));
    let beyond = TapRegulator { u_set_v: 2.0 * RATED_V, ..regulator(Compensation::None) };
    let (settled, _) = run(NetworkParts { tap_regulators: vec![beyond], ..feeder() }, 20).unwrap();
    assert!((settled.transformers[&BranchId(11)].windings[1].tap_pu - 1.1).abs() < 1e-12);
}

#[test]
fn one_step_at_a_time_takes_more_rounds_to_the_same_end() {
    let slow = TapRegulator { steps_max: 1, ..regulator(Compensation::None) };
    let fast = NetworkParts { tap_regulators: vec![regulator(Compensation::None)], ..feeder() };
    let slow = NetworkParts { tap_regulators: vec![slow], ..feeder() };
    let (slow, _) = run(slow, 40).unwrap();
    let (fast, _) = run(fast, 40).unwrap();
    // Both rest inside the band, which is a step wide: at one of two neighbouring taps.
    let tap = |settled: &Settled| settled.transformers[&BranchId(11)].windings[1].tap_pu;
    assert!((tap(&slow) - tap(&fast)).abs() < 0.006_251, "{} {}", tap(&slow), tap(&fast));
    assert!(slow.rounds > fast.rounds, "{} {}", slow.rounds, fast.rounds);
}

#[test]
fn a_capacitor_switches_by_what_flows_and_only_after_the_regulator() {
    let control = capacitor_control(CapacitorWatches::ReactivePower, 200.0, -200.0);
    let parts = NetworkParts {
        capacitors: vec![bank(false)],
        capacitor_controls: vec![control],
        tap_regulators: vec![regulator(Compensation::None)],
        ..feeder()
    };
    let (settled, _) = run(parts.clone(), 20).unwrap();
    assert!(settled.capacitors[&14].closed, "300 kvar flow, 200 switch it in");
    let alone = NetworkParts { tap_regulators: Vec::new(), ..parts.clone() };
    let (alone, _) = run(alone, 20).unwrap();
    assert_eq!(alone.rounds, 2);
    assert!(settled.rounds > 3, "the regulator came to rest first: {}", settled.rounds);
    let calm = CapacitorControl { on_setting: 400.0, ..parts.capacitor_controls[0].clone() };
    let (calm, _) = run(NetworkParts { capacitor_controls: vec![calm], ..parts }, 20).unwrap();
    assert!(!calm.capacitors[&14].closed);
}

#[test]
fn voltage_and_current_switch_a_capacitor_and_the_override_comes_first() {
    let with = |control, closed| NetworkParts {
        capacitors: vec![bank(closed)],
        capacitor_controls: vec![control],
        ..feeder()
    };
    let switched = |parts| run(parts, 20).unwrap().0.capacitors[&14].closed;
    // About 119.9 V on the control circuit, and 81 A.
    assert!(switched(with(capacitor_control(CapacitorWatches::Voltage, 121.0, 126.0), false)));
    assert!(!switched(with(capacitor_control(CapacitorWatches::Voltage, 110.0, 118.0), true)));
    assert!(switched(with(capacitor_control(CapacitorWatches::Current, 70.0, 10.0), false)));
    assert!(!switched(with(capacitor_control(CapacitorWatches::Current, 400.0, 300.0), true)));
    let by_flow = capacitor_control(CapacitorWatches::ReactivePower, 1e6, -1e6);
    let low = CapacitorControl { voltage_override: Some((121.0, 126.0)), ..by_flow.clone() };
    assert!(switched(with(low, false)));
    let high = CapacitorControl { voltage_override: Some((110.0, 118.0)), ..by_flow };
    assert!(!switched(with(high, true)));
}

#[test]
fn controls_that_never_rest_are_named() {
    // In above 0 kvar, out below 200: it cannot be satisfied.
    let control = capacitor_control(CapacitorWatches::ReactivePower, 0.0, 200.0);
    let parts = NetworkParts { capacitors: vec![bank(false)], capacitor_controls: vec![control], ..feeder() };
    let error = run(parts, 15).unwrap_err();
    assert_eq!(error, NotAtRest::TooManyRounds { rounds: 15, id: 21 });
}

#[test]
fn a_control_of_nothing_is_refused() {
    let astray = TapRegulator { controlled: 2, ..regulator(Compensation::None) };
    let error = run(NetworkParts { tap_regulators: vec![astray], ..feeder() }, 5).unwrap_err();
    assert_eq!(error, NotAtRest::Reference { id: 20, what: "winding" });
}
