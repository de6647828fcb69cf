//! The estimator against a brute-force oracle (sweeps and finite differences), against drawn truths, and
//! against bad input.

use super::*;
use crate::case::{network, read, real};
use crate::linearization::{SOURCE_STD_PU, SOURCE_UNBALANCE_STD_PU};
use crate::power_flow::FlowSolution;
use crate::{InjectionPrior, WeightedValue};
use grid::{BusId, PointId, Quality};
use proptest::prelude::*;

/// Uniform numbers from a linear congruential generator (Knuth's MMIX constants), and normal ones from twelve.
struct Lcg(u64);

impl Lcg {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
    }
}

fn value(point: &str, value: f64, sigma: f64) -> WeightedValue {
    WeightedValue { point: point.parse().unwrap(), value, sigma, quality: Quality::Measured }
}

pub(crate) fn small_feeder(case: &str) -> Arc<Feeder> {
    Arc::new(Feeder::new(&network(&read(&format!("cases/{case}/input.json")))).unwrap())
}

pub(crate) fn priors(feeder: &Feeder) -> Vec<InjectionPrior> {
    let points = feeder.network().usage_points();
    points
        .iter()
        .map(|p| InjectionPrior {
            p_w: 0.7 * p.p_specified_w,
            p_std_w: 3000.0,
            q_var: 0.2 * p.p_specified_w,
            q_std_var: 1500.0,
        })
        .collect()
}

/// Every kind of supported point, with values that do not quite fit each other.
pub(crate) fn every_kind() -> Vec<WeightedValue> {
    vec![
        value("bus.4.u.b", 243.0, 1.0),
        value("bus.2.u.a", 244.0, 0.8),
        value("branch.10.p.a", 11_000.0, 200.0),
        value("branch.10.q.a", 2_500.0, 200.0),
        value("branch.10.i.b", 27.0, 1.0),
        value("branch.11.p", -3_300.0, 300.0),
        value("branch.11.i.b", 31.0, 1.0),
        value("branch.20.p", 31_000.0, 500.0),
        value("branch.20.q.c", 4_800.0, 400.0),
        value("meter.41.p", 6_500.0, 400.0),
        value("meter.43.q.b", 900.0, 100.0),
    ]
}

/// The power flow of a state by sweeps, with nothing in common with the estimator's reduction.
fn flow(feeder: &Feeder, priors: &[InjectionPrior], y: &[f64]) -> FlowSolution {
    let mut feeder = feeder.clone();
    let source = &y[2 * priors.len()..];
    for phase in 0..3 {
        feeder.emf[phase] *= 1.0 + SOURCE_STD_PU * source[0] + SOURCE_UNBALANCE_STD_PU * source[1 + phase];
    }
    let load = |(i, p): (usize, &InjectionPrior)| {
        Complex64::new(p.p_w + p.p_std_w * y[2 * i], p.q_var + p.q_std_var * y[2 * i + 1])
    };
    feeder.solve(&priors.iter().enumerate().map(load).collect::<Vec<_>>()).unwrap()
}

fn reading(
    feeder: &Feeder,
    priors: &[InjectionPrior],
    flow: &FlowSolution,
    y: &[f64],
    point: PointId,
) -> f64 {
    match observe(feeder, point).unwrap() {
        Observed::Voltage { position, phase } => flow.voltages_v[feeder.order[position]][phase].norm(),
        Observed::Current { branch, phase } => flow.currents_from_a[branch][phase].norm(),
        Observed::BranchPower { branch, phase, reactive } => {
            let all = flow.powers_from_va[branch];
            let s = phase.map_or(all.iter().sum::<Complex64>(), |phase| all[phase]);
            if reactive { s.im } else { s.re }
        }
        Observed::Injection { usage_point: u, share, reactive } => {
            let p = &priors[u];
            share * if reactive { p.q_var + p.q_std_var * y[2 * u + 1] } else { p.p_w + p.p_std_w * y[2 * u] }
        }
    }
}

/// Readings, bus voltages, branch loadings: one vector to differentiate.
fn outputs(feeder: &Feeder, set: &MeasurementSet, y: &[f64]) -> Vec<f64> {
    let flow = flow(feeder, &set.priors, y);
    let mut out: Vec<f64> =
        set.values.iter().map(|v| reading(feeder, &set.priors, &flow, y, v.point)).collect();
    out.extend(flow.voltages_v.iter().flatten().map(|u| u.norm()));
    out.extend((0..feeder.branch_count()).map(|b| flow.loading(b).unwrap()));
    out
}

