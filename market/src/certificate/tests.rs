use super::{overload, verify};
use crate::price_clearing::{
    Alternative, ClearingProblem, DeclineReason, Declined, Limit, Payee, Plan, PriceClearing, Stream,
    clear_by_prices, sample,
};

/// Changes one number of a clearing; `None` when there is none of that sort.
fn tamper(problem: &ClearingProblem, honest: &PriceClearing, stream: &mut Stream) -> Option<PriceClearing> {
    let mut bad = honest.clone();
    let amount = [-1, 1, -1_000_000, 1_000_000, 12_345][stream.below(5)];
    let plans = bad.plans.len();
    match stream.below(18) {
        0 => bad.bound.0 += i128::from(amount),
        1 => bad.welfare.0 += i128::from(amount),
        2 if plans > 0 => bad.plans[stream.below(plans)].payment += amount,
        3 if plans > 0 => bad.plans[stream.below(plans)].asked += amount,
        4 if plans > 0 => bad.plans[stream.below(plans)].profit += amount,
        5 if plans > 0 => {
            let plan = &mut bad.plans[stream.below(plans)];
            let slice = stream.below(plan.energies.len());
            plan.energies[slice] += amount;
        }
        6 if plans > 0 => {
            let plan = &mut bad.plans[stream.below(plans)];
            plan.start = plan.start.wrapping_add_signed([-1, 1, 3][stream.below(3)]);
        }
        7 if plans > 0 => {
            let gone = bad.plans.remove(stream.below(plans));
            bad.postings.retain(|posting| posting.0 != Payee::Offer(gone.offer));
        }
        8 => {
            let posting = stream.below(bad.postings.len());
            bad.postings[posting].1 += amount;
        }
        9 => {
            let row = stream.below(bad.row_use.len());
            bad.row_use[row] += i128::from(amount) * 1_000;
        }
        10 => any(&mut bad.prices.row, stream, amount)?,
        11 => any(&mut bad.prices.bid, stream, amount)?,
        12 | 13 if !bad.prices.lumps.is_empty() => {
            let at = stream.below(bad.prices.lumps.len());
            bad.prices.lumps[at].price += amount;
        }
        14 => {
            let at = stream.below(bad.node_prices.len());
            let price = &mut bad.node_prices[at];
            let part = match stream.below(3) {
                0 => &mut price.of_bids,
                1 => &mut price.of_rows,
                _ => &mut price.of_lumps,
            };
            *part += i128::from(amount);
        }
        15 if !bad.declined.is_empty() => {
            let at = stream.below(bad.declined.len());
            tamper_declined(problem, &mut bad.declined[at], stream, amount)?;
        }
        17 if !bad.prices.lumps.is_empty() => {
            let at = stream.below(bad.prices.lumps.len());
            let lump = &mut bad.prices.lumps[at];
            match stream.below(5) {
                0 => lump.unit = -1 - lump.unit,
                1 => lump.interval += 4_096,
                2 => lump.limit = Limit::Row(u32::MAX),
                3 => lump.from.push((problem.offers() as u32, amount)),
                _ => lump.from.insert(0, *lump.from.first()?),
            }
        }
        16 if !bad.declined.is_empty() => {
            bad.declined.remove(stream.below(bad.declined.len()));
        }
        _ => return None,
    }
    Some(bad)
}

fn any(values: &mut [i64], stream: &mut Stream, amount: i64) -> Option<()> {
    let at = (!values.is_empty()).then(|| stream.below(values.len()))?;
    values[at] += amount;
    Some(())
}

fn tamper_declined(
    problem: &ClearingProblem,
    declined: &mut Declined,
    stream: &mut Stream,
    amount: i64,
) -> Option<()> {
    match stream.below(6) {
        0 => declined.asked += amount,
        1 => declined.winning_ask += amount,
        2 => {
            declined.reason = match declined.reason {
                DeclineReason::TooDear => DeclineReason::DoesNotFit,
                _ => DeclineReason::TooDear,
            }
        }
        3 => {
            let interval = stream.below(12) as u16;
            let other = Some((Limit::Row(0), interval));
            declined.against = if declined.against == other { None } else { other };
        }
        4 => declined.offer = declined.offer.wrapping_add(1),
        _ => {
            // Of a divisible offer another schedule may be as good: what is said of it stays true.
            let terms = problem.offer(declined.offer as usize).terms();
            if terms.option.is_none() && terms.lower != terms.upper {
                return None;
            }
            let energies = &mut declined.alternative.as_mut()?.energies;
            let at = stream.below(energies.len());
            energies[at] += amount;
        }
    }
    Some(())
}

