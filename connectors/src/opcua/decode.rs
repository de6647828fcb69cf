//! What a server reports → number, quality and time: a pure function.

use crate::house::{Refusal, RejectCode};
use grid::{Quality, Timestamp};
use opcua::types::{DataValue, DateTime, StatusCode, Variant};

/// What one report says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading {
    /// In the server's unit and sign; finite. `None` when nothing is known.
    pub number: Option<f64>,
    /// [`Quality::Measured`], [`Quality::Substituted`], or [`Quality::Missing`] without a number.
    pub quality: Quality,
    /// When the instrument took it, by the server's source timestamp.
    pub source_at: Option<Timestamp>,
    /// When the server knew it to be so, by its own timestamp.
    pub server_at: Option<Timestamp>,
}

/// What a status says of the value beside it.
///
/// Good is measured, except a value that somebody has put in place by hand. Uncertain is a substitute, which counts less,
/// except where it says that nothing new is known. Bad is missing.
pub fn quality(status: StatusCode) -> Quality {
    // The lower half only says more about how the value was made.
    const GOOD_LOCAL_OVERRIDE: u32 = 0x0096;
    const UNCERTAIN_NO_COMMUNICATION_LAST_USABLE_VALUE: u32 = 0x408f;
    const UNCERTAIN_LAST_USABLE_VALUE: u32 = 0x4090;
    const UNCERTAIN_INITIAL_VALUE: u32 = 0x4092;
    match (status.bits() >> 30, status.bits() >> 16) {
        (0, GOOD_LOCAL_OVERRIDE) => Quality::Substituted,
        (0, _) => Quality::Measured,
        (
            1,
            UNCERTAIN_NO_COMMUNICATION_LAST_USABLE_VALUE
            | UNCERTAIN_LAST_USABLE_VALUE
            | UNCERTAIN_INITIAL_VALUE,
        ) => Quality::Missing,
        (1, _) => Quality::Substituted,
        _ => Quality::Missing,
    }
}

/// Reads a report. NaN and infinity mean that the server does not know.
///
/// # Errors
/// A value that its server calls good or uncertain and that is no single number.
pub fn decode(value: &DataValue) -> Result<Reading, Refusal> {
    let status = value.status.unwrap_or(StatusCode::Good);
    let (source_at, server_at) = (time(value.source_timestamp), time(value.server_timestamp));
    let missing = Reading { number: None, quality: Quality::Missing, source_at, server_at };
    let quality = quality(status);
    if quality == Quality::Missing {
        return Ok(missing);
    }
    let number = match &value.value {
        None | Some(Variant::Empty) => return Ok(missing),
        Some(variant) => number(variant).ok_or_else(|| {
            let kind = variant.type_id();
            (RejectCode::Value, format!("the value is of type {kind:?}; a single number is meant"))
        })?,
    };
    if !number.is_finite() {
        return Ok(missing);
    }
    Ok(Reading { number: Some(number), quality, source_at, server_at })
}

/// Of numbers; whole ones beyond 2⁵³ are rounded.
fn number(variant: &Variant) -> Option<f64> {
    Some(match variant {
        Variant::SByte(number) => f64::from(*number),
        Variant::Byte(number) => f64::from(*number),
        Variant::Int16(number) => f64::from(*number),
        Variant::UInt16(number) => f64::from(*number),
        Variant::Int32(number) => f64::from(*number),
        Variant::UInt32(number) => f64::from(*number),
        Variant::Int64(number) => *number as f64,
        Variant::UInt64(number) => *number as f64,
        Variant::Float(number) => f64::from(*number),
        Variant::Double(number) => *number,
        // A value may be wrapped once, as the standard has it for a variable of any type.
        Variant::Variant(inner) if !matches!(**inner, Variant::Variant(_)) => return self::number(inner),
        _ => return None,
    })
}

/// `None` for times that a server leaves out or sets to its beginning of time.
fn time(time: Option<DateTime>) -> Option<Timestamp> {
    let nanos = time?.as_chrono().timestamp_nanos_opt()?;
    Some(nanos).filter(|&nanos| nanos > 0).map(Timestamp::from_nanos)
}

