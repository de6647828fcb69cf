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
                DeclineReason::DoesNotFit | DeclineReason::NoChoice => DeclineReason::TooDear,
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
