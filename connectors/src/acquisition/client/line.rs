//! One line of a historian's file.

use super::config::Files;
use csv::{ReaderBuilder, StringRecord, Trim};
use grid::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// Longest line read, bytes.
pub(super) const BYTES_MAX: usize = 64 * 1024;

/// What a line says, still with its private id.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Reading {
    pub(super) private_id: String,
    pub(super) observed_at: Timestamp,
    pub(super) value: f64,
}

/// Reads one line without its end; `None` when there is nothing in it.
///
/// # Errors
/// What is wrong with it. Never panics, whatever the bytes.
pub(super) fn read(line: &[u8], files: &Files) -> Result<Option<Reading>, String> {
    if line.len() > BYTES_MAX {
        return Err(format!("{} bytes, at most {BYTES_MAX} are read", line.len()));
    }
    let text = std::str::from_utf8(line).map_err(|_| "it is not UTF-8".to_owned())?;
    if text.trim().is_empty() {
        return Ok(None);
    }
    let mut reader = ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(files.delimiter)
        .trim(Trim::All)
        .buffer_capacity(line.len().max(1))
        .from_reader(line);
    let mut record = StringRecord::new();
    if !reader.read_record(&mut record).map_err(|error| error.to_string())? {
        return Ok(None);
    }
    let [id, time, value] = files.places.map(|place| record.get(place).filter(|field| !field.is_empty()));
    let missing = |name: &str| format!("it has no {name}");
    let private_id = id.ok_or_else(|| missing("device_id"))?.to_owned();
    let observed_at = time_of(time.ok_or_else(|| missing("observed_timestamp"))?, &files.zone)?;
    let value = number(value.ok_or_else(|| missing("value"))?, files.decimal)?;
    Ok(Some(Reading { private_id, observed_at, value }))
}

/// Reads any bytes as lines, with a point and with a comma for decimals, in a zone whose clocks change.
pub(crate) fn read_all(bytes: &[u8]) {
    let zone = jiff::tz::TimeZone::get("Europe/Berlin").unwrap_or(jiff::tz::TimeZone::UTC);
    let mut files = Files {
        folder: std::path::PathBuf::new(),
        pattern: String::new(),
        header: false,
        delimiter: b',',
        decimal: '.',
        zone,
        places: [0, 1, 2],
        settle: std::time::Duration::ZERO,
    };
    for (delimiter, decimal) in [(b',', '.'), (b';', ',')] {
        (files.delimiter, files.decimal) = (delimiter, decimal);
        for line in bytes.split(|byte| *byte == b'\n') {
            let _ = read(line, &files);
        }
    }
}

/// A finite decimal number.
pub(super) fn number(text: &str, decimal: char) -> Result<f64, String> {
    let wrong = || format!("value {text:.40?} is no number");
    // With a decimal comma a point would be one of thousands, and nobody knows.
    if decimal != '.' && text.contains('.') {
        return Err(wrong());
    }
    let plain = text.replace(decimal, ".");
    let is_decimal = |c: char| c.is_ascii_digit() || matches!(c, '.' | '-' | '+' | 'e' | 'E');
    plain
        .parse()
        .ok()
        .filter(|value: &f64| value.is_finite() && plain.chars().all(is_decimal))
        .ok_or_else(wrong)
}

/// With an offset or `Z`, or local in a zone. What happened twice, or never, because clocks were set is refused:
/// a guess would be wrong by an hour half of the time.
pub(super) fn time_of(text: &str, zone: &TimeZone) -> Result<Timestamp, String> {
    let wrong = |what: &str| format!("observed_timestamp {text:.40?} {what}");
    let instant = match text.parse::<jiff::Timestamp>() {
        Ok(instant) => instant,
        Err(_) => {
            let local: DateTime =
                text.parse().map_err(|_| wrong("is no time such as 2026-01-15 17:30:00"))?;
            let instant = zone.to_ambiguous_timestamp(local).unambiguous();
            instant.map_err(|_| wrong("was twice or never in the time zone"))?
        }
    };
    let nanos = i64::try_from(instant.as_nanosecond()).ok().filter(|nanos| (0..YEAR_2200).contains(nanos));
    nanos.map(Timestamp::from_nanos).ok_or_else(|| wrong("is not between 1970 and 2200"))
}

