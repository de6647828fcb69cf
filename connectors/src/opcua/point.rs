//! One point: what of its reports is told, when it was measured, and that it is missing.

use super::decode::Reading;
use super::tag::Tag;
use crate::house::{self, FUTURE_MAX, Refusal, RejectCode};
use crate::point_map::{MappedPoint, Passed};
use grid::{Measurement, Quality, Timestamp};

/// How a report came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// The server saw it change.
    Changed,
    /// It was asked for, or is the first one after a subscription: it says what holds now, however long it has.
    Asked,
}

/// A point and what was told of it.
pub(super) struct Point {
    pub tag: Tag,
    pub mapped: MappedPoint,
    /// When something was last heard of it on this connection; `None`: nothing yet.
    pub heard_at: Option<Timestamp>,
    passed: Passed,
    quality: Quality,
    /// The newest time of measurement told; an older one would be taken for a late value.
    told_at: Option<Timestamp>,
}

impl Point {
    pub fn new((tag, mapped): (Tag, MappedPoint)) -> Self {
        let passed = Passed::default();
        // Nothing was told, not even that it is missing.
        Self { tag, mapped, heard_at: None, passed, quality: Quality::Forecast, told_at: None }
    }

    fn measurement(&self, value: f64, quality: Quality, at: Timestamp, now: Timestamp) -> Measurement {
        Measurement { point: self.mapped.point, value, quality, measured_at: at, received_at: now }
    }

    /// What is to be told of a report.
    pub fn take(
        &mut self,
        reading: &Reading,
        cause: Cause,
        now: Timestamp,
    ) -> Result<Option<Measurement>, Refusal> {
        self.heard_at = Some(now);
        let Some(number) = reading.number else { return Ok(self.lose(now)) };
        // Nothing fed in is nothing, not minus nothing.
        let value = number * self.mapped.factor + 0.0;
        let at = self.measured_at(reading, cause, now);
        if at > now.plus(FUTURE_MAX) {
            let reason = format!("the source timestamp {at} is more than 5 min ahead of our clock, {now}");
            return Err((RejectCode::Time, reason));
        }
        let measurement = self.measurement(value, reading.quality, at, now);
        house::check_measurement(&measurement)?;
        if reading.quality != self.quality {
            self.passed.forget();
        }
        self.quality = reading.quality;
        let is_news = self.passed.is_news(&measurement, self.mapped.deadband);
        if is_news {
            self.told_at = Some(at);
        }
        Ok(is_news.then_some(measurement))
    }

    /// The source's own time of a change. What the server calls good when it is asked holds now, even if it has not changed
    /// for hours. Reports of one node come in its order, so none is older than the one before, whatever the clocks say.
    fn measured_at(&self, reading: &Reading, cause: Cause, now: Timestamp) -> Timestamp {
        let told = reading.source_at.or(reading.server_at).unwrap_or(now);
        let holds_now = cause == Cause::Asked && reading.quality == Quality::Measured;
        let at = if holds_now { told.max(now) } else { told };
        self.told_at.map_or(at, |last| last.max(at))
    }