/// Tampers `each` times with the clearing of every one of some random markets.
fn all_rejected(seeds: std::ops::Range<u64>, each: usize) -> usize {
    let mut rejected = 0;
    for seed in seeds {
        let problem = sample::problem(seed, 12, 12, 1_000_000);
        let honest = clear_by_prices(&problem);
        verify(&problem, &honest).unwrap_or_else(|objection| panic!("seed {seed}: {objection}"));
        let mut stream = Stream(seed + 1);
        let mut tried = 0;
        while tried < each {
            let Some(bad) = tamper(&problem, &honest, &mut stream) else { continue };
            tried += 1;
            assert!(verify(&problem, &bad).is_err(), "seed {seed}, attempt {tried} was accepted");
            rejected += 1;
        }
    }
    rejected
}

#[test]
fn ten_thousand_tampered_clearings_are_rejected_and_the_honest_accepted() {
    assert_eq!(all_rejected(0..50, 200), 10_000);
}

#[test]
#[ignore = "minutes; `make soak` runs it"]
fn a_million_tampered_clearings_are_rejected_and_the_honest_accepted() {
    assert_eq!(all_rejected(1_000..3_000, 500), 1_000_000);
}

#[test]
fn overload_is_worth_its_price_and_seen_when_it_is_not() {
    let mut seen = 0;
    for seed in 0..200 {
        let problem = sample::problem(seed, 12, 12, 1_000_000);
        let honest = clear_by_prices(&problem);
        assert_eq!(overload(&problem, &honest).beyond, 0, "seed {seed}");
        // The best that every declined offer could do besides: too much at once.
        let mut crowded = honest.clone();
        for declined in &honest.declined {
            let Some(alternative) = declined.alternative.clone() else { continue };
            let Alternative { start, energies, factor } = alternative;
            crowded.plans.push(Plan { offer: declined.offer, start, energies, factor, ..Plan::default() });
        }
        crowded.plans.sort_by_key(|plan| plan.offer);
        let found = overload(&problem, &crowded);
        assert!(found.priced >= found.beyond);
        seen += usize::from(found.beyond > 0);
    }
    assert!(seen > 100, "{seen} of 200");
}

/// Puts an extreme number somewhere into a clearing.
fn exaggerate(honest: &PriceClearing, stream: &mut Stream) -> PriceClearing {
    let mut bad = honest.clone();
    let small = [i64::MIN, i64::MAX, i64::MIN + 1, 1 << 62, -(1 << 62)][stream.below(5)];
    let large = [i128::MIN, i128::MAX, i128::MIN + 1, 1 << 126, i128::from(small)][stream.below(5)];
    let pick = |stream: &mut Stream, n: usize| stream.below(n.max(1));
    let plan = pick(stream, bad.plans.len());
    let declined = pick(stream, bad.declined.len());
    let lump = pick(stream, bad.prices.lumps.len());
    match stream.below(20) {
        0 => bad.welfare.0 = large,
        1 => bad.bound.0 = large,
        2 => (bad.welfare.0, bad.bound.0) = (i128::MIN, i128::MAX),
        3 => bad.claimed = Some(crate::price_clearing::Worth(large)),
        4 => bad.row_use[pick(stream, honest.row_use.len())] = large,
        5 => bad.node_prices[pick(stream, honest.node_prices.len())].of_bids = large,
        6 => bad.node_prices[pick(stream, honest.node_prices.len())].of_lumps = large,
        7 => bad.prices.row.iter_mut().for_each(|price| *price = small),
        8 => bad.prices.bid[pick(stream, honest.prices.bid.len())] = small,
        9 => bad.postings.iter_mut().for_each(|posting| posting.1 = small),
        10..=13 => {
            let Some(plan) = bad.plans.get_mut(plan) else { return bad };
            match stream.below(5) {
                0 => plan.energies.iter_mut().for_each(|energy| *energy = small),
                1 => plan.payment = small,
                2 => (plan.asked, plan.profit) = (small, small),
                3 => (plan.start, plan.factor) = (u16::MAX, u32::MAX),
                _ => plan.offer = u32::MAX,
            }
        }
        14..=16 => {
            let Some(declined) = bad.declined.get_mut(declined) else { return bad };
            (declined.asked, declined.winning_ask) = (small, small);
            if let Some(alternative) = &mut declined.alternative {
                alternative.energies.iter_mut().for_each(|energy| *energy = small);
            }
        }
        _ => {
            let Some(lump) = bad.prices.lumps.get_mut(lump) else { return bad };
            match stream.below(4) {
                0 => lump.price = small,
                1 => lump.unit = small,
                2 => lump.from.iter_mut().for_each(|part| part.1 = small),
                _ => (lump.from, lump.interval) = (vec![(u32::MAX, small)], u16::MAX),
            }
        }
    }
    bad
}

