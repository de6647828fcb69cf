use super::*;
use crate::assembly::BranchPlace;
use crate::circuit::{
    Circuit, CircuitBus, CircuitShunt, CircuitSource, Coupling, FlowPlace, GROUND, LoadPort, Series,
};
use grid::network::{
    Bus, Line, Link, Load, NetworkParts, Shunt, Source, Terminal, TransformerSide, VoltageDependence, Wire,
};
use grid::{BranchId, PhaseValue};
use num_complex::Complex64;
use proptest::prelude::*;
use std::f64::consts::TAU;

const SOURCE: u32 = 10;
const LOADS: [u32; 3] = [20, 21, 22];
const SHUNT: u32 = 30;
const LINE: BranchId = BranchId(40);
const LINK: BranchId = BranchId(41);

/// 400 V: source at bus 1, a line to bus 2 with two loads and a shunt, a link to bus 3 with one more load.
fn network() -> Network {
    let bus = |id| Bus { id: BusId(id), u_rated_v: 400.0, position_m: None };
    let load = |id, bus| Load {
        id,
        generates: false,
        terminal: Terminal { bus: BusId(bus), wires: Wire::PHASES.to_vec() },
        delta: false,
        u_branch_v: 400.0 / 3.0_f64.sqrt(),
        p_w: vec![0.0; 3],
        q_var: vec![0.0; 3],
        symmetric: true,
        dependence: VoltageDependence::POWER,
        closed: true,
    };
    Network::new(NetworkParts {
        name: "three buses".into(),
        buses: vec![bus(1), bus(2), bus(3)],
        lines: vec![Line {
            id: LINE,
            from: BusId(1),
            to: BusId(2),
            r1_ohm: 0.1,
            x1_ohm: 0.1,
            r0_ohm: 0.2,
            x0_ohm: 0.3,
            ..Line::default()
        }],
        links: vec![Link { id: LINK, from: BusId(2), to: BusId(3), from_closed: true, to_closed: true }],
        sources: vec![Source { id: SOURCE, bus: BusId(1), ..Source::default() }],
        loads: vec![load(LOADS[0], 2), load(LOADS[1], 2), load(LOADS[2], 3)],
        shunts: vec![Shunt {
            id: SHUNT,
            bus: BusId(2),
            closed: true,
            y1_s: (0.01, 0.02),
            y0_s: (0.01, 0.02),
        }],
        ..NetworkParts::default()
    })
    .unwrap()
}

/// The same as a circuit: buses 2 and 3 are one.
fn assembly(symmetric: bool) -> Assembly {
    let wires = if symmetric { 1 } else { 3 };
    let bus = |at: u32| CircuitBus {
        first_wire: at * u32::from(wires),
        wires,
        energized: true,
        u_base_v: 400.0 / 3.0_f64.sqrt(),
    };
    let y_base = 1e6 / (400.0 * 400.0);
    let z = |r: f64, x: f64| Complex64::new(r, x) * y_base;
    let even = |one: Complex64, zero: Complex64| match symmetric {
        true => Coupling::Even { own: one, mutual: Complex64::ZERO },
        false => Coupling::from_sequence(one, zero),
    };
    let port = |plus| LoadPort {
        bus: 1,
        plus,
        minus: GROUND,
        u_nominal: 1.0,
        power: Complex64::ZERO,
        current: Complex64::ZERO,
        impedance: Complex64::ZERO,
        limits: None,
    };
    let ports = |at: u32| AppliancePlace::Ports(at * u32::from(wires)..(at + 1) * u32::from(wires));
    let emf = (0..wires).map(|k| Complex64::from_polar(1.0, -TAU * f64::from(k) / 3.0)).collect();
    let y_shunt = Complex64::new(0.01, 0.02) / y_base;
    Assembly {
        circuit: Circuit {
            s_base_va: if symmetric { 1e6 } else { 1e6 / 3.0 },
            buses: vec![bus(0), bus(1)],
            series: vec![Series {
                from: 0,
                to: 1,
                ratio: None,
                z: even(z(0.1, 0.1), z(0.2, 0.3)),
                y_from: Coupling::Zero,
                y_to: Coupling::Zero,
            }],
            shunts: vec![CircuitShunt { bus: 1, y: even(y_shunt, y_shunt) }],
            ports: (0..3).flat_map(|_| (0..wires).map(port)).collect(),
            sources: vec![CircuitSource { bus: 0, emf, y: Coupling::Zero }],
            ..Circuit::default()
        },
        symmetric,
        wires: (0..2).flat_map(|_| Wire::PHASES.into_iter().take(usize::from(wires))).collect(),
        buses: [(BusId(1), 0), (BusId(2), 1), (BusId(3), 1)].into(),
        branches: [(LINE, BranchPlace::Series(0)), (BranchId(42), BranchPlace::Off)].into(),
        appliances: [
            (SOURCE, (0, AppliancePlace::Source(0))),
            (LOADS[0], (1, ports(0))),
            (LOADS[1], (1, ports(1))),
            (LOADS[2], (1, ports(2))),
            (SHUNT, (1, AppliancePlace::Shunt(0))),
        ]
        .into(),
    }
}

