//! The estimator of a live region: telemetry and expectations in, voltages, flows and loads out, each with its standard
//! deviation and what it rests on.
//!
//! It is the tree smoother ([`crate::smoother`]) behind measurement points instead of readings. Every usage point has an
//! expectation, so the region is always determined; what measurements alone determine is told apart
//! ([`grid::Observability`]).

mod consistency;
mod kept;
mod outcome;
mod readings;
#[cfg(test)]
mod tests;

use crate::assembly::{AppliancePlace, Assembly, AssemblyError};
use crate::circuit::{NotATree, Readings, Tree};
use crate::feeder::Feeder;
use crate::measurement_set::{EstimationError, MeasurementSet, check};
use crate::smoother::{Estimated, Observability, Smoother};
use crate::solve::{NoSolution, Tolerance};
use grid::{Estimate, Network, Phase, Timestamp};
use readings::LiveReadings;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use thiserror::Error;

pub use kept::KeptEstimate;

/// Why a feeder cannot be estimated live.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum NotEstimable {
    /// A component without equations.
    #[error(transparent)]
    Assembly(#[from] AssemblyError),
    /// It is no tree.
    #[error("the network is no tree: {0}")]
    Tree(#[from] NotATree),
}

/// How many of their standard deviations measurements are taken for, one trial after the other. A meter that lies grossly
/// pulls a Gauss–Newton step beyond what a power flow can follow; believed less, it no longer does, and its residual
/// names it all the same.
const DOUBTS: [f64; 3] = [1.0, 8.0, 64.0];

/// A wire where usage points take power.
#[derive(Debug)]
struct Taken {
    bus: u32,
    wire: u8,
    /// Usage points with the share of their power that they take here.
    points: Vec<(usize, f64)>,
}

/// Estimates the state of one feeder. Made once per topology: O(buses).
#[derive(Debug)]
pub struct LiveEstimator {
    feeder: Arc<Feeder>,
    assembly: Assembly,
    tree: Tree,
    taken: Vec<Taken>,
    /// Wires of the source.
    free: Vec<u32>,
    /// What readings of the newest pattern determine: the same instruments speak most of the time.
    seen: Mutex<Option<(Readings, Arc<[Observability]>)>>,
}

impl LiveEstimator {
    /// Prepares a feeder.
    ///
    /// # Errors
    /// [`NotEstimable`] when it is no tree of three-phase elements.
    pub fn new(feeder: Arc<Feeder>) -> Result<Self, NotEstimable> {
        let assembly = Assembly::new(feeder.network(), false)?;
        let tree = Tree::new(&assembly.circuit)?;
        let taken = taken(feeder.network(), &assembly);
        let mut free: Vec<u32> = Vec::new();
        for source in &assembly.circuit.sources {
            free.extend(assembly.circuit.wires(source.bus).map(|wire| wire as u32));
        }
        free.sort_unstable();
        free.dedup();
        Ok(Self { feeder, assembly, tree, taken, free, seen: Mutex::default() })
    }

    /// The feeder it estimates.
    pub fn feeder(&self) -> &Arc<Feeder> {
        &self.feeder
    }

    fn network(&self) -> &Network {
        self.feeder.network()
    }

    /// What these readings determine, by global wire. `smoother` has them.
    fn observability(&self, readings: &Readings, smoother: &mut Smoother) -> Arc<[Observability]> {
        let pattern = readings.pattern();
        let known = |seen: &(Readings, Arc<[Observability]>)| (seen.0 == pattern).then(|| seen.1.clone());
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.as_ref().and_then(known).unwrap_or_else(|| {
            let found: Arc<[Observability]> = smoother.observability().into();
            *seen = Some((pattern, found.clone()));
            found
        })
    }

    /// The state that fits the values and expectations best, with standard deviations from the curvature at the
    /// optimum. The supply voltage is its reference ± 3 %, its angles ± 0.01 rad. Supported points: bus `u` per phase;
    /// branch `i` per phase, `p` and `q` per phase and total; usage point `p`, `q`.
    ///
    /// # Errors
    /// [`EstimationError`] names the point, expectation or bus that is wrong.
    pub fn estimate(&self, at: Timestamp, set: &MeasurementSet) -> Result<Estimate, EstimationError> {
        Ok(self.solve(at, set, None)?.0)
    }

    /// The same, with what is needed to go on from it. An estimate made before (`spare`, of this region; it is used up)
    /// spares work: where only values differ its factors serve, otherwise its state is where the iteration begins. The
    /// optimum is the same.
    ///
    /// # Errors
    /// [`EstimationError`] as above.
    pub fn estimate_and_keep(
        self: &Arc<Self>,
        at: Timestamp,
        set: &MeasurementSet,
        spare: Option<KeptEstimate>,
    ) -> Result<(Estimate, KeptEstimate), EstimationError> {
        let (estimate, live, smoother) = self.solve(at, set, spare)?;
        Ok((estimate, KeptEstimate::new(self.clone(), set, live, smoother)))
    }

    fn solve(
        &self,
        at: Timestamp,
        set: &MeasurementSet,
        spare: Option<KeptEstimate>,
    ) -> Result<(Estimate, LiveReadings, Smoother), EstimationError> {
        check(&self.feeder, set)?;
        let mut spare = spare.filter(|spare| spare.is_of(self));
        let mut last = None;
        for doubt in DOUBTS {
            let live = readings::readings(self, set, doubt)?;
            match self.settled(&live.readings, spare.take())? {
                Ok((mut smoother, solved)) => {
                    match outcome::outcome(self, at, set, &live, &mut smoother, &solved) {
                        Ok(estimate) => return Ok((estimate, live, smoother)),
                        Err(error) => last = Some(self.named(&error)),
                    }
                }
                Err(error) => last = Some(self.named(&error)),
            }
        }
        Err(last.unwrap_or(EstimationError::NotConverged { iterations: 0, step: 0.0 }))
    }

    /// The optimum of readings, from what there is.
    fn settled(
        &self,
        readings: &Readings,
        spare: Option<KeptEstimate>,
    ) -> Result<Result<(Smoother, Estimated), NoSolution>, EstimationError> {
        let tolerance = Tolerance::default();
        let mut begin = None;
        if let Some(KeptEstimate { mut smoother, readings: before, .. }) = spare {
            if readings.differs_in_values_only(&before) {
                smoother.set_values(readings);
                // Deviations are told from factors at the optimum.
                if let Ok(solved) = smoother.estimate_kept(tolerance)
                    && smoother.renew_factors().is_ok()
                {
                    return Ok(Ok((smoother, solved)));
                }
            } else {
                begin = Some(smoother);
            }
        }
        let mut smoother = Smoother::new(&self.assembly.circuit, &self.tree, readings)
            .map_err(|error| EstimationError::Structure { reason: error.to_string() })?;
        let solved = match &mut begin {
            Some(begin) => smoother.estimate_from(begin, tolerance),
            None => smoother.estimate(tolerance),
        };
        Ok(solved.map(|solved| (smoother, solved)))
    }
}

/// The wires where usage points take power, by bus and wire.
fn taken(network: &Network, assembly: &Assembly) -> Vec<Taken> {
    let mut found: BTreeMap<(u32, u8), Vec<(usize, f64)>> = BTreeMap::new();
    for (number, point) in network.usage_points().iter().enumerate() {
        let Some((bus, place)) = assembly.appliances.get(&point.id.0) else { continue };
        if *place == AppliancePlace::Off {
            continue;
        }
        let phases = match &point.phase {
            Some(phase) => std::slice::from_ref(phase),
            None => &Phase::ALL,
        };
        for phase in phases {
            let share = 1.0 / phases.len() as f64;
            found.entry((*bus, phase.index() as u8)).or_default().push((number, share));
        }
    }
    found.into_iter().map(|((bus, wire), points)| Taken { bus, wire, points }).collect()
}
