//! Time tags CP24Time2a and CP56Time2a ⇄ instants.
//!
//! A station's clock shows UTC, or its own zone's time: then the tag says by its bit SU whether it is summer time, so a fixed
//! offset for winter is all that has to be known.

use grid::Timestamp;
use std::time::Duration;

const MINUTE: i64 = 60_000_000_000;
const HOUR: i64 = 60 * MINUTE;
const MILLISECOND: i64 = 1_000_000;

/// A time tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tag {
    /// Not to be used: marked so by its bit IV, or no time at all.
    Invalid,
    /// CP24Time2a: time within the hour, ns.
    InHour(i64),
    /// CP56Time2a: as the station's clock shows it, ns since 1970, and whether that is summer time.
    Date {
        /// Nanoseconds since 1970 by the station's clock.
        shown: i64,
        /// One hour ahead of the station's own winter time.
        is_summer: bool,
    },
}

fn in_hour([low, high, minute]: [u8; 3]) -> Option<i64> {
    let (milliseconds, minutes) = (u16::from_le_bytes([low, high]), minute & 0x3f);
    let is_valid = minute & 0x80 == 0 && milliseconds < 60_000 && minutes < 60;
    is_valid.then(|| i64::from(minutes) * MINUTE + i64::from(milliseconds) * MILLISECOND)
}

/// Reads a CP24Time2a.
pub(super) fn read_24(bytes: [u8; 3]) -> Tag {
    in_hour(bytes).map_or(Tag::Invalid, Tag::InHour)
}

/// Reads a CP56Time2a. The day of the week is not looked at; years are those after 2000.
pub(super) fn read_56([a, b, c, hour, day, month, year]: [u8; 7]) -> Tag {
    let date = || {
        let in_hour = in_hour([a, b, c])?;
        let (is_summer, hour) = (hour & 0x80 != 0, hour & 0x1f);
        let text = format!(
            "{}-{:02}-{:02}T{hour:02}:00:00Z",
            2000 + u16::from(year & 0x7f),
            month & 0x0f,
            day & 0x1f
        );
        // The calendar is that of `Timestamp`, which refuses a 30th of February and an hour 24.
        let shown = text.parse::<Timestamp>().ok()?.nanos() + in_hour;
        Some(Tag::Date { shown, is_summer })
    };
    date().unwrap_or(Tag::Invalid)
}

/// Writes a CP56Time2a of a clock that shows winter time `offset` ahead of UTC; the day of the week is left out.
pub(super) fn write_56(at: Timestamp, offset_minutes: i32) -> [u8; 7] {
    let shown = Timestamp::from_nanos(at.nanos().saturating_add(i64::from(offset_minutes) * MINUTE));
    let text = shown.to_string();
    let number = |from: usize, to: usize| text.get(from..to).and_then(|digits| digits.parse::<u16>().ok());
    let field = |from: usize, to: usize| number(from, to).unwrap_or_default() as u8;
    let milliseconds = u16::from(field(17, 19)) * 1000
        + (shown.nanos().rem_euclid(1_000 * MILLISECOND) / MILLISECOND) as u16;
    let [low, high] = milliseconds.to_le_bytes();
    [low, high, field(14, 16), field(11, 13), field(8, 10), field(5, 7), field(2, 4)]
}

/// The instant of a tag that came at `now`; `None` of one that is not to be used. A tag without a date is of the hour that
/// brings it nearest to `now`.
pub fn resolve(tag: Tag, now: Timestamp, offset_minutes: i32) -> Option<Timestamp> {
    let offset = i64::from(offset_minutes) * MINUTE;
    match tag {
        Tag::Invalid => None,
        Tag::Date { shown, is_summer } => {
            Some(Timestamp::from_nanos(shown - offset - if is_summer { HOUR } else { 0 }))
        }
        Tag::InHour(in_hour) => {
            let here = now.nanos().saturating_add(offset);
            let off = (in_hour - here.rem_euclid(HOUR) + HOUR / 2).rem_euclid(HOUR) - HOUR / 2;
            Some(if off >= 0 {
                now.plus(Duration::from_nanos(off.unsigned_abs()))
            } else {
                now.minus(Duration::from_nanos(off.unsigned_abs()))
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    const NOW: &str = "2026-11-27T16:07:00Z";

    #[test]
    fn a_tag_of_c104_is_its_instant() {
        // As c104 2.2 sent it at that moment.
        let tag = read_56([0x15, 0xea, 0x06, 0x10, 0x1b, 0x0b, 0x1a]);
        assert_eq!(resolve(tag, at(NOW), 0), Some(at("2026-11-27T16:06:59.925Z")));
        // The same by a clock in Berlin, in winter and in summer.
        assert_eq!(resolve(tag, at(NOW), 60), Some(at("2026-11-27T15:06:59.925Z")));
        let tag = read_56([0x15, 0xea, 0x06, 0x90, 0x1b, 0x0b, 0x1a]);
        assert_eq!(resolve(tag, at(NOW), 60), Some(at("2026-11-27T14:06:59.925Z")));
    }

    #[test]
    fn what_is_marked_invalid_or_is_no_time_is_not_used() {
        for bytes in [
            [0x15, 0xea, 0x86, 0x10, 0x1b, 0x0b, 0x1a],
            [0x60, 0xea, 0x06, 0x10, 0x1b, 0x0b, 0x1a],
            [0, 0, 60, 0x10, 0x1b, 0x0b, 0x1a],
            [0, 0, 0, 24, 0x1b, 0x0b, 0x1a],
            [0, 0, 0, 0, 30, 2, 26],
            [0, 0, 0, 0, 0, 0, 0],
        ] {
            assert_eq!(read_56(bytes), Tag::Invalid, "{bytes:02x?}");
        }
        assert_eq!((read_24([0, 0, 0x80]), read_24([0xff, 0xff, 0])), (Tag::Invalid, Tag::Invalid));
    }

    #[test]
    fn a_minute_is_of_the_hour_that_brings_it_nearest() {
        let resolved = |now: &str, minute: u8| resolve(read_24([0xe8, 0x03, minute]), at(now), 0).unwrap();
        assert_eq!(resolved("2026-11-27T16:07:00Z", 6), at("2026-11-27T16:06:01Z"));
        assert_eq!(resolved("2026-11-27T16:00:00Z", 59), at("2026-11-27T15:59:01Z"));
        assert_eq!(resolved("2026-11-27T15:59:59Z", 0), at("2026-11-27T16:00:01Z"));
        // A zone of half an hour.
        let tag = read_24([0, 0, 36]);
        assert_eq!(resolve(tag, at(NOW), 330), Some(at("2026-11-27T16:06:00Z")));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_tag_and_any_tag_is_resolved(bytes in any::<[u8; 7]>(), now in 0..7_258_118_400_i64, offset in -900..900_i32) {
            let now = Timestamp::from_seconds(now);
            let _ = resolve(read_56(bytes), now, offset);
            let [a, b, c, ..] = bytes;
            if let Some(at) = resolve(read_24([a, b, c]), now, offset) {
                prop_assert!(at.since(now).max(now.since(at)) <= Duration::from_secs(1800));
            }
        }

        #[test]
        fn an_instant_is_written_and_read_back(millisecond in 946_684_800_000..4_102_444_800_000_i64, offset in -720..840_i32) {
            let at = Timestamp::from_nanos(millisecond * MILLISECOND);
            prop_assume!((2000..2099).contains(&at.to_string()[..4].parse::<i32>().unwrap()));
            prop_assert_eq!(resolve(read_56(write_56(at, offset)), at, offset), Some(at));
        }
    }
}