fn power(id: u32, place: SensorPlace, p: f64, q: f64, sigma: f64) -> Sensor {
    let one = PhaseValue::Symmetric;
    let value = SensorValue::Power {
        p_w: one(p),
        q_var: one(q),
        p_sigma_w: one(sigma),
        q_sigma_var: one(2.0 * sigma),
        pseudo: false,
    };
    Sensor { id, place, value }
}

fn voltage(id: u32, u_v: PhaseValue, angle_rad: Option<PhaseValue>, sigma_v: f64) -> Sensor {
    let place = SensorPlace::Bus(BusId(1));
    Sensor { id, place, value: SensorValue::Voltage { u_v, angle_rad, sigma_v } }
}

fn load(id: u32, at: u32, p: f64, sigma: f64) -> Sensor {
    power(id, SensorPlace::Appliance(at), p, p / 2.0, sigma)
}

fn refusal(sensors: &[Sensor]) -> String {
    gather(&assembly(true), &network(), sensors).unwrap_err().to_string()
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() < 1e-12 * (1.0 + b.abs())
}

#[test]
fn all_loads_measured_become_one_injection_with_added_variances() {
    let sensors = [load(1, 20, 3e3, 30.0), load(2, 21, 5e3, 40.0), load(3, 22, 1e3, 10.0)];
    let gathered = gather(&assembly(true), &network(), &sensors).unwrap();
    let [row] = gathered.readings.injections[..] else { panic!("one row") };
    assert!(close(row.s.re, 9e-3) && close(row.s.im, 4.5e-3));
    assert!(close(row.variance_p * 1e12, 900.0 + 1600.0 + 100.0));
    assert!(close(row.variance_q * 1e12, 4.0 * 2600.0));
    assert_eq!(gathered.readings.free, [0]);
    assert_eq!(gathered.readings.first_pseudo, None);
}

#[test]
fn a_total_is_divided_evenly_over_three_phases() {
    let sensors = [load(1, 20, 3e3, 30.0), load(2, 21, 5e3, 40.0), load(3, 22, 1e3, 10.0)];
    let gathered = gather(&assembly(false), &network(), &sensors).unwrap();
    assert_eq!(gathered.readings.injections.len(), 3);
    for row in &gathered.readings.injections {
        // A third of the power on a third of the base.
        assert!(close(row.s.re, 9e-3) && close(row.variance_p * 1e12, 2600.0));
    }
    assert_eq!(gathered.readings.free, [0, 1, 2]);
}

