//! The simulated outside world: the plant (feeder physics and everything behind the meters), the field (what its
//! meters and devices say and do), and the scenarios that describe them.
//!
//! Nothing here knows how the plant is estimated or traded with; it meets the system through a connector only.

pub mod plant;
pub mod scenario;

pub use plant::Plant;
pub use scenario::Scenario;
