use super::nets::{Dice, Sensors, random_case, readings};
use super::oracle;
use crate::smoother::Smoother;
use crate::solve::Tolerance;

/// Solves random cases both ways and compares.
fn compare(seeds: std::ops::Range<u64>, wires: usize, sensors: Sensors) {
    let tolerance = Tolerance { voltage_pu: 1e-12, iterations_max: 100 };
    let mut compared = 0;
    let total = seeds.end - seeds.start;
    for seed in seeds {
        let mut dice = Dice::new(seed);
        let buses = 3 + dice.below(8);
        let case = random_case(&mut dice, buses, wires);
        let readings = readings(&mut dice, &case, sensors);
        let Some(optimum) = oracle::solve(&case.circuit, &case.tree, &readings) else { continue };
        let determined = oracle::determined(&case.circuit, &case.tree, &readings, &optimum.state);
        if !determined.into_iter().all(|wire| wire == Some(true)) {
            continue;
        }
        let mut smoother = Smoother::new(&case.circuit, &case.tree, &readings).expect("a tree");
        let estimated = smoother.estimate(tolerance).unwrap_or_else(|why| panic!("seed {seed}: {why}"));
        let away = estimated
            .voltages
            .iter()
            .zip(&optimum.v)
            .map(|(a, b)| (a - b).norm())
            .fold(0.0, |a, b| if b <= a { a } else { b });
        let relative = (estimated.objective - optimum.objective).abs() / optimum.objective.max(1.0);
        assert!(
            away < 1e-9 && relative < 1e-9 && estimated.violation_pu < 1e-11,
            "seed {seed}, {buses} buses: voltages {away:.1e}, objective {relative:.1e} of {}, violation {:.1e} \
             after {} steps and {} factorizations",
            optimum.objective,
            estimated.violation_pu,
            estimated.iterations,
            estimated.factorizations,
        );
        compared += 1;
    }
    assert!(compared * 2 > total, "only {compared} of {total} were comparable");
}

#[test]
fn one_wire_with_voltages_and_injections_is_the_dense_optimum() {
    compare(0..40, 1, Sensors::default());
}

#[test]
fn three_wires_with_voltages_and_injections_are_the_dense_optimum() {
    compare(0..40, 3, Sensors::default());
}

#[test]
fn unequal_variances_of_active_and_reactive_power_are_exact() {
    compare(100..130, 3, Sensors { unequal: true, ..Sensors::default() });
}

#[test]
fn phasors_are_exact() {
    compare(200..230, 3, Sensors { phasors: true, ..Sensors::default() });
}

#[test]
fn flows_at_either_end_are_exact() {
    compare(300..330, 1, Sensors { flows: true, ..Sensors::default() });
    compare(300..340, 3, Sensors { flows: true, unequal: true, ..Sensors::default() });
}

#[test]
fn currents_are_exact() {
    compare(400..430, 1, Sensors { currents: true, flows: true, ..Sensors::default() });
    compare(400..430, 3, Sensors { currents: true, ..Sensors::default() });
    compare(430..460, 3, Sensors { currents: true, phasors: true, ..Sensors::default() });
}

#[test]
fn powers_of_buses_are_exact() {
    compare(500..530, 3, Sensors { bus_powers: true, ..Sensors::default() });
}

#[test]
fn free_injections_are_exact() {
    compare(600..630, 1, Sensors { free: true, flows: true, ..Sensors::default() });
    compare(600..640, 3, Sensors { free: true, flows: true, bus_powers: true, ..Sensors::default() });
}
