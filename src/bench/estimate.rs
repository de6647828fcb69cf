//! The state estimation of a case, by the smoother on the tree.

use super::case::{Case, assemble, read_off};
use super::meter::{median, memory_mb, reset_peak, timed};
use super::{CaseArguments, Figures};
use crate::Failure;
use estimation::circuit::{Readings, Tree};
use estimation::smoother::{Estimated, Smoother};
use estimation::solve::{NoSolution, Tolerance};
use std::hint::black_box;

/// Runs of the cold start, which is slow.
const COLD_RUNS: usize = 3;

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
    let (refactor, _) = each(&mut smoother, &scenarios, repeat, Smoother::estimate)?;
    let (warm, warm_iterations) = each(&mut smoother, &scenarios, repeat, Smoother::estimate_kept)?;
    Ok(Figures {
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
        ..Figures::default()
    })
}

fn make(case: &Case, symmetric: bool) -> Result<(Smoother, Estimated), Failure> {
    let assembly = assemble(&case.network, symmetric)?;
    let readings = read_off(&assembly, &case.network, &case.sensors)?;
    let tree = Tree::new(&assembly.circuit).map_err(|error| Failure::Input(error.into()))?;
    let smoother = Smoother::new(&assembly.circuit, &tree, &readings);
    let mut smoother = smoother.map_err(|error| Failure::Input(error.into()))?;
    let first = smoother.estimate(Tolerance::default()).map_err(|error| Failure::Run(error.into()))?;
    Ok((smoother, first))
}

/// CPU time of each run over the scenarios in turn, and the steps of the last.
fn each(
    smoother: &mut Smoother,
    scenarios: &[Readings],
    repeat: usize,
    estimate: fn(&mut Smoother, Tolerance) -> Result<Estimated, NoSolution>,
) -> Result<(Vec<f64>, usize), Failure> {
    let (mut times, mut iterations) = (Vec::new(), 0);
    for readings in scenarios.iter().cycle().take(if scenarios.is_empty() { 0 } else { repeat }) {
        let (ms, estimated) = timed(|| {
            smoother.set_values(readings);
            estimate(smoother, Tolerance::default())
        });
        let estimated = estimated.map_err(|error| Failure::Run(error.into()))?;
        iterations = estimated.iterations;
        black_box(&estimated.voltages);
        times.push(ms);
    }
    Ok((times, iterations))
}
