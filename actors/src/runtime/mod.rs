//! What every actor lives in: time, where heavy work runs, addresses, the shell that restarts a stage in place,
//! and the supervisor above all of them.

pub mod backoff;
pub mod cause;
pub mod clock;
pub mod credit;
pub mod depths;
pub mod environment;
pub mod hold_ups;
pub mod incidents;
pub mod quarantine;
pub mod shell;
pub mod stage;
pub mod supervisor;

pub use cause::Cause;
pub use clock::{ScaledClock, Stopwatch, WallClock};
pub use credit::{Credit, Credits};
pub use depths::{Depths, StageSeen};
pub use environment::{Compute, Environment};
pub use hold_ups::HoldUps;
pub use incidents::Incidents;
pub use quarantine::{Quarantine, SetAside};
pub use stage::{Address, Context, Delivery, Stage};
pub use supervisor::{Escalation, Escalator, Supervisor};
