//! Ruin and recreate: a few offers that meet in place and time rest, then answer again in another order; what got
//! worse is taken back. It finds exchanges that no single step sees, which matters where offers are few and lumpy.

use super::arrays::Arrays;
use super::ascent::{Stream, Sweep};
use super::respond::Answer;
use super::state::State;

/// Most offers that answer again together.
const TOGETHER_MAX: usize = 24;

/// What an offer had, to give it back.
struct Kept {
    offer: usize,
    answer: Answer,
    energies: Vec<f64>,
}

/// Tries some rearrangements, never for the worse.
pub(super) fn rearrange(
    arrays: &Arrays,
    state: &mut State,
    sweep: &mut Sweep,
    stream: &mut Stream,
    tries: usize,
) {
    let groups = groups(arrays);
    if groups.is_empty() {
        return;
    }
    for _ in 0..tries {
        let group = &groups[stream.below(groups.len())];
        let count = (3 + stream.below(TOGETHER_MAX - 2)).min(group.len());
        let center = stream.below(group.len());
        // Neighbours in time: the group is sorted by start.
        let reach = (3 * count).min(group.len());
        let first = center.saturating_sub(reach / 2).min(group.len() - reach);
        let mut picked: Vec<u32> = group[first..first + reach].to_vec();
        stream.shuffle(&mut picked);
        picked.truncate(count);
        attempt(arrays, state, sweep, &picked);
    }
    state.recount(arrays);
}

fn attempt(arrays: &Arrays, state: &mut State, sweep: &mut Sweep, picked: &[u32]) {
    let mut kept = Vec::with_capacity(picked.len());
    let mut gain = 0.0;
    for &offer in picked {
        let offer = offer as usize;
        let terms = &arrays.offers[offer];
        if !terms.may_rest {
            continue;
        }
        let at = terms.at as usize;
        let energies = state.energies[at..at + terms.slices as usize].to_vec();
        kept.push(Kept { offer, answer: state.answers[offer], energies });
        gain += sweep.rest(arrays, state, offer);
    }
    for _ in 0..2 {
        for kept in &kept {
            gain += sweep.step(arrays, state, kept.offer);
        }
    }
    if gain >= -0.5 {
        return;
    }
    for kept in &kept {
        sweep.rest(arrays, state, kept.offer);
        sweep.restore(arrays, state, kept.offer, kept.answer, &kept.energies);
    }
}

/// Offers that share a limit which not nearly all share, sorted by when they start.
fn groups(arrays: &Arrays) -> Vec<Vec<u32>> {
    let mut users: Vec<Vec<u32>> = vec![Vec::new(); arrays.limits];
    for node in 0..arrays.nodes {
        for &(limit, _) in arrays.limits_of(node) {
            users[limit as usize].extend_from_slice(arrays.offers_of(node));
        }
    }
    let mut groups: Vec<Vec<u32>> = Vec::new();
    for mut group in users.into_iter().filter(|group| group.len() > 2) {
        group.sort_by_key(|&offer| (arrays.offers[offer as usize].start_default, offer));
        if !groups.contains(&group) {
            groups.push(group);
        }
    }
    groups
}
