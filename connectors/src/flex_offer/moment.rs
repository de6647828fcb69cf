//! Times as they are found: ISO 8601 with `Z` or a numeric zone, Java's `Date.toString` in UTC, milliseconds since
//! the epoch, and interval numbers (seconds since the epoch over the interval's length).

use super::fault::{ReadError, ReadFault, shown};
use super::field::{Fields, Path};
use grid::Timestamp;
use serde_json::Value;

/// The year 2200 in seconds.
const SECONDS_MAX: i64 = 7_258_118_400;
/// Whole numbers above this are milliseconds, below it seconds: the year 5138 or the 4th of March 1973.
const MILLISECONDS_FROM: u64 = 100_000_000_000;
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// A time given by one of some names, or else by an interval number.
pub(crate) fn time(
    fields: &Fields<'_>,
    times: &[&str],
    intervals: &[&str],
    interval_seconds: i64,
) -> Result<Option<Timestamp>, ReadError> {
    if let Some((key, value)) = fields.entry(times) {
        let path = Path::Key(fields.path, key);
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => return Err(path.refuse(ReadFault::Kind { wanted: "a time" })),
        };
        let read = read(&text);
        return read.map(Some).ok_or_else(|| path.refuse(ReadFault::Time { text: shown(&text) }));
    }
    let limit = SECONDS_MAX.unsigned_abs();
    let Some(interval) = fields.integer(intervals, limit)? else { return Ok(None) };
    match interval.checked_mul(interval_seconds).filter(|seconds| (0..=SECONDS_MAX).contains(seconds)) {
        Some(seconds) => Ok(Some(Timestamp::from_seconds(seconds))),
        None => {
            let key = fields.entry(intervals).map_or("interval", |(key, _)| key);
            let fault = ReadFault::Number { text: interval.to_string(), limit: limit / 900 };
            Err(Path::Key(fields.path, key).refuse(fault))
        }
    }
}

/// A time given by a text.
pub(crate) fn read(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    if let Ok(whole) = text.parse::<i64>() {
        let nanos = match whole.unsigned_abs() < MILLISECONDS_FROM {
            true => whole.checked_mul(1_000_000_000)?,
            false => whole.checked_mul(1_000_000)?,
        };
        return (0..=SECONDS_MAX).contains(&(nanos / 1_000_000_000)).then(|| Timestamp::from_nanos(nanos));
    }
    iso(text).or_else(|| java(text))
}

/// `2020-02-27T20:30:00.000+0000`, `…+00:00`, `…Z`, also with stray blanks as in a published example.
fn iso(text: &str) -> Option<Timestamp> {
    // The specification's form, which is most of what there is.
    if text.len() == 20 && text.ends_with('Z') {
        let plain: Timestamp = text.parse().ok()?;
        return (plain.nanos() >= 0).then_some(plain);
    }
    let compact: String = text.chars().filter(|c| !c.is_whitespace()).take(40).collect();
    if !compact.is_ascii() || compact.len() < 19 {
        return None;
    }
    let (moment, zone) = match compact.get(19..)?.find(['Z', 'z', '+', '-']) {
        Some(at) => compact.split_at(19 + at),
        None => (compact.as_str(), "Z"),
    };
    let offset = zone_seconds(zone)?;
    let local: Timestamp = format!("{moment}Z").parse().ok()?;
    let nanos = local.nanos().checked_sub(offset * 1_000_000_000)?;
    (nanos >= 0).then(|| Timestamp::from_nanos(nanos))
}

fn zone_seconds(zone: &str) -> Option<i64> {
    if zone.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let sign = if zone.starts_with('-') { -1 } else { 1 };
    let digits: String = zone.get(1..)?.chars().filter(|&c| c != ':').collect();
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) || !matches!(digits.len(), 2 | 4) {
        return None;
    }
    let hours: i64 = digits.get(..2)?.parse().ok()?;
    let minutes: i64 = digits.get(2..).filter(|rest| !rest.is_empty()).map_or(Some(0), |m| m.parse().ok())?;
    (hours <= 18 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

/// `Thu Feb 27 20:30:00 UTC 2020`.
fn java(text: &str) -> Option<Timestamp> {
    let words: Vec<&str> = text.split_whitespace().take(7).collect();
    let [_, month, day, clock, zone, year] = words[..] else { return None };
    if !matches!(zone, "UTC" | "GMT" | "Z") {
        return None;
    }
    let month = MONTHS.iter().position(|name| name.eq_ignore_ascii_case(month))? + 1;
    let day: u32 = day.parse().ok()?;
    format!("{year}-{month:02}-{day:02}T{clock}Z").parse().ok()
}

/// As the FMAN writes it: milliseconds and a numeric zone.
pub(crate) fn java_iso(time: Timestamp) -> String {
    let text = time.to_string();
    let (moment, fraction) = match text.trim_end_matches('Z').split_once('.') {
        Some((moment, fraction)) => (moment.to_owned(), fraction.to_owned()),
        None => (text.trim_end_matches('Z').to_owned(), "000".to_owned()),
    };
    format!("{moment}.{fraction}+0000")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_all_forms_are_one_instant() {
        let wanted: Timestamp = "2020-02-27T20:30:00Z".parse().unwrap();
        for text in [
            "2020-02-27T20:30:00Z",
            "2020-02-27T20:30:00.000+0000",
            "2020-02-27T20:30:00.000+0 000",
            "2020-02-27T21:30:00+01:00",
            "2020-02-27T15:30:00.0-0500",
            "Thu Feb 27 20:30:00 UTC 2020",
            "1582835400000",
            "1582835400",
        ] {
            assert_eq!(read(text), Some(wanted), "{text}");
        }
        assert_eq!(read(&java_iso(wanted)), Some(wanted));
        let fine: Timestamp = "2020-02-27T20:30:00.123456789Z".parse().unwrap();
        assert_eq!(read(&java_iso(fine)), Some(fine));
    }

    #[test]
    fn other_texts_are_no_times() {
        for text in [
            "",
            "now",
            "2020-02-30T00:00:00Z",
            "2020-02-27T20:30:00+99:00",
            "ü",
            "1e308",
            "-5",
            "99999999999999999999",
            "-9223372036854775808",
            "9223372036854775807",
            "2020-02-27T20:30:00+",
            "Thu Feb 27 20:30:00 CET 2020",
            "1969-12-31T23:00:00Z",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
