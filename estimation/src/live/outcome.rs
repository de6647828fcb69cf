//! From the smoother's answer to the estimate of a region: volts, amperes and watts with their standard deviations.

use super::LiveEstimator;
use super::consistency;
use super::readings::{LiveReadings, Row};
use crate::EstimationError;
use crate::assembly::BranchPlace;
use crate::circuit::FlowPlace;
use crate::circuit::flow;
use crate::feeder::BranchRef;
use crate::measurement_set::MeasurementSet;
use crate::results::WireFlow;
use crate::smoother::{self, Estimated, Smoother, Uncertainty};
use crate::solve::NoSolution;
use grid::network::Network;
use grid::{
    BranchEstimate, BusEstimate, Estimate, Observability, PerPhase, Residual, Tested, Timestamp, Untestable,
    UsagePointEstimate,
};

/// A reading whose own weight decides its value says nothing about itself: below this share of its variance a residual
/// cannot be tested.
const TESTABLE_SHARE: f64 = 1e-6;

/// Everything the parts of an estimate are made from.
struct View<'a> {
    region: &'a LiveEstimator,
    set: &'a MeasurementSet,
    live: &'a LiveReadings,
    solved: &'a Estimated,
    deviations: Uncertainty,
    usage_points: Vec<UsagePointEstimate>,
    /// Standard deviation of reactive power, one per usage point, var.
    q_std_var: Vec<f64>,
}

/// The estimate.
///
/// # Errors
/// [`NoSolution`] when what is known of it cannot be told.
pub(super) fn outcome(
    region: &LiveEstimator,
    at: Timestamp,
    set: &MeasurementSet,
    live: &LiveReadings,
    smoother: &mut Smoother,
    solved: &Estimated,
) -> Result<Estimate, NoSolution> {
    let deviations = smoother.uncertainty()?;
    let seen = region.observability(&live.readings, smoother);
    let (usage_points, q_std_var) = usage_points(region, live, solved, &deviations);
    let view = View { region, set, live, solved, deviations, usage_points, q_std_var };
    let (consistency, noticed) = consistency::consistency(region, set, live, solved, &view.deviations);
    let metered = live.rows.iter().filter(|row| matches!(row, Row::Injection { .. })).count();
    Ok(Estimate {
        at,
        buses: view.buses(&seen),
        branches: view.branches(),
        residuals: view.residuals(noticed),
        objective: solved.objective,
        degrees_of_freedom: set.values.len() - metered,
        iterations: solved.iterations,
        consistency,
        usage_points: view.usage_points,
    })
}

/// What usage points take: their beliefs, and of what the wire takes beside these a part by their uncertainty.
fn usage_points(
    region: &LiveEstimator,
    live: &LiveReadings,
    solved: &Estimated,
    deviations: &Uncertainty,
) -> (Vec<UsagePointEstimate>, Vec<f64>) {
    let circuit = &region.assembly.circuit;
    let (base, taken) = (circuit.s_base_va, flow::taken(circuit, &solved.voltages));
    let points = region.network().usage_points();
    let mut found: Vec<_> = points
        .iter()
        .zip(&live.beliefs)
        .map(|(point, belief)| UsagePointEstimate {
            usage_point: point.id,
            p_w: belief.p_w,
            q_var: belief.q_var,
            p_std_w: 0.0,
        })
        .collect();
    let mut variances = vec![(0.0, 0.0); points.len()];
    for wire in &region.taken {
        let Some(at) = circuit.wire(wire.bus, wire.wire) else { continue };
        let s = taken[at] * base;
        let (p_std, q_std) = deviations.injections[at];
        let believed = |of: &dyn Fn(usize) -> f64| wire.points.iter().map(|&(k, share)| share * of(k)).sum();
        let p: f64 = believed(&|k| live.beliefs[k].p_w);
        let q: f64 = believed(&|k| live.beliefs[k].q_var);
        let p_all: f64 = believed(&|k| live.beliefs[k].p_std_w.powi(2));
        let q_all: f64 = believed(&|k| live.beliefs[k].q_std_var.powi(2));
        for &(k, share) in &wire.points {
            let p_part = share * live.beliefs[k].p_std_w.powi(2) / p_all;
            let q_part = share * live.beliefs[k].q_std_var.powi(2) / q_all;
            found[k].p_w += (s.re - p) * p_part;
            found[k].q_var += (s.im - q) * q_part;
            let left = |part: f64, all: f64, std: f64| {
                let known = all - (std * base).powi(2);
                (part * all - part * part * known).max(0.0)
            };
            variances[k].0 += left(p_part, p_all, p_std);
            variances[k].1 += left(q_part, q_all, q_std);
        }
    }
    for (point, variance) in found.iter_mut().zip(&variances) {
        point.p_std_w = variance.0.sqrt();
    }
    (found, variances.iter().map(|variance| variance.1.sqrt()).collect())
}

