//! The elements that could be overloaded, and which usage points lie behind each.

use crate::feeder::{BranchRef, Feeder};
use grid::{BranchId, PerPhase, Phase};
use std::collections::BTreeMap;

/// Voltage at which a line is judged, share of the rated one: the lower limit of EN 50160, where a constant power
/// takes most current.
const LOW_VOLTAGE_PU: f64 = 0.9;
/// A share smaller than this is none.
const SHARE_MIN: f64 = 1e-6;

/// A transformer, or one phase of a line, whose rating may bind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LimitedElement {
    /// The line or transformer.
    pub branch: BranchId,
    /// The phase that counts; `None` for a transformer, whose phases are summed.
    pub phase: Option<Phase>,
}

/// Per element, the usage points behind it with the share of their power that flows through it.
pub(crate) fn behind(feeder: &Feeder, limited: &[LimitedElement]) -> Vec<Vec<(usize, f64)>> {
    let through = flows_through(feeder);
    let of = |element: &LimitedElement| {
        let branch = feeder.branch_position(element.branch)?;
        let share = |shares: &PerPhase<f64>| {
            element.phase.map_or(shares.iter().sum::<f64>(), |phase| shares[phase.index()])
        };
        let all = through[branch].iter().map(|(point, shares)| (*point, share(shares)));
        Some(all.filter(|(_, share)| *share > SHARE_MIN).collect())
    };
    limited.iter().map(|element| of(element).unwrap_or_default()).collect()
}

/// Per branch: the usage points below it, with the share of their power on each phase of its upstream side.
fn flows_through(feeder: &Feeder) -> Vec<Vec<(usize, PerPhase<f64>)>> {
    let mut through = vec![Vec::new(); feeder.branch_count()];
    for (point, tap) in feeder.taps.iter().enumerate() {
        let (phases, share) = tap.shares();
        let mut shares = [0.0; 3];
        phases.iter().for_each(|phase| shares[phase.index()] = share);
        let mut position = tap.position;
        while let Some(section) = feeder.section(position) {
            if let Some(matrix) = section.port.phase_shares() {
                shares = std::array::from_fn(|up| (0..3).map(|down| matrix[up][down] * shares[down]).sum());
            }
            through[section.branch].push((point, shares));
            position = section.parent;
        }
    }
    through
}

/// The elements whose rating could be exceeded if everything behind them took its largest power,
/// `p_max_per_usage_point_w` (W, in the network's order; missing, negative or not finite counts as nothing) with
/// its power factor. Transformers count all phases, lines each phase at nine tenths of the rated voltage. Of lines
/// that carry the same usage points on the same phase only the one with the smallest rating stays: it binds first.
/// Lines come first, then transformers, in the network's order, then by phase.
pub fn limited_elements(feeder: &Feeder, p_max_per_usage_point_w: &[f64]) -> Vec<LimitedElement> {
    let s_max_va: Vec<f64> = (0..feeder.taps.len())
        .map(|point| {
            let p = p_max_per_usage_point_w.get(point).copied().filter(|p| p.is_finite()).unwrap_or(0.0);
            p.max(0.0) * (1.0 + tan_phi(feeder, point).powi(2)).sqrt()
        })
        .collect();
    let mut smallest: BTreeMap<(Phase, Vec<usize>), (f64, usize)> = BTreeMap::new();
    let mut found = Vec::new();
    for (branch, points) in flows_through(feeder).iter().enumerate() {
        match feeder.branch(branch) {
            Some(BranchRef::Transformer(unit)) => {
                let largest_va: f64 = points.iter().map(|(point, _)| s_max_va[*point]).sum();
                found.extend((largest_va > unit.s_rated_va).then_some((branch, None)));
            }
            Some(BranchRef::Line(line)) => {
                let Some(rated) = line.i_rated_a else { continue };
                let u = LOW_VOLTAGE_PU * feeder.u_phase_rated_v[feeder.below[branch]];
                for phase in Phase::ALL {
                    let on: Vec<_> = points.iter().filter(|(_, s)| s[phase.index()] > SHARE_MIN).collect();
                    let va: f64 = on.iter().map(|(point, s)| s_max_va[*point] * s[phase.index()]).sum();
                    if va / u > rated {
                        let set = on.iter().map(|(point, _)| *point).collect();
                        let best = smallest.entry((phase, set)).or_insert((rated, branch));
                        if rated < best.0 {
                            *best = (rated, branch);
                        }
                    }
                }
            }
            None => {}
        }
    }
    found.extend(smallest.into_iter().map(|((phase, _), (_, branch))| (branch, Some(phase))));
    found.sort_unstable();
    let named = |(branch, phase)| Some(LimitedElement { branch: feeder.branch(branch)?.id(), phase });
    found.into_iter().filter_map(named).collect()
}

/// Per usage point, the limited elements its power flows through, in the order of `limited`, with the share of its power that
/// counts there (at most 1).
pub fn zones(feeder: &Feeder, limited: &[LimitedElement]) -> Vec<Vec<(LimitedElement, f64)>> {
    let mut zones = vec![Vec::new(); feeder.taps.len()];
    for (element, points) in limited.iter().zip(behind(feeder, limited)) {
        for (point, share) in points {
            zones[point].push((*element, share));
        }
    }
    zones
}

/// Reactive over active power of a usage point: from its specified powers when they say something (up to 1),
/// otherwise of the power factor 0.95.
pub(crate) fn tan_phi(feeder: &Feeder, usage_point: usize) -> f64 {
    const OF_POWER_FACTOR_095: f64 = 0.328_684;
    let point = &feeder.network().usage_points()[usage_point];
    let ratio = point.q_specified_var / point.p_specified_w;
    let telling = point.p_specified_w > 0.0 && point.q_specified_var != 0.0 && ratio.abs() <= 1.0;
    if telling { ratio } else { OF_POWER_FACTOR_095 }
}
