//! The newest forecast, for whoever asks from outside.

use grid::UsagePointForecast;
use std::sync::{Arc, Mutex, PoisonError};

/// The newest forecast of every usage point. Clones speak of the same.
#[derive(Debug, Clone, Default)]
pub struct Forecasts(Arc<Mutex<Option<Arc<Vec<UsagePointForecast>>>>>);

impl Forecasts {
    /// As it was issued last; `None` before the first.
    pub fn newest(&self) -> Option<Arc<Vec<UsagePointForecast>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces it.
    pub fn issue(&self, forecasts: Arc<Vec<UsagePointForecast>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(forecasts);
    }
}
