//! The live estimate of a whole district: minute after minute it settles, near the one before, with measurements believed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test says what is wrong by panicking

use estimation::{Feeder, InjectionPrior, LiveEstimator, MeasurementSet, WeightedValue};
use grid::{Quality, Quantity};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sim::field::instruments::Instruments;
use sim::plant::{STEP, network};
use sim::{Plant, Scenario};
use std::sync::Arc;

/// Steps of an estimate that begins with the one before. With angles of the supply as uncertain as its magnitude, and factors
/// that were not renewed when steps grew, it took more, or did not settle.
const STEPS_MAX: usize = 25;

fn scenario() -> Scenario {
    let mut scenario = Scenario::first_light().unwrap();
    scenario.grid.substations = 19;
    scenario.grid.merge_unloaded = true;
    scenario.history_days = 1;
    scenario
}

/// What instruments say, and of every home an expectation that errs as it says.
fn measured(plant: &Plant, instruments: &Instruments, dice: &mut ChaCha8Rng) -> MeasurementSet {
    let value = |read: grid::Measurement| {
        let (share, floor) = match read.point.quantity {
            Quantity::VoltageMagnitude => (0.005, 0.0),
            Quantity::CurrentMagnitude => (0.01, 0.5),
            _ => (0.015, 100.0),
        };
        let sigma = f64::max(share * read.value.abs(), floor);
        WeightedValue { point: read.point, value: read.value, sigma, quality: Quality::Measured }
    };
    let mut prior = |load: &num_complex::Complex64| {
        let (p_std_w, q_std_var) = (f64::max(0.4 * load.re.abs(), 300.0), 150.0);
        // Uniform, with these standard deviations.
        let mut off = |std: f64| std * 3.0_f64.sqrt() * dice.random_range(-1.0..1.0);
        let (p_w, q_var) = (load.re + off(p_std_w), load.im + off(q_std_var));
        InjectionPrior { p_w, p_std_w, q_var, q_std_var }
    };
    MeasurementSet {
        values: instruments.read(plant).into_iter().map(value).collect(),
        priors: plant.loads_va().iter().map(&mut prior).collect(),
    }
}

#[test]
fn a_district_is_estimated_from_the_estimate_before_with_its_measurements_believed() {
    let scenario = scenario();
    let feeder = Arc::new(Feeder::new(&network(&scenario).unwrap()).unwrap());
    let mut plant = Plant::new(&scenario, feeder.clone()).unwrap();
    let instruments = Instruments::place(&feeder, &scenario);
    let region = Arc::new(LiveEstimator::new(feeder).unwrap());
    let mut dice = ChaCha8Rng::seed_from_u64(1);
    let mut before = None;
    for minute in 0..20 {
        plant.step(plant.now().plus(STEP)).unwrap();
        let set = measured(&plant, &instruments, &mut dice);
        let is_first = before.is_none();
        let (estimate, kept) = region.estimate_and_keep(plant.now(), &set, before.take()).unwrap();
        assert!(!estimate.consistency.chi_square_alarm, "minute {minute}: {:?}", estimate.consistency);
        let steps = estimate.iterations;
        assert!(is_first || steps <= STEPS_MAX, "minute {minute}: {steps} steps");
        before = Some(kept);
    }
}