fn state_of(set: &MeasurementSet, estimate: &Estimate, source: &[f64]) -> Vec<f64> {
    let mut y = Vec::new();
    for (point, prior) in estimate.usage_points.iter().zip(&set.priors) {
        y.push((point.p_w - prior.p_w) / prior.p_std_w);
        y.push((point.q_var - prior.q_var) / prior.q_std_var);
    }
    y.extend_from_slice(source);
    y
}

fn derivative(feeder: &Feeder, set: &MeasurementSet, y: &[f64]) -> DMatrix<f64> {
    let columns: Vec<DVector<f64>> = (0..y.len())
        .map(|k| {
            let h = 1e-3;
            let at = |d: f64| {
                let mut y = y.to_vec();
                y[k] += d;
                DVector::from_vec(outputs(feeder, set, &y))
            };
            (at(h) - at(-h)) / (2.0 * h)
        })
        .collect();
    DMatrix::from_columns(&columns)
}

/// Gauss–Newton on finite differences of sweeps.
fn oracle(feeder: &Feeder, set: &MeasurementSet) -> (Vec<f64>, DMatrix<f64>, DMatrix<f64>) {
    let n = 2 * set.priors.len() + 4;
    let mut y = DVector::zeros(n);
    loop {
        let all = derivative(feeder, set, y.as_slice());
        let out = outputs(feeder, set, y.as_slice());
        let m = set.values.len();
        let mut h = all.rows(0, m).into_owned();
        let mut r = DVector::zeros(m);
        for (row, v) in set.values.iter().enumerate() {
            h.row_mut(row).scale_mut(1.0 / v.sigma);
            r[row] = (v.value - out[row]) / v.sigma;
        }
        let normal = DMatrix::identity(n, n) + h.transpose() * &h;
        let covariance = normal.try_inverse().unwrap();
        let step: DVector<f64> = &covariance * (h.transpose() * r - &y);
        y += &step;
        if step.amax() < 1e-9 {
            return (y.as_slice().to_vec(), covariance, all);
        }
    }
}

#[test]
fn the_optimum_and_the_standard_deviations_are_those_of_the_oracle() {
    for case in ["dyn11", "dyn1", "ynyn0", "ynyn6_fed_from_winding_2"] {
        let feeder = small_feeder(case);
        let set = MeasurementSet { values: every_kind(), priors: priors(&feeder) };
        let estimate = Estimator::new(feeder.clone()).estimate(Timestamp::default(), &set).unwrap();
        let (y, covariance, all) = oracle(&feeder, &set);
        let n = y.len();
        let ours = state_of(&set, &estimate, &y[n - 4..]);
        for (k, (ours, theirs)) in ours.iter().zip(&y).enumerate() {
            assert!((ours - theirs).abs() < 1e-6, "{case} state {k}: {ours} instead of {theirs}");
        }
        let out = outputs(&feeder, &set, &y);
        let m = set.values.len();
        let std = |row: usize| (all.row(row) * &covariance * all.row(row).transpose())[(0, 0)].sqrt();
        let mut objective = y.iter().map(|y| y * y).sum::<f64>();
        for (row, v) in set.values.iter().enumerate() {
            let residual = &estimate.residuals[row];
            assert!((residual.estimated - out[row]).abs() < 1e-5 * v.sigma, "{case} {}", v.point);
            let spread = (v.sigma * v.sigma - std(row).powi(2)).sqrt();
            assert!(
                (residual.normalized().unwrap() - (v.value - out[row]) / spread).abs() < 1e-4,
                "{case} {}",
                v.point
            );
            objective += ((v.value - out[row]) / v.sigma).powi(2);
        }
        assert!((estimate.objective / objective - 1.0).abs() < 1e-7, "{case}");
        let mut row = m;
        for bus in &estimate.buses {
            for phase in 0..3 {
                assert!((bus.u_v[phase] / out[row] - 1.0).abs() < 1e-8, "{case} bus {}", bus.bus);
                assert!((bus.u_std_v[phase] / std(row) - 1.0).abs() < 1e-5, "{case} std of bus {}", bus.bus);
                row += 1;
            }
        }
        for branch in &estimate.branches {
            assert!((branch.loading.unwrap() / out[row] - 1.0).abs() < 1e-7, "{case} {}", branch.branch);
            assert!((branch.loading_std.unwrap() / std(row) - 1.0).abs() < 1e-4, "{case} {}", branch.branch);
            row += 1;
        }
        for (k, point) in estimate.usage_points.iter().enumerate() {
            let theirs = set.priors[k].p_std_w * covariance[(2 * k, 2 * k)].sqrt();
            assert!((point.p_std_w / theirs - 1.0).abs() < 1e-5, "{case} {}", point.usage_point);
        }
        assert_eq!(estimate.degrees_of_freedom, m);
    }
}

