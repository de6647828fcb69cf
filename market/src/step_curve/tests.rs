//! Published auction cases, exhaustive search, and what is refused.
//!
//! A PowerMatcher case (Apache-2.0) is two files. `Bids.csv` has a demand per price step on each line, for each bidder.
//! `AggBidPrice.csv` has the price basis (steps, lowest and highest price), the sum of the bids, and the price that the
//! auction found. A case is *consistent* when all its bids have the basis, none of them rises with the price, and they
//! sum to the published aggregate; the others hold bad bids on purpose and expect that these are left out in a way the
//! files do not tell. A volume is not published. It follows from the bids at the published price: the lesser of what
//! is wanted and what is offered there, whose difference is the published aggregate.

use super::*;
use std::fs;
use std::path::{Path, PathBuf};

/// A published case, in thousandths of its units.
struct Case {
    name: String,
    bids: Vec<Vec<i64>>,
    aggregate: Vec<i64>,
    /// The published price as a step of the basis.
    step: usize,
}

/// Lines of numbers, in thousandths; a line that holds something else is empty.
fn curves(path: &Path) -> Vec<Vec<i64>> {
    let number = |text: &str| text.trim().parse::<f64>().map(|value| (value * 1000.0).round() as i64);
    let line = |line: &str| line.split(',').map(number).collect::<Result<Vec<i64>, _>>().unwrap_or_default();
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.lines().filter(|line| !line.trim().is_empty()).map(line).collect()
}

/// The cases below a folder, by path.
fn cases(folder: &Path) -> Vec<Case> {
    let mut found = Vec::new();
    let mut entries: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            found.extend(cases(&path));
            continue;
        }
        let file = path.file_name().unwrap().to_string_lossy().into_owned();
        let Some(number) = file.strip_prefix("Bids").and_then(|rest| rest.strip_suffix(".csv")) else {
            continue;
        };
        let published = curves(&folder.join(format!("AggBidPrice{number}.csv")));
        let [basis, aggregate, price] = published.as_slice() else { panic!("{}", path.display()) };
        let (steps, low, high) = (basis[0] / 1000, basis[1], basis[2]);
        let step = ((price[0] - low) as f64 / (high - low) as f64 * (steps - 1) as f64).round();
        found.push(Case {
            name: path.display().to_string(),
            bids: curves(&path),
            aggregate: aggregate.clone(),
            step: step as usize,
        });
    }
    found
}

/// The market of a case; `None` where the case is not consistent.
fn market(case: &Case) -> Option<StepMarket> {
    let mut market = StepMarket::new(case.aggregate.len()).unwrap();
    let refused = case.bids.iter().filter(|bid| market.add((*bid).clone()).is_err()).count();
    (refused == 0 && market.aggregate() == case.aggregate).then_some(market)
}

/// Settles the consistent cases below a folder; returns how many they are and how many there are in all.
fn settle(folder: &Path) -> (usize, usize) {
    let (mut consistent, mut all) = (0, 0);
    for case in cases(folder) {
        all += 1;
        let Some(market) = market(&case) else { continue };
        consistent += 1;
        let at_theirs = || case.bids.iter().map(|bid| bid[case.step]);
        let wanted: i64 = at_theirs().filter(|demand| *demand > 0).sum();
        let offered: i64 = at_theirs().filter(|demand| *demand < 0).map(|demand| -demand).sum();
        assert_eq!(wanted - offered, case.aggregate[case.step], "{}", case.name);
        let theirs =
            Equilibrium { step: case.step, imbalance: wanted - offered, volume: wanted.min(offered) };
        assert_eq!(market.equilibrium(), theirs, "{}", case.name);
    }
    (consistent, all)
}

#[test]
fn all_25_consistent_powermatcher_cases_settle_at_their_price_and_volume() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/powermatcher");
    assert_eq!(settle(&folder), (25, 31));
}

/// Where the published cases are: as `POWERMATCHER_CASES` says, or in `shared` beside the repository. Asked when the
/// test runs, because clones that share a target directory share this program too.
fn published() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("POWERMATCHER_CASES") {
        let named = PathBuf::from(named);
        assert!(named.is_dir(), "POWERMATCHER_CASES: {} is not a folder", named.display());
        return Some(named);
    }
    let package = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    let beside = Path::new(&package).join("../../shared/peers/powermatcher");
    beside.is_dir().then_some(beside)
}

/// All that are published: those in the repository, and the ones of bad bids that are not.
#[test]
fn the_published_folder_holds_no_other_consistent_powermatcher_case() {
    let Some(folder) = published() else {
        println!(
            "SKIPPED: the published PowerMatcher cases are not in ../shared/peers/powermatcher beside the \
             repository; name their folder in POWERMATCHER_CASES to have all 42 looked at"
        );
        return;
    };
    assert_eq!(settle(&folder), (25, 42));
}

/// Every price tried: what is left over is least there, and as much is traded as both sides want.
#[test]
fn a_hundred_thousand_small_random_markets_equal_exhaustive_search() {
    let mut state = 1_u64;
    let mut below = |n: i64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) % n.unsigned_abs()) as i64
    };
    for market in 0..100_000 {
        let (steps, bids) = (1 + below(8) as usize, 1 + below(5));
        let mut auction = StepMarket::new(steps).unwrap();
        let mut curves = Vec::new();
        for _ in 0..bids {
            let mut curve: Vec<i64> = (0..steps).map(|_| below(21) - 10).collect();
            curve.sort_unstable_by(|a, b| b.cmp(a));
            auction.add(curve.clone()).unwrap();
            curves.push(curve);
        }
        let found = auction.equilibrium();
        let sum = |step: usize| curves.iter().map(|curve| curve[step]).sum::<i64>();
        let least = (0..steps).map(|step| sum(step).abs()).min();
        assert_eq!(Some(found.imbalance.abs()), least, "market {market}: {curves:?}");
        assert_eq!(found.imbalance, sum(found.step), "market {market}");
        let wanted: i64 = curves.iter().map(|curve| curve[found.step].max(0)).sum();
        assert_eq!(found.volume, wanted.min(wanted - found.imbalance), "market {market}: {curves:?}");
    }
}

#[test]
fn curves_of_another_basis_and_rising_ones_are_refused() {
    let mut market = StepMarket::new(3).unwrap();
    assert_eq!(market.add(vec![1, 0]), Err(CurveFault::Steps { found: 2, expected: 3 }));
    assert_eq!(market.add(vec![1, 2, 0]), Err(CurveFault::Rising { step: 1 }));
    assert!(market.add(vec![i64::MAX, 0, 0]).is_err());
    let lowest = CurveFault::OutOfRange { step: 2, demand: i64::MIN };
    assert_eq!(market.add(vec![0, 0, i64::MIN]), Err(lowest));
    assert!(StepMarket::new(0).is_err());
}
