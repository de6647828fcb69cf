//! The exact layer for few, lumpy offers: branch and bound on a linear relaxation that is tightened by lump cuts.
//!
//! Amounts are columns, shifts one column per start, options one; what an offer asks once, a least deviation, a factor
//! between a least one and 1, and exclusive groups add columns that are 0 or 1. Offers that choose start and energies
//! together are not modelled. The price of overload is a column per limit and
//! interval. Rows come when they are violated. What lumps use of a limit is rounded (mixed-integer rounding, of which
//! the lump prices of `lump.rs` are the same), which closes most of the relaxation's gap before any
//! branching. What is proved is within `tolerance` of the welfare found.

mod cuts;
mod factor;
mod relaxation;
mod simplex;

use super::arrays::Arrays;
use super::ascent::{Stream, Sweep};
use super::solve::Proof;
use super::state::State;
use relaxation::{Relaxation, Solved};

/// Most nodes of the tree.
const NODES_MAX: usize = 20_000;
/// Most work in all: pivots times rows.
const EFFORT_MAX: u64 = 200_000_000;
/// Of that, what each of many parts may do.
const EFFORT_MIN: u64 = 2_000_000;
/// The same of a relaxation alone.
const RELAXED_EFFORT_MAX: u64 = 20_000_000;
/// A round of cuts that brings less than this share ends them there.
const RELAXED_GAIN_MIN: f64 = 3e-3;
/// Rounds of cuts at the root.
const ROUNDS: usize = 40;

/// Most that a clearing may lie below the relaxation that stands on it, as a share of that.
const UNREACHED: f64 = 1e-4;

/// A fixed column.
type Fixing = (u32, f64, f64);

/// A node of the tree that is still to be looked at.
struct Open {
    fixings: Vec<Fixing>,
    /// What the relaxation above it was worth.
    above: f64,
    /// How it differs from that: the question (`Relaxation::question`), its answer, and how far it was from that.
    step: Option<(u32, bool, f64)>,
}

/// Whether all offers are of kinds that are modelled.
pub(super) fn models(arrays: &Arrays) -> bool {
    arrays.offers.iter().all(Relaxation::models)
}

/// Improves `state` to the optimum; returns the welfare (10⁻⁶ micro-units) that nothing exceeds, and what the root of the
/// tree proves; `share` of the work is done at most. Of these `None` when the tree grew too large or the offers are of a kind that is not modelled.
pub(super) fn prove(
    arrays: &Arrays,
    state: &mut State,
    sweep: &mut Sweep,
    (tolerance, share): (f64, f64),
) -> (Option<f64>, Option<Proof>) {
    let mut proof = None;
    let effort = ((EFFORT_MAX as f64 * share) as u64).max(EFFORT_MIN);
    let proved = search(arrays, state, sweep, (tolerance, effort), &mut proof);
    (proved, proof)
}

/// Improves `state` by the relaxation alone; returns what proves the bound of that. `None` when it took too long or offers
/// are of a kind that is not modelled.
pub(super) fn relax(arrays: &Arrays, state: &mut State, sweep: &mut Sweep) -> Option<Proof> {
    let mut relaxation = Relaxation::new(arrays)?;
    let (mut stream, mut welfare) = (Stream(17), state.welfare(arrays));
    let (mut proof, mut last) = (None, f64::INFINITY);
    while relaxation.effort() < RELAXED_EFFORT_MAX {
        let Solved::Bound(bound) = relaxation.solve(arrays, welfare) else { break };
        relaxation.round_into(arrays, state, sweep, &mut stream, &mut welfare);
        if bound <= welfare {
            break;
        }
        proof = Some(relaxation.proof(arrays));
        if last - bound < RELAXED_GAIN_MIN * bound.abs() || !relaxation.cut(arrays) {
            break;
        }
        last = bound;
    }
    proof
}

