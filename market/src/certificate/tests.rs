use super::verify;
use crate::price_clearing::{ClearingProblem, Payee, PriceClearing, Stream, clear_by_prices, sample};

/// Changes one number of a clearing; `None` when there is none of that sort.
fn tamper(problem: &ClearingProblem, honest: &PriceClearing, stream: &mut Stream) -> Option<PriceClearing> {
    let mut bad = honest.clone();
    let amount = [-1, 1, -1_000_000, 1_000_000, 12_345][stream.below(5)];
    let plans = bad.plans.len();
    match stream.below(12) {
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
        10 => {
            // A price only counts where something depends on it.
            let row = stream.below(bad.prices.row.len());
            let headroom = problem.rows()[row / problem.intervals()].headroom[row % problem.intervals()];
            bad.prices.row[row] += amount;
            if headroom == 0 {
                return None;
            }
        }
        11 => {
            let bid = stream.below(bad.prices.bid.len());
            bad.prices.bid[bid] += amount;
        }
        _ => return None,
    }
    Some(bad)
}

#[test]
fn ten_thousand_tampered_clearings_are_rejected_and_the_honest_accepted() {
    let mut rejected = 0;
    for seed in 0..50 {
        let problem = sample::problem(seed, 12, 12, 1_000_000);
        let honest = clear_by_prices(&problem);
        verify(&problem, &honest).unwrap_or_else(|objection| panic!("seed {seed}: {objection}"));
        let mut stream = Stream(seed + 1);
        let mut tried = 0;
        while tried < 200 {
            let Some(bad) = tamper(&problem, &honest, &mut stream) else { continue };
            let accepted = verify(&problem, &bad).is_ok();
            if accepted && bad.prices != honest.prices {
                // Where supply meets a head-room exactly, other prices prove the same bound: no false certificate.
                continue;
            }
            tried += 1;
            assert!(!accepted, "seed {seed}, attempt {tried} was accepted");
            rejected += 1;
        }
    }
    assert_eq!(rejected, 10_000);
}
