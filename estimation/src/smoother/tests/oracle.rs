//! Dense weighted least squares with Lagrange multipliers: the voltages of all wires as unknowns, exact injections as
//! constraints, written from the equations of `crate::circuit` and nothing else.

use crate::circuit::{Circuit, FlowPlace, Readings, Tree};
use nalgebra::{DMatrix, DVector};
use num_complex::Complex64;

type Row = DVector<Complex64>;

/// Currents as linear functions of all voltages.
pub struct Network {
    wires: usize,
    count: usize,
    series: Vec<(u32, u32, DMatrix<Complex64>, DMatrix<Complex64>, DMatrix<Complex64>, DMatrix<Complex64>)>,
    shunts: Vec<DMatrix<Complex64>>,
    appliance_shunts: Vec<DMatrix<Complex64>>,
}

pub fn admittance(circuit: &Circuit) -> Network {
    let wires = circuit.uniform_wires().expect("uniform");
    let count = circuit.buses.len();
    let zero = DMatrix::zeros(wires, wires);
    let mut network = Network {
        wires,
        count,
        series: Vec::new(),
        shunts: vec![zero.clone(); count],
        appliance_shunts: vec![zero; count],
    };
    for series in &circuit.series {
        let t = series.ratio.as_deref().cloned().unwrap_or_else(|| DMatrix::identity(wires, wires));
        let y = series.z.to_matrix(wires).try_inverse().expect("an impedance");
        let (y_from, y_to) = (series.y_from.to_matrix(wires), series.y_to.to_matrix(wires));
        network.shunts[series.from as usize] += &y_from;
        network.shunts[series.to as usize] += &y_to;
        network.series.push((series.from, series.to, t, y, y_from, y_to));
    }
    for shunt in &circuit.shunts {
        network.shunts[shunt.bus as usize] += shunt.y.to_matrix(wires);
        network.appliance_shunts[shunt.bus as usize] += shunt.y.to_matrix(wires);
    }
    network
}

impl Network {
    /// All shunts and ends of elements at a bus.
    pub fn shunt(&self, bus: u32) -> DMatrix<Complex64> {
        self.shunts[bus as usize].clone()
    }

    /// Current into an element (by wire, row over all voltages), and the bus.
    fn flow_rows(&self, place: FlowPlace) -> (u32, Vec<Row>) {
        let size = self.wires * self.count;
        let mut rows = vec![Row::zeros(size); self.wires];
        let mut put = |bus: u32, m: &DMatrix<Complex64>| {
            for (r, row) in rows.iter_mut().enumerate() {
                for c in 0..self.wires {
                    row[bus as usize * self.wires + c] += m[(r, c)];
                }
            }
        };
        match place {
            FlowPlace::SeriesFrom(element) => {
                let (from, to, t, y, y_from, _) = &self.series[element as usize];
                put(*from, &(t.adjoint() * y * t + y_from));
                put(*to, &-(t.adjoint() * y));
                (*from, rows)
            }
            FlowPlace::SeriesTo(element) => {
                let (from, to, t, y, _, y_to) = &self.series[element as usize];
                put(*from, &-(y * t));
                put(*to, &(y + y_to));
                (*to, rows)
            }
            FlowPlace::Bus(bus) => (bus, self.taken_rows(bus)),
            FlowPlace::General { .. } | FlowPlace::Shunt(_) => unreachable!("none here"),
        }
    }

    /// What appliances of a bus take without its shunts.
    fn injection_rows(&self, bus: u32) -> Vec<Row> {
        let mut rows = self.taken_rows(bus);
        for (r, row) in rows.iter_mut().enumerate() {
            for c in 0..self.wires {
                row[bus as usize * self.wires + c] -= self.appliance_shunts[bus as usize][(r, c)];
            }
        }
        rows
    }

    /// What is taken at a bus: all that the elements do not bring there.
    fn taken_rows(&self, bus: u32) -> Vec<Row> {
        let mut rows = vec![Row::zeros(self.wires * self.count); self.wires];
        for element in 0..self.series.len() as u32 {
            for place in [FlowPlace::SeriesFrom(element), FlowPlace::SeriesTo(element)] {
                let (at, flows) = self.flow_rows(place);
                if at == bus {
                    for (row, flow) in rows.iter_mut().zip(flows) {
                        *row -= flow;
                    }
                }
            }
        }
        rows
    }

