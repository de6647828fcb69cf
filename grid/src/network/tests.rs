//! Each defect is refused, and named.

use super::*;

fn two_buses() -> NetworkParts {
    let bus = |id| Bus { id: BusId(id), u_rated_v: 400.0, position_m: None };
    NetworkParts {
        name: "two buses".into(),
        buses: vec![bus(1), bus(2)],
        lines: vec![Line {
            id: BranchId(1),
            from: BusId(1),
            to: BusId(2),
            r1_ohm: 0.1,
            x1_ohm: 0.1,
            r0_ohm: 0.1,
            x0_ohm: 0.1,
            c1_f: 0.0,
            c0_f: 0.0,
            i_rated_a: Some(100.0),
            ..Line::default()
        }],
        sources: vec![Source {
            bus: BusId(1),
            u_ref_pu: 1.0,
            sk_va: 1e9,
            rx_ratio: 0.1,
            z01_ratio: 1.0,
            ..Source::default()
        }],
        ..NetworkParts::default()
    }
}

fn refusal(change: impl FnOnce(&mut NetworkParts)) -> String {
    let mut parts = two_buses();
    change(&mut parts);
    Network::new(parts).unwrap_err().to_string()
}

#[test]
fn each_defect_is_named() {
    assert!(Network::new(two_buses()).is_ok());
    assert!(refusal(|p| p.buses[1].id = BusId(1)).contains("bus 1 is given twice"));
    assert!(refusal(|p| p.lines[0].to = BusId(9)).contains("bus 9, which does not exist"));
    assert!(refusal(|p| p.lines[0].to = BusId(1)).contains("begins and ends"));
    assert!(refusal(|p| p.lines[0].r1_ohm = f64::NAN).contains("r1 in ohm is NaN"));
    assert!(refusal(|p| p.lines[0].r1_ohm = -1.0).contains("r1 in ohm is -1"));
    assert!(refusal(|p| (p.lines[0].r1_ohm, p.lines[0].x1_ohm) = (0.0, 0.0)).contains("|r1 + j x1|"));
    assert!(refusal(|p| p.lines[0].r1_ohm = 1e308).contains("r1 in ohm"));
    assert!(refusal(|p| p.sources.clear()).contains("no source"));
    assert!(refusal(|p| p.lines.clear()).contains("1 buses have no connection"));
}

fn with_everything() -> NetworkParts {
    use num_complex::Complex64;
    let mut parts = two_buses();
    let terminal =
        |bus, wires: &[u8]| Terminal { bus: BusId(bus), wires: wires.iter().map(|&w| Wire(w)).collect() };
    parts.sources[0].id = 90;
    parts.coupled_lines = vec![CoupledLine {
        id: BranchId(2),
        from: terminal(1, &[1, 2]),
        to: terminal(2, &[1, 2]),
        z_ohm: vec![Complex64::new(0.1, 0.1); 4],
        y_s: vec![Complex64::new(0.0, 0.0); 4],
        i_rated_a: None,
        from_closed: true,
        to_closed: true,
    }];
    parts.links =
        vec![Link { id: BranchId(3), from: BusId(1), to: BusId(2), from_closed: true, to_closed: true }];
    let winding = |bus, delta| CoupledWinding {
        terminal: terminal(bus, if delta { &[1, 2, 3] } else { &[1, 2, 3, 0] }),
        delta,
        u_rated_v: 400.0,
        s_rated_va: 1e5,
        r_pu: 0.01,
        tap_pu: 1.0,
        tap_range_pu: (0.9, 1.1),
        tap_steps: 32,
        neutral_ohm: None,
    };
    parts.winding_transformers = vec![WindingTransformer {
        id: BranchId(4),
        phases: 3,
        windings: vec![winding(1, true), winding(2, false)],
        x_pu: vec![0.04],
        no_load_loss_pu: 0.0,
        magnetising_pu: 0.0,
        antifloat_pu: 1e-6,
        leads: false,
    }];
    parts.loads = vec![Load {
        id: 91,
        generates: false,
        terminal: terminal(2, &[1, 2, 3]),
        delta: false,
        u_branch_v: 230.0,
        p_w: vec![1.0; 3],
        q_var: vec![0.0; 3],
        symmetric: true,
        dependence: VoltageDependence::POWER,
        closed: true,
    }];
    parts.capacitors = vec![Capacitor {
        id: 92,
        terminal: terminal(2, &[1]),
        delta: false,
        q_var: 1e3,
        u_rated_v: 230.0,
        closed: true,
    }];
    parts.shunts = vec![Shunt { id: 93, bus: BusId(2), closed: true, y1_s: (0.0, 1e-3), y0_s: (0.0, 0.0) }];
    parts.voltage_regulators = vec![VoltageRegulator {
        id: 94,
        appliance: 91,
        u_ref_pu: 1.0,
        q_range_var: (f64::NEG_INFINITY, 1e3),
        active: true,
    }];
    parts
}