#[test]
fn errors_of_drawn_truths_are_as_large_as_the_standard_deviations_say() {
    let feeder = small_feeder("dyn11");
    let estimator = Estimator::new(feeder.clone());
    let mut random = Lcg(42);
    let (draws, mut p_error, mut u_error, mut objective) = (300, 0.0, 0.0, 0.0);
    for _ in 0..draws {
        let mut set = MeasurementSet { values: every_kind(), priors: priors(&feeder) };
        let y: Vec<f64> = (0..2 * set.priors.len() + 4).map(|_| random.normal()).collect();
        let truth = flow(&feeder, &set.priors, &y);
        for index in 0..set.values.len() {
            let exact = reading(&feeder, &set.priors, &truth, &y, set.values[index].point);
            let drawn = exact + set.values[index].sigma * random.normal();
            let magnitude = set.values[index].point.quantity == grid::Quantity::CurrentMagnitude;
            set.values[index].value = if magnitude { drawn.max(0.0) } else { drawn };
        }
        let estimate = estimator.estimate(Timestamp::default(), &set).unwrap();
        let points = estimate.usage_points.len() as f64;
        for (k, point) in estimate.usage_points.iter().enumerate() {
            let exact = set.priors[k].p_w + set.priors[k].p_std_w * y[2 * k];
            p_error += ((point.p_w - exact) / point.p_std_w).powi(2) / points;
        }
        let (bus, phase) = (&estimate.buses[3], 2);
        u_error += ((bus.u_v[phase] - truth.voltages_v[3][phase].norm()) / bus.u_std_v[phase]).powi(2);
        objective += estimate.objective / estimate.degrees_of_freedom as f64;
    }
    let draws = f64::from(draws);
    for (what, mean) in [("p", p_error / draws), ("u", u_error / draws), ("objective", objective / draws)] {
        assert!((0.8..1.2).contains(&mean), "{what}: mean squared normalized error {mean}");
    }
}

#[test]
fn without_measurements_the_prior_comes_back() {
    let feeder = small_feeder("dyn11");
    let set = MeasurementSet { values: Vec::new(), priors: priors(&feeder) };
    let estimate = Estimator::new(feeder).estimate(Timestamp::default(), &set).unwrap();
    for (point, prior) in estimate.usage_points.iter().zip(&set.priors) {
        assert_eq!((point.p_w, point.q_var, point.p_std_w), (prior.p_w, prior.q_var, prior.p_std_w));
    }
    assert_eq!((estimate.degrees_of_freedom, estimate.objective), (0, 0.0));
}

#[test]
fn a_lying_meter_has_the_largest_normalized_residual() {
    let feeder = small_feeder("dyn11");
    let mut set = MeasurementSet { values: every_kind(), priors: priors(&feeder) };
    set.priors.iter_mut().for_each(|prior| (prior.p_std_w, prior.q_std_var) = (500.0, 300.0));
    let fit = flow(&feeder, &set.priors, &vec![0.3; 2 * set.priors.len() + 4]);
    for index in 0..set.values.len() {
        let y = vec![0.3; 2 * set.priors.len() + 4];
        set.values[index].value = reading(&feeder, &set.priors, &fit, &y, set.values[index].point);
    }
    set.values[2].value += 4_000.0;
    let estimate = Estimator::new(feeder).estimate(Timestamp::default(), &set).unwrap();
    let worst = estimate
        .residuals
        .iter()
        .max_by(|a, b| a.normalized().unwrap_or(0.0).abs().total_cmp(&b.normalized().unwrap_or(0.0).abs()));
    assert_eq!(worst.unwrap().point.to_string(), "branch.10.p.a");
    assert!(worst.unwrap().normalized().unwrap() > 3.0);
}