#[test]
fn two_sensors_of_one_load_are_weighed_by_inverse_variance() {
    let sensors =
        [load(1, 20, 3e3, 10.0), load(4, 20, 4e3, 20.0), load(2, 21, 0.0, 1.0), load(3, 22, 0.0, 1.0)];
    let gathered = gather(&assembly(true), &network(), &sensors).unwrap();
    let row = gathered.readings.injections[0];
    assert!(close(row.s.re, 3.2e-3), "{row:?}");
    assert!(close(row.variance_p * 1e12, 80.0 + 2.0));
}

#[test]
fn one_unmeasured_load_frees_the_bus_unless_the_bus_itself_is_measured() {
    let mut sensors = vec![load(1, 20, 3e3, 30.0), load(2, 22, 1e3, 30.0)];
    let free = gather(&assembly(true), &network(), &sensors).unwrap();
    assert!(free.readings.injections.is_empty());
    assert_eq!(free.readings.free, [0, 1]);
    sensors.push(power(3, SensorPlace::BusInjection(BusId(2)), 7e3, 1e3, 40.0));
    let measured = gather(&assembly(true), &network(), &sensors).unwrap();
    let row = measured.readings.injections[0];
    // Bus 2 says 7 kW for both its loads, bus 3 has 1 kW.
    assert!(close(row.s.re, 8e-3) && close(row.variance_p * 1e12, 1600.0 + 900.0));
}

#[test]
fn a_sensor_that_says_nothing_is_as_if_not_there() {
    let others = [load(1, 20, 3e3, 30.0), load(2, 22, 1e3, 30.0)];
    for sigma in [f64::INFINITY, 1e200] {
        let mut sensors = others.to_vec();
        sensors.push(load(3, 21, 1e3, sigma));
        let gathered = gather(&assembly(true), &network(), &sensors).unwrap();
        assert_eq!(gathered.readings.free, [0, 1]);
    }
    let gathered =
        gather(&assembly(true), &network(), &[voltage(1, PhaseValue::Symmetric(400.0), None, 1e300)]);
    assert!(gathered.unwrap().readings.voltages.is_empty());
}

#[test]
fn half_of_a_flow_is_a_reading_and_half_of_an_injection_is_refused() {
    let (one, network) = (assembly(false), network());
    let half = |id, place, q_sigma: PhaseValue| {
        let mut sensor = power(id, place, 3e3, 1e3, 10.0);
        let SensorValue::Power { q_sigma_var, .. } = &mut sensor.value else { panic!("a power") };
        *q_sigma_var = q_sigma;
        sensor
    };
    let nothing = PhaseValue::Symmetric(f64::INFINITY);
    let flow = half(1, SensorPlace::Branch(LINE, TransformerSide::From), nothing);
    let gathered = gather(&one, &network, &[flow]).unwrap();
    assert_eq!(gathered.readings.powers.len(), 3);
    for reading in &gathered.readings.powers {
        assert!(reading.variance_p.is_some() && reading.variance_q.is_none(), "{reading:?}");
    }
    for place in [SensorPlace::Appliance(20), SensorPlace::BusInjection(BusId(2))] {
        let said = gather(&one, &network, &[half(2, place, nothing)]).unwrap_err().to_string();
        assert!(said.contains("sensor 2: standard deviation of one part"), "{said}");
        let missing = half(3, place, PhaseValue::Symmetric(f64::NAN));
        let said = gather(&one, &network, &[missing]).unwrap_err().to_string();
        assert!(said.contains("sensor 3: standard deviation of the reactive power"), "{said}");
    }
}

#[test]
fn a_phase_that_says_nothing_leaves_what_the_others_say() {
    let (one, network) = (assembly(false), network());
    let sigma = PhaseValue::PerPhase([10.0, f64::INFINITY, 10.0]);
    let value = SensorValue::Power {
        p_w: PhaseValue::PerPhase([1e3, 9e9, 2e3]),
        q_var: PhaseValue::PerPhase([0.0; 3]),
        p_sigma_w: sigma,
        q_sigma_var: sigma,
        pseudo: false,
    };
    let sensor = Sensor { id: 1, place: SensorPlace::Branch(LINE, TransformerSide::From), value };
    let wires = gather(&one, &network, &[sensor]).unwrap().readings.powers;
    assert_eq!(wires.iter().map(|reading| reading.wire).collect::<Vec<_>>(), [Some(0), Some(2)]);
}

