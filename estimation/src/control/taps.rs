//! Tap regulators in a power flow (power-grid-model, "Power flow with automatic tap changing"): each holds the voltage
//! at its controlled side, plus the drop of a compensating impedance, in its band.
//!
//! Positions move by single steps from where they are (any valid tap) or from the end that gives the highest or lowest
//! voltage, so that the last position inside the band is found; `FastAny` halves the range instead. A group of
//! transformers at the same distance from the sources steps together; after every step the nearer groups are looked at
//! first. A voltage beyond the reach of the taps is no error, a band between two neighbouring positions is.

use super::bisection::{Bisection, Step};
use super::order;
use crate::assembly::{Assembly, AssemblyError, BranchPlace};
use crate::circuit::{FlowPlace, flow};
use crate::solve::{NoSolution, Tolerance};
use crate::study::{Flow, FlowError, FlowStudy};
use grid::network::{Compensation, Tap, TapRegulator, ThreeWindingTransformer, Transformer};
use grid::{BranchId, Network};
use num_complex::Complex64;
use std::cmp::Ordering;
use thiserror::Error;

/// Which of the positions inside the band is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TapStrategy {
    /// The first one found by single steps from the present one.
    Any,
    /// One found by halving the range.
    FastAny,
    /// The one with the highest voltage at the controlled side.
    Highest,
    /// The one with the lowest voltage.
    Lowest,
}

/// Why no positions were found.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum TapError {
    /// A power flow on the way had no solution.
    #[error(transparent)]
    Flow(#[from] FlowError),
    /// A transformer that is to hold the side its source feeds.
    #[error("tap regulator {regulator} controls its transformer towards the source")]
    TowardsSource {
        /// Which regulator.
        regulator: u32,
    },
    /// The positions go back and forth.
    #[error("tap regulator {regulator} finds no position inside its band: it goes back and forth")]
    NotSettled {
        /// One of those that moved last.
        regulator: u32,
    },
}

impl From<AssemblyError> for TapError {
    fn from(error: AssemblyError) -> Self {
        Self::Flow(error.into())
    }
}

impl From<NoSolution> for TapError {
    fn from(error: NoSolution) -> Self {
        Self::Flow(error.into())
    }
}

/// A power flow with its taps where the regulators want them.
#[derive(Debug, Clone, PartialEq)]
pub struct Regulated {
    /// The power flow.
    pub flow: Flow,
    /// Regulator and position of its transformer.
    pub positions: Vec<(u32, i8)>,
}

/// A transformer of either kind.
enum Unit {
    Two(Transformer),
    Three(ThreeWindingTransformer),
}

impl Unit {
    fn find(network: &Network, id: BranchId) -> Option<Self> {
        let two = network.transformers().iter().find(|unit| unit.id == id);
        let three = || network.three_winding_transformers().iter().find(|unit| unit.id == id);
        two.map(|unit| Self::Two(unit.clone())).or_else(|| three().map(|unit| Self::Three(unit.clone())))
    }

    fn tap(&mut self) -> Option<&mut Tap> {
        match self {
            Self::Two(unit) => unit.tap.as_mut(),
            Self::Three(unit) => unit.tap.as_mut(),
        }
    }

    fn put(&self, assembly: &mut Assembly) -> Result<(), AssemblyError> {
        match self {
            Self::Two(unit) => assembly.replace_transformer(unit),
            Self::Three(unit) => assembly.replace_three_winding(unit),
        }
    }

    /// Bus of a side, and its rated voltage in the network.
    fn bus(&self, network: &Network, side: usize) -> (usize, f64) {
        let bus = match self {
            Self::Two(unit) => [unit.from, unit.to][side.min(1)],
            Self::Three(unit) => unit.buses[side.min(2)],
        };
        let position = network.bus_index(bus).unwrap_or(0);
        (position, network.buses()[position].u_rated_v)
    }
}

