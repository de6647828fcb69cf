mod rules;

use super::ascent::Stream;
use super::offer::OfferTerms;
use super::outcome::{DeclineReason, Plan, Worth};
use super::problem::{ClearingProblem, NeedBid, WHOLE};
use super::sample;
use super::solve::{Session, clear_by_prices};
use super::worth;
use crate::certificate::verify;

mod changes;
mod coursed;
mod exact_layer;
mod factors;
mod parts;
mod restricted;

const UNIT: i64 = 1_000_000;

/// Every schedule of an offer in whole units, as plans (`None` is the default).
fn schedules(problem: &ClearingProblem, offer: usize, unit: i64) -> Vec<Option<Plan>> {
    let view = problem.offer(offer);
    let terms = view.terms();
    let plan = |start: u16, energies: Vec<i64>, factor| Plan {
        offer: offer as u32,
        start,
        energies,
        factor,
        ..Plan::default()
    };
    let mut found = vec![None];
    if let Some(option) = &terms.option {
        let energies = terms.default.iter().zip(&option.deviation).map(|(a, b)| a + b).collect();
        found.push(Some(plan(terms.start_default, energies, WHOLE as u32)));
        return found;
    }
    for start in terms.start_first..=terms.start_last {
        let mut partial: Vec<Vec<i64>> = vec![Vec::new()];
        for k in 0..terms.default.len() {
            let choices: Vec<i64> = (terms.lower[k]..=terms.upper[k]).step_by(unit as usize).collect();
            partial = partial
                .iter()
                .flat_map(|p| choices.iter().map(|&e| p.iter().copied().chain([e]).collect()))
                .collect();
        }
        for energies in partial.into_iter().filter(|energies| terms.holds(start, energies)) {
            if start != terms.start_default || energies != terms.default {
                found.push(Some(plan(start, energies, 0)));
            }
        }
    }
    found
}

/// The best welfare of all combinations of schedules in whole units.
fn exhaustive(problem: &ClearingProblem, unit: i64) -> i128 {
    fn walk(problem: &ClearingProblem, all: &[Vec<Option<Plan>>], chosen: &mut Vec<Plan>, best: &mut i128) {
        let Some((first, rest)) = all.split_first() else {
            *best = (*best).max(worth::welfare(problem, chosen).0);
            return;
        };
        let group = |plan: &Plan| problem.offer(plan.offer as usize).parts().group;
        for schedule in first {
            if let Some(plan) = schedule
                && group(plan) != 0
                && chosen.iter().any(|other| group(other) == group(plan))
            {
                continue;
            }
            let before = chosen.len();
            chosen.extend(schedule.clone());
            walk(problem, rest, chosen, best);
            chosen.truncate(before);
        }
    }
    let all: Vec<_> = (0..problem.offers()).map(|offer| schedules(problem, offer, unit)).collect();
    let mut best = i128::MIN;
    walk(problem, &all, &mut Vec::new(), &mut best);
    best
}

/// Clears random markets; returns how many reached the optimum.
fn compare(seeds: std::ops::Range<u64>) -> usize {
    compare_all(seeds, |seed| sample::problem(seed, 1 + (seed % 4) as usize, 5, UNIT))
}

fn compare_all(seeds: std::ops::Range<u64>, make: impl Fn(u64) -> ClearingProblem) -> usize {
    let mut equal = 0;
    for seed in seeds {
        let problem = make(seed);
        let clearing = clear_by_prices(&problem);
        verify(&problem, &clearing).unwrap_or_else(|objection| panic!("seed {seed}: {objection}"));
        let best = exhaustive(&problem, UNIT);
        assert!(clearing.bound.0 >= best, "seed {seed}: the bound {} lies below {best}", clearing.bound.0);
        assert!(clearing.welfare.0 >= 0, "seed {seed}: doing nothing would have been better");
        assert!(
            clearing.welfare.0 <= best,
            "seed {seed}: {} is more than the optimum {best}",
            clearing.welfare.0
        );
        if let Some(proved) = clearing.claimed.filter(|_| clearing.claimed_offers == problem.offers()) {
            // What branch and bound proves, it has found.
            assert_eq!(clearing.welfare.0, best, "seed {seed}");
            assert!(proved.0 >= best, "seed {seed}: {} was called impossible", best);
        }
        equal += usize::from(clearing.welfare.0 == best);
    }
    equal
}

