//! Clearings after a change, and what an earlier clearing decided.

use super::*;
use crate::price_clearing::freeze_offer;

/// Adds, takes out and exchanges offers of one session; every clearing has to hold.
fn walk(seed: u64, make: fn(u64, usize, usize, i64) -> ClearingProblem) -> Vec<i128> {
    let mut session = Session::new(make(seed, 40, 24, UNIT));
    let mut stream = Stream(seed + 31);
    let (mut reached, mut warm, mut fresh) = (Vec::new(), 0, 0);
    for turn in 0..40 {
        let offers = session.problem.offers();
        let clearing = match stream.below(3) {
            0 => {
                let other = make(seed + turn + 1_000, 1, 24, UNIT).offer(0).terms();
                let node = other.node % session.problem.nodes() as u32;
                let (number, clearing) = session.insert_offer(&OfferTerms { node, ..other }).unwrap();
                assert_eq!(number, offers);
                clearing
            }
            1 if offers > 5 => session.remove_offer(stream.below(offers)).unwrap(),
            _ => {
                let offer = stream.below(offers);
                let terms = session.problem.offer(offer).terms();
                let activation = terms.activation + 5_000;
                session.replace_offer(offer, &OfferTerms { activation, ..terms }).unwrap()
            }
        };
        verify(&session.problem, &clearing)
            .unwrap_or_else(|objection| panic!("seed {seed}, turn {turn}: {objection}"));
        let cold = clear_by_prices(&session.problem);
        // Within what both could have left: neither passes the other's bound.
        assert!(clearing.welfare <= cold.bound && cold.welfare <= clearing.bound, "seed {seed}, turn {turn}");
        (warm, fresh) = (warm + clearing.welfare.0, fresh + cold.welfare.0);
        assert_eq!(clearing.claimed, None);
        reached.push(clearing.welfare.0);
    }
    // Forty changes of forty lumpy offers without one new beginning: most of it is kept.
    assert!(warm * 100 >= fresh * 85, "seed {seed}: {warm} of {fresh}");
    reached
}

#[test]
fn offers_come_and_go_and_every_clearing_holds_and_is_the_same_again() {
    for seed in 0..6 {
        assert_eq!(walk(seed, sample::problem), walk(seed, sample::problem));
        assert_eq!(walk(seed, sample::restricted), walk(seed, sample::restricted));
    }
}

#[test]
fn what_was_inserted_and_removed_again_leaves_the_offers_as_they_were() {
    let problem = sample::lumpy(3, 30, 24, UNIT);
    let mut session = Session::new(problem.clone());
    let terms = sample::problem(9, 1, 24, UNIT).offer(0).terms();
    let terms = OfferTerms { node: 0, ..terms };
    let (number, _) = session.insert_offer(&terms).unwrap();
    let clearing = session.remove_offer(number).unwrap();
    assert_eq!(session.problem, problem);
    assert_eq!(verify(&problem, &clearing), Ok(()));
    let mut first = session.clone();
    let without = first.remove_offer(0).unwrap();
    assert_eq!(verify(&first.problem, &without), Ok(()));
    for offer in 0..first.problem.offers() {
        assert_eq!(first.problem.offer(offer).terms(), problem.offer(offer + 1).terms());
    }
    let none = session.remove_offer(1_000).unwrap_err();
    assert_eq!(none.code(), "unknown-reference");
    let outside = OfferTerms { node: 99, ..terms };
    assert_eq!(session.insert_offer(&outside).unwrap_err().code(), "unknown-reference");
}

