//! Why sensors cannot be used, naming the sensor.

use thiserror::Error;

/// What makes a set of sensors no set of readings.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum SensorError {
    /// A number that no meter can give.
    #[error("sensor {sensor}: {quantity} is {value:?}, {expected}")]
    Value {
        /// Which sensor.
        sensor: u32,
        /// Which attribute, with its unit.
        quantity: &'static str,
        /// As given.
        value: f64,
        /// What would be accepted.
        expected: &'static str,
    },
    /// Two sensors carry one number.
    #[error("sensor {0} is given twice")]
    Duplicate(u32),
    /// A sensor on a component that is not there.
    #[error("sensor {sensor} sits at {kind} {object}, which does not exist")]
    Unknown {
        /// Which sensor.
        sensor: u32,
        /// Which kind of component is missing.
        kind: &'static str,
        /// The missing component.
        object: u32,
    },
    /// A sensor where its quantity cannot be measured.
    #[error("sensor {sensor}: a {quantity} cannot be measured at {place}")]
    Place {
        /// Which sensor.
        sensor: u32,
        /// Voltage, power or current.
        quantity: &'static str,
        /// The kind of place.
        place: &'static str,
    },
    /// A current with an absolute angle, but nothing that says where angles count from.
    #[error("sensor {0}: a current with an absolute angle needs a voltage with an angle in the same island")]
    NoAngleReference(u32),
}
