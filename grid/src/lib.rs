//! The words gridflex is written in: identifiers, quantities, time, the network model, measurements,
//! estimates and forecasts.
//!
//! Two conventions hold everywhere and are converted at the edges only:
//!
//! * **Sign**: load convention. Positive power or energy is taken from the grid.
//! * **Time**: UTC in integer nanoseconds; a market slot is the half-open quarter-hour `[start, end)`.
//!
//! This crate knows no actor, no runtime, no file, no clock reading and no wire format; [`mod@packed`] is the one way to write
//! values as bytes, [`mod@side_by_side`] the one way to spread numerics over the processors.

pub mod defect;
pub mod estimate;
pub mod forecast;
pub mod id;
pub mod name;
pub mod network;
pub mod packed;
pub mod phase;
pub mod quantity;
pub mod sensor;
pub mod side_by_side;
pub mod telemetry;
pub mod time;
pub mod topology;

pub use estimate::{
    BranchEstimate, BusEstimate, Consistency, Estimate, Observability, Residual, Tested, Untestable,
    UsagePointEstimate,
};
pub use forecast::{Congestion, Outlook, SlotForecast, UsagePointForecast};
pub use id::{BranchId, BusId, DeviceId, IdError, ProsumerId, UsagePointId};
pub use network::{Network, NetworkError};
pub use phase::{PerPhase, Phase};
pub use quantity::{EnergyMwh, Money, QuantityError};
pub use sensor::{PhaseValue, Sensor, SensorPlace, SensorValue};
pub use side_by_side::{Beside, beside, side_by_side};
pub use telemetry::{Measurement, PointError, PointId, Quality, Quantity};
pub use time::{Clock, Slot, TimeError, Timestamp};
pub use topology::Topology;