fn search(
    arrays: &Arrays,
    state: &mut State,
    sweep: &mut Sweep,
    (tolerance, effort): (f64, u64),
    proof: &mut Option<Proof>,
) -> Option<f64> {
    let mut relaxation = Relaxation::new(arrays)?;
    let mut stream = Stream(17);
    let mut welfare = state.welfare(arrays);
    let mut open = vec![Open { fixings: Vec::new(), above: f64::INFINITY, step: None }];
    let mut losses = Losses::new(2 * arrays.offers.len());
    let mut nodes = 0;
    // What was cut off although it might have been worth this much.
    let mut proved = f64::NEG_INFINITY;
    while let Some(node) = open.pop() {
        nodes += 1;
        if nodes > NODES_MAX || relaxation.effort() > effort {
            return None;
        }
        let margin = tolerance * welfare.abs().max(1.0);
        if node.above <= welfare + margin {
            // Something better was found meanwhile.
            proved = proved.max(node.above.max(welfare));
            continue;
        }
        relaxation.fix(&node.fixings);
        let root = node.step.is_none();
        let mut last = f64::INFINITY;
        let mut solved = Solved::Stopped;
        // Cuts deeper in the tree cost more than they save: measured.
        for _ in 0..=(if root { ROUNDS } else { 0 }) {
            solved = relaxation.solve(arrays, welfare + margin);
            let Solved::Bound(bound) = solved else { break };
            if root {
                *proof = Some(relaxation.proof(arrays));
            }
            if bound <= welfare + margin {
                break;
            }
            relaxation.round_into(arrays, state, sweep, &mut stream, &mut welfare);
            if !root || last - bound < 2e-5 * bound.abs() || !relaxation.cut(arrays) {
                break;
            }
            last = bound;
        }
        let bound = match solved {
            Solved::Bound(bound) => bound,
            Solved::Infeasible => f64::NEG_INFINITY,
            Solved::Stopped => return None,
        };
        losses.learn(&node, bound.max(welfare));
        if bound == f64::NEG_INFINITY {
            continue;
        }
        if bound <= welfare + margin {
            proved = proved.max(bound.max(welfare));
            continue;
        }
        let Some((column, value)) = relaxation.branching(&losses) else {
            // The relaxation stands on a clearing: the state that was made of it is as good up to whole mWh. Where that was
            // not found nothing is claimed.
            if bound - welfare > UNREACHED * bound.abs() {
                return None;
            }
            proved = proved.max(bound);
            continue;
        };
        let mut fixings = node.fixings;
        fixings.extend(relaxation.hopeless(bound - welfare));
        let question = relaxation.question(column);
        let mut pair = match question {
            0..u32::MAX => [(0.0, false), (1.0, true)].map(|(at, taken)| Open {
                fixings: with(&fixings, (column, at, at)),
                above: bound,
                step: Some((question, taken, (value - at).abs())),
            }),
            u32::MAX => [column, relaxation.twin(column)].map(|column| Open {
                fixings: with(&fixings, (column, 0.0, 0.0)),
                above: bound,
                step: Some((u32::MAX, false, 1.0)),
            }),
        };
        // The likelier child is looked at first.
        if value < 0.5 {
            pair.swap(0, 1);
        }
        open.extend(pair);
    }
    Some(proved.max(welfare) + relaxation.hidden())
}

fn with(fixings: &[Fixing], one: Fixing) -> Vec<Fixing> {
    fixings.iter().copied().chain([one]).collect()
}

/// What the answers to a question (`Relaxation::question`) cost the bound so far, per unit of the way there.
struct Losses {
    /// Sum and count per question, "no" first.
    of: Vec<[(f64, f64); 2]>,
    all: [(f64, f64); 2],
}

impl Losses {
    fn new(questions: usize) -> Self {
        Self { of: vec![[(0.0, 0.0); 2]; questions], all: [(0.0, 0.0); 2] }
    }

    fn learn(&mut self, node: &Open, bound: f64) {
        let Some((question, taken, way)) = node.step else { return };
        let Some(of) = self.of.get_mut(question as usize) else { return };
        let loss = (node.above - bound).max(0.0) / way.max(1e-6);
        for (sum, count) in [&mut of[usize::from(taken)], &mut self.all[usize::from(taken)]] {
            *sum += loss;
            *count += 1.0;
        }
    }

    /// How much is expected of branching on a question whose value lies between 0 and 1.
    fn score(&self, question: u32, value: f64) -> f64 {
        let expected = |side: usize, way: f64| {
            let (sum, count) = self.of[question as usize][side];
            let (all, of_all) = self.all[side];
            // What is little known is taken for an average one.
            let average = if of_all > 0.0 { all / of_all } else { 1.0 };
            (sum + average) / (count + 1.0) * way
        };
        expected(0, value).max(1e-9) * expected(1, 1.0 - value).max(1e-9)
    }
}
