//! What is asked of the history.

use crate::error::HistoryError;
use crate::value::{Kind, Value, code};
use grid::{PointId, Timestamp};
use std::collections::BTreeSet;

/// Which versions of a value are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Versions {
    /// The newest of each instant.
    #[default]
    Newest,
    /// The newest that was there at an instant: what could be known then.
    AsOf(Timestamp),
    /// All, oldest first.
    All,
}

/// What is asked: values of some points in a span of time.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// Which kind.
    pub kind: Kind,
    /// Which points; none means all.
    pub points: Vec<PointId>,
    /// First instant.
    pub from: Timestamp,
    /// First instant after it.
    pub until: Timestamp,
    /// Which versions.
    pub versions: Versions,
    /// Values that may be returned; with more it is an error. Versions that are not wanted do not count, however many there are.
    pub most: usize,
}

/// A query as it is worked on.
pub(crate) struct Wanted {
    kind: Kind,
    points: BTreeSet<u64>,
    from: Timestamp,
    until: Timestamp,
    as_of: Timestamp,
}

impl Wanted {
    pub(crate) fn new(query: &Query) -> Self {
        let as_of = match query.versions {
            Versions::AsOf(at) => at,
            Versions::Newest | Versions::All => Timestamp::from_nanos(i64::MAX),
        };
        let points = query.points.iter().map(|point| code(*point)).collect();
        Self { kind: query.kind, points, from: query.from, until: query.until, as_of }
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether a value is wanted, whatever its version.
    pub(crate) fn fits(&self, value: &Value) -> bool {
        value.kind == self.kind
            && self.from <= value.measured_at
            && value.measured_at < self.until
            && value.received_at <= self.as_of
            && self.has(code(value.point))
    }

    pub(crate) fn has(&self, point: u64) -> bool {
        self.points.is_empty() || self.points.contains(&point)
    }

    /// Whether values of points from `first` to `last`, and of instants from `from` to `until`, may be wanted.
    pub(crate) fn overlaps(&self, points: (u64, u64), instants: (Timestamp, Timestamp)) -> bool {
        instants.0 < self.until
            && self.from <= instants.1
            && (self.points.is_empty() || self.points.range(points.0..=points.1).next().is_some())
    }
}

/// Least number of values that are gathered before those that are not wanted are left out.
const GATHERED_MIN: usize = 1024;

/// What was found so far. Never much more than twice what may be returned, whatever lies there.
pub(crate) struct Gathered {
    versions: Versions,
    most: usize,
    values: Vec<Value>,
}

impl Gathered {
    /// Nothing yet, of what a query asks.
    pub(crate) fn new(versions: Versions, most: usize) -> Self {
        Self { versions, most, values: Vec::new() }
    }

    /// One more. Of two with the same version the later one counts.
    pub(crate) fn put(&mut self, value: Value) -> Result<(), HistoryError> {
        if self.values.len() >= self.most.saturating_mul(2).max(GATHERED_MIN) {
            self.leave_out()?;
        }
        self.values.push(value);
        Ok(())
    }

    /// All that was found, in order: by point, instant, version.
    pub(crate) fn finish(mut self) -> Result<Vec<Value>, HistoryError> {
        self.leave_out()?;
        Ok(self.values)
    }

    fn leave_out(&mut self) -> Result<(), HistoryError> {
        self.values = ordered(std::mem::take(&mut self.values), self.versions);
        match self.values.len() > self.most {
            true => Err(HistoryError::TooMany { most: self.most }),
            false => Ok(()),
        }
    }
}

/// Sorts what was found, and leaves one version of each instant where only one is wanted.
fn ordered(mut found: Vec<Value>, versions: Versions) -> Vec<Value> {
    // Stable: of two with the same version the later written one comes last.
    found.sort_by_key(Value::order);
    // A copy that was taken up again may have the same twice.
    found.dedup();
    if versions == Versions::All {
        return found;
    }
    let mut newest: Vec<Value> = Vec::with_capacity(found.len());
    for value in found {
        match newest.last_mut() {
            Some(last) if (last.point, last.measured_at) == (value.point, value.measured_at) => *last = value,
            _ => newest.push(value),
        }
    }
    newest
}
