use super::nets::{Case, Dice, Sensors, random_case, readings};
use super::oracle;
use crate::circuit::{FlowPlace, Readings};
use crate::smoother::{Smoother, Uncertainty};
use crate::solve::Tolerance;

const TIGHT: Tolerance = Tolerance { voltage_pu: 1e-12, iterations_max: 100 };

/// Standard deviations against the dense posterior covariance.
fn compare(seeds: std::ops::Range<u64>, wires: usize, sensors: Sensors, tolerance: f64) {
    let mut compared = 0;
    for seed in seeds.clone() {
        let mut dice = Dice::new(seed);
        let buses = 3 + dice.below(7);
        let case = random_case(&mut dice, buses, wires);
        let readings = readings(&mut dice, &case, sensors);
        let Some(optimum) = oracle::solve(&case.circuit, &case.tree, &readings) else { continue };
        let determined = oracle::determined(&case.circuit, &case.tree, &readings, &optimum.state);
        if !determined.into_iter().all(|wire| wire == Some(true)) {
            continue;
        }
        let mut smoother = Smoother::new(&case.circuit, &case.tree, &readings).expect("a tree");
        smoother.estimate(TIGHT).unwrap_or_else(|why| panic!("seed {seed}: {why}"));
        smoother.renew_factors().expect("factors");
        let uncertainty = smoother.uncertainty().expect("deviations");
        let network = oracle::admittance(&case.circuit);
        // Rounding leaves variances of what is exact near 1e-16 of what surrounds it.
        let near = |what: &str, ours: f64, theirs: f64| {
            let away = (ours - theirs).abs();
            assert!(
                away < tolerance * theirs.max(ours) + 1e-7,
                "seed {seed}: {what} {ours:.9e} instead of {theirs:.9e}"
            );
        };
        let root = case.tree.order[0] as usize * wires;
        for (wire, &ours) in uncertainty.voltages.iter().enumerate() {
            near(&format!("voltage of wire {wire}"), ours, optimum.magnitude(wire));
            let ours = uncertainty.turned_angles[wire];
            near(&format!("angle of wire {wire} from the root's"), ours, optimum.angle(wire, root));
        }
        for bus in 0..buses {
            let theirs = optimum.taken(&network, bus as u32);
            for (k, theirs) in theirs.into_iter().enumerate() {
                let (p, q) = uncertainty.injections[bus * wires + k];
                near(&format!("p of bus {bus} wire {k}"), p, theirs.0);
                near(&format!("q of bus {bus} wire {k}"), q, theirs.1);
                let current = current_std(&case, &optimum, &uncertainty, bus * wires + k);
                near(&format!("current taken at bus {bus} wire {k}"), current, theirs.2);
            }
        }
        for element in 0..case.circuit.series.len() {
            for (place, ours, total) in [
                (FlowPlace::SeriesFrom(element as u32), &uncertainty.from, &uncertainty.from_total),
                (FlowPlace::SeriesTo(element as u32), &uncertainty.to, &uncertainty.to_total),
            ] {
                let theirs = optimum.apparent(&network, place);
                near(&format!("apparent power at {place:?}"), total[element].apparent, theirs);
                for (k, theirs) in optimum.flow(&network, place).into_iter().enumerate() {
                    let ours = ours[element * wires + k];
                    near(&format!("p at {place:?} wire {k}"), ours.p, theirs.0);
                    near(&format!("q at {place:?} wire {k}"), ours.q, theirs.1);
                    near(&format!("i at {place:?} wire {k}"), ours.i, theirs.2);
                }
            }
        }
        compared += 1;
    }
    assert!(compared * 2 > seeds.end - seeds.start, "only {compared} were comparable");
}

