//! Elements given by matrices over chosen conductors: coupled lines, transformers winding by winding.

use super::AssemblyError;
use super::element::Element;
use super::frame::Frame;
use super::matrix::inverse;
use crate::circuit::{Coupling, GROUND, General, Series};
use grid::network::{CoupledLine, Terminal, WindingTransformer};
use nalgebra::DMatrix;
use num_complex::Complex64;

type Matrix = DMatrix<Complex64>;

/// A line with mutual coupling: `Z` between its ends, half of `Y` at each (power-grid-model `asym_line`, OpenDSS `Line`).
pub(super) fn line(frame: &Frame, line: &CoupledLine) -> Result<Element, AssemblyError> {
    let n = line.from.wires.len();
    let (z, y) = (Matrix::from_row_slice(n, n, &line.z_ohm), Matrix::from_row_slice(n, n, &line.y_s));
    let id = line.id.0;
    let series =
        inverse(&z).ok_or(AssemblyError::Singular { kind: "coupled line", id, what: "impedance matrix" })?;
    let (from, to) = (frame.position(line.from.bus), frame.position(line.to.bus));
    let live = if line.from_closed { frame.alive(from) } else { frame.alive(to) };
    if !live || !(line.from_closed || line.to_closed) {
        return Ok(Element::Off);
    }
    if frame.symmetric {
        return symmetric_line(frame, line, &series, &y);
    }
    let (_, from_wires) = frame.locals(&line.from);
    let (_, to_wires) = frame.locals(&line.to);
    if !(line.from_closed && line.to_closed) {
        let end = if line.from_closed { &line.from } else { &line.to };
        let shunt =
            open_end(&z, &y).ok_or(AssemblyError::Singular { kind: "coupled line", id, what: "π-model" })?;
        let ends = if line.from_closed { vec![Some(0), None] } else { vec![None, Some(0)] };
        return Ok(Element::General(general(frame, &[end], &shunt), ends));
    }
    if same_wires(frame, from, to, &from_wires, &to_wires) {
        let z_base = frame.z_base_ohm(to);
        let ordered = |matrix: &Matrix, scale: f64| {
            let mut own = Matrix::zeros(n, n);
            for row in 0..n {
                for column in 0..n {
                    let at = (usize::from(to_wires[row]), usize::from(to_wires[column]));
                    own[at] = matrix[(row, column)] * scale;
                }
            }
            coupling(own)
        };
        let step = frame.u_rated_v(from) / frame.u_rated_v(to);
        return Ok(Element::Series(Series {
            from,
            to,
            ratio: (step != 1.0).then(|| Box::new(Matrix::identity(n, n) * Complex64::from(step))),
            z: ordered(&z, 1.0 / z_base),
            y_from: ordered(&y, 0.5 * frame.z_base_ohm(from)),
            y_to: ordered(&y, 0.5 * z_base),
        }));
    }
    let own = &series + &y * Complex64::from(0.5);
    let mut both = Matrix::zeros(2 * n, 2 * n);
    both.view_mut((0, 0), (n, n)).copy_from(&own);
    both.view_mut((n, n), (n, n)).copy_from(&own);
    both.view_mut((0, n), (n, n)).copy_from(&-&series);
    both.view_mut((n, 0), (n, n)).copy_from(&-&series);
    Ok(Element::General(general(frame, &[&line.from, &line.to], &both), vec![Some(0), Some(1)]))
}

/// The positive sequence of a three-phase line: the mean on the diagonal less the mean beside it, of the admittances.
/// power-grid-model 1.12 counts entry bc twice and ac once among the six beside the diagonal (`average_of_off_diagonal_of_
/// matrix`); it is the yardstick, so this does too. Transposed lines, where the sequences are independent, see no difference.
fn symmetric_line(
    frame: &Frame,
    line: &CoupledLine,
    series: &Matrix,
    y: &Matrix,
) -> Result<Element, AssemblyError> {
    if series.nrows() != 3 {
        return Err(AssemblyError::OnlyAsymmetric { kind: "coupled line", id: line.id.0 });
    }
    let positive = |matrix: &Matrix| {
        let beside = [(0, 1), (1, 2), (1, 0), (1, 2), (2, 0), (2, 1)];
        matrix.trace() / 3.0 - beside.iter().map(|&at| matrix[at]).sum::<Complex64>() / 6.0
    };
    let (from, to) = (frame.position(line.from.bus), frame.position(line.to.bus));
    let z_base = frame.z_base_ohm(to);
    let one = super::sequence::Pi {
        y_series: positive(series) * z_base,
        y_shunt: positive(y) * z_base,
        ratio: Complex64::from(frame.u_rated_v(to) / frame.u_rated_v(from)),
    };
    let closed = (line.from_closed, line.to_closed);
    let zero = super::sequence::Zero::through(one);
    Ok(super::sequence::SequenceBranch { from, to, closed, one, zero }.element(frame))
}

