//! `gridflex powerflow`: voltages, flows and loadings of a network.

use crate::Failure;
use crate::sensitivities;
use crate::study::StudyArguments;
use crate::study_table;
use anyhow::anyhow;
use clap::{Args, ValueEnum};
use connectors::power_grid_model::{Batch, State};
use estimation::control::{TapError, TapStrategy, regulate};
use estimation::study::{Flow, FlowError, FlowMethod, FlowStudy};
use grid::Network;

const EXAMPLES: &str = "\
Examples:
  gridflex powerflow network.json --table               worst voltages and loadings
  gridflex powerflow network.json -o result.json        every phase, as power-grid-model writes it
  gridflex powerflow network.json --update hours.json --symmetric -o results.json
  gridflex powerflow pandapower.json --symmetric --table  what pandapower.to_json wrote
  gridflex powerflow 13Bus/IEEE13Nodeckt.dss --dss-root . --controls --table
  gridflex powerflow network.json --sensitivities --table  which loads move the worst voltages and loadings, and how much
  gridflex powerflow network.json --taps any-valid-tap --plot voltages.svg --table";

/// Arguments of `gridflex powerflow`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct PowerFlowArguments {
    #[command(flatten)]
    study: StudyArguments,
    /// How to solve; all but the linear ones find the same solution
    #[arg(long, value_enum, default_value_t = Method::Auto, alias = "calculation-method")]
    method: Method,
    /// How tap regulators choose a position
    #[arg(long, value_enum, default_value_t = Taps::Disabled)]
    taps: Taps,
    /// Let the regulators and capacitor controls of an OpenDSS model act
    #[arg(long)]
    controls: bool,
    /// Say what each load and generator moves: the N highest loadings and the N voltages farthest from rated, by its active and
    /// reactive power (radial networks)
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = "8")]
    sensitivities: Option<usize>,
}

/// Most power flows until the controls of an OpenDSS model rest.
const CONTROL_ROUNDS_MAX: usize = 300;

/// Solvers by power-grid-model's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Method {
    /// What is fastest for this network
    Auto,
    /// Newton's method
    #[value(alias = "newton_raphson")]
    NewtonRaphson,
    /// Nodal iteration of currents
    #[value(alias = "iterative_current", alias = "iterative_linear")]
    IterativeCurrent,
    /// Loads as impedances, one step
    Linear,
    /// The same as linear
    #[value(alias = "linear_current")]
    LinearCurrent,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Taps {
    /// Taps stay where they are
    Disabled,
    #[value(alias = "fast_any_tap")]
    FastAnyTap,
    #[value(alias = "any_valid_tap")]
    AnyValidTap,
    #[value(alias = "min_voltage_tap")]
    MinVoltageTap,
    #[value(alias = "max_voltage_tap")]
    MaxVoltageTap,
}

/// Runs the command.
pub fn run(arguments: &PowerFlowArguments) -> Result<(), Failure> {
    let (input, batch) = arguments.study.read()?;
    let mut writer = arguments.study.writer()?;
    let base = batch.as_ref().map(|_| input.clone());
    let mut present = input;
    let mut study: Option<FlowStudy> = None;
    let mut reports = Vec::new();
    for scenario in 0..batch.as_ref().map_or(1, |batch| batch.scenarios.len()) {
        let place = batch.as_ref().map(|_| scenario);
        let changes = batch.as_ref().map_or(&[][..], |batch| &batch.scenarios[scenario]);
        present.apply(changes).map_err(|error| arguments.study.refused(place, error))?;
        let network = present.network().map_err(|error| arguments.study.refused(place, error))?;
        // Regulators leave the taps of a study moved.
        let fixed = arguments.taps == Taps::Disabled;
        let kept = study.take().filter(|_| fixed && batch.as_ref().is_some_and(only_loads));
        let solved = solve(arguments, &network, kept, place)?;
        let (flow, taps) = (&solved.flow, &solved.taps);
        let state = State {
            input: &present,
            network: &network,
            assembly: solved.study.assembly(),
            voltages: &flow.solved.voltages,
            estimate: None,
            taps,
            extras: &[],
        };
        writer.scenario(&state).map_err(|error| arguments.study.unwritten(error))?;
        let moved = arguments.sensitivities.map(|count| moved(arguments, &solved, &state, (count, place)));
        let moved = moved.transpose()?;
        if scenario == 0 {
            let title = format!("{} iterations ({})", flow.solved.iterations, flow.solver.name());
            let mut table = study_table::table(&state, &title, None);
            if let Some(moved) = &moved {
                table.push_str(&sensitivities::table(moved));
            }
            arguments.study.print(&table)?;
            arguments.study.draw(|| crate::plot::profile(&state, None))?;
        }
        reports.extend(moved);
        study = Some(solved.study);
        if let Some(base) = &base {
            present.take_back(changes, base);
        }
    }
    writer.finish_with("sensitivities", &reports).map_err(|error| arguments.study.unwritten(error))?;
    Ok(())
}

