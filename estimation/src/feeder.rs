//! The radial structure of a network: one source, no loops, every bus but the first hanging on one branch.
//!
//! Positions count buses in depth-first order, so a parent stands before its children: a walk up is a loop
//! from the back, a walk down a loop from the front. Outside this crate everything is in the network's order.

use crate::line_impedance::{line_two_port, source_impedance_ohm};
use crate::transformer::transformer_two_port;
use crate::two_port::{PhaseMatrix, PhaseVector, ROTATION, TwoPort};
use grid::network::{Line, Network, Transformer};
use grid::{BranchId, BusId, Phase, UsagePointId};
use num_complex::Complex64;
use std::collections::BTreeMap;
use std::sync::Arc;
use thiserror::Error;

/// Why a network cannot be treated as a radial feeder.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TopologyError {
    /// A branch closes a loop.
    #[error("branch {branch} closes a loop; only radial networks are solved")]
    Loop {
        /// The branch.
        branch: BranchId,
    },
    /// More than one infeed.
    #[error("the network has {count} sources, at buses {first} and {second} among others; one is needed")]
    SeveralSources {
        /// How many.
        count: usize,
        /// Bus of the first.
        first: BusId,
        /// Bus of the second.
        second: BusId,
    },
    /// A transformer whose downstream side would have no defined neutral.
    #[error(
        "transformer {branch} feeds a {downstream} winding from a {upstream} winding; \
         a grounded star fed from a delta or a grounded star is needed"
    )]
    UnsupportedTransformer {
        /// The transformer.
        branch: BranchId,
        /// Winding towards the source.
        upstream: &'static str,
        /// Winding away from the source.
        downstream: &'static str,
    },
    /// A clock number that the windings cannot have.
    #[error("transformer {branch} cannot have clock {clock}: star-star is even, delta-star is odd")]
    ImpossibleClock {
        /// The transformer.
        branch: BranchId,
        /// The clock number.
        clock: u8,
    },
    /// A bus without a way to the source (a checked network has none).
    #[error("bus {bus} has no connection to the source")]
    NotFed {
        /// The bus.
        bus: BusId,
    },
}

/// A line or a transformer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum BranchRef<'a> {
    /// A line.
    Line(&'a Line),
    /// A transformer.
    Transformer(&'a Transformer),
}

impl BranchRef<'_> {
    /// Its number.
    pub fn id(&self) -> BranchId {
        match self {
            BranchRef::Line(line) => line.id,
            BranchRef::Transformer(transformer) => transformer.id,
        }
    }

    /// The bus at its `from` side, where its flow is metered.
    pub fn from(&self) -> BusId {
        match self {
            BranchRef::Line(line) => line.from,
            BranchRef::Transformer(transformer) => transformer.from,
        }
    }
}

/// The branch above a bus.
#[derive(Debug, Clone)]
pub(crate) struct Section {
    /// Position of the bus towards the source.
    pub(crate) parent: usize,
    /// Position of the branch: lines, then transformers, in the network's order.
    pub(crate) branch: usize,
    /// Whether the source lies at the branch's `from` side.
    pub(crate) fed_from_from: bool,
    pub(crate) port: TwoPort,
}

/// Where a usage point takes its power.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tap {
    pub(crate) position: usize,
    pub(crate) phase: Option<Phase>,
}

impl Tap {
    /// The phases it takes from and the share of its power on each.
    pub(crate) fn shares(&self) -> (&'static [Phase], f64) {
        match self.phase {
            Some(Phase::A) => (&[Phase::A], 1.0),
            Some(Phase::B) => (&[Phase::B], 1.0),
            Some(Phase::C) => (&[Phase::C], 1.0),
            None => (&Phase::ALL, 1.0 / 3.0),
        }
    }
}

/// A radial network with everything that does not change from solve to solve.
#[derive(Debug, Clone)]
pub struct Feeder {
    network: Arc<Network>,
    /// Position → index of the bus in the network.
    pub(crate) order: Vec<usize>,
    /// Index of the bus in the network → position.
    pub(crate) position: Vec<usize>,
    /// The branch above position `i + 1`.
    pub(crate) sections: Vec<Section>,
    /// Branch → position of the bus below it.
    pub(crate) below: Vec<usize>,
    pub(crate) source_z: PhaseMatrix,
    /// Nominal source voltage behind the impedance, V.
    pub(crate) emf: PhaseVector,
    /// One per usage point.
    pub(crate) taps: Vec<Tap>,
    /// Rated phase-to-neutral voltage per position, V.
    pub(crate) u_phase_rated_v: Vec<f64>,
    branch_of: BTreeMap<BranchId, usize>,
    usage_point_of: BTreeMap<UsagePointId, usize>,
}

