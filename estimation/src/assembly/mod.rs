//! From a network to its equations: buses numbered, islands found, every element per unit. This is the only place
//! where volts and ohms become per unit.
//!
//! The electrical models are power-grid-model's where it has the component (documentation, "Components" and
//! "Calculations"), OpenDSS's otherwise; each file names its source. Elements at dead buses are left out: their place is
//! [`BranchPlace::Off`] or [`AppliancePlace::Off`].

mod appliances;
mod branches;
mod coupled;
mod element;
mod energized;
mod frame;
mod matrix;
mod placement;
mod replace;
mod sequence;
mod transformer;

pub(crate) use coupled::delta_forward;
pub use placement::{AppliancePlace, BranchPlace};

use crate::circuit::Circuit;
use element::Builder;
use frame::Frame;
use grid::network::Wire;
use grid::{BranchId, BusId, Network};
use std::collections::BTreeMap;
use thiserror::Error;

/// A circuit with the way back to the network.
#[derive(Debug, Clone, PartialEq)]
pub struct Assembly {
    /// The equations.
    pub circuit: Circuit,
    /// Whether it is a symmetric calculation: one wire per bus.
    pub symmetric: bool,
    /// Bus → position in `circuit.buses`: the same as in `Network::buses` (the star points of three-winding transformers
    /// come after these).
    pub buses: BTreeMap<BusId, u32>,
    /// Branch → place.
    pub branches: BTreeMap<BranchId, BranchPlace>,
    /// Appliance → bus position and place. Usage points are appliances under their own number when no load has it
    /// (otherwise they *are* that load).
    pub appliances: BTreeMap<u32, (u32, AppliancePlace)>,
    /// Which conductor each wire is, by global wire number; ascending within a bus. Symmetric: conductor 1.
    pub wires: Vec<Wire>,
}

/// Why a network has no equations.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AssemblyError {
    /// Clock and windings that do not go together.
    #[error(
        "{kind} {id}: clock {clock} is impossible with its windings (even between stars, odd between star and delta)"
    )]
    Clock {
        /// Which kind of transformer.
        kind: &'static str,
        /// Its number.
        id: u32,
        /// As given.
        clock: i8,
    },
    /// An impedance that cannot be turned into an admittance.
    #[error("{kind} {id}: its {what} is singular")]
    Singular {
        /// Which kind of component.
        kind: &'static str,
        /// Its number.
        id: u32,
        /// Which matrix or value.
        what: &'static str,
    },
    /// A component that only a symmetric calculation has a model for.
    #[error("{kind} {id} has no zero sequence: only a symmetric calculation can use it")]
    OnlySymmetric {
        /// Which kind of component.
        kind: &'static str,
        /// Its number.
        id: u32,
    },
    /// A component that only an asymmetric calculation has a model for.
    #[error("{kind} {id} has no positive sequence of its own: only an asymmetric calculation can use it")]
    OnlyAsymmetric {
        /// Which kind of component.
        kind: &'static str,
        /// Its number.
        id: u32,
    },
    /// A change that a circuit in place cannot take: a switch moved, another number of ports. Assemble anew.
    #[error("{kind} {id} changed its connection: the network has to be assembled anew")]
    Topology {
        /// Which kind of component.
        kind: &'static str,
        /// Its number.
        id: u32,
    },
    /// A value that left the range of numbers on its way to per unit.
    #[error("{kind} {id}: its per-unit values are not finite")]
    NotFinite {
        /// Which kind of component.
        kind: &'static str,
        /// Its number.
        id: u32,
    },
}

impl Assembly {
    /// The equations of a network, symmetric (positive sequence, one wire per bus) or asymmetric.
    ///
    /// # Errors
    /// [`AssemblyError`] names the component that has no model in this calculation.
    pub fn new(network: &Network, symmetric: bool) -> Result<Self, AssemblyError> {
        let energized = energized::energized(network);
        let frame = Frame::new(network, symmetric, &energized);
        let mut builder = Builder::new(frame);
        branches::add_branches(&mut builder, network)?;
        appliances::add_appliances(&mut builder, network)?;
        Ok(builder.finish(network))
    }

    /// The conductors of a bus, by local wire number.
    pub fn conductors(&self, bus: u32) -> &[Wire] {
        &self.wires[self.circuit.wires(bus)]
    }
}

#[cfg(test)]
pub(crate) mod tests;
