//! Problems of several parts are cleared part by part.

use super::*;

/// Feeders of their own in one problem; with a transformer above them that carries all or little.
fn beside(feeders: &[ClearingProblem], transformer: Option<i64>) -> ClearingProblem {
    let t = feeders[0].intervals();
    let nodes = feeders.iter().map(ClearingProblem::nodes).sum();
    let mut all = ClearingProblem::new(t, nodes, feeders[0].pricing).unwrap();
    let mut first = 0;
    for feeder in feeders {
        for bid in feeder.bids() {
            let nodes = bid.nodes.iter().map(|node| first + node).collect();
            all.add_bid(NeedBid { nodes, ..bid.clone() }).unwrap();
        }
        for row in feeder.rows() {
            let mut row = row.clone();
            row.sensitivities.iter_mut().for_each(|part| part.0 += first);
            all.add_row(row).unwrap();
        }
        for offer in 0..feeder.offers() {
            let mut terms = feeder.offer(offer).terms();
            terms.node += first;
            // Groups of a feeder stay its own.
            terms.group = if terms.group == 0 { 0 } else { terms.group + 10 * first };
            all.add_offer(&terms).unwrap();
        }
        first += feeder.nodes() as u32;
    }
    if let Some(headroom) = transformer {
        let sensitivities = (0..nodes as u32).map(|node| (node, WHOLE)).collect();
        let row =
            crate::price_clearing::GridRow { headroom: vec![headroom; t], penalty: 1_000_000, sensitivities };
        all.add_row(row).unwrap();
    }
    all
}

#[test]
fn feeders_side_by_side_are_worth_what_each_is_worth_alone() {
    for seed in 0..60 {
        let feeders: Vec<ClearingProblem> = (0..4).map(|n| sample::lumpy(seed * 4 + n, 3, 5, UNIT)).collect();
        let sum: i128 = feeders.iter().map(|feeder| clear_by_prices(feeder).welfare.0).sum();
        // A transformer that carries whatever they do ties nothing.
        for transformer in [None, Some(1_000 * UNIT)] {
            let all = beside(&feeders, transformer);
            let clearing = clear_by_prices(&all);
            verify(&all, &clearing).unwrap_or_else(|objection| panic!("seed {seed}: {objection}"));
            assert_eq!(clearing.welfare.0, sum, "seed {seed}");
            let claimed = clearing.claimed.unwrap_or_else(|| panic!("seed {seed}: nothing is claimed"));
            assert!(claimed.0 >= sum && clearing.claimed_offers == 12, "seed {seed}");
        }
        // One that carries nothing more does.
        let tied = beside(&feeders, Some(0));
        let clearing = clear_by_prices(&tied);
        verify(&tied, &clearing).unwrap_or_else(|objection| panic!("seed {seed}: {objection}"));
    }
}

#[test]
fn many_small_feeders_are_proved_though_they_are_many_offers_together() {
    let feeders: Vec<ClearingProblem> = (0..20).map(|n| sample::lumpy(n, 20, 12, UNIT)).collect();
    let all = beside(&feeders, None);
    let clearing = clear_by_prices(&all);
    assert_eq!(verify(&all, &clearing), Ok(()));
    assert!(clearing.claimed_offers >= 380, "{} of {}", clearing.claimed_offers, all.offers());
    assert!(clearing.claimed_gap().is_some_and(|gap| gap < clearing.gap()));
    assert_eq!(clear_by_prices(&all), clearing);
    // Where one feeder has an offer that is not modelled, the others are proved all the same.
    let mut mixed = feeders;
    let other = OfferTerms {
        start_first: 0,
        start_last: 3,
        default: vec![UNIT; 2],
        lower: vec![0; 2],
        upper: vec![2 * UNIT; 2],
        total_upper: 4 * UNIT,
        price_up: 1,
        ..OfferTerms::default()
    };
    mixed[3].add_offer(&other).unwrap();
    let all = beside(&mixed, None);
    let clearing = clear_by_prices(&all);
    assert_eq!(verify(&all, &clearing), Ok(()));
    assert!((360..=380).contains(&clearing.claimed_offers), "{}", clearing.claimed_offers);
    assert!(clearing.claimed.is_some_and(|claimed| claimed <= clearing.bound && claimed >= clearing.welfare));
}

#[test]
fn a_problem_of_parts_is_cleared_again_after_a_change() {
    let feeders: Vec<ClearingProblem> = (0..3).map(|n| sample::problem(n, 12, 12, UNIT)).collect();
    let mut session = Session::new(beside(&feeders, None));
    let mut stream = Stream(8);
    for turn in 0..20 {
        let offer = stream.below(session.problem.offers());
        let mut terms = session.problem.offer(offer).terms();
        terms.activation += 10_000;
        let clearing = session.replace_offer(offer, &terms).unwrap();
        verify(&session.problem, &clearing).unwrap_or_else(|objection| panic!("turn {turn}: {objection}"));
    }
}

#[test]
fn rows_and_bids_without_offers_have_the_price_that_proves_most() {
    let feeders: Vec<ClearingProblem> = (0..2).map(|n| sample::lumpy(n + 5, 3, 5, UNIT)).collect();
    let all = beside(&feeders, None);
    // A node without offers, asked for relief and overloaded as it is.
    let mut wide = ClearingProblem::new(5, all.nodes() + 1, all.pricing).unwrap();
    let lonely = all.nodes() as u32;
    (wide.bids, wide.rows, wide.heads) = (all.bids.clone(), all.rows.clone(), all.heads.clone());
    (wide.default, wide.lower) = (all.default.clone(), all.lower.clone());
    (wide.upper, wide.option) = (all.upper.clone(), all.option.clone());
    wide.add_bid(NeedBid { nodes: vec![lonely], asked: vec![UNIT; 5], price: vec![200_000; 5], more: false })
        .unwrap();
    let row = crate::price_clearing::GridRow {
        headroom: vec![-UNIT; 5],
        penalty: 100_000,
        sensitivities: vec![(lonely, WHOLE)],
    };
    wide.add_row(row).unwrap();
    let alone = clear_by_prices(&all);
    let clearing = clear_by_prices(&wide);
    assert_eq!(verify(&wide, &clearing), Ok(()));
    let lost = 5 * 100_000 * 1_000_000_000_000;
    assert_eq!((clearing.welfare.0, clearing.bound.0), (alone.welfare.0 - lost, alone.bound.0 - lost));
}

#[test]
fn of_a_large_problem_the_small_parts_are_proved_and_the_rest_is_cleared_by_prices() {
    let mut feeders: Vec<ClearingProblem> = (0..4).map(|n| sample::lumpy(n, 12, 12, UNIT)).collect();
    feeders.extend((4..7).map(|n| sample::problem(n, 1_100, 12, UNIT)));
    let all = beside(&feeders, None);
    let clearing = clear_by_prices(&all);
    assert_eq!(verify(&all, &clearing), Ok(()));
    assert_eq!(clearing.claimed_offers, 48);
    let small: i128 = feeders[..4].iter().map(|feeder| clear_by_prices(feeder).welfare.0).sum();
    let rest = clear_by_prices(&beside(&feeders[4..], None));
    assert_eq!(clearing.welfare.0, small + rest.welfare.0);
}
