//! The plainest power flow there is: one dense nodal admittance matrix, fixed-point iteration. The oracle of tests.

use crate::circuit::{Circuit, Coupling, LoadPort};
use nalgebra::{DMatrix, DVector};
use num_complex::Complex64;

/// Voltages of all wires, p.u.; zero on dead buses.
pub(crate) fn solve(circuit: &Circuit) -> Vec<Complex64> {
    let n = circuit.wire_count();
    let mut y = admittance(circuit);
    let mut feed = DVector::zeros(n);
    for source in &circuit.sources {
        let wires = circuit.wires(source.bus);
        let matrix = source.y.to_matrix(wires.len());
        let emf = DVector::from_column_slice(&source.emf);
        let mut rows = feed.rows_mut(wires.start, wires.len());
        rows += &matrix * emf;
        let mut block = y.view_mut((wires.start, wires.start), (wires.len(), wires.len()));
        block += matrix;
    }
    let mut start = y.clone();
    for (bus, b) in circuit.buses.iter().enumerate().filter(|(_, b)| !b.energized) {
        for wire in circuit.wires(bus as u32) {
            start[(wire, wire)] += Complex64::ONE * f64::from(b.wires);
        }
    }
    // Constant impedances are linear: they belong to the matrix.
    for port in &circuit.ports {
        let admittance = port.impedance.conj() / (port.u_nominal * port.u_nominal);
        let ends = [circuit.wire(port.bus, port.plus), circuit.wire(port.bus, port.minus)];
        for (row, sign) in ends.iter().zip([1.0, -1.0]) {
            for (column, other) in ends.iter().zip([1.0, -1.0]) {
                if let (Some(row), Some(column)) = (row, column) {
                    start[(*row, *column)] += admittance * sign * other;
                }
            }
        }
    }
    let factor = start.lu();
    let mut v = factor.solve(&feed).expect("regular");
    for _ in 0..2000 {
        let mut current = feed.clone();
        for port in &circuit.ports {
            let (i, plus, minus) = port_current(circuit, port, &v);
            for (wire, sign) in [(plus, -1.0), (minus, 1.0)] {
                if let Some(wire) = wire {
                    current[wire] += i * sign;
                }
            }
        }
        let next = factor.solve(&current).expect("regular");
        let step = (&next - &v).camax();
        v = next;
        if step < 1e-14 {
            break;
        }
    }
    v.iter().copied().collect()
}

/// Current of the shares that are not in the matrix.
fn port_current(
    circuit: &Circuit,
    port: &LoadPort,
    v: &DVector<Complex64>,
) -> (Complex64, Option<usize>, Option<usize>) {
    assert!(port.limits.is_none(), "the oracle knows no limits");
    let (plus, minus) = (circuit.wire(port.bus, port.plus), circuit.wire(port.bus, port.minus));
    let across = plus.map_or(Complex64::ZERO, |wire| v[wire]) - minus.map_or(Complex64::ZERO, |wire| v[wire]);
    let s = port.power + port.current * (across.norm() / port.u_nominal);
    ((s / across).conj(), plus, minus)
}

/// Everything linear but the sources.
pub(crate) fn admittance(circuit: &Circuit) -> DMatrix<Complex64> {
    let n = circuit.wire_count();
    let mut y = DMatrix::zeros(n, n);
    for series in &circuit.series {
        let (from, to) = (circuit.wires(series.from), circuit.wires(series.to));
        let k = from.len();
        let z = series.z.to_matrix(k).try_inverse().expect("regular series impedance");
        let t = series.ratio.as_deref().cloned().unwrap_or_else(|| DMatrix::identity(k, k));
        let mut add = |row: usize, column: usize, block: DMatrix<Complex64>| {
            let mut view = y.view_mut((row, column), (k, k));
            view += block;
        };
        add(from.start, from.start, t.adjoint() * &z * &t + series.y_from.to_matrix(k));
        add(from.start, to.start, -(t.adjoint() * &z));
        add(to.start, from.start, -(&z * &t));
        add(to.start, to.start, z + series.y_to.to_matrix(k));
    }
    for element in &circuit.general {
        let wires: Vec<Option<usize>> = (element.terminals.iter())
            .flat_map(|(bus, wires)| wires.iter().map(|&wire| circuit.wire(*bus, wire)))
            .collect();
        for (row, row_wire) in wires.iter().enumerate() {
            for (column, column_wire) in wires.iter().enumerate() {
                if let (Some(i), Some(j)) = (row_wire, column_wire) {
                    y[(*i, *j)] += element.y[(row, column)];
                }
            }
        }
    }
    for shunt in &circuit.shunts {
        let wires = circuit.wires(shunt.bus);
        let mut view = y.view_mut((wires.start, wires.start), (wires.len(), wires.len()));
        view += shunt.y.to_matrix(wires.len());
    }
    y
}

#[test]
fn a_coupling_is_inverted_like_its_sequences() {
    let z = Coupling::from_sequence(Complex64::new(0.1, 0.2), Complex64::new(0.5, 0.4)).to_matrix(3);
    let y = z.try_inverse().unwrap();
    assert!((y[(0, 0)] - y[(0, 1)] - 1.0 / Complex64::new(0.1, 0.2)).norm() < 1e-12);
}
