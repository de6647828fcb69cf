//! The power flow of a case, by sweeps on the tree.

use super::case::{Case, assemble};
use super::meter::{median, memory_mb, reset_peak, timed};
use super::{CaseArguments, Figures};
use crate::Failure;
use estimation::circuit::{LoadPort, Tree};
use estimation::solve::Tolerance;
use estimation::sweep::{SCENARIOS, Sweep, SweepState};
use num_complex::Complex64;
use std::hint::black_box;

/// Runs of the cold start, which is slow.
const COLD_RUNS: usize = 3;
/// Of so many repetitions one is of the batch, which is many scenarios.
const BATCH_SHARE: usize = 4;

struct Made {
    ports: Vec<LoadPort>,
    sweep: Sweep,
    state: SweepState,
    iterations: usize,
}

/// Measures.
pub fn measure(arguments: &CaseArguments) -> Result<Figures, Failure> {
    let case = Case::read(&arguments.case)?;
    let symmetric = arguments.symmetric;
    let before = memory_mb().filter(|_| reset_peak());
    let (mut cold, mut made) = (Vec::new(), None);
    let mut peak = None;
    for _ in 0..COLD_RUNS {
        let (ms, first) = timed(|| make(&case, symmetric));
        cold.push(ms);
        peak = peak.or_else(memory_mb);
        made = Some(first?);
    }
    let Some(Made { ports, sweep, mut state, iterations }) = made else {
        return Err(Failure::Run(anyhow::anyhow!("nothing was run")));
    };
    let tolerance = Tolerance::default();
    let scenarios = case.ports(symmetric)?;
    let powers: Vec<Vec<Complex64>> =
        scenarios.iter().map(|ports| ports.iter().map(|port| port.power).collect()).collect();
    let repeat = usize::from(arguments.repeat);
    let mut voltages = Vec::new();
    let (mut refactor, mut warm, mut warm_iterations) = (Vec::new(), Vec::new(), 0);
    for run in 0..repeat.max(powers.len().min(1)) {
        let Some(values) = powers.get(run % powers.len().max(1)) else { break };
        let (ms, solved) = timed(|| {
            sweep.set_powers(&mut state, values);
            let solved = sweep.settle_flat(&mut state, &tolerance);
            sweep.voltages(&state, &mut voltages);
            solved
        });
        solved.map_err(|error| Failure::Run(error.into()))?;
        refactor.push(ms);
    }
    for run in 0..repeat {
        let Some(values) = powers.get(run % powers.len().max(1)) else { break };
        let (ms, solved) = timed(|| {
            sweep.set_powers(&mut state, values);
            let solved = sweep.settle_warm(&mut state, &tolerance);
            sweep.voltages(&state, &mut voltages);
            solved
        });
        warm_iterations = solved.map_err(|error| Failure::Run(error.into()))?;
        warm.push(ms);
    }
    black_box(&voltages);
    Ok(Figures {
        program: "gridflex",
        version: env!("CARGO_PKG_VERSION"),
        case: case.name.clone(),
        what: "powerflow",
        symmetric,
        method: "sweep",
        nodes: case.network.buses().len(),
        cold_ms: median(cold),
        refactor_ms: median(refactor),
        warm_ms: median(warm),
        batch_ms_per_scenario: batch(&sweep, &ports, &powers, repeat.div_ceil(BATCH_SHARE))?,
        scenarios: powers.len(),
        iterations,
        warm_iterations,
        read_ms: case.read_ms,
        peak_mb: before.zip(peak).map(|((in_use, _), (_, highest))| (highest - in_use).max(0.0)),
        process_peak_mb: peak.map(|(_, highest)| highest),
        ..Figures::default()
    })
}

fn make(case: &Case, symmetric: bool) -> Result<Made, Failure> {
    let assembly = assemble(&case.network, symmetric)?;
    let tree = Tree::new(&assembly.circuit).map_err(|error| Failure::Input(error.into()))?;
    let sweep = Sweep::new(&assembly.circuit, &tree).map_err(|error| Failure::Input(error.into()))?;
    let mut state = sweep.state(&assembly.circuit.ports);
    let iterations = sweep.settle_flat(&mut state, &Tolerance::default());
    let iterations = iterations.map_err(|error| Failure::Run(error.into()))?;
    black_box(&state);
    Ok(Made { ports: assembly.circuit.ports, sweep, state, iterations })
}

/// CPU time of all scenarios, a scenario in every lane of the vector units, per scenario, ms: the middle of several
/// runs. The reference that the scenarios deviate from is the case's own power flow; it is structure like the tree.
fn batch(
    sweep: &Sweep,
    reference: &[LoadPort],
    powers: &[Vec<Complex64>],
    runs: usize,
) -> Result<Option<f64>, Failure> {
    if powers.is_empty() {
        return Ok(None);
    }
    let (mut batch, mut failed) = (sweep.batch(reference), None);
    let mut times = Vec::new();
    // The last group is filled up with scenarios from the start: a batch of thousands has full ones.
    let count = powers.len().next_multiple_of(SCENARIOS);
    for _ in 0..runs.max(1) {
        let (ms, ()) = timed(|| {
            batch.solve(
                sweep,
                count,
                |at| &powers[at % powers.len()],
                &Tolerance::default(),
                |_, solved| match solved {
                    Ok(solved) => {
                        black_box(solved.all);
                    }
                    Err(error) => failed = Some(error),
                },
            );
        });
        times.push(ms);
    }
    match failed {
        Some(error) => Err(Failure::Run(error.into())),
        None => Ok(Some(median(times) / count as f64)),
    }
}