    /// That it is missing, unless that was told.
    pub fn lose(&mut self, now: Timestamp) -> Option<Measurement> {
        self.passed.forget();
        let is_news = self.quality != Quality::Missing;
        self.quality = Quality::Missing;
        is_news.then(|| self.measurement(0.0, Quality::Missing, now, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::point_map;
    use proptest::prelude::*;

    fn point(deadband: &str) -> Point {
        let text = format!(
            "tag,element,quantity,unit,scale,sign,deadband\nns=2;s=P,branch.21,p,kW,0.5,generation,{deadband}\n"
        );
        let map = point_map::read(text.as_bytes()).unwrap();
        let row = map.rows[0].clone();
        Point::new((row.tag.parse().unwrap(), row))
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(1_768_500_000 + seconds)
    }

    fn reading(number: f64, quality: Quality, source: i64) -> Reading {
        Reading { number: Some(number), quality, source_at: Some(at(source)), server_at: None }
    }

    const MISSING: Reading =
        Reading { number: None, quality: Quality::Missing, source_at: None, server_at: None };

    #[test]
    fn a_change_keeps_its_source_timestamp_and_ends_as_watts_taken() {
        let told =
            point("").take(&reading(4.0, Quality::Measured, -7), Cause::Changed, at(0)).unwrap().unwrap();
        assert_eq!((told.value, told.measured_at, told.received_at), (-2000.0, at(-7), at(0)));
    }

    #[test]
    fn what_holds_for_hours_is_told_as_of_now_when_it_is_asked_for() {
        let mut point = point("");
        let told = point.take(&reading(4.0, Quality::Measured, -9000), Cause::Asked, at(0)).unwrap().unwrap();
        assert_eq!(told.measured_at, at(0));
        // A substitute says nothing of now.
        let mut point = self::point("");
        let told =
            point.take(&reading(4.0, Quality::Substituted, -9000), Cause::Asked, at(0)).unwrap().unwrap();
        assert_eq!((told.measured_at, told.quality), (at(-9000), Quality::Substituted));
    }

    #[test]
    fn a_source_whose_clock_lags_is_never_taken_for_late() {
        let mut point = point("");
        point.take(&reading(4.0, Quality::Measured, -2), Cause::Asked, at(0)).unwrap();
        let told = point.take(&reading(5.0, Quality::Measured, -1), Cause::Changed, at(1)).unwrap().unwrap();
        assert_eq!(told.measured_at, at(0));
    }

    #[test]
    fn it_is_told_to_be_missing_once_and_the_same_value_is_news_afterwards() {
        let mut point = point("10");
        assert!(point.take(&reading(4.0, Quality::Measured, 0), Cause::Changed, at(0)).unwrap().is_some());
        assert_eq!(point.take(&reading(4.1, Quality::Measured, 1), Cause::Changed, at(1)), Ok(None));
        let told = point.take(&MISSING, Cause::Changed, at(2)).unwrap().unwrap();
        assert_eq!(told.quality, Quality::Missing);
        assert_eq!((point.take(&MISSING, Cause::Changed, at(3)), point.lose(at(4))), (Ok(None), None));
        assert!(point.take(&reading(4.1, Quality::Measured, 1), Cause::Asked, at(5)).unwrap().is_some());
        // Another quality of the same value is news too.
        assert!(point.take(&reading(4.1, Quality::Substituted, 6), Cause::Changed, at(6)).unwrap().is_some());
    }

    #[test]
    fn a_time_that_has_not_come_is_refused() {
        let (code, reason) =
            point("").take(&reading(4.0, Quality::Measured, 301), Cause::Changed, at(0)).unwrap_err();
        assert!(code == RejectCode::Time && reason.contains("ahead"), "{reason}");
    }

    proptest! {
        #[test]
        fn whatever_is_reported_times_never_go_back_and_nothing_is_told_twice(
            reports in proptest::collection::vec((0..4_u8, -10.0..10.0_f64, -400..300_i64, any::<bool>()), 1..60)
        ) {
            let (mut point, mut last, mut missing) = (point(""), None, false);
            for (now, (kind, number, source, asked)) in (0_i64..).zip(reports) {
                let reading = match kind {
                    0 => MISSING,
                    1 => reading(number, Quality::Substituted, now + source),
                    _ => reading(number, Quality::Measured, now + source),
                };
                let cause = if asked { Cause::Asked } else { Cause::Changed };
                let Ok(Some(told)) = point.take(&reading, cause, at(now)) else { continue };
                prop_assert!(!(missing && told.quality == Quality::Missing));
                missing = told.quality == Quality::Missing;
                if !missing {
                    prop_assert!(last.is_none_or(|last| told.measured_at >= last));
                    prop_assert!(told.measured_at <= at(now).plus(FUTURE_MAX));
                    last = Some(told.measured_at);
                }
            }
        }
    }
}
