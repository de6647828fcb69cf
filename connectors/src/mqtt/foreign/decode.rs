//! Payloads of others, as pure functions: a number, or JSON in which numbers stand.

use crate::house::{FUTURE_MAX, Refusal, RejectCode};
use grid::Timestamp;
use serde_json::Value;
use std::collections::BTreeMap;

/// Largest payload that is looked at, bytes.
pub(super) const PAYLOAD_BYTES_MAX: usize = 256 << 10;
/// A number above it counts milliseconds: in seconds it would be the year 5138.
const SECONDS_MAX: f64 = 1e11;

/// A payload as JSON.
///
/// # Errors
/// It is too large, or no JSON.
pub(super) fn payload(bytes: &[u8]) -> Result<Value, Refusal> {
    if bytes.len() > PAYLOAD_BYTES_MAX {
        let reason = format!("{} bytes, at most {PAYLOAD_BYTES_MAX} are looked at", bytes.len());
        return Err((RejectCode::TooLarge, reason));
    }
    serde_json::from_slice(bytes)
        .map_err(|error| (RejectCode::Json, format!("neither number nor JSON: {error}")))
}

/// What stands at a place in a payload.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Found {
    /// A number, also one written as text.
    Number(f64),
    /// Null: the other side says that it has none.
    Null,
    /// There is no such place: this message is about something else.
    Absent,
}

/// Looks at a place.
///
/// # Errors
/// Something stands there that is no number.
pub(super) fn value(payload: &Value, pointer: &str) -> Result<Found, Refusal> {
    let number = match payload.pointer(pointer) {
        None => return Ok(Found::Absent),
        Some(Value::Null) => return Ok(Found::Null),
        Some(Value::Number(number)) => number.as_f64(),
        Some(Value::String(text)) => text.trim().parse().ok().filter(|number: &f64| number.is_finite()),
        Some(Value::Bool(_) | Value::Array(_) | Value::Object(_)) => None,
    };
    let at = if pointer.is_empty() { "the payload" } else { pointer };
    number.map(Found::Number).ok_or_else(|| (RejectCode::Value, format!("{at} is no number")))
}

/// The rows of a list by what stands under a key of each, in the order of the list; a payload that is one object is a list of it.
/// What has no text and no whole number there is nobody's.
pub(super) fn rows<'a>(payload: &'a Value, key: &str) -> BTreeMap<String, Vec<&'a Value>> {
    let alone = std::slice::from_ref(payload);
    let mut rows = BTreeMap::<String, Vec<&Value>>::new();
    for row in payload.as_array().map_or(alone, Vec::as_slice) {
        let id = match row.get(key) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) if !number.is_f64() => number.to_string(),
            _ => continue,
        };
        rows.entry(id).or_default().push(row);
    }
    rows
}

/// When it was measured, by what the payload says: an instant as in RFC 3339, or seconds or milliseconds since 1970.
///
/// # Errors
/// Nothing is there that could be a time, or one that is ahead of ours by more than five minutes.
pub(super) fn time(payload: &Value, pointer: &str, received_at: Timestamp) -> Result<Timestamp, Refusal> {
    let wrong = |reason: &str| (RejectCode::Time, format!("{pointer} {reason}"));
    let found = payload.pointer(pointer).ok_or_else(|| wrong("is not in the payload"))?;
    let time = match found {
        Value::String(text) => text.parse().ok(),
        Value::Number(number) => number.as_f64().filter(|number| *number >= 0.0).and_then(since_1970),
        _ => None,
    };
    let time =
        time.ok_or_else(|| wrong("is neither an instant like 2026-01-15T17:30:00Z nor seconds since 1970"))?;
    if time > received_at.plus(FUTURE_MAX) {
        return Err(wrong(&format!("is {time}, and it is {received_at}")));
    }
    Ok(time)
}