#[test]
fn small_random_markets_that_are_proved_equal_exhaustive_search() {
    // Offers that choose start and energies together are not branched on; all others have to be equal.
    let equal = compare(0..200);
    assert!(equal >= 198, "{equal} of 200");
}

#[test]
#[ignore = "minutes; `make soak` runs it"]
fn a_hundred_thousand_small_random_markets_that_are_proved_equal_exhaustive_search() {
    let equal = compare(1_000..101_000);
    assert!(equal >= 99_000, "{equal} of 100,000");
}

#[test]
fn bids_for_more_consumption_are_cleared_beside_those_for_less_and_doing_nothing_is_worth_nothing() {
    let mut taken = 0;
    let equal = compare_all(0..200, |seed| {
        let mut problem = sample::problem(seed, 1 + (seed % 4) as usize, 5, UNIT);
        let mut stream = Stream(seed ^ 4_242);
        let nodes = (0..problem.nodes() as u32).collect();
        let asked = (0..5).map(|_| stream.below(4) as i64 * UNIT).collect();
        let price = (0..5).map(|_| 50_000 + stream.below(300_000) as i64).collect();
        problem.add_bid(NeedBid { nodes, asked, price, more: true }).unwrap();
        assert_eq!(worth::welfare(&problem, &[]).0, 0);
        problem
    });
    for seed in 0..50 {
        let mut problem = sample::problem(seed, 4, 5, UNIT);
        problem.bids[0].more = true;
        let clearing = clear_by_prices(&problem);
        verify(&problem, &clearing).unwrap_or_else(|objection| panic!("seed {seed}: {objection}"));
        taken += usize::from(clearing.welfare.0 > 0);
    }
    assert!(equal >= 195 && taken > 10, "{equal} of 200, {taken} of 50");
}

/// Sensitivities that are parts, more than the whole, or negative: a grid with loops.
fn meshed(seed: u64, offers: usize, intervals: usize) -> ClearingProblem {
    let mut problem = sample::problem(seed, offers, intervals, UNIT);
    let mut stream = Stream(seed ^ 77);
    for (_, factor) in problem.rows.iter_mut().flat_map(|row| &mut row.sensitivities) {
        *factor = [-500_000, 250_000, 600_001, 1_400_000][stream.below(4)];
    }
    problem
}

#[test]
fn bounds_with_lumps_and_references_hold_whatever_the_sensitivities_are() {
    let (mut lumps, mut references, mut ends) = (0, 0, 0);
    for seed in 0..300 {
        let problem = meshed(seed, 1 + (seed % 4) as usize, 5);
        let clearing = clear_by_prices(&problem);
        verify(&problem, &clearing).unwrap_or_else(|objection| panic!("seed {seed}: {objection}"));
        assert!(clearing.bound.0 >= exhaustive(&problem, UNIT), "seed {seed}");
    }
    for seed in 0..30 {
        let mut problem = meshed(seed, 0, 12);
        let mut stream = Stream(seed + 1_000);
        while problem.offers() < 60 {
            // Others have no relaxation.
            let terms = sample::terms(&mut stream, problem.nodes(), 12, UNIT);
            let fixed = terms.lower == terms.upper;
            if fixed || (terms.start_first == terms.start_last && terms.activation == 0) {
                problem.add_offer(&terms).unwrap();
            }
        }
        let clearing = clear_by_prices(&problem);
        verify(&problem, &clearing).unwrap_or_else(|objection| panic!("seed {seed}: {objection}"));
        lumps += clearing.prices.lumps.len();
        for &(offer, _) in clearing.prices.lumps.iter().flat_map(|lump| &lump.from) {
            let view = problem.offer(offer as usize);
            references += 1;
            ends += usize::from(view.option.is_none() && view.lower != view.upper);
        }
    }
    assert!(lumps > 100 && references > 100 && ends > 10, "{lumps} {references} {ends}");
}

