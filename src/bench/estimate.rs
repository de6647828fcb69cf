//! The state estimation of a case, by the smoother on the tree.

use super::case::{Case, assemble, read_off};
use super::meter::{clock_ms, median, memory_mb, quantile, reset_peak, timed, wall_ms};
use super::{CaseArguments, Figures};
use crate::Failure;
use estimation::circuit::{Readings, Tree};
use estimation::smoother::{Changed, SETS, Settled, Smoother};
use estimation::solve::{NoSolution, Tolerance};
use std::hint::black_box;

/// Runs of the cold start, which is slow.
const COLD_RUNS: usize = 3;
/// Single changes that are timed.
const CHANGES: usize = 20_000;
/// Of so many repetitions one is of the batch, which is many scenarios.
const BATCH_SHARE: usize = 4;

/// Measures.
pub fn measure(arguments: &CaseArguments) -> Result<Figures, Failure> {
    let case = Case::read(&arguments.case)?;
    let symmetric = arguments.symmetric;
    let before = memory_mb().filter(|_| reset_peak());
    let (mut cold, mut made, mut peak) = (Vec::new(), None, None);
    for _ in 0..COLD_RUNS {
        let (ms, first) = timed(|| make(&case, symmetric));
        cold.push(ms);
        peak = peak.or_else(memory_mb);
        made = Some(first?);
    }
    let Some((mut smoother, first)) = made else {
        return Err(Failure::Run(anyhow::anyhow!("nothing was run")));
    };
    let scenarios = case.readings(symmetric)?;
    let repeat = usize::from(arguments.repeat);
    let (refactor, _) = each(&mut smoother, &scenarios, repeat, Smoother::settle)?;
    let (warm, warm_iterations) = each(&mut smoother, &scenarios, repeat, Smoother::settle_kept)?;
    let uncertainty_ms = deviations(&mut smoother, &scenarios, repeat, Smoother::settle)?;
    let uncertainty_kept_ms = deviations(&mut smoother, &scenarios, repeat, Smoother::settle_kept)?;
    let batch_ms_per_scenario = batch(&mut smoother, &scenarios, repeat.div_ceil(BATCH_SHARE))?;
    let buses = case.network.buses().len() as u32;
    let mut single = scenarios.first().map(|first| changes(&mut smoother, first, buses)).unwrap_or_default();
    let mut share = |share| (!single.is_empty()).then(|| quantile(&mut single, share));
    let (incremental_us_p50, incremental_us_p99) = (share(0.5), share(0.99));
    Ok(Figures {
        uncertainty_ms,
        uncertainty_kept_ms,
        batch_ms_per_scenario,
        incremental_us_p50,
        incremental_us_p99,
        program: "gridflex",
        version: env!("CARGO_PKG_VERSION"),
        case: case.name.clone(),
        what: "estimate",
        symmetric,
        method: "smoother",
        nodes: case.network.buses().len(),
        cold_ms: median(cold),
        refactor_ms: median(refactor),
        warm_ms: median(warm),
        scenarios: scenarios.len(),
        iterations: first.iterations,
        warm_iterations,
        read_ms: case.read_ms,
        peak_mb: before.zip(peak).map(|((in_use, _), (_, highest))| (highest - in_use).max(0.0)),
        process_peak_mb: peak.map(|(_, highest)| highest),
    })
}

fn make(case: &Case, symmetric: bool) -> Result<(Smoother, Settled), Failure> {
    let assembly = assemble(&case.network, symmetric)?;
    let readings = read_off(&assembly, &case.network, &case.sensors)?;
    let tree = Tree::new(&assembly.circuit).map_err(|error| Failure::Input(error.into()))?;
    let smoother = Smoother::new(&assembly.circuit, &tree, &readings);
    let mut smoother = smoother.map_err(|error| Failure::Input(error.into()))?;
    let first = smoother.settle(Tolerance::default()).map_err(|error| Failure::Run(error.into()))?;
    black_box(smoother.voltages());
    Ok((smoother, first))
}

