//! The outlook on the small Dyn feeder and on the European one.

use super::*;
use crate::case::{network, read};
use crate::limited_element::{limited_elements, zones};
use grid::{BranchId, Phase, SlotForecast};

fn feeder(case: &str) -> Feeder {
    Feeder::new(&network(&read(case))).unwrap()
}

/// The European feeder behind a transformer of 250 kVA.
fn weak_european() -> Feeder {
    let mut parts = network(&read("../sim/networks/ieee_european_lv.json")).into_parts();
    parts.transformers[0].s_rated_va = 250e3;
    Feeder::new(&grid::Network::new(parts).unwrap()).unwrap()
}

fn forecasts(feeder: &Feeder, p_w: f64, p_std_w: f64, count: i64) -> Vec<UsagePointForecast> {
    let slots = (0..count).map(|at| SlotForecast { slot: Slot(at), p_w, p_std_w }).collect::<Vec<_>>();
    let points = feeder.network().usage_points();
    let at = Timestamp::default();
    points
        .iter()
        .map(|p| UsagePointForecast { usage_point: p.id, issued_at: at, slots: slots.clone() })
        .collect()
}

fn transformer() -> LimitedElement {
    LimitedElement { branch: BranchId(20), phase: None }
}

fn outlook(
    feeder: &Feeder,
    limited: &[LimitedElement],
    forecasts: &[UsagePointForecast],
    planned: &(dyn Fn(usize, Slot) -> f64 + Sync),
    rules: &OutlookRules,
    at: Timestamp,
) -> Result<Outlook, FlowError> {
    OutlookStudy::new(Arc::new(feeder.clone()), limited)?.outlook(forecasts, planned, rules, at)
}

fn look(
    feeder: &Feeder,
    limited: &[LimitedElement],
    forecasts: &[UsagePointForecast],
    planned: f64,
) -> Outlook {
    let rules = OutlookRules::default();
    outlook(feeder, limited, forecasts, &|_, _| planned, &rules, Timestamp::default()).unwrap()
}

#[test]
fn adding_the_headroom_reaches_the_planning_limit() {
    let feeder = weak_european();
    let line = LimitedElement { branch: BranchId(1001), phase: Some(Phase::A) };
    let unit = LimitedElement { branch: BranchId(2001), phase: None };
    for (element, p_w) in [(unit, 2_500.0), (line, 1_500.0)] {
        let expected = forecasts(&feeder, p_w, 0.0, 1);
        let before = &look(&feeder, &[element], &expected, 0.0).elements[0];
        let behind = behind(&feeder, &[element]).remove(0);
        let share: f64 = behind.iter().map(|(_, share)| share).sum();
        assert!(before.loading < 0.97 && before.headroom_w > 0.0);
        let each = before.headroom_w / share;
        let planned = |point: usize, _| if behind.iter().any(|(b, _)| *b == point) { each } else { 0.0 };
        let rules = OutlookRules::default();
        let after = outlook(&feeder, &[element], &expected, &planned, &rules, Timestamp::default()).unwrap();
        let loading = after.elements[0].loading;
        assert!((loading - 0.97).abs() < 0.02, "{element:?}: loading {loading}");
    }
}

#[test]
fn the_spread_of_the_loading_is_that_of_drawn_loads() {
    let feeder = feeder("cases/dyn11/input.json");
    let expected = forecasts(&feeder, 20_000.0, 3_000.0, 1);
    let rules = OutlookRules { error_correlation: 0.0, ..OutlookRules::default() };
    let said = outlook(&feeder, &[transformer()], &expected, &|_, _| 0.0, &rules, Timestamp::default());
    let said = said.unwrap().elements[0];
    let base: Vec<f64> = vec![20_000.0; 4];
    let branch = feeder.branch_position(BranchId(20)).unwrap();
    let loading = |p: &[f64]| {
        let load = |(i, p): (usize, &f64)| Complex64::new(*p, tan_phi(&feeder, i) * p);
        let loads: Vec<Complex64> = p.iter().enumerate().map(load).collect();
        feeder.solve(&loads).unwrap().loading(branch).unwrap()
    };
    let squares: f64 = (0..4)
        .map(|i| {
            let mut up = base.clone();
            up[i] += 3_000.0;
            (loading(&up) - loading(&base)).powi(2)
        })
        .sum();
    let std = (said.loading_p90 - said.loading) / P90;
    assert!((std / squares.sqrt() - 1.0).abs() < 0.1, "{std} instead of {}", squares.sqrt());
    assert!((said.loading - loading(&base)).abs() < 1e-9);
}

#[test]
fn a_contracted_reduction_shows() {
    let feeder = weak_european();
    let unit = [LimitedElement { branch: BranchId(2001), phase: None }];
    let expected = forecasts(&feeder, 4_000.0, 1_000.0, 2);
    let (free, bound) = (look(&feeder, &unit, &expected, 0.0), look(&feeder, &unit, &expected, -200.0));
    let (free, bound) = (free.elements[1], bound.elements[1]);
    assert!(free.headroom_w < 0.0 && bound.loading < free.loading);
    let gained = bound.headroom_w - free.headroom_w;
    assert!((gained / 11_000.0 - 1.0).abs() < 0.03, "55 points with 200 W less gain {gained} W");
    assert!(free.probability > 0.1 && bound.probability < free.probability);
}