/// A regulator at work.
struct Active<'a> {
    regulator: &'a TapRegulator,
    unit: Unit,
    halving: Bisection,
}

/// Moves taps until every active regulator is content.
///
/// # Errors
/// [`TapError`] names the regulator that finds no position, or the power flow that had no solution.
pub fn regulate(
    network: &Network,
    study: &mut FlowStudy,
    strategy: TapStrategy,
    tolerance: &Tolerance,
) -> Result<Regulated, TapError> {
    let mut groups = Vec::new();
    for group in order::ranked(network)? {
        let mut active = Vec::new();
        for position in group {
            let regulator = &network.tap_regulators()[position];
            let Some(mut unit) = Unit::find(network, regulator.transformer) else { continue };
            let Some(tap) = unit.tap() else { continue };
            let halving = Bisection::new(tap.min, tap.max);
            active.push(Active { regulator, unit, halving });
        }
        groups.push(active);
    }
    begin(study, &mut groups, strategy)?;
    let mut flow = settle(network, study, &mut groups, strategy, tolerance)?;
    if matches!(strategy, TapStrategy::Highest | TapStrategy::Lowest) {
        // What lies behind has moved since: perhaps one position further is inside the band now.
        step_outwards(study, &mut groups, strategy)?;
        flow = settle(network, study, &mut groups, strategy, tolerance)?;
    }
    let mut positions = Vec::new();
    for active in groups.iter_mut().flatten() {
        positions.extend(active.unit.tap().map(|tap| (active.regulator.id, tap.position)));
    }
    Ok(Regulated { flow, positions })
}

