//! The congestion that a forecast would cause.
//!
//! Each slot gets two power flows: on the expected loads, and with [`PROBE_W`] more at every usage point. Their
//! difference is the *gain* of an element: how many watts flow through it per watt taken behind it, marginal losses
//! included (5 % are usual on a long feeder). Around the expected loads the forecast errors are propagated linearly
//! with that gain and each point's reactive power. Errors are normal, with one correlation for every pair of usage
//! points.
//! Only loading by consumption is relieved by headroom: an element overloaded by feed-in shows its loading, and a
//! positive headroom.

use crate::feeder::{BranchRef, Feeder};
use crate::forecast::sum_std;
use crate::limited_element::{LimitedElement, behind, tan_phi};
use crate::power_flow::FlowError;
use crate::skeleton::{LANES, Loads, Settled, Skeleton};
use crate::two_port::PhaseVector;
use grid::{Congestion, Outlook, Slot, Timestamp, UsagePointForecast, side_by_side};
use num_complex::Complex64;
use std::sync::Arc;

/// Standard normal quantile of 90 %.
const P90: f64 = 1.281_551_565_545;

/// What the second power flow takes more, W per usage point.
const PROBE_W: f64 = 100.0;
/// Gains outside this range are no losses but a collapse at hand.
const GAIN_RANGE: (f64, f64) = (0.8, 1.5);

/// How careful to be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OutlookRules {
    /// Largest loading that is planned for, fraction of the rating.
    pub planning_limit: f64,
    /// Standard deviations of the loading kept free below the planning limit.
    pub confidence_sigmas: f64,
    /// Correlation of the forecast errors of any two usage points, 0 to 1.
    pub error_correlation: f64,
}

impl Default for OutlookRules {
    /// 97 % of the rating, one standard deviation, correlation 0.05.
    fn default() -> Self {
        Self { planning_limit: 0.97, confidence_sigmas: 1.0, error_correlation: 0.05 }
    }
}

/// Slots whose power flows start from each other. As many such rows as there are lanes are calculated side by side, and
/// those of different groups beside each other. Fixed, so that the result does not depend on the machine.
const ROW: usize = 12;

/// One limited element, ready to be judged slot by slot.
#[derive(Debug, Clone)]
struct Judged {
    element: LimitedElement,
    branch: usize,
    /// The node below it.
    node: usize,
    /// Usage point, share of its power, its tan φ.
    behind: Vec<(usize, f64, f64)>,
}

/// What does not change from outlook to outlook: the feeder without what does not matter for its limited elements.
#[derive(Debug, Clone)]
pub struct OutlookStudy {
    feeder: Arc<Feeder>,
    skeleton: Skeleton,
    judged: Vec<Judged>,
    tan_phi: Vec<f64>,
}

impl OutlookStudy {
    /// For the limited elements of a feeder.
    ///
    /// # Errors
    /// An element that the feeder does not have.
    pub fn new(feeder: Arc<Feeder>, limited: &[LimitedElement]) -> Result<Self, FlowError> {
        let below = |element: &LimitedElement| {
            let branch = feeder.branch_position(element.branch)?;
            Some((branch, feeder.below[branch]))
        };
        let skeleton = Skeleton::new(&feeder, limited.iter().filter_map(below).map(|(_, position)| position));
        let tan_phi: Vec<f64> = (0..feeder.taps.len()).map(|point| tan_phi(&feeder, point)).collect();
        let judged = limited.iter().zip(behind(&feeder, limited)).filter_map(|(element, points)| {
            let (branch, position) = below(element)?;
            let behind = points.into_iter().map(|(point, share)| (point, share, tan_phi[point])).collect();
            Some(Judged { element: *element, branch, node: skeleton.node_at(position)?, behind })
        });
        let judged: Vec<Judged> = judged.collect();
        match (judged.len(), limited.len()) {
            (given, needed) if given == needed => Ok(Self { feeder, skeleton, judged, tan_phi }),
            (given, needed) => Err(FlowError::Shape { what: "the list of limited elements", given, needed }),
        }
    }