/// What a line with an open far end takes: `Y/2 + Y/2 (Z Y/2 + 1)⁻¹`, which needs no inverse of Y.
fn open_end(z: &Matrix, y: &Matrix) -> Option<Matrix> {
    let half = y * Complex64::from(0.5);
    let n = z.nrows();
    let turned = (z * &half + Matrix::identity(n, n)).try_inverse()?;
    Some(&half + &half * turned)
}

/// Whether a line joins every wire of one bus with the same wire of the other.
fn same_wires(frame: &Frame, from: u32, to: u32, from_wires: &[u8], to_wires: &[u8]) -> bool {
    let count = from_wires.len();
    let all = |bus: u32| usize::from(frame.buses[bus as usize].wires) == count;
    from_wires == to_wires && !from_wires.contains(&GROUND) && all(from) && all(to)
}

/// The small form of a matrix where it has one.
pub(super) fn coupling(matrix: Matrix) -> Coupling {
    let n = matrix.nrows();
    let own = matrix[(0, 0)];
    let mutual = if n > 1 { matrix[(0, 1)] } else { Complex64::ZERO };
    let even = (0..n)
        .all(|row| (0..n).all(|column| matrix[(row, column)] == if row == column { own } else { mutual }));
    match even {
        true if own == Complex64::ZERO && mutual == Complex64::ZERO => Coupling::Zero,
        true => Coupling::Even { own, mutual },
        false => Coupling::Full(Box::new(matrix)),
    }
}

/// An admittance in siemens over the conductors of terminals, in order.
fn general(frame: &Frame, terminals: &[&Terminal], y_s: &Matrix) -> General {
    let places: Vec<(u32, Vec<u8>)> = terminals.iter().map(|terminal| frame.locals(terminal)).collect();
    let bases: Vec<f64> = (places.iter())
        .flat_map(|(bus, wires)| wires.iter().map(|_| frame.buses[*bus as usize].u_base_v))
        .collect();
    let y = Matrix::from_fn(y_s.nrows(), y_s.ncols(), |row, column| {
        y_s[(row, column)] * (bases[row] * bases[column] / frame.s_base_va())
    });
    General { terminals: places, y }
}

/// A transformer winding by winding, exactly OpenDSS's `Transformer` (element matrix of DSS C-API 0.14.5, which the tests
/// compare): one-volt units joined by the reactances of winding 1's base, no-load admittance at winding 2, half of
/// `ppm_antifloat` at every conductor of every winding.
pub(super) fn windings(frame: &Frame, unit: &WindingTransformer) -> Result<Element, AssemblyError> {
    let id = unit.id.0;
    if frame.symmetric {
        return Err(AssemblyError::OnlyAsymmetric { kind: "transformer", id });
    }
    if unit.windings.iter().all(|winding| !frame.alive(frame.position(winding.terminal.bus))) {
        return Ok(Element::Off);
    }
    let phase = one_phase(unit).ok_or(AssemblyError::Singular {
        kind: "transformer",
        id,
        what: "reactance matrix",
    })?;
    let y = all_phases(unit, &phase);
    if !y.iter().all(|entry| entry.is_finite()) {
        return Err(AssemblyError::NotFinite { kind: "transformer", id });
    }
    let terminals: Vec<&Terminal> = unit.windings.iter().map(|winding| &winding.terminal).collect();
    let ends = (0..terminals.len()).map(|terminal| Some(terminal as u8)).collect();
    Ok(Element::General(general(frame, &terminals, &y), ends))
}

/// Rated voltage across a winding, V.
fn across_v(unit: &WindingTransformer, winding: usize) -> f64 {
    let winding = &unit.windings[winding];
    if winding.delta || unit.phases == 1 { winding.u_rated_v } else { winding.u_rated_v / 3.0_f64.sqrt() }
}

/// Rated power of one phase, VA.
fn phase_power_va(unit: &WindingTransformer) -> f64 {
    unit.windings[0].s_rated_va / f64::from(unit.phases)
}

