//! Values that are written on the command line.

use std::time::Duration;

/// Longest run that can be asked for: two weeks.
const DURATION_MAX: Duration = Duration::from_secs(14 * 24 * 3600);

/// Reads `6h`, `90m`, `1h30m` or `45min`: whole hours and minutes, at least one minute.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no duration; write for example 6h, 90m or 1h30m");
    let (mut seconds, mut rest) = (0_u64, text);
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = rest.get(..digits).and_then(|n| n.parse().ok()).ok_or_else(wrong)?;
        let unit = &rest[digits..];
        let letters = unit.bytes().take_while(u8::is_ascii_alphabetic).count();
        let factor = match &unit[..letters] {
            "h" => 3600,
            "m" | "min" => 60,
            _ => return Err(wrong()),
        };
        seconds = number.checked_mul(factor).and_then(|part| seconds.checked_add(part)).ok_or_else(wrong)?;
        rest = &unit[letters..];
    }
    let duration = Duration::from_secs(seconds);
    if duration.is_zero() || duration > DURATION_MAX {
        return Err(format!("{text:?} is not between one minute and 14 days"));
    }
    Ok(duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_rubbish_is_refused() {
        assert_eq!(duration("6h").unwrap(), Duration::from_secs(21_600));
        assert_eq!(duration("1h30m").unwrap(), Duration::from_secs(5_400));
        assert_eq!(duration("45min").unwrap(), Duration::from_secs(2_700));
        for bad in ["", "h", "6", "6s", "-6h", "0m", "999999999999999999999h", "500h", "6h!", "ü"] {
            assert!(duration(bad).is_err(), "{bad:?} was accepted");
        }
    }
}
