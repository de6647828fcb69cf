//! What of an object is told, with which quality and time, and what is not told again.

use crate::house::{FUTURE_MAX, RejectCode};
use crate::iec104::asdu::{Flags, Object, Value};
use crate::iec104::cp;
use crate::iec104::point::{Point, Taken, quality};
use crate::point_map;
use grid::{Measurement, Quality, Slot, Timestamp};
use proptest::prelude::*;

const SLOT: Slot = Slot(1_965_170);

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(SLOT.start().seconds() + 300 + seconds)
}

fn point(columns: &str) -> Point {
    let text = format!("tag,element,quantity,unit,scale,sign,deadband\nca=1 ioa=7,{columns}\n");
    let row = point_map::read(text.as_bytes()).unwrap().rows[0].clone();
    Point::new((row.tag.parse().unwrap(), row))
}

/// Half a kilowatt a step, fed in.
fn power(deadband: &str) -> Point {
    point(&format!("branch.21,p,kW,0.5,generation,{deadband}"))
}

fn tagged(seconds: i64) -> Option<cp::Tag> {
    Some(cp::Tag::Date { shown: at(seconds).nanos(), is_summer: false })
}

fn object(value: Value, flags: Flags, time: Option<cp::Tag>) -> Object {
    Object { address: "ca=1 ioa=7".parse().unwrap(), value, flags, time }
}

fn float(number: f32, time: Option<cp::Tag>) -> Object {
    object(Value::Float(number), Flags::default(), time)
}

const GOOD: Flags =
    Flags { overflow: false, blocked: false, substituted: false, not_topical: false, invalid: false };
const INVALID: Flags = Flags { invalid: true, ..GOOD };

/// What is told of a change that came at `now`.
fn changed(point: &mut Point, object: &Object, now: i64) -> Taken {
    point.take(object, false, at(now), 0).unwrap()
}