/// Susceptance that ties each end of a winding to ground, S.
fn antifloat_s(unit: &WindingTransformer, winding: usize) -> Complex64 {
    let u = across_v(unit, winding);
    Complex64::new(0.0, -0.5 * unit.antifloat_pu * phase_power_va(unit) / (u * u))
}

/// Admittance of the windings of one phase, S: two rows per winding, its beginning and its end.
fn one_phase(unit: &WindingTransformer) -> Option<Matrix> {
    let count = unit.windings.len();
    let pairs = count - 1;
    let z_base = 1.0 / phase_power_va(unit);
    let r = |winding: usize| unit.windings[winding].r_pu;
    // Short circuits against winding 1; what stands beside the diagonal follows from the pairs among the others.
    let mut z = Matrix::from_diagonal(&nalgebra::DVector::from_fn(pairs, |k, _| {
        Complex64::new(r(0) + r(k + 1), unit.x_pu[k])
    }));
    let mut next = pairs;
    for row in 0..pairs {
        for column in row + 1..pairs {
            let pair = Complex64::new(r(row + 1) + r(column + 1), unit.x_pu[next]);
            let mutual = (z[(row, row)] + z[(column, column)] - pair) * 0.5;
            z[(row, column)] = mutual;
            z[(column, row)] = mutual;
            next += 1;
        }
    }
    let y = inverse(&(z * Complex64::from(z_base)))?;
    let mut one_volt = Matrix::zeros(count, count);
    for row in 0..pairs {
        for column in 0..pairs {
            let entry = y[(row, column)];
            one_volt[(row + 1, column + 1)] += entry;
            one_volt[(0, column + 1)] -= entry;
            one_volt[(row + 1, 0)] -= entry;
            one_volt[(0, 0)] += entry;
        }
    }
    one_volt[(1, 1)] += Complex64::new(unit.no_load_loss_pu, -unit.magnetising_pu) / z_base;
    let turns: Vec<f64> =
        (0..count).map(|winding| 1.0 / (across_v(unit, winding) * unit.windings[winding].tap_pu)).collect();
    let sign = |end: usize| if end.is_multiple_of(2) { 1.0 } else { -1.0 };
    let mut y = Matrix::from_fn(2 * count, 2 * count, |row, column| {
        one_volt[(row / 2, column / 2)] * (turns[row / 2] * turns[column / 2] * sign(row) * sign(column))
    });
    for end in 0..2 * count {
        y[(end, end)] += antifloat_s(unit, end / 2);
    }
    Some(y)
}

/// All phases, over the conductors of all windings' terminals in order.
fn all_phases(unit: &WindingTransformer, phase: &Matrix) -> Matrix {
    let count = unit.windings.len();
    let mut first = vec![0; count + 1];
    for (winding, part) in unit.windings.iter().enumerate() {
        first[winding + 1] = first[winding] + part.terminal.wires.len();
    }
    let phases = usize::from(unit.phases);
    let forward = delta_forward(unit);
    let mut y = Matrix::zeros(first[count], first[count]);
    for p in 0..phases {
        let ends: Vec<usize> = (0..count)
            .flat_map(|winding| {
                let part = &unit.windings[winding];
                let conductors = part.terminal.wires.len();
                let back = if phases == 1 || !part.delta {
                    conductors - 1
                } else if forward {
                    (p + 1) % conductors
                } else {
                    (p + conductors - 1) % conductors
                };
                [first[winding] + p, first[winding] + back]
            })
            .collect();
        for row in 0..2 * count {
            for column in 0..2 * count {
                y[(ends[row], ends[column])] += phase[(row, column)];
            }
        }
    }
    for (winding, part) in unit.windings.iter().enumerate().filter(|(_, part)| !part.delta) {
        let neutral = first[winding + 1] - 1;
        y[(neutral, neutral)] += match part.neutral_ohm {
            Some((0.0, 0.0)) => Complex64::from(1e6),
            Some((r, x)) => 1.0 / Complex64::new(r, x),
            None => antifloat_s(unit, winding),
        };
    }
    y
}

/// Whether delta windings lie between a phase and the next: the low-voltage side lags by 30° unless it is told to lead.
pub(crate) fn delta_forward(unit: &WindingTransformer) -> bool {
    if unit.windings[0].delta == unit.windings[1].delta {
        return true;
    }
    let high = usize::from(across_v(unit, 1) > across_v(unit, 0));
    unit.windings[high].delta == unit.leads
}