    pub fn injections(&self, v: &DVector<Complex64>) -> DVector<Complex64> {
        let rows = (0..self.count as u32).flat_map(|bus| self.injection_rows(bus));
        DVector::from_iterator(v.len(), rows.map(|row| row.dot(v)))
    }

    /// Voltages and currents at a place.
    pub fn flow(&self, place: FlowPlace, v: &DVector<Complex64>) -> (Vec<Complex64>, Vec<Complex64>) {
        let (bus, rows) = self.flow_rows(place);
        let first = bus as usize * self.wires;
        ((first..first + self.wires).map(|w| v[w]).collect(), rows.iter().map(|row| row.dot(v)).collect())
    }
}

/// A real quantity of the state: value and gradient by [re of all, im of all].
type Quantity = (f64, DVector<f64>);

fn real_part(f: Complex64, by_v: &Row, by_conj: &Row) -> Quantity {
    // d Re f = Re(by_v dV + by_conj conj(dV))
    let n = by_v.len();
    let mut gradient = DVector::zeros(2 * n);
    for k in 0..n {
        gradient[k] = (by_v[k] + by_conj[k]).re;
        gradient[n + k] = -(by_v[k] - by_conj[k]).im;
    }
    (f.re, gradient)
}

fn power(v: &DVector<Complex64>, w: usize, row: &Row) -> (Quantity, Quantity) {
    let i = row.dot(v);
    let s = v[w] * i.conj();
    let n = v.len();
    let mut by_v = Row::zeros(n);
    by_v[w] = i.conj();
    let by_conj = row.map(|y| y.conj() * v[w]);
    let minus_j = -Complex64::I;
    let q = real_part(s * minus_j, &(&by_v * minus_j), &(&by_conj * minus_j));
    (real_part(s, &by_v, &by_conj), q)
}

fn plus(a: Quantity, b: Quantity) -> Quantity {
    (a.0 + b.0, a.1 + b.1)
}

/// One row of the problem: residual, gradient, variance; variance zero is a constraint.
pub struct Line {
    pub residual: f64,
    pub gradient: DVector<f64>,
    pub variance: f64,
    pub counts: bool,
}

/// All rows at a state.
pub fn lines(
    circuit: &Circuit,
    tree: &Tree,
    readings: &Readings,
    v: &DVector<Complex64>,
    flat: &DVector<Complex64>,
) -> Vec<Line> {
    let network = admittance(circuit);
    let wires = network.wires;
    let mut lines = Vec::new();
    let mut add = |value: f64, quantity: Quantity, variance: f64| {
        lines.push(Line { residual: value - quantity.0, gradient: quantity.1, variance, counts: true });
    };
    for reading in &readings.voltages {
        let w = reading.bus as usize * wires + usize::from(reading.wire);
        add(reading.magnitude, magnitude(v, w), reading.variance);
        if let Some(angle) = reading.angle {
            add_angle(&mut add, v, w, angle, reading.variance_across);
        }
    }
    for bus in 0..network.count as u32 {
        let rows = network.injection_rows(bus);
        for (k, row) in rows.iter().enumerate() {
            let w = bus as usize * wires + k;
            if readings.free.contains(&(w as u32)) {
                continue;
            }
            let (p, q) = power(v, w, row);
            match readings.injections.iter().find(|r| r.bus == bus && usize::from(r.wire) == k) {
                Some(reading) => {
                    add(reading.s.re, p, reading.variance_p);
                    add(reading.s.im, q, reading.variance_q);
                }
                None => {
                    add(0.0, p, 0.0);
                    add(0.0, q, 0.0);
                }
            }
        }
    }
    for reading in &readings.powers {
        let (bus, rows) = network.flow_rows(reading.place);
        let first = bus as usize * wires;
        let parts: Vec<_> = (0..wires)
            .filter(|&k| reading.wire.is_none_or(|wire| usize::from(wire) == k))
            .map(|k| power(v, first + k, &rows[k]))
            .collect();
        let p = parts.iter().map(|part| part.0.clone()).reduce(plus).expect("wires");
        let q = parts.iter().map(|part| part.1.clone()).reduce(plus).expect("wires");
        if let Some(variance) = reading.variance_p {
            add(reading.s.re, p, variance);
        }
        if let Some(variance) = reading.variance_q {
            add(reading.s.im, q, variance);
        }
    }
    currents(&network, readings, v, &mut add);
    if readings.voltages.iter().all(|reading| reading.angle.is_none()) {
        reference(tree, readings, v, flat, wires, &mut lines);
    }
    lines
}

