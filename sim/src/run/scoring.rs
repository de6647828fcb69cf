//! How good the picture is: estimated against true values, minute by minute.

use crate::field::Minute;
use actors::picture::Picture;
use grid::Timestamp;
use serde::Serialize;
use std::fmt;

/// Errors of the estimator over a run.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Score {
    /// Minutes compared.
    pub minutes: usize,
    /// Root mean square error of the most loaded transformer's loading, fraction of the rating.
    pub loading_rmse: f64,
    /// Largest error of it, fraction of the rating.
    pub loading_error_max: f64,
    /// Root mean square error of the lowest voltage in the feeder, p.u.
    pub voltage_min_rmse: f64,
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (rmse, max, voltage) =
            (self.loading_rmse * 100.0, self.loading_error_max * 100.0, self.voltage_min_rmse * 100.0);
        write!(f, "{rmse:.2} % rms, {max:.2} % at most; lowest voltage {voltage:.2} % rms")
    }
}

/// What the picture said at one estimate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Said {
    at: Timestamp,
    loading: f64,
    u_min_pu: f64,
}

/// Collects what the picture said, each estimate once.
#[derive(Debug, Clone)]
pub struct Scorer {
    said: Vec<Said>,
    /// Branches before the transformers.
    lines: usize,
}

impl Scorer {
    /// A scorer of a network with so many lines.
    pub fn new(lines: usize) -> Self {
        Self { said: Vec::new(), lines }
    }

    /// Takes note of a picture.
    pub fn see(&mut self, picture: &Picture) {
        let transformers =
            picture.estimate.iter().flat_map(|estimate| estimate.branches.iter().skip(self.lines));
        let loading = transformers.filter_map(|transformer| transformer.loading).reduce(f64::max);
        let (Some(at), Some(loading)) = (picture.voltages.at, loading) else { return };
        if self.said.last().is_some_and(|said| said.at >= at) {
            return;
        }
        let voltages = &picture.voltages;
        let all = voltages.a.iter().chain(&voltages.b).chain(&voltages.c).flatten();
        let u_min_pu = all.fold(f64::INFINITY, |least, u| least.min(f64::from(*u)));
        self.said.push(Said { at, loading, u_min_pu });
    }

    /// Compares with what was true in the minute of each estimate.
    pub fn score(&self, truth: &[Minute]) -> Score {
        let mut score = Score::default();
        let (mut loading_squares, mut voltage_squares) = (0.0, 0.0);
        for said in &self.said {
            let minute = Timestamp::from_seconds(said.at.seconds().div_euclid(60) * 60);
            let Ok(at) = truth.binary_search_by_key(&minute, |minute| minute.at) else { continue };
            let error = said.loading - truth[at].transformer_loading;
            loading_squares += error * error;
            voltage_squares += (said.u_min_pu - truth[at].u_min_pu).powi(2);
            score.loading_error_max = score.loading_error_max.max(error.abs());
            score.minutes += 1;
        }
        let count = score.minutes.max(1) as f64;
        score.loading_rmse = (loading_squares / count).sqrt();
        score.voltage_min_rmse = (voltage_squares / count).sqrt();
        score
    }
}