#[test]
fn a_commitment_keeps_what_lies_inside_the_gate_and_leaves_the_rest_open() {
    let mut problem = ClearingProblem::new(8, 1, crate::price_clearing::Pricing::PayAsBid).unwrap();
    let asked = vec![0, 0, 4 * UNIT, 4 * UNIT, 0, 0, 0, 0];
    problem.add_bid(NeedBid { nodes: vec![0], asked, price: vec![300_000; 8], more: false }).unwrap();
    let terms = OfferTerms {
        start_default: 1,
        start_first: 0,
        start_last: 4,
        default: vec![2 * UNIT; 3],
        lower: vec![UNIT; 3],
        upper: vec![3 * UNIT; 3],
        total_lower: 3 * UNIT,
        total_upper: 9 * UNIT,
        price_down: 50_000,
        price_up: 50_000,
        ..OfferTerms::default()
    };
    let clear = |gate: u16, committed: Option<(u16, &[i64])>| {
        let mut problem = problem.clone();
        problem.add_offer(&terms).unwrap();
        freeze_offer(&mut problem, 0, &terms, gate, committed).map(|()| {
            let clearing = clear_by_prices(&problem);
            verify(&problem, &clearing).unwrap_or_else(|objection| panic!("{gate}: {objection}"));
            clearing.plans.into_iter().next()
        })
    };
    // Nothing decided and everything open: it runs after the need.
    assert_eq!(clear(0, None).unwrap().unwrap().start, 4);
    // The default has begun: its first slice stays, the others give what they can.
    assert_eq!(clear(2, None).unwrap().unwrap().energies, [2 * UNIT, UNIT, UNIT]);
    // Committed to begin earlier and with more: begun, so start and first two slices stay as decided.
    let decided = [3 * UNIT, 2 * UNIT + 1, 2 * UNIT];
    let plan = clear(2, Some((0, &decided))).unwrap().unwrap();
    assert_eq!((plan.start, plan.energies.as_slice()), (0, &[3 * UNIT, 2 * UNIT + 1, UNIT][..]));
    // All of it inside: kept to the mWh, though it costs.
    let plan = clear(8, Some((3, &decided))).unwrap().unwrap();
    assert_eq!((plan.start, plan.energies.as_slice()), (3, &decided[..]));
    // Committed to begin after the gate: it may still be moved, but not back inside.
    let plan = clear(2, Some((3, &decided))).unwrap().unwrap();
    assert_eq!(plan.start, 4);
    // Committed to the default: nothing of it is a deviation.
    assert_eq!(clear(8, Some((1, &terms.default))).unwrap(), None);
    for (start, energies) in [(5, &decided[..]), (1, &decided[..2]), (1, &[0, UNIT, UNIT][..])] {
        let fault = clear(2, Some((start, energies))).unwrap_err();
        assert_eq!(fault.code(), "commitment-outside-offer");
    }
}

#[test]
fn a_committed_option_is_kept_whole_and_at_its_factor() {
    let mut problem = sample::problem(2, 0, 6, UNIT);
    let option =
        crate::price_clearing::ActivationOption { deviation: vec![-UNIT, UNIT], factor_min: 250_000 };
    let terms = OfferTerms {
        start_default: 1,
        start_first: 1,
        start_last: 1,
        default: vec![2 * UNIT; 2],
        lower: vec![2 * UNIT; 2],
        upper: vec![2 * UNIT; 2],
        total_lower: 4 * UNIT,
        total_upper: 4 * UNIT,
        option: Some(option),
        ..OfferTerms::default()
    };
    problem.add_offer(&terms).unwrap();
    let half = [2 * UNIT - 400_000, 2 * UNIT + 400_000];
    let none = freeze_offer(
        &mut problem.clone(),
        0,
        &terms,
        2,
        Some((1, &[2 * UNIT - 100_000, 2 * UNIT + 100_000])),
    );
    assert_eq!(none.unwrap_err().code(), "commitment-outside-offer");
    freeze_offer(&mut problem, 0, &terms, 2, Some((1, &half))).unwrap();
    let clearing = clear_by_prices(&problem);
    assert_eq!(verify(&problem, &clearing), Ok(()));
    assert_eq!(clearing.plans[0].energies, half);
}

/// Offers of every kind, some frozen, taken out all at once and one by one.
#[test]
fn offers_taken_out_at_once_leave_the_problem_that_taking_them_out_one_by_one_does() {
    for seed in 0..200 {
        let whole = sample::restricted(seed, 12, 8, UNIT);
        let mut stream = Stream(seed + 1);
        let gone: Vec<bool> = (0..whole.offers()).map(|_| stream.below(3) == 0).collect();
        let (mut at_once, mut singly) = (whole.clone(), whole);
        at_once.remove_offers(&gone);
        for offer in (0..gone.len()).rev().filter(|&offer| gone[offer]) {
            singly.remove_offer(offer);
        }
        assert_eq!(at_once, singly, "seed {seed}");
    }
    let mut problem = sample::problem(1, 5, 8, UNIT);
    let before = problem.clone();
    problem.remove_offers(&[]);
    assert_eq!(problem, before);
    problem.remove_offers(&[true; 9]);
    assert_eq!(problem.offers(), 0);
}