#[test]
fn any_reference_proves_and_a_changed_one_changes_what_is_proved_or_nothing() {
    let (mut stream, mut changed, mut tried, mut ends) = (Stream(5), 0, 0, 0);
    for seed in 0..60 {
        let problem = sample::problem(seed, 1 + (seed % 4) as usize, 5, UNIT);
        let best = exhaustive(&problem, UNIT);
        let mut session = Session::new(problem.clone());
        if session.prices.lumps.is_empty() {
            continue;
        }
        for _ in 0..40 {
            let at = stream.below(session.prices.lumps.len());
            let offer = stream.below(problem.offers());
            let view = problem.offer(offer);
            let before = session.clearing();
            let mut energy = (stream.below(9) as i64 - 4) * UNIT / 2 + 1;
            if view.option.is_none() && view.lower != view.upper {
                // Divisible: from its ends, where its start is known.
                let terms = view.terms();
                let interval = usize::from(session.prices.lumps[at].interval);
                let slice =
                    interval.checked_sub(terms.start_default.into()).filter(|k| *k < terms.lower.len());
                let Some(k) = slice.filter(|_| terms.start_first == terms.start_last) else { continue };
                let end = if stream.below(2) == 0 { terms.lower[k] } else { terms.upper[k] };
                energy = end - terms.default[k];
                ends += 1;
            }
            session.prices.lumps[at].from = vec![(offer as u32, energy)];
            session.lumps = super::lump::Lumps::new(&session.problem, &session.incidence, &session.prices);
            session.answer_all();
            let clearing = session.clearing();
            verify(&problem, &clearing).unwrap_or_else(|objection| panic!("seed {seed}: {objection}"));
            assert!(clearing.bound.0 >= best, "seed {seed}");
            // What the one proves is not proved by the other's prices.
            let mut mixed = clearing.clone();
            mixed.prices = before.prices.clone();
            assert_eq!(
                verify(&problem, &mixed).is_ok(),
                verify(&problem, &before) == Ok(()) && mixed == before
            );
            (changed, tried) = (changed + usize::from(clearing.bound != before.bound), tried + 1);
        }
    }
    assert!(tried > 300 && changed > tried / 3 && ends > 20, "{changed} of {tried}, {ends}");
}

#[test]
fn the_same_problem_gives_the_same_bits() {
    let problem = sample::problem(7, 60, 24, UNIT);
    assert_eq!(clear_by_prices(&problem), clear_by_prices(&problem));
}

#[test]
fn a_changed_offer_or_row_is_cleared_again_and_still_holds() {
    let problem = sample::problem(11, 80, 24, UNIT);
    let mut session = Session::new(problem.clone());
    let mut stream = Stream(3);
    for turn in 0..60 {
        let clearing = if turn % 2 == 0 {
            let offer = stream.below(problem.offers());
            let mut terms = session.problem.offer(offer).terms();
            terms.activation += 10_000;
            terms.price_down += 20_000;
            if turn % 4 == 0 && terms.lower != terms.upper {
                // Its ends move: what counted from them does not any more.
                terms.lower[0] -= UNIT;
                terms.total_lower -= UNIT;
            }
            session.replace_offer(offer, &terms).unwrap()
        } else {
            let row = stream.below(problem.rows().len());
            session.set_headroom(row, stream.below(24), stream.below(4) as i64 * UNIT).unwrap()
        };
        verify(&session.problem, &clearing).unwrap_or_else(|objection| panic!("turn {turn}: {objection}"));
    }
}

#[test]
fn whoever_is_declined_learns_what_would_have_won() {
    let mut problem = sample::problem(5, 0, 6, UNIT);
    let nodes = problem.nodes();
    let mut stream = Stream(9);
    for _ in 0..40 {
        let terms = sample::terms(&mut stream, nodes, 6, UNIT);
        problem.add_offer(&OfferTerms { activation: 5_000_000, ..terms }).unwrap();
    }
    let clearing = clear_by_prices(&problem);
    for declined in clearing.declined.iter().filter(|d| d.reason == DeclineReason::TooDear) {
        assert!(declined.winning_ask <= declined.asked, "{declined:?}");
    }
    assert_eq!(clearing.plans.len() + clearing.declined.len(), 40);
}

#[test]
fn money_is_rounded_toward_the_safe_side() {
    assert_eq!((Worth(1).micro_floor(), Worth(1).micro_ceil()), (0, 1));
    assert_eq!((Worth(-1).micro_floor(), Worth(-1).micro_ceil()), (-1, 0));
}