fn news(taken: Taken) -> Measurement {
    match taken {
        Taken::News(told) => told,
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_bit_means_measured_substituted_or_missing() {
    for (flags, expected) in [
        (GOOD, Quality::Measured),
        (INVALID, Quality::Missing),
        (Flags { not_topical: true, ..GOOD }, Quality::Missing),
        (Flags { blocked: true, ..GOOD }, Quality::Missing),
        (Flags { substituted: true, ..GOOD }, Quality::Substituted),
        (Flags { overflow: true, ..GOOD }, Quality::Substituted),
        (Flags { substituted: true, ..INVALID }, Quality::Missing),
    ] {
        assert_eq!(quality(flags), expected, "{flags:?}");
    }
}

#[test]
fn a_change_keeps_its_time_tag_and_ends_as_watts_taken() {
    let told = news(changed(&mut power(""), &float(4.0, tagged(-7)), 0));
    assert_eq!((told.value, told.quality), (-2000.0, Quality::Measured));
    assert_eq!((told.measured_at, told.received_at), (at(-7), at(0)));
    // Without one, or with one that is not to be used, it was measured when it came.
    for time in [None, Some(cp::Tag::Invalid)] {
        assert_eq!(news(changed(&mut power(""), &float(4.0, time), 0)).measured_at, at(0));
    }
}

#[test]
fn what_holds_for_hours_is_told_as_of_now_when_it_is_asked_for() {
    let told = power("").take(&float(4.0, tagged(-9000)), true, at(0), 0);
    assert_eq!(news(told.unwrap()).measured_at, at(0));
    // A substitute says nothing of now.
    let substituted = object(Value::Float(4.0), Flags { substituted: true, ..GOOD }, tagged(-9000));
    let told = news(power("").take(&substituted, true, at(0), 0).unwrap());
    assert_eq!((told.measured_at, told.quality), (at(-9000), Quality::Substituted));
}

#[test]
fn an_invalid_value_is_missing_once_even_with_the_time_tag_of_the_valid_one() {
    let mut point = power("10");
    news(changed(&mut point, &float(4.0, tagged(0)), 0));
    let told = news(changed(&mut point, &object(Value::Float(4.0), INVALID, tagged(0)), 1));
    assert_eq!((told.quality, told.value), (Quality::Missing, 0.0));
    assert_eq!(changed(&mut point, &object(Value::Float(9.0), INVALID, tagged(2)), 2), Taken::Known);
    assert_eq!(point.lose(at(3)), None);
    // The same value again is news, though the deadband is wide.
    news(changed(&mut point, &float(4.0, tagged(4)), 4));
}

#[test]
fn what_is_sent_again_after_a_gap_is_not_told_again_and_what_is_newer_is() {
    let mut point = power("");
    for second in [0, 1, 2] {
        news(changed(&mut point, &float(second as f32 + 1.0, tagged(second)), second));
    }
    point.lose(at(3));
    for second in [0, 1, 2] {
        assert_eq!(changed(&mut point, &float(second as f32 + 1.0, tagged(second)), 20), Taken::Repeated);
    }
    assert_eq!(news(changed(&mut point, &float(9.0, tagged(10)), 20)).measured_at, at(10));
}

#[test]
fn a_clock_that_lags_is_not_taken_for_the_past_and_the_past_is_not_told_as_new() {
    let mut point = power("");
    news(point.take(&float(4.0, None), true, at(100), 0).unwrap());
    let told = news(changed(&mut point, &float(5.0, tagged(90)), 101));
    assert_eq!((told.measured_at, told.value), (at(100), -2500.0));
    assert_eq!(changed(&mut point, &float(6.0, tagged(39)), 102), Taken::Repeated);
    let mut point = power("");
    news(point.take(&float(4.0, None), true, at(100), 0).unwrap());
    assert_eq!(changed(&mut point, &float(6.0, tagged(39)), 102), Taken::Late);
    // A clock set back by an hour is believed when the interrogation's own time allows it.
    let mut point = power("");
    news(changed(&mut point, &float(6.0, tagged(0)), 0));
    assert_eq!(changed(&mut point, &float(7.0, tagged(-3600)), 1), Taken::Late);
    news(point.take(&float(7.0, None), true, at(2), 0).unwrap());
}

#[test]
fn a_time_that_has_not_come_is_refused_and_a_zone_is_taken_off() {
    let (code, reason) = power("").take(&float(4.0, tagged(301)), false, at(0), 0).unwrap_err();
    assert!(code == RejectCode::Time && reason.contains("utc_offset_min"), "{reason}");
    let told = news(power("").take(&float(4.0, tagged(3600)), false, at(0), 60).unwrap());
    assert_eq!(told.measured_at, at(0));
}

#[test]
fn points_are_worth_what_the_scale_says_and_nothing_in_between() {
    let mut point = point("branch.21,p,kW,2,,");
    assert_eq!(news(changed(&mut point, &object(Value::Single(true), GOOD, None), 0)).value, 2000.0);
    assert_eq!(news(changed(&mut point, &object(Value::Double(Some(false)), GOOD, None), 1)).value, 0.0);
    let told = news(changed(&mut point, &object(Value::Double(None), GOOD, None), 2));
    assert_eq!(told.quality, Quality::Missing);
}

#[test]
fn what_is_no_number_is_missing_and_a_counter_is_no_power() {
    let mut point = power("");
    news(changed(&mut point, &float(4.0, None), 0));
    assert_eq!(news(changed(&mut point, &float(f32::NAN, None), 1)).quality, Quality::Missing);
    let counter = object(Value::Counter { count: 1, adjusted: false }, GOOD, None);
    assert_eq!(point.take(&counter, true, at(2), 0).unwrap_err().0, RejectCode::Value);
    let (code, _) = energy().take(&float(4.0, None), true, at(2), 0).unwrap_err();
    assert_eq!(code, RejectCode::Value);
}

fn energy() -> Point {
    point("meter.41,energy,Wh,1,,")
}

/// The energies told of readings: seconds after the beginning of the slot, count, whether the counter was set, flags.
fn energies(readings: &[(i64, u32, bool, Flags)]) -> Vec<(i64, f64)> {
    let mut point = energy();
    let told = readings.iter().filter_map(|&(second, count, adjusted, flags)| {
        let reading = object(Value::Counter { count, adjusted }, flags, tagged(second - 300));
        match point.take(&reading, true, at(second - 300), 0).unwrap() {
            Taken::News(told) => Some((told.measured_at.slot().0 - SLOT.0, told.value)),
            _ => None,
        }
    });
    told.collect()
}

#[test]
fn counters_become_energies_of_quarter_hours_over_their_wrap_around() {
    assert_eq!(
        energies(&[(1, u32::MAX - 5, false, GOOD), (450, 2, false, GOOD), (901, 20, false, GOOD)]),
        [(1, 26.0)]
    );
}

#[test]
fn an_invalid_reading_is_left_out_and_a_counter_that_was_set_spoils_its_quarter_hour() {
    assert_eq!(
        energies(&[(1, 100, false, GOOD), (450, 9, false, INVALID), (901, 120, false, GOOD)]),
        [(1, 20.0)]
    );
    assert_eq!(energies(&[(1, 100, false, GOOD), (901, 120, false, INVALID), (1801, 140, false, GOOD)]), []);
    let set =
        [(1, 100, false, GOOD), (450, 110, true, GOOD), (901, 120, false, GOOD), (1801, 150, false, GOOD)];
    assert_eq!(energies(&set), [(2, 30.0)]);
}

#[test]
fn a_counter_that_was_kept_back_is_refused() {
    let reading = object(Value::Counter { count: 5, adjusted: false }, GOOD, tagged(-11));
    let (code, reason) = energy().take(&reading, true, at(0), 0).unwrap_err();
    assert!(code == RejectCode::Time && reason.contains("10 s ago"), "{reason}");
}

proptest! {
    #[test]
    fn whatever_is_reported_times_never_go_back_and_nothing_invalid_is_told(
        reports in proptest::collection::vec((any::<u8>(), -10.0..10.0_f32, proptest::option::of(-400..300_i64), any::<bool>()), 1..60)
    ) {
        let (mut point, mut last, mut missing) = (power(""), None, false);
        for (now, (bits, number, tag, is_asked)) in (0_i64..).zip(reports) {
            let bit = |at: u8| bits & 1 << at != 0 && bits & 1 != 0;
            let flags = Flags { overflow: bit(1), blocked: bit(2), substituted: bit(3), not_topical: bit(4), invalid: bit(5) };
            let report = object(Value::Float(number), flags, tag.and_then(|tag| tagged(now + tag)));
            let Ok(Taken::News(told)) = point.take(&report, is_asked, at(now), 0) else { continue };
            prop_assert!(!(missing && told.quality == Quality::Missing));
            missing = told.quality == Quality::Missing;
            prop_assert_eq!(told.quality, quality(flags));
            if !missing {
                prop_assert!(last.is_none_or(|last| told.measured_at >= last));
                prop_assert!(told.measured_at <= at(now).plus(FUTURE_MAX));
                last = Some(told.measured_at);
            }
        }
    }
}