/// 2200-01-01T00:00:00Z, nanoseconds.
const YEAR_2200: i64 = 7_258_118_400_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn files(zone: &str) -> Files {
        Files {
            folder: "x".into(),
            pattern: ".csv".into(),
            header: false,
            delimiter: b',',
            decimal: '.',
            zone: TimeZone::get(zone).unwrap(),
            places: [0, 1, 2],
            settle: std::time::Duration::ZERO,
        }
    }

    #[test]
    fn a_line_of_the_projects_sample_is_read() {
        let reading = read(b"\"100\",2015-01-01 00:41:00,18.7335\r", &files("UTC")).unwrap().unwrap();
        assert_eq!((reading.private_id.as_str(), reading.value), ("100", 18.7335));
        assert_eq!(reading.observed_at.to_string(), "2015-01-01T00:41:00Z");
        assert_eq!(read(b"  ", &files("UTC")), Ok(None));
    }

    #[test]
    fn local_times_become_utc_and_those_that_were_twice_or_never_are_refused() {
        let berlin = files("Europe/Berlin");
        let at = |time: &str| {
            read(format!("1,{time},2").as_bytes(), &berlin).map(|r| r.unwrap().observed_at.to_string())
        };
        assert_eq!(at("2026-07-01 12:00:00").unwrap(), "2026-07-01T10:00:00Z");
        assert_eq!(at("2026-01-15T12:00:00").unwrap(), "2026-01-15T11:00:00Z");
        assert_eq!(at("2026-07-01T12:00:00+00:00").unwrap(), "2026-07-01T12:00:00Z");
        assert!(at("2026-10-25 02:30:00").unwrap_err().contains("twice or never"));
        assert!(at("2026-03-29 02:30:00").unwrap_err().contains("twice or never"));
        assert_eq!(at("2026-10-25T02:30:00+01:00").unwrap(), "2026-10-25T01:30:00Z");
        assert!(at("1969-12-31 12:00:00").unwrap_err().contains("between"));
    }

    #[test]
    fn what_is_wrong_with_a_line_is_said() {
        for (line, words) in [
            ("1,2026-01-01 00:00:00", "no value"),
            (",2026-01-01 00:00:00,1", "no device_id"),
            ("1,yesterday,1", "no time"),
            ("1,2026-01-01 00:00:00,NaN", "no number"),
            ("1,2026-01-01 00:00:00,inf", "no number"),
            ("1,2026-01-01 00:00:00,1e999", "no number"),
            ("1,2026-01-01 00:00:00,\"1,5\"", "no number"),
        ] {
            let said = read(line.as_bytes(), &files("UTC")).unwrap_err();
            assert!(said.contains(words), "{line}: {said}");
        }
        assert!(
            read(&[b'x'; BYTES_MAX + 1], &files("UTC")).is_err() && read(b"\xff,1,2", &files("UTC")).is_err()
        );
        let comma = Files { delimiter: b';', decimal: ',', ..files("UTC") };
        assert_eq!(read(b"1;2026-01-01 00:00:00;1,5", &comma).unwrap().unwrap().value, 1.5);
        assert!(read(b"1;2026-01-01 00:00:00;1.500", &comma).is_err(), "a point for thousands");
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(line in prop::collection::vec(any::<u8>(), 0..200), text in "\\PC{0,60}") {
            let _ = read(&line, &files("Europe/Berlin"));
            let _ = read(format!("1,{text},2").as_bytes(), &files("Europe/Berlin"));
        }
    }
}