impl View<'_> {
    fn buses(&self, seen: &[smoother::Observability]) -> Vec<BusEstimate> {
        let circuit = &self.region.assembly.circuit;
        let one = |bus: &grid::network::Bus| {
            let number = self.region.assembly.buses.get(&bus.id).copied().unwrap_or_default();
            let (wires, base) = (circuit.wires(number), self.region.bus(number).u_base_v);
            let of = |phase: usize| self.solved.voltages[wires.start + phase];
            let u_v: PerPhase<f64> = std::array::from_fn(|phase| of(phase).norm() * base);
            BusEstimate {
                bus: bus.id,
                u_v,
                u_angle_rad: std::array::from_fn(|phase| of(phase).arg()),
                // What nothing determines has no deviation.
                u_std_v: std::array::from_fn(|phase| match seen[wires.start + phase] {
                    smoother::Observability::Unknown => f64::NAN,
                    _ => self.deviations.voltages[wires.start + phase] * base,
                }),
                u_pu: u_v.map(|u| u / base),
                observability: std::array::from_fn(|phase| match seen[wires.start + phase] {
                    smoother::Observability::Measured => Observability::Measured,
                    smoother::Observability::ByPseudoMeasurement => Observability::Expected,
                    smoother::Observability::Unknown => Observability::Unobservable,
                }),
            }
        };
        self.region.network().buses().iter().map(one).collect()
    }

    fn branches(&self) -> Vec<BranchEstimate> {
        let feeder = &self.region.feeder;
        let branches = (0..feeder.branch_count()).filter_map(|index| feeder.branch(index));
        branches.map(|branch| self.branch(branch)).collect()
    }

    fn branch(&self, branch: BranchRef<'_>) -> BranchEstimate {
        let place = self.region.assembly.branches.get(&branch.id()).unwrap_or(&BranchPlace::Off);
        let element = match place {
            BranchPlace::Series(element) => Some(*element as usize),
            _ => None,
        };
        let [from, to] = self.ends(place);
        let i_of = |end: &PerPhase<WireFlow>| end.map(|flow| flow.i_a.norm());
        let s_of = |end: &PerPhase<WireFlow>| {
            let (p, q) = end.iter().fold((0.0, 0.0), |(p, q), flow| (p + flow.p_w, q + flow.q_var));
            f64::hypot(p, q)
        };
        let (i_from, i_to) = (i_of(&from), i_of(&to));
        let (i_a, loading, loading_std) = match branch {
            BranchRef::Line(line) => {
                let i_a: PerPhase<f64> = std::array::from_fn(|phase| i_from[phase].max(i_to[phase]));
                let worst = i_a.iter().copied().fold(0.0, f64::max);
                let std_a = element.map(|element| self.current_std_a(element, &i_from, &i_to));
                let rated = line.i_rated_a;
                (i_a, rated.map(|rated| worst / rated), rated.zip(std_a).map(|(rated, std)| std / rated))
            }
            BranchRef::Transformer(unit) => {
                let (s_from, s_to) = (s_of(&from), s_of(&to));
                let at_from = s_from >= s_to;
                let totals = if at_from { &self.deviations.from_total } else { &self.deviations.to_total };
                let base = self.region.assembly.circuit.s_base_va;
                let std = element.map(|element| totals[element].s * base / unit.s_rated_va);
                (if at_from { i_from } else { i_to }, Some(s_from.max(s_to) / unit.s_rated_va), std)
            }
        };
        BranchEstimate {
            branch: branch.id(),
            p_from_w: from.map(|flow| flow.p_w),
            q_from_var: from.map(|flow| flow.q_var),
            i_a,
            loading,
            loading_std,
        }
    }

    /// What enters a branch at `from` and at `to`, by phase; nothing where it is open.
    fn ends(&self, place: &BranchPlace) -> [PerPhase<WireFlow>; 2] {
        let (circuit, v) = (&self.region.assembly.circuit, &self.solved.voltages);
        match place {
            BranchPlace::Series(k) => {
                let element = &circuit.series[*k as usize];
                let (from, to) = flow::series(circuit, element, v);
                let at = |bus, currents: flow::PerWire| self.flows(bus, (0_u8..).zip(currents));
                [at(element.from, from), at(element.to, to)]
            }
            BranchPlace::General(element, terminals) => std::array::from_fn(|end| {
                let Some(terminal) = terminals.get(end).copied().flatten() else {
                    return PerPhase::default();
                };
                let place = FlowPlace::General { element: *element, terminal };
                self.flows(circuit.bus_at(place), flow::currents(circuit, place, v))
            }),
            BranchPlace::Star(_) | BranchPlace::Off => Default::default(),
        }
    }

    /// Currents by local wire, p.u., as flows by phase.
    fn flows(
        &self,
        bus: u32,
        currents: impl IntoIterator<Item = (u8, num_complex::Complex64)>,
    ) -> PerPhase<WireFlow> {
        let circuit = &self.region.assembly.circuit;
        let v = &self.solved.voltages[circuit.wires(bus)];
        let bases = (circuit.s_base_va, circuit.s_base_va / self.region.bus(bus).u_base_v);
        let mut flows: PerPhase<WireFlow> = PerPhase::default();
        for (wire, i) in currents {
            if let Some(flow) = flows.get_mut(usize::from(wire)) {
                *flow = WireFlow::new(v[usize::from(wire)], i, bases);
            }
        }
        flows
    }

    /// Standard deviation of the largest phase current of a series element, A.
    fn current_std_a(&self, element: usize, i_from: &PerPhase<f64>, i_to: &PerPhase<f64>) -> f64 {
        let series = &self.region.assembly.circuit.series[element];
        let base = |bus: u32| self.region.assembly.circuit.s_base_va / self.region.bus(bus).u_base_v;
        let ends = [
            (i_from, &self.deviations.from, base(series.from)),
            (i_to, &self.deviations.to, base(series.to)),
        ];
        let (mut worst, mut std) = (-1.0, 0.0);
        for (currents, deviations, base) in ends {
            for (phase, &current) in currents.iter().enumerate() {
                if current > worst {
                    (worst, std) = (current, deviations[element * 3 + phase].i * base);
                }
            }
        }
        std
    }

    /// Each measurement tested; an error is noticed where its normalised residual is `noticed` on average.
    fn residuals(&self, noticed: f64) -> Vec<Residual> {
        let one = |(row, item): (&Row, &crate::WeightedValue)| {
            let (estimated, std) = self.seen(row);
            // Variance of the residual: that of the measurement less that of the estimate.
            let sigma = self.live.doubt * item.sigma;
            let tested = match std.map(|std| 1.0 - (std / sigma).powi(2)) {
                None => Err(Untestable::NoDeviation),
                Some(share) if share > TESTABLE_SHARE => Ok(Tested {
                    normalized: (item.value - estimated) / (sigma * share.sqrt()),
                    // Of an error, that share is left in the residual.
                    detectable: noticed * sigma / share.sqrt(),
                }),
                Some(_) => Err(Untestable::OwnValue),
            };
            Residual { point: item.point, measured: item.value, estimated, tested, quality: item.quality }
        };
        self.live.rows.iter().zip(&self.set.values).map(one).collect()
    }

    /// What the estimate says of a row, in the unit of the point, with its standard deviation where there is one.
    fn seen(&self, row: &Row) -> (f64, Option<f64>) {
        let circuit = &self.region.assembly.circuit;
        let base = circuit.s_base_va;
        match *row {
            Row::Voltage { bus, wire } => {
                let (at, base) =
                    (circuit.wires(bus).start + usize::from(wire), self.region.bus(bus).u_base_v);
                (self.solved.voltages[at].norm() * base, Some(self.deviations.voltages[at] * base))
            }
            Row::Current { place, wire } => {
                let currents = flow::currents(circuit, place, &self.solved.voltages);
                let base = self.region.i_base_a(place);
                let current =
                    currents.iter().find(|(local, _)| *local == wire).map_or(0.0, |(_, i)| i.norm());
                let std = self.end(place).map(|(all, element)| all[element * 3 + usize::from(wire)].i);
                (current * base, std.map(|std| std * base))
            }
            Row::Power { place, wire, reactive } => {
                let bus = circuit.bus_at(place);
                let v = &self.solved.voltages[circuit.wires(bus)];
                let currents = flow::currents(circuit, place, &self.solved.voltages);
                let wanted = currents.iter().filter(|(local, _)| wire.is_none_or(|wire| wire == *local));
                let s: num_complex::Complex64 =
                    wanted.filter_map(|(local, i)| Some(v.get(usize::from(*local))? * i.conj())).sum();
                let std = self.end(place).map(|(all, element)| match wire {
                    Some(wire) => {
                        let one = &all[element * 3 + usize::from(wire)];
                        if reactive { one.q } else { one.p }
                    }
                    None => {
                        let one = &self.total(place)[element];
                        if reactive { one.q } else { one.p }
                    }
                });
                (if reactive { s.im } else { s.re } * base, std.map(|std| std * base))
            }
            Row::Injection { usage_point, share, reactive } => {
                let point = &self.usage_points[usage_point];
                if reactive {
                    (share * point.q_var, Some(share * self.q_std_var[usage_point]))
                } else {
                    (share * point.p_w, Some(share * point.p_std_w))
                }
            }
        }
    }

    /// Deviations of the sums over all wires on the side of a place.
    fn total(&self, place: FlowPlace) -> &[smoother::TotalDeviation] {
        match place {
            FlowPlace::SeriesTo(_) => &self.deviations.to_total,
            _ => &self.deviations.from_total,
        }
    }

    /// Deviations of the flows at the side of a series element where a place is.
    fn end(&self, place: FlowPlace) -> Option<(&[smoother::FlowDeviation], usize)> {
        match place {
            FlowPlace::SeriesFrom(element) => Some((&self.deviations.from, element as usize)),
            FlowPlace::SeriesTo(element) => Some((&self.deviations.to, element as usize)),
            _ => None,
        }
    }
}

impl LiveEstimator {
    /// Names the bus of a failure.
    pub(super) fn named(&self, error: &NoSolution) -> EstimationError {
        let position = match *error {
            NoSolution::NotSettled { bus, .. }
            | NoSolution::Singular { bus }
            | NoSolution::Implausible { bus, .. }
            | NoSolution::NotFinite { bus } => bus,
        };
        let found = self.assembly.buses.iter().find(|(_, at)| **at as usize == position);
        let network: &Network = self.network();
        let bus = found.map_or(network.buses()[0].id, |(bus, _)| *bus);
        EstimationError::NoState { bus, reason: error.to_string() }
    }
}
