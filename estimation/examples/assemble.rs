//! How long it takes to assemble and to tell the results of a radial network of N buses (default 100 000).
#![allow(clippy::print_stdout, clippy::disallowed_methods, missing_docs)]

use estimation::assembly::Assembly;
use estimation::results::Results;
use grid::network::{Bus, Line, Load, NetworkParts, Source, Terminal, VoltageDependence, Wire};
use grid::{BranchId, BusId, Network};
use num_complex::Complex64;
use std::time::Instant;

fn parts(count: u32) -> NetworkParts {
    let line = |to: u32| Line {
        id: BranchId(1_000_000 + to),
        from: BusId((to - 1) / 2),
        to: BusId(to),
        r1_ohm: 0.1,
        x1_ohm: 0.05,
        r0_ohm: 0.3,
        x0_ohm: 0.15,
        c1_f: 1e-7,
        c0_f: 5e-8,
        i_rated_a: Some(200.0),
        ..Line::default()
    };
    let load = |bus: u32| Load {
        id: 2_000_000 + bus,
        generates: false,
        terminal: Terminal { bus: BusId(bus), wires: Wire::PHASES.to_vec() },
        delta: false,
        u_branch_v: 230.0,
        p_w: vec![1.0, 2.0, 3.0],
        q_var: vec![0.1, 0.2, 0.3],
        symmetric: false,
        dependence: VoltageDependence::POWER,
        closed: true,
    };
    NetworkParts {
        buses: (0..count).map(|id| Bus { id: BusId(id), u_rated_v: 400.0, position_m: None }).collect(),
        lines: (1..count).map(line).collect(),
        loads: (1..count).map(load).collect(),
        sources: vec![Source { id: 3_000_000, ..Source::default() }],
        ..NetworkParts::default()
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let count = std::env::args().nth(1).map_or(Ok(100_000), |count| count.parse())?;
    let parts = parts(count);
    let start = Instant::now();
    let network = Network::new(parts)?;
    println!("check {:?}", start.elapsed());
    for _ in 0..3 {
        let start = Instant::now();
        let assembly = Assembly::new(&network, false)?;
        let assembled = start.elapsed();
        let voltages: Vec<Complex64> =
            (0..count).flat_map(|_| assembly.circuit.sources[0].emf.iter().copied()).collect();
        let start = Instant::now();
        let results = Results::new(&network, &assembly, &voltages);
        println!("assemble {assembled:?}, results {:?} ({} lines)", start.elapsed(), results.lines.len());
    }
    Ok(())
}