/// What loads and generators move at a solved scenario.
fn moved(
    arguments: &PowerFlowArguments,
    solved: &Solved,
    state: &State<'_>,
    (count, place): (usize, Option<usize>),
) -> Result<Vec<sensitivities::Report>, Failure> {
    if matches!(arguments.method, Method::Linear | Method::LinearCurrent) {
        let why = anyhow!("sensitivities are those of a whole power flow: --method linear has none");
        return Err(arguments.study.refused(place, why));
    }
    let limited = sensitivities::limited(state, count);
    let responses = solved.study.responses(state.network, state.voltages, &limited).map_err(|error| {
        let why = anyhow!(error).context("sensitivities are told of radial networks only");
        arguments.study.refused(place, why)
    })?;
    Ok(sensitivities::reports(state.input, state.network, state.assembly.symmetric, &responses))
}

/// Whether no scenario changes anything but the powers of loads.
fn only_loads(batch: &Batch) -> bool {
    batch.scenarios.iter().flatten().all(|change| change.powers_only())
}

/// A solved scenario.
struct Solved {
    study: FlowStudy,
    flow: Flow,
    taps: Vec<(u32, i8)>,
}

fn solve(
    arguments: &PowerFlowArguments,
    network: &Network,
    kept: Option<FlowStudy>,
    place: Option<usize>,
) -> Result<Solved, Failure> {
    let method = match arguments.method {
        Method::Auto => FlowMethod::Auto,
        Method::NewtonRaphson => FlowMethod::Newton,
        Method::IterativeCurrent => FlowMethod::FixedPoint,
        Method::Linear | Method::LinearCurrent => FlowMethod::Linear,
    };
    let strategy = match arguments.taps {
        Taps::Disabled => None,
        Taps::FastAnyTap => Some(TapStrategy::FastAny),
        Taps::AnyValidTap => Some(TapStrategy::Any),
        Taps::MinVoltageTap => Some(TapStrategy::Lowest),
        Taps::MaxVoltageTap => Some(TapStrategy::Highest),
    };
    let failed = |error: FlowError| match error {
        FlowError::Assembly(error) => arguments.study.refused(place, error),
        FlowError::NoSolution(error) => arguments.study.failed(place, error),
    };
    let kept = kept.and_then(|mut study| study.set_loads(network).is_ok().then_some(study));
    let mut study = match kept {
        Some(study) => study,
        None => FlowStudy::new(network, arguments.study.symmetric, method).map_err(failed)?,
    };
    let tolerance = arguments.study.stop();
    let controls = !network.winding_transformers().is_empty() || !network.capacitors().is_empty();
    if controls && arguments.controls {
        let flow = study.settle_controls(network, CONTROL_ROUNDS_MAX, &tolerance);
        let flow = flow.map_err(|error| arguments.study.failed(place, error))?;
        return Ok(Solved { study, flow, taps: Vec::new() });
    }
    let Some(strategy) = strategy.filter(|_| !network.tap_regulators().is_empty()) else {
        let flow = study.solve(&tolerance).map_err(|error| failed(error.into()))?;
        return Ok(Solved { study, flow, taps: Vec::new() });
    };
    let regulated = regulate(network, &mut study, strategy, &tolerance).map_err(|error| match error {
        TapError::Flow(error) => failed(error),
        error => arguments.study.failed(place, error),
    })?;
    Ok(Solved { study, flow: regulated.flow, taps: regulated.positions })
}
