//! One object in the point map: what of its reports is told, when it was measured, and that it is missing.

use super::asdu::{Flags, Object, Value};
use super::cp;
use super::tag::Address;
use crate::counter::Counter;
use crate::house::{self, FUTURE_MAX, Refusal, RejectCode};
use crate::point_map::{MappedPoint, Passed};
use grid::{Measurement, Quality, Quantity, Timestamp};
use std::time::Duration;

/// A counter's reading belongs to the boundary of a quarter-hour when it comes this much later at most, and is no older than
/// this when it says how old it is.
const LATE_MAX: Duration = Duration::from_secs(10);
/// A tag that is older than what was told by no more than this is of a clock that lags; one that is older still is of the past.
pub(super) const LAG_MAX: Duration = Duration::from_secs(60);
/// A tag that is older than the last one by no more than this is a repetition; by more, the station's clock was set.
const REPEATED_MAX: Duration = Duration::from_secs(900);

/// An object and what was told of it.
pub(super) struct Point {
    pub address: Address,
    pub mapped: MappedPoint,
    /// Whether something was heard of it on this connection.
    pub is_heard: bool,
    /// Of an energy.
    counter: Option<Counter>,
    passed: Passed,
    quality: Quality,
    /// The newest time of measurement told; an older one would be taken for a late value.
    told_at: Option<Timestamp>,
    /// The station's newest time tag taken, and what came with it.
    tagged: Option<(Timestamp, Option<f64>, Flags)>,
}

/// What comes of a report.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Taken {
    /// It is told.
    News(Measurement),
    /// It says nothing new.
    Known,
    /// It was taken before, or what came since is newer.
    Repeated,
    /// By its time tag it is of the past, or the station's clock lags; see [`LAG_MAX`].
    Late,
}

/// What a quality descriptor says of the value beside it.
///
/// Invalid, not topical and blocked say that nothing new is known: the value is an old one or none. Substituted and
/// overflow say that it is not what an instrument read.
pub(super) fn quality(flags: Flags) -> Quality {
    match flags {
        Flags { invalid: true, .. } | Flags { not_topical: true, .. } | Flags { blocked: true, .. } => {
            Quality::Missing
        }
        Flags { substituted: true, .. } | Flags { overflow: true, .. } => Quality::Substituted,
        _ => Quality::Measured,
    }
}

impl Point {
    pub fn new((address, mapped): (Address, MappedPoint)) -> Self {
        let counter = (mapped.point.quantity == Quantity::SlotEnergy).then(counter);
        // Nothing was told, not even that it is missing.
        let quality = Quality::Forecast;
        let (passed, told_at, tagged) = (Passed::default(), None, None);
        Self { address, mapped, is_heard: false, counter, passed, quality, told_at, tagged }
    }

    /// Whether it is an energy, which is counted.
    pub fn is_counter(&self) -> bool {
        self.counter.is_some()
    }

    fn measurement(&self, value: f64, quality: Quality, at: Timestamp, now: Timestamp) -> Measurement {
        Measurement { point: self.mapped.point, value, quality, measured_at: at, received_at: now }
    }

    /// What is to be told of a report that came at `now`. `is_asked`: it says what holds now, however long it has.
    pub fn take(
        &mut self,
        object: &Object,
        is_asked: bool,
        now: Timestamp,
        offset_minutes: i32,
    ) -> Result<Taken, Refusal> {
        self.is_heard = true;
        let tag = object.time.and_then(|tag| cp::resolve(tag, now, offset_minutes));
        if let Some(at) = tag.filter(|at| *at > now.plus(FUTURE_MAX)) {
            let reason = format!(
                "the station's time tag {at} is more than 5 min ahead of our clock, {now}; see to its clock and to utc_offset_min"
            );
            return Err((RejectCode::Time, reason));
        }
        match object.value {
            Value::Counter { count, adjusted } => self.count(count, adjusted, object.flags, tag, now),
            Value::Single(on) => self.value(Some(f64::from(u8::from(on))), object.flags, tag, is_asked, now),
            Value::Double(position) => {
                self.value(position.map(|on| f64::from(u8::from(on))), object.flags, tag, is_asked, now)
            }
            Value::Normalised(number) => self.value(Some(number), object.flags, tag, is_asked, now),
            Value::Scaled(number) => self.value(Some(number.into()), object.flags, tag, is_asked, now),
            Value::Float(number) => {
                let number = Some(f64::from(number)).filter(|number| number.is_finite());
                self.value(number, object.flags, tag, is_asked, now)
            }
        }
    }

