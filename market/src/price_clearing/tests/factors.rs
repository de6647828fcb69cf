//! Options taken in part, in energies so small that cutting to whole mWh matters.

use super::super::offer::{ActivationOption, OfferTerms};
use super::super::outcome::{Plan, Worth};
use super::super::problem::{ClearingProblem, GridRow, NeedBid, WHOLE};
use super::super::solve::clear_by_prices;
use super::super::{Pricing, worth};
use crate::certificate::verify;
use proptest::prelude::*;

/// Relief in the first interval, taken back in pieces of a few mWh that every factor below one cuts away.
fn market() -> impl Strategy<Value = ClearingProblem> {
    const SLICES: usize = 12;
    let pieces = proptest::collection::vec(-1_i64..4, SLICES - 1);
    let offer = (1_i64..2_000, pieces, 100_000_u32..1_000_000, 0_i64..200, 0_i64..3);
    (offer, 0_i64..3_000, 1_i64..400, 0_i64..200).prop_map(
        |((relief, pieces, factor_min, price_up, price_down), wanted, price, penalty)| {
            let mut problem = ClearingProblem::new(SLICES, 1, Pricing::PayAsBid).unwrap();
            let (mut asked, mut headroom) = (vec![0; SLICES], vec![0; SLICES]);
            (asked[0], headroom[0]) = (wanted, 5_000);
            let deviation = std::iter::once(-relief).chain(pieces).collect();
            let price = vec![price; SLICES];
            problem.add_bid(NeedBid { nodes: vec![0], asked, price, more: false }).unwrap();
            let sensitivities = vec![(0, WHOLE)];
            problem.add_row(GridRow { headroom, penalty, sensitivities }).unwrap();
            let terms = OfferTerms {
                default: vec![10; SLICES],
                lower: vec![10; SLICES],
                upper: vec![10; SLICES],
                total_lower: 10 * SLICES as i64,
                total_upper: 10 * SLICES as i64,
                option: Some(ActivationOption { deviation, factor_min }),
                price_up,
                price_down,
                ..OfferTerms::default()
            };
            problem.add_offer(&terms).unwrap();
            problem
        },
    )
}

proptest! {
    #[test]
    fn no_factor_gains_more_than_the_bound(problem in market()) {
        let clearing = clear_by_prices(&problem);
        prop_assert_eq!(verify(&problem, &clearing), Ok(()));
        let option = problem.offer(0).terms().option.unwrap();
        for step in 0..=1_000_u64 {
            let least = u64::from(option.factor_min);
            let factor = (least + (1_000_000 - least) * step / 1_000) as u32;
            let scaled = |x: &i64| 10 + (i128::from(*x) * i128::from(factor) / 1_000_000) as i64;
            let energies = option.deviation.iter().map(scaled).collect();
            let plan = Plan { offer: 0, start: 0, energies, factor, ..Plan::default() };
            let welfare = Worth(worth::welfare(&problem, &[plan]).0);
            prop_assert!(welfare <= clearing.bound, "factor {}: {:?} above {:?}", factor, welfare, clearing.bound);
        }
    }
}