#[test]
fn expectations_stand_behind_what_was_measured() {
    let mut sensors = [
        load(1, 20, 3e3, 30.0),
        load(2, 21, 5e3, 40.0),
        load(3, 22, 1e3, 10.0),
        load(4, SOURCE, -9e3, 100.0),
    ];
    if let SensorValue::Power { pseudo, .. } = &mut sensors[1].value {
        *pseudo = true;
    }
    let gathered = gather(&assembly(true), &network(), &sensors).unwrap();
    let buses: Vec<u32> = gathered.readings.injections.iter().map(|row| row.bus).collect();
    assert_eq!((buses, gathered.readings.first_pseudo), (vec![0, 1], Some(1)));
    let first: Vec<usize> = gathered.readings.injections.iter().map(|row| row.sensor as usize).collect();
    assert_eq!(first, [3, 0]);
}

#[test]
fn an_expectation_beside_a_meter_is_no_longer_what_its_bus_rests_on() {
    let expected = |mut sensor: Sensor| {
        if let SensorValue::Power { pseudo, .. } = &mut sensor.value {
            *pseudo = true;
        }
        sensor
    };
    let first = |more: &[Sensor]| {
        let mut sensors =
            vec![expected(load(1, 20, 3e3, 300.0)), load(2, 21, 5e3, 40.0), load(3, 22, 1e3, 10.0)];
        sensors.extend_from_slice(more);
        gather(&assembly(true), &network(), &sensors).unwrap().readings.first_pseudo
    };
    assert_eq!(first(&[]), Some(0));
    assert_eq!(first(&[load(4, 20, 3.1e3, 30.0)]), None, "the load has a meter as well");
    let whole = power(4, SensorPlace::BusInjection(BusId(2)), 8e3, 1e3, 40.0);
    assert_eq!(first(&[whole]), None, "the bus has one");
    assert_eq!(first(&[load(4, 21, 5e3, 30.0)]), Some(0), "another load of the bus has one more");
}

#[test]
fn voltages_are_phase_to_phase_when_symmetric_and_to_neutral_otherwise() {
    let phase = 400.0 / 3.0_f64.sqrt();
    let sensors = [
        voltage(1, PhaseValue::Symmetric(404.0), None, 4.0),
        voltage(2, PhaseValue::PerPhase([phase, 1.01 * phase, f64::NAN]), None, 0.01 * phase),
    ];
    let asymmetric = gather(&assembly(false), &network(), &sensors).unwrap().readings.voltages;
    let magnitudes: Vec<f64> = asymmetric.iter().map(|row| row.magnitude).collect();
    assert!(magnitudes.iter().zip([1.01, 1.01, 1.01, 1.0, 1.01]).all(|(a, b)| close(*a, b)));
    assert!(asymmetric.iter().all(|row| close(row.variance, 1e-4)));
    let symmetric = gather(&assembly(true), &network(), &sensors).unwrap().readings.voltages;
    assert!(close(symmetric[0].magnitude, 1.01) && close(symmetric[1].magnitude, 1.005));
}

#[test]
fn phasors_of_three_phases_are_turned_and_averaged_as_sequences() {
    let phase = 400.0 / 3.0_f64.sqrt();
    let one = voltage(1, PhaseValue::Symmetric(400.0), Some(PhaseValue::Symmetric(0.1)), 4.0);
    let rows = gather(&assembly(false), &network(), &[one]).unwrap().readings.voltages;
    for (k, row) in rows.iter().enumerate() {
        assert!(close(row.angle.unwrap(), 0.1 - k as f64 * TAU / 3.0));
    }
    let angles = [0.1, 0.1 - TAU / 3.0, 0.1 + TAU / 3.0];
    let each = voltage(2, PhaseValue::PerPhase([phase; 3]), Some(PhaseValue::PerPhase(angles)), 4.0);
    let rows = gather(&assembly(true), &network(), &[each]).unwrap().readings.voltages;
    assert!(close(rows[0].magnitude, 1.0) && close(rows[0].angle.unwrap(), 0.1));
}

