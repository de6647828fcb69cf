//! Controls of a power flow: taps and capacitors that follow the voltages.
//!
//! [`settle`] repeats what OpenDSS does in its static control mode (source of DSS C-API 0.14: `Solution.pas`,
//! `ControlQueue.pas`, `RegControl.pas`, `CapControl.pas`): solve; let every control look; those out of their band stand
//! in a queue with their delay, and those that came back leave it; only the quickest of the queue act; solve again. So a
//! control with a longer delay acts on what the quicker ones left.
//!
//! [`regulate`] is power-grid-model's optimal tap control instead: the position itself is searched for.

mod bank;
mod bisection;
mod order;
mod seen;
mod tap;
mod taps;

pub use taps::{Regulated, TapError, TapStrategy, regulate};

use crate::assembly::{Assembly, AssemblyError};
use crate::circuit::Circuit;
use crate::solve::{NoSolution, Solved};
use bank::Bank;
use grid::network::{Capacitor, WindingTransformer};
use grid::{BranchId, Network};
use std::collections::BTreeMap;
use tap::Tap;
use thiserror::Error;

/// A power flow in which every control rests.
#[derive(Debug, Clone, PartialEq)]
pub struct Settled {
    /// The last solution.
    pub solved: Solved,
    /// How many power flows it took.
    pub rounds: usize,
    /// Transformers under control, with the taps they have now.
    pub transformers: BTreeMap<BranchId, WindingTransformer>,
    /// Capacitors under control, as they are switched now.
    pub capacitors: BTreeMap<u32, Capacitor>,
}

/// Why controls did not come to rest.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum NotAtRest {
    /// A power flow failed.
    #[error(transparent)]
    NoSolution(#[from] NoSolution),
    /// A change that the circuit cannot take.
    #[error(transparent)]
    Assembly(#[from] AssemblyError),
    /// A control of something that is not there, or not of the right kind.
    #[error("control {id}: its {what} cannot be used")]
    Reference {
        /// The control.
        id: u32,
        /// Transformer, winding, capacitor or branch.
        what: &'static str,
    },
    /// They still move.
    #[error("controls still move after {rounds} power flows, control {id} among them")]
    TooManyRounds {
        /// As many as were allowed.
        rounds: usize,
        /// The one that moved last.
        id: u32,
    },
}

/// Something that looks and acts.
trait Control {
    fn id(&self) -> u32;
    /// Looks at the circuit. `Some(delay)` wants to act; `None` rests.
    fn look(&mut self, view: &View) -> Option<f64>;
    /// Acts on what it saw last.
    fn act(&mut self, network: &mut Controlled, assembly: &mut Assembly) -> Result<(), AssemblyError>;
}

/// What controls change.
struct Controlled {
    transformers: BTreeMap<BranchId, WindingTransformer>,
    capacitors: BTreeMap<u32, Capacitor>,
}

/// What controls see.
struct View<'v> {
    assembly: &'v Assembly,
    voltages: &'v [num_complex::Complex64],
    controlled: &'v Controlled,
}

/// Solves with controls until they rest. `assembly` keeps the taps and switches of the end.
///
/// # Errors
/// [`NotAtRest`] says which control or which power flow stands against it.
pub fn settle(
    network: &Network,
    assembly: &mut Assembly,
    rounds_max: usize,
    solve: &mut dyn FnMut(&Circuit) -> Result<Solved, NoSolution>,
) -> Result<Settled, NotAtRest> {
    let (mut controls, mut controlled) = gather(network)?;
    // Waiting controls: when they act, and which.
    let mut queue: Vec<(f64, usize)> = Vec::new();
    let mut last = 0;
    for rounds in 1..=rounds_max {
        let solved = solve(&assembly.circuit)?;
        let view = View { assembly, voltages: &solved.voltages, controlled: &controlled };
        for (at, control) in controls.iter_mut().enumerate() {
            let waiting = queue.iter().position(|&(_, who)| who == at);
            match (control.look(&view), waiting) {
                (Some(delay), None) => queue.push((delay, at)),
                (None, Some(place)) => drop(queue.remove(place)),
                _ => {}
            }
        }
        let Some(soonest) = queue.iter().map(|&(time, _)| time).min_by(f64::total_cmp) else {
            let Controlled { transformers, capacitors } = controlled;
            return Ok(Settled { solved, rounds, transformers, capacitors });
        };
        for &(_, at) in queue.iter().filter(|&&(time, _)| time <= soonest) {
            controls[at].act(&mut controlled, assembly)?;
            last = controls[at].id();
        }
        queue.retain(|&(time, _)| time > soonest);
    }
    Err(NotAtRest::TooManyRounds { rounds: rounds_max, id: last })
}

type Gathered = (Vec<Box<dyn Control>>, Controlled);

fn gather(network: &Network) -> Result<Gathered, NotAtRest> {
    let mut controlled = Controlled { transformers: BTreeMap::new(), capacitors: BTreeMap::new() };
    let mut controls: Vec<Box<dyn Control>> = Vec::new();
    for regulator in network.tap_regulators().iter().filter(|regulator| regulator.active) {
        let wrong = |what| NotAtRest::Reference { id: regulator.id, what };
        let unit = network.winding_transformers().iter().find(|unit| unit.id == regulator.transformer);
        let unit = unit.ok_or(wrong("transformer"))?;
        controls.push(Box::new(Tap::new(regulator, unit).ok_or(wrong("winding"))?));
        controlled.transformers.insert(unit.id, unit.clone());
    }
    for control in network.capacitor_controls().iter().filter(|control| control.active) {
        let wrong = |what| NotAtRest::Reference { id: control.id, what };
        let bank = network.capacitors().iter().find(|bank| bank.id == control.capacitor);
        let bank = bank.ok_or(wrong("capacitor"))?;
        controls.push(Box::new(Bank::new(control, bank)));
        controlled.capacitors.insert(bank.id, bank.clone());
    }
    Ok((controls, controlled))
}

#[cfg(test)]
mod tests;
