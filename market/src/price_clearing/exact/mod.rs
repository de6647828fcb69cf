//! The exact layer for few, lumpy offers: branch and bound on a linear relaxation that is tightened by lump cuts.
//!
//! Amounts are columns, shifts one column per start, options one; the price of overload is a column per limit and
//! interval. Rows come when they are violated. What lumps use of a limit is rounded (mixed-integer rounding, of which
//! the lump prices of `worth.rs` are the simplest case), which closes most of the relaxation's gap before any
//! branching. What is proved is within `tolerance` of the welfare found.

mod cuts;
mod relaxation;
mod simplex;

use super::arrays::Arrays;
use super::ascent::{Stream, Sweep};
use super::state::State;
use relaxation::{Relaxation, Solved};

/// Most nodes of the tree.
const NODES_MAX: usize = 4_000;
/// Most pivots in all.
const PIVOTS_MAX: usize = 8_000;
/// Rounds of cuts at the root, and at other nodes.
const ROUNDS: (usize, usize) = (12, 0);

/// A fixed column.
type Fixing = (u32, f64, f64);

/// Improves `state` to the optimum; returns the welfare (10⁻⁶ micro-units) that nothing exceeds, or `None` when the
/// tree grew too large or the offers are of a kind that is not modelled.
pub(super) fn prove(arrays: &Arrays, state: &mut State, sweep: &mut Sweep, tolerance: f64) -> Option<f64> {
    let mut relaxation = Relaxation::new(arrays)?;
    let mut stream = Stream(17);
    let mut welfare = state.welfare(arrays);
    let mut open: Vec<Vec<Fixing>> = vec![Vec::new()];
    let mut nodes = 0;
    // What was cut off although it might have been worth this much.
    let mut proved = f64::NEG_INFINITY;
    while let Some(fixings) = open.pop() {
        nodes += 1;
        if nodes > NODES_MAX || relaxation.pivots() > PIVOTS_MAX {
            return None;
        }
        relaxation.fix(&fixings);
        let root = fixings.is_empty();
        let margin = tolerance * welfare.abs().max(1.0);
        let mut last = f64::INFINITY;
        let mut solved = Solved::Stopped;
        for round in 0..=(if root { ROUNDS.0 } else { ROUNDS.1 }) {
            solved = relaxation.solve(arrays);
            let Solved::Bound(bound) = solved else { break };
            if bound <= welfare + margin {
                break;
            }
            if root || round == 0 {
                relaxation.round_into(arrays, state, sweep, &mut stream, &mut welfare);
            }
            if last - bound < 1e-4 * bound.abs() || !relaxation.cut(arrays) {
                break;
            }
            last = bound;
        }
        let bound = match solved {
            Solved::Bound(bound) => bound,
            Solved::Infeasible => continue,
            Solved::Stopped => return None,
        };
        if bound <= welfare + margin {
            proved = proved.max(bound.max(welfare));
            continue;
        }
        let Some((column, value)) = relaxation.fractional() else {
            // The relaxation stands on a clearing: the state that was made of it is as good up to whole mWh.
            proved = proved.max(bound);
            continue;
        };
        let mut fixings = fixings;
        fixings.extend(relaxation.hopeless(bound - welfare));
        let (lower, upper) = relaxation.bounds(column);
        let children = if relaxation.is_choice(column) {
            [(0.0, 0.0), (1.0, 1.0)]
        } else {
            [(0.0, 0.0), (lower, upper)]
        };
        let mut pair: Vec<Vec<Fixing>> = Vec::new();
        for (at, &(l, u)) in children.iter().enumerate() {
            let mut child = fixings.clone();
            let (fixed, l, u) = if at == 1 && !relaxation.is_choice(column) {
                (relaxation.twin(column), 0.0, 0.0)
            } else {
                (column, l, u)
            };
            child.push((fixed, l, u));
            pair.push(child);
        }
        // The likelier child is looked at first.
        if value < 0.5 {
            pair.swap(0, 1);
        }
        open.extend(pair);
    }
    Some(proved.max(welfare))
}