fn since_1970(number: f64) -> Option<Timestamp> {
    let seconds = if number > SECONDS_MAX { number / 1e3 } else { number };
    // Timestamps end in 2200.
    let span = std::time::Duration::try_from_secs_f64(seconds).ok().filter(|_| seconds < 7.2e9)?;
    Some(Timestamp::from_seconds(0).plus(span))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str, pointer: &str) -> Result<Found, RejectCode> {
        payload(text.as_bytes()).and_then(|payload| value(&payload, pointer)).map_err(|(code, _)| code)
    }

    #[test]
    fn numbers_are_found_where_the_pointer_says_and_nothing_else_is_one() {
        assert_eq!(read(" 230.5\n", ""), Ok(Found::Number(230.5)));
        assert_eq!(read("\"230.5\"", ""), Ok(Found::Number(230.5)));
        assert_eq!(read(r#"{"a":{"b/c":[1,{"u":-2e3}]}}"#, "/a/b~1c/1/u"), Ok(Found::Number(-2_000.0)));
        assert_eq!(read(r#"{"u":null}"#, "/u"), Ok(Found::Null));
        for (text, pointer) in [(r#"{"u":1}"#, "/i"), (r#"{"u":[1]}"#, "/u/1"), ("1", "/u")] {
            assert_eq!(read(text, pointer), Ok(Found::Absent), "{text} {pointer}");
        }
        for (text, pointer, code) in [
            ("on", "", RejectCode::Json),
            ("NaN", "", RejectCode::Json),
            ("", "", RejectCode::Json),
            ("\"NaN\"", "", RejectCode::Value),
            ("true", "", RejectCode::Value),
            (r#"{"u":1}"#, "", RejectCode::Value),
        ] {
            assert_eq!(read(text, pointer), Err(code), "{text} {pointer}");
        }
        assert_eq!(read(&"[".repeat(100_000), ""), Err(RejectCode::Json));
        assert_eq!(read(&" ".repeat(PAYLOAD_BYTES_MAX + 1), ""), Err(RejectCode::TooLarge));
    }

    #[test]
    fn rows_are_found_by_what_stands_under_their_key() {
        let text = r#"[{"device_id":"17","value":1},{"device_id":18,"value":2},{"value":3},4,{"device_id":1.5},
            {"device_id":"17","value":5}]"#;
        let payload = payload(text.as_bytes()).unwrap();
        let found = rows(&payload, "device_id");
        let values =
            |id: &str| found[id].iter().map(|row| row["value"].as_i64().unwrap()).collect::<Vec<_>>();
        assert_eq!((values("17"), values("18"), found.len()), (vec![1, 5], vec![2], 2));
        assert_eq!(rows(&payload[1], "device_id").len(), 1, "one object is a list of it");
        assert!(rows(&payload, "value").contains_key("3") && rows(&payload[3], "value").is_empty());
    }

    #[test]
    fn times_are_read_in_the_ways_in_which_they_are_written() {
        let now: Timestamp = "2026-01-15T17:30:00Z".parse().unwrap();
        let read =
            |json: &str| time(&serde_json::from_str(json).unwrap(), "/t", now).map_err(|(code, _)| code);
        assert_eq!(read(r#"{"t":"2026-01-15T17:30:00Z"}"#), Ok(now));
        assert_eq!(read(&format!(r#"{{"t":{}}}"#, now.seconds())), Ok(now));
        assert_eq!(read(&format!(r#"{{"t":{}000}}"#, now.seconds())), Ok(now));
        for json in [
            r#"{"t":"yesterday"}"#,
            r#"{"t":-1}"#,
            r#"{"t":1e300}"#,
            r#"{}"#,
            r#"{"t":"2027-01-01T00:00:00Z"}"#,
        ] {
            assert_eq!(read(json), Err(RejectCode::Time), "{json}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..200), pointer in "[/a-z0-9~]{0,12}") {
            if let Ok(payload) = payload(&bytes) {
                let _ = (value(&payload, &pointer), time(&payload, &pointer, Timestamp::from_seconds(0)));
            }
        }
    }
}
