//! One door to the solvers: a network goes in, voltages come out. The tree solvers are taken where the circuit is a
//! tree (for estimates: or has a few loops) and the method allows it, the general sparse ones otherwise.

mod deviations;
mod diagnose;
mod doubts;
mod estimate;
mod flow;
mod judge;
mod known;
mod sensitivities;

pub use deviations::{BranchDeviation, BusDeviation, Deviations, EndDeviation, WireDeviation};
pub use diagnose::Diagnosis;
pub use doubts::Doubt;
pub use estimate::{EstimateError, EstimateStudy, Estimation, EstimationMethod};
pub use flow::{Flow, FlowError, FlowMethod, FlowStudy};
pub use judge::{Judgement, Observability};
pub use sensitivities::{Answer, Limited, Moves, Response};

/// Which solver gave an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Solver {
    /// Backward/forward sweep on a tree.
    Sweep,
    /// Gaussian smoother on a tree, with ties where loops close.
    Smoother,
    /// Sparse factors of the whole circuit.
    Sparse,
}

impl Solver {
    /// Its name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sweep => "sweep",
            Self::Smoother => "smoother",
            Self::Sparse => "sparse",
        }
    }
}