fn add_angle(
    add: &mut impl FnMut(f64, Quantity, f64),
    v: &DVector<Complex64>,
    w: usize,
    value: f64,
    variance: f64,
) {
    // d arg V = Im(dV / V)
    let mut by_v = Row::zeros(v.len());
    by_v[w] = -Complex64::I / v[w];
    let (_, gradient) = real_part(Complex64::ZERO, &by_v, &Row::zeros(v.len()));
    let away = (Complex64::cis(value) / v[w]).arg();
    add(away, (0.0, gradient), variance);
}

fn magnitude(v: &DVector<Complex64>, w: usize) -> Quantity {
    let mut by_v = Row::zeros(v.len());
    by_v[w] = v[w].conj() / v[w].norm();
    real_part(v[w].norm().into(), &by_v, &Row::zeros(v.len()))
}

fn currents(
    network: &Network,
    readings: &Readings,
    v: &DVector<Complex64>,
    add: &mut impl FnMut(f64, Quantity, f64),
) {
    for reading in &readings.currents {
        let (bus, rows) = network.flow_rows(reading.place);
        let (k, w) = (usize::from(reading.wire), bus as usize * network.wires + usize::from(reading.wire));
        let i = rows[k].dot(v);
        let nothing = Row::zeros(v.len());
        let Some(angle) = reading.angle else {
            let along = rows[k].map(|y| y * i.conj() / i.norm());
            add(reading.magnitude, real_part(i.norm().into(), &along, &nothing), reading.variance);
            continue;
        };
        let mut frame = Complex64::cis(-angle);
        let mut turn = nothing.clone();
        if reading.angle_from_voltage {
            frame *= (v[w] / v[w].norm()).conj();
            turn[w] = -Complex64::I / v[w];
        }
        let f = i * frame;
        // d f = frame row dV − j f d arg V, with d arg V = Re(turn dV)
        let mut by_v = rows[k].map(|y| y * frame);
        let by_angle = -Complex64::I * f;
        let mut by_conj = nothing.clone();
        by_v += turn.map(|t| by_angle * t * 0.5);
        by_conj += turn.map(|t| by_angle * t.conj() * 0.5);
        add(reading.magnitude, real_part(f, &by_v, &by_conj), reading.variance);
        let minus_j = -Complex64::I;
        let across = real_part(f * minus_j, &(by_v * minus_j), &(by_conj * minus_j));
        add(0.0, across, reading.variance_across);
    }
}

fn reference(
    tree: &Tree,
    readings: &Readings,
    v: &DVector<Complex64>,
    flat: &DVector<Complex64>,
    wires: usize,
    lines: &mut Vec<Line>,
) {
    let at = |bus: u32| tree.position[bus as usize];
    let Some(first) = readings.voltages.iter().min_by_key(|r| at(r.bus)) else { return };
    for k in 0..wires {
        let w = first.bus as usize * wires + k;
        let own = readings.voltages.iter().find(|r| r.bus == first.bus && usize::from(r.wire) == k);
        let variance = own.unwrap_or(first).variance;
        let mut add = |residual: f64, quantity: Quantity, variance: f64| {
            lines.push(Line { residual, gradient: quantity.1, variance, counts: false });
        };
        add_angle(&mut add, v, w, flat[w].arg(), variance);
    }
}