#[test]
fn a_bus_with_one_magnitude_only_has_no_angle_of_its_own() {
    let sensors = [
        voltage(1, PhaseValue::Symmetric(400.0), Some(PhaseValue::Symmetric(0.3)), 4.0),
        voltage(2, PhaseValue::Symmetric(401.0), None, 4.0),
    ];
    let rows = gather(&assembly(true), &network(), &sensors).unwrap().readings.voltages;
    // Both stand at the reference then.
    assert!(rows.iter().all(|row| row.angle == Some(0.0)));
}

#[test]
fn flows_enter_the_branch_and_say_of_each_phase_what_they_are_given() {
    let from = SensorPlace::Branch(LINE, TransformerSide::From);
    let mut sensor = power(1, from, 9e3, 3e3, 90.0);
    let rows = gather(&assembly(false), &network(), &[sensor]).unwrap().readings.powers;
    assert!(rows.iter().all(|row| close(row.s.re, 9e-3) && row.place == FlowPlace::SeriesFrom(0)));
    assert!(rows.iter().all(|row| close(row.variance_p.unwrap() * 1e12, 8100.0)));
    sensor.value = SensorValue::Power {
        p_w: PhaseValue::PerPhase([1e3, 2e3, 3e3]),
        q_var: PhaseValue::PerPhase([0.0; 3]),
        p_sigma_w: PhaseValue::PerPhase([10.0, 20.0, 30.0]),
        q_sigma_var: PhaseValue::Symmetric(10.0),
        pseudo: false,
    };
    let row = gather(&assembly(false), &network(), &[sensor]).unwrap().readings.powers[1];
    assert!(close(row.s.re, 6e-3) && close(row.variance_p.unwrap() * 1e12, 3600.0));
    let row = gather(&assembly(true), &network(), &[sensor]).unwrap().readings.powers[0];
    assert!(close(row.s.re, 6e-3) && close(row.variance_p.unwrap() * 1e12, 9.0 * 1400.0 / 3.0));
}

fn current(angle: Option<PhaseValue>, global_angle: bool, i_a: f64) -> Sensor {
    let value = SensorValue::Current {
        i_a: PhaseValue::Symmetric(i_a),
        angle_rad: angle,
        global_angle,
        sigma_a: 0.1,
        sigma_rad: 0.01,
    };
    Sensor { id: 5, place: SensorPlace::Branch(LINE, TransformerSide::To), value }
}

#[test]
fn a_local_current_angle_is_the_same_in_every_phase_and_counts_lagging() {
    let base = 1e6 / (400.0 * 3.0_f64.sqrt());
    let sensor = current(Some(PhaseValue::Symmetric(0.3)), false, base);
    for symmetric in [true, false] {
        let rows = gather(&assembly(symmetric), &network(), &[sensor]).unwrap().readings.currents;
        for row in &rows {
            assert!(close(row.magnitude, 1.0) && close(row.angle.unwrap(), -0.3) && row.angle_from_voltage);
            assert!(close(row.variance_across / 1e-4, 1.0 + (0.1 / base).powi(2)));
        }
    }
}

#[test]
fn an_absolute_current_angle_needs_a_measured_voltage_angle() {
    let sensor = current(Some(PhaseValue::Symmetric(0.3)), true, 10.0);
    let without = [sensor, voltage(1, PhaseValue::Symmetric(400.0), None, 4.0)];
    assert!(refusal(&without).contains("sensor 5: a current with an absolute angle needs a voltage"));
    let with = [sensor, voltage(1, PhaseValue::Symmetric(400.0), Some(PhaseValue::Symmetric(0.0)), 4.0)];
    let rows = gather(&assembly(false), &network(), &with).unwrap().readings.currents;
    assert!(close(rows[2].angle.unwrap(), 0.3 - 2.0 * TAU / 3.0) && !rows[2].angle_from_voltage);
}