#[test]
fn two_homes_on_one_phase_share_a_surplus_by_their_uncertainty() {
    let mut parts = network(&read("cases/dyn11/input.json")).into_parts();
    let twin = grid::network::UsagePoint { id: grid::UsagePointId(44), ..parts.usage_points[0].clone() };
    parts.usage_points.push(twin);
    let feeder = Arc::new(Feeder::new(&grid::Network::new(parts).unwrap()).unwrap());
    let prior = |p_std_w| InjectionPrior { p_w: 3_000.0, p_std_w, q_var: 600.0, q_std_var: 10.0 };
    let priors = vec![prior(500.0), prior(1.0), prior(1.0), prior(1.0), prior(1000.0)];
    let values = vec![value("branch.10.p.a", 8_500.0, 1.0)];
    let set = MeasurementSet { values, priors };
    let estimate = Estimator::new(feeder).estimate(Timestamp::default(), &set).unwrap();
    let gained = |index: usize| estimate.usage_points[index].p_w - 3_000.0;
    assert!((gained(4) / gained(0) - 4.0).abs() < 0.01, "{} and {}", gained(0), gained(4));
    assert!((estimate.residuals[0].estimated - 8_500.0).abs() < 0.1);
}

#[test]
fn a_feeder_without_usage_points_has_a_voltage() {
    let mut parts = network(&read("cases/dyn11/input.json")).into_parts();
    parts.usage_points.clear();
    let feeder = Arc::new(Feeder::new(&grid::Network::new(parts).unwrap()).unwrap());
    let set = MeasurementSet { values: vec![value("bus.2.u.a", 245.0, 0.5)], priors: Vec::new() };
    let estimate = Estimator::new(feeder).estimate(Timestamp::default(), &set).unwrap();
    assert!((estimate.buses[1].u_v[0] - 245.0).abs() < 0.1);
}

#[test]
fn bad_input_is_refused_by_name() {
    let feeder = small_feeder("dyn11");
    let estimator = Estimator::new(feeder.clone());
    let refusal = |bad: WeightedValue| {
        let set = MeasurementSet { values: vec![bad], priors: priors(&feeder) };
        estimator.estimate(Timestamp::default(), &set).unwrap_err().to_string()
    };
    assert_eq!(refusal(value("bus.99.u.a", 240.0, 1.0)), "bus.99.u.a is not part of this feeder");
    assert_eq!(refusal(value("branch.99.p.a", 240.0, 1.0)), "branch.99.p.a is not part of this feeder");
    assert_eq!(refusal(value("meter.99.p", 240.0, 1.0)), "meter.99.p is not part of this feeder");
    for (point, reason) in [
        ("bus.2.u", "needs its phase"),
        ("bus.2.p.a", "only the voltage"),
        ("branch.10.i", "needs its phase"),
        ("meter.41.energy", "only p and q"),
        ("meter.41.p.a", "not connected to this phase"),
        ("device.1.p", "part of its usage point"),
    ] {
        let said = refusal(value(point, 240.0, 1.0));
        assert!(said.starts_with(point) && said.contains(reason), "{said}");
    }
    for bad in [f64::NAN, f64::INFINITY, -f64::INFINITY, 1e308] {
        assert!(refusal(value("bus.2.u.a", bad, 1.0)).starts_with("bus.2.u.a is"));
        assert!(refusal(value("bus.2.u.a", 240.0, bad)).contains("deviation of bus.2.u.a is"));
    }
    assert!(refusal(value("branch.10.i.a", -1.0, 1.0)).contains("branch.10.i.a is -1; a magnitude"));
    for bad in [0.0, -1.0] {
        assert!(refusal(value("bus.2.u.a", 240.0, bad)).contains("deviation of bus.2.u.a is"));
    }
}

#[test]
fn a_bad_prior_is_refused_by_name() {
    let feeder = small_feeder("dyn11");
    let estimator = Estimator::new(feeder.clone());
    let refusal = |change: &dyn Fn(&mut Vec<InjectionPrior>)| {
        let mut set = MeasurementSet { values: every_kind(), priors: priors(&feeder) };
        change(&mut set.priors);
        estimator.estimate(Timestamp::default(), &set).unwrap_err().to_string()
    };
    assert!(refusal(&|p| p.clear()).contains("0 priors were given for 4 usage points"));
    assert!(refusal(&|p| p[1].p_w = f64::NAN).contains("usage point 41 has p in W NaN"));
    assert!(refusal(&|p| p[1].q_std_var = 0.0).contains("usage point 41 has q_std in var 0"));
    assert!(refusal(&|p| p[1].p_std_w = 1e308).contains("usage point 41 has p_std"));
    assert!(refusal(&|p| p[1].p_w = 1e9).contains("power flow"));
}