/// No-load voltages.
pub fn flat(circuit: &Circuit, tree: &Tree, angle: f64) -> DVector<Complex64> {
    let wires = circuit.uniform_wires().expect("uniform");
    let mut v = DVector::zeros(circuit.wire_count());
    for k in 0..wires {
        v[k] = Complex64::cis(angle - k as f64 * std::f64::consts::TAU / wires as f64);
    }
    for at in 1..tree.order.len() {
        let (t, _) = tree.downstream(circuit, at).expect("a ratio");
        let parent = v.rows(tree.order[tree.parent[at] as usize] as usize * wires, wires).into_owned();
        let here = t.map_or(parent.clone(), |t| t * &parent);
        v.rows_mut(tree.order[at] as usize * wires, wires).copy_from(&here);
    }
    v
}

/// The optimum.
pub struct Optimum {
    pub v: DVector<Complex64>,
    /// The same before it was turned to the reference angle.
    pub state: DVector<Complex64>,
    pub objective: f64,
    /// Posterior covariance of [re of all, im of all].
    pub covariance: DMatrix<f64>,
}

/// Gauss–Newton on the dense problem until nothing moves.
pub fn solve(circuit: &Circuit, tree: &Tree, readings: &Readings) -> Option<Optimum> {
    let flat = flat(circuit, tree, readings.reference_angle);
    let mut v = flat.clone();
    let n = v.len();
    let mut inverse = DMatrix::zeros(0, 0);
    for round in 0..60 {
        let all = lines(circuit, tree, readings, &v, &flat);
        let exact: Vec<&Line> = all.iter().filter(|line| line.variance == 0.0).collect();
        let size = 2 * n + exact.len();
        let mut kkt = DMatrix::zeros(size, size);
        let mut right = DVector::zeros(size);
        for line in all.iter().filter(|line| line.variance > 0.0) {
            let g = &line.gradient;
            let mut block = kkt.view_mut((0, 0), (2 * n, 2 * n));
            block.ger(1.0 / line.variance, g, g, 1.0);
            let mut part = right.rows_mut(0, 2 * n);
            part.axpy(line.residual / line.variance, g, 1.0);
        }
        // Constraints at the scale of the rest.
        for (at, line) in exact.iter().enumerate() {
            for k in 0..2 * n {
                kkt[(2 * n + at, k)] = line.gradient[k] * 1e3;
                kkt[(k, 2 * n + at)] = line.gradient[k] * 1e3;
            }
            right[2 * n + at] = line.residual * 1e3;
        }
        let lu = kkt.full_piv_lu();
        let step = lu.solve(&right)?;
        let mut largest = 0.0_f64;
        for k in 0..n {
            v[k] += Complex64::new(step[k], step[n + k]);
            largest = largest.max(step[k].hypot(step[n + k]));
        }
        if !v.iter().all(|v| v.norm() < 10.0) {
            return None;
        }
        if largest < 1e-13 || round == 59 {
            if largest > 1e-10 {
                return None;
            }
            inverse = lu.try_inverse()?;
            break;
        }
    }
    let all = lines(circuit, tree, readings, &v, &flat);
    let counted = all.iter().filter(|line| line.counts && line.variance > 0.0);
    let objective = counted.map(|line| line.residual * line.residual / line.variance).sum();
    let state = v.clone();
    if readings.voltages.iter().all(|r| r.angle.is_none())
        && !readings.currents.iter().any(|r| r.angle.is_some() && !r.angle_from_voltage)
    {
        let root = tree.order[0] as usize * circuit.uniform_wires()?;
        let turn = Complex64::cis(readings.reference_angle - v[root].arg());
        v *= turn;
    }
    Some(Optimum { v, state, objective, covariance: inverse.view((0, 0), (2 * n, 2 * n)).into_owned() })
}

impl Optimum {
    fn deviation(&self, quantity: &Quantity) -> f64 {
        (&self.covariance * &quantity.1).dot(&quantity.1).max(0.0).sqrt()
    }

    /// Standard deviation of a voltage's magnitude.
    pub fn magnitude(&self, wire: usize) -> f64 {
        self.deviation(&magnitude(&self.state, wire))
    }