/// Standard deviation of the size of a current that is taken, S / U.
fn current_std(case: &Case, optimum: &oracle::Optimum, known: &Uncertainty, wire: usize) -> f64 {
    let taken = oracle::admittance(&case.circuit).injections(&optimum.v);
    let s = optimum.v[wire] * taken[wire].conj();
    let (u, size) = (optimum.v[wire].norm(), s.norm());
    if size < 1e-12 {
        return 0.0;
    }
    let (a, b, with) = (s.re / size, s.im / size, known.taken[wire]);
    let (p, q) = known.injections[wire];
    let of_s = a * a * p * p + 2.0 * a * b * with.pq + b * b * q * q;
    let variance =
        of_s - 2.0 * size / u * (a * with.pu + b * with.qu) + (size / u * known.voltages[wire]).powi(2);
    variance.max(0.0).sqrt() / u
}

#[test]
fn deviations_are_those_of_the_dense_covariance() {
    compare(0..30, 1, Sensors::default(), 1e-7);
    compare(0..20, 3, Sensors { unequal: true, ..Sensors::default() }, 1e-7);
}

#[test]
fn deviations_with_flows_currents_and_bus_powers_are_those_of_the_dense_covariance() {
    let sensors = Sensors { flows: true, currents: true, bus_powers: true, ..Sensors::default() };
    // A root measured as a whole has free wires, and these a window.
    compare(100..120, 1, sensors, 1e-3);
    compare(100..115, 3, sensors, 1e-3);
    compare(120..135, 3, Sensors { phasors: true, currents: true, ..Sensors::default() }, 1e-7);
}

#[test]
fn deviations_with_free_injections_are_those_of_the_dense_covariance() {
    compare(200..220, 3, Sensors { free: true, flows: true, bus_powers: true, ..Sensors::default() }, 5e-2);
}

/// Deviations in a row: of voltages, angles, what is taken, flows and their totals.
fn all(known: &Uncertainty) -> Vec<f64> {
    let totals = known.from_total.iter().chain(&known.to_total);
    (known.voltages.iter().chain(&known.turned_angles).copied())
        .chain(known.injections.iter().flat_map(|&(p, q)| [p, q]))
        .chain(known.from.iter().chain(&known.to).flat_map(|flow| [flow.p, flow.q, flow.i]))
        .chain(totals.flat_map(|total| [total.p, total.q]))
        .collect()
}

/// Asserts that deviations are those on factors at the estimate.
fn follow(seed: u64, smoother: &mut Smoother) {
    let mut fresh = smoother.clone();
    fresh.renew_factors().expect("factors");
    let (own, fresh) =
        (smoother.uncertainty().expect("deviations"), fresh.uncertainty().expect("deviations"));
    for (at, (own, fresh)) in all(&own).into_iter().zip(all(&fresh)).enumerate() {
        let away = (own - fresh).abs();
        assert!(away < 0.05 * fresh + 1e-6, "seed {seed}, number {at}: {own:e} instead of {fresh:e}");
    }
}

/// A random tree with readings whose injections are known `times` as well as usual.
fn known_so_well(seed: u64, sensors: Sensors, times: f64) -> (Case, Readings) {
    let mut dice = Dice::new(seed);
    let (buses, wires) = (3 + dice.below(20), if seed.is_multiple_of(2) { 3 } else { 1 });
    let case = random_case(&mut dice, buses, wires);
    let mut readings = readings(&mut dice, &case, sensors);
    for reading in &mut readings.injections {
        reading.variance_p /= times * times;
        reading.variance_q /= times * times;
    }
    (case, readings)
}

#[test]
fn deviations_are_those_of_other_values_on_kept_factors() {
    let mut followed = 0;
    for seed in 300..340 {
        let (case, mut readings) = known_so_well(seed, Sensors::default(), 100.0);
        let mut smoother = Smoother::new(&case.circuit, &case.tree, &readings).expect("a tree");
        if smoother.estimate(TIGHT).is_err() {
            continue;
        }
        follow(seed, &mut smoother);
        readings.injections.iter_mut().for_each(|reading| reading.s *= 0.1);
        smoother.set_values(&readings);
        if smoother.estimate_kept(TIGHT).is_ok() {
            follow(seed, &mut smoother);
            followed += 1;
        }
    }
    assert!(followed > 30, "{followed}");
}