/// CPU time of each run over the scenarios in turn, and the steps of the last.
fn each(
    smoother: &mut Smoother,
    scenarios: &[Readings],
    repeat: usize,
    settle: fn(&mut Smoother, Tolerance) -> Result<Settled, NoSolution>,
) -> Result<(Vec<f64>, usize), Failure> {
    let (mut times, mut iterations) = (Vec::new(), 0);
    for readings in scenarios.iter().cycle().take(if scenarios.is_empty() { 0 } else { repeat }) {
        let (ms, estimated) = timed(|| {
            smoother.set_values(readings);
            let settled = settle(smoother, Tolerance::default());
            black_box(smoother.voltages());
            settled
        });
        iterations = estimated.map_err(|error| Failure::Run(error.into()))?.iterations;
        times.push(ms);
    }
    Ok((times, iterations))
}

/// CPU time of all standard deviations at the estimates of scenarios in turn, ms: the middle.
fn deviations(
    smoother: &mut Smoother,
    scenarios: &[Readings],
    repeat: usize,
    settle: fn(&mut Smoother, Tolerance) -> Result<Settled, NoSolution>,
) -> Result<Option<f64>, Failure> {
    let mut times = Vec::new();
    for readings in scenarios.iter().cycle().take(if scenarios.is_empty() { 0 } else { repeat.min(9) }) {
        smoother.set_values(readings);
        let (ms, known) = settle(smoother, Tolerance::default())
            .map(|_| timed(|| smoother.uncertainty()))
            .map_err(|error| Failure::Run(error.into()))?;
        black_box(known.map_err(|error| Failure::Run(error.into()))?);
        times.push(ms);
    }
    Ok((!times.is_empty()).then(|| median(times)))
}

/// CPU time of all scenarios in groups of lanes, per scenario, ms: the middle of several runs.
fn batch(smoother: &mut Smoother, scenarios: &[Readings], runs: usize) -> Result<Option<f64>, Failure> {
    if scenarios.is_empty() {
        return Ok(None);
    }
    let mut sets = smoother.batch();
    let mut voltages: [_; SETS] = std::array::from_fn(|_| Vec::new());
    let mut times = Vec::new();
    // The last group is filled up with scenarios from the start, so that every pass is a full one.
    let groups = scenarios.len().div_ceil(SETS);
    for _ in 0..runs.max(1) {
        let (ms, outcome) = timed(|| {
            (0..groups).try_for_each(|group| {
                let scenario = |lane| &scenarios[(group * SETS + lane) % scenarios.len()];
                sets.set_all(smoother, std::array::from_fn(scenario));
                let outcome = sets.estimate(smoother, Tolerance::default());
                sets.write_voltages(smoother, &mut voltages);
                black_box(&voltages);
                outcome.into_iter().try_for_each(|lane| lane.map(drop))
            })
        });
        outcome.map_err(|error| Failure::Run(error.into()))?;
        times.push(ms / (groups * SETS) as f64);
    }
    Ok(Some(median(times)))
}

/// Time of one changed injection and one voltage read anywhere, µs, the clock's own time taken off. By the wall: CPU time is
/// asked of the system, which takes a quarter of a microsecond and now and then more.
fn changes(smoother: &mut Smoother, readings: &Readings, buses: u32) -> Vec<f64> {
    let injections = readings.injections.len() as u64;
    if injections == 0 {
        return Vec::new();
    }
    let clock = clock_ms();
    let mut dice = 1_u64;
    let mut next = |below: u64| {
        // Knuth's MMIX generator: places that do not repeat.
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (dice >> 33) % below
    };
    (0..CHANGES)
        .map(|number| {
            let (at, bus) = (next(injections) as u32, next(u64::from(buses)) as u32);
            let by = if number % 2 == 0 { 1e-6 } else { -1e-6 };
            let start = wall_ms();
            smoother.change(Changed::Injection(at), (by, 0.2 * by));
            black_box(smoother.read(bus));
            (wall_ms() - start - clock).max(0.0) * 1e3
        })
        .collect()
}