/// A time for the wire.
pub(super) fn date_time(at: Timestamp) -> DateTime {
    DateTime::from(at.nanos() / 100 + TICKS_TO_1970)
}

/// From 1601, where the wire's time begins, in ticks of 100 ns.
const TICKS_TO_1970: i64 = 11_644_473_600 * 10_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn report(status: StatusCode, value: impl Into<Variant>) -> DataValue {
        DataValue { value: Some(value.into()), status: Some(status), ..DataValue::default() }
    }

    #[test]
    fn status_codes_become_qualities() {
        for (status, expected) in [
            (StatusCode::Good, Quality::Measured),
            (StatusCode::GoodClamped, Quality::Measured),
            (StatusCode::GoodLocalOverride, Quality::Substituted),
            (StatusCode::Uncertain, Quality::Substituted),
            (StatusCode::UncertainSubstituteValue, Quality::Substituted),
            (StatusCode::UncertainSensorNotAccurate, Quality::Substituted),
            (StatusCode::UncertainLastUsableValue, Quality::Missing),
            (StatusCode::UncertainInitialValue, Quality::Missing),
            (StatusCode::UncertainNoCommunicationLastUsableValue, Quality::Missing),
            (StatusCode::Bad, Quality::Missing),
            (StatusCode::BadSensorFailure, Quality::Missing),
            (StatusCode::BadOutOfService, Quality::Missing),
        ] {
            let reading = decode(&report(status, 230.5)).unwrap();
            assert_eq!(reading.quality, expected, "{status}");
            assert_eq!(reading.number.is_some(), expected != Quality::Missing, "{status}");
        }
    }

    #[test]
    fn numbers_of_every_type_are_read_and_nothing_else() {
        for (value, expected) in [
            (Variant::from(-7_i8), -7.0),
            (Variant::from(7_u8), 7.0),
            (Variant::from(-7_i16), -7.0),
            (Variant::from(7_u16), 7.0),
            (Variant::from(-7_i32), -7.0),
            (Variant::from(7_u32), 7.0),
            (Variant::from(-7_i64), -7.0),
            (Variant::from(7_u64), 7.0),
            (Variant::from(0.5_f32), 0.5),
            (Variant::from(0.5_f64), 0.5),
        ] {
            assert_eq!(decode(&report(StatusCode::Good, value)).unwrap().number, Some(expected));
        }
        for value in [Variant::from("230.5"), Variant::from(true), Variant::from(vec![1.0, 2.0])] {
            let (code, reason) = decode(&report(StatusCode::Good, value.clone())).unwrap_err();
            assert!(code == RejectCode::Value && reason.contains("number"), "{reason}");
            // What its server calls bad needs no other reason.
            assert_eq!(decode(&report(StatusCode::Bad, value)).unwrap().quality, Quality::Missing);
        }
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(decode(&report(StatusCode::Good, value)).unwrap().quality, Quality::Missing);
        }
        assert_eq!(decode(&DataValue::default()).unwrap().quality, Quality::Missing);
    }

    #[test]
    fn times_are_read_and_the_beginning_of_time_is_none() {
        let at = Timestamp::from_nanos(1_768_500_000_123_456_700);
        assert_eq!(time(Some(date_time(at))), Some(at));
        assert_eq!((time(None), time(Some(DateTime::null()))), (None, None));
        assert_eq!(time(Some(DateTime::ymd(1969, 7, 21))), None);
    }

    proptest! {
        #[test]
        fn any_status_is_answered_and_what_is_bad_is_never_measured(bits in any::<u32>(), value in any::<f64>()) {
            let reading = decode(&report(StatusCode::from(bits), value)).unwrap();
            let is_known = reading.quality != Quality::Missing;
            prop_assert_eq!(is_known, reading.number.is_some());
            prop_assert!(!is_known || bits >> 30 < 2);
            prop_assert!(reading.quality != Quality::Measured || bits >> 30 == 0);
        }
    }
}
