//! What solvers know of an estimate, asked place by place, p.u.

use crate::circuit::flow::{self, TakenVariance};
use crate::circuit::{Circuit, FlowPlace, GROUND};
use crate::smoother::Uncertainty;
use crate::sparse::Flows;
use nalgebra::{DMatrix, DVector};
use num_complex::Complex64;

/// An estimate's covariances.
#[derive(Debug)]
pub(super) enum Known<'a> {
    /// Of the smoother.
    Tree { circuit: &'a Circuit, voltages: &'a [Complex64], all: &'a Uncertainty },
    /// Of the sparse solver.
    Sparse(Box<Flows<'a>>),
}

impl Known<'_> {
    /// Standard deviations of active power, reactive power and current by local wire of a place.
    pub fn flow(&self, place: FlowPlace) -> Vec<(u8, [f64; 3])> {
        match self {
            Self::Sparse(flows) => flows.at(place),
            Self::Tree { circuit, voltages, all } => match series_of(place) {
                Some((element, from)) => {
                    let wires = circuit.uniform_wires().unwrap_or_default();
                    let end = if from { &all.from } else { &all.to };
                    let rows = end.get(element * wires..(element + 1) * wires).unwrap_or_default();
                    (0..).zip(rows.iter().map(|one| [one.p, one.q, one.i])).collect()
                }
                None => match OneBus::new(circuit, voltages, all, place) {
                    Some(here) => here.rows.iter().map(|row| (row.local, here.deviations(row))).collect(),
                    None => Vec::new(),
                },
            },
        }
    }

    /// Standard deviation of the sum of the apparent powers of all wires at a place.
    pub fn apparent(&self, place: FlowPlace) -> f64 {
        match self {
            Self::Sparse(flows) => flows.apparent(place),
            Self::Tree { circuit, voltages, all } => match series_of(place) {
                Some((element, from)) => {
                    let end = if from { &all.from_total } else { &all.to_total };
                    end.get(element).map_or(f64::NAN, |one| one.apparent)
                }
                None => OneBus::new(circuit, voltages, all, place).map_or(f64::NAN, |here| here.apparent()),
            },
        }
    }

    /// What loads and sources take at a wire (global number).
    pub fn taken(&self, wire: usize) -> TakenVariance {
        match self {
            Self::Sparse(flows) => flows.taken(wire).unwrap_or(TakenVariance::UNKNOWN),
            Self::Tree { all, .. } => match (all.injections.get(wire), all.taken.get(wire)) {
                (Some(&(p, q)), Some(with)) => {
                    TakenVariance { p: p * p, q: q * q, pq: with.pq, pu: with.pu, qu: with.qu }
                }
                _ => TakenVariance::UNKNOWN,
            },
        }
    }

    /// Standard deviation of a voltage angle, counted from that of a wire of the source where one is given, rad.
    pub fn angle(&self, wire: usize, from: Option<usize>) -> f64 {
        match self {
            Self::Sparse(flows) => flows.angle_std(wire, from).unwrap_or(f64::NAN),
            Self::Tree { all, .. } => {
                let angles = if from.is_some() { &all.turned_angles } else { &all.angles };
                angles.get(wire).copied().unwrap_or(f64::NAN)
            }
        }
    }
}

/// The series element of a place, and whether it is its `from` side.
fn series_of(place: FlowPlace) -> Option<(usize, bool)> {
    match place {
        FlowPlace::SeriesFrom(element) => Some((element as usize, true)),
        FlowPlace::SeriesTo(element) => Some((element as usize, false)),
        _ => None,
    }
}

/// Flows that depend on the voltages of one bus alone: into shunts, and into branches that are open at the other end.
struct OneBus<'a> {
    covariance: &'a DMatrix<f64>,
    rows: Vec<FlowRow>,
}

/// One wire's flow: voltage, current, and the current's derivatives by the bus's voltages.
struct FlowRow {
    local: u8,
    v: Complex64,
    i: Complex64,
    y: Vec<Complex64>,
}

impl<'a> OneBus<'a> {
    fn new(
        circuit: &Circuit,
        voltages: &[Complex64],
        all: &'a Uncertainty,
        place: FlowPlace,
    ) -> Option<Self> {
        let bus = circuit.bus_at(place);
        let covariance = all.buses.get(&bus)?;
        let v = voltages.get(circuit.wires(bus))?;
        let locals: Vec<u8> =
            flow::currents(circuit, place, voltages).into_iter().map(|(local, _)| local).collect();
        let rows = locals.into_iter().map(|local| {
            let y = admittances(circuit, place, bus, local, v.len());
            let i = y.iter().zip(v).map(|(y, v)| y * v).sum();
            FlowRow { local, v: v[usize::from(local)], i, y }
        });
        Some(Self { covariance, rows: rows.collect() })
    }

    /// By (re, im) of the bus's voltages: active and reactive power, current magnitude.
    fn gradients(&self, row: &FlowRow) -> [DVector<f64>; 3] {
        let n = row.y.len();
        let along = if row.i.norm() > 0.0 { row.i / row.i.norm() } else { Complex64::ONE };
        let (mut p, mut q, mut i) = (DVector::zeros(2 * n), DVector::zeros(2 * n), DVector::zeros(2 * n));
        for (column, y) in row.y.iter().enumerate() {
            // dS = conj(I) dV at the own wire, and V conj(Y dV) at each.
            let own = if column == usize::from(row.local) { row.i.conj() } else { Complex64::ZERO };
            for (at, unit) in [(column, Complex64::ONE), (n + column, Complex64::I)] {
                let ds = own * unit + row.v * (y * unit).conj();
                (p[at], q[at], i[at]) = (ds.re, ds.im, (along.conj() * y * unit).re);
            }
        }
        [p, q, i]
    }

    fn deviation(&self, gradient: &DVector<f64>) -> f64 {
        (self.covariance * gradient).dot(gradient).max(0.0).sqrt()
    }

    fn deviations(&self, row: &FlowRow) -> [f64; 3] {
        self.gradients(row).map(|gradient| self.deviation(&gradient))
    }

    fn apparent(&self) -> f64 {
        let mut sum = DVector::zeros(self.covariance.nrows());
        for row in &self.rows {
            let s = row.v * row.i.conj();
            let along = s / s.norm().max(1e-24);
            let [p, q, _] = self.gradients(row);
            sum += p * along.re + q * along.im;
        }
        self.deviation(&sum)
    }
}

/// The row of a local wire in the admittances of a place over the wires of its own bus.
fn admittances(circuit: &Circuit, place: FlowPlace, bus: u32, local: u8, wires: usize) -> Vec<Complex64> {
    let mut row = vec![Complex64::ZERO; wires];
    match place {
        FlowPlace::Shunt(k) => {
            let y = &circuit.shunts[k as usize].y;
            (0..wires).for_each(|column| row[column] = y.at(usize::from(local), column));
        }
        FlowPlace::General { element, terminal } => {
            let element = &circuit.general[element as usize];
            let all = element.terminals.iter().enumerate();
            let all = all.flat_map(|(at, (bus, wires))| wires.iter().map(move |wire| (at, *bus, *wire)));
            let all: Vec<(usize, u32, u8)> = all.collect();
            let own = all.iter().position(|&(at, _, wire)| at == usize::from(terminal) && wire == local);
            let Some(own) = own else { return row };
            let here = all.iter().enumerate().filter(|(_, (_, at, wire))| *at == bus && *wire != GROUND);
            for (column, (.., wire)) in here {
                row[usize::from(*wire)] += element.y[(own, column)];
            }
        }
        _ => {}
    }
    row
}