#[test]
fn a_current_of_zero_has_no_exact_direction() {
    let rows = gather(&assembly(true), &network(), &[current(Some(PhaseValue::Symmetric(0.3)), false, 0.0)]);
    let row = rows.unwrap().readings.currents[0];
    assert!(close(row.variance_across, row.variance));
}

#[test]
fn every_refusal_names_the_sensor() {
    let at = SensorPlace::Appliance(20);
    let volt = |u: f64| voltage(7, PhaseValue::Symmetric(u), None, 1.0);
    assert!(refusal(&[power(7, at, f64::NAN, 0.0, 1.0)]).contains("sensor 7: active power in W is NaN"));
    assert!(refusal(&[power(7, at, 1e308, 0.0, 1.0)]).contains("sensor 7: active power"));
    assert!(refusal(&[power(7, at, 1.0, 0.0, 0.0)]).contains("zero injections only"));
    assert!(refusal(&[power(7, at, 1.0, 0.0, -1.0)]).contains("sensor 7: standard deviation"));
    assert!(refusal(&[power(7, at, 1.0, 0.0, 1e-9)]).contains("too small"));
    assert!(refusal(&[power(7, SensorPlace::Appliance(99), 1.0, 0.0, 1.0)]).contains("appliance 99"));
    assert!(refusal(&[power(7, SensorPlace::Bus(BusId(2)), 1.0, 0.0, 1.0)]).contains("power cannot"));
    assert!(refusal(&[power(7, SensorPlace::BusInjection(BusId(9)), 1.0, 0.0, 1.0)]).contains("bus 9"));
    let branch = |id, side| SensorPlace::Branch(id, side);
    assert!(refusal(&[power(7, branch(LINK, TransformerSide::To), 1.0, 0.0, 1.0)]).contains("link"));
    assert!(refusal(&[power(7, branch(LINE, TransformerSide::Third), 1.0, 0.0, 1.0)]).contains("third"));
    assert!(
        refusal(&[power(7, branch(BranchId(9), TransformerSide::To), 1.0, 0.0, 1.0)]).contains("branch 9")
    );
    assert!(
        refusal(&[volt(0.0)]).contains("positive voltage") && refusal(&[volt(-1.0)]).contains("negative")
    );
    let no_phase = voltage(7, PhaseValue::PerPhase([f64::NAN; 3]), None, 1.0);
    assert!(refusal(&[no_phase]).contains("sensor 7: voltage in V is NaN"));
    assert!(refusal(&[volt(400.0), volt(400.0)]).contains("sensor 7 is given twice"));
    let here = Sensor { place: at, ..current(None, false, 1.0) };
    assert!(refusal(&[here]).contains("a current cannot be measured at an appliance"));
}

#[test]
fn open_ends_and_dead_parts_are_left_out_but_answered() {
    let mut assembly = assembly(true);
    assembly.appliances.insert(LOADS[0], (1, AppliancePlace::Off));
    let off = SensorPlace::Branch(BranchId(42), TransformerSide::From);
    let sensors = [load(1, LOADS[0], 3e3, 30.0), power(2, off, 1e3, 0.0, 1.0)];
    let gathered = gather(&assembly, &network(), &sensors).unwrap();
    assert!(gathered.readings.injections.is_empty() && gathered.readings.powers.is_empty());
    let outcome = gathered.outcome(&assembly, vec![Complex64::new(1.0, 0.0); 2]);
    let expected =
        SensorResidual::Power { p_w: PhaseValue::Symmetric(3e3), q_var: PhaseValue::Symmetric(1.5e3) };
    assert_eq!(outcome.residuals, [expected, SensorResidual::Dead]);
    assert_eq!(outcome.appliances[&LOADS[0]], [Complex64::ZERO]);
}