/// Puts every tap at the end where the search begins.
fn begin(
    study: &mut FlowStudy,
    groups: &mut [Vec<Active<'_>>],
    strategy: TapStrategy,
) -> Result<(), TapError> {
    if matches!(strategy, TapStrategy::Any | TapStrategy::FastAny) {
        return Ok(());
    }
    for active in groups.iter_mut().flatten() {
        let at_tap = active.regulator.controlled == active.regulator.tapped;
        if let Some(tap) = active.unit.tap() {
            // A high position raises the tapped side, and lowers the others.
            tap.position = if (strategy == TapStrategy::Highest) == at_tap { tap.max } else { tap.min };
        }
        study.change(|assembly| active.unit.put(assembly))?;
    }
    Ok(())
}

/// Moves every tap one position further in the direction of the strategy.
fn step_outwards(
    study: &mut FlowStudy,
    groups: &mut [Vec<Active<'_>>],
    strategy: TapStrategy,
) -> Result<(), TapError> {
    for active in groups.iter_mut().flatten() {
        let at_tap = active.regulator.controlled == active.regulator.tapped;
        if let Some(tap) = active.unit.tap() {
            tap.position = one_step(tap, (strategy == TapStrategy::Highest) == at_tap);
        }
        study.change(|assembly| active.unit.put(assembly))?;
    }
    Ok(())
}

fn settle(
    network: &Network,
    study: &mut FlowStudy,
    groups: &mut [Vec<Active<'_>>],
    strategy: TapStrategy,
    tolerance: &Tolerance,
) -> Result<Flow, TapError> {
    let mut steps = vec![0; groups.len()];
    'again: loop {
        let flow = study.solve(tolerance)?;
        for rank in 0..groups.len() {
            let mut moved = None;
            let (mut widest, assembly) = (0, study.assembly());
            let mut changed = Vec::new();
            for (number, active) in groups[rank].iter_mut().enumerate() {
                let wanted = look(network, assembly, &flow.solved.voltages, active);
                let at_tap = active.regulator.controlled == active.regulator.tapped;
                let Some(tap) = active.unit.tap() else { continue };
                widest = widest.max(i32::from(tap.max).abs_diff(i32::from(tap.min)));
                let to = match (strategy, wanted) {
                    (_, Ordering::Equal) => tap.position,
                    (TapStrategy::FastAny, wanted) => {
                        let higher = (wanted == Ordering::Greater) == at_tap;
                        let upwards = higher == (tap.max >= tap.min);
                        let prefer_high = at_tap != (tap.max < tap.min);
                        match active.halving.next(tap.position, upwards, prefer_high) {
                            Step::To(position) => position,
                            Step::Stay => tap.position,
                            Step::Nowhere => {
                                return Err(TapError::NotSettled { regulator: active.regulator.id });
                            }
                        }
                    }
                    (_, wanted) => one_step(tap, (wanted == Ordering::Greater) == at_tap),
                };
                if to != tap.position {
                    tap.position = to;
                    moved = Some(active.regulator.id);
                    changed.push(number);
                }
            }
            if let Some(regulator) = moved {
                steps[rank] += 1;
                steps[rank + 1..].fill(0);
                if steps[rank] > 2 * widest {
                    return Err(TapError::NotSettled { regulator });
                }
                study.change(|assembly| {
                    changed.iter().try_for_each(|&number| groups[rank][number].unit.put(assembly))
                })?;
                continue 'again;
            }
        }
        return Ok(flow);
    }
}

/// The next position towards a higher or lower voltage of the tapped winding; the same at the end.
fn one_step(tap: &Tap, higher: bool) -> i8 {
    let target = if higher { tap.max } else { tap.min };
    match tap.position.cmp(&target) {
        Ordering::Less => tap.position + 1,
        Ordering::Equal => tap.position,
        Ordering::Greater => tap.position - 1,
    }
}

/// Which way the controlled voltage should go.
fn look(network: &Network, assembly: &Assembly, v: &[Complex64], active: &Active<'_>) -> Ordering {
    let side = active.regulator.controlled;
    let (position, u_rated) = active.unit.bus(network, side);
    let bus = &assembly.circuit.buses[position];
    if !bus.energized {
        return Ordering::Equal;
    }
    let wires = assembly.circuit.wires(position as u32);
    let mut compensated: Vec<Complex64> = v[wires].to_vec();
    if let Compensation::Ohm { r_ohm, x_ohm } = active.regulator.compensation {
        // The base of a wire: phase-to-neutral voltage and the power of the wire.
        let z_base = u_rated * u_rated
            / 3.0
            / (assembly.circuit.s_base_va / if assembly.symmetric { 3.0 } else { 1.0 });
        let z = Complex64::new(r_ohm, x_ohm) / z_base;
        for (wire, current) in entering(assembly, active.regulator.transformer, side, v) {
            if let Some(u) = compensated.get_mut(usize::from(wire)) {
                *u += z * current;
            }
        }
    }
    let u = compensated.iter().map(|u| u.norm()).sum::<f64>() / compensated.len() as f64;
    let (set, half) = (active.regulator.u_set_v / u_rated, 0.5 * active.regulator.band_v / u_rated);
    if u > set + half {
        Ordering::Less
    } else if u < set - half {
        Ordering::Greater
    } else {
        Ordering::Equal
    }
}

/// Currents that enter a transformer at one of its sides, p.u.
fn entering(assembly: &Assembly, id: BranchId, side: usize, v: &[Complex64]) -> Vec<(u8, Complex64)> {
    let place = match assembly.branches.get(&id) {
        Some(BranchPlace::Star(windings)) => windings.get(side).map(|place| (place, 0)),
        Some(place) => Some((place, side)),
        None => None,
    };
    let flow_place = match place {
        Some((BranchPlace::Series(element), 0)) => Some(FlowPlace::SeriesFrom(*element)),
        Some((BranchPlace::Series(element), _)) => Some(FlowPlace::SeriesTo(*element)),
        Some((BranchPlace::General(element, terminals), end)) => {
            let terminal = terminals.get(end).copied().flatten();
            terminal.map(|terminal| FlowPlace::General { element: *element, terminal })
        }
        _ => None,
    };
    flow_place.map_or_else(Vec::new, |place| flow::currents(&assembly.circuit, place, v))
}
