//! Is the network another than we think? A switch that stands the other way, a tap on another position, a meter on
//! another phase, a line nobody drew: each is a hypothesis, an edit of the circuit or its readings.
//!
//! All are ranked by a score first, from the estimate at hand: with d the change that the edit makes to what the readings
//! should be and to the current balances at the estimated voltages, the objective changes along the edit as
//! J(t) = J + 2 g t + q t² with g = −dᵀ W r − Δᵀ pulls and q the misfit of d; its best reduction is g²/q. If none is true,
//! −g/√q is standard normal (Rao's score test, one-sided: t is 1 or 0). The best few are
//! estimated anew, and the reduction of J (twice the logarithm of the likelihood ratio) decides.

use super::distribution::normal_exceeds;
use super::fitted::{Evidence, Fits, Fitted};
use super::rows::{exact_wires, rows};
use crate::circuit::{Circuit, Readings, flow};
use num_complex::Complex64;

/// Something that may be different from what we think.
pub struct Hypothesis<'a> {
    /// What people call it.
    pub name: String,
    /// The circuit and readings if it is true. Same buses, wires and number of readings.
    pub edit: Box<dyn Fn(&Circuit, &Readings) -> (Circuit, Readings) + 'a>,
}

/// How a hypothesis stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// Its index.
    pub hypothesis: usize,
    /// Reduction of J promised by the score; zero when the gradient points the other way.
    pub score: f64,
    /// Reduction of J when estimated anew: twice the logarithm of the likelihood ratio. `None` when it was not tried or
    /// has no solution.
    pub reduction: Option<f64>,
}

/// The ranking of hypotheses.
#[derive(Debug, Clone, PartialEq)]
pub struct Ranking {
    /// J as things are thought to be.
    pub objective: f64,
    /// Best first: those estimated anew by their reduction, the others by their score.
    pub standings: Vec<Standing>,
    /// Probability of so good a best score if none is true (Šidák over all).
    pub chance: f64,
}

/// What the edit of a hypothesis promises; `None` when it cannot be compared.
fn score(
    circuit: &Circuit,
    readings: &Readings,
    fitted: &dyn Fitted,
    edited: &(Circuit, Readings),
) -> Option<f64> {
    let (gradient, curvature) = direction(circuit, readings, fitted, edited)?;
    if curvature <= 0.0 || gradient >= 0.0 {
        return Some(0.0);
    }
    Some(gradient * gradient / curvature)
}

/// How large the change that a hypothesis makes is in deviations of what the estimate knows of it (√q): where it is small,
/// nobody can tell. `None` when it cannot be compared.
pub fn reach(
    circuit: &Circuit,
    readings: &Readings,
    fitted: &dyn Fitted,
    hypothesis: &Hypothesis<'_>,
) -> Option<f64> {
    let edited = (hypothesis.edit)(circuit, readings);
    direction(circuit, readings, fitted, &edited).map(|(_, curvature)| curvature.max(0.0).sqrt())
}

/// Gradient and curvature of half the objective along an edit.
fn direction(
    circuit: &Circuit,
    readings: &Readings,
    fitted: &dyn Fitted,
    edited: &(Circuit, Readings),
) -> Option<(f64, f64)> {
    let v = fitted.voltages();
    let base = rows(circuit, readings, v);
    let changed = rows(&edited.0, &edited.1, v);
    let wires = exact_wires(circuit, readings);
    if base.len() != changed.len() || wires != exact_wires(&edited.0, &edited.1) {
        return None;
    }
    // Residuals are measured − estimated: what the readings should be grows where residuals fall.
    let d: Vec<f64> =
        base.iter().zip(&changed).map(|(base, changed)| base.residual - changed.residual).collect();
    let drawn = |circuit: &Circuit| -> Vec<Complex64> {
        let taken = flow::taken(circuit, v);
        wires
            .iter()
            .map(|w| if v[*w] == Complex64::ZERO { v[*w] } else { (taken[*w] / v[*w]).conj() })
            .collect()
    };
    let delta: Vec<Complex64> =
        drawn(&edited.0).iter().zip(drawn(circuit)).map(|(changed, base)| changed - base).collect();
    let weighed = |(row, d): (&super::rows::Row, &f64)| {
        if row.variance > 0.0 { row.residual * d / row.variance } else { 0.0 }
    };
    let pull: f64 = fitted.pulls().iter().zip(&delta).map(|(p, d)| p.re * d.re + p.im * d.im).sum();
    let gradient = -base.iter().zip(&d).map(weighed).sum::<f64>() - pull;
    Some((gradient, fitted.misfit(&d, &delta)?))
}

/// Ranks hypotheses; the best `tried` by score are estimated anew.
pub fn rank(
    circuit: &Circuit,
    readings: &Readings,
    fitted: &dyn Fitted,
    estimator: &dyn Fits,
    hypotheses: &[Hypothesis<'_>],
    tried: usize,
) -> Ranking {
    let objective = Evidence::new(circuit, readings, fitted).objective();
    let mut standings: Vec<Standing> = hypotheses
        .iter()
        .enumerate()
        .map(|(at, hypothesis)| {
            let edited = (hypothesis.edit)(circuit, readings);
            // What cannot be scored is tried before the others.
            let score = score(circuit, readings, fitted, &edited).unwrap_or(f64::INFINITY);
            Standing { hypothesis: at, score, reduction: None }
        })
        .collect();
    standings.sort_by(|a, b| b.score.total_cmp(&a.score));
    for standing in standings.iter_mut().take(tried) {
        let (circuit, readings) = (hypotheses[standing.hypothesis].edit)(circuit, readings);
        if let Ok(fit) = estimator.fit(&circuit, &readings) {
            let changed = Evidence::new(&circuit, &readings, &*fit).objective();
            standing.reduction = Some(objective - changed);
        }
    }
    let merit = |standing: &Standing| standing.reduction.unwrap_or(f64::NEG_INFINITY);
    let tried = tried.min(standings.len());
    standings[..tried].sort_by(|a, b| merit(b).total_cmp(&merit(a)));
    // What a new estimate finds is never more than the score, but for what is not linear: where it is, it counts.
    let found = standings.iter().flat_map(|standing| [Some(standing.score), standing.reduction]).flatten();
    let best = found.filter(|found| found.is_finite()).fold(0.0, f64::max);
    // The larger of all scores exceeds with 1 − (1 − p)^n.
    let one = normal_exceeds(best.sqrt());
    let chance = if one >= 1.0 { 1.0 } else { -(hypotheses.len() as f64 * (-one).ln_1p()).exp_m1() };
    Ranking { objective, standings, chance }
}

/// Whether a ranking speaks against the network as it is thought to be, with a false alarm of at most `p`.
pub fn network_is_wrong(ranking: &Ranking, p: f64) -> bool {
    ranking.chance < p
}