impl Feeder {
    /// Finds the radial structure. Errors: more than one source, a loop, an unsupported transformer.
    pub fn new(network: &Network) -> Result<Self, TopologyError> {
        if let [first, second, ..] = network.sources() {
            return Err(TopologyError::SeveralSources {
                count: network.sources().len(),
                first: first.bus,
                second: second.bus,
            });
        }
        let source = &network.sources()[0];
        let root = bus_index(network, source.bus)?;
        let (order, sections) = depth_first(network, root)?;
        let mut position = vec![usize::MAX; network.buses().len()];
        for (at, &bus) in order.iter().enumerate() {
            position[bus] = at;
        }
        if let Some(missing) = position.iter().position(|&at| at == usize::MAX) {
            return Err(TopologyError::NotFed { bus: network.buses()[missing].id });
        }
        let mut below = vec![0; sections.len()];
        for (index, section) in sections.iter().enumerate() {
            below[section.branch] = index + 1;
        }
        let mut taps = Vec::with_capacity(network.usage_points().len());
        for point in network.usage_points() {
            let position = position[bus_index(network, point.bus)?];
            taps.push(Tap { position, phase: point.phase });
        }
        let root_u = network.buses()[root].u_rated_v;
        let emf = Complex64::new(source.u_ref_pu * root_u / 3.0_f64.sqrt(), 0.0);
        let lines = network.lines().iter().map(|line| line.id);
        let branches = lines.chain(network.transformers().iter().map(|unit| unit.id));
        let usage_points = network.usage_points().iter().map(|point| point.id);
        Ok(Self {
            branch_of: branches.zip(0..).collect(),
            usage_point_of: usage_points.zip(0..).collect(),
            source_z: source_impedance_ohm(source, root_u),
            emf: PhaseVector::new(emf, emf * ROTATION.conj(), emf * ROTATION),
            u_phase_rated_v: order.iter().map(|&b| network.buses()[b].u_rated_v / 3.0_f64.sqrt()).collect(),
            network: Arc::new(network.clone()),
            order,
            position,
            sections,
            below,
            taps,
        })
    }

    /// The network it was made from.
    pub fn network(&self) -> &Arc<Network> {
        &self.network
    }

    /// Number of branches: lines, then transformers.
    pub fn branch_count(&self) -> usize {
        self.below.len()
    }

    /// A branch by its position: lines, then transformers, in the network's order.
    pub fn branch(&self, position: usize) -> Option<BranchRef<'_>> {
        let lines = self.network.lines();
        match lines.get(position) {
            Some(line) => Some(BranchRef::Line(line)),
            None => self.network.transformers().get(position - lines.len()).map(BranchRef::Transformer),
        }
    }

    /// The position of a branch by its number.
    pub fn branch_position(&self, branch: BranchId) -> Option<usize> {
        self.branch_of.get(&branch).copied()
    }

    /// Which of the network's usage points has a number.
    pub fn usage_point_position(&self, point: UsagePointId) -> Option<usize> {
        self.usage_point_of.get(&point).copied()
    }

    /// The section above a position; `None` at the source.
    pub(crate) fn section(&self, position: usize) -> Option<&Section> {
        position.checked_sub(1).and_then(|index| self.sections.get(index))
    }
}

fn bus_index(network: &Network, bus: BusId) -> Result<usize, TopologyError> {
    network.bus_index(bus).ok_or(TopologyError::NotFed { bus })
}

/// One end of a branch as seen from the bus at the other end.
struct Neighbour {
    bus: usize,
    branch: usize,
    here_is_from: bool,
}

fn neighbours(network: &Network) -> Result<Vec<Vec<Neighbour>>, TopologyError> {
    let mut neighbours: Vec<Vec<Neighbour>> = network.buses().iter().map(|_| Vec::new()).collect();
    let ends = (network.lines().iter().map(|l| (l.from, l.to)))
        .chain(network.transformers().iter().map(|t| (t.from, t.to)));
    for (branch, (from, to)) in ends.enumerate() {
        let (from, to) = (bus_index(network, from)?, bus_index(network, to)?);
        neighbours[from].push(Neighbour { bus: to, branch, here_is_from: true });
        neighbours[to].push(Neighbour { bus: from, branch, here_is_from: false });
    }
    Ok(neighbours)
}

fn depth_first(network: &Network, root: usize) -> Result<(Vec<usize>, Vec<Section>), TopologyError> {
    let neighbours = neighbours(network)?;
    let mut seen = vec![false; network.buses().len()];
    let mut order = Vec::with_capacity(seen.len());
    let mut sections = Vec::with_capacity(seen.len());
    let mut waiting: Vec<(usize, Option<Section>)> = vec![(root, None)];
    while let Some((bus, section)) = waiting.pop() {
        let above = section.as_ref().map(|section| section.branch);
        if std::mem::replace(&mut seen[bus], true) {
            let branch = branch_id(network, above.unwrap_or_default());
            return Err(TopologyError::Loop { branch });
        }
        let here = order.len();
        order.push(bus);
        sections.extend(section);
        for next in neighbours[bus].iter().rev().filter(|next| Some(next.branch) != above) {
            if seen[next.bus] {
                return Err(TopologyError::Loop { branch: branch_id(network, next.branch) });
            }
            let port = two_port(network, next.branch, next.here_is_from)?;
            let section =
                Section { parent: here, branch: next.branch, fed_from_from: next.here_is_from, port };
            waiting.push((next.bus, Some(section)));
        }
    }
    Ok((order, sections))
}

fn branch_id(network: &Network, branch: usize) -> BranchId {
    let lines = network.lines();
    lines.get(branch).map_or_else(|| network.transformers()[branch - lines.len()].id, |line| line.id)
}

fn two_port(network: &Network, branch: usize, fed_from_from: bool) -> Result<TwoPort, TopologyError> {
    let lines = network.lines();
    match lines.get(branch) {
        Some(line) => Ok(line_two_port(line)),
        None => transformer_two_port(&network.transformers()[branch - lines.len()], fed_from_from),
    }
}
