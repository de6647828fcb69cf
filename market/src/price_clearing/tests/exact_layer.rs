//! What branch and bound looks at, against exhaustive search and against itself.

use super::*;

/// Like `exhaustive`, with options at some factors.
fn at_least(problem: &ClearingProblem) -> i128 {
    let mut best = exhaustive(problem, UNIT);
    for factor in [250_000, 500_000, 750_000] {
        let mut some = problem.clone();
        for offer in 0..some.offers() {
            let mut terms = some.offer(offer).terms();
            if let Some(option) = &mut terms.option
                && option.factor_min <= factor
            {
                option.deviation = worth::scaled(&option.deviation, factor);
                some.replace_offer(offer, &terms).unwrap();
            }
        }
        best = best.max(exhaustive(&some, UNIT));
    }
    best
}

#[test]
fn amounts_with_a_sum_of_their_own_and_options_in_part_are_branched_on() {
    let (mut claimed, mut sums, mut parts) = (0, 0, 0);
    for seed in 0..1_500 {
        let problem = sample::lumpy(seed, 1 + (seed % 4) as usize, 5, UNIT);
        let clearing = clear_by_prices(&problem);
        verify(&problem, &clearing).unwrap_or_else(|objection| panic!("seed {seed}: {objection}"));
        let best = at_least(&problem);
        assert!(clearing.bound.0 >= best, "seed {seed}");
        let Some(proved) = clearing.claimed else { continue };
        claimed += 1;
        assert!(proved.0 >= best, "seed {seed}: {best} was called impossible");
        // Options meet a head-room up to a millionth of their factor.
        let near = clearing.welfare.0 + best.abs() / 100_000 + 10_i128.pow(13);
        assert!(near >= best, "seed {seed}: {} of {best}", clearing.welfare.0);
        for plan in &clearing.plans {
            let terms = problem.offer(plan.offer as usize).terms();
            sums += usize::from(terms.option.is_none() && terms.lower != terms.upper && terms.activation > 0);
            parts += usize::from(plan.factor > 0 && plan.factor < 1_000_000);
        }
    }
    assert!(claimed >= 1_490 && sums > 100 && parts > 30, "{claimed} of 1500, {sums}, {parts}");
}

#[test]
fn sixty_lumpy_offers_are_proved() {
    let mut proved = 0;
    for seed in 0..10 {
        let problem = sample::lumpy(seed, 60, 12, UNIT);
        let clearing = clear_by_prices(&problem);
        verify(&problem, &clearing).unwrap_or_else(|objection| panic!("seed {seed}: {objection}"));
        proved += usize::from(clearing.claimed_gap().is_some_and(|gap| gap <= 1.1e-4));
    }
    assert!(proved >= 6, "{proved} of 10");
}
