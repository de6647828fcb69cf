//! Exclusive groups and least deviations against exhaustive search.

use super::*;
use crate::certificate::{Objection, overload};
use crate::price_clearing::freeze_offer;

/// Clears random markets; returns how many reached the optimum, and how often groups and least deviations decided.
fn compare_restricted(seeds: std::ops::Range<u64>) -> (usize, usize, usize) {
    let (mut equal, mut grouped, mut least, mut halves) = (0, 0, 0, 0);
    let count = seeds.end - seeds.start;
    for seed in seeds {
        let problem = sample::restricted(seed, 1 + (seed % 5) as usize, 5, UNIT);
        let clearing = clear_by_prices(&problem);
        verify(&problem, &clearing).unwrap_or_else(|objection| panic!("seed {seed}: {objection}"));
        let mut best = exhaustive(&problem, UNIT);
        if clearing.welfare.0 > best {
            // A least deviation beside a total may be met best by halves.
            assert!(clearing.plans.iter().any(|plan| plan.energies.iter().any(|energy| energy % UNIT != 0)));
            best = exhaustive(&problem, UNIT / 2);
            halves += 1;
        }
        assert!(clearing.bound.0 >= best, "seed {seed}: the bound {} lies below {best}", clearing.bound.0);
        assert!((0..=best).contains(&clearing.welfare.0), "seed {seed}: {} of {best}", clearing.welfare.0);
        if let Some(claimed) = clearing.claimed.filter(|_| clearing.claimed_offers == problem.offers()) {
            assert_eq!(clearing.welfare.0, best, "seed {seed}");
            assert!(claimed.0 >= best, "seed {seed}");
        }
        equal += usize::from(clearing.welfare.0 == best);
        for declined in &clearing.declined {
            grouped += usize::from(declined.reason == DeclineReason::OtherOfGroup);
        }
        for plan in &clearing.plans {
            least += usize::from(problem.offer(plan.offer as usize).parts().least > 0);
        }
    }
    assert!(halves < count / 50, "{halves}");
    (equal, grouped, least)
}

#[test]
fn thousands_of_small_markets_with_exclusive_groups_and_least_deviations_keep_their_bound() {
    let (equal, grouped, least) = compare_restricted(0..3_000);
    assert!(equal >= 2_940 && grouped > 40 && least > 200, "{equal} of 3000, {grouped}, {least}");
}

#[test]
#[ignore = "minutes; `make soak` runs it"]
fn fifty_thousand_small_markets_with_exclusive_groups_and_least_deviations_keep_their_bound() {
    let (equal, ..) = compare_restricted(10_000..60_000);
    assert!(equal >= 49_000, "{equal} of 50,000");
}

#[test]
fn many_offers_of_groups_leave_their_default_one_at_most_and_the_same_each_time() {
    for (seed, offers) in [(1, 60), (2, 300), (3, 1_400), (4, 3_300)] {
        let mut problem = sample::problem(seed, 0, 24, UNIT);
        let mut stream = Stream(seed);
        let nodes = problem.nodes();
        for offer in 0..offers {
            let mut terms = sample::terms(&mut stream, nodes, 24, UNIT);
            terms.group = if stream.below(2) == 0 { 1 + offer as u32 / 6 } else { 0 };
            if terms.option.is_none() && stream.below(3) == 0 {
                terms.least = (1 + stream.below(3)) as i64 * UNIT;
            }
            problem.add_offer(&terms).unwrap();
        }
        let clearing = clear_by_prices(&problem);
        verify(&problem, &clearing).unwrap_or_else(|objection| panic!("{offers}: {objection}"));
        assert_eq!(overload(&problem, &clearing).beyond, 0);
        assert_eq!(clear_by_prices(&problem), clearing);
        let of_groups = |plan: &&Plan| problem.offer(plan.offer as usize).parts().group != 0;
        assert!(clearing.plans.iter().filter(of_groups).count() > 0, "{offers}");
    }
}

#[test]
fn a_second_offer_of_a_group_and_a_deviation_below_the_least_are_objected_to() {
    let (mut second, mut small) = (0, 0);
    for seed in 0..400 {
        let problem = sample::restricted(seed, 6, 5, UNIT);
        let honest = clear_by_prices(&problem);
        for declined in honest.declined.iter().filter(|d| d.reason == DeclineReason::OtherOfGroup) {
            let Some(alternative) = declined.alternative.clone() else { continue };
            let mut bad = honest.clone();
            let (start, energies, factor) = (alternative.start, alternative.energies, alternative.factor);
            bad.plans.push(Plan { offer: declined.offer, start, energies, factor, ..Plan::default() });
            bad.plans.sort_by_key(|plan| plan.offer);
            let objection = verify(&problem, &bad).unwrap_err();
            let known = matches!(objection, Objection::Group { .. } | Objection::Money { .. });
            assert!(known, "seed {seed}: {objection}");
            second += usize::from(matches!(objection, Objection::Group { .. }));
        }
        for (at, plan) in honest.plans.iter().enumerate() {
            let terms = problem.offer(plan.offer as usize).terms();
            if terms.least > 0 && plan.start == terms.start_default {
                let mut bad = honest.clone();
                bad.plans[at].energies = terms.default.clone();
                let one = (0..terms.default.len()).find(|&k| terms.lower[k] < terms.default[k]);
                let Some(k) = one else { continue };
                bad.plans[at].energies[k] -= 1;
                let total: i64 = bad.plans[at].energies.iter().sum();
                if total >= terms.total_lower && terms.least > 1 {
                    let objection = verify(&problem, &bad).unwrap_err().to_string();
                    assert!(objection.contains("below the least"), "seed {seed}: {objection}");
                    small += 1;
                }
            }
        }
    }
    assert!(second > 10 && small > 10, "{second} {small}");
}

#[test]
fn what_is_committed_in_a_group_keeps_the_others_at_their_default() {
    let mut settled = 0;
    for seed in 0..300 {
        let mut problem = sample::problem(seed, 0, 6, UNIT);
        let mut stream = Stream(seed);
        let nodes = problem.nodes();
        let mut all = Vec::new();
        for _ in 0..3 {
            let terms = OfferTerms { group: 7, ..sample::terms(&mut stream, nodes, 6, UNIT) };
            problem.add_offer(&terms).unwrap();
            all.push(terms);
        }
        let choices = schedules(&problem, 0, UNIT);
        let Some(plan) = choices.into_iter().flatten().next() else { continue };
        freeze_offer(&mut problem, 0, &all[0], 6, Some((plan.start, &plan.energies))).unwrap();
        assert_eq!(problem.settle_groups(), Vec::<usize>::new());
        let clearing = clear_by_prices(&problem);
        verify(&problem, &clearing).unwrap_or_else(|objection| panic!("seed {seed}: {objection}"));
        assert_eq!(clearing.plans.iter().map(|plan| plan.offer).collect::<Vec<_>>(), [0], "seed {seed}");
        settled += 1;
    }
    assert!(settled > 200, "{settled}");
}
