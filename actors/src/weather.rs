//! How warm it was and will be, from wherever that is known.

use grid::Slot;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// Air temperature by quarter-hour, measured or forecast, thousandths of a degree Celsius. Asking may wait for a disk.
#[derive(Clone)]
pub struct Weather(Arc<dyn Fn(Range<Slot>) -> BTreeMap<Slot, i32> + Send + Sync>);

impl Weather {
    /// What a function knows.
    pub fn of(known: impl Fn(Range<Slot>) -> BTreeMap<Slot, i32> + Send + Sync + 'static) -> Self {
        Self(Arc::new(known))
    }

    /// What is known of some quarter-hours.
    pub fn temperature(&self, slots: Range<Slot>) -> BTreeMap<Slot, i32> {
        (self.0)(slots)
    }
}

impl fmt::Debug for Weather {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Weather")
    }
}
