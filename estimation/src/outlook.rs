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
use crate::power_flow::{FlowError, FlowSolution};
use grid::{Congestion, Outlook, Slot, SlotForecast, Timestamp, UsagePointForecast};
use num_complex::Complex64;

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

/// One limited element, ready to be judged slot by slot.
struct Judged<'a> {
    element: &'a LimitedElement,
    branch: usize,
    /// Usage point, share of its power, its tan φ.
    behind: Vec<(usize, f64, f64)>,
}

/// Loading, its spread and the headroom of every limited element in every slot.
///
/// `forecasts` hold one entry per usage point of the feeder in the network's order, all for the same slots;
/// `planned_deviation_w(usage point index, slot)` is what is already contracted (W, added to the forecast, at unity
/// power factor). Errors: forecasts that do not fit the feeder or each other, loads without a power flow.
pub fn outlook(
    feeder: &Feeder,
    limited: &[LimitedElement],
    forecasts: &[UsagePointForecast],
    planned_deviation_w: &dyn Fn(usize, Slot) -> f64,
    rules: &OutlookRules,
    issued_at: Timestamp,
) -> Result<Outlook, FlowError> {
    let slots = slots_of(feeder, forecasts)?;
    let judged: Vec<Judged> = limited
        .iter()
        .zip(behind(feeder, limited))
        .map(|(element, points)| {
            let branch = feeder.branch_position(element.branch);
            let branch = branch.ok_or(FlowError::Shape { what: "a limited element", given: 0, needed: 1 })?;
            let weigh = |(point, share)| (point, share, tan_phi(feeder, point));
            Ok(Judged { element, branch, behind: points.into_iter().map(weigh).collect() })
        })
        .collect::<Result<_, FlowError>>()?;
    let mut rows: Vec<Vec<Congestion>> = judged.iter().map(|_| Vec::with_capacity(slots.len())).collect();
    let mut last: Option<FlowSolution> = None;
    for (column, &slot) in slots.iter().enumerate() {
        let loads: Vec<Complex64> = (0..forecasts.len())
            .map(|point| {
                let p_w = forecasts[point].slots[column].p_w;
                let q_var = tan_phi(feeder, point) * p_w.max(0.0);
                Complex64::new(p_w + planned_deviation_w(point, slot), q_var)
            })
            .collect();
        let flow = match &last {
            Some(last) => feeder.solve_from(last, &loads)?,
            None => feeder.solve(&loads)?,
        };
        let more: Vec<Complex64> = loads.iter().map(|load| load + PROBE_W).collect();
        let probe = feeder.solve_from(&flow, &more)?;
        let now: Vec<&SlotForecast> = forecasts.iter().map(|forecast| &forecast.slots[column]).collect();
        for (row, judged) in rows.iter_mut().zip(&judged) {
            row.extend(judge(feeder, judged, &flow, &probe, &now, rules));
        }
        last = Some(flow);
    }
    Ok(Outlook { issued_at, elements: rows.into_iter().flatten().collect() })
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

/// The rating as apparent power, what flows into the element from above, and its loading.
fn operating(feeder: &Feeder, judged: &Judged, flow: &FlowSolution) -> Option<(f64, Complex64, f64)> {
    let section = feeder.section(feeder.below[judged.branch])?;
    let powers = if section.fed_from_from { &flow.powers_from_va } else { &flow.powers_to_va };
    let powers = &powers[judged.branch];
    match (feeder.branch(judged.branch)?, judged.element.phase) {
        (BranchRef::Transformer(unit), _) => {
            Some((unit.s_rated_va, powers.iter().sum(), flow.loading(judged.branch)?))
        }
        (BranchRef::Line(line), Some(phase)) => {
            let phase = phase.index();
            let rated = line.i_rated_a?;
            let u = flow.voltages_v[feeder.order[section.parent]][phase].norm();
            let ends = [&flow.currents_from_a[judged.branch], &flow.currents_to_a[judged.branch]];
            let current = ends.iter().map(|currents| currents[phase].norm()).fold(0.0, f64::max);
            Some((rated * u, powers[phase], current / rated))
        }
        (BranchRef::Line(_), None) => None,
    }
}

fn judge(
    feeder: &Feeder,
    judged: &Judged,
    flow: &FlowSolution,
    probe: &FlowSolution,
    forecasts: &[&SlotForecast],
    rules: &OutlookRules,
) -> Option<Congestion> {
    let (rating_va, power, loading) = operating(feeder, judged, flow)?;
    let taken_w: f64 = judged.behind.iter().map(|(_, share, _)| share * PROBE_W).sum();
    let gain =
        if taken_w > 0.0 { (operating(feeder, judged, probe)?.1.re - power.re) / taken_w } else { 1.0 };
    let gain = gain.clamp(GAIN_RANGE.0, GAIN_RANGE.1);
    // d|S|/dP of a usage point, its reactive power included; at no flow every watt counts in full.
    let direction = if power.norm() > 0.0 { power / power.norm() } else { Complex64::ONE };
    let spread = judged.behind.iter().map(|&(point, share, tan_phi)| {
        (direction.re + direction.im * tan_phi).abs() * gain * share * forecasts[point].p_std_w / rating_va
    });
    let std = sum_std(spread, rules.error_correlation);
    let allowed_va = ((rules.planning_limit - rules.confidence_sigmas * std) * rating_va).max(0.0);
    let active_w = (allowed_va * allowed_va - power.im * power.im).max(0.0).sqrt();
    Some(Congestion {
        branch: judged.element.branch,
        phase: judged.element.phase,
        slot: forecasts.first()?.slot,
        loading,
        loading_p90: loading + P90 * std,
        probability: if std > 0.0 { above((1.0 - loading) / std) } else { f64::from(loading > 1.0) },
        headroom_w: (active_w - power.re) / gain,
    })
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
