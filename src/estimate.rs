//! `gridflex estimate`: the state of a network from its sensors.

use crate::Failure;
use crate::study::StudyArguments;
use crate::study_table;
use clap::{Args, ValueEnum};
use connectors::power_grid_model::{Batch, Component, Extra, ExtraValues, Input, State};
use estimation::assembly::Assembly;
use estimation::study::{EstimateError, EstimateStudy, EstimationMethod, Judgement, Observability};

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
    /// Standard deviations and observability also where they take long (large meshed networks)
    #[arg(long)]
    uncertainty: bool,
}

/// Wires above which the sparse solver is not asked for standard deviations unless it is wished: each costs a solve.
const SPARSE_WIRES_MAX: usize = 20_000;

impl EstimateArguments {
    fn judges(&self, study: &EstimateStudy) -> bool {
        self.uncertainty || study.on_tree() || study.assembly().circuit.wire_count() <= SPARSE_WIRES_MAX
    }
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
                kept.set_values(&network, &present.sensors).map_err(failed)?;
                kept
            }
            None => EstimateStudy::new(&network, &present.sensors, arguments.study.symmetric, method)
                .map_err(failed)?,
        };
        let estimation = now.estimate(&arguments.study.stop()).map_err(|error| failed(error.into()))?;
        // An estimate whose deviations cannot be told is still an estimate.
        let judgement = arguments.judges(&now).then(|| now.judge()).transpose();
        let judgement = judgement.inspect_err(|error| tracing::warn!(%error, "no standard deviations")).ok();
        let judgement = judgement.flatten();
        let extras = judgement.as_ref().map(|judgement| extras(&present, now.assembly(), judgement));
        let extras = extras.unwrap_or_default();
        let state = State {
            input: &present,
            network: &network,
            assembly: now.assembly(),
            voltages: &estimation.outcome.voltages,
            estimate: Some(&estimation.outcome),
            taps: &[],
            extras: &extras,
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
            let mut table = study_table::table(&state, &title);
            if let Some(judgement) = &judgement {
                study_table::sensors(&mut table, &present, now.assembly(), judgement);
            }
            arguments.study.print(&table)?;
            arguments.study.draw(|| {
                crate::plot::profile(&state, judgement.as_ref().map(|j| j.voltage_std.as_slice()))
            })?;
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

/// Our own attributes beside power-grid-model's.
fn extras(input: &Input, assembly: &Assembly, judgement: &Judgement) -> Vec<Extra> {
    let mut extras = Vec::new();
    for list in &input.lists {
        let component = list.component;
        if component == Component::Node {
            let (mut deviations, mut words) = (Vec::new(), Vec::new());
            for bus in &input.parts.buses {
                let position = assembly.buses.get(&bus.id).copied().unwrap_or(0);
                let wires = assembly.circuit.wires(position);
                let base = bus.u_rated_v / if assembly.symmetric { 1.0 } else { 3.0_f64.sqrt() };
                let of =
                    |at: usize| judgement.voltage_std.get(wires.start + at).map_or(f64::NAN, |u| u * base);
                deviations.push([of(0), of(1), of(2)]);
                words.push(observability(&judgement.observability[wires]));
            }
            let values = if assembly.symmetric {
                ExtraValues::Numbers(deviations.iter().map(|row| row[0]).collect())
            } else {
                ExtraValues::Phases(deviations)
            };
            extras.push(Extra { component, attribute: "u_std", values });
            extras.push(Extra { component, attribute: "observability", values: ExtraValues::Words(words) });
        } else if component.is_sensor() {
            let values = judgement.normalized.get(list.first..list.first + list.ids.len());
            let values = ExtraValues::Numbers(values.unwrap_or_default().to_vec());
            extras.push(Extra { component, attribute: "normalized_residual", values });
        }
    }
    extras
}

/// One word for a bus: its least known wire.
fn observability(wires: &[Option<Observability>]) -> &'static str {
    let has = |wanted| wires.contains(&Some(wanted));
    if has(Observability::None) {
        "unobservable"
    } else if has(Observability::Pseudo) {
        "pseudo"
    } else if has(Observability::Measured) {
        "measured"
    } else {
        "dead"
    }
}