#[test]
fn no_number_of_a_foreign_result_is_large_enough_to_stop_the_judge() {
    let mut refused = 0;
    for seed in 0..40 {
        let problem = sample::problem(seed, 12, 12, 1_000_000);
        assert_eq!(problem.check_size(), Ok(()));
        let honest = clear_by_prices(&problem);
        let mut stream = Stream(seed + 99);
        for _ in 0..200 {
            let bad = exaggerate(&honest, &mut stream);
            refused += usize::from(verify(&problem, &bad).is_err());
            assert!(bad == honest || verify(&problem, &bad).is_err(), "seed {seed} was accepted");
            assert!(!bad.gap().is_nan() && bad.claimed_gap().is_none_or(|gap| !gap.is_nan()));
            for (row, used) in bad.row_use.iter().enumerate() {
                assert!(bad.overload(problem.rows()[row / 12].headroom[row % 12], *used) >= 0);
            }
        }
    }
    assert!(refused > 7_000, "{refused}");
}

#[test]
fn the_largest_problem_that_is_accepted_is_cleared_and_judged_without_overflow() {
    use crate::price_clearing::{GridRow, NeedBid, OfferTerms, Pricing};
    for seed in 0..30 {
        let mut stream = Stream(seed);
        let mut problem = ClearingProblem::new(4, 2, Pricing::UniformMakeWhole).unwrap();
        let large = 1_000_000_000_000;
        let scale = |stream: &mut Stream| large >> stream.below(30);
        let price = scale(&mut stream);
        let asked = vec![scale(&mut stream); 4];
        problem
            .add_bid(NeedBid { nodes: vec![0, 1], asked, price: vec![price; 4], more: seed % 2 == 0 })
            .unwrap();
        let headroom = vec![scale(&mut stream) * 1000; 4];
        let sensitivities = vec![(0, 100_000_000), (1, -100_000_000)];
        problem.add_row(GridRow { headroom, penalty: scale(&mut stream), sensitivities }).unwrap();
        for offer in 0..6 {
            let energy = scale(&mut stream);
            let terms = OfferTerms {
                node: offer % 2,
                start_last: (offer % 3) as u16,
                default: vec![energy, -energy],
                lower: vec![-energy, -energy],
                upper: vec![energy, energy],
                total_lower: -2 * energy,
                total_upper: 2 * energy,
                price_up: scale(&mut stream),
                ..OfferTerms::default()
            };
            problem.add_offer(&terms).unwrap();
        }
        if problem.check_size().is_err() {
            continue;
        }
        let clearing = clear_by_prices(&problem);
        verify(&problem, &clearing).unwrap_or_else(|objection| panic!("seed {seed}: {objection}"));
    }
}

/// Each number is one that is accepted; together they make sums that no integer holds.
#[test]
fn a_problem_whose_sums_do_not_fit_is_objected_to_before_anything_is_summed() {
    use crate::certificate::Objection;
    use crate::price_clearing::{GridRow, Pricing};
    let intervals = 768;
    let mut problem = ClearingProblem::new(intervals, 1, Pricing::PayAsBid).unwrap();
    let empty = clear_by_prices(&problem);
    let large = 1_000_000_000_000;
    for _ in 0..4_000 {
        let headroom = vec![100 * large; intervals];
        let row = GridRow { headroom, penalty: large, sensitivities: vec![(0, 100_000_000)] };
        problem.add_row(row).unwrap();
    }
    assert!(problem.check_size().is_err());
    assert!(matches!(verify(&problem, &empty), Err(Objection::Problem(_))));
}
