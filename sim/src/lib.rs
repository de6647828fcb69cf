//! The simulated outside world: the plant (feeder physics and everything behind the meters), the field (what its
//! meters and devices say and do), and the scenarios that describe them.
//!
//! Plant and field know nothing of how they are estimated or traded with; they meet the system through a connector.

pub mod field;
pub mod plant;
pub mod report;
pub mod run;
pub mod scenario;

pub use plant::Plant;
pub use scenario::Scenario;
