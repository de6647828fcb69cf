//! Offers with bounds on their running sums, as a battery's state of charge sets them.

use super::super::course::{self, Course};
use super::super::energies::{Profile, Segment};
use super::*;

#[test]
fn small_random_markets_with_running_sums_equal_exhaustive_search_nearly_always_and_never_exceed_it() {
    let equal = compare_all(0..200, |seed| sample::coursed(seed, 1 + (seed % 3) as usize, 4, UNIT));
    assert!(equal >= 190, "{equal} of 200");
}

#[test]
#[ignore = "minutes; `make soak` runs it"]
fn ten_thousand_small_random_markets_with_running_sums_keep_to_them() {
    let equal = compare_all(1_000..11_000, |seed| sample::coursed(seed, 1 + (seed % 3) as usize, 4, UNIT));
    assert!(equal >= 9_500, "{equal} of 10,000");
}

#[test]
fn a_battery_that_is_nearly_empty_gives_what_it_has_and_is_told_to_charge_before_it_gives_more() {
    // Four intervals; the DSO lacks 4 kWh in the last. The battery does 3 kWh an interval, holds 1 kWh and may hold 3.
    let mut problem = ClearingProblem::new(4, 1, Default::default()).unwrap();
    let asked = vec![0, 0, 0, 4 * UNIT];
    problem.add_bid(NeedBid { nodes: vec![0], asked, price: vec![500_000; 4], more: false }).unwrap();
    let battery = OfferTerms {
        default: vec![0; 4],
        lower: vec![-3 * UNIT; 4],
        upper: vec![3 * UNIT; 4],
        total_lower: -12 * UNIT,
        total_upper: 12 * UNIT,
        running: Some((-UNIT, 2 * UNIT)),
        price_up: 50_000,
        price_down: 100_000,
        ..OfferTerms::default()
    };
    problem.add_offer(&battery).unwrap();
    let clearing = clear_by_prices(&problem);
    verify(&problem, &clearing).unwrap();
    let energies = &clearing.plans[0].energies;
    assert_eq!(energies[..3].iter().sum::<i64>(), 2 * UNIT, "{energies:?}");
    assert_eq!(energies[3], -3 * UNIT);
    let tampered = {
        let mut tampered = clearing.clone();
        tampered.plans[0].energies = vec![0, 0, 0, -3 * UNIT];
        tampered
    };
    assert!(verify(&problem, &tampered).unwrap_err().to_string().contains("running sum"));
}

#[test]
fn running_sums_that_cannot_be_kept_are_refused_as_are_those_beside_an_option() {
    let mut problem = ClearingProblem::new(2, 1, Default::default()).unwrap();
    let terms = |running| OfferTerms {
        default: vec![UNIT; 2],
        lower: vec![UNIT; 2],
        upper: vec![2 * UNIT; 2],
        total_lower: 2 * UNIT,
        total_upper: 4 * UNIT,
        running: Some(running),
        ..OfferTerms::default()
    };
    let code = |problem: &mut ClearingProblem, terms| problem.add_offer(&terms).unwrap_err().code();
    assert_eq!(code(&mut problem, terms((0, UNIT))), "running-unreachable");
    assert_eq!(code(&mut problem, terms((2 * UNIT, 4 * UNIT))), "default-outside-offer");
    let beside = OfferTerms { least: UNIT, ..terms((0, 4 * UNIT)) };
    assert_eq!(code(&mut problem, beside), "running-beside");
    assert!(problem.add_offer(&terms((0, 2 * UNIT))).is_ok());
}