    fn value(
        &mut self,
        number: Option<f64>,
        flags: Flags,
        tag: Option<Timestamp>,
        is_asked: bool,
        now: Timestamp,
    ) -> Result<Taken, Refusal> {
        if self.is_counter() {
            let reason = "energy is read from a counter (M_IT); this object is a measured value";
            return Err((RejectCode::Value, reason.to_owned()));
        }
        // Nothing fed in is nothing, not minus nothing.
        let value = number.map(|number| number * self.mapped.factor + 0.0);
        if let Some(at) = tag.filter(|_| !is_asked) {
            if self.is_repeated(at, value, flags) {
                return Ok(Taken::Repeated);
            }
            if self.told_at.is_some_and(|told| told.since(at) > LAG_MAX) {
                return Ok(Taken::Late);
            }
            self.tagged = Some((at, value, flags));
        }
        let quality = quality(flags);
        let Some(value) = value.filter(|_| quality != Quality::Missing) else {
            return Ok(self.lose(now).map_or(Taken::Known, Taken::News));
        };
        let at = self.measured_at(tag, is_asked && quality == Quality::Measured, now);
        let measurement = self.measurement(value, quality, at, now);
        house::check_measurement(&measurement)?;
        if quality != self.quality {
            self.passed.forget();
        }
        self.quality = quality;
        if !self.passed.is_news(&measurement, self.mapped.deadband) {
            return Ok(Taken::Known);
        }
        self.told_at = Some(at);
        Ok(Taken::News(measurement))
    }

    /// Whether a change was taken before: a station that was cut off sends again what it does not know to have arrived.
    fn is_repeated(&self, at: Timestamp, value: Option<f64>, flags: Flags) -> bool {
        self.tagged.is_some_and(|(last, ..)| {
            self.tagged == Some((at, value, flags)) || (at < last && last.since(at) <= REPEATED_MAX)
        })
    }

    /// The station's time of a change. What it answers when it is asked holds now, even if it has not changed for hours.
    /// Reports of one object come in its order, so none is older than the one before, whatever the clocks say.
    fn measured_at(&self, tag: Option<Timestamp>, holds_now: bool, now: Timestamp) -> Timestamp {
        let told = tag.unwrap_or(now);
        let at = if holds_now { told.max(now) } else { told };
        self.told_at.map_or(at, |last| last.max(at))
    }

    /// A counter's reading. It counts from when it came: boundaries of quarter-hours are those of our clock.
    fn count(
        &mut self,
        count: u32,
        adjusted: bool,
        flags: Flags,
        tag: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Taken, Refusal> {
        let Some(counter) = self.counter.as_mut() else {
            let reason = "this object is a counter; only an energy is read from one";
            return Err((RejectCode::Value, reason.to_owned()));
        };
        if let Some(at) = tag.filter(|at| now.since(*at) > LATE_MAX) {
            let reason = format!(
                "the counter was read at {at} by the station's clock, more than 10 s ago; see to its clock and to utc_offset_min"
            );
            return Err((RejectCode::Time, reason));
        }
        if quality(flags) != Quality::Measured {
            return Ok(Taken::Known);
        }
        if adjusted {
            *counter = self::counter();
        }
        let Some(counted) = counter.read(count.into(), now) else { return Ok(Taken::Known) };
        let value = counted.count as f64 * self.mapped.factor + 0.0;
        let energy = self.measurement(value, Quality::Measured, counted.slot.end(), now);
        house::check_measurement(&energy)?;
        Ok(Taken::News(energy))
    }

    /// That it is missing, unless that was told. Of an energy nothing is told: there is none.
    pub fn lose(&mut self, now: Timestamp) -> Option<Measurement> {
        self.passed.forget();
        let is_news = self.counter.is_none() && self.quality != Quality::Missing;
        self.quality = Quality::Missing;
        is_news.then(|| self.measurement(0.0, Quality::Missing, now, now))
    }
}

fn counter() -> Counter {
    Counter::new(32, LATE_MAX)
}