    /// Standard deviation of a voltage's angle, counted from that of another wire.
    pub fn angle(&self, wire: usize, from: usize) -> f64 {
        let angle = |w: usize| {
            let mut by_v = Row::zeros(self.state.len());
            by_v[w] = -Complex64::I / self.state[w];
            real_part(Complex64::ZERO, &by_v, &Row::zeros(self.state.len())).1
        };
        self.deviation(&(0.0, angle(wire) - angle(from)))
    }

    /// Standard deviation of the sum of the apparent powers of all wires at a place.
    pub fn apparent(&self, network: &Network, place: FlowPlace) -> f64 {
        let (bus, rows) = network.flow_rows(place);
        let first = bus as usize * network.wires;
        let mut sum = DVector::zeros(2 * self.state.len());
        for (k, row) in rows.iter().enumerate() {
            let (p, q) = power(&self.state, first + k, row);
            let size = p.0.hypot(q.0).max(1e-24);
            sum += p.1 * (p.0 / size) + q.1 * (q.0 / size);
        }
        self.deviation(&(0.0, sum))
    }

    /// Standard deviations of power and current at a place, by wire.
    pub fn flow(&self, network: &Network, place: FlowPlace) -> Vec<(f64, f64, f64)> {
        let (bus, rows) = network.flow_rows(place);
        self.of(network, bus, &rows)
    }

    /// The same of what appliances take without the shunts of the bus.
    pub fn taken(&self, network: &Network, bus: u32) -> Vec<(f64, f64, f64)> {
        self.of(network, bus, &network.injection_rows(bus))
    }

    fn of(&self, network: &Network, bus: u32, rows: &[Row]) -> Vec<(f64, f64, f64)> {
        let first = bus as usize * network.wires;
        let parts = rows.iter().enumerate().map(|(k, row)| {
            let (p, q) = power(&self.state, first + k, row);
            let i = row.dot(&self.state);
            let along = row.map(|y| y * i.conj() / i.norm().max(1e-12));
            let size = real_part(i.norm().into(), &along, &Row::zeros(self.state.len()));
            (self.deviation(&p), self.deviation(&q), self.deviation(&size))
        });
        parts.collect()
    }
}

/// Whether each wire's voltage is determined at a state: no direction that all rows ignore moves it. `None` where a
/// direction is so weakly determined, or moves a wire so little, that one may see it either way.
pub fn determined(
    circuit: &Circuit,
    tree: &Tree,
    readings: &Readings,
    v: &DVector<Complex64>,
) -> Vec<Option<bool>> {
    let flat = flat(circuit, tree, readings.reference_angle);
    let n = v.len();
    // Rows at a common scale. Singular values of the rows themselves, not of their squares: those of directions that no
    // row sees are then rounding, 1e-15, and nothing else is near.
    let lines = lines(circuit, tree, readings, v, &flat);
    let seen: Vec<_> = lines.iter().filter(|line| line.gradient.norm() > 1e-9).collect();
    let mut rows = DMatrix::zeros(seen.len().max(2 * n), 2 * n);
    for (mut row, line) in rows.row_iter_mut().zip(seen) {
        row.copy_from(&line.gradient.normalize().transpose());
    }
    let svd = rows.svd(false, true);
    let directions = svd.v_t.expect("asked for");
    let (mut blind, mut weak) = (vec![0.0_f64; n], vec![0.0_f64; n]);
    for (at, value) in svd.singular_values.iter().enumerate().filter(|(_, value)| **value < 1e-2) {
        let vector = directions.row(at);
        for k in 0..n {
            let part = vector[k].powi(2) + vector[n + k].powi(2);
            weak[k] += part;
            if *value < 1e-12 {
                blind[k] += part;
            }
        }
    }
    let clear = |(blind, weak): (&f64, &f64)| match (*blind, *weak) {
        (_, weak) if weak < 1e-18 => Some(true),
        (blind, _) if blind > 1e-3 => Some(false),
        _ => None,
    };
    blind.iter().zip(&weak).map(clear).collect()
}