/// The situation of a real feeder: 907 buses, 55 homes, about thirty values.
pub(crate) fn european() -> (Arc<Feeder>, MeasurementSet, Vec<Complex64>) {
    let feeder = Arc::new(Feeder::new(&network(&read("../sim/networks/ieee_european_lv.json"))).unwrap());
    let expected = read("cases/european_lv/expected.json");
    let rows = expected["load"].as_array().unwrap();
    let truth: Vec<Complex64> = rows.iter().map(|r| Complex64::new(real(r, "p"), real(r, "q"))).collect();
    let flow = feeder.solve(&truth).unwrap();
    let mut random = Lcg(7);
    let mut values = Vec::new();
    for line in [1001_u32, 1100, 1300, 1500, 1700] {
        let branch = feeder.branch_position(grid::BranchId(line)).unwrap();
        let from = feeder.network().lines()[branch].from;
        let bus = feeder.network().bus_index(BusId(from.0)).unwrap();
        for (phase, letter) in ["a", "b", "c"].into_iter().enumerate() {
            let (s, u) = (flow.powers_from_va[branch][phase], flow.voltages_v[bus][phase].norm());
            for (name, exact, sigma) in [
                (format!("branch.{line}.p.{letter}"), s.re, 0.01 * s.re.abs() + 5.0),
                (format!("branch.{line}.q.{letter}"), s.im, 0.01 * s.re.abs() + 5.0),
                (format!("bus.{from}.u.{letter}"), u, 0.005 * u),
            ] {
                values.push(value(&name, exact + sigma * random.normal(), sigma));
            }
        }
    }
    let prior = InjectionPrior { p_w: 2500.0, p_std_w: 2500.0, q_var: 800.0, q_std_var: 900.0 };
    (feeder, MeasurementSet { values, priors: vec![prior; truth.len()] }, truth)
}

#[test]
fn the_european_feeder_is_estimated_within_its_stated_uncertainty() {
    let (feeder, set, truth) = european();
    let estimate = Estimator::new(feeder.clone()).estimate(Timestamp::default(), &set).unwrap();
    assert!(estimate.iterations <= 6, "{} iterations", estimate.iterations);
    let exact = feeder.solve(&truth).unwrap();
    let mut squares = 0.0;
    for (bus, exact) in estimate.buses.iter().zip(&exact.voltages_v) {
        squares += (0..3).map(|p| ((bus.u_v[p] - exact[p].norm()) / bus.u_std_v[p]).powi(2)).sum::<f64>();
    }
    let mean = squares / (3 * estimate.buses.len()) as f64;
    assert!(mean < 4.0, "mean squared normalized voltage error {mean}");
    let transformer = estimate.branches.last().unwrap();
    let error = transformer.loading.unwrap() - exact.loading(feeder.branch_count() - 1).unwrap();
    assert!(error.abs() < 4.0 * transformer.loading_std.unwrap(), "transformer loading off by {error}");
    assert!(transformer.loading_std.unwrap() < 0.005);
}

#[test]
fn a_lie_that_passes_the_range_rules_is_named_by_the_largest_residual() {
    let (feeder, set, _) = european();
    let estimator = Estimator::new(feeder);
    for (index, factors) in
        [(0, [-5.0, 0.0, 3.0, 8.0]), (10, [-5.0, 0.0, 3.0, 8.0]), (11, [0.5, 0.8, 1.1, 1.3])]
    {
        for factor in factors {
            let mut set = set.clone();
            set.values[index].value *= factor;
            let estimate = estimator.estimate(Timestamp::default(), &set).unwrap();
            let size = |r: &&grid::Residual| r.normalized().unwrap_or(0.0).abs();
            let worst = estimate.residuals.iter().max_by(|a, b| size(a).total_cmp(&size(b))).unwrap();
            assert_eq!(worst.point, set.values[index].point, "times {factor}");
            assert!(worst.normalized().unwrap().abs() > 4.0, "times {factor}: {:?}", worst.tested);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_value_with_any_deviation_is_answered(
        choice in 0..11_usize,
        bad in any::<f64>(),
        sigma in any::<f64>(),
        prior in -1e5..1e5_f64,
    ) {
        let feeder = small_feeder("dyn11");
        let mut set = MeasurementSet { values: every_kind(), priors: priors(&feeder) };
        set.values[choice].value = bad;
        set.values[choice].sigma = sigma;
        set.priors[0].p_w = prior;
        if let Ok(estimate) = Estimator::new(feeder).estimate(Timestamp::default(), &set) {
            prop_assert!(estimate.objective.is_finite());
            prop_assert!(estimate.buses.iter().all(|b| b.u_v.iter().chain(&b.u_std_v).all(|u| u.is_finite())));
        }
    }
}
