//! `gridflex estimate`: the state of a network from its sensors.

use crate::Failure;
use crate::study::StudyArguments;
use crate::study_table;
use clap::{Args, ValueEnum};
use connectors::power_grid_model::{Batch, State};
use estimation::study::{EstimateError, EstimateStudy, EstimationMethod};

const EXAMPLES: &str = "\
Examples:
  gridflex estimate network.json --table                worst voltages, loadings, sensors that are off
  gridflex estimate network.json -o state.json          every phase, as power-grid-model writes it
  gridflex estimate network.json --update minutes.json -o states.json
  gridflex estimate network.json --plot voltages.svg --table";

/// Arguments of `gridflex estimate`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct EstimateArguments {
    #[command(flatten)]
    study: StudyArguments,
    /// How to solve; all of them find the same optimum
    #[arg(long, value_enum, default_value_t = Method::Auto, alias = "calculation-method")]
    method: Method,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Method {
    /// What is fastest for this network
    #[value(alias = "iterative_linear", alias = "iterative-linear")]
    #[value(alias = "newton_raphson", alias = "newton-raphson")]
    Auto,
    /// Sparse least squares, also on trees
    Sparse,
}

/// Runs the command.
pub fn run(arguments: &EstimateArguments) -> Result<(), Failure> {
    let (input, batch) = arguments.study.read()?;
    let mut writer = arguments.study.writer()?;
    let base = batch.as_ref().map(|_| input.clone());
    let mut present = input;
    let mut study: Option<EstimateStudy> = None;
    let method = match arguments.method {
        Method::Auto => EstimationMethod::Auto,
        Method::Sparse => EstimationMethod::Sparse,
    };
    for scenario in 0..batch.as_ref().map_or(1, |batch| batch.scenarios.len()) {
        let place = batch.as_ref().map(|_| scenario);
        let refused = |error: anyhow::Error| arguments.study.refused(place, error);
        let failed = |error: EstimateError| match error {
            EstimateError::NoSolution(error) => arguments.study.failed(place, error),
            error => refused(error.into()),
        };
        let changes = batch.as_ref().map_or(&[][..], |batch| &batch.scenarios[scenario]);
        present.apply(changes).map_err(|error| refused(error.into()))?;
        let network = present.network_to_estimate().map_err(|error| refused(error.into()))?;
        let kept = study.take().filter(|_| batch.as_ref().is_some_and(only_measurements));
        let mut now = match kept {
            Some(mut kept) => {
                kept.set_values(&network, &present.sensors).map_err(|error| failed(error.into()))?;
                kept
            }
            None => EstimateStudy::new(&network, &present.sensors, arguments.study.symmetric, method)
                .map_err(failed)?,
        };
        let estimation = now.estimate(&arguments.study.stop()).map_err(|error| failed(error.into()))?;
        let state = State {
            input: &present,
            assembly: now.assembly(),
            voltages: &estimation.outcome.voltages,
            estimate: Some(&estimation.outcome),
            taps: &[],
            extras: &[],
        };
        writer.scenario(&state).map_err(|error| arguments.study.unwritten(error))?;
        if scenario == 0 {
            let title = format!(
                "{} iterations ({}), {} sensors, weighted residuals {:.6e}",
                estimation.iterations,
                estimation.solver.name(),
                present.sensors.len(),
                estimation.objective
            );
            arguments.study.print(&study_table::table(&state, &title))?;
            arguments.study.draw(|| crate::plot::profile(&state, None))?;
        }
        study = Some(now);
        if let Some(base) = &base {
            present.take_back(changes, base);
        }
    }
    writer.finish().map_err(|error| arguments.study.unwritten(error))?;
    Ok(())
}

/// Whether no scenario changes anything but measured values.
fn only_measurements(batch: &Batch) -> bool {
    batch.scenarios.iter().flatten().all(|change| change.measurements_only())
}
