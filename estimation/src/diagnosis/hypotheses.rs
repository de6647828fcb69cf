//! Is the network another than we think? A switch that stands the other way, a tap on another position, a meter on
//! another phase, a line nobody drew: each is a hypothesis, an edit of the circuit or its readings.
//!
//! All are ranked by a score first, from the estimate at hand: with d the change that the edit makes to what the readings
//! should be and to the current balances at the estimated voltages, the objective changes along the edit as
//! J(t) = J + 2 g t + q t² with g = −dᵀ W r − Δᵀ pulls and q the misfit of d; its best reduction is g²/q. If none is true,
//! −g/√q is standard normal (Rao's score test, one-sided: t is 1 or 0). The best few are
//! estimated anew, and the reduction of J (twice the logarithm of the likelihood ratio) decides.
//!
//! Whether the best is good enough is asked of its likelihood ratio, as each hypothesis is one certain network (Neyman &
//! Pearson 1933). A hypothesis whose change is ρ = √q deviations large reduces J by 2ρn − ρ² when none is true, n standard
//! normal: by c or more with the probability Φ(−ρ/2 − c/2ρ). Small changes cannot promise much and large ones hardly
//! by chance; only those in between cost certainty. (Roeder & Wasserman 2009 derive the same weights for the most
//! discoveries.)

use super::distribution::normal_exceeds;
use super::fitted::{Fits, Fitted, objective as objective_of};
use super::rows::{Row, exact_wires, rows};
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
    /// How large its change is, in deviations of what the estimate knows of it (see [`reach`]); for a hypothesis
    /// estimated anew at the voltages it would have. NaN when it cannot be compared.
    pub reach: f64,
    /// Reduction of J if the hypothesis were true in full (t = 1), not estimated anew.
    whole: f64,
}

/// The ranking of hypotheses.
#[derive(Debug, Clone, PartialEq)]
pub struct Ranking {
    /// J as things are thought to be.
    pub objective: f64,
    /// Best first: those estimated anew by their reduction, the others by their score.
    pub standings: Vec<Standing>,
    /// Probability, at most, that any of them reduces J as the best one does if none is true (Bonferroni over all).
    pub chance: f64,
}

/// What readings and balances are without any edit, at voltages; found once for many hypotheses.
struct Unedited {
    rows: Vec<Row>,
    wires: Vec<usize>,
    /// Currents drawn at these wires.
    drawn: Vec<Complex64>,
}

impl Unedited {
    fn new(circuit: &Circuit, readings: &Readings, v: &[Complex64]) -> Self {
        let wires = exact_wires(circuit, readings);
        let drawn = drawn(circuit, &wires, v);
        Self { rows: rows(circuit, readings, v), wires, drawn }
    }
}

/// The currents that are drawn at wires, p.u.
fn drawn(circuit: &Circuit, wires: &[usize], v: &[Complex64]) -> Vec<Complex64> {
    let taken = flow::taken(circuit, v);
    let current = |w: &usize| if v[*w] == Complex64::ZERO { v[*w] } else { (taken[*w] / v[*w]).conj() };
    wires.iter().map(current).collect()
}

/// What the edit of a hypothesis promises before it is estimated anew.
fn standing(
    unedited: &Unedited,
    fitted: &dyn Fitted,
    pulls: &[Complex64],
    hypothesis: usize,
    edited: &(Circuit, Readings),
) -> Standing {
    let found = direction(unedited, fitted, pulls, fitted.voltages(), edited);
    let (score, reach, whole) = match found {
        // What cannot be scored is tried before the others.
        None => (f64::INFINITY, f64::NAN, f64::NEG_INFINITY),
        Some((gradient, curvature)) if curvature > 0.0 => {
            let score = if gradient < 0.0 { gradient * gradient / curvature } else { 0.0 };
            (score, curvature.sqrt(), -2.0 * gradient - curvature)
        }
        Some(_) => (0.0, 0.0, 0.0),
    };
    Standing { hypothesis, score, reduction: None, reach, whole }
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
    let unedited = Unedited::new(circuit, readings, fitted.voltages());
    let found = direction(&unedited, fitted, &fitted.pulls(), fitted.voltages(), &edited);
    found.map(|(_, curvature)| curvature.max(0.0).sqrt())
}

/// Gradient and curvature of half the objective along the change that an edit makes at voltages `v`.
fn direction(
    unedited: &Unedited,
    fitted: &dyn Fitted,
    pulls: &[Complex64],
    v: &[Complex64],
    edited: &(Circuit, Readings),
) -> Option<(f64, f64)> {
    let Unedited { rows: base, wires, drawn: unedited } = unedited;
    let changed = rows(&edited.0, &edited.1, v);
    if base.len() != changed.len() || *wires != exact_wires(&edited.0, &edited.1) {
        return None;
    }
    // Residuals are measured − estimated: what the readings should be grows where residuals fall.
    let d: Vec<f64> =
        base.iter().zip(&changed).map(|(base, changed)| base.residual - changed.residual).collect();
    let drawn = drawn(&edited.0, wires, v);
    let delta: Vec<Complex64> = drawn.iter().zip(unedited).map(|(changed, base)| changed - base).collect();
    let weighed =
        |(row, d): (&Row, &f64)| if row.variance > 0.0 { row.residual * d / row.variance } else { 0.0 };
    let pull: f64 = pulls.iter().zip(&delta).map(|(p, d)| p.re * d.re + p.im * d.im).sum();
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
    let unedited = Unedited::new(circuit, readings, fitted.voltages());
    let (objective, pulls) = (objective_of(&unedited.rows), fitted.pulls());
    let mut standings: Vec<Standing> = hypotheses
        .iter()
        .enumerate()
        .map(|(at, hypothesis)| {
            standing(&unedited, fitted, &pulls, at, &(hypothesis.edit)(circuit, readings))
        })
        .collect();
    standings.sort_by(|a, b| b.score.total_cmp(&a.score));
    for standing in standings.iter_mut().take(tried) {
        let edited = (hypotheses[standing.hypothesis].edit)(circuit, readings);
        if let Ok(fit) = estimator.fit(&edited.0, &edited.1) {
            let changed = objective_of(&rows(&edited.0, &edited.1, fit.voltages()));
            standing.reduction = Some(objective - changed);
            let there = Unedited::new(circuit, readings, fit.voltages());
            let there = direction(&there, fitted, &pulls, fit.voltages(), &edited);
            if let Some((_, curvature)) = there {
                standing.reach = curvature.max(0.0).sqrt();
            }
        }
    }
    let merit = |standing: &Standing| standing.reduction.unwrap_or(f64::NEG_INFINITY);
    let tried = tried.min(standings.len());
    standings[..tried].sort_by(|a, b| merit(b).total_cmp(&merit(a)));
    let chance = chance(&standings);
    Ranking { objective, standings, chance }
}

/// Probability, at most, that any hypothesis reduces J as the best one does if none is true.
fn chance(standings: &[Standing]) -> f64 {
    let found = |standing: &Standing| standing.reduction.unwrap_or(standing.whole);
    let best = standings.iter().map(found).fold(0.0, f64::max);
    if best <= 0.0 {
        return 1.0;
    }
    let each = standings.iter().filter(|standing| standing.reach > 0.0);
    each.map(|standing| normal_exceeds(0.5 * (standing.reach + best / standing.reach))).sum::<f64>().min(1.0)
}

/// Whether a ranking speaks against the network as it is thought to be, with a false alarm of at most `p`.
pub fn network_is_wrong(ranking: &Ranking, p: f64) -> bool {
    ranking.chance < p
}