proptest! {
    /// Sensors read off a state have no residual in that state, whatever it is.
    #[test]
    fn readings_of_a_state_have_no_residual_in_it(
        drop in prop::collection::vec((0.9..1.05_f64, -0.1..0.1_f64), 3), turn in -3.0..3.0_f64,
    ) {
        let (assembly, network) = (assembly(false), network());
        let mut v = Vec::new();
        for bus in 0..2 {
            for (k, (u, angle)) in drop.iter().enumerate() {
                let lag = turn - TAU * k as f64 / 3.0;
                v.push(Complex64::from_polar(if bus == 0 { 1.0 } else { *u }, lag + f64::from(bus) * angle));
            }
        }
        let sensors = [
            voltage(1, PhaseValue::PerPhase([230.0; 3]), None, 1.0),
            power(2, SensorPlace::Branch(LINE, TransformerSide::From), 0.0, 0.0, 1.0),
            power(3, SensorPlace::Branch(LINE, TransformerSide::To), 0.0, 0.0, 1.0),
            power(4, SensorPlace::BusInjection(BusId(2)), 0.0, 0.0, 1.0),
            power(5, SensorPlace::BusInjection(BusId(3)), 0.0, 0.0, 1.0),
            power(6, SensorPlace::Appliance(SHUNT), 0.0, 0.0, 1.0),
        ];
        let gathered = gather(&assembly, &network, &sensors).unwrap();
        let outcome = gathered.outcome(&assembly, v);
        // Turned to the source's first wire.
        prop_assert!(outcome.voltages[0].arg().abs() < 1e-12);
        // With all sensors at zero the residuals are the negative flows: they add up.
        let power = |at: usize| match outcome.residuals[at] {
            SensorResidual::Power { p_w: PhaseValue::PerPhase(p), .. } => p.iter().sum::<f64>(),
            _ => f64::NAN,
        };
        let bus_3: f64 = outcome.nodes[&BusId(3)].iter().map(|s| s.re).sum();
        let loads: f64 = LOADS.iter().flat_map(|id| &outcome.appliances[id]).map(|s| s.re).sum();
        let scale = 1.0 + power(2).abs() + power(5).abs();
        prop_assert!((power(3) + power(4) + power(5) + power(2)).abs() < 1e-9 * scale);
        prop_assert!((bus_3 + power(4)).abs() < 1e-9 * scale);
        prop_assert!((loads + power(3) + power(4)).abs() < 1e-9 * scale);
        let shunt = &outcome.appliances[&SHUNT];
        prop_assert!((shunt.iter().map(|s| s.re).sum::<f64>() + power(5)).abs() < 1e-9 * scale);
    }
}

#[test]
fn the_difference_between_bus_and_loads_goes_to_the_uncertain_ones() {
    let (assembly, network) = (assembly(true), network());
    let sensors = [load(1, 20, 3e3, 10.0), load(2, 21, 5e3, 20.0), load(3, 22, 1e3, 10.0)];
    let gathered = gather(&assembly, &network, &sensors).unwrap();
    let v = vec![Complex64::new(1.0, 0.0), Complex64::new(0.99, -0.001)];
    let outcome = gathered.outcome(&assembly, v);
    let p = |id: u32| outcome.appliances[&id][0].re;
    let total: f64 = LOADS.iter().map(|id| p(*id)).sum();
    let beyond = total - 9e3;
    assert!(beyond.abs() > 1.0);
    assert!((p(21) - 5e3 - beyond * 400.0 / 600.0).abs() < 1e-6);
    assert!((p(20) - 3e3 - beyond * 100.0 / 600.0).abs() < 1e-6);
    let SensorResidual::Power { p_w: PhaseValue::Symmetric(off), .. } = outcome.residuals[0] else {
        panic!("a power")
    };
    assert!((off - (3e3 - p(20))).abs() < 1e-6);
}