    /// Loading, its spread and the headroom of every limited element in every slot.
    ///
    /// `forecasts` hold one entry per usage point of the feeder in the network's order, all for the same slots;
    /// `planned_deviation_w(usage point index, slot)` is what is already contracted (W, added to the forecast, at unity
    /// power factor).
    ///
    /// # Errors
    /// Forecasts that do not fit the feeder or each other, loads without a power flow.
    pub fn outlook(
        &self,
        forecasts: &[UsagePointForecast],
        planned_deviation_w: &(dyn Fn(usize, Slot) -> f64 + Sync),
        rules: &OutlookRules,
        issued_at: Timestamp,
    ) -> Result<Outlook, FlowError> {
        let slots = slots_of(&self.feeder, forecasts)?;
        let columns: Vec<(usize, Slot)> = slots.iter().copied().enumerate().collect();
        let groups: Vec<_> = columns.chunks(ROW * LANES).collect();
        let groups = side_by_side(&groups, |group| self.group(group, forecasts, planned_deviation_w, rules));
        let mut rows: Vec<Vec<Congestion>> = vec![Vec::with_capacity(slots.len()); self.judged.len()];
        for group in groups {
            rows.iter_mut().zip(group?).for_each(|(row, more)| row.extend(more));
        }
        Ok(Outlook { issued_at, elements: rows.into_iter().flatten().collect() })
    }

    /// The congestions of some slots, by limited element.
    fn group(
        &self,
        columns: &[(usize, Slot)],
        forecasts: &[UsagePointForecast],
        planned_deviation_w: &(dyn Fn(usize, Slot) -> f64 + Sync),
        rules: &OutlookRules,
    ) -> Result<Vec<Vec<Congestion>>, FlowError> {
        let nothing = vec![vec![None; columns.len()]; self.judged.len()];
        let mut rows: Vec<Vec<Option<Congestion>>> = nothing;
        let mut flow = self.skeleton.without_load(&self.feeder);
        let mut probe = flow.clone();
        let row = columns.len().div_ceil(LANES);
        for step in 0..row {
            // A lane that has no slot left repeats the last one.
            let at = |lane: usize| (lane * row + step).min(columns.len() - 1);
            let loads = Loads::new(forecasts.len(), |point, lane| {
                let (column, slot) = columns[at(lane)];
                let p_w = forecasts[point].slots[column].p_w;
                Complex64::new(p_w + planned_deviation_w(point, slot), self.tan_phi[point] * p_w.max(0.0))
            });
            self.skeleton.settle(&self.feeder, &loads, &mut flow)?;
            probe.clone_from(&flow);
            self.skeleton.settle(&self.feeder, &loads.plus_w(PROBE_W), &mut probe)?;
            let slots = std::array::from_fn(|lane| columns[at(lane)].1);
            let std_w = |forecast: &UsagePointForecast| {
                std::array::from_fn(|lane| forecast.slots[columns[at(lane)].0].p_std_w)
            };
            let errors_w: Vec<[f64; LANES]> = forecasts.iter().map(std_w).collect();
            for (row, judged) in rows.iter_mut().zip(&self.judged) {
                let found = self.judge(judged, (&flow, &probe), (slots, &errors_w), rules);
                found.into_iter().enumerate().for_each(|(lane, found)| row[at(lane)] = found);
            }
        }
        Ok(rows.into_iter().map(|row| row.into_iter().flatten().collect()).collect())
    }

    /// The rating as apparent power, what flows into the element from above, and its loading.
    fn operating(&self, judged: &Judged, flow: &Settled, lane: usize) -> Option<(f64, Complex64, f64)> {
        let section = self.feeder.section(self.feeder.below[judged.branch])?;
        let above = &flow.voltage(self.skeleton.parent(judged.node)?, lane);
        let (below, leaving) = (&flow.voltage(judged.node, lane), &flow.current(judged.node, lane));
        let entering = section.port.current_up(above, leaving);
        let power =
            |voltage: &PhaseVector, current: &PhaseVector| voltage.component_mul(&current.conjugate());
        match (self.feeder.branch(judged.branch)?, judged.element.phase) {
            (BranchRef::Transformer(unit), _) => {
                let (into, out) = (power(above, &entering).sum(), power(below, leaving).sum());
                Some((unit.s_rated_va, into, into.norm().max(out.norm()) / unit.s_rated_va))
            }
            (BranchRef::Line(line), Some(phase)) => {
                let (phase, rated) = (phase.index(), line.i_rated_a?);
                let current = entering[phase].norm().max(leaving[phase].norm());
                Some((rated * above[phase].norm(), power(above, &entering)[phase], current / rated))
            }
            (BranchRef::Line(_), None) => None,
        }
    }

    /// How what flows in one lane answers to power behind the element.
    fn response(
        &self,
        judged: &Judged,
        (flow, probe): (&Settled, &Settled),
        lane: usize,
    ) -> Option<Response> {
        let (rating_va, power, loading) = self.operating(judged, flow, lane)?;
        let taken_w: f64 = judged.behind.iter().map(|(_, share, _)| share * PROBE_W).sum();
        let gain = if taken_w > 0.0 {
            (self.operating(judged, probe, lane)?.1.re - power.re) / taken_w
        } else {
            1.0
        };
        let gain = gain.clamp(GAIN_RANGE.0, GAIN_RANGE.1);
        // d|S|/dP of a usage point, its reactive power included; at no flow every watt counts in full.
        let direction = if power.norm() > 0.0 { power / power.norm() } else { Complex64::ONE };
        Some(Response { rating_va, power, loading, gain, direction })
    }