#[test]
fn deviations_are_those_of_flows_that_nobody_expected() {
    let sensors = Sensors { flows: true, currents: true, bus_powers: true, ..Sensors::default() };
    let mut followed = 0;
    for seed in 400..480 {
        let (case, mut readings) = known_so_well(seed, sensors, 0.1);
        readings.injections.iter_mut().for_each(|reading| reading.s *= 0.1);
        for reading in &mut readings.currents {
            reading.variance *= 1e-2;
            reading.variance_across *= 1e-2;
        }
        readings.powers.iter_mut().for_each(|reading| {
            reading.variance_p = reading.variance_p.map(|variance| 1e-2 * variance);
            reading.variance_q = reading.variance_q.map(|variance| 1e-2 * variance);
        });
        let mut smoother = Smoother::new(&case.circuit, &case.tree, &readings).expect("a tree");
        if smoother.estimate(TIGHT).is_ok() {
            follow(seed, &mut smoother);
            followed += 1;
        }
    }
    assert!(followed > 30, "{followed}");
}

#[test]
fn reported_deviations_are_those_of_repeated_measurement() {
    let mut dice = Dice::new(77);
    let case = random_case(&mut dice, 60, 3);
    let base = readings(&mut dice, &case, Sensors { flows: true, ..Sensors::default() });
    let mut smoother = Smoother::new(&case.circuit, &case.tree, &base).expect("a tree");
    // Readings without noise: their estimate is the truth of the experiment.
    let estimated = smoother.estimate(TIGHT).expect("an estimate");
    let network = oracle::admittance(&case.circuit);
    let truth = nalgebra::DVector::from_vec(estimated.voltages);
    let taken = network.injections(&truth);
    let wires = case.circuit.wire_count();
    let mut exact = base.clone();
    for reading in &mut exact.voltages {
        reading.magnitude = truth[3 * reading.bus as usize + usize::from(reading.wire)].norm();
    }
    for reading in &mut exact.injections {
        let w = 3 * reading.bus as usize + usize::from(reading.wire);
        reading.s = truth[w] * taken[w].conj();
    }
    for reading in &mut exact.powers {
        let (v, i) = network.flow(reading.place, &truth);
        let s: Vec<_> = v.iter().zip(&i).map(|(v, i)| v * i.conj()).collect();
        reading.s = reading.wire.map_or_else(|| s.iter().sum(), |wire| s[usize::from(wire)]);
    }
    smoother.set_values(&exact);
    smoother.estimate(TIGHT).expect("an estimate");
    smoother.renew_factors().expect("factors");
    let reported = smoother.uncertainty().expect("deviations").voltages;
    let draws = 3000;
    let mut squares = vec![0.0; wires];
    let mut noisy = exact.clone();
    for _ in 0..draws {
        for (noisy, exact) in noisy.voltages.iter_mut().zip(&exact.voltages) {
            noisy.magnitude = exact.magnitude + exact.variance.sqrt() * dice.gauss();
        }
        for (noisy, exact) in noisy.injections.iter_mut().zip(&exact.injections) {
            noisy.s.re = exact.s.re + exact.variance_p.sqrt() * dice.gauss();
            noisy.s.im = exact.s.im + exact.variance_q.sqrt() * dice.gauss();
        }
        for (noisy, exact) in noisy.powers.iter_mut().zip(&exact.powers) {
            noisy.s.re = exact.s.re + exact.variance_p.unwrap_or_default().sqrt() * dice.gauss();
            noisy.s.im = exact.s.im + exact.variance_q.unwrap_or_default().sqrt() * dice.gauss();
        }
        smoother.set_values(&noisy);
        let voltages = smoother.estimate_kept(Tolerance::default()).expect("an estimate").voltages;
        for (square, (v, truth)) in squares.iter_mut().zip(voltages.iter().zip(&truth)) {
            *square += (v.norm() - truth.norm()).powi(2);
        }
    }
    let ratios =
        squares.iter().zip(&reported).map(|(square, reported)| (square / f64::from(draws)).sqrt() / reported);
    let mean = ratios.sum::<f64>() / wires as f64;
    assert!((0.97..1.03).contains(&mean), "empirical over reported deviation: {mean:.4}");
}