#[test]
fn forecasts_that_do_not_fit_are_refused() {
    let feeder = feeder("cases/dyn11/input.json");
    let rules = OutlookRules::default();
    let at = Timestamp::default();
    let refusal = |forecasts: &[UsagePointForecast]| {
        outlook(&feeder, &[transformer()], forecasts, &|_, _| 0.0, &rules, at).unwrap_err().to_string()
    };
    let good = forecasts(&feeder, 1_000.0, 10.0, 3);
    assert!(refusal(&good[..3]).contains("list of forecasts"));
    let mut swapped = good.clone();
    swapped.swap(0, 1);
    assert!(refusal(&swapped).contains("network's order"));
    let mut short = good.clone();
    short[2].slots.pop();
    assert!(refusal(&short).contains("slots as in the first"));
    let mut bad = good;
    bad[1].slots[2].p_w = f64::NAN;
    assert!(refusal(&bad).contains("usage point 41 is NaN"));
}

#[test]
fn the_limited_elements_are_those_that_could_be_exceeded() {
    let feeder = feeder("cases/dyn11/input.json");
    assert_eq!(limited_elements(&feeder, &[10_000.0; 4]), []);
    // 150 A at 216 V carry 32.4 kVA of point 41 on phase b; point 42 on phase c stays small.
    let limited = limited_elements(&feeder, &[0.0, 40_000.0, 1_000.0, 0.0]);
    // Lines 10 and 11 carry the same point; line 11 has the smaller rating.
    assert_eq!(limited, [LimitedElement { branch: BranchId(11), phase: Some(Phase::B) }]);
    let limited = limited_elements(&feeder, &[80_000.0; 4]);
    assert_eq!(limited.last(), Some(&transformer()));
    let zones = zones(&feeder, &limited);
    assert!(zones.iter().all(|zone| zone.contains(&(transformer(), 1.0))));
    assert_eq!(zones[3], [(transformer(), 1.0)], "point 43 sits at the busbar");
}

#[test]
fn the_normal_tail_agrees_with_tables() {
    for (z, p) in
        [(0.0, 0.5), (1.0, 0.158_655_254), (-1.0, 0.841_344_746), (1.281_551_566, 0.1), (3.0, 0.001_349_898)]
    {
        assert!((above(z) - p).abs() < 1e-7, "{z}");
    }
}

#[test]
fn a_day_of_the_european_feeder_is_looked_at() {
    let feeder = feeder("../sim/networks/ieee_european_lv.json");
    let limited = limited_elements(&feeder, &[9_000.0; 55]);
    assert!(!limited.is_empty() && limited.len() < 40, "{} elements", limited.len());
    let look = look(&feeder, &limited, &forecasts(&feeder, 1_500.0, 800.0, 96), 0.0);
    assert_eq!(look.elements.len(), 96 * limited.len());
    assert!(look.elements.iter().all(|row| row.loading_p90 > row.loading && row.probability < 0.5));
}

#[test]
fn its_loadings_are_those_of_the_whole_feeder_in_every_slot() {
    let feeder = weak_european();
    let limited = limited_elements(&feeder, &[9_000.0; 55]);
    let mut expected = forecasts(&feeder, 1_500.0, 800.0, 60);
    for (point, forecast) in expected.iter_mut().enumerate() {
        for (at, slot) in forecast.slots.iter_mut().enumerate() {
            slot.p_w +=
                40.0 * ((7 * point + 3 * at) % 31) as f64 - if point % 9 == 0 { 4_000.0 } else { 0.0 };
        }
    }
    let look = look(&feeder, &limited, &expected, 100.0);
    for (at, row) in look.elements.iter().enumerate() {
        let column = at % 60;
        let load = |(point, forecast): (usize, &UsagePointForecast)| {
            let p_w = forecast.slots[column].p_w;
            Complex64::new(p_w + 100.0, tan_phi(&feeder, point) * p_w.max(0.0))
        };
        let loads: Vec<Complex64> = expected.iter().enumerate().map(load).collect();
        let flow = feeder.solve(&loads).unwrap();
        let branch = feeder.branch_position(row.branch).unwrap();
        let loading = match row.phase {
            None => flow.loading(branch).unwrap(),
            Some(phase) => {
                let rated = feeder.network().lines()[branch].i_rated_a.unwrap();
                let ends = [&flow.currents_from_a[branch], &flow.currents_to_a[branch]];
                ends.map(|end| end[phase.index()].norm()).into_iter().fold(0.0, f64::max) / rated
            }
        };
        assert!((row.loading - loading).abs() < 1e-8, "{row:?}: {loading}");
    }
}