    /// The congestion in each lane, of the slot that the lane is for.
    fn judge(
        &self,
        judged: &Judged,
        flows: (&Settled, &Settled),
        (slots, errors_w): ([Slot; LANES], &[[f64; LANES]]),
        rules: &OutlookRules,
    ) -> [Option<Congestion>; LANES] {
        let found: [Option<Response>; LANES] = std::array::from_fn(|lane| self.response(judged, flows, lane));
        let of =
            |value: fn(&Response) -> f64| found.each_ref().map(|found| found.as_ref().map_or(1.0, value));
        let (re, im) = (of(|found| found.direction.re), of(|found| found.direction.im));
        let (gain, rating_va) = (of(|found| found.gain), of(|found| found.rating_va));
        // All lanes at once: this is where the time goes.
        let weighted = |&(point, share, tan_phi): &(usize, f64, f64)| -> [f64; LANES] {
            let std_w = &errors_w[point];
            std::array::from_fn(|lane| {
                (re[lane] + im[lane] * tan_phi).abs() * gain[lane] * share * std_w[lane] / rating_va[lane]
            })
        };
        let std = sum_std(judged.behind.iter().map(weighted), rules.error_correlation);
        std::array::from_fn(|lane| {
            let found = found[lane].as_ref()?;
            Some(found.congestion(&judged.element, slots[lane], std[lane], rules))
        })
    }
}

/// What flows through an element in a slot, and how it answers to power behind it.
struct Response {
    /// The rating as apparent power, VA.
    rating_va: f64,
    /// What flows into it from above, VA.
    power: Complex64,
    loading: f64,
    /// Watts through it per watt taken behind it.
    gain: f64,
    /// d|S|/dP and d|S|/dQ behind it.
    direction: Complex64,
}

impl Response {
    /// With the spread of the loading.
    fn congestion(&self, element: &LimitedElement, slot: Slot, std: f64, rules: &OutlookRules) -> Congestion {
        let Self { rating_va, power, loading, gain, .. } = *self;
        let allowed_va = ((rules.planning_limit - rules.confidence_sigmas * std) * rating_va).max(0.0);
        let active_w = (allowed_va * allowed_va - power.im * power.im).max(0.0).sqrt();
        Congestion {
            branch: element.branch,
            phase: element.phase,
            slot,
            loading,
            loading_p90: loading + P90 * std,
            probability: if std > 0.0 { above((1.0 - loading) / std) } else { f64::from(loading > 1.0) },
            headroom_w: (active_w - power.re) / gain,
        }
    }
}

fn slots_of(feeder: &Feeder, forecasts: &[UsagePointForecast]) -> Result<Vec<Slot>, FlowError> {
    let points = feeder.network().usage_points();
    let (given, needed) = (forecasts.len(), points.len());
    let ordered = forecasts.iter().zip(points).all(|(forecast, point)| forecast.usage_point == point.id);
    if given != needed || !ordered {
        return Err(FlowError::Shape {
            what: "the list of forecasts, in the network's order,",
            given,
            needed,
        });
    }
    let slots: Vec<Slot> =
        forecasts.first().map(|f| f.slots.iter().map(|s| s.slot).collect()).unwrap_or_default();
    for forecast in forecasts {
        if !forecast.slots.iter().map(|s| s.slot).eq(slots.iter().copied()) {
            let (given, needed) = (forecast.slots.len(), slots.len());
            return Err(FlowError::Shape { what: "a forecast, slots as in the first,", given, needed });
        }
    }
    Ok(slots)
}

/// Probability that a standard normal variable exceeds `z` (M. Abramowitz and I. A. Stegun, *Handbook of
/// Mathematical Functions*, 26.2.17; error below 7.5e-8).
fn above(z: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.231_641_9 * z.abs());
    let series = [0.319_381_530, -0.356_563_782, 1.781_477_937, -1.821_255_978, 1.330_274_429];
    let polynomial = series.iter().rev().fold(0.0, |sum, coefficient| t * (coefficient + sum));
    let tail = polynomial * (-0.5 * z * z).exp() / (2.0 * std::f64::consts::PI).sqrt();
    if z >= 0.0 { tail } else { 1.0 - tail }
}

#[cfg(test)]
#[path = "outlook_tests.rs"]
mod tests;
