//! What every actor lives in: time, where heavy work runs, addresses, the shell that restarts a stage in place,
//! and the supervisor above all of them.

pub mod clock;
pub mod environment;
pub mod incidents;
pub mod shell;
pub mod stage;
pub mod supervisor;

pub use clock::{ScaledClock, WallClock};
pub use environment::{Compute, Environment};
pub use incidents::Incidents;
pub use stage::{Address, Context, Delivery, Stage};
pub use supervisor::{Escalation, Supervisor};