/// A random profile of whole numbers whose running sums can be kept.
fn profile(stream: &mut Stream) -> Profile {
    let n = 1 + stream.below(5);
    let mut draw = |n: usize| stream.below(n) as f64;
    let mut profile = Profile::default();
    (profile.up, profile.down) = (draw(3), draw(3));
    let (mut sum, mut sums) = (0.0, vec![0.0_f64]);
    for _ in 0..n {
        profile.price.push(draw(13) - 6.0);
        profile.curve.push(0.25 + draw(4));
        profile.lower.push(-draw(4));
        profile.upper.push(draw(4));
        sum += (draw(7) - 3.0).clamp(*profile.lower.last().unwrap(), *profile.upper.last().unwrap());
        sums.push(sum);
    }
    let (least, most) = (sums.iter().copied().fold(0.0, f64::min), sums.iter().copied().fold(0.0, f64::max));
    (profile.total_lower, profile.total_upper) = (sum - draw(3), sum + draw(3));
    let bounds = (least - draw(2), most + draw(2));
    (0..n).for_each(|_| profile.course.push(bounds, 0.0));
    profile
}

/// All whole energies of a profile.
fn all_of(profile: &Profile) -> Vec<Vec<f64>> {
    let mut found: Vec<Vec<f64>> = vec![Vec::new()];
    for k in 0..profile.lower.len() {
        let choices = profile.lower[k] as i64..=profile.upper[k] as i64;
        let longer = |x: &Vec<f64>, e: i64| x.iter().copied().chain([e as f64]).collect::<Vec<f64>>();
        found = found.iter().flat_map(|x| choices.clone().map(move |e| longer(x, e))).collect();
        let (floor, ceiling) = (profile.course.floor[k], profile.course.ceiling[k]);
        found.retain(|x| (floor..=ceiling).contains(&x.iter().sum()));
    }
    found.retain(|x| (profile.total_lower..=profile.total_upper).contains(&x.iter().sum()));
    found
}

#[test]
fn energies_at_prices_are_the_cheapest_that_keep_to_running_sums() {
    let mut stream = Stream(7);
    for round in 0..3_000 {
        let mut profile = profile(&mut stream);
        let all = all_of(&profile);
        let cost = |profile: &Profile, x: &[f64]| {
            let mut profile = profile.clone();
            profile.x = x.to_vec();
            profile.cost()
        };
        // With curves: no whole energies are cheaper, up to what the steps toward a sum leave.
        profile.quadratic();
        let found = profile.cost();
        let near = all.iter().map(|x| cost(&profile, x)).fold(f64::INFINITY, f64::min);
        assert!(found <= near + 8.0 * profile.lower.len() as f64, "round {round}: {found} above {near}");
        // Made whole they keep to everything.
        let (mut whole, total) = (profile.x.clone(), (profile.total_lower, profile.total_upper));
        course::whole(&mut whole, &profile.course, |k| (profile.lower[k], profile.upper[k]), total);
        assert!(all.contains(&whole), "round {round}: {whole:?} of {:?}", profile.x);
        // Prices alone: the cheapest of all, and by filling pieces the same.
        profile.curve.iter_mut().for_each(|curve| *curve = 0.0);
        profile.linear();
        let best = all.iter().map(|x| cost(&profile, x)).fold(f64::INFINITY, f64::min);
        assert!(all.contains(&profile.x) && profile.cost() == best, "round {round}: {:?}", profile.x);
        profile.segments = (0..profile.lower.len())
            .flat_map(|k| {
                let (lower, upper, p) = (profile.lower[k], profile.upper[k], profile.price[k]);
                [(profile.down - p, -lower), (-p - profile.up, upper)].map(|(gain, length)| Segment {
                    gain,
                    length,
                    slice: k as u32,
                })
            })
            .filter(|segment| segment.length > 0.0)
            .collect();
        profile.fill();
        assert!(all.contains(&profile.x) && profile.cost() == best, "round {round}: {:?}", profile.x);
    }
}

#[test]
fn running_sums_without_room_leave_what_they_have_to() {
    let course = Course { floor: vec![0.0, 2.0], ceiling: vec![1.0, 2.0] };
    let mut x = [0.4, 0.2];
    course::whole(&mut x, &course, |_| (0.0, 2.0), (2.0, 2.0));
    assert_eq!(x, [0.0, 2.0]);
}