#[test]
fn each_defect_of_other_equipment_is_named() {
    let refusal = |change: &dyn Fn(&mut NetworkParts)| {
        let mut parts = with_everything();
        change(&mut parts);
        Network::new(parts).unwrap_err().to_string()
    };
    assert_eq!(Network::new(with_everything()).err(), None);
    assert!(refusal(&|p| p.links[0].id = BranchId(1)).contains("link 1 is given twice"));
    assert!(refusal(&|p| p.loads[0].id = 90).contains("load 90 is given twice"));
    assert!(refusal(&|p| p.links[0].to = BusId(5)).contains("link 3 is connected to bus 5"));
    assert!(
        refusal(&|p| p.coupled_lines[0].z_ohm.truncate(3)).contains("coupled line 2: the impedance matrix")
    );
    assert!(
        refusal(&|p| p.coupled_lines[0].z_ohm[0].re = f64::NAN).contains("resistance matrix in ohm is NaN")
    );
    assert!(refusal(&|p| p.coupled_lines[0].z_ohm[3] = 0.0.into()).contains("impedance of a conductor"));
    let of_a_conductor = "coupled line 2: resistance of a conductor in ohm is -0.1";
    assert!(refusal(&|p| p.coupled_lines[0].z_ohm[3].re = -0.1).contains(of_a_conductor));
    assert!(
        refusal(&|p| p.winding_transformers[0].x_pu = vec![0.0]).contains("transformer 4: short-circuit")
    );
    assert!(
        refusal(&|p| p.winding_transformers[0].windings[0].terminal.wires = vec![Wire(1)])
            .contains("transformer 4")
    );
    assert!(refusal(&|p| p.loads[0].p_w = vec![1.0]).contains("load 91"));
    assert!(refusal(&|p| p.loads[0].q_var[1] = 1e308).contains("load 91: q_specified in var"));
    assert!(refusal(&|p| p.loads[0].terminal.wires[1] = Wire(1)).contains("named twice"));
    assert!(refusal(&|p| p.capacitors[0].u_rated_v = 0.0).contains("capacitor 92: rated voltage"));
    assert!(refusal(&|p| p.shunts[0].y1_s.1 = f64::INFINITY).contains("shunt 93: b1 in S"));
    assert!(
        refusal(&|p| p.voltage_regulators[0].appliance = 7)
            .contains("voltage regulator 94 belongs to load 7")
    );
    assert!(refusal(&|p| p.sources[0].z_ohm = Some((0.0, 0.0, 1.0, 1.0))).contains("source 90: impedance"));
    assert!(refusal(&|p| p.sources[0].z_ohm = Some((-0.1, 0.2, 1.0, 1.0))).contains("source 90: r1 in ohm"));
    assert!(refusal(&|p| p.frequency_hz = Some(0.0)).contains("frequency in Hz is 0"));
}

#[test]
fn dead_islands_are_accepted_where_they_are_allowed() {
    let mut parts = two_buses();
    parts.lines.clear();
    parts.dead_islands = true;
    assert!(Network::new(parts).is_ok());
}
